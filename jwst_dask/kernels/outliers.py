"""Outliers of a time series: pixels too far from the median of the same pixel in neighbouring integrations."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.rolling import middle, slide

PIXELS = 64  # of a row are turned into time order together: one cache line or more of every integration
FLAGS = np.uint32(1 | 16)  # DO_NOT_USE | OUTLIER
DO_NOT_USE = np.uint32(1)
LARGEST = np.finfo(np.float32).max


@jit
def _gather(sci, dq, bad, y, x0, n, series):  # type: ignore[no-untyped-def]
    """Time series of `n` pixels of a row, NaN where a bit of `bad` is set."""
    for t in range(sci.shape[0]):
        for k in range(n):
            series[k, t] = np.nan if dq[t, y, x0 + k] & bad else sci[t, y, x0 + k]


@jit
def _noise(err):  # type: ignore[no-untyped-def]
    """An error as a finite number, 0 where it is NaN."""
    if np.isnan(err):
        return np.float32(0)
    return min(max(err, -LARGEST), LARGEST)


@jit
def _far(value, median, limit, single):  # type: ignore[no-untyped-def]
    """Whether value and median differ by more than `limit`, in float32 when the median is a float32 number."""
    if single:
        return abs(value - np.float32(median)) > limit
    return abs(np.float64(value) - median) > limit


@jit
def _mark(sci, dq, err, var1, var2, var3, low, y, x0, n, medians, snr, single):  # type: ignore[no-untyped-def]
    """Flag the outliers of `n` pixels of a row and make NaN and DO_NOT_USE agree in all arrays; how many outliers."""
    found = 0
    for t in range(err.shape[0]):
        for k in range(n):
            x = x0 + k
            value, flags = sci[low + t, y, x], dq[low + t, y, x]
            if _far(value, medians[k, t], snr * _noise(err[t, y, x]), single):
                flags |= FLAGS
                found += 1
            missing = np.isnan(value) or np.isnan(err[t, y, x])
            missing |= np.isnan(var1[t, y, x]) or np.isnan(var2[t, y, x]) or np.isnan(var3[t, y, x])
            if missing or flags & DO_NOT_USE:
                flags |= DO_NOT_USE
                sci[low + t, y, x] = np.nan
                err[t, y, x] = np.nan
                var1[t, y, x] = np.nan
                var2[t, y, x] = np.nan
                var3[t, y, x] = np.nan
            dq[low + t, y, x] = flags
    return found


@jit
def flag_outliers(sci, dq, err, var1, var2, var3, low, starts, width, bad, snr, keep):  # type: ignore[no-untyped-def]
    """Flag outliers against a median in time, in place.

    A pixel is an outlier where ``|sci - median| > snr * err``. It gets OUTLIER and DO_NOT_USE, and every pixel that is NaN in
    one array or DO_NOT_USE becomes both, in all arrays.

    Parameters
    ----------
    sci : float32[seen, y, x]
        All integrations that the medians need; changed in ``low:low + n`` only.
    dq : uint32[seen, y, x]
    err, var1, var2, var3 : float32[n, y, x]
        Errors and variances of the integrations to be flagged (give `err` again for a variance that is absent).
    low : int
        Index in `sci` of the first integration to be flagged.
    starts : int64[n]
        First integration in `sci` of each median window; ignored when `width` is 0.
    width : int
        Integrations in a window: sliding medians of values whose `bad` bits are clear (a bad or NaN value makes its windows'
        medians NaN, and a NaN median flags nothing). 0: one median of all values that are not NaN, whatever their flags.
    bad : uint32
        DQ bits that keep a value out of the sliding medians.
    snr : float32
        Threshold, in units of `err`.
    keep : float32[n, y, x]
        Receives the medians, unless it is empty.

    Returns
    -------
    int
        Outliers found.
    """
    seen, ny, nx = sci.shape
    n = err.shape[0]
    series, medians = np.empty((PIXELS, seen), np.float32), np.empty((PIXELS, n), np.float64)
    window = np.empty(width if width else seen, np.float32)
    found = 0
    for y in range(ny):
        for x0 in range(0, nx, PIXELS):
            some = min(PIXELS, nx - x0)
            _gather(sci, dq, bad if width else np.uint32(0), y, x0, some, series)
            for k in range(some):
                if width:
                    slide(series[k], starts, window, medians[k])
                else:
                    medians[k] = middle(series[k], window)
            if keep.size:
                for t in range(n):
                    for k in range(some):
                        keep[t, y, x0 + k] = medians[k, t]
            found += _mark(sci, dq, err, var1, var2, var3, low, y, x0, some, medians, snr, width == 0)
    return found
