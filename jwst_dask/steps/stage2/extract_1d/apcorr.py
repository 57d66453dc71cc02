"""Aperture correction: one row of an APCORR reference as factors against the number of pixels, at every wavelength."""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.extract_1d.view import View

REMEDY = "set override_apcorr, or apply_apcorr to false"


def correction_tables(model: Any, view: View, path: str, slit: str, wavelength: np.ndarray,
                      position: tuple[float | None, float | None]) -> dict[str, Any]:  # fmt: skip
    """Factors against aperture size at each wavelength of a spectrum.

    Parameters
    ----------
    model : JwstDataModel
    view : GwcsView or SlitView
        Its WCS.
    path : str
        APCORR reference (NrsFsApcorrModel, NrsMosApcorrModel or MirLrsApcorrModel).
    slit : str
    wavelength : float64[wavelength]
        Micron.
    position : (float, float)
        Right ascension and declination where the pixel scale is taken, degrees.

    Returns
    -------
    dict
        ``sizes``, ``factors``: float64[size, wavelength]; ``fixed``: whether one number of pixels per wavelength
        (that of the first integration) serves all integrations.

    Raises
    ------
    ReferenceError_
        When the reference cannot be read or has not exactly one matching row.
    """
    nirspec = model.meta.instrument.name.upper() == "NIRSPEC"
    row, unit = _matching_row(model, path, slit, nirspec)
    size = np.asarray(row["size"])
    if unit.startswith("arcsec"):
        at = (*position, float(np.median(wavelength) if nirspec else wavelength.min()))
        size = (size / pixel_scale(view, model.meta.wcsinfo.dispersion_direction, at)).astype(size.dtype if size.dtype.kind == "f" else np.float64)
    if nirspec:
        sizes, factors = _phased(row, size, wavelength)
    else:
        sizes, factors = _plain(row, size, wavelength, path)
    return {"sizes": sizes, "factors": factors, "fixed": nirspec}


def _matching_row(model: Any, path: str, slit: str, nirspec: bool) -> tuple[Any, str]:
    """The row of the reference for an exposure (and fixed slit), and the unit of its sizes."""
    from stdatamodels.jwst import datamodels

    mos = model.meta.exposure.type == "NRS_MSASPEC"
    kind = "NrsMosApcorrModel" if mos else "NrsFsApcorrModel" if nirspec else "MirLrsApcorrModel"
    wanted = {"filter": model.meta.instrument.filter, "grating": model.meta.instrument.grating} if nirspec else {"subarray": model.meta.subarray.name}
    if nirspec and not mos and not isinstance(model, datamodels.ImageModel):
        wanted["slit"] = slit
    return memo(("extract_1d apcorr row", token(path), kind, *wanted.items()), lambda: _read_row(path, kind, wanted))


def _read_row(path: str, kind: str, wanted: dict[str, Any]) -> tuple[Any, str]:
    from stdatamodels.jwst import datamodels

    try:
        with getattr(datamodels, kind)(path) as reference:
            table, unit = reference.apcorr_table, str(reference.sizeunit)
            match = np.ones(len(table), dtype=bool)
            for column, value in wanted.items():
                match &= np.char.strip(np.char.upper(np.asarray(table[column]).astype(str))) == str(value).upper()
            rows = np.flatnonzero(match)
            row = {name: np.array(table[name][rows[0]]) for name in table.dtype.names} if len(rows) == 1 else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferenceError_(f"apcorr reference {path} is not a readable {kind}: {error}; {REMEDY}") from error
    if row is None:
        told = ", ".join(f"{k} = {v}" for k, v in wanted.items())
        raise ReferenceError_(f"apcorr reference {path} has {len(rows)} rows for {told}, not 1; {REMEDY}")
    return row, unit


def _plain(row: dict[str, np.ndarray], size: np.ndarray, wavelength: np.ndarray, path: str) -> tuple[np.ndarray, np.ndarray]:
    """MIRI: a table of wavelength and size, bilinear, constant outside."""
    nw, ns = int(row["nelem_wl"]), int(row["nelem_size"])
    order = np.argsort(row["wavelength"][:nw])
    nodes, values = row["wavelength"][:nw][order].astype(float), row["apcorr"][:nw, :ns][order].astype(float)
    sizes = size[:ns].astype(float)
    if not (np.all(np.diff(nodes) > 0) and np.all(np.diff(sizes) > 0)):
        raise ReferenceError_(f"apcorr reference {path}: wavelengths and sizes do not increase; {REMEDY}")
    factors = np.array([np.interp(wavelength, nodes, values[:, s]) for s in range(ns)])
    return np.repeat(sizes[:, None], len(wavelength), axis=1), factors


def _phased(row: dict[str, np.ndarray], size: np.ndarray, wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NIRSpec: sizes depend on wavelength, factors on the pixel phase too (0.5, the middle, is taken).

    Where the table cannot be interpolated (outside its wavelengths, or sizes that do not increase) the factor is 1.
    """
    order = np.argsort(row["wavelength"])
    nodes = row["wavelength"][order].astype(float)
    values = _at_phase(row["pixphase"].astype(float), row["apcorr"].astype(float), 0.5)[:, order]
    sizes = np.array([np.interp(wavelength, nodes, line) for line in size[:, order].astype(float)])
    factors = np.array([np.interp(wavelength, nodes, line) for line in values])
    bad = (wavelength < nodes[0]) | (wavelength > nodes[-1]) | ~np.all(np.diff(sizes, axis=0) > 0, axis=0)
    if not np.all(np.diff(nodes) > 0):
        bad[:] = True
    sizes[:, bad] = np.arange(len(sizes))[:, None]
    factors[:, bad] = 1.0
    return sizes, factors


def _at_phase(phases: np.ndarray, values: np.ndarray, phase: float) -> np.ndarray:
    order = np.argsort(phases)
    phases, values = phases[order], values[..., order]
    if not phases[0] <= phase <= phases[-1]:
        return np.ones(values.shape[:-1])  # no phase to interpolate: no correction
    last = int(np.clip(np.searchsorted(phases, phase), 1, len(phases) - 1))
    t = (phase - phases[last - 1]) / (phases[last] - phases[last - 1])
    result: np.ndarray = values[..., last - 1] + t * (values[..., last] - values[..., last - 1])
    return result


def factors_at(sizes: np.ndarray, factors: np.ndarray, npixels: np.ndarray) -> np.ndarray:
    """The factor (float64[wavelength]) for a number of pixels at each wavelength; a zero factor counts as none."""
    from jwst_dask.kernels.extract_profile import interpolate_clamped

    result = np.array([interpolate_clamped(float(n), sizes, factors, e) for e, n in enumerate(npixels)])
    return np.where(result == 0, 1.0, result)


def pixel_scale(view: View, dispaxis: int, at: tuple[float | None, float | None, float]) -> float:
    """Arcseconds per pixel across dispersion at a position (ra, dec in degrees, wavelength in micron)."""
    from astropy.coordinates import angular_separation

    if at[0] is None or at[1] is None:
        raise ReferenceError_(f"apcorr sizes are in arcsec but the aperture has no sky position; {REMEDY}")
    x, y = view.pixel(at[0], at[1], at[2])
    ra, dec = view.beyond(np.array([x, x + (dispaxis != 1)]), np.array([y, y + (dispaxis == 1)]))[:2]
    return float(np.degrees(angular_separation(*np.radians([ra[0], dec[0], ra[1], dec[1]])))) * 3600.0
