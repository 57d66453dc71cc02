"""Reference pixel correction of the frames of a block, in place: NIR detectors and MIRI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels.ramp import sirs
from jwst_dask.kernels.ramp.refpix import combine_sides, correct_miri, group_signals, side_medians, side_values, subtract_lines
from jwst_dask.steps.stage1.refpix.layout import AMPLIFIERS, FULL, Layout, miri


@dataclass(frozen=True)
class Side:
    """How the side reference pixels are used.

    Attributes
    ----------
    length, gain : int, float
        Of the running median.
    kernels, reject : float64[2, channel, n] or None, float
        Of the optimised convolution, which is used if there are kernels.
    """

    length: int
    gain: float
    kernels: np.ndarray | None = None
    reject: float = 4.0


def correct_plane(plane: np.ndarray, layout: Layout, limit: float, side: Side | None, single: bool) -> None:
    """Correct one NIR frame in place.

    Parameters
    ----------
    plane : float32[y, x]
        C-contiguous.
    layout : Layout
    limit : float
        Of clipping, in standard deviations.
    side : Side or None
        None leaves the side reference pixels out.
    single : bool
        Compute in float32.
    """
    flat, frame = plane.reshape(-1), layout.frame
    signals = np.zeros(layout.ends.size // 2)
    found = group_signals(flat, layout.pixels, layout.ends, limit, single, signals)
    if layout.pairs:
        found = np.repeat(found.reshape(-1, 2).all(axis=1), 2)
    signals[~found] = 0.0
    columns = np.append(signals, 0.0)[layout.classes]
    edges = np.array([0, frame.ncols])
    rows = np.zeros((1, frame.nrows))
    if side is not None and layout.sides is not None:
        rows = _side_signals(flat, layout, signals, side, single)[:, frame.row0 : frame.row0 + frame.nrows]
        if len(rows) > 1:
            edges = np.arange(len(rows) + 1) * frame.ncols // AMPLIFIERS
        if frame.row_step < 0:
            rows = rows[:, ::-1]
        if frame.col_step < 0:
            rows = rows[::-1]
    subtract_lines(plane, columns, np.ascontiguousarray(rows), edges, frame.along_x, single)


def _side_signals(flat: np.ndarray, layout: Layout, signals: np.ndarray, side: Side, single: bool) -> np.ndarray:
    """Signal of each detector row (float64[channel, 2048]): one channel for all columns, or four."""
    assert layout.sides is not None
    values, sizes, medians = np.empty((2, *layout.sides.shape[1:])), np.empty(FULL, np.int64), np.empty((2, FULL))
    for k in range(2):
        side_values(flat, layout.sides[k], layout.side_classes[k], signals, single, values[k], sizes)
        if side.kernels is None:
            side_medians(values[k], sizes, side.length, single, medians[k])
    if side.kernels is not None:
        return sirs.templates(values, side.kernels, side.reject)
    out = np.empty((1, FULL))
    combine_sides(medians[0], medians[1], side.gain, out[0])
    return out


def correct_ramp(ramps: np.ndarray, layout: Layout, limit: float, side: Side | None, start: int, group0: int = 0) -> None:
    """Correct all groups of NIR integrations in place.

    Parameters
    ----------
    ramps : float32[integration, group, y, x]
    layout, limit, side
        As of `correct_plane`.
    start : int
        Index in the exposure of the first integration. Where side reference pixels are used, the reference implementation computes
        the exposure's very first group in float32, all others in float64.
    group0 : int
        Index in the integration of the first group.
    """
    for i, groups in enumerate(ramps):
        for g, plane in enumerate(groups):
            correct_plane(plane, layout, limit, side, side is None or start + i + group0 + g == 0)


def correct_zeroframe(frames: np.ndarray, layout: Layout, limit: float, side: Side | None) -> None:
    """Correct the zero frames (float32[integration, y, x]) in place; pixels that are 0, thus without a value, stay so."""
    for plane in frames:
        empty = plane == 0
        correct_plane(plane, layout, limit, side, side is None)
        plane[empty] = 0.0


def correct_miri_ramp(ramps: np.ndarray, flags: np.ndarray, limit: float, odd_even: bool) -> None:
    """Correct MIRI integrations in place.

    Parameters
    ----------
    ramps : float32[integration, group, 1024, 1032]
    flags : uint32[1024, 1032]
    limit : float
        Of clipping, in standard deviations.
    odd_even : bool
        Whether odd and even rows have signals of their own.
    """
    pixels, ends = miri(flags, odd_even)
    usable = bool((np.diff(ends, prepend=0) > 0).all())
    for ramp in ramps:
        correct_miri(ramp, pixels, ends, odd_even, usable, limit)
