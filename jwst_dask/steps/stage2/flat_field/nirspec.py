"""Flats of NIRSpec spectra, from the FFLAT, SFLAT and DFLAT references."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError, ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.data.dq import PIXEL
from jwst_dask.kernels.flat import Flat, Pixels, Table, combine, fore_optics, image_at, neutral, pixels, usable, with_table
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.flat_field.result import Result
from jwst_dask.steps.stage2.flat_field.wavelength import pixel_wavelengths

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft

COMPONENTS = ("fflat", "sflat", "dflat")
"""In the order in which they multiply."""

Window = tuple[slice, slice]


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
    flat = memo(key, lambda: _combined(paths, window, wavelength, dispaxis, model.name))
    return Result(flat, lambda: _product(draft, flat, wavelength))


def _combined(paths: Mapping[str, str], window: Window, wavelength: np.ndarray, dispaxis: int, slit: str | None) -> Flat:
    where = pixels(wavelength, dispaxis)
    parts = [None if paths[kind] == "N/A" else _part(kind, paths[kind], window, where, slit) for kind in COMPONENTS]
    return combine(parts, (wavelength.shape[0], wavelength.shape[1]))


def _part(kind: str, path: str, window: Window, where: Pixels, slit: str | None) -> Flat:
    """One component on the pixels of a spectrum."""
    from astropy.io import fits

    try:
        # scaled integers (DQ) have no windows in a memory map
        with fits.open(path, memmap=False) as file:
            table = _fast_variation(file, slit)
            if kind == "fflat":
                return fore_optics(table, where)
            image = _image(file, window)
            if image.data.shape[-2:] != where.raw.shape:
                raise ValueError(f"it does not cover the spectrum's pixels, {window}")
            if image.data.ndim == 3:
                image = image_at(where.raw, image, _plane_wavelengths(file, len(image.data)))
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ReferenceError_(f"the {kind} reference {path} (NIRSpec, slit {slit}) cannot be used: {error}; "
                              f"replace it or give override_{kind}") from error  # fmt: skip
    return with_table(neutral(image), table, where)


def _image(file: Any, window: Window) -> Flat:
    """Image part of a flat in a window; planes that the file lacks are zero."""
    names = {hdu.name for hdu in file}

    def cut(name: str, kind: type[np.generic], like: np.ndarray | None = None) -> np.ndarray:
        if name not in names and like is not None:
            return np.zeros(like.shape, kind)
        return np.array(file[name].section[(Ellipsis, *window)], dtype=kind, order="C")

    data = cut("SCI", np.float32)
    err, dq = cut("ERR", np.float32, data), cut("DQ", np.uint32, data)
    return Flat(data, err, standard_flags(dq, file["DQ_DEF"].data) if "DQ_DEF" in names else dq)


def standard_flags(dq: np.ndarray, definitions: Any) -> np.ndarray:
    """Flags of a reference file, whose DQ_DEF table says what its bits mean, as the standard ones (uint32); unknown names are dropped."""
    out = np.zeros_like(dq)
    for row in definitions:
        flag = PIXEL.get(str(row["NAME"]).strip(), 0)
        out[(dq & np.uint32(row["VALUE"])) != 0] |= np.uint32(flag)
    return out


def _plane_wavelengths(file: Any, n: int) -> np.ndarray:
    """Wavelengths of the planes of an image (float32[plane]); unused trailing entries of the table are dropped."""
    column = np.asarray(file["WAVELENGTH"].data["wavelength"], dtype=np.float32).reshape(-1)
    column = column[column > 0]
    if len(column) < n and n > 1:
        raise ValueError(f"it has {n} planes and {len(column)} wavelengths")
    return column


def _fast_variation(file: Any, slit: str | None) -> Table:
    """The row of the FAST_VARIATION table that is for a slit, or for any; the only row where the table knows no slits."""
    table = file["FAST_VARIATION"].data
    columns = {name.lower() for name in table.names}
    row = None
    if "slit_name" in columns and slit is not None:
        names = [str(name).strip().lower() for name in table["slit_name"]]
        row = next((i for i, name in enumerate(names) if name in ("any", slit.lower())), None)
        if row is None:
            raise ValueError(f"its table has no row for slit {slit}, nor for any")
    out = []
    for name in ("wavelength", "data", "error"):
        # files of an early format have no errors
        column = np.asarray(table[name] if name in columns else np.full_like(table["wavelength"], np.nan), dtype=np.float32)
        out.append(column[row or 0] if column.ndim > 1 else column)
    n = int(table["nelem"][row or 0]) if "nelem" in columns else len(out[0])
    return usable(Table(*(column[:n] for column in out)))


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
