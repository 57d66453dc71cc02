"""Interference of known frequency in MIRI ramps: amplitude and phase of a waveform, fitted together with a line through each ramp.

The unit of time is the 10 microseconds in which one pixel of each of the four outputs is read; columns k, k + 1, k + 2, k + 3 (k a
multiple of 4) are read together. Pixels of one phase in the first group have one phase in each later group, so that
ramps are summed by phase before anything is fitted.

Document: "EMI correction", T. Brandt; JWST documentation, emicorr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.cubic import Spline, through

OUTPUTS = 4
TICK = 1e-5
"""Seconds."""
FRAME_ROWS, PAD = 1024, 7
"""Rows of a full frame, and ticks spent on each of those that a subarray leaves out."""
TRIALS = 500
"""Phases that are tried, evenly spaced."""
TOGETHER = 20
"""Of which so many at a time."""
STEPS = 1.5 * 2.0**28
"""A number to which float64 values are added in steps of 2**-24; sums of such are exact, in any order, up to 2**29."""
WORDS, INFINITE = 1 << 16, 0x7F80
"""Of the halves of a float32, and the upper one of infinity."""


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

    def phases(self, sci: np.ndarray, y0: int, period: float) -> np.ndarray:
        """Phase of each read of the frames of ramps that begin with row `y0`, the first read of row 0 at 0: float64[y, read]."""
        out = np.empty((sci.shape[2], sci.shape[3] // OUTPUTS))
        _first_phases(self.sample, self.row, y0, period, out)
        return out


def waveform(values: np.ndarray) -> Spline:
    """A cubic spline through the values of one period (the middle of each interval of phase), for phases from 0 to 1."""
    n = len(values)
    return through((np.arange(n + 2) - 0.5) / n, np.concatenate((values[-1:], values, values[:1])).astype(float))


def at_phases(wave: Spline, phases: np.ndarray) -> np.ndarray:
    """A waveform at phases from 0 to 1 (float64, any shape)."""
    out = np.empty(phases.shape)
    _spline(wave.t, wave.c, np.ascontiguousarray(phases).reshape(-1), out.reshape(-1))
    return out


@jit
def _spline(knots, coefficients, x, out):  # type: ignore[no-untyped-def]
    """A cubic spline by the recurrence of C. de Boor, in the order of operations of FITPACK."""
    last = coefficients.size - 1
    width = (knots[last] - knots[4]) / (last - 4) if last > 4 else 1.0  # inner knots are nearly even
    basis, before = np.empty(4), np.empty(4)
    for p in range(x.size):
        left = max(3, min(last, int((x[p] - knots[4]) / width) + 4)) if last > 4 and x[p] >= knots[4] else 3
        while left > 3 and x[p] < knots[left]:
            left -= 1
        while left < last and x[p] >= knots[left + 1]:
            left += 1
        basis[0] = 1.0
        for degree in range(1, 4):
            before[:degree] = basis[:degree]
            basis[0] = 0.0
            for j in range(1, degree + 1):
                above, below = knots[left + j], knots[left + j - degree]
                part = before[j - 1] / (above - below)
                basis[j - 1] += part * (above - x[p])
                basis[j] = part * (x[p] - below)
        total = 0.0
        for j in range(4):
            total += coefficients[left - 3 + j] * basis[j]
        out[p] = total


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
def _first_phases(sample, row, y0, period, out):  # type: ignore[no-untyped-def]
    for y in range(out.shape[0]):
        for k in range(out.shape[1]):
            turns = np.float64((y0 + y) * row + k * sample) / period
            out[y, k] = turns - np.floor(turns)


@jit
def _sums(sci, pixeldq, spread, limit, phase, total, number):  # type: ignore[no-untyped-def]
    """Sums (integration, phase, group) and numbers of the ramps of quiet, unflagged pixels; the second and third reads of a row are bad."""
    nints, ngroups, ny, _ = sci.shape
    (_, reads), nphases = phase.shape, number.shape[1]
    good = np.empty(pixeldq.shape, np.bool_)
    for i in range(nints):
        for y in range(ny):
            for k in range(reads):
                for x in range(OUTPUTS * k, OUTPUTS * (k + 1)):
                    good[y, x] = k != 1 and k != 2 and pixeldq[y, x] == 0 and spread[i, y, x] < limit
                    if good[y, x]:
                        number[i, int(phase[y, k] * nphases)] += 1
        for g in range(ngroups):
            for y in range(ny):
                for k in range(reads):
                    index = int(phase[y, k] * nphases)
                    value = total[i, index, g]
                    for x in range(OUTPUTS * k, OUTPUTS * (k + 1)):
                        if good[y, x]:
                            value += (sci[i, g, y, x] + STEPS) - STEPS
                    total[i, index, g] = value


def spreads(sci: np.ndarray) -> np.ndarray:
    """Standard deviation of the groups of each pixel: float32[integration, y, x]."""
    nints, _, ny, nx = sci.shape
    spread = np.empty((nints, ny, nx), np.float32)
    _spread(sci, spread)
    return spread


def quiet(parts: Callable[[], Iterable[np.ndarray]]) -> np.float32:
    """Least spread of a pixel that is not used: twice that of the middle pixel of all integrations, NaN if one is NaN.

    `parts` gives them one after the other (float32, 0 or more), whenever it is called. Numbers of one sign have the order of
    their bits, so that the middle is found by counting: first by half of the bits, then by the others.
    """
    coarse, fine = np.zeros(WORDS, np.int64), np.zeros((2, WORDS), np.int64)
    for part in parts():
        _count(_bits(part), coarse)
    if coarse[INFINITE + 1 :].any() or not coarse.any():
        return np.float32(np.nan)
    ends, total = np.cumsum(coarse), int(coarse.sum())
    ranks = np.array([(total - 1) // 2, total // 2])
    high = np.searchsorted(ends, ranks, side="right")
    for part in parts():
        _count_in(_bits(part), high, fine)
    low = [np.searchsorted(np.cumsum(fine[k]), ranks[k] - ends[high[k]] + coarse[high[k]], side="right") for k in range(2)]
    pair = (high << 16 | low).astype(np.uint32).view(np.float32)
    return np.float32(2) * ((pair[0] + pair[1]) / np.float32(2))  # type: ignore[no-any-return]


def _bits(part: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(part).reshape(-1).view(np.uint32)


@jit
def _count(words, coarse):  # type: ignore[no-untyped-def]
    for word in words:
        coarse[word >> np.uint32(16)] += 1


@jit
def _count_in(words, high, fine):  # type: ignore[no-untyped-def]
    for word in words:
        for k in range(2):
            if word >> np.uint32(16) == high[k]:
                fine[k, word & np.uint32(0xFFFF)] += 1


def phase_sums(sci: np.ndarray, pixeldq: np.ndarray, spread: np.ndarray, limit: np.float32, nphases: int, clock: Clock,
               period: float, y0: int = 0) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Sums (float64[integration, phase, group]) and numbers (float64[integration, phase]) of the ramps of one phase.

    Pixels count that have no flag and scatter less than `limit`. Of a band of rows from `y0` on; bands may be added up.
    """
    nints, ngroups, _, _ = sci.shape
    total, number = np.zeros((nints, nphases, ngroups)), np.zeros((nints, nphases))
    _sums(sci, pixeldq, spread, limit, clock.phases(sci, y0, period), total, number)
    return total, number


