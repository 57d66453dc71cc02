"""Windows of images in FITS reference files by byte range: headers are scanned once per process, then only the rows that are wanted are read.

Follows the FITS standard 4.0 (https://fits.gsfc.nasa.gov/fits_standard.html), sections 4.4 and 5.2 (BZERO, BSCALE, BLANK).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.io import source
from jwst_dask.io.fits import HDU, SLICE, FitsFile, scan
from jwst_dask.kernels.bytes import swap32, swap32_crop

Window = tuple[slice, ...]


@dataclass(frozen=True)
class Plain:
    """A file, and those of its images whose numbers lie there as they are: not compressed, not scaled, without BLANK."""

    file: FitsFile
    images: Mapping[tuple[str, int], HDU]


def read_window(path: str, token: tuple[str, int, int], extname: str, window: Window | None, extver: int = 1) -> np.ndarray | None:
    """An image of a FITS file, or a window of it.

    Parameters
    ----------
    path : str
    token : tuple
        Identity of the file's content.
    extname : str
    window : tuple of slice
        One for each trailing axis; leading axes are read whole.
    extver : int

    Returns
    -------
    ndarray or None
        Native byte order, C-contiguous, the caller's own. None where the bytes do not tell all: compressed or scaled images,
        gzipped files, files that are not quite FITS, axes that a window does not fit.
    """
    if path.endswith(".gz"):
        return None
    found = memo(("plain images", token), lambda: _plain(path))
    hdu = found.images.get((extname.upper(), extver)) if found else None
    if found is None or hdu is None or len(window or ()) > len(hdu.shape):
        return None
    cut = tuple(part.indices(n) for part, n in zip(_every(window, len(hdu.shape)), hdu.shape))
    if any(step < 1 or start >= stop for start, stop, step in cut):
        return None
    try:
        with source.reader(found.file) as reader:
            return _read(reader, hdu, [range(*part) for part in cut])
    except InputError:
        return None


def _every(window: Window | None, naxes: int) -> Window:
    window = window or ()
    return (slice(None),) * (naxes - len(window)) + window


def _plain(path: str) -> Plain | None:
    try:
        file = scan(path)
        images: dict[tuple[str, int], HDU] = {}
        seen: set[tuple[str, int]] = set()
        for index, hdu in enumerate(file.hdus):
            first = (hdu.name, hdu.ver) not in seen
            seen.add((hdu.name, hdu.ver))
            if first and hdu.kind == "image" and hdu.shape and not _is_odd(hdu) and "BLANK" not in file.keywords(index):
                images[hdu.name, hdu.ver] = hdu
    except (InputError, KeyError, ValueError):
        return None
    return Plain(file, images)


def _is_odd(hdu: HDU) -> bool:
    """Whether numbers are compressed, scaled, or not as many as the axes say."""
    stored = np.dtype(hdu.dtype)
    as_is = (hdu.bscale, hdu.bzero) == (1, 0) or (stored.kind == "i" and hdu.native.kind == "u")
    return hdu.compressed or not as_is or hdu.nbytes != math.prod(hdu.shape) * stored.itemsize


def _read(reader: source.Reader, hdu: HDU, axes: list[range]) -> np.ndarray:
    """The numbers at the product of `axes` (one range for each axis)."""
    out = np.empty([len(axis) for axis in axes], np.dtype(hdu.dtype).newbyteorder("="))
    lead, (rows, columns) = axes[:-2], axes[-2:] if len(axes) > 1 else (range(1), axes[0])
    ny, nx = hdu.shape[-2:] if len(axes) > 1 else (1, hdu.shape[0])
    planes = out.reshape(-1, len(rows), len(columns))
    strides = [math.prod(hdu.shape[axis + 1 : -2]) for axis in range(len(lead))]
    for plane, place in zip(planes, itertools.product(*lead)):
        at = sum(i * stride for i, stride in zip(place, strides)) * ny * nx
        _plane(reader, hdu, at, nx, rows, columns, plane)
    if hdu.native.kind == "u" and out.dtype.kind == "i":
        out = out.view(hdu.native)
        if out.itemsize != 4:
            out ^= hdu.native.type(1 << (8 * out.itemsize - 1))
    return out


def _plane(reader: source.Reader, hdu: HDU, at: int, nx: int, rows: range, columns: range, out: np.ndarray) -> None:
    """Rows and columns of the plane whose numbers begin with number `at` of the image, some rows at a time."""
    size, step = out.itemsize, rows.step
    swapped = np.uint32(0x80000000 if hdu.native == np.uint32 else 0) if size == 4 else None
    whole = len(columns) == nx and step == 1
    many = max(1, SLICE // (nx * size * step))
    buffer = np.empty((0, nx), np.dtype(hdu.dtype)) if whole else np.empty((min(many, len(rows)) * step, nx), np.dtype(hdu.dtype))
    for first in range(0, len(rows), many):
        part = out[first : first + many]
        offset = hdu.data_offset + (at + rows[first] * nx) * size
        if whole:
            reader.into(offset, part.reshape(-1), hdu.name)
            if swapped is not None:
                words = part.reshape(-1).view(np.uint32)
                swap32(words, words, swapped)
            elif size > 1:
                part.byteswap(inplace=True)
            continue
        # the last row wanted may be the last of the file
        lines = buffer[: (len(part) - 1) * step + 1]
        reader.into(offset, lines.reshape(-1), hdu.name)
        if swapped is not None and columns.step == 1:
            swap32_crop(lines.view(np.uint32)[::step], columns.start, part.view(np.uint32), swapped)
        else:
            part[...] = lines[::step, columns.start : columns.stop : columns.step]
            if swapped is not None:
                part.view(np.uint32)[...] ^= swapped
