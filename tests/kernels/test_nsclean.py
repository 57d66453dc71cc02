"""Fits in frequency space: against the reference implementation, least squares in double precision, and analytic noise."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from jwst_dask.kernels import nsclean

PARITY = Path(__file__).parent.parent / "parity"
sys.path.insert(0, str(PARITY))
import frame_scene as scene  # noqa: E402

GOLDEN = np.load(PARITY / "frame.npz")


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_lines_of_the_reference(detector):
    from jwst_dask.steps.stage2.clean_flicker_noise.clean import from_detector, to_detector

    made = scene.image(30, scene.FRAME)["SCI"]
    square, mask = np.zeros((512, 512), np.float32), np.zeros((512, 512), bool)
    square[240:272] = np.nan_to_num(made)
    mask[240:272] = (made < 1.5) & (made != 0) & ~np.isnan(made)
    mask[60:200:7] = True
    square[60:200:7] = 0.3 * np.sin(np.arange(512) / 20)
    cleaned = nsclean.clean_full_frame(to_detector(square, detector), to_detector(mask, detector))
    ours = from_detector(cleaned, detector)[60:272:5, ::5]
    np.testing.assert_allclose(ours, GOLDEN[f"lines.{detector}"], rtol=1e-5, atol=2e-6)


def test_a_line_is_a_weighted_fit():
    rng = np.random.default_rng(1)
    image, mask = rng.standard_normal((16, 1024)).astype(np.float32), rng.random((16, 1024)) < 0.4
    image = np.clip(image, -1.5, 1.5)  # nothing to be replaced
    weights, model = nsclean.line_weights(mask), nsclean.fit_lines(image, mask)
    gain = nsclean.low_pass(1024)
    count = int((gain > 0).sum())
    assert not model[:4].any() and not model[-4:].any()
    for y in range(4, 12):
        at = np.flatnonzero(mask[y])
        basis = np.exp(2j * np.pi * at[:, None] * np.arange(count) / 1024)
        found = np.linalg.lstsq(basis * weights[y, at, None].astype(float), weights[y, at].astype(float) * image[y, at], rcond=None)[0]
        spectrum = np.zeros(513, complex)
        spectrum[:count] = found * gain[:count] * 1024
        np.testing.assert_allclose(model[y], np.fft.irfft(spectrum, 1024), atol=2e-6)


def test_a_window_is_a_weighted_fit_in_the_order_of_readout():
    rng = np.random.default_rng(2)
    image, mask = rng.standard_normal((9, 100)).astype(np.float32), rng.random((9, 100)) < 0.6
    corners = (1061.0, 1211.0, 49943.0, 49957.0)
    ticks, fitted, gain, _, kernel = nsclean._clock(9, 100, corners)
    clock = np.zeros((9, 112), bool)
    clock[:, :100] = mask
    at = np.flatnonzero(clock)
    weights = 1 / np.fft.irfft(np.fft.rfft(clock.ravel().astype(float)) * kernel, ticks)[at]
    basis = np.exp(2j * np.pi * at[:, None] * fitted / ticks)
    found = np.linalg.lstsq(basis * weights[:, None], weights * image[mask], rcond=None)[0]
    spectrum = np.zeros(ticks // 2 + 1, complex)
    spectrum[fitted] = found * gain * ticks
    expected = np.fft.irfft(spectrum, ticks).reshape(9, -1)[:, :100]
    np.testing.assert_allclose(nsclean.fit_window(image, mask, corners), expected, atol=3e-6)


def test_slow_noise_is_taken_out_of_a_subarray():
    rng = np.random.default_rng(3)
    shape = (300, 64)
    time = np.arange(300)[:, None] * 76 + np.arange(64)
    noise = 0.5 * np.sin(2 * np.pi * time * 1e-5 * 400.0)  # 400 Hz, well inside the band
    image = (noise + 0.01 * rng.standard_normal(shape)).astype(np.float32)
    mask = rng.random(shape) < 0.7
    image[~mask] += 100
    cleaned, left = nsclean.clean_subarray(image, mask, (1061.0, 1211.0, 49943.0, 49957.0))
    assert not left and cleaned[mask].std() < 0.03 < 0.3 < image[mask].std()
    assert abs(cleaned[~mask] - 100).mean() < 0.03


def test_windows_cover_all_lines_and_overlap():
    mask = np.random.default_rng(4).random((400, 32)) < 0.5
    mask[:7], mask[390:] = False, False
    ranges = nsclean.windows(mask)
    assert ranges[0][0] == 7 and ranges[-1][1] == 390
    assert all(a0 < b0 < a1 for (a0, a1), (b0, _) in zip(ranges, ranges[1:]))
    assert all(512 < mask[a:b].sum() < 1.5 * 512 + 32 for a, b in ranges)
    assert nsclean.windows(np.zeros((5, 5), bool)) == []


def test_outliers_take_their_neighbours_along():
    image, mask = np.random.default_rng(5).standard_normal((20, 20)).astype(np.float32), np.ones((20, 20), bool)
    image[10, 10], mask[3] = 100, False
    out = nsclean.without_outliers(image, mask)
    assert not out[10, 9:12].any() and not out[9:12, 10].any() and out[9, 9] and not out[3].any()
    assert out.sum() == 380 - 5


def test_no_background_at_all():
    assert nsclean.clean_subarray(np.ones((5, 8), np.float32), np.zeros((5, 8), bool), (1061.0, 1211.0, 49943.0, 49957.0)) is None
