"""How well count rates give back the slopes and cosmic rays that were put into simulated ramps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.data.dq import PIXEL

if TYPE_CHECKING:
    from jwst_dask.simulate.ramp_truth import RampTruth

EDGES = np.linspace(-20, 20, 4001)
"""Of the bins in which pulls are counted, so that memory does not grow with the series."""
SIZES = np.array([0.0, 2, 3, 4, 5, 6, 8, 10, 15, 25, 50, 100, np.inf])
"""Edges of the sizes of cosmic rays, standard deviations of the difference of two groups."""
SURE = 10.0
MOST_PIXELS = 40_000_000
"""Pixels of a file that are looked at; of longer series every n-th integration is."""
DO_NOT_USE, JUMP = np.uint32(PIXEL["DO_NOT_USE"]), np.uint32(PIXEL["JUMP_DET"])


@dataclass
class Pulls:
    """Distribution of (recovered - injected) / error, counted in bins."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(len(EDGES) - 1, np.int64))
    beyond: int = 0

    def add(self, values: np.ndarray) -> None:
        """Count some pulls."""
        found = np.histogram(values, EDGES)[0]
        self.counts += found
        self.beyond += values.size - int(found.sum())

    @property
    def count(self) -> int:
        """Pulls that were counted."""
        return int(self.counts.sum()) + self.beyond

    def quantile(self, share: float) -> float:
        """The pull below which a share of those within the bins is; NaN without any."""
        total = np.cumsum(self.counts)
        return float(np.interp(share * total[-1], np.concatenate([[0], total]), EDGES)) if total[-1] else float("nan")

    @property
    def median(self) -> float:
        """Expected: 0."""
        return self.quantile(0.5)

    @property
    def width(self) -> float:
        """Half the range of the middle 68.3 %: the standard deviation of a normal distribution. Expected: 1 and a little more."""
        return 0.5 * (self.quantile(0.84134) - self.quantile(0.15866))


@dataclass
class Jumps:
    """Cosmic rays: injected in usable groups of good pixels and found, by size (`SIZES`), and pixels flagged.

    Attributes
    ----------
    injected, found : ndarray
        int64[size].
    pixels, flagged, unexplained : int
        Good pixels of all integrations, those flagged JUMP_DET, and those of them with no cosmic ray in or beside them.
    """

    injected: np.ndarray = field(default_factory=lambda: np.zeros(len(SIZES) - 1, np.int64))
    found: np.ndarray = field(default_factory=lambda: np.zeros(len(SIZES) - 1, np.int64))
    pixels: int = 0
    flagged: int = 0
    unexplained: int = 0

    def sure(self) -> tuple[int, int]:
        """Cosmic rays of `SURE` standard deviations and more: injected, found."""
        large = SIZES[:-1] >= SURE
        return int(self.injected[large].sum()), int(self.found[large].sum())


@dataclass
class Validation:
    """What became of the injected ramps.

    Attributes
    ----------
    pulls, mean_pulls : Pulls
        Of single integrations, and of the means of exposures.
    slope, ratio : ndarray
        float32[pixel]: injected slopes (DN/s) of the means of exposures, and recovered over injected.
    error : ndarray
        float32[pixel]: relative error that the products give.
    jumps : Jumps
    files : int
        Exposures compared.
    """

    pulls: Pulls
    mean_pulls: Pulls
    slope: np.ndarray
    ratio: np.ndarray
    error: np.ndarray
    jumps: Jumps
    files: int

    def line(self) -> str:
        """Figures of the cosmic rays in words."""
        injected, found = self.jumps.sure()
        share = f"{100 * found / injected:.1f} % of {injected}" if injected else "none injected"
        rest = 100 * self.jumps.unexplained / max(self.jumps.pixels, 1)
        return f"cosmic rays beyond {SURE:.0f} sigma found: {share}; pixels flagged without one: {rest:.3f} %"

    def level(self, brightest: float = 0.1) -> float:
        """Recovered over injected of the brightest share of the lit pixels (median); NaN without any."""
        if not len(self.slope):
            return float("nan")
        return float(np.median(self.ratio[self.slope >= np.quantile(self.slope, 1 - brightest)]))


