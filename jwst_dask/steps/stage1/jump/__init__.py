"""jump: cosmic rays and what comes with them, found in the differences of groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.data.dq import bits
from jwst_dask.kernels.ramp import showers, snowballs
from jwst_dask.kernels.ramp.jump import Options, dead_groups, find_jumps
from jwst_dask.kernels.ramp.ring import ring_of
from jwst_dask.steps.stage1.jump import bands
from jwst_dask.steps.stage1.jump.rates import TABLE, merge, rates, row_type
from jwst_dask.steps.stage1.reference import locate, plane

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

__all__ = ["TABLE", "JumpStep", "merge", "rates"]

NO_GAIN = np.uint32(bits("NO_GAIN_VALUE+DO_NOT_USE"))
LEAST_GROUPS = 3
SHOWER_AMPLITUDE = 6.0
"""Per second: largest change of a rate by showers; the reference implementation does not pass on its parameter."""


@dataclass(frozen=True, kw_only=True)
class JumpStep(BlockStep):
    """Flag jumps in ``groupdq`` (JUMP_DET; SATURATED around wide cores of snowballs), and pixels without a gain in ``pixeldq``
    (NO_GAIN_VALUE + DO_NOT_USE).

    Reference types: gain, readnoise, both required. Skipped for ramps of up to two groups. The median of a pixel's differences
    is over all integrations, which a block, or a stored ramp (`stream`), must have. A block may be a band of rows with one row more on each side (which
    ``block.row_halo`` tells, so that their jumps are not counted twice), unless snowballs or showers are looked for. Groups that
    are DO_NOT_USE all over a band are taken to be so all over the frame, unless ``state["dead_groups"]`` (bool[integration,
    group]) says which are; so are, with sigma clipping, those of which every pixel jumps, unless ``state["others"]()`` gives the other rows.
    The table `TABLE` of a block has what `rates` needs after the last block.

    Raises
    ------
    InputError
        Without NFRAMES or TGROUP, for a block without all integrations, or without all rows where they are needed.
    ReferenceError_
        For references that are missing or do not cover the exposure.

    Notes
    -----
    As in the reference implementation, `minimum_groups`, `max_shower_amplitude` and `use_ellipses` have no effect (3 groups,
    6 electrons per second, ellipses), nor has `maximum_cores` on results.

    Source: JWST documentation, jump.
    """

    alias: ClassVar[str] = "jump"
    cal_step: ClassVar[str] = "jump"
    references: ClassVar[tuple[str, ...]] = ("gain", "readnoise")
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq", "pixeldq")
    writes: ClassVar[tuple[str, ...]] = ("groupdq", "pixeldq", TABLE)
    needs_all_integrations: ClassVar[bool] = True

    rejection_threshold: float = param(4.0, "Size of a jump with four usable differences or more", unit="sigma", low=0)
    three_group_rejection_threshold: float = param(6.0, "Size of a jump with two usable differences", unit="sigma", low=0)
    four_group_rejection_threshold: float = param(5.0, "Size of a jump with three usable differences", unit="sigma", low=0)
    maximum_cores: str = param("1", "Accepted for compatibility: work is divided by the scheduler")
    flag_4_neighbors: bool = param(True, "Flag the four neighbours of a jump")
    max_jump_to_flag_neighbors: float = param(1000.0, "Largest jump whose neighbours are flagged", unit="sigma")
    min_jump_to_flag_neighbors: float = param(10.0, "Smallest jump whose neighbours are flagged", unit="sigma")
    after_jump_flag_dn1: float = param(0.0, "Smallest jump after which groups are flagged, first rule", unit="DN")
    after_jump_flag_time1: float = param(0.0, "Time for which they are flagged, first rule", unit="s")
    after_jump_flag_dn2: float = param(0.0, "Smallest jump after which groups are flagged, second rule", unit="DN")
    after_jump_flag_time2: float = param(0.0, "Time for which they are flagged, second rule", unit="s")
    expand_large_events: bool = param(False, "Look for snowballs (near-infrared detectors)")
    min_sat_area: float = param(1.0, "Smallest saturated core of a snowball", unit="pixel")
    min_jump_area: float = param(5.0, "Smallest area of jumps that can be a snowball", unit="pixel")
    expand_factor: float = param(2.0, "By which the ellipses of snowballs grow")
    use_ellipses: bool = param(False, "Accepted for compatibility, no effect")
    sat_required_snowball: bool = param(True, "A snowball must have a saturated core")
    min_sat_radius_extend: float = param(2.5, "Minor axis from which on saturated cores grow", unit="pixel")
    sat_expand: int = param(2, "By which the radius of such cores grows", unit="pixel")
    edge_size: int = param(25, "Distance from the edge within which no core is required", unit="pixel")
    mask_snowball_core_next_int: bool = param(True, "Flag cores in the next integration too")
    snowball_time_masked_next_int: int = param(4000, "Time for which they are flagged there", unit="s")
    find_showers: bool = param(False, "Look for showers (MIRI)")
    max_shower_amplitude: float = param(4.0, "Accepted for compatibility, no effect", unit="DN/s")
    extend_snr_threshold: float = param(1.2, "Smoothed signal to noise of showers")
    extend_min_area: int = param(90, "Smallest area of a shower", unit="pixel")
    extend_inner_radius: float = param(1.0, "Inner radius of the smoothing ring", unit="pixel")
    extend_outer_radius: float = param(2.6, "Width of the smoothing ring", unit="pixel")
    extend_ellipse_expand_ratio: float = param(1.1, "By which the ellipses of showers grow")
    time_masked_after_shower: float = param(15.0, "Time for which groups after a shower are flagged", unit="s")
    min_diffs_single_pass: int = param(10, "Usable differences of an integration from which on all jumps are flagged at once")
    max_extended_radius: int = param(200, "Largest radius of a snowball or shower", unit="pixel")
    minimum_groups: int = param(3, "Accepted for compatibility, no effect")
    minimum_sigclip_groups: int = param(100, "Integrations (or groups) from which on differences are sigma clipped")
    only_use_ints: bool = param(True, "Clip each difference among integrations, rather than all differences of a pixel")

    @property
    def band_halo(self) -> int | None:
        """Rows needed beyond a band; None where whole frames are."""
        return None if self.expand_large_events or self.find_showers else int(self.flag_4_neighbors)

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (off := super().applies(meta)) is not None:
            return off
        ngroups = meta.get("exposure.ngroups")
        return Skip("ramps of up to two groups show no jumps") if ngroups is not None and int(ngroups) < LEAST_GROUPS else None

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        model = draft.model
        state: State = {}
        if model.data.shape[-3] < LEAST_GROUPS:
            return Skip("ramps of up to two groups show no jumps")
        nframes, group_time = model.meta.exposure.nframes, model.meta.exposure.group_time
        if not nframes or not group_time:
            raise InputError(
                f"{draft.path}: jump needs NFRAMES and TGROUP above 0 (they are {nframes} and {group_time}); set them in its primary header"
            )
        for reftype in self.references:
            if (path := refs(reftype)) == "N/A":
                raise ReferenceError_(f"{draft.path}: jump needs a {reftype} reference; give one with override_{reftype}")
            state |= locate(model, path, reftype).state()
        state |= {"nframes": int(nframes), "group_time": float(group_time), "nints": int(draft.nints), "shape": np.array(draft.shape)}
        times = (self.after_jump_flag_time1, self.after_jump_flag_time2)
        state["after_groups"] = np.array([int(time // group_time) for time in times])
        state["after_size"] = np.zeros(2, np.float32)
        if state["after_groups"].any():
            gain = np.float32(np.nanmedian(plane(state, "gain")))
            state["after_size"] = np.array([self.after_jump_flag_dn1 * gain, self.after_jump_flag_dn2 * gain], np.float32)
        return state

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        arrays, group_time = block.arrays, float(state["group_time"])
        sci, groupdq, pixeldq = arrays["sci"], arrays["groupdq"], arrays["pixeldq"]
        nints, ngroups, ny, nx = groupdq.shape
        whole = (ny, nx) == tuple(int(n) for n in state["shape"])
        self._check(block, int(state["nints"]), whole)
        gain, noise = (np.ascontiguousarray(plane(state, reftype, block=block)) for reftype in self.references)
        pixeldq[(gain <= 0) | np.isnan(gain)] |= NO_GAIN
        above, below = getattr(block, "row_halo", None) or (0, 0)
        counted, dead = slice(above, ny - below), state.get("dead_groups")
        if whole:
            jumps = find_jumps(sci, groupdq, gain, noise, self._jumps(state), dead, counted)
        else:
            jumps = bands.find_jumps(sci, groupdq, gain, noise, self._jumps(state), dead, counted, partial(_others, state))
        table = np.zeros(nints, row_type(ngroups))
        table["jumps"], table["searched"] = (0, False) if jumps is None else (jumps, True)
        if self.expand_large_events:
            table["events"] = snowballs.find_snowballs(groupdq, self._snowballs(group_time))
        if self.find_showers:
            options = self._showers(group_time, int(state["nframes"]))
            table["events"] = showers.find_showers(sci, groupdq, pixeldq, gain, noise, self._ring(), options, jumps is not None)
        table["dead"] = dead_groups(groupdq[:, :, above : ny - below])
        block.tables[TABLE] = table
        return block

    asks_others: ClassVar[bool] = True
    """Whether tasks of bands tell it how to get the other rows (``state["others"]``)."""

    def stream(self, ramps: Any, out: Any, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The same of a stored ramp (`jwst_dask.core.ramps.store.RampStore`): jumps by bands of rows, then snowballs and showers frame by
        frame. In memory are the flags of an integration and a few frames (in long series with showers two frames for each group)."""
        from jwst_dask.steps.stage1.jump import stored

        group_time, nframes = float(state["group_time"]), int(state["nframes"])
        table = stored.find_jumps(ramps, out, state, self._jumps(state), int(self.flag_4_neighbors), NO_GAIN)
        if self.expand_large_events:
            table["events"] = stored.find_snowballs(out, self._snowballs(group_time))
        if self.find_showers:
            options = self._showers(group_time, nframes)
            table["events"] = stored.find_showers(out, state, self._ring(), options, bool(table["searched"].all()))
        table["dead"] = stored.dead_groups_of(out)
        return {TABLE: table}

    def _check(self, block: Block, nints: int, whole: bool) -> None:
        if block.nints != nints or any(block.halo):
            raise InputError(f"jump needs all {nints} integrations of an exposure in one block, which has {block.nints}")
        if not whole and self.band_halo is None:
            raise InputError(
                "jump needs whole frames to find snowballs or showers; turn off expand_large_events and find_showers for bands of rows"
            )

    def _jumps(self, state: Mapping[str, Any]) -> Options:
        size, groups = np.asarray(state["after_size"]), np.asarray(state["after_groups"])
        return Options(rejection=self.rejection_threshold, three_groups=self.three_group_rejection_threshold,
                       four_groups=self.four_group_rejection_threshold, single_pass=self.min_diffs_single_pass,
                       clip_groups=self.minimum_sigclip_groups, by_integration=self.only_use_ints, neighbours=self.flag_4_neighbors,
                       low=self.min_jump_to_flag_neighbors, high=self.max_jump_to_flag_neighbors, after_size=(float(size[0]), float(size[1])),
                       after_groups=(int(groups[0]), int(groups[1])), nframes=int(state["nframes"]))  # fmt: skip

    def _snowballs(self, group_time: float) -> snowballs.Options:
        groups = int(self.snowball_time_masked_next_int // group_time) if self.mask_snowball_core_next_int else 0
        return snowballs.Options(min_sat_area=self.min_sat_area, min_jump_area=self.min_jump_area, expand_factor=self.expand_factor,
                                 sat_required=self.sat_required_snowball, min_sat_radius=self.min_sat_radius_extend,
                                 sat_expand=2 * self.sat_expand, edge_size=self.edge_size, max_width=2 * self.max_extended_radius,
                                 core_groups=groups)  # fmt: skip

    def _showers(self, group_time: float, nframes: int) -> showers.Options:
        return showers.Options(snr=self.extend_snr_threshold, min_area=self.extend_min_area, expand_ratio=self.extend_ellipse_expand_ratio,
                               groups=int(self.time_masked_after_shower // group_time), max_change=SHOWER_AMPLITUDE * group_time,
                               max_width=2 * self.max_extended_radius, clip_groups=self.minimum_sigclip_groups, nframes=nframes)  # fmt: skip

    def _ring(self) -> np.ndarray:
        try:
            return ring_of(self.extend_inner_radius, self.extend_outer_radius)
        except ValueError as error:
            raise InputError(f"jump: extend_inner_radius {self.extend_inner_radius}, extend_outer_radius {self.extend_outer_radius}: {error}") from error


def _others(state: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Signals, flags and gain of all rows of the frame, some at a time; nothing where they cannot be had."""
    for block in state["others"]() if "others" in state else ():
        yield block.arrays["sci"], block.arrays["groupdq"], np.ascontiguousarray(plane(state, "gain", block=block))