@dataclass(frozen=True)
class Terms:
    """Coefficients of chi squared as a function of amplitude, ``quadratic * c**2 + linear * c`` (float64[trial phase, integration])."""

    quadratic: np.ndarray
    linear: np.ndarray

    def at(self, phases: np.ndarray, integrations: Sequence[int], step: float) -> tuple[np.ndarray, np.ndarray]:
        """Least chi squared and its amplitude for each phase in the first integration, which is `step` more in each later one.

        NaN and 0 where the waveform makes no difference to the ramps' shape.
        """
        a, b = np.empty(len(phases)), np.empty(len(phases))
        _add_up(self.quadratic, self.linear, np.arange(TRIALS) * 1.0 / TRIALS, phases, np.asarray(integrations), step, a, b)
        with np.errstate(invalid="ignore", divide="ignore"):
            amplitude = -b / (2 * a)
            chisq = a * amplitude**2 + b * amplitude
        lost = (np.abs(a) <= 1e-8) | ~np.isfinite(a) | ~np.isfinite(b)
        return np.where(lost, np.nan, chisq), np.where(lost, 0.0, amplitude)

    def best(self, integrations: Sequence[int], step: float) -> tuple[float, float]:
        """Phase in the first integration, and amplitude."""
        trial = np.arange(TRIALS) * 1.0 / TRIALS
        phase = lowest(trial, self.at(trial, integrations, step)[0])
        return phase, float(self.at(np.array([phase]), integrations, step)[1][0])


