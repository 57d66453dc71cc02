"""Small slits and references for flat_field and pathloss, the same for this project and the reference implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from flat_photom_scene import DNU, NFF, _nirspec_flats, _reference, _table

SHAPE = (6, 26)
ARRAYS = {"sci": "data", "err": "err", "dq": "dq", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise", "var_flat": "var_flat"}
KEPT = {"flat": ("sci", "err", "dq", "var_rnoise", "var_flat"), "pathloss": ("sci", "dq", "var_rnoise")}
"""Arrays that values are kept of."""
ATTRIBUTES = ("flatfield_point", "flatfield_uniform", "pathloss_point", "pathloss_uniform", "pathloss_correction_type")
SLITS: dict[str, list[dict[str, Any]]] = {
    "mos": [
        {"name": "1", "shutter_state": "1x1", "source_xpos": 0.2, "source_ypos": -0.31, "source_type": "POINT", "quadrant": 1, "xcen": 3, "ycen": 2},
        {"name": "2", "shutter_state": "x11", "source_xpos": -0.33, "source_ypos": 0.12, "source_type": "POINT", "quadrant": 3, "xcen": 1, "ycen": 1},
        {"name": "3", "shutter_state": "11x", "source_xpos": 0.1, "source_ypos": 0.2, "source_type": "EXTENDED", "quadrant": 4, "xcen": 12, "ycen": 10},
        {"name": "4", "shutter_state": "x", "source_xpos": 0.05, "source_ypos": 0.4, "source_type": "POINT", "quadrant": 2, "xcen": 5, "ycen": 4},
        {"name": "5", "shutter_state": "1x", "source_xpos": 0.1, "source_ypos": 0.1, "source_type": "EXTENDED", "quadrant": 2, "xcen": 6, "ycen": 4},
        {"name": "6", "shutter_state": "x1", "source_xpos": 0.0, "source_ypos": 0.0, "source_type": "POINT", "quadrant": 2, "xcen": 6, "ycen": 5},
        {"name": "7", "shutter_state": "1110x", "source_xpos": 0.1, "source_ypos": 0.1, "source_type": "POINT", "quadrant": 1, "xcen": 7, "ycen": 5},
        {"name": "8", "shutter_state": "11x11", "source_xpos": 0.1, "source_ypos": 0.1, "source_type": "POINT", "quadrant": 1, "xcen": 8, "ycen": 5},
        {"name": "9", "shutter_state": "x", "source_xpos": 0.7, "source_ypos": 0.1, "source_type": "POINT", "quadrant": 1, "xcen": 9, "ycen": 5},
        {"name": "10", "shutter_state": "1x1", "source_type": "UNKNOWN", "quadrant": 1, "xcen": 9, "ycen": 6},
    ],
    "fs": [
        {"name": "S200A1", "source_xpos": 0.2, "source_ypos": -0.31, "source_type": "POINT"},
        {"name": "S1600A1", "source_xpos": 0.0, "source_ypos": 0.1, "source_type": "EXTENDED"},
        {"name": "S200A1", "source_xpos": 0.3, "source_ypos": 0.1, "source_type": "POINT", "plain": True},
    ],
    "lamp": [{"name": "S200A1", "source_type": "EXTENDED"}, {"name": "S1600A1", "source_type": "UNKNOWN"}],
}  # fmt: skip
EXP_TYPES = {"mos": "NRS_MSASPEC", "fs": "NRS_FIXEDSLIT", "lamp": "NRS_LAMP"}
NONE = {"fflat": "N/A", "sflat": "N/A", "dflat": "N/A"}
FLAT_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mos": ("mos", {"fflat": "fflat_mos", "sflat": "sflat3", "dflat": "dflat"}),
    "mos_inverse": ("mos", {"fflat": "fflat_mos", "sflat": "sflat3", "dflat": "dflat", "inverse": True}),
    "mos_user": ("mos", {"user_supplied_flat": "user_mos"}),
    "mos_no_fflat": ("mos", {"fflat": "N/A", "sflat": "sflat", "dflat": "dflat1"}),
    "fs": ("fs", {"fflat": "fflat", "sflat": "sflat", "dflat": "dflat"}),
    "fs_inverse": ("fs", {"fflat": "fflat", "sflat": "sflat", "dflat": "dflat3", "inverse": True}),
    "lamp_line": ("lamp", {"fflat": "N/A", "sflat": "sflat", "dflat": "dflat"}),
    "lamp_flat": ("lamp", {"fflat": "N/A", "sflat": "N/A", "dflat": "dflat"}),
    "lamp_none": ("lamp", NONE),
}
PATHLOSS_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mos": ("mos", {"pathloss": "pathloss_mos"}),
    "mos_inverse": ("mos", {"pathloss": "pathloss_mos", "inverse": True}),
    "mos_extended": ("mos", {"pathloss": "pathloss_mos", "source_type": "EXTENDED"}),
    "mos_point": ("mos", {"pathloss": "pathloss_mos", "source_type": "point"}),
    "mos_no_pair": ("mos", {"pathloss": "pathloss_more"}),
    "mos_singles": ("mos", {"pathloss": "pathloss_one"}),
    "fs": ("fs", {"pathloss": "pathloss_fs"}),
    "fs_inverse": ("fs", {"pathloss": "pathloss_fs", "inverse": True, "source_type": "EXTENDED"}),
    "fs_point": ("fs", {"pathloss": "pathloss_fs", "source_type": "POINT"}),
}


def arguments(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a case, with every reference given by path."""
    references = {name: value for name, value in given.items() if name in ("fflat", "sflat", "dflat", "pathloss")}
    out = {name: value for name, value in given.items() if name not in references}
    if "pathloss" not in references:
        references = {"flat": "N/A"} | NONE | references
    if "user_supplied_flat" in out:
        out["user_supplied_flat"] = str(folder / f"{out['user_supplied_flat']}.fits")
    return out | {f"override_{name}": value if value == "N/A" else str(folder / f"{value}.fits") for name, value in references.items()}


