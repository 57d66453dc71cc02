"""The grid that parameters ask for, the pixel map onto it, and what a product says about it."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jwst_dask.core.errors import ParameterError
from jwst_dask.steps.stage2.resample_spec.footprint import Footprint, Plane, row_height
from jwst_dask.steps.stage2.resample_spec.grid import lamp_grid, sky_grid
from jwst_dask.wcs.rectified import Rectified, RectifiedSlit, to_tangent

log = logging.getLogger(__name__)
ARCSEC2 = float(np.rad2deg(3600.0) ** 2)
"""Square arcseconds (as the reference converts them) in a steradian."""


@dataclass(frozen=True)
class Wanted:
    """Parameters that shape the grid: as those of the step."""

    pixel_scale_ratio: float = 1.0
    pixel_scale: float | None = None
    output_shape: tuple[int, ...] | None = None
    output_wcs: str = ""


@dataclass(frozen=True)
class Output:
    """An output grid.

    Attributes
    ----------
    wcs : RectifiedSlit or RectifiedLamp
    shape : (int, int)
        Rows and columns of the image.
    ratio : float
        Input row height over output row height, as it scales fluxes.
    area : float
        Solid angle of an output pixel (steradian), None where it is not known.
    planes : list of Plane
        Of the inputs.
    """

    wcs: Rectified
    shape: tuple[int, int]
    ratio: float
    area: float | None
    planes: list[Plane]


def output(slits: list[Footprint], sci: np.ndarray, area: float | None, wanted: Wanted) -> Output:
    """The grid for the cut-outs of a source (`sci`: the pixels of the first; `area`: of its pixels, steradian).

    Raises
    ------
    InputError
        When too little of the slit is on the detector.
    ParameterError
        When ``output_wcs`` cannot be used.
    """
    if wanted.output_wcs:
        return _custom(slits, area, wanted)
    ratio, scale = wanted.pixel_scale_ratio, wanted.pixel_scale
    if scale is not None and area is None:
        log.warning("pixel_scale is not used: the exposure has no nominal pixel area")
    elif scale is not None:
        height = row_height(slits[0].wcs)
        if math.isnan(height):
            log.warning("pixel_scale is not used: the pixel scale of the input could not be determined")
        else:
            ratio = height / scale
    wcs: Rectified
    if slits[0].wcs.on_sky:
        wcs, planes = sky_grid(slits, sci, ratio)
    else:
        wcs, planes = lamp_grid(slits, ratio)
    return Output(wcs, wcs.shape, ratio, None if area is None else area / ratio, planes)


def _custom(slits: list[Footprint], area: float | None, wanted: Wanted) -> Output:
    """The grid of a file (``output_wcs``).

    ``pixel_scale`` (arcsec) and ``pixel_area`` (square arcsec) of the file are taken in these units; the reference takes the area for
    steradians, which scales fluxes by 1e-11.
    """
    wcs, tree = read_wcs(wanted.output_wcs)
    if wcs.on_sky != slits[0].wcs.on_sky:
        raise ParameterError(f"resample_spec.output_wcs: {wanted.output_wcs} is {'not ' if slits[0].wcs.on_sky else ''}a WCS of the sky")
    if wanted.output_shape is not None:
        wcs = replace(wcs, shape=(int(wanted.output_shape[1]), int(wanted.output_shape[0])))
    height = row_height(slits[0].wcs) if wcs.on_sky else math.nan
    if area is None or math.isnan(height):
        out_area = None
    elif "pixel_area" in tree:
        out_area = tree["pixel_area"] / ARCSEC2
    else:
        out_area = area * tree.get("pixel_scale", row_height(wcs)) / height
    ratio = 1.0 if area is None or out_area is None or math.isnan(out_area) else area / out_area
    out_area = None if out_area is None or math.isnan(out_area) else out_area
    if isinstance(wcs, RectifiedSlit):
        centre = wcs.centre
        planes = [slit.plane(lambda ys, wave, w=slit.wcs: to_tangent(*w.slit_to_sky(0.0, ys, wave), *centre)) for slit in slits]
    else:
        planes = [slit.plane(lambda ys, wave, w=slit.wcs: w.slit_to_msa(np.zeros_like(ys), ys)) for slit in slits]
    return Output(wcs, wcs.shape, ratio, out_area, planes)


def read_wcs(path: str) -> tuple[Rectified, dict[str, Any]]:
    """The rectified WCS in an ASDF file (under ``wcs``), and the plain values next to it.

    Raises
    ------
    ParameterError
        When the file is not there or holds no such WCS.
    """
    import asdf

    from jwst_dask.core.errors import InputError
    from jwst_dask.wcs.rectified_gwcs import rectified

    if not os.path.exists(path):
        raise ParameterError(f"resample_spec.output_wcs: there is no file {path}")
    try:
        with asdf.open(path, lazy_load=False, memmap=False) as file:
            tree = {key: value for key, value in file.tree.items() if isinstance(value, (int, float))}
            return rectified(file.tree["wcs"]), tree
    except (KeyError, ValueError, AttributeError, InputError) as error:
        raise ParameterError(f"resample_spec.output_wcs: {path} has no WCS of a resampled slit under the key wcs ({error})") from error


def pixel_map(slit: Footprint, plane: Plane, wcs: Rectified, shape: tuple[int, int]) -> np.ndarray:
    """Output column and row of each pixel of a cut-out (float64[y, x, 2]; NaN outside its slit or its bounding box)."""
    columns, rows = wcs.world_to_pixel(plane.values[wcs.axis], slit.wave)
    out = np.full((*shape, 2), np.nan)
    x0, y0 = int(slit.x[0, 0]), int(slit.y[0, 0])
    here = out[max(y0, 0) : y0 + slit.x.shape[0], max(x0, 0) : x0 + slit.x.shape[1]]
    there = slice(max(-y0, 0), max(-y0, 0) + here.shape[0]), slice(max(-x0, 0), max(-x0, 0) + here.shape[1])
    here[..., 0], here[..., 1] = columns[there], rows[there]
    return out


def window(slit: Footprint, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """First and last column, first and last row of a cut-out to draw."""
    (x0, x1), (y0, y1) = slit.wcs.box
    columns, rows = max(0, int(x0 + 0.5)), max(0, int(y0 + 0.5))
    return columns, max(columns, min(shape[1] - 1, int(x1 + 0.5))), rows, max(rows, min(shape[0] - 1, int(y1 + 0.5)))


def sky_box(wcs: RectifiedSlit, shape: tuple[int, int]) -> str | None:
    """``S_REGION`` of a rectified slit: the box in right ascension and declination around the centres of its rows."""
    ra, dec = wcs.row_to_sky(np.arange(shape[0]))
    # One side of the line at 0 = 360 degrees, by the median.
    ra = ra - 360 * ((ra - np.median(ra)) > 180) + 360 * ((ra - np.median(ra)) < -180)
    low, high = float(ra.min()), float(ra.max())
    low, high = low + 360 * (low < 0), high - 360 * (high >= 360)
    south, north = float(dec.min()), float(dec.max())
    corners = (low, south, high, south, high, north, low, north)
    return None if np.isnan(corners).any() else "POLYGON ICRS  " + " ".join(f"{value:.9f}" for value in corners)
