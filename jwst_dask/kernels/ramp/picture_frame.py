"""Thermal picture frame of NIRSpec full frames: a pattern, scaled to the difference between the centre and the edges of each image.

Works on whole frames, one [y, x] plane at a time, in place; integrations are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit

CENTRE = (76, 1984)
EDGES = ((4, 75), (1985, 2043))
"""First row or column, and one past the last, of the regions of a full frame."""


@dataclass(frozen=True)
class Pattern:
    """A pattern, ready to be scaled.

    Attributes
    ----------
    shape : float32[y, x]
        Less its level at the edges.
    contrast : float32
        Level at the centre less that at the edges.
    centre, edges : int64[n]
        Offsets of the background pixels in a plane.
    """

    shape: np.ndarray
    contrast: np.float32
    centre: np.ndarray
    edges: np.ndarray


def regions(background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of the background pixels at the centre and at the edges of a frame.

    Parameters
    ----------
    background : bool[y, x]

    Returns
    -------
    int64[n], int64[m]
    """
    y, x = (np.arange(n) for n in background.shape)
    middle = [(axis >= CENTRE[0]) & (axis < CENTRE[1]) for axis in (y, x)]
    inside = [(axis >= EDGES[0][0]) & (axis < EDGES[1][1]) for axis in (y, x)]
    rim = [np.logical_or.reduce([(axis >= first) & (axis < last) for first, last in EDGES]) for axis in (y, x)]
    centre = background & np.logical_and.outer(*middle)
    edges = background & np.logical_and.outer(*inside) & np.logical_or.outer(*rim)
    return np.flatnonzero(centre), np.flatnonzero(edges)


def median(plane: np.ndarray, chosen: np.ndarray) -> np.float32:
    """Median of the chosen pixels (float32[y, x], offsets) that are not NaN, in float32; NaN if there is none."""
    values = plane.reshape(-1)[chosen]
    values = values[~np.isnan(values)]
    n = values.size
    if not n:
        return np.float32(np.nan)
    values.partition(((n - 1) // 2, n // 2))
    return np.float32(np.float32(values[(n - 1) // 2] + values[n // 2]) / np.float32(2)) if n % 2 == 0 else np.float32(values[n // 2])


def make_pattern(slope: np.ndarray, background: np.ndarray) -> Pattern | None:
    """The pattern of a reference image (float32[y, x]) for a background mask (bool[y, x]); None if there is no background in a region."""
    centre, edges = regions(background)
    if not centre.size or not edges.size:
        return None
    slope = np.ascontiguousarray(slope, dtype=np.float32)
    level = median(slope, edges)
    return Pattern(slope - level, np.float32(median(slope, centre) - level), centre, edges)


@jit
def _subtract(plane, shape, scale, offset, first):  # type: ignore[no-untyped-def]
    """``plane + (first - (scale * shape + offset))``, every operation in float32."""
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            product = np.float32(scale * shape[y, x])
            correction = np.float32(product + offset)
            plane[y, x] += np.float32(first[y, x] - correction)


@jit
def _take(plane, first):  # type: ignore[no-untyped-def]
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            plane[y, x] -= first[y, x]


def correct_image(image: np.ndarray, pattern: Pattern, first: np.ndarray | None = None) -> None:
    """Subtract the scaled pattern from an image, in place.

    Parameters
    ----------
    image : float32[y, x]
        Less `first`, if that is given.
    pattern : Pattern
    first : float32[y, x]
        Added again.
    """
    edge = median(image, pattern.edges)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.float32((median(image, pattern.centre) - edge) / pattern.contrast)
    _subtract(image, pattern.shape, scale, edge, np.zeros_like(image) if first is None else first)


def correct_ramp(ramp: np.ndarray, pattern: Pattern) -> None:
    """Correct all groups of an integration (float32[group, y, x]) but the first, relative to which they are measured; in place."""
    for group in ramp[1:]:
        _take(group, ramp[0])
        correct_image(group, pattern, ramp[0])
