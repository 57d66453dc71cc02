"""Likelihood of one count rate for a ramp's differences, many ramps side by side.

Differences of successive resultants have a tridiagonal covariance matrix. Recurrences from both ends (of the minors of
the matrix) give the best rate, its chi squared and what both become without one difference, or two neighbouring ones.
All arrays are [difference, ramp] in double precision. Loops over ramps write one array each, which lets the compiler turn them
into vector instructions.

Sources: Brandt 2024a, PASP 136, 045004 (equations 38-48, 61-63, 71); Brandt 2024b, PASP 136, 045005 (section 3).
"""

from __future__ import annotations

import math

import numpy as np

from jwst_dask.kernels._jit import jit

LANES = 64
"""Ramps side by side."""
FEW = 3
"""Up to so many differences in use, candidates for rejection may be equal but for rounding, and the scale of the matrix decides."""
(DIFF, USE, ALPHA, BETA, THETA, PHI, THETA_SUM, THETA_DATA, PHI_SUM, PHI_DATA, WEIGHT, DATA, DIAGONAL, NEXT, GAIN_ONE, GAIN_TWO, RATE_ONE, RATE_TWO, MASKED) = range(19)  # fmt: skip
"""Layers of scratch (float64[layer, difference + 2, ramp])."""
(GUESS, PHOTON, READ, SCALE, A, B, C, CHI2, RATE, COUNT, BEST) = range(11)
"""Rows of scratch (float64[row, ramp]). COUNT is the number of differences in use, or zero where only rounding keeps a pair's
equations from being singular: without photon noise."""


