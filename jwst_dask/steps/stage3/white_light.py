"""white_light: the flux of a time series summed over wavelength, integration by integration, as a catalogue."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State, param

if TYPE_CHECKING:
    import os

    from astropy.table import QTable

    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

WIDEST = (-1.0, 1.0e10)
"""Limits that no wavelength (in micrometre) is outside of."""


@dataclass(frozen=True)
class Part:
    """What one spectrum of one segment contributes to the catalogue.

    Attributes
    ----------
    flux : float64[integration]
        Sums over wavelength.
    mjd, tdb : float64[integration]
        Mid times (columns MJD-AVG and TDB-MID of the spectra); NaN where unknown.
    order : int or None
        Spectral order.
    detector : str or None
    """

    flux: np.ndarray
    mjd: np.ndarray
    tdb: np.ndarray
    order: int | None = None
    detector: str | None = None


@dataclass(frozen=True, kw_only=True)
class WhiteLightStep(BlockStep):
    """Sum the flux of every integration over a range of wavelengths (document "white light curve generation")."""

    alias: ClassVar[str] = "white_light"
    cal_step: ClassVar[str] = "white_light"
    references: ClassVar[tuple[str, ...]] = ("wavelengthrange",)
    returns_table: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ("white_light", "white_light_times")

    min_wavelength: float | None = param(None, "Shortest wavelength of the sum", unit="micrometre", kind="float")
    max_wavelength: float | None = param(None, "Longest wavelength of the sum", unit="micrometre", kind="float")
    output_ext: str = param(".ecsv", "Kind of file")
    suffix: str | None = param("whtlt", "Suffix of the catalogue", kind="str")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Limits of the sum, from the parameters or, for NIRISS SOSS, the wavelengthrange reference.

        The limits of the first spectrum serve for all orders, as in the reference implementation.

        Raises
        ------
        ReferenceError_
            When the reference has no range, or several, for an order and filter.
        """
        if draft.spectra is None or len(draft.spectra.spec) == 0:
            return Skip("there are no spectra")
        low, high = WIDEST
        if draft.model.meta.exposure.type == "NIS_SOSS":
            low, high = self._limits(draft, refs("wavelengthrange"))
        return {
            "low": low if self.min_wavelength is None else self.min_wavelength,
            "high": high if self.max_wavelength is None else self.max_wavelength,
        }

    def _limits(self, draft: Draft, path: str) -> tuple[float, float]:
        if path == "N/A":
            log.warning("there is no wavelengthrange reference; the sum is over all wavelengths")
            return WIDEST
        from stdatamodels.jwst import datamodels

        name, limits = draft.model.meta.instrument.filter, []
        with datamodels.WavelengthrangeModel(path) as reference:
            ranges = [tuple(row) for row in reference.wavelengthrange.instance]
        for order in [int(spectrum.spectral_order) for spectrum in draft.spectra.spec]:
            found = [(float(row[2]), float(row[3])) for row in ranges if int(row[0]) == order and row[1] == name]
            if len(found) != 1:
                raise ReferenceError_(f"wavelengthrange reference {path} has {len(found)} ranges for order {order} and filter {name}; it must "
                                      "have one. Give another with override_wavelengthrange, or N/A to sum all wavelengths")  # fmt: skip
            limits.append(found[0])
        return limits[0]

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Sum the rows of ``block.tables["EXTRACT1D"]``.

        Adds to ``block.tables``: ``"white_light"``, float64[integration], the sums; ``"white_light_times"``,
        float64[integration, 2], MJD-AVG and TDB-MID.
        """
        rows = block.tables["EXTRACT1D"]
        wavelength, flux = rows["WAVELENGTH"], rows["FLUX"]
        used = (wavelength >= float(state["low"])) & (wavelength <= float(state["high"])) & ~np.isnan(flux)
        block.tables["white_light"] = np.where(used, flux, 0.0).sum(axis=1)
        block.tables["white_light_times"] = np.column_stack([rows["MJD-AVG"], rows["TDB-MID"]]).astype(np.float64)
        return block

    def finish(self, parts: Sequence[Part], meta: Mapping[str, Any], unit: str | None = "Jy") -> QTable:
        """The catalogue of an exposure.

        Parameters
        ----------
        parts : sequence of Part
            One for each spectrum of each segment, in order.
        meta : mapping
            Metadata of the first exposure, flat, by datamodel path without ``meta.``.
        unit : str
            Of the flux column of the spectra.

        Returns
        -------
        astropy.table.QTable
            ``MJD_UTC``, ``BJD_TDB`` and ``whitelight_flux`` in time order, a set of them for each detector, a flux for each
            spectral order. Integrations without a time, or with the time of an earlier one, are left out.
        """
        from astropy.table import QTable
        from astropy.units import Unit

        if not parts:
            raise InputError("a white-light catalogue needs at least one spectrum")
        parts = [_distinct(part) for part in parts]
        detectors, orders = list(dict.fromkeys(p.detector for p in parts)), list(dict.fromkeys(p.order for p in parts))
        length = max(len(np.unique(np.concatenate([p.mjd for p in parts if p.detector == d]))) for d in detectors)
        table = QTable(meta=_table_meta(meta))
        for detector in detectors:
            mine = [part for part in parts if part.detector == detector]
            ending = f"_{detector}" if len(detectors) > 1 or str(detector).upper() in ("NRS1", "NRS2") else ""
            times, first = np.unique(np.concatenate([part.mjd for part in mine]), return_index=True)
            table[f"MJD_UTC{ending}"] = _padded(times, length)
            table[f"BJD_TDB{ending}"] = _padded(np.concatenate([part.tdb for part in mine])[first], length)
            for order in orders:
                flux = _padded(_at_times(times, [part for part in mine if part.order == order]), length)
                name = f"whitelight_flux{f'_order_{order}' if len(orders) > 1 else ''}{ending}"
                table[name] = flux if unit is None else flux << Unit(unit)
        table.meta["number_of_integrations"] = len(table)
        return table

    @staticmethod
    def write(table: QTable, path: str | os.PathLike[str]) -> None:
        """Write a catalogue as ECSV."""
        table.write(path, format="ascii.ecsv", overwrite=True)


def parts_of(spectra: Any, flux: np.ndarray, times: np.ndarray) -> Part:
    """The `Part` of a segment: its template of spectra, and the two tables of its blocks joined."""
    spectrum = spectra.spec[0]
    return Part(flux, times[:, 0], times[:, 1], getattr(spectrum, "spectral_order", None), getattr(spectrum, "detector", None))


def _distinct(part: Part) -> Part:
    """Without integrations that have no time or repeat one."""
    first = np.zeros(len(part.mjd), bool)
    first[np.unique(part.mjd, return_index=True)[1]] = True
    good = first & ~np.isnan(part.mjd)
    if not good.all():
        log.warning("order %s: %d spectra without a mid time of their own are left out of the catalogue", part.order, (~good).sum())
    return Part(part.flux[good], part.mjd[good], part.tdb[good], part.order, part.detector)


def _at_times(times: np.ndarray, parts: Sequence[Part]) -> np.ndarray:
    """Sums of some parts at the given sorted times, NaN where they have none."""
    out = np.full(len(times), np.nan)
    for part in reversed(parts):  # of equal times the first counts
        out[np.searchsorted(times, part.mjd)] = part.flux
    return out


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    out = np.full(length, np.nan)
    out[: len(values)] = values
    return out


def _table_meta(meta: Mapping[str, Any]) -> OrderedDict[str, Any]:
    names = {"instrument": "instrument.name", "exp_type": "exposure.type", "subarray": "subarray.name", "filter": "instrument.filter",
             "pupil": "instrument.pupil", "target_name": "target.catalog_name"}  # fmt: skip
    return OrderedDict((key, meta.get(path)) for key, path in names.items())
