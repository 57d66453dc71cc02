"""Small slits and references for srctype, wavecorr, barshadow and photom, the same for this project and the reference implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from flat_photom_scene import _reference, _table

SHAPE = (9, 40)
ARRAYS = {"sci": "data", "err": "err", "dq": "dq", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise", "var_flat": "var_flat"}
PLANES = ("wavelength", "barshadow", "photom_point", "photom_uniform")
ATTRIBUTES = ("source_type", "source_xpos", "source_ypos", "wavelength_corrected", "barshadow_corrected")
PHOTOMETRY = ("conversion_megajanskys", "conversion_microjanskys", "pixelarea_steradians", "pixelarea_arcsecsq")

MOS: list[dict[str, Any]] = [
    {"name": "1", "source_type": "POINT", "stellarity": 0.9, "source_xpos": 0.31, "shutter_state": "1x1", "xcen": 3, "ycen": 2},
    {"name": "2", "source_type": "EXTENDED", "stellarity": 0.75, "source_xpos": -0.2, "shutter_state": "x10", "xcen": 4, "ycen": 2},
    {"name": "3", "source_type": "EXTENDED", "stellarity": 0.0, "shutter_state": "0x0011", "xcen": 9, "ycen": 9, "slit_yscale": None},
    {"name": "4", "source_type": "POINT", "stellarity": -1.0, "source_xpos": -0.44, "shutter_state": "x", "xcen": 5, "ycen": 5},
    {"name": "5", "source_type": "UNKNOWN", "stellarity": 0.751, "shutter_state": "101x", "xcen": 4, "ycen": 2, "quadrant": 3},
    {"name": "6", "source_type": "EXTENDED", "stellarity": 0.3, "shutter_state": "", "xcen": 3, "ycen": 2},
]
FS: list[dict[str, Any]] = [
    {"name": "S200A1", "source_type": "POINT", "source_xpos": -0.3},
    {"name": "S200A2", "source_type": "EXTENDED", "source_xpos": 0.2},
    {"name": "S1600A1", "source_type": "EXTENDED"},
    {"name": "S200B1", "source_type": "POINT", "source_xpos": 0.2},
]
SCENES = {"mos": ("NRS_MSASPEC", MOS), "fs": ("NRS_FIXEDSLIT", FS)}

SRCTYPE_CASES: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "mos": ("mos", {}, None), "fs": ("fs", {}, None), "fs_extended": ("fs", {}, "EXTENDED"), "fs_proposal": ("fs", {"source_type_apt": "EXTENDED"}, None),
    "fs_background": ("fs", {"bkgdtarg": True}, None), "fs_nod": ("fs", {"primary_type": "3-POINT-NOD"}, None),
}  # fmt: skip
"""Scene, metadata, the user's choice."""
WAVECORR_CASES = {"mos": ("mos", "wavecorr"), "fs": ("fs", "wavecorr"), "mos_folded": ("mos", "wavecorr_folded")}
BARSHADOW_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mos": ("mos", {}),
    "mos_inverse": ("mos", {"inverse": True}),
    "mos_extended": ("mos", {"source_type": "EXTENDED"}),
    "mos_point": ("mos", {"source_type": "point"}),
}
PHOTOM_CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "mos": ("mos", {}, "photom_mos"),
    "mos_inverse": ("mos", {"inverse": True}, "photom_mos"),
    "mos_extended": ("mos", {"source_type": "EXTENDED"}, "photom_mos"),
    "mos_point": ("mos", {"source_type": "point"}, "photom_mos"),
    "mos_no_row": ("mos", {}, "photom_mos_other"),
    "fs": ("fs", {}, "photom_fs"),
    "fs_inverse": ("fs", {"inverse": True}, "photom_fs"),
    "fs_no_time": ("fs", {"apply_time_correction": False}, "photom_fs"),
    "fs_point": ("fs", {"source_type": "POINT"}, "photom_fs"),
}
"""Scene, parameters, photom reference; fixed slits have been through wavecorr."""


