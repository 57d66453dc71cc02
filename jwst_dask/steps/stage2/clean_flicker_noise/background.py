"""Where an image shows background, and its level there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from jwst_dask.kernels import clip

log = logging.getLogger(__name__)

SIGMA = 3.0
"""Limit of all clipping that only serves statistics."""
BINS = 2000
LARGEST_BOX = 32
Background = float | np.ndarray


def clip_to_background(
    image: np.ndarray,
    mask: np.ndarray,
    below: float = 3.0,
    above: float = 2.0,
    *,
    fit_histogram: bool = False,
    lower_half: bool = False,
    values: np.ndarray | None = None,
) -> np.ndarray:
    """Take pixels out of a mask that are too bright or too faint for background.

    Parameters
    ----------
    image : float32[y, x]
        No NaN where the mask is True.
    mask : bool[y, x]
        True for background; changed in place.
    below, above : float
        Limits, in standard deviations from the clipped median.
    fit_histogram : bool
        Take centre and standard deviation of a Gaussian fitted to the histogram of the values.
    lower_half : bool
        Take the statistics from the values below the centre, mirrored.
    values : float32[pixel]
        The values in the mask, if they are known: sorted.

    Returns
    -------
    float32[pixel]
        The values that are left, sorted.
    """
    if values is None:
        values = clip.sorted_pixels(image, mask)
    if not values.size:
        return values
    used, (centre, sigma) = values, _centre(values, fit_histogram)
    if lower_half:
        half = values[: clip.within(values, -np.inf, centre)[1]].astype(np.float64)
        used = np.concatenate((half - centre, (centre - half)[::-1])) + centre
        centre, sigma = _centre(used, fit_histogram)
    if fit_histogram:
        centre, sigma = _gaussian(used, centre, sigma)
    low, high = centre - below * sigma, centre + above * sigma
    clip.keep_within(image, mask, low, high)
    first, last = clip.within(values, low, high)
    return values[first:last]


def _centre(values: np.ndarray, fit_histogram: bool) -> tuple[float, float]:
    mean, median, sigma = clip.clipped_stats(values, SIGMA)
    return (mean if fit_histogram else median), sigma


def _gaussian(values: np.ndarray, centre: float, sigma: float) -> tuple[float, float]:
    """Centre and width of the Gaussian that fits the histogram of sorted values best; those given if none does."""
    from scipy.optimize import curve_fit

    low, high = centre - 4.0 * sigma, centre + 4.0 * sigma
    if not np.isfinite((low, high)).all():
        log.error("no histogram of values around %g +- %g; going on with these", centre, sigma)
        return centre, sigma
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    counts = np.diff(np.append(np.searchsorted(values, edges[:-1], "left"), np.searchsorted(values, edges[-1], "right")))
    middles = (edges[1:] + edges[:-1]) / 2.0
    peak = int(np.argmax(counts))

    def profile(x: np.ndarray, height: float, mean: float, width: float) -> np.ndarray:
        return np.asarray(height * np.exp(-0.5 * ((x - mean) / width) ** 2))

    limits = ((0, middles[0], 0), (np.inf, middles[-1], middles[-1] - middles[0]))
    try:
        found, _ = curve_fit(profile, middles, counts, p0=(counts[peak], middles[peak], sigma), bounds=limits)
    except RuntimeError:
        log.error("no Gaussian fits the histogram of values; going on with %g +- %g", centre, sigma)
        return centre, sigma
    return float(found[1]), float(found[2])


def background_level(image: np.ndarray, mask: np.ndarray, method: str | None, box: Sequence[int] | None = None) -> Background:
    """Level of the background, after outliers are taken out of the mask.

    Parameters
    ----------
    image : float32[y, x]
        No NaN where the mask is True.
    mask : bool[y, x]
        True for background; changed in place.
    method : {"median", "model", None}
        One value, a smooth image, or 0.
    box : (int, int)
        Size (y, x) of the boxes of the smooth image; by default the greatest up to 32 that divide the image evenly.

    Returns
    -------
    float32 or float32[y, x]
    """
    return subtracted_level(image, mask, method, box)[0]


def subtracted_level(
    image: np.ndarray, mask: np.ndarray, method: str | None, box: Sequence[int] | None = None
) -> tuple[Background, np.ndarray | None]:
    """The level, as `background_level` gives it, and the values in the mask less a level that is one number (sorted; None otherwise)."""
    if method is None:
        return 0.0, None
    values = clip_to_background(image, mask, SIGMA, SIGMA, lower_half=True)
    if method == "model":
        try:
            return smooth_background(image, mask, box), None
        except ValueError as error:
            log.error("the background cannot be modelled (%s); going on with its median", error)
    level = np.float32(clip.median32(values))
    return level, values - level  # type: ignore[return-value]


def smooth_background(image: np.ndarray, mask: np.ndarray, box: Sequence[int] | None) -> np.ndarray:
    """Clipped medians in boxes, median filtered and interpolated to all pixels (float32[y, x]).

    Raises
    ------
    ValueError
        When no box has enough background pixels.
    """
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, MedianBackground  # type: ignore[import-untyped]

    size = tuple(box) if box is not None else tuple(max(d for d in range(1, LARGEST_BOX + 1) if n % d == 0) for n in image.shape)
    if any(n % d for n, d in zip(image.shape, size, strict=True)):
        log.warning("background boxes of %d x %d pixels do not divide the image evenly", *size[::-1])
    model = Background2D(image, box_size=size, filter_size=(5, 5), mask=~mask, sigma_clip=SigmaClip(sigma=SIGMA, maxiters=5),
                         bkg_estimator=MedianBackground())  # fmt: skip
    return np.asarray(model.background)
