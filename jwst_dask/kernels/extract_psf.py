"""How well a PSF laid over a spectral image describes it, for a given shift.

Notation as in `jwst_dask.kernels.extract`.
"""

from __future__ import annotations

import math

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.extract import invert_symmetric


@jit
def _column(psf, turned, k, spectral, spatial, shift, out):  # type: ignore[no-untyped-def]
    """Normalised profile of dispersion element k; zero where the PSF has no value, or no light falls on the element."""
    rows, columns = psf.shape
    total = 0.0
    for j in range(len(out)):
        across, along = spatial[k, j] + shift, spectral[k, j]
        y, x = (along, across) if turned else (across, along)
        value = 0.0
        if 0.0 <= y <= rows - 1 and 0.0 <= x <= columns - 1:  # (never for NaN)
            r, c = min(int(y), max(rows - 2, 0)), min(int(x), max(columns - 2, 0))
            r1, c1 = min(r + 1, rows - 1), min(c + 1, columns - 1)
            t, u = y - r, x - c
            value = (psf[r, c] * (1 - u) + psf[r, c1] * u) * (1 - t) + (psf[r1, c] * (1 - u) + psf[r1, c1] * u) * t
        if not math.isfinite(value):
            value = 0.0
        out[j] = value
        total += value
    for j in range(len(out)):
        out[j] = out[j] / total if total != 0.0 else 0.0


@jit
def _solve(design, image, variance, k, work, coefficients):  # type: ignore[no-untyped-def]
    """Least squares of element k on the columns of `design`; zeros where it cannot be solved."""
    npar = len(coefficients)
    matrix, vectors, inverse, vector = work[0], work[1], work[2], work[3, 0]
    matrix[:] = 0.0
    vector[:] = 0.0
    coefficients[:] = 0.0
    for j in range(design.shape[1]):
        lit = False
        for p in range(1, npar):
            lit |= design[p, j] != 0.0
        if not (lit and math.isfinite(image[k, j]) and math.isfinite(variance[k, j])):
            continue
        for p in range(npar):
            vector[p] += design[p, j] * image[k, j]
            for q in range(npar):
                matrix[p, q] += design[p, j] * design[q, j]
    if invert_symmetric(matrix, vectors, inverse):
        for p in range(npar):
            for q in range(npar):
                coefficients[p] += inverse[p, q] * vector[q]


@jit
def psf_misfit(psf, turned, spectral, spatial, shift, nod, image, variance):  # type: ignore[no-untyped-def]
    """Sum of squared residuals over variance after a fit of a constant and the PSF to every dispersion element.

    Parameters
    ----------
    psf : float64[2-D]
        Wavelength along its second axis; along the first if `turned`.
    turned : bool
    spectral, spatial : float64[along, across]
        Index into the PSF along its wavelength and spatial axis.
    shift : float
        Added to `spatial`.
    nod : float
        Shift of a negative PSF relative to the first; NaN: there is none.
    image, variance : float64[along, across]
        NaN where unusable.

    Returns
    -------
    float
        Elements that cannot be fitted count with a model of zero.
    """
    nk, nj = image.shape
    npar = 2 if math.isnan(nod) else 3
    design, work, coefficients = np.ones((npar, nj)), np.empty((4, npar, npar)), np.empty(npar)
    misfit = 0.0
    for k in range(nk):
        _column(psf, turned, k, spectral, spatial, shift, design[1])
        if npar == 3:
            _column(psf, turned, k, spectral, spatial, shift + nod, design[2])
            for j in range(nj):
                design[2, j] = -design[2, j]
        _solve(design, image, variance, k, work, coefficients)
        for j in range(nj):
            model = 0.0
            for p in range(npar):
                model += coefficients[p] * design[p, j]
            term = (model - image[k, j]) ** 2 / variance[k, j]
            if not math.isnan(term):
                misfit += term
    return misfit
