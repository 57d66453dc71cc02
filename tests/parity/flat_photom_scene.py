"""Small exposures and reference files for flat_field and photom, the same for this project and the reference implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

NFF, DNU, UNRELIABLE = 1 << 18, 1, 1 << 25
LAW_COLUMNS = {
    "timecoeff_linear": ("t0", "lossperyear"),
    "timecoeff_exponential": ("t0", "amplitude", "tau", "const"),
    "timecoeff_powerlaw": ("t0", "year1value", "tsoft", "alpha"),
}
ARRAYS = {"sci": "data", "err": "err", "dq": "dq", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise", "var_flat": "var_flat"}

FLAT_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "nrs": ("nrs", {}),
    "nrs_inverse": ("nrs", {"inverse": True}),
    "nrs_planes": ("nrs", {"override_dflat": "dflat3"}),
    "nrs_one_plane": ("nrs", {"override_dflat": "dflat1", "override_sflat": "sflat3"}),
    "nrs_no_fflat": ("nrs", {"override_fflat": "N/A"}),
    "nrs_sflat_only": ("nrs", {"override_fflat": "N/A", "override_dflat": "N/A"}),
    "nrs_none": ("nrs", {"override_fflat": "N/A", "override_sflat": "N/A", "override_dflat": "N/A"}),
    "nrs_user": ("nrs", {"user_supplied_flat": "user"}),
    "nrs_vertical": ("nrs_vertical", {}),
    "nrs_2d": ("nrs_2d", {}),
    "lrs": ("lrs", {}),
    "lrs_inverse": ("lrs", {"inverse": True}),
    "lrs_matching": ("lrs", {"override_flat": "flat_matching"}),
    "lrs_user": ("lrs", {"user_supplied_flat": "flat_matching"}),
    "lrs_2d": ("lrs_2d", {}),
}
PHOTOM_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "nrs": ("nrs", {}),
    "nrs_inverse": ("nrs", {"inverse": True}),
    "nrs_extended": ("nrs", {"source_type": "EXTENDED"}),
    "nrs_lower_case": ("nrs", {"source_type": "point"}),
    "nrs_no_time": ("nrs", {"apply_time_correction": False}),
    "nrs_metres": ("nrs", {"override_photom": "photom_metres"}),
    "nrs_no_row": ("nrs", {"override_photom": "photom_no_row"}),
    "nrs_other_area": ("nrs", {"source_type": "EXTENDED", "override_area": "area_other"}),
    "nrs_2d": ("nrs_2d", {}),
    "lrs": ("lrs", {}),
    "lrs_inverse": ("lrs", {"inverse": True, "apply_time_correction": False}),
    "lrs_area": ("lrs", {"override_area": "area_plane"}),
    "lrs_generic": ("lrs", {"override_photom": "photom_generic"}),
}
DEFAULTS = {
    "nrs": {"flat": "N/A", "fflat": "fflat", "sflat": "sflat", "dflat": "dflat", "photom": "photom_nrs", "area": "area_slits"},
    "lrs": {"flat": "flat", "fflat": "N/A", "sflat": "N/A", "dflat": "N/A", "photom": "photom_lrs", "area": "N/A"},
}


def arguments(folder: Path, scene: str, given: dict[str, Any], reftypes: tuple[str, ...]) -> dict[str, Any]:
    """Parameters of a case, with every reference given by path."""
    out = {f"override_{reftype}": DEFAULTS[scene[:3]][reftype] for reftype in reftypes} | given
    files = {name: name for name in out if name.startswith("override_") or name == "user_supplied_flat"}
    return {name: str(folder / f"{value}.fits") if name in files and value != "N/A" else value for name, value in out.items()}


def write_all(folder: Path) -> None:
    """Write every exposure and reference file as FITS."""
    _nirspec_flats(folder)
    _image_flats(folder)
    _photoms(folder)
    for name in ("nrs", "nrs_vertical", "nrs_2d", "lrs", "lrs_2d"):
        model = exposure(name)
        model.save(str(folder / f"exposure_{name}.fits"))


def exposure(name: str) -> Any:
    """An exposure as it is before flat_field: a spectrum cut out, with wavelengths, bad pixels and missing values."""
    from stdatamodels.jwst import datamodels

    rng = np.random.default_rng(11)
    ny, nx = (7, 22) if name.startswith("nrs") else (9, 6)
    shape = (2, ny, nx)
    sci = rng.normal(50, 20, shape).astype("f4")
    var_poisson, var_rnoise = (rng.uniform(0.5, 4, shape).astype("f4") for _ in range(2))
    dq = np.zeros(shape, "u4")
    dq[rng.random(shape) < 0.06] |= DNU
    dq[rng.random(shape) < 0.06] |= 4
    sci[0, 2, 3], var_poisson[1, 3, 3], var_rnoise[0, 3, 5], var_poisson[0, 4, 4] = np.nan, np.nan, np.nan, -9
    err = np.sqrt(np.abs(var_poisson + var_rnoise))
    planes = (sci, err, dq, var_poisson, var_rnoise)
    if name.endswith("_2d"):
        planes = tuple(plane[0] for plane in planes)
    model = datamodels.SlitModel()
    model.data, model.err, model.dq, model.var_poisson, model.var_rnoise = planes
    (_describe_nrs if name.startswith("nrs") else _describe_lrs)(model, "vertical" in name)
    model.meta.exposure.mid_time = 60123.25
    model.meta.exposure.integration_start, model.meta.exposure.integration_end = 1, 2
    model.meta.target.source_type = "POINT"
    model.meta.bunit_data = model.meta.bunit_err = "DN/s"
    return model


def _describe_nrs(model: Any, vertical: bool) -> None:
    ny, nx = model.data.shape[-2:]
    meta = model.meta
    meta.instrument.name, meta.instrument.detector, meta.instrument.filter, meta.instrument.grating = "NIRSPEC", "NRS1", "CLEAR", "PRISM"
    meta.exposure.type, meta.wcsinfo.dispersion_direction = "NRS_BRIGHTOBJ", 2 if vertical else 1
    meta.subarray.name, meta.subarray.xstart, meta.subarray.ystart, meta.subarray.xsize, meta.subarray.ysize = "SUB512", 11, 5, 32, 24
    model.name, model.xstart, model.ystart, model.xsize, model.ysize = "S1600A1", 3, 2, nx, ny
    y, x = np.mgrid[:ny, :nx]
    wave = (1.0 + (0.35 * y + 0.01 * x if vertical else 0.11 * x + 0.01 * y)).astype("f4")
    if vertical:
        wave[0], wave[3, 2:5], wave[4, 7] = np.nan, np.nan, 0
    else:
        wave[:, :2], wave[:, -1], wave[0], wave[3, 7:9], wave[2, 9], wave[:, 15] = np.nan, np.nan, np.nan, 0, -1, np.nan
    model.wavelength = wave


def _describe_lrs(model: Any, _: bool) -> None:
    ny, nx = model.data.shape[-2:]
    meta = model.meta
    meta.instrument.name, meta.instrument.detector, meta.instrument.filter = "MIRI", "MIRIMAGE", "P750L"
    meta.exposure.type, meta.wcsinfo.dispersion_direction = "MIR_LRS-SLITLESS", 2
    meta.subarray.name, meta.subarray.xstart, meta.subarray.ystart, meta.subarray.xsize, meta.subarray.ysize = "SLITLESSPRISM", 3, 4, nx, ny
    model.xstart, model.ystart, model.xsize, model.ysize = 3, 4, nx, ny
    y, x = np.mgrid[:ny, :nx]
    wave = (13.0 - 1.1 * y + 0.01 * x).astype("f4")
    wave[:, 0] = np.nan
    model.wavelength = wave


def _table(model: Any, name: str, rows: list[tuple[Any, ...]], dtype: list[Any]) -> None:
    setattr(model, name, np.array(rows, dtype=dtype))


def _nirspec_flats(folder: Path) -> None:
    from stdatamodels.jwst import datamodels

    n = 120
    dtype = [("slit_name", "S15"), ("nelem", "i4"), ("wavelength", "f4", (n,)), ("data", "f4", (n,)), ("error", "f4", (n,))]

    def fast(model: Any, names: tuple[str, ...], seed: int, top: float = 2.9) -> None:
        rng, rows = np.random.default_rng(seed), []
        for name in names:
            wave = np.linspace(0.9, top, n)
            data = 0.7 + 0.5 * np.sin(3 * wave + rng.uniform(0, 6)) ** 2
            error = rng.uniform(0.001, 0.02, n)
            data[10], data[20], wave[30], error[40] = np.nan, 0, np.nan, np.nan
            rows.append((name, 110, wave, data, error))
        _table(model, "flat_table", rows, dtype)

    rng = np.random.default_rng(3)
    fflat = datamodels.NirspecFlatModel()
    fast(fflat, ("S200A1", "S1600A1"), 1)
    table = np.array(fflat.flat_table)
    table["data"][1, 60:64] = -0.2
    fflat.flat_table = table
    models = {"fflat": fflat}
    for name, planes, deep in (("sflat", 0, False), ("sflat3", 3, True), ("dflat", 3, False), ("dflat3", 3, True), ("dflat1", 1, False)):
        shape = (planes, 40, 48) if planes else (40, 48)
        model = datamodels.NirspecFlatModel()
        model.data = rng.uniform(0.8, 1.2, shape).astype("f4")
        model.err = rng.uniform(0.01, 0.05, shape if deep else shape[-2:]).astype("f4")
        model.dq = np.zeros(shape if deep else shape[-2:], "u4")
        for flag, share in ((DNU, 0.03), (NFF, 0.03), (4, 0.05)):
            model.dq[rng.random(model.dq.shape) < share] |= flag
        model.data[..., 9, 16], model.data[..., 10, 20], model.data[..., 11, 25] = np.nan, 0, -0.5
        if planes:
            model.data[0, 9, 30] = np.nan
            _table(model, "wavelength", [(w,) for w in np.linspace(1.2, 2.8, planes)] + [(np.nan,), (0,)], [("wavelength", "f4")])
        fast(model, ("ANY",), planes + 5, 3.1)
        models[name] = model
    for name, model in models.items():
        _reference(model, "NIRSPEC", name[:5].upper())
        model.save(str(folder / f"{name}.fits"))
    user = datamodels.ImageModel()
    user.data, user.err = rng.uniform(0.8, 1.2, (7, 22)).astype("f4"), rng.uniform(0.01, 0.05, (7, 22)).astype("f4")
    user.dq = np.zeros((7, 22), "u4")
    user.data[1, 1], user.data[2, 2], user.dq[3, 3], user.dq[4, 4], user.err[5, 5] = np.nan, 0, DNU, NFF, np.nan
    user.save(str(folder / "user.fits"))


def _image_flats(folder: Path) -> None:
    from stdatamodels.jwst import datamodels

    rng = np.random.default_rng(8)
    for name, shape, corner in (("flat", (14, 12), (1, 2)), ("flat_matching", (9, 6), (3, 4))):
        model = datamodels.FlatModel()
        model.data, model.err = rng.uniform(0.8, 1.2, shape).astype("f4"), rng.uniform(0.01, 0.05, shape).astype("f4")
        model.dq = np.zeros(shape, "u4")
        model.data[6, 3], model.data[7, 4], model.dq[5, 5], model.dq[8, 5], model.dq[4, 4] = np.nan, 0, 4, 2, 1
        names = ((0, 1, "DO_NOT_USE"), (1, 2, "NO_FLAT_FIELD"), (2, 4, "UNRELIABLE_FLAT"), (3, 8, "UNHEARD_OF"))
        _table(
            model, "dq_def", [(b, v, n, "") for b, v, n in names], [("BIT", "i4"), ("VALUE", "i4"), ("NAME", "S40"), ("DESCRIPTION", "S80")]
        )
        area = model.meta.subarray
        area.name, area.xstart, area.ystart, area.xsize, area.ysize = "SLITLESSPRISM", *corner, shape[1], shape[0]
        _reference(model, "MIRI", "FLAT")
        # the flags stand for themselves in the file, not for what the table says on creation
        model.save(str(folder / f"{name}.fits"))


def _photoms(folder: Path) -> None:
    from stdatamodels.jwst import datamodels

    n = 30
    curve = [("nelem", "i2"), ("wavelength", "f4", (n,)), ("relresponse", "f4", (n,)), ("reluncertainty", "f4", (n,))]
    nrs = [("filter", "S12"), ("grating", "S15"), ("slit", "S15"), ("photmj", "f4"), ("uncertainty", "f4"), *curve]
    lrs = [("filter", "S12"), ("subarray", "S17"), ("photmjsr", "f4"), ("uncertainty", "f4"), *curve]
    low, high = np.linspace(1.2, 2.9, n), np.linspace(12.4, 5.0, n)
    response = 1 + 0.3 * np.cos(np.arange(n) / 3)
    response[7] = 0
    slits = [("CLEAR", "PRISM", slit, 1e-12 * (i + 1)) for i, slit in enumerate(("S200A1", "S1600A1"))]
    linear = [(*row[:3], 59700.5, 0.03 * (i + 1)) for i, row in enumerate(slits)]
    for name, scale, grating in (("photom_nrs", 1.0, "PRISM"), ("photom_metres", 1e-6, "PRISM"), ("photom_no_row", 1.0, "G140M")):
        model = datamodels.NrsFsPhotomModel()
        _table(model, "phot_table", [(r[0], grating, r[2], r[3], 0, 27, low * scale, response, response) for r in slits], nrs)
        _table(model, "timecoeff_linear", [(r[0], grating, *r[2:]) for r in linear], [*nrs[:3], ("t0", "f4"), ("lossperyear", "f4")])
        _reference(model, "NIRSPEC", "PHOTOM")
        model.save(str(folder / f"{name}.fits"))
    laws = {"timecoeff_linear": (59700.5, 0.02), "timecoeff_exponential": (59700.5, 0.2, 150.0, 0.85),
            "timecoeff_powerlaw": (59700.5, 0.8, 20.0, -0.1)}  # fmt: skip
    for name, kind in (("photom_lrs", "SLITLESSPRISM"), ("photom_generic", "GENERIC")):
        model = datamodels.MirLrsPhotomModel()
        _table(
            model,
            "phot_table",
            [("P750L", kind, 40.0, 0, 30, high, response, response), ("P750L", "FULL", 9, 0, 30, high, response, response)],
            lrs,
        )
        for law, values in laws.items():
            _table(model, law, [("P750L", kind, *values), ("P750L", "FULL", *values)], [*lrs[:2], *((c, "f4") for c in LAW_COLUMNS[law])])
        model.meta.photometry.pixelarea_steradians, model.meta.photometry.pixelarea_arcsecsq = 2.8e-13, 0.0121
        _reference(model, "MIRI", "PHOTOM")
        model.save(str(folder / f"{name}.fits"))
    for name, slit in (("area_slits", "S1600A1"), ("area_other", "S200A1")):
        model = datamodels.NirspecSlitAreaModel()
        _table(model, "area_table", [("S200A2", 0.02), (slit, 0.168)], [("slit_id", "S15"), ("pixarea", "f4")])
        _reference(model, "NIRSPEC", "AREA")
        model.save(str(folder / f"{name}.fits"))
    model = datamodels.PixelAreaModel()
    model.data = np.random.default_rng(2).uniform(0.9, 1.1, (14, 12)).astype("f4")
    model.meta.photometry.pixelarea_steradians, model.meta.photometry.pixelarea_arcsecsq = 2.9e-13, 0.0123
    _reference(model, "MIRI", "AREA")
    model.save(str(folder / "area_plane.fits"))


def _reference(model: Any, instrument: str, reftype: str) -> None:
    meta = model.meta
    meta.instrument.name, meta.reftype, meta.author, meta.pedigree = instrument, reftype, "test", "DUMMY"
    meta.description, meta.useafter, meta.telescope = "test", "2022-01-01T00:00:00", "JWST"
