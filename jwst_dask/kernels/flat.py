"""Flats of NIRSpec spectra: fore optics (F), spectrograph (S) and detector (D), each an image times a table in wavelength.

Document: "Flat Field Correction", NIRSpec spectroscopic data, of the JWST pipeline documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.scale import DO_NOT_USE

NO_FLAT_FIELD = np.uint32(1 << 18)
UNRELIABLE_FLAT = np.uint32(1 << 25)
MISSING = DO_NOT_USE | NO_FLAT_FIELD
BAD = MISSING | UNRELIABLE_FLAT

# Gauss-Legendre rule of three points on an interval of unit width.
_POINTS = np.array([-np.sqrt(0.15), 0.0, np.sqrt(0.15)])
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0


class Flat(NamedTuple):
    """A flat on the pixels of a spectrum: float32[y, x], error float32 or float64[y, x], DQ uint32[y, x]; None: not known."""

    data: np.ndarray
    err: np.ndarray | None
    dq: np.ndarray | None


class Table(NamedTuple):
    """Fast variation with wavelength: increasing wavelengths, factors and their errors, float32[row] each."""

    wavelength: np.ndarray
    data: np.ndarray
    err: np.ndarray


class Pixels(NamedTuple):
    """Wavelengths of the pixels of a spectrum, in the unit of the tables (micron); made by `pixels`.

    `raw`: as given, NaN replaced by 0; `centre`: with gaps filled; `width`: along dispersion.
    """

    raw: np.ndarray
    centre: np.ndarray
    width: np.ndarray


def pixels(wavelength: np.ndarray, dispaxis: int) -> Pixels:
    """Centres and widths of pixels in wavelength, also where the wavelength is not known.

    Unknown (NaN, zero or negative) wavelengths become the mean of their column (across dispersion), and columns
    without any take over the nearest column that has one, where that is the first or last of the spectrum.

    Parameters
    ----------
    wavelength : float32 or float64[y, x]
    dispaxis : int
        1 when x is along dispersion, 2 when y is; otherwise nothing is filled and widths are zero.
    """
    raw = np.where(np.isnan(wavelength), wavelength.dtype.type(0), wavelength)
    if dispaxis not in (1, 2):
        return Pixels(raw, raw.copy(), np.zeros_like(raw))
    lines = np.ascontiguousarray(raw.T if dispaxis == 1 else raw)
    lines = np.where(lines > 0, lines, lines.dtype.type(np.nan))
    known = np.flatnonzero(np.isfinite(lines).any(axis=1))
    if known.size:
        part = lines[known]
        lines[known] = np.where(np.isnan(part), np.nanmean(part, axis=1, keepdims=True), part)
        lines[: known[0]] = lines[known[0]]
        lines[known[-1] :] = lines[known[-1]]
    width = np.zeros_like(lines)
    if len(lines) > 1:
        width[:-1] = np.diff(lines, axis=0)
        width[-1] = width[-2]
    return Pixels(raw, lines.T, width.T) if dispaxis == 1 else Pixels(raw, lines, width)


def usable(table: Table) -> Table:
    """The rows of a table with a positive wavelength and a factor that is neither NaN nor zero."""
    good = (table.wavelength > 0) & ~np.isnan(table.data) & (table.data != 0)
    return Table(*(column[good] for column in table))


def image_at(wavelength: np.ndarray, flat: Flat, plane_wavelength: np.ndarray) -> Flat:
    """Interpolate an image flat with a wavelength axis linearly to the wavelength of each pixel.

    Parameters
    ----------
    wavelength : float32 or float64[y, x]
        No NaN.
    flat : Flat
        `data` float32[plane, y, x]; `err` and `dq` [plane, y, x], or [y, x] for all planes. Anything that is indexed like
        an array will do; only the two planes next to the wavelength of a pixel are looked at.
    plane_wavelength : float32[plane]
        Increasing.

    Returns
    -------
    Flat
        Of shape (y, x); 1 and DO_NOT_USE outside the planes. A single plane is taken as it is, at every wavelength.
    """
    planes, err, dq = flat
    assert err is not None and dq is not None
    n = len(planes)
    if n == 1:
        shape = wavelength.shape
        return Flat(*(np.array(a[...]).reshape(shape) for a in (planes, err, dq)))
    lower = np.clip(np.searchsorted(plane_wavelength[:n], wavelength, side="right") - 1, 0, n - 2)
    step = plane_wavelength[lower + 1] - plane_wavelength[lower]
    none = step == 0
    part = np.where(none, 0.0, (wavelength - plane_wavelength[lower]) / np.where(none, step.dtype.type(1), step)).astype(wavelength.dtype)
    y, x = np.ogrid[: wavelength.shape[0], : wavelength.shape[1]]
    at, after = (lower, y, x), (lower + 1, y, x)
    data = (1 - part) * planes[at] + part * planes[after]
    err = (1 - part) * err[at] + part * err[after] if err.ndim == 3 else np.array(err[...])
    dq = np.where(part == 0, dq[at], dq[at] | dq[after]) if dq.ndim == 3 else np.array(dq[...])
    dq[(wavelength < plane_wavelength[0]) | (wavelength > plane_wavelength[-1])] |= DO_NOT_USE
    data[(dq & DO_NOT_USE) != 0] = 1
    return Flat(data.astype(planes.dtype), err, dq)


def neutral(flat: Flat) -> Flat:
    """An image flat that is 1 where it is unusable; NaN and zero are flagged NO_FLAT_FIELD and DO_NOT_USE."""
    assert flat.dq is not None
    dq = np.where(np.isnan(flat.data) | (flat.data == 0), flat.dq | MISSING, flat.dq)
    return Flat(np.where((dq & DO_NOT_USE) != 0, flat.data.dtype.type(1), flat.data), flat.err, dq)


def with_table(flat: Flat | None, table: Table, where: Pixels) -> Flat:
    """Multiply an image flat (None: 1 everywhere, without error) by a table averaged over the width of each pixel.

    A pixel that reaches beyond the table, or has no neighbour to tell its width, is flagged NO_FLAT_FIELD and DO_NOT_USE
    and keeps the image's factor; so does, unflagged, a pixel without a wavelength.
    """
    values, error, missing = averages(table, where)
    image = 1.0 if flat is None else flat.data
    variance = np.nan_to_num(np.square(error * image), nan=0.0, posinf=np.inf)
    dq = np.zeros(values.shape, np.uint32)
    if flat is not None and flat.err is not None:
        variance = variance + np.nan_to_num(np.square(flat.err * values), nan=0.0, posinf=np.inf)
    if flat is not None and flat.dq is not None:
        dq |= flat.dq
    dq[missing] |= MISSING
    return Flat(image * values, np.sqrt(variance), dq)


def averages(table: Table, where: Pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table's factors averaged over the width of each pixel, and its errors at their centres.

    Returns
    -------
    values : float32 or float64[y, x]
        In the precision of the wavelengths; 1 where there is no wavelength, or none in the table.
    error : float64[y, x]
        0 there.
    missing : bool[y, x]
        Where the pixel has a wavelength, but (part of) it is not in the table.

    Raises
    ------
    ValueError
        For a table without rows.
    """
    if not len(table.wavelength):
        raise ValueError("its table has no usable rows")
    columns = [np.ascontiguousarray(column, dtype=np.float64) for column in table]
    raw, centre, width = (np.ascontiguousarray(plane) for plane in where)
    values, error, missing = np.ones_like(centre), np.zeros(centre.shape), np.zeros(centre.shape, np.bool_)
    _averages(centre.ravel(), width.ravel(), raw.ravel(), *columns, _POINTS, _WEIGHTS, values.ravel(), error.ravel(), missing.ravel())
    return values, error, missing


