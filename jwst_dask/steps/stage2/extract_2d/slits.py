"""Cut-outs of the slits of an exposure with many: a draft of its own for each, and its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.data.exposure import Block, Draft

if TYPE_CHECKING:
    from jwst_dask.data.slits import SlitSpec
    from jwst_dask.steps.stage2.extract_2d.step import Extract2dStep
    from jwst_dask.wcs.nirspec.cutout import Cutout, Window
    from jwst_dask.wcs.nirspec.tracer import Optics

CUT = ("sci", "err", "dq", "var_poisson", "var_rnoise")
"""Arrays that are cut out; others of the exposure end here."""
_PLANES = {"data": "f4", "err": "f4", "dq": "u4", "var_poisson": "f4", "var_rnoise": "f4"}


def slit_draft(frame: Draft, spec: SlitSpec, step: Extract2dStep | None = None) -> tuple[Draft, Window]:
    """The draft of one slit's cut-out, and which pixels of the exposure it has.

    Parameters
    ----------
    frame : Draft
        The exposure as its frame steps left it; not changed.
    spec : SlitSpec
        One of `frame.slits`.
    step : Extract2dStep, optional
        For its parameters.

    Returns
    -------
    draft : Draft
        With a SlitModel: the exposure's metadata and the slit's attributes; ``wavelength`` (float32[y, x], microns, NaN outside
        the slit).
    window : ((x0, x1), (y0, y1))
        Ends excluded; may reach beyond the exposure.

    Raises
    ------
    InputError
        When assign_wcs has not been run, or nothing of the slit's spectrum is in the subarray.
    """
    from jwst_dask.wcs.nirspec.cutout import region_of, slit_cutout, source_offset

    optics, wanted = optics_of_frame(frame), spec
    if step is not None and step.edge_margin:
        wanted = _widened(optics, spec, step.edge_margin)
    made = slit_cutout(optics, wanted.slit, wanted.box, frame.shape, source_offset(frame.model, spec.slit))
    if wanted is not spec:
        made = replace(made, wcsinfo=region_of(optics.slit(spec.slit)))
    shared, members = dict(frame.shared), frame.members
    draft = Draft(_model(frame.model, made), frame.path, frame.nints, members=members, slit=wanted, wcs=made.wcs, shared=shared, steps=frame.steps)
    if not optics.setting.multi_object and spec.name == frame.model.meta.instrument.fixed_slit and source_offset(frame.model, spec.slit) is None:
        draft.log.append("extract_2d: XOFFSET and YOFFSET are not known; the source is taken to be in the centre of its slit")
    return draft, made.window


def cut(block: Block, window: Window) -> Block:
    """The pixels of a cut-out: arrays of its own."""
    (x0, x1), (y0, y1) = window
    arrays = {name: np.array(block.arrays[name][:, y0:y1, x0:x1], order="C") for name in CUT if name in block.arrays}
    return Block(arrays=arrays, start=block.start)


def optics_of_frame(frame: Draft) -> Optics:
    """NIRSpec's optics as assign_wcs used them for an exposure.

    Raises
    ------
    InputError
        When it has not been run.
    """
    from jwst_dask.wcs.nirspec.tracer import optics_of

    if "wcs_references" not in frame.shared:
        raise InputError(f"{frame.path} has no WCS of its slits; run assign_wcs before")
    return optics_of(frame.model, frame.shared["wcs_references"])


def _widened(optics: Optics, spec: SlitSpec, margin: float) -> SlitSpec:
    """A slit with its edges further out, by a number of its heights."""
    slit = spec.slit._replace(ymin=spec.slit.ymin - margin, ymax=spec.slit.ymax + margin)
    return replace(spec, slit=slit, box=optics.boxes([slit])[0] or spec.box)


def _model(exposure: Any, made: Cutout) -> Any:
    """The SlitModel of a cut-out."""
    from stdatamodels.jwst.datamodels import SlitModel

    from jwst_dask.data.models import filled

    shape = made.wavelength.shape
    planes = {name: np.zeros((1, 1), dtype).repeat(shape[0], 0).repeat(shape[1], 1) for name, dtype in _PLANES.items()}
    tree: dict[str, Any] = {"meta": _copied(_metadata(exposure)), **planes, "wavelength": made.wavelength, **made.attributes}
    tree["meta"]["wcsinfo"].update({name: list(v) if isinstance(v, tuple) else v for name, v in made.wcsinfo.items()})
    return filled(SlitModel, tree)


def _metadata(exposure: Any) -> dict[str, Any]:
    """Metadata of an exposure that a SlitModel has, made once for all its slits; not to be changed."""
    from jwst_dask.core.prepare import flat_meta

    return memo(("slit metadata", frozenset(flat_meta(exposure).items())), lambda: _slit_metadata(exposure))


def _slit_metadata(exposure: Any) -> dict[str, Any]:
    from stdatamodels.jwst.datamodels import SlitModel

    from jwst_dask.data.models import blank, copy_metadata

    model = blank(SlitModel)
    copy_metadata(model, exposure)
    meta = dict(model.instance["meta"])
    for name in ("bunit_data", "bunit_err"):
        if (value := getattr(exposure.meta, name)) is not None:
            meta[name] = value
    meta.setdefault("wcsinfo", {})
    if (axis := exposure.meta.wcsinfo.dispersion_direction) is not None:
        meta["wcsinfo"]["dispersion_direction"] = axis
    return meta


def _copied(node: Any) -> Any:
    """A copy of plain nested metadata."""
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    return [_copied(value) for value in node] if isinstance(node, list) else node
