"""Jumps, snowballs and showers of a stored ramp: by bands of rows, and frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.kernels.ramp import jump, showers, snowballs
from jwst_dask.steps.stage1.jump.rates import row_type
from jwst_dask.steps.stage1.reference import plane
from jwst_dask.steps.stage1.stored import group_of, groupdq_of

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block

BAND_BYTES = 8_000_000
"""Of the signals of one integration that are in memory at a time."""


def dead_groups_of(ramps: Any) -> np.ndarray:
    """Groups that are DO_NOT_USE everywhere: bool[integration, group]."""
    out = np.empty((ramps.nints, ramps.ngroups), np.bool_)
    for i in range(ramps.nints):
        for g in range(ramps.ngroups):
            out[i, g] = jump.dead_groups(group_of(ramps, i, g, ("groupdq",)).arrays["groupdq"])[0, 0]
    return out


def find_jumps(ramps: Any, out: Any, state: Mapping[str, Any], options: jump.Options, halo: int, no_gain: np.uint32) -> np.ndarray:
    """Flag jumps; returns the step's table, without events and dead groups."""
    table = np.zeros(ramps.nints, row_type(ramps.ngroups))
    dead = state.get("dead_groups")
    dead = dead_groups_of(ramps) if dead is None else dead
    how, full = jump.method(dead, options), None
    if how is not None and how >= jump.CLIP_INTEGRATIONS:
        full = _clip(ramps, out, state, options, how)
        ramps = out
    for block in _untouched(ramps.bands(halo), halo):
        arrays, (above, below) = block.arrays, block.row_halo
        gain, noise = _references(state, block)
        arrays["pixeldq"][(gain <= 0) | np.isnan(gain)] |= no_gain
        if full is not None:
            jump.unflag(arrays["groupdq"], full)
        counted = slice(above, len(gain) - below)
        found = jump.find_jumps(arrays["sci"], arrays["groupdq"], gain, noise, options, dead, counted, False, full is not None)
        if found is not None:
            table["jumps"] += found
            table["searched"] = True
        out.write_band(block)
    return table


def _references(state: Mapping[str, Any], block: Block | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Gain and read noise of the exposure, or of the rows of a block."""
    gain, noise = (np.ascontiguousarray(plane(state, reftype, block=block)) for reftype in ("gain", "readnoise"))
    return gain, noise


def _clip(ramps: Any, out: Any, state: Mapping[str, Any], options: jump.Options, how: int) -> np.ndarray:
    """Sigma clipping of all rows; returns the groups of which every pixel of the frame jumps (bool[integration, group])."""
    full = np.ones((ramps.nints, ramps.ngroups), np.bool_)
    for block in ramps.bands():
        arrays = block.arrays
        jump.clip_jumps(arrays["sci"], arrays["groupdq"], _references(state, block)[0], options, how)
        full &= jump.full_groups(arrays["groupdq"])
        out.write_band(block)
    return full


def _untouched(bands: Iterator[Block], halo: int) -> Iterator[Block]:
    """Bands whose row above is as it was, although the band before may have been written by now."""
    before: np.ndarray | None = None
    for block in bands:
        flags, (above, below) = block.arrays["groupdq"], block.row_halo
        if above and before is not None:
            flags[:, :, :above] = before[:, :, -above:]
        last = flags.shape[2] - below
        before = flags[:, :, max(0, last - halo) : last].copy() if halo else None
        yield block


def find_snowballs(ramps: Any, options: snowballs.Options) -> np.ndarray:
    """Flag snowballs; returns their number by integration (int64)."""
    count, before = np.zeros(ramps.nints, np.int64), None
    for i in range(ramps.nints):
        flags = groupdq_of(ramps, i)
        count[i], before = snowballs.snowballs_of(flags, options, before)
        for g in range(ramps.ngroups):
            block = group_of(ramps, i, g, ("groupdq",))
            if not np.array_equal(block.arrays["groupdq"][0, 0], flags[g]):
                block.arrays["groupdq"] = flags[np.newaxis, g : g + 1]
                ramps.write(block)
    return count


def find_showers(ramps: Any, state: Mapping[str, Any], ring: np.ndarray, options: showers.Options, searched: bool) -> np.ndarray:
    """Flag showers; returns their number by integration (int64)."""
    count = np.zeros(ramps.nints, np.int64)
    if not showers.enough(dead_groups_of(ramps)):
        return count
    usual, (gain, _) = _typical(ramps, state, options, searched), _references(state)
    pixeldq = group_of(ramps, 0, 0, ("pixeldq",)).arrays["pixeldq"]
    for i in range(ramps.nints):
        groupdq = groupdq_of(ramps, i)
        flags, count[i] = showers.showers_of(groupdq, pixeldq, _Steps(ramps, i, groupdq, gain, searched), usual, ring, options)
        rows = max(1, BAND_BYTES // (4 * ramps.ngroups * ramps.shape[1]))
        for y0 in range(0, ramps.shape[0], rows):
            y1 = min(y0 + rows, ramps.shape[0])
            if np.array_equal(groupdq[:, y0:y1], flags[:, y0:y1]):
                continue
            block = ramps.read(i, i + 1, y0, y1)
            arrays = block.arrays
            showers.accept(arrays["sci"][0], arrays["groupdq"][0], np.ascontiguousarray(flags[:, y0:y1]), gain[y0:y1], options)
            ramps.write(block)
    return count


def _typical(ramps: Any, state: Mapping[str, Any], options: showers.Options, searched: bool) -> tuple[np.ndarray, np.ndarray]:
    """Usual differences and their noise, by bands of rows."""
    parts = []
    for block in ramps.bands():
        arrays = block.arrays
        parts.append(showers.typical(arrays["sci"], arrays["groupdq"], *_references(state, block), options, searched))
    centre, spread = (np.concatenate(rows, axis=1) for rows in zip(*parts))
    return centre, spread


class _Steps:
    """Differences of the groups of an integration of a stored ramp, asked for in order."""

    def __init__(self, ramps: Any, index: int, groupdq: np.ndarray, gain: np.ndarray, searched: bool) -> None:
        self.ramps, self.index, self.gain = ramps, index, gain
        self.bad = showers.unusable(groupdq[np.newaxis], searched)
        self.pair = np.empty((1, 2, *ramps.shape), np.float32)
        self.last = -1

    def __call__(self, group: int) -> np.ndarray:
        self.pair[0, 0] = self.pair[0, 1] if self.last == group - 1 else self._frame(group - 1)
        self.pair[0, 1] = self._frame(group)
        self.last = group
        found: np.ndarray = showers.differences(self.pair, self.bad[:, group - 1 : group + 1], self.gain)[0, 0]
        return found

    def _frame(self, group: int) -> np.ndarray:
        frame: np.ndarray = group_of(self.ramps, self.index, group, ("sci",)).arrays["sci"][0, 0]
        return frame