@jit
def _interval(x, grid, guess):  # type: ignore[no-untyped-def]
    """Index j of grid[j] <= x < grid[j + 1], from a guess; -1 and len(grid) outside. The last node is in the last place."""
    n = grid.size
    if x < grid[0]:
        return -1
    if x > grid[n - 1]:
        return n
    j = min(max(guess, 0), n - 1)
    for _ in range(3):  # neighbouring pixels are mostly in neighbouring intervals
        if x < grid[j]:
            j -= 1
        elif j < n - 1 and x >= grid[j + 1]:
            j += 1
        else:
            return j
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        if x < grid[middle]:
            high = middle
        else:
            low = middle
    return low


@jit
def _linear(x, grid, column, j):  # type: ignore[no-untyped-def]
    """Value at x in interval j: linear, exact on nodes, NaN outside; the order of operations of `numpy.interp`."""
    n = grid.size
    if j < 0 or j >= n or np.isnan(x):
        return np.nan
    if j == n - 1 or grid[j] == x:
        return column[j]
    slope = (column[j + 1] - column[j]) / (grid[j + 1] - grid[j])
    value = slope * (x - grid[j]) + column[j]
    if np.isnan(value):
        value = slope * (x - grid[j + 1]) + column[j + 1]
        if np.isnan(value) and column[j] == column[j + 1]:
            value = column[j]
    return value


