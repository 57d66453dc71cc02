"""Differences of arrays that are too large to be seen at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Tally:
    """Running difference of two arrays that are seen in pieces.

    Attributes
    ----------
    rtol, scale : float
        Tolerance, relative to ``|reference| + scale``.
    worst : float
        Largest relative difference so far.
    beyond, nans, different, count : int
        Samples outside the tolerance, finite in one array only, unequal (integers and text), and seen.
    """

    rtol: float
    scale: float
    worst: float = 0.0
    beyond: int = 0
    nans: int = 0
    different: int = 0
    count: int = 0
    exact: bool = True

    def add(self, ours: np.ndarray, reference: np.ndarray) -> None:
        """Take account of a further piece; both of the same shape."""
        self.count += reference.size
        if reference.dtype.kind != "f" and ours.dtype.kind != "f":
            if reference.dtype.kind in "SU":
                ours, reference = (np.char.strip(a.astype(str)) for a in (ours, reference))
            self.different += int(np.count_nonzero(ours != reference))
            return
        self.exact = False
        a, b = ours.astype(np.float64), reference.astype(np.float64)
        finite = np.isfinite(a) & np.isfinite(b)
        self.nans += int(np.count_nonzero(~finite & ~((np.isnan(a) & np.isnan(b)) | (a == b))))
        with np.errstate(invalid="ignore", divide="ignore"):
            distance = np.where(finite, np.abs(a - b), 0.0)
            relative = np.where(distance > 0, distance / (np.abs(b) + self.scale), 0.0)
        self.worst = max(self.worst, float(relative.max(initial=0.0)))
        self.beyond += int(np.count_nonzero(relative > self.rtol))

    @property
    def agrees(self) -> bool:
        """Whether all pieces agree."""
        return not (self.different or self.nans or self.beyond)

    @property
    def figures(self) -> dict[str, Any]:
        """The counts, by name."""
        if self.exact:
            return {"different": self.different, "of": self.count}
        return {"max_rel": self.worst, "beyond": self.beyond, "nan_pattern": self.nans, "of": self.count}


def typical(part: Callable[[tuple[int, int]], np.ndarray], pieces: Sequence[tuple[int, int]]) -> float:
    """Median size of the numbers that are not zero; of long arrays, in nine pieces spread over them."""
    return middle([live(part(piece)) for piece in spread(pieces)])


def spread(pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """All pieces, or nine of many."""
    return list(pieces) if len(pieces) <= 9 else [pieces[i] for i in np.linspace(0, len(pieces) - 1, 9).astype(int)]


def live(values: np.ndarray) -> np.ndarray:
    """Sizes of finite numbers that are not zero; of many, a regular selection."""
    flat = values.ravel()[:: max(1, values.size // 1_000_000)]
    flat = np.abs(flat[np.isfinite(flat)])
    kept: np.ndarray = flat[flat > 0]
    return kept


def middle(sizes: list[np.ndarray]) -> float:
    """Median of all, 0 of nothing."""
    every = np.concatenate(sizes) if sizes else np.empty(0)
    return float(np.median(every)) if every.size else 0.0
