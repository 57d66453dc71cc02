"""The scene mask: which pixels of an exposure show nothing but background."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import Skip
from jwst_dask.data.dq import bits
from jwst_dask.refs.load import CACHE, token
from jwst_dask.steps.stage2.clean_flicker_noise.background import clip_to_background

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft

FIXED_SLIT_ROWS = (922, 1116)
"""Rows (from 0; one past the last) of a full frame that the fixed slits light when the MSA is in use."""
FAILED_OPEN = np.uint32(bits("MSA_FAILED_OPEN"))


def slit_areas(draft: Draft) -> np.ndarray:
    """Bounding boxes of the open slits as pixel ranges (int64[slit, 4]: first x, one past the last x, the same for y).

    Raises
    ------
    InputError
        When the exposure has been given no WCS.
    """
    from jwst_dask.wcs.grid import pixel_range

    if draft.slits is not None:
        boxes: Iterable[Any] = [slit.box for slit in draft.slits]
    else:
        wcs = getattr(draft.model.meta, "wcs", None)
        if wcs is None:
            raise InputError("mask_science_regions needs a WCS; run assign_wcs first")
        numbers = wcs.get_transform("gwa", "slit_frame").slit_ids
        boxes = [[(interval.lower, interval.upper) for interval in (box[0], box[1])] for box in (wcs.bounding_box[n] for n in numbers)]
    areas = [(*pixel_range(*x), *pixel_range(*y)) for x, y in boxes]
    return np.array(areas, np.int64).reshape(-1, 4)


def fixed_slits_idle(draft: Draft) -> bool:
    """Whether the area of the fixed slits is to be masked: in exposures of the MSA that use none of them."""
    return draft.model.meta.exposure.type == "NRS_MSASPEC" and not any(slit.fixed for slit in draft.slits or ())


def plane_mask(image: np.ndarray, dq: np.ndarray | None, state: Mapping[str, Any], n_sigma: float, fit_histogram: bool) -> np.ndarray:
    """Mask of one image.

    Parameters
    ----------
    image : float32[y, x]
        Divided by the flat, if there is one.
    dq : uint32[y, x]
    state : mapping
        Of the step: ``areas`` (slits, not used if empty), ``fixed_rows`` and ``regions`` (whether science regions are masked); of
        some modes ``open``, ``traces``, ``unlit`` (flat indices of pixels that are masked too) and ``flags`` (in `dq`, of such).
    n_sigma : float
        Limit for signal; 0 for no clipping.
    fit_histogram : bool

    Returns
    -------
    bool[y, x]
        True for background.
    """
    mask = ~(np.isnan(image) | (image == 0))
    if bool(state["regions"]):
        for x0, x1, y0, y1 in np.asarray(state["areas"]):
            mask[y0:y1, x0:x1] = False
        if dq is not None:
            mask &= (dq & FAILED_OPEN) == 0
            mask &= (dq & np.uint32(int(state.get("flags", 0)))) == 0
        for name in ("open", "traces", "unlit"):
            if name in state:
                mask.reshape(-1)[np.asarray(state[name])] = False
        if bool(state["fixed_rows"]):
            mask[slice(*FIXED_SLIT_ROWS)] = False
    if n_sigma > 0:
        clip_to_background(image, mask, above=n_sigma, fit_histogram=fit_histogram)
    return np.asarray(mask)


def open_shutters(draft: Draft, refs: Any) -> dict[str, Any]:
    """Pixels lit by failed-open shutters (``open``), for an exposure that has not been through msa_flagging."""
    from jwst_dask.steps import step_class

    step = draft.steps.get("msa_flagging") or step_class("msa_flagging")()
    found = step.prepare(draft, refs.scoped(step.overrides, step.references) if hasattr(refs, "scoped") else refs)
    return {} if isinstance(found, Skip) else {"open": found["pixels"]}


def user_mask(path: str) -> np.ndarray:
    """The user's mask (bool[y, x] or bool[integration, y, x]; True for background).

    Raises
    ------
    ParameterError
        When the file cannot be read or holds no image.
    """
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as file:
            data = file["SCI"].data if "SCI" in file else file[0].data
    except (OSError, ValueError, TypeError) as error:
        raise ParameterError(f"clean_flicker_noise.user_mask: {path} cannot be read: {error}") from error
    if data is None or data.ndim not in (2, 3):
        raise ParameterError(f"clean_flicker_noise.user_mask: {path} holds no mask; its SCI extension must be an image (y, x)")
    return np.asarray(data).astype(bool)


def flat_image(path: str, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """The flat on the pixels of a subarray, unusable values replaced by a smooth one (float32[y, x]).

    Parameters
    ----------
    path : str
        FLAT reference.
    corner : (int, int)
        First row and column of the subarray, from 1.
    shape : (int, int)
    """
    from jwst_dask.steps.stage2.clean_flicker_noise.background import background_level

    def make() -> np.ndarray:
        flat = np.array(_cut_out(path, corner, shape), np.float32)
        bad = (flat == 0) | ~np.isfinite(flat)
        if bad.any():
            flat[bad] = np.broadcast_to(background_level(flat, ~bad, "model"), shape)[bad]
        return flat

    return CACHE.get(("flicker flat", *token(path), corner, shape), make)  # type: ignore[no-any-return]


def _cut_out(path: str, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    from jwst_dask.io.fits import read, scan

    file = scan(path)
    header, size = file.header(0), file.hdu("SCI").shape
    origin = [int(header.get(key, 1)) for key in ("SUBSTRT2", "SUBSTRT1")]
    low = [at - begin for at, begin in zip(corner, origin, strict=True)]
    if min(low) < 0 or any(at + n > whole for at, n, whole in zip(low, shape, size[-2:], strict=True)):
        raise InputError(f"the flat {path} does not cover the subarray, {shape[1]} x {shape[0]} pixels from {corner[::-1]}; "
                         "give one that does with override_flat, or apply_flat_field=false")  # fmt: skip
    return read(file, "SCI", window=(low[0], low[0] + shape[0], low[1], low[1] + shape[1]))


def shared_mask(state: Mapping[str, Any], n_sigma: float, fit_histogram: bool, flat: np.ndarray | None) -> np.ndarray:
    """One mask for all integrations of a file: what is background in each of them (bool[y, x]).

    Made once per process, from the exposure's file, of which one integration is in memory at a time: steps before this one do
    not change the pixels of a series.
    """
    from jwst_dask.io.fits import read, scan

    path = str(state["path"])

    def make() -> np.ndarray:
        file = scan(path)
        regions = bool(state["regions"]) and "DQ" in file
        together: np.ndarray | None = None
        for i in range(file.nints):
            image = read(file, "SCI", start=i, stop=i + 1)[0].astype(np.float32, copy=False)
            dq = read(file, "DQ", start=i, stop=i + 1)[0] if regions else None
            mask = plane_mask(image / flat if flat is not None else image, dq, state, n_sigma, fit_histogram)
            together = mask if together is None else together & mask
        return together if together is not None else np.zeros(file.hdu("SCI").shape[-2:], bool)

    where = (str(state["flat"]), np.asarray(state["areas"]).tobytes(), bool(state["regions"]), bool(state["fixed_rows"]), len(state.get("open", ())))
    return CACHE.get(("scene mask", *token(path), n_sigma, fit_histogram, *where), make)  # type: ignore[no-any-return]


def masks_of(block: Block, state: Mapping[str, Any], n_sigma: float, fit_histogram: bool, single: bool, flat: np.ndarray | None) -> np.ndarray:
    """Scene masks of a block's integrations (bool[integration, y, x], to be changed by who asks).

    Raises
    ------
    ParameterError
        When the user's mask does not have the shape of the data.
    """
    sci, dq = block.arrays["sci"], block.arrays.get("dq")
    path = str(state["user_mask"])
    if path:
        given = user_mask(path)
        return np.array(np.broadcast_to(given if given.ndim == 2 else given[block.rows], sci.shape))
    if single and int(state["nints"]) > 1:
        return np.array(np.broadcast_to(shared_mask(state, n_sigma, fit_histogram, flat), sci.shape))
    return np.stack([
        plane_mask(image / flat if flat is not None else image, None if dq is None else dq[i], state, n_sigma, fit_histogram) for i, image in enumerate(sci)
    ])  # fmt: skip
