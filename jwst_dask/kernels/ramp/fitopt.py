"""Results of the straight-line fit segment by segment: the optional product of ramp_fit.

Works on row bands without a halo, and on any block of integrations (the number of segments, the second axis, is that of the
block's richest ramp).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp import segments as seg
from jwst_dask.kernels.ramp.fit import Timing
from jwst_dask.kernels.ramp.tiles import TILE, load, single_time

SQRT2 = 1.41421356
"""Precision of the reference implementation."""


@dataclass(frozen=True)
class Options:
    """Arrays of float32[integration, segment, y, x]; zero where a ramp has no such segment.

    Attributes
    ----------
    slope, sigslope : DN/s; uncertainty (DN per group)
    var_poisson, var_rnoise : (DN/s)**2. The former holds seconds of gathered signal until `finish_options`.
    yint, sigyint : intercept at group 0 and its uncertainty, DN
    weights : 1 / var_rnoise
    pedestal : float32[integration, y, x]
        Signal at the start of the exposure, DN.
    crmag : float32[integration, jump, y, x]
        Steps into groups that are flagged as jumps, DN.
    """

    slope: np.ndarray
    sigslope: np.ndarray
    var_poisson: np.ndarray
    var_rnoise: np.ndarray
    yint: np.ndarray
    sigyint: np.ndarray
    pedestal: np.ndarray
    weights: np.ndarray
    crmag: np.ndarray


@jit
def _line(ramp, x, start, n, rn, gain, table, ready):  # type: ignore[no-untyped-def]
    """Slope (DN per group), intercept and their uncertainties, of three samples or more."""
    slope, power = seg.slope_of(ramp, x, start, n, rn, gain, table, ready)
    half = (n - 1) / 2.0
    total, spread, mean = 0.0, 0.0, 0.0
    for j in range(n):
        weight = seg.sample_weight(power, j - half, half)
        value = np.float64(ramp[start + j, x])
        total += weight
        spread += weight * (j - half) * (j - half)
        mean += weight * (value if value == value else 0.0)
    middle = start + half
    rn = abs(rn) if rn != 0.0 else np.nan
    slope = slope if rn == rn else np.nan
    intercept = mean / total - slope * middle
    return slope, rn / math.sqrt(spread), intercept, rn * math.sqrt((spread + total * middle * middle) / (total * spread))


@jit
def _segment(i, k, y, column, x, start, n, ramp, rn, gain, clock, single, table, ready, out):  # type: ignore[no-untyped-def]
    """Fill one segment's results."""
    slope, sigma, seconds, variance, intercept, error, weights = out
    step = clock[0]
    unit = 12.0 * (rn / step) * (rn / step) / (gain * gain)
    if n == 1:
        slope[i, k, y, column] = np.float64(ramp[start, x]) / single
        seconds[i, k, y, column] = single
        read = 2.0 * (rn / single) * (rn / single) / (gain * gain)
    elif n == 2:
        low, high = np.float64(ramp[start, x]), np.float64(ramp[start + 1, x])
        slope[i, k, y, column], seconds[i, k, y, column] = (high - low) / step, step
        sigma[i, k, y, column] = error[i, k, y, column] = SQRT2 * rn
        intercept[i, k, y, column] = low * (start + 1.0) - high * start
        read = unit / 6.0
    else:
        line = _line(ramp, x, start, n, rn, gain, table, ready)
        slope[i, k, y, column], sigma[i, k, y, column] = line[0] / step, line[1]
        intercept[i, k, y, column], error[i, k, y, column] = line[2], line[3]
        seconds[i, k, y, column] = step * (n - 1.0)
        read = unit / (np.float64(n) * n * n - n) if gain > 0.0 else 0.0
    variance[i, k, y, column] = read
    weights[i, k, y, column] = 1.0 / read


@jit
def _settled(i, y, x0, width, x, zero, rules, ramp, flags):  # type: ignore[no-untyped-def]
    """Settle one ramp of a loaded tile; returns how its only sample is timed, and whether all its groups are lost."""
    depth = rules[1] - rules[0]
    own = zero[i, y, x0 + x] if rules[5] else np.float32(0.0)
    special, _, _, lost = seg.settle(flags, ramp, x, depth, rules[4], rules[0] > 0, rules[5], own)
    return special, lost == depth


