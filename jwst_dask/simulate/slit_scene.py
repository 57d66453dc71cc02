"""What many slits see: sources and background, where their spectra fall, and the light that arrives there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jwst_dask.core.errors import ParameterError
from jwst_dask.simulate import nirspec_refs, optics, scene, shutters
from jwst_dask.simulate import slit_response as response
from jwst_dask.simulate.shutters import Opening
from jwst_dask.simulate.slit_response import Response

VELOCITY = 12000.0
LEVELS = {"PRISM": ((2e-6, 2e-5), (0.5, 2.0)), "M": ((3e-5, 3e-4), (8.0, 30.0)), "H": ((1e-4, 1e-3), (20.0, 80.0))}
"""Faintest and brightest point source (Jy) and extended source (MJy/sr), log-uniform between."""
SPREAD = 0.25  # arcsec, standard deviation of extended sources along their slits
TRIALS = 400  # places that are tried for each slitlet
APART = (14, 5)  # pixels between spectra
ARCSEC2 = (np.pi / 180 / 3600) ** 2  # sr


@dataclass(frozen=True)
class Source:
    """A source in a slit: number, place in the open area of the shutter, spectrum (Jy or MJy/sr on a common grid), size (arcsec; 0: a point)."""

    number: int
    x: float
    y: float
    flux: np.ndarray
    size: float = 0.0


@dataclass(frozen=True)
class Footprint:
    """Where the spectrum of an opening falls: a window of the full frame (y, x) with wavelength (um), height, and their steps by pixel."""

    window: tuple[slice, slice]
    wavelength: np.ndarray
    height: np.ndarray
    dispersion: np.ndarray
    step: float
    lit: np.ndarray


def sky(wavelength: np.ndarray) -> np.ndarray:
    """Background, MJy/sr."""
    return np.asarray(0.18 * (1 + 0.5 * np.exp(-(wavelength - 0.6) / 0.5)) + 0.02 * (wavelength / 3) ** 4)


def spectrum(wavelength: np.ndarray, level: float, r: np.random.Generator, grating: str) -> np.ndarray:
    """A power law with an emission line that is resolved."""
    lo, hi = wavelength[[0, -1]]
    slope, line, strength = r.uniform(-0.8, 0.5), r.uniform(lo + 0.25 * (hi - lo), hi - 0.25 * (hi - lo)), r.uniform(0.5, 1.5)
    width = line / (45 if grating == "PRISM" else 400)
    middle = 0.5 * (lo + hi)
    return np.asarray(level * ((wavelength / middle) ** slope + strength * np.exp(-0.5 * ((wavelength - line) / width) ** 2)))


def level(grating: str, extended: bool, r: np.random.Generator) -> float:
    """Brightness of a source."""
    low, high = LEVELS["PRISM" if grating == "PRISM" else grating[-1]][int(extended)]
    return float(np.exp(r.uniform(np.log(low), np.log(high))))


def place(count: int, numbers: Sequence[int], grating: str, detectors: Sequence[str], rows: tuple[int, int], r: np.random.Generator) -> list[Opening]:
    """Slitlets whose spectra are on their detectors and do not overlap.

    Parameters
    ----------
    count : int
    numbers : sequence of int
        Shutters of each, counted from the middle one; that of the last slitlet is alone.
    grating : str
    detectors : sequence of str
        The slitlets are shared out among them.
    rows : (int, int)
        Rows that are read out, of either detector.

    Raises
    ------
    ParameterError
        When they do not fit.
    """
    total = count * TRIALS
    quadrant = np.array([shutters.QUADRANTS[detectors[k % len(detectors)]] for k in range(total)])[np.arange(total), r.integers(0, 2, total)]
    row, column = r.integers(8, shutters.ROWS - 8, total), r.integers(6, shutters.COLUMNS - 6, total)
    slits = shutters.shutter(quadrant, row, column)
    box, good = _extent(grating, slits, numbers, detectors, np.arange(total) % len(detectors), rows)
    turn, found = np.arange(total) % len(detectors), list[Opening]()
    last = -1
    while len(found) < count:
        free = last + 1 + np.flatnonzero(good[last + 1 :] & (turn[last + 1 :] == len(found) % len(detectors)))
        if not len(free):
            break
        last = int(free[0])
        good &= ~_overlap(box, box[last])
        alone = len(found) == count - 1
        slit = (float(slits[0][last]), float(slits[1][last]), *slits[2:])
        shutter = int(quadrant[last]), int(row[last]), int(column[last])
        found.append(Opening(str(len(found) + 1), slit, (0,) if alone else tuple(numbers), *shutter))
    if len(found) < count:
        raise ParameterError(f"{count} slitlets do not fit side by side on {', '.join(detectors)} with {grating}; {len(found)} do: ask for fewer sources")
    return found


def _extent(grating: str, slits: tuple[np.ndarray, np.ndarray, float, float], numbers: Sequence[int], detectors: Sequence[str], turn: np.ndarray,
            rows: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Boxes (x0, x1, y0, y1) of spectra in pixels of NRS1, and which of them are on their detectors."""
    reach = Opening("", slits, tuple(numbers)).reach  # type: ignore[arg-type]
    ends = np.linspace(*nirspec_refs.span(grating), 5)
    points = np.array([optics.trace("NRS1", grating, slits, height, np.full(len(slits[0]), w)) for height in reach for w in ends])
    box = np.stack([points[:, 0].min(0), points[:, 0].max(0), points[:, 1].min(0), points[:, 1].max(0)], axis=1)
    begin = np.where(np.array([name == "NRS1" for name in detectors])[turn], 0, optics.NPIX + optics.GAP)
    inside = np.clip(np.minimum(box[:, 1], begin + optics.NPIX - 10) - np.maximum(box[:, 0], begin + 10), 0, None)
    needed = 0.999 if grating == "PRISM" else 0.85
    return box, (inside >= needed * (box[:, 1] - box[:, 0])) & (box[:, 2] > rows[0] + 4) & (box[:, 3] < rows[1] - 5)


