"""Extraction of spectra from stacks of spectral images: box sums, fitted backgrounds, profile fits.

Notation: *along* is the dispersion axis (index k), *across* the other one (index j). Images are ``[integration, y, x]``;
`horizontal` says that x is along. A pixel is unusable where any plane is NaN or DO_NOT_USE is set. Sums are float64.
Method: JWST pipeline documents, "extract_1d"; Horne (1986) for profile-weighted extraction.
"""

from __future__ import annotations

import math

import numpy as np

from jwst_dask.kernels._jit import jit

FLUX, POISSON, RNOISE, FLAT, BKG, BKG_POISSON, BKG_RNOISE, BKG_FLAT, NPIXELS = range(9)
NSUMS = 9
NO_FIT, MEDIAN, POLYNOMIAL = range(3)
MAX_CONDITION = 1e10
"""Normal matrices with a larger condition number (2-norm) count as singular."""
MEDIAN_ERROR = 1.2
"""Uncertainty of a median over that of a mean."""
NO_PIXELS = 1e-8


@jit
def _usable(value, error, flag, poisson, rnoise, flat):  # type: ignore[no-untyped-def]
    return flag & 1 == 0 and not (
        math.isnan(value) or math.isnan(error) or math.isnan(poisson) or math.isnan(rnoise) or math.isnan(flat)
    )


@jit
def box_sums(sci, err, dq, poisson, rnoise, flat, profile, horizontal, sums):  # type: ignore[no-untyped-def]
    """Sums over an aperture, without background.

    Parameters
    ----------
    sci, err, poisson, rnoise, flat : float32[integration, y, x]
    dq : uint32[integration, y, x]
    profile : float64[y, x]
        Aperture weights.
    horizontal : bool
    sums : float64[integration, 9, along]
        Filled in place; rows are named by the constants of this module. Flux is NaN where no pixel counts.
    """
    n, ny, nx = sci.shape
    sums[:] = 0.0
    for i in range(n):
        for y in range(ny):
            for x in range(nx):
                w = profile[y, x]
                if w == 0.0:
                    continue
                value, p, r, f = sci[i, y, x], poisson[i, y, x], rnoise[i, y, x], flat[i, y, x]
                if not (_usable(value, err[i, y, x], dq[i, y, x], p, r, f) and math.isfinite(value)):
                    continue
                k = x if horizontal else y
                square = w * w
                sums[i, FLUX, k] += w * value
                sums[i, POISSON, k] += square * p
                sums[i, RNOISE, k] += square * r
                sums[i, FLAT, k] += square * f
                sums[i, NPIXELS, k] += w
        for k in range(sums.shape[2]):
            if abs(sums[i, NPIXELS, k]) <= NO_PIXELS:
                sums[i, FLUX, k] = np.nan


@jit
def _gather(i, sci, err, dq, poisson, rnoise, flat, horizontal, lo, planes):  # type: ignore[no-untyped-def]
    """Integration i as float32[4, along, across - lo] (image and variances), NaN where unusable."""
    _, nk, nj = planes.shape
    for a in range(nj if horizontal else nk):
        for b in range(nk if horizontal else nj):
            y, x = (a + lo, b) if horizontal else (a, b + lo)
            k, j = (b, a) if horizontal else (a, b)
            value, p, r, f = sci[i, y, x], poisson[i, y, x], rnoise[i, y, x], flat[i, y, x]
            if not _usable(value, err[i, y, x], dq[i, y, x], p, r, f):
                value = p = r = f = np.float32(np.nan)
            planes[0, k, j] = value
            planes[1, k, j] = p
            planes[2, k, j] = r
            planes[3, k, j] = f


@jit
def _smooth(image, length, out):  # type: ignore[no-untyped-def]
    """Running mean along dispersion over `length` elements; edges are repeated, NaNs left out."""
    nk, nj = image.shape
    half, share = length // 2, 1.0 / length
    for k in range(nk):
        for j in range(nj):
            total, weight = 0.0, 0.0
            for step in range(-half, half + 1):
                value = image[min(max(k + step, 0), nk - 1), j]
                if not math.isnan(value):
                    total += value * share  # weighted first: float32 results then round as those of astropy's convolution
                    weight += share
            out[k, j] = total / weight if weight else np.nan


