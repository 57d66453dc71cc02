"""NIRSpec flats (FFLAT, SFLAT, DFLAT): headers and tables read once per process, images a window at a time.

Document: "FFLAT, SFLAT and DFLAT reference files" of the JWST pipeline documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.memo import memo
from jwst_dask.data.dq import PIXEL
from jwst_dask.kernels.flat import Flat, Table, usable
from jwst_dask.refs.load import token

Window = tuple[slice, slice]
FLIP = np.uint32(1 << 31)
"""FITS stores unsigned integers as signed ones with an offset of half their range."""


@dataclass(frozen=True)
class Image:
    """An image of a FITS file that stays there: indexing gives native float32, or standard DQ flags (uint32).

    `stored`: the array as it lies in the file, whole or a window. `flip`: whether the sign bit of integers is inverted.
    `flags`: (bit in the file, standard flags) where a table of the file says what its bits mean.
    """

    stored: np.ndarray
    dtype: np.dtype[Any]
    flip: bool = False
    flags: tuple[tuple[int, int], ...] | None = None

    def __getitem__(self, index: Any) -> np.ndarray:
        part = np.asarray(self.stored[index])
        if self.dtype.kind == "f":
            return part.astype(self.dtype)
        values = part.astype(np.int64).astype(np.uint32) ^ (FLIP if self.flip else np.uint32(0))
        return values if self.flags is None else translated(values, self.flags)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...].astype(dtype or self.dtype, copy=False)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def ndim(self) -> int:
        """Axes: (y, x) or (plane, y, x)."""
        return self.stored.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the window."""
        return self.stored.shape

    def window(self, window: Window) -> Image:
        """The same image on some pixels."""
        return Image(self.stored[(Ellipsis, *window)], self.dtype, self.flip, self.flags)


@dataclass(frozen=True)
class Rows:
    """A FAST_VARIATION table: one row of usable values for each slit (names in lower case; None: it knows no slits)."""

    names: tuple[str, ...] | None
    tables: tuple[Table, ...]

    def of(self, slit: str | None) -> Table:
        """The row that is for a slit, or for any; the first where the table, or the mode, knows no slits.

        Raises
        ------
        ValueError
            When there is no such row.
        """
        if self.names is None or slit is None:
            return self.tables[0]
        for name, table in zip(self.names, self.tables, strict=True):
            if name in ("any", slit.lower()):
                return table
        raise ValueError(f"its table has no row for slit {slit}, nor for any")


@dataclass(frozen=True)
class Component:
    """One flat, or one quadrant of an F flat for MOS: `wavelength` (float32[plane], micron) of the planes of `image`."""

    rows: Rows
    image: Flat | None
    wavelength: np.ndarray | None

    def planes(self) -> np.ndarray:
        """Wavelengths of the planes.

        Raises
        ------
        ValueError
            Without them.
        """
        n = 1 if self.image is None else len(self.image.data)
        found = np.zeros(0, np.float32) if self.wavelength is None else self.wavelength
        if len(found) < n and n > 1:
            raise ValueError(f"it has {n} planes and {len(found)} wavelengths")
        return found


def components(path: str) -> tuple[Component, ...]:
    """The flats of a file, in order of EXTVER: one, or one for each quadrant. Shared: do not change them.

    Raises
    ------
    ReferenceError_
        When there is no such file.
    OSError, KeyError, ValueError, TypeError, IndexError
        When it is not a flat.
    """
    return memo(("nirspec flat file", token(path)), lambda: _parse(path))


def _parse(path: str) -> tuple[Component, ...]:
    from astropy.io import fits

    with open(path, "rb") as stream:
        plain = stream.read(6) == b"SIMPLE"
    with fits.open(path, memmap=False, do_not_scale_image_data=plain) as file:
        parts: dict[int, dict[str, Any]] = {}
        for hdu in file[1:]:
            parts.setdefault(int(hdu.ver), {}).setdefault(hdu.name.upper(), hdu)
        found = tuple(_component(path, plain, parts[version]) for version in sorted(parts) if "FAST_VARIATION" in parts[version])
    if not found:
        raise KeyError("FAST_VARIATION")
    return found


