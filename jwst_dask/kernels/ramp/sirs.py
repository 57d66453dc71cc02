"""Optimised convolution of the side reference pixels (Simple Improved Reference Subtraction), for NIR full frames.

The kernels of an exposure are made once; `templates` works on the side pixels of one [y, x] plane.
"""

from __future__ import annotations

import numpy as np

MAD_TO_SIGMA = 1.48
"""Of normally distributed numbers, as rounded in the reference implementation."""


def make_kernels(left: np.ndarray, right: np.ndarray, gaussmooth: float, halfwidth: int) -> np.ndarray:
    """Convolution kernels from the coefficients of a reference file.

    Parameters
    ----------
    left, right : complex[channel, frequency]
        Coefficients of both sides (GAMMA and ZETA of the sirskernel reference).
    gaussmooth : float
        Standard deviation of the Gaussian they are smoothed with, pixels.
    halfwidth : int
        Rows on each side of the centre that are kept.

    Returns
    -------
    float64[2, channel, 2 * halfwidth + 1]

    Source: JWST documentation, refpix (Simple Improved Reference Subtraction).
    """
    offsets = np.arange(-halfwidth, halfwidth + 1)
    window = np.exp(-(offsets**2) / (2 * gaussmooth**2))
    window /= window.sum()
    kernels = np.empty((2, len(left), offsets.size))
    for side, coefficients in enumerate((left, right)):
        for channel, row in enumerate(coefficients):
            centre = row.size - 1
            response = np.fft.fftshift(np.fft.irfft(row))[centre - halfwidth : centre + halfwidth + 1]
            kernels[side, channel] = np.convolve(response, window, mode="same")
    return kernels


def _rows(values: np.ndarray, reject: float) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the good pixels of each row over the number of pixels, and the share of good ones."""
    centre = np.median(values)
    spread = MAD_TO_SIGMA * np.median(np.abs(values - centre))
    good = np.abs(values - centre) <= reject * spread
    width = values.shape[1]
    return np.sum(values * good, axis=1) / width, good.sum(axis=1) / width


def templates(sides: np.ndarray, kernels: np.ndarray, reject: float) -> np.ndarray:
    """Signal of each row in each channel.

    Parameters
    ----------
    sides : float64[2, row, 4]
        Left and right reference pixels less the signal of their columns. Flags do not count: outliers are found here.
    kernels : float64[2, channel, n]
    reject : float
        Limit of outliers, in standard deviations.

    Returns
    -------
    float64[channel, row]
    """
    out = np.zeros((kernels.shape[1], sides.shape[1]))
    ones = np.ones(sides.shape[1])
    for values, channels in zip(sides, kernels):
        level, share = _rows(values, reject)
        for channel, kernel in enumerate(channels):
            norm = np.convolve(ones, kernel, mode="same") / np.convolve(share, kernel, mode="same")
            out[channel] += np.convolve(level, kernel, mode="same") * norm
    return out
