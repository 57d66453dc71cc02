"""Reference files of the mock NIRSpec for MOS and fixed slits."""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.simulate import nirspec_refs, optics, scene, shutters
from jwst_dask.simulate import slit_response as response
from jwst_dask.simulate.shelf import Shelf
from jwst_dask.simulate.shutters import FIXED, Opening

WIDTHS = {"NRS_MSASPEC": 5, "NRS_FIXEDSLIT": 6}
"""Rows that are extracted: nods of an MSA are 5.2 rows apart."""
MAP_STEP, MAP_EDGE = 0.025, 0.6
LOSS_WAVES = np.arange(52) * 1e-7 + 5e-7  # m
SHADOW_WAVES = np.arange(101) * 5e-8 + 5e-7  # the reference implementation takes just so many
SUBPIXELS, PSF_REACH = 5, 18


def make(shelf: Shelf, exp_type: str, grating: str, detectors: tuple[str, ...], rows: tuple[int, int], failed: list[Opening]) -> None:
    """Write every reference that a mode looks up.

    Parameters
    ----------
    shelf : Shelf
    exp_type : str
        ``NRS_MSASPEC`` or ``NRS_FIXEDSLIT``.
    grating : str
    detectors : tuple of str
    rows : (int, int)
        Rows whose pixels differ in the flats.
    failed : list of Opening
        Shutters that do not close.
    """
    base = {"META.EXPOSURE.TYPE": exp_type}
    nirspec_refs.write_optics(shelf, (grating,), base, shutters.geometry())
    msa = exp_type == "NRS_MSASPEC"
    _wavecorr(shelf, base, msa)
    for detector in detectors:
        _pixel_flats(shelf, base, detector, grating, rows)
    light = {"META.INSTRUMENT.FILTER": optics.filter_of(grating), "META.INSTRUMENT.GRATING": grating} | base
    (_fore_msa if msa else _fore_fixed)(shelf, light)
    _photom(shelf, base, grating, msa)
    _area(shelf, base, msa)
    _pathloss(shelf, base, msa)
    _extraction(shelf, base, grating, msa)
    if msa:
        _barshadow(shelf, base)
        states = [{"Q": o.quadrant, "x": o.row, "y": o.column, "state": "open", "TA state": "open", "Internal state": "normal", "Vignetted": "no"}
                  for o in failed]  # fmt: skip
        shelf.text("msaoper", "shutters that do not close", {"title": "MSA operability", "msaoper": states}, base)


def _wavecorr(shelf: Shelf, base: dict[str, str], msa: bool) -> None:
    from astropy.modeling import models as m
    from stdatamodels.jwst import datamodels as dm

    wavelength, position = np.linspace(0.5e-6, 5.7e-6, 27), np.linspace(-0.5, 0.5, 41)
    widths = {"MOS": shutters.OPEN[0]} if msa else {name: slit[2] for name, slit in FIXED.items()}
    apertures = []
    for name, width in widths.items():
        lookup = np.stack([response.zero_point(p, wavelength, width * shutters.ARCSEC) for p in position], axis=1)
        table = m.Tabular2D(points=(wavelength, position), lookup_table=lookup, bounds_error=False, fill_value=None, name="zero_point")
        apertures.append({"aperture_name": name, "variance": np.full(lookup.shape, 1e-4, "f4"), "zero_point_offset": table, "width": width})
    model = dm.WaveCorrModel()
    model.apertures = apertures
    tree = {"apertures": [dict(item.instance) if hasattr(item, "instance") else dict(item) for item in model.apertures]}
    shelf.tree("wavecorr", "zero points of wavelength", "WaveCorrModel", tree, base)


def _table(kind: str, levels: dict[str, float]) -> np.ndarray:
    n, wavelength = len(nirspec_refs.TABLE), nirspec_refs.TABLE
    table = np.zeros(len(levels), [("slit_name", "S15"), ("nelem", "i4"), ("wavelength", "f4", (n,)), ("data", "f4", (n,)), ("error", "f4", (n,))])
    for row, (name, level) in enumerate(levels.items()):
        table[row] = (name, n, wavelength, level * nirspec_refs.fast(kind, wavelength), 0.003 * nirspec_refs.fast(kind, wavelength))
    return table


def _pixel_flats(shelf: Shelf, base: dict[str, str], detector: str, grating: str, rows: tuple[int, int]) -> None:
    from stdatamodels.jwst import datamodels as dm

    (first, flags), (second, _) = (response.pixels("d", detector, which, rows) for which in (0, 1))
    model = dm.NirspecFlatModel(data=np.stack([first, second]), dq=flags, err=np.full(first.shape, 0.004, "f4"))
    model.wavelength = np.array([(w,) for w in nirspec_refs.D_PLANES], dtype=[("wavelength", "f4")])
    model.flat_table = _table("d", {"ANY": 1.0})
    shelf.model("dflat", f"D-flat {detector}", nirspec_refs.framed(model), {"META.INSTRUMENT.DETECTOR": detector} | base)
    data, flags = response.pixels("s", detector, 0, rows)
    model = dm.NirspecFlatModel(data=data, dq=flags, err=np.full(data.shape, 0.003, "f4"))
    model.flat_table = _table("s", {"ANY": 1.0})
    keys = {"META.INSTRUMENT.DETECTOR": detector, "META.INSTRUMENT.FILTER": optics.filter_of(grating), "META.INSTRUMENT.GRATING": grating}
    shelf.model("sflat", f"S-flat {detector} {grating}", nirspec_refs.framed(model), keys | base)


