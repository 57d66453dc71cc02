"""pixel_replace: estimate the flux of missing pixels before spectra are extracted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import BlockStep, Skip, State, param

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

MODELS = ("SlitModel", "ImageModel", "CubeModel")
"""Classes of exposure with one 2-D spectrum per integration."""


@dataclass(frozen=True, kw_only=True)
class PixelReplaceStep(BlockStep):
    """Fill missing pixels from their surroundings (document "pixel replacement").

    Estimated pixels get FLUX_ESTIMATED instead of DO_NOT_USE, and errors and variances to match.
    """

    alias: ClassVar[str] = "pixel_replace"
    cal_step: ClassVar[str] = "pixel_replace"
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")

    algorithm: str = param("mingrad", "How to estimate", choices=("fit_profile", "mingrad", "trace_model"))
    n_adjacent_cols: int = param(3, "Columns on each side that make the spatial profile of fit_profile", unit="pixel")
    skip: bool = param(True, "Skip this step")
    output_use_model: bool = param(True, "Name the result after the input")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Note the dispersion axis, and the trace model if one is to be used.

        Raises
        ------
        InputError
            When `trace_model` is asked for and adaptive_trace_model has made none (the reference implementation then runs that step
            itself, which is not available here); when an algorithm needs the dispersion axis and the exposure does not say it.
        """
        kind = type(draft.model).__name__
        if kind not in MODELS:
            return Skip(f"there is no algorithm for a {kind}")
        algorithm, trace = self.algorithm, None
        if algorithm == "trace_model":
            trace = _trace_of(draft.model)
            if trace is None and kind == "CubeModel":  # for which there never is one
                algorithm = "mingrad"
            elif trace is None:
                raise InputError("algorithm trace_model needs the trace of adaptive_trace_model, which is not available in this version; "
                                 "use --steps.pixel_replace.algorithm=mingrad or fit_profile")  # fmt: skip
        axis = getattr(draft.model.meta.wcsinfo, "dispersion_direction", None)
        if axis not in (1, 2) and algorithm != "mingrad":
            raise InputError(f"algorithm {algorithm} needs the dispersion axis (DISPAXIS 1 or 2), which is {axis}")
        state: State = {"algorithm": algorithm, "axis": int(axis or 0)}
        if trace is not None:
            state["trace"] = trace
        return state

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Replace the missing pixels of a block, in place."""
        from jwst_dask.kernels.pixel_replace import fill_by_gradient

        arrays, algorithm = block.arrays, str(state["algorithm"])
        err = arrays["err"]
        cubes = [arrays["sci"], arrays["dq"], err, *(arrays.get(name, err) for name in ("var_poisson", "var_rnoise", "var_flat"))]
        filled = 0 if algorithm == "mingrad" else self._along_dispersion(cubes, state)
        if algorithm != "fit_profile":
            filled += fill_by_gradient(*cubes)
        log.debug("integrations %d-%d: %d pixels replaced", block.start + 1, block.start + block.nints, filled)
        return block

    def _along_dispersion(self, cubes: list[np.ndarray], state: Mapping[str, Any]) -> int:
        """Run the kernel of fit_profile or trace_model; vertical spectra are turned one integration at a time."""
        from jwst_dask.kernels.pixel_replace import fill_by_profile, fill_from_trace

        vertical = int(state["axis"]) == 2
        fill: Callable[..., int]
        last: Any
        if str(state["algorithm"]) == "fit_profile":
            fill, last = fill_by_profile, max(self.n_adjacent_cols, 0)
        else:
            trace = np.asarray(state["trace"], np.float32)
            fill, last = fill_from_trace, np.ascontiguousarray(trace.T if vertical else trace)
        if not vertical:
            return int(fill(*cubes, last))
        filled = 0
        for t in range(len(cubes[0])):
            turned = [np.ascontiguousarray(cube[t : t + 1].transpose(0, 2, 1)) for cube in cubes[:3]]
            turned += [turned[2] if cube is cubes[2] else np.ascontiguousarray(cube[t : t + 1].transpose(0, 2, 1)) for cube in cubes[3:]]
            filled += int(fill(*turned, last))
            for cube, plane in zip(cubes, turned):
                cube[t] = plane[0].T
        return filled


def _trace_of(model: Any) -> np.ndarray | None:
    """The trace model of an exposure whose adaptive_trace_model step is complete."""
    if getattr(model.meta.cal_step, "adaptive_trace_model", None) != "COMPLETE":
        return None
    trace = getattr(model, "trace_model", None)
    return None if trace is None else np.asarray(trace, np.float32)
