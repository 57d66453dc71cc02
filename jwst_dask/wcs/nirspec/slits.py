"""WCS of NIRSpec slit spectroscopy: every open slit in one pipeline that carries the slit's number along.

The number enters and leaves each transform (as input and output ``name``), so that one WCS serves all slits of an
exposure. `jwst_dask.wcs.nirspec.single` takes one slit out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import NoDataOnDetectorError
from jwst_dask.wcs.nirspec import box, optics
from jwst_dask.wcs.nirspec.frames import ORDER, frame
from jwst_dask.wcs.nirspec.optics import Setting
from jwst_dask.wcs.references import WcsReferences
from jwst_dask.wcs.sky import aberration_correction, v23_to_sky

FIXED_SLITS = ("NONE", "S200A1", "S200A2", "S400A1", "S1600A1", "S200B1")
"""Fixed slits in the order of their numbers."""
FIXED_QUADRANT = 5
"""Fixed slits count as the MSA's fifth quadrant."""
EDGE_SAMPLES = 1000
"""Points along a slit at which its height is tabulated against the angle at the grating."""


def slit_number(name: str) -> int:
    """Number by which a fixed slit is known in the WCS (-100 for a name that is none)."""
    name = name.upper()
    return -100 - (FIXED_SLITS.index(name) if name in FIXED_SLITS else 0)


def bright_object_slit(y_low: float, y_high: float) -> Any:
    """The one slit of bright-object time series, between two heights (relative to the slit, edges at -0.5 and 0.5)."""
    from stdatamodels.jwst.transforms.models import Slit

    return Slit("S1600A1", 3, 0, 0, 0, y_low, y_high, FIXED_QUADRANT, 1, slit_id=slit_number("S1600A1"))


@dataclass(frozen=True)
class Pointing:
    """Where the telescope points (keywords of the same names)."""

    v2_ref: float
    v3_ref: float
    roll_ref: float
    ra_ref: float
    dec_ref: float
    va_scale: float | None


@dataclass(frozen=True)
class SlitOptics:
    """Transforms of one slit: relative position to MSA and grating, and from the grating back with a wavelength."""

    slit: Any
    to_msa: Any
    to_gwa: Any
    to_gwa_uncorrected: Any
    from_gwa: Any


def assemble(setting: Setting, pointing: Pointing, slits: list[Any], refs: WcsReferences) -> tuple[Any, dict[str, Any]]:
    """The WCS of the slits that fall on the detector, with their bounding boxes, and what it says for the header.

    Raises
    ------
    NoDataOnDetectorError
        When no slit does.
    """
    import gwcs

    grating = optics.disperser(setting, refs)
    order, waves = optics.order_and_range(setting, refs)
    to_sca = optics.detector_to_sca(setting)
    to_gwa = optics.sca_to_gwa(setting, refs, grating)
    to_detector = to_gwa.inverse | to_sca.inverse
    views = [v for v in slit_optics(setting, slits, refs, grating, order) if box.on_detector(v, to_detector, waves)]
    if not views:
        raise NoDataOnDetectorError(f"No open slit falls on detector {setting.detector}")
    transforms = _with_names(to_sca, to_gwa, views)
    if not setting.internal:
        transforms += _to_sky(pointing, refs)
    names = (*ORDER[: len(transforms)], "msa_frame" if setting.internal else "world")
    wcs = gwcs.WCS(list(zip(map(frame, names), (*transforms, None))))
    boxes = {v.slit.slit_id: box.bounding_box(v, to_detector, to_sca | to_gwa, waves) for v in views}
    box.attach(wcs, boxes)
    return wcs, {"waverange_start": waves[0], "waverange_end": waves[1], "spectral_order": order}


def slit_optics(setting: Setting, slits: list[Any], refs: WcsReferences, grating: optics.Disperser, order: int) -> list[SlitOptics]:
    """Transforms of each slit, in the order of the MSA's quadrants."""
    plain, angles, wavelength = dispersion(setting, grating, order)
    to_grating = optics.msa_to_gwa(refs, grating)
    msa, views = quadrants(refs), []
    for slit in sorted(slits, key=lambda s: s.quadrant):
        to_msa = to_plane(msa[slit.quadrant][0], *place(msa, slit))
        before, carry = through_grating(to_msa, to_grating)
        height = np.linspace(slit.ymin, slit.ymax, EDGE_SAMPLES)
        cosine = before(np.zeros_like(height), height)[1]
        back = from_gwa(slit.ymin, slit.ymax, (cosine, height), before, wavelength)
        back.inverse = carry | angles
        views.append(SlitOptics(slit, to_msa, back.inverse, carry | plain, back))
    return views


def through_grating(to_msa: Any, to_grating: Any) -> tuple[Any, Any]:
    """Relative position to direction cosines before the grating, alone and with a wavelength that is carried to the front."""
    from astropy.modeling.models import Identity, Mapping

    before = to_msa | to_grating
    return before, before & Identity(1) | Mapping((3, 0, 1, 2))


def dispersion(setting: Setting, grating: optics.Disperser, order: int) -> tuple[Any, Any, Any]:
    """The grating relations: angles as the observatory has them, angles and wavelengths (lamps: microns) as seen from the barycentre."""
    from astropy.modeling.models import Scale

    plain = optics.dispersed_angles(setting, grating, order)
    angles, wavelength = optics.with_velocity(setting, plain, optics.dispersed_wavelength(setting, grating, order))
    return plain, angles, wavelength | Scale(1e6) if setting.internal else wavelength


Quadrants = Mapping[int, tuple[Any, np.ndarray]]
"""Transform to the MSA plane (metres) and table of slits of each quadrant, by its number."""


