"""Extraction by fitting spatial profiles, and a polynomial background, to each dispersion element; columns of the result.

Notation as in `jwst_dask.kernels.extract`.
"""

from __future__ import annotations

import math

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.extract import (
    BKG,
    BKG_POISSON,
    FLUX,
    NO_PIXELS,
    NPIXELS,
    NSUMS,
    POISSON,
    _gather,
    _keep_model,
    invert_symmetric,
)

COLUMNS = (
    "WAVELENGTH", "FLUX", "FLUX_ERROR", "FLUX_VAR_POISSON", "FLUX_VAR_RNOISE", "FLUX_VAR_FLAT",
    "SURF_BRIGHT", "SB_ERROR", "SB_VAR_POISSON", "SB_VAR_RNOISE", "SB_VAR_FLAT", "DQ",
    "BACKGROUND", "BKGD_ERROR", "BKGD_VAR_POISSON", "BKGD_VAR_RNOISE", "BKGD_VAR_FLAT", "NPIXELS",
)  # fmt: skip
"""Spectral columns in file order; `spectral_columns` fills them in this order."""


@jit
def _good(planes, k, j):  # type: ignore[no-untyped-def]
    return math.isfinite(planes[0, k, j]) and math.isfinite(planes[2, k, j] + planes[1, k, j] + planes[3, k, j])


@jit
def _fit_column(planes, k, design, target, work, shares, coefficients):  # type: ignore[no-untyped-def]
    """Unweighted least squares of column k; `shares[j, p]` is what pixel j adds to coefficient p per unit of data."""
    nj, npar = shares.shape
    matrix, vectors, inverse = work[0], work[1], work[2]
    matrix[:] = 0.0
    coefficients[:] = 0.0
    shares[:] = 0.0
    for j in range(nj):
        if target[k, j] and _good(planes, k, j):
            for p in range(npar):
                for q in range(npar):
                    matrix[p, q] += design[k, j, p] * design[k, j, q]
    if not invert_symmetric(matrix, vectors, inverse):
        return
    for j in range(nj):
        if target[k, j] and _good(planes, k, j):
            for p in range(npar):
                for q in range(npar):
                    shares[j, p] += inverse[p, q] * design[k, j, q]
                coefficients[p] += shares[j, p] * planes[0, k, j]


@jit
def _profile_background(planes, k, design, nbasis, coefficients, sums):  # type: ignore[no-untyped-def]
    """Background that the profile alone would have collected, and what the joint fit adds to its variances."""
    nj = design.shape[1]
    weight, level = 0.0, 0.0
    for j in range(nj):
        if _good(planes, k, j):
            weight += design[k, j, nbasis] ** 2
    plain = np.zeros(3)
    for j in range(nj):
        share = design[k, j, nbasis] * _good(planes, k, j) / weight
        fitted = 0.0
        for p in range(nbasis):
            fitted += coefficients[p] * design[k, j, p]
        level += share * fitted
        for m in range(3):
            plain[m] += planes[m + 1, k, j] * share * share
    sums[BKG] = level if math.isfinite(level) else 0.0
    for m in range(3):
        extra = sums[POISSON + m] - plain[m]
        sums[BKG_POISSON + m] = 0.0 if extra <= 0.0 else extra


@jit
def _profile_column(planes, k, design, nbasis, shares, coefficients, sums, model):  # type: ignore[no-untyped-def]
    nj, npar = shares.shape
    norm, npixels = 0.0, 0.0
    sums[:] = 0.0
    for j in range(nj):
        norm += design[k, j, nbasis] ** 2
        model[j] = 0.0
        for p in range(npar):
            model[j] += coefficients[p] * design[k, j, p]
    for j in range(nj):
        npixels += design[k, j, nbasis] * _good(planes, k, j) / norm
        for m in range(3):
            product = shares[j, nbasis] ** 2 * planes[m + 1, k, j]
            if not math.isnan(product):
                sums[POISSON + m] += product
    sums[NPIXELS] = npixels
    sums[FLUX] = np.nan if abs(npixels) <= NO_PIXELS else coefficients[nbasis]
    if nbasis:
        _profile_background(planes, k, design, nbasis, coefficients, sums)


