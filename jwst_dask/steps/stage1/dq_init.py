"""dq_init: flags of the detector's pixels, from the mask reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.data.dq import GROUP
from jwst_dask.steps.stage1.reference import band, flags, locate

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

DO_NOT_USE = np.uint32(GROUP["DO_NOT_USE"])


@dataclass(frozen=True, kw_only=True)
class DQInitStep(BlockStep):
    """Add the mask's flags to ``pixeldq`` (of guider exposures ``dq``), and its DO_NOT_USE to every plane of ``groupdq``.

    Reference type: mask; skipped without one. Works on any band of rows and any integrations.

    Raises
    ------
    InputError
        For a user's mask that cannot be read or has another shape than the exposure.
    ReferenceError_
        For a mask that does not cover the exposure.

    Source: JWST documentation, dq_init.
    """

    alias: ClassVar[str] = "dq_init"
    cal_step: ClassVar[str] = "dq_init"
    references: ClassVar[tuple[str, ...]] = ("mask",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq", "pixeldq")
    writes: ClassVar[tuple[str, ...]] = ("groupdq", "pixeldq")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    user_supplied_dq: str | None = param(None, "FITS image of flags to add to the mask", kind="str")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path = refs("mask")
        if path == "N/A":
            return Skip("no mask reference")
        found = locate(draft.model, path, "mask", "DQ")
        state = found.state()
        if self.user_supplied_dq is not None:
            rows, columns = found.window
            state["user"] = _user_mask(self.user_supplied_dq, (rows.stop - rows.start, columns.stop - columns.start))
        return state

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        mask = flags(state, "mask", block)
        if "user" in state:
            mask = mask | band(state["user"], block)
        block.arrays["pixeldq" if "pixeldq" in block.arrays else "dq"] |= mask
        if (groupdq := block.arrays.get("groupdq")) is not None:
            groupdq |= (mask & DO_NOT_USE).astype(np.uint8)
        return block


def _user_mask(path: str, shape: tuple[int, int]) -> np.ndarray:
    from astropy.io import fits

    try:
        found = np.asarray(fits.getdata(path))
    except (OSError, IndexError, ValueError) as error:
        raise InputError(f"user_supplied_dq={path} cannot be read as a FITS image: {error}") from error
    if found.shape != shape:
        raise InputError(f"user_supplied_dq={path} has shape {found.shape}, the exposure's mask {shape} (y, x)")
    return found.astype(np.int64).astype(np.uint32)
