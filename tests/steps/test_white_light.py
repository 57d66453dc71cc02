"""white_light against catalogues of the reference implementation (tests/parity/make_white_light.py)."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block
from jwst_dask.steps.stage3.white_light import Part, WhiteLightStep, parts_of

GOLDEN = json.loads((Path(__file__).parent.parent / "parity" / "white_light.json").read_text())
META = {"instrument.name": "NIRSPEC", "exposure.type": "NRS_BRIGHTOBJ", "subarray.name": "SUB2048", "instrument.filter": "F290LP",
        "target.catalog_name": "A STAR"}  # fmt: skip
RANGES = [[1, "F290LP", 1.2, 1.7], [2, "F290LP", 1.1, 1.4], [1, "CLEAR", 0.8, 2.8]]
SPECTRA = {
    "one": [(1, "MIRIMAGE", 4, 11, 60000.0), (1, "MIRIMAGE", 3, 11, 60000.4)],
    "detectors": [(1, "NRS1", 4, 11, 60000.0), (1, "NRS2", 4, 15, 60000.0003), (1, "NRS1", 3, 11, 60000.4), (1, "NRS2", 2, 15, 60000.4003)],
    "orders": [(1, "NIS", 5, 20, 60000.0), (2, "NIS", 5, 20, 60000.0)],
    "gaps": [(1, "NIS", 6, 20, 60000.0), (2, "NIS", 6, 20, 60000.0)],
}
CASES = {
    "one": {},
    "one_limits": {"min_wavelength": 1.3, "max_wavelength": "1.8"},
    "one_minimum": {"min_wavelength": 1.5},
    "detectors": {},
    "orders": {},
    "orders_maximum": {"max_wavelength": 1.9},
    "gaps": {},
}


def rows_of(name: str) -> list[np.ndarray]:
    """Spectral rows of each spectrum of a set, as in the script that made the catalogues."""
    out = []
    for order, _, nints, nwave, start in SPECTRA[name]:
        t = np.arange(nints)
        rows = np.zeros(nints, [("WAVELENGTH", "f8", nwave), ("FLUX", "f8", nwave), ("MJD-AVG", "f8"), ("TDB-MID", "f8")])
        rows["WAVELENGTH"] = np.linspace(1.0, 2.0, nwave)
        rows["FLUX"] = 10 * order + np.sin(np.arange(nwave) * 1.7 + t[:, None] * 0.3)
        rows["FLUX"][t % 3 == 1, 4] = np.nan
        rows["WAVELENGTH"][:, -1] = np.nan
        mjd, rows["TDB-MID"] = start + 0.1 * t, start + 0.1 * t + 0.003
        if name == "gaps":
            mjd[1], mjd[4 if order == 1 else 2] = np.nan, mjd[3]
            rows["FLUX"][0] = np.nan
        rows["MJD-AVG"] = mjd
        out.append(rows)
    return out


def draft_of(name: str, exp_type: str = "NRS_BRIGHTOBJ") -> SimpleNamespace:
    spectra = SimpleNamespace(spec=[SimpleNamespace(spectral_order=s[0], detector=s[1]) for s in SPECTRA[name]])
    meta = SimpleNamespace(exposure=SimpleNamespace(type=exp_type), instrument=SimpleNamespace(filter="F290LP"))
    return SimpleNamespace(spectra=spectra, model=SimpleNamespace(meta=meta))


def sums(step, state, rows, edges=()):
    tables = []
    for start, stop in zip((0, *edges), (*edges, len(rows))):
        block = Block(arrays={}, start=start, tables={"EXTRACT1D": rows[start:stop]})
        tables.append(step.run(block, state).tables)
    return tuple(np.concatenate([table[key] for table in tables]) for key in ("white_light", "white_light_times"))


@pytest.fixture(scope="module")
def ranges(tmp_path_factory):
    from stdatamodels.jwst import datamodels

    path = tmp_path_factory.mktemp("refs") / "wavelengthrange.asdf"
    model = datamodels.WavelengthrangeModel(wrange=RANGES)
    for key, value in {"instrument.name": "NIRISS", "description": "test", "author": "test", "pedigree": "DUMMY",
                       "useafter": "2022-01-01T00:00:00"}.items():  # fmt: skip
        model[f"meta.{key}"] = value
    model.save(path)
    return str(path)


@pytest.mark.parametrize("case", CASES)
def test_catalogue_of_the_reference(case, ranges):
    name = case.split("_")[0]
    step = WhiteLightStep.make(**CASES[case])
    draft = draft_of(name, "NIS_SOSS" if name == "orders" else "NRS_BRIGHTOBJ")
    state = step.prepare(draft, lambda reftype: ranges)
    parts = []
    for spectrum, rows in zip(draft.spectra.spec, rows_of(name)):
        parts.append(parts_of(SimpleNamespace(spec=[spectrum]), *sums(step, state, rows, (1, 2))))
    text = io.StringIO()
    step.write(step.finish(parts, META), text)
    assert text.getvalue() == GOLDEN[case]


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 3)))
def test_cuts_change_nothing(edges):
    step, rows = WhiteLightStep.make(min_wavelength=1.2), rows_of("one")[0]
    state = {"low": np.float64(1.2), "high": np.float64(1e10)}
    for whole, cut in zip(sums(step, state, rows), sums(step, state, rows, sorted(edges))):
        np.testing.assert_array_equal(whole, cut)


def test_segments_out_of_order_come_out_in_time_order():
    parts = [Part(np.array([3.0, 4.0]), np.array([30.0, 40.0]), np.array([31.0, 41.0]), 1, "NIS"),
             Part(np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([11.0, 21.0]), 1, "NIS")]  # fmt: skip
    table = WhiteLightStep.make().finish(parts, META)
    np.testing.assert_array_equal(table["MJD_UTC"], [10, 20, 30, 40])
    np.testing.assert_array_equal(table["whitelight_flux"].value, [1, 2, 3, 4])


def test_without_reference_or_spectra(ranges):
    step = WhiteLightStep.make()
    assert step.prepare(draft_of("orders", "NIS_SOSS"), lambda reftype: "N/A") == {"low": -1.0, "high": 1e10}
    assert isinstance(step.prepare(SimpleNamespace(spectra=None), None), Skip)
    wrong = draft_of("orders", "NIS_SOSS")
    wrong.spectra.spec[1].spectral_order = 3
    with pytest.raises(ReferenceError_, match="0 ranges for order 3 and filter F290LP"):
        step.prepare(wrong, lambda reftype: ranges)
    with pytest.raises(InputError):
        step.finish([], META)
