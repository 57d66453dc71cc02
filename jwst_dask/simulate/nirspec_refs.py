"""Reference files of the mock NIRSpec bright-object mode, and the response that they describe.

Every function of the response is used twice: to fill a reference file, and to make the light that the pipeline must undo.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.simulate import optics, scene
from jwst_dask.simulate.shelf import Shelf

EXP_TYPE = "NRS_BRIGHTOBJ"
APERTURE = "S1600A1"
PIXEL_ARCSEC = 0.1
PHOTMJ = {"PRISM": 6.0e-13, "M": 1.5e-11, "H": 4.0e-11}  # MJy per DN/s
LOSS = (59750.0, 0.004)  # start (MJD) and loss of throughput per year
TABLE = np.linspace(0.5, 5.7, 1301)  # um, of the fast variations
D_PLANES = (0.5, 5.7)
STRIP = slice(900, 1148)  # rows of the full frame whose pixels differ; the sub-arrays lie inside
NO_FLAT = 1 | 2**18  # DO_NOT_USE, NO_FLAT_FIELD
EXTRACT_WIDTH = 8


def span(grating: str) -> tuple[float, float]:
    """Wavelength range (um) of a grating with its filter."""
    return optics.RANGES[optics.filter_of(grating), grating]


def photmj(grating: str) -> float:
    """MJy per DN/s at relative response 1."""
    return PHOTMJ["PRISM" if grating == "PRISM" else grating[-1]]


def response(grating: str, wavelength: np.ndarray) -> np.ndarray:
    """Relative conversion factor at `wavelength` (um): smooth, larger where the instrument is less sensitive."""
    lo, hi = span(grating)
    x = (np.asarray(wavelength) - lo) / (hi - lo)
    r = 0.9 + 1.0 * (x - 0.45) ** 2 + 0.03 * np.sin(7 * x)
    return np.asarray(r * (0.7 + 0.9 * np.exp(-(((np.asarray(wavelength) - 1.1) / 0.8) ** 2)) if grating == "PRISM" else r))


def conversion(grating: str, wavelength: np.ndarray, mjd: float) -> np.ndarray:
    """MJy per DN/s on a date."""
    lo, hi = span(grating)
    grid = np.linspace(lo - 0.1, hi + 0.1, 200)
    return np.asarray(photmj(grating) * np.interp(wavelength, grid, response(grating, grid)) / (1 - LOSS[1] * (mjd - LOSS[0]) / 365.0))


def fast(kind: str, wavelength: np.ndarray) -> np.ndarray:
    """Variation with wavelength of the F, S and D flats."""
    amplitude, period, level = {"f": (0.05, 1.9, 0.88), "s": (0.03, 2.7, 1.0), "d": (0.01, 1.3, 1.0)}[kind]
    w = np.asarray(wavelength)
    return np.asarray(level * (1 + amplitude * np.sin(2 * np.pi * w / period) + 0.2 * amplitude * np.sin(2 * np.pi * w / 0.31)))


def plane(kind: str, detector: str, which: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixel flat and its flags: float32[2048, 2048], uint32[2048, 2048]."""
    r = np.random.default_rng([ord(kind), int(detector[-1]), 11])
    shape = (STRIP.stop - STRIP.start, optics.NPIX)
    noise = r.standard_normal(shape, dtype=np.float32) * (0.010 if kind == "d" else 0.006)
    bad = r.random(shape, dtype=np.float32) < 0.0008
    nan = r.random(shape, dtype=np.float32) < 0.0001
    x = np.arange(optics.NPIX, dtype=np.float32)
    data = np.ones((optics.NPIX, optics.NPIX), np.float32)
    data[STRIP] = 1 + 0.02 * np.sin(x / 210 + which) + noise * (1 - 0.4 * which)
    data[STRIP][nan] = np.nan
    flags = np.zeros(data.shape, np.uint32)
    flags[STRIP][bad] = NO_FLAT
    return data, flags


