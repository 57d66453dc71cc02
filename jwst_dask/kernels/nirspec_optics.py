"""A small machine that evaluates chains of coordinate transforms on many points, block by block.

A chain is a list of elementary operations on registers, each a block of points that stays in the processor's cache. What
the operations are good for is in `jwst_dask.wcs.nirspec.program`, which translates astropy models into them.
"""

from __future__ import annotations

import math

import numpy as np

from jwst_dask.kernels._jit import jit

BLOCK = 256
"""Points evaluated together."""

# One input register and constants.
FILL, ADD_C, MUL_C, RECIPROCAL, ABOVE, BELOW, TABLE, INDEX, SIN, COS, WRAP = range(11)
# Two or three input registers.
ADD, SUBTRACT, MULTIPLY, DIVIDE, LINEAR2, LINEAR3, POLYNOMIAL, THIRD, LENGTH1, HYPOT, HYPOT3, ATAN2 = range(11, 23)

COLUMNS = 7
"""Of an operation: number, output register, three input registers, place of its constants, a number of its own."""
DEGREES = 180.0 / math.pi


@jit
def evaluate(
    code: np.ndarray,
    constants: np.ndarray,
    tables: np.ndarray,
    starts: np.ndarray,
    inputs: np.ndarray,
    outputs: np.ndarray,
    registers: int,
) -> np.ndarray:
    """Evaluate a chain of operations.

    Parameters
    ----------
    code : int64[operation, 7]
        See `COLUMNS`.
    constants : float64[constant]
    tables : float64[sample]
        Interpolation tables one after the other, each its ascending points and then its values.
    starts : int64[table + 1]
        Where each begins.
    inputs : float64[coordinate, point]
        Loaded into the first registers.
    outputs : int64[result]
        Registers that hold the results.
    registers : int
        How many there are.

    Returns
    -------
    float64[result, point]
    """
    total = inputs.shape[1]
    result = np.empty((outputs.shape[0], total))
    memory = np.empty((registers + 1, BLOCK))
    for start in range(0, total, BLOCK):
        n = min(BLOCK, total - start)
        for k in range(inputs.shape[0]):
            for i in range(n):
                memory[k, i] = inputs[k, start + i]
        for k in range(code.shape[0]):
            one = code[k]
            if one[0] < ADD:
                _on_one(one, memory, n, constants, tables, starts)
            else:
                _on_several(one, memory, n, constants)
        for k in range(outputs.shape[0]):
            for i in range(n):
                result[k, start + i] = memory[outputs[k], i]
    return result


@jit
def _on_one(one: np.ndarray, memory: np.ndarray, n: int, constants: np.ndarray, tables: np.ndarray, starts: np.ndarray) -> None:
    kind, out, a, c = one[0], memory[one[1]], memory[one[2]], constants[one[5] :]
    if kind == FILL:
        for i in range(n):
            out[i] = c[0]
    elif kind == ADD_C:
        for i in range(n):
            out[i] = a[i] + c[0]
    elif kind == MUL_C:
        for i in range(n):
            out[i] = a[i] * c[0]
    elif kind == RECIPROCAL:
        for i in range(n):
            out[i] = c[0] / a[i]
    elif kind == ABOVE:
        for i in range(n):
            out[i] = np.nan if a[i] > c[0] else a[i]
    elif kind == BELOW:
        for i in range(n):
            out[i] = np.nan if a[i] < c[0] else a[i]
    elif kind == TABLE:
        low, high = starts[one[6]], starts[one[6] + 1]
        size = (high - low) // 2
        interpolate(a[:n], tables[low : low + size], tables[low + size : high], c[0] != 0.0, out)
    elif kind == INDEX:
        for i in range(n):
            out[i] = refraction_index(a[i], c)
    elif kind == SIN:
        for i in range(n):
            out[i] = math.sin(a[i] / DEGREES)
    elif kind == COS:
        for i in range(n):
            out[i] = math.cos(a[i] / DEGREES)
    elif kind == WRAP:
        for i in range(n):
            out[i] = a[i] % c[0]