def exposure(scene: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the exposure and each of its slits have before flat_field; wavelengths in micron, corrected where `shift` is not 0."""
    rng = np.random.default_rng(5)
    slits = []
    for k, given in enumerate(SLITS[scene]):
        slit = {key: value for key, value in given.items() if key != "plain"}
        sci = rng.normal(50, 20, SHAPE).astype("f4")
        poisson, noise = (rng.uniform(0.5, 4, SHAPE).astype("f4") for _ in range(2))
        dq = np.zeros(SHAPE, "u4")
        dq[rng.random(SHAPE) < 0.06] |= DNU
        sci[2, 3], poisson[3, 3], poisson[4, 4] = np.nan, np.nan, -9
        slit |= {"data": sci, "err": np.sqrt(np.abs(poisson + noise)), "dq": dq, "var_poisson": poisson, "var_rnoise": noise}
        slit |= {"xstart": 3 + k % 8, "xsize": SHAPE[1], "ystart": 1 + 3 * k, "ysize": SHAPE[0]}
        slit["shift"] = 0.02 if scene == "fs" and not given.get("plain") and given["source_type"] == "POINT" else 0.0
        slit["wavelength"] = (wavelengths() + slit["shift"]).astype("f4")
        slits.append(slit)
    return {"exp_type": EXP_TYPES[scene]}, slits


def wavelengths() -> np.ndarray:
    """Micron, float64, with gaps."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    wave = 0.95 + 0.078 * x + 0.01 * y
    wave[:, :2], wave[:, -1], wave[0], wave[3, 7:9], wave[:, 15] = np.nan, np.nan, np.nan, np.nan, np.nan
    return wave


def gwcs_of(slit: dict[str, Any]) -> Any:
    """A WCS that knows nothing but wavelengths, before and after wavecorr."""
    from astropy import coordinates, units
    from astropy.modeling.models import Identity, Mapping, Scale, Shift, Tabular2D
    from gwcs import WCS, coordinate_frames

    wave = wavelengths()
    points = np.arange(SHAPE[0]), np.arange(SHAPE[1])
    look_up = Tabular2D(points, wave * 1e-6, bounds_error=False, fill_value=np.nan)
    look_up.inverse = Identity(2)
    detector = coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    sky = coordinate_frames.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=coordinates.ICRS(), unit=(units.deg, units.deg))
    world = coordinate_frames.CompositeFrame(
        [sky, coordinate_frames.SpectralFrame(name="spectral", axes_order=(2,), unit=(units.um,))], name="world"
    )
    steps = [(detector, Mapping((0, 1, 1, 0)) | Identity(2) & look_up)]
    middle = ("slit_frame", "wavecorr_frame") if slit["shift"] else ("slit_frame",)
    shift = Identity(2) & Shift(slit["shift"] * 1e-6)
    for name in middle:
        frame = coordinate_frames.CoordinateFrame(3, ("SPATIAL",) * 3, (0, 1, 2), unit=("", "", "m"), name=name)
        steps.append((frame, Identity(2) & Scale(1e6) if name == middle[-1] else shift))
    return WCS([*steps, (world, None)])


