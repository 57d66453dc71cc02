"""Detector response made linear: a polynomial of each pixel, of groups or of the frames in them."""

from __future__ import annotations

import numpy as np

from jwst_dask.data.dq import GROUP, PIXEL
from jwst_dask.kernels._jit import jit

SATURATED = np.uint8(GROUP["SATURATED"])
NO_LIN_CORR = np.uint32(PIXEL["NO_LIN_CORR"])
RUN = 256
"""Pixels of a row that are corrected together, so that what they need stays in the fastest cache."""


@jit
def _row_coefficients(coeffs, dq, pixeldq, y, out):  # type: ignore[no-untyped-def]
    """Coefficients of a row; those of pixels that cannot be corrected leave values as they are, and are flagged."""
    terms, nx = out.shape
    for k in range(terms):
        for x in range(nx):
            out[k, x] = coeffs[k, y, x] if k < len(coeffs) else 0
    for x in range(nx):
        bad = dq[y, x] & NO_LIN_CORR != 0
        if not bad:
            for k in range(terms):
                bad |= out[k, x] != out[k, x]
            bad |= out[1, x] == 0
        if bad:
            for k in range(terms):
                out[k, x] = 1 if k == 1 else 0
            pixeldq[y, x] |= NO_LIN_CORR
        pixeldq[y, x] |= dq[y, x]


@jit
def polynomial(value, coeffs, x):  # type: ignore[no-untyped-def]
    """Polynomial of one value by the coefficients of pixel `x` of a row, in the precision of the value."""
    terms = len(coeffs)
    result = coeffs[terms - 1, x] * value
    for k in range(terms - 2, 0, -1):
        result = (result + coeffs[k, x]) * value
    return result + coeffs[0, x]


@jit
def _padded(terms):  # type: ignore[no-untyped-def]
    """Terms with as many zeros after them as make the terms above the constant come in fours."""
    return 1 + (terms + 2) // 4 * 4


@jit
def _four(value, coeffs, k, out):  # type: ignore[no-untyped-def]
    """Four steps of Horner's scheme for a run of pixels, from the term `k` down: one pass over memory instead of four."""
    a, b, c, d = coeffs[k], coeffs[k - 1], coeffs[k - 2], coeffs[k - 3]
    for x in range(len(value)):
        v = value[x]
        out[x] = ((((out[x] + a[x]) * v + b[x]) * v + c[x]) * v + d[x]) * v


@jit
def _row(values, flags, coeffs, work):  # type: ignore[no-untyped-def]
    """Polynomials of a row of one group in place, but for saturated pixels."""
    work[:] = 0
    for k in range(len(coeffs) - 1, 0, -4):
        _four(values, coeffs, k, work)
    constant = coeffs[0]
    for x in range(len(values)):
        corrected = work[x] + constant[x]
        values[x] = values[x] if flags[x] & SATURATED else corrected


@jit
def correct(sci: np.ndarray, groupdq: np.ndarray, pixeldq: np.ndarray, coeffs: np.ndarray, dq: np.ndarray) -> None:
    """Apply each pixel's polynomial to its groups that are not saturated, in place.

    Parameters
    ----------
    sci : float32[integration, group, y, x]
        DN; changed.
    groupdq : uint8[integration, group, y, x]
    pixeldq : uint32[y, x]
        Changed: flags of the reference, and NO_LIN_CORR where coefficients are NaN or the linear one is 0.
    coeffs : float32[term, y, x]
        Coefficients, constant first; at least two.
    dq : uint32[y, x]
        Flags of the reference.

    Notes
    -----
    Pixels are independent: any band of rows, any integrations.

    Source: JWST documentation, linearity.
    """
    nints, ngroups, ny, nx = sci.shape
    row, work = np.empty((_padded(len(coeffs)), nx), np.float32), np.empty(nx, np.float32)
    for y in range(ny):
        _row_coefficients(coeffs, dq, pixeldq, y, row)
        for i in range(nints):
            for g in range(ngroups):
                _row(sci[i, g, y], groupdq[i, g, y], row, work)


@jit
def correct_frames(frames: np.ndarray, pixeldq: np.ndarray, coeffs: np.ndarray, dq: np.ndarray) -> None:
    """Correct first frames (float32[integration, y, x]), in which 0 stands for no value and stays; arguments as of `correct`."""
    nints, ny, nx = frames.shape
    row = np.empty((_padded(len(coeffs)), nx), np.float32)
    for y in range(ny):
        _row_coefficients(coeffs, dq, pixeldq, y, row)
        for i in range(nints):
            for x in range(nx):
                if frames[i, y, x] != 0:
                    frames[i, y, x] = polynomial(frames[i, y, x], row, x)


