"""Boxes shared out among the voxels of a cube by the volume they have in common."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit


@jit
def add_boxes(low, high, value, variance, weight, total, noise, volume):  # type: ignore[no-untyped-def]
    """Add boxes to running sums.

    Parameters
    ----------
    low, high : float64[box, 3]
        Edges in voxels along z, y, x: voxel i goes from i - 0.5 to i + 0.5. Boxes with NaN are left out.
    value, variance, weight : float64[box]
        Mean and its variance in the box, and the weight of the box; boxes without weight are left out.
    total, noise, volume : float64[z, y, x]
        Changed in place: sums of ``share * value``, ``share**2 * variance`` and ``share``, where a share is the
        common volume (in voxels) times the weight.
    """
    first = np.zeros(3, np.int64)
    last = np.zeros(3, np.int64)
    for i in range(len(value)):
        if not (weight[i] > 0 and np.isfinite(value[i])):
            continue
        usable = True
        for axis in range(3):
            if not (high[i, axis] > low[i, axis]):
                usable = False
                break
            first[axis] = max(0, int(np.floor(low[i, axis] + 0.5)))
            last[axis] = min(total.shape[axis] - 1, int(np.ceil(high[i, axis] - 0.5)))
        if not usable:
            continue
        for z in range(first[0], last[0] + 1):
            depth = min(high[i, 0], z + 0.5) - max(low[i, 0], z - 0.5)
            for y in range(first[1], last[1] + 1):
                area = depth * (min(high[i, 1], y + 0.5) - max(low[i, 1], y - 0.5))
                for x in range(first[2], last[2] + 1):
                    share = weight[i] * area * (min(high[i, 2], x + 0.5) - max(low[i, 2], x - 0.5))
                    if share > 0:
                        total[z, y, x] += share * value[i]
                        noise[z, y, x] += share * share * variance[i]
                        volume[z, y, x] += share
