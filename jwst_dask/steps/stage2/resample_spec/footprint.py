"""Where the pixels of a cut-out lie: in the slit, in wavelength, and on the sky (or in the plane of the MSA)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jwst_dask.wcs.grid import pixel_centres
from jwst_dask.wcs.slitwcs import SlitWcs

POINTS = (7, 5)
"""Slit positions and wavelengths at which the way to the sky is evaluated: it is so smooth over a slit that the polynomial
through these points is exact to 1e-9 pixel."""

Project = Callable[[Any, Any], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Footprint:
    """The pixels of one cut-out.

    Attributes
    ----------
    wcs : SlitWcs
    x, y : float64[y, x]
        Pixels in the bounding box.
    ys, wave : float64[y, x]
        Position along the slit, and wavelength (microns) after wavecorr; NaN outside the slit.
    """

    wcs: SlitWcs
    x: np.ndarray
    y: np.ndarray
    ys: np.ndarray
    wave: np.ndarray

    @property
    def good(self) -> np.ndarray:
        """Pixels in the slit (bool[y, x])."""
        return np.isfinite(self.ys) & np.isfinite(self.wave)

    @property
    def empty(self) -> bool:
        """Whether no pixel is in the slit."""
        return not self.good.any()

    @cached_property
    def column_waves(self) -> np.ndarray:
        """Median wavelength of each column that has any (float64[column], microns)."""
        # A sort puts NaN last; numpy's nanmedian goes through the columns one at a time.
        ordered = np.sort(np.ascontiguousarray(self.wave.T), axis=1)
        count = np.isfinite(ordered).sum(axis=1)
        some = np.flatnonzero(count)
        low, high = (count[some] - 1) // 2, count[some] // 2
        return np.asarray((ordered[some, low] + ordered[some, high]) / 2)

    @property
    def middle_column(self) -> int:
        """Column of the arrays at the middle of the bounding box."""
        return int(np.mean(self.wcs.box[0]) - self.x[0, 0])

    def plane(self, project: Project) -> Plane:
        """All pixels on the plane that `project` takes (slit position, wavelength) to."""
        from jwst_dask.kernels.drizzle_map import evaluate, nodes, surface

        ranges = [(float(np.nanmin(a)), float(np.nanmax(a))) for a in (self.ys, self.wave)]
        scale = [(0.5 * (low + high), max(0.5 * (high - low), 1e-12)) for low, high in ranges]
        u, v = (nodes(-1.0, 1.0, count) for count in POINTS)
        ys, wave = np.meshgrid(scale[0][0] + scale[0][1] * u, scale[1][0] + scale[1][1] * v, indexing="ij")
        first, second = (surface(u, v, np.asarray(values)) for values in project(ys, wave))
        values, limits = evaluate(self.ys, self.wave, np.array(scale).ravel(), first, second)
        return Plane(values, ((limits[0], limits[1]), (limits[2], limits[3])))


@dataclass(frozen=True)
class Plane:
    """Coordinates of all pixels on a plane (float64[2, y, x], NaN outside the slit), and their ranges."""

    values: np.ndarray
    limits: tuple[tuple[float, float], tuple[float, float]]


def footprint(wcs: SlitWcs) -> Footprint:
    """The pixels in the bounding box of a slit."""
    x, y = pixel_centres(wcs.box)
    _, ys, wave = wcs.to_slit(x, y)
    return Footprint(wcs, x, y, np.ascontiguousarray(ys, float), np.ascontiguousarray(wave, float))


def separation(ra: np.ndarray, dec: np.ndarray) -> float:
    """Angle between two points (all in degrees)."""
    (a1, a2), (d1, d2) = np.deg2rad(ra), np.deg2rad(dec)
    east = np.cos(d2) * np.sin(a2 - a1)
    north = np.cos(d1) * np.sin(d2) - np.sin(d1) * np.cos(d2) * np.cos(a2 - a1)
    along = np.sin(d1) * np.sin(d2) + np.cos(d1) * np.cos(d2) * np.cos(a2 - a1)
    return float(np.rad2deg(np.arctan2(np.hypot(east, north), along)))


def row_height(wcs: Any) -> float:
    """Arcseconds from one row to the next at the middle of a slit's bounding box (NaN if that is outside the slit)."""
    x, y = (np.mean(limits) for limits in wcs.box)
    xs, ys, wave = wcs.to_slit(x, y)
    x, y = wcs.from_slit(xs, ys, wave)
    xs, ys, wave = wcs.to_slit(np.array([x, x]), np.array([y, y + 1.0]))
    return 3600.0 * separation(*wcs.slit_to_sky(xs, ys, wave))
