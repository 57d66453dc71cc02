"""Exposures as they come from the telescope (``_uncal``): ramps of counts, frame by frame, and what was put into them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.simulate import exposures
from jwst_dask.simulate.detector import CEILING, DRIFT, KTC, ODD_EVEN, PINK, Detector, raw_header
from jwst_dask.simulate.exposures import Series

HIT = np.dtype([("integration", "i4"), ("group", "i2"), ("y", "i2"), ("x", "i2"), ("electrons", "f4")])
"""Charge of a cosmic ray in a pixel: index of the integration in its file and of the first group that has it."""
FULL = np.dtype([("integration", "i4"), ("group", "i2"), ("y", "i2"), ("x", "i2")])
"""A pixel that was filled up: the first of the file's integrations that has it in the earliest group, and that group."""
FLUX = 1e-4
"""Cosmic rays per pixel and second, a few times those in orbit, so that short exposures have some."""
TAIL = 0.35  # share of the events with charge in the next pixel too


@dataclass
class Injected:
    """What went into one file: cosmic rays (dtype `HIT`) and filled pixels (dtype `FULL`)."""

    hits: list[np.ndarray] = field(default_factory=list)
    first: np.ndarray | None = None
    """int16[y, x]: earliest group that was full in any integration, or the number of groups."""
    where: np.ndarray | None = None
    """int32[y, x]: the first integration with it."""

    def all_hits(self) -> np.ndarray:
        """One array of all cosmic rays."""
        return np.concatenate(self.hits) if self.hits else np.zeros(0, HIT)

    def filled(self) -> np.ndarray:
        """List of pixels that were full in any integration."""
        if self.first is None or self.where is None:
            return np.zeros(0, FULL)
        y, x = np.nonzero(self.where >= 0)
        out = np.zeros(len(y), FULL)
        out["integration"], out["group"], out["y"], out["x"] = self.where[y, x], self.first[y, x], y, x
        return out

    def note(self, integration: int, first: np.ndarray, ngroups: int) -> None:
        """Take account of an integration's earliest full groups (int16[y, x])."""
        if self.first is None or self.where is None:
            self.first, self.where = np.full(first.shape, ngroups, np.int16), np.full(first.shape, -1, np.int32)
        earlier = first < self.first
        self.first[earlier] = first[earlier]
        self.where[earlier] = integration


def exposure(folder: str | os.PathLike[str], made: Detector, series: Series, number: int = 1, label: str = "") -> tuple[str, Injected]:
    """Write one exposure, or one segment of a series, as ``_uncal``.

    Parameters
    ----------
    folder : path
    made : Detector
    series : Series
        `noise` is a factor on all that is random in electrons; 0 leaves drifts of the readout and reset levels, and no cosmic rays.
    number : int
        Of the segment, from 1.
    label : str
        Between stem and detector in the file's name, for example ``-seg001``.

    Returns
    -------
    str, Injected
        File name; cosmic rays and filled pixels. One frame is in memory at a time.
    """
    setup, first = made.setup, (number - 1) * series.nints
    name = f"{setup.stem}{label}_{setup.detector}_uncal.fits"
    head = raw_header(exposures.header(setup, series)) | {"filename": name}
    if series.nsegments > 1 or label:
        head |= {"exposure.segment_number": number, "exposure.integration_start": first + 1, "exposure.integration_end": first + series.nints}
    place = _room(Path(folder) / name, made, head, exposures.times(setup, series)[first : first + series.nints], first)
    told = Injected()
    with open(Path(folder) / name, "r+b", buffering=0) as file:
        file.seek(place)
        for k in range(first, first + series.nints):
            for frame in integration(made, series, k, k - first, told):
                file.write((frame ^ np.uint16(0x8000)).astype(">u2").tobytes())  # signed, with BZERO = 32768
    return name, told


def _room(path: Path, made: Detector, head: dict[str, Any], when: np.ndarray, first: int) -> int:
    """A file with all its headers and tables, and zeros for frames; returns where these begin."""
    from stdatamodels.jwst import datamodels as dm

    model = dm.Level1bModel((1, made.setup.ngroups, *made.setup.shape))
    return exposures.lay_out(path, model, head, when, first, ("SCI",))["SCI"]