def _fore_fixed(shelf: Shelf, keys: dict[str, str]) -> None:
    from stdatamodels.jwst import datamodels as dm

    model = dm.NirspecFlatModel()
    model.flat_table = _table("f", {name: response.fixed_flat(name) for name in FIXED})
    shelf.model("fflat", "F-flat", model, keys)


def _fore_msa(shelf: Shelf, keys: dict[str, str]) -> None:
    from stdatamodels.jwst import datamodels as dm

    model = dm.NirspecQuadFlatModel()
    column, row = np.mgrid[1 : shutters.COLUMNS + 1, 1 : shutters.ROWS + 1]
    planes = np.arange(len(response.FORE_PLANES))[:, None, None]
    for quadrant in sorted(shutters.CENTRES):
        data = response.shutter_flat(quadrant, row, column, planes)
        model.quadrants.append({
            "data": data, "dq": np.zeros(data.shape, np.uint32), "err": np.full(data.shape, 0.002, "f4"), "flat_table": _table("f", {"ANY": 1.0}),
            "wavelength": np.array([(w,) for w in response.FORE_PLANES], dtype=[("wavelength", "f4")])})  # fmt: skip
    shelf.model("fflat", "F-flat of shutters", model, keys)


def _photom(shelf: Shelf, base: dict[str, str], grating: str, msa: bool) -> None:
    from stdatamodels.jwst import datamodels as dm

    n = 200
    lo, hi = nirspec_refs.span(grating)
    grid, level = np.linspace(lo - 0.1, hi + 0.1, n), nirspec_refs.photmj(grating)
    names = [("filter", "S12"), ("grating", "S15")] + ([] if msa else [("slit", "S15")])
    columns = [*names, ("photmj", "f4"), ("uncertainty", "f4"), ("nelem", "i2"), ("wavelength", "f4", (n,)), ("relresponse", "f4", (n,)),
               ("reluncertainty", "f4", (n,))]  # fmt: skip
    labels = [(optics.filter_of(grating), grating, *slit) for slit in ([()] if msa else [(name,) for name in FIXED])]
    rows = [(*label, level, 0.02 * level, n, grid, nirspec_refs.response(grating, grid), 0.01 * np.ones(n)) for label in labels]
    model = (dm.NrsMosPhotomModel if msa else dm.NrsFsPhotomModel)(phot_table=np.array(rows, dtype=columns))
    model.timecoeff_linear = np.array([(*label, *nirspec_refs.LOSS) for label in labels], dtype=[*names, ("t0", "f4"), ("lossperyear", "f4")])
    shelf.model("photom", "flux calibration", model, base)


def _area(shelf: Shelf, base: dict[str, str], msa: bool) -> None:
    from stdatamodels.jwst import datamodels as dm

    if not msa:
        rows = np.array(list(response.AREA.items()), dtype=[("slit_id", "S15"), ("pixarea", "f4")])
        shelf.model("area", "pixel areas", dm.NirspecSlitAreaModel(area_table=rows), base)
        return
    quadrant, column, row = (a.ravel() + 1 for a in np.mgrid[:4, : shutters.COLUMNS, : shutters.ROWS])
    rows = np.zeros(len(row), [("quadrant", "i2"), ("shutter_x", "i2"), ("shutter_y", "i2"), ("pixarea", "f4")])
    for name, values in zip(rows.dtype.names or (), (quadrant, row, column, response.shutter_area(quadrant, row, column))):
        rows[name] = values
    shelf.model("area", "pixel areas", dm.NirspecMosAreaModel(area_table=rows), base)


def _pathloss(shelf: Shelf, base: dict[str, str], msa: bool) -> None:
    from stdatamodels.jwst import datamodels as dm

    place = shutters.shutter(1, 1, 1)
    openings = [(Opening("MOS1x1", place), 1), (Opening("MOS1x3", place, (-1, 0, 1)), 3)] if msa else [(Opening(n, s), 1) for n, s in FIXED.items()]
    x = np.arange(-24, 25) * MAP_STEP
    wave = LOSS_WAVES * 1e6
    model = dm.PathlossModel()
    for opening, count in openings:
        y = np.arange(-24 * count, 24 * count + 1) * MAP_STEP
        data = _point_losses(opening, x, y, wave)
        axes = {"crpix1": 1.0, "crpix2": 1.0, "crpix3": 1.0, "crval1": float(x[0]), "crval2": float(y[0]), "crval3": float(LOSS_WAVES[0]),
                "cdelt1": MAP_STEP, "cdelt2": MAP_STEP, "cdelt3": 1e-7}  # fmt: skip
        plain = response.uniform(wave, msa).astype("f4")
        entry = {"name": opening.name, "pointsource_data": data, "pointsource_err": np.full_like(data, 1e-4), "uniform_data": plain,
                 "uniform_err": np.full_like(plain, 1e-4), "pointsource_wcs": axes,
                 "uniform_wcs": {"crpix1": 1.0, "crval1": float(LOSS_WAVES[0]), "cdelt1": 1e-7}}  # fmt: skip
        model.apertures.append(entry | ({"shutters": count} if msa else {}))
    shelf.model("pathloss", "losses at the slits", model, base)


