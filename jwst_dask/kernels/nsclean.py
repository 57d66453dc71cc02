"""Correlated noise of NIRSpec's detectors, fitted to background pixels in frequency space.

The method is NSClean (B. J. Rauscher, 2024, PASP 136, 015001): a weighted least-squares fit of the few lowest (and, in
subarrays, highest) frequencies to the background pixels, the weights being the reciprocal of their local density. Its
normal equations are those of a Fourier transform of the weights, so that a transform and the solution of a small system
take the place of the fit. Where a system is so badly conditioned that the answer is one of rounding, it is solved in
single precision from the design matrix, which is how the reference implementation (jwst 3.0.0) arrives at its answer.

Images here are in the detector's frame: slow scan along y, fast scan along x.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.clip import select

EDGE = 4
"""Rows at both ends (reference pixels) that are not fitted."""
HALF_POWER, CUT = 1 / 256, 1 / 1024
"""Half-power frequency of the low-pass filter and the width of its cosine edge, in cycles per pixel."""
DENSITY_SIGMA = 32.0
"""Pixels (standard deviation) over which the density of background pixels is taken."""
SMOOTH_SIGMA, SMOOTH_REACH = 1.5, 12
"""Smoothing of the fit along the dispersion: standard deviation and largest distance, in pixels."""
REJECT = np.float32(3)
"""Background values farther than so many robust deviations from the median of their line are replaced by it."""
ILL = 1e3
"""Condition number from which rounding decides the answer of a system in single precision."""
LINES = 256
"""Lines that are worked on together."""


def low_pass(n: int) -> np.ndarray:
    """Gain of the low-pass filter at the frequencies of a real transform of length `n` (float64[n // 2 + 1])."""
    frequency = np.fft.rfftfreq(n)
    edge = (1 + np.cos(np.pi * (frequency - HALF_POWER) / CUT + np.pi / 2)) / 2
    gain = np.where(frequency <= HALF_POWER - CUT / 2, 1.0, edge)
    return np.asarray(np.where(frequency <= HALF_POWER + CUT / 2, gain, 0.0))


@lru_cache(maxsize=1)
def _density_kernel(ny: int, nx: int) -> np.ndarray:
    """Transform of the Gaussian along x; its centre is one pixel off in both axes, as in the reference implementation."""
    kernel = np.zeros((ny, nx), np.float32)
    kernel[ny // 2 + 1] = np.exp(-((np.arange(nx) - (nx // 2 + 1)) ** 2) / DENSITY_SIGMA**2 / 2) / DENSITY_SIGMA / np.sqrt(2 * np.pi)
    return np.asarray(np.fft.rfft2(np.fft.ifftshift(kernel)))


def line_weights(mask: np.ndarray) -> np.ndarray:
    """Reciprocal local density of background pixels along x (float32[y, x]; 0 outside the mask).

    Single precision on purpose: beside empty lines the density is what rounding leaves of zero, and so are the weights.
    """
    ny, nx = mask.shape
    density = np.fft.irfft2(np.fft.rfft2(mask.astype(np.float32)) * _density_kernel(ny, nx), (ny, nx))
    with np.errstate(divide="ignore"):
        weights = np.where(mask, 1 / density, np.float32(0))
    weights[~np.isfinite(weights)] = 0
    return np.asarray(weights)


@jit
def _middle(values, count):  # type: ignore[no-untyped-def]
    """Median of ``values[:count]`` (float32, at least one); they are partly reordered."""
    upper = select(values, count, count // 2)
    if count % 2:
        return upper
    lower = values[0]
    for i in range(1, count // 2):
        lower = max(lower, values[i])
    return np.float32(lower + upper) / np.float32(2)


@jit
def _tame(image, mask, weights, squares, products, tamed):  # type: ignore[no-untyped-def]
    """Replace outliers of each line by its median; squared weights, and their products with the data (float64), 0 off the mask."""
    ny, nx = image.shape
    values = np.empty(nx, np.float32)
    for y in range(ny):
        count = 0
        for x in range(nx):
            if mask[y, x]:
                values[count] = image[y, x]
                count += 1
        squares[y], products[y], tamed[y] = 0.0, 0.0, 0.0
        if count == 0:
            continue
        centre = _middle(values, count)
        for i in range(count):
            values[i] = abs(values[i] - centre)
        reach = REJECT * (np.float32(1.4826) * _middle(values, count))
        for x in range(nx):
            if mask[y, x]:
                value, weight = image[y, x], weights[y, x]
                if not (centre - reach <= value <= centre + reach):
                    value = centre
                tamed[y, x] = value
                squares[y, x] = np.float64(weight) * weight
                products[y, x] = np.float64(weight) * np.float64(np.float32(weight * value))


@lru_cache(maxsize=4)
def _waves(nx: int, count: int) -> np.ndarray:
    """``exp(-2 pi i x k / nx)`` for k below `count` (complex128[x, k])."""
    return np.asarray(np.exp(-2j * np.pi * ((np.arange(nx)[:, None] * np.arange(count)) % nx) / nx))


def _dense_line(data: np.ndarray, weights: np.ndarray, at: np.ndarray, count: int, nx: int) -> np.ndarray:
    """Amplitudes of `count` frequencies for one line from the design matrix, in single precision (complex64[k]).

    Raises
    ------
    numpy.linalg.LinAlgError
        When the system is singular.
    """
    matrix = np.array(np.exp(2 * np.pi * 1j * at[:, None] * np.arange(count)[None, :] / nx) / at.size, np.complex64) * weights[:, None]
    adjoint = np.conjugate(matrix.transpose())
    solver = np.matmul(np.linalg.inv(np.matmul(adjoint, matrix)), adjoint)
    return np.asarray(np.matmul(solver, weights * data) * (nx / at.size), np.complex64)


def fit_lines(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Low frequencies of every line of a full frame, fitted to its background pixels.

    Parameters
    ----------
    image : float32[y, x]
        Detector's frame; no NaN in the mask.
    mask : bool[y, x]
        True for background.

    Returns
    -------
    float32[y, x]
        0 in the first and last four lines, and in lines without background.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the fit of a line is singular.
    """
    ny, nx = image.shape
    gain = low_pass(nx)
    count = int(np.count_nonzero(gain > 0))
    weights, model = line_weights(mask), np.zeros((ny, nx), np.float32)
    waves, lag = _waves(nx, count), np.arange(count)[None, :] - np.arange(count)[:, None]
    synthesis = np.conj(waves.T) * (gain[:count] * np.where(np.arange(count) > 0, 2, 1))[:, None]
    buffers = np.empty((2, LINES, nx)), np.empty((LINES, nx), np.float32)
    for start in range(EDGE, ny - EDGE, LINES):
        rows = slice(start, min(start + LINES, ny - EDGE))
        n = rows.stop - rows.start
        (squares, products), tamed = buffers[0][:, :n], buffers[1][:n]
        _tame(image[rows], mask[rows], weights[rows], squares, products, tamed)
        moments = squares @ waves.real + 1j * (squares @ waves.imag)
        right = products @ waves.real + 1j * (products @ waves.imag)
        system = np.where(lag >= 0, np.conj(moments[:, np.abs(lag)]), moments[:, np.abs(lag)])
        amplitudes, ill = _solve(system, right)
        for i in np.flatnonzero(ill & mask[rows].any(axis=1)):
            at = np.flatnonzero(mask[start + i])
            amplitudes[i] = _dense_line(tamed[i, at], weights[start + i, at], at, count, nx) / nx
        amplitudes[~mask[rows].any(axis=1)] = 0
        amplitudes.imag[:, 0] = 0
        model[rows] = amplitudes.real @ synthesis.real - amplitudes.imag @ synthesis.imag
    return model


def _solve(systems: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solutions of Hermitian systems (complex128[n, k]), and which are too badly conditioned to be trusted."""
    values = np.linalg.eigvalsh(systems)
    ill = ~(values[:, 0] * ILL > values[:, -1])
    safe = np.where(ill[:, None, None], np.eye(systems.shape[-1]), systems)
    return np.linalg.solve(safe, right[..., None])[..., 0], ill


@jit
def _smooth(model, kernel, out):  # type: ignore[no-untyped-def]
    """Convolve along y (circular), one pixel off in both axes."""
    ny, nx = model.shape
    reach = kernel.size // 2
    line = np.empty(nx, np.float32)
    for y in range(ny):
        line[:] = 0
        for t in range(-reach, reach + 1):
            factor, source = kernel[t + reach], model[(y - 1 - t) % ny]
            for x in range(nx):
                line[x] += factor * source[x]
        out[y, 0] = line[nx - 1]
        out[y, 1:] = line[: nx - 1]


def smooth(model: np.ndarray) -> np.ndarray:
    """Light Gaussian smoothing along y, which is the dispersion (float32[y, x]).

    The result is one pixel off in both axes, as that of the reference implementation.
    """
    offset = np.arange(-SMOOTH_REACH, SMOOTH_REACH + 1)
    kernel = (np.exp(-((offset / SMOOTH_SIGMA) ** 2) / 2) / SMOOTH_SIGMA / np.sqrt(2 * np.pi)).astype(np.float32)
    out = np.empty_like(model)
    _smooth(model, kernel, out)
    return out


def clean_full_frame(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A full frame less the noise fitted line by line (float32[y, x], detector's frame)."""
    image, mask = np.ascontiguousarray(image), np.ascontiguousarray(mask)
    return np.asarray(image - smooth(fit_lines(image, mask)))


# --- subarrays ---------------------------------------------------------------------------------------------------------

OVERHEAD = 12
"""Pixel times that the start of a new line takes."""
DWELL = np.float32(1e-5)
"""Seconds a pixel is read for."""
OUTLIER = 4.0
"""Background pixels farther than so many robust deviations from the median, and their neighbours, are not fitted."""
WANTED, LEAST = 512, 0.05
"""Background pixels in one fit, and the least fraction of pixels that they must be."""


def without_outliers(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`mask` (bool[y, x]) less the pixels of a float32 image that stick out of its background, and their four neighbours."""
    values = image[mask]
    if not values.size:
        return mask
    centre = np.median(values)
    limit = OUTLIER * (1.4825 * np.median(np.abs(values - centre)))
    bad = mask & (np.abs(image - centre) > limit)
    out = mask & ~bad
    out[1:] &= ~bad[:-1]
    out[:-1] &= ~bad[1:]
    out[:, 1:] &= ~bad[:, :-1]
    out[:, :-1] &= ~bad[:, 1:]
    return np.asarray(out)


def windows(mask: np.ndarray, wanted: int = WANTED) -> list[tuple[int, int]]:
    """Overlapping ranges of lines with about `wanted` background pixels each, as (first, one past the last)."""
    counts = np.count_nonzero(mask, axis=1)
    filled = np.flatnonzero(counts)
    if not filled.size:
        return []
    before, last, at, out = np.concatenate(([0], np.cumsum(counts))), int(filled[-1]), int(filled[0]), []
    while at <= last:
        end = last + 1
        if before[-1] - before[at] > 1.5 * wanted:
            end = min(int(np.searchsorted(before, before[at] + wanted, "right")), last + 1)
            end = max(end, at + 1)
        out.append((at, end))
        if end == last + 1:
            break
        at += max(int(np.round((end - at) / 2)), 1)
    return out


@lru_cache(maxsize=256)
def _clock(ny: int, nx: int, corners: tuple[float, ...]) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of ``ny`` lines: ticks, frequencies to be fitted, their gain (float32), their differences, and the density kernel's transform."""
    ticks = ny * (nx + OVERHEAD)
    frequency = np.asarray(np.fft.rfftfreq(ticks, float(DWELL)), np.float32)
    low0, low1, high0, high1 = np.asarray(corners, np.float32)
    gain = np.zeros(frequency.size, np.float32)
    gain[(frequency < low0) | (frequency >= high1)] = 1
    falling, rising = (low0 <= frequency) & (frequency < low1), (high0 <= frequency) & (frequency < high1)
    gain[falling] = 0.5 * (np.cos((np.pi / (low1 - low0)) * (frequency[falling] - low0)) + 1)
    gain[rising] = 0.5 * (np.cos((np.pi / (high1 - high0)) * (frequency[rising] - high0) + np.pi) + 1)
    fitted = np.flatnonzero(gain > 0)
    sigma = np.float32(1 / ((corners[0] + corners[1]) / 2) / DWELL / 2 / 4)
    offset = np.arange(ticks, dtype=np.float32) - np.float32(ticks // 2 + 1)
    kernel = np.exp(-(offset**2) / sigma**2 / 2) / sigma / np.sqrt(2 * np.pi)
    return ticks, fitted, gain[fitted], (fitted[None, :] - fitted[:, None]) % ticks, np.fft.rfft(np.fft.ifftshift(kernel))


def fit_window(image: np.ndarray, mask: np.ndarray, corners: tuple[float, ...]) -> np.ndarray:
    """Low and highest frequencies of some lines of a subarray in the order of readout, fitted to their background pixels.

    Parameters
    ----------
    image : float32[y, x]
        No NaN in the mask.
    mask : bool[y, x]
        Not empty.
    corners : tuple of float
        Frequencies (Hz) between which the gain falls from 1 to 0, and those between which it rises again.

    Returns
    -------
    float32[y, x]

    Raises
    ------
    numpy.linalg.LinAlgError
        When the fit is singular.
    """
    ny, nx = image.shape
    ticks, fitted, gain, lags, kernel = _clock(ny, nx, corners)
    clock = np.zeros((ny, nx + OVERHEAD), bool)
    clock[:, :nx] = mask
    at = np.flatnonzero(clock)
    with np.errstate(divide="ignore"):
        weights = (1 / np.fft.irfft(np.fft.rfft(clock.reshape(-1).astype(np.float32)) * kernel, ticks))[at]
    weights[~np.isfinite(weights)] = 0
    amplitudes = _window_amplitudes(image[mask], weights, at, ticks, fitted, lags)
    spectrum = np.zeros(ticks // 2 + 1, np.complex64)
    spectrum[fitted] = amplitudes * gain
    return np.asarray(np.fft.irfft(spectrum, ticks).reshape(ny, -1)[:, :nx])


def _window_amplitudes(
    data: np.ndarray, weights: np.ndarray, at: np.ndarray, ticks: int, fitted: np.ndarray, lags: np.ndarray
) -> np.ndarray:
    """Amplitudes of the fitted frequencies (complex[frequency]) from background pixels, their weights and clock ticks."""
    from scipy.linalg import lapack

    double, series = weights.astype(np.float64), np.zeros((2, ticks))
    series[0, at] = double * double
    series[1, at] = double * (double * data)
    moments, right = np.fft.fft(series[0]), np.fft.rfft(series[1])[fitted]
    system = np.conj(moments[lags])
    norm = np.abs(system).sum(axis=0).max()
    factor, failed = lapack.zpotrf(system)
    if not failed and norm > 0:
        reciprocal, _ = lapack.zpocon(factor, norm)
        if reciprocal * ILL > 1:
            return np.asarray(lapack.zpotrs(factor, right)[0] * ticks)
    basis = np.array(np.exp(2 * np.pi * 1j * at[:, None] * fitted[None, :] / ticks) / at.size, np.complex64)
    matrix = weights[:, None] * basis
    adjoint = np.conjugate(matrix.transpose())
    solver = np.matmul(np.linalg.inv(np.matmul(adjoint, matrix)), adjoint)
    return np.asarray(np.matmul(solver * weights[None, :], data) * (ticks / at.size))


def clean_subarray(image: np.ndarray, mask: np.ndarray, corners: tuple[float, ...]) -> tuple[np.ndarray, list[tuple[int, int]]] | None:
    """A subarray less the noise fitted to overlapping ranges of its lines.

    Parameters
    ----------
    image : float32[y, x]
        Detector's frame; no NaN in the mask.
    mask : bool[y, x]
        True for background.
    corners : tuple of float
        As of `fit_window`.

    Returns
    -------
    cleaned : float64[y, x]
    left : list of (int, int)
        Ranges of lines with too few background pixels for a fit.
    None
        Without any background pixel.

    Raises
    ------
    numpy.linalg.LinAlgError
        When a fit is singular.
    """
    mask = without_outliers(image, mask)
    ranges = windows(mask)
    if not ranges:
        return None
    model, total, left = np.zeros(image.shape), np.zeros(image.shape), []
    for start, stop in ranges:
        rows = slice(start, stop)
        weight = 1.001 - np.abs(np.linspace(-1, 1, stop - start))[:, None]
        if mask[rows].mean() > LEAST:
            model[rows] += weight * fit_window(image[rows], mask[rows], corners)
        else:
            left.append((start, stop))
        total[rows] += weight
    total[model == 0] = 1
    return np.asarray(image - model / total), left
