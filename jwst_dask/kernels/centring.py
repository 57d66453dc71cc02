"""Where the trace of a point source is in a 2-D spectrum: its profile across the dispersion, and a Gaussian fitted to that.

Distances are in pixels from an expected centre, so that one unit is what a pixel spans.
"""

from __future__ import annotations

import math

import numpy as np

from jwst_dask.kernels._jit import jit

INNER = 3.0
"""Half width of what belongs to the trace; the background is outside it."""
NEARBY = 7
"""Columns on each side over which flux and background are smoothed."""
BIN = 0.5
CLIP = 5.0
"""Standard deviations from the profile beyond which a pixel is left out."""
FLOOR = 0.03
"""Accuracy of a Gaussian as the shape of a trace, relative to its height; also of the background taken off before."""
USUAL = 0.8
"""Width (standard deviation) of a trace from which a fit starts."""
ROOT2 = math.sqrt(2.0)


@jit
def _smooth(values):  # type: ignore[no-untyped-def]
    """Running median, NaNs left out."""
    out = np.full(values.size, np.nan)
    for i in range(values.size):
        near = values[max(0, i - NEARBY) : i + NEARBY + 1]
        near = near[~np.isnan(near)]
        if near.size:
            out[i] = np.median(near)
    return out


@jit
def _pixel(distance, width):  # type: ignore[no-untyped-def]
    """Mean over a pixel of a Gaussian of height 1."""
    scale = ROOT2 * width
    return 0.5 * math.sqrt(math.pi) * scale * (math.erf((distance + 0.5) / scale) - math.erf((distance - 0.5) / scale))


@jit
def _trimmed(values):  # type: ignore[no-untyped-def]
    """Mean without the largest value, which may be a cosmic ray."""
    return (values.sum() - values.max()) / (values.size - 1) if values.size > 1 else np.nan


@jit
def _columns(sci, err, good, u, centre, width):  # type: ignore[no-untyped-def]
    """Flux, background and variance of each column (NaN where there is nothing), and whether enough pixels agree on its flux."""
    ny, nx = sci.shape
    flux, back, variance, sure = np.full(nx, np.nan), np.full(nx, np.nan), np.full(nx, np.nan), np.zeros(nx, np.bool_)
    inside, outside, spread = np.empty(ny), np.empty(ny), np.empty(ny)
    for x in range(nx):
        n_in, n_out, n = 0, 0, 0
        for y in range(ny):
            if not good[y, x]:
                continue
            spread[n] = np.float64(err[y, x]) ** 2
            n += 1
            if abs(u[y, x] - centre) > INNER:
                outside[n_out] = sci[y, x]
                n_out += 1
        if n_out:
            back[x] = np.median(outside[:n_out])
        base = back[x] if n_out else 0.0
        for y in range(ny):
            if good[y, x] and abs(u[y, x] - centre) <= INNER:
                shape = _pixel(u[y, x] - centre, width) if width > 0 else 1.0
                if shape > 0.25:
                    inside[n_in] = (sci[y, x] - base) / shape
                    n_in += 1
        if n:
            variance[x] = np.median(spread[:n])
        if n_in:
            flux[x] = np.median(inside[:n_in]) if width > 0 else _trimmed(inside[:n_in])
        sure[x] = n_in >= 3
    return flux, back, variance, sure


@jit
def brightness(sci, err, good, u, centre, width):  # type: ignore[no-untyped-def]
    """How bright a trace is in each column, for weights, and the background.

    Parameters
    ----------
    sci, err : float32[y, x]
    good : bool[y, x]
    u : float64[y, x]
    centre, width : float
        Of the trace; a width of 0 if it is not known yet.

    Returns
    -------
    flux, background, variance : float64[x]
        Flux is smoothed along the dispersion, except for columns that stand out of their neighbours (emission lines), and not
        negative; the background is smoothed; both are 0 and the variance infinite in columns without pixels.
    """
    flux, back, variance, sure = _columns(sci, err, good, u, centre, width)
    broad, back = _smooth(flux), _smooth(back)
    for x in range(flux.size):
        if np.isnan(flux[x]) or np.isnan(variance[x]):
            broad[x], variance[x] = 0.0, np.inf
        elif sure[x] and flux[x] - broad[x] > CLIP * math.sqrt(variance[x]):
            broad[x] = flux[x]
        broad[x] = max(broad[x], 0.0)
        if np.isnan(back[x]):
            back[x] = 0.0
    return broad, back, variance


