"""Jumps in some rows of a frame, where the other rows count too: with sigma clipping, a group in which every pixel of the frame jumps is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from jwst_dask.kernels.ramp import jump
from jwst_dask.kernels.ramp.neighbours import JUMP

Others = Callable[[], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]]


def find_jumps(sci: np.ndarray, groupdq: np.ndarray, gain: np.ndarray, noise: np.ndarray, options: jump.Options, dead: np.ndarray | None, counted: slice,
               others: Others) -> np.ndarray | None:  # fmt: skip
    """As `jwst_dask.kernels.ramp.jump.find_jumps`, of a band of rows.

    Parameters
    ----------
    sci, groupdq, gain, noise, options, dead, counted
        As there.
    others : callable
        Gives ``sci``, ``groupdq`` (which may be changed) and ``gain`` of all rows, some at a time; asked only where the band alone does not
        show that no group jumps everywhere.
    """
    dead = jump.dead_groups(groupdq) if dead is None else dead
    how = jump.method(dead, options)
    if how is None or how < jump.CLIP_INTEGRATIONS:
        return jump.find_jumps(sci, groupdq, gain, noise, options, dead, counted, False)
    marks = [np.packbits(flags & JUMP) for flags in groupdq]  # all that is changed
    found = jump.find_jumps(sci, groupdq, gain, noise, options, dead, counted, False)
    full = jump.full_groups(groupdq) & ~dead  # with flags that follow from others: more than there are, if any
    if not full.any() or not _everywhere(full, others, options, how):
        return found
    for flags, mark in zip(groupdq, marks):
        np.bitwise_or(flags & ~JUMP, np.unpackbits(mark, count=flags.size).reshape(flags.shape) * JUMP, out=flags)
    jump.clip_jumps(sci, groupdq, gain, options, how)
    jump.unflag(groupdq, full)
    return jump.find_jumps(sci, groupdq, gain, noise, options, dead, counted, False, True)


def _everywhere(full: np.ndarray, others: Others, options: jump.Options, how: int) -> bool:
    """Leave in `full` the groups that jump in all rows; whether there are any, and it is known."""
    asked = False
    for sci, flags, gain in others():
        jump.clip_jumps(sci, flags, gain, options, how)
        full &= jump.full_groups(flags)
        asked = True
        if not full.any():
            return False
    return asked
