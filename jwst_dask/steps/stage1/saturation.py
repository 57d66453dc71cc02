"""saturation: groups at full well or at the floor of the A/D converter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.ramp.irs2_layout import normal_rows
from jwst_dask.kernels.ramp.saturation import flag, thresholds
from jwst_dask.steps.stage1.reference import flags, has, is_irs2, locate, plane, sequence

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class SaturationStep(BlockStep):
    """Flag ``groupdq`` SATURATED from the first group at or above the threshold on, with the pixels around, and AD_FLOOR +
    DO_NOT_USE where a group is not positive; flags of the reference go to ``pixeldq``, first frames that fail become 0.

    Reference types: saturation (skipped without one), superbias (taken as 0 without one). Integrations are independent. A band of
    rows needs a halo of twice `n_pix_grow_sat`, of NIRSpec IRS2 frames with the reference pixels in between.

    Raises
    ------
    ReferenceError_
        For references that do not cover the exposure.
    InputError
        Without NFRAMES.

    Source: JWST documentation, saturation.
    """

    alias: ClassVar[str] = "saturation"
    cal_step: ClassVar[str] = "saturation"
    references: ClassVar[tuple[str, ...]] = ("saturation", "superbias")
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq", "pixeldq", "zeroframe")
    writes: ClassVar[tuple[str, ...]] = ("groupdq", "pixeldq", "zeroframe")
    needs_all_integrations: ClassVar[bool] = False

    n_pix_grow_sat: int = param(1, "Half width of the square around a saturated pixel that is flagged too", unit="pixel", low=0)
    use_readpatt: bool = param(True, "Look for saturation hidden in averages of frames")

    @property
    def band_halo(self) -> int | None:
        """Rows needed beyond a band."""
        return 2 * self.n_pix_grow_sat

    def halo_rows(self, state: Mapping[str, Any]) -> int:
        """Rows needed beyond a band of this exposure: interleaved reference pixels come in between."""
        return 2 * self.n_pix_grow_sat + (interleaved(2 * self.n_pix_grow_sat) if state["irs2"] else 0)

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path, bias = refs("saturation"), refs("superbias")
        if path == "N/A":
            return Skip("no saturation reference")
        model = draft.model
        state = locate(model, path, "saturation").state()
        state |= {"zero": bool(model.meta.exposure.zero_frame), "irs2": is_irs2(model), "nframes": 0}
        if self.use_readpatt:
            state["nframes"] = sequence(model)[0]
            if bias != "N/A":
                state |= locate(model, bias, "superbias").state()
        if state["irs2"]:
            state["rows"] = irs2_rows(model)
        return state

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        arrays, irs2, part = block.arrays, bool(state["irs2"]), block
        rows = np.arange(arrays["sci"].shape[-2])
        if irs2:
            rows, part = own_rows(np.asarray(state["rows"]), block)
            if not len(rows):
                return block
        threshold, dq = thresholds(plane(state, "saturation", block=part), flags(state, "saturation", part))
        bias = (
            plane(state, "superbias", block=block) if has(state, "superbias") else np.broadcast_to(np.float32(0), arrays["sci"].shape[-2:])
        )
        flag(arrays["sci"], arrays["groupdq"], threshold, np.ascontiguousarray(bias[rows]) if irs2 else np.ascontiguousarray(bias),
             self.n_pix_grow_sat, int(state["nframes"]), rows, irs2, arrays.get("zeroframe") if state["zero"] else None)  # fmt: skip
        arrays["pixeldq"][rows] |= dq
        return block


def interleaved(rows: int) -> int:
    """Interleaved reference pixels (4 after each 16) that may lie within so many rows of the others."""
    return 4 * (1 + rows // 16)


def own_rows(normal: np.ndarray, block: Block) -> tuple[np.ndarray, Block]:
    """Rows of a block that are the detector's own; and a block without data that stands for these rows of the detector."""
    from jwst_dask.data.exposure import Block

    sci = block.arrays["sci"]
    first, last = (int(np.searchsorted(normal, edge)) for edge in (block.y0, block.y0 + sci.shape[-2]))
    stands = np.broadcast_to(np.float32(0), (*sci.shape[:2], last - first, sci.shape[-1]))
    return normal[first:last] - block.y0, Block({"sci": stands}, block.start, y0=first)


def irs2_rows(model: Any) -> np.ndarray:
    """Rows of a NIRSpec IRS2 exposure that are not interleaved reference pixels (int64[row])."""
    exposure = model.meta.exposure
    return normal_rows(int(model.data.shape[-2]), int(exposure.nrs_normal or 16), int(exposure.nrs_reference or 4),
                       str(model.meta.instrument.detector).upper() == "NRS2")  # fmt: skip
