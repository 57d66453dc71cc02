"""firstframe: the first group of MIRI ramps (since version 2.0 of the reference implementation: rscd)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.ramp.early_groups import skip_first
from jwst_dask.steps.stage1.reset import not_miri

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class FirstFrameStep(BlockStep):
    """Flag the first group DO_NOT_USE, but where the third is saturated, whose pixels become FLUX_ESTIMATED. MIRI only.

    Skipped for ramps of up to three groups. No reference files. Works on any band of rows; flags of ``pixeldq`` come from all
    integrations.

    Source: JWST documentation, firstframe.
    """

    alias: ClassVar[str] = "firstframe"
    cal_step: ClassVar[str] = "firstframe"
    reads: ClassVar[tuple[str, ...]] = ("groupdq", "pixeldq")
    writes: ClassVar[tuple[str, ...]] = ("groupdq", "pixeldq")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = True

    skip: bool = param(True, "Skip this step")
    bright_use_group1: bool = param(True, "Keep the first group where the third is saturated")

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        return super().applies(meta) or not_miri(meta)

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        return {} if draft.model.data.shape[1] > 3 else Skip(f"{draft.model.data.shape[1]} groups are too few")

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        skip_first(block.arrays["groupdq"], block.arrays["pixeldq"], self.bright_use_group1)
        return block
