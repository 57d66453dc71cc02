"""Which map of path losses is for a source in a MOS slitlet, and where in it.

The reference files know slitlets of one shutter and of three. In the map of three the middle shutter stands for any with
an open neighbour on either side, the lower and upper one for the ends of a slitlet. ``shutter_state`` has a character for each
shutter from the lowest: ``x`` for that with the source, ``1`` for other open ones, ``0`` for closed ones. As in the maps, shutters
follow each other at distances of 1; the bars between them are taken as thin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_dask.core.errors import InputError

HALF = 0.5


@dataclass(frozen=True)
class Place:
    """Places in the slitlet, in heights of a shutter from the centre of shutter ``x``, as places in the maps.

    `shutters`: int[...], 1 or 3, which map; `y`: float64[...], place in it; `depth`: float64[...], how far the nearest closed
    shutter is, negative over one.
    """

    shutters: np.ndarray
    y: np.ndarray
    depth: np.ndarray


def fiducial(state: str) -> int:
    """Number (from 0) of the shutter with the source.

    Raises
    ------
    InputError
        When the shutter state does not say.
    """
    if "x" not in state:
        raise InputError(f"the shutter state {state!r} does not say which shutter the source is in (x)")
    return state.index("x")


def is_open(state: str, shutter: int) -> bool:
    """Whether a shutter of the slitlet is open; beyond its ends all are closed."""
    return 0 <= shutter < len(state) and state[shutter] != "0"


def by_shutter(state: str, shutter: int) -> tuple[int, float]:
    """The map for a shutter (of 1 or 3), and the centre of the shutter in it."""
    below, above = is_open(state, shutter - 1), is_open(state, shutter + 1)
    return (3, float(below) - float(above)) if below or above else (1, 0.0)


def by_state(state: str, y: np.ndarray) -> Place:
    """The reference implementation's rule: the map for shutter ``x``, wherever the source is."""
    number, centre = by_shutter(state, fiducial(state))
    return Place(np.full(np.shape(y), number), np.asarray(y + centre), depth(state, y))


def by_position(state: str, y: np.ndarray) -> Place:
    """The rule for slitlets of any number of shutters: the map for the open shutter that is nearest to the place.

    A slitlet of one shutter has the map of one. In a longer one, a place in a shutter with open neighbours on both sides goes to
    the middle of the map of three, one in a shutter at a (lower, upper) end to its (lower, upper) shutter, and one in a shutter
    between closed ones to the map of one. Places over a closed shutter count from the nearest open one.
    """
    nearest = nearest_open(state, y)
    first = fiducial(state)
    maps = np.array([by_shutter(state, k) for k in range(len(state))])
    number, centre = maps[nearest + first].T
    return Place(number.T.astype(np.int64), np.asarray(y - nearest + centre.T), depth(state, y))


def depth(state: str, y: np.ndarray) -> np.ndarray:
    """How far places are from the edge of the open shutters that they are in or nearest to, negative outside: float64[...]."""
    nearest = nearest_open(state, y)
    shutters = nearest + fiducial(state)
    closed_above, closed_below = (np.array([not is_open(state, k + side) for k in range(len(state))])[shutters] for side in (1, -1))
    within = np.asarray(y - nearest)
    above, below = np.where(closed_above, HALF - within, np.inf), np.where(closed_below, HALF + within, np.inf)
    return np.asarray(np.minimum(above, below))


def nearest_open(state: str, y: np.ndarray) -> np.ndarray:
    """Number of the open shutter next to each place, counted from shutter ``x``: int[...]."""
    shutters = np.array([k for k in range(len(state)) if is_open(state, k)]) - fiducial(state)
    return np.asarray(shutters[np.argmin(np.abs(np.asarray(y)[..., None] - shutters), axis=-1)])


def run_length(state: str, y: float) -> int:
    """Open shutters in a row around the open shutter that is nearest to a place."""
    low = high = int(nearest_open(state, np.asarray(y))) + fiducial(state)
    while is_open(state, low - 1):
        low -= 1
    while is_open(state, high + 1):
        high += 1
    return high - low + 1
