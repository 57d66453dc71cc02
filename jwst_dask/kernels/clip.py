"""Sigma clipping: of few values at every pixel of a stack of exposures, and of the many values of one image.

Both follow the definitions of `astropy.stats` (median centre, population standard deviation), on which the reference
implementation rests: of few values, whether one on the very limit is kept depends on the last bit, so sums are taken in
the order in which its selection leaves the values.
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit

FOREVER = -1
"""As `maxiters`: until nothing more is clipped."""
BITS = 11
"""Of a float32 that one pass of the radix sort looks at; three passes do all."""
CHUNK = 4096
"""Values that are added up on their own, so that sums of millions keep their last digits."""


@jit
def select(values, count, rank):  # type: ignore[no-untyped-def]
    """The value of this rank among ``values[:count]``, which are partly reordered (N. Wirth's selection)."""
    low, high = 0, count - 1
    while low < high:
        pivot = values[rank]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < rank:
            low = i
        if rank < i:
            high = j
    return values[rank]


@jit
def median_of(values, count):  # type: ignore[no-untyped-def]
    """Median of ``values[:count]`` (float64, not NaN, at least one); they are partly reordered."""
    if count % 2:
        return select(values, count, count // 2)
    upper = select(values, count, count // 2)
    return 0.5 * (upper + select(values, count, count // 2 - 1))


@jit
def bounds(values, count, sigma, maxiters):  # type: ignore[no-untyped-def]
    """Limits that iterative clipping leaves for ``values[:count]`` (float64, finite, at least one; reordered and overwritten)."""
    iteration = 0
    while True:
        centre = median_of(values, count)
        mean = 0.0
        for i in range(count):
            mean += values[i]
        mean /= count
        square = 0.0
        for i in range(count):
            square += (values[i] - mean) * (values[i] - mean)
        spread = np.sqrt(square / count)
        low, high = centre - sigma * spread, centre + sigma * spread
        kept = 0
        for i in range(count):
            if low <= values[i] <= high:
                values[kept] = values[i]
                kept += 1
        iteration += 1
        if kept == count or kept == 0 or iteration == maxiters:
            return low, high
        count = kept


@jit
def _farthest(count):  # type: ignore[no-untyped-def]
    """More standard deviations than any of `count` numbers can be from their median: none of four or fewer is beyond three."""
    return np.sqrt(count - 1.0) + 1.001


@jit
def clipped_average(stack, squares, sigma, maxiters, mean, error):  # type: ignore[no-untyped-def]
    """Average of what clipping leaves of the values at each pixel, and its error.

    Parameters
    ----------
    stack : float64[exposure, pixel]
        Values; those not finite count as clipped.
    squares : float64[exposure, pixel]
        Squares of their errors; ``float64[0, 0]`` where no error is wanted.
    sigma : float
        Limit in standard deviations, on both sides of the median.
    maxiters : int
        Rounds of clipping; `FOREVER` to go on until nothing changes.
    mean, error : float64[pixel]
        Receive the results, 0 at pixels without a value.
    """
    n, npix = stack.shape
    values = np.empty(n, np.float64)
    for p in range(npix):
        count = 0
        for k in range(n):
            if np.isfinite(stack[k, p]):
                values[count] = stack[k, p]
                count += 1
        low, high = -np.inf, np.inf
        if count and sigma < _farthest(count):
            low, high = bounds(values, count, sigma, maxiters)
        kept, total, variance = 0, 0.0, 0.0
        for k in range(n):
            value = stack[k, p]
            if np.isfinite(value) and not (value < low or value > high):
                kept += 1
                total += value
                if squares.size:
                    variance += squares[k, p]
        mean[p] = total / kept if kept else 0.0
        if squares.size:
            error[p] = np.sqrt(variance) / kept if kept else 0.0


@jit
def clipped_collapse(cube, sigma, maxiters, mean):  # type: ignore[no-untyped-def]
    """Average over the integrations of what clipping leaves at each pixel, summed in float32 as it is stored.

    Parameters
    ----------
    cube : float32[integration, pixel]
    sigma, maxiters : float, int
        As of `clipped_average`.
    mean : float64[pixel]
        Receives the result, 0 at pixels without a value.
    """
    n, npix = cube.shape
    values = np.empty(n, np.float64)
    for p in range(npix):
        count = 0
        for k in range(n):
            if np.isfinite(cube[k, p]):
                values[count] = cube[k, p]
                count += 1
        low, high = -np.inf, np.inf
        if count and sigma < _farthest(count):
            low, high = bounds(values, count, sigma, maxiters)
        kept, total = 0, np.float32(0)
        for k in range(n):
            value = cube[k, p]
            if np.isfinite(value) and not (value < low or value > high):
                kept += 1
                total += value
        mean[p] = np.float64(total) / kept if kept else 0.0


@jit
def _keys(words):  # type: ignore[no-untyped-def]
    """Turn the bits of float32 numbers into integers of the same order, in place."""
    for i in range(words.size):
        word = words[i]
        words[i] = ~word if word >> np.uint32(31) else word | np.uint32(0x80000000)


@jit
def _values(words):  # type: ignore[no-untyped-def]
    """The reverse of `_keys`."""
    for i in range(words.size):
        word = words[i]
        words[i] = word & np.uint32(0x7FFFFFFF) if word >> np.uint32(31) else ~word


@jit
def _scatter(words, out, shift):  # type: ignore[no-untyped-def]
    """Order by `BITS` bits from `shift` up, keeping the order of equals."""
    mask = np.uint32((1 << BITS) - 1)
    place = np.zeros((1 << BITS) + 1, np.int64)
    for i in range(words.size):
        place[((words[i] >> shift) & mask) + 1] += 1
    for i in range(1, place.size):
        place[i] += place[i - 1]
    for i in range(words.size):
        digit = (words[i] >> shift) & mask
        out[place[digit]] = words[i]
        place[digit] += 1


@jit
def _sort_words(words, spare):  # type: ignore[no-untyped-def]
    _keys(words)
    _scatter(words, spare, np.uint32(0))
    _scatter(spare, words, np.uint32(BITS))
    _scatter(words, spare, np.uint32(2 * BITS))
    _values(spare)


@jit
def _gather(image, mask, out):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(image.size):
        if mask[i]:
            out[count] = image[i]
            count += 1
    return count


def sorted_pixels(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The pixels of a float32 image where `mask` is True, in ascending order.

    Parameters
    ----------
    image : float32[y, x]
        No NaN where the mask is True.
    mask : bool[y, x]

    Returns
    -------
    float32[pixel]
    """
    out = np.empty(image.size, np.float32)
    count = _gather(np.ascontiguousarray(image).reshape(-1), np.ascontiguousarray(mask).reshape(-1), out)
    words = out[:count].view(np.uint32)
    spare = np.empty_like(words)
    _sort_words(words, spare)
    return spare.view(np.float32)


@jit
def _sum(values, start, stop, origin, power):  # type: ignore[no-untyped-def]
    """Sum of ``values[start:stop]`` less `origin`, or of the squares of that, in four partial sums that run side by side."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    i = start
    while i + 4 <= stop:
        p, q, r, s = values[i] - origin, values[i + 1] - origin, values[i + 2] - origin, values[i + 3] - origin
        if power == 2:
            p, q, r, s = p * p, q * q, r * r, s * s
        a += p
        b += q
        c += r
        d += s
        i += 4
    while i < stop:
        p = values[i] - origin
        a += p * p if power == 2 else p
        i += 1
    return (a + b) + (c + d)


@jit
def moments(values):  # type: ignore[no-untyped-def]
    """Mean and population standard deviation of numbers, in float64."""
    n = values.size
    total = 0.0
    for start in range(0, n, CHUNK):
        total += _sum(values, start, min(start + CHUNK, n), 0.0, 1)
    mean = total / n
    square = 0.0
    for start in range(0, n, CHUNK):
        square += _sum(values, start, min(start + CHUNK, n), mean, 2)
    return mean, np.sqrt(square / n)


def middle(values: np.ndarray) -> float:
    """Median of sorted numbers, in float64."""
    n = values.size
    return 0.5 * (float(values[(n - 1) // 2]) + float(values[n // 2]))


def clipped_stats(values: np.ndarray, sigma: float = 3.0, maxiters: int = 5) -> tuple[float, float, float]:
    """Mean, median and standard deviation of what iterative clipping leaves of sorted numbers.

    Parameters
    ----------
    values : float32 or float64 [n]
        Sorted, at least one; clipping only moves the ends of what is looked at. Infinite values are left out.
    sigma, maxiters : float, int
        Limit in standard deviations around the median, and rounds.
    """
    start, stop = np.searchsorted(values, (-np.inf, np.inf), "right")[0], np.searchsorted(values, np.inf, "left")
    values = values[start:stop]
    for _ in range(maxiters):
        if not values.size:
            return np.nan, np.nan, np.nan
        centre, spread = middle(values), moments(values)[1]
        low, high = within(values, centre - spread * sigma, centre + spread * sigma)
        changed = (low, high) != (0, values.size)
        values = values[low:high]
        if not changed:
            break
    if not values.size:
        return np.nan, np.nan, np.nan
    mean, spread = moments(values)
    return float(mean), middle(values), float(spread)


def within(values: np.ndarray, low: float, high: float) -> tuple[int, int]:
    """First index and one past the last of the sorted numbers from `low` to `high`, compared in float64."""
    return _place(values, low, False), _place(values, high, True)


@jit
def _place(values, limit, after):  # type: ignore[no-untyped-def]
    """How many sorted numbers are below `limit` (or, `after` them, not above it)."""
    first, last = 0, values.size
    while first < last:
        mid = (first + last) // 2
        value = np.float64(values[mid])
        if value < limit or (after and value == limit):
            first = mid + 1
        else:
            last = mid
    return first


def median32(values: np.ndarray) -> np.float32:
    """Median of sorted float32 numbers in their own precision; NaN of none."""
    n = values.size
    if not n:
        return np.float32(np.nan)
    return np.float32((values[(n - 1) // 2] + values[n // 2]) / np.float32(2)) if n % 2 == 0 else np.float32(values[n // 2])


@jit
def _keep(image, mask, low, high):  # type: ignore[no-untyped-def]
    for i in range(image.size):
        value = np.float64(image[i])
        if value < low or value > high:
            mask[i] = False


def keep_within(image: np.ndarray, mask: np.ndarray, low: float, high: float) -> None:
    """Clear the mask (bool[y, x], contiguous) in place where a float32 image is outside the limits, compared in float64."""
    _keep(np.ascontiguousarray(image).reshape(-1), mask.reshape(-1), low, high)
