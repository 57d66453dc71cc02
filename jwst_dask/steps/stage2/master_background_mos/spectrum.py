"""The master background spectrum: from background slits, or from a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.core.step import Step
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.master_background_mos.calibrate import apply, calibration_steps, extraction_steps, forward, private

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.steps.stage2.master_background_mos.step import MasterBackgroundMosStep

log = logging.getLogger(__name__)


KEPT = ("pixel_scale_ratio", "pixfrac")
"""What the spectra of background slits record of their rectification."""

Spectrum = Mapping[str, Any]
"""A spectrum and what is said of it, plain enough for `numpy.savez`: ``table`` is a structured array with one row per wavelength."""


def background_spectrum(draft: Draft, block: Block, steps: Mapping[str, Step], refs: Any,
                        extraction: Mapping[str, Step] | None = None) -> dict[str, Any] | None:  # fmt: skip
    """Extract the spectrum of a background slit, calibrated as an extended source.

    Parameters
    ----------
    draft, block : Draft, Block
        The slit after srctype; neither is changed.
    steps : mapping
        The pipeline's steps by alias (see `calibration_steps`).
    refs : References or callable
        Look-up for the slit's metadata, or ``refs(step)`` gives that of a step.
    extraction : mapping, optional
        pixel_replace, resample_spec, extract_1d other than the default ones.

    Returns
    -------
    dict or None
        ``table`` (columns of an EXTRACT1D extension), ``exposure_time`` (s), ``records`` (JSON: statuses and references of the
        steps), and the attributes of the spectrum (name, source, aperture). None when extract_1d skips the slit.
    """
    mine, block = private(draft, block)
    block, _ = forward(mine, block, calibration_steps(steps), refs)
    for step in extraction_steps(extraction).values():
        block, _ = apply(mine, block, step, refs)
    table = block.tables.get("EXTRACT1D")
    if table is None or not len(table):
        return None
    records = {"cal_step": dict(mine.model.meta.cal_step.instance), "ref_file": mine.shared.get("recorded", {}),
               "resample": {name: value for name, value in mine.model.instance["meta"].get("resample", {}).items() if name in KEPT}}
    return {**_attributes(mine), "table": np.array(table), "exposure_time": float(mine.model.meta.exposure.exposure_time or 1.0),
            "records": json.dumps(records)}  # fmt: skip


def _attributes(draft: Draft) -> dict[str, Any]:
    """What the spectrum's model says of it, without tables."""
    tree = draft.model.instance if draft.spectra is None else draft.spectra.spec[0].instance
    names = ("name", "source_id", "source_type") if draft.spectra is None else tuple(tree)
    return {name: tree[name] for name in names if isinstance(tree.get(name), (str, int, float, bool, np.generic))}


def master_spectrum(spectra: Sequence[Spectrum | None], step: MasterBackgroundMosStep) -> dict[str, Any] | None:
    """The master background: what the user gives, or the spectra of background slits combined.

    Parameters
    ----------
    spectra : sequence of dict
        From `background_spectrum`, in the order of the slits; what is None is left out.
    step : MasterBackgroundMosStep

    Returns
    -------
    dict or None
        ``table``: structured array, columns of a COMBINE1D extension. None when no spectrum is usable.
    """
    if step.user_background:
        return {"table": user_spectrum(step.user_background)}
    table = combined(spectra, step.sigma_clip, step.median_kernel)
    return None if table is None else {"table": table}


def combined(spectra: Sequence[Spectrum | None], sigma_clip: float | None = 3.0, median_kernel: int = 1) -> np.ndarray | None:
    """Mean of spectra weighted by exposure time.

    Parameters
    ----------
    sigma_clip : float or None
        Clipping threshold.
    median_kernel : int
        Width of a running median over flux and surface brightness; an even width counts as one less. Beyond the ends are zeros.
    """
    from jwst_dask.kernels.combine import combine_spectra, usable

    good = [spectrum for spectrum in spectra if spectrum is not None and usable(spectrum["table"])]
    if not good:
        log.warning("master_background_mos: no background slit has a usable spectrum")
        return None
    out = combine_spectra([spectrum["table"] for spectrum in good], [float(spectrum["exposure_time"]) for spectrum in good], sigma_clip)
    width = median_kernel - (median_kernel % 2 == 0)
    if width > 1:
        from scipy.signal import medfilt

        for name in ("SURF_BRIGHT", "FLUX"):
            out[name] = medfilt(out[name], width)
    return out


def user_spectrum(path: str) -> np.ndarray:
    """The spectrum in a file with a COMBINE1D or EXTRACT1D extension (of several, the first), as a structured array.

    Raises
    ------
    InputError
        When the file cannot be read or has no such spectrum.
    """
    return memo(("background spectrum", _token(path)), lambda: _read(path))


def _token(path: str) -> Any:
    from jwst_dask.core.errors import ReferenceError_

    try:
        return token(path)
    except ReferenceError_ as error:
        raise InputError(f"master_background_mos.user_background: {error}") from error


def _read(path: str) -> np.ndarray:
    from astropy.io import fits

    where = f"master_background_mos.user_background {path}"
    try:
        with fits.open(path, memmap=False) as file:
            data = next((hdu.data for hdu in file if hdu.name in ("COMBINE1D", "EXTRACT1D")), None)
            if data is None:
                raise InputError(f"{where}: it has neither a COMBINE1D nor an EXTRACT1D extension; give a _masterbg1d, _c1d or _x1d product")
            names = {name.upper(): name for name in data.columns.names}
            columns = {name: np.asarray(data[names[name]], float) for name in ("WAVELENGTH", "SURF_BRIGHT")}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{where} cannot be read: {type(error).__name__}: {error}") from error
    out = np.empty(columns["WAVELENGTH"].shape, dtype=[(name, "f8") for name in columns])
    for name, values in columns.items():
        out[name] = values
    if out.ndim != 1 or not len(out):
        raise InputError(f"{where}: its first spectrum is not a plain table with one row per wavelength; give a _masterbg1d, _c1d or _x1d product")
    return out
