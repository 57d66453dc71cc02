"""combine_1d: spectra of one target, from one or several exposures, averaged into one for each spectral order.

Source document: JWST pipeline documents, "combine_1d".
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import MetaStep, param

log = logging.getLogger(__name__)

INPUTS = ("MultiSpecModel", "TSOMultiSpecModel", "MRSMultiSpecModel")
ATTRIBUTES = ("source_id", "source_type", "source_ra", "source_dec", "dispersion_direction")
"""Of the first spectrum of an order, for the combined one."""
COLUMNS = ("WAVELENGTH", "FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR", "DQ")
WEIGHTS = {"integration_time": ("integration", "effinttm"), "exposure_time": ("exposure", "effexptm"), "unit_weight": ("unit_weight", "unit weight")}


@dataclass(frozen=True)
class Spectrum:
    """One input spectrum.

    Attributes
    ----------
    table : structured ndarray[wavelength]
        With `COLUMNS`.
    weight : float
    order : int
    attributes : mapping
        `ATTRIBUTES`.
    units : (str, str)
        Of flux and surface brightness.
    wcs : gwcs.WCS or None
    target : (float, float)
        Right ascension and declination of the target, degrees.
    """

    table: np.ndarray
    weight: float
    order: int
    attributes: Mapping[str, Any]
    units: tuple[Any, Any]
    wcs: Any
    target: tuple[Any, Any]

    @property
    def position(self) -> tuple[float, float]:
        """Of its WCS, or of the target."""
        if self.wcs is None:
            return self.target
        ra, dec, _ = self.wcs(0.0)
        return float(ra), float(dec)


@dataclass(frozen=True, kw_only=True)
class Combine1dStep(MetaStep):
    """Average 1-D spectra (reference step: Combine1dStep). It works on files or models of spectra, not on exposures."""

    alias: ClassVar[str] = "combine_1d"
    cal_step: ClassVar[str] = "combine_1d"
    returns_table: ClassVar[bool] = True
    of_files: ClassVar[bool] = True
    """Whether `from_files` is what it does."""

    exptime_key: str = param("exposure_time", "Weight of a spectrum: exposure_time, integration_time or unit_weight")
    sigma_clip: float | None = param(None, "Leave out elements that are farther from the median than so many median absolute deviations",
                                     low=0.0, kind="float")  # fmt: skip

    def combine(self, models: Sequence[Any]) -> Any:
        """Combine the spectra of some products.

        Parameters
        ----------
        models : sequence of MultiSpecModel, TSOMultiSpecModel or MRSMultiSpecModel
            Spectra of one target; the integrations of a time series count as spectra of their own.

        Returns
        -------
        MultiCombinedSpecModel
            One spectrum for each spectral order. Metadata of the first model.

        Raises
        ------
        InputError
            For other models, or when no spectrum has a finite flux and monotonic wavelengths.
        """
        key = self.weighting()
        spectra = [spectrum for model in models for spectrum in spectra_of(model, key)]
        if not spectra:
            raise InputError("combine_1d: no spectrum has valid flux values and monotonic wavelengths")
        orders: dict[int, list[Spectrum]] = {}
        for spectrum in spectra:
            orders.setdefault(spectrum.order, []).append(spectrum)
        return _product(models[0], [(order, same, self._combined(same)) for order, same in orders.items()])

    def _combined(self, spectra: Sequence[Spectrum]) -> np.ndarray:
        from jwst_dask.kernels.combine import combine_spectra

        try:
            return combine_spectra([s.table for s in spectra], [s.weight for s in spectra], self.sigma_clip)
        except ValueError as error:
            raise InputError(f"combine_1d: spectral order {spectra[0].order}: {error}") from error

    def weighting(self) -> str:
        """What the spectra are weighted with: ``exposure_time``, ``integration_time`` or ``unit_weight`` (anything else, too)."""
        given = self.exptime_key.lower()
        for key, (start, keyword) in WEIGHTS.items():
            if given == keyword or (given.startswith(start) if key != "unit_weight" else given == start):
                return key
        log.warning("combine_1d.exptime_key: %r is unknown: all spectra have weight 1", self.exptime_key)
        return "unit_weight"

    def from_files(self, source: Any) -> tuple[Any, str]:
        """Combine files.

        Parameters
        ----------
        source : path, model, or sequence of them
            x1d files, an association (the members of its first product), or open models.

        Returns
        -------
        model : MultiCombinedSpecModel
        name : str
            Of the product: ``<root>_c1d.fits``.

        Raises
        ------
        InputError
            As `combine`; or a file cannot be read.
        """
        from contextlib import ExitStack

        from jwst_dask.io.names import product_name

        sources, name, table = _sources(source)
        with ExitStack() as stack:
            models = [stack.enter_context(_opened(item)) if isinstance(item, str) else item for item in sources]
            result = self.combine(models)
            name = name or str(models[0].meta.filename or "spectra")
        if table:
            result.meta.asn.table_name, result.meta.asn.pool_name = table
        result.meta.filename = product_name(self.output_file or name, self.suffix or "c1d")
        return result, str(result.meta.filename)


def spectra_of(model: Any, key: str) -> Iterable[Spectrum]:
    """The usable spectra of a model, weighted by `key`.

    Raises
    ------
    InputError
        For a model without spectra, or without the time that they are to be weighted with.
    """
    from jwst_dask.kernels.combine import usable

    if type(model).__name__ not in INPUTS:
        raise InputError(f"combine_1d: a {type(model).__name__} holds no 1-D spectra; give products of extract_1d")
    weight = 1.0 if key == "unit_weight" else getattr(model.meta.exposure, key)
    if weight is None:
        raise InputError(f"combine_1d: {model.meta.filename} has no {key}; set exptime_key to unit_weight")
    target = model.meta.target.ra, model.meta.target.dec
    for spec in model.spec:
        columns = getattr(spec.spec_table, "columns", None)
        units = tuple(columns[name].unit if columns is not None else None for name in ("FLUX", "SURF_BRIGHT"))
        order, wcs = spec.spectral_order, getattr(spec.meta, "wcs", None)
        attributes = {name: getattr(spec, name, None) for name in ATTRIBUTES}
        for table in _tables(spec.spec_table):
            if usable(table):
                yield Spectrum(table, float(weight), order, attributes, units, wcs, target)  # type: ignore[arg-type]
            else:
                log.warning("spectrum of source %s, order %s: no valid flux, or wavelengths not monotonic; left out", spec.source_id, order)


def _tables(rows: Any) -> Iterable[np.ndarray]:
    """Structured arrays with `COLUMNS`: one, or one for each row of a time series."""
    kinds = np.dtype([(name, "u4" if name == "DQ" else "f8") for name in COLUMNS])
    if "N_ALONGDISP" not in rows.dtype.names:
        rows = [{name: np.asarray(rows[name]) for name in COLUMNS} | {"N_ALONGDISP": len(rows)}]
    for row in rows:
        out = np.empty(int(row["N_ALONGDISP"]), dtype=kinds)
        for name in COLUMNS:
            out[name] = row[name][: len(out)]
        yield out


def _product(first: Any, combined: Sequence[tuple[int, Sequence[Spectrum], np.ndarray]]) -> Any:
    """The datamodel of combined spectra."""
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import copy_metadata
    from jwst_dask.kernels.combine import wavelength_grid
    from jwst_dask.wcs.spectral import spectral_gwcs

    product = datamodels.MultiCombinedSpecModel()
    for order, spectra, table in combined:
        spec = datamodels.CombinedSpecModel(spec_table=table)
        flux, bright = spectra[0].units
        for name, unit in (("WAVELENGTH", "um"), ("FLUX", flux), ("ERROR", flux), ("SURF_BRIGHT", bright), ("SB_ERROR", bright)):
            spec.spec_table.columns[name].unit = unit
        spec.spectral_order = order
        for name, value in spectra[0].attributes.items():
            if value is not None:
                setattr(spec, name, value)
        product.spec.append(spec)
    copy_metadata(product, first, only="PRIMARY")
    spectra = combined[0][1]
    grid = wavelength_grid([np.asarray(s.table["WAVELENGTH"]) for s in spectra])  # of the WCS: also where nothing falls
    product.meta.wcs = spectral_gwcs(*spectra[0].position, grid)
    product.meta.cal_step.combine_1d = "COMPLETE"
    return product


def _sources(source: Any) -> tuple[list[Any], str, tuple[str, str] | None]:
    """Files or models to combine; a name for the product, if the source has one; name and pool of the association."""
    items = [source] if isinstance(source, (str, os.PathLike)) or not isinstance(source, Sequence) else list(source)
    if not items:
        raise InputError("combine_1d: nothing to combine")
    items = [os.fspath(item) if isinstance(item, os.PathLike) else item for item in items]
    if not isinstance(items[0], str):
        return items, "", None
    if items[0].endswith(".json") and len(items) == 1:
        from jwst_dask.data import association

        asn = association.load(items[0])
        if len(asn.products) > 1:
            log.warning("%s has %d products; the first, %s, is made", items[0], len(asn.products), asn.products[0].name)
        return [member.path for member in asn.products[0].members], asn.products[0].name, (os.path.basename(items[0]), asn.asn_pool)
    return items, os.path.basename(items[0]), None


def _opened(path: str) -> Any:
    from stdatamodels.jwst import datamodels

    try:
        return datamodels.open(path)
    except (OSError, ValueError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read as spectra: {error}") from error
