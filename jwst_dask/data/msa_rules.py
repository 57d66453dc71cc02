"""What an MSA metafile must obey to be calibrated, and what is odd in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jwst_dask.data.msa_edits import COLUMNS, ROWS, X, Y

if TYPE_CHECKING:
    from jwst_dask.data.msa import MSAMetafile, Slitlet

FIXED_QUADRANT = 5


@dataclass(frozen=True)
class Issue:
    """One finding.

    Attributes
    ----------
    level : str
        ``error``: the exposure cannot be calibrated, or not rightly; ``warning``: it can, but look at it.
    text : str
        Names the slitlet, source or column.
    """

    level: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


def check(msa: MSAMetafile) -> list[Issue]:
    """Findings in the order of the rules: columns, values, slitlets, sources. Equal ones at several dither points are named once."""
    found = [*_values(msa), *_places(msa)]
    for slitlet in msa.slitlets():
        found += _fixed(msa, slitlet) if slitlet.fixed else _slitlet(msa, slitlet)
    found += [*_dithers(msa), *_sources(msa)]
    return list(dict.fromkeys(found))


def _error(text: str) -> Issue:
    return Issue("error", text)


def _warning(text: str) -> Issue:
    return Issue("warning", text)


def _values(msa: MSAMetafile) -> Iterator[Issue]:
    """Values of single columns."""
    rows = msa.shutters
    if not len(rows):
        yield _error("SHUTTER_INFO has no rows")
    if "fixed_slit" not in (rows.dtype.names or ()):
        yield _warning("SHUTTER_INFO has no column fixed_slit (files from before 2023): fixed slits cannot be among the slitlets")
    for name in ("background", "primary_source"):
        if odd := sorted(set(rows[name].tolist()) - {"Y", "N"}):
            yield _error(f"{name} must be Y or N, not {', '.join(map(repr, odd))}")
    if odd := sorted(set(rows["shutter_state"].tolist()) - {"OPEN"}):
        yield _warning(f"shutter_state {', '.join(map(repr, odd))}: every shutter that is listed is taken as open")
    for name in ("msa_metadata_id", "dither_point_index"):
        if len(rows) and rows[name].min() < 1:
            yield _error(f"{name} must be 1 or more; the least is {rows[name].min()}")


def _places(msa: MSAMetafile) -> Iterator[Issue]:
    """Shutters that do not exist, or are listed twice."""
    rows, names = msa.shutters, msa.names
    mos = np.array([s.isdecimal() or s.startswith("-") for s in names.tolist()], bool)
    for column, greatest in (("shutter_quadrant", 4), ("shutter_row", ROWS), ("shutter_column", COLUMNS)):
        bad = mos & ((rows[column] < 1) | (rows[column] > greatest))
        for name, value in dict.fromkeys(zip(names[bad].tolist(), rows[column][bad].tolist())):
            yield _error(f"slitlet {name}: {column} {value} is outside 1 to {greatest}")
    keys = ("msa_metadata_id", "dither_point_index", "shutter_quadrant", "shutter_row", "shutter_column")
    place_owners: dict[tuple[int, ...], list[str]] = {}
    for place, name in zip(rows[list(keys)][mos].tolist(), names[mos].tolist()):
        place_owners.setdefault(place, []).append(name)
    for place, owners in place_owners.items():
        if len(owners) > 1:
            yield _error(f"shutter {place[2:]} (quadrant, row, column) is listed {len(owners)} times at dither point {place[1]}, "
                         f"in slitlet {', '.join(dict.fromkeys(owners))}")  # fmt: skip


def _slitlet(msa: MSAMetafile, slitlet: Slitlet) -> Iterator[Issue]:
    """One slitlet at one dither point."""
    own, what = msa.shutters[slitlet.rows], f"slitlet {slitlet.name}"
    at = f"{what} at dither point {slitlet.dither_point}"
    main, front = own["primary_source"] == "Y", own["background"] == "N"
    if main.sum() > 1:
        yield _error(f"{at} has {main.sum()} shutters with primary_source Y; one at most is allowed")
    if main.any() and not front.any():
        yield _error(f"{at} has a primary source, and all its shutters are background; set background to N in the source's shutter")
    elif main.sum() == 1 and front.sum() and not (main & front).any():
        yield _warning(f"{at}: the shutter with primary_source Y is marked as background, and another one is not")
    elif not main.any() and front.any():
        yield _warning(f"{at} has shutters that are not background, but no primary source: it is treated as background")
    for name, word in (("shutter_quadrant", "quadrants"), ("shutter_row", "rows")):
        if len(values := sorted(set(own[name].tolist()))) > 1:
            yield _error(f"{what} has shutters in {word} {', '.join(map(str, values))}; they must share one")
    columns = sorted(set(slitlet.columns))
    if gaps := sorted(set(range(columns[0], columns[-1] + 1)) - set(columns)):
        yield _warning(f"{what} has gaps: columns {', '.join(map(str, gaps))} are closed")
    if not slitlet.background and not slitlet.source_id:
        yield _error(f"{at} has a primary source with source_id 0")
    yield from _position(msa, slitlet, at)


def _position(msa: MSAMetafile, slitlet: Slitlet, at: str) -> Iterator[Issue]:
    own = msa.shutters[slitlet.rows]
    for row in own[own["primary_source"] == "Y"][:1]:
        for name in (X, Y):
            if np.isnan(row[name]):
                yield _warning(f"{at}: {name} of source {slitlet.source_id} is not set: it is taken as 0.5, the centre")
            elif not 0 <= row[name] <= 1:
                yield _warning(f"{at}: {name} of source {slitlet.source_id} is {row[name]:.3f}, outside 0 to 1: not in this shutter")


def _fixed(msa: MSAMetafile, slitlet: Slitlet) -> Iterator[Issue]:
    """One fixed slit at one dither point."""
    if len(slitlet.rows) > 1:
        yield _error(f"fixed slit {slitlet.name} has {len(slitlet.rows)} rows at dither point {slitlet.dither_point}; one is allowed")
    elif slitlet.background:
        yield _warning(f"fixed slit {slitlet.name} has no primary source at dither point {slitlet.dither_point}: it is not extracted")
    else:
        yield from _position(msa, slitlet, f"fixed slit {slitlet.name} at dither point {slitlet.dither_point}")


def _dithers(msa: MSAMetafile) -> Iterator[Issue]:
    """The shutters of a slitlet are the same at all dither points."""
    shapes: dict[tuple[int, str], set[tuple[int, ...]]] = {}
    for slitlet in msa.slitlets():
        shapes.setdefault((slitlet.metadata_id, slitlet.name), set()).add((slitlet.quadrant, slitlet.row, *sorted(slitlet.columns)))
    for (configuration, name), shape in shapes.items():
        if len(shape) > 1:
            yield _warning(f"slitlet {name} of configuration {configuration} has other shutters at other dither points")


def _sources(msa: MSAMetafile) -> Iterator[Issue]:
    """Each source is in both tables, once, with a usable description."""
    rows, sources = msa.shutters, msa.sources
    used = set(rows["source_id"].tolist()) - {0}
    counts = Counter(sources["source_id"].tolist())
    for number in sorted(used - set(counts)):
        if number > 0:
            yield _error(f"source {number} is in SHUTTER_INFO and not in SOURCE_INFO; add it (set_source), or make its slitlet background")
    for number in sorted(set(counts) - used):
        yield _warning(f"source {number} is in SOURCE_INFO and in no slitlet")
    for number, count in sorted(counts.items()):
        if count > 1:
            yield _error(f"source {number} is in SOURCE_INFO {count} times; the first is used")
    owners: dict[int, set[str]] = {}
    for number, name in zip(rows["source_id"][rows["primary_source"] == "Y"].tolist(), msa.names[rows["primary_source"] == "Y"].tolist()):
        owners.setdefault(number, set()).add(name)
    for number, names in owners.items():
        if len(names) > 1:
            yield _warning(f"source {number} is the primary source of slitlets {', '.join(sorted(names))}")
    for source in sources[np.isin(sources["source_id"], sorted(used))]:
        number = int(source["source_id"])
        if np.isnan(source["stellarity"]) or source["stellarity"] > 1:
            yield _warning(f"source {number}: stellarity {source['stellarity']} is not a number up to 1 (negative: unknown, taken as a point)")
        if not (0 <= source["ra"] < 360 and -90 <= source["dec"] <= 90):
            yield _error(f"source {number}: ra {source['ra']}, dec {source['dec']} is no position")
