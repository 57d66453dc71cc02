"""What an extraction asks of a WCS: of the gwcs object of an exposure with one spectrum, or of the WCS of one slit among many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.wcs.slitwcs import to_world

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft
    from jwst_dask.wcs.slitwcs import SlitWcs

Box = tuple[tuple[float, float], tuple[float, float]]
Triple = tuple[Any, Any, Any]


def whole(shape: tuple[int, int]) -> Box:
    """Bounding box of an array."""
    return (-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5)


class GwcsView:
    """Of a gwcs object (``model.meta.wcs``)."""

    def __init__(self, wcs: Any) -> None:
        self.wcs = wcs

    def box(self, shape: tuple[int, int]) -> Box:
        """((x0, x1), (y0, y1)) of the WCS, or of the whole array."""
        box = self.wcs.bounding_box
        if box is None:
            return whole(shape)
        return (float(box[0][0]), float(box[0][1])), (float(box[1][0]), float(box[1][1]))

    def world(self, x: Any, y: Any) -> Triple:
        """Pixels to (ra, dec, wavelength), degrees and micron; NaN outside the bounding box."""
        return self.wcs(x, y)  # type: ignore[no-any-return]

    def beyond(self, x: Any, y: Any) -> Triple:
        """The same, outside the bounding box too."""
        return self.wcs(x, y, with_bounding_box=False)  # type: ignore[no-any-return]

    def pixel(self, ra: float, dec: float, micron: float) -> tuple[Any, Any]:
        """(ra, dec, wavelength) to pixels."""
        return self.wcs.invert(ra, dec, micron, with_bounding_box=False)  # type: ignore[no-any-return]

    def slit_unit(self, micron: Any) -> Any:
        """A wavelength in the unit of the slit frame: metre before resampling, micron after."""
        return micron * 1e-6 if "gwa" in self.wcs.available_frames else micron

    def to_slit(self, x: Any, y: Any) -> Triple:
        """Pixels to the slit frame (wavelength in its own unit, not corrected for the source's position)."""
        return self.wcs.get_transform("detector", "slit_frame")(x, y)  # type: ignore[no-any-return]

    def from_slit(self, xs: Any, ys: Any, wavelength: Any) -> tuple[Any, Any]:
        """The slit frame to pixels."""
        return self.wcs.get_transform("slit_frame", "detector")(xs, ys, wavelength)  # type: ignore[no-any-return]


class SlitView:
    """Of the WCS of one slit, rectified or not (``draft.wcs``)."""

    def __init__(self, wcs: SlitWcs) -> None:
        self.wcs = wcs

    def box(self, shape: tuple[int, int]) -> Box:
        """((x0, x1), (y0, y1))."""
        return self.wcs.box

    def world(self, x: Any, y: Any) -> Triple:
        """Pixels to (ra, dec, wavelength), degrees and micron (the MSA plane for lamps); NaN outside the bounding box."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        (x0, x1), (y0, y1) = self.wcs.box
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        first, second, wavelength = self.beyond(x, y)
        return tuple(np.where(inside, value, np.nan) for value in (first, second, wavelength))  # type: ignore[return-value]

    def beyond(self, x: Any, y: Any) -> Triple:
        """The same, outside the bounding box too."""
        return to_world(self.wcs, x, y)

    def pixel(self, ra: float, dec: float, micron: float) -> tuple[Any, Any]:
        """(ra, dec, wavelength) to pixels."""
        xs, ys = self.wcs.sky_to_slit(ra, dec, micron)
        return self.wcs.from_slit(xs, ys, micron)

    def slit_unit(self, micron: Any) -> Any:
        """Microns stay what they are."""
        return micron

    def to_slit(self, x: Any, y: Any) -> Triple:
        """Pixels to the position in the slit and the wavelength (not corrected for the source's position)."""
        return self.wcs.to_slit(x, y, corrected=False)

    def from_slit(self, xs: Any, ys: Any, wavelength: Any) -> tuple[Any, Any]:
        """Position in the slit and wavelength to pixels."""
        return self.wcs.from_slit(xs, ys, wavelength, corrected=False)


View = GwcsView | SlitView


def view_of(draft: Draft) -> View:
    """The WCS of a draft."""
    return GwcsView(draft.model.meta.wcs) if draft.wcs is None else SlitView(draft.wcs)
