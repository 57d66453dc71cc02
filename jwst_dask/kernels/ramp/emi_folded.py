"""Interference of known frequency in MIRI ramps: residuals of straight ramps folded by phase, and a waveform laid over them.

Units and layout as in `jwst_dask.kernels.ramp.emi`.

Document: JWST documentation, emicorr (sequential algorithm).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.emi import FRAME_ROWS, OUTPUTS, PAD, Clock
from jwst_dask.kernels.ramp.lanes import copy_finite_last, sort

MOST_BINS = 501
SIGMA, ROUNDS = 3.0, 5
BATCH = 8_000_000
"""Bytes of residuals that are taken from a file at a time."""
LAST_READ = 258
"""Reads in a row of a full frame; the last one, of reference pixels, comes late."""
LATE = 3 + 2**32
"""Ticks by which it is late, with the offset that the reference implementation adds."""


def residuals(ramp: np.ndarray) -> np.ndarray:
    """What remains of an integration (float32[group, y, x]) after straight ramps and their level, averaged over the outputs.

    Returns
    -------
    float32[group, y, read]
        With a median of 0 in each group.
    """
    ngroups, ny, nx = ramp.shape
    out = np.empty((ngroups, ny, nx // OUTPUTS), np.float32)
    _straighten(ramp, out)
    # the second and third reads of a row are bad
    out[..., 1] = out[..., 2] = (out[..., 0] + out[..., 3]) / np.float32(2)
    out -= np.median(out, axis=(1, 2), keepdims=True)
    return out


@jit
def _straighten(ramp, out):  # type: ignore[no-untyped-def]
    """Row after row: less the line through the inner groups and their median (the least of one or two), mean of the outputs."""
    ngroups, ny, nx = ramp.shape
    n = ngroups - 2
    time, square = n * (n - 1) / 2.0, n * (n - 1) * (2 * n - 1) / 6.0
    width, lines, work = n * square - time * time, np.empty((ngroups, nx), np.float32), np.empty((n, nx), np.float32)
    slope, total, count = np.empty(nx), np.empty(nx), np.empty(nx, np.int32)
    for y in range(ny):
        slope[:], total[:] = 0.0, 0.0
        for t in range(n):
            for x in range(nx):
                slope[x] += t * np.float64(ramp[t + 1, y, x])
                total[x] += ramp[t + 1, y, x]
        for x in range(nx):
            slope[x] = (n * slope[x] - time * total[x]) / width
        for g in range(ngroups):
            for x in range(nx):
                lines[g, x] = ramp[g, y, x] - slope[x] * g
        copy_finite_last(lines[1 : n + 1], nx, False, work, count)
        sort(work)
        for x in range(nx):
            m = count[x]
            level = np.float32(np.nan)
            if m > 0:
                level = work[0, x] if n <= 2 else np.float32(work[(m - 1) // 2, x] + work[m // 2, x]) / np.float32(2)
            for g in range(ngroups):
                lines[g, x] -= level
        for g in range(ngroups):
            for k in range(out.shape[2]):
                mean = lines[g, OUTPUTS * k]
                for output in range(1, OUTPUTS):
                    mean += lines[g, OUTPUTS * k + output]
                out[g, y, k] = mean / np.float32(OUTPUTS)


@jit
def _phase(start, group, y, k, ny, reads, sample, row, late, period):  # type: ignore[no-untyped-def]
    time = start + group * (ny * row + (FRAME_ROWS - ny) * PAD) + y * row + k * sample
    if late and k == reads - 1:
        time += LATE
    turns = np.float64(time) / period
    return turns - np.floor(turns)


@jit
def _bins(first, ngroups, ny, reads, nbins, sample, row, late, period, out):  # type: ignore[no-untyped-def]
    """Bin of each sample: (b / nbins, (b + 1) / nbins]; -1 for phase 0."""
    at = 0
    for i in range(len(first)):
        for g in range(ngroups):
            for y in range(ny):
                for k in range(reads):
                    phase = _phase(first[i], g, y, k, ny, reads, sample, row, late, period)
                    b = int(np.ceil(phase * nbins)) - 1
                    if b >= 0 and phase <= b / nbins:
                        b -= 1
                    if phase > (b + 1) / nbins:
                        b += 1
                    out[at] = b if b < nbins else -1
                    at += 1


def _clipped_mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    for _ in range(ROUNDS):
        if not values.size:
            return np.nan
        middle, spread = np.median(values), np.std(values)
        inside = (values >= middle - SIGMA * spread) & (values <= middle + SIGMA * spread)
        if inside.all():
            break
        values = values[inside]
    return float(np.mean(values)) if values.size else np.nan


def starts(nints: int, ngroups: int, ny: int, clock: Clock) -> np.ndarray:
    """First tick of each integration (int64[integration])."""
    return np.arange(nints) * (int(ngroups * clock.frame(ny)) + clock.reset)


class Fold:
    """Residuals of integrations by phase.

    Parameters
    ----------
    clock : Clock
    period : float
        Ticks.
    nbins : int
        At most `MOST_BINS`.
    late : bool
        Whether the rows reach to the last read of a full frame.
    file : file
        Open for reading and writing, to keep them there rather than in memory.
    """

    def __init__(self, clock: Clock, period: float, nbins: int, late: bool, file: IO[bytes] | None = None) -> None:
        self.clock, self.period, self.nbins, self.late, self.file = clock, period, nbins, late, file
        self._parts: list[np.ndarray] = []
        self._edges: list[np.ndarray] = []
        self._offsets = [0]

    def add(self, ramp: np.ndarray, index: int) -> None:
        """The integration `index` of the file (float32[group, y, x], DN, three groups or more); they come in order."""
        ngroups, ny, nx = ramp.shape
        values = residuals(ramp).ravel()
        bins = np.empty(values.size, np.int16)
        _bins(starts(index + 1, ngroups, ny, self.clock)[index:], ngroups, ny, nx // OUTPUTS, self.nbins, self.clock.sample, self.clock.row, self.late,
              self.period, bins)  # fmt: skip
        order = np.argsort(bins, kind="stable")
        values = values[order]
        self._edges.append(np.searchsorted(bins[order], np.arange(self.nbins + 1)))
        self._offsets.append(self._offsets[-1] + values.nbytes)
        if self.file is None:
            self._parts.append(values)
        else:
            self.file.write(values.data)

    def means(self) -> np.ndarray:
        """Clipped mean of each bin, less their median (float64[bin])."""
        if self.file is not None:
            self.file.flush()
        many = max(1, BATCH * self.nbins // max(self._offsets[-1], 1))
        means = np.array(
            [_clipped_mean(values) for first in range(0, self.nbins, many) for values in self._bins(first, min(first + many, self.nbins))]
        )
        return np.asarray(means - np.median(means))

    def _bins(self, first: int, last: int) -> Iterator[np.ndarray]:
        """Residuals in each of some bins, integration after integration."""
        parts = [self._part(i, edges[first], edges[last]) for i, edges in enumerate(self._edges)]
        for b in range(first, last):
            pieces = [part[edges[b] - edges[first] : edges[b + 1] - edges[first]] for part, edges in zip(parts, self._edges)]
            yield np.concatenate(pieces).astype(float) if pieces else np.zeros(0)

    def _part(self, i: int, start: int, stop: int) -> np.ndarray:
        if self.file is None:
            return self._parts[i][start:stop]
        self.file.seek(self._offsets[i] + 4 * int(start))
        return np.frombuffer(self.file.read(4 * int(stop - start)), np.float32)


def resized(values: np.ndarray, size: float) -> np.ndarray:
    """Values repeated or left out, so that there are `size` of them (rounded up)."""
    return np.asarray(values[np.mgrid[slice(0, len(values), float(len(values)) / size)].astype(int)])


def laid_over(values: np.ndarray, pattern: np.ndarray, period: float, scale: bool) -> np.ndarray:
    """The pattern of one period (float64[phase]), shifted to correlate best with folded values, and scaled to them if wanted.

    Returns
    -------
    float64[tick]
    """
    own = resized(values, pattern.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        likeness = [np.corrcoef(np.roll(pattern, shift), own)[0, 1] for shift in range(pattern.size)]
    shifted = resized(np.roll(pattern, int(np.argmax(likeness))), period)
    if not scale:
        return shifted
    return np.asarray(shifted * np.polyfit(shifted, resized(values, period), 1)[0])


@jit
def _subtract(sci, first, table, sample, row, late, period):  # type: ignore[no-untyped-def]
    nints, ngroups, ny, nx = sci.shape
    reads = nx // OUTPUTS
    for i in range(nints):
        for g in range(ngroups):
            for y in range(ny):
                for k in range(reads):
                    level = table[int(_phase(first[i], g, y, k, ny, reads, sample, row, late, period) * period)]
                    if np.isfinite(level):
                        for x in range(k * OUTPUTS, (k + 1) * OUTPUTS):
                            sci[i, g, y, x] -= level


def subtract(sci: np.ndarray, clock: Clock, period: float, table: np.ndarray, late: bool, start: int = 0) -> None:
    """Subtract a waveform (float64[tick], one period) from all outputs of float32[integration, group, y, x], in place.

    `start` is the index of the first integration in the file.
    """
    nints, ngroups, ny, _ = sci.shape
    _subtract(sci, starts(start + nints, ngroups, ny, clock)[start:], table, clock.sample, clock.row, late, period)
