"""Regions of a ramp's frames that scene masks leave out: open slits, traces, what is not meant for science."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import Failed, Skip, State
from jwst_dask.data.dq import bits
from jwst_dask.steps.stage1.draft_rate import is_ramp, private, rate_draft, scoped
from jwst_dask.steps.stage2.clean_flicker_noise import scene

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft
    from jwst_dask.refs.crds import References

SLITS = ("NRS_MSASPEC", "NRS_FIXEDSLIT", "NRS_BRIGHTOBJ")
"""Exposure types whose slits are masked."""
UNUSED = int(bits("DO_NOT_USE+NON_SCIENCE"))


def no_regions() -> State:
    """State of a step that masks no regions."""
    return {"regions": False, "areas": np.zeros((0, 4), np.int64), "fixed_rows": False}


def regions(draft: Draft, refs: References, shutters: Container[str]) -> State | Failed:
    """State for `scene.plane_mask`.

    Parameters
    ----------
    draft : Draft
        Of a ramp, or of rates; not changed.
    refs : References
    shutters : container of str
        Exposure types for which pixels lit by failed-open shutters are looked for.

    Returns
    -------
    dict
        ``regions``, ``areas``, ``fixed_rows``, and where there are such: ``open``, ``traces``, ``unlit`` (flat indices of pixels),
        ``flags`` (pixels with these are left out).
    Failed
        When the slits of an MSA exposure, or the traces of SOSS, are not known.

    Raises
    ------
    InputError, NoDataOnDetectorError
        As assign_wcs; also for NRS_IFU, whose slices this version does not know.
    """
    model = draft.model
    exp_type = str(model.meta.exposure.type).upper()
    state: State = no_regions() | {"regions": True}
    if exp_type == "NRS_IFU":
        raise InputError(
            "mask_science_regions is not available for NRS_IFU in this version; set mask_science_regions=false, or give a mask of your own"
        )
    if exp_type in SLITS:
        try:
            mine = with_wcs(draft, refs)
        except InputError as error:
            if exp_type == "NRS_MSASPEC":
                return Failed(f"its slits are not known: {error}")
            raise
        state |= {"areas": scene.slit_areas(mine), "fixed_rows": scene.fixed_slits_idle(mine)}
        if exp_type in shutters and model.meta.cal_step.msa_flagging != "COMPLETE":
            state |= scene.open_shutters(mine, refs)
    elif exp_type == "MIR_IMAGE":
        state |= {"flags": UNUSED, "unlit": _unlit(draft, refs)}
    elif exp_type == "NIS_SOSS":
        from jwst_dask.steps.stage2.clean_flicker_noise.soss import lit_pixels

        path = refs("pastasoss")
        if path == "N/A":
            return Failed(
                "mask_science_regions needs the traces of SOSS, and there is no pastasoss reference; give one with override_pastasoss"
            )
        state["traces"] = lit_pixels(path, model.meta.instrument.pupil_position, str(model.meta.subarray.name).upper(), draft.shape)
    return state


def with_wcs(draft: Draft, refs: Any, cube: bool = False) -> Draft:
    """A draft of the exposure's rate that assign_wcs has seen (rates that it has seen already as they are).

    Raises
    ------
    InputError, NoDataOnDetectorError
        As assign_wcs.
    """
    from jwst_dask.steps import step_class

    if not is_ramp(draft) and (draft.slits is not None or getattr(draft.model.meta, "wcs", None) is not None):
        return draft
    mine = rate_draft(draft, cube) if is_ramp(draft) else private(draft)
    given = draft.steps.get("assign_wcs")
    step = step_class("assign_wcs")(overrides=given.overrides if given is not None else {})
    found = step.prepare(mine, scoped(refs, step))
    if isinstance(found, Skip):
        raise InputError(f"mask_science_regions needs a WCS: {found.reason}")
    return mine


def _unlit(draft: Draft, refs: Any) -> np.ndarray:
    """Pixels that the flat of an image says are not to be used (flat indices)."""
    from jwst_dask.steps import step_class
    from jwst_dask.steps.stage2.flat_field.image import image_flat

    given = draft.steps.get("flat_field")
    overrides = given.overrides if given is not None else {}
    path = scoped(refs, dataclasses.replace(step_class("flat_field")(), overrides=overrides))("flat")
    found = image_flat(draft, {"flat": path}, None)
    if isinstance(found, Skip) or found.flat.dq is None:
        return np.zeros(0, np.int64)
    return np.flatnonzero((found.flat.dq & np.uint32(UNUSED)) != 0)
