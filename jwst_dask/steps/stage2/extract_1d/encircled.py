"""Aperture correction for any aperture, by the fraction of a point source's light that falls into it.

The reference's correction holds between the sizes that an APCORR reference tabulates and stays constant beyond. Its inverse is the
encircled energy, which rises from 0 (no aperture) to 1 (an infinite one): what interpolates and extrapolates well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jwst_dask.steps.stage2.extract_1d.psf import Psf

if TYPE_CHECKING:
    from jwst_dask.steps.stage2.extract_1d.geometry import Geometry

FARTHEST = 400
"""Largest number of pixels that a table is made for where each integration has its own."""


def factors_for(sizes: np.ndarray, factors: np.ndarray, npixels: np.ndarray) -> np.ndarray:
    """Correction for apertures of any size.

    Parameters
    ----------
    sizes, factors : float64[size, wavelength]
        Tabulated sizes (pixels, increasing) and corrections.
    npixels : float64[n, wavelength]
        Sizes of apertures.

    Returns
    -------
    float64[n, wavelength]
        1 where the aperture has no pixel, or the table nothing to tell.
    """
    energy = 1.0 / np.where(factors > 0, factors, 1.0)
    x, y = np.vstack([np.zeros((1, sizes.shape[1])), sizes]), np.vstack([np.zeros((1, sizes.shape[1])), energy])
    slopes = _slopes(x, y)
    out = np.ones(npixels.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        for row, size in zip(out, npixels, strict=True):
            row[:] = 1.0 / np.where(size <= x[-1], _cubic(x, y, slopes, size), _tail(x, y, size))
    out[~np.isfinite(out) | (npixels <= 0) | (sizes[0] <= 0)] = 1.0
    return out


def dense(sizes: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table so fine and wide that linear interpolation in it serves all sizes."""
    at = np.concatenate([np.arange(0.25, 20.0, 0.25), np.geomspace(20.0, FARTHEST, 60)])
    grid = np.repeat(at[:, None], sizes.shape[1], axis=1)
    return grid, factors_for(sizes, factors, grid)


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Derivatives at the nodes of a monotone cubic (Fritsch and Butland 1984; float64[node, wavelength])."""
    h, secant = np.diff(x, axis=0), np.diff(y, axis=0) / np.diff(x, axis=0)
    out = np.zeros(x.shape)
    if len(h) > 1:
        w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (w1 + w2) / (w1 / secant[:-1] + w2 / secant[1:])
        out[1:-1] = np.where(secant[:-1] * secant[1:] > 0, mean, 0.0)
        for end, a, b, ha, hb in ((0, secant[0], secant[1], h[0], h[1]), (-1, secant[-1], secant[-2], h[-1], h[-2])):
            edge = ((2 * ha + hb) * a - ha * b) / (ha + hb)
            edge = np.where(edge * a <= 0, 0.0, np.where((a * b <= 0) & (np.abs(edge) > 3 * np.abs(a)), 3 * a, edge))
            out[end] = edge
    else:
        out[:] = secant[0]
    return out


def _cubic(x: np.ndarray, y: np.ndarray, slopes: np.ndarray, at: np.ndarray) -> np.ndarray:
    last = np.clip((at[None, :] > x).sum(axis=0), 1, len(x) - 1)
    column = np.arange(x.shape[1])
    x0, x1, y0, y1, d0, d1 = (a[i, column] for a in (x, y, slopes) for i in (last - 1, last))
    h = x1 - x0
    t = (at - x0) / h
    value: np.ndarray = (
        y0 * (1 + 2 * t) * (1 - t) ** 2 + d0 * h * t * (1 - t) ** 2 + y1 * t**2 * (3 - 2 * t) + d1 * h * t**2 * (t - 1)
    )
    return value


def _tail(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Beyond the table the light outside falls off as a power of the size, as between the last two sizes."""
    missing = 1.0 - y[-1]
    if len(x) > 2:
        power = np.log((1.0 - y[-2]) / missing) / np.log(x[-1] / x[-2])
    else:
        power = np.ones(len(at))
    energy = 1.0 - missing * (at / x[-1]) ** -np.where(np.isfinite(power) & (power > 0), power, 0.0)
    value: np.ndarray = np.where(missing > 0, energy, y[-1])
    return value


def psf_factors(reference: Psf, geometry: Geometry) -> np.ndarray:
    """Correction from a PSF: one over its fraction in the aperture of each wavelength, wherever the source is in it.

    Parameters
    ----------
    reference : Psf
        Wavelength along the second axis of its data for spectra along x, else along the first.
    geometry : Geometry
        With the position of the source, else it counts as in the middle of the aperture.

    Returns
    -------
    float64[wavelength]
        1 where the PSF has no value.
    """
    from scipy.ndimage import map_coordinates

    from jwst_dask.steps.stage2.extract_1d.profile import column_centres

    aperture, keep = geometry.aperture, geometry.keep
    weights = geometry.profiles[0] if aperture.horizontal else geometry.profiles[0].T
    trace = geometry.source if geometry.source is not None else column_centres(geometry.profiles[0], aperture.horizontal)
    data = reference.data if aperture.horizontal else reference.data.T
    middle = reference.row if aperture.horizontal else reference.column
    order = np.argsort(reference.wave)
    order = order[np.isfinite(reference.wave[order])]
    spectral = np.interp(geometry.wavelength, reference.wave[order], order, left=np.nan, right=np.nan)
    reach = int(np.ceil(len(data) / reference.subpix)) + 1
    pixel = np.arange(-reach, len(weights) + reach)
    across = (pixel[:, None] - trace[keep][None, :]) * reference.subpix + middle
    light = map_coordinates(data, [across, np.broadcast_to(np.nan_to_num(spectral), across.shape)], order=1)
    inside = (light[reach : reach + len(weights)] * weights[:, keep]).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = light.sum(axis=0) / inside
    return np.where(np.isfinite(factor) & np.isfinite(spectral) & (factor > 0), factor, 1.0)
