"""Where the pixels of a slit fall on a plane that is a smooth function of slit position and wavelength."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit


def nodes(low: float, high: float, count: int) -> np.ndarray:
    """Chebyshev points of an interval (float64[count], increasing)."""
    half = 0.5 * (high - low)
    return 0.5 * (low + high) - half * np.cos(np.pi * (np.arange(count) + 0.5) / count)


def surface(u: np.ndarray, v: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coefficients of the polynomial through values at the points of two axes.

    Parameters
    ----------
    u, v : float64[i], float64[j]
        Points, between -1 and 1.
    values : float64[i, j]

    Returns
    -------
    float64[i, j]
        Coefficient of ``u**i * v**j``.
    """
    return np.asarray(np.linalg.solve(np.vander(v, increasing=True), np.linalg.solve(np.vander(u, increasing=True), values).T).T)


@jit
def evaluate(ys, wave, scale, first, second):  # type: ignore[no-untyped-def]
    """Both coordinates of the plane at every pixel, and their ranges.

    Parameters
    ----------
    ys, wave : float64[y, x]
        Slit position and wavelength; NaN outside the slit.
    scale : float64[4]
        Centre and half width of `ys`, then of `wave`: what the polynomials take as -1 to 1.
    first, second : float64[i, j]
        Polynomials of `surface`.

    Returns
    -------
    plane : float64[2, y, x]
        NaN outside the slit.
    limits : float64[4]
        Smallest and largest value of each coordinate (infinite without pixels).
    """
    rows, columns = ys.shape
    plane = np.full((2, rows, columns), np.nan)
    limits = np.array([np.inf, -np.inf, np.inf, -np.inf])
    degree_u, degree_v = first.shape
    for y in range(rows):
        for x in range(columns):
            if not (np.isfinite(ys[y, x]) and np.isfinite(wave[y, x])):
                continue
            u = (ys[y, x] - scale[0]) / scale[1]
            v = (wave[y, x] - scale[2]) / scale[3]
            a = 0.0
            b = 0.0
            for i in range(degree_u - 1, -1, -1):
                inner_a = 0.0
                inner_b = 0.0
                for j in range(degree_v - 1, -1, -1):
                    inner_a = inner_a * v + first[i, j]
                    inner_b = inner_b * v + second[i, j]
                a = a * u + inner_a
                b = b * u + inner_b
            plane[0, y, x] = a
            plane[1, y, x] = b
            limits[0] = min(limits[0], a)
            limits[1] = max(limits[1], a)
            limits[2] = min(limits[2], b)
            limits[3] = max(limits[3], b)
    return plane, limits


@jit
def interpolate(knots, values, at):  # type: ignore[no-untyped-def]
    """Linear interpolation at pixels whose values change slowly along rows (several times faster than `numpy.interp`).

    Parameters
    ----------
    knots, values : float64[knot]
        Increasing knots.
    at : float64[y, x]

    Returns
    -------
    float64[y, x]
        NaN outside the knots.
    """
    rows, columns = at.shape
    out = np.full((rows, columns), np.nan)
    last = len(knots) - 1
    for y in range(rows):
        i = 0
        for x in range(columns):
            value = at[y, x]
            if not (knots[0] <= value <= knots[last]):
                continue
            while i < last - 1 and knots[i + 1] < value:
                i += 1
            while i > 0 and knots[i] > value:
                i -= 1
            slope = (values[i + 1] - values[i]) / (knots[i + 1] - knots[i])
            out[y, x] = values[i] + slope * (value - knots[i])
    return out
