"""Where a NIRSpec slit's spectrum falls on the detector."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.wcs.grid import Box, pixel_centres

if TYPE_CHECKING:
    from jwst_dask.wcs.nirspec.slits import SlitOptics

Range = tuple[float, float]

STEP = 1e-10
"""Spacing (metres) of the wavelengths at which the edges of a spectrum are followed."""
STRIDE = 64
"""Of these wavelengths one in so many is looked at first; traces are smooth on this scale (6.4 nm)."""
LAST_PIXEL = 2047
MARGIN_X, MARGIN_Y = 10, 2
"""Pixels left around a spectrum."""
ROWS_AT_ONCE = 4


def on_detector(view: SlitOptics, to_detector: Any, waves: list[float]) -> bool:
    """Whether some of a slit's spectrum falls on the detector."""
    return reaches_detector(*edge_extent(view.slit, view.to_gwa_uncorrected | to_detector, waves))


def reaches_detector(x: Range, y: Range) -> bool:
    """Whether a spectrum with this extent falls on the detector."""
    (x0, x1), (y0, y1) = _padded(x, y)
    outside = x0 > LAST_PIXEL or y0 > LAST_PIXEL or x1 <= 0 or y1 <= 0
    return not (outside or x1 - x0 < 2 or y1 - y0 < 1)


def bounding_box(view: SlitOptics, to_detector: Any, to_gwa: Any, waves: list[float]) -> Box:
    """Bounding box of a slit's spectrum in science pixels: its traced edges, and the rows that have wavelengths."""
    to_slit = to_gwa | view.from_gwa
    return narrowed(*edge_extent(view.slit, view.to_gwa | to_detector, waves), lambda x, y: np.asarray(to_slit(x, y)[2]))


def narrowed(x: Range, y: Range, wavelength: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Box:
    """Bounding box of a spectrum with this extent, in y of the rows that have wavelengths."""
    first = _padded(x, y)
    if any(low > high for low, high in first):
        return first
    rows = _rows_with_wavelengths(first, wavelength)
    return first if rows is None else _padded(x, rows)


def attach(wcs: Any, boxes: Mapping[Hashable, Box]) -> None:
    """Give a WCS with the slit's number among its inputs the bounding box of each slit."""
    from astropy.modeling.bounding_box import CompoundBoundingBox

    transform = wcs.forward_transform
    transform.inputs = ("x", "y", "name")
    wcs.bounding_box = CompoundBoundingBox.validate(transform, dict(boxes), selector_args=[("name", True)], order="F")


def _padded(x: Range, y: Range) -> Box:
    """Bounding box with its margins, clipped to a whole detector (a NaN, from light that misses it, clips too)."""
    # The edges count pixels from 1.
    low_x, high_x = max(0, x[0] - 1 - MARGIN_X) - 0.5, min(LAST_PIXEL, x[1] - 1 + MARGIN_X) + 0.5
    low_y, high_y = max(0, y[0] - 1 - MARGIN_Y) - 0.5, min(LAST_PIXEL, y[1] - 1 + MARGIN_Y) + 0.5
    return (low_x, high_x), (low_y, high_y)


def edge_extent(slit: Any, to_pixels: Any, waves: list[float]) -> tuple[Range, Range]:
    """Least and greatest x and y along the lower and upper edge of a slit, for all wavelengths of a fine grid."""
    count = int((waves[1] - waves[0]) / STEP)
    grid = np.linspace(waves[0], waves[1], count)
    edges = []
    for height in (slit.ymin, slit.ymax):

        def trace(index: np.ndarray, height: float = height) -> np.ndarray:
            return np.array(to_pixels(np.zeros(len(index)), np.full(len(index), height), grid[index]))

        edges.append(extremes(trace, count))
    low, high = np.min([e[0] for e in edges], axis=0), np.max([e[1] for e in edges], axis=0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def extremes(curve: Callable[[np.ndarray], np.ndarray], count: int, stride: int = STRIDE) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest values of smooth curves sampled at 0 ... `count` - 1, from few samples.

    Every `stride`-th sample is looked at, then all samples beside the extreme ones.

    Parameters
    ----------
    curve : callable
        Values of all curves (float64[curve, sample]) at given sample numbers (int64[sample]).
    count : int
        Number of samples.

    Returns
    -------
    low, high : float64[curve]
        As if all samples had been looked at; NaN for a curve with a NaN.
    """
    coarse = np.append(np.arange(0, count, stride), count - 1)
    values = curve(coarse)
    low, high = values.min(axis=1), values.max(axis=1)
    if np.isnan(low).any():
        return low, high
    centres = set(coarse[[*values.argmin(axis=1), *values.argmax(axis=1)]])
    near = np.concatenate([np.arange(max(0, c - stride), min(count, c + stride + 1)) for c in centres])
    values = curve(near)
    # fmin: a sample beside the extreme one is never beyond the domain if that one is not, but be safe.
    return np.fmin(low, np.fmin.reduce(values, axis=1)), np.fmax(high, np.fmax.reduce(values, axis=1))


def _rows_with_wavelengths(first: Box, wavelength: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Range | None:
    """First and last row of a box with a pixel in the slit, or None; looks from both ends inwards."""
    x, y = pixel_centres(first)
    ends = []
    for order in (range(len(y)), range(len(y) - 1, -1, -1)):
        rows = list(order)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            few = rows[start : start + ROWS_AT_ONCE]
            found = np.isfinite(wavelength(x[few], y[few])).any(axis=1)
            if found.any():
                ends.append(float(y[few[int(found.argmax())], 0]))
                break
        else:
            return None
    return ends[0], ends[1]
