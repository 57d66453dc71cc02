"""A one-parameter fit by simplex search, step for step as the usual routine does it in single precision."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit


@jit
def sum_by_pairs(values):  # type: ignore[no-untyped-def]
    """Sum of float32 numbers in float32, in the order that numpy adds contiguous ones."""
    n = values.size
    if n < 8:
        total = np.float32(0)
        for i in range(n):
            total += values[i]
        return total
    if n > 128:
        half = n // 2
        half -= half % 8
        return sum_by_pairs(values[:half]) + sum_by_pairs(values[half:])
    part = values[:8].copy()
    last = n - n % 8
    for i in range(8, last, 8):
        for k in range(8):
            part[k] += values[i + k]
    total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]))
    for i in range(last, n):
        total += values[i]
    return total


@jit
def _misfit(scale, profile, current, scratch):  # type: ignore[no-untyped-def]
    """Mean squared difference of `current` and `scale` times `profile`; NaN terms count as 0."""
    for i in range(current.size):
        difference = current[i] - profile[i] * scale
        square = difference * difference
        scratch[i] = np.float32(0) if np.isnan(square) else square
    return np.float64(sum_by_pairs(scratch[: current.size])) / current.size


@jit
def best_scale(start, profile, current, scratch):  # type: ignore[no-untyped-def]
    """The factor of `profile` that fits `current`, by the simplex search of Nelder and Mead (1965) in one dimension.

    Positions and sums in float32, with the coefficients, first step (5 %), tolerances (1e-4) and limit of 200 evaluations and iterations of
    `scipy.optimize.minimize`, whose result is that of the search and not the least-squares solution.

    Parameters
    ----------
    start : float32
        First guess.
    profile, current : float32[n]
    scratch : float32[n]

    Returns
    -------
    float32
    """
    two, half, tolerance = np.float32(2), np.float32(0.5), np.float32(1e-4)
    best = start
    worst = np.float32(1.05) * start if start != 0 else np.float32(0.00025)
    low, high = _misfit(best, profile, current, scratch), _misfit(worst, profile, current, scratch)
    calls, iterations = 2, 1
    if high < low:
        best, worst, low, high = worst, best, high, low
    while calls < 200 and iterations < 200:
        if abs(worst - best) <= tolerance and abs(low - high) <= 1e-4:
            break
        reflected = two * best - worst
        value = _misfit(reflected, profile, current, scratch)
        calls += 1
        if value < low:
            if calls < 200:
                expanded = np.float32(3) * best - two * worst
                further = _misfit(expanded, profile, current, scratch)
                calls += 1
                if further < value:
                    worst, high = expanded, further
                else:
                    worst, high = reflected, value
        elif calls < 200:
            outside = value < high
            contracted = np.float32(1.5) * best - half * worst if outside else half * best + half * worst
            nearer = _misfit(contracted, profile, current, scratch)
            calls += 1
            if (outside and nearer <= value) or (not outside and nearer < high):
                worst, high = contracted, nearer
            else:
                worst = best + half * (worst - best)
                if calls < 200:
                    high = _misfit(worst, profile, current, scratch)
                    calls += 1
        iterations += 1
        if high < low:
            best, worst, low, high = worst, best, high, low
    return best
