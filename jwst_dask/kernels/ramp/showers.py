"""Showers: faint extended light of secondary particles in MIRI's detectors.

Differences in units of their noise are smoothed with a ring; large areas above a threshold are flagged, for some time,
unless that changes a pixel's rate by too much. Needs whole frames of all integrations.

Document: "Jump detection" of the JWST pipeline documentation, "Showers".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.ramp.jump import dead_groups
from jwst_dask.kernels.ramp.lanes import copy_finite_last, electrons, lanes_for, load, sort
from jwst_dask.kernels.ramp.ring import bright_areas
from jwst_dask.kernels.ramp.snowballs import flag_ellipse

DO_NOT_USE, INVALID = np.uint8(1), np.uint8(1 | 2 | 4)
REFERENCE_PIXEL = np.uint32(1 << 31)
LEAST_DIFFERENCES = 10
CLIP_SIGMA = 5.0


@dataclass(frozen=True)
class Options:
    """What counts as a shower, and what is flagged.

    Attributes
    ----------
    snr : float
        Threshold of the smoothed differences, in units of their noise.
    min_area : int
        Pixels above it.
    expand_ratio : float
        By which the ellipse of the area grows.
    groups : int
        Groups after the shower that are flagged too.
    max_change : float
        Largest change of the mean difference of a pixel, in electrons, for which its flags stay.
    max_width : int
        Of an ellipse.
    clip_groups : int
        Integrations from which on median and noise of each group come from sigma clipping.
    nframes : int
        Frames averaged in a group.
    """

    snr: float = 1.2
    min_area: int = 90
    expand_ratio: float = 1.1
    groups: int = 0
    max_change: float = 6.0
    max_width: int = 400
    clip_groups: int = 100
    nframes: int = 1


def find_showers(sci: np.ndarray, groupdq: np.ndarray, pixeldq: np.ndarray, gain: np.ndarray, readnoise: np.ndarray, ring: np.ndarray,
                 options: Options, searched: bool = True) -> np.ndarray:  # fmt: skip
    """Flag showers in whole frames of all integrations, in place.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
        Signal in DN; not changed.
    groupdq : uint8[integration, group, y, x]
        With the jumps that were found.
    pixeldq : uint32[y, x]
    gain, readnoise : float32[y, x]
        Electrons per DN; DN.
    ring : float64[size, size]
        Smoothing kernel; odd size.
    options : Options
    searched : bool
        Whether jumps were looked for at all.

    Returns
    -------
    int64[integration]
        Showers found; 0 with fewer than ten usable differences.
    """
    nints = len(groupdq)
    if not enough(dead_groups(groupdq)):
        return np.zeros(nints, np.int64)
    usual = typical(sci, groupdq, gain, readnoise, options, searched)
    count = np.zeros(nints, np.int64)
    for i in range(nints):
        bad = unusable(groupdq[i : i + 1], searched)

        def step(g: int, part: slice = slice(i, i + 1), bad: np.ndarray = bad) -> np.ndarray:
            return differences(sci[part, g - 1 : g + 1], bad[:, g - 1 : g + 1], gain)[0, 0]  # type: ignore[no-any-return]

        flags, count[i] = showers_of(groupdq[i], pixeldq, step, usual, ring, options)
        accept(sci[i], groupdq[i], flags, gain, options)
    return count


def enough(dead: np.ndarray) -> bool:
    """Whether there are enough usable differences (`dead`: bool[integration, group])."""
    nints, ngroups = dead.shape
    return bool(nints * (ngroups - 1) - int(dead.sum()) >= LEAST_DIFFERENCES)


def showers_of(groupdq: np.ndarray, pixeldq: np.ndarray, step: Callable[[int], np.ndarray], usual: tuple[np.ndarray, np.ndarray],
               ring: np.ndarray, options: Options) -> tuple[np.ndarray, int]:  # fmt: skip
    """Find the showers of one integration, in whole frames.

    Parameters
    ----------
    groupdq : uint8[group, y, x]
        Not changed.
    pixeldq : uint32[y, x]
    step : callable
        Difference of a group and the one before in electrons (float32[y, x]), NaN where one is not usable.
    usual : tuple
        From `typical`.
    ring, options
        As of `find_showers`.

    Returns
    -------
    uint8[group, y, x]
        Flags with those of the showers, for `accept`.
    int
        Showers found.
    """
    centre, spread = usual
    flags = groupdq.copy()
    flags[:, pixeldq == REFERENCE_PIXEL] = DO_NOT_USE
    found = []
    usable = np.flatnonzero(~dead_groups(flags[np.newaxis])[0])
    for g in range((int(usable[0]) if usable.size else 0) + 1, len(flags)):
        ours = centre[(g - 1) % len(centre)], spread[(g - 1) % len(spread)]
        areas = bright_areas(step(g), *ours, flags[g], pixeldq, ring, options.snr, options.min_area)
        found += [(g, areas.ellipse(k)) for k in range(len(areas))]
    for g, ellipse in found:
        flag_ellipse(flags[g : g + options.groups + 1], ellipse, options.expand_ratio, options.max_width)
    return flags, len(found)


def accept(sci: np.ndarray, groupdq: np.ndarray, flags: np.ndarray, gain: np.ndarray, options: Options) -> None:
    """Take over the flags from `showers_of` into `groupdq` (both uint8[group, y, x]) where the pixel's rate changes little; any band of rows."""
    _accept(sci[np.newaxis], groupdq[np.newaxis], flags[np.newaxis], gain, np.float32(options.max_change))


