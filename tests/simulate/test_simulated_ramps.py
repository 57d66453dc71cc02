"""Simulated ramps: stage 1 gives back what went in, the same seed the same bytes, and the files are what the reference implementation writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from by_hand import calibrate, observe
from stdatamodels.jwst import datamodels

from jwst_dask import simulate
from jwst_dask.core.errors import ParameterError
from jwst_dask.simulate import RampTruth

CASES = {"PRISM NRS1": (32, 256), "G395H NRS2": (32, 2048), "MIRI": (416, 72)}


@pytest.mark.parametrize("mode", CASES)
def test_slopes_come_back_without_noise(mode: str, tmp_path: Path) -> None:
    truth = observe(mode, tmp_path, CASES[mode], nints=2, nsegments=2 if mode.startswith("PRISM") else 1, noise=0)
    assert not len(truth.hits)
    for number, name in enumerate(truth.exposures):
        result, nints = calibrate(tmp_path, str(name)), int(truth.nints[number])
        slopes = np.stack([truth.slopes(number, k) for k in range(nints)])
        off = result.arrays["sci"] - slopes
        good = result.good & ~truth.unlit[truth.image[number]] & ~((result.groupdq & 2) != 0).any(axis=1)
        assert good.mean() > 0.9
        # counts are whole numbers: their rounding is what a line through the groups feels
        n, time = truth.ngroups, truth.group_time
        rounding = np.sqrt(1 / n / (n + 1) / (n - 1)) / time
        assert np.median(np.abs(off[good])) < rounding
        assert np.all(np.abs(off[good]) < 1e-3 * slopes[good] + 6 * rounding)
        bright = good & (slopes > max(300 * rounding, 0.3 * slopes.max()))
        assert np.abs(off[bright] / slopes[bright]).max() < 1e-3


@pytest.mark.parametrize(("mode", "nints"), [("PRISM NRS1", 24), ("MIRI", 3)])
def test_pulls_and_jumps_with_noise(mode: str, nints: int, tmp_path: Path) -> None:
    truth = observe(mode, tmp_path, CASES[mode], nints, seed=2)
    result = calibrate(tmp_path, str(truth.exposures[0]))
    slopes = np.stack([truth.slopes(0, k) for k in range(nints)])
    good = result.good & ~truth.unlit[0]
    pulls = ((result.arrays["sci"] - slopes) / result.arrays["err"])[good]
    low, median, high = np.percentile(pulls, (15.87, 50, 84.13))
    assert abs(median) < 0.1 and 1.0 < (high - low) / 2 < 1.25
    hits = truth.hits_of(0)
    hits = hits[(hits["sigma"] > 10) & (hits["group"] > 0)]
    flags = result.groupdq[hits["integration"], hits["group"], hits["y"], hits["x"]]
    usable = (flags & 3) == 0
    assert usable.sum() > 5 and ((flags[usable] & 4) != 0).mean() > 0.9


def test_brightest_pixels_fill_up(tmp_path: Path) -> None:
    truth = observe("MIRI", tmp_path, CASES["MIRI"], nints=1, noise=0)
    filled = truth.filled_of(0)
    result = calibrate(tmp_path, str(truth.exposures[0]))
    lit = filled[~truth.unlit[0][filled["y"], filled["x"]]]
    saturated = result.groupdq[0] & 2
    assert len(lit) > 10 and (saturated[lit["group"], lit["y"], lit["x"]] != 0).all()
    assert not saturated[:3].any()


def test_files_open_as_raw_ramps(tmp_path: Path) -> None:
    truth = observe("PRISM NRS1", tmp_path, (32, 256), nints=4, nsegments=2)
    with datamodels.open(tmp_path / str(truth.exposures[1])) as model:
        assert type(model).__name__ == "Level1bModel"
        model.validate()
        assert model.data.shape == (4, 5, 32, 256) and model.data.dtype == np.uint16
        assert (model.meta.exposure.integration_start, model.meta.exposure.integration_end, model.meta.exposure.nints) == (5, 8, 8)
        assert model.meta.exposure.readpatt == "NRSRAPID" and model.meta.exposure.zero_frame is False
        assert not model.hasattr("meta.cal_step") and model.meta.bunit_data == "DN"
        np.testing.assert_array_equal(model.int_times["integration_number"], [5, 6, 7, 8])
        assert model.data.min() > 5000 and (np.diff(model.data[:, :, 16, 128].astype(int), axis=1) > 0).all()


def test_seed_decides_every_byte(tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        return {str(p.relative_to(folder)): hashlib.sha1(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}

    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        simulate.make("lrs_slitless", tmp_path / name, uncal=True, shape=(40, 72), nsegments=1, nints=2, seed=seed)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert {name for name in a if a[name] != c[name]} == {"truth.npz", *(name for name in a if name.endswith("_uncal.fits"))}


def test_segments_do_not_show(tmp_path: Path) -> None:
    series, truths = [], []
    for nsegments in (1, 2):
        folder = tmp_path / str(nsegments)
        truths.append(observe("PRISM NRS1", folder, (32, 128), 8 // nsegments, nsegments))
        cubes = []
        for name in truths[-1].exposures:
            with datamodels.open(folder / str(name)) as model:
                cubes.append(np.asarray(model.data))
        series.append(np.concatenate(cubes))
    one, two = truths
    np.testing.assert_array_equal(*series)
    np.testing.assert_array_equal(one.hits["electrons"], two.hits["electrons"])
    np.testing.assert_allclose(one.slopes(0, 5), two.slopes(1, 1))


def test_truths_live_in_one_file(tmp_path: Path) -> None:
    options = {"shape": (32, 72), "nsegments": 2, "nints": 1}
    truth = simulate.make("lrs_slitless", tmp_path, uncal=True, **options)
    assert simulate.Truth.load(tmp_path).depth == truth.depth
    member = json.loads((tmp_path / truth.level2[0]).read_text())["products"][0]["members"][0]
    assert member["expname"] == "jw09902001001_04101_00001-seg001_mirimage_rateints.fits"
    ramps = RampTruth.load(tmp_path)
    assert ramps is not None and ramps.number(str(truth.exposures[1]).replace("_uncal", "_rateints")) == 1 and ramps.number("x_rate.fits") is None
    simulate.make("lrs_slitless", tmp_path / "rates", **options)
    assert RampTruth.load(tmp_path / "rates") is None
    with pytest.raises(ParameterError, match="choose one"):
        simulate.make("lrs_slitless", tmp_path, uncal=True, rate=True)


@pytest.mark.slow
def test_full_frames_through_slits(tmp_path: Path) -> None:
    simulate.make("mos_prism", tmp_path, uncal=True, nods=1, nsources=2, nextended=1, nbackground=1)
    truth = RampTruth.load(tmp_path)
    assert truth is not None
    result = calibrate(tmp_path, str(truth.exposures[0]))
    good = ((result.arrays["rate_dq"] & 1) == 0) & ~truth.unlit[0]
    low, median, high = np.percentile(((result.arrays["rate_sci"] - truth.slopes(0)) / result.arrays["rate_err"])[good], (15.87, 50, 84.13))
    assert abs(median) < 0.1 and 1.0 < (high - low) / 2 < 1.25
