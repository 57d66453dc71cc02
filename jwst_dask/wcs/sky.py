"""From telescope coordinates (V2, V3) to the sky, footprints, velocities, and axes of dispersion."""

from __future__ import annotations

from typing import Any

import numpy as np

SPEED_OF_LIGHT = 299792458.0
"""Metres per second."""

_ROW, _COLUMN = 1, 2
DISPERSION_AXIS: dict[str, int | dict[str, int]] = {
    "MIR_FLATMRS": _COLUMN,
    "MIR_FLATMRS-EXT": _COLUMN,
    "MIR_LRS-FIXEDSLIT": _COLUMN,
    "MIR_LRS-SLITLESS": _COLUMN,
    "MIR_MRS": _COLUMN,
    "MIR_WFSS": _COLUMN,
    "NIS_SOSS": _ROW,
    "NIS_WFSS": {"GR150R": _COLUMN, "GR150C": _ROW},
    "NRC_GRISM": {"GRISMR": _ROW, "GRISMC": _COLUMN},
    "NRC_TSGRISM": {"GRISMR": _ROW, "GDHS0": _ROW},
    "NRC_WFSS": {"GRISMR": _ROW, "GRISMC": _COLUMN},
    "NRS_AUTOFLAT": _ROW,
    "NRS_AUTOWAVE": _ROW,
    "NRS_BRIGHTOBJ": _ROW,
    "NRS_FIXEDSLIT": _ROW,
    "NRS_IFU": _ROW,
    "NRS_LAMP": _ROW,
    "NRS_MSASPEC": _ROW,
}
"""DISPAXIS by EXP_TYPE: 1 along rows, 2 along columns; by FILTER (NIRISS) or PUPIL (NIRCam) where grisms differ."""


def dispersion_axis(exp_type: str, filter_wheel: str | None, pupil: str | None) -> int | None:
    """DISPAXIS of an exposure, or None where it has no meaning."""
    axis = DISPERSION_AXIS.get(exp_type.upper())
    if isinstance(axis, dict):
        element = filter_wheel if exp_type.upper().startswith("NIS") else pupil
        return axis.get((element or "").upper())
    return axis


def v23_to_sky(v2_ref: float, v3_ref: float, roll_ref: float, ra_ref: float, dec_ref: float) -> Any:
    """Rotation of (V2, V3) in arcsec to (RA, Dec) in degrees, for a reference point in arcsec and angles in degrees."""
    from astropy.modeling.models import RotationSequence3D, Scale
    from gwcs.geometry import CartesianToSpherical, SphericalToCartesian

    angles = np.array([v2_ref / 3600, -(v3_ref / 3600), roll_ref, dec_ref, -ra_ref])
    to_degrees = Scale(1 / 3600) & Scale(1 / 3600)
    model = (
        to_degrees
        | SphericalToCartesian(wrap_lon_at=180)
        | RotationSequence3D(angles, axes_order="zyxyz")
        | CartesianToSpherical(wrap_lon_at=360)
    )
    model.name = "v23tosky"
    return model


def aberration_correction(scale: float | None, v2_ref: float | None, v3_ref: float | None) -> Any:
    """Change of plate scale by differential velocity aberration about the reference point (arcsec to arcsec).

    Raises
    ------
    InputError
        For a scale that is not positive.
    """
    from astropy.modeling.models import Identity, Scale, Shift

    from jwst_dask.core.errors import InputError

    if scale is None or scale == 1:
        return Identity(2)
    if scale <= 0:
        raise InputError(f"VA_SCALE is {scale}; the scale of the velocity aberration must be positive")
    model = Scale(scale, name="dva_scale_v2") & Scale(scale, name="dva_scale_v3")
    v2, v3 = v2_ref or 0, v3_ref or 0
    if v2 == 0 and v3 == 0:
        return model
    model = model | (Shift((1 - scale) * v2, name="dva_v2_shift") & Shift((1 - scale) * v3, name="dva_v3_shift"))
    model.name = "DVA_Correction"
    return model


def barycentric_correction(velosys: float) -> Any:
    """Wavelengths of the observatory to those of the barycentre, for a radial velocity in m/s; invertible."""
    from astropy.modeling.models import Const1D, Identity

    factor = 1 / (1 + velosys / SPEED_OF_LIGHT)
    model = Identity(1) * Const1D(factor, name="velocity_correction")
    model.inverse = Identity(1) / Const1D(factor, name="inv_vel_correction")
    return model


def s_region(corners: np.ndarray) -> str | None:
    """S_REGION of four (RA, Dec) corners (float64[4, 2], degrees), or None when one is not finite."""
    if not np.isfinite(corners).all():
        return None
    return "POLYGON ICRS  " + " ".join(f"{value:.9f}" for value in np.ravel(corners))


def imaging_footprint(wcs: Any) -> np.ndarray:
    """(RA, Dec) of the corners of the bounding box (float64[4, 2], degrees), clockwise from the lower left."""
    corners = np.array(wcs.footprint(wcs.bounding_box, center=False, axis_type="spatial"))[:, :2]
    corners[:, 0] = np.mod(corners[:, 0], 360)
    return corners


def is_celestial(frame: Any) -> bool:
    """Whether a frame has angles on the sky among its axes (lamp exposures end in the MSA plane)."""
    from astropy import units as u
    from gwcs.coordinate_frames import CoordinateFrame

    return isinstance(frame, CoordinateFrame) and bool({u.deg, u.arcsec} & set(frame.unit))
