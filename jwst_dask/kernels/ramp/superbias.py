"""Bias level under the groups of a ramp."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit


@jit
def level_or_zero(value):  # type: ignore[no-untyped-def]
    """A reference value, 0 for NaN."""
    return value if value == value else np.float32(0)


@jit
def subtract(sci: np.ndarray, bias: np.ndarray) -> None:
    """Subtract a bias image (float32[y, x], DN; NaN counts as 0) from every group, in place.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
    bias : float32[y, x]

    Notes
    -----
    Pixels are independent: any band of rows, any integrations.
    """
    nints, ngroups, ny, nx = sci.shape
    for i in range(nints):
        for g in range(ngroups):
            for y in range(ny):
                for x in range(nx):
                    sci[i, g, y, x] -= level_or_zero(bias[y, x])


@jit
def subtract_frames(frames: np.ndarray, bias: np.ndarray) -> None:
    """The same from first frames (float32[integration, y, x]), in which 0 stands for no value and stays."""
    nints, ny, nx = frames.shape
    for i in range(nints):
        for y in range(ny):
            for x in range(nx):
                if frames[i, y, x] != 0:
                    frames[i, y, x] -= level_or_zero(bias[y, x])
