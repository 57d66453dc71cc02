"""The picture frame's scaling against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from jwst_dask.kernels.ramp import picture_frame as kernel


def in_numpy(images, slope, background, first):
    y, x = np.mgrid[:2048, :2048]
    centre = background & (y >= 76) & (y < 1984) & (x >= 76) & (x < 1984)
    rim = [((a >= 4) & (a < 75)) | ((a >= 1985) & (a < 2043)) for a in (y, x)]
    edges = background & (rim[0] | rim[1]) & (y >= 4) & (y < 2043) & (x >= 4) & (x < 2043)
    images = images - first
    inner, outer = np.nanmedian(images[:, centre], axis=-1), np.nanmedian(images[:, edges], axis=-1)
    level = np.nanmedian(slope[edges])
    scale = (inner - outer) / (np.nanmedian(slope[centre]) - level)
    return images + (first - (scale[:, None, None] * (slope - level) + outer[:, None, None]))


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(8)
    slope = rng.standard_normal((2048, 2048), np.float32)
    slope[500:1500, 500:1500] += 3
    ramp = 100 * rng.standard_normal((3, 2048, 2048), np.float32)
    ramp[1:] += 5 * slope
    ramp[1, 1000, 1000:1100] = np.nan
    background = np.ones((2048, 2048), bool)
    background[800:900] = False
    return ramp, slope, background


def test_ramp_like_numpy(made):
    ramp, slope, background = made
    expected = in_numpy(ramp[1:], slope, background, ramp[0])
    found = ramp.copy()
    kernel.correct_ramp(found, kernel.make_pattern(slope, background))
    np.testing.assert_array_equal(found[0], ramp[0])
    np.testing.assert_array_equal(found[1:], expected)


def test_image_like_numpy(made):
    ramp, slope, background = made
    expected = in_numpy(ramp[1:2], slope, background, np.float32(0))
    found = ramp[1].copy()
    kernel.correct_image(found, kernel.make_pattern(slope, background))
    np.testing.assert_array_equal(found, expected[0])


def test_nothing_to_scale_with(made):
    _, slope, background = made
    assert kernel.make_pattern(slope, np.zeros_like(background)) is None
    assert np.isnan(kernel.median(np.full((3, 3), np.nan, np.float32), np.arange(4)))
