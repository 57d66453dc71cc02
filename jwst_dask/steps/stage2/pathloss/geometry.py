"""Light of a source that is neither a point nor uniform, as samples over a slit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.memo import memo
from jwst_dask.kernels.pathloss import sersic
from jwst_dask.refs.load import token

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft

GAUSSIAN = 0.5
"""Sersic index of a Gaussian, whose half-light radius is half of its full width at half maximum."""
FINEST = 9
"""Greatest number of parts that an image's pixel is divided into, along each side."""


class Samples(NamedTuple):
    """Places from the centre of the source, and sizes of the cells around them, in the unit of the slit (its open size), and the
    light there, of 1 in all: float64[sample]."""

    x: np.ndarray
    y: np.ndarray
    width: np.ndarray
    height: np.ndarray
    light: np.ndarray


@dataclass(frozen=True)
class Source:
    """The shape of a source: an elliptical Sersic profile, or an image.

    Attributes
    ----------
    half_light : float
        Radius along the major axis with half of the light, in arcsec.
    index, ratio : float
        Sersic index; minor to major axis.
    angle : float
        Position angle of the major axis, from north through east, in degrees.
    image : str, optional
        FITS image instead, centred on the source, with the scale and orientation of its celestial WCS.
    total : bool
        Whether losses are relative to all of its light, or to that over the open shutters.
    """

    half_light: float = 0.0
    index: float = GAUSSIAN
    ratio: float = 1.0
    angle: float = 0.0
    image: str | None = None
    total: bool = True

    def samples(self, axes: np.ndarray, box: tuple[float, float, float, float], step: float) -> Samples:
        """Its light over the slit.

        Parameters
        ----------
        axes : float64[2, 2]
            See `sky_axes`.
        box : (float, float, float, float)
            Least and greatest x, then y, that matter, from the centre of the source.
        step : float
            How fine an image is to be sampled.

        Raises
        ------
        ParameterError
            For an image that cannot be used.
        """
        if self.image is not None:
            return _from_image(self.image, axes, step)
        angle = np.deg2rad(self.angle)
        turn = np.array([[np.sin(angle), np.cos(angle)], [-np.cos(angle), np.sin(angle)]])
        return Samples(*sersic(self.half_light, self.index, self.ratio, turn @ axes, box))


def sky_axes(draft: Draft, x: float, y: float) -> np.ndarray:
    """How (x, y) in a slit map to the sky around a place: arcsec to the (east, north), float64[2, 2].

    Raises
    ------
    InputError
        Where the WCS does not go to the sky.
    """
    if draft.wcs is None or not draft.wcs.on_sky:
        raise InputError("the shape of a source needs a WCS that goes to the sky; run assign_wcs and extract_2d first")
    plane = draft.model.instance.get("wavelength")
    known = None if plane is None else np.asarray(plane)[np.isfinite(plane) & (np.asarray(plane) > 0)]
    wavelength = 2.0 if known is None or not known.size else float(np.median(known))
    ra, dec = draft.wcs.slit_to_sky(np.array([x, x + 0.5, x]), np.array([y, y, y + 0.5]), np.full(3, wavelength))
    east = ((ra[1:] - ra[0] + 180) % 360 - 180) * np.cos(np.deg2rad(dec[0]))
    return np.array([east, dec[1:] - dec[0]]) * 3600 / 0.5


def _from_image(path: str, axes: np.ndarray, step: float) -> Samples:
    image, scale = memo(("source image", token(path)), lambda: _read_image(path))
    back = np.linalg.inv(axes)
    pixel = np.abs(back @ scale).max()
    parts = int(np.clip(np.ceil(pixel / step), 1, FINEST))
    inner = (np.arange(parts) + 0.5) / parts - 0.5
    ny, nx = image.shape
    columns = (np.arange(nx)[:, None] - (nx - 1) / 2 + inner).ravel()
    rows = (np.arange(ny)[:, None] - (ny - 1) / 2 + inner).ravel()
    at = np.stack([plane.ravel() for plane in np.meshgrid(columns, rows)])
    x, y = back @ (scale @ at)
    light = np.repeat(np.repeat(image, parts, axis=0), parts, axis=1).ravel() / parts**2
    width, height = (np.full(x.shape, size) for size in np.abs(back @ scale).sum(axis=1) / parts)
    return Samples(x, y, width, height, light)


def _read_image(path: str) -> tuple[np.ndarray, np.ndarray]:
    """An image with a sum of 1, and its pixels' (x, y) in arcsec to the (east, north)."""
    from astropy.io import fits
    from astropy.wcs import WCS

    try:
        with fits.open(path, memmap=False) as file:
            hdu: Any = next(hdu for hdu in file if getattr(hdu, "data", None) is not None and hdu.data.ndim == 2)
            image, wcs = np.nan_to_num(np.array(hdu.data, dtype=np.float64)), WCS(hdu.header)
        if not wcs.has_celestial:
            raise ValueError("it has no celestial WCS (CTYPE, CDELT or CD in degrees)")
        if not image.sum() > 0:
            raise ValueError("the sum of its pixels is not positive")
    except (OSError, ValueError, TypeError, StopIteration) as error:
        raise ParameterError(f"pathloss.source_image {path} cannot be used: {error or 'it has no image'}") from error
    return image / image.sum(), np.asarray(wcs.celestial.pixel_scale_matrix) * 3600
