"""Ramps as lazy datasets: opened, taken through steps one by one, and through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import jwst_dask as jd
from jwst_dask import simulate
from jwst_dask.core.errors import InputError
from jwst_dask.core.run import run
from jwst_dask.data import schema

RATES = ("sci", "err", "dq", "var_poisson", "var_rnoise")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ramps")
    simulate.make("bots_prism", folder, nsegments=2, nints=6, shape=(32, 512), uncal=True)
    return folder


@pytest.fixture(autouse=True)
def crds(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in simulate.environment(raw).items():
        monkeypatch.setenv(name, value)


def first(raw: Path) -> Path:
    return min(raw.glob("*seg001*_uncal.fits"))


def test_raw_exposures_open_lazily(raw: Path) -> None:
    from astropy.io import fits

    both = jd.open(sorted(map(str, raw.glob("*_uncal.fits"))))
    assert dict(both.sizes) == {"integration": 12, "group": both.sizes["group"], "y": 32, "x": 512}
    assert schema.check(both) == [] and both.sci.dtype == np.float32
    np.testing.assert_array_equal(both.sci[2, 1].values, fits.getdata(first(raw), "SCI")[2, 1])


def test_steps_one_by_one_and_lazily(raw: Path) -> None:
    from astropy.io import fits

    data = jd.open(str(first(raw)))
    found = jd.steps.saturation(jd.steps.dq_init(data.chunk(integration=2)))
    assert found.groupdq.chunks[0] == (2, 2, 2)
    assert schema.check(found, "ramp") == []
    np.testing.assert_array_equal(found.sci.values, fits.getdata(first(raw), "SCI"))  # neither changes them
    part = jd.steps.saturation(jd.steps.dq_init(data.isel(integration=slice(2, 4))))
    np.testing.assert_array_equal(part.groupdq.values, found.groupdq[2:4].values)


def test_the_lazy_pipeline_gives_what_a_run_writes(raw: Path, tmp_path: Path) -> None:
    lazy = jd.Detector1Pipeline.call(jd.open(str(first(raw))))
    run([str(first(raw))], "calwebb_detector1", output_dir=tmp_path)
    for suffix in ("rate", "rateints"):
        written = jd.open(str(next(tmp_path.glob(f"*_{suffix}.fits"))))
        for name in RATES:
            np.testing.assert_array_equal(lazy[suffix][name].values, written[name].values, err_msg=f"{suffix} {name}")


def test_part_of_an_exposure_cannot_be_fitted(raw: Path) -> None:
    part = jd.open(str(first(raw))).isel(integration=slice(0, 3))
    with pytest.raises(InputError, match="all 6 integrations"):
        jd.steps.jump(part)


def test_segments_go_one_at_a_time(raw: Path) -> None:
    with pytest.raises(InputError, match="one segment at a time"):
        jd.steps.dq_init(jd.open(sorted(map(str, raw.glob("*_uncal.fits")))))