def integration(made: Detector, series: Series, k: int, index: int, told: Injected) -> Iterator[np.ndarray]:
    """The frames of one integration, uint16[y, x] each.

    Parameters
    ----------
    made : Detector
    series : Series
    k : int
        Number of the integration in the series, from 0: with the seed it decides all that is random.
    index : int
        Of the integration in its file.
    told : Injected
        Gets what is injected.
    """
    setup, noise = made.setup, series.noise
    r = np.random.default_rng([series.seed, 12, int("nrs2" in setup.detector), series.exposure, k])
    light = (setup.star * series.light_curve[k] + setup.background).clip(0) * made.lit * made.gain
    mean = (light + made.dark) * setup.group_time
    hits = _hits(made, index, r) if noise else np.zeros(0, HIT)
    told.hits.append(hits)
    charge = KTC * made.gain * r.standard_normal(setup.shape)
    first = np.full(setup.shape, setup.ngroups, np.int16)
    # MIRI: what is linear includes the pedestal
    pedestal, bias = (made.bias, 0.0) if made.miri else (0.0, made.bias)
    for group in range(setup.ngroups):
        charge += mean + noise * (r.poisson(mean) - mean) if noise else mean
        now = hits[hits["group"] == group]
        np.add.at(charge, (now["y"], now["x"]), now["electrons"])
        counts = made.measured(charge / made.gain + pedestal)
        first[(counts >= made.full) & (first == setup.ngroups)] = group
        counts += bias + noise * made.read / made.gain * r.standard_normal(setup.shape)
        if made.miri and group < made.reset.shape[1]:
            counts += made.reset[min(k, 1), group]
        counts += _readout(made, noise, r)
        yield np.rint(counts).clip(0, CEILING).astype(np.uint16)
    told.note(index, first, setup.ngroups)


def _hits(made: Detector, index: int, r: np.random.Generator) -> np.ndarray:
    """Cosmic rays of an integration, in the order of their groups."""
    setup = made.setup
    ny, nx = setup.shape
    count = int(r.poisson(FLUX * ny * nx * setup.ngroups * setup.group_time))
    out = np.zeros(2 * count, HIT)
    out["integration"] = index
    out["group"][:count] = r.integers(0, setup.ngroups, count)
    out["y"][:count], out["x"][:count] = r.integers(0, ny, count), r.integers(0, nx, count)
    out["electrons"][:count] = 400.0 * r.lognormal(0.0, 1.4, count)
    # the second half: the next pixel of some events
    for name in ("group", "y"):
        out[name][count:] = out[name][:count]
    out["x"][count:] = out["x"][:count] + 1
    out["electrons"][count:] = out["electrons"][:count] * r.uniform(0.1, 0.5, count) * (r.random(count) < TAIL)
    out = out[(out["electrons"] > 0) & (out["x"] < nx)]
    out = out[~made.reference[out["y"], out["x"]]]
    return np.asarray(out[np.argsort(out["group"], kind="stable")])


def _readout(made: Detector, noise: float, r: np.random.Generator) -> np.ndarray | float:
    """Drift of the frame, odd and even lines, and 1/f noise of a NIR detector's amplifiers, DN; none where no reference pixel sees it."""
    if not made.has_references:
        return 0.0
    shape = made.setup.shape
    nfast, nslow = (shape if made.fast == 0 else shape[::-1])[:2]
    width = nfast // made.outputs
    out = np.empty((nslow, nfast))
    level = float((made.read / made.gain).mean()) * PINK * noise
    for amplifier in range(made.outputs):
        part = out[:, amplifier * width : (amplifier + 1) * width]
        part[:] = DRIFT * r.standard_normal() + level * _pink(nslow, width, r)
        part[:, 0::2] += ODD_EVEN * r.standard_normal()
        part[:, 1::2] += ODD_EVEN * r.standard_normal()
    return out.T if made.fast == 0 else out


def _pink(nslow: int, width: int, r: np.random.Generator) -> np.ndarray:
    """1/f noise of unit standard deviation in the order in which pixels are read, float64[nslow, width].

    It has no parts slower than two lines of pixels: that is left to the drift of frames, which the reference pixels see.
    """
    power = np.arange(nslow * width // 2 + 1, dtype=float)
    power[: nslow // 2] = np.inf
    spectrum = (r.standard_normal(len(power)) + 1j * r.standard_normal(len(power))) / np.sqrt(power)
    series = np.fft.irfft(spectrum, nslow * width)
    return np.asarray(series / series.std()).reshape(nslow, width)
