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
    """The apertures of a slit by number of shutters (1 for a fixed slit), and which of them a height in the slit belongs to."""

    apertures: dict[int, Aperture]
    place: Callable[[np.ndarray], Place]


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
        maps = Maps({number: a for a in reversed(found) if (number := a.shutters) is not None}, lambda heights: rule(state, heights))
        wanted = int(maps.place(np.asarray(y, float)).shutters)
        if wanted not in maps.apertures:
            return f"the pathloss reference has no aperture of {wanted} shutters"
        count = run_length(state, float(y)) if any_slitlet else len(state)
        uniform = (_two_shutters(found) if count == 2 else None) or _uniform(maps.apertures[wanted])
    point = _point(maps, x, y) if source is None else _shaped(draft, maps, x, y, source)
    return "the source is outside the map of path losses" if point is None else (point, uniform)


def _whole(heights: np.ndarray) -> Place:
    """A fixed slit: one map, one opening."""
    return Place(np.ones(np.shape(heights), np.int64), np.asarray(heights), np.abs(heights) <= HALF)


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
    used = list(maps.apertures.values())
    edges = [_extent(a, k) for k in (0, 1) for a in used]
    (left, right), heights = edges[0], edges[len(used) :]
    # in a slitlet heights count from another shutter than in its map, so that all of them may matter
    reach = max(abs(edge) for low, high in heights for edge in (low, high)) + (
        0 if maps.place is _whole else len(str(draft.model.instance.get("shutter_state")))
    )
    step = min(abs(axis.cdelt) for a in used for axis in a.axes[:2]) / 2
    samples = source.samples(sky_axes(draft, x, y), (left - x, right - x, -reach - y, reach - y), step)
    place = maps.place(y + samples.y)
    across = x + samples.x
    total, curve = 0.0, None
    for number, aperture in maps.apertures.items():
        here = place.shutters == number
        if not here.any():
            continue
        axes = aperture.axes
        weights = node_weights(axes[0].index(across[here]), axes[1].index(place.y[here]), samples.light[here], aperture.point.shape[1:])
        part = np.tensordot(aperture.point.astype(np.float64), weights, 2)
        curve = part if curve is None else curve + part
    if curve is None:
        return None
    if not source.total:
        total = float(samples.light[place.open & (np.abs(across) <= HALF)].sum())
        curve = curve / total if total > 0 else np.full_like(curve, np.nan)
    wave = maps.apertures[int(maps.place(np.asarray(y)).shutters)].axes[2]
    return Curve(wave.microns(len(curve)), curve)


def _extent(aperture: Aperture, axis: int) -> tuple[float, float]:
    """First and last place of a map."""
    n = aperture.point.shape[2 - axis]
    values = aperture.axes[axis].values(n)
    return float(values[0]), float(values[-1])
