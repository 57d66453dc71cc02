"""The quality table of an exposure with many slits: figures of each slit, and what failed, as ECSV."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.data.dq import DO_NOT_USE

if TYPE_CHECKING:
    from astropy.table import Table

    from jwst_dask.data.exposure import Block, Draft

CHUNKS = 5
"""Parts of a spectrum, of equal numbers of elements, for which the signal-to-noise ratio is given."""
SUFFIX = "quality"
HALF_WINDOW = 3
"""Rows on each side of the brightest that count for the place of the trace."""
FWHM_OF_SIGMA = 2.3548200450309493


@dataclass(frozen=True)
class Column:
    """A column of the table: type, unit and what it says."""

    kind: type
    unit: str
    help: str


COLUMNS: dict[str, Column] = {
    "slit": Column(str, "", "slit name"),
    "source_id": Column(int, "", "number of the source"),
    "source_name": Column(str, "", "name of the source"),
    "source_type": Column(str, "", "POINT or EXTENDED, as calibrated"),
    "shutters": Column(str, "", "shutters: 1 open, x open with the source"),
    "status": Column(str, "", "COMPLETE or FAILED"),
    "coverage": Column(float, "", "share of the pixels of the cut-out (or rectified) spectrum that have data"),
    "flagged": Column(float, "", "share of the pixels on the slit that are flagged DO_NOT_USE"),
    "wave_min": Column(float, "um", "shortest wavelength with flux"),
    "wave_max": Column(float, "um", "longest wavelength with flux"),
    "sn": Column(float, "", "signal-to-noise ratio of an element of the spectrum, median"),
    **{f"sn_{i}": Column(float, "", f"the same in part {i} of {CHUNKS} of the spectrum, from short wavelengths to long") for i in range(1, CHUNKS + 1)},
    "background": Column(float, "", "background level that was subtracted in the extraction, or median of the 2-D spectrum; unit in unit"),
    "unit": Column(str, "", "unit of the 2-D spectrum"),
    "master_background": Column(float, "DN/s", "master background subtracted from a pixel, median"),
    "trace": Column(float, "pix", "row of the trace in the 2-D spectrum, from 0, measured"),
    "trace_fwhm": Column(float, "pix", "width of the trace, measured"),
    "source_xpos": Column(float, "", "position of the source across the slit, in shutters from its centre"),
    "source_ypos": Column(float, "", "position of the source along the slit, in shutters from its centre"),
    "measured_ypos": Column(float, "", "the same along the slit, measured"),
    "measured_ypos_err": Column(float, "", "its uncertainty"),
    "position_flag": Column(int, "", "0 if the measured position was used, else why not"),
    "slit_throughput": Column(float, "", "share of the light that passes the slit, median over wavelength"),
    "extracted_fraction": Column(float, "", "share of the elements of the spectrum that have a flux"),
    "npixels_median": Column(float, "pix", "pixels summed for an element of the spectrum, median"),
    "failed_step": Column(str, "", "step that failed"),
    "message": Column(str, "", "why it failed"),
    "seconds": Column(float, "s", "time spent on the slit"),
}
"""Columns of a table, in order, as far as there are values; other figures that steps leave follow."""
SAME = {"snr_median": "sn", "wavelength_min": "wave_min", "wavelength_max": "wave_max", "background_median": "background"}
"""Figures of extract_1d that the table has under another name."""


def slit_quality(draft: Draft, block: Block, spectrum: np.ndarray | None) -> dict[str, Any]:
    """Figures of a slit at the end of its chain.

    Parameters
    ----------
    draft, block : Draft, Block
        As the last step left them.
    spectrum : structured array, optional
        Spectrum with one row per wavelength (columns of an EXTRACT1D extension).

    Returns
    -------
    dict
        Values by column, plain scalars; what cannot be told is not there. Figures that are in ``draft.quality`` (of steps,
        `cutout_quality`) win.
    """
    model = draft.model
    out: dict[str, Any] = {"slit": str(model.name), "status": "COMPLETE"}
    for column, name in (("source_id", "source_id"), ("source_name", "source_name"), ("source_type", "source_type"), ("shutters", "shutter_state"),
                         ("source_xpos", "source_xpos"), ("source_ypos", "source_ypos")):  # fmt: skip
        if (value := model.instance.get(name)) is not None:
            out[column] = COLUMNS[column].kind(value)
    if (unit := model.instance["meta"].get("bunit_data")) is not None:
        out["unit"] = str(unit)
    out.update(_of_pixels(draft, block))
    if spectrum is not None and len(spectrum):
        out.update(of_spectrum(spectrum))
    return {**out, **{name: _plain(value) for name, value in draft.quality.items()}}


def cutout_quality(draft: Draft, block: Block) -> dict[str, float]:
    """Coverage and flagged share of a slit's pixels; of the calibrated cut-out, as the rectified spectrum has no flags.

    Pixels on the slit are those with a wavelength.
    """
    sci, wavelength = block.arrays["sci"][0], draft.model.instance.get("wavelength")
    good = _good(block)
    on_slit = np.isfinite(wavelength) if wavelength is not None and np.shape(wavelength) == sci.shape else np.ones(sci.shape, bool)
    if not on_slit.any():
        return {"coverage": 0.0}
    out = {"coverage": float(good[on_slit].mean())}
    if "dq" in block.arrays:
        out["flagged"] = float(((block.arrays["dq"][0] & DO_NOT_USE) != 0)[on_slit].mean())
    return out


def _good(block: Block) -> np.ndarray:
    good: np.ndarray = np.isfinite(block.arrays["sci"][0])
    return good & ((block.arrays["dq"][0] & DO_NOT_USE) == 0) if "dq" in block.arrays else good


def _of_pixels(draft: Draft, block: Block) -> dict[str, float]:
    sci, good = block.arrays["sci"][0], _good(block)
    out = cutout_quality(draft, block)
    if good.any():
        out["background"] = float(np.median(sci[good]))
        out.update(trace(np.where(good, sci, np.nan)))
    return out


def trace(image: np.ndarray) -> dict[str, float]:
    """Place and width of a trace from the median profile of a 2-D spectrum (float[y, x], NaN where there are no data)."""
    rows = np.flatnonzero(np.isfinite(image).any(axis=1))
    if len(rows) < 3:
        return {}
    profile = np.array([np.median(row[np.isfinite(row)]) for row in image[rows]])
    profile = profile - np.median(profile)
    peak = int(np.argmax(profile))
    near = slice(max(peak - HALF_WINDOW, 0), peak + HALF_WINDOW + 1)
    weight = np.clip(profile[near], 0, None)
    if not weight.sum() > 0:
        return {}
    centre = float(np.average(rows[near], weights=weight))
    return {"trace": centre, "trace_fwhm": FWHM_OF_SIGMA * float(np.sqrt(np.average((rows[near] - centre) ** 2, weights=weight)))}


def of_spectrum(spectrum: np.ndarray) -> dict[str, float]:
    """Wavelength range, signal-to-noise ratios and background of a spectrum.

    Parameters
    ----------
    spectrum : structured array
        ``WAVELENGTH FLUX FLUX_ERROR`` and, if it is there, ``BACKGROUND``.
    """
    flux, error, wavelength = (np.asarray(spectrum[name], float) for name in ("FLUX", "FLUX_ERROR", "WAVELENGTH"))
    good = np.isfinite(flux) & np.isfinite(error) & (error > 0) & np.isfinite(wavelength)
    if not good.any():
        return {}
    order = np.argsort(wavelength[good])
    ratio, wavelength = (flux[good] / error[good])[order], wavelength[good][order]
    out = {"wave_min": float(wavelength[0]), "wave_max": float(wavelength[-1]), "sn": float(np.median(ratio))}
    for i, part in enumerate(np.array_split(ratio, CHUNKS), 1):
        if len(part):
            out[f"sn_{i}"] = float(np.median(part))
    if "BACKGROUND" in (spectrum.dtype.names or ()):
        level = np.asarray(spectrum["BACKGROUND"], float)[good]
        if np.isfinite(level).any() and np.nanmax(np.abs(level)) > 0:
            out["background"] = float(np.nanmedian(level))
    return out


def failed(name: str, message: str, step: str = "", **more: Any) -> dict[str, Any]:
    """The row of a slit that failed: its name, why, in which step, and what else is known."""
    return {"slit": name, "status": "FAILED", "failed_step": step, "message": message, **more}


def quality_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows as an astropy Table with units and descriptions, sorted by slit; what a row lacks is masked, columns nobody has are left out.

    Parameters
    ----------
    rows : iterable of mapping
        From `slit_quality` and `failed`.
    """
    from astropy.table import MaskedColumn, Table

    rows = sorted(rows, key=lambda row: _natural(str(row.get("slit", ""))))
    extra = sorted({name for row in rows for name in row if SAME.get(name) not in row} - set(COLUMNS))
    table = Table(masked=False)
    for name in (*COLUMNS, *extra):
        cells = [_plain(row.get(name)) for row in rows]
        missing = [cell is None or cell == "" or (isinstance(cell, float) and np.isnan(cell)) for cell in cells]
        if all(missing) and name not in ("slit", "status"):
            continue
        column = COLUMNS.get(name)
        kind = column.kind if column else _kind([cell for cell, gone in zip(cells, missing) if not gone])
        values = [kind() if gone else kind(cell) for cell, gone in zip(cells, missing)]
        if kind is str:
            values = [" ".join(str(value).split()) for value in values]
        made = MaskedColumn(values, mask=missing, dtype=kind, unit=(column.unit or None) if column else None, description=column.help if column else None)
        table[name] = made if any(missing) else made.filled()
    return table


def write_quality(rows: Iterable[Mapping[str, Any]], path: str | os.PathLike[str]) -> Path:
    """Write the quality table as ECSV, whole or not at all.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        quality_table(rows).write(temporary, format="ascii.ecsv", overwrite=True)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); free some space, or choose another --output-dir") from error
    return path


def read_quality(path: str | os.PathLike[str]) -> Table:
    """Read a quality table.

    Raises
    ------
    InputError
        When it is not one.
    """
    from astropy.table import Table

    try:
        table = Table.read(path, format="ascii.ecsv")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as a quality table: {error}") from error
    if "slit" not in table.colnames:
        raise InputError(f"{path} is not a quality table: it has no column slit")
    table["slit"] = [str(name) for name in table["slit"]]
    return table


def _natural(name: str) -> tuple[int, int, str]:
    """Order of slit names: numbers by value, then names."""
    return (0, int(name), "") if name.lstrip("-").isdigit() else (1, 0, name)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0) else value


def _kind(cells: list[Any]) -> type:
    kinds = {type(cell) for cell in cells}
    if kinds <= {bool}:
        return bool
    if kinds <= {int, bool}:
        return int
    return float if kinds <= {int, float, bool} else str
