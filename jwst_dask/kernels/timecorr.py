"""Throughput of an instrument relative to a reference day: one value per row of a photometric reference table.

Columns are float32 as in reference files, and the arithmetic stays in float32 where dates are differences of MJD:
published products carry that rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

YEAR = 365.0
"""Days."""


def linear(mjd: float, t0: np.ndarray, loss_per_year: np.ndarray) -> np.ndarray:
    """Loss proportional to time: ``1 - loss * years`` (float32[row])."""
    return np.asarray(1.0 - loss_per_year * (mjd - t0) / YEAR)


def exponential(mjd: float, t0: np.ndarray, amplitude: np.ndarray, tau: np.ndarray, const: np.ndarray) -> np.ndarray:
    """Decay with e-folding time `tau` (days) towards `const` (float32[row])."""
    return np.asarray(amplitude * np.exp((t0 - mjd) / tau) + const)


def power_law(mjd: float, t0: np.ndarray, year1value: np.ndarray, tsoft: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Softened power law of time, `year1value` one year after `t0` (float32[row])."""
    norm = (YEAR + tsoft) ** alpha / year1value
    return np.asarray((mjd - t0 + tsoft) ** alpha / norm)


LAWS: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {
    "timecoeff_linear": (linear, ("t0", "lossperyear")),
    "timecoeff_exponential": (exponential, ("t0", "amplitude", "tau", "const")),
    "timecoeff_powerlaw": (power_law, ("t0", "year1value", "tsoft", "alpha")),
}
"""Table of a photom reference file: law and its columns, in the order in which they multiply."""


def throughput(mjd: float, tables: Mapping[str, Mapping[str, np.ndarray] | np.ndarray], rows: int) -> np.ndarray:
    """Product of the laws whose tables are given.

    Parameters
    ----------
    mjd : float
        Middle of the exposure (MJD, UTC).
    tables : mapping
        By a name of `LAWS`: columns by name, each float32[row] (a structured array will do).
    rows : int
        Length of the tables.

    Returns
    -------
    float64[row]
        Light recorded relative to the reference day; 1 without tables.
    """
    product = np.ones(rows)
    for name, (law, columns) in LAWS.items():
        if name in tables:
            product *= law(float(mjd), *(np.asarray(tables[name][column]) for column in columns))
    return product
