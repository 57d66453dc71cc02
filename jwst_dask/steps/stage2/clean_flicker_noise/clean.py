"""Correlated (1/f) noise of one image, given its background pixels: rates here, differences of groups elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jwst_dask.steps.stage2.clean_flicker_noise.background import Background, clip_to_background, subtracted_level

log = logging.getLogger(__name__)

FULL = 2048
OUTPUTS = 4
"""Amplifiers of a near-infrared detector, side by side along the slow axis."""
CORNERS = (1061.0, 1211.0, 49943.0, 49957.0)
"""Frequencies (Hz) of the band that is fitted in subarrays: all below the first two, all above the last two."""
CORNERS_ALLSLITS = (150.0, 200.0, 49943.0, 49957.0)


class CleaningError(Exception):
    """The noise of an image cannot be fitted; the exposure is left as it is."""


@dataclass(frozen=True)
class Recipe:
    """How the noise of an image is found.

    Attributes
    ----------
    fit_method : {"median", "fft"}
    axis : int
        Axis that stripes run along (numpy's: 0 for columns).
    by_channel : bool
        Stripes of their own for each of the detector's outputs (full frames only).
    detector : str
    corners : tuple of float
        Band fitted in subarrays by ``fft``, in Hz.
    background_method : {"median", "model", None}
    background_box_size : (int, int)
    n_sigma : float
        Second clipping of the mask, after the background is subtracted; 0 for none.
    """

    fit_method: str = "median"
    axis: int = 0
    by_channel: bool = False
    detector: str = ""
    corners: tuple[float, ...] = CORNERS
    background_method: str | None = "median"
    background_box_size: Sequence[int] | None = None
    n_sigma: float = 2.0


def clean_image(image: np.ndarray, mask: np.ndarray, recipe: Recipe, flat: np.ndarray | None = None) -> tuple[np.ndarray, Background] | None:
    """An image less its correlated noise.

    Parameters
    ----------
    image : float[y, x]
    mask : bool[y, x]
        True for pixels that show nothing but background. Changed in place: less NaN pixels and further outliers.
    recipe : Recipe
    flat : float32[y, x]
        Divided out while background and noise are fitted.

    Returns
    -------
    cleaned : float32 or float64 [y, x]
        NaN where the image is.
    background : float32 or float32[y, x]
        What was taken for background, left in the image.
    None
        When no usable pixel is left; the image should then be left as it is.

    Raises
    ------
    CleaningError
        When the fit fails.
    """
    image = image.astype(np.float32)  # a copy
    if flat is not None:
        image /= flat
    nan = np.isnan(image)
    image[nan] = 0
    mask &= ~nan
    if not mask.any():
        return None
    background: Background = 0.0
    if recipe.background_method is not None:
        background, values = subtracted_level(image, mask, recipe.background_method, recipe.background_box_size)
        image -= background
        if recipe.n_sigma > 0:
            clip_to_background(image, mask, recipe.n_sigma, recipe.n_sigma, lower_half=True, values=values)
    cleaned = _without_noise(image, mask, recipe)
    cleaned += background
    if flat is not None:
        cleaned *= flat
    cleaned[nan] = np.nan
    return cleaned, background


def _without_noise(image: np.ndarray, mask: np.ndarray, recipe: Recipe) -> np.ndarray:
    from jwst_dask.kernels import flicker, nsclean

    if recipe.fit_method == "median":
        parts = OUTPUTS if recipe.by_channel and image.shape[recipe.axis] == FULL else 1
        return flicker.remove_stripes(image, mask, recipe.axis, parts)
    turned, usable = (np.ascontiguousarray(to_detector(a, recipe.detector)) for a in (image, mask))
    try:
        if image.shape == (FULL, FULL):
            return np.ascontiguousarray(from_detector(nsclean.clean_full_frame(turned, usable), recipe.detector))
        done = nsclean.clean_subarray(turned, usable, recipe.corners)
    except np.linalg.LinAlgError as error:
        raise CleaningError(f"the fit of the noise is singular ({error})") from error
    if done is None:
        raise CleaningError("no background pixel is left in the mask")
    for start, stop in done[1]:
        log.warning("too few background pixels in detector lines %d to %d: they are left as they are", start, stop - 1)
    return np.ascontiguousarray(from_detector(done[0], recipe.detector))


def to_detector(image: np.ndarray, detector: str) -> np.ndarray:
    """A NIRSpec image in the frame of readout: slow scan along y, fast scan along x."""
    return image.T if detector == "NRS1" else image.T[::-1]


def from_detector(image: np.ndarray, detector: str) -> np.ndarray:
    """The reverse of `to_detector`."""
    return image.T if detector == "NRS1" else image[::-1].T
