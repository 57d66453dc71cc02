"""Rates of cosmic rays and extended events of an exposure, from what its blocks counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np

TABLE = "jump"
"""Name of the table among those of a block."""
NOT_SEARCHED = -99
"""Number of jumps of an exposure with too few usable groups, as the reference implementation counts it."""


def row_type(ngroups: int) -> np.dtype[Any]:
    """Rows of the table, one for each integration.

    ``jumps`` and ``events`` (snowballs or showers) were found; ``searched`` is False with too few usable groups; ``dead`` tells
    which groups are DO_NOT_USE everywhere afterwards.
    """
    return np.dtype([("jumps", "i8"), ("events", "i8"), ("searched", "?"), ("dead", "?", (ngroups,))])


def merge(bands: Iterable[np.ndarray]) -> np.ndarray:
    """One table of the tables of the bands of rows of the same integrations."""
    return reduce(_join, bands)


def _join(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    out = one.copy()
    out["jumps"] += other["jumps"]
    out["events"] += other["events"]
    out["searched"] |= other["searched"]
    out["dead"] &= other["dead"]
    return out


def rates(table: np.ndarray, group_time: float, npixels: int) -> Mapping[str, float]:
    """Metadata of an exposure after the step.

    Parameters
    ----------
    table : structured array of `row_type`
        All integrations of the file.
    group_time : float
        s.
    npixels : int
        Of a frame.

    Returns
    -------
    mapping
        ``exposure.primary_cosmic_rays`` (per thousand pixels and second) and ``exposure.extended_emission_events`` (per
        million pixels and second); empty if no difference of groups is usable.
    """
    nints, ngroups = table["dead"].shape
    differences = nints * ngroups - int(table["dead"].sum()) - nints
    if differences < 1:
        return {}
    jumps = int(table["jumps"].sum()) if table["searched"].any() else NOT_SEARCHED
    pixels = group_time * differences * npixels
    return {
        "exposure.primary_cosmic_rays": 1000 * jumps / pixels,
        "exposure.extended_emission_events": 1e6 * int(table["events"].sum()) / pixels,
    }
