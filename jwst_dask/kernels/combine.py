"""Several 1-D spectra of one source combined into one: the common wavelength grid, weights, clipping.

Spectra are structured arrays with the columns ``WAVELENGTH FLUX FLUX_ERROR SURF_BRIGHT SB_ERROR DQ`` (more are ignored), one
row per wavelength. Source document: JWST pipeline documents, "combine_1d".
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from jwst_dask.kernels._jit import jit

COMBINED = np.dtype([
    ("WAVELENGTH", "f8"), ("FLUX", "f8"), ("ERROR", "f8"), ("SURF_BRIGHT", "f8"), ("SB_ERROR", "f8"), ("DQ", "u4"), ("WEIGHT", "f8"), ("N_INPUT", "f8"),
])  # fmt: skip
"""Row of a combined spectrum, as in a COMBINE1D extension."""

VALUES = ("FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR")
"""Columns of the input that are averaged."""

DO_NOT_USE = np.uint32(1)
CLUMP = 0.8
"""Wavelengths clump where their scatter is below this fraction of the neighbouring windows'."""
WINDOW_ELEMENTS = 1 << 20


def usable(table: np.ndarray) -> bool:
    """Whether a spectrum has any finite flux, and wavelengths that only rise or only fall."""
    steps = np.diff(table["WAVELENGTH"])
    return bool(np.isfinite(table["FLUX"]).any() and (np.all(steps > 0) or np.all(steps < 0)))


def combine_spectra(tables: Sequence[np.ndarray], weights: Sequence[float], sigma_clip: float | None = None) -> np.ndarray:
    """Weighted mean of spectra on a common grid of wavelengths.

    Every element of a spectrum goes whole to the nearest wavelength of the grid (of several, the last counts). Elements with
    DO_NOT_USE or a NaN flux are left out, as are wavelengths that nothing falls on.

    Parameters
    ----------
    tables : sequence of structured ndarray[wavelength]
        Spectra with strictly monotonic wavelengths (see `usable`), in micron.
    weights : sequence of float
        One per spectrum, such as exposure times.
    sigma_clip : float or None
        Leave out elements farther from the median of the (weighted) spectra than this many times the median absolute
        deviation of all elements.

    Returns
    -------
    structured ndarray[wavelength]
        `COMBINED`. WEIGHT is the sum of weights, N_INPUT the number of spectra that contribute.

    Raises
    ------
    ValueError
        When there is no spectrum of two or more elements.
    """
    grid = wavelength_grid([np.asarray(table["WAVELENGTH"], dtype=np.float64) for table in tables])
    shape = (len(tables), len(grid))
    values = {name: np.zeros(shape) for name in VALUES}
    weight, count, dq = np.zeros(shape), np.zeros(shape), np.zeros(len(grid), dtype=np.uint32)
    for s, table in enumerate(tables):
        element = nearest(grid, np.asarray(table["WAVELENGTH"], dtype=np.float64))
        flags = np.asarray(table["DQ"]).astype(np.uint32)
        used = np.flatnonzero((element >= 0) & ((flags & DO_NOT_USE) == 0) & ~np.isnan(table["FLUX"]))
        to = element[used]
        np.bitwise_or.at(dq, to, flags[used])
        for name in VALUES:
            values[name][s, to] = table[name][used]
        weight[s, to] = weights[s]
        count[s, to] = 1.0
    if sigma_clip is not None:
        _clip(values, weight, count, sigma_clip)
    return _averaged(grid, values, weight, count, dq)


