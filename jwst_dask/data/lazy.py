"""Lazy datasets of single files: headers now, bytes when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.data import schema
from jwst_dask.data.meta import header_attrs
from jwst_dask.io import source
from jwst_dask.io.fits import HDU, FitsFile, read
from jwst_dask.io.tables import Column, columns, decode, read_table, row_dtype

PREFERRED = 16_000_000
"""Bytes of one variable in a preferred chunk."""
_DTYPES = {"dq": np.dtype("u4"), "pixeldq": np.dtype("u4")}


class ImageArray(BackendArray):  # type: ignore[misc]
    """An image extension as an array that xarray indexes lazily (any type of number, given as float32 or, for DQ, uint32)."""

    def __init__(self, file: FitsFile, hdu: HDU, dtype: np.dtype[Any] | None = None) -> None:
        self.file, self.name, self.ver = file.only(hdu), hdu.name, hdu.ver
        self.shape, self.dtype = hdu.shape, dtype or hdu.native

    def __dask_tokenize__(self) -> Any:
        return ("jwst_dask.ImageArray", *self.file.__dask_tokenize__(), self.name, self.ver, str(self.dtype))

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        if len(self.shape) < 2:
            return np.asarray(read_whole(self.file, self.name, self.ver)[key])
        lead, (rows, cols) = key[:-2], key[-2:]
        (y0, y1, ky), (x0, x1, kx) = _span(rows, self.shape[-2]), _span(cols, self.shape[-1])
        n0, n1, kn = _span(lead[0], self.shape[0]) if lead else (None, None, None)
        values = read(self.file, self.name, self.ver, n0, n1, (y0, y1, x0, x1))
        values = values[((kn, *lead[1:]) if lead else ()) + (ky, kx)]
        return np.asarray(values, self.dtype)


def read_whole(file: FitsFile, name: str, ver: int) -> np.ndarray:
    """A one-dimensional image."""
    hdu = file.hdu(name, ver)
    raw = np.empty(hdu.shape, hdu.dtype)
    with source.reader(file) as reader:
        reader.into(hdu.data_offset, raw.reshape(-1), name)
    return raw.astype(hdu.native)


def _span(key: Any, length: int) -> tuple[int, int, Any]:
    """Range of elements that a basic index touches, and the index within that range."""
    if isinstance(key, slice):
        start, stop, step = key.indices(length)
        if step > 0:
            stop = max(stop, start)
            return start, stop, slice(None, None, step)
        picked = range(start, stop, step)
        if not picked:
            return 0, 0, slice(None)
        return picked[-1], picked[0] + 1, slice(None, None, step)
    place = int(key) % length if key < 0 else int(key)
    return place, place + 1, 0


class ColumnArray(BackendArray):  # type: ignore[misc]
    """One column of a table with a row for each integration; reads only that column's bytes."""

    def __init__(self, file: FitsFile, hdu: HDU, described: tuple[Column, ...], place: int) -> None:
        self.file, self.name, self.ver = file.only(hdu), hdu.name, hdu.ver
        self.column, self.row = described[place], np.dtype(hdu.dtype).itemsize
        self.offset = hdu.data_offset + row_dtype(described[:place]).itemsize
        self.shape, self.dtype = (hdu.shape[0], *self.column.shape), self.column.native

    def __dask_tokenize__(self) -> Any:
        return ("jwst_dask.ColumnArray", *self.file.__dask_tokenize__(), self.name, self.ver, self.column.name)

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        first, last, inner = _span(key[0], self.shape[0])
        stored = np.empty(last - first, row_dtype((self.column,)))
        with source.reader(self.file) as reader:
            for i in range(len(stored)):
                reader.into(self.offset + (first + i) * self.row, stored[i : i + 1].view(np.uint8), self.name)
        return np.asarray(decode(stored, (self.column,))[self.column.name][(inner, *key[1:])])


def attributes(file: FitsFile, *extensions: tuple[str, int]) -> dict[str, Any]:
    """Keywords of the primary header and of these extensions (SCI or EXTRACT1D if none is named)."""
    wanted = extensions or tuple((name, 1) for name in ("SCI", "EXTRACT1D") if name in file)[:1]
    of_file = memo(("attributes", file.path, file.size, file.mtime_ns), lambda: header_attrs(file.keywords(0)))
    own = header_attrs(*(file.keywords(name, ver) for name, ver in wanted if (name, ver) in file))
    return {**of_file, **{key: value for key, value in own.items() if key not in of_file}}


