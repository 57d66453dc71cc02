"""Tiny exposures, references and parameter settings of the extract_1d comparison; shared with the maker of its golden values.

Needs numpy, astropy, gwcs and stdatamodels only. The optics are invented: a NIRSpec-like slit (dispersion along x, tilted
trace, slit frame) and a MIRI-like slitless prism (dispersion along y).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from astropy import coordinates, units
from astropy.modeling.models import Linear1D, Mapping, Polynomial2D
from gwcs import WCS
from gwcs import coordinate_frames as frames
from stdatamodels.jwst import datamodels

NINTS = 3
SHAPES = {"slit": (14, 20), "prism": (22, 12)}
ARRAYS = {"sci": "data", "err": "err", "dq": "dq", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise", "var_flat": "var_flat"}

_BKG = {"slit": [[0.6], [2.9], [10.2, 0.01], [12.8]], "prism": [[0.5], [2.5], [8.4], [11.5]]}
_SAVE = {"save_profile": True, "save_scene_model": True, "save_residual_image": True}

CASES: dict[str, tuple[str, str, dict, dict]] = {
    # name: (optics, variant of the exposure, aperture of the EXTRACT1D reference, parameters)
    "slit_box": ("slit", "cube", {"extract_width": 5}, {}),
    "slit_offset": ("slit", "cube", {"extract_width": 4.5}, {"position_offset": 0.7, "apply_apcorr": False}),
    "slit_still": ("slit", "cube", {"ystart": 4.3, "ystop": 9.1, "xstart": 2.5, "xstop": 16.2}, {"use_source_posn": False}),
    "slit_poly": ("slit", "cube", {"extract_width": 5, "bkg_coeff": _BKG["slit"], "bkg_order": 2, "smoothing_length": 5}, _SAVE),
    "slit_median": ("slit", "cube", {"extract_width": 5, "bkg_coeff": _BKG["slit"]}, {"bkg_fit": "median", "smoothing_length": 4}),
    "slit_mean": ("slit", "cube", {"extract_width": 5, "bkg_coeff": _BKG["slit"], "bkg_order": 1}, {"bkg_fit": "mean"}),
    "slit_order": ("slit", "cube", {"extract_width": 5, "bkg_coeff": _BKG["slit"]}, {"bkg_order": 1}),
    "slit_no_background": ("slit", "cube", {"extract_width": 5, "bkg_coeff": _BKG["slit"]}, {"subtract_background": False}),
    "slit_extended": ("slit", "extended", {"extract_width": 5}, {}),
    "slit_counts": ("slit", "counts", {"extract_width": 5}, {}),
    "slit_image": ("slit", "image", {"extract_width": 5, "bkg_coeff": _BKG["slit"]}, _SAVE),
    "slit_profile": ("slit", "cube", {"extract_width": 5}, {"extraction_type": "optimal", **_SAVE}),
    "slit_profile_background": ("slit", "cube", {"bkg_coeff": _BKG["slit"]}, {"extraction_type": "optimal", "optimize_psf_location": False}),
    "slit_nod": ("slit", "nod", {"extract_width": 5}, {"extraction_type": "optimal", **_SAVE}),
    "slit_one_nod": ("slit", "nod", {}, {"extraction_type": "optimal", "model_nod_pair": False}),
    "slit_choose": ("slit", "cube", {}, {"extraction_type": None}),
    "prism_median": ("prism", "cube", {"xstart": 4, "xstop": 8, "bkg_fit": "median", "bkg_coeff": _BKG["prism"]}, _SAVE),
    "prism_poly": ("prism", "cube", {"extract_width": 4, "bkg_coeff": _BKG["prism"], "bkg_order": 1}, {"smoothing_length": 3}),
    "prism_lines": ("prism", "cube", {"src_coeff": [[3.2, 0.02], [8.1, 0.03], [8.9], [9.7]], "ystart": 2, "ystop": 18}, {}),
    "prism_profile": ("prism", "cube", {}, {"extraction_type": "optimal", "subtract_background": True}),
    "prism_extended": ("prism", "extended", {"xstart": 4, "xstop": 8}, {}),
    "prism_image": ("prism", "image", {"xstart": 4, "xstop": 8}, {}),
    "prism_whole": ("prism", "cube", None, {}),  # no EXTRACT1D reference
}  # fmt: skip


def wcs_of(optics: str) -> WCS:
    """Detector to sky and wavelength, with a slit frame for the slit."""
    ny, nx = SHAPES[optics]
    detector = frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    sky = frames.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=coordinates.ICRS())
    spectral = frames.SpectralFrame(name="spectral", axes_order=(2,), unit=(units.micron,), axes_names=("wavelength",))
    world = frames.CompositeFrame([sky, spectral], name="world")
    if optics == "slit":
        slit = frames.CoordinateFrame(3, ("SPATIAL",) * 3, (0, 1, 2), unit=(units.pix,) * 3, name="slit_frame")
        # slit x: constant; slit y: across, tilted; wavelength: along
        to_slit = Mapping((0, 0, 1, 0)) | Linear1D(0, 0.01) & Polynomial2D(1, c0_0=-0.62, c1_0=0.004, c0_1=0.1) & Linear1D(0.1, 1.0)
        to_slit.inverse = Mapping((2, 1, 2)) | Linear1D(10, -10) & Polynomial2D(1, c0_0=6.6, c1_0=10, c0_1=-0.4)
        to_world = Mapping((1, 0, 2)) | Linear1D(0.0003, 30.0) & Linear1D(0.0002, -10.0) & Linear1D(1, 0)
        wcs = WCS([(detector, to_slit), (slit, to_world), (world, None)])
    else:
        to_world = Mapping((0, 0, 1)) | Linear1D(3e-5, 30.0) & Linear1D(0, -10.0) & Linear1D(-0.3, 12.0)
        wcs = WCS([(detector, to_world), (world, None)])
    wcs.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    return wcs


def exposure(optics: str, variant: str) -> datamodels.SlitModel:
    """A calibrated exposure with noise, NaNs, infinities and flags."""
    rng = np.random.default_rng(11 if optics == "slit" else 12)
    ny, nx = SHAPES[optics]
    y, x = np.mgrid[:ny, :nx]
    along, across = (x, y) if optics == "slit" else (y, x)
    centre = 6.8 - 0.03 * along if optics == "slit" else 6.2 + 0.0 * along
    source = np.exp(-((across - centre) ** 2) / 2.5) * (2 + np.sin(along / 3.0))
    if variant == "nod":
        source = source - 0.9 * np.exp(-((across - 11.0) ** 2) / 2.5) * (2 + np.sin(along / 3.0))
    scene = source * np.linspace(1, 0.9, NINTS)[:, None, None] + 0.4 + 0.01 * across
    model = datamodels.SlitModel(validate_on_assignment=False)
    variances = {"var_poisson": 0.01 * np.abs(scene) + 1e-3, "var_rnoise": np.full(scene.shape, 2e-3), "var_flat": 1e-4 * scene**2}
    total = sum(variances.values())
    arrays = {"data": scene + rng.normal(size=scene.shape) * np.sqrt(total), "err": np.sqrt(total), **variances}
    for name, chance, value in (("data", 0.02, np.nan), ("data", 0.005, np.inf), ("var_flat", 0.01, np.nan), ("var_rnoise", 0.005, np.inf)):
        arrays[name][1:][rng.random((NINTS - 1, ny, nx)) < chance] = value  # the first integration decides on the PSF: only NaNs
    arrays["data"][0][rng.random((ny, nx)) < 0.03] = np.nan
    column = (1, slice(None), 9) if optics == "slit" else (1, 9)
    arrays["data"][column] = np.nan
    dq = np.where(rng.random(scene.shape) < 0.02, 1, 0) | np.where(rng.random(scene.shape) < 0.05, 4, 0)
    wavelength = wcs_of(optics)(x.astype(float), y.astype(float))[2].astype(np.float32)
    wavelength[0, 0] = np.nan
    if optics == "slit":
        wavelength[:, -2:] = np.nan
    else:
        wavelength[:2] = np.nan
    cut = 0 if variant == "image" else slice(None)
    for name, array in arrays.items():
        setattr(model, name, array[cut].astype(np.float32))
    model.dq = dq[cut].astype(np.uint32)
    model.wavelength = wavelength
    _describe(model, optics, variant)
    return model


def _describe(model: datamodels.SlitModel, optics: str, variant: str) -> None:
    slit, meta = optics == "slit", model.meta
    meta.instrument.name, meta.instrument.detector = ("NIRSPEC", "NRS1") if slit else ("MIRI", "MIRIMAGE")
    meta.instrument.filter = "CLEAR" if slit else "P750L"
    if slit:
        meta.instrument.grating = "PRISM"
    model.name = "S1600A1" if slit else None
    meta.exposure.type = "NRS_BRIGHTOBJ" if slit else "MIR_LRS-SLITLESS"
    meta.visit.tsovisit = True
    meta.subarray.name = "SUB512" if slit else "SLITLESSPRISM"
    nints = 1 if variant == "image" else 7
    meta.exposure.nints, meta.exposure.integration_start = nints, 1 if variant == "image" else 4
    meta.exposure.integration_end, meta.exposure.segment_number = (1, 1) if variant == "image" else (6, 2)
    meta.wcsinfo.dispersion_direction, meta.wcsinfo.spectral_order = (1, 0) if slit else (2, 1)
    meta.aperture.position_angle = 33.5
    meta.photometry.pixelarea_steradians = 2.5e-13
    meta.cal_step.photom = "SKIPPED" if variant == "counts" else "COMPLETE"
    meta.target.source_type = model.source_type = "EXTENDED" if variant == "extended" else "POINT"
    if slit:
        model.source_xpos, model.source_ypos, model.source_id = 0.01, 0.06, 1
    if variant == "nod":
        meta.cal_step.bkg_subtract, meta.dither.primary_type, model.source_ypos = "COMPLETE", "2-POINT-NOD", -0.21 + 0.27
    meta.wcs = wcs_of(optics)
    times = np.zeros(5 if nints > 1 else 1, dtype=[("integration_number", "i4"), *((n, "f8") for n in _TIMES)])
    times["integration_number"] = np.arange(len(times)) + (3 if nints > 1 else 1)
    for place, name in enumerate(_TIMES):
        times[name] = 59000 + 0.001 * times["integration_number"] + 1e-4 * place
    model.int_times = times


_TIMES = ("int_start_MJD_UTC", "int_mid_MJD_UTC", "int_end_MJD_UTC", "int_start_BJD_TDB", "int_mid_BJD_TDB", "int_end_BJD_TDB")


def references(folder: Path, optics: str, aperture: dict | None) -> dict[str, str]:
    """Write the three reference files of a case; paths by reference type."""
    paths = {name: str(folder / f"{optics}_{name}.fits") for name in ("apcorr", "psf")}
    paths["extract1d"] = "N/A"
    if aperture is not None:
        paths["extract1d"] = str(folder / "extract1d.json")
        Path(paths["extract1d"]).write_text(json.dumps({"reftype": "EXTRACT1D", "apertures": [{"id": "ANY", **aperture}]}))
    if Path(paths["psf"]).exists():
        return paths
    _apcorr(optics).save(paths["apcorr"])
    model = datamodels.SpecPsfModel()
    across, along = (np.arange(61) - 30) / 4.0, np.arange(24)
    data = np.exp(-(across[:, None] ** 2) / (2.0 + 0.05 * along))
    model.apertures.append(
        {"name": "ANY", "subpix": 4.0, "center_row": 30.0, "center_col": 30.0, "data": data if optics == "slit" else data.T,
         "wave": np.linspace(0.9, 3.1, 24) if optics == "slit" else np.linspace(12.5, 5.0, 24)}
    )  # fmt: skip
    model.meta.instrument.name = "NIRSPEC" if optics == "slit" else "MIRI"
    model.save(paths["psf"])
    return paths


def _apcorr(optics: str) -> datamodels.JwstDataModel:
    sizes = np.array([1.0, 3.0, 5.0, 8.0])
    if optics == "slit":
        model, nodes = datamodels.NrsFsApcorrModel(), np.linspace(1.05, 2.7, 9)
        phase = np.array([0.0, 0.4, 1.0])
        factor = 1 + 0.3 / (sizes[:, None, None] + nodes[:, None]) + 0.05 * phase
        kinds = [("filter", "S12"), ("grating", "S15"), ("slit", "S15"), ("wavelength", "f4", (9,)), ("nelem_wl", "i2"),
                 ("size", "f4", (4, 9)), ("nelem_size", "i2"), ("pixphase", "f4", (3,)), ("apcorr", "f4", (4, 9, 3)),
                 ("apcorr_err", "f4", (4, 9, 3))]  # fmt: skip
        row = ("CLEAR", "PRISM", "S1600A1", nodes, 9, sizes[:, None] + 0.1 * nodes, 4, phase, factor, 0 * factor)
        model.apcorr_table = np.array([(*("F290LP", "G395H"), *row[2:]), row], dtype=kinds)
    else:
        model, nodes = datamodels.MirLrsApcorrModel(), np.linspace(13.0, 6.5, 9)
        factor = 1 + 0.3 / (sizes + nodes[:, None])
        kinds = [("subarray", "S15"), ("wavelength", "f4", (9,)), ("nelem_wl", "i2"), ("size", "u1", (4,)), ("nelem_size", "i2"),
                 ("apcorr", "f4", (9, 4)), ("apcorr_err", "f4", (9, 4))]  # fmt: skip
        model.apcorr_table = np.array([("SLITLESSPRISM", nodes, 9, sizes, 4, factor, 0 * factor)], dtype=kinds)
    model.sizeunit = "pixels"
    return model
