"""Spatial profiles from a PSF reference (SpecPsfModel), optionally moved to where they fit the data best.

Source document: JWST pipeline documents, "extract_1d", optimal extraction.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.kernels.extract_psf import psf_misfit
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.extract_1d import location as place
from jwst_dask.steps.stage2.extract_1d.reference import Aperture
from jwst_dask.steps.stage2.extract_1d.view import View

log = logging.getLogger(__name__)

TWO_NODS = ("ALONG-SLIT-NOD", "2-POINT-NOD")


@dataclass(frozen=True)
class Psf:
    """One aperture of a PSF reference: `data` float64[2-D], `wave` float64[1-D] in micron, oversampling, centre."""

    data: np.ndarray
    wave: np.ndarray
    subpix: float
    row: float
    column: float


@dataclass
class Placement:
    """A PSF laid over the bounding box of the data.

    Attributes
    ----------
    window : (int, int, int, int)
        y0, y1, x0, x1 of the part of the array that is modelled.
    spectral, spatial : float64[y, x]
        Index into the PSF along its wavelength and spatial axes, for every pixel of the window.
    horizontal : bool
    psf : Psf
    nod : float or None
        Distance to a negative trace, pixels.
    """

    window: tuple[int, int, int, int]
    spectral: np.ndarray
    spatial: np.ndarray
    horizontal: bool
    psf: Psf
    nod: float | None

    def profiles(self, shift: float = 0.0, nod: float | None = None) -> list[np.ndarray]:
        """Profiles (float64[y, x] of the window, sum 1 across dispersion) of the source and, with `nod`, minus the other nod."""
        spatial = self.spatial + shift * self.psf.subpix
        out = [self._profile(spatial)]
        if nod is not None:
            out.append(-self._profile(spatial + self.psf.subpix * nod))
        return out

    def _profile(self, spatial: np.ndarray) -> np.ndarray:
        from scipy.ndimage import map_coordinates

        axis = 0 if self.horizontal else 1
        coordinates = [spatial, self.spectral] if self.horizontal else [self.spectral, spatial]
        profile = map_coordinates(self.psf.data, coordinates, order=1)
        total = np.nansum(profile, axis=axis, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            profile = np.where(total != 0, profile / total, 0.0)
        profile[~np.isfinite(profile)] = 0.0
        return profile


def read_psf(path: str, slit: str | None) -> Psf:
    """The aperture of a PSF reference for a slit.

    Raises
    ------
    ReferenceError_
        When the file is not a SpecPsfModel or has no such aperture.
    """
    return memo(("extract_1d psf", token(path), slit), lambda: _read_psf(path, str(slit).upper()))


def _read_psf(path: str, slit: str) -> Psf:
    from stdatamodels.jwst.datamodels import SpecPsfModel

    try:
        with SpecPsfModel(path) as model:
            for entry in model.apertures:
                if str(entry.name).upper() in ("NONE", "ANY", slit):
                    data, wave = (np.array(a, dtype=np.float64) for a in (entry.data, entry.wave))
                    return Psf(data, wave, float(entry.subpix), float(entry.center_row), float(entry.center_col))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ReferenceError_(f"psf reference {path} is not a readable SpecPsfModel: {error}; set override_psf") from error
    raise ReferenceError_(f"psf reference {path} has no aperture for slit {slit}; set override_psf, or extraction_type to box")


def lay(model: Any, view: View, aperture: Aperture, wavelengths: np.ndarray) -> Placement:
    """Lay the PSF along the trace of the source (or the middle of the slit).

    Parameters
    ----------
    model : JwstDataModel
    view : GwcsView or SlitView
    aperture : Aperture
        `trace` is used if there is one.
    wavelengths : float[y, x]
    """
    shape, horizontal = (int(wavelengths.shape[0]), int(wavelengths.shape[1])), aperture.horizontal
    psf = read_psf(aperture.psf, getattr(model, "name", None))
    box = view.box(shape)
    (x0, x1), (y0, y1) = ((int(np.ceil(low)), int(np.ceil(high))) for low, high in box)
    along, across, wavelength = place.middle(view, box, horizontal)
    trace, nod = aperture.trace, None
    if trace is None:
        if aperture.nod_pair:
            log.warning("without a source position no negative nod is modelled")
        trace = place.middle_trace(model, view, shape, box, along, across, aperture.dispaxis)
    elif aperture.nod_pair:
        nod = _nod_distance(model, view, float(trace[int(np.round(along))]), wavelength)
    window = slice(y0, y1), slice(x0, x1)
    order = np.argsort(psf.wave)
    finite = np.isfinite(psf.wave[order])
    spectral = np.interp(wavelengths[window], psf.wave[order][finite], order[finite], left=np.nan, right=np.nan)
    y, x = np.indices(spectral.shape, sparse=True)
    start = (trace[x0:x1] if horizontal else trace[y0:y1]) - box[0][0]  # the low x edge is the origin for both directions
    spatial = (y * psf.subpix + psf.row - start * psf.subpix) if horizontal else (x * psf.subpix + (psf.column - start * psf.subpix)[:, None])
    return Placement((y0, y1, x0, x1), spectral, np.broadcast_to(spatial, spectral.shape), horizontal, psf, nod)


def _nod_distance(model: Any, view: View, position: float, wavelength: float) -> float | None:
    """Distance from the source to the negative trace of a two-point nod, or None if there is none."""
    if str(model.meta.cal_step.bkg_subtract) != "COMPLETE" or str(model.meta.dither.primary_type) not in TWO_NODS:
        log.info("not a background-subtracted two-point nod: no negative trace is modelled")
        return None
    other = place.nod_location(model, view, wavelength)
    if np.isnan(other) or abs(position - other) < 2:
        log.warning("the other nod cannot be located: no negative trace is modelled")
        return None
    return position - other


def optimise(placement: Placement, image: np.ndarray, variance: np.ndarray) -> tuple[float, float | None]:
    """Shift (and nod distance) in pixels at which the fitted profiles describe one integration best.

    Parameters
    ----------
    placement : Placement
    image, variance : float32[y, x]
        First integration of the exposure and its read-noise variance, NaN where unusable.
    """
    from scipy.optimize import minimize

    y0, y1, x0, x1 = placement.window
    turned = not placement.horizontal
    planes = [np.asarray(a, dtype=np.float64) for a in (placement.spectral, placement.spatial, image[y0:y1, x0:x1], variance[y0:y1, x0:x1])]
    spectral, spatial, cut, weight = (np.ascontiguousarray(a if turned else a.T) for a in planes)
    data, subpix = np.ascontiguousarray(placement.psf.data), placement.psf.subpix

    def misfit(values: np.ndarray) -> float:
        nod = values[1] * subpix if len(values) > 1 else np.nan
        return float(psf_misfit(data, turned, spectral, spatial, values[0] * subpix, nod, cut, weight))

    start = [0.0] if placement.nod is None else [0.0, placement.nod]
    best = minimize(misfit, start, method="Nelder-Mead").x
    return float(best[0]), float(best[1]) if len(best) > 1 else None


def full_profiles(placement: Placement, shape: tuple[int, int], shift: float = 0.0, nod: float | None = None) -> list[np.ndarray]:
    """The profiles of a placement on the whole array (float64[y, x])."""
    y0, y1, x0, x1 = placement.window
    out = []
    for profile in placement.profiles(shift, nod):
        whole = np.zeros(shape)
        whole[y0:y1, x0:x1] = profile
        out.append(whole)
    return out