def write_all(folder: Path) -> None:
    """Write every reference file as FITS."""
    from stdatamodels.jwst import datamodels

    _nirspec_flats(folder)
    rng = np.random.default_rng(31)
    model = datamodels.NirspecQuadFlatModel()
    n, planes = 100, 4
    dtype = [("slit_name", "S15"), ("nelem", "i4"), ("wavelength", "f4", (n,)), ("data", "f4", (n,)), ("error", "f4", (n,))]
    for k in range(4):
        wave, data, error = np.linspace(0.9, 2.85, n), rng.uniform(0.4, 0.9, n), rng.uniform(0.001, 0.02, n)
        data[10], data[20], wave[30], error[40] = np.nan, 0, np.nan, np.nan
        model.quadrants.append({})
        quadrant = model.quadrants[k]
        quadrant.data = rng.uniform(0.8, 1.2, (planes, 10, 12)).astype("f4")
        quadrant.err = rng.uniform(0.01, 0.05, (planes, 10, 12)).astype("f4")
        quadrant.dq = np.full((planes, 10, 12), NFF, "u4")  # which nobody looks at
        if k == 1:
            quadrant.data[1, 3, 4] = np.nan
        _table(quadrant, "wavelength", [(w,) for w in np.linspace(1.1, 2.7, planes)], [("wavelength", "f4")])
        _table(quadrant, "flat_table", [("ANY", 95, wave, data, error)], dtype)
    _reference(model, "NIRSPEC", "FFLAT")
    model.save(str(folder / "fflat_mos.fits"))
    _user_flat(folder, rng)
    one, three = ("MOS1x1", 1, 25), ("MOS1x3", 3, 73)
    for name, rows in (("mos", (one, three)), ("more", (one, three, ("MOS1x5", 5, 73))), ("one", (one,)),
                       ("fs", (("S1600A1", None, 25), ("S200A1", None, 25)))):  # fmt: skip
        _pathloss(folder / f"pathloss_{name}.fits", rows)


def _user_flat(folder: Path, rng: np.random.Generator) -> None:
    from stdatamodels.jwst import datamodels

    user = datamodels.MultiSlitModel()
    for slit in SLITS["mos"]:
        item = datamodels.SlitModel()
        item.data, item.err = rng.uniform(0.8, 1.2, SHAPE).astype("f4"), rng.uniform(0.01, 0.05, SHAPE).astype("f4")
        item.dq = np.zeros(SHAPE, "u4")
        item.data[1, 1], item.data[2, 2], item.dq[3, 3], item.dq[4, 4], item.err[5, 6] = np.nan, 0, DNU, NFF, np.nan
        item.name = slit["name"]
        user.slits.append(item)
    user.save(str(folder / "user_mos.fits"))


def pathloss_map(shutters: int, rows: int, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Losses of a point (float32[wave, y, x]) and of uniform light (float32[wave])."""
    y, x = np.mgrid[:rows, :25] * 0.05 - np.array([(rows - 1) / 2, 12])[:, None, None] * 0.05
    wave = np.arange(16)[:, None, None]
    edge = 0.5 * (shutters or 1)
    point = (0.97 - 0.01 * wave) / (1 + (x / 0.5) ** 6 + (y / edge) ** 8) + 0.01 * number + 0.02 * x - 0.01 * y
    return point.astype("f4"), (0.98 - 0.004 * np.arange(16) - 0.03 / (shutters or 1)).astype("f4")


def _pathloss(path: Path, rows: tuple[tuple[str, int | None, int], ...]) -> None:
    primary = fits.PrimaryHDU()
    primary.header.update(TELESCOP="JWST", INSTRUME="NIRSPEC", REFTYPE="PATHLOSS", DATAMODL="PathlossModel", FILENAME=path.name,
                          AUTHOR="test", PEDIGREE="DUMMY", DESCRIP="test", USEAFTER="2022-01-01T00:00:00", EXP_TYPE="NRS_MSASPEC" if rows[0][1] else "NRS_FIXEDSLIT")  # fmt: skip
    hdus = fits.HDUList([primary])
    for k, (name, shutters, height) in enumerate(rows):
        point, uniform = pathloss_map(shutters or 1, height, k)
        ps, uni = fits.ImageHDU(point, name="PS", ver=k + 1), fits.ImageHDU(uniform, name="UNI", ver=k + 1)
        ps.header["APERTURE"] = name
        if shutters:
            ps.header["SHUTTERS"] = shutters
        for axis, low, step in ((1, -0.6, 0.05), (2, -(height - 1) / 2 * 0.05, 0.05), (3, 1.0e-6, 1.2e-7)):
            ps.header.update({f"CRPIX{axis}": 1.0, f"CRVAL{axis}": low, f"CDELT{axis}": step})
        uni.header.update(CRPIX1=1.0, CRVAL1=1.0e-6, CDELT1=1.2e-7)
        hdus += [ps, uni]
    hdus.writeto(path)