def quadrants(refs: WcsReferences) -> Quadrants:
    """The MSA as its reference has it."""
    return refs.read("msa", _quadrants)  # type: ignore[no-any-return]


def place(msa: Quadrants, slit: Any) -> tuple[float, float, float, float]:
    """Centre (x, y), width and height of a slit (metres) in its quadrant."""
    # Shutters are counted from 1, fixed slits from 0.
    _, x, y, width, height = msa[int(slit.quadrant)][1][slit.shutter_id - (slit.quadrant != FIXED_QUADRANT)]
    return float(x), float(y), float(width), float(height)


def to_plane(model: Any, x: float, y: float, width: float, height: float) -> Any:
    """Relative position in a slit to the MSA plane (metres), from the transform of its quadrant and its place there."""
    from astropy.modeling.models import Scale, Shift

    return Scale(width) & Scale(height) | Shift(x) & Shift(y) | model


def _quadrants(tree: Mapping[str, Any]) -> dict[int, tuple[Any, np.ndarray]]:
    parts = {number: tree[f"Q{number}"] for number in range(1, FIXED_QUADRANT + 1)}
    return {number: (part["model"], np.array(part["data"])) for number, part in parts.items()}


def from_gwa(low: float, high: float, edge: tuple[np.ndarray, np.ndarray], to_gwa: Any, wavelength: Any) -> Any:
    """Direction cosines after the grating to position in the slit and wavelength (NaN above and below the slit).

    Parameters
    ----------
    low, high : float
        Edges of the slit.
    edge : (float64[sample], float64[sample])
        Second direction cosine before the grating along the slit, and height there.
    to_gwa : Model
        Position in the slit to direction cosines before the grating.
    wavelength : Model
        First two of these and the first one after the grating to wavelength.
    """
    from astropy.modeling.models import Const1D, Identity, Mapping, Tabular1D

    to_height = Tabular1D(points=(edge[0],), lookup_table=edge[1], bounds_error=False, name="tabular")
    # alpha, beta after -> x = 0 and height in the slit -> cosines before -> wavelength from alpha before, beta before, alpha after
    start = Mapping((0, 1, 0, 1), n_inputs=3) | Const1D(0) * Identity(1) & Const1D(-1) * Identity(1) & Identity(2)
    position = start | Identity(1) & to_height & Identity(2) | Mapping((0, 1, 0, 1, 2, 3))
    dispersed = position | Identity(2) & to_gwa & Identity(2) | Mapping((0, 1, 2, 3, 5), n_inputs=7) | Identity(2) & wavelength
    return dispersed | _blank_outside(low, high)


def _blank_outside(low: float, high: float) -> Any:
    """(x, y, wavelength) with y and wavelength NaN where y is outside a range."""
    from astropy.modeling.models import Identity, Mapping, Scale
    from stdatamodels.jwst.transforms.models import Logical

    blank = Logical(condition="GT", compareto=high, value=np.nan) | Logical(condition="LT", compareto=low, value=np.nan) | Scale(0)
    add = Mapping((0,), n_inputs=2) + Mapping((1,))
    model = Mapping((0, 1, 2, 1)) | Identity(3) & blank | Mapping((0, 1, 3, 2, 3)) | Identity(1) & add & add
    model.inverse = Identity(3)
    return model


def _with_names(to_sca: Any, to_gwa: Any, views: list[SlitOptics]) -> list[Any]:
    """Transforms from the detector to the MSA plane, with the slit's number as an additional input and output."""
    from astropy.modeling.models import Identity, Mapping
    from stdatamodels.jwst.transforms.models import Gwa2Slit, Slit2Msa

    first = _named(to_sca & Identity(1), "dms2sca", ("x", "y", "name"), ("x", "y", "name"))
    to_front = Mapping((3, 0, 1, 2))
    to_front.inverse = Mapping((1, 2, 3, 0))
    second = _named(to_gwa & Identity(1) | to_front, "det2gwa", ("x", "y", "name"), ("name", "angle1", "angle2", "angle3"))
    slits = [view.slit for view in views]
    third = Gwa2Slit(slits, [view.from_gwa for view in views])
    third.name = "gwa2slit"
    to_back = Mapping((0, 1, 3, 2))
    to_back.inverse = Mapping((0, 1, 3, 2))
    fourth = Slit2Msa(slits, [view.to_msa for view in views]) & Identity(1) | to_back
    return [first, second, third, _named(fourth, "slit2msa", ("name", "x_slit", "y_slit", "lam"), ("x_msa", "y_msa", "lam", "name"))]


def _to_sky(pointing: Pointing, refs: WcsReferences) -> list[Any]:
    """Transforms from the MSA plane to the sky, passing the slit's number through."""
    from astropy.modeling.models import Identity

    where = (pointing.v2_ref, pointing.v3_ref)
    msa, ote, v23, sky = (("x_msa", "y_msa"), ("x_ote", "y_ote"), ("v2", "v3"), ("ra", "dec"))
    steps = [
        (optics.msa_to_oteip(refs) & Identity(1), "msa2oteip", msa, ote),
        (optics.oteip_to_v23(refs) & Identity(1), "oteip2v23", ote, v23),
        (aberration_correction(pointing.va_scale, *where) & Identity(2), "va_corr", v23, v23),
        (v23_to_sky(*where, pointing.roll_ref, pointing.ra_ref, pointing.dec_ref) & Identity(2), "v2v3_to_sky", v23, sky),
    ]
    return [_named(model, name, (*inputs, "lam", "name"), (*outputs, "lam", "name")) for model, name, inputs, outputs in steps]


def _named(model: Any, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
    model.name, model.inputs, model.outputs = name, inputs, outputs
    return model