@jit
def invert_symmetric(matrix, vectors, inverse):  # type: ignore[no-untyped-def]
    """Invert a small symmetric matrix by Jacobi rotations; False (and no inverse) when it is singular.

    Parameters
    ----------
    matrix : float64[n, n]
        Destroyed.
    vectors, inverse : float64[n, n]
        Scratch and result.

    Returns
    -------
    bool
        Whether the condition number is below `MAX_CONDITION`.
    """
    n = len(matrix)
    vectors[:] = 0.0
    for p in range(n):
        vectors[p, p] = 1.0
    for _sweep in range(30):
        off, scale = 0.0, 0.0
        for p in range(n):
            scale += matrix[p, p] * matrix[p, p]
            for q in range(p + 1, n):
                off += matrix[p, q] * matrix[p, q]
        if off <= 1e-34 * scale:
            break
        for p in range(n):
            for q in range(p + 1, n):
                if matrix[p, q] == 0.0:
                    continue
                theta = (matrix[q, q] - matrix[p, p]) / (2.0 * matrix[p, q])
                t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + math.sqrt(theta * theta + 1.0))
                c = 1.0 / math.sqrt(t * t + 1.0)
                s = t * c
                for m in range(n):
                    a, b = matrix[m, p], matrix[m, q]
                    matrix[m, p], matrix[m, q] = c * a - s * b, s * a + c * b
                for m in range(n):
                    a, b = matrix[p, m], matrix[q, m]
                    matrix[p, m], matrix[q, m] = c * a - s * b, s * a + c * b
                    a, b = vectors[m, p], vectors[m, q]
                    vectors[m, p], vectors[m, q] = c * a - s * b, s * a + c * b
    small, big = np.inf, 0.0
    for p in range(n):
        small = min(small, abs(matrix[p, p]))
        big = max(big, abs(matrix[p, p]))
    if not (small > 0.0 and big / small < MAX_CONDITION):
        return False
    for p in range(n):
        for q in range(n):
            total = 0.0
            for m in range(n):
                total += vectors[p, m] * vectors[q, m] / matrix[m, m]
            inverse[p, q] = total
    return True


