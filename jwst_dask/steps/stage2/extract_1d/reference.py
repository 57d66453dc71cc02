"""Extraction apertures: what the EXTRACT1D reference and the step's parameters say together."""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import ParameterError, ReferenceError_

log = logging.getLogger(__name__)

CENTRED_ON_SOURCE = ("MIR_LRS-FIXEDSLIT", "NRS_FIXEDSLIT", "NRS_MSASPEC", "NRS_BRIGHTOBJ")
"""Exposure types whose aperture follows the source position unless told otherwise."""
ANY = "ANY"


@dataclass
class Aperture:
    """One resolved extraction aperture.

    Attributes
    ----------
    xstart, xstop, ystart, ystop : float
        Inclusive pixel limits, counted from 0.
    width : float, float64[along] or None
        Extent across dispersion, pixels.
    source, background : list of list of float, or None
        Polynomial coefficients of alternating lower and upper limits.
    variable : str
        What the polynomials depend on: ``pixel`` or ``wavelength``.
    smoothing : int
        Odd number of elements, or 0.
    fit : str or None
        ``poly``, ``median``; None when no background is wanted.
    order : int
        Of the background polynomial.
    subtract, use_position, optimal, locate, nod_pair : bool
    offset : float
        Extra shift across dispersion, pixels.
    psf : str
        Path of the PSF reference or ``N/A``.
    dispaxis : int
        1: dispersion along x; 2: along y.
    centre : float or None
        Where the user wants the aperture, pixels across dispersion in the middle of the spectrum.
    height_scale, height_coeff : float or None, tuple or None
        Height that varies with wavelength: in FWHM of the PSF, or a polynomial in pixels.
    regions : tuple of float or None
        Background regions that the user wants, relative to the middle of the aperture.
    trace : float64[along] or None
        Source position across dispersion.
    """

    xstart: float
    xstop: float
    ystart: float
    ystop: float
    dispaxis: int
    width: float | np.ndarray | None = None
    source: list[list[float]] | None = None
    background: list[list[float]] | None = None
    variable: str = "pixel"
    smoothing: int = 0
    fit: str | None = None
    order: int = 0
    subtract: bool = False
    use_position: bool = False
    offset: float = 0.0
    optimal: bool = False
    locate: bool = False
    nod_pair: bool = False
    psf: str = "N/A"
    centre: float | None = None
    height_scale: float | None = None
    height_coeff: tuple[float, ...] | None = None
    regions: tuple[float, ...] | None = None
    trace: np.ndarray | None = None

    @property
    def horizontal(self) -> bool:
        """Whether x is the dispersion axis."""
        return self.dispaxis == 1

    def shift(self, offset: float, trace: bool = True) -> None:
        """Move all limits across dispersion by `offset` pixels (and the trace, if wanted)."""
        for coefficients in (*(self.source or ()), *(self.background or ())):
            coefficients[0] += offset
        if self.horizontal:
            self.ystart, self.ystop = self.ystart + offset, self.ystop + offset
        else:
            self.xstart, self.xstop = self.xstart + offset, self.xstop + offset
        if trace and self.trace is not None:
            self.trace = self.trace + offset

    @property
    def varies(self) -> bool:
        """Whether the height depends on wavelength."""
        return self.height_scale is not None or self.height_coeff is not None


def read_reference(path: str) -> dict[str, Any] | None:
    """Content of an EXTRACT1D reference for slit-like modes (JSON), or None for ``N/A``.

    Raises
    ------
    ReferenceError_
        When it is not readable JSON with a list of apertures.
    """
    if path == "N/A":
        return None
    remedy = "give another one with override_extract1d, or N/A to extract the whole array"
    if not path.lower().endswith("json"):
        raise ReferenceError_(f"extract1d reference {path} is not JSON, which slit-like exposures need; {remedy}")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReferenceError_(f"extract1d reference {path} cannot be read: {error}; {remedy}") from error
    if not isinstance(content, dict) or not isinstance(content.get("apertures"), list):
        raise ReferenceError_(f"extract1d reference {path} has no list of apertures; {remedy}")
    return content


def find_aperture(content: Mapping[str, Any], slit: str, order: int) -> tuple[dict[str, Any] | None, bool]:
    """First target aperture for a slit name and spectral order, and whether the slit matched at all."""
    known = False
    for entry in content["apertures"]:
        name = entry.get("id", "dummy")
        if name == "dummy" or (name not in (slit, ANY) and slit != ANY) or entry.get("region_type", "target") != "target":
            continue
        known = True
        if entry.get("spectral_order", order) in (order, ANY):
            return entry, True
    return None, known