@jit
def scratch_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Scratch for ramps of `n` differences."""
    return np.zeros((19, n + 2, LANES)), np.zeros((11, LANES))


@jit
def _scale_of_determinant(n: int, photon: float, read: float, cov: np.ndarray) -> float:
    """The factor that makes the determinant of the matrix one, followed so that nothing overflows."""
    before, last, scale = 1.0, photon * cov[0, 0] + read * cov[1, 0], 1.0
    for i in range(2, n + 1):
        alpha, beta = photon * cov[0, i - 1] + read * cov[1, i - 1], photon * cov[2, i - 2] + read * cov[3, i - 2]
        value = alpha / scale * last - beta * beta / (scale * scale) * before
        before, last = last, value
        if i % 10 == 0 or i == n:
            factor = math.pow(last, 1.0 / i)
            scale *= factor
            before, last = before / (last / factor), 1.0
    return scale


@jit
def covariance_of(n: int, width: int, cov: np.ndarray, even: bool, gain: np.ndarray, noise: np.ndarray, work: np.ndarray, rows: np.ndarray) -> None:
    """Matrix of each ramp for its guessed rate (``rows[GUESS]``), over a scale that keeps its minors near one.

    Parameters
    ----------
    n, width : int
        Differences; ramps in use.
    cov : ndarray of float64[4, n]
        Photon and read noise on the diagonal, and beside it (`Covariance`).
    even : bool
        Whether differences are alike, so that the scale follows from the middle of the matrix.
    gain, noise : ndarray of float64[ramp]
    work, rows : ndarray
        Scratch.
    """
    middle = n // 2
    for x in range(width):
        photon, read = rows[GUESS, x] / gain[x], noise[x] * noise[x]
        rows[PHOTON, x], rows[READ, x] = photon, read
        alpha = photon * cov[0, middle] + read * cov[1, middle]
        beta = photon * cov[2, middle - 1] + read * cov[3, middle - 1]
        rest = alpha * alpha - 4.0 * beta * beta
        rows[SCALE, x] = 0.5 * (alpha + math.sqrt(rest if rest > 0.0 else 0.0))
        rows[COUNT, x] = 0.0
    for j in range(n):
        for x in range(width):
            rows[COUNT, x] += work[USE, j, x]
    for x in range(width):
        rows[COUNT, x] = 0.0 if rows[GUESS, x] == 0.0 else rows[COUNT, x]
        if not even or rows[COUNT, x] <= FEW or not gain[x] > 0.0:
            rows[SCALE, x] = _scale_of_determinant(n, rows[PHOTON, x], rows[READ, x], cov)
    for j in range(n):
        for x in range(width):
            work[ALPHA, j, x] = (rows[PHOTON, x] * cov[0, j] + rows[READ, x] * cov[1, j]) / rows[SCALE, x]
    for j in range(n - 1):
        for x in range(width):
            beta = (rows[PHOTON, x] * cov[2, j] + rows[READ, x] * cov[3, j]) / rows[SCALE, x]
            work[BETA, j, x] = beta * work[USE, j + 1, x] * work[USE, j, x]


@jit
def _minors_up(n: int, width: int, work: np.ndarray) -> None:
    """Minors from the start of the ramp, and their sums over a constant and over the data."""
    theta, beta, alpha, tsum, tdata, data = work[THETA], work[BETA], work[ALPHA], work[THETA_SUM], work[THETA_DATA], work[MASKED]
    for x in range(width):
        theta[0, x], theta[1, x], tsum[0, x], tdata[0, x], tdata[1, x] = 1.0, alpha[0, x], -1.0, 0.0, -data[0, x]
    for i in range(2, n + 1):
        for x in range(width):
            theta[i, x] = alpha[i - 1, x] * theta[i - 1, x] - beta[i - 2, x] * beta[i - 2, x] * theta[i - 2, x]
    for i in range(1, n):
        sign = 1.0 if i % 2 else -1.0
        for x in range(width):
            tsum[i, x] = tsum[i - 1, x] * beta[i - 1, x] + sign * theta[i, x]
        for x in range(width):
            tdata[i + 1, x] = beta[i - 1, x] * tdata[i, x] + sign * data[i, x] * theta[i, x]


@jit
def _minors_down(n: int, width: int, work: np.ndarray) -> None:
    """Minors from the end of the ramp, and their sums over a constant and over the data."""
    phi, beta, alpha, psum, pdata, data = work[PHI], work[BETA], work[ALPHA], work[PHI_SUM], work[PHI_DATA], work[MASKED]
    for x in range(width):
        phi[n, x], phi[n - 1, x], psum[n - 1, x], pdata[n - 1, x] = 1.0, alpha[n - 1, x], 0.0, 0.0
    for i in range(n - 2, -1, -1):
        sign = 1.0 if (i + 1) % 2 else -1.0
        for x in range(width):
            phi[i, x] = alpha[i, x] * phi[i + 1, x] - beta[i, x] * beta[i, x] * phi[i + 2, x]
        for x in range(width):
            psum[i, x] = psum[i + 1, x] * beta[i, x] + sign * beta[i, x] * phi[i + 2, x]
        for x in range(width):
            pdata[i, x] = (pdata[i + 1, x] + sign * data[i + 1, x] * phi[i + 2, x]) * beta[i, x]


@jit
def _projections(n: int, width: int, work: np.ndarray) -> None:
    """Products of the inverse matrix with a constant (WEIGHT, of differences in use) and with the data (DATA)."""
    theta, phi, use, weight, data = work[THETA], work[PHI], work[USE], work[WEIGHT], work[DATA]
    tsum, tdata, psum, pdata = work[THETA_SUM], work[THETA_DATA], work[PHI_SUM], work[PHI_DATA]
    for i in range(n):
        sign = 1.0 if i % 2 else -1.0
        for x in range(width):
            weight[i, x] = sign / theta[n, x] * (phi[i + 1, x] * tsum[i, x] + theta[i, x] * psum[i, x]) * use[i, x]
        for x in range(width):
            data[i, x] = sign / theta[n, x] * (phi[i + 1, x] * tdata[i + 1, x] + theta[i, x] * pdata[i, x])


@jit
def solve(n: int, width: int, work: np.ndarray, rows: np.ndarray) -> None:
    """Best rate and chi squared of each ramp, after `covariance_of`.

    Leaves in `work` the weights of differences (WEIGHT) and the data's projection (DATA), in `rows` the forms A, B, C of
    chi squared, a parabola in the rate, its minimum CHI2 and the RATE there.
    """
    theta, phi, beta, tdata, value = work[THETA], work[PHI], work[BETA], work[THETA_DATA], work[MASKED]
    for i in range(n):
        for x in range(width):
            value[i, x] = work[DIFF, i, x] * work[USE, i, x]
    _minors_up(n, width, work)
    _minors_down(n, width, work)
    _projections(n, width, work)
    a, b, c, chi2 = rows[A], rows[B], rows[C], rows[CHI2]
    a[:width], b[:width], c[:width], chi2[:width] = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        sign = 1.0 if i % 2 else -1.0
        if i > 0:
            for x in range(width):
                chi2[x] += value[i, x] * sign / theta[n, x] * beta[i - 1, x] * phi[i + 1, x] * tdata[i, x]
        else:
            for x in range(width):
                chi2[x] += value[i, x] * sign / theta[n, x] * phi[i + 1, x] * tdata[i, x]
        for x in range(width):
            a[x] += value[i, x] * value[i, x] * theta[i, x] * phi[i + 1, x] / theta[n, x]
        for x in range(width):
            b[x] += value[i, x] * work[WEIGHT, i, x]
        for x in range(width):
            c[x] += work[WEIGHT, i, x]
    for x in range(width):
        a[x] = 2.0 * chi2[x] + a[x]
    for x in range(width):
        rows[RATE, x] = b[x] * (1.0 / c[x])
    for x in range(width):
        chi2[x] = (a[x] - b[x] * b[x] / c[x]) / rows[SCALE, x]


@jit
def without_one(n: int, width: int, work: np.ndarray, rows: np.ndarray) -> None:
    """Chi squared (GAIN_ONE) and rate (RATE_ONE) without each difference, after `solve`; the inverse matrix's DIAGONAL.

    The largest drop of chi squared is in ``rows[BEST]``, NaN if any is.
    """
    theta, phi, use, a, b, c = work[THETA], work[PHI], work[USE], rows[A], rows[B], rows[C]
    own, rate, jump, chi2, best = work[DIAGONAL], work[RATE_ONE], work[RATE_TWO], work[GAIN_ONE], rows[BEST]
    weight, data = work[WEIGHT], work[DATA]
    best[:width] = -np.inf
    for i in range(n):
        for x in range(width):
            own[i, x] = theta[i, x] * phi[i + 1, x] / theta[n, x] * use[i, x]
        for x in range(width):
            rate[i, x] = (own[i, x] * b[x] - data[i, x] * weight[i, x]) / (c[x] * own[i, x] - weight[i, x] * weight[i, x])
        for x in range(width):
            jump[i, x] = (data[i, x] - rate[i, x] * weight[i, x]) / own[i, x]
        for x in range(width):
            r, z = rate[i, x], jump[i, x]
            chi2[i, x] = a[x] + r * r * c[x] - 2.0 * r * b[x] + z * z * own[i, x] - 2.0 * z * data[i, x] + 2.0 * r * z * weight[i, x]
        for x in range(width):
            chi2[i, x] = chi2[i, x] / rows[SCALE, x] if use[i, x] != 0.0 else rows[CHI2, x]
        for x in range(width):
            rate[i, x] = rate[i, x] if use[i, x] != 0.0 else rows[RATE, x]
        for x in range(width):
            gain = rows[CHI2, x] - chi2[i, x]
            best[x] = best[x] if gain <= best[x] or best[x] != best[x] else gain


@jit
def without_two(n: int, width: int, work: np.ndarray, rows: np.ndarray) -> None:
    """Chi squared (GAIN_TWO) and rate (RATE_TWO) without each pair of neighbours, after `without_one`; NEXT is beside the diagonal."""
    for i in range(n - 1):
        for x in range(width):
            work[NEXT, i, x] = -work[BETA, i, x] * work[THETA, i, x] * work[PHI, i + 2, x] / work[THETA, n, x]
        for x in range(width):
            b, c, first, second = rows[B, x], rows[C, x], work[WEIGHT, i, x], work[WEIGHT, i + 1, x]
            one, two, off = work[DIAGONAL, i, x], work[DIAGONAL, i + 1, x], work[NEXT, i, x]
            p, q = work[DATA, i, x], work[DATA, i + 1, x]
            own, cross, data = first * first - c * one, first * second - c * off, b * first - p * c
            rest, other = second * second - c * two, b * second - q * c
            if rows[COUNT, x] > FEW:  # stays defined where `cross` vanishes
                later = (data * cross - other * own) / (cross * cross - rest * own)
            else:
                later = (data / own - other / cross) / (cross / own - rest / cross)
            early = (data - later * cross) / own
            rate = (b - early * first - later * second) / c
            chi2 = rows[A, x] + rate * rate * c + early * early * one + later * later * two
            chi2 -= 2.0 * rate * b + 2.0 * early * p + 2.0 * later * q
            chi2 += 2.0 * rate * early * first + 2.0 * rate * later * second + 2.0 * early * later * off
            chi2 /= rows[SCALE, x]
            if work[USE, i + 1, x] == 0.0:
                chi2, rate = work[GAIN_ONE, i, x], work[RATE_ONE, i, x]
            if work[USE, i, x] == 0.0:
                chi2, rate = work[GAIN_ONE, i + 1, x], work[RATE_ONE, i + 1, x]
            work[GAIN_TWO, i, x], work[RATE_TWO, i, x] = chi2, rate