@jit
def _median_background(image, planes, k, weights, region, values, background, variances):  # type: ignore[no-untyped-def]
    """Median over the background region of column k: level (float32, NaN if empty) and its summed variances."""
    nj = image.shape[1]
    count, good, aperture = 0, 0, 0.0
    variances[:] = 0.0
    for j in range(nj):
        aperture += weights[k, j]
        if region[k, j] == 0.0:
            continue
        value = image[k, j]
        if not math.isnan(value):
            place = count
            while place > 0 and values[place - 1] > value:
                values[place] = values[place - 1]
                place -= 1
            values[place] = value
            count += 1
        if math.isfinite(planes[0, k, j]) and math.isfinite(planes[2, k, j] + planes[1, k, j] + planes[3, k, j]):
            good += 1
            for m in range(3):
                variances[m] += planes[m + 1, k, j]
    level = np.float32(np.nan)
    if count % 2:
        level = values[count // 2]
    elif count:
        level = np.float32(values[count // 2 - 1] + values[count // 2]) / np.float32(2.0)
    background[:] = level
    for m in range(3):
        variances[m] = MEDIAN_ERROR**2 * aperture**2 * variances[m] / good**2 if good else 0.0


@jit
def _polynomial_background(image, planes, k, weights, region, basis, work, background, variances):  # type: ignore[no-untyped-def]
    """Least-squares polynomial through the background region of column k, and the variances of its sum in the aperture."""
    nj, npar = basis.shape
    matrix, vectors, inverse = work[0, :npar], work[1, :npar], work[2, :npar]
    vector, coefficients = work[3, 0], work[3, 1]
    matrix[:] = 0.0
    vector[:] = 0.0
    for j in range(nj):
        if not _fitted(image, planes, k, j, region):
            continue
        for p in range(npar):
            vector[p] += basis[j, p] * image[k, j]
            for q in range(npar):
                matrix[p, q] += basis[j, p] * basis[j, q]
    background[:] = 0.0
    variances[:] = 0.0
    if not invert_symmetric(matrix, vectors, inverse):
        return
    for p in range(npar):
        coefficients[p] = 0.0
        for q in range(npar):
            coefficients[p] += inverse[p, q] * vector[q]
    vector[:] = 0.0
    for j in range(nj):
        for p in range(npar):
            background[j] += coefficients[p] * basis[j, p]
            vector[p] += weights[k, j] * basis[j, p]
    for j in range(nj):
        if not _fitted(image, planes, k, j, region):
            continue
        share = 0.0
        for p in range(npar):
            for q in range(npar):
                share += vector[p] * inverse[p, q] * basis[j, q]
        for m in range(3):
            variances[m] += share * share * planes[m + 1, k, j]


@jit
def _fitted(image, planes, k, j, region):  # type: ignore[no-untyped-def]
    return (
        region[k, j] != 0.0
        and math.isfinite(image[k, j])
        and math.isfinite(planes[0, k, j])
        and math.isfinite(planes[2, k, j] + planes[1, k, j] + planes[3, k, j])
    )


@jit
def _box_column(planes, k, weights, background, single, variances, sums, model):  # type: ignore[no-untyped-def]
    """Sum column k after subtraction of its background; `single` subtracts in float32."""
    nj = weights.shape[1]
    flux, npixels, level = 0.0, 0.0, 0.0
    sums[:] = 0.0
    for j in range(nj):
        w = weights[k, j]
        value = np.float64(planes[0, k, j] - np.float32(background[j])) if single else planes[0, k, j] - background[j]
        model[j] = background[j]
        if w == 0.0 or not math.isfinite(value):
            continue
        flux += value * w
        npixels += w
        level += background[j] * w
        for m in range(3):
            if not math.isnan(planes[m + 1, k, j]):
                sums[POISSON + m] += planes[m + 1, k, j] * w**2
    for j in range(nj):
        value = planes[0, k, j] - background[j]
        if npixels > 0.0 and weights[k, j] != 0.0 and math.isfinite(value):
            model[j] += flux / npixels * weights[k, j]
    for m in range(3):
        sums[POISSON + m] += variances[m]
        sums[BKG_POISSON + m] = variances[m]
    sums[FLUX] = flux if abs(npixels) > NO_PIXELS else np.nan
    sums[BKG] = level if math.isfinite(level) else 0.0
    sums[NPIXELS] = npixels


@jit
def box_background_sums(  # type: ignore[no-untyped-def]
    sci, err, dq, poisson, rnoise, flat, weights, region, basis, fit, smoothing, horizontal, lo, sums, scene, residual
):
    """Sums over an aperture after a background fit, column by column; optionally the model of the scene.

    Parameters
    ----------
    sci, err, poisson, rnoise, flat : float32[integration, y, x]
    dq : uint32[integration, y, x]
    weights, region : float64[along, across - lo]
        Aperture weights; non-zero where the background is measured. They cover `across` from `lo` on.
    basis : float64[across - lo, order + 1]
        Powers of the across coordinate (-1 to 1 over the whole array).
    fit : int
        `NO_FIT`, `MEDIAN` or `POLYNOMIAL`.
    smoothing : int
        Odd length of the running mean along dispersion that the fit sees; below 3: none.
    horizontal : bool
    lo : int
    sums : float64[integration, 9, along]
        Filled in place.
    scene, residual : float32[integration or 0, y, x]
        Filled in place unless empty (they need ``lo = 0`` and all of `across`).
    """
    nk, nj = weights.shape
    planes = np.empty((4, nk, nj), dtype=np.float32)
    smooth = np.empty((nk, nj), dtype=np.float32)
    values = np.empty(nj, dtype=np.float32)
    background, model, variances = np.zeros(nj), np.empty(nj), np.zeros(3)
    work = np.empty((4, max(basis.shape[1], 2), basis.shape[1]))
    result = np.empty(NSUMS)
    for i in range(len(sci)):
        _gather(i, sci, err, dq, poisson, rnoise, flat, horizontal, lo, planes)
        if fit != NO_FIT and smoothing > 1:
            _smooth(planes[0], smoothing, smooth)
        elif fit != NO_FIT:
            smooth[:] = planes[0]
        for k in range(nk):
            if fit == MEDIAN:
                _median_background(smooth, planes, k, weights, region, values, background, variances)
            elif fit == POLYNOMIAL:
                _polynomial_background(smooth, planes, k, weights, region, basis, work, background, variances)
            _box_column(planes, k, weights, background, fit != POLYNOMIAL, variances, result, model)
            sums[i, :, k] = result
            _keep_model(i, k, planes, model, horizontal, scene, residual)


@jit
def _keep_model(i, k, planes, model, horizontal, scene, residual):  # type: ignore[no-untyped-def]
    for j in range(len(model)):
        y, x = (j, k) if horizontal else (k, j)
        if len(scene):
            scene[i, y, x] = model[j]
        if len(residual):
            residual[i, y, x] = planes[0, k, j] - model[j]