def _point_losses(opening: Opening, x: np.ndarray, y: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """float32[wave, y, x]. Along the slit the map counts shutters; a place is so many open heights from the middle of the nearest."""
    spread = scene.sigma(wave)[:, None]
    number = np.clip(np.round(y), min(opening.shutters), max(opening.shutters))
    at = number * shutters.STEP + (y - number)
    width, height = opening.size
    across = response.through(x * width, width, spread)
    up = sum(scene.strip((k * shutters.STEP - at) * height, height, spread) for k in opening.shutters)
    return np.asarray(np.asarray(up)[:, :, None] * across[:, None, :]).astype("f4")


def _barshadow(shelf: Shelf, base: dict[str, str]) -> None:
    from stdatamodels.jwst import datamodels as dm

    place, height = shutters.shutter(1, 1, 1), np.linspace(-1, 1, 1001)[:, None] * shutters.STEP
    model = dm.BarshadowModel()
    for name, numbers in (("1x1", (0,)), ("1x3", (-1, 0, 1))):
        data = response.shadow(height, Opening(name, place, numbers), SHADOW_WAVES * 1e6).astype("f4")
        setattr(model, f"data{name}", data)
        setattr(model, f"var{name}", np.full_like(data, 1e-6))
    model.crval1, model.cdelt1, model.crval2, model.cdelt2 = float(SHADOW_WAVES[0]), 5e-8, -1.0, 0.002
    shelf.model("barshadow", "shadows of the bars", model, base)


def _extraction(shelf: Shelf, base: dict[str, str], grating: str, msa: bool) -> None:
    from stdatamodels.jwst import datamodels as dm

    names = ["ANY"] if msa else list(FIXED)
    width = WIDTHS[base["META.EXPOSURE.TYPE"]]
    apertures: list[dict[str, Any]] = [
        {"id": name, "region_type": "target", "dispaxis": 1, "extract_width": width, "use_source_posn": True} for name in names
    ]
    shelf.text("extract1d", "extraction apertures", {"apertures": apertures}, base)
    wavelength, sizes, phases = np.linspace(0.5, 5.7, 105), np.array([2.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0]), np.array([0.0, 0.25, 0.5])
    nw, ns, nph = len(wavelength), len(sizes), len(phases)
    size = np.repeat(sizes[:, None], nw, axis=1)
    factor = 1 / scene.strip(np.zeros(1), size * response.PIXEL_ARCSEC, scene.sigma(wavelength)[None])
    cube = np.repeat(factor[..., None], nph, axis=2)
    label = [("filter", "S12"), ("grating", "S15")] + ([] if msa else [("slit", "S15")])
    columns = [*label, ("wavelength", "f4", (nw,)), ("nelem_wl", "i2"), ("size", "f4", (ns, nw)), ("nelem_size", "i2"), ("pixphase", "f4", (nph,)),
               ("apcorr", "f4", (ns, nw, nph)), ("apcorr_err", "f4", (ns, nw, nph))]  # fmt: skip
    labels = [(optics.filter_of(grating), grating, *slit) for slit in ([()] if msa else [(name,) for name in FIXED])]
    rows = [(*text, wavelength, nw, size, ns, phases, cube, 1e-3 * cube) for text in labels]
    model = (dm.NrsMosApcorrModel if msa else dm.NrsFsApcorrModel)(apcorr_table=np.array(rows, dtype=columns))
    model.sizeunit = "pixels"
    shelf.model("apcorr", "aperture correction", model, base)
    wave, offset = np.linspace(0.5, 5.7, 160), np.arange(-PSF_REACH * SUBPIXELS, PSF_REACH * SUBPIXELS + 1) / SUBPIXELS
    profile = scene.strip(offset[:, None] * response.PIXEL_ARCSEC, response.PIXEL_ARCSEC, scene.sigma(wave)[None])
    model = dm.SpecPsfModel()
    for name in names:
        model.apertures.append({"name": name, "subpix": float(SUBPIXELS), "center_col": 0.0, "center_row": float(PSF_REACH * SUBPIXELS),
                                "data": profile.copy(), "wave": wave.copy()})  # fmt: skip
    shelf.model("psf", "cross-dispersion profile", model, base)
