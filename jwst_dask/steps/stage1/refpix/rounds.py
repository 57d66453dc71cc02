"""IRS2 frames of a stored ramp in three rounds of independent tasks, each with one output of one integration.

1. ``look``: bad reference pixels of an output; filters of its sector.
2. ``output``: spectra of the reference output, which all sectors need.
3. ``correct``: the sectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jwst_dask.core.memo import memo
from jwst_dask.data.exposure import Block
from jwst_dask.kernels.ramp.irs2 import COLUMNS, OUTPUTS, Corrector, in_order, is_normal, make_tables
from jwst_dask.refs.load import token
from jwst_dask.steps.stage1.refpix import irs2

LOOK, OUTPUT, CORRECT = "look", "output", "correct"
FEWEST, MOST = 3, 8
"""Groups of the reference output in a task at least; tasks of an integration at most: each reads all groups for their mean."""
Place = tuple[int, int, int, int, int, int]
"""Integrations, rows and groups of a tile."""


def divide(nints: int, ngroups: int, flipped: bool, keep: bool) -> list[tuple[str, list[Place]]]:
    """Rounds and their tiles."""

    def tile(i: int, k: int, g0: int = 0, g1: int = ngroups) -> Place:
        first = _first_row(k, flipped)
        return i, i + 1, first, first + COLUMNS, g0, g1

    step = max(FEWEST, -(-ngroups // MOST))
    every = [tile(i, k) for i in range(nints) for k in range(OUTPUTS)]
    outputs = [tile(i, 0, g, min(g + step, ngroups)) for i in range(nints) for g in range(0, ngroups, step)]
    return [(LOOK, every), (OUTPUT, outputs), (CORRECT, [tile(i, k) for i in range(nints) for k in range(0 if keep else 1, OUTPUTS)])]


def _first_row(k: int, flipped: bool) -> int:
    return COLUMNS * (OUTPUTS - 1 - k if flipped else k)


@dataclass(frozen=True)
class Part:
    """A task.

    Attributes
    ----------
    place : tuple of int
        Its tile.
    ramps : Ramps
    notes : Notes
        What the rounds before have found.
    path : str
        Of the refpix reference.
    flipped, keep : bool
    """

    place: Place
    ramps: Any
    notes: Any
    path: str
    flipped: bool
    keep: bool

    @property
    def output(self) -> int:
        """0 for the reference output, 1 to 4 for the sectors."""
        k = self.place[2] // COLUMNS
        return OUTPUTS - 1 - k if self.flipped else k

    def look(self, sigma: float) -> None:
        """Find the bad reference pixels of an output, in the order of the file; make the filters of its sector."""
        i, _, y0, y1, _, _ = self.place
        flags = self.ramps.read(0, 1, y0, y1, (0, 1), ("pixeldq",)).arrays["pixeldq"]
        rows = np.flatnonzero(irs2.READS[:COLUMNS])
        reads = np.empty((self.ramps.ngroups, rows.size, self.ramps.shape[1]), np.float32)
        for at in range(0, rows.size, irs2.REFERENCE):
            y = y0 + int(rows[at])
            reads[:, at : at + irs2.REFERENCE] = self.ramps.read(i, i + 1, y, y + irs2.REFERENCE, names=("sci",)).arrays["sci"][0]
        self.notes.leave(f"bad-{i}-{self.output}", irs2.bad_of_output(reads, irs2.known(flags), sigma))
        if i == 0 and self.output:
            for name, array in zip(("alpha", "beta"), irs2.read_filters(self.path, self.ramps.shape[1], self.output - 1)):
                self.notes.leave(f"{name}-{self.output}", array)

    def spectra(self) -> None:
        """Leave the spectra of the reference output of some groups."""
        i, _, _, _, g0, g1 = self.place
        mean, corrector = self._mean(), self._corrector({}, {})
        for g in range(g0, g1):
            corrector.reference_output(self._columns(g, mean))
            self.notes.leave(f"output-{i}-{g}", corrector.output)

    def correct(self) -> Iterator[Block]:
        """Rows of each group, corrected, without reference pixels unless they are kept; rows of ``pixeldq`` once."""
        (i, _, y0, y1, _, _), k, mean = self.place, self.output, self._mean()
        corrector = (
            self._corrector({k - 1: self.notes.find(f"alpha-{k}")}, {k - 1: self.notes.find(f"beta-{k}")}) if k else self._corrector({}, {})
        )
        order, kept = self._order(), np.flatnonzero(is_normal() | self.keep)  # the same from either end
        height = kept.size
        first = y0 if self.keep else height * (OUTPUTS - 1 - k if self.flipped else k - 1)
        plane = np.empty((height, self.ramps.shape[1]), np.float32)
        for g in range(self.ramps.ngroups):
            columns = self._columns(g, mean)
            if k == 0:
                corrector.reference_output(columns, mean, plane)
            else:
                corrector.output = self.notes.find(f"output-{i}-{g}")
                corrector.correct_sector(columns, mean, k, plane)
            names = ("groupdq", "pixeldq") if i == 0 and g == 0 else ("groupdq",)
            flags = self.ramps.read(i, i + 1, y0, y1, (g, g + 1), names).arrays
            if "pixeldq" in flags:
                flags["pixeldq"][self.bad] |= irs2.MARK
            arrays = {name: np.ascontiguousarray(array[..., kept, :]) for name, array in flags.items()}
            yield Block(arrays | {"sci": np.ascontiguousarray(plane[order, order])[np.newaxis, np.newaxis]}, i, y0=first, group0=g)

    def _corrector(self, alpha: Mapping[int, np.ndarray], beta: Mapping[int, np.ndarray]) -> Corrector:
        n = self.ramps.shape[1]
        return Corrector(memo(("irs2", n), lambda: make_tables(n)), alpha, beta, self.keep)

    def _order(self) -> slice:
        return slice(None, None, -1 if self.flipped else None)

    @cached_property
    def bad(self) -> np.ndarray:
        """Bad reference pixels of the output in any integration, in the order of the file: bool[640]."""
        found: np.ndarray = np.logical_or.reduce([self.notes.find(f"bad-{i}-{self.output}") for i in range(self.ramps.nints)])
        return found

    @cached_property
    def listed(self) -> np.ndarray:
        """Those that the reference lists."""
        n = self.ramps.shape[1]
        found: np.ndarray = memo(("irs2 listed", *token(self.path)), lambda: irs2.read_listed(self.path, n))
        return found

    def _plane(self, group: int) -> np.ndarray:
        """A group of the output, its bad reference pixels replaced, in the order of reading: float32[640, x]."""
        i, _, y0, y1, _, _ = self.place
        plane, order = self.ramps.read(i, i + 1, y0, y1, (group, group + 1), ("sci",)).arrays["sci"], self._order()
        irs2.replace_all(plane, self.bad)
        irs2.replace_listed_of(plane[:, :, order, order], self.bad[order].copy(), self.listed, self.output)
        return in_order(plane[0, 0, order, order], self.output)

    def _mean(self) -> np.ndarray:
        """Over the groups, in the order of reading: float64[640, x]."""
        mean = np.zeros((COLUMNS, self.ramps.shape[1]))
        for group in range(self.ramps.ngroups):
            mean += self._plane(group)
        mean /= self.ramps.ngroups
        return mean

    def _columns(self, group: int, mean: np.ndarray) -> np.ndarray:
        """A group less the mean, float32, C-contiguous."""
        out = np.empty(mean.shape, np.float32)
        return np.subtract(self._plane(group), mean, out=out, casting="same_kind")
