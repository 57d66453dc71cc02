"""Where the spectral orders of NIRISS SOSS fall, by the PASTASOSS reference: traces that turn with the pupil wheel."""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_

HALF_WIDTH = 16
"""Rows that are masked above and below the centre of a trace."""
LAST_ROW = 255.0
"""Of SUBSTRIP256: turned traces end there."""
ROWS_BELOW = 10
"""Rows of SUBSTRIP256 below the first of SUBSTRIP96."""


def lit_pixels(path: str, position: float | None, subarray: str, shape: tuple[int, int]) -> np.ndarray:
    """Pixels on and beside the traces of all orders of a reference (flat indices, int64[n]).

    Parameters
    ----------
    path : str
        PASTASOSS reference.
    position : float
        Of the pupil wheel, degrees (PWCPOS).
    subarray : str
    shape : (int, int)
        Of the frame (y, x).

    Raises
    ------
    InputError
        When the position is not known, or not one that the reference covers.
    ReferenceError_
        When the reference cannot be used.
    """
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.PastasossModel(path) as model:
            tree = {
                name: getattr(model.meta, name) for name in ("pwcpos_cmd", "pwcpos_bounds", "wavemap_wlmin", "wavemap_wlmax", "wavemap_nwl")
            }
            orders = [(trace, _wavelengths_of(model, i)) for i, trace in enumerate(model.traces)]
            low, high = tree["pwcpos_bounds"]
            if position is None or not low <= position <= high:
                raise InputError(f"the pupil wheel's position (PWCPOS) is {position}; the traces of {path} are known from {low} to {high}")
            grid = np.linspace(tree["wavemap_wlmin"], tree["wavemap_wlmax"], tree["wavemap_nwl"])
            offset = float(position - tree["pwcpos_cmd"])
            mask = np.zeros(shape, bool)
            for trace, wavelengths in orders:
                mask |= _beside(*_trace(trace, wavelengths, offset, subarray, grid), shape)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ReferenceError_(
            f"the pastasoss reference {path} cannot be used ({type(error).__name__}: {error}); give another with override_pastasoss"
        ) from error
    return np.flatnonzero(mask)


def _wavelengths_of(model: Any, index: int) -> Any:
    found = model.wavecal_models[index]
    return np.asarray(found.coefficients, float), np.asarray(found.scale_extents, float)


def _trace(trace: Any, wavelengths: Any, offset: float, subarray: str, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of one order at the wavelengths of a grid, extrapolated in straight lines."""
    x, y = np.array(trace.trace, float).T
    if subarray == "SUBSTRIP96":
        y = y - ROWS_BELOW
    x, y = _turned(x, y, offset, float(trace.pivot_x), float(trace.pivot_y))
    coefficients, extents = wavelengths
    low, high = extents
    wave = _polynomial(coefficients, (x - low[0]) / (high[0] - low[0]), (offset - low[1]) / (high[1] - low[1]))
    order = np.argsort(wave)
    return _extended(grid, wave[order], x[order]), _extended(grid, wave[order], y[order])


def _turned(x: np.ndarray, y: np.ndarray, angle: float, pivot_x: float, pivot_y: float) -> tuple[np.ndarray, np.ndarray]:
    """A trace turned (degrees) about a pivot, at its own columns; without what leaves the subarray."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    dx, dy = x - pivot_x, y - pivot_y
    new_x, new_y = c * dx - s * dy + pivot_x, s * dx + c * dy + pivot_y
    order = np.argsort(new_x, kind="stable")
    turned = _extended(x, new_x[order], new_y[order])
    inside = turned <= LAST_ROW
    return x[inside], turned[inside]


def _extended(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Linear interpolation in ascending `x`, going on beyond the ends as between the last two points."""
    out = np.interp(at, x, y)
    for beyond, i, j in ((at < x[0], 0, 1), (at > x[-1], -1, -2)):
        out[beyond] = y[i] + (at[beyond] - x[i]) * (y[j] - y[i]) / (x[j] - x[i])
    return np.asarray(out)


def _polynomial(coefficients: np.ndarray, x: np.ndarray, y: float) -> np.ndarray:
    """Polynomial of two variables, whose terms come by degree: 1, x, y, x**2, xy, y**2, ..."""
    out, term, degree = np.zeros_like(x), 0, 0
    while term + degree < len(coefficients):
        for power in range(degree + 1):
            out += coefficients[term + power] * x ** (degree - power) * y**power
        term += degree + 1
        degree += 1
    return out


def _beside(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mask (bool[y, x]) of the pixels beside a trace."""
    order = np.argsort(x)
    centre = np.interp(np.arange(shape[1]), x[order], y[order])
    row = np.arange(shape[0])[:, None]
    return np.asarray((row >= np.floor(centre - HALF_WIDTH)) & (row <= np.ceil(centre + HALF_WIDTH)))
