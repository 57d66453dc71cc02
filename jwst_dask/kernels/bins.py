"""Medians of an image in short runs of pixels along its rows."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.flicker import _median32

MEDIAN_PENALTY = np.pi / 2
"""Variance of a median in units of that of a mean, for many Gaussian values."""


@jit
def row_medians(image, err, usable, width, least, value, variance):  # type: ignore[no-untyped-def]
    """Median of the usable pixels of every run of `width` pixels, and its variance from their errors.

    Parameters
    ----------
    image, err : float32[y, x]
    usable : bool[y, x]
        False wherever image or error is not finite.
    width : int
    least : int
        Usable pixels that a run must have.
    value, variance : float64[y, x // width]
        Receive the results, NaN where there are too few pixels.
    """
    pixels = np.empty(width, np.float32)
    for y in range(image.shape[0]):
        for k in range(value.shape[1]):
            count, square = 0, 0.0
            for x in range(k * width, (k + 1) * width):
                if usable[y, x]:
                    pixels[count] = image[y, x]
                    square += np.float64(err[y, x]) ** 2
                    count += 1
            if count < least:
                value[y, k], variance[y, k] = np.nan, np.nan
            else:
                value[y, k], variance[y, k] = _median32(pixels, count), MEDIAN_PENALTY * square / count / count
