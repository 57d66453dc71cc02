"""lastframe: the last group of MIRI ramps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.kernels.ramp.early_groups import skip_last
from jwst_dask.steps.stage1.reset import not_miri

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class LastFrameStep(BlockStep):
    """Flag the last group DO_NOT_USE. MIRI only; skipped for ramps of up to two groups. No reference files.

    Works on any band of rows and any integrations.

    Source: JWST documentation, lastframe.
    """

    alias: ClassVar[str] = "lastframe"
    cal_step: ClassVar[str] = "lastframe"
    reads: ClassVar[tuple[str, ...]] = ("groupdq",)
    writes: ClassVar[tuple[str, ...]] = ("groupdq",)
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        return super().applies(meta) or not_miri(meta)

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        return {} if draft.model.data.shape[1] > 2 else Skip(f"{draft.model.data.shape[1]} groups are too few")

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        skip_last(block.arrays["groupdq"])
        return block
