"""Windows of time after saturation in which a pixel gives back trapped charge."""

from __future__ import annotations

import numpy as np

from jwst_dask.data.dq import GROUP
from jwst_dask.kernels._jit import jit

SATURATED = np.uint8(GROUP["SATURATED"])


@jit
def flag(
    sci: np.ndarray, groupdq: np.ndarray, windows: np.ndarray, times: np.ndarray, duration: float, threshold: float, value: int
) -> None:
    """Flag the groups that lie in a pixel's window, which its first saturated group of each integration opens.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
        DN.
    groupdq : uint8[integration, group, y, x]
        Changed in place.
    windows : float64[y, x]
        Ends of windows (s, Unix time), 0 for none; changed in place.
    times : float64[integration, group]
        Ends of groups (s, Unix time).
    duration : float
        Of a window (s).
    threshold : float
        Groups above it (DN) open a window too, where there is none; infinite for no such test.
    value : int
        Flags to set.

    Notes
    -----
    Integrations must come in order, each starting with the windows that the one before left. Rows are independent.

    Source: JWST documentation, persistence.
    """
    nints, ngroups, ny, nx = sci.shape
    limit, mark = np.float32(threshold), np.uint8(value)
    count = np.empty(nx, np.int64)
    for y in range(ny):
        for i in range(nints):
            count[:] = 0
            for g in range(ngroups):
                now = times[i, g]
                end = now + duration
                for x in range(nx):
                    window = windows[y, x]
                    if window < now:
                        window = 0.0
                    if groupdq[i, g, y, x] & SATURATED:
                        count[x] += 1
                    if count[x] == 1:
                        window = end
                    if sci[i, g, y, x] > limit and not window > 0:
                        window = end
                    # a window that ends later belongs to a later exposure
                    if window > end:
                        window = 0.0
                    if window > 0:
                        groupdq[i, g, y, x] |= mark
                    windows[y, x] = window