@jit
def _averages(centre, width, raw, grid, factor, table_error, points, weights, values, error, missing):  # type: ignore[no-untyped-def]
    j = 0
    for i in range(centre.size):
        if raw[i] <= 0:
            continue
        # widened before anything is added: positions are in double precision whatever the wavelengths are
        x, w = np.float64(centre[i]), np.float64(width[i])
        values[i] = 0
        for k in range(points.size):
            at = x + w * points[k]
            j = _interval(at, grid, j)
            # rounded to the precision of `values` after each point
            values[i] += weights[k] * _linear(at, grid, factor, j)
        j = _interval(x, grid, j)
        e = _linear(x, grid, table_error, j)
        if np.isnan(values[i]):
            values[i] = 1
            missing[i] = True
        else:
            error[i] = e


def fore_optics(table: Table, where: Pixels, image_err: np.ndarray | None = None) -> Flat:
    """F flat of a slit: a table only. It carries the flux scale, so there is no neutral value: bad pixels are NaN.

    `image_err` (float64[y, x]): a further error to be added in quadrature, relative to the table.
    """
    image = None if image_err is None else Flat(np.ones((), np.float32), image_err, None)
    flat = with_table(image, table, where)
    assert flat.dq is not None
    dq = np.where(np.isnan(flat.data) | (flat.data == 0), flat.dq | MISSING, flat.dq)
    return Flat(np.where((dq & DO_NOT_USE) != 0, flat.data.dtype.type(np.nan), flat.data), flat.err, dq)


def shutter_factor(table: Table, wavelength: np.ndarray, data: np.ndarray) -> Table:
    """A table times the flat of one shutter (float32[plane]), given at `wavelength` (float32[plane]) and 1 beyond."""
    factor = table.data.astype(np.float64) * np.interp(table.wavelength, wavelength, data, 1.0, 1.0)
    return table._replace(data=factor.astype(table.data.dtype))


def combine(parts: Sequence[Flat | None], shape: tuple[int, int]) -> Flat:
    """Product of the component flats that are there (None: none), with relative errors added in quadrature.

    Where any part is bad, DQ has DO_NOT_USE, NO_FLAT_FIELD and UNRELIABLE_FLAT, and the flat is 1; where the product is
    zero or negative it is NaN. Without any part all pixels are bad.

    Returns
    -------
    Flat
        float32, float32, uint32, of `shape`.
    """
    given = [part for part in parts if part is not None]
    data = np.ones(shape, np.float32)
    dq = np.full(shape, 0 if given else BAD, np.uint32)
    for part in given:
        data = data * part.data
        if part.dq is not None:
            dq |= part.dq
    relative = np.zeros_like(data)
    for part in given:
        if part.err is not None:
            # relative before it is squared: squares of small flats underflow
            relative += np.square(part.err / np.where(part.data == 0, part.data.dtype.type(1), part.data))
    err = data * np.sqrt(relative)
    dq[(dq & (NO_FLAT_FIELD | DO_NOT_USE)) != 0] |= BAD
    data[(dq & DO_NOT_USE) != 0] = 1
    negative = data <= 0
    data[negative] = np.nan
    dq[negative] |= BAD
    return Flat(data.astype(np.float32), err.astype(np.float32), dq)
