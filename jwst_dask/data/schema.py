"""Declared datasets: dimensions, types and units of every kind of exposure, and checks whose findings are data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.io import names
from jwst_dask.io.fits import FitsFile

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Variable:
    """A declared variable of a dataset.

    Attributes
    ----------
    dims : tuple of str
    dtype : str
    unit : str
        Physical unit; empty where it depends on the exposure or there is none.
    required : bool
    help : str
    hdu : str
        Extension it is read from.
    """

    dims: tuple[str, ...]
    dtype: str
    unit: str = ""
    required: bool = True
    help: str = ""
    hdu: str = ""


@dataclass(frozen=True)
class Issue:
    """One thing wrong with a dataset or file."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


Schema = Mapping[str, Variable]


def _images(dims: tuple[str, ...], unit: str) -> dict[str, Variable]:
    square = f"({unit})^2"
    return {
        "sci": Variable(dims, "float32", unit, help="science values", hdu="SCI"),
        "err": Variable(dims, "float32", unit, help="total uncertainty (standard deviation)", hdu="ERR"),
        "dq": Variable(dims, "uint32", help="data quality flags", hdu="DQ"),
        "var_poisson": Variable(dims, "float32", square, False, "variance by photon noise", "VAR_POISSON"),
        "var_rnoise": Variable(dims, "float32", square, False, "variance by read noise", "VAR_RNOISE"),
        "var_flat": Variable(dims, "float32", square, False, "variance by the flat field", "VAR_FLAT"),
    }


_CUBE, _PLANE, _SPECTRA = ("integration", "y", "x"), ("y", "x"), ("integration", "wavelength")
_WAVELENGTH = Variable(_PLANE, "float32", "um", False, "wavelength of each pixel", "WAVELENGTH")
_FLUXES = {
    "flux": ("Jy", "flux density"), "flux_error": ("Jy", "its uncertainty"), "flux_var_poisson": ("Jy^2", "variance by photon noise"),
    "flux_var_rnoise": ("Jy^2", "variance by read noise"), "flux_var_flat": ("Jy^2", "variance by the flat field"),
    "surf_bright": ("MJy/sr", "surface brightness"), "sb_error": ("MJy/sr", "its uncertainty"),
    "sb_var_poisson": ("MJy^2 / sr^2", "variance by photon noise"), "sb_var_rnoise": ("MJy^2 / sr^2", "variance by read noise"),
    "sb_var_flat": ("MJy^2 / sr^2", "variance by the flat field"), "background": ("MJy/sr", "background per pixel"),
    "bkgd_error": ("MJy/sr", "its uncertainty"), "bkgd_var_poisson": ("MJy^2 / sr^2", "variance by photon noise"),
    "bkgd_var_rnoise": ("MJy^2 / sr^2", "variance by read noise"), "bkgd_var_flat": ("MJy^2 / sr^2", "variance by the flat field"),
    "npixels": ("", "pixels summed"),
}  # fmt: skip


def _spectra(dims: tuple[str, ...]) -> dict[str, Variable]:
    main = ("flux", "flux_error")
    out = {name: Variable(dims, "float64", unit, name in main, text, "EXTRACT1D") for name, (unit, text) in _FLUXES.items()}
    return {**out, "dq": Variable(dims, "uint32", help="data quality flags", hdu="EXTRACT1D")}


_RAMP = ("integration", "group", "y", "x")
_RAMPS = {
    "sci": Variable(_RAMP, "float32", "DN", help="samples up the ramp", hdu="SCI"),
    "groupdq": Variable(_RAMP, "uint8", "", False, "flags of each group", "GROUPDQ"),
    "pixeldq": Variable(_PLANE, "uint32", "", False, "flags of each pixel", "PIXELDQ"),
    "zeroframe": Variable(_CUBE, "float32", "DN", False, "first frame of each integration", "ZEROFRAME"),
}

SCHEMAS: dict[str, Schema] = {
    "uncal": {name: _RAMPS[name] for name in ("sci", "zeroframe")},
    "ramp": _RAMPS,
    "rate": _images(_PLANE, "DN/s"),
    "rateints": _images(_CUBE, "DN/s"),
    "cal": {**_images(_PLANE, ""), "wavelength": _WAVELENGTH},
    "calints": {**_images(_CUBE, ""), "wavelength": _WAVELENGTH},
    "x1d": _spectra(("wavelength",)),
    "x1dints": _spectra(_SPECTRA),
}
"""Kind of product -> its variables."""

ALIASES = {"dark": "ramp", "bsub": "rate", "bsubints": "rateints", "crf": "cal", "crfints": "calints"}
"""Kinds that look like another."""

TIMES: dict[str, str] = {
    "mjd_utc_begin": "int_start_MJD_UTC", "mjd_utc_mid": "int_mid_MJD_UTC", "mjd_utc_end": "int_end_MJD_UTC",
    "bjd_tdb_begin": "int_start_BJD_TDB", "bjd_tdb_mid": "int_mid_BJD_TDB", "bjd_tdb_end": "int_end_BJD_TDB",
}  # fmt: skip
"""Coordinates on ``integration`` (days) -> columns of INT_TIMES."""