@jit
def profile(sci, err, good, u, flux, back, variance, reach):  # type: ignore[no-untyped-def]
    """Collapse a spectrum along the dispersion, each column weighted by its flux over its variance.

    Pixels more than five standard deviations from the profile of a first pass, the median of the columns, are left out.

    Parameters
    ----------
    sci, err : float32[y, x]
    good : bool[y, x]
    u : float64[y, x]
    flux, back, variance : float64[x]
        From `brightness`.
    reach : float
        Pixels on each side of the expected centre.

    Returns
    -------
    where, value, sigma : float64[bin]
        Mean distance of the pixels of each bin, profile relative to `flux`, and its standard deviation; NaN for empty bins.
    """
    nbins = int(math.ceil(2 * reach / BIN))
    where, value, sigma = np.full(nbins, np.nan), np.full(nbins, np.nan), np.full(nbins, np.nan)
    ys, xs, first = _by_bin(good, u, flux, nbins, reach)
    top, ratios = flux.max(), np.empty(ys.size)
    for b in range(nbins):
        n = 0
        for k in range(first[b], first[b + 1]):
            y, x = ys[k], xs[k]
            if flux[x] > 0.1 * top:
                ratios[n] = (sci[y, x] - back[x]) / flux[x]
                n += 1
        if n:
            usual = np.median(ratios[:n])
            where[b], value[b], sigma[b] = _collapse(
                sci, err, u, flux, back, variance, ys[first[b] : first[b + 1]], xs[first[b] : first[b + 1]], usual
            )
    return where, value, sigma


@jit
def _by_bin(good, u, flux, nbins, reach):  # type: ignore[no-untyped-def]
    """Rows and columns of usable pixels, bin by bin, and where each bin begins."""
    ny, nx = u.shape
    first = np.zeros(nbins + 2, np.int64)
    for y in range(ny):
        for x in range(nx):
            if good[y, x] and flux[x] > 0 and abs(u[y, x]) < reach:
                first[min(int((u[y, x] + reach) / BIN), nbins - 1) + 2] += 1
    first = np.cumsum(first)
    ys, xs = np.empty(first[-1], np.int64), np.empty(first[-1], np.int64)
    for y in range(ny):
        for x in range(nx):
            if good[y, x] and flux[x] > 0 and abs(u[y, x]) < reach:
                b = min(int((u[y, x] + reach) / BIN), nbins - 1) + 1
                ys[first[b]], xs[first[b]] = y, x
                first[b] += 1
    return ys, xs, first


@jit
def _collapse(sci, err, u, flux, back, variance, ys, xs, usual):  # type: ignore[no-untyped-def]
    """Mean distance, profile and its standard deviation of the pixels of one bin; NaN if all are far from the `usual` profile."""
    power, product, noise, place = 0.0, 0.0, 0.0, 0.0
    for k in range(ys.size):
        y, x = ys[k], xs[k]
        signal = sci[y, x] - back[x]
        # profiles of neighbouring wavelengths differ a little, within a bin and in width
        if abs(signal - usual * flux[x]) > CLIP * err[y, x] + 0.5 * abs(usual) * flux[x]:
            continue
        weight = flux[x] / variance[x]
        power += weight * flux[x]
        product += weight * signal
        noise += (weight * err[y, x]) ** 2
        place += weight * flux[x] * u[y, x]
    if power == 0:
        return np.nan, np.nan, np.nan
    return place / power, product / power, math.sqrt(noise) / power


@jit
def _chi2(p, where, value, sigma, loose):  # type: ignore[no-untyped-def]
    total = (p[3] / loose) ** 2
    for i in range(where.size):
        total += ((value[i] - p[0] * _pixel(where[i] - p[1], p[2]) - p[3]) / sigma[i]) ** 2
    return total


@jit
def _normal(p, where, value, sigma, loose):  # type: ignore[no-untyped-def]
    """Normal matrix and right-hand side at parameters `p`."""
    matrix, side, row, step = np.zeros((4, 4)), np.zeros(4), np.empty(4), 1e-4
    matrix[3, 3], side[3] = loose**-2, -p[3] / loose**2
    for i in range(where.size):
        d = where[i] - p[1]
        shape = _pixel(d, p[2])
        row[0], row[3] = shape, 1.0
        row[1] = p[0] * (_pixel(d - step, p[2]) - _pixel(d + step, p[2])) / (2 * step)
        row[2] = p[0] * (_pixel(d, p[2] + step) - _pixel(d, p[2] - step)) / (2 * step)
        rest = value[i] - p[0] * shape - p[3]
        for a in range(4):
            side[a] += row[a] * rest / sigma[i] ** 2
            for b in range(4):
                matrix[a, b] += row[a] * row[b] / sigma[i] ** 2
    return matrix, side


