"""The tables of an MSA metafile as plain arrays, and back into a FITS file of the same layout."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError

SHUTTERS, SOURCES = "SHUTTER_INFO", "SOURCE_INFO"
REQUIRED: dict[str, dict[str, str]] = {
    SHUTTERS: {
        "slitlet_id": "i", "msa_metadata_id": "i", "shutter_quadrant": "i", "shutter_row": "i", "shutter_column": "i", "source_id": "i",
        "background": "U", "shutter_state": "U", "estimated_source_in_shutter_x": "f", "estimated_source_in_shutter_y": "f",
        "dither_point_index": "i", "primary_source": "U",
    },
    SOURCES: {"source_id": "i", "source_name": "U", "alias": "U", "ra": "f", "dec": "f", "stellarity": "f"},
}  # fmt: skip
"""Columns that calibration reads, and the kind of their values (``fixed_slit`` may be absent: older files do not have it)."""
_KINDS = {"i": "whole numbers", "f": "numbers", "U": "text"}
_DIGITS = {"B": 8, "I": 16, "J": 32, "K": 64}


@dataclass(frozen=True)
class Column:
    """How a column is stored: its name as written, FITS format, unit, null value and display format."""

    name: str
    format: str
    unit: str | None = None
    null: Any = None
    disp: str | None = None


@dataclass(frozen=True)
class Extension:
    """One HDU: its header, and its pixels, or the columns of one of the two tables."""

    name: str
    header: Any
    data: Any = None
    columns: tuple[Column, ...] = ()


def read(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray, tuple[Extension, ...]]:
    """Shutters, sources, and the file's layout.

    Returns
    -------
    shutters, sources : structured ndarray
        Columns by lower-case name: int64, float32 or float64 as in the file, text without trailing blanks.
    layout : tuple of Extension

    Raises
    ------
    InputError
        When the file is missing or unreadable, or lacks a table or a column.
    """
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as hdus:
            tables: dict[str, np.ndarray] = {}
            layout = []
            for hdu in hdus:
                name = str(hdu.name).upper()
                if name in REQUIRED and name not in tables and hdu.columns is not None:
                    tables[name] = _plain(hdu)
                    columns = tuple(Column(c.name, c.format, c.unit, c.null, c.disp) for c in hdu.columns)
                    layout.append(Extension(name, hdu.header.copy(), columns=columns))
                else:
                    layout.append(Extension("", hdu.header.copy(), None if hdu.data is None else hdu.data.copy()))
    except FileNotFoundError as error:
        raise InputError(f"MSA metafile {path} does not exist") from error
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"MSA metafile {path} cannot be read ({error}); get it again from the archive") from error
    for name, columns_of in REQUIRED.items():
        _complete(path, name, tables.get(name), columns_of)
    return tables[SHUTTERS], tables[SOURCES], tuple(layout)


def _plain(hdu: Any) -> np.ndarray:
    values = {}
    for column in hdu.columns:
        value = np.asarray(hdu.data[column.name])
        if value.dtype.kind in "SU":
            value = np.char.rstrip(value.astype(str))
        elif value.dtype.kind in "iu":
            value = value.astype(np.int64)
        else:
            value = value.astype(value.dtype.newbyteorder("="))
        values[column.name.strip().lower()] = value
    rows = np.zeros(len(hdu.data), [(name, value.dtype.str, value.shape[1:]) for name, value in values.items()])
    for name, value in values.items():
        rows[name] = value
    return rows


def _complete(path: str | os.PathLike[str], table: str, rows: np.ndarray | None, wanted: Mapping[str, str]) -> None:
    if rows is None:
        raise InputError(f"MSA metafile {path} has no table {table}; get it again from the archive")
    have = rows.dtype.names or ()
    if missing := [name for name in wanted if name not in have]:
        raise InputError(f"MSA metafile {path}: {table} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has {', '.join(have)}")
    for name, kind in wanted.items():
        if rows.dtype[name].kind not in ("if" if kind == "f" else kind):
            raise InputError(f"MSA metafile {path}: column {name} of {table} must hold {_KINDS[kind]}, not {rows.dtype[name]}")


def write(path: str | os.PathLike[str], shutters: np.ndarray, sources: np.ndarray, layout: tuple[Extension, ...], overwrite: bool) -> None:
    """Write the tables with the other extensions as they were; the file appears under its name when it is complete.

    Raises
    ------
    InputError
        When the file exists and may not be replaced, or cannot be written.
    """
    from astropy.io import fits

    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name, or overwrite=True")
    rows, hdus = {SHUTTERS: shutters, SOURCES: sources}, fits.HDUList()
    for extension in layout:
        if extension.columns:
            hdus.append(_table(extension, rows[extension.name]))
        elif not hdus:
            hdus.append(fits.PrimaryHDU(extension.data, extension.header.copy()))
        else:
            kind = fits.BinTableHDU if extension.header.get("XTENSION", "").strip() == "BINTABLE" else fits.ImageHDU
            hdus.append(kind(extension.data, extension.header.copy()))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        try:
            hdus.writeto(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error


def _table(extension: Extension, rows: np.ndarray) -> Any:
    from astropy.io import fits

    columns = []
    for column in extension.columns:
        value = rows[column.name.strip().lower()]
        columns.append(fits.Column(column.name, _wide_enough(column.format, value), column.unit, column.null, disp=column.disp, array=value))
    made = fits.BinTableHDU.from_columns(columns, nrows=len(rows), name=extension.name)
    for card in extension.header.cards:  # comments, history and keywords that are not about the columns
        if card.keyword in ("COMMENT", "HISTORY"):
            made.header.add_comment(card.value) if card.keyword == "COMMENT" else made.header.add_history(card.value)
        elif card.keyword and card.keyword not in made.header and not card.keyword.startswith(("TFORM", "TDIM", "THEAP", "TDISP")):
            made.header.append(card, end=True)
        elif card.keyword in made.header and card.comment:
            made.header.comments[card.keyword] = card.comment
    return made


def _wide_enough(code: str, values: np.ndarray) -> str:
    """A column's FITS format, widened where values no longer fit."""
    if values.dtype.kind == "U":
        longest = int(np.char.str_len(values).max(initial=1))
        return f"{max(longest, int(code.strip().rstrip('Aa') or 1))}A" if code.strip().upper().endswith("A") else code
    letter = code.strip()[-1:]
    if letter in _DIGITS and len(values) and values.ndim == 1 and _DIGITS[letter] > 8:
        needed = next(name for name in "IJK" if -(2 ** (_DIGITS[name] - 1)) <= values.min() and values.max() < 2 ** (_DIGITS[name] - 1))
        return needed if _DIGITS[needed] > _DIGITS[letter] else code
    return code
