"""Dark ramps: brought to an exposure's sequence of frames, and subtracted."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit


def extend(dark: np.ndarray, groups: int) -> np.ndarray:
    """A dark of float32[group, y, x] with further groups, each more than the one before by the difference of the last two (float64)."""
    if groups <= 0:
        return dark
    rate = dark[-1] - dark[-2]
    return np.concatenate((dark, np.arange(1, groups + 1)[:, None, None] * rate + dark[-1]))


def missing_groups(ngroups: int, nframes: int, groupgap: int, dark: tuple[int, int, int]) -> int:
    """Groups that a dark lacks.

    Parameters
    ----------
    ngroups, nframes, groupgap : int
        Groups of the exposure, frames averaged in each, and frames left out after each.
    dark : (int, int, int)
        The same of the dark.
    """
    frames = ngroups * nframes + (ngroups - 1) * groupgap
    lack = frames - (dark[0] * dark[1] + (dark[0] - 1) * dark[2])
    return -(-(lack + dark[2]) // (dark[1] + dark[2])) if lack > 0 else 0


def averaged(dark: np.ndarray, ngroups: int, nframes: int, groupgap: int) -> np.ndarray:
    """Averages of a dark's groups over the frames of an exposure's groups.

    Parameters
    ----------
    dark : float[group, y, x]
        One group for each frame of the exposure, at least.
    ngroups, nframes, groupgap : int
        Of the exposure.

    Returns
    -------
    float32[group, y, x]
    """
    out = np.empty((ngroups, *dark.shape[1:]), np.float32)
    for group in range(ngroups):
        start = group * (nframes + groupgap)
        out[group] = dark[start] if nframes == 1 else dark[start : start + nframes].mean(axis=0)
    return out


@jit
def subtract(sci: np.ndarray, dark: np.ndarray) -> None:
    """Subtract a dark of float32 or float64[group, y, x] (at least as many groups, no NaN) from every integration, in place.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
    dark : float[group, y, x]

    Notes
    -----
    Pixels are independent: any band of rows, any integrations that take the same dark.
    """
    nints, ngroups, ny, nx = sci.shape
    for i in range(nints):
        for g in range(ngroups):
            for y in range(ny):
                for x in range(nx):
                    sci[i, g, y, x] -= dark[g, y, x]