def _overlap(many: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Which of many boxes come too near to one."""
    beside = (many[:, 0] < one[1] + APART[0]) & (one[0] < many[:, 1] + APART[0])
    return np.asarray(beside & (many[:, 2] < one[3] + APART[1]) & (one[2] < many[:, 3] + APART[1]))


def footprint(detector: str, grating: str, opening: Opening) -> Footprint | None:
    """The pixels of a detector that an opening lights, if there are any."""
    lo, hi = nirspec_refs.span(grating)
    x, y = np.concatenate([optics.trace(detector, grating, opening.slit, height, np.linspace(lo, hi, 9)) for height in opening.reach], axis=1)
    (x0, x1), (y0, y1) = ((max(0, int(a.min()) - 12), min(optics.NPIX, int(a.max()) + 13)) for a in (x, y))
    if x0 >= x1 or y0 >= y1:
        return None
    grid_y, grid_x = np.mgrid[y0:y1, x0:x1]
    wavelength, height = optics.project(detector, grating, grid_x, grid_y, VELOCITY, opening.slit, opening.reach)
    lit = np.isfinite(wavelength) & (wavelength > lo) & (wavelength < hi)
    steps = np.abs(np.diff(height, axis=0))
    if not lit.any() or not np.isfinite(steps).any():
        return None
    dispersion = np.nan_to_num(np.gradient(wavelength, axis=1))
    return Footprint((slice(y0, y1), slice(x0, x1)), np.where(lit, wavelength, 0.5 * (lo + hi)), np.nan_to_num(height), dispersion,
                     float(np.nanmedian(steps)), lit)  # fmt: skip


def light(spot: Footprint, answer: Response, opening: Opening, grid: np.ndarray, source: Source | None, at: float, mjd: float) -> np.ndarray:
    """DN/s of background and source on the pixels of a footprint.

    Parameters
    ----------
    spot : Footprint
    answer : Response
    opening : Opening
    grid : ndarray
        Wavelengths (um) of the source's spectrum.
    source : Source or None
    at : float
        Height of the source, open heights from the middle shutter.
    mjd : float
        Middle of the exposure.
    """
    w, width = spot.wavelength, opening.size[0]
    bright = sky(w)
    if source is not None and source.size:
        bright = bright + np.interp(w, grid, source.flux) * np.exp(-0.5 * ((spot.height - at) * opening.size[1] / source.size) ** 2)
    seen = bright * response.area(opening) * ARCSEC2 * response.uniform(w, opening.quadrant < 5) * response.shadow(spot.height, opening, w)
    out = seen * answer.rate(w, mjd) * answer.flat(w, spot.window, opening)
    if source is not None and not source.size:
        moved = w + response.zero_point(source.x, w * 1e-6, width) * spot.dispersion
        spread = scene.sigma(moved)
        share = response.through(source.x * width, width, spread) * response.along(spot.height, spot.step, at, opening, spread)
        out = out + np.interp(moved, grid, source.flux) * 1e-6 * answer.rate(moved, mjd) * answer.flat(moved, spot.window, opening) * share
    return np.where(spot.lit, out, 0.0)
