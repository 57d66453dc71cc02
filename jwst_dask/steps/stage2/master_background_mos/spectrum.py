"""The master background spectrum: from background slits, or from a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.core.step import Step
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.master_background_mos.calibrate import EXTRACTION, apply, forward, nested_steps, private

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackgroundSpectrum:
    """The spectrum of one background slit.

    Attributes
    ----------
    table : structured array[wavelength]
        Columns of an EXTRACT1D extension.
    attributes : dict
        Of the spectrum: name, source, aperture; plain values.
    exposure_time : float
        Weight in the master background, in s.
    """

    table: np.ndarray
    attributes: dict[str, Any] = field(default_factory=dict)
    exposure_time: float = 1.0


def background_spectrum(draft: Draft, block: Block, steps: Mapping[str, Step], refs: Any,
                        extraction: Mapping[str, Step] | None = None) -> BackgroundSpectrum | None:  # fmt: skip
    """Extract the spectrum of a background slit, calibrated as an extended source.

    Parameters
    ----------
    draft, block : Draft, Block
        The slit after srctype; neither is changed.
    steps : mapping
        The pipeline's steps by alias (see `nested_steps`).
    refs : References
        Look-up for the slit's metadata.
    extraction : mapping, optional
        pixel_replace, resample_spec, extract_1d other than the default ones.

    Returns
    -------
    BackgroundSpectrum or None
        None when extract_1d skips the slit.
    """
    steps = nested_steps(steps, extraction)
    mine, block = private(draft, block)
    block, _ = forward(mine, block, steps, refs)
    for alias in EXTRACTION:
        block, _ = apply(mine, block, steps[alias], refs)
    table = block.tables.get("EXTRACT1D")
    if table is None or not len(table):
        return None
    return BackgroundSpectrum(np.array(table), _attributes(mine), float(mine.model.meta.exposure.exposure_time or 1.0))


def _attributes(draft: Draft) -> dict[str, Any]:
    """What the spectrum's model says of it, without tables."""
    if draft.spectra is None:
        return {"name": draft.model.name, "source_id": draft.model.source_id, "source_type": draft.model.source_type}
    return {name: value for name, value in draft.spectra.spec[0].instance.items() if isinstance(value, (str, int, float, bool, np.generic))}


def master_spectrum(spectra: Sequence[BackgroundSpectrum | None], sigma_clip: float | None = 3.0, median_kernel: int = 1) -> np.ndarray | None:
    """Combine spectra of background slits, weighted by exposure time.

    Parameters
    ----------
    spectra : sequence of BackgroundSpectrum
        In the order of the slits; what is None is left out.
    sigma_clip : float or None
        Clipping threshold.
    median_kernel : int
        Width of the running median over flux and surface brightness; an even width counts as one less. Beyond the ends are zeros.

    Returns
    -------
    structured array[wavelength] or None
        Columns of a COMBINE1D extension; None when no spectrum is usable.
    """
    from jwst_dask.kernels.combine import combine_spectra, usable

    good = [spectrum for spectrum in spectra if spectrum is not None and usable(spectrum.table)]
    if not good:
        log.warning("master_background_mos: no background slit has a usable spectrum")
        return None
    table = combine_spectra([spectrum.table for spectrum in good], [spectrum.exposure_time for spectrum in good], sigma_clip)
    width = median_kernel - (median_kernel % 2 == 0)
    if width > 1:
        from scipy.signal import medfilt

        for name in ("SURF_BRIGHT", "FLUX"):
            table[name] = medfilt(table[name], width)
    return table


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
