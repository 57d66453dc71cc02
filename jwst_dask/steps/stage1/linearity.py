"""linearity: counts that are proportional to the light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.kernels.ramp.linearity import correct, correct_frames, correct_reads
from jwst_dask.steps.stage1.reference import flags, locate, plane

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class LinearityStep(BlockStep):
    """Apply each pixel's polynomial to the groups of ``sci`` that are not saturated, and to values of ``zeroframe`` that are not 0.

    Where the reference has inverse coefficients and groups average several frames, the polynomial is applied to the frames, as
    reconstructed (not to ramps of one group). ``pixeldq`` gets the reference's flags, and NO_LIN_CORR where its coefficients
    cannot be used. Reference type: linearity; skipped without one. Works on any band of rows and any integrations.

    Raises
    ------
    ReferenceError_
        For a reference that does not cover the exposure, or has fewer than two coefficients.

    Source: JWST documentation, linearity.
    """

    alias: ClassVar[str] = "linearity"
    cal_step: ClassVar[str] = "linearity"
    references: ClassVar[tuple[str, ...]] = ("linearity",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq", "pixeldq", "zeroframe")
    writes: ClassVar[tuple[str, ...]] = ("sci", "pixeldq", "zeroframe")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path = refs("linearity")
        if path == "N/A":
            return Skip("no linearity reference")
        found = locate(draft.model, path, "linearity", "COEFFS")
        for name in ("COEFFS", "INV_COEFFS"):
            shape = found.shapes.get(name, (2, 0, 0))
            if len(shape) != 3 or shape[0] < 2:
                raise ReferenceError_(f"the linearity reference {path} has {name} of shape {shape}, not (terms, y, x) with two terms or more; "
                                      "give another file with override_linearity")  # fmt: skip
        exposure = draft.model.meta.exposure
        nframes = int(exposure.nframes or 1)
        # irregular times of reads are not those of a plain average of frames
        by_read = "INV_COEFFS" in found.shapes and nframes > 1 and not len(exposure.read_times or ()) and draft.model.data.shape[1] > 1
        return found.state() | {"nframes": nframes if by_read else 1, "zero": bool(exposure.zero_frame)}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        arrays, nframes = block.arrays, int(state["nframes"])
        coeffs, dq = plane(state, "linearity", "COEFFS", block), np.ascontiguousarray(flags(state, "linearity", block))
        if state["zero"] and "zeroframe" in arrays:
            correct_frames(arrays["zeroframe"], arrays["pixeldq"], coeffs, dq)
        if nframes > 1:
            inverse = plane(state, "linearity", "INV_COEFFS", block)
            correct_reads(arrays["sci"], arrays["groupdq"], arrays["pixeldq"], coeffs, inverse, dq, nframes)
        else:
            correct(arrays["sci"], arrays["groupdq"], arrays["pixeldq"], coeffs, dq)
        return block