def validate(folder: str | os.PathLike[str], truth: RampTruth) -> Validation:
    """Compare the count rates in a folder with the truth of the ramps that they come from.

    Parameters
    ----------
    folder : path
        With ``_rateints`` or ``_rate`` products, or both; ``_ramp`` products tell of cosmic rays group by group.
    truth : RampTruth

    Returns
    -------
    Validation
        Good pixels are those that see light and are not DO_NOT_USE. Integrations are read one by one.
    """
    none = np.zeros(0, np.float32)
    out = Validation(Pulls(), Pulls(), none, none, none, Jumps(), 0)
    bright: list[np.ndarray] = []
    for number in range(len(truth.exposures)):
        found = _products(Path(folder), str(truth.exposures[number]))
        if not {"rate", "rateints"} & set(found):
            continue
        out.files += 1
        _integrations(out, found.get("rateints", found.get("rate", Path())), found.get("ramp"), truth, number)
        if "rate" in found:
            bright.append(_mean(out, found["rate"], truth, number))
    if bright:
        out.slope, out.ratio, out.error = np.concatenate(bright, axis=1)
    return out


def _products(folder: Path, exposure: str) -> dict[str, Path]:
    stem = exposure.rsplit("_", 1)[0]
    paths = {kind: folder / f"{stem}_{kind}.fits" for kind in ("rate", "rateints", "ramp")}
    return {kind: path for kind, path in paths.items() if path.is_file()}


def _planes(path: Path) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Number, SCI, ERR and DQ of the integrations of a product, one at a time."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as file:
        sci, err, dq = (file[name] for name in ("SCI", "ERR", "DQ"))
        if len(sci.shape) == 2:
            yield 0, sci.data, err.data, dq.data
            return
        nints, ny, nx = sci.shape
        for k in range(0, nints, -(-nints * ny * nx // MOST_PIXELS)):
            yield k, sci.section[k], err.section[k], dq.section[k]


def _integrations(out: Validation, path: Path, ramp: Path | None, truth: RampTruth, number: int) -> None:
    """Pulls and cosmic rays of the integrations of one exposure."""
    unlit = truth.unlit[truth.image[number]]
    hits, near = truth.hits_of(number), _grown(truth.filled_of(number), unlit.shape)
    mean = path.stem.endswith("_rate") and truth.nints[number] > 1
    for k, sci, err, dq in _planes(path):
        good = ((dq & DO_NOT_USE) == 0) & ~unlit & np.isfinite(sci) & (err > 0)
        slopes = truth.slopes(number, None if mean else k)
        out.pulls.add(((sci - slopes)[good] / err[good]).astype(np.float64))
        if mean:
            continue
        good &= ~near
        own = hits[hits["integration"] == k]
        flagged = good & ((dq & JUMP) != 0)
        out.jumps.pixels += int(good.sum())
        out.jumps.flagged += int(flagged.sum())
        out.jumps.unexplained += int((flagged & ~_grown(own, unlit.shape)).sum())
        own = own[(own["group"] > truth.groups[0]) & (own["group"] < truth.groups[1]) & good[own["y"], own["x"]]]
        seen = flagged[own["y"], own["x"]] if ramp is None else _in_group(ramp, k, own)
        out.jumps.injected += np.histogram(own["sigma"], SIZES)[0]
        out.jumps.found += np.histogram(own["sigma"][seen], SIZES)[0]


def _in_group(path: Path, k: int, hits: np.ndarray) -> np.ndarray:
    """Whether cosmic rays are flagged in the very group in which they came (bool[hit])."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as file:
        flags = file["GROUPDQ"].section[k]
    return np.asarray((flags[hits["group"], hits["y"], hits["x"]] & np.uint8(JUMP)) != 0)


def _grown(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """bool[y, x]: pixels of a list (fields y, x) and the eight around each."""
    from scipy.ndimage import binary_dilation

    out = np.zeros(shape, bool)
    out[places["y"], places["x"]] = True
    return np.asarray(binary_dilation(out, np.ones((3, 3), bool))) if out.any() else out


def _mean(out: Validation, path: Path, truth: RampTruth, number: int) -> np.ndarray:
    """Pulls of the mean of one exposure; slope, recovered over injected, and relative error of its lit pixels (float32[3, pixel])."""
    slopes = truth.slopes(number)
    _, sci, err, dq = next(_planes(path))
    good = ((dq & DO_NOT_USE) == 0) & ~truth.unlit[truth.image[number]] & np.isfinite(sci) & (err > 0)
    out.mean_pulls.add(((sci - slopes)[good] / err[good]).astype(np.float64))
    lit = good & (slopes > err)
    values: list[Any] = [slopes[lit], sci[lit] / slopes[lit], err[lit] / slopes[lit]]
    return np.array(values, np.float32)
