"""guider_cds: count rates of guide star exposures, from the difference of last and first reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.steps.stage1.reference import contents, locate, plane

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

TABLES = ("planned_star_table", "flight_star_table", "pointing_table", "centroid_table", "track_sub_table")
FINE_READS = 4
"""Groups at each end that are averaged in fine guiding."""


@dataclass(frozen=True, kw_only=True)
class GuiderCdsStep(BlockStep):
    """Replace ``sci`` (float32[integration, group, y, x], DN) by count rates (float32[integration, y, x], DN/s); make their ``err``.

    Acquisition and track: second group less the first, over the group time. Fine guiding: mean of the last four groups less that of
    the first four, over the group time. Identification: at each pixel the smaller of the differences of the first
    two integrations; the result has one integration. The variance is twice the square of the read noise over the group time, plus the
    rate over gain (none below 0), as in the reference implementation. Reference types: gain, readnoise; stacked
    identification images, which have no place on the detector, use their means. Skipped without either.

    Raises
    ------
    InputError
        For too few groups or integrations, or without a group time.
    ReferenceError_
        For a reference that cannot be used.

    Source: JWST documentation, guider_cds.
    """

    alias: ClassVar[str] = "guider_cds"
    cal_step: ClassVar[str] = "guider_cds"
    references: ClassVar[tuple[str, ...]] = ("gain", "readnoise")
    reads: ClassVar[tuple[str, ...]] = ("sci",)
    writes: ClassVar[tuple[str, ...]] = ("sci", "err")
    band_halo: ClassVar[int | None] = None
    needs_all_integrations: ClassVar[bool] = True

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        from stdatamodels.jwst import datamodels

        model, exposure = draft.model, draft.model.meta.exposure
        exp_type, ngroups = str(exposure.type or "").upper(), int(model.data.shape[-3])
        identify, fine = exp_type.startswith("FGS_ID"), exp_type == "FGS_FINEGUIDE"
        if not exposure.group_time:
            raise InputError(f"{draft.path}: the time of a group (TGROUP) is {exposure.group_time}; set it in the primary header")
        least = (1 if fine else 2, 2 if identify else 1)
        if ngroups < least[0] or draft.nints < least[1]:
            raise InputError(
                f"{draft.path}: {exp_type} needs at least {least[0]} groups and {least[1]} integrations, there are {ngroups} and {draft.nints}"
            )
        state: State = {"time": float(exposure.group_time), "kind": "id" if identify else "fine" if fine else "pair"}
        for reftype in self.references:
            path = refs(reftype)
            if not path or path == "N/A":
                return Skip(f"no {reftype} reference")
            state |= _located(model, path, reftype, "STACK" in exp_type)
        result = datamodels.GuiderCalModel((1, *draft.shape))
        result.dq = model.dq
        for name in TABLES:
            if model.hasattr(name):
                setattr(result, name, getattr(model, name))
        result.update(model)
        result.meta.bunit_data = "DN/s"
        draft.model, draft.nints = result, 1 if identify else draft.nints
        return state

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        sci, time, kind = block.arrays["sci"], float(state["time"]), str(state["kind"])
        shape = sci.shape[-2:]
        gain, noise = (_values(state, reftype, shape) for reftype in ("gain", "readnoise"))
        if kind == "fine":
            change = sci[:, -FINE_READS:].mean(axis=1) - sci[:, :FINE_READS].mean(axis=1)
        elif kind == "id":
            change = np.minimum(sci[1:2, 1] - sci[1:2, 0], sci[:1, 1] - sci[:1, 0])
        else:
            change = sci[:, 1] - sci[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = change / (gain * time)
        variance[variance < 0] = 0.0
        variance += 2 * (noise / time) ** 2
        return dataclasses.replace(block, arrays={**block.arrays, "sci": change / time, "err": np.sqrt(variance)})


def _located(model: Any, path: str, reftype: str, stacked: bool) -> State:
    """State of a reference: its window, or no window if its mean is used."""
    try:
        found = locate(model, path, reftype)
        rows, columns = found.window
        if (rows.stop - rows.start, columns.stop - columns.start) == tuple(model.data.shape[-2:]):
            return found.state()
        raise ReferenceError_(f"the {reftype} reference {path} has {rows.stop - rows.start} x {columns.stop - columns.start} pixels (y, x) where the "
                              f"exposure has {model.data.shape[-2]} x {model.data.shape[-1]}; give another file with override_{reftype}")  # fmt: skip
    except (InputError, ReferenceError_):
        if not stacked or "SCI" not in contents(path).shapes:
            raise
    return {f"{reftype}.mean": path}


def _values(state: Mapping[str, Any], reftype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Gain or read noise of each pixel: float32[y, x]."""
    if f"{reftype}.mean" in state:
        from jwst_dask.refs.load import planes

        return np.full(shape, np.mean(planes(str(state[f"{reftype}.mean"]), "SCI").astype(np.float32)), np.float32)
    return plane(state, reftype)
