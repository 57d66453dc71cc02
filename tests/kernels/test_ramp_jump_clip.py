"""Sigma clipping of the differences of long series, against astropy's."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import sigma_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels.ramp import jump_clip, lanes
from jwst_dask.kernels.ramp.jump import Options, find_jumps

JUMP = 4


def ramps(seed: int, shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    step = rng.normal(20, 3, shape) + (rng.random(shape) < 0.01) * rng.exponential(200, shape)
    sci, flags = np.cumsum(step, axis=1).astype(np.float32), np.zeros(shape, np.uint8)
    sci[rng.random(shape) < 0.003] = np.nan
    sci[rng.random(shape) < 0.001] = np.inf
    sci[:, :, 0, 0] = 7.0
    flags[rng.random(shape) < 0.02] = 1
    flags[:, :, -1, 0] = 2
    return sci, flags


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), limit=st.sampled_from([0.7, 1.5, 3.0, 4.0, 6.0]), together=st.booleans(), nx=st.sampled_from([1, 7, 40]))
def test_flags_are_what_clipping_masks(seed: int, limit: float, together: bool, nx: int) -> None:
    sci, flags = ramps(seed, (120, 4, 3, nx))
    gain = np.ones((3, nx), np.float32)
    with np.errstate(invalid="ignore"):
        diffs = np.diff(np.where(flags & 3, np.float32(np.nan), sci), axis=1).astype(float)
        clipped = sigma_clip(np.where(np.isfinite(diffs), diffs, np.nan), sigma=limit, maxiters=5, axis=(0, 1) if together else 0, masked=True)
    expected = flags.copy()
    expected[:, 1:][np.ma.getmaskarray(clipped) & np.isfinite(diffs)] |= JUMP
    jump_clip.clip(sci, flags, gain, limit, 1 if together else 3, lanes.lanes_for(360, nx))
    assert np.array_equal(flags, expected)


@pytest.mark.parametrize("limit", [3.0, 5.0])
def test_medians_of_pixels_with_jumps(limit: float) -> None:
    sci, flags = ramps(5, (110, 5, 4, 33))
    gain, noise = np.full((4, 33), 2, np.float32), np.full((4, 33), 5, np.float32)
    diffs, work = np.empty((440, 40), np.float32), np.zeros((440, 2), np.float32)
    for y in range(4):
        median, sigma = np.full((2, 33), -1.0)
        jump_clip.jumped_row(sci, flags, gain, noise, 1.0, y, limit, 4, diffs, work, median, sigma)
        jumped = (flags[:, :, y] & JUMP).any(axis=(0, 1))
        with np.errstate(invalid="ignore"):
            values = np.diff(np.where(flags[:, :, y] & 3, np.float32(np.nan), sci[:, :, y] * gain[y]), axis=1)
        assert jumped.any() and (median[~jumped] == -1).all()
        for x in np.flatnonzero(jumped):
            assert median[x] == np.median(values[:, :, x][~np.isnan(values[:, :, x])].astype(float))
            assert sigma[x] == pytest.approx(np.sqrt(abs(median[x]) + 25))


def test_clipped_before_or_on_the_way() -> None:
    sci, flags = ramps(1, (130, 6, 9, 21))
    gain, noise, options = np.ones((9, 21), np.float32), np.full((9, 21), 4, np.float32), Options(low=1.0, after_size=(50.0, 0.0), after_groups=(2, 0))
    first, second = flags.copy(), flags.copy()
    dead = np.zeros((130, 6), bool)
    counts = [find_jumps(sci, first, gain, noise, options, dead, whole=False)]
    jump_clip.clip(sci, second, gain, options.rejection, 5, 32)
    counts.append(find_jumps(sci, second, gain, noise, options, dead, whole=False, clipped=True))
    assert np.array_equal(first, second) and np.array_equal(*counts)  # type: ignore[arg-type]
