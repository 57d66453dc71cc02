"""The WCS of a rectified slit: rows along the slit, columns along the dispersion, evaluated without gwcs.

It has the methods of `SlitWcs`, and is made of a line on the tangent plane (or on the plane of the MSA, for lamps) and a table of
wavelengths. Frames and transforms of the gwcs object are those of the reference's ``s2d`` products: ``detector``, ``slit_frame``
(positions relative to the slit, its centre line in x) and ``world``; lamps have no ``slit_frame``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.wcs.grid import Box, box_of_shape

if TYPE_CHECKING:
    from jwst_dask.io.asdf_text import Fragment
    from jwst_dask.wcs.slitwcs import Pair, Triple


@dataclass(frozen=True)
class Line:
    """``intercept + slope * row`` for each of two axes."""

    slope: tuple[float, float]
    intercept: tuple[float, float]

    def at(self, row: Any) -> Pair:
        """Coordinates of rows."""
        row = np.asarray(row, float)
        return self.slope[0] * row + self.intercept[0], self.slope[1] * row + self.intercept[1]

    def row(self, value: Any, axis: int) -> np.ndarray:
        """Row at a coordinate of one axis."""
        return (np.asarray(value, float) - self.intercept[axis]) / self.slope[axis]


@dataclass(frozen=True, eq=False)
class RectifiedSlit:
    """A slit on the sky.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    columns, wavelengths : float64[knot]
        Wavelength (microns, increasing) by column; the first and last knot are the edges of the image. NaN beyond.
    line : Line
        Tangent plane (degrees) by row.
    axis : int
        Which axis of the tangent plane gives the row of a position: 0 along right ascension, 1 along declination.
    centre : (float, float)
        Right ascension and declination of the tangent point (degrees).
    ys : float64[row]
        Position along the slit of each row, relative to the slit.
    """

    shape: tuple[int, int]
    columns: np.ndarray
    wavelengths: np.ndarray
    line: Line
    axis: int
    centre: tuple[float, float]
    ys: np.ndarray

    on_sky = True
    corrected = False

    @property
    def box(self) -> Box:
        """Bounding box: all of the image."""
        return box_of_shape(self.shape)

    @property
    def rows(self) -> np.ndarray:
        """Rows of `ys` (float64[row])."""
        return np.arange(len(self.ys), dtype=float)

    def to_slit(self, x: Any, y: Any, corrected: bool = True) -> Triple:
        """Pixels to (0, ys, wavelength)."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        return np.zeros(x.shape), extended(self.rows, self.ys, y), inside(self.columns, self.wavelengths, x)

    def from_slit(self, xs: Any, ys: Any, wavelength: Any, corrected: bool = True) -> Pair:
        """Position in the slit and wavelength to pixels (whatever `xs`)."""
        _, ys, wavelength = np.broadcast_arrays(np.asarray(xs, float), np.asarray(ys, float), np.asarray(wavelength, float))
        return inside(self.wavelengths, self.columns, wavelength), self._row(ys)

    def slit_to_sky(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """Position in the slit to (ra, dec) in degrees."""
        _, ys, _ = np.broadcast_arrays(np.asarray(xs, float), np.asarray(ys, float), np.asarray(wavelength, float))
        return self.row_to_sky(self._row(ys))

    def sky_to_slit(self, ra: Any, dec: Any, wavelength: Any) -> Pair:
        """(ra, dec) to the position in the slit."""
        ys = extended(self.rows, self.ys, self.sky_to_row(ra, dec))
        return np.zeros(ys.shape), ys

    def row_to_sky(self, y: Any) -> Pair:
        """Rows to (ra, dec) in degrees."""
        return from_tangent(*self.line.at(y), *self.centre)

    def sky_to_row(self, ra: Any, dec: Any) -> np.ndarray:
        """(ra, dec) to rows."""
        return self.line.row(to_tangent(ra, dec, *self.centre)[self.axis], self.axis)

    def world_to_pixel(self, plane: np.ndarray, wavelength: np.ndarray) -> Pair:
        """Pixels of positions on the tangent plane (along `axis`, degrees) and wavelengths, of an image (float64[y, x] each)."""
        from jwst_dask.kernels.drizzle_map import interpolate

        return interpolate(self.wavelengths, self.columns, wavelength), self.line.row(plane, self.axis)

    def slit_to_msa(self, xs: Any, ys: Any) -> Pair:
        """Not known of a rectified slit: InputError."""
        raise InputError("the WCS of a rectified slit does not lead to the plane of the MSA; use the slit's own WCS")

    def slit_to_v2v3(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """Not known of a rectified slit: InputError."""
        raise InputError("the WCS of a rectified slit does not lead to V2, V3; use the slit's own WCS")

    def v2v3_to_slit(self, v2: Any, v3: Any, wavelength: Any) -> Pair:
        """Not known of a rectified slit: InputError."""
        raise InputError("the WCS of a rectified slit does not come from V2, V3; use the slit's own WCS")

    def gwcs(self) -> Any:
        """The gwcs object; made when first asked for."""
        return self._gwcs

    @cached_property
    def _gwcs(self) -> Any:
        from jwst_dask.wcs.rectified_gwcs import sky_gwcs

        return sky_gwcs(self)

    def fragment(self) -> Fragment:
        """The gwcs object as text for a product, without making it."""
        from jwst_dask.wcs.rectified_gwcs import fragment

        return fragment(self)

    def _row(self, ys: Any) -> np.ndarray:
        up = self.ys[-1] >= self.ys[0]
        return extended(self.ys, self.rows, ys) if up else extended(self.ys[::-1], self.rows[::-1], ys)


@dataclass(frozen=True, eq=False)
class RectifiedLamp:
    """A slit of a lamp exposure, whose world is the plane of the MSA (metres) and the wavelength.

    There is no position relative to the slit in it: the `ys` of the methods of `SlitWcs` is the row.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    wavelengths : float64[x]
        Wavelength of each column (microns); extended in a straight line beyond.
    line : Line
        MSA plane (metres) by row; y gives the row of a position.
    """

    shape: tuple[int, int]
    wavelengths: np.ndarray
    line: Line

    on_sky = False
    corrected = False
    axis = 1

    @property
    def box(self) -> Box:
        """Bounding box: all of the image."""
        return box_of_shape(self.shape)

    @property
    def columns(self) -> np.ndarray:
        """Columns of `wavelengths` (float64[x])."""
        return np.arange(len(self.wavelengths), dtype=float)

    def to_slit(self, x: Any, y: Any, corrected: bool = True) -> Triple:
        """Pixels to (0, row, wavelength)."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        return np.zeros(x.shape), y.copy(), extended(self.columns, self.wavelengths, x)

    def from_slit(self, xs: Any, ys: Any, wavelength: Any, corrected: bool = True) -> Pair:
        """Row and wavelength to pixels."""
        _, ys, wavelength = np.broadcast_arrays(np.asarray(xs, float), np.asarray(ys, float), np.asarray(wavelength, float))
        return self._column(wavelength), ys.copy()

    def slit_to_msa(self, xs: Any, ys: Any) -> Pair:
        """Row to the plane of the MSA (metres)."""
        _, ys = np.broadcast_arrays(np.asarray(xs, float), np.asarray(ys, float))
        return self.line.at(ys)

    def world_to_pixel(self, plane: np.ndarray, wavelength: np.ndarray) -> Pair:
        """Pixels of positions along y of the MSA (metres) and wavelengths."""
        return self._column(wavelength), self.line.row(plane, self.axis)

    def slit_to_v2v3(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """A lamp is not on the sky: InputError."""
        raise InputError("a lamp exposure has no coordinates on the sky")

    v2v3_to_slit = slit_to_sky = sky_to_slit = slit_to_v2v3

    def gwcs(self) -> Any:
        """The gwcs object; made when first asked for."""
        return self._gwcs

    @cached_property
    def _gwcs(self) -> Any:
        from jwst_dask.wcs.rectified_gwcs import lamp_gwcs

        return lamp_gwcs(self)

    def fragment(self) -> Fragment:
        """The gwcs object as text for a product, without making it."""
        from jwst_dask.wcs.rectified_gwcs import fragment

        return fragment(self)

    def _column(self, wavelength: Any) -> np.ndarray:
        up = bool(np.all(np.diff(self.wavelengths) > 0))
        return (
            extended(self.wavelengths, self.columns, wavelength) if up else extended(self.wavelengths[::-1], self.columns[::-1], wavelength)
        )


Rectified = RectifiedSlit | RectifiedLamp


def inside(knots: np.ndarray, values: np.ndarray, at: Any) -> np.ndarray:
    """Linear interpolation between increasing `knots`; NaN outside them."""
    return np.interp(np.asarray(at, float), knots, values, left=np.nan, right=np.nan)


def extended(knots: np.ndarray, values: np.ndarray, at: Any) -> np.ndarray:
    """Linear interpolation between increasing `knots`, continued in a straight line beyond the ends."""
    at = np.asarray(at, float)
    if len(knots) < 2:
        return np.where(np.isnan(at), np.nan, values[0] if len(values) else np.nan)
    i = np.clip(np.searchsorted(knots, at) - 1, 0, len(knots) - 2)  # NaN sorts last and stays NaN
    step = (at - knots[i]) / (knots[i + 1] - knots[i])
    return np.asarray(values[i] * (1 - step) + values[i + 1] * step)


def to_tangent(ra: Any, dec: Any, ra0: float, dec0: float) -> Pair:
    """Gnomonic projection about (ra0, dec0), all in degrees: (towards east, towards north)."""
    alpha, delta = np.deg2rad(np.asarray(ra, float) - ra0), np.deg2rad(np.asarray(dec, float))
    delta0 = np.deg2rad(dec0)
    # Differences of nearly equal terms are avoided: slits are 1e-5 of a radian long.
    off = np.deg2rad(np.asarray(dec, float) - dec0)
    bend = 2 * np.cos(delta) * np.sin(alpha / 2) ** 2
    depth = np.cos(off) - np.cos(delta0) * bend
    north = (np.sin(off) + np.sin(delta0) * bend) / depth
    return np.rad2deg(np.cos(delta) * np.sin(alpha) / depth), np.rad2deg(north)


def from_tangent(x: Any, y: Any, ra0: float, dec0: float) -> Pair:
    """Inverse of `to_tangent`; right ascension from 0 to 360."""
    east, north, delta0 = np.deg2rad(np.asarray(x, float)), np.deg2rad(np.asarray(y, float)), np.deg2rad(dec0)
    along = np.cos(delta0) - north * np.sin(delta0)
    up = np.sin(delta0) + north * np.cos(delta0)
    ra = np.mod(ra0 + np.rad2deg(np.arctan2(east, along)), 360.0)
    return ra, np.rad2deg(np.arctan2(up, np.hypot(east, along)))
