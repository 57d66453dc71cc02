"""The grid that slits are resampled to: a straight line on the sky by the wavelengths of the detector's columns.

Source: JWST documentation, resample_spec; the choices are those of the reference, for one or several cut-outs of a source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.steps.stage2.resample_spec.footprint import Footprint, Plane
from jwst_dask.wcs.rectified import Line, RectifiedLamp, RectifiedSlit, from_tangent, to_tangent

CLIP, ROUNDS = 100.0, 5
"""Pixels this many standard deviations from the median do not count for the place of the source; rounds of rejection."""
TOO_CLOSE = 0.1
"""Wavelengths closer than this times the smallest step are one column."""


def sky_grid(slits: Sequence[Footprint], sci: np.ndarray, ratio: float) -> tuple[RectifiedSlit, list[Plane]]:
    """The rectified slit, and the places of all pixels on its tangent plane.

    Parameters
    ----------
    slits : sequence of Footprint
        Of the cut-outs; the first gives tangent point and sampling.
    sci : float32[y, x]
        Pixels of the first (NaN where they are bad), which weigh the place of the source.
    ratio : float
        Input row height over output row height.

    Raises
    ------
    InputError
        When too little of the slit is on the detector.
    """
    first, wcs = slits[0], slits[0].wcs
    if first.empty:
        raise InputError("no pixel of the cut-out is in the slit")
    middle_ys, middle_wave = source_position(first, sci), float(np.nanmean(first.wave))
    centre = tuple(float(value) for value in wcs.slit_to_sky(0.0, middle_ys, middle_wave))
    planes = [slit.plane(lambda ys, wave, w=slit.wcs: to_tangent(*w.slit_to_sky(0.0, ys, wave), *centre)) for slit in slits]
    samples = [values[np.isfinite(values)] for values in planes[0].values[:, :, first.middle_column]]
    if len(samples[0]) < 2:
        raise InputError("the middle column of the cut-out has fewer than two pixels in the slit")
    slopes = tuple(fit_line(np.arange(len(values)) * ratio, values)[0] for values in samples)
    axis = int(abs(slopes[0]) < abs(slopes[1]))
    lows = [min(plane.limits[i][0] for plane in planes) for i in (0, 1)]
    highs = [max(plane.limits[i][1] for plane in planes) for i in (0, 1)]
    ny = int(np.ceil((highs[axis] - lows[axis]) / abs(slopes[axis]))) + 1
    line = Line(slopes, tuple(_intercept(slopes[i], lows[i], highs[i], ny) for i in (0, 1)))  # type: ignore[arg-type]
    columns, waves = with_edges(merged_waves([slit.column_waves for slit in slits]))
    middle = float(np.interp((len(waves) - 2) // 2, columns, waves))
    ra, dec = from_tangent(*line.at(np.arange(ny)), *centre)
    ys = np.asarray(wcs.sky_to_slit(ra, dec, np.full(ny, middle))[1], float)
    return RectifiedSlit((ny, len(waves) - 2), columns, waves, line, axis, centre, ys), planes  # type: ignore[arg-type]


def lamp_grid(slits: Sequence[Footprint], ratio: float) -> tuple[RectifiedLamp, list[Plane]]:
    """The rectified slit of a lamp exposure (by the first cut-out), and the places of all pixels in the plane of the MSA.

    Raises
    ------
    InputError
        When too little of the slit is on the detector.
    """
    first = slits[0]
    if first.empty:
        raise InputError("no pixel of the cut-out is in the slit")
    planes = [slit.plane(lambda ys, wave, w=slit.wcs: w.slit_to_msa(np.zeros_like(ys), ys)) for slit in slits]
    low, high = first.wcs.box[0]
    samples = [values[np.isfinite(values)] for values in planes[0].values[:, :, int((high - low) / 2)]]
    if len(samples[0]) < 2:
        raise InputError("the middle column of the cut-out has fewer than two pixels in the slit")
    fits = [fit_line(np.arange(len(values)) * ratio, values) for values in samples]
    line = Line((fits[0][0], fits[1][0]), (fits[0][1], fits[1][1]))
    shape = int(np.ceil(len(samples[0]) * ratio)), len(first.column_waves)
    return RectifiedLamp(shape, first.column_waves, line), planes


def source_position(slit: Footprint, sci: np.ndarray) -> float:
    """Mean position along the slit, weighted by the counts above the faintest pixel."""
    finite = np.isfinite(sci)
    good = slit.good & finite
    if good.any():
        weights = np.where(good, sci - sci[finite].min(), np.float32(np.nan))
        weights[~clipped(weights)] = 0
        values = weights[good]
        if values.any():
            total = values.sum(dtype=np.float64)
            return float((slit.ys[good] * values).sum() / total)
    return float(np.nanmean(slit.ys))


def clipped(data: np.ndarray) -> np.ndarray:
    """Values that survive rejection about the median (bool, shaped as `data`)."""
    kept = data[np.isfinite(data)]
    low, high = -np.inf, np.inf
    for _ in range(ROUNDS):
        middle, width = float(np.median(kept)), CLIP * float(np.std(kept, dtype=np.float64))
        low, high = middle - width, middle + width
        inside = (kept >= low) & (kept <= high)
        if inside.all():
            break
        kept = kept[inside]
    return np.asarray((data >= low) & (data <= high))


def fit_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the straight line through points, by least squares."""
    dx = x - x.mean()
    slope = float((dx * (y - y.mean())).sum() / (dx * dx).sum())
    return slope, float(y.mean() - slope * x.mean())


def merged_waves(lists: Sequence[np.ndarray]) -> np.ndarray:
    """Increasing wavelengths of output columns: those of the first cut-out, and of the others where they go beyond.

    The others are taken in the order of their overlap with what there is.
    """
    rest = [np.sort(waves) for waves in lists]
    waves = rest.pop(0)
    step = float(np.abs(np.diff(waves)).min()) if len(waves) > 1 else 0.0
    while rest:
        overlaps = [min(waves[-1], other[-1]) - max(waves[0], other[0]) for other in rest]
        other = rest.pop(int(np.argmax(overlaps)))
        waves = np.concatenate([other[other < waves[0]], waves, other[other > waves[-1]]])
    close = np.flatnonzero(np.abs(np.diff(waves)) < max(TOO_CLOSE * step, 100 * np.finfo(float).eps))
    return np.delete(waves, close)


def with_edges(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and wavelengths, with the outer edges of the first and the last column."""
    count = len(waves)
    columns = np.concatenate([[-0.5], np.arange(count), [count - 0.5]])
    if count == 1:
        return columns, np.repeat(waves, 3)
    first = waves[0] - 0.5 * (waves[1] - waves[0])
    # The reference continues the last step by the number of columns, not by half a column. It is kept, as the images depend on it:
    # what lies beyond the centre of the last column is drawn into it.
    last = waves[-2] + (count - 0.5) * (waves[-1] - waves[-2])
    return columns, np.concatenate([[first], waves, [last]])


def _intercept(slope: float, low: float, high: float, rows: int) -> float:
    """Coordinate of row 0 so that pixels from `low` to `high` are in the middle of the image."""
    margin = 0.5 * (rows * abs(slope) - (high - low))
    return low - margin if slope > 0 else high + margin
