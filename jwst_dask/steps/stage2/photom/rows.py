"""Rows of photom reference files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.kernels.timecorr import LAWS, throughput
from jwst_dask.refs.load import token

METRES = 1e-4
"""Wavelength columns whose largest value is below this (100 micron) are in metres."""


@dataclass(frozen=True)
class Calibration:
    """A row of a photom reference file.

    `conversion` (float32) is in MJy (`flux`) or MJy/sr per count rate; `response` over `wavelength` (micron, increasing)
    multiplies it. `throughput` is relative to the reference day of the file.
    """

    conversion: np.floating[Any]
    flux: bool
    wavelength: np.ndarray
    response: np.ndarray
    throughput: np.floating[Any]

    def at(self, wavelength: np.ndarray) -> np.ndarray:
        """Response at wavelengths (float64, micron); NaN where it is not known."""
        known = np.where(np.isnan(wavelength), -1, wavelength)
        return np.asarray(np.interp(known, self.wavelength, self.response, left=np.nan, right=np.nan))


@dataclass(frozen=True)
class Rows:
    """What `photom` wants of a photom file: the rows that match in turn, and pixel areas of its header (sr, arcsec2)."""

    row: Calibration | None
    area_sr: float | None
    area_arcsec2: float | None


def read_rows(path: str, matches: tuple[tuple[tuple[str, str | None], ...], ...], mjd: float | None) -> Rows:
    """Find the row of a photom reference file for an exposure.

    Parameters
    ----------
    path : str
    matches : tuple
        Alternatives, best first; each is ((column, value), ...), values in upper case.
    mjd : float
        Middle of the exposure, for the time dependence.

    Raises
    ------
    ReferenceError_
        When the file is unreadable or not valid, or several rows match.
    InputError
        When the time of the exposure is needed and missing.
    """
    return memo(("photom rows", token(path), matches, mjd), lambda: _read_rows(path, matches, mjd))


def _read_rows(path: str, matches: tuple[tuple[tuple[str, str | None], ...], ...], mjd: float | None) -> Rows:
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.open(path, strict_validation=True) as model:
            model.validate()
            table = np.array(model.phot_table)
            laws: dict[str, Any] = {name: np.array(getattr(model, name)) for name in LAWS if model.hasattr(name)}
            areas = model.meta.photometry.pixelarea_steradians, model.meta.photometry.pixelarea_arcsecsq
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReferenceError_(f"the photom reference {path} cannot be used: {error}; replace it or give override_photom") from error
    row = next((found for match in matches if (found := _row(path, table, match)) is not None), None)
    if row is None:
        return Rows(None, *areas)
    if {"wavelength", "relresponse"} - {name.lower() for name in table.dtype.names or ()}:
        raise ReferenceError_(f"the photom reference {path} is not for spectra: it has no WAVELENGTH and RELRESPONSE columns")
    if laws and mjd is None:
        raise InputError("the middle of the exposure (EXPMID, meta.exposure.mid_time) is missing; photom needs it for the time dependence")
    return Rows(_calibration(table[row], throughput(mjd or 0.0, laws, len(table))[row]), *areas)


def _row(path: str, table: np.ndarray, match: tuple[tuple[str, str | None], ...]) -> int | None:
    hit = np.ones(len(table), bool)
    for column, value in match:
        names = np.char.upper(np.char.strip(table[column].astype(str)))
        hit &= names == ("" if value is None else value)
    rows = np.flatnonzero(hit)
    if len(rows) > 1:
        raise ReferenceError_(f"the photom reference {path} has {len(rows)} rows for {dict(match)}; there must be one")
    return int(rows[0]) if len(rows) else None


def _calibration(row: Any, relative: np.floating[Any]) -> Calibration:
    names = {name.lower() for name in row.dtype.names or ()}
    flux = "photmjsr" not in names
    n = int(row["nelem"]) if "nelem" in names else None
    # float32 as in the file: single precision up to the two-dimensional conversion is what published keywords show
    wavelength, response = (np.array(row[name][:n], dtype=np.float32) for name in ("wavelength", "relresponse"))
    if not np.all(np.diff(wavelength) > 0):
        order = np.argsort(wavelength)
        wavelength, response = wavelength[order], response[order]
    if 0 < wavelength.max() < METRES:
        wavelength *= 1e6
    return Calibration(np.float32(row["photmj" if flux else "photmjsr"]), flux, wavelength, response, relative)


def upper(name: str | None) -> str | None:
    """A name as tables are searched for it."""
    return None if name is None else name.upper()
