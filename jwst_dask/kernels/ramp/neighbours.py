"""Flags that follow from detected jumps: the four neighbours of a pixel, and groups after a large jump.

All work on one row of pixels of all integrations and groups at a time. Flags of neighbours need the marks of one row above
and below; flags of later groups need the pixel's own ramp only.
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.lanes import UNUSABLE, difference

JUMP = np.uint8(4)


@jit
def mark_row(sci, dq, gain, y, median, sigma, low, high, marks, count):  # type: ignore[no-untyped-def]
    """Mark the jumps of a row whose neighbours are to be flagged, and count all of its jumps.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
    dq : uint8[integration, group, y, x]
    gain : float32[y, x]
    y : int
    median, sigma : float64[x]
        Of the differences of each pixel, in electrons.
    low, high : float
        Size of such jumps in `sigma`, both exclusive.
    marks : uint8[integration, group, x]
        Receives 1 or 0; empty where neighbours are not wanted.
    count : int64[integration]
        Jumps in the row are added; empty where they are not wanted.
    """
    nints, ngroups, _, nx = dq.shape
    wanted = marks.size > 0
    for i in range(nints):
        total = 0
        for g in range(ngroups):
            flags, found = dq[i, g, y], 0
            for x in range(nx):
                found += (flags[x] & JUMP) // JUMP
            total += found
            if wanted:
                marks[i, g, :] = 0
            if found == 0 or not wanted or g == 0:
                continue
            for x in range(nx):
                if flags[x] & JUMP:
                    ratio = abs(difference(sci, dq, gain, i, g, y, x) - median[x]) / sigma[x]
                    if low < ratio < high:
                        marks[i, g, x] = 1
        if count.size:
            count[i] += total


@jit
def spread_row(dq, y, above, own, below):  # type: ignore[no-untyped-def]
    """Flag the usable neighbours of the marked jumps in row `y`, and the marked ones themselves.

    Parameters
    ----------
    dq : uint8[integration, group, y, x]
        Changed in place.
    y : int
    above, own, below : uint8[integration, group, x]
        Marks of rows ``y - 1``, `y` and ``y + 1``; zeros outside the frame.
    """
    nints, ngroups, _, nx = dq.shape
    for i in range(nints):
        for g in range(1, ngroups):
            flags, up, here, down = dq[i, g, y], above[i, g], own[i, g], below[i, g]
            for x in range(nx):
                near = up[x] | here[x] | down[x]
                near |= here[x - 1] if x > 0 else np.uint8(0)
                near |= here[x + 1] if x < nx - 1 else np.uint8(0)
                if near and not flags[x] & UNUSABLE:
                    flags[x] |= JUMP


@jit
def follow_row(sci, dq, gain, y, median, sizes, groups, until):  # type: ignore[no-untyped-def]
    """Flag the groups of a row that come after large jumps.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
    dq : uint8[integration, group, y, x]
        Changed in place.
    gain : float32[y, x]
    y : int
    median : float64[x]
        Of the differences of each pixel, in electrons.
    sizes : float32[2]
        Smallest jumps, in electrons, of the two rules.
    groups : int64[2]
        Groups that each rule flags after such a jump; none of an integration if 0.
    until : int64[x]
        Scratch.
    """
    nints, ngroups, _, nx = dq.shape
    for i in range(nints):
        until[:] = 0
        for g in range(1, ngroups):
            flags = dq[i, g, y]
            for x in range(nx):
                if flags[x] & JUMP:
                    size = difference(sci, dq, gain, i, g, y, x) - median[x]
                    for rule in range(2):
                        if size >= np.float64(sizes[rule]):
                            until[x] = max(until[x], g + groups[rule])
                elif g <= until[x] and not flags[x] & UNUSABLE:
                    flags[x] |= JUMP


@jit
def tidy_row(dq, y):  # type: ignore[no-untyped-def]
    """Clear the jump flag of groups in row `y` that are saturated or not to be used anyway."""
    nints, ngroups, _, nx = dq.shape
    for i in range(nints):
        for g in range(ngroups):
            flags = dq[i, g, y]
            for x in range(nx):
                value = flags[x]
                flags[x] = value & ~JUMP if value & UNUSABLE else value
