"""Interference of known frequency in MIRI ramps: residuals of straight ramps folded by phase, and a waveform laid over them.

Units and layout as in `jwst_dask.kernels.ramp.emi`.

Document: JWST documentation, emicorr (sequential algorithm).
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.emi import FRAME_ROWS, OUTPUTS, PAD, Clock

MOST_BINS = 501
SIGMA, ROUNDS = 3.0, 5
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
    ngroups, _, nx = ramp.shape
    inner = ramp[1 : ngroups - 1].astype(float)
    n, time = len(inner), np.arange(len(inner), dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (n * np.tensordot(time, inner, 1) - time.sum() * inner.sum(axis=0)) / (n * (time**2).sum() - time.sum() ** 2)
    straight = np.empty(ramp.shape, np.float32)
    for group in range(ngroups):
        straight[group] = ramp[group] - slope * group
    middle = straight[1 : ngroups - 1]
    straight -= (np.nanmin if n <= 2 else np.nanmedian)(middle, axis=0)
    reads = nx // OUTPUTS
    out = straight[..., 0:nx:OUTPUTS][..., :reads].copy()
    for output in range(1, OUTPUTS):
        out += straight[..., output:nx:OUTPUTS][..., :reads]
    out /= np.float32(OUTPUTS)
    # the second and third reads of a row are bad
    out[..., 1] = out[..., 2] = (out[..., 0] + out[..., 3]) / np.float32(2)
    out -= np.median(out, axis=(1, 2), keepdims=True)
    return out


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


def folded(sci: np.ndarray, clock: Clock, period: float, nbins: int, late: bool) -> np.ndarray:
    """Mean residual by phase, less its median (float64[bin]).

    Parameters
    ----------
    sci : float32[integration, group, y, x]
        DN; the first integrations, three groups or more.
    clock : Clock
    period : float
        Ticks.
    nbins : int
    late : bool
        Whether the rows reach to the last read of a full frame.
    """
    nints, ngroups, ny, nx = sci.shape
    reads = nx // OUTPUTS
    values = np.concatenate([residuals(ramp).ravel() for ramp in sci]).astype(float) if nints else np.zeros(0)
    bins = np.empty(values.size, np.int64)
    _bins(starts(nints, ngroups, ny, clock), ngroups, ny, reads, nbins, clock.sample, clock.row, late, period, bins)
    order = np.argsort(bins, kind="stable")
    edges = np.searchsorted(bins[order], np.arange(nbins + 1))
    means = np.array([_clipped_mean(values[order[edges[b] : edges[b + 1]]]) for b in range(nbins)])
    return np.asarray(means - np.median(means))


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


def subtract(sci: np.ndarray, clock: Clock, period: float, table: np.ndarray, late: bool) -> None:
    """Subtract a waveform (float64[tick], one period) from all outputs of float32[integration, group, y, x], in place."""
    nints, ngroups, ny, _ = sci.shape
    _subtract(sci, starts(nints, ngroups, ny, clock), table, clock.sample, clock.row, late, period)
