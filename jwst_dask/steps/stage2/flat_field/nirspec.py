"""Flats of NIRSpec spectra, from the FFLAT, SFLAT and DFLAT references."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError, ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.kernels.flat import Flat, Pixels, combine, fore_optics, image_at, neutral, pixels, shutter_factor, with_table
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.flat_field.reference import Component, Window, components
from jwst_dask.steps.stage2.flat_field.result import Result
from jwst_dask.steps.stage2.flat_field.wavelength import pixel_wavelengths

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft

COMPONENTS = ("fflat", "sflat", "dflat")
"""In the order in which they multiply."""


@dataclass(frozen=True)
class Spectrum:
    """Where a spectrum falls: pixels of the detector (y, x), dispersion axis, slit for tables that have a row for each,
    and for MOS its quadrant (from 1) and shutter (column and row, from 1)."""

    window: Window
    dispaxis: int
    slit: str | None
    shutter: tuple[int, int, int] | None = None


def bright_object(draft: Draft, paths: Mapping[str, str], user: str | None) -> Result:
    """The flat of the S1600A1 spectrum of a bright object exposure; the same for all integrations.

    Raises
    ------
    InputError
        When the exposure is not a cut-out spectrum (extract_2d), or has no wavelengths.
    ReferenceError_, ParameterError
        When a flat is unusable.
    """
    from stdatamodels.jwst import datamodels

    model = draft.model
    if not isinstance(model, datamodels.SlitModel):
        raise InputError(f"EXP_TYPE NRS_BRIGHTOBJ needs the spectrum that extract_2d cuts out (a SlitModel, not {type(model).__name__})")
    if user:
        return _given(draft, user)
    area = model.meta.subarray
    corners = area.ystart, area.xstart, model.ystart, model.xstart
    if None in corners:
        raise InputError(f"the spectrum's place on the detector (SUBSTRT2, SUBSTRT1, SLTSTRT2, SLTSTRT1) is not known: {corners}")
    y, x = area.ystart + model.ystart - 2, area.xstart + model.xstart - 2
    window = slice(y, y + draft.shape[0]), slice(x, x + draft.shape[1])
    wavelength = pixel_wavelengths(model)
    dispaxis = model.meta.wcsinfo.dispersion_direction or 1
    given = tuple((kind, token(paths[kind])) for kind in COMPONENTS if paths[kind] != "N/A")
    digest = hashlib.blake2b(np.ascontiguousarray(wavelength).tobytes(), digest_size=16).hexdigest()
    key = ("nirspec flat", given, str(window), dispaxis, model.name, digest, str(wavelength.dtype))
    flat = memo(key, lambda: combined(paths, Spectrum(window, dispaxis, model.name), wavelength))
    return Result(flat, lambda: _product(draft, flat, wavelength))


def combined(paths: Mapping[str, str], spectrum: Spectrum, wavelength: np.ndarray, absent: str = "nan") -> Flat:
    """The product of the component flats on the pixels of a spectrum.

    Parameters
    ----------
    paths : mapping
        Reference files by type; ``"N/A"`` for none.
    spectrum : Spectrum
    wavelength : float32 or float64[y, x]
        Micron, NaN where there is none.
    absent : {"nan", "zero"}
        ``"zero"``: errors of a component that are not finite are taken as zero.

    Raises
    ------
    ReferenceError_
        When a reference is unusable.
    """
    where = pixels(wavelength, spectrum.dispaxis)
    parts = [None if paths[kind] == "N/A" else _part(kind, paths[kind], spectrum, where, absent) for kind in COMPONENTS]
    return combine(parts, (wavelength.shape[0], wavelength.shape[1]))


def _part(kind: str, path: str, spectrum: Spectrum, where: Pixels, absent: str) -> Flat:
    """One component on the pixels of a spectrum."""
    try:
        files = components(path)
        if kind == "fflat":
            return _fore(files, spectrum, where, absent)
        flat = files[0]
        if flat.image is None:
            raise KeyError("SCI")
        image = Flat(*(plane.window(spectrum.window) for plane in flat.image))  # type: ignore[union-attr]
        if image.data.shape[-2:] != where.raw.shape:
            raise ValueError(f"it does not cover the spectrum's pixels, {spectrum.window}")
        image = image_at(where.raw, image, flat.planes()) if image.data.ndim == 3 else Flat(*(np.array(plane) for plane in image))
        table = flat.rows.of(spectrum.slit)
        if absent == "zero":
            table, image = table._replace(err=finite(table.err)), image._replace(err=finite(image.err))
        return with_table(neutral(image), table, where)
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ReferenceError_(f"the {kind} reference {path} (NIRSpec, slit {spectrum.slit}, shutter {spectrum.shutter}) cannot be used: "
                              f"{error}; replace it or give override_{kind}") from error  # fmt: skip


def _fore(files: tuple[Component, ...], spectrum: Spectrum, where: Pixels, absent: str) -> Flat:
    """The F flat: a table; for MOS times the flat of the shutter, which is given for a few wavelengths."""
    if spectrum.shutter is None:
        table = files[0].rows.of(spectrum.slit)
        return fore_optics(table._replace(err=finite(table.err)) if absent == "zero" else table, where)
    quadrant, column, row = spectrum.shutter
    if not 1 <= quadrant <= len(files):
        raise ValueError(f"it has no quadrant {quadrant}")
    flat = files[quadrant - 1]
    image = flat.image
    if image is None or image.err is None:
        raise KeyError(f"SCI,{quadrant}")
    ny, nx = image.data.shape[-2:]
    if not (1 <= row <= ny and 1 <= column <= nx):
        raise ValueError(f"its image of quadrant {quadrant} has {nx} x {ny} shutters")
    table, wavelength, shutter = flat.rows.of(None), flat.planes(), (Ellipsis, row - 1, column - 1)
    data, err = np.atleast_1d(image.data[shutter]), np.atleast_1d(image.err[shutter])
    if absent == "zero":
        table, err = table._replace(err=finite(table.err)), finite(err)
    return fore_optics(shutter_factor(table, wavelength, data), where, np.interp(where.raw, wavelength, err, 0.0, 0.0))


def finite(err: np.ndarray | None) -> np.ndarray:
    """Errors with zero for those that are not known (NaN or infinite)."""
    assert err is not None
    return np.where(np.isfinite(err), err, err.dtype.type(0))


def _given(draft: Draft, path: str) -> Result:
    """A flat made before, used as it is."""
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.open(path) as model:
            arrays = [(getattr(model, name, None), kind) for name, kind in (("data", np.float32), ("err", np.float32), ("dq", np.uint32))]
            flat = Flat(*(np.array(array, dtype=kind) for array, kind in arrays))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ParameterError(f"flat_field.user_supplied_flat {path} cannot be read: {error}") from error
    if any(array is None or array.shape != draft.shape for array in flat):
        raise ParameterError(f"flat_field.user_supplied_flat {path} must have SCI, ERR and DQ of the spectrum's shape {draft.shape}, "
                             f"not {[None if array is None else array.shape for array in flat]}")  # fmt: skip
    return Result(flat, lambda: datamodels.open(path))


def _product(draft: Draft, flat: Flat, wavelength: np.ndarray) -> Any:
    """The datamodel of a combined flat."""
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import blank, copy_metadata

    out = blank(datamodels.ImageModel, validate=True)
    copy_metadata(out, draft.model, only="PRIMARY")
    out._validate_on_assignment = False
    if getattr(draft.model.meta, "wcs", None) is not None:
        out.meta.wcs = draft.model.meta.wcs
    out.data, out.dq, out.err = flat.data, flat.dq, flat.err
    out.wavelength = np.nan_to_num(wavelength, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return out