def flat(detector: str, wavelength: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """What a slit's light is multiplied by on each pixel of a window of the full frame (1 where a flat says nothing)."""
    w = np.nan_to_num(wavelength, nan=2.0)
    share = (w - D_PLANES[0]) / (D_PLANES[1] - D_PLANES[0])
    first, second = (plane("d", detector, k)[0][rows, columns] for k in (0, 1))
    pixel = ((1 - share) * first + share * second) * plane("s", detector)[0][rows, columns]
    total = pixel * np.interp(w, TABLE, fast("f", TABLE)) * np.interp(w, TABLE, fast("s", TABLE)) * np.interp(w, TABLE, fast("d", TABLE))
    return np.where(np.isfinite(total), total, 1.0)


def shift(position: float, wavelength: np.ndarray) -> np.ndarray:
    """Displacement (pixels along the dispersion) of light from a source off the middle of the slit; `wavelength` in m."""
    return np.asarray(0.5 * optics.SLIT_ARCSEC / PIXEL_ARCSEC * np.tanh(2.0 * position) * (1 - 2e4 * np.asarray(wavelength)))


def make(shelf: Shelf, gratings: tuple[str, ...], detectors: tuple[str, ...]) -> None:
    """Write every reference that the bright-object mode looks up."""
    row = [("NO", "i4"), ("XC", "f4"), ("YC", "f4"), ("SIZEX", "f4"), ("SIZEY", "f4")]
    slits = np.array([(k + 1, optics.SLIT[0], optics.SLIT[1] + (k - 3) * 1.4e-3, *optics.SLIT[2:]) for k in range(5)], dtype=row)
    plane = optics.train()["q5"]
    quadrants = {f"Q{q}": {"data": np.array([(1, 0.0, 0.0, 7.8e-5, 1.78e-4)], dtype=row), "model": plane} for q in (1, 2, 3, 4)}
    write_optics(shelf, gratings, BASE, quadrants | {"Q5": {"data": slits, "model": plane}})
    _wavecorr(shelf)
    for detector in detectors:
        _flats(shelf, detector, gratings)
    _photom(shelf, gratings)
    _extraction(shelf, gratings)


BASE = {"META.EXPOSURE.TYPE": EXP_TYPE}


def write_optics(shelf: Shelf, gratings: tuple[str, ...], base: dict[str, str], msa: dict[str, Any]) -> None:
    """Write the references of the optical train, for an exposure type and the apertures `msa` (quadrants Q1 to Q5)."""
    parts = optics.train()
    shelf.tree("camera", "camera of the mock spectrograph", "CameraModel", {"model": parts["camera"]}, base)
    shelf.tree("collimator", "collimator of the mock spectrograph", "CollimatorModel", {"model": parts["collimator"]}, base)
    shelf.tree("ote", "telescope to V2, V3", "OTEModel", {"model": parts["ote"]}, base, output_units="arcsec")
    shelf.tree("fpa", "detectors", "FPAModel", {"nrs1_model": parts["nrs1"], "nrs2_model": parts["nrs2"]}, base)
    shelf.tree("msa", "apertures", "MSAModel", msa, base, storage="internal")
    for name in dict.fromkeys(optics.filter_of(grating) for grating in gratings):
        shelf.tree("fore", f"fore optics {name}", "FOREModel", {"model": parts["fore"]}, base | {"META.INSTRUMENT.FILTER": name})
    _dispersers(shelf, gratings, base)


def _dispersers(shelf: Shelf, gratings: tuple[str, ...], base: dict[str, str]) -> None:
    from astropy.modeling import models as m

    for grating in gratings:
        x, y, z, tilt = optics.wheel(grating)
        tree: dict[str, Any] = {"theta_x": x, "theta_y": y, "theta_z": z, "tilt_x": 0.0, "tilt_y": tilt}
        for name, zero in zip(("gwa_tiltx", "gwa_tilty"), optics.TILT_READING):
            tree[name] = {"temperatures": [37.5], "tilt_model": m.Polynomial1D(1, c0=0.0, c1=optics.TILT_SCALE), "unit": "arcsec", "zeroreadings": [zero]}
        if grating == "PRISM":
            tree |= {"angle": optics.PRISM_ANGLE, "kcoef": list(optics.CAF2[0]), "lcoef": list(optics.CAF2[1]), "tcoef": [0.0] * 6,
                     "tref": 35.0, "pref": 0.0, "wbound": [4e-7, 7e-6]}  # fmt: skip
        else:
            tree["groovedensity"] = optics.groove_density(grating)
        shelf.tree("disperser", f"disperser {grating}", "DisperserModel", tree, base | {"META.INSTRUMENT.GRATING": grating})
    names, ranges = zip(*optics.RANGES.items())
    ranges_tree = {"waverange_selector": ["_".join(pair) for pair in names], "wavelengthrange": [[lo * 1e-6, hi * 1e-6] for lo, hi in ranges],
            "order": [-1] * len(names)}  # fmt: skip
    shelf.tree("wavelengthrange", "wavelength ranges", "WavelengthrangeModel", ranges_tree, base, wavelength_units="m")


def _wavecorr(shelf: Shelf) -> None:
    from astropy.modeling import models as m
    from stdatamodels.jwst import datamodels as dm

    wavelength, position = np.linspace(0.5e-6, 5.7e-6, 27), np.linspace(-0.5, 0.5, 21)
    lookup = np.stack([shift(p, wavelength) for p in position], axis=1)
    table = m.Tabular2D(points=(wavelength, position), lookup_table=lookup, bounds_error=False, fill_value=None, name="zero_point")
    model = dm.WaveCorrModel()
    model.apertures = [{"aperture_name": APERTURE, "variance": np.full(lookup.shape, 1e-4, "f4"), "zero_point_offset": table, "width": optics.SLIT[2]}]
    tree = {"apertures": [dict(item.instance) if hasattr(item, "instance") else dict(item) for item in model.apertures]}
    shelf.tree("wavecorr", "zero points of wavelength", "WaveCorrModel", tree, BASE)


def _table(kind: str) -> np.ndarray:
    n = len(TABLE)
    table = np.zeros(1, [("slit_name", "S15"), ("nelem", "i4"), ("wavelength", "f4", (n,)), ("data", "f4", (n,)), ("error", "f4", (n,))])
    table[0] = ("ANY" if kind != "f" else APERTURE, n, TABLE, fast(kind, TABLE), 0.003 * fast(kind, TABLE))
    return table


def framed(model: Any) -> Any:
    """A flat that says that it is of the whole detector."""
    area = model.meta.subarray
    area.name, area.xstart, area.ystart, area.xsize, area.ysize, area.fastaxis, area.slowaxis = "GENERIC", 1, 1, 2048, 2048, 2, 1
    return model


def _flats(shelf: Shelf, detector: str, gratings: tuple[str, ...]) -> None:
    from stdatamodels.jwst import datamodels as dm

    (first, flags), (second, _) = plane("d", detector, 0), plane("d", detector, 1)
    model = dm.NirspecFlatModel(data=np.stack([first, second]), dq=flags, err=np.full(first.shape, 0.004, "f4"))
    model.wavelength = np.array([(w,) for w in D_PLANES], dtype=[("wavelength", "f4")])
    model.flat_table = _table("d")
    shelf.model("dflat", f"D-flat {detector}", framed(model), {"META.INSTRUMENT.DETECTOR": detector})
    for grating in gratings:
        light = {"META.INSTRUMENT.FILTER": optics.filter_of(grating), "META.INSTRUMENT.GRATING": grating} | BASE
        data, flags = plane("s", detector)
        model = dm.NirspecFlatModel(data=data, dq=flags, err=np.full(data.shape, 0.003, "f4"))
        model.flat_table = _table("s")
        shelf.model("sflat", f"S-flat {detector} {grating}", framed(model), {"META.INSTRUMENT.DETECTOR": detector} | light)
        if detector == "NRS1" or not any(ref.reftype == "fflat" for ref in shelf.made):
            model = dm.NirspecFlatModel()
            model.flat_table = _table("f")
            shelf.model("fflat", f"F-flat {grating}", model, light)


def _photom(shelf: Shelf, gratings: tuple[str, ...]) -> None:
    from stdatamodels.jwst import datamodels as dm

    n = 200
    columns = [("filter", "S12"), ("grating", "S15"), ("slit", "S15"), ("photmj", "f4"), ("uncertainty", "f4"), ("nelem", "i2"),
               ("wavelength", "f4", (n,)), ("relresponse", "f4", (n,)), ("reluncertainty", "f4", (n,))]  # fmt: skip
    rows = []
    for grating in gratings:
        lo, hi = span(grating)
        grid = np.linspace(lo - 0.1, hi + 0.1, n)
        level = photmj(grating)
        rows.append((optics.filter_of(grating), grating, APERTURE, level, 0.02 * level, n, grid, response(grating, grid), 0.01 * np.ones(n)))
    model = dm.NrsFsPhotomModel(phot_table=np.array(rows, dtype=columns))
    model.timecoeff_linear = np.array([(*row[:3], *LOSS) for row in rows], dtype=[*columns[:3], ("t0", "f4"), ("lossperyear", "f4")])
    shelf.model("photom", "flux calibration", model, BASE)
    area = np.array([(APERTURE, optics.SLIT_ARCSEC * PIXEL_ARCSEC)], dtype=[("slit_id", "S15"), ("pixarea", "f4")])
    shelf.model("area", "pixel areas", dm.NirspecSlitAreaModel(area_table=area), BASE)


def _extraction(shelf: Shelf, gratings: tuple[str, ...]) -> None:
    from stdatamodels.jwst import datamodels as dm

    aperture = {"id": APERTURE, "region_type": "target", "dispaxis": 1, "extract_width": EXTRACT_WIDTH}
    shelf.text("extract1d", "extraction aperture", {"apertures": [aperture]}, BASE)
    wavelength, sizes, phases = np.linspace(0.5, 5.7, 105), np.array([2.0, 4.0, 6.0, 8.0, 12.0, 16.0]), np.array([0.0, 0.25, 0.5])
    nw, ns, nph = len(wavelength), len(sizes), len(phases)
    size = np.repeat(sizes[:, None], nw, axis=1)
    factor = 1 / scene.strip(np.zeros(1), size * PIXEL_ARCSEC, scene.sigma(wavelength)[None])
    cube = np.repeat(factor[..., None], nph, axis=2)
    columns = [("filter", "S12"), ("grating", "S15"), ("slit", "S15"), ("wavelength", "f4", (nw,)), ("nelem_wl", "i2"), ("size", "f4", (ns, nw)),
               ("nelem_size", "i2"), ("pixphase", "f4", (nph,)), ("apcorr", "f4", (ns, nw, nph)), ("apcorr_err", "f4", (ns, nw, nph))]  # fmt: skip
    rows = [(optics.filter_of(g), g, APERTURE, wavelength, nw, size, ns, phases, cube, 1e-3 * cube) for g in gratings]
    model = dm.NrsFsApcorrModel(apcorr_table=np.array(rows, dtype=columns))
    model.sizeunit = "pixels"
    shelf.model("apcorr", "aperture correction", model, BASE)
    step, reach = 5, 18
    wave = np.linspace(0.5, 5.7, 160)
    offset = np.arange(-reach * step, reach * step + 1) / step
    profile = scene.strip(offset[:, None] * PIXEL_ARCSEC, PIXEL_ARCSEC, scene.sigma(wave)[None])
    model = dm.SpecPsfModel()
    model.apertures.append({"name": APERTURE, "subpix": float(step), "center_col": 0.0, "center_row": float(reach * step), "data": profile, "wave": wave})
    shelf.model("psf", "cross-dispersion profile", model, BASE)