def _component(path: str, plain: bool, hdus: dict[str, Any]) -> Component:
    image = None
    if "SCI" in hdus:
        data = _image(path, plain, hdus["SCI"], np.float32)
        err = _image(path, plain, hdus["ERR"], np.float32) if "ERR" in hdus else _zeros(data, np.float32)
        meaning = definitions(hdus["DQ_DEF"].data) if "DQ_DEF" in hdus else None
        dq = _image(path, plain, hdus["DQ"], np.uint32, meaning) if "DQ" in hdus else _zeros(data, np.uint32)
        image = Flat(data, err, dq)  # type: ignore[arg-type]  # images that are indexed like arrays
    wavelength = None
    if "WAVELENGTH" in hdus:
        column = np.asarray(hdus["WAVELENGTH"].data["wavelength"], dtype=np.float32).reshape(-1)
        wavelength = column[column > 0]
    return Component(_rows(hdus["FAST_VARIATION"].data), image, wavelength)


def _zeros(like: Image, kind: type[np.generic]) -> Image:
    """Zeros that take no memory."""
    return Image(np.broadcast_to(kind(0), like.shape), np.dtype(kind))


def _image(path: str, plain: bool, hdu: Any, kind: type[np.generic], flags: tuple[tuple[int, int], ...] | None = None) -> Image:
    """The image of an HDU, left in the file if it lies there as it is."""
    header = hdu.header
    shape = tuple(int(header[f"NAXIS{axis}"]) for axis in range(int(header["NAXIS"]), 0, -1))
    if not shape:
        raise ValueError(f"its extension {hdu.name} is empty")
    scale, zero, bits = float(header.get("BSCALE", 1)), float(header.get("BZERO", 0)), int(header.get("BITPIX", 0))
    stored_kind = {-64: ">f8", -32: ">f4", 8: "u1", 16: ">i2", 32: ">i4", 64: ">i8"}.get(bits)
    place = hdu.fileinfo()
    flip = bits == 32 and zero == 2.0**31 and kind is np.uint32
    if plain and type(hdu).__name__ == "ImageHDU" and place and stored_kind and scale == 1 and (zero == 0 or flip):
        stored: np.ndarray = np.memmap(path, dtype=stored_kind, mode="r", offset=int(place["datLoc"]), shape=shape).view(np.ndarray)
        return Image(stored, np.dtype(kind), flip, flags)
    if plain:
        from astropy.io import fits

        with fits.open(path, memmap=False) as file:
            return Image(np.array(file[hdu.name, hdu.ver].data, dtype=kind), np.dtype(kind), flags=flags)
    return Image(np.array(hdu.data, dtype=kind), np.dtype(kind), flags=flags)


def _rows(table: Any) -> Rows:
    columns = {name.lower() for name in table.names}
    names = tuple(str(name).strip().lower() for name in table["slit_name"]) if "slit_name" in columns else None
    # files of an early format have no errors
    given = [np.asarray(table[name] if name in columns else np.full_like(table["wavelength"], np.nan), dtype=np.float32)
             for name in ("wavelength", "data", "error")]  # fmt: skip
    count = table["nelem"] if "nelem" in columns else None
    rows = range(len(given[0]) if given[0].ndim > 1 else 1)
    out = []
    for row in rows:
        line = [column[row] if column.ndim > 1 else column for column in given]
        n = len(line[0]) if count is None else int(count[row])
        out.append(usable(Table(*(column[:n] for column in line))))
    # scalar columns are one table, whatever the slits of their rows are called
    return Rows(names if given[0].ndim > 1 else None, tuple(out))


def definitions(table: Any) -> tuple[tuple[int, int], ...]:
    """(bit in the file, standard flag) of a DQ_DEF table; names without a standard flag have 0."""
    return tuple((int(row["VALUE"]), PIXEL.get(str(row["NAME"]).strip(), 0)) for row in table)


def translated(dq: np.ndarray, flags: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Flags of a reference file as the standard ones (uint32); bits that are not defined are dropped."""
    out = np.zeros_like(dq)
    if dq.any():
        for value, flag in flags:
            out[(dq & np.uint32(value)) != 0] |= np.uint32(flag)
    return out
