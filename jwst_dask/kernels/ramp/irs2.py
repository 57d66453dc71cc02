"""Reference signal of NIRSpec IRS2 frames: from interleaved reference pixels and the reference output, per sector.

The arrays are [detector column, detector row] planes of 3200 columns: the reference output and four amplifiers of 640
columns, of which 128 are repeated reads of reference pixels. This is how NRS1 frames lie in memory; of NRS2 frames
both axes are reversed. Needs whole frames and all groups of an integration; integrations are independent (but for the flags
of bad reference pixels, which are an exposure's).

Document: "IRS2 reference pixel correction" (B. Rauscher et al. 2017, PASP 129, 105003; JWST documentation, refpix).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.irs2_fourier import EIGHT, LONG, SLOTS, Slots, arrange, filtered, low_pass, spectrum, turn

OUTPUTS, COLUMNS = 5, 640
NORMAL, REFERENCE = 16, 4
"""Pixels that are read before the readout steps out to reference pixels, and how many of these it reads."""
PERIOD = NORMAL + REFERENCE
ROUNDS = 3
"""Of filling what is not a pixel of the reference output."""
PIECES = 4
"""Of a plane of spectra, of which one is in memory at a time."""
TAPS = np.sin(np.arange(1, 32, dtype=np.float32) / np.float32(32.0) * np.float32(np.pi)).astype(np.float64)
Filters = np.ndarray | Mapping[int, np.ndarray]
EDGE = 4
"""Rows at each end from which the drift of a frame is found."""


def is_normal() -> np.ndarray:
    """Which of the 640 columns of an output, in either direction, are pixels: bool[640]."""
    return (np.arange(COLUMNS) - NORMAL // 2) % PERIOD >= REFERENCE


def slots_of_columns() -> np.ndarray:
    """Slot in which each of the 640 columns, in the order of reading, is read: int64[640].

    Stepping out to the reference pixels and back takes the time of one pixel each; the readout begins half a run before.
    """
    column = np.arange(COLUMNS)
    block, place = np.divmod(column - NORMAL // 2, PERIOD)
    return column + 2 * block + np.where(place < REFERENCE, 1, 2)


@dataclass(frozen=True)
class Tables:
    """What the correction of a frame with `n` rows needs besides the reference file; made once per process."""

    n: int
    every: Slots
    pixels: Slots
    """Normal columns."""
    reads: Slots
    """Where the first copy of each reference pixel is put: the slots before and after its block are filled with them too."""
    source: np.ndarray
    """Columns (in the order of reading) of these reference pixels."""
    gaps: np.ndarray
    """Slots that are filled in the reference output."""
    band: np.ndarray
    """The filter where it is not zero: float32[m, n // 2 + 1]."""
    into: np.ndarray
    """Of the slots into that band: complex64[m, 712]."""
    back: np.ndarray
    """From it to the filled slots: complex64[gaps, m]."""


def make_tables(n: int) -> Tables:
    """Tables of frames with `n` rows (2048; at least 512)."""
    slots, normal = slots_of_columns(), is_normal()
    gaps = np.setdiff1d(np.arange(SLOTS), slots[normal])
    block = np.arange(COLUMNS // PERIOD)[:, None]
    first = NORMAL // 2 + PERIOD * block
    source = (first + np.array([0, 2, 1, 3])).reshape(-1)
    copies = (first + 2 * block + np.array([-1, 0, 3, 4])).reshape(-1)
    plane = low_pass(n).reshape(SLOTS, n)[:, : n // 2 + 1]
    band = np.flatnonzero(plane.any(axis=1))
    return Tables(
        n, Slots.of(np.arange(SLOTS), n), Slots.of(slots[normal], n), Slots.of(copies, n), source, gaps,
        plane[band].astype(np.float32), turn(np.outer(band, np.arange(SLOTS)), SLOTS).astype(np.complex64),
        (turn(np.outer(gaps, band), SLOTS).conj() / SLOTS).astype(np.complex64),
    )  # fmt: skip


def make_filters(alpha: np.ndarray, beta: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a reference file as filters of spectra.

    Parameters
    ----------
    alpha, beta : complex64[sector, 712 * n]
        Of the reference output, and of the interleaved reference pixels.
    n : int
        Rows of the frame.

    Returns
    -------
    complex64[2 (alpha, beta), sector, 8, 89, n // 2 + 1] as two arrays
    """
    return np.stack([arrange(row, n, False) for row in alpha]), np.stack([arrange(row, n, True) for row in beta])


@jit
def ramp_mean(ramp, mean):  # type: ignore[no-untyped-def]
    """Subtract from each pixel its mean over the groups.

    Parameters
    ----------
    ramp : float32[group, y, x]
        One integration; changed in place.
    mean : float64[y, x]
        Receives the mean.
    """
    ngroups, ny, nx = ramp.shape
    for y in range(ny):
        row = mean[y]
        row[:] = 0.0
        for g in range(ngroups):
            for x in range(nx):
                row[x] += ramp[g, y, x]
        for x in range(nx):
            row[x] /= ngroups
        for g in range(ngroups):
            for x in range(nx):
                ramp[g, y, x] = ramp[g, y, x] - row[x]


@jit
def _line(columns, slots):  # type: ignore[no-untyped-def]
    """Intercept and slope, against time around the frame's middle, of the first and last rows' values that are not zero."""
    m, n = columns.shape
    middle = (SLOTS * n - 1) / 2.0
    count, sx, sy, sxx, sxy = 0, 0.0, 0.0, 0.0, 0.0
    for j in range(m):
        for r in range(2 * EDGE):
            row = r if r < EDGE else n - 2 * EDGE + r
            y = columns[j, row]
            if y != 0.0:
                t = SLOTS * row + slots[j] - middle
                count += 1
                sx += t
                sy += y
                sxx += t * t
                sxy += t * y
    if count == 0:
        return np.float32(0), np.float32(0)
    slope = (sxy - sx * sy / count) / (sxx - sx * sx / count)
    return np.float32(sy / count - slope * sx / count), np.float32(slope)


@jit
def remove_drift(columns, slots):  # type: ignore[no-untyped-def]
    """Subtract from an output the straight line through its reference rows, in place; zeros stay.

    Parameters
    ----------
    columns : float32[640, row]
        In the order of reading.
    slots : int64[640]
    """
    m, n = columns.shape
    intercept, slope = _line(columns, slots)
    middle = (SLOTS * n - 1) / 2.0
    for j in range(m):
        for r in range(n):
            if columns[j, r] != 0.0:
                t = np.float32(SLOTS * r + slots[j] - middle)
                columns[j, r] -= intercept + t * slope


@jit
def bridge(samples, out):  # type: ignore[no-untyped-def]
    """Fill zeros with the mean, weighted by a cosine in time, of the 15 samples before and after that are not zero.

    Parameters
    ----------
    samples : float32[712, row]
        The reference output, zero where nothing was read.
    out : float32[712, row]
        Receives the filled samples.
    """
    m, n = samples.shape
    reach = TAPS.size // 2
    for s in range(m):
        for r in range(n):
            out[s, r] = samples[s, r]
            if samples[s, r] != 0.0:
                continue
            total, weight = 0.0, 0.0
            for d in range(-reach, reach + 1):
                slot, row = s + d, r
                if slot < 0:
                    slot, row = slot + m, (r - 1 if r else n - 1)
                elif slot >= m:
                    slot, row = slot - m, (r + 1 if r + 1 < n else 0)
                if samples[slot, row] != 0.0:
                    total += TAPS[d + reach] * samples[slot, row]
                    weight += TAPS[d + reach]
            if weight:
                out[s, r] = np.float32(total) / np.float32(weight)


@jit
def _finish(columns, chosen, correction, mean, restored, out):  # type: ignore[no-untyped-def]
    """Subtract the correction from the chosen columns, and add the mean of the ramp where it is restored."""
    for j in range(chosen.size):
        c = chosen[j]
        for r in range(out.shape[1]):
            value = columns[c, r] - correction[j, r]
            out[j, r] = value + mean[c, r] if restored[c] else value


def in_order(columns: np.ndarray, k: int) -> np.ndarray:
    """Columns of an output in the order of reading, or back: every other output is read backwards."""
    return columns if k % 2 else columns[::-1]


class Corrector:
    """Corrects integrations of frames with `n` rows; holds scratch (use one per task).

    Parameters
    ----------
    tables : Tables
    alpha, beta : complex64[sector, 8, 89, n // 2 + 1]
        From `make_filters`; or those of some sectors in a mapping.
    keep : bool
        Keep reference pixels and the reference output.

    Attributes
    ----------
    output : complex64[8, 89, n // 2 + 1]
        Spectrum of the reference output of the group at hand.
    """

    def __init__(self, tables: Tables, alpha: Filters, beta: Filters, keep: bool = False) -> None:
        self.tables, self.alpha, self.beta, self.keep = tables, alpha, beta, keep
        self.slots, self.normal = slots_of_columns(), is_normal()
        self.chosen = np.arange(COLUMNS) if keep else np.flatnonzero(self.normal)
        self.wanted = Slots.of(self.slots, tables.n) if keep else tables.pixels
        self.output = np.empty((0, 0, 0), np.complex64)
        middle = tables.n // 2
        self.edges = [*(middle * i // PIECES for i in range(PIECES)), middle + 1]

    def correct(self, ramp: np.ndarray, out: np.ndarray) -> None:
        """One integration.

        Parameters
        ----------
        ramp : float32[group, 3200, n]
            Detector columns and rows (any strides); overwritten.
        out : float32[group, 2048 or 3200, n]
            Receives the result. Its memory may be that of `ramp`, if each of its planes begins before that of `ramp` does.
        """
        mean = np.empty(ramp.shape[1:])
        ramp_mean(ramp, mean)
        plane = np.empty(out.shape[1:], np.float32)
        for group, result in zip(ramp, out):
            self.correct_group(group, mean, plane)
            result[...] = plane

    def correct_group(self, group: np.ndarray, mean: np.ndarray, out: np.ndarray) -> None:
        """One group.

        Parameters
        ----------
        group : float32[3200, n]
            Less the mean over the integration's groups.
        mean : float64[3200, n]
        out : float32[2048 or 3200, n]
            Receives the result.
        """
        size = self.chosen.size
        for k in range(OUTPUTS):
            columns, offset = (np.ascontiguousarray(in_order(plane[k * COLUMNS : (k + 1) * COLUMNS], k)) for plane in (group, mean))
            first = k * size if self.keep else (k - 1) * size
            if k:
                self.correct_sector(columns, offset, k, out[first : first + size])
            elif self.keep:
                self.reference_output(columns, offset, out[:COLUMNS])
            else:
                self.reference_output(columns)

    def reference_output(self, columns: np.ndarray, mean: np.ndarray | None = None, out: np.ndarray | None = None) -> None:
        """Take the spectrum of the reference output, the gaps of which are filled by repeated low-pass filtering.

        Parameters
        ----------
        columns : float32[640, n]
            In the order of reading, less the mean; C-contiguous, overwritten.
        mean : float64[640, n]
        out : float32[640, n]
            Receives the filled samples with their mean, as columns of the detector, if given.
        """
        tables, samples = self.tables, np.zeros((2, SLOTS, self.tables.n), np.float32)
        read, filled = samples
        remove_drift(columns, self.slots)
        read[self.slots] = columns
        bridge(read, filled)
        rows = tables.every.rows(filled)
        normal = np.delete(np.arange(SLOTS), tables.gaps)
        fixed = tables.into[:, normal] @ rows[normal]
        for _ in range(ROUNDS):
            rows[tables.gaps] = tables.back @ (tables.band * (fixed + tables.into[:, tables.gaps] @ rows[tables.gaps]))
        if not self.output.size:
            self.output = np.empty((EIGHT, LONG, tables.n // 2 + 1), np.complex64)
        tables.every.partial(rows, self.output)
        spectrum(self.output)
        if out is not None and mean is not None:
            filled[tables.gaps] = tables.every.samples(rows, tables.n)[tables.gaps]
            out[::-1] = filled[self.slots] + mean

    def correct_sector(self, columns: np.ndarray, mean: np.ndarray, k: int, out: np.ndarray) -> None:
        """Correct an output, knowing the spectrum of the reference output.

        Parameters
        ----------
        columns : float32[640, n]
            In the order of reading, less the mean; C-contiguous, overwritten.
        mean : float64[640, n]
        k : int
            1 to 4.
        out : float32[512 or 640, n]
            Receives columns of the detector.
        """
        remove_drift(columns, self.slots)
        _finish(columns, self.chosen, self.signal(columns, k - 1), mean, self.normal, in_order(out, k))

    def signal(self, columns: np.ndarray, sector: int) -> np.ndarray:
        """Signal in the chosen columns of a sector (0 to 3): float32[column, n]."""
        tables = self.tables
        reads, rows = tables.reads.rows(columns[tables.source]), np.empty((self.chosen.size, tables.n // 2 + 1), np.complex64)
        scratch = np.empty(EIGHT * LONG * (self.edges[-1] - self.edges[-2]), np.complex64)
        for first, last in zip(self.edges[:-1], self.edges[1:]):
            partial = scratch[: EIGHT * LONG * (last - first)].reshape(EIGHT, LONG, last - first)
            tables.reads.partial(reads, partial, slice(first, last))
            filtered(partial, self.beta[sector], self.alpha[sector], self.output, first)
            self.wanted.gather(partial, rows, slice(first, last))
        return self.wanted.samples(rows, tables.n)
