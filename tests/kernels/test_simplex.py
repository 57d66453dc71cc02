"""The simplex search against scipy's, number for number."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from jwst_dask.kernels.simplex import best_scale, sum_by_pairs


def mean_square(scale, profile, current):
    return np.nansum((current - profile * scale) ** 2.0) / np.float64(len(current))


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 127, 128, 129, 255, 256, 300, 1000])
def test_sums_equal_numpy(n):
    values = np.random.default_rng(n).normal(size=n).astype("f4")
    assert sum_by_pairs(values) == np.sum(values)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-2, 0.3, 3.0])
def test_result_equals_scipy(noise):
    rng = np.random.default_rng(3)
    for n in rng.integers(1, 60, 40):
        profile = np.abs(rng.normal(size=n)).astype("f4")
        current = np.abs(profile * rng.uniform(0.2, 2) + rng.normal(size=n) * noise).astype("f4")
        current /= current.max()
        if n > 3:
            profile[1] = np.nan
        expected = minimize(mean_square, x0=current.max(), args=(profile, current), method="Nelder-Mead").x
        assert best_scale(current.max(), profile, current, np.empty(n, "f4")) == expected[0]


def test_start_at_zero():
    profile, current = np.array([1, 2, 3], "f4"), np.zeros(3, "f4")
    expected = minimize(mean_square, x0=np.float32(0), args=(profile, current), method="Nelder-Mead").x
    assert best_scale(np.float32(0), profile, current, np.empty(3, "f4")) == expected[0]
