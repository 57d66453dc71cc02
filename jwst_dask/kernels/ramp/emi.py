"""Interference of known frequency in MIRI ramps: amplitude and phase of a waveform, fitted together with a line through each ramp.

The unit of time is the 10 microseconds in which one pixel of each of the four outputs is read; columns k, k + 1, k + 2, k + 3 (k a
multiple of 4) are read together. Pixels of one phase in the first group have one phase in each later group, so that
ramps are summed by phase before anything is fitted.

Document: "EMI correction", T. Brandt; JWST documentation, emicorr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit

OUTPUTS = 4
TICK = 1e-5
"""Seconds."""
FRAME_ROWS, PAD = 1024, 7
"""Rows of a full frame, and ticks spent on each of those that a subarray leaves out."""
TRIALS = 500
"""Phases that are tried, evenly spaced."""
TOGETHER = 20
"""Of which so many at a time."""


@dataclass(frozen=True)
class Clock:
    """When pixels are read, in ticks.

    Attributes
    ----------
    sample : int
        From a pixel to the next in a row (1 fast, 9 slow).
    row : int
        From a row to the next.
    reset : int
        Between the integrations.
    """

    sample: int
    row: int
    reset: int

    def frame(self, ny: int) -> float:
        """From a frame to the next."""
        return float(ny * self.row + (FRAME_ROWS - ny) * PAD)


def waveform(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A cubic spline through the values of one period (the middle of each interval of phase), for phases from 0 to 1."""
    from scipy.interpolate import make_interp_spline

    n = len(values)
    spline = make_interp_spline((np.arange(n + 2) - 0.5) / n, np.concatenate((values[-1:], values, values[:1])).astype(float), k=3)
    return spline  # type: ignore[no-any-return]


@jit
def _spread(sci, out):  # type: ignore[no-untyped-def]
    """Standard deviation of the groups of each pixel, in single precision (it only decides which pixels are used)."""
    nints, ngroups, ny, nx = sci.shape
    count = np.float32(ngroups)
    mean = np.empty(nx, np.float32)
    for i in range(nints):
        for y in range(ny):
            mean[:] = 0
            for g in range(ngroups):
                for x in range(nx):
                    mean[x] += sci[i, g, y, x]
            for x in range(nx):
                mean[x] /= count
                out[i, y, x] = 0
            for g in range(ngroups):
                for x in range(nx):
                    away = sci[i, g, y, x] - mean[x]
                    out[i, y, x] += away * away
            for x in range(nx):
                out[i, y, x] = np.sqrt(out[i, y, x] / count)