@jit
def profile_sums(sci, err, dq, poisson, rnoise, flat, profiles, region, basis, horizontal, sums, scene, residual):  # type: ignore[no-untyped-def]
    """Amplitude of the first of several profiles, fitted jointly with a polynomial background to every column.

    Parameters
    ----------
    sci, err, poisson, rnoise, flat : float32[integration, y, x]
    dq : uint32[integration, y, x]
    profiles : float64[profile, along, across]
        Normalised along `across`.
    region : float64[along, across]
        Non-zero where pixels outside the profiles join the fit (background).
    basis : float64[across, order + 1]
        Powers of the across coordinate; no columns: no background.
    horizontal : bool
    sums : float64[integration, 9, along]
        Filled in place; rows as in `jwst_dask.kernels.extract`.
    scene, residual : float32[integration or 0, y, x]
        Filled in place unless empty.
    """
    nprofile, nk, nj = profiles.shape
    nbasis = basis.shape[1]
    npar = nbasis + nprofile
    design, target = np.empty((nk, nj, npar)), np.empty((nk, nj), dtype=np.bool_)
    for k in range(nk):
        for j in range(nj):
            target[k, j] = region[k, j] != 0.0
            for p in range(nbasis):
                design[k, j, p] = basis[j, p]
            for p in range(nprofile):
                design[k, j, nbasis + p] = profiles[p, k, j]
                target[k, j] |= profiles[p, k, j] != 0.0
    planes = np.empty((4, nk, nj), dtype=np.float32)
    work, shares, coefficients = np.empty((3, npar, npar)), np.empty((nj, npar)), np.empty(npar)
    model, result = np.empty(nj), np.empty(NSUMS)
    for i in range(len(sci)):
        _gather(i, sci, err, dq, poisson, rnoise, flat, horizontal, 0, planes)
        for k in range(nk):
            _fit_column(planes, k, design, target, work, shares, coefficients)
            _profile_column(planes, k, design, nbasis, shares, coefficients, result, model)
            sums[i, :, k] = result
            _keep_model(i, k, planes, model, horizontal, scene, residual)


@jit
def interpolate_clamped(at, nodes, values, e):  # type: ignore[no-untyped-def]
    """`values[:, e]` at `at` on the ascending `nodes[:, e]`, linear, constant outside."""
    last = nodes.shape[0] - 1
    if at <= nodes[0, e]:
        return values[0, e]
    if at >= nodes[last, e]:
        return values[last, e]
    m = 0
    while at > nodes[m + 1, e]:
        m += 1
    t = (at - nodes[m, e]) / (nodes[m + 1, e] - nodes[m, e])
    return values[m, e] + t * (values[m + 1, e] - values[m, e])


@jit
def spectral_columns(sums, keep, wavelength, surface, flux_scale, variance_scale, area, factor, sizes, factors, out):  # type: ignore[no-untyped-def]
    """From sums to the columns of a spectrum: averages, units, errors, flags, aperture correction.

    Parameters
    ----------
    sums : float64[integration, 9, along]
    keep : int64[wavelength]
        Dispersion elements that the spectrum has.
    wavelength : float64[wavelength]
    surface : bool
        Whether surface brightness is filled (else zero).
    flux_scale, variance_scale : float
        From sums to flux density and its variance.
    area : float
        Divides the background (its square the variances).
    factor : float64[wavelength]
        Aperture correction, used when `sizes` is empty.
    sizes, factors : float64[size, wavelength]
        Aperture correction against the number of pixels, linear and clamped.
    out : float64[integration, 18, wavelength]
        Filled in place, in the order of `COLUMNS`.
    """
    for i in range(len(sums)):
        for e in range(len(keep)):
            k = keep[e]
            npixels = sums[i, NPIXELS, k]
            count = npixels if npixels > 0.0 else 1.0
            c = interpolate_clamped(npixels, sizes, factors, e) if len(sizes) else factor[e]
            square, flux = c * c, sums[i, FLUX, k] * flux_scale
            total, sb_total, bkg_total = 0.0, 0.0, 0.0
            for m in range(3):
                variance = sums[i, POISSON + m, k]
                brightness = variance / (count * count) if surface else 0.0
                background = sums[i, BKG_POISSON + m, k] / (count * count) / (area * area)
                variance *= variance_scale
                total += variance
                sb_total += brightness
                bkg_total += background
                out[i, 3 + m, e] = variance * square
                out[i, 8 + m, e] = brightness * square
                out[i, 14 + m, e] = background
            out[i, 0, e] = wavelength[e]
            out[i, 1, e] = flux * c
            out[i, 2, e] = math.sqrt(total) * c
            out[i, 6, e] = sums[i, FLUX, k] / count * c if surface else 0.0
            out[i, 7, e] = math.sqrt(sb_total) * c
            out[i, 11, e] = 1.0 if math.isnan(flux) else 0.0
            out[i, 12, e] = sums[i, BKG, k] / count / area
            out[i, 13, e] = math.sqrt(bkg_total)
            out[i, 17, e] = npixels