@jit
def _start(where, value, sigma, limit):  # type: ignore[no-untyped-def]
    """The centre, within `limit` of 0, at which a trace of usual width is most significant, and its height."""
    best, found, height = -np.inf, 0.0, 0.0
    for k in range(int(2 * limit / 0.25) + 1):
        centre, power, product = -limit + 0.25 * k, 0.0, 0.0
        for i in range(where.size):
            shape = _pixel(where[i] - centre, USUAL)
            power += (shape / sigma[i]) ** 2
            product += shape * value[i] / sigma[i] ** 2
        if power > 0 and product / math.sqrt(power) > best:
            best, found, height = product / math.sqrt(power), centre, product / power
    return found, height


@jit
def _window(where, value, sigma, centre):  # type: ignore[no-untyped-def]
    """Bins to fit: those of the trace, as far as there is nothing clearly negative (a nod's trace) between them and its centre."""
    low, high = centre - INNER, centre + INNER
    for i in range(where.size):
        if value[i] < -3 * sigma[i]:
            if where[i] < centre:
                low = max(low, where[i] + BIN)
            else:
                high = min(high, where[i] - BIN)
    return (where > low) & (where < high)


@jit
def _inverse(matrix):  # type: ignore[no-untyped-def]
    """Inverse of a positive definite matrix (Gauss and Jordan)."""
    n = matrix.shape[0]
    left, out = matrix.copy(), np.eye(n)
    for a in range(n):
        pivot = left[a, a] if left[a, a] != 0 else 1e-300
        left[a], out[a] = left[a] / pivot, out[a] / pivot
        for b in range(n):
            if b != a:
                factor = left[b, a]
                left[b] -= factor * left[a]
                out[b] -= factor * out[a]
    return out


@jit
def _solve(where, value, sigma, loose, p):  # type: ignore[no-untyped-def]
    """Levenberg-Marquardt from parameters `p`, changed in place; the chi square reached."""
    damping, chi2 = 1e-3, _chi2(p, where, value, sigma, loose)
    for _ in range(60):
        matrix, side = _normal(p, where, value, sigma, loose)
        for a in range(4):
            matrix[a, a] = matrix[a, a] * (1 + damping) + 1e-12
        new = p + (_inverse(matrix) * side).sum(axis=1)
        new[2] = min(max(new[2], 0.1), 5.0)
        found = _chi2(new, where, value, sigma, loose)
        if found <= chi2:
            done = abs(new[1] - p[1]) < 1e-6 and chi2 - found < 1e-6 * (1 + chi2)
            p[:], chi2, damping = new, found, damping * 0.2
            if done:
                break
        else:
            damping *= 10
            if damping > 1e12:
                break
    return chi2


@jit
def fit_trace(where, value, sigma, limit):  # type: ignore[no-untyped-def]
    """Fit a Gaussian, averaged over pixels, and a small constant to a profile.

    Parameters
    ----------
    where, value, sigma : float64[bin]
        From `profile`.
    limit : float
        Largest distance of the centre at which the search begins.

    Returns
    -------
    float64[6]
        Centre and its standard deviation, width (standard deviation of the Gaussian), height and its standard deviation, chi square
        for each degree of freedom; NaN where fewer than six bins are there to fit.
    """
    out = np.full(6, np.nan)
    good = ~(np.isnan(value) | np.isnan(sigma))
    where, value, sigma = where[good], value[good], sigma[good]
    if where.size < 6:
        return out
    # without a floor, the few brightest bins would decide on the start
    sigma = np.sqrt(sigma**2 + (FLOOR * max(value.max(), 0.0)) ** 2)
    centre, height = _start(where, value, sigma, limit)
    near = _window(where, value, sigma, centre)
    where, value, sigma = where[near], value[near], sigma[near]
    if where.size < 6:
        return out
    p, loose = np.array([height, centre, USUAL, 0.0]), FLOOR * max(abs(height), 1e-30) + sigma.min()
    chi2 = _solve(where, value, sigma, loose, p)
    matrix, _ = _normal(p, where, value, sigma, loose)
    for a in range(4):
        matrix[a, a] += 1e-12
    covariance = _inverse(matrix)
    reduced = chi2 / max(where.size - 4, 1)
    out[0], out[1] = p[1], math.sqrt(max(covariance[1, 1], 0.0) * max(reduced, 1.0))
    out[2], out[3], out[4], out[5] = p[2], p[0], math.sqrt(max(covariance[0, 0], 0.0)), reduced
    return out
