"""One slit out of the WCS of all slits of a NIRSpec exposure."""

from __future__ import annotations

import copy
from typing import Any

from jwst_dask.core.errors import InputError


def slits_of(wcs: Any) -> list[Any]:
    """The open slits of a WCS that assign_wcs made."""
    return list(wcs.get_transform("gwa", "slit_frame").slits)


def slit_wcs(wcs: Any, slit_id: int) -> Any:
    """The WCS of one slit, whose transforms neither take nor give the slit's number, with its bounding box.

    Raises
    ------
    InputError
        When the WCS has no such slit.
    """
    import gwcs

    known = wcs.get_transform("gwa", "slit_frame").slit_ids
    if slit_id not in known:
        raise InputError(f"the exposure has no open slit {slit_id}; it has {', '.join(map(str, known))}")
    single = gwcs.WCS([(step.frame, _without_name(step.transform, slit_id)) for step in wcs.pipeline])
    if wcs.bounding_box is not None:
        single.bounding_box = wcs.bounding_box[slit_id]
    return single


def _without_name(transform: Any, slit_id: int) -> Any:
    """`transform` for one slit."""
    from astropy.modeling.models import Identity

    if transform is None:
        return None
    name, inputs, outputs = transform.name, list(transform.inputs), list(transform.outputs)
    if name == "gwa2slit":
        model = transform.get_model(slit_id)
    elif name == "slit2msa":
        model = transform[0].get_model(slit_id) & Identity(1)
    elif "name" in inputs:
        model = _unwrapped(transform)
    else:
        return transform
    if "name" in inputs:
        inputs.remove("name")
        outputs.remove("name")
    model = copy.copy(model)  # the names below are this WCS's, the parameters are shared
    model.name, model.inputs, model.outputs = name, tuple(inputs), tuple(outputs)
    return model


def _unwrapped(transform: Any) -> Any:
    """The part of a transform that does not just pass the slit's number on, which is its last input."""
    from astropy.modeling.core import CompoundModel
    from astropy.modeling.models import Identity, Mapping

    model = transform
    if isinstance(model, CompoundModel) and model.op == "|" and isinstance(model.right, Mapping):
        model = model.left  # a permutation that brings the number to the front
    if isinstance(model, CompoundModel) and model.op == "&" and isinstance(model.right, Identity):
        passed = model.right.n_inputs
        return model.left if passed == 1 else model.left & Identity(passed - 1)
    raise InputError(f"the WCS transform {transform.name!r} has a form that is not known; run assign_wcs again")
