"""Stripes of an image along one axis, from the medians of its background pixels."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.clip import select

WIDE = 32
"""Columns whose values are collected together, so that whole cache lines are used."""
SHORT = 128
"""Rows up to which a sorting network is faster than selection."""


@jit
def _median32(values, count):  # type: ignore[no-untyped-def]
    """Median of ``values[:count]`` in float32; 0 of none. The values are partly reordered."""
    if count == 0:
        return np.float32(0)
    upper = select(values, count, count // 2)
    if count % 2:
        return upper
    lower = values[0]  # all below the rank are at most `upper` now: the greatest of them is the other middle value
    for i in range(1, count // 2):
        lower = max(lower, values[i])
    return np.float32(lower + upper) * np.float32(0.5)


@jit
def _exchanges(size):  # type: ignore[no-untyped-def]
    """Pairs of places (int64[n, 2]) that sort `size` numbers when put in order one after the other (K. E. Batcher's odd-even merge sort)."""
    pairs = np.empty((size * 64, 2), np.int64)
    count, p = 0, 1
    while p < size:
        k = p
        while k >= 1:
            for j in range(k % p, size - k, 2 * k):
                for i in range(min(k, size - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs[count, 0], pairs[count, 1] = i + j, i + j + k
                        count += 1
            k //= 2
        p *= 2
    return pairs[:count]


@jit
def _order(first, second):  # type: ignore[no-untyped-def]
    """Put the smaller of each two numbers first."""
    for k in range(first.size):
        a, b = first[k], second[k]
        first[k] = a if a < b else b
        second[k] = b if a < b else a


@jit
def _short_stripes_along_y(image, mask, start, stop, out):  # type: ignore[no-untyped-def]
    """`stripes_along_y` of few rows: columns are sorted side by side, without branches."""
    nx = image.shape[1]
    values, counts = np.empty((stop - start, WIDE), np.float32), np.zeros(WIDE, np.int64)
    pairs = _exchanges(stop - start)
    for x0 in range(0, nx, WIDE):
        wide = min(WIDE, nx - x0)
        counts[:] = 0
        for y in range(start, stop):
            for k in range(wide):
                values[y - start, k] = image[y, x0 + k] if mask[y, x0 + k] else np.float32(np.inf)
                counts[k] += mask[y, x0 + k]
        for n in range(len(pairs)):
            _order(values[pairs[n, 0]], values[pairs[n, 1]])
        for k in range(wide):
            middle = counts[k] // 2
            if counts[k] == 0:
                out[x0 + k] = 0
            elif counts[k] % 2:
                out[x0 + k] = values[middle, k]
            else:
                out[x0 + k] = np.float32(values[middle - 1, k] + values[middle, k]) * np.float32(0.5)


@jit
def stripes_along_y(image, mask, start, stop, out):  # type: ignore[no-untyped-def]
    """Median of each column's background pixels in rows `start` to `stop`.

    Parameters
    ----------
    image : float32[y, x]
        No NaN where `mask` is True.
    mask : bool[y, x]
        True for background.
    start, stop : int
    out : float32[x]
        Receives the medians, 0 for a column without background.
    """
    if stop - start <= SHORT:
        _short_stripes_along_y(image, mask, start, stop, out)
        return
    nx = image.shape[1]
    values, counts = np.empty((WIDE, stop - start), np.float32), np.empty(WIDE, np.int64)
    for x0 in range(0, nx, WIDE):
        wide = min(WIDE, nx - x0)
        counts[:] = 0
        for y in range(start, stop):
            for k in range(wide):
                if mask[y, x0 + k]:
                    values[k, counts[k]] = image[y, x0 + k]
                    counts[k] += 1
        for k in range(wide):
            out[x0 + k] = _median32(values[k], counts[k])


@jit
def stripes_along_x(image, mask, start, stop, out):  # type: ignore[no-untyped-def]
    """The same for rows: the median of each row's background pixels in columns `start` to `stop` (out: float32[y])."""
    values = np.empty(stop - start, np.float32)
    for y in range(image.shape[0]):
        count = 0
        for x in range(start, stop):
            if mask[y, x]:
                values[count] = image[y, x]
                count += 1
        out[y] = _median32(values, count)


def remove_stripes(image: np.ndarray, mask: np.ndarray, axis: int, parts: int = 1) -> np.ndarray:
    """Subtract from each line of pixels along an axis the median of its background pixels.

    Parameters
    ----------
    image : float32[y, x]
        No NaN where `mask` is True.
    mask : bool[y, x]
        True for background.
    axis : int
        Axis that a stripe runs along: 0 for columns, 1 for rows.
    parts : int
        Equal parts of that axis (the detector's outputs), each with stripes of its own.

    Returns
    -------
    float32[y, x]
    """
    image, mask, out = np.ascontiguousarray(image), np.ascontiguousarray(mask), image.copy()
    size = image.shape[axis] // parts
    for start in range(0, size * parts, size):
        line = np.empty(image.shape[1 - axis], np.float32)
        if axis == 0:
            stripes_along_y(image, mask, start, start + size, line)
            out[start : start + size] -= line
        else:
            stripes_along_x(image, mask, start, start + size, line)
            out[:, start : start + size] -= line[:, None]
    return out


@jit
def median_in_time(cube, out):  # type: ignore[no-untyped-def]
    """Median of each pixel's values that are not NaN (float32[integration, y, x] to float32[y, x]; NaN where there is none)."""
    n, ny, nx = cube.shape
    values, counts = np.empty((WIDE, n), np.float32), np.empty(WIDE, np.int64)
    for y in range(ny):
        for x0 in range(0, nx, WIDE):
            wide = min(WIDE, nx - x0)
            counts[:] = 0
            for t in range(n):
                for k in range(wide):
                    value = cube[t, y, x0 + k]
                    if not np.isnan(value):
                        values[k, counts[k]] = value
                        counts[k] += 1
            for k in range(wide):
                out[y, x0 + k] = _median32(values[k], counts[k]) if counts[k] else np.float32(np.nan)