@jit
def _add_up(quadratic, linear, trial, phases, integrations, step, a, b):  # type: ignore[no-untyped-def]
    """Sums over integrations of the coefficients at the first trial phase from that of each integration on."""
    n = trial.size
    for p in range(phases.size):
        a[p], b[p] = 0.0, 0.0
        for i in integrations:
            place, least, turns = 0, np.inf, (phases[p] + step * i) * n
            first = int(turns - np.floor(turns / n) * n) - 2
            for j in range(first, first + 6):  # one of these, whatever is rounded
                k = (j + n) % n
                away = abs((trial[k] - phases[p] - step * i) % 1.0)
                if away < least:
                    place, least = k, away
            a[p] += quadratic[place, i]
            b[p] += linear[place, i]


def terms(total: np.ndarray, number: np.ndarray, wave: Spline, between: float) -> Terms:
    """Chi squared of lines plus a waveform, for each trial phase and integration.

    Parameters
    ----------
    total, number
        As `phase_sums` gives them.
    wave : Spline
        From `waveform`.
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
    table = at_phases(wave, phases % 1) if nphases == TRIALS else phases  # trials are then whole steps of phase
    for first in range(0, TRIALS, TOGETHER):  # as products of matrices: sums over phases and groups for many trials and integrations
        k = np.arange(first, min(first + TOGETHER, TRIALS))
        z = table[(k[:, None] + np.arange(nphases)) % TRIALS] if nphases == TRIALS else at_phases(wave, (phases + k[:, None, None] / TRIALS) % 1)
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
def _subtract(sci, pieces, knots, amplitude, offset, between, first):  # type: ignore[no-untyped-def]
    """Subtract a waveform given as cubic pieces (power, piece) from `knots`, evenly spaced but for those at the ends."""
    nints, ngroups, ny, _ = sci.shape
    reads, npieces = first.shape[1], pieces.shape[1]
    width = knots[2] - knots[1] if npieces > 1 else 1.0
    level = np.empty(reads)
    for i in range(nints):
        for g in range(ngroups):
            for y in range(ny):
                for k in range(reads):
                    phase = first[y, k] + between * g + offset[i]
                    phase -= np.floor(phase)
                    piece = max(0, min(npieces - 1, int((phase - knots[1]) / width) + 1)) if phase >= knots[1] else 0
                    d = phase - knots[piece]
                    level[k] = amplitude[i] * (((pieces[0, piece] * d + pieces[1, piece]) * d + pieces[2, piece]) * d + pieces[3, piece])
                line = sci[i, g, y]
                for k in range(reads):
                    for x in range(OUTPUTS * k, OUTPUTS * (k + 1)):
                        line[x] -= level[k]


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

    def subtract(self, sci: np.ndarray, start: int, y0: int, clock: Clock, period: float) -> None:
        """From float32[integration, group, y, x], in place; `start` is the index of the first integration in the file, `y0` the first row."""
        rows = slice(start, start + len(sci))
        _subtract(sci, self.pieces, self.knots, self.amplitudes[rows], self.offsets[rows], self.between, clock.phases(sci, y0, period))


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
    pieces, knots = wave.pieces()
    return Fit(pieces, knots, amplitudes, offsets, between)
