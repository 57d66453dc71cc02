"""The mock observatory: transits in time series, and fields of sources through slits, as count rates or as ramps,
with the reference files and CRDS cache to calibrate them.

Everything is made from the seed by our own simplified models of the instruments; nothing is downloaded.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwst_dask.core.errors import ParameterError
from jwst_dask.simulate.ramp_truth import RampTruth, Written, gather
from jwst_dask.simulate.shelf import environment
from jwst_dask.simulate.slit_truth import SlitTruth
from jwst_dask.simulate.truth import Truth

if TYPE_CHECKING:
    from jwst_dask.simulate.detector import Detector
    from jwst_dask.simulate.exposures import Series
    from jwst_dask.simulate.setup import Setup
    from jwst_dask.simulate.shelf import Shelf

__all__ = ["MODES", "SLIT_MODES", "RampTruth", "SlitTruth", "Truth", "environment", "make"]

MODES = ("bots_prism", "bots_grating", "lrs_slitless")
SLIT_MODES = ("mos_prism", "mos_g395m", "fs")
START = 60100.25  # MJD
IN_TRANSIT = 0.4  # share of the series from first to last contact


def make(mode: str, folder: str | os.PathLike[str], *, nsegments: int = 3, nints: int = 30, shape: tuple[int, int] | None = None, seed: int = 0,
         depth: float = 0.02, grating: str | None = None, detectors: tuple[str, ...] = ("NRS1",), rate: bool = False, noise: float = 1.0,
         nsources: int = 8, nextended: int = 2, nbackground: int = 2, nods: int = 3, uncal: bool = False) -> Any:  # fmt: skip
    """Simulate a transit observed in a time-series mode, or a field observed through slits.

    Parameters
    ----------
    mode : str
        ``bots_prism`` (NIRSpec PRISM), ``bots_grating`` (NIRSpec gratings), ``lrs_slitless`` (MIRI LRS); ``mos_prism``, ``mos_g395m``
        (NIRSpec MOS with slitlets of three shutters), ``fs`` (NIRSpec fixed slits, a star in S200A1).
    folder : path
        Gets ``*_rateints.fits`` (or ``*_uncal.fits``) segments and their spec2 and tso3 associations, or ``*_rate.fits`` images of a nod pattern, spec2
        associations and an MSA metafile; further ``truth.npz``, and the CRDS cache ``crds``.
    nsegments, nints : int
        Series: segments, and integrations in each. Memory does not grow with either.
    shape : (int, int)
        Rows and columns; by default the mode's sub-array (MOS: the full frame). Slits need all columns.
    seed : int
        The same seed gives the same files.
    depth : float
        Series: area of the planet over that of the star.
    grating : str
        For ``bots_grating`` (default G395H) and ``fs`` (default G235M).
    detectors : tuple of str
        For NIRSpec gratings, MOS and fixed slits. Two detectors of a series get a tso3 association each, and a joint one; those of MOS share
        the sources.
    rate : bool
        Series: write the mean as a 2-D ``*_rate.fits`` in place of segments.
    noise : float
        Factor on the noise; 0 for none.
    nsources, nextended, nbackground : int
        MOS: slitlets with a point source, with an extended source, and with background only.
    nods : int
        Slits: exposures of the nod pattern (1, 2, 3, 5), along the shutters of the slitlets.
    uncal : bool
        Write ramps (``*_uncal.fits``, see `RampTruth`) and their references; the associations name what stage 1 will make of them.

    Returns
    -------
    Truth or SlitTruth
        What went in, also saved in the folder.

    Raises
    ------
    ParameterError
        For an unknown mode, grating or detector, or sizes that make no series or do not fit on the detector.
    """
    if mode in SLIT_MODES:
        from jwst_dask.simulate import slits

        Path(folder).mkdir(parents=True, exist_ok=True)
        return slits.make(mode, Path(folder), nsources=nsources, nextended=nextended, nbackground=nbackground, nods=nods, detectors=tuple(detectors),
                          grating=grating, shape=shape, seed=seed, noise=noise, uncal=uncal)  # fmt: skip
    grating = grating or "G395H"
    _check(mode, nsegments, nints, depth, grating, detectors, rate and uncal)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    setups, ramps = _setups(mode, folder / "crds", shape, grating, detectors, uncal)
    return _observe(mode, folder, setups, ramps, nsegments, nints, seed, depth, rate, noise)


def _observe(mode: str, folder: Path, setups: list[Setup], ramps: list[Detector], nsegments: int, nints: int, seed: int, depth: float, rate: bool,
             noise: float) -> Truth:  # fmt: skip
    """Write exposures and associations of all detectors, and the truth."""
    import numpy as np

    from jwst_dask.simulate import exposures, scene

    names: list[str] = []
    second: list[str] = []
    third: list[str] = []
    ramped: list[Written] = []
    total = nsegments * nints
    for number, setup in enumerate(setups):
        blank = exposures.Series(START, np.ones(total), nsegments, nints, seed, noise)
        mid = exposures.times(setup, blank)[:, 1]
        length = total * setup.cadence / 86400
        series = dataclasses.replace(blank, light_curve=scene.transit(mid, START + 0.5 * length, IN_TRANSIT * length, depth))
        if ramps:
            new = _ramps(folder, ramps[number], series)
            ramped += new
            written = [one.name for one in new]
        else:
            written = [exposures.rate(folder, setup, series)] if rate else [exposures.segment(folder, setup, series, k + 1) for k in range(nsegments)]
        second += exposures.level2(folder, setup, written)
        third += [] if rate else [exposures.level3(folder, setup, setup.product, written)]
        names += written
    if len(setups) > 1 and not rate:
        third.append(exposures.level3(folder, setup, setup.product.rsplit("-", 1)[0], names))
    truth = Truth(mode, str(folder), mid, series.light_curve, float(depth), setups[0].wavelength, setups[0].flux, np.array(names), np.array(second),
                  np.array(third, dtype=str))  # fmt: skip
    truth.save(**(gather(folder, ramped, series.light_curve).arrays() if ramped else {}))
    return truth


def _ramps(folder: Path, made: Detector, series: Series) -> list[Written]:
    """Write the segments of a series as ramps."""
    from jwst_dask.simulate import ramps

    out = []
    for k in range(series.nsegments):
        name, told = ramps.exposure(folder, made, series, k + 1, f"-seg{k + 1:03d}")
        out.append(Written(name, made, k * series.nints, series.nints, told))
    return out


def _check(mode: str, nsegments: int, nints: int, depth: float, grating: str, detectors: tuple[str, ...], both: bool) -> None:
    from jwst_dask.simulate.optics import GRATINGS

    if mode not in MODES:
        raise ParameterError(f"there is no simulated mode {mode!r}; there are {', '.join((*MODES, *SLIT_MODES))}")
    if nsegments < 1 or nints < 1 or not 0 <= depth < 0.25:
        raise ParameterError(f"nsegments={nsegments}, nints={nints}, depth={depth}: need at least one integration and a depth of 0 to 0.25")
    if mode == "bots_grating" and (grating not in GRATINGS or grating == "PRISM"):
        raise ParameterError(f"grating={grating!r} is not one of {', '.join(name for name in GRATINGS if name != 'PRISM')}")
    if both:
        raise ParameterError("rate and uncal: choose one of them")
    if not detectors or set(detectors) - {"NRS1", "NRS2"}:
        raise ParameterError(f"detectors={detectors!r}: choose from NRS1, NRS2")


def _setups(mode: str, cache: Path, shape: tuple[int, int] | None, grating: str, detectors: tuple[str, ...],
            uncal: bool) -> tuple[list[Setup], list[Detector]]:  # fmt: skip
    """The exposures of a mode and, for ramps, their detectors; writes its reference files and rules."""
    from jwst_dask.simulate.shelf import Shelf

    if mode == "lrs_slitless":
        from jwst_dask.simulate import miri, miri_refs

        try:
            setups = [miri.setup(shape, START)]
        except ValueError as error:
            raise ParameterError(str(error)) from error
        shelf = Shelf(cache, "MIRI")
        miri_refs.make(shelf)
        return setups, _shelve(shelf, setups, uncal)
    from jwst_dask.simulate import nirspec, nirspec_refs

    if mode == "bots_prism":
        grating, detectors = "PRISM", ("NRS1",)
    try:
        setups = [nirspec.setup(grating, detector, shape, START) for detector in detectors]
    except ValueError as error:
        raise ParameterError(str(error)) from error
    shelf = Shelf(cache, "NIRSPEC")
    nirspec_refs.make(shelf, (grating,), detectors)
    return setups, _shelve(shelf, setups, uncal)


def _shelve(shelf: Shelf, setups: list[Setup], uncal: bool) -> list[Detector]:
    """Write the rules of a cache, of ramps also the references of their detectors, which are returned."""
    from jwst_dask.simulate import ramp_refs
    from jwst_dask.simulate.detector import detector
    from jwst_dask.simulate.shelf import write_rules

    made = [detector(setup) for setup in setups] if uncal else []
    for one in made:
        ramp_refs.make(shelf, one)
    write_rules(shelf.cache, shelf.made)
    return made
