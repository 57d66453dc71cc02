"""Changes of an MSA metafile's tables: long slits split, slitlets extended or added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError

if TYPE_CHECKING:
    from jwst_dask.data.msa import MSAMetafile

ROWS, COLUMNS = 365, 171
"""Shutters of a quadrant along the dispersion (``shutter_row``) and across it (``shutter_column``), counted from 1."""
X, Y = "estimated_source_in_shutter_x", "estimated_source_in_shutter_y"
_PLACE = ("msa_metadata_id", "dither_point_index", "shutter_quadrant", "shutter_row", "shutter_column")
_EMPTY = {"source_id": 0, "background": "Y", "primary_source": "N", X: np.nan, Y: np.nan}
"""What makes a shutter one of background only."""


def split(msa: MSAMetafile, slitlet_id: int, target: set[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Shutters and sources with a slitlet broken up (see `MSAMetafile.split`)."""
    rows = msa.rows_of([slitlet_id])
    columns = sorted(set(msa.shutters["shutter_column"][rows].tolist()))
    wanted = set(columns) if target is None else target
    if absent := sorted(wanted - set(columns)):
        raise InputError(f"{msa.where}: columns {absent} are not open in slitlet {slitlet_id}, which has {columns[0]} to {columns[-1]}")
    numbers = dict(zip(columns, [slitlet_id, *_free(msa.shutters["slitlet_id"].tolist(), slitlet_id + 1, len(columns) - 1)]))
    old = next((i for i in msa.shutters["source_id"][rows].tolist() if i), 0)
    ids = _source_numbers(msa, old, [place for place, column in enumerate(columns) if column in wanted])
    names = dict(zip(sorted(wanted), ids))
    shutters = msa.shutters.copy()
    for row in rows:
        column = int(shutters["shutter_column"][row])
        lit = {"source_id": names[column], "background": "N", "primary_source": "Y", X: 0.5, Y: 0.5} if column in names else {}
        for key, value in {**_EMPTY, **lit, "slitlet_id": numbers[column]}.items():
            shutters[key][row] = value
    order = np.lexsort((shutters["shutter_column"][rows], shutters["dither_point_index"][rows], shutters["msa_metadata_id"][rows]))
    shutters[rows] = shutters[rows][order]
    elsewhere = (np.delete(msa.shutters["source_id"], rows) == old).any()
    kept = msa.sources if elsewhere else msa.sources[msa.sources["source_id"] != old]
    return shutters, joined(kept, *(new_source(msa, number, like=old, stellarity=0.0) for number in ids))


def _source_numbers(msa: MSAMetafile, old: int, places: list[int]) -> list[int]:
    """Numbers for the sources at some places of a slitlet whose source was `old`."""
    taken = {*msa.sources["source_id"].tolist(), *msa.shutters["source_id"].tolist()} - {old, 0}
    first = old if old > 0 else max(taken, default=0) + 1
    found: list[int] = []
    for place in places:
        found += _free(taken | set(found), first + place, 1)
    return found


def extend(msa: MSAMetafile, rows: np.ndarray, count: int) -> np.ndarray:
    """Shutters with `count` more on either side of the slitlets that have some of `rows`."""
    chosen, new = set(rows.tolist()), []
    taken = set(msa.shutters[list(_PLACE)].tolist())
    for slitlet in msa.slitlets():
        if slitlet.fixed or not chosen.intersection(slitlet.rows.tolist()):
            continue
        low, high = min(slitlet.columns), max(slitlet.columns)
        for column in (*range(low - 1, low - count - 1, -1), *range(high + 1, high + count + 1)):
            values = {"shutter_column": column, "background": "Y", "primary_source": "N", X: np.nan, Y: np.nan}
            one = put(msa.shutters[slitlet.rows[:1]], slice(None), values)
            place = one[list(_PLACE)].tolist()[0]
            if 1 <= column <= COLUMNS and place not in taken:
                taken.add(place)
                new.append((int(slitlet.rows[-1]) + 1, one[0]))
    if not new:
        return msa.shutters
    return np.insert(msa.shutters, [after for after, _ in new], np.array([row for _, row in new], msa.shutters.dtype))


def add_background(msa: MSAMetafile, quadrant: int, row: int, columns: Sequence[int], slitlet_id: int | None, metadata_id: int | None) -> np.ndarray:
    """Shutters with one more slitlet, of background, at every dither point."""
    if not (1 <= quadrant <= 4 and 1 <= row <= ROWS and len(columns) and all(1 <= c <= COLUMNS for c in columns)):
        raise InputError(f"quadrant {quadrant}, row {row}, columns {list(columns)}: quadrants are 1 to 4, rows 1 to {ROWS}, columns 1 to {COLUMNS}")
    number = int(msa.shutters["slitlet_id"].max(initial=0)) + 1 if slitlet_id is None else slitlet_id
    if (msa.shutters["slitlet_id"] == number).any():
        raise InputError(f"{msa.where}: slitlet {number} exists already")
    fixed = {"fixed_slit": "NONE"} if "fixed_slit" in (msa.shutters.dtype.names or ()) else {}
    new = []
    for configuration in msa.metadata_ids if metadata_id is None else [metadata_id]:
        for point in msa.dither_points(configuration):
            for column in columns:
                values = {**_EMPTY, **fixed, "slitlet_id": number, "msa_metadata_id": configuration, "dither_point_index": point,
                          "shutter_quadrant": quadrant, "shutter_row": row, "shutter_column": column, "shutter_state": "OPEN"}  # fmt: skip
                new.append(put(np.zeros(1, msa.shutters.dtype), slice(None), values))
    return joined(msa.shutters, *new)


def as_background(msa: MSAMetafile, rows: np.ndarray) -> np.ndarray:
    """Shutters, of which some have background only."""
    return put(msa.shutters, rows, _EMPTY)


def new_source(msa: MSAMetafile, source_id: int, like: int = 0, **values: Any) -> np.ndarray:
    """A row of SOURCE_INFO, otherwise that of another source if there is one."""
    known = msa.source(like) if like else None
    row = np.zeros(1, msa.sources.dtype) if known is None else np.array([known])
    program = str(msa.layout[0].header.get("PROGRAM", "")).lstrip("0") if msa.layout else ""
    if known is None and program.isdigit() and "program" in (msa.sources.dtype.names or ()):
        row["program"] = int(program)
    return put(row, slice(None), {"source_id": source_id, "source_name": f"{program or 'source'}_{source_id}", "alias": str(source_id), **values})


def put(rows: np.ndarray, where: Any, values: Mapping[str, Any]) -> np.ndarray:
    """A copy of rows with values put in some of them; text columns grow as needed."""
    longer = {k: f"U{len(v)}" for k, v in values.items() if isinstance(v, str) and len(v) * 4 > rows.dtype[k].itemsize}
    out = rows.astype([(n, longer.get(n, rows.dtype[n])) for n in rows.dtype.names or ()])
    for name, value in values.items():
        out[name][where] = value
    return out


def joined(rows: np.ndarray, *more: np.ndarray) -> np.ndarray:
    """Rows of several tables with the same columns; text columns as wide as the widest."""
    parts = [rows, *more]
    wide = [(n, max((p.dtype[n] for p in parts), key=lambda t: t.itemsize)) for n in rows.dtype.names or ()]
    return np.concatenate([part.astype(wide) for part in parts])


def _free(taken: Iterable[int], start: int, count: int) -> list[int]:
    """The first numbers from `start` that are not taken."""
    used, number = set(taken), start
    found: list[int] = []
    while len(found) < count:
        if number not in used:
            found.append(number)
        number += 1
    return found
