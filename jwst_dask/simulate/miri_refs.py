"""Reference files of the mock MIRI low-resolution spectrometer without slit, and the response that they describe."""

from __future__ import annotations

import numpy as np

from jwst_dask.simulate import scene
from jwst_dask.simulate.shelf import Shelf

EXP_TYPE = "MIR_LRS-SLITLESS"
SUBARRAY = ("SLITLESSPRISM", 1, 529, 72, 416)  # name, first column and row, columns, rows
PIXEL_ARCSEC = 0.11
AREA_SR = (PIXEL_ARCSEC / 206264.80625) ** 2
ZERO = (37.5, 828.0)  # where undispersed light of the target would be, full-frame pixels from 0
REFERENCE_POINT = (-378.60, -344.75, 4.835)  # V2, V3 (arcsec) and angle (degrees) of the aperture
TRACE = (94, -293)  # rows of the spectrum relative to ZERO, blue to red
SPAN = (4.4, 14.0)  # um at those rows
PHOTMJSR = 40.0  # MJy/sr per DN/s
FADING = (59700.0, 0.97, 20.0, -0.012)  # start (MJD), throughput after a year, softening (days), exponent
REFERENCE_COLUMNS = 4
NO_FLAT = 1 | 2**18  # DO_NOT_USE, NO_FLAT_FIELD
APERTURE = (31, 43)  # columns of the extraction, inclusive
BACKGROUND = (11.5, 25.5, 49.5, 63.5)
BASE = {"META.EXPOSURE.TYPE": EXP_TYPE}


def wavelength(row: np.ndarray) -> np.ndarray:
    """um at rows relative to ZERO: the square is linear, so dispersion grows towards the red, as a prism's does."""
    share = (TRACE[0] - np.asarray(row, float)) / (TRACE[0] - TRACE[1])
    return np.asarray(np.sqrt(SPAN[0] ** 2 + share * (SPAN[1] ** 2 - SPAN[0] ** 2)))


def bend(row: np.ndarray) -> np.ndarray:
    """Columns by which the trace leans."""
    return np.asarray(0.1 + 0.0035 * (np.asarray(row, float) - TRACE[0]))


def response(w: np.ndarray) -> np.ndarray:
    """Relative conversion factor at `w` (um)."""
    return np.asarray(0.7 + 0.012 * (np.asarray(w) - 7.0) ** 2 + 0.02 * np.sin(1.3 * np.asarray(w)))


def conversion(w: np.ndarray, mjd: float) -> np.ndarray:
    """MJy per DN/s and pixel on a date."""
    start, year, soft, power = FADING
    throughput = year * ((mjd - start + soft) / (365.0 + soft)) ** power
    return np.asarray(PHOTMJSR * response(w) / throughput * AREA_SR)


def flat() -> tuple[np.ndarray, np.ndarray]:
    """Pixel flat of the sub-array and its flags: float32[416, 72], uint32[416, 72]."""
    r = np.random.default_rng(41)
    shape = SUBARRAY[4], SUBARRAY[3]
    y, x = np.indices(shape)
    data = (1 + 0.02 * np.sin(y / 40 + x / 25) + 0.008 * r.standard_normal(shape)).astype("f4")
    flags = np.where(r.random(shape) < 0.001, NO_FLAT, 0).astype(np.uint32)
    return data, flags


def make(shelf: Shelf) -> None:
    """Write every reference that the slitless mode looks up."""
    _geometry(shelf)
    _flat(shelf)
    _photom(shelf)
    _extraction(shelf)


def _geometry(shelf: Shelf) -> None:
    from astropy.modeling import models as m
    from stdatamodels.jwst import datamodels as dm

    v2, v3, angle = REFERENCE_POINT
    c, s = (PIXEL_ARCSEC * f(np.deg2rad(angle)) for f in (np.cos, np.sin))
    model = m.Shift(-ZERO[0]) & m.Shift(-ZERO[1]) | m.AffineTransformation2D(np.array([[-c, s], [s, c]])) | m.Shift(v2) & m.Shift(v3)
    keys = {"META.INSTRUMENT.DETECTOR": "MIRIMAGE"} | BASE
    shelf.tree("distortion", "imager pixels to V2, V3", "DistortionModel", {"model": model}, keys, input_units="pixel", output_units="arcsec")
    rows = np.arange(TRACE[0], TRACE[1] - 1, -1.0)
    table = np.zeros(len(rows), [(name, "f8") for name in ("x_center", "y_center", "wavelength", "x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3")])
    table["x_center"], table["y_center"], table["wavelength"] = bend(rows), rows, wavelength(rows)
    for k, (dx, dy) in enumerate(((-20, 0.5), (20, 0.5), (20, -0.5), (-20, -0.5))):
        table[f"x{k}"], table[f"y{k}"] = bend(rows) + dx, rows + dy
    specwcs = dm.MiriLRSSpecwcsModel(wavetable=table)
    specwcs.meta.x_ref, specwcs.meta.y_ref, specwcs.meta.x_ref_slitless, specwcs.meta.y_ref_slitless = 326.1, 300.7, ZERO[0] + 1, ZERO[1] + 1
    shelf.model("specwcs", "trace and wavelengths", specwcs, {"META.INSTRUMENT.DETECTOR": "MIRIMAGE", "META.SUBARRAY.NAME": SUBARRAY[0]} | BASE)


