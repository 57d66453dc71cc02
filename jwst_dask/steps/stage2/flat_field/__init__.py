"""flat_field: division by the response of the instrument, pixel by pixel."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.data.ramps import GUIDE
from jwst_dask.kernels.scale import divide_by_flat, multiply_by_flat
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.flat_field.image import image_flat
from jwst_dask.steps.stage2.flat_field.nirspec import bright_object, finite
from jwst_dask.steps.stage2.flat_field.result import Result
from jwst_dask.steps.stage2.flat_field.slits import slit_flat

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

__all__ = ["FlatFieldStep"]

MODES: dict[str, Callable[[Any, Mapping[str, str], str | None], Result | Skip]] = {
    "NRS_BRIGHTOBJ": bright_object,
    "MIR_LRS-SLITLESS": image_flat,
    **dict.fromkeys(GUIDE, image_flat),
}
"""How the flat of an EXP_TYPE is made, where it is one for the exposure."""
BY_SLIT = ("NRS_MSASPEC", "NRS_FIXEDSLIT", "NRS_LAMP", "NRS_AUTOWAVE")
"""Exposure types with a flat for each slit."""

NIRSPEC_SPECTRA = {"NRS_BRIGHTOBJ", "NRS_FIXEDSLIT", "NRS_IFU", "NRS_MSASPEC", "NRS_LAMP", "NRS_AUTOWAVE"}
NIRSPEC_IMAGES = {"NRS_CONFIRM", "NRS_FOCUS", "NRS_IMAGE", "NRS_MIMF", "NRS_MSATA", "NRS_TACONFIRM", "NRS_TACQ", "NRS_TASLIT", "NRS_WATA"}
CUT_OUT = {"NRS_BRIGHTOBJ", "NRS_FIXEDSLIT", "NRS_LAMP", "NRS_MSASPEC", "NRS_AUTOWAVE", "NRS_AUTOFLAT"}
"""Exposure types whose flat is made for spectra that extract_2d has cut out."""

_ARRAYS = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")


@dataclass(frozen=True, kw_only=True)
class FlatFieldStep(BlockStep):
    """Divide by the flat field, propagate its error into VAR_FLAT and ERR, and flag pixels without a flat.

    References: FLAT for images; FFLAT, SFLAT and DFLAT for NIRSpec spectra.
    """

    alias: ClassVar[str] = "flat_field"
    cal_step: ClassVar[str] = "flat_field"
    references: ClassVar[tuple[str, ...]] = ("flat", "fflat", "sflat", "dflat")
    reads: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise")
    writes: ClassVar[tuple[str, ...]] = _ARRAYS

    save_interpolated_flat: bool = param(False, "Save the flat as it is applied (suffix interpolatedflat)")
    user_supplied_flat: str | None = param(None, "Use this flat, made before, instead of reference files", kind="str")
    inverse: bool = param(False, "Multiply by the flat: undo an earlier correction")
    absent_uncertainty: str = param("nan", "What a flat whose error is not known (NaN, infinite) does: nan, propagate it as the "
                                    "reference implementation does; zero, leave its error out, so that ERR stays usable",
                                    choices=("nan", "zero"))  # fmt: skip

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """As in the pipeline: NIRSpec exposures without spectra or images, and cut-outs of other modes, have no flat."""
        if (off := super().applies(meta)) is not None:
            return off
        exp_type = str(meta.get("exposure.type") or "").upper()
        if str(meta.get("instrument.name") or "").upper() == "NIRSPEC" and exp_type not in NIRSPEC_SPECTRA | NIRSPEC_IMAGES:
            return Skip(f"no flat field for EXP_TYPE {exp_type}")
        if meta.get("cal_step.extract_2d") == "COMPLETE" and exp_type not in CUT_OUT:
            return Skip(f"EXP_TYPE {exp_type} must be flat-fielded before extract_2d")
        return None

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Make the flat of the exposure.

        Returns
        -------
        dict
            `flat`, `flat_err`: float32[y, x]; `flat_dq`: uint32[y, x]; `squares_first`: bool.

        Raises
        ------
        InputError
            For an exposure type that is not covered, or an exposure without variances or DQ.
        ReferenceError_, ParameterError
            When a reference, or the user's flat, is unusable.
        """
        exp_type = str(draft.model.meta.exposure.type or "").upper()
        if exp_type not in MODES and exp_type not in BY_SLIT:
            raise InputError(f"flat_field does not cover EXP_TYPE {exp_type} yet; it covers {', '.join((*MODES, *BY_SLIT))}")
        user = self.user_supplied_flat
        slit = exp_type in BY_SLIT
        if slit and draft.wcs is None:
            raise InputError(f"EXP_TYPE {exp_type} needs the slits that extract_2d cuts out")
        if exp_type not in GUIDE:
            self._check(draft, slit)
        elif draft.model.data.ndim != 3:
            raise InputError(f"flat_field needs count rates of {exp_type}, which guider_cds makes; it was skipped, for want of a gain or readnoise "
                             "reference perhaps: give them with override_gain and override_readnoise")  # fmt: skip
        paths = {} if user else {reftype: refs(reftype) for reftype in self.references}
        made = slit_flat(draft, paths, user, self.absent_uncertainty) if slit else MODES[exp_type](draft, paths, user)
        if isinstance(made, Skip):
            return made
        flat = made.flat
        if self.absent_uncertainty == "zero":
            flat = flat._replace(err=finite(flat.err))
        if self.save_interpolated_flat:
            draft.extras["interpolatedflat"] = made.product()
        if user:
            draft.model.meta.ref_file.flat.name = _filename(user) if slit else made.product().meta.filename
        if not slit and exp_type not in GUIDE:
            draft.model.var_flat = np.zeros_like(draft.model.data)
        return {"flat": flat.data, "flat_err": flat.err, "flat_dq": flat.dq, "squares_first": made.squares_first}

    def _check(self, draft: Draft, slit: bool) -> None:
        needed = ("dq", "var_poisson", "var_rnoise")
        arrays = draft.first().arrays if slit and draft.first is not None else None
        absent = [name for name in needed if (getattr(draft.model, name, None) if arrays is None else arrays.get(name)) is None]
        if absent:
            raise InputError(f"flat_field needs {', '.join(absent).upper()}, which the exposure lacks")

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Divide the block by the flat, in place."""
        arrays = block.arrays
        if arrays["dq"].ndim == 2:
            self._guide(arrays, state)
            return block
        for name in ("err", "var_flat"):
            if name not in arrays:
                arrays[name] = np.empty_like(arrays["sci"])
        cubes = {name: arrays[name] for name in _ARRAYS}
        if self.inverse:
            multiply_by_flat(**cubes, flat=state["flat"], flat_dq=state["flat_dq"])
        else:
            squares_first = bool(state["squares_first"])
            divide_by_flat(**cubes, flat=state["flat"], flat_err=state["flat_err"], flat_dq=state["flat_dq"], squares_first=squares_first)
        return block


    def _guide(self, arrays: dict[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Guider images have no variances, and one plane of flags."""
        flat, sci, err = np.asarray(state["flat"]), arrays["sci"], arrays["err"]
        if self.inverse:
            sci *= flat
            bad = np.isnan(sci) | np.isnan(err)
        else:
            sci /= flat
            variance = sci**2 / (flat * flat) * np.asarray(state["flat_err"]) ** 2
            err[...] = np.sqrt(err**2 + variance)
            bad = np.isnan(sci) | np.isnan(err) | np.isnan(variance)
        sci[bad], err[bad] = np.nan, np.nan
        arrays["dq"] |= np.asarray(state["flat_dq"])


def _filename(path: str) -> str:
    """Name of a file as it says itself (FILENAME)."""
    return memo(("filename", token(path)), lambda: _read_filename(path))


def _read_filename(path: str) -> str:
    from astropy.io import fits

    try:
        return str(fits.getheader(path).get("FILENAME") or os.path.basename(path))
    except OSError:
        return os.path.basename(path)
