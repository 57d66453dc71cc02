"""Groups at or above the threshold of saturation, or at the floor of the A/D converter."""

from __future__ import annotations

import numpy as np

from jwst_dask.data.dq import GROUP, PIXEL
from jwst_dask.kernels._jit import jit

SATURATED, DO_NOT_USE, AD_FLOOR = (np.uint8(GROUP[name]) for name in ("SATURATED", "DO_NOT_USE", "AD_FLOOR"))
FLOOR_FLAGS = np.uint8(AD_FLOOR | DO_NOT_USE)
NO_SAT_CHECK = np.uint32(PIXEL["NO_SAT_CHECK"])
UNREACHABLE = np.float32(65536.0)
"""A threshold above all values of the 16-bit A/D converter (DN)."""


def thresholds(threshold: np.ndarray, dq: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds that can be compared with, and the flags of their pixels.

    Parameters
    ----------
    threshold : float32[y, x]
        DN; NaN where not known.
    dq : uint32[y, x]
        Flags of the reference.

    Returns
    -------
    float32[y, x], uint32[y, x]
        Unreachable, and flagged NO_SAT_CHECK, where there is nothing to compare with.
    """
    unknown = np.isnan(threshold)
    flags = np.where(unknown, dq | NO_SAT_CHECK, dq)
    return np.where((flags & NO_SAT_CHECK) != 0, UNREACHABLE, threshold), flags


def flag(sci: np.ndarray, groupdq: np.ndarray, threshold: np.ndarray, bias: np.ndarray, grow: int, nframes: int, rows: np.ndarray,
         irs2: bool = False, zeroframe: np.ndarray | None = None) -> None:  # fmt: skip
    """Flag SATURATED the groups from the first at or above the threshold, and DO_NOT_USE + AD_FLOOR groups that are not positive.

    Saturation spreads to the pixels of a square around. Where groups average several frames, the group before the first that is
    flagged may hold frames after saturation: it is DO_NOT_USE if it reaches the threshold times the mean over the last of
    its frames' numbers (with the pixels around), and, being the second, if it rose by more than a saturated last
    frame could explain although the first group gave no reason. In IRS2 frames only that second test is made, and
    flags SATURATED, with the pixels around.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
        DN.
    groupdq : uint8[integration, group, y, x]
        Changed in place.
    threshold : float32[row, x]
        As `thresholds` gives it, for `rows`.
    bias : float32[row, x]
        Bias level under the ramps, for `rows`.
    grow : int
        Half width of the square (pixels).
    nframes : int
        Frames in a group; 0 for no tests of averages.
    rows : int64[row]
        Rows of the frame to work on; others are not looked at, and neighbours are those in this list.
    irs2 : bool
        Whether the frame is NIRSpec IRS2.
    zeroframe : float32[integration, y, x]
        First frames; changed in place: 0 where saturated or not positive.

    Notes
    -----
    Integrations are independent. A band of rows needs a halo of ``2 * grow`` rows (IRS2: whole frames).
    Memory: two planes of uint16, one of uint8.

    Source: JWST documentation, saturation.
    """
    nrows, nx = threshold.shape
    first, grown = np.empty((nrows, nx), np.uint16), np.empty((nrows, nx), np.uint16)
    partial = np.zeros((nrows, nx), np.uint8)
    for i in range(len(sci)):
        hit, flagged = _first_groups(sci[i], groupdq[i], threshold, rows, first)
        if flagged and not irs2:
            _by_group(sci[i], groupdq[i], threshold, bias, grow, nframes, rows, first, grown, partial)
        elif hit:
            _spread(first, grown, grow, sci.shape[1])
            _set_saturated(groupdq[i], grown, rows)
            if nframes and irs2:
                _second_group_irs2(sci[i], groupdq[i], threshold, bias, grow, nframes, rows)
            elif nframes:
                _averages(sci[i], groupdq[i], threshold, bias, grow, nframes, rows, grown, partial)
        if zeroframe is not None:
            _clear_frame(zeroframe[i], threshold, grow, rows, first, grown)


@jit
def _first_groups(sci, groupdq, threshold, rows, first):  # type: ignore[no-untyped-def]
    """First group at or above the threshold (or the number of groups); flags the floor. Also: any such; any flagged SATURATED before."""
    ngroups, nx = sci.shape[0], sci.shape[2]
    hit, flagged = False, False
    for k in range(len(rows)):
        y = rows[k]
        for x in range(nx):
            first[k, x] = ngroups
        # downwards, so that the smallest group is the one that stays
        for g in range(ngroups - 1, -1, -1):
            old = np.uint8(0)
            for x in range(nx):
                value = sci[g, y, x]
                dq = groupdq[g, y, x]
                old |= dq
                first[k, x] = g if value >= threshold[k, x] else first[k, x]
                groupdq[g, y, x] = dq | FLOOR_FLAGS if value <= 0 else dq
            flagged |= (old & SATURATED) != 0
        for x in range(nx):
            hit |= first[k, x] < ngroups
    return hit, flagged


@jit
def _spread(first, grown, grow, none):  # type: ignore[no-untyped-def]
    """Smallest value of the square around each pixel; rows without any below `none` cost one comparison each."""
    ny, nx = first.shape
    for y in range(ny):
        for x in range(nx):
            grown[y, x] = none
    for y in range(ny):
        for x in range(nx):
            value = first[y, x]
            if value < none:
                for yy in range(max(0, y - grow), min(ny, y + grow + 1)):
                    for xx in range(max(0, x - grow), min(nx, x + grow + 1)):
                        grown[yy, xx] = min(grown[yy, xx], value)


@jit
def _set_saturated(groupdq, grown, rows):  # type: ignore[no-untyped-def]
    ngroups, nx = groupdq.shape[0], groupdq.shape[2]
    for k in range(len(rows)):
        y, lowest = rows[k], ngroups
        for x in range(nx):
            lowest = min(lowest, np.int64(grown[k, x]))
        for g in range(lowest, ngroups):
            for x in range(nx):
                if grown[k, x] <= g:
                    groupdq[g, y, x] |= SATURATED


@jit
def _dilution(group, nframes):  # type: ignore[no-untyped-def]
    """Mean over the last of the numbers (from 1) of a group's frames."""
    return (group * nframes + (nframes + 1) / 2) / ((group + 1) * nframes)


@jit
def _sudden(sci, y, x, threshold, bias, nframes):  # type: ignore[no-untyped-def]
    """Whether the second group rose by more than its last frame's saturation would, and the first predicts none in the third."""
    start = sci[0, y, x]
    predicted = np.float64(np.float32(start - bias)) / ((nframes + 1) / 2) * (3 * nframes) + bias
    return predicted < threshold and np.float32(sci[1, y, x] - start) > np.float32(np.float32(threshold - start) / np.float32(nframes))


@jit
def _averages(sci, groupdq, threshold, bias, grow, nframes, rows, grown, partial):  # type: ignore[no-untyped-def]
    """Tests of the group before the first flagged one, whose number is `grown`."""
    ngroups, nx = sci.shape[0], sci.shape[2]
    nrows = len(rows)
    for k in range(nrows):
        y = rows[k]
        for x in range(nx):
            partial[k, x] = 0
            g = np.int64(grown[k, x]) - 1
            if nframes > 1 and 0 <= g < ngroups - 1 and groupdq[g, y, x] & DO_NOT_USE == 0:
                limit = threshold[k, x]
                factor = 1.0 if limit == UNREACHABLE else _dilution(g, nframes)
                partial[k, x] = sci[g, y, x] >= np.float64(limit) * factor
    for k in range(nrows):
        y = rows[k]
        for x in range(nx):
            if partial[k, x]:
                g = np.int64(grown[k, x]) - 1
                for kk in range(max(0, k - grow), min(nrows, k + grow + 1)):
                    for xx in range(max(0, x - grow), min(nx, x + grow + 1)):
                        groupdq[g, rows[kk], xx] |= DO_NOT_USE
            if grown[k, x] == 2 and ngroups > 2 and _sudden(sci, y, x, threshold[k, x], bias[k, x], nframes):
                groupdq[1, y, x] |= DO_NOT_USE


@jit
def _second_group_irs2(sci, groupdq, threshold, bias, grow, nframes, rows):  # type: ignore[no-untyped-def]
    if sci.shape[0] < 3:
        return
    nrows, nx = threshold.shape
    for k in range(nrows):
        y = rows[k]
        for x in range(nx):
            if sci[2, y, x] >= threshold[k, x] and _sudden(sci, y, x, threshold[k, x], bias[k, x], nframes):
                for kk in range(max(0, k - grow), min(nrows, k + grow + 1)):
                    for xx in range(max(0, x - grow), min(nx, x + grow + 1)):
                        groupdq[1, rows[kk], xx] |= SATURATED


@jit
def _by_group(sci, groupdq, threshold, bias, grow, nframes, rows, first, grown, partial):  # type: ignore[no-untyped-def]
    """The same where groups were flagged SATURATED before: those spread too, each in its group only."""
    ngroups, nx = sci.shape[0], sci.shape[2]
    nrows = len(rows)
    for g in range(ngroups):
        for k in range(nrows):
            for x in range(nx):
                partial[k, x] = first[k, x] <= g or groupdq[g, rows[k], x] & SATURATED != 0
        _mark(groupdq[g], partial, grow, rows, SATURATED)
    if nframes > 1:
        for g in range(ngroups - 2, -1, -1):
            factor = _dilution(g, nframes)
            for k in range(nrows):
                y = rows[k]
                for x in range(nx):
                    limit = np.float64(threshold[k, x]) * (1.0 if threshold[k, x] == UNREACHABLE else factor)
                    free = groupdq[g, y, x] & (SATURATED | DO_NOT_USE) == 0
                    partial[k, x] = free and groupdq[g + 1, y, x] & SATURATED != 0 and sci[g, y, x] >= limit
            _mark(groupdq[g], partial, grow, rows, DO_NOT_USE)
    if nframes > 0 and ngroups > 2:
        for k in range(nrows):
            y = rows[k]
            for x in range(nx):
                turned = groupdq[2, y, x] & SATURATED != 0 and groupdq[1, y, x] & SATURATED == 0
                if turned and _sudden(sci, y, x, threshold[k, x], bias[k, x], nframes):
                    groupdq[1, y, x] |= DO_NOT_USE


@jit
def _mark(plane, chosen, grow, rows, value):  # type: ignore[no-untyped-def]
    nrows, nx = chosen.shape
    for k in range(nrows):
        for x in range(nx):
            if chosen[k, x]:
                for kk in range(max(0, k - grow), min(nrows, k + grow + 1)):
                    for xx in range(max(0, x - grow), min(nx, x + grow + 1)):
                        plane[rows[kk], xx] |= value


@jit
def _clear_frame(frame, threshold, grow, rows, first, grown):  # type: ignore[no-untyped-def]
    nrows, nx = threshold.shape
    for k in range(nrows):
        for x in range(nx):
            first[k, x] = 0 if frame[rows[k], x] >= threshold[k, x] else 1
    _spread(first, grown, grow, 1)
    for k in range(nrows):
        for x in range(nx):
            if grown[k, x] == 0 or frame[rows[k], x] <= 0:
                frame[rows[k], x] = 0