def is_multislit(file: FitsFile) -> bool:
    """Whether the file holds several slits (or orders, or sources) with their own images or spectra."""
    if ("SCI", 2) in file:
        return True
    return ("EXTRACT1D", 2) in file and not _same_target(file)


def _same_target(file: FitsFile) -> bool:
    """Whether the spectra of a file follow each other in time (the segments of a level-3 series)."""
    tables = [hdu for hdu in file.hdus if hdu.name == "EXTRACT1D"]
    if "INT_TIMES" not in file or len({hdu.dtype for hdu in tables}) > 1:
        return False
    named = [tuple(file.keywords(h.name, h.ver).get(key) for key in ("SLTNAME", "SOURCEID", "SPORDER", "DETECTOR")) for h in tables]
    return len(set(named)) == 1


def slits(file: FitsFile) -> dict[str, int]:
    """Names of a file's slits -> EXTVER."""
    base = "SCI" if "SCI" in file else "EXTRACT1D"
    out: dict[str, int] = {}
    for hdu in file.hdus:
        if hdu.name == base:
            header = file.keywords(hdu.name, hdu.ver)
            order = f"order{header['SPORDER']}" if header.get("SPORDER") else f"slit{hdu.ver}"
            name = str(header.get("SLTNAME") or header.get("SOURCEID") or order).strip().replace("/", "-")
            out[name if name not in out else f"{name}_{hdu.ver}"] = hdu.ver
    return out


def dataset(file: FitsFile) -> xr.Dataset:
    """The dataset of a file with one exposure, slit or spectrum (or the segments of one series of spectra).

    Raises
    ------
    InputError
        A file of another kind.
    """
    kind = schema.kind_of(file)
    if kind in ("x1d", "x1dints"):
        tables = [hdu.ver for hdu in file.hdus if hdu.name == "EXTRACT1D"]
        parts = [_spectrum(file, ver) for ver in tables]
        out = parts[0] if len(parts) == 1 else concat(parts)
    elif "SCI" in file:
        out = _image(file, 1)
    else:
        raise InputError(f"{file.path}: neither an exposure (no SCI extension) nor a spectrum (no EXTRACT1D extension)")
    out.encoding.update(source=file.path, kind=kind)
    return out


def slit(file: FitsFile, ver: int) -> xr.Dataset:
    """One slit of a multi-slit product."""
    out = _image(file, ver) if "SCI" in file else _spectrum(file, ver)
    out.encoding.update(source=file.path, kind=schema.kind_of(file))
    return out


def concat(parts: list[xr.Dataset]) -> xr.Dataset:
    """Datasets of consecutive integrations as one; variables without integrations and attributes are those of the first."""
    return xr.concat(parts, "integration", data_vars="minimal", coords="minimal", compat="override", join="override",
                     combine_attrs="override")  # fmt: skip


_IMAGES = {"SCI": "sci", "ERR": "err", "DQ": "dq", "VAR_POISSON": "var_poisson", "VAR_RNOISE": "var_rnoise", "VAR_FLAT": "var_flat"}


def _image(file: FitsFile, ver: int) -> xr.Dataset:
    sci = file.hdu("SCI", ver)
    if len(sci.shape) not in (2, 3, 4):
        raise InputError(f"{file.path}: SCI has {len(sci.shape)} axes; exposures have (y, x), (integration, y, x) or (integration, group, y, x)")
    variables: dict[str, xr.Variable] = {}
    unit = str(file.keywords("SCI", ver).get("BUNIT", "")).strip()
    for hdu in file.version(ver):
        if hdu.kind != "image" or len(hdu.shape) not in (2, 3, len(sci.shape)):
            continue
        dims = _dims(hdu, sci)
        if dims is not None:
            name = _IMAGES.get(hdu.name, hdu.name.lower())
            dtype = np.dtype("f4") if hdu.native.kind == "f" or name in ("sci", "zeroframe") else hdu.native
            data = indexing.LazilyIndexedArray(ImageArray(file, hdu, _DTYPES.get(name, dtype)))
            attrs = {"units": u} if (u := _unit(name, unit)) else {}
            variables[name] = xr.Variable(dims, data, attrs, {"preferred_chunks": preferred(dims, hdu.shape), "source": file.path})
    out = xr.Dataset(variables, attrs=attributes(file, ("SCI", ver)))
    return out.assign_coords(_times(file, sci.shape[0])) if len(sci.shape) > 2 else out