@jit
def _sums(sci, pixeldq, spread, limit, sample, row, period, total, number):  # type: ignore[no-untyped-def]
    """Sums (integration, phase, group) and numbers of the ramps of quiet, unflagged pixels; the second and third reads of a row are bad."""
    nints, ngroups, ny, nx = sci.shape
    nphases = number.shape[1]
    for i in range(nints):
        for g in range(ngroups):
            for y in range(ny):
                for x in range(nx // OUTPUTS * OUTPUTS):
                    k = x // OUTPUTS
                    if k == 1 or k == 2 or pixeldq[y, x] != 0 or not spread[i, y, x] < limit:
                        continue
                    phase = np.float64(y * row + k * sample) / period
                    index = int((phase - np.floor(phase)) * nphases)
                    total[i, index, g] += sci[i, g, y, x]
                    if g == 0:
                        number[i, index] += 1


def spreads(sci: np.ndarray) -> np.ndarray:
    """Standard deviation of the groups of each pixel: float32[integration, y, x]."""
    nints, _, ny, nx = sci.shape
    spread = np.empty((nints, ny, nx), np.float32)
    _spread(sci, spread)
    return spread


def quiet(spread: np.ndarray) -> np.float32:
    """Least spread of a pixel that is not used: twice that of the middle pixel of all integrations. `spread` is used up."""
    return np.float32(np.float32(2) * np.median(spread, overwrite_input=True))


def phase_sums(sci: np.ndarray, pixeldq: np.ndarray, spread: np.ndarray, limit: np.float32, nphases: int, clock: Clock,
               period: float) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Sums (float64[integration, phase, group]) and numbers (float64[integration, phase]) of the ramps of one phase.

    Pixels count that have no flag and scatter less than `limit`.
    """
    nints, ngroups, _, _ = sci.shape
    total, number = np.zeros((nints, nphases, ngroups)), np.zeros((nints, nphases))
    _sums(sci, pixeldq, spread, limit, clock.sample, clock.row, period, total, number)
    return total, number


@dataclass(frozen=True)
class Terms:
    """Coefficients of chi squared as a function of amplitude, ``quadratic * c**2 + linear * c`` (float64[trial phase, integration])."""

    quadratic: np.ndarray
    linear: np.ndarray

    def at(self, phase: float, integrations: Sequence[int], step: float) -> tuple[float, float]:
        """Least chi squared and its amplitude for a phase in the first integration, which is `step` more in each later one.

        NaN and 0 where the waveform makes no difference to the ramps' shape.
        """
        trial = np.arange(TRIALS) * 1.0 / TRIALS
        a, b = 0.0, 0.0
        for i in integrations:
            k = int(np.argmin(np.abs((trial - phase - step * i) % 1)))
            a += self.quadratic[k, i]
            b += self.linear[k, i]
        if np.isclose(a, 0, atol=1e-8) or not np.isfinite(a) or not np.isfinite(b):
            return np.nan, 0.0
        amplitude = -b / (2 * a)
        return a * amplitude**2 + b * amplitude, amplitude

    def best(self, integrations: Sequence[int], step: float) -> tuple[float, float]:
        """Phase in the first integration, and amplitude."""
        trial = np.arange(TRIALS) * 1.0 / TRIALS
        phase = lowest(trial, np.array([self.at(one, integrations, step)[0] for one in trial]))
        return phase, self.at(phase, integrations, step)[1]


def terms(total: np.ndarray, number: np.ndarray, wave: Callable[[np.ndarray], np.ndarray], between: float) -> Terms:
    """Chi squared of lines plus a waveform, for each trial phase and integration.

    Parameters
    ----------
    total, number
        As `phase_sums` gives them.
    wave : callable
        The waveform by phase.
    between : float
        Phase from a group to the next.
    """
    nints, nphases, ngroups = total.shape
    time = np.arange(ngroups)
    t, tt = np.sum(time), np.sum(time**2)
    delta = ngroups * tt - t**2
    phases = ((np.arange(nphases) + 0.5) / nphases)[:, None] + time * between
    y, ty = np.sum(total, axis=2), np.sum(total * time, axis=2)
    flat, share = total.reshape(nints, -1), number / delta
    quadratic, linear = np.empty((TRIALS, nints)), np.empty((TRIALS, nints))
    table = wave(phases % 1) if nphases == TRIALS else phases  # trials are then whole steps of phase
    for first in range(0, TRIALS, TOGETHER):  # as products of matrices: sums over phases and groups for many trials and integrations
        k = np.arange(first, min(first + TOGETHER, TRIALS))
        z = table[(k[:, None] + np.arange(nphases)) % TRIALS] if nphases == TRIALS else wave((phases + k[:, None, None] / TRIALS) % 1)
        s, tz, zz = np.sum(z, axis=2), np.sum(time * z, axis=2), np.sum(z**2, axis=2)
        form = -tt * s**2 + 2 * t * s * tz - ngroups * tz**2 + zz * delta
        quadratic[k] = form @ share.T
        linear[k] = (2 / delta) * ((tt * s - t * tz) @ y.T + (ngroups * tz - t * s) @ ty.T) - 2 * (z.reshape(len(k), -1) @ flat.T)
    return Terms(quadratic, linear)


def lowest(phases: np.ndarray, chisq: np.ndarray) -> float:
    """Phase of least chi squared: the vertex of the parabola through the three values around the lowest.

    The first phase where no value is finite. Phases are not unwrapped around the parabola, as in the reference implementation.
    """
    if not np.isfinite(chisq).any():
        return float(phases[0])
    at = int(np.nanargmin(chisq))
    three = [at - 1, at, (at + 1) % len(chisq)]
    values = chisq[three]
    if not np.isfinite(values).all() or np.std(values) == 0:
        return float(phases[at])
    a, b, _ = np.polyfit(phases[three], values, 2)
    return float(-b / (2 * a))


@jit
def _subtract(sci, pieces, knots, amplitude, offset, between, sample, row, period):  # type: ignore[no-untyped-def]
    """Subtract a waveform given as cubic pieces (power, piece) from `knots`, evenly spaced but for those at the ends."""
    nints, ngroups, ny, nx = sci.shape
    npieces = pieces.shape[1]
    width = knots[2] - knots[1] if npieces > 1 else 1.0
    level = np.empty(nx // OUTPUTS)
    for i in range(nints):
        for g in range(ngroups):
            for y in range(ny):
                for k in range(nx // OUTPUTS):
                    phase = np.float64(y * row + k * sample) / period
                    phase = phase - np.floor(phase) + between * g + offset[i]
                    phase -= np.floor(phase)
                    piece = max(0, min(npieces - 1, int((phase - knots[1]) / width) + 1)) if phase >= knots[1] else 0
                    d = phase - knots[piece]
                    level[k] = amplitude[i] * (((pieces[0, piece] * d + pieces[1, piece]) * d + pieces[2, piece]) * d + pieces[3, piece])
                for x in range(nx // OUTPUTS * OUTPUTS):
                    sci[i, g, y, x] -= level[x // OUTPUTS]


@dataclass(frozen=True)
class Fit:
    """A waveform as it is subtracted.

    Attributes
    ----------
    pieces, knots : float64[power, piece], float64[piece + 1]
        Cubic pieces by phase.
    amplitudes, offsets : float64[integration]
        Amplitude, and phase of the first pixel.
    between : float
        Phase from a group to the next.
    """

    pieces: np.ndarray
    knots: np.ndarray
    amplitudes: np.ndarray
    offsets: np.ndarray
    between: float

    def subtract(self, sci: np.ndarray, start: int, clock: Clock, period: float) -> None:
        """From float32[integration, group, y, x], in place; `start` is the index of the first integration in the file."""
        rows = slice(start, start + len(sci))
        _subtract(sci, self.pieces, self.knots, self.amplitudes[rows], self.offsets[rows], self.between, clock.sample, clock.row, period)


def fit(total: np.ndarray, number: np.ndarray, values: np.ndarray, ny: int, clock: Clock, period: float, separately: bool) -> Fit:
    """Amplitude and phase of a waveform in all integrations of a file.

    Parameters
    ----------
    total, number
        As `phase_sums` gives them.
    values : float[phase]
        One period of the waveform.
    ny : int
        Rows.
    clock : Clock
    period : float
        Ticks.
    separately : bool
        Fit amplitude and phase for each integration, rather than for all.
    """
    from scipy.interpolate import PPoly

    nints, _, ngroups = total.shape
    between = (clock.frame(ny) / period) % 1
    step = between * ngroups + clock.reset / period
    wave = waveform(np.asarray(values))
    found = terms(total, number, wave, between)
    if separately:
        fits = [found.best([i], step) for i in range(nints)]
        phases, amplitudes = np.array([fit[0] for fit in fits]), np.array([fit[1] for fit in fits])
        offsets = phases + np.arange(nints) * step
    else:
        phase, amplitude = found.best(range(nints), step)
        offsets, amplitudes = (phase + np.arange(nints) * step) % 1, np.full(nints, amplitude)
    pieces = PPoly.from_spline(wave)
    inner = np.diff(pieces.x) > 0  # knots at the ends are repeated
    knots = np.append(pieces.x[:-1][inner], pieces.x[-1])
    return Fit(np.ascontiguousarray(pieces.c[:, inner]), knots, amplitudes, offsets, between)
