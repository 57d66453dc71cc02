"""Charge that migrates to the next pixels."""

from __future__ import annotations

import numpy as np

from jwst_dask.data.dq import GROUP
from jwst_dask.kernels._jit import jit

DO_NOT_USE = np.uint8(GROUP["DO_NOT_USE"])
LOST = np.uint8(GROUP["CHARGELOSS"] | GROUP["DO_NOT_USE"])


@jit
def flag(sci: np.ndarray, groupdq: np.ndarray, threshold: float) -> None:
    """Flag CHARGELOSS + DO_NOT_USE from the first group above a threshold on, in the pixel and its four neighbours.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
        DN.
    groupdq : uint8[integration, group, y, x]
        Changed in place. Groups that are DO_NOT_USE and nothing else do not count as above the threshold.
    threshold : float
        DN.

    Notes
    -----
    Integrations are independent; a band of rows needs a halo of 1 row. Memory: a plane of uint16.

    Source: JWST documentation, charge_migration.
    """
    nints, ngroups, ny, nx = sci.shape
    limit = np.float32(threshold)
    first = np.empty((ny, nx), np.uint16)
    for i in range(nints):
        found = False
        for y in range(ny):
            for x in range(nx):
                first[y, x] = ngroups
            for g in range(ngroups - 1, -1, -1):
                for x in range(nx):
                    if sci[i, g, y, x] > limit and groupdq[i, g, y, x] != DO_NOT_USE:
                        first[y, x] = g
            for x in range(nx):
                found |= first[y, x] < ngroups
        if not found:
            continue
        for y in range(ny):
            for x in range(nx):
                start = first[y, x]
                if y > 0:
                    start = min(start, first[y - 1, x])
                if y < ny - 1:
                    start = min(start, first[y + 1, x])
                if x > 0:
                    start = min(start, first[y, x - 1])
                if x < nx - 1:
                    start = min(start, first[y, x + 1])
                for g in range(start, ngroups):
                    groupdq[i, g, y, x] |= LOST
