"""Stretches of unflagged groups in a ramp, and the weighted straight line through one of them."""

from __future__ import annotations

import math

import numpy as np

from jwst_dask.kernels._jit import jit

DO_NOT_USE, SATURATED, JUMP_DET, PERSISTENCE, CHARGELOSS = 1, 2, 4, 32, 128
LARGE_VARIANCE = 1.0e6
"""Variances from here on stand for no information, and are reported as zero."""
POWERS = 6
"""Number of weighting schemes."""
NO_SPECIAL, ONE_GROUP, ZERO_FRAME = 0, 1, 2
"""How the only sample of a ramp was timed."""


@jit
def find_segments(flags: np.ndarray, x: int, n: int, start: np.ndarray, stop: np.ndarray) -> tuple[int, int]:
    """Segments of one ramp: runs of unflagged groups, each with the jump's own group before it.

    A run starts at the group before it when that group is flagged as a jump and as nothing else (but PERSISTENCE), because
    the jump happened before that group was read. Segments of one group count only where there is none longer, and then the
    first of them alone.

    Parameters
    ----------
    flags : ndarray of uint8[group, x]
    x, n : int
        Column of the ramp, and its number of groups.
    start, stop : ndarray of int64[n]
        Filled with the limits of segments.

    Returns
    -------
    kept, listed : int
        Number of segments; and their number as the optional product counts them, which includes dropped ones of a ramp that
        has none longer than one group.
    """
    kept, longest, opened = 0, 0, -1
    for g in range(n + 1):
        good = g < n and flags[g, x] & ~PERSISTENCE == 0
        if good and opened < 0:
            opened = g - 1 if g > 0 and flags[g - 1, x] & ~PERSISTENCE == JUMP_DET else g
        elif not good and opened >= 0:
            if g - opened > 1 or longest < 2:
                start[kept], stop[kept] = opened, g
                kept += 1
                longest = max(longest, g - opened)
            opened = -1
    if kept < 2:
        return kept, kept
    if longest < 2:
        return 1, kept
    listed, kept = kept, 0
    for k in range(listed):
        if stop[k] - start[k] > 1:
            start[kept], stop[kept] = start[k], stop[k]
            kept += 1
    return kept, kept


@jit
def settle(
    flags: np.ndarray, ramp: np.ndarray, x: int, n: int, suppress: bool, cut: bool, has_zero: bool, zero: float
) -> tuple[int, int, int, int]:
    """Bring the flags and samples of one ramp into the state in which it is fitted.

    Parameters
    ----------
    flags : ndarray of uint8[group, x]
        Changed.
    ramp : ndarray of float32[group, x]
        Saturated samples become NaN; the first becomes the zero frame where nothing else is good.
    x, n : int
    suppress : bool
        Ramps of one good group are not used.
    cut : bool
        Groups before the first were left out: a jump into the first group is none.
    has_zero : bool
    zero : float
        Zero frame of this ramp (0: none).

    Returns
    -------
    special : int
    bits : int
        All flags of the ramp's groups.
    saturated, lost : int
        Number of groups that are saturated; that are saturated or not to be used.
    """
    usable = 0
    for g in range(n):
        usable += flags[g, x] & ~PERSISTENCE == 0
    drop = DO_NOT_USE if suppress and usable == 1 else 0
    if cut:
        flags[0, x] &= ~JUMP_DET & 255
    bits, saturated, lost, good = 0, 0, 0, 0
    for g in range(n):
        flag = flags[g, x] | drop
        flags[g, x] = flag
        bits |= flag
        good += flag == 0
        lost += (flag & (DO_NOT_USE | SATURATED)) != 0
        if flag & SATURATED:
            saturated += 1
            ramp[g, x] = np.nan
    special = NO_SPECIAL
    if not suppress:
        if good == 1 and flags[0, x] == 0:
            special = ONE_GROUP
        elif good == 0 and has_zero and zero != 0.0:
            special = ZERO_FRAME
            ramp[0, x] = zero
            flags[0, x] = 0
            lost -= 1
            saturated -= saturated == n
    return special, bits, saturated, lost


@jit
def weighting(signal: float, rn: float, gain: float) -> int:
    """Scheme of weights (0 to 5) by the signal-to-noise ratio of a segment whose ends differ by `signal` (DN)."""
    den = rn * rn + signal * gain
    if den <= 0.0 or gain == 0.0:
        return 0
    snr = signal * gain / math.sqrt(den)
    if snr < 5.0:
        return 0
    if snr < 10.0:
        return 1
    if snr < 20.0:
        return 2
    if snr < 50.0:
        return 3
    return 4 if snr < 100.0 else 5


