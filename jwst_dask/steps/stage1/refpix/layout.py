"""Which pixels of a frame are reference pixels, which columns they stand for, and how the detector lies in the array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_dask.data.dq import PIXEL

UNUSABLE, REFERENCE = np.uint32(PIXEL["DO_NOT_USE"]), np.uint32(PIXEL["REFERENCE_PIXEL"])
FULL = 2048
EDGE = 4
"""Reference rows or columns along each edge of a NIR detector."""
AMPLIFIERS = 4
EDGELESS = ("SUB512", "SUB512S", "SUB32")
"""NIRSpec subarrays without reference pixels: the first and last four columns serve as such."""
IRS2_NORMAL, IRS2_READS = 16, 4


@dataclass(frozen=True)
class Frame:
    """How detector rows and columns (fast axis) lie in the memory of a [y, x] plane.

    Attributes
    ----------
    nrows, ncols : int
        Detector rows and columns that the plane holds.
    row0, col0 : int
        The first of them on the detector, from 0.
    along_x : bool
        Whether detector columns are the array's columns.
    base, row_step, col_step : int
        Memory offset of the first pixel, and steps to the next row and column.
    """

    nrows: int
    ncols: int
    row0: int
    col0: int
    along_x: bool
    base: int
    row_step: int
    col_step: int

    @classmethod
    def of(cls, shape: tuple[int, int], corner: tuple[int, int], fastaxis: int, slowaxis: int) -> Frame:
        """Of a plane (y, x) whose first pixel is at `corner` (y, x, from 0) of the full frame; axes as FASTAXIS and SLOWAXIS."""
        along_x = abs(fastaxis) == 1
        (ny, nx), (y0, x0) = shape, corner
        nrows, ncols, row0, col0 = (ny, nx, y0, x0) if along_x else (nx, ny, x0, y0)
        row_step, col_step = (nx, 1) if along_x else (1, nx)
        base = 0
        if slowaxis < 0:
            base, row_step, row0 = base + (nrows - 1) * row_step, -row_step, max(FULL, nrows) - row0 - nrows
        if fastaxis < 0:
            base, col_step, col0 = base + (ncols - 1) * col_step, -col_step, max(FULL, ncols) - col0 - ncols
        return cls(nrows, ncols, row0, col0, along_x, base, row_step, col_step)

    def offsets(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Memory offsets, int64[row, col], of detector rows and columns of the plane (from 0 in it)."""
        return self.base + rows[:, None] * self.row_step + cols * self.col_step

    def section(self, flags: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Offsets, row by row, of the usable pixels among rows and columns of the full detector; those not in the plane are left out.

        Parameters
        ----------
        flags : uint32[y, x]
        rows, cols : int64
        """
        rows, cols = rows - self.row0, cols - self.col0
        rows = rows[(rows >= 0) & (rows < self.nrows)]
        cols = cols[(cols >= 0) & (cols < self.ncols)]
        found = self.offsets(rows, cols).reshape(-1)
        return found[(flags.reshape(-1)[found] & UNUSABLE) == 0]


@dataclass(frozen=True)
class Layout:
    """Reference pixels of one exposure.

    Attributes
    ----------
    pixels, ends : int64
        Offsets edge by edge, and where each of the two edges of each class of columns ends.
    classes : int64[column]
        Class of each detector column of the plane, in the array's orientation; -1 for none.
    pairs : bool
        Whether classes 2a and 2a + 1 are the columns of amplifier a, which is corrected if both have a signal.
    sides : int64[2, row, 4] or None
        Offsets of the side reference pixels of all rows of the detector, -1 where there is none that is usable.
    side_classes : int64[2, 4]
        Classes of their columns.
    """

    frame: Frame
    pixels: np.ndarray
    ends: np.ndarray
    classes: np.ndarray
    pairs: bool
    sides: np.ndarray | None
    side_classes: np.ndarray


def _collect(edges: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(edges), np.cumsum([edge.size for edge in edges])


def _oriented(frame: Frame, values: np.ndarray) -> np.ndarray:
    """Values by detector column in the array's orientation."""
    return values[::-1] if frame.col_step < 0 else values


def by_amplifier(flags: np.ndarray, frame: Frame, odd_even: bool, side: bool, every: bool = False) -> Layout:
    """Reference rows at top and bottom of each of four amplifiers, and columns at the sides: NIR full frames, and stripes of four outputs.

    With `every`, side pixels count whatever their flags.
    """
    columns = np.arange(FULL)
    classes = columns // (FULL // AMPLIFIERS)
    if odd_even:
        classes = 2 * classes + columns % 2
    sides, near = None, np.concatenate((columns[:EDGE], columns[-EDGE:])).reshape(2, EDGE)
    if side:
        sides = np.full((2, FULL, EDGE), -1, np.int64)
        rows = np.arange(frame.nrows)
        for edge, cols in zip(sides, near - frame.col0):
            for c in range(EDGE):
                if 0 <= cols[c] < frame.ncols:
                    offsets = frame.offsets(rows, cols[c : c + 1])[:, 0]
                    edge[frame.row0 + rows, c] = np.where(flags.reshape(-1)[offsets] & (0 if every else UNUSABLE), -1, offsets)
    return _sections(flags, frame, classes, odd_even, sides, classes[near])


def interleaved(flags: np.ndarray, frame: Frame, odd_even: bool) -> Layout:
    """Reference rows at top and bottom of the five outputs of an IRS2 frame; interleaved reference pixels come as two odd and two even ones."""
    columns = np.arange(frame.ncols)
    output, place = np.divmod(columns, frame.ncols // 5)
    reads = (place - IRS2_NORMAL // 2) % (IRS2_NORMAL + IRS2_READS) < IRS2_READS
    even = np.where(reads, columns % 4 >= 2, columns % 2 == 1)
    classes = 2 * output + even if odd_even else output
    return _sections(flags, frame, classes, odd_even, None, np.zeros((2, EDGE), np.int64))


def _sections(
    flags: np.ndarray, frame: Frame, classes: np.ndarray, pairs: bool, sides: np.ndarray | None, side_classes: np.ndarray
) -> Layout:
    top, bottom = np.arange(FULL - EDGE, FULL), np.arange(EDGE)
    pixels, ends = _collect([frame.section(flags, rows, np.flatnonzero(classes == k))
                             for k in range(int(classes.max()) + 1) for rows in (top, bottom)])  # fmt: skip
    own = classes[frame.col0 : frame.col0 + frame.ncols]
    return Layout(frame, pixels, ends, _oriented(frame, own), pairs, sides, side_classes)


def flagged(flags: np.ndarray, frame: Frame, odd_even: bool, edgeless: bool) -> Layout:
    """All flagged reference pixels of a subarray with one output together; of `edgeless` ones also the first and last four columns (x)."""
    usable = (flags & REFERENCE) != 0
    if edgeless:
        usable[:, :EDGE] = usable[:, -EDGE:] = True
    usable &= (flags & UNUSABLE) == 0
    y, x = np.nonzero(usable)
    row, col = (y, x) if frame.along_x else (x, y)
    row = frame.nrows - 1 - row if frame.row_step < 0 else row
    col = frame.ncols - 1 - col if frame.col_step < 0 else col
    order = np.lexsort((col, row))
    row, col = row[order], col[order]
    offsets = frame.base + row * frame.row_step + col * frame.col_step
    kind = (col + frame.col0) % 2 if odd_even else np.zeros_like(col)
    empty = np.empty(0, np.int64)
    edges = [edge for k in range(1 + odd_even) for edge in (offsets[kind == k], empty)]
    pixels, ends = _collect(edges)
    classes = (np.arange(frame.ncols) + frame.col0) % 2 if odd_even else np.zeros(frame.ncols, np.int64)
    return Layout(frame, pixels, ends, _oriented(frame, classes), odd_even, None, np.zeros((2, EDGE), np.int64))


def miri(flags: np.ndarray, odd_even: bool) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and ends of the reference pixels of a MIRI full frame: four interleaved amplifiers, left and right, by odd and even rows."""
    ny, nx = flags.shape
    frame = Frame.of((ny, nx), (0, 0), 1, 1)
    starts = (0, 1) if odd_even else (0,)
    return _collect([frame.section(flags, np.arange(start, ny, len(starts)), np.array([column]))
                     for amplifier in range(AMPLIFIERS) for start in starts
                     for column in (amplifier, nx - AMPLIFIERS + amplifier)])  # fmt: skip
