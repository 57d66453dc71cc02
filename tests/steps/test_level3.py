"""Assembly of the level-3 spectra from templates of segments."""

from __future__ import annotations

import time

import numpy as np
import pytest

from jwst_dask.core.errors import InputError
from jwst_dask.data.exposure import Draft
from jwst_dask.steps.stage3.level3 import combine, place_times, summary

NINTS, SEGMENTS = 12, 3
ASSOCIATION = {"asn_pool": "pool.csv", "asn_id": "o001"}


def draft_of(segment: int, *, spectra: bool = True, footprint: str | None = "POLYGON ICRS 1 1 2 2", replaced: str = "SKIPPED") -> Draft:
    from stdatamodels.jwst import datamodels

    model, n = datamodels.SlitModel(data=np.zeros((1, 3, 4), "f4")), NINTS // SEGMENTS
    first = segment * n + 1
    template = datamodels.TSOMultiSpecModel()
    for each in (model, template):
        each.meta.instrument.name, each.meta.instrument.detector, each.meta.exposure.type = "NIRSPEC", "NRS1", "NRS_BRIGHTOBJ"
        each.meta.exposure.nints = NINTS
        each.meta.exposure.integration_start, each.meta.exposure.integration_end = first, first + n - 1
        each.meta.exposure.duration = 10.0
        each.meta.target.catalog_name, each.meta.target.source_type = "STAR", "POINT"
        each.meta.filename = "other.fits"
        each.meta.cal_step.pixel_replace = replaced
    if footprint:
        model.meta.wcsinfo.s_region = footprint
    times = np.zeros(n, model.get_dtype("int_times"))
    times["integration_number"] = np.arange(first, first + n)
    times["int_mid_MJD_UTC"] = 60000 + np.arange(first, first + n)
    model.int_times = times
    spec = datamodels.TSOSpecModel()
    spec.spec_table = np.zeros(1, [(name, kind) for name, kind, *_ in spec.get_dtype("spec_table").descr])
    spec.name = f"segment {segment + 1}"
    template.spec.append(spec)
    return Draft(model=model, path=f"/data/seg{segment + 1}_calints.fits", nints=n, spectra=template if spectra else None)


def test_combination_of_segments():
    model = combine([draft_of(i, replaced="COMPLETE" if i == 1 else "SKIPPED") for i in range(SEGMENTS)], ASSOCIATION, "x_tso3_asn.json")
    assert type(model).__name__ == "TSOMultiSpecModel"
    assert [spec.name for spec in model.spec] == ["segment 1", "segment 2", "segment 3"]
    np.testing.assert_array_equal(model.int_times["integration_number"], np.arange(1, NINTS + 1))
    np.testing.assert_array_equal(model.int_times["int_mid_MJD_UTC"], 60000 + np.arange(1, NINTS + 1))
    assert (model.meta.exposure.integration_start, model.meta.exposure.integration_end, model.meta.exposure.duration) == (1, NINTS, 30.0)
    assert model.meta.target.catalog_name == "STAR"
    assert (model.meta.asn.pool_name, model.meta.asn.table_name) == ("pool.csv", "x_tso3_asn.json")
    assert (model.meta.cal_step.pixel_replace, model.meta.cal_step.adaptive_trace_model) == ("COMPLETE", "SKIPPED")
    assert [spec.s_region for spec in model.spec] == ["POLYGON ICRS 1 1 2 2", None, None]
    assert list(model.hdrtab["FILENAME"]) == [f"seg{i}_calints.fits" for i in (1, 2, 3)]
    assert list(model.hdrtab["ASNTABLE"]) == ["x_tso3_asn.json"] * 3
    assert list(model.hdrtab["INTSTART"]) == [1, 5, 9]


def test_product_opens_and_validates(tmp_path):
    from stdatamodels.jwst import datamodels

    combine([draft_of(i) for i in range(SEGMENTS)], ASSOCIATION, "x_tso3_asn.json").save(tmp_path / "x1dints.fits")
    with datamodels.open(tmp_path / "x1dints.fits") as model:
        assert type(model).__name__ == "TSOMultiSpecModel" and len(model.spec) == SEGMENTS
        assert len(model.int_times) == NINTS
        model.validate()


def test_segments_without_spectra_or_footprint():
    model = combine([draft_of(0, footprint=None), draft_of(1, spectra=False), draft_of(2)], ASSOCIATION, "x.json")
    assert [spec.name for spec in model.spec] == ["segment 1", "segment 3"]
    assert model.spec[0].s_region == "POLYGON ICRS 1 1 2 2"  # of the first that has one
    np.testing.assert_array_equal(model.int_times["integration_number"], np.arange(1, NINTS + 1))
    assert combine([draft_of(0, spectra=False)], ASSOCIATION, "x.json") is None


def test_a_missing_segment_leaves_its_rows_empty():
    times = place_times([draft_of(0), draft_of(2)])
    np.testing.assert_array_equal(times["integration_number"], [1, 2, 3, 4, 0, 0, 0, 0, 9, 10, 11, 12])


def test_integrations_beyond_the_exposure():
    wrong = draft_of(2)
    wrong.model.int_times["integration_number"] += 4
    with pytest.raises(InputError, match="seg3_calints.fits.*13 to 16.*NINTS = 12"):
        place_times([draft_of(0), wrong])


def test_summary():
    assert summary(["SKIPPED", "FAILED", "COMPLETE"]) == "COMPLETE"
    assert summary([None, "FAILED"]) == "FAILED"
    assert summary([None, "SKIPPED"]) == "SKIPPED"


def test_many_segments_are_fast():
    drafts = [draft_of(i % SEGMENTS) for i in range(SEGMENTS)] * 34
    began = time.perf_counter()
    combine(drafts, ASSOCIATION, "x.json")
    assert time.perf_counter() - began < 6  # 102 segments; well under 2 s on an idle machine
