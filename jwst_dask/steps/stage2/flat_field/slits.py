"""Flats of the slits of a NIRSpec exposure (MOS, fixed slits, lamps), one slit at a time.

Documents: "Flat Field Correction" and "Master Background Subtraction" of the JWST pipeline documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.memo import memo
from jwst_dask.kernels.flat import Flat
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.flat_field.nirspec import Spectrum, combined
from jwst_dask.steps.stage2.flat_field.result import Result
from jwst_dask.steps.stage2.flat_field.wavelength import slit_wavelengths

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft

BY_SLIT = ("NRS_FIXEDSLIT", "NRS_LAMP", "NRS_AUTOWAVE")
"""Exposure types whose tables have a row for each slit (or one for any)."""
GEOMETRY = ("name", "xstart", "xsize", "ystart", "ysize")
"""What a slit of an ``interpolatedflat`` product says of itself beside its arrays."""


def slit_flat(draft: Draft, paths: Mapping[str, str], user: str | None, absent: str = "nan") -> Result:
    """The flat of one slit.

    A point source in a fixed slit gets two: with the wavelengths of the point source, which is applied, and with those
    of light that fills the slit, for its background (attributes ``flatfield_point`` and ``flatfield_uniform``).

    Parameters
    ----------
    draft : Draft
        Of one slit's cut-out.
    paths : mapping
        Reference files by type; ``"N/A"`` for none: lamps have a D flat, or D and S flats.
    user : str, optional
        A product ``interpolatedflat``, used in their place.
    absent : {"nan", "zero"}
        See `FlatFieldStep.absent_uncertainty`.

    Raises
    ------
    InputError
        When the slit's place on the detector, or its shutter, is not known.
    ReferenceError_, ParameterError
        When a flat is unusable.
    """
    if user:
        return _given(draft, user)
    slit = draft.model.instance
    meta = slit["meta"]
    exp_type = str(meta["exposure"]["type"]).upper()
    spectrum = _place(draft, exp_type)
    fixed_point = exp_type == "NRS_FIXEDSLIT" and str(slit.get("source_type") or "").upper() == "POINT"
    if fixed_point:
        slit["flatfield_uniform"] = combined(paths, spectrum, slit_wavelengths(draft, corrected=False), absent).data
    wavelength = slit_wavelengths(draft)
    flat = combined(paths, spectrum, wavelength, absent)
    if fixed_point:
        slit["flatfield_point"] = flat.data
    return Result(flat, lambda: _product(slit, flat, wavelength))


def _place(draft: Draft, exp_type: str) -> Spectrum:
    slit = draft.model.instance
    area = slit["meta"].get("subarray", {})
    corners = area.get("ystart"), area.get("xstart"), slit.get("ystart"), slit.get("xstart")
    if None in corners:
        raise InputError(
            f"where slit {slit.get('name')} lies on the detector (SUBSTRT2, SUBSTRT1, SLTSTRT2, SLTSTRT1) is not known: {corners}"
        )
    y, x = corners[0] + corners[2] - 2, corners[1] + corners[3] - 2
    window = slice(y, y + draft.shape[0]), slice(x, x + draft.shape[1])
    dispaxis = slit["meta"].get("wcsinfo", {}).get("dispersion_direction") or 1
    if exp_type in BY_SLIT:
        return Spectrum(window, dispaxis, slit.get("name"))
    shutter = slit.get("quadrant"), slit.get("xcen"), slit.get("ycen")
    if None in shutter:
        raise InputError(f"the shutter of slit {slit.get('name')} is not known: quadrant, column and row are {shutter}")
    quadrant, column, row = (int(number) for number in shutter)
    return Spectrum(window, dispaxis, None, (quadrant, column, row))


def _product(slit: Mapping[str, Any], flat: Flat, wavelength: np.ndarray) -> dict[str, Any]:
    """A slit of an ``interpolatedflat`` product: arrays and attributes."""
    plane = np.nan_to_num(wavelength, nan=0.0, posinf=np.inf, neginf=-np.inf).astype(np.float32)
    arrays = {"data": flat.data, "dq": flat.dq, "err": flat.err, "wavelength": plane}
    return arrays | {name: slit[name] for name in GEOMETRY if slit.get(name) is not None}


def _given(draft: Draft, path: str) -> Result:
    """The slit of this name in a product ``interpolatedflat``."""
    name = str(draft.model.instance.get("name"))
    flats = memo(("user flat", token(path)), lambda: _read_given(path))
    if name not in flats:
        raise ParameterError(f"flat_field.user_supplied_flat {path} has no slit {name}; it has {', '.join(flats) or 'none'}")
    flat, attributes = flats[name]
    if any(array is None or array.shape != draft.shape for array in flat):
        shapes = [None if array is None else array.shape for array in flat]
        raise ParameterError(
            f"flat_field.user_supplied_flat {path}: slit {name} must have SCI, ERR, DQ of shape {draft.shape}, not {shapes}"
        )
    return Result(flat, lambda: dict(attributes))


def _read_given(path: str) -> dict[str, tuple[Flat, dict[str, Any]]]:
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.open(path) as model:
            if not hasattr(model, "slits"):
                raise ValueError(f"it is a {type(model).__name__}, not a MultiSlitModel")
            return {str(slit.name): _read_slit(slit) for slit in model.slits}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ParameterError(f"flat_field.user_supplied_flat {path} cannot be read: {error}") from error


def _read_slit(slit: Any) -> tuple[Flat, dict[str, Any]]:
    arrays = {name: np.array(getattr(slit, name), dtype=kind)
              for name, kind in (("data", np.float32), ("dq", np.uint32), ("err", np.float32), ("wavelength", np.float32))
              if getattr(slit, name, None) is not None}  # fmt: skip
    attributes = {name: value for name in GEOMETRY if (value := getattr(slit, name, None)) is not None}
    return Flat(arrays["data"], arrays.get("err"), arrays.get("dq")), arrays | attributes
