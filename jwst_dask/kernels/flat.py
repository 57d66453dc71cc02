"""Flats of NIRSpec spectra: fore optics (F), spectrograph (S) and detector (D), each an image times a table in wavelength.

Document: "Flat Field Correction", NIRSpec spectroscopic data, of the JWST pipeline documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jwst_dask.kernels.scale import DO_NOT_USE

NO_FLAT_FIELD = np.uint32(1 << 18)
UNRELIABLE_FLAT = np.uint32(1 << 25)
MISSING = DO_NOT_USE | NO_FLAT_FIELD
BAD = MISSING | UNRELIABLE_FLAT

# Gauss-Legendre rule of three points on an interval of unit width. Double precision scalars keep the points double
# where wavelengths are float32.
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
        `data` float32[plane, y, x]; `err` and `dq` [plane, y, x], or [y, x] for all planes.
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
        return Flat(planes[0].copy(), err.reshape(wavelength.shape).copy(), dq.reshape(wavelength.shape).copy())
    lower = np.clip(np.searchsorted(plane_wavelength[:n], wavelength, side="right") - 1, 0, n - 2)
    step = plane_wavelength[lower + 1] - plane_wavelength[lower]
    none = step == 0
    part = np.where(none, 0.0, (wavelength - plane_wavelength[lower]) / np.where(none, step.dtype.type(1), step)).astype(wavelength.dtype)
    y, x = np.ogrid[: wavelength.shape[0], : wavelength.shape[1]]
    at, after = (lower, y, x), (lower + 1, y, x)
    data = (1 - part) * planes[at] + part * planes[after]
    err = (1 - part) * err[at] + part * err[after] if err.ndim == 3 else err.copy()
    dq = np.where(part == 0, dq[at], dq[at] | dq[after]) if dq.ndim == 3 else dq.copy()
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
    values = np.zeros_like(where.centre)
    for point, weight in zip(_POINTS, _WEIGHTS, strict=True):
        at = where.centre + where.width * point
        values += weight * np.interp(at, table.wavelength, table.data, left=np.nan, right=np.nan)
    error = np.interp(where.centre, table.wavelength, table.err, left=np.nan, right=np.nan)
    unknown = where.raw <= 0
    values[unknown] = 1
    missing = np.isnan(values)
    values[missing] = 1
    error[unknown | missing] = 0
    image = 1.0 if flat is None else flat.data
    variance = np.nan_to_num(np.square(error * image), nan=0.0, posinf=np.inf)
    dq = np.zeros(values.shape, np.uint32)
    if flat is not None and flat.err is not None:
        variance = variance + np.nan_to_num(np.square(flat.err * values), nan=0.0, posinf=np.inf)
    if flat is not None and flat.dq is not None:
        dq |= flat.dq
    dq[missing] |= MISSING
    return Flat(image * values, np.sqrt(variance), dq)


def fore_optics(table: Table, where: Pixels) -> Flat:
    """F flat of a slit: a table only. It carries the flux scale, so there is no neutral value: bad pixels are NaN."""
    flat = with_table(None, table, where)
    assert flat.dq is not None
    dq = np.where(np.isnan(flat.data) | (flat.data == 0), flat.dq | MISSING, flat.dq)
    return Flat(np.where((dq & DO_NOT_USE) != 0, flat.data.dtype.type(np.nan), flat.data), flat.err, dq)


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
