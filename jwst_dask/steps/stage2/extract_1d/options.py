"""Apertures beyond those of an EXTRACT1D reference: where the user wants them, and as high as a function of wavelength."""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.core.errors import ParameterError
from jwst_dask.core.memo import memo
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.extract_1d import location, profile, psf
from jwst_dask.steps.stage2.extract_1d.reference import Aperture
from jwst_dask.steps.stage2.extract_1d.view import View


def place(model: Any, view: View, aperture: Aperture, wavelengths: np.ndarray) -> None:
    """Move the aperture to where the user wants it: to a row (``centre``), along the slit's curvature."""
    if aperture.centre is None:
        return
    shape, horizontal = (int(wavelengths.shape[0]), int(wavelengths.shape[1])), aperture.horizontal
    box = view.box(shape)
    low, high = box[1] if horizontal else box[0]
    if not low <= aperture.centre <= high:
        raise ParameterError(f"extract_1d.extract_center: {aperture.centre} is not on the spectral image ({low} to {high})")
    along = location.middle(view, box, horizontal)[0]
    nominal = (aperture.ystart + aperture.ystop) / 2.0 if horizontal else (aperture.xstart + aperture.xstop) / 2.0
    aperture.shift(aperture.centre - nominal, trace=False)
    aperture.trace = location.middle_trace(model, view, shape, box, along, aperture.centre, aperture.dispaxis)


def set_height(model: Any, aperture: Aperture, wavelengths: np.ndarray) -> None:
    """Let the height follow wavelength (``width`` becomes float64[along]) where that is wanted."""
    if not aperture.varies or aperture.optimal:
        return
    shape, horizontal = (int(wavelengths.shape[0]), int(wavelengths.shape[1])), aperture.horizontal
    if aperture.trace is None:
        nominal = profile.box_profile(shape, aperture, wavelengths)[0]
        centre = profile.centre(nominal, shape[1 if horizontal else 0] // 2, horizontal)[0]
        aperture.trace = np.full(shape[1] if horizontal else shape[0], centre)
    along = profile.spectrum_wavelengths(wavelengths, np.ones(shape), horizontal)
    if aperture.height_coeff is not None:
        height = np.polynomial.polynomial.polyval(along, np.array(aperture.height_coeff))
    else:
        reference = psf.read_psf(aperture.psf, getattr(model, "name", None))
        wave, widths = memo(("extract_1d psf fwhm", token(aperture.psf), getattr(model, "name", None)), lambda: fwhm(reference, horizontal))
        height = (aperture.height_scale or 1.0) * np.interp(along, wave, widths)
    if not np.any(height > 0):
        raise ParameterError("extract_1d.height_coeff: the aperture has no height at the wavelengths of the spectrum")
    aperture.width = np.where(height > 0, height, np.nan)


def fwhm(reference: psf.Psf, horizontal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Full width at half maximum of a PSF at each of its wavelengths.

    Parameters
    ----------
    reference : Psf
    horizontal : bool
        Whether wavelength runs along the second axis of its data.

    Returns
    -------
    wave : float64[wavelength]
        Micron, ascending.
    width : float64[wavelength]
        Pixels of the detector.
    """
    data = reference.data.T if horizontal else reference.data
    order = np.argsort(reference.wave)
    order = order[np.isfinite(reference.wave[order])]
    widths = np.array([_width(row) for row in data[order]]) / reference.subpix
    good = np.isfinite(widths)
    return reference.wave[order][good], widths[good]


def _width(row: np.ndarray) -> float:
    """Distance between the half-maximum points on either side of the peak, NaN if there are none."""
    row = np.where(np.isfinite(row), row, 0.0)
    peak = int(np.argmax(row))
    half = row[peak] / 2.0
    left, right = np.flatnonzero(row[:peak] < half), np.flatnonzero(row[peak:] < half)
    if half <= 0 or not len(left) or not len(right):
        return float("nan")
    a, b = int(left[-1]), peak + int(right[0])
    low = a + (half - row[a]) / (row[a + 1] - row[a])
    high = b - (half - row[b]) / (row[b - 1] - row[b])
    return float(high - low)
