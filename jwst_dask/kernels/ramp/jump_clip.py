"""Sigma clipping of the differences of a long series of integrations, and the medians of pixels that it finds jumps in.

Most numbers are far from any limit, which mean and standard deviation tell without a median; only the others are clipped.
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.clip import bounds, select
from jwst_dask.kernels.ramp.lanes import load
from jwst_dask.kernels.ramp.neighbours import JUMP

ROUNDS = 5
NEARLY = 1.0 - 1e-9
"""Differences below this part of a limit need no exact division."""
LANES = 128, 1 << 19
"""Most pixels side by side, and numbers of scratch: nothing is sorted, which goes through it a few times only."""
CLOSE = 0.125
"""Standard deviations that a median is usually within of the mean."""


@jit
def noise_of(median, square, nframes):  # type: ignore[no-untyped-def]
    """Expected noise of a difference; NaN instead of 0, so that nothing is flagged."""
    sigma = np.sqrt(abs(median) + np.float64(square) / nframes)
    return np.nan if sigma == 0.0 else sigma


@jit
def jumped_row(sci, dq, gain, noise, nframes, y, limit, sets, diffs, work, median, sigma):  # type: ignore[no-untyped-def]
    """Clip a row, and find median and noise (float64[x]) of those of its pixels that have jumps; nobody asks for the others'.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
    dq : uint8[integration, group, y, x]
        Changed in place.
    gain, noise : float32[y, x]
    nframes : float
    y : int
    limit : float
        Standard deviations.
    sets : int
        Differences of a pixel that are clipped apart: those of a group, all (1), or none because that has been done (0).
    diffs, work : float32[difference, lane]
        Scratch.
    median, sigma : float64[x]
    """
    nx, nlanes, values = dq.shape[3], diffs.shape[1], work.reshape(-1)
    jumped = np.empty(nx, np.bool_)
    if sets == 0:
        _have_jumps(dq, y, jumped)
    for x0 in range(0, nx, nlanes):
        width = min(nlanes, nx - x0)
        if sets == 0 and not jumped[x0 : x0 + width].any():
            continue
        load(sci, dq, gain, y, x0, width, diffs)
        if sets > 0:
            _clip_lanes(dq, y, x0, width, diffs, sets, limit)
            _have_jumps(dq, y, jumped)
        for k in range(width):
            if jumped[x0 + k]:
                median[x0 + k] = _lane_median(diffs, k, values)
                sigma[x0 + k] = noise_of(median[x0 + k], noise[y, x0 + k] * noise[y, x0 + k], nframes)


@jit
def _have_jumps(dq, y, jumped):  # type: ignore[no-untyped-def]
    """Which pixels of a row have jumps (bool[x])."""
    any_of = np.zeros(jumped.size, np.uint8)
    for i in range(dq.shape[0]):
        for g in range(dq.shape[1]):
            flags = dq[i, g, y]
            for x in range(any_of.size):
                any_of[x] |= flags[x]
    for x in range(any_of.size):
        jumped[x] = any_of[x] & JUMP != 0


@jit
def _lane_median(diffs, k, values):  # type: ignore[no-untyped-def]
    """Median (float64) of ``diffs[:, k]`` without NaN, selected from those near the mean if it is there; `values` is scratch for all twice."""
    count, finite, mean, square = 0, 0, 0.0, 0.0
    for j in range(diffs.shape[0]):
        value = diffs[j, k]
        if value == value:
            values[count] = value
            count += 1
            if abs(value) < np.float32(np.inf):
                finite += 1
                mean += value
                square += np.float64(value) * value
    if count == 0:
        return np.nan
    mean /= max(finite, 1)
    reach = CLOSE * np.sqrt(max(square / max(finite, 1) - mean * mean, 0.0))
    low, high, near, below, inside = np.float32(mean - reach), np.float32(mean + reach), values[count:], 0, 0
    for j in range(count):
        value = values[j]
        below += 1 if value < low else 0
        near[inside] = value
        inside += 1 if low <= value <= high else 0
    if below <= (count - 1) // 2 and count // 2 < below + inside:
        return _middle(near, inside, (count - 1) // 2 - below, count // 2 - below)
    return _middle(values, count, (count - 1) // 2, count // 2)


@jit
def _middle(values, count, lower, upper):  # type: ignore[no-untyped-def]
    """Mean (float64) of the values of two ranks, the same or neighbours, among ``values[:count]``, which are partly reordered."""
    largest = select(values, count, upper)
    if lower == upper:
        return np.float64(largest)
    before = values[0]
    for i in range(upper):
        before = max(before, values[i])
    return (np.float64(before) + np.float64(largest)) / 2.0


@jit
def clip(sci, dq, gain, limit, sets, nlanes):  # type: ignore[no-untyped-def]
    """Flag differences outside the limits that sigma clipping leaves, in all rows (arguments as of `jumped_row`)."""
    nints, ngroups, ny, nx = dq.shape
    diffs = np.empty((nints * (ngroups - 1), nlanes), np.float32)
    for y in range(ny):
        for x0 in range(0, nx, nlanes):
            width = min(nlanes, nx - x0)
            load(sci, dq, gain, y, x0, width, diffs)
            _clip_lanes(dq, y, x0, width, diffs, sets, limit)


@jit
def _clip_lanes(dq, y, x0, width, diffs, sets, limit):  # type: ignore[no-untyped-def]
    """Clip the differences of some pixels side by side, each of `sets` of them apart."""
    ndiffs, nlanes = diffs.shape
    wide, values = diffs.reshape((ndiffs // sets, sets * nlanes)), np.empty(ndiffs // sets, np.float64)
    far = _far(wide, limit)
    for start in range(sets):
        for k in range(width):
            if far[start * nlanes + k]:
                _clip_pixel(dq, y, x0 + k, wide[:, start * nlanes + k], start, sets, limit, values)


@jit
def _far(wide, limit):  # type: ignore[no-untyped-def]
    """Whether any of the finite numbers of a column may be outside the limits of the first round (bool[column]).

    That is told from mean and standard deviation, of which the median is never more than one apart.
    """
    n = wide.shape[1]
    count, mean, square = np.zeros(n, np.int64), np.zeros(n, np.float64), np.zeros(n, np.float64)
    least, most, far = np.full(n, np.float32(np.inf)), np.full(n, np.float32(-np.inf)), np.empty(n, np.bool_)
    for j in range(wide.shape[0]):
        source = wide[j]
        for k in range(n):
            good = abs(source[k]) < np.float32(np.inf)
            count[k] += 1 if good else 0
            mean[k] += source[k] if good else 0.0
            least[k] = source[k] if good and source[k] < least[k] else least[k]
            most[k] = source[k] if good and source[k] > most[k] else most[k]
    for k in range(n):
        mean[k] /= max(count[k], 1)
    for j in range(wide.shape[0]):
        source = wide[j]
        for k in range(n):
            apart = np.float64(source[k]) - mean[k]
            square[k] += apart * apart if abs(source[k]) < np.float32(np.inf) else 0.0
    spread, extent, unsure = np.sqrt(square / np.maximum(count, 1)), np.empty(n, np.float64), False
    for k in range(n):
        extent[k] = max(np.float64(most[k]) - mean[k], mean[k] - np.float64(least[k]))
        far[k] = count[k] > 0 and not extent[k] < NEARLY * (limit - 1.0) * spread[k]
        unsure |= far[k] and extent[k] < NEARLY * (limit - CLOSE) * spread[k]
    if unsure:
        _with_medians(wide, mean, spread, count, extent, limit, far)
    return far


@jit
def _with_medians(wide, mean, spread, count, extent, limit, far):  # type: ignore[no-untyped-def]
    """The same where the median is shown to be within `CLOSE` standard deviations of the mean: most numbers are beyond neither end."""
    below, above = np.zeros(mean.size, np.int64), np.zeros(mean.size, np.int64)
    low, high = mean - CLOSE * spread, mean + CLOSE * spread
    for j in range(wide.shape[0]):
        source = wide[j]
        for k in range(mean.size):
            good = abs(source[k]) < np.float32(np.inf)
            below[k] += 1 if good and source[k] < low[k] else 0
            above[k] += 1 if good and source[k] > high[k] else 0
    for k in range(mean.size):
        if 2 * max(below[k], above[k]) < count[k] - 1 and extent[k] < NEARLY * (limit - CLOSE) * spread[k]:
            far[k] = False


@jit
def _clip_pixel(dq, y, x, diffs, start, step, limit, values):  # type: ignore[no-untyped-def]
    """Clip differences, which are every `step`-th of a pixel from `start` on, and flag what is outside."""
    count, ndiffs = 0, dq.shape[1] - 1
    for j in range(diffs.size):
        if np.isfinite(diffs[j]):
            values[count] = diffs[j]
            count += 1
    low, high = bounds(values, count, limit, ROUNDS)
    for j in range(diffs.size):
        value, n = np.float64(diffs[j]), start + j * step
        if np.isfinite(value) and (value < low or value > high):
            dq[n // ndiffs, n % ndiffs + 1, y, x] |= JUMP


@jit
def unflag(dq, full):  # type: ignore[no-untyped-def]
    """Take the jump flag from groups (`full`: bool[integration, group]) of uint8[integration, group, y, x], where it is alone."""
    for i in range(dq.shape[0]):
        for g in range(dq.shape[1]):
            if full[i, g]:
                for y in range(dq.shape[2]):
                    for x in range(dq.shape[3]):
                        if dq[i, g, y, x] == JUMP:
                            dq[i, g, y, x] = 0
