"""Kernels of pointwise and flagging steps of ramps, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jwst_dask.kernels.ramp import charge_migration, dark, early_groups, ipc, irs2_layout, linearity, persistence, saturation, superbias

GENTLE = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))


def ramps(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sci = rng.uniform(-500, 60000, shape).astype(np.float32)
    sci[rng.random(shape) < 0.05] = np.nan
    return sci, (rng.random(shape) < 0.2).astype(np.uint8), np.zeros(shape[-2:], np.uint32)


@GENTLE
@given(SHAPES, st.integers(0, 99), st.integers(0, 2))
def test_saturation_without_averages(shape: tuple[int, int, int, int], seed: int, grow: int) -> None:
    sci, groupdq, _ = ramps(shape, seed)
    threshold, _ = saturation.thresholds(np.where(np.random.default_rng(seed).random(shape[-2:]) < 0.2, np.nan, 50000).astype(np.float32),
                                         np.zeros(shape[-2:], np.uint32))  # fmt: skip
    reached = np.maximum.accumulate(sci >= threshold, axis=1)
    box = np.ones((1, 1, 2 * grow + 1, 2 * grow + 1))
    expected = groupdq | np.where(ndimage.binary_dilation(reached, box), 2, 0).astype(np.uint8) | np.where(sci <= 0, 65, 0).astype(np.uint8)
    saturation.flag(sci, groupdq, threshold, np.zeros_like(threshold), grow, 0, np.arange(shape[2]))
    np.testing.assert_array_equal(groupdq, expected)


def test_thresholds_that_are_not_known() -> None:
    values, flags = saturation.thresholds(np.array([[np.nan, 5.0, 6.0]], np.float32), np.array([[0, 1 << 21, 1]], np.uint32))
    np.testing.assert_array_equal(values, [[65536, 65536, 6]])
    np.testing.assert_array_equal(flags, [[1 << 21, 1 << 21, 1]])


@GENTLE
@given(SHAPES, st.integers(0, 99))
def test_bias_that_is_nan_is_nothing(shape: tuple[int, int, int, int], seed: int) -> None:
    sci, _, _ = ramps(shape, seed)
    bias = sci[0, 0].copy()
    expected = sci - np.nan_to_num(bias)
    superbias.subtract(sci, bias)
    np.testing.assert_array_equal(sci, expected)
    frames = np.where(sci[:, 0] > 20000, 0, sci[:, 0])
    empty = frames == 0
    superbias.subtract_frames(frames, bias)
    assert (frames[empty] == 0).all()


@GENTLE
@given(SHAPES, st.integers(0, 99), st.integers(2, 6))
def test_polynomials(shape: tuple[int, int, int, int], seed: int, terms: int) -> None:
    sci, groupdq, pixeldq = ramps(shape, seed)
    groupdq = (groupdq * 2).astype(np.uint8)
    rng = np.random.default_rng(seed)
    coeffs = rng.uniform(0.5, 1.5, (terms, *shape[-2:])).astype(np.float32) * np.float32(1e-5) ** np.arange(-1, terms - 1)[
        :, None, None
    ].astype(np.float32)
    bad = rng.random((3, *shape[-2:])) < 0.1
    coeffs[-1][bad[0]], coeffs[1][bad[1]] = np.nan, 0
    dq = np.where(bad[2], 1 << 20, 0).astype(np.uint32)
    exact = sum(c * sci.astype(float) ** k for k, c in enumerate(coeffs.astype(float)))
    skip = bad.any(axis=0)
    expected = np.where((groupdq == 2) | skip, sci, exact)
    linearity.correct(sci, groupdq, pixeldq, coeffs, dq)
    np.testing.assert_allclose(sci, expected, rtol=2e-6, atol=1e-2)
    np.testing.assert_array_equal(pixeldq != 0, skip)


def test_reads_of_a_linear_detector_change_nothing() -> None:
    sci, groupdq, pixeldq = ramps((2, 5, 3, 300), 1)
    sci = np.nan_to_num(sci)
    before = sci.copy()
    coeffs = np.zeros((3, 3, 300), np.float32)
    coeffs[1] = 1
    linearity.correct_reads(sci, groupdq, pixeldq, coeffs, coeffs.copy(), np.zeros((3, 300), np.uint32), 4)
    np.testing.assert_allclose(sci, before, rtol=1e-6, atol=1e-2)


def test_reads_undo_the_curvature_within_a_group() -> None:
    """Averages of frames of a quadratic detector are corrected to averages of linear counts, which the plain polynomial does not do."""
    frames = np.arange(1, 33) * 1500.0
    bend = 2e-6
    inverse = np.array([0, 1, -bend, 0.0])
    forward = np.array([0, 1, 1, 2, 5, 14, 42, 132]) * bend ** np.arange(-1.0, 7)  # Catalan numbers
    forward[0], forward[1] = 0, 1
    groups = (frames + inverse[2] * frames**2).reshape(4, 8).mean(axis=1)
    linear = frames.reshape(4, 8).mean(axis=1)
    sci, dq = groups.astype(np.float32)[None, :, None, None].copy(), np.zeros((1, 4, 1, 1), np.uint8)
    c, b = (a.astype(np.float32)[:, None, None] for a in (forward, inverse))
    plain, flags = sci.copy(), np.zeros((1, 1), np.uint32)
    linearity.correct(plain, dq, flags, c, flags.copy())
    linearity.correct_reads(sci, dq, flags, c, b, flags.copy(), 8)
    assert np.abs(sci.ravel() - linear).max() < 0.3 * np.abs(plain.ravel() - linear).max()


@GENTLE
@given(SHAPES, st.integers(0, 99))
def test_charge_migration_spreads_to_four_neighbours(shape: tuple[int, int, int, int], seed: int) -> None:
    sci, groupdq, _ = ramps(shape, seed)
    above = np.maximum.accumulate((sci > 40000) & (groupdq != 1), axis=1)
    cross = ndimage.generate_binary_structure(2, 1)[None, None]
    expected = groupdq | np.where(ndimage.binary_dilation(above, cross), 129, 0).astype(np.uint8)
    charge_migration.flag(sci, groupdq, 40000.0)
    np.testing.assert_array_equal(groupdq, expected)


@GENTLE
@given(SHAPES, st.integers(0, 99), st.integers(1, 5), st.integers(1, 5))
def test_ipc_is_a_convolution(shape: tuple[int, int, int, int], seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    sci = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(2 * (height // 2) + 1, 2 * (width // 2) + 1)).astype(np.float32)
    expected = sci.copy()
    low, high = min(1, shape[2] - 1), shape[2]
    for frame in expected.reshape(-1, *shape[2:]):
        frame[low:high] = ndimage.convolve(frame[low:high].astype(float), kernel.astype(float), mode="constant")
    ipc.deconvolve(sci, kernel, np.arange(low, high), (0, shape[3]))
    np.testing.assert_allclose(sci, expected, rtol=1e-4, atol=1e-5)


def test_a_dark_of_single_frames() -> None:
    frames = np.arange(12, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    assert dark.missing_groups(3, 4, 1, (12, 1, 0)) == 2
    longer = dark.extend(frames, 2)
    np.testing.assert_array_equal(longer[:, 0, 0], np.arange(14))
    np.testing.assert_array_equal(dark.averaged(longer, 3, 4, 1)[:, 0, 0], [1.5, 6.5, 11.5])
    assert dark.missing_groups(3, 4, 1, (14, 1, 0)) == 0
    assert dark.extend(frames, 0) is frames


def test_windows_of_persistence_open_and_close() -> None:
    sci, groupdq = np.zeros((2, 5, 1, 1), np.float32), np.zeros((2, 5, 1, 1), np.uint8)
    groupdq[0, 1:] = 2
    windows, times = np.zeros((1, 1)), np.arange(10.0).reshape(2, 5) + 100
    persistence.flag(sci, groupdq, windows, times, 5.0, np.inf, 32)
    np.testing.assert_array_equal(groupdq.ravel() & 32, [0, 32, 32, 32, 32, 32, 32, 0, 0, 0])
    assert windows[0, 0] == 0


@pytest.mark.parametrize(("saturated_from", "kept"), [(9, 4), (6, 4), (5, 3), (3, 1), (2, 0), (1, 0), (0, 4)])
def test_fewer_groups_are_skipped_before_saturation(saturated_from: int, kept: int) -> None:
    groupdq, pixeldq = np.zeros((1, 9, 1, 1), np.uint8), np.zeros((1, 1), np.uint32)
    groupdq[0, saturated_from:] = 2
    lowered, _ = early_groups.skip_groups(groupdq, pixeldq, 4)
    assert (groupdq & 1).sum() == kept
    assert lowered == (kept < 4) and (pixeldq[0, 0] != 0) == (kept < 4)


@pytest.mark.parametrize(("normal", "reference"), [(16, 4), (64, 4), (32, 8)])
def test_rows_of_irs2_frames(normal: int, reference: int) -> None:
    nrows = 5 * (512 + 512 // normal * reference)
    rows = irs2_layout.normal_rows(nrows, normal, reference)
    assert len(rows) == 2048 and rows[0] == nrows // 5
    back = irs2_layout.normal_rows(nrows, normal, reference, reverse=True)
    np.testing.assert_array_equal(back, nrows - 1 - rows[::-1])