def slits(scene: str) -> tuple[str, list[dict[str, Any]]]:
    """EXP_TYPE, and attributes and arrays of each slit; the WCS under "wcs"."""
    exp_type, given = SCENES[scene]
    rng = np.random.default_rng(17)
    out = []
    for number, attributes in enumerate(given):
        slit: dict[str, Any] = {
            "source_xpos": 0.0,
            "source_ypos": 0.05,
            "quadrant": 1,
            "slit_yscale": 1.14,
            "slitlet_id": number,
        } | attributes
        if scene == "fs":
            slit = {key: value for key, value in slit.items() if key not in ("quadrant", "slit_yscale", "slitlet_id")}
        sci, (var_poisson, var_rnoise, var_flat) = rng.normal(50, 20, SHAPE), rng.uniform(0.5, 4, (3, *SHAPE))
        dq = np.where(rng.random(SHAPE) < 0.06, 1, 0) | np.where(rng.random(SHAPE) < 0.06, 4, 0)
        sci[2, 3], var_rnoise[3, 5], var_flat[4, 7], var_flat[4, 8] = np.nan, np.nan, np.nan, 3e38
        arrays = {
            "data": sci,
            "err": np.sqrt(var_poisson + var_rnoise),
            "var_poisson": var_poisson,
            "var_rnoise": var_rnoise,
            "var_flat": var_flat,
        }
        slit |= {key: value.astype("f4") for key, value in arrays.items()} | {"dq": dq.astype("u4")}
        slit["wcs"] = wcs(0.01 * number)
        y, x = np.indices(SHAPE, dtype=float)
        wave = slit["wcs"].get_transform("detector", "slit_frame")(x, y)[2] * 1e6
        wave[0], wave[:, -1], wave[3, 7:9] = np.nan, np.nan, np.nan
        out.append(slit | {"wavelength": wave.astype("f4")})
    return exp_type, out


def describe(model: Any, exp_type: str) -> None:
    """Metadata of the exposure."""
    meta = model.meta
    meta.instrument.name, meta.instrument.detector, meta.instrument.filter, meta.instrument.grating = "NIRSPEC", "NRS1", "F170LP", "G235M"
    meta.instrument.fixed_slit = "S200A1" if exp_type == "NRS_FIXEDSLIT" else "NONE"
    meta.exposure.type, meta.exposure.mid_time, meta.exposure.nints = exp_type, 60123.25, 1
    meta.target.source_type_apt = "UNKNOWN"
    meta.bunit_data = meta.bunit_err = "DN/s"


def wcs(tilt: float) -> Any:
    """The WCS of a made-up slit: heights from -3.6 to 3.6, wavelengths from 1.7 to 3.2 micron, a sky of a few arcsec."""
    from astropy import units as u
    from astropy.coordinates import ICRS
    from astropy.modeling.models import Identity, Mapping, Polynomial2D, Scale, Shift
    from gwcs import WCS
    from gwcs import coordinate_frames as cf

    across = Polynomial2D(1, c0_0=0.0)
    along = Polynomial2D(2, c0_0=-3.6, c1_0=0.004 + tilt, c0_1=0.9, c1_1=1e-4)
    wave = Polynomial2D(2, c0_0=1.7e-6, c1_0=3.6e-8, c0_1=2e-9, c2_0=5e-11)
    to_slit = Mapping((0, 1, 0, 1, 0, 1)) | across & along & wave
    to_sky = (Scale(1e-4) | Shift(5.0)) & (Scale(1e-4) | Shift(-3.0)) & Scale(1e6)
    spectral = cf.SpectralFrame(name="spectral", axes_order=(2,), unit=(u.micron,), axes_names=("wavelength",))
    plane = cf.Frame2D(name="slit_spatial", axes_order=(0, 1), unit=("", ""), axes_names=("x_slit", "y_slit"))
    sky = cf.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=ICRS())
    frames = [
        cf.Frame2D(name="detector"),
        cf.CompositeFrame([plane, spectral], name="slit_frame"),
        cf.CompositeFrame([sky, spectral], name="world"),
    ]
    made = WCS([(frames[0], to_slit), (frames[1], to_sky | Identity(3)), (frames[2], None)])
    made.bounding_box = ((-0.5, SHAPE[1] - 0.5), (-0.5, SHAPE[0] - 0.5))
    return made


def write_references(folder: Path) -> None:
    """Write every reference file."""
    _wavecorr(folder)
    _barshadow(folder)
    _photom(folder)


def _wavecorr(folder: Path) -> None:
    import asdf
    from astropy.modeling.models import Tabular2D

    def aperture(name: str, scale: float) -> dict[str, Any]:
        wave, position = np.linspace(1.8e-6, 3e-6, 7), np.linspace(-0.5, 0.5, 5)
        table = scale * position * (1 + 1e5 * wave[:, None]) + 0.01
        return {
            "aperture_name": name,
            "zero_point_offset": Tabular2D(points=(wave, position), lookup_table=table, name="zero_point_offset"),
        }

    meta = {"author": "test", "description": "test", "pedigree": "DUMMY", "reftype": "WAVECORR", "telescope": "JWST", "useafter": "2022-01-01T00:00:00",
            "exposure": {"type": "NRS_MSASPEC"}, "instrument": {"name": "NIRSPEC", "detector": "NRS1"}, "origin": "test"}  # fmt: skip
    for name, scale in (("wavecorr", 1.0), ("wavecorr_folded", 4000.0)):
        tree = {"apertures": [aperture("MOS", scale), aperture("S200A1", 0.7 * scale)], "meta": {**meta, "model_type": "WaveCorrModel"}}
        asdf.AsdfFile(tree).write_to(folder / f"{name}.asdf")


