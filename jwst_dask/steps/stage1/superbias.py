"""superbias: the bias level under all ramps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.kernels.ramp.superbias import subtract, subtract_frames
from jwst_dask.steps.stage1.reference import flags, locate, plane

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class SuperBiasStep(BlockStep):
    """Subtract the bias image (DN) from ``sci`` and from values of ``zeroframe`` that are not 0; its flags go to ``pixeldq``.

    Reference type: superbias; skipped without one. Works on any band of rows and any integrations.

    Raises
    ------
    ReferenceError_
        For a reference that does not cover the exposure.

    Source: JWST documentation, superbias.
    """

    alias: ClassVar[str] = "superbias"
    cal_step: ClassVar[str] = "superbias"
    references: ClassVar[tuple[str, ...]] = ("superbias",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "pixeldq", "zeroframe")
    writes: ClassVar[tuple[str, ...]] = ("sci", "pixeldq", "zeroframe")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path = refs("superbias")
        if path == "N/A":
            return Skip("no superbias reference")
        return locate(draft.model, path, "superbias").state() | {"zero": bool(draft.model.meta.exposure.zero_frame)}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        bias = plane(state, "superbias", block=block)
        subtract(block.arrays["sci"], bias)
        block.arrays["pixeldq"] |= flags(state, "superbias", block)
        if state["zero"] and "zeroframe" in block.arrays:
            subtract_frames(block.arrays["zeroframe"], bias)
        return block
