"""Parameters that suit an image, from its brightness, its slopes and its amplifiers (NIRISS and NIRCam imaging).

The limits are those of the reference implementation.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.kernels import clip, flicker
from jwst_dask.steps.stage2.clean_flicker_noise.background import background_level, clip_to_background

log = logging.getLogger(__name__)

FULL, OUTPUTS = 2048, 4
MIDDLE = (3, 5, 8)
"""Part of an image in which slopes are measured: from three eighths to five eighths."""
FIRST_OUTPUT = (10, 11, 12)
"""Of NIRISS's first output, which may differ from the others."""


@dataclass(frozen=True)
class Limits:
    """From where on a figure counts as high.

    Attributes
    ----------
    sources : float
        Fraction of pixels that are not background.
    offset : float
        Between neighbouring outputs, DN/s.
    slope, steep : float
        Of the background, DN/s per pixel; the second where outputs differ.
    ratio : float
        Of the greater slope to the lesser.
    scatter : float
        Within outputs, DN/s.
    """

    sources: float
    offset: float
    slope: float
    steep: float
    ratio: float
    scatter: float


NIRISS = Limits(0.07, 0.07, 1e-5, 1e-4, 5.0, 0.02)
NIRCAM = Limits(0.1, 0.07, 1e-5, 1e-5, 3.0, 0.02)


def choose(exp_type: str, rate: np.ndarray, flat: np.ndarray | None, axis: int) -> dict[str, Any]:
    """Parameters for an image.

    Parameters
    ----------
    exp_type : {"NIS_IMAGE", "NRC_IMAGE"}
    rate : float32[y, x]
        The draft rate.
    flat : float32[y, x]
    axis : int
        That stripes run along.

    Returns
    -------
    dict
        ``apply_flat_field``, ``background_method``, ``fit_by_channel``.
    """
    image, background = _quick(rate if flat is None else rate / flat, axis)
    model = background_level(image, background, "model")
    image[~background] = np.broadcast_to(model, image.shape)[~background]
    sources = 1 - background.mean()
    by_column, by_row = _average(image, 0, MIDDLE), _average(image, 1, MIDDLE)
    (along_x, scatter), (along_y, _) = _line(by_column), _line(by_row)
    slopes = sorted((abs(along_x), abs(along_y)))
    ratio = slopes[1] / slopes[0] if slopes[0] > 0 else np.inf
    if exp_type == "NIS_IMAGE":
        scatter, offset, limits = _line(_average(image, 0, FIRST_OUTPUT))[1], _offset(by_row), NIRISS
    else:
        offset, limits = _offset(by_column), NIRCAM
    method, by_channel = _decide(limits, sources, offset, slopes[1], ratio, scatter)
    return {"apply_flat_field": flat is not None, "background_method": method, "fit_by_channel": by_channel}


def _quick(image: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """A rate cleaned in a simple way (a copy), and the mask of its background."""
    image = np.array(image, np.float32)
    nan = np.isnan(image)
    background = ~nan
    clip_to_background(image, background)
    image[nan] = 0
    level = background_level(image, background, "median")
    image -= level
    clip_to_background(image, background, lower_half=True)
    image = flicker.remove_stripes(image, background, axis)
    image += level
    image[nan] = np.nan
    return image, background


def _average(image: np.ndarray, axis: int, part: tuple[int, int, int]) -> np.ndarray:
    """Mean over a part of an axis (float64), of what is not NaN."""
    first, last, whole = part
    size = image.shape[axis]
    lines = np.take(image, np.arange(round(first * size / whole), round(last * size / whole)), axis).astype(np.float64)
    good = ~np.isnan(lines)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(good, lines, 0).sum(axis) / good.sum(axis))


def _line(values: np.ndarray) -> tuple[float, float]:
    """Slope of a line through values at 0, 1, ..., and the scatter about it."""
    good = np.isfinite(values)
    x = np.arange(values.size, dtype=float)[good] - values.size / 2
    if x.size < 2:
        return 0.0, np.nan
    slope, level = np.polyfit(x, values[good], 1)
    return float(slope), clip.clipped_stats(np.sort(values[good] - (level + slope * x)), 10.0)[2]


def _offset(values: np.ndarray) -> float:
    """Greatest difference between the means of neighbouring outputs of a full frame; 0 for subarrays."""
    if values.size != FULL:
        return 0.0
    means = [clip.clipped_stats(np.sort(part[~np.isnan(part)]), 3.0)[0] for part in np.split(values, OUTPUTS)]
    return float(np.max(np.abs(np.diff(means))))


def _decide(limits: Limits, sources: float, offset: float, slope: float, ratio: float, scatter: float) -> tuple[str, bool]:
    """Method for the background, and whether outputs are fitted by themselves."""
    crowded, uneven = sources >= limits.sources, offset >= limits.offset
    if uneven and not crowded:
        return "median", True
    if crowded:
        return ("model" if slope >= (limits.steep if uneven else limits.slope) else "median"), False
    sloped = slope >= limits.steep or (slope >= limits.slope and ratio < limits.ratio)
    return ("model" if sloped else "median"), bool(offset > 0 and scatter >= limits.scatter)
