"""The cut-out of a NIRSpec slit: its window, WCS, wavelengths, and where the slit and its source are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.wcs.grid import METRES_TO_MICRONS, Box, box_of_shape, of_wcs, pixel_centres, pixel_range, slit_wavelength
from jwst_dask.wcs.nirspec.single import slit_wcs
from jwst_dask.wcs.sky import s_region

ANY_WAVELENGTH = 2.0
"""Microns; the position of a source in a slit depends on it too little to matter."""
ANY_WAVELENGTH_IN_SLIT = 2e-6
"""Metres, as the slit's frame has them."""


@dataclass(frozen=True)
class Cutout:
    """One slit's part of an exposure.

    Attributes
    ----------
    wcs : gwcs.WCS
        In pixels of the cut-out; shared, do not change it.
    window : ((x0, x1), (y0, y1))
        Pixels of the subarray, ends excluded; may reach beyond it.
    wavelength : float32[y, x]
        Microns, NaN outside the slit; shared.
    attributes, wcsinfo : dict
        Of the slit's model, and of its ``meta.wcsinfo``.
    """

    wcs: Any
    window: tuple[tuple[int, int], tuple[int, int]]
    wavelength: np.ndarray
    attributes: Mapping[str, Any]
    wcsinfo: Mapping[str, Any]


def cutout(model: Any, slit: Any) -> Cutout:
    """The cut-out of a slit with one target (made once for all segments of an exposure).

    Raises
    ------
    InputError
        When nothing of the slit's spectrum is in the subarray.
    """
    wcs, shape, offset = model.meta.wcs, model.data.shape[-2:], _offset_on_sky(model)
    return of_wcs(("cutout", tuple(slit), shape, offset), wcs, lambda: _make(wcs, slit, shape, offset))


def _make(wcs: Any, slit: Any, shape: tuple[int, int], offset: tuple[float, float] | None) -> Cutout:
    single = slit_wcs(wcs, slit.slit_id)
    (x0, x1), (y0, y1) = window = _window(single)
    ny, nx = min(y1, shape[0]) - y0, min(x1, shape[1]) - x0
    if ny <= 0 or nx <= 0:
        raise InputError(f"the spectrum of slit {slit.name} (x {x0} to {x1}, y {y0} to {y1}) is outside the subarray of {shape} pixels")
    _move_origin(single, x0, y0, box_of_shape((ny, nx)))
    attributes = {
        "name": str(slit.name),
        "xstart": x0 + 1,
        "xsize": x1 - x0,
        "ystart": y0 + 1,
        "ysize": y1 - y0,
        "source_id": int(slit.source_id),
        "slit_ymin": slit.ymin,
        "slit_ymax": slit.ymax,
        "shutter_id": int(slit.shutter_id),
        **_source(single, offset),
    }
    return Cutout(single, window, wavelengths(single).astype(np.float32), attributes, _region(single, slit))


def _window(wcs: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    x, y = wcs.bounding_box[0], wcs.bounding_box[1]
    return pixel_range(*x), pixel_range(*y)


def _move_origin(wcs: Any, x0: int, y0: int, box: Box) -> None:
    from astropy.modeling.models import Shift

    moved = Shift(x0) & Shift(y0) | wcs.get_transform("detector", "sca")
    wcs.set_transform("detector", "sca", moved.rename("dms2sca"))
    wcs.bounding_box = box


def slit_plane(wcs: Any) -> np.ndarray:
    """Wavelength of every pixel of a cut-out in the slit's frame (float64[y, x]), kept with the WCS."""
    return of_wcs("slit plane", wcs, lambda: slit_wavelength(wcs, *pixel_centres(wcs.bounding_box.bounding_box(order="F"))))


def wavelengths(wcs: Any) -> np.ndarray:
    """Wavelength of every pixel of a cut-out (float64[y, x], microns)."""
    return slit_plane(wcs) * METRES_TO_MICRONS if "world" in wcs.available_frames else slit_plane(wcs)


def _offset_on_sky(model: Any) -> tuple[float, float] | None:
    """(V2, V3) in arcsec of the source of a dithered exposure, or None where the dither is not known."""
    from stdatamodels.jwst.transforms.models import IdealToV2V3

    dither, info = getattr(model.meta, "dither", None), model.meta.wcsinfo
    if dither is None or dither.x_offset is None or dither.y_offset is None:
        return None
    v2, v3 = IdealToV2V3(info.v3yangle, info.v2_ref, info.v3_ref, info.vparity)(dither.x_offset, dither.y_offset)
    return float(np.ravel(v2)[0]), float(np.ravel(v3)[0])


def _source(wcs: Any, offset: tuple[float, float] | None) -> dict[str, float]:
    """Position of the source in the slit (relative to its open area); its centre where the dither is not known."""
    if offset is None:
        return {"source_xpos": 0.0, "source_ypos": 0.0}
    x, y, _ = wcs.get_transform("v2v3", "slit_frame")(*offset, ANY_WAVELENGTH)
    return {"source_xpos": float(np.ravel(x)[0]), "source_ypos": float(np.ravel(y)[0])}


def _region(wcs: Any, slit: Any) -> dict[str, Any]:
    """S_REGION and spectral range of a slit's open area."""
    if "world" not in wcs.available_frames:
        return {}
    heights = [slit.ymin, slit.ymax, slit.ymax, slit.ymin]
    ra, dec, wave = wcs.get_transform("slit_frame", "world")([-0.5, -0.5, 0.5, 0.5], heights, [ANY_WAVELENGTH_IN_SLIT] * 4)
    region = s_region(np.array([ra, dec]).T)
    found: dict[str, Any] = {"spectral_region": (np.nanmin(wave), np.nanmax(wave))}
    return found if region is None else {"s_region": region, **found}
