"""The MSA metafile of NIRSpec MOS exposures: read it, check it, change it, write it.

Source: JWST documentation, "MSA metadata file" and "NIRSpec MOS pipeline caveats".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.data import msa_edits, msa_file
from jwst_dask.data.msa_edits import X, Y

if TYPE_CHECKING:
    from jwst_dask.data.msa_rules import Issue

FIXED_SLITS = ("S200A1", "S200A2", "S400A1", "S1600A1", "S200B1")
"""Fixed slits that a MOS exposure may use beside the MSA."""


@dataclass(frozen=True)
class Slitlet:
    """The open shutters of one slitlet (or a fixed slit) at one dither point.

    Attributes
    ----------
    name : str
        Number of the slitlet, or name of the fixed slit.
    slitlet_id, metadata_id, dither_point, quadrant, row : int
        `row` is ``shutter_row``: the place along the dispersion.
    columns : tuple of int
        ``shutter_column`` of each open shutter, in the order of the file.
    source_id : int
        Of the shutter marked primary; 0 without one.
    column : int or None
        Of the first shutter that is not marked as background.
    background : bool
        Whether no shutter is marked primary.
    rows : int64[shutter]
        Rows of `MSAMetafile.shutters`.
    """

    name: str
    slitlet_id: int
    metadata_id: int
    dither_point: int
    quadrant: int
    row: int
    columns: tuple[int, ...]
    source_id: int
    column: int | None
    background: bool
    rows: np.ndarray

    @property
    def fixed(self) -> bool:
        """Whether it is a fixed slit."""
        return self.name in FIXED_SLITS

    @property
    def state(self) -> str:
        """Its shutters in order of their columns: ``x`` the source's (or the middle one), ``1`` open, ``0`` closed."""
        low, high = min(self.columns), max(self.columns)
        return shutter_state(self.columns, low + (high - low) // 2 if self.column is None else self.column)


def shutter_state(columns: Iterable[int], main: int) -> str:
    """Shutters from the first to the last open one: ``x`` the main one, ``1`` open, ``0`` closed."""
    have = set(columns)
    return "".join("x" if c == main else "1" if c in have else "0" for c in range(min(have), max(have) + 1))


@dataclass(frozen=True, eq=False, repr=False)
class MSAMetafile:
    """Open shutters and sources of an MSA configuration; every change gives a new object.

    Attributes
    ----------
    shutters : structured ndarray
        ``SHUTTER_INFO``: a row for each open shutter of each slitlet at each dither point; columns in lower case.
    sources : structured ndarray
        ``SOURCE_INFO``: a row for each source.
    path : str
        The file it was read from.

    Examples
    --------
    >>> msa = MSAMetafile.read("jw02750010001_01_msa.fits")
    >>> msa.set_source(1014, stellarity=0.0).drop(slitlets=[7]).write("edited_msa.fits")

    Both arrays are read-only. Point ``MSAMETFL`` of an exposure at the new file, or give it the name of the old one in another folder.
    """

    shutters: np.ndarray
    sources: np.ndarray
    path: str = ""
    layout: tuple[msa_file.Extension, ...] = field(default=())

    def __post_init__(self) -> None:
        self.shutters.flags.writeable = self.sources.flags.writeable = False

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> MSAMetafile:
        """A metafile.

        Raises
        ------
        InputError
            When it is missing or unreadable, or lacks a table or a column that calibration needs.
        """
        shutters, sources, layout = msa_file.read(path)
        return cls(shutters, sources, str(path), layout)

    def write(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write it with the extensions, columns and headers of the original (``SHUTTER_IMAGE`` stays as commanded).

        Raises
        ------
        InputError
            When the file exists (unless `overwrite`) or cannot be written.
        """
        msa_file.write(path, self.shutters, self.sources, self.layout, overwrite)

    def check(self) -> list[Issue]:
        """What is wrong (``error``: it cannot be calibrated) or odd (``warning``); empty if all is well."""
        from jwst_dask.data.msa_rules import check

        return check(self)

    @property
    def metadata_ids(self) -> list[int]:
        """MSA configurations in the file (``MSAMETID`` of exposures)."""
        return sorted(map(int, set(self.shutters["msa_metadata_id"])))

    def dither_points(self, metadata_id: int | None = None) -> list[int]:
        """Dither points of a configuration, or of all (``PATT_NUM`` of exposures)."""
        return sorted(map(int, set(self.shutters["dither_point_index"][self._of(metadata_id)])))

    def slitlets(self, metadata_id: int | None = None, dither_point: int | None = None) -> list[Slitlet]:
        """Slitlets of a configuration and dither point (default: of all), in the order in which the file names them first."""
        groups: dict[tuple[int, int, str], list[int]] = {}
        configurations, points, names = (c.tolist() for c in (self.shutters["msa_metadata_id"], self.shutters["dither_point_index"], self.names))
        for row in np.flatnonzero(self._of(metadata_id, dither_point)):
            key = (configurations[row], points[row], names[row])
            groups.setdefault(key, []).append(int(row))
        return [self._slitlet(*key, np.array(rows)) for key, rows in groups.items()]

    def _slitlet(self, metadata_id: int, dither_point: int, name: str, rows: np.ndarray) -> Slitlet:
        own = self.shutters[rows]
        main, first = own[own["primary_source"] == "Y"], own[0]
        front = own[own["background"] == "N"]
        return Slitlet(
            name, int(first["slitlet_id"]), metadata_id, dither_point, int(first["shutter_quadrant"]), int(first["shutter_row"]),
            tuple(int(c) for c in own["shutter_column"]), int(main["source_id"][-1]) if len(main) else 0,
            int(front["shutter_column"][0]) if len(front) and len(main) else None, not len(main), rows,
        )  # fmt: skip

    def source(self, source_id: int) -> np.void | None:
        """The row of a source in ``SOURCE_INFO``, the first if there are several; None without one."""
        found = np.flatnonzero(self.sources["source_id"] == source_id)
        return self.sources[found[0]] if len(found) else None

    @property
    def table(self) -> Any:
        """The slitlets as an `astropy.table.Table`, a row for each at each dither point."""
        from astropy.table import Table

        rows = []
        for slitlet in self.slitlets():
            known = self.source(slitlet.source_id) if not slitlet.background else None
            main = next((r for r in slitlet.rows if self.shutters["background"][r] == "N"), None)
            rows.append((
                slitlet.name, slitlet.metadata_id, slitlet.dither_point, slitlet.quadrant, slitlet.row, min(slitlet.columns), max(slitlet.columns),
                slitlet.state, slitlet.source_id, "background" if slitlet.background else "" if known is None else str(known["source_name"]),
                np.nan if known is None else float(known["stellarity"]), *(np.nan if main is None else float(self.shutters[n][main]) for n in (X, Y)),
            ))  # fmt: skip
        names = ("slitlet", "metadata_id", "dither_point", "quadrant", "row", "first_column", "last_column", "state", "source_id", "source_name",
                 "stellarity", "x", "y")  # fmt: skip
        return Table(rows=rows, names=names) if rows else Table(names=names)

    def __repr__(self) -> str:
        numbers = [f"{len({s.name for s in self.slitlets()})} slitlets", f"{len(self.sources)} sources",
                   f"configurations {self.metadata_ids}, dither points {self.dither_points()}"]  # fmt: skip
        return f"<MSAMetafile {os.path.basename(self.path) or 'in memory'}: {', '.join(numbers)}>"

    def _repr_html_(self) -> str:
        return f"<p>{self.__repr__()[1:-1]}</p>{self.table._repr_html_()}"

    def set_source(self, source_id: int, *, stellarity: float | None = None, x: float | None = None, y: float | None = None,
                   ra: float | None = None, dec: float | None = None, name: str | None = None,
                   dither_point: int | None = None) -> MSAMetafile:  # fmt: skip
        """Change what is known of a source.

        Parameters
        ----------
        source_id : int
        stellarity : float
            Above 0.75 (or negative): a point source; else extended.
        x, y : float
            Position in its shutter, in units of the shutter's pitch: 0.5 is its centre.
        ra, dec : float
            Degrees.
        name : str
        dither_point : int
            Where `x` and `y` hold (default: everywhere).

        Raises
        ------
        InputError
            For a source that is not in the file.
        """
        known, shutters = self.sources["source_id"] == source_id, self.shutters
        if not known.any() and not (shutters["source_id"] == source_id).any():
            raise InputError(f"{self.where}: there is no source {source_id}; there are {listed(self.sources['source_id'])}")
        sources = self.sources if known.any() else msa_edits.joined(self.sources, msa_edits.new_source(self, source_id))
        values = {"stellarity": stellarity, "ra": ra, "dec": dec, "source_name": name}
        sources = msa_edits.put(sources, sources["source_id"] == source_id, {k: v for k, v in values.items() if v is not None})
        rows = (shutters["source_id"] == source_id) & (shutters["primary_source"] == "Y") & self._of(None, dither_point)
        return self._made(msa_edits.put(shutters, rows, {k: v for k, v in ((X, x), (Y, y)) if v is not None}), sources)

    def split(self, slitlet_id: int, target: Iterable[int] | None = None) -> MSAMetafile:
        """Break up a long slit: each shutter becomes a slitlet of its own.

        A shutter with light of the target gets an extended source in its centre, every other one becomes background. The first
        shutter keeps the number of the slitlet and the others get the numbers that are free next; a source has the number of the
        old one plus its shutter's place in the slit (or the next one that is free).

        Parameters
        ----------
        slitlet_id : int
        target : iterable of int
            ``shutter_column`` of the shutters with light of the target (default: all).

        Raises
        ------
        InputError
            For a slitlet that is not in the file, or columns that are not in it.
        """
        return self._made(*msa_edits.split(self, slitlet_id, None if target is None else {int(c) for c in target}))

    def extend(self, slitlets: Iterable[int] | None = None, shutters: int = 1) -> MSAMetafile:
        """Pretend that shutters above and below slitlets (default: all) were open too, so that their spectra are cut out with a margin.

        The added shutters count as background; those beyond the quadrant or open in another slitlet are left out.

        Raises
        ------
        InputError
            For a slitlet that is not in the file.
        """
        return self._made(msa_edits.extend(self, self.rows_of(slitlets), shutters), self.sources)

    def drop(self, slitlets: Iterable[int] = (), sources: Iterable[int] = ()) -> MSAMetafile:
        """Without some slitlets, and without the slitlets of some sources.

        Raises
        ------
        InputError
            For one that is not in the file.
        """
        gone = set(self.rows_of(slitlets).tolist())
        for source_id in sources:
            own = np.flatnonzero((self.shutters["source_id"] == source_id) & (self.shutters["primary_source"] == "Y"))
            if not len(own):
                raise InputError(f"{self.where}: no slitlet has source {source_id}")
            for slitlet in self.slitlets():
                if set(slitlet.rows.tolist()) & set(own.tolist()):
                    gone |= set(np.flatnonzero(self._of(slitlet.metadata_id) & (self.names == slitlet.name)).tolist())
        return self._made(np.delete(self.shutters, sorted(gone)), self.sources)._without_orphans(self)

    def as_background(self, slitlets: Iterable[int]) -> MSAMetafile:
        """Some slitlets as background only: they have no source, and the master background is made from them.

        Raises
        ------
        InputError
            For a slitlet that is not in the file.
        """
        rows = self.rows_of(slitlets)
        return self._made(msa_edits.as_background(self, rows), self.sources)._without_orphans(self)

    def add_background(self, quadrant: int, row: int, columns: Sequence[int], slitlet_id: int | None = None,
                       metadata_id: int | None = None) -> MSAMetafile:  # fmt: skip
        """A background slitlet of shutters that were open, at every dither point (failed-open ones, for example).

        Parameters
        ----------
        quadrant, row, columns : int, int, sequence of int
            The shutters.
        slitlet_id : int
            Its number (default: one more than the greatest).
        metadata_id : int
            Configuration (default: all).

        Raises
        ------
        InputError
            For shutters that do not exist, or a number that is in use.
        """
        return self._made(msa_edits.add_background(self, quadrant, row, columns, slitlet_id, metadata_id), self.sources)

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"MSA metafile {self.path}" if self.path else "MSA metafile"

    @cached_property
    def names(self) -> np.ndarray:
        """Name of the slitlet (or fixed slit) of each row of `shutters`."""
        numbers = self.shutters["slitlet_id"].astype(str)
        if "fixed_slit" not in (self.shutters.dtype.names or ()):
            return numbers
        return np.where(np.isin(self.shutters["fixed_slit"], FIXED_SLITS), self.shutters["fixed_slit"], numbers)

    def rows_of(self, slitlets: Iterable[int] | None) -> np.ndarray:
        """Rows of slitlets (default: of all) in all configurations.

        Raises
        ------
        InputError
            For a slitlet that is not in the file.
        """
        if slitlets is None:
            return np.arange(len(self.shutters))
        wanted, have = [str(s) for s in slitlets], dict.fromkeys(self.names.tolist())
        if absent := [s for s in wanted if s not in have]:
            raise InputError(f"{self.where}: there is no slitlet {listed(absent)}; there are {listed(have)}")
        return np.flatnonzero(np.isin(self.names, wanted))

    def _of(self, metadata_id: int | None, dither_point: int | None = None) -> np.ndarray:
        mask = np.ones(len(self.shutters), bool)
        if metadata_id is not None:
            mask &= self.shutters["msa_metadata_id"] == metadata_id
        if dither_point is not None:
            mask &= self.shutters["dither_point_index"] == dither_point
        return mask

    def _without_orphans(self, before: MSAMetafile) -> MSAMetafile:
        """Without sources that had a slitlet before, and have none now."""
        had, has = set(before.shutters["source_id"].tolist()), set(self.shutters["source_id"].tolist())
        return self._made(self.shutters, self.sources[~np.isin(self.sources["source_id"], sorted(had - has))])

    def _made(self, shutters: np.ndarray, sources: np.ndarray) -> MSAMetafile:
        return replace(self, shutters=shutters.copy(), sources=sources.copy())


def listed(values: Iterable[Any], most: int = 12) -> str:
    """Values for a message, not too many."""
    items = [str(v) for v in values]
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "") if items else "none"
