"""Compare products part by part: pixels, flags, NaN patterns, table columns, keywords, coordinates.

A float array agrees where ``|ours - reference| <= rtol * (|reference| + scale)`` wherever both are finite, `scale` being the
median of ``|reference|`` over its finite, non-zero values, so that noise about zero does not decide; and where both are finite in the
same places. Integers, flags and text agree where they are equal. Keywords that say when and by what a file was made are not compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.io.cards import BLOCK
from jwst_dask.io.tally import Tally, live, middle, spread, typical
from jwst_dask.io.verdict import Row, failed, show

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from jwst_dask.io.fits import HDU, FitsFile

SLAB = 24 << 20
"""Bytes of each file in memory at a time."""

MADE_BY = frozenset((
    "DATE", "CHECKSUM", "DATASUM", "CAL_VER", "CAL_VCS", "CRDS_VER", "CRDS_CTX", "PRD_VER", "SDP_VER", "SDP_VCS", "OSS_VER", "ORIGIN",
    "FILENAME", "ASNTABLE", "ASNPOOL", "DATAMODL",
))  # fmt: skip
"""Keywords that record when, where and by what a product was made."""
LAYOUT = frozenset((
    "SIMPLE", "XTENSION", "BITPIX", "EXTEND", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "NAXIS4", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP",
    "BSCALE", "BZERO", "LONGSTRN", "COMMENT", "HISTORY", "END",
))  # fmt: skip
TIMES = ("MJD", "BJD", "TDB")
"""Columns with one of these in their name are times and must be equal: 1e-5 of a date would be half a day."""
_COLUMN = ("TTYPE", "TFORM", "TUNIT", "TDIM", "TNULL", "TZERO", "TSCAL", "TDISP")
WCS_RTOL = 1e-9


def compare(ours: str | os.PathLike[str], reference: str | os.PathLike[str], rtol: float = 1e-5, wcs: bool = False) -> list[Row]:
    """Compare a product with a reference product, or every product of a folder with its namesake.

    Parameters
    ----------
    ours, reference : str
        Two FITS products, two ECSV catalogues, or two folders (what `reference` holds is looked for in `ours`).
    rtol : float
        Relative tolerance of float arrays and columns.
    wcs : bool
        Also evaluate the world coordinates of both on a grid over the bounding box (1e-9).

    Returns
    -------
    list of Row
        In file order. Cubes are read a few integrations at a time, so memory does not grow with the products.

    Raises
    ------
    InputError
        A file cannot be read, or there is nothing to compare.
    """
    mine, theirs = Path(ours), Path(reference)
    if theirs.is_dir():
        names = [p.relative_to(theirs) for p in sorted(theirs.rglob("*")) if p.suffix in (".fits", ".ecsv") and not p.name.startswith(".")]
        if not names:
            raise InputError(f"{theirs}: no products (.fits, .ecsv) to compare with")
        return [row for name in names for row in compare(mine / name, theirs / name, rtol, wcs)]
    if not theirs.exists():
        raise InputError(f"{theirs}: no such file or folder")
    if mine.is_dir():
        mine = mine / theirs.name
    if not mine.exists():
        return [Row(theirs.name, "file", False, "structure", {"absent": str(mine)})]
    return list(_ecsv(mine, theirs, rtol) if theirs.suffix == ".ecsv" else _fits(mine, theirs, rtol, wcs))


def _fits(mine: Path, theirs: Path, rtol: float, wcs: bool) -> Iterator[Row]:
    from jwst_dask.io.fits import scan

    a, b = scan(mine), scan(theirs)
    have = {(hdu.name, hdu.ver): hdu for hdu in a.hdus}
    for hdu in b.hdus:
        name = f"{hdu.name},{hdu.ver}"
        other = have.get((hdu.name, hdu.ver))
        if other is None:
            yield Row(theirs.name, name, False, "structure", {"absent": True})
            continue
        if hdu.name == "ASDF":
            yield Row(theirs.name, "ASDF", True, "structure")
            continue
        heads = a.header(a.hdus.index(other)), b.header(b.hdus.index(hdu))
        changed = header_differences(*heads)
        yield Row(theirs.name, f"{name} header", not changed, "header", {"different": changed} if changed else {})
        if hdu.kind == "table":
            yield from _table(theirs.name, name, (a, other, heads[0]), (b, hdu, heads[1]), rtol)
        elif hdu.shape:
            yield _pixels(theirs.name, name, (a, other), (b, hdu), rtol)
    extra = [f"{name},{ver}" for name, ver in have if (name, ver) not in {(h.name, h.ver) for h in b.hdus}]
    if extra:
        yield Row(theirs.name, "extensions", False, "structure", {"extra": extra})
    if wcs and "ASDF" in b and "SCI" in b:
        yield from _wcs(a, b, theirs.name)


def header_differences(ours: Header, reference: Header) -> dict[str, list[str]]:
    """Keywords of the reference that are absent or different in ours: ``{keyword: [ours, reference]}``.

    Floats agree to 1e-9 relative, reference file names without their folder.
    """
    out = {}
    for key in dict.fromkeys(reference):
        if not key or key in MADE_BY or key in LAYOUT or key.startswith(_COLUMN):
            continue
        theirs = reference[key]
        if key not in ours:
            out[key] = ["absent", str(theirs)]
        elif not _same(ours[key], theirs, key.startswith("R_")):
            out[key] = [str(ours[key]), str(theirs)]
    return out


def _same(a: Any, b: Any, name: bool = False) -> bool:
    numbers = isinstance(a, (int, float)) and isinstance(b, (int, float)) and not isinstance(a, bool) and not isinstance(b, bool)
    if numbers:
        return math.isclose(a, b, rel_tol=1e-9)
    a, b = str(a).strip(), str(b).strip()
    return bool(a.rpartition("/")[2] == b.rpartition("/")[2] if name else a == b)


def _pixels(product: str, name: str, ours: tuple[FitsFile, HDU], reference: tuple[FitsFile, HDU], rtol: float) -> Row:
    (a, mine), (b, theirs) = ours, reference
    if mine.shape != theirs.shape:
        return Row(product, name, False, "structure", {"shape": [list(mine.shape), list(theirs.shape)]})
    if mine.native != theirs.native:
        return Row(product, name, False, "structure", {"type": [str(mine.native), str(theirs.native)]})
    pieces = _planes(theirs)
    scale = typical(lambda piece: _read(b, theirs, piece), pieces) if theirs.native.kind == "f" else 0.0
    tally = Tally(rtol, scale)
    for piece in pieces:
        tally.add(_read(a, mine, piece), _read(b, theirs, piece))
    return Row(product, name, tally.agrees, "pixels", tally.figures)


def _planes(hdu: HDU) -> list[tuple[int, int]]:
    """Ranges of the first axis that fit into a slab; the whole of a plane."""
    if len(hdu.shape) < 3:
        return [(0, 1)]
    step = max(1, SLAB // (math.prod(hdu.shape[1:]) * hdu.native.itemsize))
    return [(i, min(i + step, hdu.shape[0])) for i in range(0, hdu.shape[0], step)]


def _read(file: FitsFile, hdu: HDU, piece: tuple[int, int]) -> np.ndarray:
    from jwst_dask.io.fits import read

    if len(hdu.shape) < 2:  # a vector: small
        from astropy.io import fits

        return np.asarray(fits.getdata(file.path, ext=(hdu.name, hdu.ver)))
    return read(file, hdu.name, hdu.ver, *(piece if len(hdu.shape) > 2 else (None, None)))


def _table(product: str, name: str, ours: tuple[FitsFile, HDU, Header], reference: tuple[FitsFile, HDU, Header], rtol: float) -> Iterator[Row]:
    """Column by column, some rows at a time; one pass over both files for all columns."""
    (a, mine, my_header), (b, theirs, header) = ours, reference
    left, right = _columns(my_header), _columns(header)
    by_name = {key.upper(): key for key in left}
    if mine.shape != theirs.shape:
        yield Row(product, name, False, "structure", {"rows": [mine.shape[0], theirs.shape[0]]})
        return
    shared = {}
    for column, (unit, form) in right.items():
        key = by_name.get(column.upper())
        if theirs.name == "HDRTAB" and (column in MADE_BY or column.startswith("R_")):
            continue
        part = f"{name}[{column}]"
        if key is None:
            yield Row(product, part, False, "column", {"absent": True})
        elif left[key][0] != unit:
            yield Row(product, part, False, "column", {"unit": [left[key][0], unit]})
        elif theirs.name != "HDRTAB" and left[key][1] != form:  # text of HDRTAB is as long as its longest value
            yield Row(product, part, False, "column", {"format": [left[key][1], form]})
        else:
            shared[column] = key
    step = max(1, SLAB // max(1, np.dtype(theirs.dtype).itemsize))
    pieces = [(i, min(i + step, theirs.shape[0])) for i in range(0, theirs.shape[0], step)]
    scales = _scales(b, theirs, pieces, shared)
    tallies = {column: Tally(_tolerance(column, rtol), scales[column]) for column in shared}
    for piece in pieces:
        p, q = _rows(a, mine, piece), _rows(b, theirs, piece)
        for column, key in shared.items():
            tallies[column].add(np.asarray(p[key]), np.asarray(q[column]))
    for column, tally in tallies.items():
        yield Row(product, f"{name}[{column}]", tally.agrees, "column", tally.figures)
    more = [key for key in left if key.upper() not in {c.upper() for c in right}]
    if more:
        yield Row(product, f"{name} columns", False, "structure", {"extra": more})


def _tolerance(column: str, rtol: float) -> float:
    return 0.0 if any(word in column.upper() for word in TIMES) else rtol


def _columns(header: Header) -> dict[str, tuple[str, str]]:
    """Unit and format of each column."""
    count = range(1, int(header.get("TFIELDS", 0)) + 1)
    return {str(header[f"TTYPE{i}"]): (str(header.get(f"TUNIT{i}", "")).strip(), str(header[f"TFORM{i}"]).strip()) for i in count}


def _rows(file: FitsFile, hdu: HDU, piece: tuple[int, int]) -> Any:
    """Rows of a table as astropy presents them (scaled, unsigned), from the bytes of these rows only."""
    from astropy.io import fits

    from jwst_dask.io import source

    width = np.dtype(hdu.dtype).itemsize
    with source.reader(file) as reader:
        header = reader.read(hdu.header_offset, hdu.data_offset - hdu.header_offset)
        raw = reader.read(hdu.data_offset + piece[0] * width, (piece[1] - piece[0]) * width)
    head = fits.Header.fromstring(header.decode("ascii", "replace"))
    head["NAXIS2"], head["PCOUNT"] = piece[1] - piece[0], 0
    return fits.BinTableHDU.fromstring(head.tostring().encode("ascii") + raw + bytes(-len(raw) % BLOCK)).data


def _scales(file: FitsFile, hdu: HDU, pieces: list[tuple[int, int]], columns: Iterable[str]) -> dict[str, float]:
    """`typical` of each column, all columns in one pass."""
    found: dict[str, list[np.ndarray]] = {column: [] for column in columns}
    for piece in spread(pieces):
        rows = _rows(file, hdu, piece)
        for column, sizes in found.items():
            values = np.asarray(rows[column])
            if values.dtype.kind == "f":
                sizes.append(live(values.astype(np.float64)))
    return {column: middle(sizes) for column, sizes in found.items()}


def _ecsv(mine: Path, theirs: Path, rtol: float) -> Iterator[Row]:
    from astropy.table import Table

    a, b = (Table.read(path, format="ascii.ecsv") for path in (mine, theirs))
    same = a.colnames == b.colnames
    yield Row(theirs.name, "columns", same, "structure", {} if same else {"ours": a.colnames, "reference": b.colnames})
    for column in (name for name in b.colnames if name in a.colnames):
        units = [str(table[column].unit or "") for table in (a, b)]
        x, y = (_filled(table[column]) for table in (a, b))
        if units[0] != units[1]:
            yield Row(theirs.name, column, False, "column", {"unit": units})
        elif x.shape != y.shape:
            yield Row(theirs.name, column, False, "structure", {"rows": [len(x), len(y)]})
        else:
            tally = Tally(_tolerance(column, rtol), middle([live(y)]) if y.dtype.kind == "f" else 0.0)
            tally.add(x, y)
            yield Row(theirs.name, column, tally.agrees, "column", tally.figures)
    left, right = ({k: v for k, v in table.meta.items() if k != "__serialized_columns__"} for table in (a, b))
    changed = {k: [str(left.get(k, "absent")), str(right.get(k, "absent"))] for k in {**right, **left}
               if k not in left or k not in right or not _same(left[k], right[k])}  # fmt: skip
    yield Row(theirs.name, "metadata", not changed, "header", {"different": changed} if changed else {})


def _filled(column: Any) -> np.ndarray:
    values = getattr(column, "value", column)
    return np.asarray(np.ma.filled(values, np.nan) if values.dtype.kind == "f" else np.ma.filled(values))


def _wcs(a: FitsFile, b: FitsFile, product: str) -> Iterator[Row]:
    """Each world coordinate system of the reference on a grid within its bounding box."""
    from itertools import count

    from jwst_dask.io.skeleton import wcs_of

    for index in count():
        theirs = wcs_of(b, index)
        if theirs is None:
            return
        part, mine = f"WCS {index + 1}", wcs_of(a, index)
        if mine is None:
            yield Row(product, part, False, "wcs", {"absent": True})
            continue
        grid = _grid(theirs, b.hdu("SCI").shape[-2:])
        tally = Tally(WCS_RTOL, 1e-3)
        for x, y in zip(_evaluate(mine, grid), _evaluate(theirs, grid), strict=True):
            tally.add(*np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64)))
        frames = list(mine.available_frames) == list(theirs.available_frames)
        yield Row(product, part, tally.agrees and frames, "wcs", {**tally.figures, "same_frames": frames})


def _grid(wcs: Any, shape: Sequence[int]) -> list[np.ndarray]:
    box = wcs.bounding_box
    if box is None:
        limits = [(0.0, shape[1] - 1.0), (0.0, shape[0] - 1.0)]
    else:
        limits = [(float(getattr(a, "value", a)), float(getattr(b, "value", b))) for a, b in box.bounding_box(order="F")[:2]]
    return list(np.meshgrid(*(np.linspace(low + 0.5, high - 0.5, 12) for low, high in limits)))


def _evaluate(wcs: Any, grid: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """World coordinates; systems that also take a spectral order are evaluated in the first."""
    transform = wcs.forward_transform.copy()
    transform.bounding_box = None
    out = transform(*grid, *[np.ones_like(grid[0])] * (transform.n_inputs - 2))
    return out if isinstance(out, tuple) else (out,)


def main(args: argparse.Namespace | Sequence[str]) -> int:
    """`jwst-dask compare`: exit status 0 when all agrees, else 1.

    Parameters
    ----------
    args : argparse.Namespace, or list of str
        With ``ours`` and ``reference``; ``rtol``, ``wcs``, ``all``, ``no_headers`` and ``json`` where they are given.
    """
    if not isinstance(args, argparse.Namespace):
        args = parser().parse_args(list(args))
    rows = compare(args.ours, args.reference, getattr(args, "rtol", 1e-5), bool(getattr(args, "wcs", False)))
    headers = not getattr(args, "no_headers", False)
    show(rows, bool(getattr(args, "all", False)), headers)
    if getattr(args, "json", None):
        Path(args.json).write_text(json.dumps([asdict(row) for row in rows], indent=1, default=str))
    return 1 if failed(rows, headers) else 0


def parser() -> argparse.ArgumentParser:
    """The options of `main`."""
    out = argparse.ArgumentParser(prog="jwst-dask compare", description="Compare products, or folders of products, part by part.")
    out.add_argument("ours")
    out.add_argument("reference")
    out.add_argument("--rtol", type=float, default=1e-5, help="relative tolerance of float arrays (default 1e-5)")
    out.add_argument("--wcs", action="store_true", help="evaluate the world coordinates of both too")
    out.add_argument("--all", action="store_true", help="show what agrees too")
    out.add_argument("--no-headers", action="store_true", help="differing keywords do not count")
    out.add_argument("--json", metavar="FILE", help="write all rows there")
    return out
