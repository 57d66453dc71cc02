"""Division by a flat and multiplication by a flux conversion: all arrays of a block in one pass over memory, in place.

Arrays of a block have shape (integration, y, x); planes that belong to every integration have shape (y, x).
Invalid pixels (NaN in any array, or DO_NOT_USE) become NaN in all float arrays and DO_NOT_USE in DQ.
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit

DO_NOT_USE = np.uint32(1)
NAN = np.float32(np.nan)


def divide_by_flat(sci: np.ndarray, err: np.ndarray, dq: np.ndarray, var_poisson: np.ndarray, var_rnoise: np.ndarray,
                   var_flat: np.ndarray, flat: np.ndarray, flat_err: np.ndarray, flat_dq: np.ndarray,
                   squares_first: bool = False) -> None:  # fmt: skip
    """Divide a block by a flat and make ERR anew from the three variances.

    ``var_flat = (sci / flat * flat_err)**2`` with the corrected `sci`.

    Parameters
    ----------
    sci, err, var_poisson, var_rnoise, var_flat : float32[integration, y, x]
        Changed in place; the old values of `err` and `var_flat` are not used.
    dq : uint32[integration, y, x]
        Changed in place.
    flat, flat_err : float32[y, x]
    flat_dq : uint32[y, x]
        Added to `dq`.
    squares_first : bool
        Form ``var_flat`` from squared factors. Equal but for rounding and overflow; image flats need it to round
        (and to overflow) as published products do.
    """
    cubes, planes = _flatten((sci, err, dq, var_poisson, var_rnoise, var_flat), (flat, flat_err, flat_dq))
    _divide(*cubes, *planes, squares_first)


def multiply_by_flat(sci: np.ndarray, err: np.ndarray, dq: np.ndarray, var_poisson: np.ndarray, var_rnoise: np.ndarray,
                     var_flat: np.ndarray, flat: np.ndarray, flat_dq: np.ndarray) -> None:  # fmt: skip
    """Undo a flat: as `divide_by_flat` with the reciprocal flat, `var_flat` zero and ERR from the other two variances."""
    cubes, planes = _flatten((sci, err, dq, var_poisson, var_rnoise, var_flat), (flat, flat_dq))
    _multiply(*cubes, *planes)


def convert_flux(sci: np.ndarray, err: np.ndarray, dq: np.ndarray, var_poisson: np.ndarray | None, var_rnoise: np.ndarray | None,
                 var_flat: np.ndarray | None, factor: np.ndarray, factor_dq: np.ndarray, inverse: bool = False) -> None:  # fmt: skip
    """Multiply `sci` and `err` of a block by a conversion factor and its variances by the square of it.

    Parameters
    ----------
    sci, err : float32[integration, y, x]
        Changed in place.
    dq : uint32[integration, y, x]
        Changed in place.
    var_poisson, var_rnoise, var_flat : float32[integration, y, x] or None
        Changed in place where present.
    factor : float64[y, x]
    factor_dq : uint32[y, x]
        Added to `dq`.
    inverse : bool
        Divide instead.
    """
    cubes, planes = _flatten((sci, err, dq, var_poisson, var_rnoise, var_flat), (factor, factor_dq))
    _convert(*cubes, *planes, inverse)


def _flatten(cubes: tuple[np.ndarray | None, ...], planes: tuple[np.ndarray, ...]) -> tuple[list[np.ndarray | None], list[np.ndarray]]:
    """(integration, pixel) and (pixel,) views; a cube that cannot be a view would lose its changes, so it is refused."""
    out: list[np.ndarray | None] = []
    for cube in cubes:
        if cube is not None and not cube.flags.c_contiguous:
            raise ValueError("block arrays must be C-contiguous")
        out.append(None if cube is None else cube.reshape(cube.shape[0], cube.shape[1] * cube.shape[2]))
    return out, [np.ascontiguousarray(plane).ravel() for plane in planes]


@jit
def _divide(sci, err, dq, var_poisson, var_rnoise, var_flat, flat, flat_err, flat_dq, squares_first):  # type: ignore[no-untyped-def]
    for i in range(sci.shape[0]):
        for j in range(sci.shape[1]):
            f, e = flat[j], flat_err[j]
            square = f * f
            s = sci[i, j] / f
            p = var_poisson[i, j] / square
            r = var_rnoise[i, j] / square
            if squares_first:
                v = s * s / square * (e * e)
            else:
                v = s / f * e
                v = v * v
            n = np.sqrt(p + r + v)
            q = dq[i, j] | flat_dq[j]
            # n is NaN where p, r or v is
            if (q & DO_NOT_USE) != 0 or np.isnan(s) or np.isnan(n):
                q |= DO_NOT_USE
                s = n = p = r = v = NAN
            sci[i, j], err[i, j], dq[i, j] = s, n, q
            var_poisson[i, j], var_rnoise[i, j], var_flat[i, j] = p, r, v


@jit
def _multiply(sci, err, dq, var_poisson, var_rnoise, var_flat, flat, flat_dq):  # type: ignore[no-untyped-def]
    for i in range(sci.shape[0]):
        for j in range(sci.shape[1]):
            f = flat[j]
            square = f * f
            s = sci[i, j] * f
            p = var_poisson[i, j] * square
            r = var_rnoise[i, j] * square
            v = np.float32(0)
            n = np.sqrt(p + r)
            q = dq[i, j] | flat_dq[j]
            if (q & DO_NOT_USE) != 0 or np.isnan(s) or np.isnan(n):
                q |= DO_NOT_USE
                s = n = p = r = v = NAN
            sci[i, j], err[i, j], dq[i, j] = s, n, q
            var_poisson[i, j], var_rnoise[i, j], var_flat[i, j] = p, r, v


@jit
def _scaled(value, factor, inverse):  # type: ignore[no-untyped-def]
    return np.float32(value / factor if inverse else value * factor)


@jit
def _convert(sci, err, dq, var_poisson, var_rnoise, var_flat, factor, factor_dq, inverse):  # type: ignore[no-untyped-def]
    for i in range(sci.shape[0]):
        for j in range(sci.shape[1]):
            c = factor[j]
            square = c * c
            s, n = _scaled(sci[i, j], c, inverse), _scaled(err[i, j], c, inverse)
            q = dq[i, j] | factor_dq[j]
            bad = (q & DO_NOT_USE) != 0 or np.isnan(s) or np.isnan(n)
            # an absent array is None when compiled: its branches vanish
            if var_poisson is not None:
                p = _scaled(var_poisson[i, j], square, inverse)
                bad = bad or np.isnan(p)
            if var_rnoise is not None:
                r = _scaled(var_rnoise[i, j], square, inverse)
                bad = bad or np.isnan(r)
            if var_flat is not None:
                v = _scaled(var_flat[i, j], square, inverse)
                bad = bad or np.isnan(v)
            sci[i, j], err[i, j] = NAN if bad else s, NAN if bad else n
            dq[i, j] = q | DO_NOT_USE if bad else q
            if var_poisson is not None:
                var_poisson[i, j] = NAN if bad else p
            if var_rnoise is not None:
                var_rnoise[i, j] = NAN if bad else r
            if var_flat is not None:
                var_flat[i, j] = NAN if bad else v
