"""Tiny multi-slit exposures, references and parameters of the extract_1d comparison; shared with the maker of its golden values.

Needs numpy, astropy, gwcs and stdatamodels only. Two slits, a point source and an extended one, rectified (as in an s2d product)
or as they are on the detector; the optics are invented.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from astropy import coordinates, units
from astropy.modeling.models import Const1D, Identity, Linear1D, Mapping, Pix2Sky_TAN, Polynomial2D, RotateNative2Celestial, Tabular1D
from gwcs import WCS
from gwcs import coordinate_frames as frames
from stdatamodels.jwst import datamodels

SHAPES = {"point": (14, 20), "extended": (15, 17)}
ARRAYS = {"sci": "data", "err": "err", "dq": "dq", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise", "var_flat": "var_flat"}
_BKG = [[0.6], [2.9], [10.2], [12.8]]
_SAVE = {"save_profile": True, "save_scene_model": True, "save_residual_image": True}
_SOURCE = {"extract_width": 5, "use_source_posn": True}

CASES: dict[str, tuple[str, str, dict, dict]] = {
    # name: (rectified or detector, EXP_TYPE, apertures of the EXTRACT1D reference by slit (None: no reference), parameters)
    "mos": ("rectified", "NRS_MSASPEC", {"ANY": _SOURCE}, {}),
    "fs": ("rectified", "NRS_FIXEDSLIT", {"S200A1": {"extract_width": 4}, "S400A1": {"extract_width": 5, "bkg_coeff": _BKG, "bkg_order": 1}}, {}),
    "offset": ("rectified", "NRS_MSASPEC", {"ANY": _SOURCE}, {"position_offset": -0.7, "apply_apcorr": False}),
    "still": ("rectified", "NRS_FIXEDSLIT", {"ANY": {"ystart": 3.3, "ystop": 9.1, "xstart": 2.5}}, {"use_source_posn": False}),
    "median": ("rectified", "NRS_FIXEDSLIT", {"S200A1": {"extract_width": 5, "bkg_coeff": _BKG}, "S400A1": {"extract_width": 3}},
               {"bkg_fit": "median", "smoothing_length": 4, **_SAVE}),
    "whole": ("rectified", "NRS_MSASPEC", None, {}),
    "counts": ("rectified", "NRS_MSASPEC", {"ANY": _SOURCE}, {}),
    "lamp": ("rectified", "NRS_AUTOWAVE", None, {}),
    "profile": ("rectified", "NRS_MSASPEC", {"ANY": _SOURCE}, {"extraction_type": "optimal", **_SAVE}),
    "profile_fixed": ("rectified", "NRS_MSASPEC", {"ANY": _SOURCE}, {"extraction_type": "optimal", "optimize_psf_location": False}),
    "nod": ("rectified", "NRS_MSASPEC", {"ANY": _SOURCE}, {"extraction_type": "optimal"}),
    "detector": ("detector", "NRS_MSASPEC", {"ANY": _SOURCE}, {}),
    "detector_background": ("detector", "NRS_FIXEDSLIT", {"S200A1": {"extract_width": 4.5, "bkg_coeff": _BKG}, "S400A1": {}}, {"bkg_order": 1}),
    "detector_flat": ("detector", "NRS_AUTOFLAT", None, {}),
}  # fmt: skip


def _frames() -> tuple[frames.CoordinateFrame, frames.CoordinateFrame, frames.CompositeFrame]:
    detector = frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    slit = frames.CoordinateFrame(3, ("SPATIAL",) * 3, (0, 1, 2), unit=(units.pix,) * 3, name="slit_frame")
    sky = frames.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=coordinates.ICRS())
    spectral = frames.SpectralFrame(name="spectral", axes_order=(2,), unit=(units.micron,), axes_names=("wavelength",))
    return detector, slit, frames.CompositeFrame([sky, spectral], name="world")


def rectified_wcs(shape: tuple[int, int], lamp: bool) -> WCS:
    """Rows along the slit, columns along wavelength."""
    ny, nx = shape
    detector, slit, world = _frames()
    line = Linear1D(1.1e-5, 2e-4) & Linear1D(-2.3e-5, 1e-4)
    if lamp:
        waves = 1.0 + 0.1 * np.arange(nx) + 0.001 * np.arange(nx) ** 2
        dispersion = Tabular1D(points=np.arange(nx), lookup_table=waves, bounds_error=False, fill_value=None)
        plane = frames.Frame2D(name="plane", axes_order=(0, 1))
        spectral = frames.SpectralFrame(name="spectral", axes_order=(2,), unit=(units.micron,), axes_names=("wavelength",))
        spread = Mapping((1, 1, 0))
        spread.inverse = Mapping((2, 1))
        wcs = WCS([(detector, spread | line & dispersion), (frames.CompositeFrame([plane, spectral], name="world"), None)])
    else:
        knots = np.concatenate([[-0.5], np.arange(nx), [nx - 0.5]])
        dispersion = Tabular1D(points=knots, lookup_table=1.0 + 0.1 * knots + 0.001 * knots**2, bounds_error=False, fill_value=np.nan)
        along = Tabular1D(points=np.arange(ny), lookup_table=-0.62 + 0.1 * np.arange(ny), bounds_error=False, fill_value=None)
        middle = Const1D(0)
        middle.inverse = middle
        split, unsplit = Mapping((0, 1, 0)), Mapping((2, 1), n_inputs=3)
        split.inverse, unsplit.inverse = unsplit, split
        to_slit = split | middle & along & dispersion
        spread = Mapping((1, 1, 0))
        spread.inverse = Mapping((2, 1))
        to_world = to_slit.inverse | (spread | (line | Pix2Sky_TAN() | RotateNative2Celestial(30.0, -10.0, 180)) & dispersion)
        wcs = WCS([(detector, to_slit), (slit, to_world), (world, None)])
    wcs.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    return wcs


def detector_wcs(shape: tuple[int, int]) -> WCS:
    """A slit on the detector: its image is tilted; wavelengths are metres up to the slit frame."""
    ny, nx = shape
    detector, slit, world = _frames()
    gwa = frames.Frame2D(name="gwa", axes_order=(0, 1), unit=(units.pix, units.pix))
    to_slit = Mapping((0, 0, 1, 0)) | Linear1D(0, 0.01) & Polynomial2D(1, c0_0=-0.62, c1_0=0.004, c0_1=0.1) & Linear1D(0.1e-6, 1.0e-6)
    to_slit.inverse = Mapping((2, 1, 2)) | Linear1D(10e6, -10) & Polynomial2D(1, c0_0=6.6, c1_0=10e0, c0_1=-0.4e6)
    to_world = Mapping((1, 0, 2)) | Linear1D(0.0003, 30.0) & Linear1D(0.0002, -10.0) & Linear1D(1e6, 0)
    wcs = WCS([(detector, Identity(2)), (gwa, to_slit), (slit, to_world), (world, None)])
    wcs.bounding_box = ((-0.5, nx - 0.5), (0.5, ny - 1.5))
    return wcs


def slit_wcs(optics: str, exp_type: str, shape: tuple[int, int]) -> WCS:
    """The WCS of a slit."""
    return detector_wcs(shape) if optics == "detector" else rectified_wcs(shape, lamp=exp_type == "NRS_AUTOWAVE")


def exposure(case: str) -> datamodels.MultiSlitModel:
    """The exposure of a case."""
    optics, exp_type, _, _ = CASES[case]
    model = datamodels.MultiSlitModel()
    _describe(model.meta, case, exp_type)
    for number, kind in enumerate(SHAPES):
        slit = _slit(kind, number, optics, exp_type)
        _describe(slit.meta, case, exp_type)
        slit.meta.wcsinfo.dispersion_direction, slit.meta.wcsinfo.spectral_order = 1, 0
        slit.meta.photometry.pixelarea_steradians = 2.5e-13
        slit.meta.wcs = slit_wcs(optics, exp_type, SHAPES[kind])
        if case == "nod":
            slit.source_ypos = -0.21 + 0.27
        if "lamp" in case or "flat" in case:
            slit.source_type = slit.source_xpos = slit.source_ypos = None
        model.slits.append(slit)
    return model


def _describe(meta, case: str, exp_type: str) -> None:  # type: ignore[no-untyped-def]
    meta.instrument.name, meta.instrument.detector, meta.instrument.filter, meta.instrument.grating = "NIRSPEC", "NRS1", "CLEAR", "PRISM"
    meta.exposure.type, meta.exposure.nints, meta.aperture.position_angle = exp_type, 1, 33.5
    meta.cal_step.photom = "SKIPPED" if case in ("counts", "lamp", "detector_flat") else "COMPLETE"
    meta.cal_step.bkg_subtract, meta.dither.primary_type = ("COMPLETE", "2-POINT-NOD") if case == "nod" else ("SKIPPED", "NONE")


def _slit(kind: str, number: int, optics: str, exp_type: str) -> datamodels.SlitModel:
    rng = np.random.default_rng(20 + number)
    ny, nx = SHAPES[kind]
    y, x = np.mgrid[:ny, :nx]
    centre = 6.8 - (0.04 * x if optics == "detector" else 0.0)
    scene = np.exp(-((y - centre) ** 2) / 2.5) * (2 + np.sin(x / 3.0)) - 0.8 * np.exp(-((y - 10.5) ** 2) / 2.5) + 0.4 + 0.01 * y
    variances = {"var_poisson": 0.01 * np.abs(scene) + 1e-3, "var_rnoise": np.full(scene.shape, 2e-3), "var_flat": 1e-4 * scene**2}
    total = sum(variances.values())
    arrays = {"data": scene + rng.normal(size=scene.shape) * np.sqrt(total), "err": np.sqrt(total), **variances}
    arrays["data"][rng.random((ny, nx)) < 0.03] = np.nan
    arrays["data"][:, 9] = np.nan
    arrays["var_flat"][rng.random((ny, nx)) < 0.02] = np.nan
    slit = datamodels.SlitModel(validate_on_assignment=False)
    for name, array in arrays.items():
        setattr(slit, name, array.astype(np.float32))
    if optics == "detector":
        slit.dq = (np.where(rng.random(scene.shape) < 0.02, 1, 0) | np.where(rng.random(scene.shape) < 0.05, 4, 0)).astype(np.uint32)
    wavelength = slit_wcs(optics, exp_type, (ny, nx))(x.astype(float), y.astype(float))[2].astype(np.float32)
    wavelength[:, -1] = np.nan
    slit.wavelength = wavelength
    fixed = exp_type == "NRS_FIXEDSLIT"
    slit.name = ("S200A1", "S400A1")[number] if fixed else str(number + 3)
    slit.source_id, slit.source_type = number + 7, "POINT" if kind == "point" else "EXTENDED"
    slit.source_xpos, slit.source_ypos = 0.01, 0.06 - 0.01 * number
    if not fixed:
        slit.slitlet_id, slit.shutter_state, slit.source_name, slit.quadrant = number + 3, "1x1", f"star {number}", 2
        slit.source_ra, slit.source_dec, slit.stellarity, slit.slit_xscale, slit.slit_yscale = 30.1, -9.9, 0.75, 1.3, 1.1
        slit.barshadow_corrected = kind == "extended"
    slit.pathloss_correction_type, slit.wavelength_corrected = ("POINT", "UNIFORM")[number], kind == "point"
    return slit


def references(folder: Path, case: str) -> dict[str, str]:
    """Write the three reference files of a case; paths by reference type."""
    _, exp_type, apertures, _ = CASES[case]
    mos, lamp = exp_type == "NRS_MSASPEC", exp_type.startswith("NRS_AUTO")
    paths = {"extract1d": "N/A", "apcorr": "N/A" if lamp else str(folder / f"apcorr_{mos}.fits"), "psf": str(folder / "psf.fits")}
    if apertures is not None:
        paths["extract1d"] = str(folder / f"{case}.json")
        entries = [{"id": name, **aperture} for name, aperture in apertures.items()]
        Path(paths["extract1d"]).write_text(json.dumps({"reftype": "EXTRACT1D", "apertures": entries}))
    if not lamp and not Path(paths["apcorr"]).exists():
        _apcorr(mos).save(paths["apcorr"])
    if not Path(paths["psf"]).exists():
        model = datamodels.SpecPsfModel()
        across, along = (np.arange(61) - 30) / 4.0, np.arange(24)
        data = np.exp(-(across[:, None] ** 2) / (2.0 + 0.05 * along))
        model.apertures.append({"name": "ANY", "subpix": 4.0, "center_row": 30.0, "center_col": 30.0, "data": data,
                                "wave": np.linspace(0.9, 3.6, 24)})  # fmt: skip
        model.meta.instrument.name = "NIRSPEC"
        model.save(paths["psf"])
    return paths


def _apcorr(mos: bool) -> datamodels.JwstDataModel:
    """Sizes in pixels for the MSA, in arcsec for fixed slits."""
    scale = 1.0 if mos else 0.0917
    sizes, nodes, phase = np.array([1.0, 3.0, 5.0, 8.0]), np.linspace(1.05, 3.2, 9), np.array([0.0, 0.4, 1.0])
    factor = 1 + 0.3 / (sizes[:, None, None] + nodes[:, None]) + 0.05 * phase
    kinds = [("wavelength", "f4", (9,)), ("nelem_wl", "i2"), ("size", "f4", (4, 9)), ("nelem_size", "i2"), ("pixphase", "f4", (3,)),
             ("apcorr", "f4", (4, 9, 3)), ("apcorr_err", "f4", (4, 9, 3))]  # fmt: skip
    values = (nodes, 9, (sizes[:, None] + 0.1 * nodes) * scale, 4, phase, factor, 0 * factor)
    names, keys = [("filter", "S12"), ("grating", "S15")], [("F290LP", "G395H"), ("CLEAR", "PRISM")]
    model = datamodels.NrsMosApcorrModel() if mos else datamodels.NrsFsApcorrModel()
    if not mos:
        names, keys = [*names, ("slit", "S15")], [(*key, slit) for key in keys for slit in ("S200A1", "S400A1")]
    model.apcorr_table = np.array([(*key, *values) for key in keys], dtype=names + kinds)
    model.sizeunit = "pixels" if mos else "arcsec"
    return model