def shadows() -> tuple[np.ndarray, np.ndarray]:
    """Transmission about an open shutter between closed ones, and between open ones (float32[1001, 101])."""
    rng, y = np.random.default_rng(23), np.linspace(-1, 1, 1001)[:, None]
    column = 1 + 0.05 * np.linspace(-1, 1, 101)
    single = 0.02 + 0.98 / (1 + np.exp((np.abs(y) - 0.43) / 0.03)) * column
    triple = 1 - 0.25 * np.exp(-0.5 * ((np.abs(y) - 0.5) / 0.05) ** 2) * column
    return tuple((plane + rng.normal(0, 0.001, plane.shape)).astype("f4") for plane in (single, triple))  # type: ignore[return-value]


def _barshadow(folder: Path) -> None:
    from stdatamodels.jwst import datamodels

    model = datamodels.BarshadowModel()
    model.data1x1, model.data1x3 = shadows()
    model.crval1, model.crpix1, model.cdelt1 = 1.6e-6, 1.0, 1.5e-8
    model.crval2, model.crpix2, model.cdelt2 = -1.0, 1.0, 0.002
    _reference(model, "NIRSPEC", "BARSHADOW")
    model.save(str(folder / "barshadow.fits"))


def _photom(folder: Path) -> None:
    from stdatamodels.jwst import datamodels

    n = 30
    curve = [("nelem", "i2"), ("wavelength", "f4", (n,)), ("relresponse", "f4", (n,)), ("reluncertainty", "f4", (n,))]
    setting = [("filter", "S12"), ("grating", "S15")]
    wave, response = np.linspace(1.75, 3.3, n), 1 + 0.3 * np.cos(np.arange(n) / 3)
    response[4], wave[20:22] = 0, wave[21:19:-1]
    tail = (27, wave, response, response)
    for name, grating in (("photom_mos", "G235M"), ("photom_mos_other", "G140M")):
        model = datamodels.NrsMosPhotomModel()
        _table(model, "phot_table", [("F170LP", grating, 3e-12, 0, *tail)], [*setting, ("photmj", "f4"), ("uncertainty", "f4"), *curve])
        _table(model, "timecoeff_linear", [("F170LP", grating, 59700.5, 0.03)], [*setting, ("t0", "f4"), ("lossperyear", "f4")])
        _reference(model, "NIRSPEC", "PHOTOM")
        model.save(str(folder / f"{name}.fits"))
    model, names = datamodels.NrsFsPhotomModel(), ("S200A1", "S200A2", "S200B1")
    setting.append(("slit", "S15"))
    rows = [("F170LP", "G235M", name, 1e-12 * (i + 1), 0, *tail) for i, name in enumerate(names)]
    _table(model, "phot_table", rows, [*setting, ("photmj", "f4"), ("uncertainty", "f4"), *curve])
    _table(
        model,
        "timecoeff_linear",
        [("F170LP", "G235M", name, 59700.5, 0.02) for name in names],
        [*setting, ("t0", "f4"), ("lossperyear", "f4")],
    )
    _reference(model, "NIRSPEC", "PHOTOM")
    model.save(str(folder / "photom_fs.fits"))
    area = datamodels.NirspecMosAreaModel()
    shutters = [(1, 3, 2, 0.021), (1, 4, 2, 0.022), (1, 9, 9, 0.023), (1, 9, 9, 0.024), (3, 4, 2, 0.025)]
    _table(area, "area_table", shutters, [("quadrant", "i2"), ("shutter_x", "i2"), ("shutter_y", "i2"), ("pixarea", "f4")])
    _reference(area, "NIRSPEC", "AREA")
    area.save(str(folder / "area_mos.fits"))
    area = datamodels.NirspecSlitAreaModel()
    _table(
        area,
        "area_table",
        [("S200A1", 0.02), ("S200A2", 0.0204), ("S200A2", 0.5), ("S1600A1", 0.168)],
        [("slit_id", "S15"), ("pixarea", "f4")],
    )
    _reference(area, "NIRSPEC", "AREA")
    area.save(str(folder / "area_fs.fits"))
