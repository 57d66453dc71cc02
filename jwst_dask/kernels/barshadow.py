"""Shadow of the bars between MSA shutters: a column of shutters put together from measured pieces, and sampled."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit

HALF = 500
"""Rows from the centre of a shutter to the centre of the bar's next shutter: the pieces span one shutter on each side."""
ROWS = 2 * HALF + 1


def stack(single: np.ndarray, triple: np.ndarray, states: str) -> np.ndarray:
    """The shadow over a slitlet and one shutter beyond each of its ends.

    Parameters
    ----------
    single, triple : float32[1001, wavelength]
        Transmission about an open shutter whose neighbours are closed, and open, from one shutter below its centre to one above.
    states : str
        State of each shutter from the lowest row: ``"0"`` is closed, anything else open. The first counts as open.

    Returns
    -------
    float64[500 * (shutters + 1), wavelength]
        Where two pieces meet, their mean.
    """
    dark = np.full((HALF + 1, single.shape[1]), np.nanmin(single))
    between = {
        (True, True): triple[: HALF + 1],
        (True, False): single[HALF:],
        (False, True): single[: HALF + 1],
        (False, False): dark,
    }
    is_open = [True, *(state != "0" for state in states[1:])]
    pieces = [single[: HALF + 1], *(between[pair] for pair in zip(is_open, is_open[1:])), single[HALF + 1 :]]
    out = np.zeros((HALF * (len(states) + 1), single.shape[1]))
    out[: HALF + 1] = pieces[0]
    for number, piece in enumerate(pieces[1:], 1):
        joint = HALF * number
        out[joint] = 0.5 * (out[joint] + piece[0])
        out[joint + 1 : joint + len(piece)] = piece[1:]
    return out


@jit
def sample(table, rows, columns):  # type: ignore[no-untyped-def]
    """Bilinear interpolation in `table`, constant beyond its edges.

    Parameters
    ----------
    table : float64[row, column]
    rows, columns : float64[y, x]
        Where; NaN for nowhere.

    Returns
    -------
    float32[y, x]
        NaN where a coordinate is NaN.
    """
    ny, nx = rows.shape
    out = np.empty((ny, nx), np.float32)
    for i in range(ny):
        for j in range(nx):
            r, c = rows[i, j], columns[i, j]
            if np.isnan(r) or np.isnan(c):
                out[i, j] = np.nan
                continue
            r, c = min(max(r, 0.0), table.shape[0] - 1.0), min(max(c, 0.0), table.shape[1] - 1.0)
            r0, c0 = int(r), int(c)
            r1, c1 = min(r0 + 1, table.shape[0] - 1), min(c0 + 1, table.shape[1] - 1)
            up, right = r - r0, c - c0
            down, left = 1.0 - up, 1.0 - right
            out[i, j] = table[r0, c0] * down * left + table[r0, c1] * down * right + table[r1, c0] * up * left + table[r1, c1] * up * right
    return out