def _dims(hdu: HDU, sci: HDU) -> tuple[str, ...] | None:
    if hdu.shape == sci.shape:
        return ("integration", "group", "y", "x") if len(hdu.shape) == 4 else ("integration", "y", "x")[-len(hdu.shape) :]
    if len(sci.shape) == 4 and hdu.shape == (sci.shape[0], *sci.shape[2:]):
        return ("integration", "y", "x")
    if hdu.shape == sci.shape[-2:]:
        return ("y", "x")
    if hdu.shape[-2:] == sci.shape[-2:]:
        return (f"{hdu.name.lower()}_axis", "y", "x")
    return tuple(f"{hdu.name.lower()}_{axis}" for axis in ("z", "y", "x")[-len(hdu.shape) :])


def _unit(name: str, unit: str) -> str:
    if name in ("sci", "err"):
        return unit
    if name.startswith("var_") and unit:
        return f"({unit})^2"
    return "um" if name == "wavelength" else ""


def preferred(dims: tuple[str, ...], shape: tuple[int, ...], itemsize: int = 4) -> dict[str, int]:
    """Whole integrations, about `PREFERRED` bytes of them."""
    chunks = dict(zip(dims, shape))
    if dims[0] == "integration":
        one = max(int(np.prod(shape[1:])) * itemsize, 1)
        chunks["integration"] = int(np.clip(PREFERRED // one, 1, max(shape[0], 1)))
    return chunks


def _times(file: FitsFile, nints: int) -> dict[str, Any]:
    """Coordinates on ``integration``: its number in the exposure (from 1) and its times."""
    first = int(file.keywords(0).get("INTSTART") or 1)
    about = {"long_name": "integration number in the exposure"}
    coords: dict[str, Any] = {"integration": ("integration", np.arange(first, first + nints), about)}
    table = read_table(file, "INT_TIMES") if "INT_TIMES" in file else None
    if table is None or not len(table) or "integration_number" not in (table.dtype.names or ()):
        return coords
    if len(table) != nints:  # the table of a segment may list the whole exposure
        table = table[(table["integration_number"] >= first) & (table["integration_number"] < first + nints)]
    if len(table) != nints:
        return coords
    coords["integration"] = ("integration", table["integration_number"].astype("i8"), about)
    for name, column in schema.TIMES.items():
        if column in (table.dtype.names or ()):
            coords[name] = ("integration", table[column].copy(), _time_attrs(name))
    return coords


def _time_attrs(name: str) -> dict[str, str]:
    scale, system, when = name.split("_")
    where = "at the solar-system barycentre, " if scale == "bjd" else ""
    return {"units": "d", "long_name": f"{when} of the integration, {where}MJD ({system.upper()})"}


def _spectrum(file: FitsFile, ver: int) -> xr.Dataset:
    hdu = file.hdu("EXTRACT1D", ver)
    described = columns(file.keywords("EXTRACT1D", ver))
    names = [column.name for column in described]
    series = any(column.shape for column in described)
    dims: tuple[str, ...] = ("integration", "wavelength") if series else ("wavelength",)
    variables: dict[str, xr.Variable] = {}
    coords: dict[str, Any] = {}
    for place, column in enumerate(described):
        name = column.name.lower().replace("-", "_")
        if column.name in ("WAVELENGTH", "INT_NUM", *schema.SPECTRUM_TIMES.values()):
            continue
        array = ColumnArray(file, hdu, described, place)
        here = dims[: len(array.shape)]
        attrs = {"units": column.unit} if column.unit else {}
        encoding = {"preferred_chunks": preferred(here, array.shape, array.dtype.itemsize), "source": file.path}
        variables[name] = xr.Variable(here, indexing.LazilyIndexedArray(array), attrs, encoding)
    if "WAVELENGTH" in names:
        first = ColumnArray(file, hdu, described, names.index("WAVELENGTH"))._read((0,) if series else (slice(None),))
        coords["wavelength"] = ("wavelength", first, {"units": "um", "long_name": "wavelength"})
    if series:
        rows = read_rows(file, hdu, described, ("INT_NUM", *schema.SPECTRUM_TIMES.values()))
        coords["integration"] = ("integration", rows["INT_NUM"].astype("i8") if "INT_NUM" in rows else np.arange(1, hdu.shape[0] + 1))
        for name, column_name in schema.SPECTRUM_TIMES.items():
            if column_name in rows:
                coords[name] = ("integration", rows[column_name], _time_attrs(name))
    return xr.Dataset(variables, coords=coords, attrs=attributes(file, ("EXTRACT1D", ver)))


def read_rows(file: FitsFile, hdu: HDU, described: tuple[Column, ...], wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Single-valued columns of a table, by name."""
    out = {}
    for place, column in enumerate(described):
        if column.name in wanted and not column.shape:
            out[column.name] = ColumnArray(file, hdu, described, place)._read((slice(None),))
    return out
