"""Wavelengths of the pixels of a draft."""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError


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