@jit
def _on_several(one: np.ndarray, memory: np.ndarray, n: int, constants: np.ndarray) -> None:
    kind, out, a, b, d, c = one[0], memory[one[1]], memory[one[2]], memory[one[3]], memory[one[4]], constants[one[5] :]
    if kind == ADD:
        for i in range(n):
            out[i] = a[i] + b[i]
    elif kind == SUBTRACT:
        for i in range(n):
            out[i] = a[i] - b[i]
    elif kind == MULTIPLY:
        for i in range(n):
            out[i] = a[i] * b[i]
    elif kind == DIVIDE:
        for i in range(n):
            out[i] = a[i] / b[i]
    elif kind == LINEAR2:
        for i in range(n):
            out[i] = c[0] * a[i] + c[1] * b[i] + c[2]
    elif kind == LINEAR3:
        for i in range(n):
            out[i] = c[0] * a[i] + c[1] * b[i] + c[2] * d[i]
    elif kind == POLYNOMIAL:
        _polynomial(a, b, c, one[6], n, memory[memory.shape[0] - 1], out)
    elif kind == THIRD:
        for i in range(n):
            out[i] = math.sqrt(1.0 - a[i] * a[i] - b[i] * b[i])
    elif kind == LENGTH1:
        for i in range(n):
            out[i] = math.sqrt(1.0 + a[i] * a[i] + b[i] * b[i])
    elif kind == HYPOT:
        for i in range(n):
            out[i] = math.hypot(a[i], b[i])
    elif kind == HYPOT3:
        for i in range(n):
            out[i] = math.sqrt(a[i] * a[i] + b[i] * b[i] + d[i] * d[i])
    elif kind == ATAN2:
        for i in range(n):
            out[i] = 0.0 if a[i] == 0.0 and b[i] == 0.0 else math.atan2(a[i], b[i]) * DEGREES


@jit
def _polynomial(x: np.ndarray, y: np.ndarray, c: np.ndarray, degree: int, n: int, inner: np.ndarray, out: np.ndarray) -> None:
    """Sum of c[k] x^i y^j by Horner's rule; coefficients by falling j, then falling i (i + j up to the degree)."""
    for i in range(n):
        out[i] = c[0]
    k = 1
    for power in range(1, degree + 1):
        for i in range(n):
            inner[i] = c[k]
        for step in range(1, power + 1):
            for i in range(n):
                inner[i] = inner[i] * x[i] + c[k + step]
        for i in range(n):
            out[i] = inner[i] + y[i] * out[i]
        k += power + 1


@jit
def interpolate(x: np.ndarray, points: np.ndarray, values: np.ndarray, extrapolate: bool, out: np.ndarray) -> None:
    """Linear interpolation in a table with ascending points (float64[sample]); outside it NaN, or the end's slope.

    Consecutive `x` (float64[point]) are found fastest when they lie close together; a NaN gives a NaN.
    """
    last = points.shape[0] - 2
    j = 0
    for i in range(x.shape[0]):
        v = x[i]
        if math.isnan(v) or (not extrapolate and (v < points[0] or v > points[last + 1])):
            out[i] = np.nan
            continue
        tries = 0
        while tries < 8 and not (points[j] <= v < points[j + 1]):
            if v < points[j]:
                if j == 0:
                    break
                j -= 1
            else:
                if j == last:
                    break
                j += 1
            tries += 1
        if tries == 8:
            j = min(max(np.searchsorted(points, v, side="right") - 1, 0), last)
        t = (v - points[j]) / (points[j + 1] - points[j])
        out[i] = values[j] * (1.0 - t) + values[j + 1] * t


@jit
def refraction_index(wavelength: float, c: np.ndarray) -> float:
    """Index of a glass at a wavelength (metres), from Sellmeier's equation.

    Parameters
    ----------
    c : float64[18]
        0 for the equation as it is or 1 for the glass at another temperature and pressure; three strengths and three squares of
        wavelengths (square micron) of resonances; for the other temperature: three constants of the glass, two more and a
        wavelength, temperature, difference to the reference temperature, reference temperature, pressure,
        reference pressure (deg C and atmospheres).

    Notes
    -----
    Source: Zemax manual, "Index of refraction computation".
    """
    w = wavelength * 1.0e6
    if c[0] == 0.0:
        return _sellmeier(w, c)
    square = w * w
    air = (6432.8 + 2949810.0 * square / (146.0 * square - 1.0) + 5540.0 * square / (41.0 * square - 1.0)) * 1e-8
    here = 1.0 + air * c[16] / (1.0 + (c[13] - 15.0) * 3.4785e-3)
    there = 1.0 + air * c[17] / (1.0 + (c[15] - 15.0) * 3.4785e-3)
    relative = w * here / there
    n, delta = _sellmeier(relative, c), c[14]
    thermal = c[7] * delta + c[8] * delta**2 + c[9] * delta**3 + (c[10] * delta + c[11] * delta**2) / (relative**2 - c[12] ** 2)
    return (n * there + 0.5 * (n * n - 1.0) / n * thermal) / here


@jit
def _sellmeier(w: float, c: np.ndarray) -> float:
    s = w * w
    return math.sqrt(1.0 + c[1] * s / (s - c[4]) + c[2] * s / (s - c[5]) + c[3] * s / (s - c[6]))
