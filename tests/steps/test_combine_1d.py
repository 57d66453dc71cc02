"""combine_1d on files and models; the numbers of the combination itself are tested with its kernel."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.kernels.combine import COMBINED
from jwst_dask.steps.stage3.combine_1d import Combine1dStep

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels"))
from combine_cases import CASES, tables

GOLDEN = np.load(Path(__file__).parents[1] / "parity" / "combine_1d.npz")


def product(spectra, time=100.0, orders=None, name="jw1_x1d.fits"):
    model = datamodels.MultiSpecModel()
    model.meta.exposure.exposure_time, model.meta.exposure.integration_time = time, time / 4
    model.meta.target.ra, model.meta.target.dec, model.meta.filename = 10.0, 20.0, name
    for number, table in enumerate(spectra):
        spec = datamodels.SpecModel()
        rows = np.zeros(len(table), dtype=spec.get_dtype("spec_table"))
        for column in table.dtype.names:
            rows[column] = table[column]
        spec.spec_table = rows
        spec.spec_table.columns["FLUX"].unit, spec.spec_table.columns["SURF_BRIGHT"].unit = "Jy", "MJy/sr"
        spec.spectral_order, spec.source_id, spec.source_type = (orders or [1] * len(spectra))[number], 7 + number, "POINT"
        model.spec.append(spec)
    return model


@pytest.mark.parametrize("case", ["near", "clipped"])
def test_files_of_several_exposures(case, tmp_path):
    paths = []
    for number, (table, time) in enumerate(tables(case)):
        paths.append(tmp_path / f"jw0{number}_x1d.fits")
        product([table], time).save(paths[-1])
    result, name = Combine1dStep.make(sigma_clip=CASES[case][3]).from_files(paths)
    assert name == "jw00_c1d.fits" and type(result) is datamodels.MultiCombinedSpecModel
    table = result.spec[0].spec_table
    for column in COMBINED.names:
        np.testing.assert_allclose(table[column], GOLDEN[case][column], rtol=1e-13, err_msg=column)
    assert [c.unit for c in table.columns] == ["um", "Jy", "Jy", "MJy/sr", "MJy/sr", None, None, None]
    assert (result.spec[0].source_id, result.spec[0].source_type, result.meta.cal_step.combine_1d) == (7, "POINT", "COMPLETE")
    assert result.meta.wcs(0.0)[:2] == (10.0, 20.0)
    result.save(tmp_path / name)
    with datamodels.open(tmp_path / name) as again:
        again.validate()
        assert type(again) is datamodels.MultiCombinedSpecModel


def test_association(tmp_path):
    members = []
    for number, (table, time) in enumerate(tables("same")):
        product([table], time).save(tmp_path / f"m{number}_x1d.fits")
        members.append({"expname": f"m{number}_x1d.fits", "exptype": "science"})
    asn = {"asn_type": "spec3", "asn_id": "a3001", "asn_pool": "pool", "products": [{"name": "target", "members": members}]}
    (tmp_path / "a_asn.json").write_text(json.dumps(asn))
    result, name = Combine1dStep.make().from_files(tmp_path / "a_asn.json")
    assert name == "target_c1d.fits" and result.meta.asn.table_name == "a_asn.json" and result.meta.asn.pool_name == "pool"
    np.testing.assert_allclose(result.spec[0].spec_table["FLUX"], GOLDEN["same"]["FLUX"], rtol=1e-13)


def test_orders_are_combined_apart():
    spectra = [table for table, _ in tables("near")]
    result = Combine1dStep.make().combine([product(spectra, orders=[1, 2, 2, 1])])
    apart = Combine1dStep.make().combine([product([spectra[1], spectra[2]])])
    assert [spec.spectral_order for spec in result.spec] == [1, 2] and [spec.source_id for spec in result.spec] == [7, 8]
    assert np.array_equal(np.asarray(result.spec[1].spec_table), np.asarray(apart.spec[0].spec_table))


def test_integrations_of_a_time_series():
    spectra = [table for table, _ in tables("same")]
    model, spec = datamodels.TSOMultiSpecModel(), datamodels.TSOSpecModel()
    from jwst_dask.steps.stage2.extract_1d.table import row_dtype

    rows = np.zeros(3, dtype=row_dtype(45, cube=True))
    for row, table in zip(rows, spectra, strict=True):
        row["N_ALONGDISP"] = len(table)
        for name in table.dtype.names:
            row[name][: len(table)] = table[name]
    spec.spec_table, spec.spectral_order = rows, 1
    model.spec.append(spec)
    model.meta.target.ra, model.meta.target.dec = 10.0, 20.0
    result = Combine1dStep.make(exptime_key="unit_weight").combine([model])
    expected = Combine1dStep.make(exptime_key="unit_weight").combine([product(spectra)])
    assert np.array_equal(np.asarray(result.spec[0].spec_table), np.asarray(expected.spec[0].spec_table))


def test_weights():
    for given, key in (("EFFINTTM", "integration_time"), ("exposure_time", "exposure_time"), ("Unit Weight", "unit_weight"), ("seconds", "unit_weight")):
        assert Combine1dStep.make(exptime_key=given).weighting() == key
    spectra = [table for table, _ in tables("one")]
    weights = [Combine1dStep.make(exptime_key=k).combine([product(spectra)]).spec[0].spec_table["WEIGHT"][0] for k in ("effinttm", "effexptm", "unit_weight")]
    assert weights == [25.0, 100.0, 1.0]


def test_what_cannot_be_combined(tmp_path):
    step = Combine1dStep.make()
    with pytest.raises(InputError, match="holds no 1-D spectra"):
        step.combine([datamodels.ImageModel((4, 4))])
    bad = next(tables("one"))[0]
    bad["FLUX"] = np.nan
    with pytest.raises(InputError, match="no spectrum has valid flux"):
        step.combine([product([bad])])
    timeless = product([next(tables("one"))[0]])
    timeless.meta.exposure.exposure_time = None
    with pytest.raises(InputError, match="set exptime_key to unit_weight"):
        step.combine([timeless])
    (tmp_path / "x.fits").write_text("no")
    with pytest.raises(InputError, match="cannot be read"):
        step.from_files(tmp_path / "x.fits")
    with pytest.raises(InputError, match="nothing"):
        step.from_files([])
    with pytest.raises(ParameterError, match="outside"):
        Combine1dStep.make(sigma_clip=-1)
