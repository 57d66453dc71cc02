"""Tiny made-up optics, written as reference files, and exposures to try them on.

Used by the tests of the geometry steps, and by tests/parity/make_geometry.py, which runs the reference implementation
on the same. Needs numpy, astropy, asdf and stdatamodels only. The numbers are round ones of NIRSpec's and MIRI's order of
size; inverses are approximate where the real ones are too.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asdf
import numpy as np
from astropy.io import fits
from astropy.modeling.models import Identity, Mapping, Polynomial1D, Polynomial2D, Rotation2D, Scale, Shift, Tabular2D

PIXEL = 1.8e-5
POINTING = {"v2_ref": 442.95, "v3_ref": -478.85, "roll_ref": 110.0, "ra_ref": 0.002, "dec_ref": -3.4, "v3yangle": 138.85, "vparity": -1}

BOTS: dict[str, Any] = {
    "instrument.name": "NIRSPEC", "instrument.detector": "NRS1", "instrument.filter": "CLEAR", "instrument.grating": "PRISM",
    "instrument.gwa_tilt": 37.6, "instrument.gwa_xtilt": 0.3397, "instrument.gwa_ytilt": 0.0315, "instrument.fixed_slit": "S1600A1",
    "instrument.lamp_state": "NONE", "instrument.lamp_mode": "NONE", "exposure.type": "NRS_BRIGHTOBJ", "exposure.nints": 5,
    "subarray.name": "SUB512", "subarray.xstart": 1025, "subarray.ystart": 957, "subarray.xsize": 512, "subarray.ysize": 32,
    "visit.tsovisit": True, "velocity_aberration.scale_factor": 1.00003, "wcsinfo.velosys": -8000.0,
    "dither.x_offset": 0.0, "dither.y_offset": 0.0, "target.source_type_apt": "POINT", "observation.bkgdtarg": False,
}  # fmt: skip
GRATING = BOTS | {
    "instrument.filter": "F290LP", "instrument.grating": "G395H", "subarray.name": "SUB2048", "subarray.xstart": 1, "subarray.xsize": 2048,
}  # fmt: skip
NRS2 = GRATING | {"instrument.detector": "NRS2"}
LRS: dict[str, Any] = {
    "instrument.name": "MIRI", "instrument.detector": "MIRIMAGE", "instrument.filter": "P750L", "exposure.type": "MIR_LRS-SLITLESS",
    "exposure.nints": 5, "subarray.name": "SLITLESSPRISM", "subarray.xstart": 1, "subarray.ystart": 529, "subarray.xsize": 72,
    "subarray.ysize": 416, "visit.tsovisit": True, "velocity_aberration.scale_factor": 1.00002, "wcsinfo.velosys": 12345.6,
    "target.source_type_apt": "POINT", "observation.bkgdtarg": False,
}  # fmt: skip

CASES: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "prism": (BOTS, {}),
    "prism_edges": (BOTS, {"assign_wcs": {"slit_y_low": -0.3, "slit_y_high": 0.4}}),
    "prism_extended": (BOTS, {"srctype": {"source_type": "EXTENDED"}}),
    "prism_dither": (BOTS | {"dither.x_offset": 0.3, "dither.y_offset": -0.2, "observation.bkgdtarg": False}, {}),
    "prism_background": (BOTS | {"observation.bkgdtarg": True}, {}),
    "prism_still": (BOTS | {"wcsinfo.velosys": None, "velocity_aberration.scale_factor": None, "instrument.gwa_xtilt": None}, {}),
    "prism_warm": (BOTS | {"instrument.gwa_tilt": 60.0, "dither.x_offset": None}, {}),
    "prism_image": (BOTS | {"image": True}, {}),
    "prism_short": (BOTS | {"exposure.nints": 1, "target.source_type_apt": "EXTENDED"}, {}),
    "prism_named": (BOTS, {"extract_2d": {"slit_names": ["S1600A1", "S200A1"]}}),
    "grating": (GRATING, {}),
    "grating_filter": (GRATING | {"instrument.filter": "F100LP", "dither.x_offset": -0.4}, {}),
    "nrs2": (NRS2, {}),
    "nrs2_image": (NRS2 | {"image": True}, {}),
    "lrs": (LRS, {}),
    "lrs_image": (LRS | {"image": True}, {}),
    "lrs_still": (LRS | {"wcsinfo.velosys": None, "velocity_aberration.scale_factor": 1.0, "subarray.xstart": 3}, {}),
    "lrs_extended": (LRS, {"srctype": {"source_type": "EXTENDED"}}),
}
"""Metadata and parameters by name."""
NOTHING_THERE: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "prism_above": (BOTS | {"subarray.ystart": 1400}, {}),
    "prism_beside": (BOTS | {"subarray.xstart": 1900}, {}),
    "prism_nrs2": (BOTS | {"instrument.detector": "NRS2"}, {}),
    "prism_unknown": (BOTS, {"extract_2d": {"slit_names": ["S200A1"]}}),
}
"""The reference implementation exits with status 64."""
SUMMARY = ("name", "xstart", "xsize", "ystart", "ysize", "source_id", "shutter_id", "slit_ymin", "slit_ymax", "source_xpos",
           "source_ypos", "source_type", "quadrant", "source_ra", "source_dec", "wavelength_corrected")  # fmt: skip
INFO = ("s_region", "specsys", "dispersion_direction", "velosys", "waverange_start", "waverange_end", "spectral_order", "spectral_region")


def steps_of(values: dict[str, Any]) -> tuple[str, ...]:
    """Aliases of the geometry steps of an exposure."""
    if values["instrument.name"] == "MIRI":
        return ("assign_wcs", "as_slit", "srctype")
    return ("assign_wcs", "extract_2d", "srctype", "wavecorr")


def exposure(values: dict[str, Any]) -> Any:
    """A CubeModel (or ImageModel) of zeros with this metadata."""
    from stdatamodels.jwst import datamodels

    values = dict(values)
    image = values.pop("image", False)
    shape = (values["subarray.ysize"], values["subarray.xsize"])
    plane = np.zeros(shape if image else (1, *shape), np.float32)
    arrays = {name: plane.copy() for name in ("data", "err", "var_poisson", "var_rnoise")}
    model = (datamodels.ImageModel if image else datamodels.CubeModel)(**arrays, dq=plane.astype(np.uint32))
    for name, value in (values | {f"wcsinfo.{k}": v for k, v in POINTING.items()}).items():
        if value is not None:
            model[f"meta.{name}"] = value
    if not image:
        model.int_times = np.zeros(1, model.get_dtype("int_times"))
    return model


def summary(model: Any) -> dict[str, Any]:
    """The numbers of a model after the steps: keywords, bounding box, wavelengths, world coordinates on a grid of pixels."""
    out: dict[str, Any] = {"keywords": {name: getattr(model, name, None) for name in SUMMARY}}
    out["keywords"] |= {name: getattr(model.meta.wcsinfo, name, None) for name in INFO}
    out["keywords"] |= {"target": model.meta.target.source_type, "class": type(model).__name__}
    wcs = model.meta.wcs
    box = wcs.bounding_box.bounding_box(order="F")
    grid = np.meshgrid(*(np.linspace(low, high, 6) for low, high in box))
    out["box"] = np.array(box)
    out["frames"] = list(wcs.available_frames)
    out["units"] = [[str(unit) for unit in step.frame.unit] for step in wcs.pipeline]
    out["axes"] = [list(step.frame.axes_names) for step in wcs.pipeline]
    out["world"] = np.array(wcs(*grid, with_bounding_box=False))
    out["pixel"] = np.array(wcs.backward_transform(*out["world"]))
    out["wavelength"] = np.array(model.wavelength[::3, ::11], np.float32)
    return out


def sources() -> list[tuple[str | None, SimpleNamespace]]:
    """(chosen type, stand-in for a model) for all combinations that srctype looks at."""
    types = ("MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS", "MIR_MRS", "NRC_TSGRISM", "NIS_SOSS", "NRS_FIXEDSLIT", "NRS_BRIGHTOBJ", "NRS_IFU",
             "NRS_MSASPEC", "NIS_WFSS", "MIR_WFSS", "NRC_TSIMAGE", "NRS_LAMP")  # fmt: skip
    patterns = (None, "NONE", "2-POINT-NOD", "POINT-SOURCE")
    found = []
    for exp_type, back, series, nints, apt, pattern, chosen in itertools.product(
        types, (False, True), (False, True), (1, 5), (None, "POINT", "EXTENDED", "UNKNOWN"), patterns, (None, "EXTENDED")
    ):
        if chosen and exp_type == "NIS_SOSS":
            continue
        slits = [SimpleNamespace(name=n, stellarity=s, is_extended=s < 0.5, source_type=None, source_xpos=0.1, source_ypos=0.2, source_id=1)
                 for n, s in (("S200A1", -1.0), ("S1600A1", 0.0), ("S400A1", 0.75), ("S200B1", 0.8))]  # fmt: skip
        other = {None: "EXTENDED", "POINT": None}.get(apt, "POINT")
        meta = SimpleNamespace(
            exposure=SimpleNamespace(type=exp_type, nints=nints), visit=SimpleNamespace(tsovisit=series),
            observation=SimpleNamespace(bkgdtarg=back), target=SimpleNamespace(source_type_apt=apt, source_type=other),
            dither=SimpleNamespace(primary_type=pattern, optimized_for={None: "NOD", "NONE": None}.get(pattern, pattern)),
            instrument=SimpleNamespace(fixed_slit="S1600A1"),
        )  # fmt: skip
        found.append((chosen, SimpleNamespace(meta=meta, slits=slits)))
    return found


def decided(model: SimpleNamespace) -> str:
    """What srctype set: a letter for the target, one for what the proposal is taken to have said, one for each slit."""
    target = model.meta.target
    letters = [str(value)[0] for value in (target.source_type, target.source_type_apt, *(s.source_type for s in model.slits))]
    return "".join(letters) + ("0" if model.slits[1].source_xpos == 0 else "")


def write(folder: Path) -> dict[str, str]:
    """Write the reference files; path by type (``disperser`` by grating: ``disperser PRISM``)."""
    trees = {
        "wavelengthrange": {
            "order": [-1, -1, -1],
            "wavelengthrange": [[0.6e-6, 5.3e-6], [2.87e-6, 5.27e-6], [1.66e-6, 3.17e-6]],
            "waverange_selector": ["CLEAR_PRISM", "F290LP_G395H", "F170LP_G235H"],
        },
        "fpa": {
            "nrs1_model": Shift(-1024.5) & Shift(-1024.5) | Scale(PIXEL) & Scale(PIXEL) | Shift(-0.0382) & Shift(9e-4),
            "nrs2_model": Shift(-1024.5) & Shift(-1024.5) | Scale(-PIXEL) & Scale(-PIXEL) | Shift(0.0382) & Shift(6.5e-4),
        },
        "camera": {"model": _bent(1 / 0.3, 0.02)},
        "collimator": {"model": _bent(0.68, 0.01)},
        "disperser PRISM": {
            "angle": -16.5, "kcoef": [1.03293407, 0.0123304268, 4.09337187], "lcoef": [0.00545608159, 0.038817443, 1264.00781],
            "tcoef": [-2.66e-05, 0.0, 0.0, 0.0, 0.0, 0.0], "tref": 35.0, "pref": 0.0, **_wheel(21.9, 0.0),
        },
        "disperser G395H": {"groovedensity": 89408.7, **_wheel(-8.8, 0.02)},
        "msa": {f"Q{q}": {"model": Shift(0.001 * q - 0.005) & Shift(0.0), "data": _slits()} for q in range(1, 6)},
        "fore": {"model": _fore()},
        "ote": {"model": Scale(2500.0 / 3600) & Scale(2500.0 / 3600) | Rotation2D(-41.0) | Scale(3600) & Scale(3600) | Shift(384.0) & Shift(-430.0)},
        "wavecorr": {"apertures": [_offsets("S200A1", 1.0), _offsets("S1600A1", 2.0)]},
        "distortion": {"model": _imager()},
    }  # fmt: skip
    paths = {}
    for name, tree in trees.items():
        paths[name] = str(folder / f"{name.replace(' ', '_')}.asdf")
        meta = {"instrument": {"name": "NIRSPEC"}, "reftype": name.split()[0], "telescope": "JWST"}
        asdf.AsdfFile({"meta": meta, **tree}).write_to(paths[name])
    paths["specwcs"] = str(folder / "specwcs.fits")
    _specwcs(paths["specwcs"])
    return paths


def chosen(paths: dict[str, str], values: dict[str, Any]) -> dict[str, str]:
    """The references of an exposure by type, ``"N/A"`` for types that its instrument does not use."""
    nirspec = values["instrument.name"] == "NIRSPEC"
    mine = {"disperser": paths[f"disperser {values['instrument.grating']}"]} if nirspec else {}
    for name, path in paths.items():
        if " " not in name:
            mine[name] = path if (name in ("distortion", "specwcs")) != nirspec else "N/A"
    return mine


def _bent(scale: float, bend: float) -> Any:
    """A scale with some distortion."""
    there = [Polynomial2D(2, c1_0=scale, c0_1=0.0, c2_0=bend * scale, c1_1=bend / 2 * scale, c0_2=0.0),
             Polynomial2D(2, c1_0=0.0, c0_1=scale, c2_0=bend * scale, c1_1=0.0, c0_2=bend * scale)]  # fmt: skip
    back = [Polynomial2D(2, c1_0=1 / scale, c2_0=-bend / scale**2), Polynomial2D(2, c0_1=1 / scale, c2_0=-bend / scale**2)]
    model = Mapping((0, 1, 0, 1)) | there[0] & there[1]
    model.inverse = Mapping((0, 1, 0, 1)) | back[0] & back[1]
    return model


def _wheel(tilt: float, theta: float) -> dict[str, Any]:
    def sensor(slope: float) -> dict[str, Any]:
        return {"temperatures": [37.5], "tilt_model": Polynomial1D(1, c0=10.0, c1=slope), "unit": "arcsec", "zeroreadings": [0.3395]}

    return {"theta_x": theta, "theta_y": -0.03, "theta_z": theta / 2, "tilt_x": 0.0, "tilt_y": tilt,
            "gwa_tiltx": sensor(-9000.0), "gwa_tilty": sensor(320.0)}  # fmt: skip


def _slits() -> np.ndarray:
    rows = [(i + 1, 0.027 + 0.001 * i, 0.001 * i - 0.0026, 7.6e-5, 6.2e-4) for i in range(5)]
    return np.array(rows, [("NO", "i4"), ("X", "f8"), ("Y", "f8"), ("SX", "f8"), ("SY", "f8")])


def _fore() -> Any:
    """MSA to telescope, with a little of the wavelength (in metres) in it."""
    here, wave = Mapping((0, 1), n_inputs=3), Mapping((2,), n_inputs=3)
    parts = [
        (here | Polynomial2D(1, c1_0=a, c0_1=b)) + (here | Polynomial2D(1, c0_0=2.0, c1_0=b)) * wave
        for a, b in ((1.02, 0.03), (0.01, 0.99))
    ]
    model = Mapping((0, 1, 2, 0, 1, 2)) | parts[0] & parts[1]
    model.inverse = here | Mapping((0, 1, 0, 1)) | Polynomial2D(1, c1_0=0.98, c0_1=-0.03) & Polynomial2D(1, c1_0=-0.01, c0_1=1.01)
    return model


def _offsets(name: str, size: float) -> dict[str, Any]:
    wave, across = np.linspace(0.5e-6, 5.5e-6, 11), np.linspace(-0.5, 0.5, 5)
    table = size * across[None, :] * (1 + wave[:, None] * 1e5)
    model = Tabular2D(points=(wave, across), lookup_table=table, bounds_error=False, fill_value=0.0)
    return {"aperture_name": name, "zero_point_offset": model, "variance": np.zeros_like(table), "width": 1.0}


def _imager() -> Any:
    polynomials = [Polynomial2D(2, c0_0=0.0, c1_0=0.11, c0_1=0.009, c2_0=1e-6), Polynomial2D(2, c0_0=0.0, c1_0=0.01, c0_1=-0.11, c1_1=2e-6)]
    model = Mapping((0, 1, 0, 1)) | polynomials[0] & polynomials[1] | Shift(-450.0) & Shift(-250.0)
    back = [Polynomial2D(1, c1_0=9.0, c0_1=0.7), Polynomial2D(1, c1_0=0.8, c0_1=-9.0)]
    model.inverse = Shift(450.0) & Shift(250.0) | Mapping((0, 1, 0, 1)) | back[0] & back[1]
    return Identity(2) | model


def _specwcs(path: str) -> None:
    y = np.arange(94.0, -292.0, -1.0)
    columns = {"X_CENTER": 0.1 + 2e-6 * (y + 90) ** 2, "Y_CENTER": y, "WAVELENGTH": 3.7 + 10 * np.sqrt((94 - y) / 390)}
    columns |= {f"{axis}{corner}": (20.0 if axis == "X" else y - 1) * np.ones_like(y) for axis in "XY" for corner in range(4)}
    columns["Y2"] = columns["Y3"] = y + 1
    table = fits.BinTableHDU.from_columns([fits.Column(name, "D", array=values) for name, values in columns.items()], name="WAVETABLE")
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "INSTRUME": "MIRI", "IMX": 326.1, "IMY": 300.7, "IMXSLTL": 38.5, "IMYSLTL": 829.0})
    fits.HDUList([primary, table]).writeto(path, overwrite=True)
