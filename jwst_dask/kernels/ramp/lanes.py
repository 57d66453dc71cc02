"""Differences of consecutive groups of many pixels side by side, and their medians.

Pixels lie along the last axis (lanes), so that sorting is comparisons of whole rows of scratch, which the compiler turns
into vector instructions, instead of a selection pixel by pixel.
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit

UNUSABLE = np.uint8(1 | 2)
"""DO_NOT_USE and SATURATED: groups that take part in no difference."""
MOST_LANES = 64
SCRATCH_VALUES = 1 << 17
"""float32 numbers of one scratch array that should not be exceeded, to stay in a core's cache."""


def lanes_for(ndiffs: int, nx: int = 0, widest: int = MOST_LANES, scratch: int = SCRATCH_VALUES) -> int:
    """How many pixels are handled side by side for this number of differences a pixel; rows of `nx` are divided evenly."""
    most = int(max(32, min(widest, scratch // max(ndiffs, 1))))
    return min(most, -(-nx // (8 * -(-nx // most))) * 8) if nx else most


@jit
def electrons(sci, dq, gain, i, g, y, x):  # type: ignore[no-untyped-def]
    """Signal of one group in electrons (float32), NaN if it is not usable."""
    if dq[i, g, y, x] & UNUSABLE:
        return np.float32(np.nan)
    return np.float32(sci[i, g, y, x] * gain[y, x])


@jit
def difference(sci, dq, gain, i, g, y, x):  # type: ignore[no-untyped-def]
    """Difference of group `g` and the one before in electrons (float64 of a float32), NaN if one is not usable."""
    return np.float64(electrons(sci, dq, gain, i, g, y, x) - electrons(sci, dq, gain, i, g - 1, y, x))


@jit
def load(sci, dq, gain, y, x0, width, diffs):  # type: ignore[no-untyped-def]
    """Fill ``diffs[:, :width]`` with the differences of the pixels from `x0` on in row `y`.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
    dq : uint8[integration, group, y, x]
    gain : float32[y, x]
    y, x0, width : int
    diffs : float32[integration * (group - 1), lane]
        Receives the differences in electrons, rounded to float32 after the gain and after the difference.
    """
    nints, ngroups = sci.shape[:2]
    factor = gain[y, x0 : x0 + width]
    for i in range(nints):
        for g in range(1, ngroups):
            values, before = sci[i, g, y, x0 : x0 + width], sci[i, g - 1, y, x0 : x0 + width]
            flags, flags_before = dq[i, g, y, x0 : x0 + width], dq[i, g - 1, y, x0 : x0 + width]
            out = diffs[i * (ngroups - 1) + g - 1]
            for k in range(width):
                value = values[k] * factor[k] - before[k] * factor[k]
                out[k] = np.float32(np.nan) if (flags[k] | flags_before[k]) & UNUSABLE else value


@jit
def copy_finite_last(diffs, width, absolute, work, count):  # type: ignore[no-untyped-def]
    """Copy the differences (or their absolute values) with infinity in place of NaN, and count what is not NaN.

    Parameters
    ----------
    diffs, work : float32[difference, lane]
    width : int
    absolute : bool
    count : int32[lane]
    """
    for k in range(width):
        count[k] = 0
    for j in range(diffs.shape[0]):
        source, target = diffs[j], work[j]
        for k in range(width):
            value = source[k]
            good = value == value
            value = abs(value) if absolute else value
            target[k] = value if good else np.float32(np.inf)
            count[k] += np.int32(1) if good else np.int32(0)


@jit
def _exchange(values, low, high, size):  # type: ignore[no-untyped-def]
    """Put the smaller of each pair of numbers into the run from `low` on, the larger into that from `high` on."""
    left, right = values[low : low + size], values[high : high + size]
    for k in range(size):
        a, b = left[k], right[k]
        left[k] = a if a < b else b
        right[k] = b if a < b else a


@jit
def sort(work):  # type: ignore[no-untyped-def]
    """Sort every lane of float32[difference, lane] in ascending order (K. Batcher's merge exchange, rows in runs)."""
    n, width = work.shape
    values = work.reshape(-1)
    top = 1
    while 2 * top < n:
        top *= 2
    p = top
    while p > 0 and n > 1:
        q, first, apart = top, 0, p
        while True:
            for i in range(first, n - apart, 2 * p):
                _exchange(values, i * width, (i + apart) * width, min(p, n - apart - i) * width)
            if q == p:
                break
            apart, q, first = q - p, q // 2, p
        p //= 2


@jit
def middle(work, k, first, last):  # type: ignore[no-untyped-def]
    """Median (float64) of the sorted numbers ``work[first:last, k]``; NaN of none."""
    n = last - first
    if n <= 0:
        return np.nan
    if n % 2:
        return np.float64(work[first + n // 2, k])
    return (np.float64(work[first + n // 2 - 1, k]) + np.float64(work[first + n // 2, k])) / 2.0
