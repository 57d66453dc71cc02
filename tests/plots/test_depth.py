"""Transit depth by least squares: analytic truth and plain numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.plots.depth import curves, fit_depth, injected, linear_depth, plot_fit


def box(count: int, ingress: float = 0.08) -> np.ndarray:
    time = np.linspace(-1, 1, count)
    return np.clip((0.5 + ingress - np.abs(time - 0.1)) / (2 * ingress), 0, 1)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-5, 0.3), st.floats(-0.05, 0.05), st.floats(1e-6, 1e6), st.integers(12, 200))
def test_noiseless_depth_is_exact_whatever_level_and_slope(depth: float, slope: float, level: float, count: int) -> None:
    shape = box(count)
    flux = level * (1 + slope * np.linspace(-1, 1, count)) * (1 - depth * shape)
    fit = linear_depth(flux, shape)
    assert fit.depth == pytest.approx(depth, abs=1e-9)
    assert fit.error < 1e-7
    np.testing.assert_allclose(fit.model, flux, rtol=1e-7)


def test_the_error_is_the_scatter_of_many_noisy_fits() -> None:
    rng, shape = np.random.default_rng(0), box(120)
    fits = [linear_depth((1 - 0.01 * shape) * (1 + 2e-4 * rng.normal(size=120)), shape) for _ in range(400)]
    depths = np.array([fit.depth for fit in fits])
    assert depths.mean() == pytest.approx(0.01, abs=4 * depths.std() / 20)
    assert np.median([fit.error for fit in fits]) == pytest.approx(depths.std(), rel=0.12)
    assert np.median([fit.scatter for fit in fits]) == pytest.approx(2e-4, rel=0.05)


def test_level_baseline_is_ordinary_least_squares() -> None:
    rng, shape = np.random.default_rng(2), box(50)
    flux = 3 * (1 - 0.02 * shape) + 1e-3 * rng.normal(size=50)
    line = np.polyfit(shape, flux, 1)
    fit = linear_depth(flux, shape, order=0)
    assert fit.depth == pytest.approx(-line[0] / line[1], rel=1e-10)


def test_missing_samples_and_weights() -> None:
    shape = box(60)
    flux = 2 * (1 - 0.01 * shape)
    flux[[3, 30]] = np.nan
    flux[10] = 5.0  # wrong by much, and said to be so
    error = np.where(np.arange(60) == 10, 1e9, 1e-3)
    fit = linear_depth(flux, shape, error)
    assert fit.used == 58 and fit.depth == pytest.approx(0.01, abs=1e-8)


@pytest.mark.parametrize("shape", [np.zeros(20), np.ones(20), np.r_[np.full(18, np.nan), 0, 1]])
def test_no_transit_no_depth(shape: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no depth"):
        linear_depth(np.ones(20), shape)


def catalogue(flux: dict[str, np.ndarray], start: float = 60000.0) -> QTable:
    table = QTable()
    for tail, values in flux.items():
        time = start + np.arange(len(values)) / 1440
        table[f"MJD_UTC{tail}"], table[f"BJD_TDB{tail}"], table[f"whitelight_flux{tail}"] = time, time + 0.003, values * u.Jy
    return table


def test_catalogue_against_what_a_simulation_injected(tmp_path: Path) -> None:
    shape, rng = box(80), np.random.default_rng(5)
    time = 60000 + np.arange(80) / 1440
    # limb darkening: dimming at mid-transit is not the ratio of areas
    light = 1 - 0.012 * 1.08 * shape
    np.savez(tmp_path / "truth.npz", light_curve=light, time=time, depth=0.012, flux=np.ones(3))
    table = catalogue({"": 7.0 * light * (1 + 1e-4 * rng.normal(size=80))})
    depth, error = fit_depth(table, tmp_path / "truth.npz")
    assert abs(depth - 0.012) < 4 * error < 4e-4
    figure = plot_fit(table, tmp_path / "truth.npz", depth, error, tmp_path / "fit.png")
    assert (tmp_path / "fit.png").stat().st_size > 5000
    assert "injected 12000 ppm" in figure.axes[0].get_title("left")
    assert [c.scale for c in curves(table)] == ["BJD_TDB"]
    half = injected(tmp_path / "truth.npz", curves(table[20:50])[0])  # some of the segments only
    assert half is not None
    np.testing.assert_allclose(half.shape, 1.08 * shape[20:50], atol=1e-6)
    assert injected(tmp_path / "truth.npz", curves(catalogue({"": light}, start=60100.0))[0]) is None


def test_two_detectors_combine_by_their_errors() -> None:
    shape, rng = box(90), np.random.default_rng(6)
    truth = {"light": 1 - 0.02 * shape}
    flux = {f"_NRS{i}": level * truth["light"] * (1 + noise * rng.normal(size=90)) for i, level, noise in ((1, 5.0, 1e-4), (2, 3.0, 1e-2))}
    table = catalogue(flux)
    assert [curve.label for curve in curves(table)] == ["NRS1", "NRS2"]
    depth, error = fit_depth(table, truth)
    single, alone = fit_depth(catalogue({"_NRS1": flux["_NRS1"]}), truth)
    assert depth == pytest.approx(single, abs=alone / 10) and error < alone


def test_columns_of_orders_and_masked_rows() -> None:
    from astropy.table import MaskedColumn, Table

    table = Table()
    table["BJD_TDB_NRS1"] = MaskedColumn([1.0, 2.0, 0.0], mask=[False, False, True])
    table["whitelight_flux_order_1_NRS1"] = [4.0, 5.0, 6.0]
    (curve,) = curves(table)
    assert curve.label == "order 1 NRS1" and curve.flux.tolist() == [4.0, 5.0] and curve.time.tolist() == [1.0, 2.0]


def test_truth_of_another_series_is_refused() -> None:
    with pytest.raises(ValueError, match="not of this series"):
        fit_depth(catalogue({"": np.ones(9)}), {"light": np.ones(8)})
