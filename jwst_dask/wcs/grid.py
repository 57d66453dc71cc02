"""Pixel grids, wavelength planes, and results that belong to a WCS object."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

from jwst_dask.core.memo import memo

T = TypeVar("T")
Box = tuple[tuple[float, float], tuple[float, float]]
"""((x low, x high), (y low, y high)) in pixels, edges included; the centre of the first pixel is (0, 0)."""

METRES_TO_MICRONS = 1e6


def of_wcs(what: Hashable, wcs: Any, make: Callable[[], T]) -> T:
    """``make()`` once per WCS object: segments of an exposure share the object, so they share what is derived from it."""
    # The entry keeps the object alive, so that its id means no other object while the entry exists.
    return memo((what, id(wcs)), lambda: (wcs, make()))[1]


def box_of_shape(shape: tuple[int, ...]) -> Box:
    """Bounding box of an image of this shape (y and x last)."""
    return (-0.5, shape[-1] - 0.5), (-0.5, shape[-2] - 0.5)


def pixel_range(low: float, high: float) -> tuple[int, int]:
    """First pixel and one past the last pixel of an interval of pixel coordinates."""
    return int(np.floor(low + 0.5)), int(np.floor(high + 0.5))


def pixel_centres(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels whose centres lie in a bounding box (float64[y, x] each)."""
    (x0, x1), (y0, y1) = box
    x = np.arange(np.floor(x0 + 0.5), np.ceil(x1 - 0.5) + 1)
    y = np.arange(np.floor(y0 + 0.5), np.ceil(y1 - 0.5) + 1)
    return tuple(np.meshgrid(x, y))  # type: ignore[return-value]


def slit_wavelength(wcs: Any, x: np.ndarray, y: np.ndarray, frame: str = "slit_frame") -> np.ndarray:
    """Wavelength at pixels in a frame of a NIRSpec slit's WCS (float64[y, x], metres; NaN outside the slit)."""
    return np.asarray(wcs.get_transform("detector", frame)(x, y)[2])