def _clip(values: dict[str, np.ndarray], weight: np.ndarray, count: np.ndarray, sigma_clip: float) -> None:
    """Blank outliers in place."""
    weighted = values["FLUX"] * weight
    seen = np.where((count < 1) | (weighted == 0.0), np.nan, weighted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # wavelengths that nothing falls on
        middle = np.nanmedian(seen, axis=0)
        spread = np.nanmedian(np.abs(seen - middle))
    with np.errstate(invalid="ignore"):
        bad = np.abs(weighted - middle) > sigma_clip * spread
    for plane in values.values():
        plane[bad] = np.nan
    weight[bad] = 0.0
    count[bad] = 0.0


def _averaged(grid: np.ndarray, values: dict[str, np.ndarray], weight: np.ndarray, count: np.ndarray, dq: np.ndarray) -> np.ndarray:
    total = weight.sum(axis=0)
    norm = np.where(total > 0.0, total, 1.0)
    out = np.empty(len(grid), dtype=COMBINED)
    out["WAVELENGTH"], out["DQ"], out["WEIGHT"], out["N_INPUT"] = grid, dq, norm, count.sum(axis=0)
    out["FLUX"] = np.nansum(values["FLUX"] * weight, axis=0) / norm
    out["SURF_BRIGHT"] = np.nansum(values["SURF_BRIGHT"] * weight, axis=0) / norm
    out["ERROR"] = np.sqrt(np.nansum((values["FLUX_ERROR"] * weight) ** 2, axis=0)) / norm
    out["SB_ERROR"] = np.sqrt(np.nansum((values["SB_ERROR"] * weight) ** 2, axis=0)) / norm
    kept: np.ndarray = out[out["N_INPUT"] > 0.0]
    return kept


def nearest(grid: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Index of the grid point nearest in index space (int64, -1 outside the grid; halves to even)."""
    if len(grid) == 1:
        return np.where(wavelength == grid[0], 0, -1)
    low = np.clip(np.searchsorted(grid, wavelength, side="right") - 1, 0, len(grid) - 2)
    part = (wavelength - grid[low]) / (grid[low + 1] - grid[low])
    place = np.rint(low * (1 - part) + (low + 1) * part)
    return np.where((wavelength >= grid[0]) & (wavelength <= grid[-1]), place, -1).astype(np.int64)


def wavelength_grid(wavelengths: Sequence[np.ndarray]) -> np.ndarray:
    """A common grid for spectra with similar sampling, about as dense as each of them.

    All wavelengths are merged. Where n spectra overlap, a run of n merged wavelengths that scatters less than the runs around
    it is a clump (the same wavelength in every spectrum) and its mean a grid point; between clumps the means of successive
    runs of n are.

    Parameters
    ----------
    wavelengths : sequence of float64[wavelength]
        Each strictly monotonic.

    Returns
    -------
    float64[wavelength]
        Ascending.

    Raises
    ------
    ValueError
        When no spectrum has two or more elements, or wavelengths are not finite.
    """
    used = [w for w in wavelengths if len(w) > 1]
    if not used:
        raise ValueError("no spectrum has two or more wavelengths")
    merged = np.sort(np.concatenate(used))
    overlap = np.zeros(len(merged), dtype=np.int64)
    for w in used:
        up = w if w[-1] > w[0] else w[::-1]
        first, last = np.searchsorted(merged, (up[0] - 0.5 * (up[1] - up[0]), up[-1] + 0.5 * (up[-1] - up[-2])), side="left")
        overlap[first:last] += 1
    if not (np.all(overlap > 0) and np.isfinite(merged[-1])):
        raise ValueError("wavelengths are not finite or not monotonic")
    grid = _clumps(merged, overlap)
    begin = np.empty_like(overlap)
    n = _fill_gaps(grid > 0.0, overlap, begin)
    if n:
        grid[begin[:n]] = _window_means(merged, begin[:n], overlap[begin[:n] + overlap[begin[:n]] // 2])[0]
    out: np.ndarray = np.sort(grid[grid > 0.0])
    return out


def _clumps(merged: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """Means of clumps at their middle element, -99 elsewhere."""
    last = len(merged)
    stop = np.arange(last) + overlap // 2 + 1
    start = stop - overlap
    inside = np.flatnonzero((start >= 0) & (stop <= last) & (overlap > 1))
    scatter, mean = np.full(last, 9999.0), np.full(last, -99.0)
    mean[inside], scatter[inside] = _window_means(merged, start[inside], overlap[inside])
    alone = overlap == 1
    scatter[alone], mean[alone] = 0.0, merged[alone]
    limit = np.empty(last)
    limit[1:-1] = CLUMP * (scatter[:-2] + scatter[2:]) / 2.0
    limit[0], limit[-1] = CLUMP * scatter[1], CLUMP * scatter[-2]
    return np.where((scatter == 0.0) | (scatter < limit), mean, -99.0)


def _window_means(values: np.ndarray, start: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of ``values[start : start + length]`` for each window."""
    mean, scatter = np.empty(len(start)), np.empty(len(start))
    for n in np.unique(length):
        rows = np.flatnonzero(length == n)
        for chunk in np.array_split(rows, max(1, len(rows) * int(n) // WINDOW_ELEMENTS)):
            windows = values[start[chunk][:, None] + np.arange(n)]
            mean[chunk], scatter[chunk] = windows.mean(axis=1), windows.std(axis=1)
    return mean, scatter


@jit
def _fill_gaps(taken, overlap, begin):  # type: ignore[no-untyped-def]
    """Where runs of merged wavelengths without a grid point begin; `taken` (bool) is updated.

    Parameters
    ----------
    taken : bool[merged]
    overlap : int64[merged]
    begin : int64[merged]
        The first elements returned are filled.

    Returns
    -------
    int
        Number of runs.
    """
    last, i, found = len(taken), 0, 0
    while i < last:
        n = overlap[i]
        if i + n // 2 < last:
            n = overlap[i + n // 2]
            if i + n < last:
                free = True
                for k in range(max(i - 1, 0), min(i + n + 1, last - 1)):
                    if taken[k]:
                        free = False
                        break
                if free:
                    taken[i] = True
                    begin[found] = i
                    found += 1
        i += n
    return found
