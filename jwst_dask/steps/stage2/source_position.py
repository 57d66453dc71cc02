"""Where the source is in its slit: given by the user, or measured from the 2-D spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.wcs.grid import pixel_centres

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.wcs.slitwcs import SlitWcs

ANY_WAVELENGTH = 2.0
"""Microns; a position in the sky depends on it too little to matter."""
REACH = 8.0
"""Pixels on each side of the expected centre that are looked at."""
WIDTHS = (0.25, 2.5)
"""Pixels (standard deviation) between which the width of a trace must be."""
FEWEST = 6
"""Half pixels along the slit that a fit needs."""
WORST = 25.0
"""Chi square for each degree of freedom above which a trace is not like a point source's."""


class Flag(IntEnum):
    """What became of a measurement (``position_flag``)."""

    MEASURED = 0
    NOT_A_POINT = 1
    FAINT = 2
    SHAPE = 3
    TOO_FAR = 4
    NO_DATA = 5


@dataclass(frozen=True)
class Position:
    """A measured centre in units of the slit's open height, its standard deviation, and whether it can be used."""

    ypos: float
    sigma: float
    flag: Flag


def given(draft: Draft, x: float | None, y: float | None, ra: float | None, dec: float | None) -> None:
    """Put the source of a slit where the user says.

    Parameters
    ----------
    draft : Draft
        Of a slit; ``source_xpos`` and ``source_ypos`` are set, also ``source_ra`` and ``source_dec`` if given.
    x, y : float
        Relative to the slit's open area, whose edges are at -0.5 and 0.5; None leaves what is planned.
    ra, dec : float
        Degrees.

    Raises
    ------
    ParameterError
        For one coordinate of two on the sky, or both kinds.
    InputError
        Without a WCS that goes to the sky.
    """
    item = draft.model.instance
    if (ra is None) != (dec is None):
        raise ParameterError("srctype.source_ra and srctype.source_dec must be given together")
    if ra is not None:
        if x is not None or y is not None:
            raise ParameterError("srctype: give source_x and source_y, or source_ra and source_dec, not both")
        if draft.wcs is None or not draft.wcs.on_sky:
            raise InputError(f"{draft.path} has no WCS that goes to the sky, which srctype.source_ra and source_dec need")
        xs, ys = draft.wcs.sky_to_slit(ra, dec, ANY_WAVELENGTH)
        x, y = float(np.ravel(xs)[0]), float(np.ravel(ys)[0])
        if not (np.isfinite(x) and np.isfinite(y)):
            raise InputError(f"srctype: ({ra}, {dec}) is nowhere near slit {draft.model.name}")
        item["source_ra"], item["source_dec"] = float(ra), float(dec)  # type: ignore[arg-type]
    for name, value in (("source_xpos", x), ("source_ypos", y)):
        if value is not None:
            item[name] = float(value)


def centre(draft: Draft, limit: float, least: float) -> None:
    """Measure the source's place along its slit; use it if it is good, and note it in ``draft.quality``.

    ``measured_ypos`` and ``measured_ypos_err`` are relative to the slit's open height, ``position_flag`` is a `Flag`.

    Parameters
    ----------
    draft : Draft
        Of a slit, its type and planned position set.
    limit : float
        Pixels from the planned position within which the source must be.
    least : float
        Height of the trace over its standard deviation.
    """
    model = draft.model
    planned = float(model.source_ypos or 0.0)
    if (model.source_type or "").upper() != "POINT":
        found = Position(np.nan, np.nan, Flag.NOT_A_POINT)
    elif draft.first is None or draft.wcs is None:
        found = Position(np.nan, np.nan, Flag.NO_DATA)
    else:
        found = measure(draft.first(), draft.wcs, planned, limit, least)
    draft.quality.update(measured_ypos=found.ypos, measured_ypos_err=found.sigma, position_flag=int(found.flag))
    if found.flag == Flag.MEASURED:
        model.instance["source_ypos"] = found.ypos
        draft.log.append(f"srctype: source at {found.ypos:.3f} +- {found.sigma:.3f} of the slit's height (planned {planned:.3f})")
    else:
        draft.log.append(f"srctype: the position of the source was not measured ({found.flag.name}), {planned:.3f} as planned")


def measure(block: Block, wcs: SlitWcs, planned: float, limit: float, least: float) -> Position:
    """The centre of the trace of a point source along its slit.

    The spectrum is collapsed along the dispersion in coordinates of the slit, so that its tilt and curvature do not matter. Each column
    is weighted by its flux, less the background beside the trace; a Gaussian averaged over pixels is fitted. Negative traces of
    nods are outside the range of the fit.

    Parameters
    ----------
    block : Block
        Of the slit.
    wcs : SlitWcs
    planned : float
        Expected centre, relative to the slit's open height.
    limit, least : float
        As for `centre`.
    """
    from jwst_dask.kernels.centring import brightness, fit_trace, profile

    sci, err, dq = (block.arrays[name][0] for name in ("sci", "err", "dq"))
    ys = np.broadcast_to(wcs.to_slit(*pixel_centres(wcs.box), corrected=False)[1], sci.shape)
    steps = np.abs(np.diff(ys, axis=0))
    pitch = float(np.nanmedian(steps)) if np.isfinite(steps).any() else np.nan
    good = np.isfinite(sci) & (err > 0) & np.isfinite(err) & ((dq & 1) == 0) & np.isfinite(ys)
    if not pitch > 0 or not good.any():
        return Position(np.nan, np.nan, Flag.NO_DATA)
    u = (ys - planned) / pitch
    fit = np.array([0.0, np.nan, 0.0])
    for _ in range(2):  # the second time with the flux of columns as the shape found gives it
        bright = brightness(sci, err, good, u, fit[0], fit[2])
        if not np.any(bright[0] > 0):
            return Position(np.nan, np.nan, Flag.FAINT)
        shape = profile(sci, err, good, u, *bright, REACH)
        fit = fit_trace(*shape, limit)
        if not np.all(np.isfinite(fit)):
            return Position(np.nan, np.nan, Flag.FAINT if np.isfinite(shape[1]).sum() >= FEWEST else Flag.NO_DATA)
        if abs(fit[0]) > limit + 1:
            break
    return Position(planned + float(fit[0]) * pitch, float(fit[1]) * pitch, _judge(fit, limit, least))


def _judge(fit: Any, limit: float, least: float) -> Flag:
    offset, sigma, width, height, height_sigma, reduced = (float(v) for v in fit)
    if height < least * height_sigma:
        return Flag.FAINT
    if not WIDTHS[0] <= width <= WIDTHS[1] or sigma > 0.5 or reduced > WORST:
        return Flag.SHAPE
    return Flag.TOO_FAR if abs(offset) > limit else Flag.MEASURED
