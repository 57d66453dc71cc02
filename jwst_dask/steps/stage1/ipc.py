"""ipc: signal that pixels share with their neighbours through capacitance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.kernels.ramp.ipc import deconvolve
from jwst_dask.refs.load import planes
from jwst_dask.steps.stage1.reference import contents, is_irs2
from jwst_dask.steps.stage1.saturation import interleaved, irs2_rows

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

MARGIN = 4
"""Reference pixels at the edges of a detector; MIRI has none above and below."""


@dataclass(frozen=True, kw_only=True)
class IPCStep(BlockStep):
    """Convolve the light-sensitive pixels of every group of ``sci`` (DN) with the reference's kernel.

    The kernel is one for all pixels, or one for each. Reference type: ipc; skipped without one. Integrations are independent. A band of
    rows needs a halo of half the kernel (2 rows are enough for kernels of up to 5 x 5), and of the reference pixels that are read in between in NIRSpec IRS2 frames.

    Raises
    ------
    ReferenceError_
        For a kernel of another shape or that does not cover the exposure.

    Source: JWST documentation, ipc.
    """

    alias: ClassVar[str] = "ipc"
    cal_step: ClassVar[str] = "ipc"
    references: ClassVar[tuple[str, ...]] = ("ipc",)
    reads: ClassVar[tuple[str, ...]] = ("sci",)
    writes: ClassVar[tuple[str, ...]] = ("sci",)
    band_halo: ClassVar[int | None] = 2
    needs_all_integrations: ClassVar[bool] = False

    def halo_rows(self, state: Mapping[str, Any]) -> int:
        """Rows needed beyond a band of this exposure: interleaved reference pixels come in between."""
        half = (contents(str(state["path"])).shapes["SCI"][0]) // 2
        return half + (interleaved(half) if state["is_irs2"] else 0)

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path = refs("ipc")
        if path == "N/A":
            return Skip("no ipc reference")
        model = draft.model
        area, miri = model.meta.subarray, str(model.meta.instrument.name).upper() == "MIRI"
        y0, x0, ny, nx = int(area.ystart) - 1, int(area.xstart) - 1, int(area.ysize), int(area.xsize)
        shape = contents(path).shapes.get("SCI", ())
        if len(shape) not in (2, 4) or (len(shape) == 4 and (y0 + ny > shape[2] or x0 + nx > shape[3])):
            raise ReferenceError_(f"the ipc reference {path} has a kernel of shape {shape}; it must be (y, x), or (y, x, row, column) covering the "
                                  f"exposure's {ny} x {nx} pixels from row {y0 + 1}, column {x0 + 1}; give another file with override_ipc")  # fmt: skip
        size, below = (1032, 0) if miri else (2048, max(0, MARGIN - y0))
        above = 0 if miri else max(0, y0 + ny - (size - MARGIN))
        rows = irs2_rows(model) if is_irs2(model) else np.arange(ny)
        return {"path": np.array(path), "rows": rows[below : len(rows) - above], "below": below, "is_irs2": is_irs2(model),
                "columns": np.array([max(0, MARGIN - x0), nx - max(0, x0 + nx - (size - MARGIN))]),
                "window": np.array([y0, y0 + ny, x0, x0 + nx]), "ndim": len(shape)}  # fmt: skip

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        sci, y0 = block.arrays["sci"], int(getattr(block, "y0", 0) or 0)
        rows = np.asarray(state["rows"])
        first = int(np.searchsorted(rows, y0))
        last = int(np.searchsorted(rows, y0 + sci.shape[-2]))
        path, columns = str(state["path"]), (int(state["columns"][0]), int(state["columns"][1]))
        if int(state["ndim"]) == 2:
            kernel = planes(path, "SCI")
        else:
            at, _, left, right = (int(value) for value in state["window"])
            at += int(state["below"])
            kernel = planes(path, "SCI", (slice(at + first, at + last), slice(left, right)))
        deconvolve(sci, kernel.astype(np.float32, copy=False), rows[first:last] - y0, columns)
        return block
