"""The cut-out of a NIRSpec slit: its window, WCS, wavelengths, and where the slit and its source are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.wcs.grid import METRES_TO_MICRONS, Box, box_of_shape, of_wcs, pixel_centres, pixel_range, slit_wavelength
from jwst_dask.wcs.nirspec.single import slit_wcs
from jwst_dask.wcs.sky import s_region

if TYPE_CHECKING:
    from jwst_dask.wcs.nirspec.tracer import Optics, OpticsSlit

Window = tuple[tuple[int, int], tuple[int, int]]

ANY_WAVELENGTH = 2.0
"""Microns; the position of a source in a slit depends on it too little to matter."""
ANY_WAVELENGTH_IN_SLIT = 2e-6
"""Metres, as the slit's frame has them."""


@dataclass(frozen=True)
class Cutout:
    """One slit's part of an exposure.

    Attributes
    ----------
    wcs : gwcs.WCS or OpticsSlit
        In pixels of the cut-out; shared, do not change it.
    window : ((x0, x1), (y0, y1))
        Pixels of the subarray, ends excluded; may reach beyond it.
    wavelength : float32[y, x]
        Microns, NaN outside the slit; shared.
    attributes, wcsinfo : dict
        Of the slit's model, and of its ``meta.wcsinfo``.
    """

    wcs: Any
    window: Window
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
    window = _window(single.bounding_box[0], single.bounding_box[1])
    _move_origin(single, window[0][0], window[1][0], box_of_shape(_size(slit, window, shape)))
    attributes = {**_place(slit, window), **_source(single, offset)}
    return Cutout(single, window, wavelengths(single).astype(np.float32), attributes, _region(single, slit))


def slit_cutout(optics: Optics, slit: Any, box: Box, shape: tuple[int, int], offset: tuple[float, float] | None = None) -> Cutout:
    """The cut-out of one of many slits.

    Parameters
    ----------
    optics : Optics
    slit : stdatamodels.jwst.transforms.models.Slit
    box : ((x0, x1), (y0, y1))
        Of its spectrum in pixels of the exposure.
    shape : (int, int)
        Of the exposure (y, x).
    offset : (float, float), optional
        (V2, V3) of the source in arcsec, where it is in this fixed slit (`source_offset`).

    Returns
    -------
    Cutout
        With an `OpticsSlit`.

    Raises
    ------
    InputError
        When nothing of the slit's spectrum is in the subarray.
    """
    window = _window(*box)
    size = _size(slit, window, shape)
    view = optics.slit(slit, window, size)
    y, x = np.indices(size, dtype=float)
    attributes: dict[str, Any] = _place(slit, window)
    if optics.setting.multi_object:
        attributes |= _target(slit)
    elif optics.setting.exp_type == "NRS_FIXEDSLIT":
        xs, ys = (0.0, 0.0) if offset is None else (float(v) for v in view.v2v3_to_slit(*offset, ANY_WAVELENGTH))
        attributes |= {"source_xpos": xs, "source_ypos": ys}
    return Cutout(view, window, view.wavelengths(x, y).astype(np.float32), attributes, region_of(view))


def source_offset(model: Any, slit: Any) -> tuple[float, float] | None:
    """(V2, V3) in arcsec of the source of a fixed-slit exposure for its primary slit; None for others, or without a dither."""
    return _offset_on_sky(model) if slit.name == model.meta.instrument.fixed_slit else None


def _size(slit: Any, window: Window, shape: tuple[int, int]) -> tuple[int, int]:
    """(y, x) of the part of a window that is in the subarray."""
    (x0, x1), (y0, y1) = window
    ny, nx = min(y1, shape[0]) - y0, min(x1, shape[1]) - x0
    if ny <= 0 or nx <= 0:
        raise InputError(f"the spectrum of slit {slit.name} (x {x0} to {x1}, y {y0} to {y1}) is outside the subarray of {shape} pixels")
    return ny, nx


def _place(slit: Any, window: Window) -> dict[str, Any]:
    """Attributes that say where a cut-out is in the exposure, and which slit it is of."""
    (x0, x1), (y0, y1) = window
    return {
        "name": str(slit.name),
        "xstart": x0 + 1,
        "xsize": x1 - x0,
        "ystart": y0 + 1,
        "ysize": y1 - y0,
        "source_id": int(slit.source_id),
        "slit_ymin": slit.ymin,
        "slit_ymax": slit.ymax,
        "shutter_id": int(slit.shutter_id),
    }


def _target(slit: Any) -> dict[str, Any]:
    """Attributes of a slit of an MSA metafile: its source, its shutters, and where they are."""
    try:
        slitlet = int(slit.name)
    except ValueError:  # a fixed slit
        slitlet = int(slit.shutter_id)
    floats = ("stellarity", "source_xpos", "source_ypos", "source_ra", "source_dec", "slit_xscale", "slit_yscale")
    return {
        **{name: getattr(slit, name) for name in ("source_name", "source_alias", "shutter_state")},
        **{name: float(getattr(slit, name)) for name in floats},
        **{name: int(getattr(slit, name)) for name in ("quadrant", "xcen", "ycen", "dither_position")},
        "slitlet_id": slitlet,
    }


def _window(x: tuple[float, float], y: tuple[float, float]) -> Window:
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
    ra, dec, wave = wcs.get_transform("slit_frame", "world")(*_corners(slit), [ANY_WAVELENGTH_IN_SLIT] * 4)
    return _footprint(ra, dec, wave)


def region_of(view: OpticsSlit) -> dict[str, Any]:
    """S_REGION and spectral range of a slit's open area for ``meta.wcsinfo`` (nothing for lamps)."""
    if not view.on_sky:
        return {}
    wave = np.full(4, ANY_WAVELENGTH_IN_SLIT) * METRES_TO_MICRONS
    return _footprint(*view.slit_to_sky(*_corners(view.slit), wave), wave)


def _corners(slit: Any) -> tuple[list[float], list[float]]:
    return [-0.5, -0.5, 0.5, 0.5], [slit.ymin, slit.ymax, slit.ymax, slit.ymin]


def _footprint(ra: Any, dec: Any, wave: Any) -> dict[str, Any]:
    region = s_region(np.array([ra, dec]).T)
    found: dict[str, Any] = {"spectral_region": (np.nanmin(wave), np.nanmax(wave))}
    return found if region is None else {"s_region": region, **found}
