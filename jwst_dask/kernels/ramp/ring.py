"""Areas of an image that are bright when it is smoothed with a ring, pixels that are not good left out.

What is above the threshold is told from plain sums where these leave no doubt. Where one of the pixels of an area is as close to it as
a Fourier transform in single precision is uncertain, the reference implementation's way to smooth, with such transforms, decides.
"""

from __future__ import annotations

import math

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.overlap import convolved
from jwst_dask.kernels.ramp.regions import Regions, find_regions

INVALID = np.uint8(1 | 2 | 4)
LEAST_WEIGHT = 1e-3
"""Of the mean of the ring's pixels, below which there is too little to smooth."""
UNCERTAIN = 1e-7
"""Error of a smoothed pixel in units of the square root of the sum of the squares around it, several times the largest that was found."""


def ring_of(inner: float, width: float) -> np.ndarray:
    """Pixels whose centres are in a ring around the middle one, all with one value, of sum 1: float64[size, size].

    Raises
    ------
    ValueError
        When there are none.
    """
    outer = inner + width
    half = int(np.ceil(2 * outer)) // 2
    square = np.arange(-half, half + 1.0) ** 2
    square = square[:, np.newaxis] + square
    ring = np.where((square >= inner**2) & (square <= outer**2), 1 / (np.pi * (outer**2 - inner**2)), 0.0)
    if not ring.any():
        raise ValueError(f"no pixel is between {inner} and {outer} from the middle one")
    return np.asarray(ring / ring.sum())


def bright_areas(step: np.ndarray, centre: np.ndarray, spread: np.ndarray, flags: np.ndarray, pixeldq: np.ndarray, ring: np.ndarray, limit: float,
                 least: float) -> Regions:  # fmt: skip
    """Areas in which differences, in units of their noise and smoothed, are above a limit.

    Parameters
    ----------
    step, centre, spread : float32[y, x]
        Differences, the usual ones, and their noise.
    flags : uint8[y, x]
    pixeldq : uint32[y, x]
        Pixels with a flag of `INVALID` in either are not good, nor are those without a finite ratio.
    ring : float64[size, size]
        Odd size; one value and zeros.
    limit : float
    least : float
        Pixels of an area.
    """
    ratio, bad = np.empty(step.shape, np.float32), np.empty(step.shape, np.uint8)
    _ratios(step, centre, spread, flags, pixeldq, ratio, bad)
    side = reach(ring.shape[0])
    error = np.zeros((step.shape[0] // side + 1, step.shape[1] // side + 1))
    _squares(ratio, side, error)
    error = UNCERTAIN * np.sqrt(_around(error))
    above, unsure = np.empty(step.shape, np.uint8), np.zeros(step.shape, np.bool_)
    weights = _weights(ring)
    lost = np.empty(step.shape[1], np.uint8 if weights.size <= 256 else np.int64)
    _compare(ratio, bad, ring, weights, LEAST_WEIGHT * ring.mean(), limit, error, side, lost, above, unsure)
    areas = find_regions(above, least)
    if unsure[areas.pixels[:, 0], areas.pixels[:, 1]].any():
        _compare_smoothed(convolved(ratio, ring), bad, ring, weights, LEAST_WEIGHT * ring.mean(), limit, lost, above)
        areas = find_regions(above, least)
    return areas


def reach(size: int) -> int:
    """Pixels over which tiles of Fourier transforms, whose size goes with that of a ring, may spread their errors."""
    beyond = math.log(2 * max(size - 1, 2))
    return math.ceil((size - 1) * (1 + math.sqrt(2 * beyond) + beyond)) + 8


def _weights(ring: np.ndarray) -> np.ndarray:
    """Weight of a pixel by the number of those in the ring around it that are not good: taken away one by one."""
    values = ring[ring != 0]
    if (values != values[0]).any():
        raise ValueError("a ring has one value")
    return np.asarray(np.subtract.accumulate(np.concatenate([[ring.sum()], values])))


def _around(values: np.ndarray) -> np.ndarray:
    """Sums of each number and its eight neighbours."""
    padded = np.pad(values, 1)
    return np.asarray(sum(padded[v : v + values.shape[0], u : u + values.shape[1]] for v in range(3) for u in range(3)))


@jit
def _ratios(step, centre, spread, flags, pixeldq, ratio, bad):  # type: ignore[no-untyped-def]
    """Ratios of good pixels, 0 for the others, and 1 where they are not good."""
    for y in range(ratio.shape[0]):
        for x in range(ratio.shape[1]):
            value = abs(step[y, x] - centre[y, x]) / spread[y, x]
            good = value < np.float32(np.inf) and (flags[y, x] | pixeldq[y, x]) & INVALID == 0
            ratio[y, x] = value if good else np.float32(0)
            bad[y, x] = 0 if good else 1


@jit
def _squares(ratio, side, out):  # type: ignore[no-untyped-def]
    for y in range(ratio.shape[0]):
        for first in range(0, ratio.shape[1], side):
            total = 0.0
            for x in range(first, min(first + side, ratio.shape[1])):
                total += np.float64(ratio[y, x]) * ratio[y, x]
            out[y // side, first // side] += total


@jit
def _ring_sums(image, y, ring, sums):  # type: ignore[no-untyped-def]
    """Sums over the ring around each pixel of a row; outside of the image is nothing."""
    (ny, nx), half = image.shape, ring.shape[0] // 2
    sums[:] = 0
    for v in range(max(-half, -y), min(half + 1, ny - y)):
        for u in range(-half, half + 1):
            if ring[v + half, u + half] != 0.0:
                first, last = max(0, -u), min(nx, nx - u)
                target, source = sums[first:last], image[y + v, first + u : last + u]
                for x in range(target.size):
                    target[x] += source[x]


@jit
def _compare(ratio, bad, ring, weights, least, limit, error, side, lost, above, unsure):  # type: ignore[no-untyped-def]
    """1 where the smoothed ratio may be above the limit, and whether that is not sure."""
    (ny, nx), value = ratio.shape, ring.max()
    sums = np.empty(nx, np.float64)
    for y in range(ny):
        _ring_sums(ratio, y, ring, sums)
        _ring_sums(bad, y, ring, lost)
        for x in range(nx):
            weight = weights[lost[x]]
            enough = bad[y, x] == 0 and weight > least
            beyond, slack = sums[x] * value - limit * weight, error[y // side, x // side]
            above[y, x] = 1 if enough and beyond > -slack else 0
            unsure[y, x] = enough and abs(beyond) <= slack


@jit
def _compare_smoothed(smooth, bad, ring, weights, least, limit, lost, above):  # type: ignore[no-untyped-def]
    """1 where the smoothed ratio is above the limit."""
    for y in range(smooth.shape[0]):
        _ring_sums(bad, y, ring, lost)
        for x in range(smooth.shape[1]):
            weight = weights[lost[x]]
            above[y, x] = 1 if bad[y, x] == 0 and weight > least and smooth[y, x] / weight > limit else 0
