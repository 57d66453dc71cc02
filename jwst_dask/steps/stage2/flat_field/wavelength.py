"""Wavelengths of the pixels of a draft."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft


def pixel_wavelengths(model: Any) -> np.ndarray:
    """The wavelength plane of a model, or what its WCS says where the plane is absent or zero everywhere.

    Returns
    -------
    float32[y, x] or float64[y, x]
        Micron; NaN where there is none. A copy.

    Raises
    ------
    InputError
        When the model has neither.
    """
    plane = getattr(model, "wavelength", None)
    if plane is not None and np.size(plane):
        unknown = np.isnan(plane)
        if unknown.all() or not np.all(unknown | (plane == 0)):
            return np.array(plane)
    wcs = getattr(model.meta, "wcs", None)
    if wcs is None:
        raise InputError("the exposure has no wavelengths: neither a WAVELENGTH plane nor a WCS; run assign_wcs first")
    y, x = np.indices(model.data.shape[-2:], dtype=np.float64)
    return np.array(wcs(x, y)[2], dtype=np.float64)


def slit_wavelengths(draft: Draft, corrected: bool | None = None) -> np.ndarray:
    """Wavelengths of the pixels of a slit's cut-out.

    Parameters
    ----------
    draft : Draft
        With `draft.wcs`.
    corrected : bool, optional
        False: those of light that fills the slit, also where wavecorr has replaced them by those of its point source.

    Returns
    -------
    float32[y, x] or float64[y, x]
        Micron; NaN where there is none. A copy.

    Raises
    ------
    InputError
        When there is neither a wavelength plane nor a WCS.
    """
    plane = draft.model.instance.get("wavelength")
    uncorrected = corrected is False and draft.wcs is not None and draft.wcs.corrected
    if plane is not None and np.size(plane) and not uncorrected:
        plane = np.asarray(plane)
        if not np.all(np.isnan(plane) | (plane == 0)) or np.isnan(plane).all():
            return np.array(plane, dtype=plane.dtype.newbyteorder("="), order="C")
    if draft.wcs is None:
        raise InputError("the slit has no wavelengths: neither a WAVELENGTH plane nor a WCS; run assign_wcs and extract_2d first")
    y, x = np.indices(draft.shape, dtype=np.float64)
    return np.array(draft.wcs.to_slit(x, y, corrected=not uncorrected)[2], dtype=np.float64)
