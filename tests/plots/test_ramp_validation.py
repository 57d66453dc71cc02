"""Validation of stage 1: figures of products that are made to measure, and the report of a run on simulated ramps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from jwst_dask import simulate
from jwst_dask.plots import ramps, recovery
from jwst_dask.plots.report import make_report
from jwst_dask.simulate import RampTruth
from jwst_dask.simulate.truth import NAME

SHAPE, NINTS = (60, 50), 20
HITS = [("integration", "i4"), ("group", "i2"), ("y", "i2"), ("x", "i2"), ("electrons", "f4"), ("sigma", "f4")]


@pytest.fixture
def truth(tmp_path: Path) -> RampTruth:
    """Of one exposure: light that grows with the column, 40 cosmic rays, a pixel that filled up."""
    r = np.random.default_rng(1)
    star = np.tile(np.geomspace(1, 1000, SHAPE[1]), (SHAPE[0], 1))
    hits = np.zeros(40, HITS)
    cells = r.permutation(30 * 25 * NINTS)[:40]  # no two beside each other
    hits["integration"], hits["y"], hits["x"] = cells // 750, cells % 750 // 25 * 2, cells % 25 * 2
    hits["group"], hits["sigma"] = np.where(np.arange(40) < 4, 0, 3), np.where(np.arange(40) % 2, 20.0, 4.5)
    filled = np.array([(0, 2, 31, 31)], dtype=HITS[:4])
    unlit = np.zeros((1, *SHAPE), bool)
    unlit[0, :, :4] = True
    return RampTruth(str(tmp_path), np.array(["a-seg001_nrs1_uncal.fits"]), np.array([0]), np.array([0]), np.array([NINTS]), 1 - 0.01 * np.arange(NINTS),
                     star[None].astype("f4"), np.zeros((1, 1, 1), "f4"), unlit, 1.0, 6, np.array([0, 6]), hits, np.array([0, 40]), filled,
                     np.array([0, 1]))  # fmt: skip


def products(folder: Path, truth: RampTruth, shift: float = 0.0, width: float = 1.0, missed: int = 0, extra: int = 0) -> None:
    """Count rates whose errors are as asked for, and their mean."""
    r = np.random.default_rng(2)
    slopes = np.stack([truth.slopes(0, k) for k in range(NINTS)])
    err = np.sqrt(1 + slopes / 10)
    sci = slopes + err * (shift + width * r.standard_normal(slopes.shape))
    dq = np.zeros(slopes.shape, "u4")
    dq[:, 0] = 1
    sci[:, 0] = np.nan
    hits = truth.hits[missed:]
    dq[hits["integration"], hits["y"], hits["x"]] |= 4
    dq[:extra, 59, 49] |= 4
    mean = err.mean(axis=0) / np.sqrt(NINTS)
    for kind, planes in (("rateints", (sci, err, dq)), ("rate", (sci.mean(axis=0), mean, np.bitwise_or.reduce(dq)))):
        parts = [fits.ImageHDU(plane.astype(plane.dtype if name == "DQ" else "f4"), name=name) for name, plane in zip(("SCI", "ERR", "DQ"), planes)]
        fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(folder / f"a-seg001_nrs1_{kind}.fits", overwrite=True)


def test_figures_are_those_put_in(tmp_path: Path, truth: RampTruth) -> None:
    products(tmp_path, truth, shift=0.3, width=1.2, missed=8, extra=5)
    found = ramps.validate(tmp_path, truth)
    assert found.files == 1 and found.pulls.count == NINTS * 59 * 46
    assert found.pulls.median == pytest.approx(0.3, abs=0.03) and found.pulls.width == pytest.approx(1.2, abs=0.03)
    assert found.mean_pulls.median == pytest.approx(0.3 * np.sqrt(NINTS), abs=0.1)
    jumps = found.jumps
    own = truth.hits[(truth.hits["group"] > 0) & (truth.hits["y"] > 0) & (truth.hits["x"] > 3)]
    own = own[(abs(own["y"] - 31) > 1) | (abs(own["x"] - 31) > 1)]
    assert jumps.injected.sum() == len(own) and jumps.sure()[0] == (own["sigma"] > 10).sum()
    late = np.isin(own, truth.hits[8:])
    assert jumps.found.sum() == late.sum() and jumps.sure()[1] == (late & (own["sigma"] > 10)).sum()
    assert jumps.unexplained == 5
    assert jumps.pixels == NINTS * (59 * 46 - 9)


def test_pulls_that_are_right_look_right(tmp_path: Path, truth: RampTruth) -> None:
    products(tmp_path, truth)
    found = ramps.validate(tmp_path, truth)
    assert abs(found.pulls.median) < 0.02 and found.pulls.width == pytest.approx(1, abs=0.02)
    assert found.level() == pytest.approx(1, abs=0.01) and "100.0 %" in found.line()
    figures = ramps.figures(found)
    assert set(figures) == {"pulls", "brightness", "jumps"}
    lines = figures["pulls"].axes[0].get_lines()
    x, density = (np.asarray(part, float) for part in lines[0].get_data())
    assert x[np.argmax(density)] == pytest.approx(0, abs=0.5) and density.sum() * (x[1] - x[0]) == pytest.approx(1, abs=0.01)
    slope, off = (np.asarray(part, float) for part in figures["brightness"].axes[0].get_lines()[0].get_data())
    assert slope[-1] > 500 and abs(off[-1]) < 2


def test_groups_of_ramps_decide(tmp_path: Path, truth: RampTruth) -> None:
    products(tmp_path, truth)
    flags = np.zeros((NINTS, 6, *SHAPE), "u1")
    hits = truth.hits
    flags[hits["integration"], np.where(hits["sigma"] > 10, hits["group"], 5), hits["y"], hits["x"]] = 4  # the small ones a few groups late
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(flags, name="GROUPDQ")]).writeto(tmp_path / "a-seg001_nrs1_ramp.fits")
    jumps = ramps.validate(tmp_path, truth).jumps
    injected, found = jumps.sure()
    assert injected == found > 5 and jumps.found.sum() == found < jumps.injected.sum()


def test_long_series_are_sampled(tmp_path: Path, truth: RampTruth, monkeypatch: pytest.MonkeyPatch) -> None:
    products(tmp_path, truth)
    monkeypatch.setattr(recovery, "MOST_PIXELS", 5 * SHAPE[0] * SHAPE[1])
    assert ramps.validate(tmp_path, truth).pulls.count == 5 * 59 * 46


def test_nothing_without_truth_or_products(tmp_path: Path, truth: RampTruth) -> None:
    assert ramps.section(tmp_path, truth) == "" and ramps.truth_of(tmp_path / NAME) is None
    np.savez(tmp_path / NAME, depth=0.01)
    assert ramps.truth_of(tmp_path / NAME) is None
    empty = ramps.validate(tmp_path, replace(truth, exposures=np.array(["b_uncal.fits"])))
    assert empty.files == 0 and np.isnan(empty.pulls.median) and np.isnan(empty.level()) and "none" in empty.line()
    assert set(ramps.figures(empty)) == {"pulls"}


def test_report_of_simulated_ramps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jwst_dask.core.run import run

    made = simulate.make("lrs_slitless", tmp_path / "inputs", uncal=True, nsegments=1, nints=4, shape=(96, 72))
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    inputs = [str(tmp_path / "inputs" / str(name)) for name in made.exposures]
    result = run(inputs, "calwebb_detector1", output_dir=tmp_path / "products", scheduler="synchronous")
    assert not result.failures
    truth = RampTruth.load(tmp_path / "inputs")
    assert truth is not None
    found = ramps.validate(tmp_path / "products", truth)
    assert abs(found.pulls.median) < 0.1 and 1.0 < found.pulls.width < 1.25
    injected, hit = found.jumps.sure()
    assert injected > 10 and hit > 0.9 * injected
    html = make_report(tmp_path / "products").read_text()
    assert 'id="ramps"' in html and html.count("data:image/svg") >= 3 and "Cosmic rays beyond 10" in html
