"""Count rates of ramps by weighted straight lines (OLS), in two stages that make results independent of how integrations are split.

Slopes and read-noise variances of an integration are its own. Its Poisson variance and error rest on the median count rate of
a pixel over *all* integrations of the exposure, and so does the 2-D rate. Therefore:

1. `stage_one` fits a block of integrations. SCI, DQ and VAR_RNOISE are final. In place of VAR_POISSON it gives the time over
   which signal was gathered, in place of ERR the read-noise variance of the fit; and `Sums` over the block's integrations.
2. `combine` adds up the sums of all blocks, in any order.
3. `finish` turns the provisional planes of a block into VAR_POISSON and ERR; `rate` makes the 2-D result.

The sums do not depend on the order: they are of whole numbers, or of numbers rounded to a quantum before they are added, so
that no addition rounds. All functions work on row bands without a halo.

Sources: JWST documentation, ramp_fitting ("Slopes", "Optimal weighting", "Special cases"); Fixsen et al. 2000, PASP 112, 1350;
Demmel & Nguyen 2013 (sums that are reproducible) for the rounding before addition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp import segments as seg
from jwst_dask.kernels.ramp.tiles import TILE, fit_tile

BRIGHTEST = 23
"""Power of two (DN per group) up to which sums are exact; beyond, their last bit may depend on the order of blocks."""


@dataclass(frozen=True)
class Timing:
    """Times of an exposure in seconds, in single precision as the headers' values enter the reference implementation.

    Attributes
    ----------
    group : float
        From group to group.
    frame : float
        Of one frame: the exposure of the zero frame.
    single : float
        Mean exposure of the frames of a first group.
    """

    group: float
    frame: float
    single: float

    @classmethod
    def of(cls, group_time: float, frame_time: float, nframes: int) -> Timing:
        """From GROUPTIME, TFRAME and NFRAMES."""
        frame = float(np.float32(frame_time))
        return cls(float(np.float32(group_time)), frame, (nframes + 1.0) * frame / 2.0)


@dataclass(frozen=True)
class Sums:
    """Sums over integrations of a block (or of several) for each pixel, in units of groups and DN.

    Attributes
    ----------
    nints : int
    weight : float64[y, x]
        Of ``n**3 - n`` over segments of n groups (6 for n = 1 and 2): inverse read-noise variance but for a constant of the pixel.
    length : float64[y, x]
        Of ``n - 1`` (1 for n = 1).
    moment : float64[2, y, x]
        Of weight times slope: leading and trailing parts.
    median : float64[y, x]
        Of median differences.
    singles : int32[6, y, x] or int32[6, 0, 0]
        Numbers of ramps of one group with a timing of its own, and of zero frames, which `weight` and `length` leave out; the same
        two for each plane of `restored`. Empty where such ramps are suppressed.
    restored : float64[2, y, x] or float64[2, 0, 0]
        As `weight`, of integrations with groups given up for charge migration only: with these groups, and without. Empty without them.
    some, every : uint8[y, x]
        Group flags of any integration; DO_NOT_USE and SATURATED where all integrations are so.
    saturated : bool
        All ramps are saturated from their first group on.
    """

    nints: int
    weight: np.ndarray
    length: np.ndarray
    moment: np.ndarray
    median: np.ndarray
    singles: np.ndarray
    restored: np.ndarray
    some: np.ndarray
    every: np.ndarray
    saturated: bool


@dataclass(frozen=True)
class Fitted:
    """Planes of a block of integrations after `stage_one`.

    Attributes
    ----------
    sci : float32[integration, y, x]
        Slopes, DN/s; NaN where there is none. Final.
    dq : uint32[integration, y, x]
        Final.
    var_rnoise : float32[integration, y, x]
        (DN/s)**2. Final.
    var_poisson : float32[integration, y, x]
        Seconds of gathered signal until `finish`; then (DN/s)**2.
    err : float32[integration, y, x]
        Read-noise variance of the fit until `finish`; then DN/s.
    ramp, length : int64[segment], int32[segment]
        Ramps of more than one segment: flat index into the planes, and number of groups, segment by segment.
    """

    sci: np.ndarray
    dq: np.ndarray
    var_rnoise: np.ndarray
    var_poisson: np.ndarray
    err: np.ndarray
    ramp: np.ndarray
    length: np.ndarray


def fit_noise(readnoise: np.ndarray, gain: np.ndarray, nframes: int) -> np.ndarray:
    """Read noise in electrons per group (float32[y, x]) from that of a pair of frames in DN, the gain and NFRAMES."""
    return np.asarray(readnoise * (gain / np.sqrt(2.0 * nframes)), dtype=np.float32)


def limits(used: np.ndarray) -> tuple[int, int] | None:
    """First group in use and the end of those in use, of an instrument whose groups may be flagged as a whole (MIRI).

    Parameters
    ----------
    used : ndarray of bool[group]
        Whether any pixel of any integration may use the group (`used_groups`, combined by "or" over blocks).

    Returns
    -------
    tuple of int, or None
        All leading groups and at most one trailing group are left out; None if fewer than two remain.
    """
    kept = np.flatnonzero(used)
    if kept.size == 0:
        return None
    first, last = int(kept[0]), len(used) - (not used[-1])
    return (first, last) if last - first >= 2 else None


@jit
def used_groups(groupdq: np.ndarray, suppress: bool, first: int, last: int) -> np.ndarray:
    """Whether any ramp of a block may use each group (bool[group]): not flagged DO_NOT_USE, nor outside ``first:last``.

    Parameters
    ----------
    groupdq : ndarray of uint8[integration, group, y, x]
    suppress : bool
        Ramps of one good group are not used at all.
    first, last : int
        Groups that a user selects.
    """
    nints, n, ny, nx = groupdq.shape
    used = np.zeros(n, np.bool_)
    good = np.zeros(nx, np.int32)
    for i in range(nints):
        for y in range(ny):
            good[:] = 0
            for g in range(first, last):
                for x in range(nx):
                    good[x] += groupdq[i, g, y, x] & ~seg.PERSISTENCE == 0
            for g in range(first, last):
                if not used[g]:
                    for x in range(nx):
                        if groupdq[i, g, y, x] & seg.DO_NOT_USE == 0 and not (suppress and good[x] == 1):
                            used[g] = True
                            break
    return used


@jit
def _blocks(sci, groupdq, pixeldq, zero, rn, gain, clock, rules, magic, planes, sums, ramp_of, length_of):  # type: ignore[no-untyped-def]
    """All tiles of a block. Returns ramps and lengths of segments (see `Fitted`)."""
    nints, _, ny, nx = sci.shape
    depth = rules[1] - rules[0]
    ramp, flags = np.empty((depth, TILE), np.float32), np.empty((depth, TILE), np.uint8)
    steps, count = np.empty((depth, TILE)), np.empty(TILE, np.int32)
    start, stop = np.empty(depth + 1, np.int64), np.empty(depth + 1, np.int64)
    table = np.zeros((seg.POWERS, depth * depth // 4 + 1))
    ready = np.zeros((seg.POWERS, depth + 1), np.uint8)
    scratch = (ramp, flags, steps, count, start, stop, table, ready, np.zeros((7, TILE)))
    used = 0
    for i in range(nints):
        for y in range(ny):
            for x0 in range(0, nx, TILE):
                if used + TILE * depth > ramp_of.size:
                    ramp_of, length_of = _longer(ramp_of, TILE * depth), _longer(length_of, TILE * depth)
                used = fit_tile(i, y, x0, sci, groupdq, pixeldq, zero, rn, gain, clock, rules, magic, planes, sums, scratch, ramp_of, length_of, used)
    return ramp_of[:used].copy(), length_of[:used].copy()


@jit
def _longer(array: np.ndarray, more: int) -> np.ndarray:
    longer = np.empty(array.size * 2 + more, array.dtype)
    longer[: array.size] = array
    return longer


@jit
def _any_has(groupdq, flag):  # type: ignore[no-untyped-def]
    """Whether any flags (uint8[integration, group, y, x]) have a bit, without a second array of their size."""
    nints, ngroups, ny, nx = groupdq.shape
    for i in range(nints):
        for g in range(ngroups):
            for y in range(ny):
                found = np.uint8(0)
                for x in range(nx):
                    found |= groupdq[i, g, y, x]
                if found & flag:
                    return True
    return False


def _no_sums(plane: tuple[int, int], suppress: bool, restore: bool) -> Sums:
    """Sums over no integrations."""
    return Sums(0, np.zeros(plane), np.zeros(plane), np.zeros((2, *plane)), np.zeros(plane), np.zeros((6, *((0, 0) if suppress else plane)), np.int32),
                np.zeros((2, *(plane if restore else (0, 0)))), np.zeros(plane, np.uint8), np.full(plane, 3, np.uint8), True)  # fmt: skip


def stage_one(
    sci: np.ndarray,
    groupdq: np.ndarray,
    pixeldq: np.ndarray,
    noise: np.ndarray,
    gain: np.ndarray,
    timing: Timing,
    total: int,
    *,
    suppress: bool = True,
    zeroframe: np.ndarray | None = None,
    window: tuple[int, int] | None = None,
    selected: tuple[int, int] | None = None,
) -> tuple[Fitted, Sums]:
    """Fit a block of integrations.

    Parameters
    ----------
    sci : ndarray of float32[integration, group, y, x]
        DN. Unchanged, as all arguments.
    groupdq : ndarray of uint8[integration, group, y, x]
    pixeldq : ndarray of uint32[y, x]
    noise, gain : ndarray of float32[y, x]
        From `fit_noise` (electrons); electrons per DN.
    timing : Timing
    total : int
        Integrations of the exposure; the same for all of its blocks.
    suppress : bool
        Ramps of one good group are not used (of an exposure with more than one group).
    zeroframe : ndarray of float32[integration, y, x], optional
        Used for ramps without a good group, where it is not zero and `suppress` is off.
    window : tuple of int, optional
        Groups of the exposure that are in use (`limits`); others are left out altogether.
    selected : tuple of int, optional
        Groups from the first to before the second are in use; others count as flagged.

    Returns
    -------
    Fitted
    Sums
    """
    nints, ngroups, ny, nx = sci.shape
    first, last = window or (0, ngroups)
    suppress = suppress and ngroups > 1
    restore = bool(_any_has(groupdq, np.uint8(seg.CHARGELOSS)))
    rules = (first, last, *(selected or (0, ngroups)), suppress, zeroframe is not None and not suppress, restore)
    plane = (ny, nx)
    sums = _no_sums(plane, suppress, restore)
    shape = (nints, ny, nx)
    out = Fitted(np.empty(shape, np.float32), np.empty(shape, np.uint32), *(np.empty(shape, np.float32) for _ in range(3)), np.empty(0, np.int64), np.empty(0, np.int32))
    heads = np.zeros(1, np.int64)
    ramp, length = _blocks(
        sci, groupdq, pixeldq, np.zeros((1, 1, 1), np.float32) if zeroframe is None else zeroframe, noise, gain,
        (timing.group, timing.frame, timing.single), rules, _quanta(last - first, total),
        (out.sci, out.dq, out.var_rnoise, out.var_poisson, out.err),
        (sums.weight, sums.length, sums.moment, sums.median, sums.singles, sums.restored, sums.some, sums.every, heads),
        np.empty(0, np.int64), np.empty(0, np.int32),
    )  # fmt: skip
    return replace(out, ramp=ramp, length=length), replace(sums, nints=nints, saturated=int(heads[0]) == nints * ny * nx)


def _quanta(ngroups: int, total: int) -> tuple[float, float, float]:
    """Numbers whose addition and subtraction round moments (leading and trailing part) and medians to a quantum; 0 for none."""
    if total == 1:
        return 0.0, 0.0, 0.0
    many = math.ceil(math.log2(total)) + 1
    top = BRIGHTEST + many + math.ceil(math.log2(max(ngroups, 2) ** 3))
    return 1.5 * 2.0**top, 1.5 * 2.0 ** (top - 52 + many), 1.5 * 2.0 ** (BRIGHTEST + many)


def combine(parts: Iterable[Sums]) -> Sums:
    """Sums over several blocks of an exposure, in any order.

    Raises
    ------
    ValueError
        Without blocks.
    """
    found = iter(parts)
    first = next(found, None)
    if first is None:
        raise ValueError("no blocks to combine")
    arrays = {name: getattr(first, name).copy() for name in ("weight", "length", "moment", "median", "singles", "some", "every")}
    restored, nints, saturated = first.restored.copy(), first.nints, first.saturated
    for part in found:
        if restored.size and part.restored.size:
            restored += part.restored
        elif part.restored.size:
            restored = part.restored.copy()
        for name in ("weight", "length", "moment", "median", "singles"):
            arrays[name] += getattr(part, name)
        arrays["some"] |= part.some
        arrays["every"] &= part.every
        nints, saturated = nints + part.nints, saturated and part.saturated
    return Sums(nints=nints, restored=restored, saturated=saturated, **arrays)
