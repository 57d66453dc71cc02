"""Where the source falls on the detector, from the WCS.

Source document: JWST pipeline documents, "extract_1d", use of the source position.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from jwst_dask.steps.stage2.extract_1d.view import Box, View

log = logging.getLogger(__name__)

SLIT_FRAME_TYPES = ("NRS_FIXEDSLIT", "NRS_MSASPEC", "NRS_BRIGHTOBJ")


def middle(view: View, box: Box, horizontal: bool) -> tuple[float, float, float]:
    """Middle of the spectral image: (along, across, wavelength in micron).

    The wavelength is the mean over the middle dispersion element; `across` is where it occurs there.
    """
    along_range, across_range = (box[0], box[1]) if horizontal else (box[1], box[0])
    along = (along_range[0] + along_range[1]) / 2.0
    across = np.arange(int(round(across_range[1])), dtype=np.float64)
    steady = np.full(len(across), along)
    wavelengths = np.asarray((view.world(steady, across) if horizontal else view.world(across, steady))[2])
    good = np.isfinite(wavelengths)
    if not good.any():
        return along, float(np.mean(across)), np.nan
    mean = float(np.nanmean(wavelengths))
    if np.allclose(wavelengths, mean):
        return along, float(np.mean(across)), mean
    order = np.argsort(wavelengths)
    order = order[np.isfinite(wavelengths[order])]
    return along, float(np.interp(mean, wavelengths[order], across[order])), mean


def source_location(model: Any, view: View, shape: tuple[int, int], dispaxis: int) -> tuple[int, float, np.ndarray] | None:
    """Planned source position: (middle dispersion element, position across there, trace), or None if it is not known.

    `trace` is float64[along], NaN outside the bounding box.
    """
    box, horizontal = view.box(shape), dispaxis == 1
    along, _, wavelength = middle(view, box, horizontal)
    exp_type = model.meta.exposure.type
    if exp_type in SLIT_FRAME_TYPES:
        x, y = model.source_xpos, model.source_ypos
        if x is None or y is None:
            log.warning("the source position in the slit is not known: the aperture is not moved to it")
            return None
        location = float(view.from_slit(x, y, view.slit_unit(wavelength))[1])
    elif exp_type == "MIR_LRS-FIXEDSLIT":
        x, y = model.meta.dither.dithered_ra, model.meta.dither.dithered_dec
        if x is None or y is None:
            log.warning("meta.dither has no pointing: the aperture is not moved to the source")
            return None
        location = float(backward(view)(x, y, wavelength)[0])
    else:
        log.warning("no source position is known for EXP_TYPE %s: the aperture is not moved to it", exp_type)
        return None
    low, high = box[1] if horizontal else box[0]
    if not low <= location <= high:
        log.warning("the source position from the WCS, %.2f, is not on the spectral image: the aperture is not moved to it", location)
        return None
    trace = slit_trace(view, shape, box, x, y) if exp_type in SLIT_FRAME_TYPES else sky_trace(view, shape, box, x, y)
    return int(np.round(along)), location, trace


def backward(view: View) -> Any:
    """World to pixels as MIRI's gwcs objects go."""
    wcs: Any = view.wcs
    return wcs.backward_transform


def _grid(box: Box) -> tuple[np.ndarray, np.ndarray]:
    from gwcs.wcstools import grid_from_bounding_box

    x, y = grid_from_bounding_box(box)
    return x, y


def _on_elements(along: np.ndarray, across: np.ndarray, length: int, limits: tuple[float, float]) -> np.ndarray:
    """Position across at every dispersion element within `limits`, by linear inter- and extrapolation."""
    from scipy.interpolate import interp1d

    n, start = int(limits[1] - limits[0]), int(np.ceil(limits[0]))
    trace = np.full(length, np.nan)
    trace[start : start + n] = interp1d(along, across, fill_value="extrapolate")(np.arange(n))
    return trace


def slit_trace(view: View, shape: tuple[int, int], box: Box, x: float, y: float) -> np.ndarray:
    """Positions across dispersion (float64[x], pixels) of a point of the NIRSpec slit frame."""
    wavelengths = view.to_slit(*_grid(box))[2]
    n = int(box[0][1] - box[0][0])
    span = np.linspace(np.nanmin(wavelengths), np.nanmax(wavelengths), n)
    along, across = view.from_slit(np.full(n, x), np.full(n, y), span)
    return _on_elements(along, across, shape[1], box[0])


def sky_trace(view: View, shape: tuple[int, int], box: Box, ra: float, dec: float) -> np.ndarray:
    """Positions across dispersion (float64[y], pixels) of a point of the sky, for MIRI LRS in the slit."""
    wavelengths = view.world(*_grid(box))[2]
    n = int(box[1][1] - box[1][0])
    span = np.linspace(np.nanmin(wavelengths), np.nanmax(wavelengths), n)
    across, along = backward(view)(np.full(n, ra), np.full(n, dec), span)
    return _on_elements(along, across, shape[0], box[1])


def middle_trace(model: Any, view: View, shape: tuple[int, int], box: Box, along: float, across: float, dispaxis: int) -> np.ndarray:
    """Trace (float64[along]) through a point of the image: along the slit or sky coordinate, else straight."""
    exp_type = model.meta.exposure.type
    x, y = (along, across) if dispaxis == 1 else (across, along)
    if exp_type == "MIR_LRS-FIXEDSLIT":
        ra, dec, _ = view.world(x, y)
        return sky_trace(view, shape, box, ra, dec)
    if exp_type.startswith("NRS"):
        slit_x, slit_y, _ = view.to_slit(x, y)
        return slit_trace(view, shape, box, slit_x, slit_y)
    low, high = box[0] if dispaxis == 1 else box[1]
    trace = np.full(shape[1] if dispaxis == 1 else shape[0], np.nan)
    start = int(np.ceil(low))
    trace[start : start + int(high - low)] = across
    return trace


def nod_location(model: Any, view: View, wavelength: float) -> float:
    """Position across dispersion of the other nod of a pair, pixels (NaN: unknown)."""
    wcs: Any = view.wcs
    exp_type = model.meta.exposure.type
    if exp_type.startswith("NRS"):
        return float(view.from_slit(model.source_xpos, -model.source_ypos, view.slit_unit(wavelength))[1])
    if exp_type != "MIR_LRS-FIXEDSLIT" or "v2v3" not in wcs.available_frames:
        return np.nan
    from stdatamodels.jwst.transforms.models import IdealToV2V3

    info, dither, horizontal = model.meta.wcsinfo, model.meta.dither, model.meta.wcsinfo.dispersion_direction == 1
    x, y = (dither.x_offset, -dither.y_offset) if horizontal else (-dither.x_offset, dither.y_offset)
    v2, v3 = IdealToV2V3(info.v3yangle, info.v2_ref, info.v3_ref, info.vparity)(x, y)
    ra, dec, _ = wcs.get_transform("v2v3", "world")(v2, v3, 0.0)
    place = backward(view)(ra, dec, wavelength)
    return float(place[1] if horizontal else place[0])
