"""One slit out of the WCS of all slits of a NIRSpec exposure."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from jwst_dask.core.errors import InputError
from jwst_dask.wcs.nirspec.frames import ORDER, frame
from jwst_dask.wcs.nirspec.slits import from_gwa, through_grating, to_plane

if TYPE_CHECKING:
    from jwst_dask.wcs.grid import Box
    from jwst_dask.wcs.nirspec.program import Table
    from jwst_dask.wcs.nirspec.tracer import Optics, OpticsSlit


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


def assembled(view: OpticsSlit) -> Any:
    """The gwcs object of a slit's cut-out, with its bounding box, as `slit_wcs` gives it from the WCS of all slits."""
    return from_numbers(view.optics, view.slit.quadrant, view.numbers(), view.edge_table(), view.zero_point, view.box)


def from_numbers(o: Optics, quadrant: int, numbers: dict[str, float], edge: Table, zero_point: Table | None, box: Box) -> Any:
    """`assembled` from all that differs between slits of an exposure (see `OpticsSlit` for what they are)."""
    import gwcs
    from astropy.modeling.models import Identity, Shift, Tabular1D

    to_msa = to_plane(o.msa[int(quadrant)][0], *(numbers[name] for name in ("x", "y", "width", "height")))
    before, carry = through_grating(to_msa, o.to_grating)
    back = from_gwa(numbers["ymin"], numbers["ymax"], edge, before, o.wavelength)
    back.inverse = carry | o.angles
    to_sca = Shift(numbers["x0"]) & Shift(numbers["y0"]) | o.to_sca
    steps = [(to_sca, "dms2sca", "x y", "x y"), (copy.copy(o.to_gwa), "det2gwa", "x y", "angle1 angle2 angle3")]
    steps.append((back, "gwa2slit", "angle1 angle2 angle3", "x_slit y_slit lam"))
    steps.append((to_msa & Identity(1), "slit2msa", "x_slit y_slit lam", "x_msa y_msa lam"))
    if o.on_sky:
        to_ote, to_v23, aberration, to_sky = o.to_telescope
        steps += [
            (copy.copy(to_ote), "msa2oteip", "x_msa y_msa lam", "x_ote y_ote lam"),
            (copy.copy(to_v23), "oteip2v23", "x_ote y_ote lam", "v2 v3 lam"),
            (aberration & Identity(1), "va_corr", "v2 v3 lam", "v2 v3 lam"),
            (to_sky & Identity(1), "v2v3_to_sky", "v2 v3 lam", "ra dec lam"),
        ]
    pipeline: list[tuple[Any, Any]] = []
    for name, (model, label, inputs, outputs) in zip(ORDER, steps):
        model.name, model.inputs, model.outputs = label, tuple(inputs.split()), tuple(outputs.split())
        pipeline.append((frame(name), model))
    if zero_point is not None:
        table = Tabular1D(points=zero_point[0], lookup_table=zero_point[1], bounds_error=False, fill_value=None, name="wave2wavecorr")
        place = ORDER.index("slit_frame")
        pipeline[place : place + 1] = [(frame("slit_frame"), Identity(2) & table), (frame("wavecorr_frame"), pipeline[place][1])]
    wcs = gwcs.WCS([*pipeline, (frame("world" if o.on_sky else "msa_frame"), None)])
    wcs.bounding_box = box
    return wcs
