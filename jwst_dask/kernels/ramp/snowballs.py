"""Snowballs: large, round areas of jumps around pixels that an energetic particle saturated (near-infrared detectors).

Needs whole frames. Integrations are handled one after another; only the saturated cores of one reach into the next.

Document: "Jump detection" of the JWST pipeline documentation, "Large events".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.neighbours import JUMP
from jwst_dask.kernels.ramp.regions import Ellipse, Regions, find_regions, footprint

SATURATED = np.uint8(2)


@dataclass(frozen=True)
class Options:
    """What counts as a snowball, and how far its flags reach (lengths in pixels).

    Attributes
    ----------
    min_sat_area, min_jump_area : float
        Pixels of a core, and of an area of jumps.
    expand_factor : float
        By which the ellipse of the jumps grows.
    sat_required : bool
        Whether there must be a core, in the same group or the next.
    min_sat_radius : float
        Minor axis of cores that grow.
    sat_expand : int
        By which both axes of such cores grow.
    edge_size : int
        Distance from the edge within which no core is needed.
    max_width : int
        Of an ellipse.
    core_groups : int
        Groups of the next integration in which cores are flagged; 0 for none.
    """

    min_sat_area: float = 1.0
    min_jump_area: float = 5.0
    expand_factor: float = 2.0
    sat_required: bool = True
    min_sat_radius: float = 2.5
    sat_expand: int = 4
    edge_size: int = 25
    max_width: int = 400
    core_groups: int = 0


def find_snowballs(groupdq: np.ndarray, options: Options) -> np.ndarray:
    """Flag snowballs in whole frames, in place.

    Parameters
    ----------
    groupdq : uint8[integration, group, y, x]
        With the jumps that were found.
    options : Options

    Returns
    -------
    int64[integration]
        Snowballs found.
    """
    count, before = np.zeros(len(groupdq), np.int64), None
    for i, flags in enumerate(groupdq):
        count[i], before = snowballs_of(flags, options, before)
    return count


def snowballs_of(dq: np.ndarray, options: Options, before: np.ndarray | None) -> tuple[int, np.ndarray]:
    """Flag the snowballs of one integration, in place.

    Parameters
    ----------
    dq : uint8[group, y, x]
        With the jumps that were found.
    options : Options
    before : bool[y, x]
        Wide cores of the integration before; None if it is the first.

    Returns
    -------
    int
        Snowballs found.
    bool[y, x]
        Its wide cores.
    """
    ngroups, ny, nx = dq.shape
    mask, cores = np.empty((ny, nx), np.uint8), np.zeros((ny, nx), np.bool_)
    count = sum(_one_group(dq, g, options, mask, cores) for g in range(1, ngroups))
    if before is not None and options.core_groups >= 1:
        dq[1 : min(options.core_groups, ngroups), before] |= JUMP
    return count, cores


def _one_group(dq: np.ndarray, g: int, options: Options, mask: np.ndarray, cores: np.ndarray) -> int:
    """Flag the snowballs of one group (``dq``: uint8[group, y, x]); pixels of wide cores are set in `cores`."""
    _select(dq[g], JUMP, mask)
    jumps = find_regions(mask, options.min_jump_area)
    if options.sat_required:
        _newly(dq[g], dq[g - 1], mask)
        saturated = find_regions(mask, options.min_sat_area)
        centres = [(saturated.x, saturated.y)]
        if g < len(dq) - 1:
            _newly(dq[g + 1], dq[g], mask)
            later = find_regions(mask, options.min_sat_area)
            centres.append((later.x, later.y))
        x, y = (np.concatenate(axis) for axis in zip(*centres))
        found = _with_core(jumps, x, y, dq.shape[1], options.edge_size)
        _widen_cores(dq[g:], saturated, options, cores)
    else:
        found = [jumps.ellipse(k) for k in range(len(jumps))]
    for ellipse in found:
        flag_ellipse(dq[g : g + 1], ellipse, options.expand_factor, options.max_width)
    return len(found)


def _with_core(jumps: Regions, x: np.ndarray, y: np.ndarray, ny: int, edge: int) -> list[Ellipse]:
    """Ellipses of the areas of jumps that are near the edge, or have one of the points ``(x, y)`` in them."""
    found, high = [], max(0, ny - edge)
    for k in range(len(jumps)):
        cx, cy = jumps.x[k], jumps.y[k]
        if cx < edge or cy < edge or cx > high or cy > high:
            found.append(jumps.ellipse(k))
            continue
        near = (x - cx) ** 2 + (y - cy) ** 2 <= jumps.reach(k) ** 2
        if near.any() and (ellipse := jumps.ellipse(k)).contains(x[near], y[near]).any():
            found.append(ellipse)
    return found


def _widen_cores(dq: np.ndarray, saturated: Regions, options: Options, cores: np.ndarray) -> None:
    """Saturate the surroundings of wide cores in this and all later groups (``dq``: uint8[group, y, x])."""
    for k in range(len(saturated)):
        if not saturated.may_be_wider(k, options.min_sat_radius):
            continue
        core = saturated.ellipse(k)
        if core.minor > options.min_sat_radius:
            axes = [min(axis + options.sat_expand, options.max_width) for axis in (core.minor, core.major)]
            rows, columns, inside = footprint(core.x, core.y, *axes, core.angle, cores.shape)
            dq[:, rows, columns][:, inside] = SATURATED
            rows, columns, inside = footprint(core.x, core.y, core.minor, core.major, core.angle, cores.shape)
            cores[rows, columns] |= inside


def flag_ellipse(dq: np.ndarray, ellipse: Ellipse, factor: float, max_width: int) -> None:
    """Flag as jumps the pixels of an ellipse that is grown by a factor, the same length on both axes.

    Pixels that are saturated are left, then and in the groups that follow.

    Parameters
    ----------
    dq : uint8[group, y, x]
        Groups to be flagged; changed in place.
    ellipse : Ellipse
    factor : float
        Of the shorter axis; the longer grows by as much.
    max_width : int
        Longest axis.
    """
    minor, major = ellipse.minor, ellipse.major
    if major < minor:
        axes = minor + (factor - 1.0) * major, major * factor
    else:
        axes = minor * factor, major + (factor - 1.0) * minor
    first, second = (2 * round(min(axis, max_width) / 2) for axis in axes)
    rows, columns, inside = footprint(ellipse.x, ellipse.y, first, second, ellipse.angle, dq.shape[1:])
    for flags in dq[:, rows, columns]:
        inside &= (flags & SATURATED) == 0
        flags[inside] |= JUMP


@jit
def _select(dq, flag, mask):  # type: ignore[no-untyped-def]
    for y in range(dq.shape[0]):
        for x in range(dq.shape[1]):
            mask[y, x] = dq[y, x] & flag


@jit
def _newly(dq, before, mask):  # type: ignore[no-untyped-def]
    """Pixels that are saturated and were not in the group before."""
    for y in range(dq.shape[0]):
        for x in range(dq.shape[1]):
            mask[y, x] = dq[y, x] & ~before[y, x] & SATURATED
