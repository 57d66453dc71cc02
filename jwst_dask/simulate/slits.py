"""The mock NIRSpec with many slits: exposures of a nod pattern with MOS slitlets or fixed slits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jwst_dask.core.errors import ParameterError
from jwst_dask.simulate import exposures, nirspec_refs, optics, ramp_refs, ramps, shutters, slit_refs, slit_scene
from jwst_dask.simulate.detector import detector as detector_of
from jwst_dask.simulate.exposures import Series
from jwst_dask.simulate.ramp_truth import Written, gather
from jwst_dask.simulate.setup import Setup, common_header
from jwst_dask.simulate.shelf import Shelf, write_rules
from jwst_dask.simulate.shutters import FIXED, Opening, Target
from jwst_dask.simulate.slit_response import Response
from jwst_dask.simulate.slit_scene import Source
from jwst_dask.simulate.slit_truth import SlitTruth

MODES = {"mos_prism": "PRISM", "mos_g395m": "G395M", "fs": "G235M"}
PROGRAM = {"NRS_MSASPEC": "09903", "NRS_FIXEDSLIT": "09904"}
NODS = {1: (0,), 2: (-1, 1), 3: (0, 1, -1), 5: (0, 1, -1, 2, -2)}
FIXED_NOD = 0.3  # of the slit's height
PRIMARY = "S200A1"
SUBARRAY = (869, 1125)  # rows with all fixed slits
TARGET, ROLL, ANGLE = (189.2283, 62.2387), 110.0, 138.58
GROUP_TIME, GROUPS, SLEW = 72.945, 16, 90.0
RAPID = 10.73676  # seconds of a full frame read by four amplifiers
GAIN = {"NRS1": 1.0, "NRS2": 1.14}
START = 60100.25  # MJD


@dataclass(frozen=True)
class Scene:
    """Everything that an exposure of a mode needs.

    Attributes
    ----------
    exp_type, grating : str
    slits : list of (Opening, Source or None)
    heights : list of float
        Place of the sources at each nod, open heights from the middle shutter, less the source's own.
    failed : list of Opening
        Shutters that do not close.
    rows : (int, int)
        Rows that are read out.
    metafile : str
    """

    exp_type: str
    grating: str
    slits: list[tuple[Opening, Source | None]]
    heights: list[float]
    failed: list[Opening]
    rows: tuple[int, int]
    grid: np.ndarray
    metafile: str = ""


def make(mode: str, folder: Path, *, nsources: int, nextended: int, nbackground: int, nods: int, detectors: tuple[str, ...], grating: str | None,
         shape: tuple[int, int] | None, seed: int, noise: float, uncal: bool = False) -> SlitTruth:  # fmt: skip
    """See `jwst_dask.simulate.make`."""
    grating = grating or MODES[mode]
    if not detectors or set(detectors) - set(GAIN):
        raise ParameterError(f"detectors={detectors!r}: choose from {', '.join(GAIN)}")
    if nods not in NODS:
        raise ParameterError(f"nods={nods}: choose from {', '.join(map(str, NODS))}")
    if grating not in optics.GRATINGS or (mode != "fs" and grating != MODES[mode]):
        raise ParameterError(f"grating={grating!r} cannot be chosen for {mode}")
    if min(nsources, nextended, nbackground) < 0 or nsources + nextended + nbackground < 1:
        raise ParameterError(f"nsources={nsources}, nextended={nextended}, nbackground={nbackground}: need at least one slitlet")
    r = np.random.default_rng([seed, 31])
    grid = np.linspace(*nirspec_refs.span(grating), 4000)
    found = _fixed(grating, grid, nods, shape, r) if mode == "fs" else _msa(grating, grid, (nsources, nextended, nbackground), nods, detectors, shape, r)
    shelf = Shelf(folder / "crds", "NIRSPEC")
    slit_refs.make(shelf, found.exp_type, grating, detectors, found.rows, found.failed)
    reference = shutters.on_sky(*(FIXED[PRIMARY][:2] if mode == "fs" else (0.0, 0.0)))[:, 0]
    pitch = FIXED[PRIMARY][3] if mode == "fs" else shutters.OPEN[1]
    pointings = shutters.pointings((reference[0], reference[1]), [h * pitch for h in found.heights], TARGET, ROLL)
    if found.metafile:
        _metafile(folder, found, NODS[nods], (reference[0], reference[1]))
    truth, written = _observe(mode, folder, found, detectors, reference, pointings, seed, noise, uncal)
    for made in {one.made.setup.detector: one.made for one in written}.values():
        ramp_refs.make(shelf, made)
    write_rules(folder / "crds", shelf.made)
    truth.save(**(gather(folder, written, np.ones(1)).arrays() if written else {}))
    return truth


def _msa(grating: str, grid: np.ndarray, counts: tuple[int, int, int], nods: int, detectors: tuple[str, ...], shape: tuple[int, int] | None,
         r: np.random.Generator) -> Scene:  # fmt: skip
    nsources, nextended, nbackground = counts
    count = max(3, nods)
    numbers = range(-(count // 2), count // 2 + 1)
    rows = _rows(shape, (0, optics.NPIX), 450)
    openings = slit_scene.place(sum(counts) + 1, numbers, grating, detectors, rows, r)  # the last is a shutter that does not close
    slits: list[tuple[Opening, Source | None]] = []
    kinds = ["point"] * nsources + ["extended"] * nextended + ["background"] * nbackground
    for number, (opening, kind) in enumerate(zip(openings, r.permutation(kinds)), 1):
        x, y = r.uniform(-0.3, 0.3, 2)
        flux = slit_scene.spectrum(grid, slit_scene.level(grating, kind == "extended", r), r, grating)
        size = slit_scene.SPREAD if kind == "extended" else 0.0
        slits.append((opening, None if kind == "background" else Source(1000 + 7 * number, round(float(x), 4), round(float(y), 4), flux, size)))
    heights = [nod * shutters.STEP for nod in NODS[nods]]
    return Scene("NRS_MSASPEC", grating, slits, heights, [openings[-1]], rows, grid, f"jw{PROGRAM['NRS_MSASPEC']}001001_01_msa.fits")


def _fixed(grating: str, grid: np.ndarray, nods: int, shape: tuple[int, int] | None, r: np.random.Generator) -> Scene:
    flux = slit_scene.spectrum(grid, 3 * slit_scene.level(grating, False, r), r, grating)
    star = Source(1, round(float(r.uniform(-0.15, 0.15)), 4), 0.0, flux)
    slits = [(Opening(name, slit), star if name == PRIMARY else None) for name, slit in FIXED.items()]
    heights = [FIXED_NOD * nod / max(1, *NODS[nods]) for nod in NODS[nods]]
    return Scene("NRS_FIXEDSLIT", grating, slits, heights, [], _rows(shape, SUBARRAY, sum(SUBARRAY) // 2), grid)


def _rows(shape: tuple[int, int] | None, default: tuple[int, int], middle: int) -> tuple[int, int]:
    """Rows that are read out."""
    if shape is None:
        return default
    if shape[1] != optics.NPIX or not 40 <= shape[0] <= optics.NPIX:
        raise ParameterError(f"shape={shape}: many slits need all 2048 columns, and 40 to 2048 rows")
    first = int(np.clip(middle - shape[0] // 2, 0, optics.NPIX - shape[0]))
    return first, first + shape[0]


def _metafile(folder: Path, found: Scene, nods: Sequence[int], reference: tuple[float, float]) -> None:
    from jwst_dask.wcs.sky import v23_to_sky

    to_sky = v23_to_sky(*reference, ROLL, *TARGET)
    known: list[tuple[Opening, Target | None]] = []
    for opening, source in found.slits:
        target = None
        if source is not None:
            at = shutters.on_sky(opening.slit[0] + source.x * opening.slit[2], opening.slit[1] + source.y * opening.slit[3])
            ra, dec = (float(np.squeeze(a)) for a in to_sky(*at))
            target = Target(source.number, source.x, source.y, ra, dec, 0.1 if source.size else 0.95)
        known.append((opening, target))
    shutters.write_metafile(folder / found.metafile, PROGRAM[found.exp_type], known, nods)


def _observe(mode: str, folder: Path, found: Scene, detectors: tuple[str, ...], reference: np.ndarray, pointings: list[tuple[float, float]],
             seed: int, noise: float, uncal: bool) -> tuple[SlitTruth, list[Written]]:  # fmt: skip
    """Write exposures and associations; of ramps also returns what is in them."""
    written: list[Written] = []
    names: dict[str, list[str]] = {detector: [] for detector in detectors}
    length = GROUP_TIME * (GROUPS + 1) + SLEW
    for detector in detectors:
        answer = Response(found.grating, detector, found.rows)
        lit = [*found.slits, *((opening, None) for opening in found.failed)]
        spots = [(opening, source, slit_scene.footprint(detector, found.grating, opening)) for opening, source in lit]
        for n, (height, sky) in enumerate(zip(found.heights, pointings), 1):
            mjd = START + (n - 1) * length / 86400
            frame = np.zeros((optics.NPIX, optics.NPIX))
            for opening, source, spot in spots:
                if spot is not None:
                    at = height + source.y if source is not None else 0.0
                    frame[spot.window] += slit_scene.light(spot, answer, opening, found.grid, source, at, mjd + GROUP_TIME * GROUPS / 172800)
            setup = _setup(found, detector, frame[slice(*found.rows)], n, reference, sky)
            if uncal:
                written.append(_ramp(folder, setup, Series(mjd, np.ones(1), 1, 1, seed, noise, exposure=n), written))
                names[detector].append(written[-1].name)
            else:
                names[detector].append(exposures.image(folder, setup, mjd, n, seed, noise))
    level2, master = _associations(folder, found, names)
    with_source = [(opening, source) for opening, source in found.slits if source is not None]
    sources = [source for _, source in with_source]
    truth = SlitTruth(
        mode, str(folder), found.grid, slit_scene.sky(found.grid), np.array([s.number for s in sources], int),
        np.array([opening.name for opening, _ in with_source], "U8"), np.array([s.size > 0 for s in sources], bool),
        np.array([s.flux for s in sources]).reshape(len(sources), len(found.grid)), np.array([s.size for s in sources]),
        np.array([s.x for s in sources]), np.array([s.y for s in sources]),
        np.array([opening.name for opening, source in found.slits if source is None], "U8"),
        np.array([name for part in names.values() for name in part]), np.array(level2), np.array(master, dtype=str), found.metafile,
    )  # fmt: skip
    return truth, written


def _ramp(folder: Path, setup: Setup, series: Series, before: list[Written]) -> Written:
    """Write an exposure as a ramp of single frames; its detector is that of exposures before."""
    full = setup.shape == (optics.NPIX, optics.NPIX)
    frame = RAPID if full else 0.00001 * (setup.shape[0] + 12) * setup.shape[1]
    header = setup.header | {"exposure.readpatt": "NRSRAPID", "exposure.noutputs": 4 if full else 1}
    setup = replace(setup, header=header, group_time=frame, integration_time=frame * GROUPS, cadence=frame * (GROUPS + 1))
    same = [one.made for one in before if one.made.setup.detector == setup.detector]
    made = replace(same[0], setup=setup) if same else detector_of(setup)
    name, told = ramps.exposure(folder, made, series)
    return Written(name, made, 0, 1, told)


def _associations(folder: Path, found: Scene, names: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    rule = "Asn_Lv2NRSMSA" if found.metafile else "Asn_Lv2NRSFSS"
    level2, master = [], []
    for part in names.values():
        part = [name.replace("_uncal", "_rate") for name in part]
        for name in part:
            product = name.removesuffix("_rate.fits")
            level2.append(exposures.spec2(folder, rule, PROGRAM[found.exp_type], product, name, [other for other in part if other != name]))
        if found.metafile:
            master.append(exposures.spec2(folder, rule, PROGRAM[found.exp_type], part[0].removesuffix("_rate.fits") + "_mbkg", part[0], []))
    return level2, master


def _setup(found: Scene, detector: str, light: np.ndarray, n: int, reference: np.ndarray, sky: tuple[float, float]) -> Setup:
    """An exposure before noise."""
    msa, program, rows = bool(found.metafile), PROGRAM[found.exp_type], found.rows
    aperture = "NRS_FULL_MSA" if msa else f"NRS_{PRIMARY}_SLIT"
    head = common_header("NIRSPEC", detector, found.exp_type, program, TARGET, ROLL, (float(reference[0]), float(reference[1]), ANGLE), aperture,
                         slit_scene.VELOCITY)  # fmt: skip
    full = rows == (0, optics.NPIX)
    offset = (0.0, found.heights[n - 1] * shutters.OPEN[1] * shutters.ARCSEC) if msa else _ideal(found, reference, found.heights[n - 1])
    count = len(found.heights)
    head |= {
        "wcsinfo.ra_ref": sky[0], "wcsinfo.dec_ref": sky[1], "wcsinfo.crval1": sky[0], "wcsinfo.crval2": sky[1], "visit.tsovisit": False,
        "observation.visit_group": "03", "observation.exposure_number": f"{n:05d}", "observation.obs_id": f"V{program}001001P0000000003101",
        "target.catalog_name": "MOCK-FIELD", "target.proposer_name": "mock field", "target.source_type_apt": "UNKNOWN" if msa else "POINT",
        "instrument.filter": optics.filter_of(found.grating), "instrument.grating": found.grating, "instrument.lamp_state": "NONE",
        "instrument.fixed_slit": "NONE" if msa else PRIMARY, "instrument.lamp_mode": "NONE",
        "instrument.gwa_xtilt": optics.TILT_READING[0] + optics.TILT_OFFSET[0], "instrument.gwa_ytilt": optics.TILT_READING[1] + optics.TILT_OFFSET[1],
        "instrument.gwa_tilt": optics.TEMPERATURE, "instrument.focus_position": 1.2, "exposure.readpatt": "NRSIRS2", "exposure.drop_frames1": 0,
        "subarray.name": "FULL" if full else "GENERIC" if msa else "ALLSLITS", "subarray.xstart": 1, "subarray.ystart": rows[0] + 1,
        "subarray.xsize": optics.NPIX, "subarray.ysize": rows[1] - rows[0], "subarray.fastaxis": 2, "subarray.slowaxis": 1,
        "dither.x_offset": offset[0], "dither.y_offset": offset[1], "dither.position_number": n, "dither.total_points": count,
        "dither.primary_points": count, "dither.primary_type": "NONE" if msa or count == 1 else f"{count}-POINT-NOD",
        "dither.nod_type": "NONE" if count == 1 else f"{count}-SHUTTER-SLITLET" if msa else "3-POINT-NOD" if count == 3 else "NONE",
        "cal_step.superbias": "COMPLETE",
    }  # fmt: skip
    if msa:
        head |= {"instrument.msa_state": "CONFIGURED", "instrument.msa_metadata_file": found.metafile, "instrument.msa_metadata_id": 1}
    time = GROUP_TIME * GROUPS
    return Setup(
        stem=f"jw{program}001001_03101_{n:05d}", detector=detector.lower(), product="", program=program, star=light,
        background=np.zeros_like(light), integration_time=time, group_time=GROUP_TIME, ngroups=GROUPS, cadence=time + GROUP_TIME,
        gain=GAIN[detector], read_noise=9.0, header=head, rule2="", wavelength=found.grid, flux=np.zeros_like(found.grid),
    )  # fmt: skip


def _ideal(found: Scene, reference: np.ndarray, height: float) -> tuple[float, float]:
    """Offset (arcsec, ideal coordinates) of the star in its fixed slit from the slit's centre."""
    from stdatamodels.jwst.transforms.models import V2V3ToIdeal

    slit, source = next((opening.slit, source) for opening, source in found.slits if source is not None)
    v2, v3 = shutters.on_sky(slit[0] + source.x * slit[2], slit[1] + (source.y + height) * slit[3])
    x, y = V2V3ToIdeal(ANGLE, float(reference[0]), float(reference[1]), -1)(v2, v3)
    return float(np.squeeze(x)), float(np.squeeze(y))
