"""The work of one tile of ramps (some columns of a row, one integration) in `jwst_dask.kernels.ramp.fit`.

A tile's samples and flags are copied once into scratch that stays in the first-level cache. What all ramps need is done
column-parallel (loading, medians), the fits ramp by ramp.
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp import segments as seg

TILE = 64
"""Columns of a tile."""
INVALID = seg.DO_NOT_USE | seg.SATURATED
NO_GAIN_VALUE = 1 << 19


@jit
def load(i, y, x0, width, sci, groupdq, rules, ramp, flags, some):  # type: ignore[no-untyped-def]
    """Copy a tile's samples and flags, apply the user's selection, gather the flags of each ramp in `some` (uint8[x])."""
    first, last, low, high = rules[0], rules[1], rules[2], rules[3]
    some[:width] = 0
    for g in range(first, last):
        outside = np.uint8(0 if low <= g < high else seg.DO_NOT_USE)
        for x in range(width):
            ramp[g - first, x] = sci[i, g, y, x0 + x]
        for x in range(width):
            flag = groupdq[i, g, y, x0 + x] | outside
            flags[g - first, x] = flag
            some[x] |= flag


@jit
def fit_segments(ramp, x, start, stop, kept, rn, gain, clock, single, table, ready):  # type: ignore[no-untyped-def]
    """Weight, length and moment (see `Sums`) of one ramp's segments; `single` is the exposure of one group (seconds)."""
    weight, length, moment = 0.0, 0.0, 0.0
    for k in range(kept):
        begin, n = start[k], stop[k] - start[k]
        if n == 1:
            part = single / clock[0]
            own = 6.0 * part * part
            weight, length, moment = weight + own, length + part, moment + own * (np.float64(ramp[begin, x]) / part)
        elif n == 2:
            weight, length = weight + 6.0, length + 1.0
            moment += 6.0 * (np.float64(ramp[begin + 1, x]) - np.float64(ramp[begin, x]))
        else:
            own = np.float64(n) * n * n - n
            slope, _ = seg.slope_of(ramp, x, begin, n, rn, gain, table, ready)
            weight, length, moment = weight + own, length + (n - 1.0), moment + own * slope
    return weight, length, moment


@jit
def restored_weight(i, y, x, groupdq, rules, clock, single, bad_gain, flags, start, stop):  # type: ignore[no-untyped-def]
    """Weight of a ramp with the groups that were given up for charge migration, without that of a special single group.

    Such a group counts again unless it has other flags; one that was not given up counts as not to be used.
    Returns also whether there is a single group.
    """
    first, last = rules[0], rules[1]
    for g in range(first, last):
        flag = groupdq[i, g, y, x] | (0 if rules[2] <= g < rules[3] else seg.DO_NOT_USE)
        if flag & seg.CHARGELOSS:
            flag ^= seg.CHARGELOSS | seg.DO_NOT_USE
        flags[g - first, 0] = flag
    kept, _ = seg.find_segments(flags, 0, last - first, start, stop)
    weight, special = 0.0, False
    for k in range(kept):
        n = stop[k] - start[k]
        if n == 1 and single != clock[0]:
            special = True
        elif n <= 2:
            weight += 6.0
        elif not bad_gain:
            weight += np.float64(n) * n * n - n
    return weight, special


@jit
def single_time(special: int, clock: tuple[float, float, float]) -> float:
    """Exposure of a ramp's only group, in seconds."""
    if special == seg.ONE_GROUP:
        return clock[2]
    return clock[1] if special == seg.ZERO_FRAME else clock[0]


@jit
def add_up(total_weight, total_length, total_moment, singles, magic, y, x, weight, length, moment, special_single, special):  # type: ignore[no-untyped-def]
    """Add one ramp's fit to the sums of its pixel."""
    lead = (moment + magic[0]) - magic[0]
    total_moment[0, y, x] += lead
    if magic[1] != 0.0:
        total_moment[1, y, x] += ((moment - lead) + magic[1]) - magic[1]
    if special_single:
        singles[special - 1, y, x] += 1
    else:
        total_weight[y, x] += weight
        total_length[y, x] += length


@jit
def variance(weight: float, unit: float) -> float:
    """Read-noise variance of a weight; zero where it carries no information."""
    value = unit / weight if weight > 0.0 else 0.0
    return 0.0 if value >= seg.LARGE_VARIANCE else value


@jit
def rate_value(moment: float, weight: float, unit: float, step: float) -> float:
    """Slope in DN/s from moment and weight; zero without information, NaN with no usable read noise."""
    if not weight > 0.0:
        return 0.0
    if not 0.0 < unit < np.inf:
        return np.nan
    return moment / weight / step if unit / weight < seg.LARGE_VARIANCE else 0.0 * moment


