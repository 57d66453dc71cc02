"""Groups of MIRI ramps that the reset before them disturbs."""

from __future__ import annotations

import numpy as np

from jwst_dask.data.dq import GROUP, PIXEL
from jwst_dask.kernels._jit import jit

SATURATED, DO_NOT_USE = np.uint8(GROUP["SATURATED"]), np.uint8(GROUP["DO_NOT_USE"])
FLUX_ESTIMATED = np.uint32(PIXEL["FLUX_ESTIMATED"])


@jit
def skip_groups(groupdq: np.ndarray, pixeldq: np.ndarray, skip: int) -> tuple[int, int]:
    """Flag the first groups DO_NOT_USE, fewer of them where saturation would leave less than two others.

    Parameters
    ----------
    groupdq : uint8[integration, group, y, x]
        Integrations that skip the same number of groups, of which there are at least ``skip + 2``. Changed in place.
    pixeldq : uint32[y, x]
        Changed in place: FLUX_ESTIMATED where fewer groups are skipped in any integration.
    skip : int
        Groups to skip.

    Returns
    -------
    lowered, none : int
        Pixels that skip fewer groups in any integration; pixels that skip none in any (0 if no pixel lacks groups).

    Notes
    -----
    Flags and counts of a pixel need all integrations; rows are independent, and counts of bands of rows add up, but that `none`
    counts every pixel of a band of which one lacks groups when ``skip`` is 0.

    Source: JWST documentation, rscd.
    """
    nints, ngroups, ny, nx = groupdq.shape
    lowered, none, lacking = 0, 0, False
    for y in range(ny):
        for x in range(nx):
            fewer, zero = False, False
            for i in range(nints):
                keep = skip
                if groupdq[i, 0, y, x] & SATURATED == 0:
                    for g in range(skip + 1, 0, -1):
                        if groupdq[i, g, y, x] & SATURATED:
                            keep -= 1
                            lacking = True
                    keep = max(keep, 0)
                fewer |= keep < skip
                zero |= keep == 0
                for g in range(keep):
                    groupdq[i, g, y, x] |= DO_NOT_USE
            if fewer:
                pixeldq[y, x] |= FLUX_ESTIMATED
            lowered += fewer
            none += zero
    return lowered, none if lacking else 0


def skip_first(groupdq: np.ndarray, pixeldq: np.ndarray, keep_bright: bool) -> None:
    """Flag the first group DO_NOT_USE; if `keep_bright`, not where the third is saturated, which becomes FLUX_ESTIMATED.

    Parameters
    ----------
    groupdq : uint8[integration, group, y, x]
        At least three groups; changed in place.
    pixeldq : uint32[y, x]
        Changed in place; needs all integrations.
    keep_bright : bool
    """
    if not keep_bright:
        groupdq[:, 0] |= DO_NOT_USE
        return
    for ramp in groupdq:
        bright = (ramp[2] & SATURATED) != 0
        ramp[0][~bright] |= DO_NOT_USE
        pixeldq[bright] |= FLUX_ESTIMATED


def skip_last(groupdq: np.ndarray) -> None:
    """Flag the last group (of uint8[integration, group, y, x]) DO_NOT_USE, in place."""
    groupdq[:, -1] |= DO_NOT_USE
