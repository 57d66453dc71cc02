"""Blending against the reference implementation (tests/parity/make_blend.py), and its rules one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jwst_dask.data.blend import RULES, Rules, blend_into, blended, header_of, header_table, rules_of

GOLDEN = json.loads((Path(__file__).parent.parent / "parity" / "blend.json").read_text())
SAME_DAY = "2026-01-01T00:00:00.000"


@pytest.fixture(scope="module")
def models():
    from stdatamodels.jwst import datamodels

    out = []
    for values in GOLDEN["inputs"]:
        model = datamodels.TSOMultiSpecModel()
        for path, value in values.items():
            model[path] = value
        model.meta.date = SAME_DAY
        out.append(model)
    return out


def test_metadata_and_table_of_the_reference(models, tmp_path):
    from astropy.io import fits
    from stdatamodels.jwst import datamodels

    product = datamodels.TSOMultiSpecModel()
    blend_into(product, [header_of(model) for model in models], rules_of(models[0]))
    product.meta.date = SAME_DAY
    flat = {path: value for path, value in header_of(product).items() if path in GOLDEN["blended"] or value is not None}
    assert flat == GOLDEN["blended"]
    product.save(tmp_path / "product.fits")
    with fits.open(tmp_path / "product.fits") as file:
        table = file["HDRTAB"]
        assert table.columns.names == list(GOLDEN["table"])
        for name, (form, values) in GOLDEN["table"].items():
            assert table.columns[name].format == form, name
            np.testing.assert_array_equal(table.data[name], values, err_msg=name)


def test_rules():
    assert [RULES[rule]([3, 1, 2]) for rule in ("mean", "sum", "max", "min")] == [2.0, 6, 3, 1]
    assert type(RULES["max"]([3, 1])) is int
    assert RULES["multi"](["A", "A"]) == "A" and RULES["multi"](["A", "B"]) == "MULTIPLE"
    assert RULES["mindatetime"](["2024-02-01", "2023-12-31"]) == "2023-12-31"
    assert RULES["maxtime"](["05:00:00", "23:00:00"]) == "23:00:00"
    inside, outside = "within commanded tolerance", "outside calibration tolerance"
    assert RULES["wheeltol"]([inside, outside]) == outside and RULES["wheeltol"]([inside]) == inside


def test_first_input_decides_where_there_is_no_rule():
    rules = Rules({"meta.b": "B"}, {"meta.a": "sum", "meta.c": "first", "meta.d": "max", "meta.wcsinfo.x": "sum"}, ("meta.wcs",))
    headers = [{"meta.a": 1, "meta.c": 5, "meta.e": "x", "meta.wcsinfo.x": 1, "spec.0": 3}, {"meta.a": 2, "meta.c": 6, "meta.b": 4}]
    assert blended(headers, rules) == {"meta.a": 3, "meta.c": 5, "meta.e": "x", "meta.d": None}
    table = header_table(headers, rules)
    assert table.dtype.names == ("B",) and np.isnan(table["B"][0]) and table["B"][1] == 4


def test_rules_are_read_once_per_class(models):
    assert rules_of(models[0]) is rules_of(models[1])