SPECTRUM_TIMES: dict[str, str] = {
    "mjd_utc_begin": "MJD-BEG", "mjd_utc_mid": "MJD-AVG", "mjd_utc_end": "MJD-END",
    "bjd_tdb_begin": "TDB-BEG", "bjd_tdb_mid": "TDB-MID", "bjd_tdb_end": "TDB-END",
}  # fmt: skip
"""Coordinates on ``integration`` (days) -> columns of EXTRACT1D in spectra of time series."""


def kind_of(file: FitsFile) -> str:
    """Kind of product: by name, else by what is in it (``""`` if it is none of `SCHEMAS`)."""
    suffix = names.split_suffix(file.path)[1]
    suffix = ALIASES.get(suffix, suffix)
    if suffix in SCHEMAS:
        return suffix
    if "EXTRACT1D" in file:
        return "x1dints" if "INT_TIMES" in file else "x1d"
    if "SCI" in file:
        if len(file.hdu("SCI").shape) == 4:
            return "ramp" if "GROUPDQ" in file else "uncal"
        stem = "cal" if "WAVELENGTH" in file or "VAR_FLAT" in file else "rate"
        return stem + ("ints" if len(file.hdu("SCI").shape) == 3 else "")
    return ""


def check_file(file: FitsFile) -> list[Issue]:
    """What keeps a file from being processed: missing extensions, shapes that do not agree, no exposure type.

    Parameters
    ----------
    file : FitsFile

    Returns
    -------
    list of Issue
        Empty if nothing is wrong.
    """
    where, kind = file.path.rsplit("/", 1)[-1], kind_of(file)
    if not kind:
        return [Issue(where, "neither an exposure (no SCI extension) nor a spectrum (no EXTRACT1D extension)")]
    issues = []
    for hdu in dict.fromkeys(v.hdu for v in SCHEMAS[kind].values() if v.required):
        if hdu not in file:
            issues.append(Issue(where, f"extension {hdu} is missing, which a {kind} product has"))
    if "SCI" in file:
        shape = file.hdu("SCI").shape
        if len(shape) not in (2, 3) or 0 in shape:
            issues.append(Issue(where, f"SCI has {len(shape)} axes {shape}, a {kind} product has 2 or 3"))
        for name in ("ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"):
            if name in file and file.hdu(name).shape != shape:
                issues.append(Issue(where, f"{name} has shape {file.hdu(name).shape}, SCI has {shape}"))
    header = file.header(0)
    for keyword in ("INSTRUME", "EXP_TYPE"):
        if not str(header.get(keyword, "")).strip():
            issues.append(Issue(where, f"keyword {keyword} is missing"))
    return issues


def check(dataset: xr.Dataset, kind: str | None = None) -> list[Issue]:
    """Where a dataset departs from its declaration. Computes nothing.

    Parameters
    ----------
    dataset : xarray.Dataset
    kind : str, optional
        Key of `SCHEMAS`; by default from ``dataset.encoding["kind"]`` or what is in the dataset.

    Returns
    -------
    list of Issue
    """
    kind = kind or dataset.encoding.get("kind") or guess(dataset)
    if kind not in SCHEMAS:
        return [Issue("dataset", f"kind {kind!r} is not declared; declared are {', '.join(SCHEMAS)}")]
    issues = []
    for name, declared in SCHEMAS[kind].items():
        if name not in dataset.variables:
            if declared.required:
                issues.append(Issue(name, f"missing; a {kind} dataset has {name}{list(declared.dims)}"))
            continue
        found = dataset[name]
        if found.dims != declared.dims:
            issues.append(Issue(name, f"has dimensions {list(found.dims)}, not {list(declared.dims)}"))
        if found.dtype != np.dtype(declared.dtype):
            issues.append(Issue(name, f"is {found.dtype}, not {declared.dtype}"))
        unit = found.attrs.get("units", "")
        if declared.unit and unit and unit != declared.unit and not declared.unit.startswith("("):
            issues.append(Issue(name, f"is in {unit}, not {declared.unit}"))
    return issues + check_integrations(dataset)


def guess(dataset: xr.Dataset) -> str:
    """Kind of product that a dataset without a source looks like."""
    if "flux" in dataset:
        return "x1dints" if "integration" in dataset.dims else "x1d"
    if "group" in dataset.dims:
        return "ramp" if "groupdq" in dataset else "uncal"
    stem = "cal" if "wavelength" in dataset.variables else "rate"
    return stem + ("ints" if "integration" in dataset.dims else "")


def check_integrations(dataset: xr.Dataset) -> list[Issue]:
    """Integration numbers and times that do not increase."""
    issues = []
    for name in ("integration", *TIMES):
        values: Any = dataset.coords[name].values if name in dataset.coords and dataset.coords[name].dims == ("integration",) else None
        if values is None or len(values) < 2:
            continue
        steps = np.diff(values[np.isfinite(values)])
        if not (steps > 0).all():
            issues.append(Issue(name, f"does not increase from integration to integration (at position {int(np.argmax(steps <= 0)) + 1})"))
    return issues
