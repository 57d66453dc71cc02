"""reset: what the reset of a MIRI detector leaves in the groups after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.kernels.ramp.superbias import subtract
from jwst_dask.steps.stage1.reference import flags, plane, same_frame

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class ResetStep(BlockStep):
    """Subtract the reference's images (DN) from the first groups of ``sci``; its flags go to ``pixeldq``.

    The reference has images for each of the first integrations of an exposure, the last of which serve all others. MIRI only.
    Reference type: reset; skipped without one. Works on any band of rows and any integrations.

    Raises
    ------
    ReferenceError_
        For a reference of another subarray or number of dimensions.

    Source: JWST documentation, reset.
    """

    alias: ClassVar[str] = "reset"
    cal_step: ClassVar[str] = "reset"
    references: ClassVar[tuple[str, ...]] = ("reset",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "pixeldq")
    writes: ClassVar[tuple[str, ...]] = ("sci", "pixeldq")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        return super().applies(meta) or not_miri(meta)

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path = refs("reset")
        if path == "N/A":
            return Skip("no reset reference")
        found = same_frame(draft.model, path, "reset")
        shape = found.shapes["SCI"]
        if len(shape) != 4:
            raise ReferenceError_(f"the reset reference {path} has shape {shape}, not (integration, group, y, x); "
                                  "give another file with override_reset")  # fmt: skip
        nints, ngroups = (int(found.header.get(name) or size) for name, size in (("NINTS", shape[0]), ("NGROUPS", shape[1])))
        start = draft.model.meta.exposure.integration_start
        return found.state() | {
            "nints": min(nints, shape[0]),
            "ngroups": min(ngroups, shape[1]),
            "before": 0 if start is None else int(start) - 1,
        }

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        sci = block.arrays["sci"]
        groups, last = min(int(state["ngroups"]), sci.shape[1]), int(state["nints"]) - 1
        for k in range(len(sci)):
            which = min(int(state["before"]) + block.start + k, last)
            images = plane(state, "reset", "SCI", block, (slice(which, which + 1), slice(0, groups)))[0]
            for group in range(groups):
                subtract(sci[k : k + 1, group : group + 1], images[group])
        block.arrays["pixeldq"] |= np.asarray(flags(state, "reset", block))
        return block


def not_miri(meta: Mapping[str, Any]) -> Skip | None:
    """Why a step for MIRI does not run on an exposure of another instrument."""
    detector = str(meta.get("instrument.detector") or "")
    return None if detector.upper().startswith("MIR") else Skip(f"detector {detector or 'unknown'} is not MIRI's")
