"""Writing products region by region: the file is laid out from a datamodel of one integration, tasks fill in their rows.

A full-size datamodel would hold the whole product in memory. Here `plan_layout` serialises a small one with `stdatamodels`, enlarges
the arrays that have one row (plane) per integration in headers and ASDF extension, and says where their bytes are; `allocate` makes
the temporary file, `write_rows` may be called from any process in any order and repeated, `finish` gives the file its name.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.io import asdf_text
from jwst_dask.io.cards import BLOCK, SPARE, asdf_header, header_hash, set_card, with_spare
from jwst_dask.io.edits import described_by
from jwst_dask.io.fits import HDU, SLICE
from jwst_dask.io.serial import serialise
from jwst_dask.io.tables import Column, encode, row_dtype


@dataclass(frozen=True)
class Region:
    """Where the rows of one extension lie in a product.

    Attributes
    ----------
    offset : int
        Of the first row, bytes from the start of the file.
    row_nbytes, nrows : int
        Of one row (a plane of an image with integrations, the whole of a 2-D image, a table row), and their number.
    dtype : str
        Stored type of an image (``">f4"``, ``">i4"``); empty for a table.
    unsigned : bool
        Integers carry a BZERO.
    shape : tuple of int
        Of one row of an image.
    columns : tuple of Column
        Of a table.
    name : str
        Extension, for messages.
    """

    offset: int
    row_nbytes: int
    nrows: int
    dtype: str = ""
    unsigned: bool = False
    shape: tuple[int, ...] = ()
    columns: tuple[Column, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Layout:
    """A product before its rows are there.

    Attributes
    ----------
    pieces : tuple of (int, bytes)
        Literal bytes (headers, small arrays and tables, the ASDF extension) and their offsets.
    regions : mapping of (str, int) to Region
        By extension name and version.
    size : int
        Of the file, bytes.
    """

    pieces: tuple[tuple[int, bytes], ...]
    regions: Mapping[tuple[str, int], Region]
    size: int


def plan_layout(model: Any, rows: Mapping[Any, int], spare: int = SPARE, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Layout:
    """Lay out the product of a datamodel whose large arrays have one row each.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        Complete but for the arrays named in `rows`, which have length 1 along their first axis (tables: one row; a 2-D image is
        one row as a whole). ``meta.filename`` is the product's final name. Its date and model type are set, as on saving.
    rows : mapping
        Extension name, or (name, version), -> number of rows in the product. Extensions that the model lacks are ignored.
    spare : int
        Blank cards in each header.
    shapes : mapping, optional
        Images of one pixel in the model, and the shapes that they have in the product.

    Returns
    -------
    Layout
    """
    model.on_save(None)
    shapes = shapes or {}
    serial, wcs = serialise(model, lambda extension: extension in rows or extension[0] in (*rows, *shapes))
    hdus, headers = [replace(h, shape=shapes[h.name]) if h.name in shapes and h.ver == 1 else h for h in serial.hdus], []
    counts = {(h.name, h.ver): n for h in hdus if (n := rows.get((h.name, h.ver), rows.get(h.name))) is not None}
    counts |= {(h.name, h.ver): h.shape[0] if len(h.shape) > 2 else 1 for h in hdus if h.name in shapes and h.ver == 1}
    for hdu, header in zip(hdus[:-1], serial.headers):
        for axis, n in enumerate(reversed(hdu.shape)) if hdu.name in shapes else ():
            header = set_card(header, f"NAXIS{axis + 1}", str(n))
        headers.append(with_spare(_resized(header, hdu, counts.get((hdu.name, hdu.ver))), spare))
    lengths: dict[tuple[str, int], Any] = {**_asdf_rows(hdus, counts), **{(h.name, h.ver): h.shape for h in hdus if h.name in shapes and h.ver == 1}}
    content = asdf_text.compose(serial.text, serial.blocks, wcs, lengths)
    content, _ = asdf_text.replace_hash(content, header_hash(headers))
    headers.append(with_spare(asdf_header(serial.headers[-1], len(content)), spare))
    return _assemble(hdus, headers, [*serial.contents, content], counts)


def _asdf_rows(hdus: Sequence[HDU], counts: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """Lengths to patch in the tree: those of arrays with a first axis of their own (a 2-D image keeps its shape)."""
    return {(h.name, h.ver): counts[h.name, h.ver] for h in hdus if (h.name, h.ver) in counts and (h.kind == "table" or len(h.shape) > 2)}


def _assemble(hdus: Sequence[HDU], headers: list[bytes], contents: list[Any], counts: Mapping[tuple[str, int], int]) -> Layout:
    pieces: list[tuple[int, bytes]] = []
    regions, at = {}, 0
    for hdu, header, content in zip(hdus, headers, contents):
        pieces.append((at, header))
        at += len(header)
        key = (hdu.name, hdu.ver)
        if key in counts:
            regions[key] = _region(hdu, header, at, counts[key])
            nbytes = regions[key].row_nbytes * counts[key]
        else:
            pieces.append((at, bytes(content)))
            nbytes = len(content)
        at += math.ceil(nbytes / BLOCK) * BLOCK
    return Layout(tuple(pieces), regions, at)


def _region(hdu: HDU, header: bytes, offset: int, count: int) -> Region:
    if hdu.kind == "table":
        described = described_by(header)
        return Region(offset, row_dtype(described).itemsize, count, columns=described, name=hdu.name)
    shape = hdu.shape[1:] if len(hdu.shape) > 2 else hdu.shape
    if len(hdu.shape) <= 2 and count != 1:
        raise InputError(f"{hdu.name} has no integration axis, so it has one row, not {count}")
    nbytes = math.prod(shape) * np.dtype(hdu.dtype).itemsize
    return Region(offset, nbytes, count, hdu.dtype, hdu.native.kind == "u" and hdu.bzero != 0, shape, name=hdu.name)


def _resized(header: bytes, hdu: HDU, count: int | None) -> bytes:
    if count is None or (hdu.kind == "image" and len(hdu.shape) <= 2):
        return header
    return set_card(header, "NAXIS2" if hdu.kind == "table" else f"NAXIS{len(hdu.shape)}", str(count))


def temporary(final: str | os.PathLike[str], run_id: str) -> str:
    """Name of a product while run `run_id` writes it: hidden, beside the final name (renaming must not cross file systems)."""
    folder, name = os.path.split(os.fspath(final))
    return os.path.join(folder, f".{name}.{run_id}.part")


def allocate(path: str | os.PathLike[str], layout: Layout, reserve: bool = False) -> None:
    """Create the temporary file of a product and write all but its rows. Only the client does this.

    Parameters
    ----------
    path : str
        See `temporary`. An older file of that name is replaced.
    layout : Layout
    reserve : bool
        Take the disk space now, so that a disk that is too small is noticed before anything is computed.

    Raises
    ------
    InputError
        No space, no such folder, or no permission; nothing is left behind.
    """
    name = os.fspath(path)
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        raise InputError(f"{name}: cannot be created ({error.strerror})") from error
    try:
        if reserve:
            os.posix_fallocate(fd, 0, layout.size)
        else:
            os.ftruncate(fd, layout.size)
        for offset, piece in layout.pieces:
            _pwrite(fd, memoryview(piece), offset)
    except OSError as error:
        os.unlink(name)
        raise _explained(error, name, layout.size) from error
    finally:
        os.close(fd)


def _explained(error: OSError, name: str, nbytes: int) -> InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return InputError(f"{name}: no space left on the disk ({nbytes} bytes wanted); free some, or choose another --output-dir")
    return InputError(f"{name}: cannot be written ({error.strerror})")


def _pwrite(fd: int, data: memoryview, offset: int) -> None:
    while len(data):
        n = os.pwrite(fd, data, offset)
        data, offset = data[n:], offset + n


def write_rows(path: str | os.PathLike[str], region: Region, first_row: int, array: np.ndarray) -> None:
    """Write consecutive rows of one extension; may be repeated, and run beside other writers of the same file.

    Parameters
    ----------
    path : str
        The temporary file, which must exist (a file that is gone is not made again: its run is over).
    region : Region
        From the product's `Layout`.
    first_row : int
        Row of the product at which the array begins.
    array : ndarray
        Rows of an image (``[row, y, x]``; ``[y, x]`` or ``[1, y, x]`` for a 2-D product), or a structured array of table rows.

    Raises
    ------
    InputError
        The array does not fit the region, the disk is full, or the file is gone.
    """
    name = os.fspath(path)
    if not region.columns and array.shape == region.shape:
        array = array[None]
    if first_row < 0 or first_row + len(array) > region.nrows or (not region.columns and array.shape[1:] != region.shape):
        raise InputError(f"{name}: rows {first_row} to {first_row + len(array)} of shape {array.shape[1:]} do not fit extension "
                         f"{region.name} of {region.nrows} rows of shape {region.shape}")  # fmt: skip
    try:
        fd = os.open(name, os.O_WRONLY)
    except OSError as error:
        raise InputError(f"{name}: the unfinished product is gone or cannot be written ({error.strerror})") from error
    try:
        offset = region.offset + first_row * region.row_nbytes
        if region.columns:
            step = max(SLICE // region.row_nbytes, 1)
            for i in range(0, len(array), step):
                _pwrite(fd, encode(array[i : i + step], region.columns).view(np.uint8).data, offset + i * region.row_nbytes)
        else:
            _write_image(fd, region, array, offset)
    except OSError as error:
        raise _explained(error, name, array.nbytes) from error
    finally:
        os.close(fd)


def write_tile(path: str | os.PathLike[str], region: Region, first_row: int, y0: int, array: np.ndarray, group0: int = 0) -> None:
    """Write some rows (and groups) of consecutive planes of one extension; like `write_rows` otherwise.

    Parameters
    ----------
    path : str
    region : Region
        Of images ``(y, x)`` or ``(group, y, x)``.
    first_row : int
        Integration that the array begins with; counts for nothing in an extension of one image.
    y0, group0 : int
        First row, and first group.
    array : ndarray
        ``[integration, (group,) y, x]``, or ``[y, x]`` for an extension of one image.

    Raises
    ------
    InputError
        The array does not fit the region, the disk is full, or the file is gone.
    """
    name, (ny, nx) = os.fspath(path), region.shape[-2:]
    planes = array.reshape(-1, *array.shape[-2:])
    per, own = (region.shape[0], array.shape[-3]) if len(region.shape) == 3 else (1, 1)
    first_row = 0 if array.ndim == 2 else first_row
    group0 = group0 if len(region.shape) == 3 else 0
    rows = len(planes) // own
    if array.shape[-1] != nx or y0 + array.shape[-2] > ny or first_row + rows > region.nrows or group0 + own > per:
        raise InputError(f"{name}: an array of shape {array.shape} at integration {first_row}, row {y0} does not fit extension {region.name} of "
                         f"{region.nrows} x {region.shape}")  # fmt: skip
    try:
        fd = os.open(name, os.O_WRONLY)
    except OSError as error:
        raise InputError(f"{name}: the unfinished product is gone or cannot be written ({error.strerror})") from error
    size = np.dtype(region.dtype).itemsize
    try:
        if array.shape[-2] == ny and own == per:  # all in one piece
            _write_image(fd, region, array, region.offset + first_row * region.row_nbytes)
            return
        for k, plane in enumerate(planes):
            at = (first_row + k // own) * per + group0 + k % own
            _write_image(fd, region, plane, region.offset + (at * ny + y0) * nx * size)
    except OSError as error:
        raise _explained(error, name, array.nbytes) from error
    finally:
        os.close(fd)


def _write_image(fd: int, region: Region, array: np.ndarray, offset: int) -> None:
    stored = np.dtype(region.dtype)
    native = np.dtype(f"u{stored.itemsize}") if region.unsigned else stored.newbyteorder("=")
    flat = np.ascontiguousarray(array, dtype=native).reshape(-1)
    step = SLICE // stored.itemsize
    if stored.itemsize != 4:
        for i in range(0, flat.size, step):
            part = flat[i : i + step]
            part = (part ^ native.type(1 << (8 * stored.itemsize - 1))) if region.unsigned else part
            _pwrite(fd, part.astype(native.newbyteorder(">")).view(np.uint8).data, offset + i * stored.itemsize)
        return
    from jwst_dask.kernels.bytes import flip_swap32

    words, flip = flat.view(np.uint32), np.uint32(0x80000000 if region.unsigned else 0)
    buffer = np.empty(min(step, words.size), np.uint32)
    for i in range(0, words.size, step):
        part = words[i : i + step]
        flip_swap32(part, buffer[: part.size], flip)
        _pwrite(fd, buffer[: part.size].view(np.uint8).data, offset + i * 4)


def finish(unfinished: str | os.PathLike[str], final: str | os.PathLike[str], checksum: bool = False, fsync: bool = False,
           cards: Mapping[tuple[str, int], Mapping[str, Any]] | None = None) -> None:  # fmt: skip
    """Give a product whose rows are all written its final name (atomically; an older product is replaced).

    Parameters
    ----------
    unfinished, final : str
        Temporary and final name, in one file system.
    checksum : bool
        Add CHECKSUM and DATASUM to every extension (reads the file once, in bounded memory).
    fsync : bool
        Wait until the disk has it.
    cards : mapping, optional
        Late keywords: (extension, version) -> keyword -> value. They replace those there, or take spare cards.

    Raises
    ------
    InputError
        When it cannot be renamed or written.
    """
    from jwst_dask.io import checksums

    name = os.fspath(unfinished)
    try:
        if cards:
            checksums.set_cards(name, cards)
        if checksum:
            checksums.add(name, rehash=not cards)
        if fsync:
            fd = os.open(name, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        os.replace(name, final)
    except OSError as error:
        raise _explained(error, os.fspath(final), 0) from error
