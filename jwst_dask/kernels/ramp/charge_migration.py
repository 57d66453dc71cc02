"""Charge that migrates to the next pixels."""

from __future__ import annotations

import numpy as np

from jwst_dask.data.dq import GROUP
from jwst_dask.kernels._jit import jit

DO_NOT_USE = np.uint8(GROUP["DO_NOT_USE"])
LOST = np.uint8(GROUP["CHARGELOSS"] | GROUP["DO_NOT_USE"])
NONE = np.uint8(0)


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
    first, start = np.empty((ny, nx), np.uint16), np.empty(nx, np.uint16)
    for i in range(nints):
        found = False
        for y in range(ny):
            for x in range(nx):
                first[y, x] = ngroups
            for g in range(ngroups - 1, -1, -1):
                for x in range(nx):
                    above = (sci[i, g, y, x] > limit) & (groupdq[i, g, y, x] != DO_NOT_USE)
                    first[y, x] = g if above else first[y, x]
            for x in range(nx):
                found |= first[y, x] < ngroups
        if not found:
            continue
        for y in range(ny):
            up, down = max(y - 1, 0), min(y + 1, ny - 1)
            lowest = ngroups
            for x in range(nx):
                left, right = max(x - 1, 0), min(x + 1, nx - 1)
                start[x] = min(first[y, x], first[up, x], first[down, x], first[y, left], first[y, right])
                lowest = min(lowest, np.int64(start[x]))
            for g in range(lowest, ngroups):
                for x in range(nx):
                    groupdq[i, g, y, x] |= LOST if start[x] <= g else NONE