def _flat(shelf: Shelf) -> None:
    from stdatamodels.jwst import datamodels as dm

    data, flags = flat()
    model = dm.FlatModel(data=data, dq=flags, err=np.full(data.shape, 0.004, "f4"))
    model.dq_def = np.array([(0, 1, "DO_NOT_USE", "bad pixel"), (18, 2**18, "NO_FLAT_FIELD", "no flat")], dtype=model.get_dtype("dq_def"))
    area = model.meta.subarray
    area.name, area.xstart, area.ystart, area.xsize, area.ysize = SUBARRAY
    area.fastaxis, area.slowaxis = 1, 2
    keys = {"META.INSTRUMENT.DETECTOR": "MIRIMAGE", "META.INSTRUMENT.FILTER": "P750L", "META.SUBARRAY.NAME": SUBARRAY[0]} | BASE
    shelf.model("flat", "pixel flat", model, keys)


def _photom(shelf: Shelf) -> None:
    from stdatamodels.jwst import datamodels as dm

    n = 400
    grid = np.linspace(SPAN[0] - 0.2, SPAN[1] + 0.2, n)
    columns = [("filter", "S12"), ("subarray", "S17"), ("photmjsr", "f4"), ("uncertainty", "f4"), ("nelem", "i2"), ("wavelength", "f4", (n,)),
               ("relresponse", "f4", (n,)), ("reluncertainty", "f4", (n,))]  # fmt: skip
    row = ("P750L", SUBARRAY[0], PHOTMJSR, 0.01 * PHOTMJSR, n, grid, response(grid), 0.01 * np.ones(n))
    model = dm.MirLrsPhotomModel(phot_table=np.array([row], dtype=columns))
    model.timecoeff_powerlaw = np.array([("P750L", SUBARRAY[0], *FADING)], dtype=model.get_dtype("timecoeff_powerlaw"))
    model.meta.photometry.pixelarea_steradians, model.meta.photometry.pixelarea_arcsecsq = AREA_SR, PIXEL_ARCSEC**2
    shelf.model("photom", "flux calibration", model, {"META.INSTRUMENT.DETECTOR": "MIRIMAGE", "META.INSTRUMENT.FILTER": "P750L"} | BASE)


def _extraction(shelf: Shelf) -> None:
    from stdatamodels.jwst import datamodels as dm

    aperture = {"id": EXP_TYPE, "region_type": "target", "dispaxis": 2, "spectral_order": 1, "xstart": APERTURE[0], "xstop": APERTURE[1],
                "ystart": 0, "ystop": SUBARRAY[4] - 1, "use_source_posn": False, "bkg_fit": "median",
                "bkg_coeff": [[value] for value in BACKGROUND]}  # fmt: skip
    shelf.text("extract1d", "extraction aperture and background", {"apertures": [aperture]}, BASE)
    grid, sizes = np.linspace(SPAN[0] - 0.1, SPAN[1] + 0.1, 100), np.arange(3, 21)
    n, ns = len(grid), len(sizes)
    factor = 1 / scene.strip(np.zeros(1), sizes[None] * PIXEL_ARCSEC, scene.sigma(grid)[:, None])
    columns = [("subarray", "S17"), ("wavelength", "f4", (n,)), ("nelem_wl", "i2"), ("size", "u1", (ns,)), ("nelem_size", "i2"),
               ("apcorr", "f4", (n, ns)), ("apcorr_err", "f4", (n, ns))]  # fmt: skip
    model = dm.MirLrsApcorrModel(apcorr_table=np.array([(SUBARRAY[0], grid, n, sizes, ns, factor, 1e-3 * factor)], dtype=columns))
    model.sizeunit = "pixels"
    shelf.model("apcorr", "aperture correction", model, BASE)
    step, reach = 6, 20
    offset = np.arange(-reach * step, reach * step + 1) / step
    wave = wavelength(np.arange(TRACE[0], TRACE[1] - 1, -4.0))
    profile = scene.strip(offset[None] * PIXEL_ARCSEC, PIXEL_ARCSEC, scene.sigma(wave)[:, None])
    psf = dm.SpecPsfModel()
    psf.apertures.append({"name": "ANY", "subpix": float(step), "center_col": float(reach * step), "center_row": len(wave) / 2, "data": profile, "wave": wave})
    shelf.model("psf", "profile across the trace", psf, {"META.INSTRUMENT.DETECTOR": "MIRIMAGE", "META.INSTRUMENT.FILTER": "P750L"} | BASE)
