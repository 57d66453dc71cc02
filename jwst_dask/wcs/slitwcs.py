"""The WCS of one NIRSpec slit as steps use it, whatever evaluates it; wavelengths are in microns everywhere."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

import numpy as np

from jwst_dask.wcs.grid import METRES_TO_MICRONS, Box

Pair = tuple[np.ndarray, np.ndarray]
Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


class SlitWcs(Protocol):
    """What steps may ask of the WCS of one slit.

    Coordinates are float64 arrays that broadcast: ``x, y`` pixels of the cut-out, from 0; ``xs, ys`` position relative to the
    slit's open area (edges at -0.5 and 0.5); ``wavelength`` in microns; ``ra, dec`` in degrees. Outside the slit ``ys`` and
    ``wavelength`` are NaN. With ``corrected`` wavelengths are those after wavecorr, if it was applied.
    """

    @property
    def box(self) -> Box:
        """Bounding box in pixels of the cut-out."""

    @property
    def on_sky(self) -> bool:
        """Whether it goes to the sky; the WCS of a lamp exposure ends in the MSA plane."""

    @property
    def corrected(self) -> bool:
        """Whether wavecorr changed it."""

    def to_slit(self, x: Any, y: Any, corrected: bool = True) -> Triple:
        """Pixels to (xs, ys, wavelength)."""

    def from_slit(self, xs: Any, ys: Any, wavelength: Any, corrected: bool = True) -> Pair:
        """Position in the slit and wavelength to pixels."""

    def slit_to_msa(self, xs: Any, ys: Any) -> Pair:
        """Position in the slit to the MSA plane (metres)."""

    def slit_to_v2v3(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """Position in the slit to (V2, V3) in arcsec, aberration not corrected."""

    def v2v3_to_slit(self, v2: Any, v3: Any, wavelength: Any) -> Pair:
        """(V2, V3) in arcsec to the position in the slit."""

    def slit_to_sky(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """Position in the slit to (ra, dec)."""

    def sky_to_slit(self, ra: Any, dec: Any, wavelength: Any) -> Pair:
        """(ra, dec) to the position in the slit."""

    def gwcs(self) -> Any:
        """The gwcs object, as products carry it; made when first asked for."""


def to_world(wcs: SlitWcs, x: Any, y: Any) -> Triple:
    """Pixels to (ra, dec, wavelength); the plane of the MSA (metres) instead of the sky for lamps."""
    xs, ys, wave = wcs.to_slit(x, y)
    if wcs.on_sky:
        return (*wcs.slit_to_sky(xs, ys, wave), wave)
    return (*wcs.slit_to_msa(xs, ys), wave)


class GwcsSlit:
    """`SlitWcs` of a gwcs object, as it is found in a product.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of one slit, from ``detector`` by ``slit_frame`` to ``world`` or ``msa_frame``.
    """

    def __init__(self, wcs: Any) -> None:
        self._wcs = wcs
        self._frames = set(wcs.available_frames)
        self._transforms: dict[tuple[str, str], Any] = {}

    def gwcs(self) -> Any:
        """The object itself: do not change it."""
        return self._wcs

    @cached_property
    def box(self) -> Box:
        """Bounding box in pixels."""
        box = self._wcs.bounding_box
        (x0, x1), (y0, y1) = box.bounding_box(order="F") if hasattr(box, "bounding_box") else box
        return (float(x0), float(x1)), (float(y0), float(y1))

    @property
    def on_sky(self) -> bool:
        """Whether it has the frame ``world``."""
        return "world" in self._frames

    @property
    def corrected(self) -> bool:
        """Whether it has the frame ``wavecorr_frame``."""
        return "wavecorr_frame" in self._frames

    @property
    def _unit(self) -> float:
        """Microns of a unit of wavelength between ``slit_frame`` and the telescope."""
        return METRES_TO_MICRONS if self.on_sky else 1.0

    def _slit_frame(self, corrected: bool) -> str:
        return "wavecorr_frame" if corrected and self.corrected else "slit_frame"

    def _go(self, start: str, end: str, *values: Any) -> Any:
        if (start, end) not in self._transforms:
            self._transforms[start, end] = self._wcs.get_transform(start, end)
        values = np.broadcast_arrays(*(np.asarray(v, float) for v in values))
        return self._transforms[start, end](*values)

    def to_slit(self, x: Any, y: Any, corrected: bool = True) -> Triple:
        """Pixels to (xs, ys, wavelength)."""
        xs, ys, wave = self._go("detector", self._slit_frame(corrected), x, y)
        return np.asarray(xs), np.asarray(ys), np.asarray(wave) * self._unit

    def from_slit(self, xs: Any, ys: Any, wavelength: Any, corrected: bool = True) -> Pair:
        """Position in the slit and wavelength to pixels."""
        # The way back to the grating takes metres for lamps too, although the way from it gives microns.
        x, y = self._go(self._slit_frame(corrected), "detector", xs, ys, np.asarray(wavelength, float) / METRES_TO_MICRONS)
        return np.asarray(x), np.asarray(y)

    def slit_to_msa(self, xs: Any, ys: Any) -> Pair:
        """Position in the slit to the MSA plane (metres)."""
        x, y, _ = self._go(self._slit_frame(True), "msa_frame", xs, ys, np.full(np.shape(xs), 2.0 / self._unit))
        return np.asarray(x), np.asarray(y)

    def slit_to_v2v3(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """Position in the slit to (V2, V3) in arcsec."""
        v2, v3, _ = self._go(self._slit_frame(True), "v2v3", xs, ys, np.asarray(wavelength, float) / self._unit)
        return np.asarray(v2), np.asarray(v3)

    def v2v3_to_slit(self, v2: Any, v3: Any, wavelength: Any) -> Pair:
        """(V2, V3) in arcsec to the position in the slit."""
        xs, ys, _ = self._go("v2v3", self._slit_frame(True), v2, v3, wavelength)
        return np.asarray(xs), np.asarray(ys)

    def slit_to_sky(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """Position in the slit to (ra, dec)."""
        ra, dec, _ = self._go(self._slit_frame(True), "world", xs, ys, np.asarray(wavelength, float) / self._unit)
        return np.asarray(ra), np.asarray(dec)

    def sky_to_slit(self, ra: Any, dec: Any, wavelength: Any) -> Pair:
        """(ra, dec) to the position in the slit."""
        xs, ys, _ = self._go("world", self._slit_frame(True), ra, dec, wavelength)
        return np.asarray(xs), np.asarray(ys)
