"""The step ramp_fit."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.ramp.fit import Timing, fit_noise, limits, stage_one, used_groups
from jwst_dask.kernels.ramp.fitopt import fit_options
from jwst_dask.kernels.ramp.likely import MIN_GROUPS, fit_likely, read_pattern
from jwst_dask.steps.stage1.ramp_fit.planes import OPTIONS, RATE, Pending, finished, packed, rate_arrays, sums_in
from jwst_dask.steps.stage1.reference import band, contents, locate, plane, sequence

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RampFitStep(BlockStep):
    """Turn ramps (``sci`` float32[integration, group, y, x], DN; ``groupdq``, ``pixeldq``) into count rates.

    `run` replaces a block's ramps by ``sci``, ``err`` (DN/s), ``var_poisson``, ``var_rnoise`` ((DN/s)**2) and ``dq`` of its
    integrations, (integration, y, x); LIKELY adds ``chisq``. With ``save_opt``, OLS_C gives the results by segment as ``opt_slope``
    and so on (the second axis is as long as the block needs). If the block has all integrations of the exposure it adds the 2-D
    result under ``rate_sci`` and so on. If not, ``var_poisson`` and ``err`` of OLS_C are provisional, and ``sum_...`` arrays come with them:
    `planes.gathered` adds those of all blocks up, `planes.finished` completes each block, `planes.rate_arrays` gives the 2-D
    result; the outcome does not depend on how integrations were split. LIKELY needs no sums; its 2-D result takes the
    finished planes of all integrations, in bands of rows if one likes. Works on any band of rows.

    Reference types: readnoise (DN, of a pair of frames), gain (electrons per DN).

    Raises
    ------
    InputError
        Without TGROUP, TFRAME, NFRAMES or GROUPGAP.
    ReferenceError_
        For references that do not cover the exposure.

    Notes
    -----
    MIRI groups that are flagged DO_NOT_USE in all pixels of all integrations are left out: all at the start, one at the
    end. A block of some integrations cannot tell: give ``window`` (int64[2], from `kernels.ramp.fit.limits`) in the state then;
    otherwise the block's own groups decide. ``unusable`` among the arrays says that there is nothing to fit: no ramp is
    free of saturation from its first group on, or fewer than two MIRI groups remain; no products are made then.

    Source: JWST documentation, ramp_fitting.
    """

    alias: ClassVar[str] = "ramp_fit"
    cal_step: ClassVar[str] = "ramp_fit"
    references: ClassVar[tuple[str, ...]] = ("readnoise", "gain")
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq", "pixeldq", "zeroframe")
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    algorithm: str = param("OLS_C", "How ramps are fitted: weighted lines, or likelihood of differences", choices=("OLS_C", "LIKELY"))
    int_name: str | None = param(None, "Name of the product of integrations", kind="str")
    save_opt: bool = param(False, "Save optional results (OLS_C: fitopt; LIKELY: likely_chisq)")
    opt_name: str | None = param(None, "Name of the optional product", kind="str")
    suppress_one_group: bool = param(True, "Do not use ramps with one good group")
    firstgroup: int | None = param(None, "First group that is used, from 0", kind="int")
    lastgroup: int | None = param(None, "Last group that is used, from 0", kind="int")
    maximum_cores: str = param("1", "Accepted for compatibility; blocks are fitted in parallel by the scheduler")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        model, (nframes, groupgap) = draft.model, sequence(draft.model)
        exposure, ngroups = model.meta.exposure, int(model.data.shape[1])
        if exposure.group_time is None or exposure.frame_time is None:
            raise InputError(f"the exposure has no TGROUP or TFRAME ({exposure.group_time}, {exposure.frame_time}); set these keywords in its primary header")
        state: State = {"nints": draft.nints, "nframes": nframes, "groupgap": groupgap, "group_time": float(exposure.group_time),
                        "frame_time": float(exposure.frame_time), "drop_frames": int(getattr(exposure, "drop_frames1", None) or 0), "miri": str(model.meta.instrument.name).upper() == "MIRI"}  # fmt: skip
        for reftype in ("readnoise", "gain"):
            state |= locate(model, refs(reftype), reftype).state()
        factor = contents(refs("gain")).header.get("GAINFACT")
        if factor is not None:
            exposure.gain_factor = float(factor)
        times = getattr(exposure, "read_times", None)
        if times is not None and len(times) > 0:
            state |= {f"reads.{k}": np.atleast_1d(np.asarray(own, dtype=np.float64)) for k, own in enumerate(times)}
        state["likely"] = (self.algorithm == "LIKELY" or "reads.0" in state) and ngroups >= MIN_GROUPS
        if self.algorithm == "LIKELY" and not state["likely"]:
            log.info("%s: LIKELY needs %d groups, there are %d; OLS_C is used", draft.path, MIN_GROUPS, ngroups)
        if model.hasattr("average_dark_current"):
            dark = np.asarray(model.average_dark_current, dtype=np.float32)
            if dark.shape == model.data.shape[-2:] and dark.any():
                state["dark"] = dark
        state["selected"] = np.array(self._selected(ngroups))
        state["rows"] = int(model.data.shape[-2])
        if self.save_opt:
            self._optional(draft, bool(state["likely"]))
        draft.model = rate_cube(model)
        return state

    def _optional(self, draft: Draft, likely: bool) -> None:
        """Optional results go to a product of their own."""
        from stdatamodels.jwst import datamodels

        if likely:
            draft.extras["likely_chisq"] = None
            return
        model = datamodels.RampFitOutputModel()
        model.update(draft.model)
        draft.extras["fitopt"] = model

    def _selected(self, ngroups: int) -> tuple[int, int]:
        """First group in use and the end of those in use, by the user's choice."""
        first = max(self.firstgroup or 0, 0)
        last = ngroups - 1 if self.lastgroup is None else self.lastgroup
        if first >= last:
            if self.firstgroup is not None or self.lastgroup is not None:
                log.warning("ramp_fit: firstgroup %d is not before lastgroup %d; both are ignored", first, last)
            return 0, ngroups
        return first, min(last, ngroups - 1) + 1

    def pending(self, block: Block, state: Mapping[str, Any], pixeldq: np.ndarray | None = None) -> Pending:
        """What the second stage needs for a block (or for the same rows of another block of the exposure)."""
        gain = plane(state, "gain", block=block)
        noise = fit_noise(plane(state, "readnoise", block=block), gain, int(state["nframes"]))
        timing = Timing.of(float(state["group_time"]), float(state["frame_time"]), int(state["nframes"]))
        return Pending(block.arrays["pixeldq"] if pixeldq is None else pixeldq, noise, gain, _dark(block, state), timing)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        arrays = self._likely(block, state) if bool(state["likely"]) else self._lines(block, state)
        kept = {name: value for name, value in block.arrays.items() if name not in ("groupdq", "pixeldq", "zeroframe", "refout", "sci", "err")}
        tables = {**block.tables, "ramp_fit": np.array([("unusable" in arrays,)], dtype=[("unusable", "?")])}
        return dataclasses.replace(block, arrays={**arrays, **kept}, tables=tables)

    def _lines(self, block: Block, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        sci, groupdq, suppress = block.arrays["sci"], block.arrays["groupdq"], self.suppress_one_group and block.arrays["sci"].shape[1] > 1
        first, last = (int(value) for value in state["selected"])
        window: tuple[int, int] | None = None
        if bool(state["miri"]) and sci.shape[1] > 1:
            window = _pair(state["window"]) if "window" in state else limits(used_groups(groupdq, suppress, first, last))
            if window is None:
                return _nothing(sci, block.arrays["pixeldq"])
        pending = self.pending(block, state)
        how: dict[str, Any] = {"suppress": suppress, "zeroframe": block.arrays.get("zeroframe"), "window": window, "selected": (first, last)}
        fitted, sums = stage_one(sci, groupdq, pending.pixeldq, pending.noise, pending.gain, pending.timing, int(state["nints"]), **how)
        arrays = packed(fitted, sums)
        if self.save_opt:
            frames = (int(state["nframes"]), int(state["groupgap"]), int(state["drop_frames"]))
            options = fit_options(sci, groupdq, fitted.sci, pending.noise, pending.gain, pending.timing, frames, **how)
            arrays |= {OPTIONS + one.name: getattr(options, one.name) for one in dataclasses.fields(options)}
        if block.nints != int(state["nints"]):
            return arrays
        if sums.saturated and sci.shape[2] == int(state.get("rows", sci.shape[2])):
            return _nothing(sci, pending.pixeldq)
        own = sums_in(arrays)
        found = finished(arrays, own, pending) | rate_arrays(own, pending)
        return found | {"unusable": np.array(True)} if sums.saturated else found  # the other bands decide

    def _likely(self, block: Block, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        sci = block.arrays["sci"]
        reads = [np.asarray(state[f"reads.{k}"]) for k in range(sci.shape[1])] if "reads.0" in state else \
            read_pattern(sci.shape[1], int(state["nframes"]), int(state["groupgap"]), float(state["frame_time"]))  # fmt: skip
        dark = np.broadcast_to(np.asarray(_dark(block, state), dtype=np.float32), sci.shape[-2:])
        first, last = (int(value) for value in state["selected"])
        found = fit_likely(sci, block.arrays["groupdq"], block.arrays["pixeldq"], plane(state, "readnoise", block=block), plane(state, "gain", block=block),
                           np.ascontiguousarray(dark), reads, zeroframe=block.arrays.get("zeroframe"), selected=(first, last))  # fmt: skip
        arrays = packed(found, None)
        return arrays | rate_arrays(None, cube=arrays) if block.nints == int(state["nints"]) else arrays


def _pair(value: Any) -> tuple[int, int] | None:
    """First group in use and the end of those in use; None for a negative pair, which says that too few are left."""
    return (int(value[0]), int(value[1])) if int(value[0]) >= 0 else None


def rate_cube(ramp: Any) -> Any:
    """The model of count rates that a model of ramps becomes, of one integration of zeros."""
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import blank, copy_metadata
    from jwst_dask.data.ramps import zeros

    cube, shape = blank(datamodels.CubeModel), ramp.data.shape[-2:]
    copy_metadata(cube, ramp)
    for name in ("data", "err", "var_poisson", "var_rnoise"):
        cube.instance[name] = zeros(np.float32, 1, *shape)
    cube.instance["dq"] = zeros(np.uint32, 1, *shape)
    if ramp.instance.get("int_times") is not None:
        cube.instance["int_times"] = ramp.instance["int_times"]
    cube.meta.bunit_data = cube.meta.bunit_err = "DN/s"
    return cube


def _dark(block: Block, state: Mapping[str, Any]) -> np.ndarray | float:
    return band(np.asarray(state["dark"]), block) if "dark" in state else 0.0


def _nothing(sci: np.ndarray, pixeldq: np.ndarray) -> dict[str, np.ndarray]:
    """Planes of an exposure in which nothing can be fitted."""
    shape = (sci.shape[0], *sci.shape[2:])
    zeros = {name: np.zeros(shape, np.float32) for name in ("err", "var_poisson", "var_rnoise")}
    flags = np.broadcast_to(pixeldq | np.uint32(1), shape).copy()
    found = {"sci": np.full(shape, np.nan, np.float32), "dq": flags, **zeros}
    return {**found, **{RATE + name: array[0] for name, array in found.items()}, "unusable": np.array(True)}
