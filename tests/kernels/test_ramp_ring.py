"""Bright areas under a smoothing ring, against astropy's ring and scipy's convolution."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.convolution import Ring2DKernel
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from scipy.signal import oaconvolve

from jwst_dask.kernels.ramp import ring as kernels


@pytest.mark.parametrize(("inner", "width"), [(1.0, 2.6), (1, 1), (2, 1.5), (0.5, 3.3), (0, 2), (3, 0.2), (10, 20)])
def test_ring(inner: float, width: float) -> None:
    np.testing.assert_array_equal(kernels.ring_of(inner, width), Ring2DKernel(inner, width).array)


def test_no_ring() -> None:
    with pytest.raises(ValueError, match="no pixel"):
        kernels.ring_of(0.3, 0.1)


def plain(step: np.ndarray, spread: np.ndarray, flags: np.ndarray, pixeldq: np.ndarray, ring: np.ndarray, limit: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        ratio = np.abs(step) / spread
        good = np.isfinite(ratio) & (((flags | pixeldq) & 7) == 0)
        smooth = oaconvolve(np.where(good, ratio, np.float32(0)), ring, mode="same")
        lost = oaconvolve((~good).astype(float), (ring > 0).astype(float), mode="same").round()
        weight = 1 - lost / (ring > 0).sum()
        return good & (weight > 1e-3 * ring.mean()) & (smooth / weight > limit)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), shape=st.sampled_from([(1, 1), (5, 7), (40, 90), (200, 130)]), limit=st.floats(0.5, 2))
def test_areas(seed: int, shape: tuple[int, int], limit: float) -> None:
    rng = np.random.default_rng(seed)
    step = rng.normal(size=shape).astype(np.float32)
    step[rng.random(shape) < 0.03] *= 30
    step[rng.random(shape) < 0.02] = np.nan
    spread = np.where(rng.random(shape) < 0.01, 0, 1).astype(np.float32)
    flags, pixeldq = (rng.random(shape) < 0.05).astype(np.uint8) * np.uint8(4), (rng.random(shape) < 0.05).astype(np.uint32)
    ring = kernels.ring_of(1.0, 2.6)
    areas = kernels.bright_areas(step, np.zeros_like(step), spread, flags, pixeldq, ring, limit, 12)
    expected = plain(step, spread, flags, pixeldq, ring, limit)
    numbers, _ = label(expected, np.ones((3, 3)))
    sizes = np.bincount(numbers.ravel())
    assert {tuple(pixel) for pixel in areas.pixels} >= {tuple(pixel) for pixel in np.argwhere((numbers > 0) & (sizes[numbers] >= 12))}
    assert all(expected[y, x] for y, x in areas.pixels)


def test_the_transform_decides_where_it_is_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain of one value, at the threshold: sums and transforms round it to different sides."""
    calls: list[float] = []
    answers = iter([0.5, 2.0])

    def convolved(image: np.ndarray, small: np.ndarray) -> np.ndarray:
        calls.append(next(answers))
        return np.full(image.shape, calls[-1])

    monkeypatch.setattr(kernels, "convolved", convolved)
    zeros, ring = np.zeros((30, 40), np.float32), kernels.ring_of(1.0, 2.6)
    for found in (0, 1):
        areas = kernels.bright_areas(zeros + np.float32(1), zeros, zeros + np.float32(1), zeros.astype(np.uint8), zeros.astype(np.uint32), ring, 1.0, 50)
        assert len(areas) == found
    assert len(calls) == 2
    for value, found in ((0.999, 0), (1.001, 1)):
        areas = kernels.bright_areas(zeros + np.float32(value), zeros, zeros + np.float32(1), zeros.astype(np.uint8), zeros.astype(np.uint32), ring, 1.0, 50)
        assert len(areas) == found
    assert len(calls) == 2


def test_transforms_are_as_certain_as_is_assumed() -> None:
    rng = np.random.default_rng(3)
    for width in (1.0, 2.6):
        ring = kernels.ring_of(1.0, width)
        side = kernels.reach(len(ring))
        for scale in (1.0, 1e4):
            image = np.abs(rng.normal(size=(300, 260))).astype(np.float32)
            image[rng.random(image.shape) < 0.002] *= np.float32(scale)
            sums, exact = np.empty(260), np.empty((300, 260))
            for y in range(300):
                kernels._ring_sums(image, y, ring, sums)
                exact[y] = sums * ring.max()
            squares = np.zeros((300 // side + 1, 260 // side + 1))
            kernels._squares(image, side, squares)
            assert squares.sum() == pytest.approx(np.sum(image.astype(float) ** 2))
            error = np.repeat(np.repeat(np.sqrt(kernels._around(squares)), side, 0), side, 1)[:300, :260]
            assert np.max(np.abs(kernels.convolved(image, ring) - exact) / error) < kernels.UNCERTAIN / 3