def resolve(entry: Mapping[str, Any] | None, step: Any, shape: tuple[int, int], dispaxis: int, exp_type: str,
            use_position: bool | None, psf: str, extraction_type: str | None) -> Aperture:  # fmt: skip
    """The aperture to extract, from a reference entry (None: no reference) and the step's parameters.

    Parameters
    ----------
    entry : mapping or None
    step : Extract1dStep
        Parameters that are not None win over the reference.
    shape : (int, int)
        (y, x) of the image.
    dispaxis : int
    exp_type : str
    use_position : bool or None
        ``use_source_posn`` after the source type has been looked at.
    psf : str
        PSF reference or ``N/A``.
    extraction_type : str or None
        ``box``, ``optimal`` or None (decided by the use of the source position).
    """
    ny, nx = shape
    if entry is None and not _wanted(step):
        return Aperture(0, nx - 1, 0, ny - 1, dispaxis)
    entry = {**(entry or {}), **({"extract_width": step.extract_width} if step.extract_width is not None else {})}
    source, background = (copy.deepcopy(entry.get(name)) for name in ("src_coeff", "bkg_coeff"))
    if step.extract_width is not None or step.extract_center is not None or step.height_scale or step.height_coeff:
        source = None
    if step.bkg_regions is not None:
        background = _checked_regions(step.bkg_regions)
    subtract = step.subtract_background if step.subtract_background is not None else background is not None
    fit, order = _background_fit(entry, step, subtract)
    if use_position is None:
        use_position = entry.get("use_source_posn")
        if use_position is None:
            use_position = exp_type in CENTRED_ON_SOURCE
    kind = extraction_type if psf != "N/A" else "box"
    optimal = bool(use_position) if kind is None else kind == "optimal"
    smoothing = step.smoothing_length if step.smoothing_length is not None else entry.get("smoothing_length", 0)
    aperture = Aperture(
        entry.get("xstart", 0), entry.get("xstop", nx - 1), entry.get("ystart", 0), entry.get("ystop", ny - 1), dispaxis,
        width=entry.get("extract_width"), source=source, background=background,
        variable=str(entry.get("independent_var", "pixel")).lower(), smoothing=odd_length(smoothing), fit=fit, order=order,
        subtract=bool(subtract), use_position=bool(use_position) and step.extract_center is None, offset=float(step.position_offset),
        optimal=optimal, locate=step.optimize_psf_location, nod_pair=step.model_nod_pair, psf=psf, centre=step.extract_center,
        height_scale=step.height_scale, height_coeff=step.height_coeff, regions=step.bkg_regions,
    )  # fmt: skip
    _check_height(aperture)
    return aperture


def _wanted(step: Any) -> bool:
    """Whether the user describes an aperture without an EXTRACT1D reference."""
    names = ("extract_width", "extract_center", "height_scale", "height_coeff", "bkg_regions")
    return any(getattr(step, name) is not None for name in names)


def _checked_regions(regions: tuple[float, ...]) -> list[list[float]]:
    """Background limits from pairs of edges."""
    if not regions or len(regions) % 2 or any(low >= high for low, high in zip(regions[::2], regions[1::2], strict=True)):
        raise ParameterError(f"extract_1d.bkg_regions: {regions} are not pairs of a lower and a higher edge")
    return [[float(edge)] for edge in regions]


def _check_height(aperture: Aperture) -> None:
    if aperture.height_scale is not None and aperture.height_coeff is not None:
        raise ParameterError("extract_1d: height_scale and height_coeff both say how high the aperture is; give one of them")
    if aperture.height_scale is not None and aperture.psf == "N/A":
        raise ReferenceError_("extract_1d.height_scale needs a psf reference, and there is none; set override_psf, or give height_coeff")
    if aperture.centre is not None and aperture.width is None and not aperture.varies and not aperture.optimal:
        raise ParameterError("extract_1d.extract_center: the reference gives no extract_width; set extract_1d.extract_width too")


def _background_fit(entry: Mapping[str, Any], step: Any, subtract: bool) -> tuple[str | None, int]:
    order = step.bkg_order if step.bkg_order is not None else entry.get("bkg_order", 0)
    if not subtract:
        return None, int(order)
    if step.bkg_fit == "mean":
        return "poly", 0
    fit = step.bkg_fit if step.bkg_fit is not None else entry.get("bkg_fit", "poly")
    if fit == "mean":
        return "poly", 0
    if fit not in ("poly", "median"):
        raise ReferenceError_(f"extract1d reference: bkg_fit is {fit!r}, not one of poly, mean, median; set extract_1d.bkg_fit")
    if order != int(order) or order < 0:
        raise ReferenceError_(f"extract1d reference: bkg_order is {order!r}, not a whole number from 0 on; set extract_1d.bkg_order")
    return fit, int(order)


def odd_length(length: float) -> int:
    """A smoothing length that can be used: whole, odd, at least 3; else 0."""
    whole = int(np.round(length))
    if whole != length:
        log.warning("smoothing_length must be a whole number: %s is taken as %d", length, whole)
    if whole and whole < 3:
        log.warning("smoothing_length %d is too short: the background is not smoothed", whole)
        return 0
    if whole and whole % 2 == 0:
        log.warning("smoothing_length must be odd: %d is taken as %d", whole, whole - 1)
        return whole - 1
    return whole


def limits_in_pairs(coefficients: list[list[float]], name: str) -> None:
    """Refuse polynomial limits that are not pairs of non-empty coefficient lists.

    Raises
    ------
    ReferenceError_
    """
    if len(coefficients) % 2 or any(len(c) == 0 or not all(math.isfinite(v) for v in c) for c in coefficients):
        raise ReferenceError_(f"extract1d reference: {name} must hold pairs of lower and upper limits, each a list of coefficients")
