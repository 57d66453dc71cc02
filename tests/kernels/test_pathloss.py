"""Interpolation in maps of path losses, and samples of profiles: plain formulas and analytic truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jwst_dask.kernels.pathloss import at_place, at_wavelengths, node_weights, sersic

FAR = (-1e3, 1e3, -1e3, 1e3)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.sampled_from(["f4", "f8"]), st.data())
def test_wavelengths(n: int, kind: str, data: st.DataObject) -> None:
    """Linear inside the grid; NaN at or below its first node, above its last, and for NaN."""
    grid = np.cumsum(data.draw(arrays("f8", n, elements=st.floats(0.1, 2)))).astype(kind)
    vector = data.draw(arrays("f4", n, elements=st.floats(0, 1, width=32)))
    wave = data.draw(arrays(kind, (3, 5), elements=st.one_of(st.just(np.nan), st.floats(0, 20, width=32), st.sampled_from(grid.tolist()))))
    got = at_wavelengths(wave, grid, vector)
    assert got.dtype == np.float32
    inside = (wave > grid[0]) & (wave <= grid[-1])
    np.testing.assert_array_equal(np.isnan(got), ~inside)
    want = np.interp(wave.astype("f8"), grid.astype("f8"), vector.astype("f8"))
    np.testing.assert_allclose(got[inside], want[inside], rtol=1e-6, atol=1e-7)


def test_places() -> None:
    """Bilinear interpolation is exact for a plane, and there is nothing beyond the last column and row."""
    y, x = np.mgrid[:7, :5].astype("f4")
    cube = np.stack([1 + 2 * x + 3 * y, x, np.ones_like(x)])
    np.testing.assert_allclose(at_place(cube, 2.25, 4.5), [1 + 4.5 + 13.5, 2.25, 1], rtol=1e-6)
    for column, row in ((-0.1, 1), (4, 1), (1, -0.1), (1, 6), (np.nan, 1)):
        assert at_place(cube, column, row) is None
    rng = np.random.default_rng(1)
    columns, rows, light = rng.uniform(0, 3.99, 40), rng.uniform(0, 5.99, 40), rng.random(40)
    weights = node_weights(columns, rows, light, (7, 5))
    want = sum(w * at_place(cube, c, r) for c, r, w in zip(columns, rows, light, strict=True))
    np.testing.assert_allclose(np.tensordot(cube, weights, 2), want, rtol=1e-6)
    assert node_weights(np.array([-0.01, 4.01, 2, 2]), np.array([1, 1, -0.01, 6.01]), np.ones(4), (7, 5)).sum() == 0
    assert node_weights(np.array([4.0]), np.array([6.0]), np.ones(1), (7, 5))[6, 4] == 1


@pytest.mark.parametrize("index", [0.5, 1.0, 4.0, 8.0])
@pytest.mark.parametrize("ratio", [1.0, 0.1])
def test_profiles(index: float, ratio: float) -> None:
    """All of the light is there, half of it within the half-light ellipse, and the ellipse lies where it should."""
    axes = np.array([[0.2, 0.1], [-0.05, 0.4]])
    x, y, width, height, light = sersic(0.3, index, ratio, axes, FAR)
    assert light.sum() == pytest.approx(1)
    assert len({len(column) for column in (x, y, width, height, light)}) == 1
    u, v = axes @ np.stack([x, y])
    assert light[np.hypot(u, v / ratio) <= 0.3].sum() == pytest.approx(0.5, abs=0.01)
    assert abs((light * u).sum()) < 0.01 and abs((light * v).sum()) < 0.01
    if index == 0.5:
        sigma = 0.3 / np.sqrt(2 * np.log(2))
        assert (light * u**2).sum() == pytest.approx(sigma**2, rel=0.01)
        assert (light * v**2).sum() == pytest.approx((sigma * ratio) ** 2, rel=0.01)


@pytest.mark.parametrize("index", [0.5, 1.0, 4.0])
def test_a_box_in_a_wide_profile(index: float) -> None:
    """The light in a box much smaller than the source is its area times the mean density there."""
    from scipy.special import gamma, gammaincinv

    x, y, _, _, light = sersic(50.0, index, 1.0, np.eye(2), (-1.0, 1.0, -0.5, 0.5))
    inside = light[(np.abs(x) <= 1) & (np.abs(y) <= 0.5)].sum()
    fine = (np.arange(400) + 0.5) / 400 - 0.5
    r = np.hypot(fine[None] * 2, fine[:, None])
    b = gammaincinv(2 * index, 0.5)
    norm = 2 * np.pi * index * 50.0**2 * b ** (-2 * index) * gamma(2 * index)
    want = np.exp(-b * (r / 50.0) ** (1 / index)).mean() * 2 / norm
    assert inside == pytest.approx(want, rel=0.01)


def test_a_point() -> None:
    x, y, _, _, light = sersic(0.0, 1.0, 1.0, np.eye(2), FAR)
    assert (x.tolist(), y.tolist(), light.tolist()) == ([0.0], [0.0], [1.0])
