"""Correlated noise of ramps: of the differences of consecutive groups, integration by integration."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.data.dq import bits
from jwst_dask.data.exposure import Block
from jwst_dask.steps.stage1.draft_rate import DraftRate
from jwst_dask.steps.stage2.clean_flicker_noise import scene
from jwst_dask.steps.stage2.clean_flicker_noise.clean import CleaningError, Recipe, clean_image
from jwst_dask.steps.stage2.clean_flicker_noise.median_image import NO_FLUX, relative
from jwst_dask.steps.stage2.clean_flicker_noise.median_ramp import brightness, median_ramp

if TYPE_CHECKING:
    from jwst_dask.steps.stage1.draft_rate import Series
    from jwst_dask.steps.stage2.clean_flicker_noise.step import CleanFlickerNoiseStep

log = logging.getLogger(__name__)

UNUSABLE = np.uint8(bits("DO_NOT_USE+JUMP_DET"))
"""Group flags of pixels that are no background of a difference."""


@dataclass(frozen=True)
class Scene:
    """What is known of an exposure before its integrations are cleaned.

    Attributes
    ----------
    mask : bool[y, x] or bool[integration, y, x] or None
        True for background; None where each integration has one of its own, from its rate.
    flat : float32[y, x] or None
    median : float32[group, y, x] or None
        Subtracted, times `scale` (float[integration]), before the noise is fitted.
    scale : float[integration] or None
    """

    mask: np.ndarray | None
    flat: np.ndarray | None
    median: np.ndarray | None = None
    scale: np.ndarray | None = None


def clean_ramps(step: CleanFlickerNoiseStep, ramps: Series, out: Series, state: Mapping[str, Any]) -> None:
    """Clean a whole exposure, some integrations at a time.

    Parameters
    ----------
    step : CleanFlickerNoiseStep
    ramps, out : Series
        May be the same. Written are ``sci`` and the side products: ``flicker_bkg``, ``flicker_noise`` (as ``sci``), ``mask``
        (bool[integration, y, x], or bool[y, x] of a single one, with the first block).
    state : mapping
        As prepared for a ramp.
    """
    rates = DraftRate(ramps, state)
    image = rates.image() if bool(state["automatic"]) else None
    if image is not None:
        step = _automatic(step, image, state)
    flat = flat_of(state, ramps.shape)
    found = _scene(step, ramps, rates, image, flat, state)
    if found is None:
        return
    recipe = step.recipe(state)
    for block in ramps.blocks():
        masks = _masks(step, found, rates, block, state)
        if masks is None:
            return
        _clean_block(step, found, recipe, block, masks)
        out.write(block)


def flat_of(state: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray | None:
    """The flat of a prepared step, on the pixels of a frame; None without one."""
    y, x = (int(n) for n in state["corner"])
    path = str(state["flat"])
    return scene.flat_image(path, (y, x), shape) if path else None


def _automatic(step: CleanFlickerNoiseStep, image: tuple[np.ndarray, np.ndarray], state: Mapping[str, Any]) -> CleanFlickerNoiseStep:
    from jwst_dask.steps.stage2.clean_flicker_noise.automatic import choose

    chosen = choose(str(state["exp_type"]), image[0], flat_of(state, image[0].shape), int(state["axis"]))
    log.info("clean_flicker_noise: autoparam chose %s", ", ".join(f"{name}={value}" for name, value in chosen.items()))
    return dataclasses.replace(step, **chosen)


def _scene(step: CleanFlickerNoiseStep, ramps: Series, rates: DraftRate, image: tuple[np.ndarray, np.ndarray] | None,
           flat: np.ndarray | None, state: Mapping[str, Any]) -> Scene | None:  # fmt: skip
    path = str(state["user_mask"])
    mask = scene.user_mask(path) if path else None
    if mask is None and step.single:
        image = rates.image() if image is None else image
        if image is None:
            log.error("clean_flicker_noise: no pixel has a rate; the ramps stay as they are")
            return None
        mask = scene.plane_mask(_flattened(image[0], flat), image[1], state, step.n_sigma, step.fit_histogram)
    if step.background_method != "median_image":
        return Scene(mask, flat)
    scale = relative(brightness(rates, state, flat))
    if scale is None:
        log.error("clean_flicker_noise: a median image cannot be made: %s; the ramps stay as they are", NO_FLUX)
        return None
    return Scene(mask, flat, median_ramp(ramps), scale)


def _flattened(image: np.ndarray, flat: np.ndarray | None) -> np.ndarray:
    if flat is None:
        return image
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(image / flat)


def _masks(step: CleanFlickerNoiseStep, found: Scene, rates: DraftRate, block: Block, state: Mapping[str, Any]) -> np.ndarray | None:
    """Scene masks of a block: bool[y, x], or bool[integration, y, x]."""
    if found.mask is not None:
        return found.mask if found.mask.ndim == 2 else found.mask[block.rows]
    arrays = rates.of(block)
    if arrays is None:
        log.error("clean_flicker_noise: no pixel has a rate; the ramps stay as they are")
        return None
    planes = zip(arrays["sci"], arrays["dq"], strict=True)
    return np.stack([scene.plane_mask(_flattened(image, found.flat), dq, state, step.n_sigma, step.fit_histogram) for image, dq in planes])


def _clean_block(step: CleanFlickerNoiseStep, found: Scene, recipe: Recipe, block: Block, masks: np.ndarray) -> None:
    """Clean the integrations of a block in place; its other arrays give way to side products."""
    sci, groupdq = block.arrays["sci"], block.arrays["groupdq"]
    keep = {name: np.zeros_like(sci) for name in ("flicker_bkg",) if step.save_background}
    if step.save_noise:
        keep["flicker_noise"] = sci.copy()
    for i, ramp in enumerate(sci):
        mask = masks if masks.ndim == 2 else masks[i]
        levels = keep["flicker_bkg"][i] if step.save_background else None
        where = f"integration {block.start + i + 1}"
        if found.median is None or found.scale is None:
            _clean_differences(ramp, groupdq[i], mask, recipe, found.flat, levels, where)
        else:
            _clean_groups(ramp, mask, recipe, found.flat, found.median, found.scale[block.start + i], levels, where)
    if step.save_noise:
        np.subtract(sci, keep["flicker_noise"], out=keep["flicker_noise"])
    if step.save_mask and (masks.ndim == 3 or block.start == 0):
        keep["mask"] = masks
    block.arrays = {"sci": sci, **keep}


def _clean_differences(ramp: np.ndarray, groupdq: np.ndarray, mask: np.ndarray, recipe: Recipe, flat: np.ndarray | None,
                       levels: np.ndarray | None, where: str) -> None:  # fmt: skip
    """Clean an integration (float32[group, y, x]) in place: each difference is added to the group before, which is clean already."""
    before = ramp[0].copy()
    for j in range(1, len(ramp)):
        raw = ramp[j].copy()
        done = _cleaned(raw - before, mask & ((groupdq[j] & UNUSABLE) == 0), recipe, flat, f"{where}, group {j + 1}")
        before = raw
        if done is None:
            continue
        np.add(ramp[j - 1], done[0], out=ramp[j], casting="same_kind")
        if levels is not None:
            levels[j] = done[1]


def _clean_groups(ramp: np.ndarray, mask: np.ndarray, recipe: Recipe, flat: np.ndarray | None, medians: np.ndarray, scale: Any,
                  levels: np.ndarray | None, where: str) -> None:  # fmt: skip
    """Clean each group of an integration in place, less the scaled median ramp (float32[group, y, x])."""
    for j, plane in enumerate(medians):
        median = scale * plane
        done = _cleaned(ramp[j] - median, mask.copy(), recipe, flat, f"{where}, group {j + 1}")
        if done is None:
            continue
        np.add(median, done[0], out=ramp[j], casting="same_kind")
        if levels is not None:
            levels[j] = median


def _cleaned(image: np.ndarray, mask: np.ndarray, recipe: Recipe, flat: np.ndarray | None, where: str) -> tuple[np.ndarray, Any] | None:
    try:
        done = clean_image(image, mask, recipe, flat)
    except CleaningError as error:
        log.error("clean_flicker_noise: %s: %s; it stays as it is", where, error)
        return None
    if done is None:
        log.warning("clean_flicker_noise: %s has no usable pixel; it stays as it is", where)
    return done
