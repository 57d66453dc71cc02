"""FITS files by byte range: scan the headers once, then read any run of integrations without opening the rest.

Follows the FITS standard 4.0 (https://fits.gsfc.nasa.gov/fits_standard.html): sections 3 (files), 4 (headers), 5.2 (BZERO), 10.1 (compression).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.io import source
from jwst_dask.io.cards import BLOCK, CARD, values_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from jwst_dask.data.exposure import Block

SLICE = 1 << 20
"""Bytes that are read and then swapped at a time: small enough to stay in a core's cache between the two."""

Window = tuple[int, int, int, int]
_DTYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_STRUCTURE = {"XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "EXTNAME", "EXTVER", "BZERO", "BSCALE", "ZIMAGE", "ZBITPIX", "ZNAXIS"}


@dataclass(frozen=True)
class HDU:
    """Where the data of one extension lie, and in which form.

    Attributes
    ----------
    name, ver : str, int
        EXTNAME (``"PRIMARY"`` for the first) and EXTVER.
    kind : str
        ``"image"`` or ``"table"``.
    header_offset, data_offset : int
        Bytes from the start of the (decompressed) file.
    dtype : str
        As stored, big-endian (``">f4"``, ``">i4"``); ``"V<n>"`` for table rows of n bytes.
    shape : tuple of int
        In numpy order; ``(rows,)`` for a table, ``()`` for no data.
    bzero, bscale : float
        Offset and scale of stored numbers.
    nbytes : int
        Of the data as stored, without padding.
    compressed : bool
        Tile-compressed image (dtype and shape are those of the image, nbytes those of the table that holds it).
    """

    name: str
    ver: int
    kind: str
    header_offset: int
    data_offset: int
    dtype: str
    shape: tuple[int, ...]
    bzero: float = 0.0
    bscale: float = 1.0
    nbytes: int = 0
    compressed: bool = False

    @property
    def native(self) -> np.dtype[Any]:
        """Type of the numbers once read (unsigned where BZERO says so, native byte order)."""
        stored = np.dtype(self.dtype)
        if stored.kind == "V":
            return stored
        if stored.kind == "i" and self.bscale == 1 and self.bzero == 2.0 ** (8 * stored.itemsize - 1):
            return np.dtype(f"u{stored.itemsize}")
        if stored.kind in "iu" and (self.bscale, self.bzero) != (1, 0):
            return np.dtype("f4" if stored.itemsize < 4 else "f8")
        return stored.newbyteorder("=")


@dataclass(frozen=True)
class FitsFile:
    """Headers of one file, reduced to what reading its data needs; small, picklable, hashable.

    Attributes
    ----------
    path : str
        Absolute path or URL.
    size, mtime_ns : int
        Of the file as it was scanned; reading refuses a file that has changed since.
    hdus : tuple of HDU
        In file order.
    """

    path: str
    size: int
    mtime_ns: int
    hdus: tuple[HDU, ...]

    def __dask_tokenize__(self) -> tuple[str, str, int, int]:
        return ("jwst_dask.FitsFile", self.path, self.size, self.mtime_ns)

    def __reduce__(self) -> tuple[Any, ...]:
        return (FitsFile, (self.path, self.size, self.mtime_ns, self.hdus))

    @cached_property
    def _places(self) -> dict[tuple[str, int], HDU]:
        """Extensions by name and version; of those that occur again, the first."""
        return {(hdu.name, hdu.ver): hdu for hdu in reversed(self.hdus)}

    @cached_property
    def _versions(self) -> dict[int, list[HDU]]:
        out: dict[int, list[HDU]] = {}
        for hdu in self.hdus:
            out.setdefault(hdu.ver, []).append(hdu)
        return out

    def version(self, ver: int) -> list[HDU]:
        """Extensions of a version, in file order (the primary one counts as the first)."""
        return self._versions.get(ver, [])

    def only(self, hdu: HDU) -> FitsFile:
        """The same file with one of its extensions, for those who read nothing else; small to send."""
        return self if hdu.compressed else FitsFile(self.path, self.size, self.mtime_ns, (hdu,))

    def __contains__(self, name: object) -> bool:
        return (name if isinstance(name, tuple) else (name, 1)) in self._places

    def hdu(self, name: str, ver: int = 1) -> HDU:
        """The extension `name`, `ver`.

        Raises
        ------
        InputError
            If there is none; the message lists those that exist.
        """
        if (found := self._places.get((name, ver))) is not None:
            return found
        there = ", ".join(f"{h.name},{h.ver}" if h.ver > 1 else h.name for h in self.hdus[:60]) + (", ..." if len(self.hdus) > 60 else "")
        raise InputError(f"{self.path}: there is no extension {name}{f',{ver}' if ver > 1 else ''}; the file has {there}")

    @property
    def nints(self) -> int:
        """Integrations in SCI (1 for a 2-D image)."""
        shape = self.hdu("SCI").shape
        return shape[0] if len(shape) > 2 else 1

    def header(self, name: str | int = 0, ver: int = 1) -> Header:
        """Read the header of one extension (by name and version, or index) as an astropy Header."""
        from astropy.io.fits import Header

        return Header.fromstring(self._raw_header(name, ver).decode("ascii", "replace"))

    def keywords(self, name: str | int = 0, ver: int = 1) -> Mapping[str, str | int | float | bool]:
        """Keywords of one extension and their values, commentary left out; read once (and much faster than `header`)."""
        if (name, ver) not in self._read:
            self._read[name, ver] = values_of(self._raw_header(name, ver))
        return self._read[name, ver]

    @cached_property
    def _read(self) -> dict[tuple[str | int, int], dict[str, str | int | float | bool]]:
        return {}

    def _raw_header(self, name: str | int, ver: int) -> bytes:
        hdu = self.hdus[name] if isinstance(name, int) else self.hdu(name, ver)
        with source.reader(self) as file:
            return file.read(hdu.header_offset, hdu.data_offset - hdu.header_offset)


def scan(path: str | os.PathLike[str]) -> FitsFile:
    """Find every extension of a FITS file (plain, ``.gz``, or a URL) by reading its headers only.

    Parameters
    ----------
    path : str
        File or fsspec URL.

    Returns
    -------
    FitsFile

    Raises
    ------
    InputError
        Not there, not FITS, or truncated (the message names the extension, the bytes expected and those present).
    """
    where, size, mtime = source.stat(path)
    hdus: list[HDU] = []
    with source.reader(FitsFile(where, size, mtime, ())) as file:
        offset = 0
        while offset < file.size or not hdus:
            cards, end = structure(file, where, offset, len(hdus))
            if cards is None:
                break
            hdu = describe(cards, offset, end)
            if end + hdu.nbytes > file.size:
                raise InputError(f"{where}: truncated in extension {hdu.name},{hdu.ver}: {hdu.nbytes} bytes of data expected, "
                                 f"{max(file.size - end, 0)} present; copy or download the file again")  # fmt: skip
            hdus.append(hdu)
            offset = end + math.ceil(hdu.nbytes / BLOCK) * BLOCK
    return FitsFile(where, size, mtime, tuple(hdus))


def structure(file: source.Reader, where: str, offset: int, index: int) -> tuple[dict[str, str] | None, int]:
    """Structural cards of the header at `offset` as text by keyword, and where its data begin."""
    cards: dict[str, str] = {}
    at = offset
    while True:
        block = file.read(at, BLOCK)
        if at == offset and not block.startswith(b"XTENSION" if index else b"SIMPLE  ="):
            if index:
                return None, at
            raise InputError(f"{where}: not a FITS file")
        if len(block) < BLOCK:
            raise InputError(f"{where}: truncated in the header of extension number {index}: "
                             f"{BLOCK} bytes expected at {at}, {len(block)} present; copy or download the file again")  # fmt: skip
        at += BLOCK
        for i in range(0, BLOCK, CARD):
            card = block[i : i + CARD]
            key = card[:8].rstrip().decode("ascii", "replace")
            if key == "END":
                return cards, at
            if card[8:10] == b"= " and (key in _STRUCTURE or key.startswith(("NAXIS", "ZNAXIS"))):
                cards[key] = _value(card[10:].decode("ascii", "replace"))


def _value(text: str) -> str:
    text = text.strip()
    if text.startswith("'"):
        return text[1:].split("'", 1)[0].rstrip()
    return text.split("/", 1)[0].strip()


def describe(cards: dict[str, str], offset: int, data: int) -> HDU:
    """The extension whose header, with these structural cards, begins at `offset`, and whose data begin at `data`."""

    def number(key: str, default: int = 0) -> int:
        return int(cards.get(key, default))

    axes = [number(f"NAXIS{i + 1}") for i in range(number("NAXIS"))]
    stored = abs(number("BITPIX", 8)) // 8 * number("GCOUNT", 1) * (number("PCOUNT") + math.prod(axes)) if axes else 0
    name = cards.get("EXTNAME", "" if "XTENSION" in cards else "PRIMARY").upper()
    ver, bzero, bscale = number("EXTVER", 1), float(cards.get("BZERO", 0)), float(cards.get("BSCALE", 1))
    if cards.get("XTENSION") == "BINTABLE":
        if cards.get("ZIMAGE") != "T":
            return HDU(name, ver, "table", offset, data, f"V{axes[0]}", (axes[1],), nbytes=stored)
        shape = tuple(number(f"ZNAXIS{i}") for i in range(number("ZNAXIS"), 0, -1))
        return HDU(name, ver, "image", offset, data, _DTYPES[number("ZBITPIX")], shape, bzero, bscale, stored, True)
    return HDU(name, ver, "image", offset, data, _DTYPES[number("BITPIX", 8)], tuple(axes[::-1]), bzero, bscale, stored)


def read(file: FitsFile, name: str, ver: int = 1, start: int | None = None, stop: int | None = None,
         window: Window | None = None) -> np.ndarray:  # fmt: skip
    """Read integrations `start` to `stop` of an image extension, or a window of them.

    Parameters
    ----------
    file : FitsFile
        From `scan`.
    name, ver : str, int
        Extension.
    start, stop : int, optional
        Range along the first axis; not for images of fewer than three dimensions.
    window : (y0, y1, x0, x1), optional
        Part of the last two axes.

    Returns
    -------
    ndarray
        ``float32[integration, y, x]`` (``uint32`` for DQ; otherwise the type that the extension holds), native byte order,
        C-contiguous; without integration axis for a 2-D image.

    Raises
    ------
    InputError
        No such extension, or the file was changed or cut since it was scanned.
    """
    hdu = file.hdu(name, ver)
    source.check_there(file.path, name)
    if len(hdu.shape) < 2:
        raise InputError(f"{file.path}: extension {name} is not an image")
    lead = hdu.shape[:-2]
    first, last, _ = slice(start, stop).indices(lead[0]) if lead else (0, 1, 1)
    ny, nx = hdu.shape[-2:]
    y0, y1, x0, x1 = window or (0, ny, 0, nx)
    if not (0 <= y0 <= y1 <= ny and 0 <= x0 <= x1 <= nx):
        raise InputError(f"{file.path}: window {window} is outside extension {name} of {ny} x {nx} pixels")
    rest = lead[1:]
    shape = ((max(last - first, 0),) if lead else ()) + rest + (y1 - y0, x1 - x0)
    if hdu.compressed:
        return _section(file, hdu, (slice(first, last),) * bool(lead) + (slice(None),) * len(rest) + (slice(y0, y1), slice(x0, x1)))
    out = np.empty(shape, _raw(hdu))
    if out.size:
        plane = ny * nx * out.itemsize
        offset = hdu.data_offset + first * math.prod(rest) * plane
        with source.reader(file) as reader:
            if (y0, y1, x0, x1) == (0, ny, 0, nx):
                _whole(reader, hdu, offset, out)
            else:
                _windows(reader, hdu, offset, plane, y0 * nx * out.itemsize, x0, nx, out)
    return out.view(hdu.native) if out.dtype.itemsize == 4 and hdu.native.itemsize == 4 else _scaled(out, hdu)


def _raw(hdu: HDU) -> np.dtype[Any]:
    """Type of the buffer that bytes are read into: 32-bit words are swapped by a kernel, the rest by numpy."""
    return np.dtype("u4") if hdu.native.itemsize == 4 and np.dtype(hdu.dtype).itemsize == 4 else np.dtype(hdu.dtype)


def _whole(reader: source.Reader, hdu: HDU, offset: int, out: np.ndarray) -> None:
    flat = out.reshape(-1)
    step = SLICE // flat.itemsize
    for i in range(0, flat.size, step):
        part = flat[i : i + step]
        reader.into(offset + i * flat.itemsize, part, hdu.name)
        if part.dtype == np.uint32:
            _kernels().swap32(part, part, _flip(hdu))


def _windows(reader: source.Reader, hdu: HDU, offset: int, plane: int, skip: int, x0: int, nx: int, out: np.ndarray) -> None:
    rows = out.reshape(-1, *out.shape[-2:])
    buffer = np.empty((rows.shape[1], nx), out.dtype)
    for i in range(len(rows)):
        reader.into(offset + i * plane + skip, buffer.reshape(-1), hdu.name)
        if out.dtype == np.uint32:
            _kernels().swap32_crop(buffer, x0, rows[i], _flip(hdu))
        else:
            rows[i] = buffer[:, x0 : x0 + rows.shape[2]]


def _kernels() -> Any:
    from jwst_dask.kernels import bytes as kernels

    return kernels


def _flip(hdu: HDU) -> np.uint32:
    return np.uint32(0x80000000 if hdu.native == np.uint32 else 0)


def _scaled(raw: np.ndarray, hdu: HDU) -> np.ndarray:
    """Numbers of any stored type in native order, offset and scaled."""
    if hdu.native.kind == "u" and hdu.bzero:
        signed = raw.astype(raw.dtype.newbyteorder("="), copy=False).view(hdu.native)
        signed ^= hdu.native.type(1 << (8 * hdu.native.itemsize - 1))
        return signed
    values = raw.astype(hdu.native)
    if (hdu.bscale, hdu.bzero) != (1, 0):
        values = (values * hdu.native.type(hdu.bscale) + hdu.native.type(hdu.bzero)).astype(hdu.native, copy=False)
    return values


def _section(file: FitsFile, hdu: HDU, index: tuple[slice, ...]) -> np.ndarray:
    """Part of a tile-compressed image, by astropy, which decompresses only the tiles that are needed."""
    from astropy.io import fits

    with fits.open(source.local(file), use_fsspec=source.is_url(source.local(file)) or None) as hdus:
        values = hdus[file.hdus.index(hdu)].section[index]
    return np.ascontiguousarray(values, dtype=hdu.native)


def read_block(file: FitsFile, start: int = 0, stop: int | None = None, halo: int = 0, window: Window | None = None) -> Block:
    """Read integrations `start` to `stop` of every array that the steps work on.

    Parameters
    ----------
    file : FitsFile
        Of a rate or calibrated exposure.
    start, stop : int
        Integrations of the block (from 0; a 2-D image counts as one integration).
    halo : int
        Further integrations wanted on each side; fewer at the ends of the file.
    window : (y0, y1, x0, x1), optional
        Part of the detector.

    Returns
    -------
    Block
        ``float32[integration, y, x]`` and ``dq`` uint32, of the extensions that the file has.

    Raises
    ------
    InputError
        No SCI, or the file was changed or cut since it was scanned.
    """
    from jwst_dask.data.exposure import CUBES, Block

    nints = file.nints
    stop = nints if stop is None else min(stop, nints)
    before, after = min(halo, start), min(halo, nints - stop)
    arrays = {}
    for name in (name for name in CUBES if name.upper() in file):
        if len(file.hdu(name.upper()).shape) == 2:
            values = read(file, name.upper(), window=window)[None]
        else:
            values = read(file, name.upper(), start=start - before, stop=stop + after, window=window)
        arrays[name] = values.astype(np.uint32 if name == "dq" else np.float32, copy=False)
    return Block(arrays=arrays, start=start, halo=(before, after))
