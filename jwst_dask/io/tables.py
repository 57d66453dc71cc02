"""Binary tables: columns from headers, rows to and from numpy (FITS standard 4.0, section 7.3; TZERO as in 7.3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.io import source

if TYPE_CHECKING:
    from jwst_dask.io.fits import FitsFile

_FORMATS = {"L": "i1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16"}


@dataclass(frozen=True)
class Column:
    """One column of a binary table.

    Attributes
    ----------
    name, unit : str
    dtype : str
        As stored, big-endian.
    shape : tuple of int
        Of one cell; ``()`` for a single value.
    unsigned : bool
        Stored with the offset (TZERO) that makes signed integers of unsigned ones.
    logical : bool
        Stored as the letters T and F.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    unit: str = ""
    unsigned: bool = False
    logical: bool = False

    @property
    def native(self) -> np.dtype[Any]:
        """Type of the values in memory."""
        if self.logical:
            return np.dtype(bool)
        stored = np.dtype(self.dtype)
        return np.dtype(f"u{stored.itemsize}") if self.unsigned else stored.newbyteorder("=")


def columns(header: Any) -> tuple[Column, ...]:
    """Columns declared by a table header (bytes of the header, or an astropy Header).

    Raises
    ------
    InputError
        For a variable-length column, which JWST products do not have.
    """
    if isinstance(header, (bytes, bytearray, memoryview)):
        from astropy.io.fits import Header

        header = Header.fromstring(bytes(header).decode("ascii", "replace"))
    return tuple(_column(header, i) for i in range(1, int(header["TFIELDS"]) + 1))


def _column(header: Any, i: int) -> Column:
    name, form = str(header.get(f"TTYPE{i}", f"col{i}")).strip(), str(header[f"TFORM{i}"]).strip()
    match = re.fullmatch(r"(\d*)([LBIJKEDCMA])\w*", form)
    if match is None:
        raise InputError(f"column {name}: format {form} is not supported")
    count, code = int(match.group(1) or 1), match.group(2)
    unit = str(header.get(f"TUNIT{i}", "")).strip()
    if code == "A":
        return Column(name, f"S{max(count, 1)}", (), unit)
    dims = re.findall(r"\d+", str(header.get(f"TDIM{i}", "")))
    shape = tuple(int(n) for n in reversed(dims)) if dims else (count,) if match.group(1) and count != 1 else ()
    zero, size = header.get(f"TZERO{i}", 0), np.dtype(_FORMATS[code]).itemsize
    return Column(name, _FORMATS[code], shape, unit, code in "IJK" and zero == 2 ** (8 * size - 1), code == "L")


def row_dtype(described: tuple[Column, ...], native: bool = False) -> np.dtype[Any]:
    """Structured type of a row as stored, or as in memory."""
    return np.dtype([(c.name, c.native if native else np.dtype(c.dtype), c.shape) for c in described])


def encode(rows: np.ndarray, described: tuple[Column, ...]) -> np.ndarray:
    """Rows as stored, from a structured array with (at least) the columns' names.

    Raises
    ------
    InputError
        When a column is missing or has another shape.
    """
    out = np.empty(len(rows), row_dtype(described))
    for column in described:
        if column.name not in (rows.dtype.names or ()):
            raise InputError(f"table rows have no column {column.name}; they have {', '.join(rows.dtype.names or ())}")
        values = rows[column.name]
        if values.shape[1:] != out[column.name].shape[1:]:
            raise InputError(f"column {column.name} has cells of shape {values.shape[1:]}, not {out[column.name].shape[1:]}")
        if column.unsigned:
            out[column.name] = (values.astype(column.native) ^ _sign(column)).view(f"i{column.native.itemsize}")
        elif column.logical:
            out[column.name] = np.where(values, ord("T"), ord("F"))
        else:
            out[column.name] = values
    return out


def decode(stored: np.ndarray, described: tuple[Column, ...]) -> np.ndarray:
    """Rows in memory (native byte order, unsigned and logical columns made so) from rows as stored."""
    out = np.empty(len(stored), row_dtype(described, native=True))
    for column in described:
        values = stored[column.name]
        if column.unsigned:
            out[column.name] = values.astype(f"i{column.native.itemsize}").view(column.native) ^ _sign(column)
        elif column.logical:
            out[column.name] = values == ord("T")
        else:
            out[column.name] = values
    return out


def _sign(column: Column) -> Any:
    return column.native.type(1 << (8 * column.native.itemsize - 1))


def read_table(file: FitsFile, name: str, ver: int = 1, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Rows `start` to `stop` of a table extension as a structured array (native byte order).

    Raises
    ------
    InputError
        No such extension, not a table, or the file was changed since it was scanned.
    """
    hdu = file.hdu(name, ver)
    if hdu.kind != "table":
        raise InputError(f"{file.path}: extension {name} is not a table")
    described = columns(file.header(name, ver))
    first, last, _ = slice(start, stop).indices(hdu.shape[0])
    stored = np.empty(max(last - first, 0), row_dtype(described))
    if stored.dtype.itemsize != np.dtype(hdu.dtype).itemsize:
        raise InputError(f"{file.path}: the columns of {name} do not add up to its row length")
    with source.reader(file) as reader:
        reader.into(hdu.data_offset + first * stored.dtype.itemsize, stored.view(np.uint8), name)
    return decode(stored, described)
