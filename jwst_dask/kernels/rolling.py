"""Medians along a time series of images: in a window that slides over the integrations, and of the whole series."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit


def window_starts(start: int, stop: int, nints: int, width: int) -> np.ndarray:
    """First integration of the median window of each of the integrations ``start:stop``.

    The window of integration i begins at ``i - width // 2``. Integrations too close to an end of the series for that share
    the first or the last full window.

    Parameters
    ----------
    start, stop : int
        Integrations, numbered from 0 in the series.
    nints : int
        Length of the series, at least `width`.
    width : int
        Integrations in a window, at least 2.

    Returns
    -------
    int64[stop - start]

    Notes
    -----
    A width of 2 uses the last window for every integration, as the reference implementation (jwst 3.0.0) does.
    """
    if width == 2:
        return np.full(stop - start, nints - width, dtype=np.int64)
    return np.clip(np.arange(start, stop, dtype=np.int64) - width // 2, 0, nints - width)


@jit
def _move(window, count, old, new):  # type: ignore[no-untyped-def]
    """Replace `old` by `new` in the sorted values ``window[:count]``, moving only what lies between them."""
    low, high = 0, count
    while low < high:
        mid = (low + high) // 2
        if window[mid] < old:
            low = mid + 1
        else:
            high = mid
    if new > old:
        while low + 1 < count and window[low + 1] < new:
            window[low] = window[low + 1]
            low += 1
    else:
        while low > 0 and window[low - 1] > new:
            window[low] = window[low - 1]
            low -= 1
    window[low] = new


@jit
def _fill(series, first, window):  # type: ignore[no-untyped-def]
    """Sort the values that are not NaN, beginning at `first`, into `window`; how many there are."""
    count = 0
    for i in range(first, first + window.size):
        if not np.isnan(series[i]):
            window[count] = series[i]
            count += 1
    window[:count].sort()
    return count


@jit
def slide(series, starts, window, out):  # type: ignore[no-untyped-def]
    """Medians of one pixel in windows of ``window.size`` integrations; a window with a NaN has median NaN.

    Parameters
    ----------
    series : float32[time]
        Values, NaN where bad.
    starts : int64[n]
        First index of each window in `series`, never decreasing.
    window : float32[width]
        Scratch: the sorted window.
    out : float64[n]
        Result; the two middle values of an even window are averaged in float64.
    """
    width = window.size
    here = starts[0]
    count = _fill(series, here, window)
    for i in range(starts.size):
        while here < starts[i]:
            old, new = series[here], series[here + width]
            here += 1
            if not np.isnan(old) and not np.isnan(new):
                _move(window, count, old, new)
            elif not np.isnan(old):
                _move(window, count, old, np.float32(np.inf))
                count -= 1
            elif not np.isnan(new):
                window[count] = np.inf
                count += 1
                _move(window, count, np.float32(np.inf), new)
        if count < width:
            out[i] = np.nan
        elif width % 2:
            out[i] = window[width // 2]
        else:
            out[i] = (np.float64(window[width // 2 - 1]) + np.float64(window[width // 2])) / 2.0


@jit
def middle(series, scratch):  # type: ignore[no-untyped-def]
    """Median of the values that are not NaN (NaN if there are none); two middle values are averaged in float32.

    Parameters
    ----------
    series : float32[time]
    scratch : float32[time]
        Overwritten.
    """
    count = _fill(series, 0, scratch)
    if count == 0:
        return np.float32(np.nan)
    if count % 2:
        return scratch[count // 2]
    return (scratch[count // 2 - 1] + scratch[count // 2]) / np.float32(2.0)


@jit
def rolling_median(cube, starts, width, out):  # type: ignore[no-untyped-def]
    """Sliding-window medians of every pixel of a cube.

    Parameters
    ----------
    cube : float32[integration, y, x]
        Values, NaN where bad.
    starts : int64[n]
        First integration of each window in `cube` (see `window_starts`).
    width : int
        Integrations in a window.
    out : float64[n, y, x]
        Result.
    """
    nt, ny, nx = cube.shape
    series, window = np.empty(nt, np.float32), np.empty(width, np.float32)
    medians = np.empty(starts.size, np.float64)
    for y in range(ny):
        for x in range(nx):
            for t in range(nt):
                series[t] = cube[t, y, x]
            slide(series, starts, window, medians)
            for t in range(starts.size):
                out[t, y, x] = medians[t]
