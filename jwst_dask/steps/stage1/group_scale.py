"""group_scale: groups that were averaged on board with a divisor other than their number of frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.step import BlockStep, Skip, State

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class GroupScaleStep(BlockStep):
    """Multiply ``sci`` (DN) by FRMDIVSR / NFRAMES. Skipped where these are equal or unknown. No reference files.

    Works on any band of rows and any integrations.

    Source: JWST documentation, group_scale.
    """

    alias: ClassVar[str] = "group_scale"
    cal_step: ClassVar[str] = "group_scale"
    reads: ClassVar[tuple[str, ...]] = ("sci",)
    writes: ClassVar[tuple[str, ...]] = ("sci",)
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (off := super().applies(meta)) is not None:
            return off
        frames, divisor = meta.get("exposure.nframes"), meta.get("exposure.frame_divisor")
        if frames is None:
            return Skip("NFRAMES is not known")
        if divisor is None:
            known = int(frames) & (int(frames) - 1) == 0
            return Skip(f"NFRAMES = {frames} is a power of two" if known else f"NFRAMES = {frames}, but FRMDIVSR is not known")
        return Skip(f"NFRAMES and FRMDIVSR are both {frames}") if frames == divisor else None

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        exposure = draft.model.meta.exposure
        return {"scale": float(exposure.frame_divisor) / exposure.nframes}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        sci = block.arrays["sci"]
        np.multiply(sci, np.float32(state["scale"]), out=sci)
        return block
