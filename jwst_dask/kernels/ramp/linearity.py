"""Detector response made linear: a polynomial of each pixel, of groups or of the frames in them."""

from __future__ import annotations

import numpy as np

from jwst_dask.data.dq import GROUP, PIXEL
from jwst_dask.kernels._jit import jit

SATURATED = np.uint8(GROUP["SATURATED"])
NO_LIN_CORR = np.uint32(PIXEL["NO_LIN_CORR"])


@jit
def _row_coefficients(coeffs, dq, pixeldq, y, out):  # type: ignore[no-untyped-def]
    """Coefficients of a row; those of pixels that cannot be corrected leave values as they are, and are flagged."""
    terms, nx = out.shape
    for k in range(terms):
        for x in range(nx):
            out[k, x] = coeffs[k, y, x]
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
def _row(values, flags, coeffs, work):  # type: ignore[no-untyped-def]
    """Polynomials of a row of one group in place, but for saturated pixels; term by term, so that whole vectors are worked on."""
    terms, nx = coeffs.shape
    for x in range(nx):
        work[x] = coeffs[terms - 1, x] * values[x]
    for k in range(terms - 2, 0, -1):
        for x in range(nx):
            work[x] = (work[x] + coeffs[k, x]) * values[x]
    for x in range(nx):
        corrected = work[x] + coeffs[0, x]
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
    row, work = np.empty((len(coeffs), nx), np.float32), np.empty(nx, np.float32)
    for y in range(ny):
        _row_coefficients(coeffs, dq, pixeldq, y, row)
        for i in range(nints):
            for g in range(ngroups):
                _row(sci[i, g, y], groupdq[i, g, y], row, work)


@jit
def correct_frames(frames: np.ndarray, pixeldq: np.ndarray, coeffs: np.ndarray, dq: np.ndarray) -> None:
    """Correct first frames (float32[integration, y, x]), in which 0 stands for no value and stays; arguments as of `correct`."""
    nints, ny, nx = frames.shape
    row = np.empty((len(coeffs), nx), np.float32)
    for y in range(ny):
        _row_coefficients(coeffs, dq, pixeldq, y, row)
        for i in range(nints):
            for x in range(nx):
                if frames[i, y, x] != 0:
                    frames[i, y, x] = polynomial(frames[i, y, x], row, x)


@jit
def _ramp(values, flags, coeffs, inverse, x, nframes, reads, out):  # type: ignore[no-untyped-def]
    """Correct one pixel's groups by its single frames: their counts are supposed to grow evenly, and are shifted to give the group's mean."""
    ngroups = len(values)
    usable = -1
    for g in range(ngroups):
        usable += flags[g, x] & SATURATED == 0
    # the last group before saturation may be touched by it
    last = max(usable, 2) - 1
    start = values[0, x] if flags[0, x] & SATURATED else polynomial(values[0, x], coeffs, x)
    end = values[last, x] if flags[last, x] & SATURATED else polynomial(values[last, x], coeffs, x)
    middle = (nframes + 1) / 2
    rate = np.float64(np.float32(end - start)) / ((last * nframes + middle) - middle)
    for g in range(ngroups):
        if flags[g, x] & SATURATED:
            out[g] = values[g, x]
            continue
        mean = 0.0
        for r in range(nframes):
            reads[r] = polynomial(start + rate * (g * nframes + r + 1 - middle), inverse, x)
            mean += reads[r]
        offset = values[g, x] - mean / nframes
        total = 0.0
        for r in range(nframes):
            total += polynomial(reads[r] + offset, coeffs, x)
        out[g] = total / nframes


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
    row, back = np.empty((len(coeffs), nx), np.float32), np.empty((len(inverse), nx), np.float32)
    values, flags = np.empty((ngroups, nx), np.float32), np.empty((ngroups, nx), np.uint8)
    reads, out = np.empty(nframes), np.empty(ngroups)
    for y in range(ny):
        _row_coefficients(coeffs, dq, pixeldq, y, row)
        _row_coefficients(inverse, dq, pixeldq, y, back)
        for i in range(nints):
            # planes of a frame are a power of two apart: rows are gathered so that they do not evict each other
            for g in range(ngroups):
                values[g] = sci[i, g, y]
                flags[g] = groupdq[i, g, y]
            for x in range(nx):
                _ramp(values, flags, row, back, x, nframes, reads, out)
                for g in range(ngroups):
                    values[g, x] = out[g]
            for g in range(ngroups):
                sci[i, g, y] = values[g]