def unusable(groupdq: np.ndarray, searched: bool) -> np.ndarray:
    """1 where a group has jumped or cannot be used (uint8[integration, group, y, x])."""
    bad = np.empty_like(groupdq)
    _unusable(groupdq, bad, searched)
    return bad


def differences(sci: np.ndarray, bad: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Differences of groups in electrons (float32[integration, group - 1, y, x]), NaN where one is not usable."""
    nints, ngroups, ny, nx = sci.shape
    out = np.empty((nints, ngroups - 1, ny, nx), np.float32)
    for i in range(nints):
        for g in range(1, ngroups):
            _difference(sci, bad, gain, i, g, out[i, g - 1])
    return out


def typical(sci: np.ndarray, groupdq: np.ndarray, gain: np.ndarray, readnoise: np.ndarray, options: Options,
            searched: bool) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Usual difference and its noise: of all groups (float32[1, y, x]), or by group ([group - 1, y, x]) in a long series.

    All integrations are needed, but of any band of rows.
    """
    nints, ngroups, ny, nx = sci.shape
    bad, noise = unusable(groupdq, searched), (readnoise * gain).astype(np.float32, copy=False)
    if nints < options.clip_groups:
        centre = np.empty((1, ny, nx), np.float32)
        _medians(sci, bad, gain, centre[0], lanes_for(nints * (ngroups - 1)))
        with np.errstate(invalid="ignore"):
            return centre, np.sqrt(np.abs(centre) + noise**2 / options.nframes)
    import warnings

    from astropy.stats import sigma_clipped_stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, middle, spread = sigma_clipped_stats(differences(sci, bad, gain), sigma=CLIP_SIGMA, axis=0)
    return middle, spread


@jit
def _unusable(dq, bad, searched):  # type: ignore[no-untyped-def]
    """1 where a group has jumped or cannot be used; other flags beside these count only where jumps were looked for."""
    nints, ngroups, ny, nx = dq.shape
    for i in range(nints):
        for g in range(ngroups):
            for y in range(ny):
                for x in range(nx):
                    value = dq[i, g, y, x]
                    bad[i, g, y, x] = 1 if 1 <= value <= 5 or (searched and value & 3) else 0


@jit
def _difference(sci, bad, gain, i, g, out):  # type: ignore[no-untyped-def]
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = electrons(sci, bad, gain, i, g, y, x) - electrons(sci, bad, gain, i, g - 1, y, x)


@jit
def _medians(sci, bad, gain, out, nlanes):  # type: ignore[no-untyped-def]
    """Median of all differences of each pixel, in float32."""
    nints, ngroups, ny, nx = sci.shape
    diffs, work = np.empty((nints * (ngroups - 1), nlanes), np.float32), np.zeros((nints * (ngroups - 1), nlanes), np.float32)
    count = np.empty(nlanes, np.int32)
    for y in range(ny):
        for x0 in range(0, nx, nlanes):
            width = min(nlanes, nx - x0)
            load(sci, bad, gain, y, x0, width, diffs)
            copy_finite_last(diffs, width, False, work, count)
            sort(work)
            for k in range(width):
                n = count[k]
                if n == 0:
                    out[y, x0 + k] = np.nan
                else:
                    out[y, x0 + k] = np.float32(work[(n - 1) // 2, k] + work[n // 2, k]) / np.float32(2)


@jit
def _mean_step(sci, dq, gain, i, y, x):  # type: ignore[no-untyped-def]
    """Mean difference of the groups of a pixel without flags, in electrons (float32); NaN of none."""
    total, count = np.float32(0), 0
    for g in range(1, dq.shape[1]):
        if (dq[i, g, y, x] | dq[i, g - 1, y, x]) & INVALID:
            continue
        step = np.float32(np.float32(sci[i, g, y, x] * gain[y, x]) - np.float32(sci[i, g - 1, y, x] * gain[y, x]))
        if step == step:
            total = np.float32(total + step)
            count += 1
    return np.float32(total / np.float64(count)) if count else np.float32(np.nan)


@jit
def _accept(sci, dq, flags, gain, limit):  # type: ignore[no-untyped-def]
    """Take over the new `flags` of the pixels whose rate stays known and changes by `limit` at most."""
    nints, ngroups, ny, nx = dq.shape
    for i in range(nints):
        for y in range(ny):
            for x in range(nx):
                same = True
                for g in range(ngroups):
                    same &= dq[i, g, y, x] == flags[i, g, y, x]
                if same:
                    continue
                change = abs(np.float32(_mean_step(sci, dq, gain, i, y, x) - _mean_step(sci, flags, gain, i, y, x)))
                if change <= limit:
                    for g in range(ngroups):
                        dq[i, g, y, x] = flags[i, g, y, x]
