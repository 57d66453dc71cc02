"""Sigma clipping and medians against astropy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import sigma_clip, sigma_clipped_stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels import clip, flicker

pytestmark = pytest.mark.filterwarnings("ignore")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.5, 0.9, 1.0, 1.5, 2.0, 3.0]), st.sampled_from([None, 1, 2]), st.booleans())
def test_averages_are_those_of_astropy(seed, n, sigma, maxiters, coarse):
    rng = np.random.default_rng(seed)
    stack = rng.standard_normal((n, 200))
    if coarse:  # ties, and values right on the limits
        stack = np.round(stack)
    stack[rng.random(stack.shape) < 0.15] = np.nan
    stack[:, 0], stack[0, 1] = np.nan, np.inf
    squares = rng.random(stack.shape)
    squares[rng.random(stack.shape) < 0.02] = np.nan
    clipped = sigma_clip(stack, sigma=sigma, maxiters=maxiters, axis=0)
    errors = np.ma.masked_array(squares, mask=clipped.mask)
    mean, error = np.empty(200), np.empty(200)
    clip.clipped_average(stack, squares, sigma, clip.FOREVER if maxiters is None else maxiters, mean, error)
    np.testing.assert_array_equal(mean, clipped.mean(axis=0).data)
    np.testing.assert_array_equal(error, (np.sqrt(errors.sum(axis=0)) / (n - errors.mask.sum(axis=0))).data)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.sampled_from([1.0, 1.5, 3.0]))
def test_collapse_over_integrations_is_that_of_astropy(seed, n, sigma):
    rng = np.random.default_rng(seed)
    cube = rng.standard_normal((n, 100)).astype(np.float32)
    cube[rng.random(cube.shape) < 0.1] = np.nan
    cube[:, 3] = np.nan
    expected, mean = np.zeros(100), np.empty(100)
    expected[:] = sigma_clip(cube, sigma=sigma, maxiters=None, axis=0).mean(axis=0)
    clip.clipped_collapse(cube, sigma, clip.FOREVER, mean)
    np.testing.assert_array_equal(mean, expected)


def test_no_number_is_beyond_the_farthest():
    for n in range(1, 9):
        values = np.zeros(n)
        values[0] = 1.0
        spread = values.std()
        assert spread == 0 or abs(1.0 - np.median(values)) / spread < clip._farthest(n)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3000), st.floats(0, 1))
def test_sorted_pixels_and_their_statistics(seed, n, tail):
    rng = np.random.default_rng(seed)
    image = (rng.standard_normal(n) * 10.0 ** rng.integers(-3, 3)).astype(np.float32)
    image[rng.random(n) < 0.1 * tail] *= 50
    image[0] = -0.0
    mask = rng.random(n) < 0.8
    mask[-1] = True
    values = clip.sorted_pixels(image[None], mask[None])
    np.testing.assert_array_equal(values, np.sort(image[mask]))
    expected = sigma_clipped_stats(image.astype(np.float64), mask=~mask, sigma=3.0)
    np.testing.assert_allclose(clip.clipped_stats(values), expected, rtol=1e-12, atol=1e-12)
    assert clip.median32(values) == np.median(image[mask])


def test_limits_are_compared_in_double_precision():
    image = np.array([[0.1, 0.2, 0.3]], np.float32)
    mask = np.ones((1, 3), bool)
    clip.keep_within(image, mask, float(np.float32(0.1)), float(np.float32(0.3)) - 1e-12)
    assert mask.tolist() == [[True, True, False]]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("parts", [1, 4])
def test_stripes_are_masked_medians(axis, parts):
    rng = np.random.default_rng(axis + parts)
    image, mask = rng.standard_normal((64, 80)).astype(np.float32), rng.random((64, 80)) < 0.3
    mask[:, 7], mask[5] = False, False
    expected, size = image.copy(), image.shape[axis] // parts
    for start in range(0, image.shape[axis], size):
        part = (slice(start, start + size), slice(None)) if axis == 0 else (slice(None), slice(start, start + size))
        stripes = np.ma.median(np.ma.array(image[part], mask=~mask[part]), axis=axis, keepdims=True)
        expected[part] -= np.ma.filled(stripes, 0.0).astype(np.float32)
    np.testing.assert_array_equal(flicker.remove_stripes(image, mask, axis, parts), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_median_in_time(seed, n):
    rng = np.random.default_rng(seed)
    cube = rng.standard_normal((n, 5, 37)).astype(np.float32)
    cube[rng.random(cube.shape) < 0.3] = np.nan
    out = np.empty((5, 37), np.float32)
    flicker.median_in_time(cube, out)
    np.testing.assert_array_equal(out, np.nanmedian(cube, axis=0))
