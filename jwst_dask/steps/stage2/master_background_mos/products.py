"""Side products of the whole exposure: the master background (_masterbg1d) and the spectra it is made of (_bkgx1d)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ATTRIBUTES = ("source_id", "dispersion_direction", "source_type", "source_ra", "source_dec", "spectral_order")
"""What a combined spectrum takes over from the first of those it is made of."""
_UNITS = {"WAVELENGTH": "um", "FLUX": "Jy", "ERROR": "Jy", "SURF_BRIGHT": "MJy/sr", "SB_ERROR": "MJy/sr"}

Spectrum = Mapping[str, Any]


def side_models(model: Any, spectra: Sequence[Spectrum | None], master: Spectrum | None, user_background: str | None = None) -> dict[str, Any]:
    """Models of the side products that the exposure has one of, by suffix.

    Parameters
    ----------
    model : JwstDataModel
        The exposure, for its metadata.
    spectra : sequence of dict
        From `background_spectrum`.
    master : dict
        From `master_spectrum`.
    user_background : str
        The user's file, which then is the master background.

    Returns
    -------
    dict
        ``masterbg1d``: MultiCombinedSpecModel (or the user's model), ``bkgx1d``: MultiSpecModel.
    """
    from stdatamodels.jwst import datamodels

    if master is None:
        return {}
    if user_background:
        return {"masterbg1d": datamodels.open(user_background)}
    good = [plain(spectrum) for spectrum in spectra if spectrum is not None]
    made = spectra_model(model, good)
    return {"masterbg1d": combined_model(made, good, master["table"]), "bkgx1d": made}


def plain(spectrum: Spectrum) -> dict[str, Any]:
    """The same with Python scalars for arrays without dimensions, as they come from a file."""
    return {name: value.item() if isinstance(value, (np.ndarray, np.generic)) and np.ndim(value) == 0 else value for name, value in spectrum.items()}


def spectra_model(model: Any, spectra: Sequence[Spectrum]) -> Any:
    """MultiSpecModel of the spectra of background slits, with the exposure's metadata and the statuses of the slits' steps."""
    from jwst_dask.steps.stage2.extract_1d.table import template
    from jwst_dask.wcs.spectral import SpectralWcs

    records = json.loads(str(spectra[0].get("records", "{}")))
    photom = records.get("cal_step", {}).get("photom", "COMPLETE") == "COMPLETE"
    product = None
    for spectrum in spectra:
        wavelength = np.asarray(spectrum["table"]["WAVELENGTH"])
        attributes = {name: value for name, value in spectrum.items() if name not in ("table", "exposure_time", "records")}
        wcs = SpectralWcs(attributes.get("slit_ra"), attributes.get("slit_dec"), wavelength)
        one = template(model, wavelength, attributes, wcs, cube=False, photom=photom, tso=False, times=False)
        rows = one.spec[0].instance["spec_table"] = one.spec[0].instance["spec_table"].copy()  # that of the template is shared
        for name in spectrum["table"].dtype.names:
            rows[name] = spectrum["table"][name]
        if product is None:
            product = one
        else:
            product.spec.append(one.spec[0])
    assert product is not None
    _note(product, records)
    return product


def _note(product: Any, records: Mapping[str, Mapping[str, Any]]) -> None:
    for group in ("cal_step", "resample"):
        getattr(product.meta, group).instance.update(records.get(group, {}))
    for reftype, name in records.get("ref_file", {}).items():
        if hasattr(product.meta.ref_file, reftype):
            getattr(product.meta.ref_file, reftype).name = name


def combined_model(spectra: Any, tables: Sequence[Spectrum], table: np.ndarray) -> Any:
    """MultiCombinedSpecModel of the master background.

    Parameters
    ----------
    spectra : MultiSpecModel
        Of `spectra_model`, for metadata.
    tables : sequence of dict
        The spectra.
    table : structured array
        Columns of a COMBINE1D extension.
    """
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import blank, copy_metadata
    from jwst_dask.kernels.combine import usable, wavelength_grid
    from jwst_dask.wcs.spectral import SpectralWcs

    used = [spectrum for spectrum in tables if usable(spectrum["table"])]
    product, spectrum = blank(datamodels.MultiCombinedSpecModel), datamodels.CombinedSpecModel(spec_table=table)
    for name, unit in _UNITS.items():
        spectrum.spec_table.columns[name].unit = unit
    for name in ATTRIBUTES:
        if (value := used[0].get(name)) is not None:
            setattr(spectrum, name, value)
    product.spec.append(spectrum)
    copy_metadata(product, spectra, only="PRIMARY")
    grid = wavelength_grid([np.asarray(one["table"]["WAVELENGTH"], float) for one in used])
    product.meta.wcs = SpectralWcs(used[0].get("slit_ra"), used[0].get("slit_dec"), grid).gwcs()
    product.meta.cal_step.combine_1d = "COMPLETE"
    return product
