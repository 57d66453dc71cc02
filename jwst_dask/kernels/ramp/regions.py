"""Connected areas of an image, the ellipses of the same second moments, and the pixels of an ellipse.

Conventions are those of scikit-image (on which the reference implementation rests): areas touch also across corners, holes
count as area, axes are four standard deviations long. Sums are done in its order, because axes are rounded to whole pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jwst_dask.kernels._jit import jit

ORDERS = np.arange(4.0)
"""Powers of the moments; the last is not used but keeps the sums in the same order as scikit-image's."""
SLACK = 1e-6


class Ellipse(NamedTuple):
    """Centre (pixels, from 0), full lengths of the minor and major axis (pixels), angle (degrees)."""

    x: float
    y: float
    minor: float
    major: float
    angle: float

    def contains(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether points lie in it (bool, shape of `x`)."""
        angle = np.radians(180 - self.angle)
        across, up = x - self.x, y - self.y
        along, aside = across * np.cos(angle) - up * np.sin(angle), across * np.sin(angle) + up * np.cos(angle)
        half, other = max(self.minor, self.major) * 0.5, min(self.minor, self.major) * 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            return along**2 / half**2 + aside**2 / other**2 <= 1


@dataclass(frozen=True)
class Regions:
    """Connected areas, in the order of their first pixels.

    Attributes
    ----------
    pixels : int32[pixel, 2]
        Rows and columns, area after area.
    ends : int64[area + 1]
        Where the pixels of each area begin; the last is the number of pixels.
    x, y : float64[area]
        Mean position.
    var_x, var_y : float64[area]
        Variance of the positions.
    """

    pixels: np.ndarray
    ends: np.ndarray
    x: np.ndarray
    y: np.ndarray
    var_x: np.ndarray
    var_y: np.ndarray

    def __len__(self) -> int:
        return self.x.size

    def ellipse(self, k: int) -> Ellipse:
        """The ellipse of the same second moments as area `k`, its axes one pixel shorter."""
        image = self._image(k).astype(np.float64)
        v, u = np.arange(image.shape[0], dtype=np.float64), np.arange(image.shape[1], dtype=np.float64)
        y = (v - (image.sum(axis=1) @ v) / image.sum())[:, np.newaxis] ** ORDERS
        x = (u - (image.sum(axis=0) @ u) / image.sum())[:, np.newaxis] ** ORDERS
        part = np.einsum("ij,ip->pj", image, y, optimize="greedy")
        moments = np.einsum("pj,jq->pq", part, x, optimize="greedy")
        second = np.array([moments[2, 0], moments[0, 2]])
        spread = (second.sum() - second) / moments[0, 0]
        cross = -moments[1, 1] / moments[0, 0]
        small, large = np.clip(np.linalg.eigvalsh(np.array([[spread[0], cross], [cross, spread[1]]])), 0, None)
        if spread[0] - spread[1] == 0:
            turn = math.pi / 4 if cross < 0 else -math.pi / 4
        else:
            turn = 0.5 * math.atan2(-2 * cross, spread[1] - spread[0])
        return Ellipse(float(self.x[k]), float(self.y[k]), 4 * math.sqrt(small) - 1, 4 * math.sqrt(large) - 1, np.degrees(turn))

    def may_be_wider(self, k: int, limit: float) -> bool:
        """Whether the minor axis of area `k` can be longer than a limit (quick; says yes too often, never no wrongly)."""
        return bool(4 * math.sqrt(min(self.var_x[k], self.var_y[k])) - 1 > limit - SLACK)

    def reach(self, k: int) -> float:
        """More than half of the major axis of area `k`."""
        return 2 * math.sqrt(self.var_x[k] + self.var_y[k]) + 1

    def filled(self, k: int) -> int:
        """Pixels of area `k` with its holes."""
        image = self._image(k)
        return int(image.size - _outside(np.pad(image, 1)) + 2 * (image.shape[0] + image.shape[1]) + 4)

    def _image(self, k: int) -> np.ndarray:
        """Area `k` in the smallest image that holds it (uint8[y, x])."""
        pixels = self.pixels[self.ends[k] : self.ends[k + 1]]
        (row, column), last = pixels.min(axis=0), pixels.max(axis=0)
        image = np.zeros((last[0] - row + 1, last[1] - column + 1), np.uint8)
        image[pixels[:, 0] - row, pixels[:, 1] - column] = 1
        return image

    def __getitem__(self, chosen: np.ndarray) -> Regions:
        """Some of the areas (bool[area])."""
        sizes = np.diff(self.ends)
        ends = np.concatenate([[0], np.cumsum(sizes[chosen])])
        return Regions(self.pixels[np.repeat(chosen, sizes)], ends, self.x[chosen], self.y[chosen], self.var_x[chosen], self.var_y[chosen])


def find_regions(mask: np.ndarray, least: float) -> Regions:
    """Connected areas of at least so many pixels, holes included.

    Parameters
    ----------
    mask : uint8[y, x]
        Not 0 in the areas; used up (all 0 afterwards).
    least : float
        Pixels.
    """
    total = int(np.count_nonzero(mask))
    pixels, ends = np.empty((total, 2), np.int32), np.zeros(total + 1, np.int64)
    sums = np.zeros((total, 5), np.float64)
    n = int(_trace(mask, pixels, ends, sums)) if total else 0
    sizes = np.diff(ends[: n + 1]).astype(np.float64)
    y, x = sums[:n, 0] / sizes, sums[:n, 1] / sizes
    var_y, var_x = sums[:n, 2] / sizes - y * y, sums[:n, 3] / sizes - x * x
    found = Regions(pixels, ends[: n + 1], x, y, np.maximum(var_x, 0), np.maximum(var_y, 0))
    large, boxes = sizes >= least, sums[:n, 4]
    for k in np.flatnonzero(~large & (boxes >= least)):
        large[k] = found.filled(int(k)) >= least
    return found if large.all() else found[large]


@jit
def _trace(mask, pixels, ends, sums):  # type: ignore[no-untyped-def]
    """Move the pixels of `mask` to `pixels`, area after area; sums: y, x, y squared, x squared, size of the bounding box."""
    ny, nx = mask.shape
    n, tail = 0, 0
    for y0 in range(ny):
        for x0 in range(nx):
            if not mask[y0, x0]:
                continue
            head, mask[y0, x0] = tail, 0
            pixels[tail, 0], pixels[tail, 1] = y0, x0
            tail += 1
            top, left, right = y0, x0, x0
            while head < tail:
                y, x = np.int64(pixels[head, 0]), np.int64(pixels[head, 1])
                head += 1
                top, left, right = max(top, y), min(left, x), max(right, x)
                sums[n, 0] += y
                sums[n, 1] += x
                sums[n, 2] += y * y
                sums[n, 3] += x * x
                for v in range(max(y - 1, 0), min(y + 2, ny)):
                    for u in range(max(x - 1, 0), min(x + 2, nx)):
                        if mask[v, u]:
                            mask[v, u] = 0
                            pixels[tail, 0], pixels[tail, 1] = v, u
                            tail += 1
            sums[n, 4] = (top - y0 + 1) * (right - left + 1)
            n += 1
            ends[n] = tail
    return n


@jit
def _outside(image):  # type: ignore[no-untyped-def]
    """Pixels that are reached from the corner over zeros, corners touching; `image` (uint8[y, x]) is overwritten."""
    ny, nx = image.shape
    queue = np.empty((image.size, 2), np.int64)
    queue[0, 0], queue[0, 1], image[0, 0] = 0, 0, 1
    head, tail = 0, 1
    while head < tail:
        y, x = queue[head, 0], queue[head, 1]
        head += 1
        for v in range(max(y - 1, 0), min(y + 2, ny)):
            for u in range(max(x - 1, 0), min(x + 2, nx)):
                if not image[v, u]:
                    image[v, u] = 1
                    queue[tail, 0], queue[tail, 1] = v, u
                    tail += 1
    return tail


def footprint(x: float, y: float, first: float, second: float, angle: float, shape: tuple[int, int]) -> tuple[slice, slice, np.ndarray]:
    """Pixels in an ellipse whose centre and half axes are rounded to whole pixels.

    Parameters
    ----------
    x, y : float
        Centre.
    first, second : float
        Full lengths of the axes: at angle 0 along x, along y.
    angle : float
        Degrees.
    shape : (int, int)
        Of the frame.

    Returns
    -------
    rows, columns : slice
        Part of the frame.
    inside : bool[row, column]
    """
    column, row, half_x, half_y = round(x), round(y), round(first / 2), round(second / 2)
    reach = max(half_x, half_y) + 2
    rows = slice(max(row - reach, 0), max(min(row + reach + 1, shape[0]), 0))
    columns = slice(max(column - reach, 0), max(min(column + reach + 1, shape[1]), 0))
    v, u = np.arange(rows.start, rows.stop)[:, np.newaxis], np.arange(columns.start, columns.stop)[np.newaxis]
    if half_x == 0 or half_y == 0:
        return rows, columns, np.zeros((v.size, u.size), np.bool_)
    turn = np.radians(angle) % np.pi
    sin, cos = np.sin(turn), np.cos(turn)
    up, across = (v - row).astype(np.float64), (u - column).astype(np.float64)
    inside = ((up * cos + across * sin) / half_y) ** 2 + ((up * sin - across * cos) / half_x) ** 2 < 1
    # the box matters for negative axes only (areas narrower than a pixel)
    high, wide = abs(half_y * cos) + half_x * sin, half_y * sin + abs(half_x * cos)
    return rows, columns, inside & (up >= np.ceil(-high)) & (up <= np.floor(high)) & (across >= np.ceil(-wide)) & (across <= np.floor(wide))
