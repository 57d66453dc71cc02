"""What was put into simulated ramps: slopes, cosmic rays, filled pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from jwst_dask.simulate.detector import SKIP, Detector
from jwst_dask.simulate.ramps import FULL, HIT, Injected
from jwst_dask.simulate.truth import NAME

PREFIX = "ramps_"


@dataclass(frozen=True)
class RampTruth:
    """The injected ramps of all files of a simulation.

    Attributes
    ----------
    folder : str
        Where the files are.
    exposures : ndarray of str
        File names (``_uncal``).
    image : ndarray
        int64[file]: which of the images below belongs to a file.
    first, nints : ndarray
        int64[file]: number of its first integration in the light curve, and its integrations.
    light_curve : ndarray
        float64[integration]: factor of `star`.
    star, background : ndarray
        float32[image, y, x], DN/s: the light that makes charge; what varies and what does not (one row and column if nothing).
    unlit : ndarray
        bool[image, y, x]: pixels that see no light (reference pixels, dead ones).
    group_time : float
        Seconds.
    ngroups : int
    groups : ndarray
        int64[2]: cosmic rays in a group after the first of these and before the second are in differences of groups that are used in any case.
    hits : ndarray
        Cosmic rays: `integration` (in its file), `group` (first that has the charge), `y`, `x`, `electrons`, and `sigma`, that over the noise of the
        difference of two groups; the rows of file k are those from ``hit_edges[k]`` to ``hit_edges[k + 1]``.
    filled : ndarray
        Pixels that were filled up: `integration`, `group` (the earliest), `y`, `x`; rows of a file by ``filled_edges``.
    """

    folder: str
    exposures: np.ndarray
    image: np.ndarray
    first: np.ndarray
    nints: np.ndarray
    light_curve: np.ndarray
    star: np.ndarray
    background: np.ndarray
    unlit: np.ndarray
    group_time: float
    ngroups: int
    groups: np.ndarray
    hits: np.ndarray
    hit_edges: np.ndarray
    filled: np.ndarray
    filled_edges: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """For ``truth.npz``, beside what else is in it."""
        return {PREFIX + f.name: np.asarray(getattr(self, f.name)) for f in fields(self) if f.name != "folder"}

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> RampTruth | None:
        """From the ``truth.npz`` in a folder; None if it tells nothing of ramps."""
        with np.load(Path(folder) / NAME, allow_pickle=False) as file:
            values = {name.removeprefix(PREFIX): file[name] for name in file.files if name.startswith(PREFIX)}
        if not values:
            return None
        return cls(**{**values, "folder": str(folder), "group_time": float(values["group_time"]), "ngroups": int(values["ngroups"])})

    def number(self, product: str) -> int | None:
        """Which file a product (``.._rate.fits``, ``.._rateints.fits``, ``.._ramp.fits``) was made of; None if none."""
        stem = Path(product).name.rsplit("_", 1)[0]
        found = [k for k, name in enumerate(self.exposures) if str(name).rsplit("_", 1)[0] == stem]
        return found[0] if found else None

    def slopes(self, file: int, integration: int | None = None) -> np.ndarray:
        """float64[y, x], DN/s: slopes that went into an integration of a file, or the mean over all of them."""
        part = self.light_curve[self.first[file] : self.first[file] + self.nints[file]]
        factor = part.mean() if integration is None else part[integration]
        image = self.image[file]
        return np.asarray(self.star[image].astype(float) * factor + self.background[image])

    def hits_of(self, file: int) -> np.ndarray:
        """Cosmic rays of a file."""
        return self.hits[self.hit_edges[file] : self.hit_edges[file + 1]]

    def filled_of(self, file: int) -> np.ndarray:
        """Pixels of a file that were filled up."""
        return self.filled[self.filled_edges[file] : self.filled_edges[file + 1]]


@dataclass(frozen=True)
class Written:
    """A file that was written: its detector and the number of its first integration in the light curve."""

    name: str
    made: Detector
    first: int
    nints: int
    told: Injected


def gather(folder: Path, written: Sequence[Written], light_curve: np.ndarray) -> RampTruth:
    """The truth of all files of a simulation, which have frames of one size and one readout."""
    kinds = list({id(one.made): one.made for one in written}.values())
    order = {id(made): k for k, made in enumerate(kinds)}
    setup = kinds[0].setup
    background = np.stack([made.setup.background.clip(0) * made.lit for made in kinds]).astype("f4")
    hits = [_weighed(one.told.all_hits(), one.made, light_curve[one.first : one.first + one.nints]) for one in written]
    filled = [one.told.filled() for one in written]
    return RampTruth(
        str(folder), np.array([one.name for one in written]), np.array([order[id(one.made)] for one in written]), np.array([one.first for one in written]),
        np.array([one.nints for one in written]), np.asarray(light_curve, float),
        np.stack([made.setup.star.clip(0) * made.lit for made in kinds]).astype("f4"),
        background if background.any() else background[:, :1, :1], np.stack([made.lit == 0 for made in kinds]),
        setup.group_time, setup.ngroups, np.array([max(SKIP), setup.ngroups - 1] if kinds[0].miri else [0, setup.ngroups]), np.concatenate([np.zeros(0, _SEEN), *hits]), np.cumsum([0, *map(len, hits)]),
        np.concatenate([np.zeros(0, FULL), *filled]), np.cumsum([0, *map(len, filled)]),
    )  # fmt: skip


_SEEN = np.dtype([*((name, HIT[name]) for name in HIT.names or ()), ("sigma", "f4")])


def _weighed(hits: np.ndarray, made: Detector, light_curve: np.ndarray) -> np.ndarray:
    """Cosmic rays with their size over the noise of a difference of two groups."""
    out = np.zeros(len(hits), _SEEN)
    for name in HIT.names or ():
        out[name] = hits[name]
    y, x = hits["y"], hits["x"]
    light = (made.setup.star[y, x] * light_curve[hits["integration"]] + made.setup.background[y, x]).clip(0) * made.lit[y, x] * made.gain[y, x]
    out["sigma"] = hits["electrons"] / np.sqrt(2 * made.read[y, x] ** 2 + (light + made.dark[y, x]) * made.setup.group_time)
    return out