@jit
def _walk(sci, groupdq, zero, rn, gain, clock, rules, table, ready, out, first, crmag, fill):  # type: ignore[no-untyped-def]
    """Go through all ramps: count segments and jumps of the richest, or fill the results."""
    nints, _, ny, nx = sci.shape
    depth = rules[1] - rules[0]
    ramp, flags, some = np.empty((depth, TILE), np.float32), np.empty((depth, TILE), np.uint8), np.empty(TILE, np.uint8)
    start, stop, jumps = np.empty(depth + 1, np.int64), np.empty(depth + 1, np.int64), np.empty(depth + 1)
    most, hits = 0, 0
    for i in range(nints):
        for y in range(ny):
            for x0 in range(0, nx, TILE):
                width = min(TILE, nx - x0)
                load(i, y, x0, width, sci, groupdq, rules, ramp, flags, some)
                for x in range(width):
                    head = np.nan if flags[0, x] & seg.SATURATED else np.float64(ramp[0, x])  # before a zero frame takes its place
                    special, lost = _settled(i, y, x0, width, x, zero, rules, ramp, flags)
                    found = 0
                    for g in range(1, depth):
                        if flags[g, x] & seg.JUMP_DET:
                            low = head if g == 1 else np.float64(ramp[g - 1, x])
                            jumps[found] = np.float64(ramp[g, x]) - low
                            found += 1
                    hits = max(hits, found)
                    kept, listed = (0, 0) if flags[0, x] & seg.SATURATED else seg.find_segments(flags, x, depth, start, stop)
                    most = max(most, listed)
                    if fill:
                        first[i, y, x0 + x] = ramp[0, x]
                        for k in range(found):
                            crmag[i, k, y, x0 + x] = jumps[k]
                        for k in range(0 if lost else kept):
                            _segment(i, k, y, x0 + x, x, start[k], stop[k] - start[k], ramp, np.float64(rn[y, x0 + x]), np.float64(gain[y, x0 + x]),
                                     clock, single_time(special, clock), table, ready, out)  # fmt: skip
    return most, hits


def fit_options(
    sci: np.ndarray,
    groupdq: np.ndarray,
    rates: np.ndarray,
    noise: np.ndarray,
    gain: np.ndarray,
    timing: Timing,
    frames: tuple[int, int, int],
    *,
    suppress: bool = True,
    zeroframe: np.ndarray | None = None,
    window: tuple[int, int] | None = None,
    selected: tuple[int, int] | None = None,
) -> Options:
    """Results of a block of integrations segment by segment, before `finish_options`.

    Parameters
    ----------
    sci, groupdq, noise, gain, timing, suppress, zeroframe, window, selected
        As for `jwst_dask.kernels.ramp.fit.stage_one`.
    rates : ndarray of float32[integration, y, x]
        Its ``sci``.
    frames : tuple of int
        NFRAMES, GROUPGAP and DRPFRMS1.
    """
    nints, ngroups, ny, nx = sci.shape
    first, last = window or (0, ngroups)
    suppress = suppress and ngroups > 1
    rules = (first, last, *(selected or (0, ngroups)), suppress, zeroframe is not None and not suppress, False)
    clock, depth = (timing.group, timing.frame, timing.single), last - first
    zero = np.zeros((1, 1, 1), np.float32) if zeroframe is None else zeroframe
    table, ready = np.zeros((seg.POWERS, depth * depth // 4 + 1)), np.zeros((seg.POWERS, depth + 1), np.uint8)
    none = np.zeros((1, 1, 1, 1), np.float32)
    most, hits = _walk(sci, groupdq, zero, noise, gain, clock, rules, table, ready, (none,) * 7, none[0], none, False)
    planes = tuple(np.zeros((nints, most, ny, nx), np.float32) for _ in range(7))
    pedestal, crmag = np.zeros((nints, ny, nx), np.float32), np.zeros((nints, hits, ny, nx), np.float32)
    _walk(sci, groupdq, zero, noise, gain, clock, rules, table, ready, planes, pedestal, crmag, True)
    share = ((frames[0] + 1) / 2.0 + frames[2]) / (frames[0] + frames[1])
    pedestal = np.nan_to_num(pedestal - rates.astype(np.float64) * share, nan=0.0).astype(np.float32)
    return Options(*planes[:6], pedestal, planes[6], crmag)


def finish_options(found: Options, rate: np.ndarray, gain: np.ndarray) -> None:
    """Make VAR_POISSON of segments, in place, from the photon rate of `jwst_dask.kernels.ramp.finish.poisson_rate`."""
    for i in range(len(found.slope)):
        for k in range(found.slope.shape[1]):
            seconds = found.var_poisson[i, k]
            used = seconds != 0
            with np.errstate(divide="ignore", invalid="ignore"):
                seconds[used] = (rate / gain)[used] / seconds[used]
