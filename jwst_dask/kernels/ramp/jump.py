"""Two-point differences: jumps are differences of consecutive groups that stand out from those of the same pixel.

Differences are in electrons. With enough of them, all that are far from the median are flagged at once; with few, the
farthest is flagged, the median taken again without it, and so on; in a long series of integrations, sigma clipping takes
the place of the expected noise. Numbers follow the reference implementation's precision step by step (float32 signals and
differences, float64 medians and ratios), so that flags are the same.

The median is over all integrations of an exposure: a block needs them all. It may be a band of rows; flags of neighbours
then need one row more on each side.

Document: "Jump detection" of the JWST pipeline documentation; Anderson & Gordon 2011, PASP 123, 1237.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.jump_clip import LANES as CLIP_LANES
from jwst_dask.kernels.ramp.jump_clip import NEARLY, clip, jumped_row, noise_of, unflag
from jwst_dask.kernels.ramp.lanes import copy_finite_last, lanes_for, load, middle, sort
from jwst_dask.kernels.ramp.neighbours import JUMP, follow_row, mark_row, spread_row, tidy_row

DO_NOT_USE = np.uint8(1)
LEAST_GROUPS = 3
SINGLE, ITERATIVE, CLIP_INTEGRATIONS, CLIP_ALL = range(4)


@dataclass(frozen=True)
class Options:
    """What counts as a jump, and what is flagged beside it.

    Attributes
    ----------
    rejection, three_groups, four_groups : float
        Limits in standard deviations: for four differences or more, for two, for three.
    single_pass : int
        Differences an integration must have for all jumps to be flagged at once.
    clip_groups : int
        Integrations (groups, if not `by_integration`) from which on differences are sigma clipped.
    by_integration : bool
        Clip the same difference of all integrations, rather than all differences of a pixel.
    neighbours : bool
        Flag the four neighbours of jumps between `low` and `high` standard deviations.
    low, high : float
    after_size : (float, float)
        Jumps in electrons from which on groups after them are flagged.
    after_groups : (int, int)
        That many groups.
    nframes : int
        Frames averaged in a group.
    """

    rejection: float = 4.0
    three_groups: float = 6.0
    four_groups: float = 5.0
    single_pass: int = 10
    clip_groups: int = 100
    by_integration: bool = True
    neighbours: bool = True
    low: float = 10.0
    high: float = 1000.0
    after_size: tuple[float, float] = (0.0, 0.0)
    after_groups: tuple[int, int] = (0, 0)
    nframes: int = 1


def dead_groups(groupdq: np.ndarray) -> np.ndarray:
    """Groups of which no pixel may be used (DO_NOT_USE everywhere).

    Parameters
    ----------
    groupdq : uint8[integration, group, y, x]

    Returns
    -------
    bool[integration, group]
    """
    out = np.empty(groupdq.shape[:2], np.bool_)
    _all_have(groupdq, DO_NOT_USE, out)
    return out


@jit
def _all_have(dq, flag, out):  # type: ignore[no-untyped-def]
    nints, ngroups, ny, nx = dq.shape
    for i in range(nints):
        for g in range(ngroups):
            out[i, g] = True
            for y in range(ny):
                for x in range(nx):
                    if not dq[i, g, y, x] & flag:
                        out[i, g] = False
                        break
                if not out[i, g]:
                    break


def method(dead: np.ndarray, options: Options) -> int | None:
    """How jumps are looked for: `SINGLE`, `ITERATIVE`, `CLIP_INTEGRATIONS` or `CLIP_ALL`; None with too few usable groups.

    Parameters
    ----------
    dead : bool[integration, group]
        As `dead_groups` of the whole frame.
    options : Options
    """
    nints, ngroups = dead.shape
    usable = ngroups - int(dead.sum(axis=1).max())
    many = nints if options.by_integration else nints * ngroups - int(dead.sum())
    if many >= options.clip_groups:
        return CLIP_INTEGRATIONS if options.by_integration else CLIP_ALL
    if usable < LEAST_GROUPS:
        return None
    return SINGLE if usable - 1 >= options.single_pass else ITERATIVE


def find_jumps(sci: np.ndarray, groupdq: np.ndarray, gain: np.ndarray, readnoise: np.ndarray, options: Options,
               dead: np.ndarray | None = None, counted: slice = slice(None), whole: bool = True,
               clipped: bool = False) -> np.ndarray | None:  # fmt: skip
    """Flag jumps, their neighbours and the groups after them in `groupdq`, in place.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
        Signal in DN, of all integrations; not changed.
    groupdq : uint8[integration, group, y, x]
    gain : float32[y, x]
        Electrons per DN.
    readnoise : float32[y, x]
        Of a difference of two frames, in DN.
    options : Options
    dead : bool[integration, group]
        Groups that are DO_NOT_USE everywhere in the frame, if the block is a band of it.
    counted : slice
        Rows whose jumps are counted (all but those that a band has in addition).
    whole : bool
        Whether the block has all rows of the frame: a group with jumps everywhere is then taken for a good one (sigma
        clipping only).
    clipped : bool
        Whether `clip_jumps` has been applied already.

    Returns
    -------
    int64[integration] or None
        Jumps before neighbours and later groups are added; None with too few usable groups (nothing is looked for).
    """
    nints, ngroups, ny, nx = groupdq.shape
    how = method(dead_groups(groupdq) if dead is None else dead, options)
    if how is None:
        for y in range(ny):
            tidy_row(groupdq, y)
        return None
    noise = (readnoise * gain).astype(np.float32, copy=False)
    if how >= CLIP_INTEGRATIONS and whole and not clipped:
        clip_jumps(sci, groupdq, gain, options, how)
        unflag(groupdq, full_groups(groupdq))
        clipped = True
    limits = np.array([options.rejection, options.three_groups, options.four_groups])
    first, last, _ = counted.indices(ny)
    sizes, groups = np.array(options.after_size, np.float32), np.array(options.after_groups, np.int64)
    count = np.zeros(nints, np.int64)
    _rows(sci, groupdq, gain, noise, float(options.nframes), how, 0 if clipped else _sets(how, ngroups), limits, options.neighbours, float(options.low), float(options.high),
                     sizes, groups, lanes_for(nints * (ngroups - 1), nx, *(CLIP_LANES if how >= CLIP_INTEGRATIONS else ())), first, last, count)  # fmt: skip
    return count


def _sets(how: int, ngroups: int) -> int:
    """Differences of an integration that are clipped apart."""
    return 1 if how == CLIP_ALL else ngroups - 1


def clip_jumps(sci: np.ndarray, groupdq: np.ndarray, gain: np.ndarray, options: Options, how: int) -> None:
    """Flag in `groupdq`, in place, what sigma clipping leaves out (`how` is `CLIP_INTEGRATIONS` or `CLIP_ALL`); any band of rows."""
    nints, ngroups = groupdq.shape[:2]
    clip(sci, groupdq, gain, options.rejection, _sets(how, ngroups), lanes_for(nints * (ngroups - 1), groupdq.shape[3], *CLIP_LANES))


def full_groups(groupdq: np.ndarray) -> np.ndarray:
    """Groups (bool[integration, group]) of which all pixels are jumps or not to be used: that was no cosmic ray."""
    out = np.empty(groupdq.shape[:2], np.bool_)
    _all_have(groupdq, JUMP | DO_NOT_USE, out)
    return out


@jit
def _rows(sci, dq, gain, noise, nframes, how, sets, limits, neighbours, low, high, sizes, groups, nlanes, first, last, count):  # type: ignore[no-untyped-def]
    """Row after row: detection runs one row ahead of the flags that depend on its neighbours."""
    nints, ngroups, ny, nx = dq.shape
    ndiffs, nothing = nints * (ngroups - 1), np.empty(0, np.int64)
    diffs, work = np.empty((ndiffs, nlanes), np.float32), np.zeros((ndiffs, nlanes if how < CLIP_INTEGRATIONS else 2), np.float32)
    median, sigma = np.empty((2, nx), np.float64), np.empty((2, nx), np.float64)
    marks = np.zeros((3, nints, ngroups, nx), np.uint8) if neighbours else np.zeros((3, 0, 0, 0), np.uint8)
    until, follows = np.empty(nx, np.int64), groups[0] > 0 or groups[1] > 0
    for y in range(ny + 1):
        if y < ny and how >= CLIP_INTEGRATIONS:
            jumped_row(sci, dq, gain, noise, nframes, y, limits[0], sets, diffs, work, median[y % 2], sigma[y % 2])
        elif y < ny:
            _detect_row(sci, dq, gain, noise, nframes, y, how, limits, diffs, work, median[y % 2], sigma[y % 2])
        if y < ny:
            counted = count if first <= y < last else nothing
            mark_row(sci, dq, gain, y, median[y % 2], sigma[y % 2], low, high, marks[y % 3], counted)
        elif neighbours:
            marks[y % 3] = 0
        if y > 0:
            if neighbours:
                spread_row(dq, y - 1, marks[(y + 1) % 3], marks[(y + 2) % 3], marks[y % 3])
            if follows:
                follow_row(sci, dq, gain, y - 1, median[(y - 1) % 2], sizes, groups, until)
            tidy_row(dq, y - 1)


@jit
def _detect_row(sci, dq, gain, noise, nframes, y, how, limits, diffs, work, median, sigma):  # type: ignore[no-untyped-def]
    """Flag the jumps of row `y`, and find the median and noise of its pixels (float64[x])."""
    nx, nlanes = dq.shape[3], diffs.shape[1]
    count = np.empty(nlanes, np.int32)
    for x0 in range(0, nx, nlanes):
        width = min(nlanes, nx - x0)
        load(sci, dq, gain, y, x0, width, diffs)
        copy_finite_last(diffs, width, False, work, count)
        sort(work)
        for k in range(width):
            median[x0 + k] = middle(work, k, 0, count[k])
            sigma[x0 + k] = noise_of(median[x0 + k], noise[y, x0 + k] * noise[y, x0 + k], nframes)
        if how == SINGLE:
            _flag_all(dq, y, x0, width, diffs, median[x0 : x0 + width], sigma[x0 : x0 + width], limits[0])
        else:
            copy_finite_last(diffs, width, True, work, count)
            sort(work)
            for k in range(width):
                square = noise[y, x0 + k] * noise[y, x0 + k]
                least, most = _iterate(work, k, count[k], square, nframes, limits)
                if least > 0 or most < count[k]:
                    _flag_outside(dq, y, x0 + k, diffs, work, k, least, most)


@jit
def _flag_all(dq, y, x0, width, diffs, median, sigma, limit):  # type: ignore[no-untyped-def]
    """Flag every finite difference that is more than `limit` times the noise from the median."""
    ngroups = dq.shape[1]
    enough = np.empty(width, np.float64)
    for k in range(width):
        enough[k] = limit * sigma[k] * NEARLY
    for j in range(diffs.shape[0]):
        row, found = diffs[j], 0
        for k in range(width):
            found += 1 if abs(np.float64(row[k]) - median[k]) >= enough[k] else 0
        if found == 0:
            continue
        i, g = j // (ngroups - 1), j % (ngroups - 1) + 1
        for k in range(width):
            distance = abs(np.float64(row[k]) - median[k])
            if distance >= enough[k] and np.isfinite(row[k]) and distance / sigma[k] > limit:
                dq[i, g, y, x0 + k] |= JUMP


@jit
def _iterate(work, k, count, square, nframes, limits):  # type: ignore[no-untyped-def]
    """The sorted absolute differences ``work[first:last, k]`` that are left when jumps are removed one after another.

    The largest is left out of the median of four or more. What stands out most is an end of the sorted numbers (all that
    are equally far go together).
    """
    first, last, precise = 0, count, True
    while last - first >= 2:
        n = last - first
        if n >= 4:
            end = last - 1
            while end > first and work[end - 1, k] == work[last - 1, k]:
                end -= 1
            centre, limit = middle(work, k, first, end), limits[0]
        elif n == 3:
            centre, limit = np.float64(work[first + 1, k]), limits[2]
        else:
            centre, limit = np.float64(work[first, k]), limits[1]
        if not precise:  # the reference keeps medians after the first round in single precision
            centre = np.float64(np.float32(centre))
        precise = False
        sigma = noise_of(centre, square, nframes)
        low, high = _ratio(work[first, k], centre, sigma), _ratio(work[last - 1, k], centre, sigma)
        most = max(low, high)
        if not most > limit:
            break
        while last > first and _ratio(work[last - 1, k], centre, sigma) == most:
            last -= 1
        while last > first and _ratio(work[first, k], centre, sigma) == most:
            first += 1
    return first, last


@jit
def _ratio(value, centre, sigma):  # type: ignore[no-untyped-def]
    return np.float64(abs(np.float32(np.float64(value) - centre))) / sigma


@jit
def _flag_outside(dq, y, x, diffs, work, k, first, last):  # type: ignore[no-untyped-def]
    """Flag the differences that are not among the sorted ``work[first:last, k]``."""
    ngroups = dq.shape[1]
    for j in range(diffs.shape[0]):
        size = abs(diffs[j, k])
        if size == size and (first >= last or size < work[first, k] or size > work[last - 1, k]):
            dq[j // (ngroups - 1), j % (ngroups - 1) + 1, y, x] |= JUMP
