"""Coordinate frames of NIRSpec spectroscopy, from the detector to the sky."""

from __future__ import annotations

from typing import Any

ORDER = ("detector", "sca", "gwa", "slit_frame", "msa_frame", "oteip", "v2v3", "v2v3vacorr", "world")
"""Frames of slit spectroscopy; lamp exposures end at ``msa_frame``."""

_SPATIAL = {
    "slit_frame": ("slit_spatial", "", ("x_slit", "y_slit")),
    "wavecorr_frame": ("slit_spatial", "", ("x_slit", "y_slit")),
    "msa_frame": ("msa_spatial", "m", ("x_msa", "y_msa")),
    "oteip": ("oteip", "deg", ("X_OTEIP", "Y_OTEIP")),
    "v2v3": ("v2v3_spatial", "arcsec", ("v2", "v3")),
    "v2v3vacorr": ("v2v3vacorr_spatial", "arcsec", ("v2", "v3")),
}


def frame(name: str) -> Any:
    """The gwcs frame of this name: a plane before the grating wheel, a plane and the wavelength after it.

    Positions in ``slit_frame`` are relative to the open area of the slit: (0, 0) its centre, 0.5 its edges.
    """
    from astropy import units as u
    from astropy.coordinates import ICRS
    from gwcs import coordinate_frames as cf

    if name in ("detector", "sca"):
        return cf.Frame2D(name=name, axes_order=(0, 1))
    if name == "gwa":
        return cf.Frame2D(name=name, axes_order=(0, 1), unit=(u.rad, u.rad), axes_names=("alpha_in", "beta_in"))
    if name == "world":
        plane = cf.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=ICRS())
    else:
        label, unit, axes = _SPATIAL[name]
        plane = cf.Frame2D(name=label, axes_order=(0, 1), unit=(u.Unit(unit), u.Unit(unit)), axes_names=axes)
    spectral = cf.SpectralFrame(name="spectral", axes_order=(2,), unit=(u.micron,), axes_names=("wavelength",))
    return cf.CompositeFrame([plane, spectral], name=name)
