"""Count rates of ramps by the likelihood of their differences, with its own rejection of jumps.

The results of an integration are its own, so that integrations may be split over blocks as one likes; only the 2-D rate
(`average`) rests on the planes of all of them. All functions work on row bands without a halo.

Sources: Brandt 2024a, PASP 136, 045004; Brandt 2024b, PASP 136, 045005; JWST documentation, ramp_fitting ("Likelihood").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp import likely_solve as ls
from jwst_dask.kernels.ramp.segments import sort_columns

MIN_GROUPS = 4
ONE_OMIT, TWO_OMIT = 20.25, 23.8
"""Drop of chi squared that makes a jump of one difference, and of two neighbouring ones."""
DO_NOT_USE, SATURATED, JUMP_DET = 1, 2, 4
DROPPED = -1.0e300
"""In place of the drop of chi squared of a ramp in which something was rejected."""


@dataclass(frozen=True)
class Covariance:
    """Covariance of differences of successive resultants, for unit count rate and unit read noise.

    Attributes
    ----------
    steps : float64[difference]
        Time from one resultant to the next, s.
    terms : float64[4, difference]
        Photon and read noise on the diagonal; the same between a difference and the next (last column unused).
    pairs : bool[difference]
        Whether a difference and the next share a resultant of several reads, and may be rejected together.
    even : bool
        Whether differences are alike.
    """

    steps: np.ndarray
    terms: np.ndarray
    pairs: np.ndarray
    even: bool


def read_pattern(ngroups: int, nframes: int, groupgap: int, frame_time: float) -> list[np.ndarray]:
    """Times of the reads of each group (s), evenly spaced."""
    return [(np.arange(1, nframes + 1) + k * (nframes + groupgap)) * frame_time for k in range(ngroups)]


def covariance(reads: Sequence[np.ndarray | Sequence[float] | float]) -> Covariance:
    """Covariance of differences for the times of reads (s) that make up each resultant.

    Raises
    ------
    ValueError
        With fewer than four resultants.
    """
    if len(reads) < MIN_GROUPS:
        raise ValueError(f"the likelihood fit needs at least {MIN_GROUPS} groups, not {len(reads)}")
    times = [np.atleast_1d(np.asarray(own, dtype=np.float64)) for own in reads]
    count = np.array([own.size for own in times])
    mean = np.array([own.mean() for own in times])
    weighted = np.array([np.sum((2 * own.size + 1 - 2 * np.arange(1, own.size + 1)) * own) / own.size**2 for own in times])
    step = np.diff(mean)
    terms = np.zeros((4, step.size))
    terms[0] = (weighted[:-1] + weighted[1:] - 2 * mean[:-1]) / step**2
    terms[1] = (1 / count[:-1] + 1 / count[1:]) / step**2
    terms[2, :-1] = (mean[1:-1] - weighted[1:-1]) / (step[1:] * step[:-1])
    terms[3, :-1] = -1 / (count[1:-1] * step[1:] * step[:-1])
    pairs = np.append(count[1:-1] > 1, False)
    inner = terms[:, 1:-1]  # a zero frame makes the first difference unlike the others
    even = bool(inner.shape[1] > 0 and np.allclose(inner, inner[:, :1], rtol=0.01, atol=0.0))
    return Covariance(step, terms, pairs, even)


@jit
def _medians(n: int, width: int, work: np.ndarray, rows: np.ndarray) -> None:
    """First guess of rates: the median of all differences, NaN if any is; negative ones count as zero."""
    order = work[ls.GAIN_ONE]
    for x in range(width):
        rows[ls.RATE, x] = 0.0
    for j in range(n):
        for x in range(width):
            order[j, x] = work[ls.DIFF, j, x]
            rows[ls.RATE, x] += order[j, x]
    sort_columns(order, n, width)
    for x in range(width):
        middle = order[n // 2, x] if n % 2 else (order[n // 2 - 1, x] + order[n // 2, x]) / 2.0
        rows[ls.GUESS, x] = rows[ls.RATE, x] if rows[ls.RATE, x] != rows[ls.RATE, x] else middle if middle > 0.0 else 0.0


@jit
def _reject(n: int, x: int, work: np.ndarray, rows: np.ndarray, pairs: np.ndarray, two: bool) -> bool:
    """Put the worst difference of a ramp, or pair of them, out of use if chi squared gains enough; sets ``rows[RATE]`` then."""
    chi2 = rows[ls.CHI2, x]
    best_one, best_two = rows[ls.BEST, x], -np.inf
    if not two and not best_one > ONE_OMIT:
        return False
    for j in range(n - 1):
        gain = (chi2 - work[ls.GAIN_TWO, j, x]) * pairs[j] if two else 0.0
        best_two = gain if gain > best_two or gain != gain else best_two
    if best_one != best_one or best_two != best_two:
        return False
    rate, found = 0.0, False
    if best_one - ONE_OMIT > best_two - TWO_OMIT:
        if best_one > ONE_OMIT:
            for j in range(n):
                if chi2 - work[ls.GAIN_ONE, j, x] == best_one:
                    rate, found = rate + work[ls.RATE_ONE, j, x], True
                    work[ls.USE, j, x] = 0.0
    elif best_two > TWO_OMIT:
        for j in range(n - 1):
            if chi2 - work[ls.GAIN_TWO, j, x] == best_two:
                rate, found = rate + work[ls.RATE_TWO, j, x], True
                work[ls.USE, j, x] = work[ls.USE, j + 1, x] = 0.0
    if found:
        rows[ls.RATE, x], rows[ls.BEST, x] = rate, DROPPED
    return found


@jit
def _round(n, width, cov, even, pairs, two, gain, noise, work, rows, again):  # type: ignore[no-untyped-def]
    """One search for jumps in all ramps of a tile. Marks in `again` those to be searched once more; returns their number."""
    ls.covariance_of(n, width, cov, even, gain, noise, work, rows)
    ls.solve(n, width, work, rows)
    ls.without_one(n, width, work, rows)
    any_two = two
    for x in range(width):
        any_two = any_two or rows[ls.COUNT, x] <= ls.FEW
    if any_two:
        ls.without_two(n, width, work, rows)
    left = 0
    for x in range(width):
        again[x] = 0
        if not two and not rows[ls.BEST, x] > ONE_OMIT and rows[ls.COUNT, x] > ls.FEW:
            continue
        if _reject(n, x, work, rows, pairs, two or rows[ls.COUNT, x] <= ls.FEW):
            count = 0.0
            for j in range(n):
                count += work[ls.USE, j, x]
            if count > ls.FEW:
                again[x] = 1
                left += 1
    return left


@jit
def _search(n, width, cov, even, pairs, two, gain, noise, full, some):  # type: ignore[no-untyped-def]
    """Reject jumps until none is found. `full` and `some` are two sets of scratch; results are in the first."""
    work, rows, again, hit = full
    small, small_rows, small_again, small_gain, small_noise, place = some
    left = _round(n, width, cov, even, pairs, two, gain, noise, work, rows, again)
    for x in range(width):
        hit[x] = rows[ls.BEST, x] == DROPPED
    for _ in range(n - 1):
        if left == 0:
            break
        left = 0
        for x in range(width):
            if again[x]:
                place[left] = x
                small_rows[ls.GUESS, left], small_rows[ls.RATE, left] = rows[ls.GUESS, x], rows[ls.RATE, x]
                small_gain[left], small_noise[left] = gain[x], noise[x]
                for j in range(n):
                    small[ls.DIFF, j, left], small[ls.USE, j, left] = work[ls.DIFF, j, x], work[ls.USE, j, x]
                left += 1
                again[x] = 0
        count = left
        left = _round(n, count, cov, even, pairs, two, small_gain, small_noise, small, small_rows, small_again)
        for k in range(count):
            x = place[k]
            dropped = False
            for j in range(n):
                dropped = dropped or work[ls.USE, j, x] != small[ls.USE, j, k]
                work[ls.USE, j, x] = small[ls.USE, j, k]
            if dropped:
                rows[ls.RATE, x] = small_rows[ls.RATE, k]
            again[x] = small_again[k]


@jit
def _load(i, y, x0, width, sci, groupdq, selected, zero, nframes, steps, work, first, flags):  # type: ignore[no-untyped-def]
    """Differences per second of a tile, and which are in use; flags of groups are gathered in `flags` (any, all)."""
    ngroups = sci.shape[1]
    shift = 1 if nframes > 0 else 0
    for x in range(width):
        flags[0, x], flags[1, x] = 0, DO_NOT_USE
        if shift:
            head, frame = sci[i, 0, y, x0 + x], zero[i, y, x0 + x]
            first[x] = np.float32(np.float32(np.float32(head * np.float32(nframes)) - frame) / np.float32(nframes - 1))
            work[ls.DIFF, 0, x] = np.float64(np.float32(first[x] - frame)) / steps[0]
        else:
            first[x] = sci[i, 0, y, x0 + x]
    for g in range(ngroups):
        outside = np.uint8(0 if selected[0] <= g < selected[1] else DO_NOT_USE)
        for x in range(width):
            flag = groupdq[i, g, y, x0 + x] | outside
            flags[0, x] |= flag
            flags[1, x] = flags[1, x] if flag & (DO_NOT_USE | SATURATED) else 0
            good = 1.0 if flag == 0 else 0.0
            if g == 0:
                work[ls.USE, 0, x] = good
            else:
                here = sci[i, g, y, x0 + x]
                work[ls.DIFF, g - 1 + shift, x] = np.float64(np.float32(here - first[x])) / steps[g - 1 + shift]
                work[ls.USE, g - 1 + shift, x] *= good
                first[x] = here
            if g < ngroups - 1:
                work[ls.USE, g + shift, x] = good


@jit
def _store(i, y, x0, n, width, cov, work, rows, out):  # type: ignore[no-untyped-def]
    """Rate, error, variances and chi squared of a tile after the last fit."""
    sci, _, var_poisson, var_rnoise, err, chisq = out
    photon, read, weight, c = rows[ls.A], rows[ls.B], work[ls.WEIGHT], rows[ls.C]
    for j in range(n):
        for x in range(width):
            weight[j, x] /= c[x]
    photon[:width], read[:width] = 0.0, 0.0
    for j in range(n):
        for x in range(width):
            photon[x] += weight[j, x] * weight[j, x] * cov[0, j]
        for x in range(width):
            read[x] += weight[j, x] * weight[j, x] * cov[1, j]
        if j < n - 1:
            for x in range(width):
                photon[x] += 2.0 * weight[j, x] * weight[j + 1, x] * cov[2, j]
            for x in range(width):
                read[x] += 2.0 * weight[j, x] * weight[j + 1, x] * cov[3, j]
    for x in range(width):
        sci[i, y, x0 + x] = rows[ls.RATE, x]
        err[i, y, x0 + x] = math.sqrt(rows[ls.SCALE, x] / c[x])
        var_poisson[i, y, x0 + x] = photon[x] * rows[ls.PHOTON, x]
        var_rnoise[i, y, x0 + x] = read[x] * rows[ls.READ, x]
        chisq[i, y, x0 + x] = rows[ls.CHI2, x]


@jit
def _blocks(sci, groupdq, pixeldq, zero, noise, gain, dark, nframes, selected, steps, cov, pairs, even, out):  # type: ignore[no-untyped-def]
    nints, _, ny, nx = sci.shape
    n = steps.size
    work, rows = ls.scratch_of(n)
    small, small_rows = ls.scratch_of(n)
    again, small_again, hit = np.zeros(ls.LANES, np.uint8), np.zeros(ls.LANES, np.uint8), np.zeros(ls.LANES, np.uint8)
    first, flags = np.empty(ls.LANES, np.float32), np.empty((2, ls.LANES), np.uint8)
    own = np.empty((4, ls.LANES))
    place = np.empty(ls.LANES, np.int64)
    two = bool(pairs.any())
    for i in range(nints):
        for y in range(ny):
            for x0 in range(0, nx, ls.LANES):
                width = min(ls.LANES, nx - x0)
                _load(i, y, x0, width, sci, groupdq, selected, zero, nframes, steps, work, first, flags)
                for x in range(width):
                    own[0, x], own[1, x] = gain[y, x0 + x], np.float64(noise[y, x0 + x]) / math.sqrt(2.0)
                _medians(n, width, work, rows)
                _search(n, width, cov, even, pairs, two, own[0], own[1], (work, rows, again, hit), (small, small_rows, small_again, own[2], own[3], place))
                for x in range(width):
                    rate = rows[ls.RATE, x]
                    rows[ls.GUESS, x] = (rate if rate > 0.0 else 0.0 * rate) + dark[y, x0 + x]
                    flags[0, x] |= JUMP_DET if hit[x] else 0
                    out[1][i, y, x0 + x] = pixeldq[y, x0 + x] | np.uint32((flags[0, x] & (SATURATED | JUMP_DET)) | flags[1, x])
                ls.covariance_of(n, width, cov, even, own[0], own[1], work, rows)
                ls.solve(n, width, work, rows)
                _store(i, y, x0, n, width, cov, work, rows, out)


@dataclass(frozen=True)
class Likely:
    """Planes of integrations (float32[integration, y, x], dq uint32), or of their average (without the first axis)."""

    sci: np.ndarray
    dq: np.ndarray
    var_poisson: np.ndarray
    var_rnoise: np.ndarray
    err: np.ndarray
    chisq: np.ndarray


def fit_likely(
    sci: np.ndarray,
    groupdq: np.ndarray,
    pixeldq: np.ndarray,
    readnoise: np.ndarray,
    gain: np.ndarray,
    dark: np.ndarray,
    reads: Sequence[np.ndarray],
    *,
    zeroframe: np.ndarray | None = None,
    selected: tuple[int, int] | None = None,
) -> Likely:
    """Fit a block of integrations; all results are final.

    Parameters
    ----------
    sci : ndarray of float32[integration, group, y, x]
        DN. Unchanged, as all arguments.
    groupdq : ndarray of uint8[integration, group, y, x]
    pixeldq : ndarray of uint32[y, x]
    readnoise, gain, dark : ndarray of float32[y, x]
        Of a pair of frames, DN; electrons per DN; average dark current, DN/s.
    reads : sequence of arrays
        Times of the reads of each group, s.
    zeroframe : ndarray of float32[integration, y, x], optional
        Becomes a resultant before the others where groups have several reads.
    selected : tuple of int, optional
        Groups from the first to before the second are in use.

    Raises
    ------
    ValueError
        With fewer than four groups, or if `reads` does not fit the groups.
    """
    nints, ngroups, ny, nx = sci.shape
    if len(reads) != ngroups:
        raise ValueError(f"{len(reads)} read times for {ngroups} groups")
    nframes = int(np.size(reads[0])) if zeroframe is not None else 0
    times = [np.atleast_1d(own) for own in reads]
    nframes = nframes if nframes > 1 else 0
    if nframes:
        times = [times[0][:1], times[0][1:], *times[1:]]
    cov = covariance(times)
    shape = (nints, ny, nx)
    planes = [np.empty(shape, np.float32) for _ in range(5)]
    out = Likely(planes[0], np.empty(shape, np.uint32), *planes[1:])
    zero = np.zeros((1, 1, 1), np.float32) if zeroframe is None else zeroframe
    _blocks(sci, groupdq, pixeldq, zero, readnoise, gain, dark, nframes, selected or (0, ngroups), cov.steps, cov.terms, cov.pairs, cov.even,
            (out.sci, out.dq, out.var_poisson, out.var_rnoise, out.err, out.chisq))  # fmt: skip
    return out


@jit
def _average(sci, dq, var_poisson, var_rnoise, chisq, out):  # type: ignore[no-untyped-def]
    nints, ny, nx = sci.shape
    buffer = np.empty(nints, np.float32)
    for y in range(ny):
        for x in range(nx):
            count, some, every, chi2 = 0, np.uint32(0), np.uint32(DO_NOT_USE), 0.0
            for i in range(nints):
                some |= dq[i, y, x]
                every &= dq[i, y, x]
                chi2 += chisq[i, y, x]
                if sci[i, y, x] == sci[i, y, x]:
                    buffer[count] = sci[i, y, x]
                    count += 1
            rate, photon, read = np.nan, np.nan, np.nan
            if count > 0:
                values = np.sort(buffer[:count])
                rate = np.float64(values[count // 2])
                if count % 2 == 0:
                    rate = np.float64(np.float32((values[count // 2 - 1] + values[count // 2]) * np.float32(0.5)))
            for _ in range(2):
                rate, photon, read = _weighted(rate, sci[:, y, x], var_poisson[:, y, x], var_rnoise[:, y, x])
            out[0][y, x], out[2][y, x], out[3][y, x] = rate, photon, read
            out[1][y, x] = (some & ~np.uint32(DO_NOT_USE)) | every
            out[4][y, x], out[5][y, x] = math.sqrt(photon + read), chi2


@jit
def _weighted(guess: float, sci: np.ndarray, var_poisson: np.ndarray, var_rnoise: np.ndarray) -> tuple[float, float, float]:
    """Mean rate and its variances, with weights of variances whose photon noise is that of the guessed rate."""
    total, rate, photon, read, found = 0.0, 0.0, 0.0, 0.0, False
    for i in range(sci.size):
        ratio = guess / np.float64(sci[i])
        ratio = ratio if 0.0 <= ratio < np.inf else 0.0
        own = np.float64(var_poisson[i]) * ratio
        weight = 1.0 / (own + np.float64(var_rnoise[i]))
        if weight == weight:
            total += weight
            if sci[i] == sci[i]:
                found = True
                rate += weight * np.float64(sci[i])
            photon += weight * weight * own
            read += weight * weight * np.float64(var_rnoise[i])
    if not found:
        return np.nan, np.nan, np.nan
    return rate / total, photon / (total * total), read / (total * total)


def average(cube: Likely) -> Likely:
    """The 2-D rate of all integrations of an exposure.

    Two rounds of weighting by inverse variances, whose photon noise is that of the mean rate: of the median at first.
    A single integration is handed on as it is.
    """
    if cube.sci.shape[0] == 1:
        return Likely(*(getattr(cube, name)[0] for name in cube.__dataclass_fields__))
    shape = cube.sci.shape[1:]
    planes = [np.empty(shape, np.float32) for _ in range(5)]
    out = Likely(planes[0], np.empty(shape, np.uint32), *planes[1:])
    _average(cube.sci, cube.dq, cube.var_poisson, cube.var_rnoise, cube.chisq, (out.sci, out.dq, out.var_poisson, out.var_rnoise, out.err, out.chisq))
    return out
