"""Zero point of the wavelengths of a point source that is off the centre of a NIRSpec slit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.wcs.grid import METRES_TO_MICRONS, of_wcs, slit_wavelength
from jwst_dask.wcs.nirspec.cutout import slit_plane
from jwst_dask.wcs.nirspec.frames import frame
from jwst_dask.wcs.references import identity
from jwst_dask.wcs.slitwcs import GwcsSlit, SlitWcs


@dataclass(frozen=True)
class Shift:
    """Corrected wavelengths by uncorrected ones, both in metres: linear in between and beyond.

    `points` (float32[n]) increase; `values` are float64[n].
    """

    points: np.ndarray
    values: np.ndarray

    def __call__(self, wavelength: np.ndarray) -> np.ndarray:
        """Corrected wavelengths (float64, metres); NaN where there is none."""
        points, values = self.points.astype(float), self.values
        low = np.clip(np.searchsorted(points, wavelength) - 1, 0, len(points) - 2)
        part = (wavelength - points[low]) / (points[low + 1] - points[low])
        return np.asarray(values[low] * (1 - part) + values[low + 1] * part)


@dataclass(frozen=True)
class Corrected:
    """A slit's WCS with the frame of corrected wavelengths, and these (float32[y, x], microns); shared."""

    wcs: Any
    wavelength: np.ndarray


def corrected(wcs: Any, wavelength: np.ndarray, path: str, source_x: float, aperture: str) -> Corrected | str:
    """The correction for a source at `source_x` (relative to the slit's open width), or why there is none.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the cut-out; not changed.
    wavelength : float32[y, x]
        Of its pixels, microns.
    path : str
        wavecorr reference.
    aperture : str
        Name of the slit in the reference.
    """
    key = ("zero point", identity(path), source_x, aperture)
    return of_wcs(key, wcs, lambda: _correct(wcs, wavelength, path, source_x, aperture))


def _correct(wcs: Any, wavelength: np.ndarray, path: str, source_x: float, aperture: str) -> Corrected | str:
    shift = find_shift(wavelength, _dispersion(wcs), path, source_x, aperture)
    if isinstance(shift, str):
        return shift
    new = shift(slit_plane(wcs)) * METRES_TO_MICRONS
    return Corrected(with_shift(wcs, shift), new.astype(np.float32))


def find_shift(wavelength: np.ndarray, dispersion: np.ndarray, path: str, source_x: float, aperture: str) -> Shift | str:
    """The correction of a cut-out, or why there is none.

    Parameters
    ----------
    wavelength : float32[y, x]
        Of its pixels, microns.
    dispersion : float64[y, x]
        Wavelength across each pixel, metres.
    path : str
        wavecorr reference.
    source_x : float
        Position of the source relative to the slit's open width.
    aperture : str
        Name of the slit in the reference.
    """
    offsets = memo(("wavecorr", identity(path), aperture), lambda: _offsets(path, aperture))
    if offsets is None:
        return f"the wavecorr reference has no aperture {aperture}"
    # Single precision of the stored wavelengths, as the table's points are kept in it.
    mean, across = _column_mean(wavelength * np.float32(1e-6)), _column_mean(dispersion)
    good = ~(np.isnan(mean) | np.isnan(across))
    mean, across = mean[good], across[good]
    if len(mean) < 2:
        return f"the cut-out of {aperture} has fewer than two columns with wavelengths"
    shifted = mean + offsets(mean, source_x) * across
    if not np.all(np.diff(shifted) > 0):
        return f"corrected wavelengths of {aperture} would not increase along the spectrum"
    return Shift(mean, shifted)


def with_shift(wcs: Any, shift: Shift) -> Any:
    """A gwcs object with the frame of corrected wavelengths after ``slit_frame``; `wcs` is not changed."""
    from astropy.modeling.models import Identity, Tabular1D
    from gwcs import WCS

    table = Tabular1D(points=shift.points, lookup_table=shift.values, bounds_error=False, fill_value=None, name="wave2wavecorr")
    steps: list[tuple[Any, Any]] = []
    for step in wcs.pipeline:
        if step.frame.name == "slit_frame":
            steps += [(step.frame, Identity(2) & table), (frame("wavecorr_frame"), step.transform)]
        else:
            steps.append((step.frame, step.transform))
    return WCS(steps)


def shift_slit(wcs: SlitWcs, shift: Shift) -> SlitWcs:
    """The WCS of one slit with corrected wavelengths; `wcs` is not changed."""
    fast = getattr(wcs, "with_wavecorr", None)
    if fast is not None:
        return fast(shift)  # type: ignore[no-any-return]
    return GwcsSlit(with_shift(wcs.gwcs(), shift))


def slit_dispersion(wcs: SlitWcs) -> np.ndarray:
    """Wavelength across each pixel of a cut-out (float64[y, x], metres), between its left and right edge."""
    (x0, x1), (y0, y1) = wcs.box
    x, y = np.meshgrid(np.arange(x0, x1 + 0.5), np.arange(y0 + 0.5, y1))
    return np.asarray(np.diff(wcs.to_slit(x, y, corrected=False)[2], axis=1) * 1e-6)


def _offsets(path: str, aperture: str) -> Any:
    """Zero-point offset (pixels) by wavelength (metres) and position in the slit, extrapolated; None without an entry."""
    import asdf

    try:
        with asdf.open(path, lazy_load=False, memmap=False) as file:
            models = [entry["zero_point_offset"] for entry in file.tree["apertures"] if entry["aperture_name"] == aperture]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferenceError_(
            f"the wavecorr reference {path} for NIRSPEC cannot be used ({type(error).__name__}: {error}); replace it or give override_wavecorr"
        ) from error
    if not models:
        return None
    model = models[0].copy()
    model.bounds_error, model.fill_value = False, None
    return model


def _dispersion(wcs: Any) -> np.ndarray:
    """Wavelength across each pixel of a cut-out (float64[y, x], metres), between its left and right edge."""
    (x0, x1), (y0, y1) = wcs.bounding_box.bounding_box(order="F")
    x, y = np.meshgrid(np.arange(x0, x1 + 0.5), np.arange(y0 + 0.5, y1))
    edges = slit_wavelength(wcs, x, y) * METRES_TO_MICRONS
    return np.asarray(np.diff(edges, axis=1) * 1e-6)


def _column_mean(plane: np.ndarray) -> np.ndarray:
    """Mean over rows, NaNs left out, in the plane's precision; NaN for columns without a number."""
    known = ~np.isnan(plane)
    total = np.where(known, plane, plane.dtype.type(0)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(total, known.sum(axis=0), out=total, casting="unsafe"))