@jit
def _double(value, coeffs, out):  # type: ignore[no-untyped-def]
    """Polynomials of a run of pixels in double precision."""
    out[:] = 0
    for k in range(len(coeffs) - 1, 0, -4):
        _four(value, coeffs, k, out)
    for x in range(len(out)):
        out[x] += coeffs[0, x]


@jit
def _rates(values, flags, coeffs, nframes, start, rate):  # type: ignore[no-untyped-def]
    """Linear counts of the first group of a run of pixels, and counts per frame up to the last group that is surely not saturated."""
    ngroups, n = values.shape
    for x in range(n):
        usable = -1
        for g in range(ngroups):
            usable += flags[g, x] & SATURATED == 0
        # the last group before saturation may be touched by it
        last = max(usable, 2) - 1
        first = values[0, x] if flags[0, x] & SATURATED else polynomial(values[0, x], coeffs, x)
        end = values[last, x] if flags[last, x] & SATURATED else polynomial(values[last, x], coeffs, x)
        start[x] = first
        rate[x] = np.float64(np.float32(end - first)) / (last * nframes)


@jit
def _ramps(values, flags, coeffs, inverse, nframes, work, reads):  # type: ignore[no-untyped-def]
    """Correct a run of pixels by their single frames: counts are supposed to grow evenly, and are shifted to give each group's mean.

    `work` is float64[6, pixel], `reads` float64[frame, pixel].
    """
    ngroups, n = values.shape
    start, rate, level, mean, shifted, total = work[0], work[1], work[2], work[3], work[4], work[5]
    _rates(values, flags, coeffs, nframes, start, rate)
    for g in range(ngroups):
        mean[:] = 0
        for r in range(nframes):
            since = g * nframes + r + 1 - (nframes + 1) / 2
            for x in range(n):
                level[x] = start[x] + rate[x] * since
            _double(level, inverse, reads[r])
            for x in range(n):
                mean[x] += reads[r, x]
        for x in range(n):
            mean[x] = values[g, x] - mean[x] / nframes
        total[:] = 0
        for r in range(nframes):
            for x in range(n):
                shifted[x] = reads[r, x] + mean[x]
            _double(shifted, coeffs, level)
            for x in range(n):
                total[x] += level[x]
        for x in range(n):
            values[g, x] = values[g, x] if flags[g, x] & SATURATED else total[x] / nframes


@jit
def correct_reads(sci: np.ndarray, groupdq: np.ndarray, pixeldq: np.ndarray, coeffs: np.ndarray, inverse: np.ndarray, dq: np.ndarray,
                  nframes: int) -> None:  # fmt: skip
    """As `correct`, for groups that average several frames: the polynomial is applied to each frame, as reconstructed.

    Parameters
    ----------
    sci, groupdq, pixeldq, coeffs, dq
        As of `correct`; at least two groups.
    inverse : float32[term, y, x]
        Coefficients from linear counts to measured ones.
    nframes : int
        Frames in a group.
    """
    nints, ngroups, ny, nx = sci.shape
    row, back = np.empty((_padded(len(coeffs)), nx), np.float32), np.empty((_padded(len(inverse)), nx), np.float32)
    # planes of a frame are a power of two apart: runs of pixels are gathered so that they do not evict each other
    values, flags = np.zeros((ngroups, RUN), np.float32), np.zeros((ngroups, RUN), np.uint8)
    forward, inward = np.zeros((len(row), RUN), np.float32), np.zeros((len(back), RUN), np.float32)
    work, reads = np.empty((6, RUN)), np.empty((nframes, RUN))
    for y in range(ny):
        _row_coefficients(coeffs, dq, pixeldq, y, row)
        _row_coefficients(inverse, dq, pixeldq, y, back)
        for x0 in range(0, nx, RUN):
            x1 = min(x0 + RUN, nx)
            n = x1 - x0
            # whole runs, whose layout the compiler knows: beyond the end of a row they work on what an earlier run left
            forward[:, :n], inward[:, :n] = row[:, x0:x1], back[:, x0:x1]
            for i in range(nints):
                for g in range(ngroups):
                    values[g, :n] = sci[i, g, y, x0:x1]
                    flags[g, :n] = groupdq[i, g, y, x0:x1]
                _ramps(values, flags, forward, inward, nframes, work, reads)
                for g in range(ngroups):
                    sci[i, g, y, x0:x1] = values[g, :n]
