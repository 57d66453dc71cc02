"""Flats that are one image, for everything but NIRSpec spectra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError, ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.core.step import Skip
from jwst_dask.data.dq import DO_NOT_USE
from jwst_dask.kernels.flat import NO_FLAT_FIELD, Flat, neutral
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.flat_field.result import Result

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft

FULL_FRAME = {"MIRI": (1024, 1032)}
"""(y, x) of a whole detector, where it is not 2048 x 2048."""


def image_flat(draft: Draft, paths: Mapping[str, str], user: str | None) -> Result | Skip:
    """Cut the science subarray out of the FLAT reference, or of the user's flat.

    Raises
    ------
    InputError
        When the exposure does not say where its subarray lies.
    ReferenceError_, ParameterError
        When the flat cannot be read or does not cover the subarray.
    """
    path = user or paths["flat"]
    if path == "N/A":
        return Skip("no FLAT reference for this mode")
    model = draft.model
    area = model.meta.subarray
    corner = (area.ystart, area.xstart)
    if None in corner or min(corner) < 1:
        raise InputError(f"the subarray's corner (SUBSTRT1, SUBSTRT2) is missing or invalid: {corner[::-1]}")
    error = ParameterError if user else ReferenceError_
    key = ("image flat", *token(path), corner, draft.shape, bool(user))
    found = memo(key, lambda: _cut(path, corner, draft.shape, bool(user), error))
    if found is None:
        return Skip(f"the flat {path} is smaller than the science array")
    flat, whole = found
    return Result(flat, lambda: _product(path, flat if whole else None, bool(user)), squares_first=True)


def _open(path: str, user: bool) -> Any:
    from stdatamodels.jwst import datamodels

    try:
        return datamodels.open(path) if user else datamodels.FlatModel(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        what = "flat_field.user_supplied_flat" if user else "the FLAT reference"
        raise (ParameterError if user else ReferenceError_)(f"{what} {path} cannot be read: {error}") from error


def _cut(path: str, corner: tuple[int, int], shape: tuple[int, int], user: bool, error: type[Exception]) -> tuple[Flat, bool] | None:
    """The usable flat on the science pixels, and whether these are all pixels of the file; None if the file has too few."""
    with _open(path, user) as model:
        given = ((model.data, np.float32), (model.err, np.float32), (model.dq, np.uint32))
        planes: list[Any] = [None if plane is None else np.array(plane, dtype=kind) for plane, kind in given]
        area, instrument = model.meta.subarray, str(model.meta.instrument.name).upper()
        origin = (area.ystart, area.xstart)
    data, err, dq = planes
    if data is None or err is None or dq is None:
        raise error(f"the flat {path} lacks SCI, ERR or DQ")
    if data.shape[-1] < shape[1] or data.shape[-2] < shape[0]:
        return None
    if None in origin:
        if data.shape != FULL_FRAME.get(instrument, (2048, 2048)):
            raise error(f"the flat {path} does not say where its subarray lies (SUBSTRT1, SUBSTRT2)")
        origin = (1, 1)
    low = [at - begin for at, begin in zip(corner, origin, strict=True)]
    if min(origin) < 1 or min(low) < 0 or any(at + n > size for at, n, size in zip(low, shape, data.shape, strict=True)):
        raise error(f"the flat {path}, {data.shape[1]} x {data.shape[0]} pixels from {origin[::-1]}, does not cover the science "
                    f"subarray, {shape[1]} x {shape[0]} pixels from {corner[::-1]}")  # fmt: skip
    window = tuple(slice(at, at + n) for at, n in zip(low, shape, strict=True))
    flags = dq[window].copy()
    flags[(flags & NO_FLAT_FIELD) != 0] |= DO_NOT_USE
    return neutral(Flat(data[window], err[window].copy(), flags)), low == [0, 0] and data.shape == shape


def _product(path: str, flat: Flat | None, user: bool) -> Any:
    """The flat as it is saved on request: the whole file, with its unusable pixels set to 1 where these were looked for."""
    model = _open(path, user)
    if flat is not None:
        model.data, model.dq = flat.data, flat.dq
    return model
