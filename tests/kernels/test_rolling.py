"""Medians in time against numpy's, for any width, length, gaps and cuts."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels.rolling import middle, rolling_median, window_starts


def by_numpy(cube: np.ndarray, width: int) -> np.ndarray:
    """Every full window's median by numpy in float64; the ends take the nearest."""
    full = np.stack([np.median(cube[i : i + width].astype("f8"), axis=0) for i in range(len(cube) - width + 1)])
    return full[np.clip(np.arange(len(cube)) - width // 2, 0, len(full) - 1)]


values = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, 1.5, 2.5, -3.25, 1e30, 7.0, 8.0])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_sliding_median_equals_numpy(data):
    nints = data.draw(st.integers(3, 40))
    width = data.draw(st.integers(3, nints))
    series = np.array(data.draw(st.lists(st.floats(-5, 5, width=32) | values, min_size=nints, max_size=nints)), "f4")
    cube = series[:, None, None]
    out = np.empty(cube.shape)
    rolling_median(cube, window_starts(0, nints, nints, width), width, out)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, by_numpy(cube, width))


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 60), st.integers(2, 60), st.integers(0, 2**31), st.data())
def test_a_part_with_its_halo_gives_the_whole(nints, width, seed, data):
    width = min(width, nints - 1)
    cube = np.random.default_rng(seed).normal(size=(nints, 1, 2)).astype("f4")
    whole = np.empty(cube.shape)
    rolling_median(cube, window_starts(0, nints, nints, width), width, whole)
    start = data.draw(st.integers(0, nints - 1))
    stop = data.draw(st.integers(start + 1, nints))
    halo = width - 1 if width > 2 else nints
    first, last = max(0, start - halo), min(nints, stop + halo)
    part = np.empty((stop - start, 1, 2))
    rolling_median(cube[first:last], window_starts(start, stop, nints, width) - first, width, part)
    np.testing.assert_array_equal(part, whole[start:stop])


def test_even_windows_average_in_double_precision():
    cube = np.array([1.0, 1.0 + 2**-23, 5.0, 5.0, 5.0], "f4")[:, None, None]
    out = np.empty(cube.shape)
    rolling_median(cube, window_starts(0, 5, 5, 4), 4, out)
    assert out[2, 0, 0] == (1.0 + 2**-23 + 5.0) / 2  # not a float32 number


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5, width=32) | values, min_size=1, max_size=30))
def test_middle_equals_nanmedian(numbers):
    series = np.array(numbers, "f4")
    with np.errstate(invalid="ignore"):
        expected = np.nanmedian(series) if not np.isnan(series).all() else np.float32(np.nan)
    np.testing.assert_array_equal(middle(series, np.empty_like(series)), np.float32(expected))
