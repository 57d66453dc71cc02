"""Aperture weights on the pixel grid, and what follows from them: wavelengths, centre, limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.steps.stage2.extract_1d.reference import Aperture, limits_in_pairs


def box_profile(
    shape: tuple[int, int], aperture: Aperture, wavelengths: np.ndarray, background: bool = False
) -> tuple[np.ndarray, float, float]:
    """Weights of a box aperture or of background regions.

    The limits across dispersion come from, in this order: polynomials, the trace and a width, the middle of start and stop and
    a width, start and stop. Pixels partly inside get the fraction inside, except in background regions for a median.

    Parameters
    ----------
    shape : (int, int)
    aperture : Aperture
    wavelengths : float[y, x]
        Micron; used by polynomials in wavelength.
    background : bool
        Weights of the background regions (`aperture.background`) instead of the source's.

    Returns
    -------
    weights : float64[y, x]
    lower, upper : float
        Mean inclusive limits across dispersion, pixels from 0.
    """
    horizontal = aperture.horizontal
    y, x = np.indices(shape, sparse=True)
    across = y if horizontal else x
    weights = np.zeros(shape)
    low, high = (aperture.ystart, aperture.ystop) if horizontal else (aperture.xstart, aperture.xstop)
    coefficients = aperture.background if background else aperture.source
    width: Any = aperture.width
    if background and aperture.regions is not None:
        bottom, top = _fill_regions(weights, across, aperture, horizontal)
    elif coefficients is not None:
        bottom, top = _fill_polynomials(weights, across, aperture, wavelengths, background)
    elif width is not None and aperture.trace is not None:
        trace = aperture.trace[None, :] if horizontal else aperture.trace[:, None]
        if isinstance(width, np.ndarray):
            width = width[None, :] if horizontal else width[:, None]
        lower = trace - (width - 1.0) / 2.0
        upper = lower + width - 1
        _fill(weights, across, lower, upper)
        bottom, top = float(np.nanmean(lower)), float(np.nanmean(upper))
    else:
        bottom, top = low, high
        if width is not None:
            bottom = (low + high) / 2.0 - (width - 1.0) / 2.0
            top = bottom + width - 1
        _fill(weights, across, bottom, top)
    start, stop = (aperture.xstart, aperture.xstop) if horizontal else (aperture.ystart, aperture.ystop)
    view = weights if horizontal else weights.T
    view[:, : int(np.ceil(start))] = 0
    view[:, int(np.floor(stop)) + 1 :] = 0
    return weights, bottom, top


def _fill_regions(weights: np.ndarray, across: np.ndarray, aperture: Aperture, horizontal: bool) -> tuple[float, float]:
    """Set weights between edges that follow the middle of the aperture; its outermost limits."""
    regions = aperture.regions or ()
    if aperture.trace is not None:
        middle: Any = aperture.trace[None, :] if horizontal else aperture.trace[:, None]
    else:
        middle = (aperture.ystart + aperture.ystop) / 2.0 if horizontal else (aperture.xstart + aperture.xstop) / 2.0
    for low, high in zip(regions[::2], regions[1::2], strict=True):
        _fill(weights, across, middle + low + 0.5, middle + high - 0.5, partial=aperture.fit != "median")
    return float(np.nanmean(middle + min(regions) + 0.5)), float(np.nanmean(middle + max(regions) - 0.5))


def _fill_polynomials(weights: np.ndarray, across: np.ndarray, aperture: Aperture, wavelengths: np.ndarray, background: bool) -> tuple[float, float]:
    """Set weights between polynomials; the outermost of their mean limits."""
    coefficients: Any = aperture.background if background else aperture.source
    limits_in_pairs(coefficients, "bkg_coeff" if background else "src_coeff")
    shape = int(weights.shape[0]), int(weights.shape[1])
    y, x = np.indices(shape, sparse=True)
    along = wavelengths if aperture.variable.startswith("wavelength") else np.broadcast_to(x if aperture.horizontal else y, shape)
    means: list[tuple[float, float]] = []
    for first, last in zip(coefficients[::2], coefficients[1::2], strict=True):
        # polynomials count from the centre of a pixel, start and stop from its edge
        lower, upper = _polynomial(along, first) + 0.5, _polynomial(along, last) - 0.5
        _fill(weights, across, lower, upper, partial=not (background and aperture.fit == "median"))
        means.append((float(np.nanmean(lower)), float(np.nanmean(upper))))
    bottom, top = means[0]
    for mean_low, mean_high in means[1:]:
        bottom, top = (mean_low if mean_low < bottom else bottom), (mean_high if mean_high > top else top)
    return bottom, top


def _polynomial(x: np.ndarray, coefficients: list[float]) -> np.ndarray:
    return np.polynomial.polynomial.polyval(np.asarray(x, dtype=np.float64), coefficients)


def _fill(weights: np.ndarray, across: np.ndarray, lower: np.ndarray | float, upper: np.ndarray | float, partial: bool = True) -> None:
    """Set weights between inclusive limits, over what was there; fractions only where they exceed it."""
    np.copyto(weights, 1.0, where=(across >= lower) & (across <= upper))
    if not partial:
        return
    for fraction in (across - lower + 1, upper - across + 1):
        np.copyto(weights, fraction, where=(fraction > 0) & (fraction < 1) & (weights < fraction))


def centre(weights: np.ndarray, at: int | None = None, horizontal: bool = True) -> tuple[float, float]:
    """Weighted mean (across, along) of an aperture; across at one dispersion element if `at` is given."""
    view = np.where(weights > 0, weights, 0.0)
    view = view if horizontal else view.T
    if at is not None:
        column = view[:, at]
        column = column if column.sum() else np.ones_like(column)
        return float(np.average(np.arange(len(column)), weights=column)), float(at)
    if not view.sum():
        view = np.ones_like(view)
    across, along = np.indices(view.shape)
    return float(np.average(across, weights=view)), float(np.average(along, weights=view))


def spectrum_wavelengths(wavelengths: np.ndarray, weights: np.ndarray, horizontal: bool) -> np.ndarray:
    """Weighted mean wavelength of each dispersion element (float64[along], micron; NaN where the aperture has no pixel)."""
    inside = ~np.isnan(wavelengths) & (weights > 0)
    w = np.where(inside, weights, 0.0)
    axis = 0 if horizontal else 1
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: np.ndarray = np.where(inside, wavelengths.astype(np.float64) * w, 0.0).sum(axis=axis) / w.sum(axis=axis)
    return mean


def along_limits(weights: np.ndarray, horizontal: bool) -> tuple[int | None, int | None]:
    """First and last dispersion element with any weight."""
    used = np.flatnonzero(weights.sum(axis=0 if horizontal else 1) > 0)
    return (int(used[0]), int(used[-1])) if len(used) else (None, None)


def column_centres(weights: np.ndarray, horizontal: bool) -> np.ndarray:
    """Weighted mean position across dispersion of each dispersion element (float64[along]; NaN where there is no weight)."""
    view = np.where(weights > 0, weights, 0.0)
    view = view if horizontal else view.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: np.ndarray = (view * np.arange(len(view))[:, None]).sum(axis=0) / view.sum(axis=0)
    return mean