@jit
def sample_weight(power: int, distance: float, half: float) -> float:
    """Weight of a sample `distance` groups from the middle of a segment of ``2 half + 1`` groups (single precision)."""
    exponent = 0.0
    if power == 1:
        exponent = np.float64(np.float32(0.4))
    elif power == 2:
        exponent = 1.0
    elif power == 3:
        exponent = 3.0
    elif power == 4:
        exponent = 6.0
    elif power == 5:
        exponent = 10.0
    return np.float64(np.float32(math.pow(np.float64(np.float32(abs(distance * (1.0 / half)))), exponent)))


@jit
def coefficients(table: np.ndarray, ready: np.ndarray, power: int, length: int) -> int:
    """Place in `table` of a segment's slope coefficients, made when first asked for.

    Weights are symmetric, so that the slope is a sum over pairs of samples at equal distance from the middle:
    ``sum(table[power, place + j] * (last - j'th sample from the end minus j'th from the start))``.
    """
    place = (length - 1) * (length - 1) // 4
    if not ready[power, length]:
        half = (length - 1) / 2.0
        total = 0.0
        for j in range(length // 2):
            total += 2.0 * sample_weight(power, half - j, half) * (half - j) ** 2
        for j in range(length // 2):
            table[power, place + j] = sample_weight(power, half - j, half) * (half - j) / total
        ready[power, length] = 1
    return place


@jit
def slope_of(
    ramp: np.ndarray, x: int, start: int, length: int, rn: float, gain: float, table: np.ndarray, ready: np.ndarray
) -> tuple[float, int]:
    """Slope of three samples or more (DN per group), and the scheme of weights; samples that are NaN count as zero."""
    last = start + length - 1
    power = weighting(np.float64(ramp[last, x]) - np.float64(ramp[start, x]), rn, gain)
    place = coefficients(table, ready, power, length)
    slope = 0.0
    for j in range(length // 2):
        low, high = np.float64(ramp[start + j, x]), np.float64(ramp[last - j, x])
        slope += table[power, place + j] * ((high if high == high else 0.0) - (low if low == low else 0.0))
    return slope, power


@jit
def sort_columns(rows: np.ndarray, n: int, width: int) -> None:
    """Sort each column of ``rows[:n, :width]``: exchanges between rows in an order that needs no look at the data.

    Vector instructions do many columns at a time. Batcher's odd-even merges (Knuth, The Art of Computer Programming 3, 5.2.2).
    """
    merged = 1
    while merged < n:
        apart = merged
        while apart >= 1:
            for first in range(apart % merged, n - apart, 2 * apart):
                for low in range(first, min(first + apart, n - apart)):
                    high = low + apart
                    if low // (2 * merged) == high // (2 * merged):
                        for x in range(width):
                            a, b = rows[low, x], rows[high, x]
                            rows[low, x] = a if a < b else b
                            rows[high, x] = b if a < b else a
            apart //= 2
        merged *= 2


@jit
def median_steps(ramp: np.ndarray, flags: np.ndarray, n: int, width: int, steps: np.ndarray, count: np.ndarray) -> None:
    """Median difference of successive groups (DN), of all ramps of a tile at a time.

    Differences into a jump, or with a sample that is saturated, not to be used or NaN do not count.

    Parameters
    ----------
    ramp : ndarray of float32[group, x]
    flags : ndarray of uint8[group, x]
    n, width : int
        Groups and columns in use.
    steps : ndarray of float64[group, x]
        Scratch; row 0 holds the medians afterwards, 0 where there is none.
    count : ndarray of int32[x]
        Scratch.
    """
    count[:width] = 0
    lost = np.uint8(DO_NOT_USE | SATURATED)
    into = np.uint8(DO_NOT_USE | SATURATED | JUMP_DET)
    for k in range(n - 1):
        for x in range(width):
            step = np.float64(ramp[k + 1, x]) - np.float64(ramp[k, x])
            good = ((flags[k + 1, x] & into) | (flags[k, x] & lost)) == 0 and step == step
            steps[k, x] = step if good else np.inf
            count[x] += good
    sort_columns(steps, n - 1, width)
    for x in range(width):
        m = count[x]
        if m == 0:
            first = np.float64(ramp[0, x])
            steps[0, x] = first if flags[0, x] & lost == 0 and first == first else 0.0
        elif m % 2:
            steps[0, x] = steps[m // 2, x]
        else:
            steps[0, x] = (steps[m // 2, x] + steps[m // 2 - 1, x]) * 0.5
