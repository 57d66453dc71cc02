"""Second stage of the straight-line fit: what needs the median count rate of all integrations (see `jwst_dask.kernels.ramp.fit`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp import segments as seg
from jwst_dask.kernels.ramp.fit import Fitted, Sums, Timing
from jwst_dask.kernels.ramp.tiles import INVALID, NO_GAIN_VALUE, rate_value, variance


@dataclass(frozen=True)
class Rate:
    """The 2-D result: float32[y, x] (DN/s, (DN/s)**2), and dq uint32[y, x]."""

    sci: np.ndarray
    dq: np.ndarray
    var_poisson: np.ndarray
    var_rnoise: np.ndarray
    err: np.ndarray


def poisson_rate(sums: Sums, timing: Timing, dark: np.ndarray | float = 0.0) -> np.ndarray:
    """Count rate (DN/s) whose photon noise a pixel has: its mean median rate, if positive, and the average dark current.

    Parameters
    ----------
    sums : Sums
        Of all integrations.
    timing : Timing
    dark : ndarray of float32[y, x] or float
        Average dark current, DN/s.

    Returns
    -------
    float64[y, x]
    """
    median = sums.median / (sums.nints * timing.group)
    return np.where(median > 0.0, median, 0.0) + np.asarray(dark, dtype=np.float64)


@jit
def _photon_variance(rate: float, gain: float, seconds: float) -> float:
    """Photon noise variance gathered in some seconds; zero where it carries no information."""
    value = rate / (gain * seconds) if rate > 0.0 and seconds > 0.0 else 0.0
    return 0.0 if value >= seg.LARGE_VARIANCE else value


@jit
def _error(inverse: float) -> float:
    value = 1.0 / inverse
    return 0.0 if value > seg.LARGE_VARIANCE else math.sqrt(value)


@jit
def _finish(var_poisson: np.ndarray, err: np.ndarray, rate: np.ndarray, gain: np.ndarray) -> None:
    nints, ny, nx = var_poisson.shape
    for i in range(nints):
        for y in range(ny):
            for x in range(nx):
                seconds = np.float64(var_poisson[i, y, x])
                if seconds == 0.0:
                    continue
                own = np.float64(gain[y, x])
                err[i, y, x] = _error(1.0 / (rate[y, x] / (own * seconds) + np.float64(err[i, y, x])))
                var_poisson[i, y, x] = _photon_variance(rate[y, x], own, seconds)


@jit
def _finish_broken(err, ramp, length, rate, noise, gain, step):  # type: ignore[no-untyped-def]
    """Errors of ramps of several segments."""
    _, ny, nx = err.shape
    k = 0
    while k < ramp.size:
        index, inverse = ramp[k], 0.0
        y, x = index // nx % ny, index % nx
        rn, own = np.float64(noise[y, x]) / step, np.float64(gain[y, x])
        unit = 12.0 * rn * rn / (own * own)
        while k < ramp.size and ramp[k] == index:
            n = np.float64(length[k])
            inverse += 1.0 / (rate[y, x] / (own * step * (n - 1.0)) + unit / (n * n * n - n))
            k += 1
        err[index // (nx * ny), y, x] = _error(inverse)


def finish(fitted: Fitted, rate: np.ndarray, noise: np.ndarray, gain: np.ndarray, timing: Timing) -> None:
    """Make VAR_POISSON and ERR of a block of integrations, in place.

    Parameters
    ----------
    fitted : Fitted
        From `stage_one`.
    rate : ndarray of float64[y, x]
        From `poisson_rate`.
    noise, gain : ndarray of float32[y, x]
        As given to `stage_one`.
    timing : Timing
    """
    _finish(fitted.var_poisson, fitted.err, rate, gain)
    _finish_broken(fitted.err, fitted.ramp, fitted.length, rate, noise, gain, timing.group)


@jit
def _total(plain: float, singles: np.ndarray, place: int, y: int, x: int, one: float, zero: float) -> float:
    """A sum together with that of groups whose timing is their own."""
    return plain if singles.size == 0 else plain + singles[place, y, x] * one + singles[place + 1, y, x] * zero


@jit
def _rates(
    pixeldq, rate, noise, gain, times, weight, length, moment, singles, restored, some, every, sci, dq, var_poisson, var_rnoise, err
):  # type: ignore[no-untyped-def]
    """All pixels in one function: handing so many arrays on pixel by pixel costs more than the work."""
    step, one, zero = times
    once, first = 6.0 * one * one, 6.0 * zero * zero
    for y in range(pixeldq.shape[0]):
        for x in range(pixeldq.shape[1]):
            own, rn = np.float64(gain[y, x]), np.float64(noise[y, x]) / step
            unit = 12.0 * rn * rn / (own * own)
            flag = pixeldq[y, x] | np.uint32(0 if own > 0.0 else seg.DO_NOT_USE | NO_GAIN_VALUE)
            usable = flag & np.uint32(INVALID) == 0
            flag |= np.uint32((some[y, x] & (seg.JUMP_DET | seg.PERSISTENCE)) | every[y, x])
            total = _total(weight[y, x], singles, 0, y, x, once, first)
            seconds = step * _total(length[y, x], singles, 0, y, x, one, zero)
            photon, read, error, slope = 0.0, 0.0, 0.0, np.nan
            if flag & np.uint32(INVALID) == 0:
                photon, read = _photon_variance(rate[y, x], own, seconds), variance(total, unit)
                error = math.sqrt(photon + read)
                slope = rate_value(moment[0, y, x] + moment[1, y, x], total, unit, step)
            if some[y, x] & seg.CHARGELOSS and unit == unit and restored.size > 0:
                full = _total(restored[0, y, x], singles, 2, y, x, once, first)
                if usable:
                    full += total - _total(restored[1, y, x], singles, 4, y, x, once, first)
                if full > 0.0 and 0.0 < unit < np.inf:
                    read = variance(full, unit)
            sci[y, x], var_poisson[y, x], var_rnoise[y, x], err[y, x] = slope, photon, read, error
            dq[y, x] = flag | np.uint32(some[y, x] & seg.SATURATED)


def rate_of(sums: Sums, rate: np.ndarray, pixeldq: np.ndarray, noise: np.ndarray, gain: np.ndarray, timing: Timing) -> Rate:
    """The 2-D result from the sums over all integrations.

    Slopes are averaged with inverse read-noise variances as weights. The read-noise variance, but not the error, includes
    groups that were given up for charge migration.

    Parameters
    ----------
    sums : Sums
        Of all integrations (`combine`).
    rate : ndarray of float64[y, x]
        From `poisson_rate`.
    pixeldq : ndarray of uint32[y, x]
    noise, gain : ndarray of float32[y, x]
    timing : Timing
    """
    shape = pixeldq.shape
    out = (np.empty(shape, np.float32), np.empty(shape, np.uint32), *(np.empty(shape, np.float32) for _ in range(3)))
    times = (timing.group, timing.single / timing.group, timing.frame / timing.group)
    _rates(
        pixeldq, rate, noise, gain, times, sums.weight, sums.length, sums.moment, sums.singles, sums.restored, sums.some, sums.every, *out
    )
    return Rate(*out)
