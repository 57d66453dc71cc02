"""Small pictures of spectra made without a figure library: an indexed PNG of a 2-D spectrum, an SVG path of a 1-D one."""

from __future__ import annotations

import base64
import struct
import zlib
from functools import cache

import numpy as np

from jwst_dask.plots import style

WIDTH, HEIGHT = 240, 48
"""Most columns and rows of a picture."""
LEVELS = 48
"""Colours: enough for the eye, few enough to compress."""


@cache
def _palette() -> bytes:
    """RGB of the colours, the first for pixels without data."""
    import matplotlib

    colours = matplotlib.colormaps[style.MAP](np.linspace(0, 1, LEVELS))[:, :3]
    absent = [int(style.NO_DATA[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    table: np.ndarray = np.rint(np.vstack([absent, colours]) * 255).astype(np.uint8)
    return table.tobytes()


def picture(image: np.ndarray, backwards: bool = False) -> str:
    """A 2-D spectrum (float[y, x], NaN without data) as a PNG in a data URI, row 0 at the bottom; '' if there is nothing in it."""
    image = _fewer(np.asarray(image, np.float64), HEIGHT, WIDTH)
    if not image.size or not np.isfinite(image).any():
        return ""
    low, high = _span(image)
    with np.errstate(invalid="ignore"):
        index = np.where(np.isfinite(image), 1 + np.clip((image - low) / (high - low) * LEVELS, 0, LEVELS - 1), 0).astype(np.uint8)
    index = index[::-1, :: -1 if backwards else 1]
    return "data:image/png;base64," + base64.b64encode(_png(index)).decode("ascii")


def _fewer(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over blocks, so that there are at most so many rows and columns."""
    for axis, limit in ((0, rows), (1, columns)):
        count = image.shape[axis]
        if count > limit:
            edges = np.linspace(0, count, limit + 1).astype(int)[:-1]
            good = np.isfinite(image)
            total = np.add.reduceat(np.where(good, image, 0), edges, axis=axis)
            number = np.add.reduceat(good.astype(np.int32), edges, axis=axis)
            with np.errstate(invalid="ignore", divide="ignore"):
                image = total / number
    return image


def _span(values: np.ndarray) -> tuple[float, float]:
    """Limits that leave outliers aside, apart from each other whatever the values are."""
    low, high = style.span(values, 2, 98)
    return (low, high) if high > low else (low - max(abs(low), 1.0), high + max(abs(high), 1.0))


def _png(index: np.ndarray) -> bytes:
    """An indexed PNG (W3C PNG specification, colour type 3, 8 bits) of uint8[y, x]."""
    height, width = index.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter, none
    lines[:, 1:] = index
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)), (b"PLTE", _palette()),
              (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)


def curve(flux: np.ndarray, backwards: bool = False, width: int = 240, height: int = 44) -> tuple[str, float, float]:
    """A 1-D spectrum against element number as the ``d`` of an SVG path in a box, y downwards; and the fluxes of bottom and top.

    Parameters
    ----------
    flux : float[wavelength]
        NaN leaves a gap.
    """
    values = _fewer(np.asarray(flux, np.float64)[None], 1, width)[0][:: -1 if backwards else 1]
    good = np.isfinite(values)
    if not good.any():
        return "", 0.0, 0.0
    low, high = _span(values)
    pad = 0.08 * (high - low)
    low, high = min(low - pad, 0.0) if low > 0 and low < 0.3 * high else low - pad, high + pad
    x = (np.arange(len(values)) + 0.5) * width / len(values)
    with np.errstate(invalid="ignore"):
        y = np.clip((high - values) / (high - low), 0, 1) * height
    begins = good & ~np.concatenate([[False], good[:-1]])
    path = "".join(f"{'M' if first else 'L'}{a:.0f} {b:.1f}" for a, b, first in zip(x[good], y[good], begins[good]))
    return path, float(low), float(high)
