"""Inter-pixel capacitance: each frame convolved with a kernel that takes back what pixels share with their neighbours."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit


def deconvolve(
    sci: np.ndarray, kernel: np.ndarray, rows: np.ndarray, columns: tuple[int, int], inside: tuple[int, int] | None = None
) -> None:
    """Convolve the light-sensitive pixels of every group with a kernel, in place; reference pixels take no part and stay.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
        DN.
    kernel : float32[j, i] or float32[j, i, row, x]
        One kernel, or that of each pixel of `rows`.
    rows : int64[row]
        Rows whose pixels are light-sensitive, in order; those that are neighbours in this list are neighbours on the detector.
    columns : (int, int)
        First column that is light-sensitive, and the one after the last.

    Notes
    -----
    Integrations are independent; a band of rows needs a halo of half the kernel. Memory: one plane.

    Source: JWST documentation, ipc.
    """
    per_pixel = kernel.ndim == 4
    stack = kernel if per_pixel else kernel[:, :, None, None]
    work = np.empty((len(rows), columns[1] - columns[0]), np.float32)
    for ramp in sci:
        for frame in ramp:
            _convolve(frame, stack, rows, columns[0], work, per_pixel)


@jit
def _add(target, source, weight):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] += weight * source[x]


@jit
def _add_each(target, source, weight):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] += weight[x] * source[x]


@jit
def _convolve(frame, kernel, rows, left, work, per_pixel):  # type: ignore[no-untyped-def]
    ny, nx = work.shape
    nj, ni = kernel.shape[0], kernel.shape[1]
    for k in range(ny):
        for x in range(nx):
            work[k, x] = frame[rows[k], left + x]
    for k in range(ny):
        y = rows[k]
        for x in range(nx):
            frame[y, left + x] = 0
        # the central and largest term is the last, as sums in single precision depend on the order
        for term in range(nj * ni + 1):
            j, i = (nj // 2, ni // 2) if term == nj * ni else (term // ni, term % ni)
            central = j == nj // 2 and i == ni // 2
            if central and term != nj * ni:
                continue
            source = k if central else k + nj - 1 - j - nj // 2
            shift = 0 if central else ni - 1 - i - ni // 2
            if not 0 <= source < ny:
                continue
            x0, x1 = max(0, -shift), min(nx, nx - shift)
            target, neighbour = frame[y, left + x0 : left + x1], work[source, x0 + shift : x1 + shift]
            if per_pixel:
                _add_each(target, neighbour, kernel[j, i, k, left + x0 : left + x1])
            else:
                _add(target, neighbour, kernel[j, i, 0, 0])