@jit
def fit_unbroken(y, x0, width, depth, noise, gains, clock, ramp, table, ready, work):  # type: ignore[no-untyped-def]
    """Fit all ramps of a tile as if none had flags, column-parallel, in the order of operations of a single fit.

    Parameters
    ----------
    y, x0, width, depth : int
        Place of the tile; its columns, and groups (three or more).
    noise, gains : float32[y, x]
    clock : tuple
    ramp : float32[group, x]
    table, ready
        As of `coefficients`.
    work : float64[7, x]
        Receives slope, moment, unit of variances, rate, read-noise variance, that before it is cut; the last is scratch.
    """
    slope, moment, unit, value, read, error, power = work[0], work[1], work[2], work[3], work[4], work[5], work[6]
    place, step = seg.coefficients(table, ready, 0, depth), clock[0]
    for k in range(1, seg.POWERS):
        seg.coefficients(table, ready, k, depth)
    bottom, top, size = ramp[0], ramp[depth - 1], np.float64(depth)
    weight = size * size * size - size
    for x in range(width):
        rn, gain = np.float64(noise[y, x0 + x]), np.float64(gains[y, x0 + x])
        signal = np.float64(top[x]) - np.float64(bottom[x])
        den = rn * rn + signal * gain
        snr = signal * gain / np.sqrt(den)
        # not a number counts as bright
        scheme = 5.0 - (snr < 5.0) - (snr < 10.0) - (snr < 20.0) - (snr < 50.0) - (snr < 100.0)
        power[x] = 0.0 if (den <= 0.0) | (gain == 0.0) else scheme
        unit[x] = 12.0 * (rn / step) * (rn / step) / (gain * gain)
        slope[x] = 0.0
    own = np.empty(8, np.float64)
    for j in range(depth // 2):
        own[: seg.POWERS] = table[:, place + j]
        bottom, top = ramp[j], ramp[depth - 1 - j]
        for x in range(width):
            low, high = np.float64(bottom[x]), np.float64(top[x])
            slope[x] += own[np.int64(power[x]) & 7] * ((high if high == high else 0.0) - (low if low == low else 0.0))
    for x in range(width):
        moment[x] = 0.0 + weight * slope[x]
        error[x] = unit[x] / weight
        read[x] = 0.0 if error[x] >= seg.LARGE_VARIANCE else error[x]
        rate = moment[x] / weight / step if error[x] < seg.LARGE_VARIANCE else 0.0 * moment[x]
        value[x] = rate if 0.0 < unit[x] < np.inf else np.nan


@jit
def _keep_unbroken(i, y, x0, width, depth, pixeldq, gains, clock, magic, rates, quality, read, seconds, error,  # type: ignore[no-untyped-def]
                   total_weight, total_length, total_moment, every_of, somes, work):  # fmt: skip
    """Write planes and sums of the ramps that have no flags."""
    weight, length = np.float64(depth) * depth * depth - depth, depth - 1.0
    for x in range(width):
        if somes[x] != 0:
            continue
        column = x0 + x
        dq = pixeldq[y, column] | np.uint32(0 if gains[y, column] > 0.0 else seg.DO_NOT_USE | NO_GAIN_VALUE)
        good = dq & np.uint32(INVALID) == 0
        lead = (work[1, x] + magic[0]) - magic[0]
        total_moment[0, y, column] += lead
        if magic[1] != 0.0:
            total_moment[1, y, column] += ((work[1, x] - lead) + magic[1]) - magic[1]
        total_weight[y, column] += weight
        total_length[y, column] += length
        every_of[y, column] &= np.uint8(dq & np.uint32(INVALID))
        quality[i, y, column] = dq
        rates[i, y, column] = work[3, x] if good else np.nan
        read[i, y, column] = work[4, x] if good else 0.0
        seconds[i, y, column] = length * clock[0] if good else 0.0
        error[i, y, column] = work[5, x] if good else 0.0


@jit
def fit_tile(i, y, x0, sci, groupdq, pixeldq, zero, rn, gain, clock, rules, magic, planes, sums, scratch, ramp_of, length_of, used):  # type: ignore[no-untyped-def]
    """Fit the ramps of one tile. Returns the number of entries in `ramp_of` and `length_of`."""
    ramp, flags, steps, count, start, stop, table, ready, work = scratch
    rates, quality, read, seconds, error = planes
    total_weight, total_length, total_moment, medians, singles, restored, some_of, every_of, heads = sums
    depth, nx = rules[1] - rules[0], sci.shape[3]
    width = min(TILE, nx - x0)
    some, special = np.empty(TILE, np.uint8), np.zeros(TILE, np.uint8)
    saturated, lost = np.zeros(TILE, np.int32), np.zeros(TILE, np.int32)
    load(i, y, x0, width, sci, groupdq, rules, ramp, flags, some)
    suppress, cut = rules[4], rules[0] > 0
    for x in range(width):
        heads[0] += flags[0, x] & seg.SATURATED != 0
        if some[x] != 0 or depth == 1:
            own = zero[i, y, x0 + x] if rules[5] else np.float32(0.0)
            special[x], some[x], saturated[x], lost[x] = seg.settle(flags, ramp, x, depth, suppress, cut, rules[5], own)
    seg.median_steps(ramp, flags, depth, width, steps, count)
    for x in range(width):
        column = x0 + x
        step = steps[0, x]
        if depth == 1:
            step = np.float64(ramp[0, x]) * (clock[0] / clock[2])
        elif special[x] != seg.NO_SPECIAL:
            step = np.float64(ramp[0, x]) * (clock[0] / single_time(special[x], clock))
            step = step if step == step else 0.0
        medians[y, column] += (step + magic[2]) - magic[2]
    if depth > 2:
        fit_unbroken(y, x0, width, depth, rn, gain, clock, ramp, table, ready, work)
        _keep_unbroken(i, y, x0, width, depth, pixeldq, gain, clock, magic, rates, quality, read, seconds, error,
                       total_weight, total_length, total_moment, every_of, some, work)  # fmt: skip
    return _fit_ramps(i, y, x0, width, groupdq, pixeldq, rn, gain, clock, rules, magic,
                      rates, quality, read, seconds, error, total_weight, total_length, total_moment, singles, restored, some_of, every_of,
                      ramp, flags, start, stop, table, ready, special, some, saturated, lost, ramp_of, length_of, used, work)  # fmt: skip


@jit
def _fit_ramps(i, y, x0, width, groupdq, pixeldq, noise, gains, clock, rules, magic,  # type: ignore[no-untyped-def]
               rates, quality, read, seconds, error, total_weight, total_length, total_moment, singles, restored, some_of, every_of,
               ramp, flags, start, stop, table, ready, specials, somes, saturateds, losts, ramp_of, length_of, used, work):  # fmt: skip
    """Fit the ramps of a settled tile; write their planes and sums.

    Arrays are arguments of their own because taking them out of tuples, or handing them on ramp by ramp, costs more than a fit.
    """
    depth = rules[1] - rules[0]
    for x in range(width):
        if depth > 2 and somes[x] == 0:
            continue  # done by `_keep_unbroken`
        column, special, some, saturated, lost = x0 + x, specials[x], somes[x], saturateds[x], losts[x]
        rn, gain = np.float64(noise[y, column]), np.float64(gains[y, column])
        unit = 12.0 * (rn / clock[0]) * (rn / clock[0]) / (gain * gain)
        bad_gain = not gain > 0.0
        dq = pixeldq[y, column] | np.uint32(some & (seg.JUMP_DET | seg.PERSISTENCE))
        if bad_gain:
            dq |= np.uint32(seg.DO_NOT_USE | NO_GAIN_VALUE)
        kept = 0
        if some == 0 and depth > 1:
            start[0], stop[0], kept = 0, depth, 1
        elif flags[0, x] & seg.SATURATED:
            dq |= np.uint32(INVALID)
        else:
            kept, _ = seg.find_segments(flags, x, depth, start, stop)
        if lost == depth:
            kept = 0
            dq |= np.uint32(seg.DO_NOT_USE | (seg.SATURATED if saturated == depth else 0))
        single = single_time(special, clock)
        weight, length, moment = fit_segments(ramp, x, start, stop, kept, rn, gain, clock, single, table, ready)
        lone = kept == 1 and stop[0] - start[0] == 1 and special != seg.NO_SPECIAL
        if kept > 0:
            add_up(total_weight, total_length, total_moment, singles, magic, y, column, weight, length, moment, lone, special)
        good = dq & np.uint32(INVALID) == 0
        every_of[y, column] &= np.uint8(dq & np.uint32(INVALID))
        if saturated > 0:
            dq |= np.uint32(seg.SATURATED)
        fit = good and kept > 0
        rates[i, y, column] = np.nan if not good else rate_value(moment, weight, unit, clock[0])
        quality[i, y, column] = dq
        read[i, y, column] = variance(weight, unit) if fit else 0.0
        seconds[i, y, column] = length * clock[0] if fit else 0.0
        error[i, y, column] = unit / weight if fit else 0.0
        flagged = some & (seg.JUMP_DET | seg.PERSISTENCE | seg.CHARGELOSS) | (seg.SATURATED if saturated > 0 else 0)
        some_of[y, column] |= np.uint8(flagged)
        if fit and kept > 1:
            index = (np.int64(i) * rates.shape[1] + y) * rates.shape[2] + column
            for k in range(kept):
                ramp_of[used + k], length_of[used + k] = index, stop[k] - start[k]
            used += kept
        if some & seg.CHARGELOSS:
            again, alone = restored_weight(i, y, column, groupdq, rules, clock, single, bad_gain, flags[:, x : x + 1], start, stop)
            _restore(restored, singles, y, column, special, 0.0 if lone else weight, again, lone, alone)
            full = again + (6.0 * (single / clock[0]) ** 2 if alone else 0.0)
            read[i, y, column] = variance(full, unit) if unit == unit else 0.0
    return used


@jit
def _restore(restored, singles, y, x, special, weight, again, lone, alone):  # type: ignore[no-untyped-def]
    """Add one ramp to the sums with and without the groups given up for charge migration."""
    restored[0, y, x] += again
    restored[1, y, x] += weight
    if alone:
        singles[1 + special, y, x] += 1
    if lone:
        singles[3 + special, y, x] += 1
