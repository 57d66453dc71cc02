"""Spectral products: the template models and the rows that blocks contribute.

Reference types: TSOMultiSpecModel and MultiSpecModel of stdatamodels.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.kernels.extract_profile import COLUMNS

if TYPE_CHECKING:
    from jwst_dask.wcs.spectral import SpectralWcs

log = logging.getLogger(__name__)

TIMES = {
    "MJD-BEG": "int_start_MJD_UTC", "MJD-AVG": "int_mid_MJD_UTC", "MJD-END": "int_end_MJD_UTC",
    "TDB-BEG": "int_start_BJD_TDB", "TDB-MID": "int_mid_BJD_TDB", "TDB-END": "int_end_BJD_TDB",
}  # fmt: skip
"""Time columns of a spectrum and where INT_TIMES has them, in file order."""

ALWAYS = ("slitlet_id", "source_id", "ta_xpos", "ta_ypos", "source_xpos", "source_ypos", "source_ra", "source_dec", "shutter_state")
IF_SET = (
    "source_name", "source_alias", "source_type", "stellarity", "quadrant", "slit_xscale", "slit_yscale",
    "wavelength_corrected", "pathloss_correction_type", "barshadow_corrected",
)  # fmt: skip


def row_dtype(n: int, cube: bool) -> np.dtype[Any]:
    """Row of a spectral table: all wavelengths of an integration (27 columns), or one wavelength (18 columns)."""
    kinds = [(name, "u4" if name == "DQ" else "f8") for name in COLUMNS]
    if not cube:
        return np.dtype(kinds)
    spectra = [(name, kind, (n,)) for name, kind in kinds]
    return np.dtype([("INT_NUM", "i4"), *spectra, ("N_ALONGDISP", "u4"), ("SEGMENT", "i4"), *((name, "f8") for name in TIMES)])


def integration_times(model: Any, nints: int, tso: bool) -> tuple[np.ndarray, np.ndarray, bool]:
    """Numbers and times of all integrations of an exposure segment.

    Returns
    -------
    numbers : int32[integration]
    times : float64[integration, 6]
        Days, in the order of `TIMES`; NaN where the INT_TIMES table does not cover the segment.
    known : bool
        Whether they come from the table.
    """
    numbers, times = np.arange(1, nints + 1, dtype=np.int32), np.full((nints, len(TIMES)), np.nan)
    table = getattr(model, "int_times", None)
    if not tso:
        return numbers, times, False
    if table is None or len(table) < nints:
        log.warning("no INT_TIMES for all integrations: the spectra carry no times")
        return numbers, times, False
    first, last = model.meta.exposure.integration_start or 1, model.meta.exposure.integration_end or model.meta.exposure.nints or nints
    listed = np.asarray(table["integration_number"])
    if first < listed[0] or last > listed[-1] or first > 2 * listed[0] + listed[-1]:
        log.warning("INT_TIMES lists integrations %d-%d, the data are %d-%d: the spectra carry no times", listed[0], listed[-1], first, last)
        return numbers, times, False
    rows = np.arange(nints) + int(first - listed[0])
    if rows[-1] >= len(table):
        raise InputError(f"{nints} integrations from INTSTART {first} on do not fit the {len(table)} rows of INT_TIMES")
    return listed[rows].astype(np.int32), np.stack([np.asarray(table[name])[rows] for name in TIMES.values()], axis=1), True


def column_units(photom: bool) -> dict[str, str]:
    """Unit of every spectral column that has one."""
    flux, variance, bright, bright_variance = ("Jy", "Jy^2", "MJy/sr", "MJy^2 / sr^2") if photom else ("DN/s", "DN^2 / s^2") * 2
    units = {"WAVELENGTH": "um", "FLUX": flux, "FLUX_ERROR": flux}
    units |= dict.fromkeys(("SURF_BRIGHT", "SB_ERROR", "BACKGROUND", "BKGD_ERROR"), bright)
    for part in ("POISSON", "RNOISE", "FLAT"):
        units |= {f"FLUX_VAR_{part}": variance, f"SB_VAR_{part}": bright_variance, f"BKGD_VAR_{part}": bright_variance}
    return units


def template(model: Any, wavelength: np.ndarray, attributes: dict[str, Any], wcs: SpectralWcs, *, cube: bool, photom: bool,
             tso: bool, times: bool) -> Any:  # fmt: skip
    """The spectral product of an exposure, with one row (cubes) or all wavelengths (images) of zeros.

    Parameters
    ----------
    model : JwstDataModel
        The calibrated exposure.
    wavelength : float64[wavelength]
    attributes : dict
        Of the spectrum (aperture limits, position, names).
    wcs : SpectralWcs
    cube : bool
        TSOMultiSpecModel, else MultiSpecModel.
    photom : bool
        Whether the data are flux calibrated.
    tso : bool
        Whether INT_TIMES belongs to the product.
    times : bool
        Whether the rows carry times from it.
    """
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import blank, copy_metadata

    product = blank(datamodels.TSOMultiSpecModel if cube else datamodels.MultiSpecModel)
    for name in ("int_times", "int_times_stripe"):
        if getattr(model, name, None) is not None and (tso or name != "int_times"):
            setattr(product, name, getattr(model, name).copy())
    copy_metadata(product, model, only="PRIMARY")
    kind, n = datamodels.TSOSpecModel if cube else datamodels.SpecModel, len(wavelength)
    spectrum = blank(kind)
    rows = memo(("table of spectra", kind, n, photom), lambda: rows_of(kind, n, cube, photom))
    spectrum.instance["spec_table"] = rows.view()  # an object of its own for each product
    for name, value in attributes.items():
        setattr(spectrum, name, value)
    spectrum.meta.wcs = wcs.gwcs()
    product.spec.append(spectrum)
    if times:
        product.spec[0].time_scale = "UTC"
    product.meta.wcs = None
    product.meta.target.source_type = None
    return product


def rows_of(kind: type[Any], n: int, cube: bool, photom: bool) -> Any:
    """The table of a spectrum, of zeros, as its datamodel has it."""
    spectrum = kind(validate_on_assignment=False)
    spectrum.spec_table = np.zeros(1 if cube else n, dtype=row_dtype(n, cube))
    for name, unit in column_units(photom).items():
        spectrum.spec_table.columns[name].unit = unit
    for name in TIMES if cube else ():
        spectrum.spec_table.columns[name].unit = "d"
    return spectrum.spec_table


def spectrum_attributes(model: Any, slit: str, source_type: str | None, order: int, dispaxis: int,
                        limits: tuple[float, float, int, int], position: tuple[float | None, float | None]) -> dict[str, Any]:  # fmt: skip
    """Attributes of a spectrum: aperture limits (from 1), sky position of its centre, source and slit."""
    lower, upper, left, right = limits
    along, across = (left + 1, right + 1), (lower + 1, upper + 1)
    x, y = (along, across) if dispaxis == 1 else (across, along)
    out: dict[str, Any] = {
        "slit_ra": position[0], "slit_dec": position[1], "spectral_order": order, "dispersion_direction": dispaxis,
        "detector": model.meta.instrument.detector, "position_angle": model.meta.aperture.position_angle,
        "extraction_xstart": x[0], "extraction_xstop": x[1], "extraction_ystart": y[0], "extraction_ystop": y[1],
    }  # fmt: skip
    if slit is not None and slit != "ANY":
        out["name"] = slit
    out |= {name: getattr(model, name) for name in ALWAYS if hasattr(model, name)}
    out |= {name: getattr(model, name) for name in IF_SET if getattr(model, name, None) is not None}
    if source_type is not None and hasattr(model, "source_type"):
        out["source_type"] = source_type
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in out.items()}


def image_template(model: Any, name: str, data: np.ndarray) -> Any:
    """A model for a profile, scene or residual: ImageModel, or CubeModel for ``data`` with an integration axis."""
    from stdatamodels.jwst import datamodels

    product = (datamodels.CubeModel if data.ndim == 3 else datamodels.ImageModel)(data.astype(np.float32))
    product.update(model, only="PRIMARY")
    product.name = name
    return product


def fill_rows(values: np.ndarray, out: np.ndarray, cube: bool) -> None:
    """Columns ``float64[integration, 18, wavelength]`` into structured rows, in place."""
    for c, name in enumerate(COLUMNS):
        out[name] = values[:, c] if cube else values[0, c]
