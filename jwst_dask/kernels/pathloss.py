"""Path losses of slits: the share of a source's light that gets through, by its place in the slit and by wavelength.

Document: "Path Loss Correction" of the JWST pipeline documentation.
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit

HALF = 0.5
TINY = 1e-9
RINGS, SECTORS, SIDE = 128, 96, 181
"""Samples of a profile: of equal light around its centre, and on a square grid beyond."""


def at_place(cube: np.ndarray, column: float, row: float) -> np.ndarray | None:
    """A map of path losses at one place, bilinearly.

    Parameters
    ----------
    cube : float32[wave, y, x]
    column, row : float
        Indices from 0, not on the last column or row.

    Returns
    -------
    float32[wave] or float64[wave] or None
        In double precision if `column` and `row` are `numpy.float64`; None outside the map.
    """
    ny, nx = cube.shape[1:]
    if not (0 <= column < nx - 1 and 0 <= row < ny - 1):
        return None
    j, i = int(column), int(row)
    right, up = column - j, row - i
    left, down = 1.0 - right, 1.0 - up
    vector = (
        left * down * cube[:, i, j] + left * up * cube[:, i + 1, j] + right * down * cube[:, i, j + 1] + right * up * cube[:, i + 1, j + 1]
    )
    return np.asarray(vector)


def at_wavelengths(wavelength: np.ndarray, grid: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Interpolate path losses linearly to the wavelength of each pixel.

    Parameters
    ----------
    wavelength : float32 or float64[y, x]
        Micron.
    grid : float32 or float64[wave]
        Micron, increasing.
    vector : float32 or float64[wave]

    Returns
    -------
    float32[y, x]
        NaN without a wavelength, at and below the first of `grid`, and above the last.
    """
    out = np.empty(wavelength.shape, np.float32)
    given = (np.ascontiguousarray(array) for array in (wavelength, grid.astype(np.float64), vector.astype(np.float64)))
    _at_wavelengths(*given, out)
    return out


@jit
def _at_wavelengths(wavelength, grid, vector, out):  # type: ignore[no-untyped-def]
    n, k = grid.size, 1
    for y in range(wavelength.shape[0]):
        for x in range(wavelength.shape[1]):
            w = np.float64(wavelength[y, x])
            if not (grid[0] < w <= grid[n - 1]):
                out[y, x] = np.nan
                continue
            while grid[k] < w:
                k += 1
            while grid[k - 1] >= w:
                k -= 1
            share = (w - grid[k - 1]) / (grid[k] - grid[k - 1])
            out[y, x] = vector[k - 1] + share * (vector[k] - vector[k - 1])


def node_weights(column: np.ndarray, row: np.ndarray, weight: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Weights of the nodes of a map for light that is spread over many places, bilinearly.

    Parameters
    ----------
    column, row, weight : float64[sample]
        Indices from 0, and the light there; what is outside the map does not get through.
    shape : (int, int)
        Rows and columns of the map.

    Returns
    -------
    float64[y, x]
        ``numpy.tensordot(map, weights, 2)`` is the share that gets through.
    """
    ny, nx = shape
    out = np.zeros(ny * nx)
    inside = (column >= 0) & (column <= nx - 1) & (row >= 0) & (row <= ny - 1) & np.isfinite(weight)
    column, row, weight = column[inside], row[inside], weight[inside]
    j, i = (np.minimum(place.astype(np.intp), n - 2) for place, n in ((column, nx), (row, ny)))
    right, up = column - j, row - i
    for di, dj, share in ((0, 0, (1 - up) * (1 - right)), (0, 1, (1 - up) * right), (1, 0, up * (1 - right)), (1, 1, up * right)):
        out += np.bincount((i + di) * nx + j + dj, weight * share, ny * nx)
    return out.reshape(ny, nx)


def sersic(half_light: float, index: float, ratio: float, axes: np.ndarray,
           box: tuple[float, float, float, float]) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Samples of an elliptical Sersic profile (a Gaussian for index 0.5) in the coordinates of a slit.

    The core is sampled in rings of equal light, the rest on a grid of `SIDE` by `SIDE` cells within a box, with a smooth
    transition; so steep cores and sources much wider than the box are both represented.

    Parameters
    ----------
    half_light : float
        Radius along the major axis of the ellipse with half of the light, in arcsec.
    index : float
        Sersic index.
    ratio : float
        Minor to major axis.
    axes : float64[2, 2]
        Takes (x, y) in the slit to arcsec along (major, minor) axis.
    box : (float, float, float, float)
        Least and greatest x, then y, that matter, from the centre of the source.

    Returns
    -------
    x, y, width, height, light : float64[sample]
        Place from the centre of the source, size of the cell around it, and light, of 1 in all (less where the box cuts the source).
    """
    from scipy.special import gammainc, gammaincinv, gammaln

    if half_light <= 0:
        return np.zeros(1), np.zeros(1), np.full(1, TINY), np.full(1, TINY), np.ones(1)
    b = float(gammaincinv(2 * index, 0.5))
    reach = half_light * float(gammaincinv(2 * index, 0.9999) / b) ** index
    back = np.linalg.inv(axes)
    size = reach * np.hypot(back[:, 0], back[:, 1])
    low, high = np.maximum(-size, box[0::2]), np.minimum(size, box[1::2])
    steps = np.maximum(high - low, 0) / SIDE
    # a cell's size, as a radius of the ellipse
    cell = max(np.hypot(u, v / ratio) for u, v in (axes * steps).T)
    core = 10 * cell
    light = float(gammainc(2 * index, b * (core / half_light) ** (1 / index)))
    radius = half_light * np.power(gammaincinv(2 * index, (np.arange(RINGS) + HALF) / RINGS * light) / b, index)
    angle = 2 * np.pi * (np.arange(SECTORS) + HALF) / SECTORS
    rings = back @ np.stack([np.outer(radius, np.cos(angle)).ravel(), ratio * np.outer(radius, np.sin(angle)).ravel()])
    grid = np.stack(
        [plane.ravel() for plane in np.meshgrid(*(lo + (np.arange(SIDE) + HALF) * step for lo, step in zip(low, steps, strict=True)))]
    )
    u, v = axes @ grid
    r = np.hypot(u, v / ratio)
    peak = np.exp(2 * index * np.log(b) - gammaln(2 * index)) / (2 * np.pi * index * half_light**2 * ratio)
    density = peak * np.exp(-b * np.power(r / half_light, 1 / index)) * abs(np.linalg.det(axes))
    weight = np.concatenate(
        [np.full(rings.shape[1], light / rings.shape[1]), density * steps.prod() * np.clip((r - core) / cell + HALF, 0, 1)]
    )
    if (low == -size).all() and (high == size).all():
        weight /= weight.sum()
    x, y = np.concatenate([rings, grid], axis=1)
    width, height = (np.concatenate([np.full(rings.shape[1], TINY), np.full(grid.shape[1], max(step, TINY))]) for step in steps)
    return x, y, width, height, weight
