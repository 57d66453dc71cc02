"""Path losses of one slit by wavelength, for its source and for light that fills it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jwst_dask.kernels.pathloss import at_place, node_weights
from jwst_dask.steps.stage2.pathloss.geometry import Source, sky_axes
from jwst_dask.steps.stage2.pathloss.reference import MICRONS, Aperture
from jwst_dask.steps.stage2.pathloss.slitlet import HALF, Place, by_position, by_state, run_length

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft


class Curve(NamedTuple):
    """Share of the light that gets through, by wavelength in micron: float32[wave] or float64[wave] each."""

    wavelength: np.ndarray
    loss: np.ndarray


class Maps(NamedTuple):
    """The apertures of a slit by number of shutters (1 for a fixed slit), which of them a height in the slit belongs to, and how far
    heights in the slit and in a map may differ."""

    apertures: dict[int, Aperture]
    place: Callable[[np.ndarray], Place]
    shift: int = 0


def losses(draft: Draft, found: Sequence[Aperture], source: Source | None, any_slitlet: bool) -> tuple[Curve, Curve] | str:
    """Losses of the source of a slit, and of light that fills the slit; or why there are none.

    Parameters
    ----------
    draft : Draft
        Of one slit's cut-out.
    found : sequence of Aperture
        Those of the reference file.
    source : Source, optional
        The shape of the source; else it is a point.
    any_slitlet : bool
        The map for the shutter that the source is in (`slitlet.by_position`), not for shutter ``x`` (`slitlet.by_state`).
    """
    slit = draft.model.instance
    x, y = slit.get("source_xpos"), slit.get("source_ypos")
    if x is None or y is None:
        x = y = 0.0
    if str(slit["meta"]["exposure"]["type"]).upper() == "NRS_FIXEDSLIT":
        aperture = next((a for a in found if a.name == slit.get("name")), None)
        if aperture is None:
            return f"the pathloss reference has no aperture {slit.get('name')}"
        maps, uniform = Maps({1: aperture}, _whole), _uniform(aperture)
    else:
        state = str(slit.get("shutter_state") or "")
        rule = by_position if any_slitlet else by_state
        by_number = {number: a for a in reversed(found) if (number := a.shutters) is not None}
        maps = Maps(by_number, lambda heights: rule(state, heights), max(len(state), 1) if any_slitlet else 1)
        wanted = int(maps.place(np.asarray(y, float)).shutters)
        if wanted not in maps.apertures:
            return f"the pathloss reference has no aperture of {wanted} shutters"
        count = run_length(state, float(y)) if any_slitlet else len(state)
        uniform = (_two_shutters(found) if count == 2 else None) or _uniform(maps.apertures[wanted])
    point = _point(maps, x, y) if source is None else _shaped(draft, maps, x, y, source)
    return "the source is outside the map of path losses" if point is None else (point, uniform)


def _whole(heights: np.ndarray) -> Place:
    """A fixed slit: one map, one opening."""
    return Place(np.ones(np.shape(heights), np.int64), np.asarray(heights), HALF - np.abs(heights))


def _uniform(aperture: Aperture) -> Curve:
    return Curve(aperture.uniform_axis.microns(len(aperture.uniform)), aperture.uniform)


def _two_shutters(found: Sequence[Aperture]) -> Curve | None:
    """The mean of slitlets of one and of three shutters; None unless the file has these two, alike."""
    both = {a.name.upper(): a for a in found}
    if len(found) != 2 or set(both) != {"MOS1X1", "MOS1X3"}:
        return None
    one, three = both["MOS1X1"], both["MOS1X3"]
    if len(one.uniform) != len(three.uniform) or one.uniform_axis != three.uniform_axis:
        return None
    return Curve(one.uniform_axis.values(len(one.uniform)) * MICRONS, np.float32(HALF) * (one.uniform + three.uniform))


def _point(maps: Maps, x: Any, y: Any) -> Curve | None:
    place = maps.place(np.asarray(y, float))
    aperture = maps.apertures.get(int(place.shutters))
    if aperture is None:
        return None
    across, along, wave = aperture.axes
    # single precision for positions from a file, double for computed ones, as arrays and scalars mix
    kind = np.float64 if isinstance(x, np.floating) or isinstance(y, np.floating) else float
    vector = at_place(aperture.point, kind(across.index(float(x))), kind(along.index(float(place.y))))
    return None if vector is None else Curve(wave.microns(len(vector)), vector)


def _shaped(draft: Draft, maps: Maps, x: Any, y: Any, source: Source) -> Curve | None:
    """Losses of a source with a shape: those of points, weighted with the light at each."""
    x, y = float(x), float(y)
    if _point(maps, x, y) is None:
        return None
    samples = source.samples(sky_axes(draft, x, y), _box(maps, x, y), _step(maps))
    place, across = maps.place(y + samples.y), x + samples.x
    curve: Any = 0.0
    for number, aperture in maps.apertures.items():
        here = place.shutters == number
        if not here.any():
            continue
        rows, columns = aperture.axes[1].index(place.y[here]), aperture.axes[0].index(across[here])
        weights = node_weights(columns, rows, samples.light[here], (aperture.point.shape[1], aperture.point.shape[2]))
        curve = curve + np.tensordot(aperture.point.astype(np.float64), weights, 2)
    if not source.total:
        # cells that an edge of the slit divides count in part
        inside = np.clip((HALF - np.abs(across)) / samples.width + HALF, 0, 1) * np.clip(place.depth / samples.height + HALF, 0, 1)
        share = float((samples.light * inside).sum())
        if share <= 0:
            return None
        curve = curve / share
    wave = maps.apertures[int(maps.place(np.asarray(y)).shutters)].axes[2]
    return Curve(wave.microns(len(curve)), curve)


def _box(maps: Maps, x: float, y: float) -> tuple[float, float, float, float]:
    """Least and greatest x, then y, from a source, that light of it can be at and get through."""
    edges = [[_extent(aperture, axis) for aperture in maps.apertures.values()] for axis in (0, 1)]
    (left, right), (low, high) = ((min(a for a, _ in of), max(b for _, b in of)) for of in edges)
    return left - x, right - x, low - maps.shift - y, high + maps.shift - y


def _step(maps: Maps) -> float:
    """Half of the step of the finest map."""
    return min(abs(axis.cdelt) for aperture in maps.apertures.values() for axis in aperture.axes[:2]) / 2


def _extent(aperture: Aperture, axis: int) -> tuple[float, float]:
    """First and last place of a map."""
    n = aperture.point.shape[2 - axis]
    values = aperture.axes[axis].values(n)
    return float(values[0]), float(values[-1])
