"""Kernels of refpix against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels.ramp import irs2, irs2_fourier, refpix, sirs

SEEDS = st.integers(0, 2**31)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 3000), st.booleans())
def test_sum_is_numpys(seed, n, single):
    values = np.random.default_rng(seed).normal(100, 30, n).astype(np.float32 if single else np.float64)
    assert refpix.pairwise_sum(values.astype(np.float64), 0, n, single) == values.sum()


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 1500), st.booleans(), st.sampled_from([1.0, 2.0, 3.0]))
def test_clipped_mean_is_scipys(seed, n, single, limit):
    from scipy import stats

    rng = np.random.default_rng(seed)
    values = rng.standard_cauchy(n).astype(np.float32 if single else np.float64)
    found, equal = refpix.clipped_mean(values.astype(np.float64), np.empty(n), n, limit, single)
    expected = values[0] if (values == values[0]).all() else stats.sigmaclip(values, limit, limit)[0].mean()
    assert found == expected and equal == (values == values[0]).all()


def test_clipped_mean_of_nan():
    for bad in (np.nan, np.inf):
        assert np.isnan(refpix.clipped_mean(np.array([1.0, bad, 2.0]), np.empty(3), 3, 3.0, True)[0])


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 40), st.integers(1, 23), st.booleans(), st.sampled_from([0.0, 0.02, 0.9]))
def test_side_medians(seed, n, length, nans, missing):
    length = min(length, 2 * n - 1)
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 10, (n, 4))
    if nans:
        values[rng.integers(n), 1] = np.nan
    good = rng.random((n, 4)) >= missing
    rows = np.arange(-(length // 2), n + length)
    rows = np.abs(rows)
    rows = np.where(rows >= n, 2 * (n - 1) - rows, rows)
    expected = [
        np.median(found) if (found := values[part][good[part]]).size else np.nan for part in (rows[i : i + length] for i in range(n))
    ]
    packed, sizes, out = np.zeros((n, 4)), good.sum(axis=1), np.empty(n)
    for r in range(n):
        packed[r, : sizes[r]] = values[r, good[r]]
    refpix.side_medians(packed, sizes, length, False, out)
    np.testing.assert_allclose(out, expected, rtol=1e-15)


@pytest.mark.parametrize("along_x", [True, False])
def test_lines(along_x):
    rng = np.random.default_rng(1)
    plane, columns, rows = (
        rng.normal(0, 9, (6, 8)).astype(np.float32),
        rng.normal(size=8 if along_x else 6),
        rng.normal(size=(2, 6 if along_x else 8)),
    )
    half = columns.size // 2
    lines = np.repeat(rows, half, axis=0)
    signal = columns[:, None] + lines
    expected = plane - (signal.T if along_x else signal)
    refpix.subtract_lines(plane, columns, rows, np.array([0, half, columns.size]), along_x, False)
    np.testing.assert_allclose(plane, expected, rtol=3e-7, atol=1e-6)


def test_sirs_of_a_steady_signal():
    kernels = np.abs(np.random.default_rng(2).normal(1, 0.1, (2, 4, 5)))
    sides = np.full((2, 50, 4), 7.0)
    sides[0, 10, 2] = 900.0
    sides += np.random.default_rng(3).normal(0, 1e-6, sides.shape)
    found = sirs.templates(sides, kernels, 4.0)
    weights = np.array([[np.convolve(np.ones(50), kernel, mode="same") for kernel in side] for side in kernels]).sum(axis=0)
    np.testing.assert_allclose(found, 7.0 * weights, rtol=1e-6)


@pytest.fixture(scope="module")
def tables():
    return irs2.make_tables(512)


def test_slots():
    slots, normal = irs2.slots_of_columns(), irs2.is_normal()
    assert normal.sum() == 512 and slots[0] == 0 and slots[-1] == 703 and len(set(slots)) == 640
    assert slots[8:12].tolist() == [9, 10, 11, 12] and slots[12] == 14


def test_spectrum(tables):
    n = tables.n
    samples = np.random.default_rng(4).normal(size=(712, n)).astype(np.float32)
    partial = np.empty((8, 89, n // 2 + 1), np.complex64)
    tables.every.partial(tables.every.rows(samples), partial)
    irs2_fourier.spectrum(partial)
    expected = np.fft.fft(samples.T.reshape(-1).astype(np.float64)).reshape(712, n)[:, : n // 2 + 1][irs2_fourier.residues()]
    assert np.abs(partial - expected).max() < 1e-5 * np.abs(expected).std()


def test_sector_like_plain_transforms(tables):
    n = tables.n
    rng = np.random.default_rng(5)
    alpha, beta = (
        (rng.normal(size=(4, 712 * n)) + 1j * rng.normal(size=(4, 712 * n))).astype(np.complex64),
        rng.normal(size=(4, 712 * n)) * (1 + 0.3j),
    )
    corrector = irs2.Corrector(tables, *irs2.make_filters(alpha, beta.astype(np.complex64), n))
    columns = rng.normal(size=(640, n)).astype(np.float32)
    corrector.reference_output(rng.normal(size=(640, n)).astype(np.float32))
    output = rng.normal(size=(712, n)).astype(np.float32)
    tables.every.partial(tables.every.rows(output), corrector.output)
    irs2_fourier.spectrum(corrector.output)
    found = corrector.signal(columns, 2)
    reads = np.zeros((712, n))
    for block in range(32):
        for j, source in enumerate((0, 2, 0, 2, 1, 3, 1, 3)):
            reads[22 * block + 7 + j] = columns[8 + 20 * block + source]
    plain = np.fft.fft(reads.T.reshape(-1)) * beta[2] + alpha[2] * np.fft.fft(output.T.reshape(-1).astype(np.float64))
    expected = np.fft.ifft(plain).real.reshape(n, 712).T[irs2.slots_of_columns()[irs2.is_normal()]]
    assert np.abs(found - expected).max() < 5e-6 * np.abs(expected).max()


def test_one_group_stays(tables):
    rng = np.random.default_rng(6)
    ramp = rng.normal(100, 5, (1, 3200, tables.n)).astype(np.float32)
    before, out = ramp.copy(), np.empty((1, 2048, tables.n), np.float32)
    alpha = np.zeros((4, 8, 89, tables.n // 2 + 1), np.complex64)
    irs2.Corrector(tables, alpha, alpha).correct(ramp, out)
    np.testing.assert_array_equal(out, before[:, 640:][:, np.tile(irs2.is_normal(), 4)])
