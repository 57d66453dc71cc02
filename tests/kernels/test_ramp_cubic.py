"""Cubic splines have the numbers of scipy, to the last bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from jwst_dask.kernels.ramp.cubic import through


@pytest.mark.parametrize("n", [4, 5, 6, 7, 9, 34, 101, 502])
@pytest.mark.parametrize("even", [True, False])
def test_equals_scipy(n: int, even: bool) -> None:
    from scipy.interpolate import PPoly, make_interp_spline

    rng = np.random.default_rng(n)
    x, y = (np.arange(n) - 0.5) / (n - 2) if even else np.cumsum(rng.random(n) + 0.1), rng.normal(size=n)
    before = x.copy(), y.copy()
    ours, theirs = through(x, y), make_interp_spline(x, y, k=3)
    np.testing.assert_array_equal(ours.t, theirs.t)
    np.testing.assert_array_equal(ours.c, theirs.c)
    expected = PPoly.from_spline(theirs)
    inner = np.diff(expected.x) > 0
    found, knots = ours.pieces()
    np.testing.assert_array_equal(found, expected.c[:, inner])
    np.testing.assert_array_equal(knots, np.append(expected.x[:-1][inner], expected.x[-1]))
    at = np.concatenate((rng.uniform(x[0], x[-1], 500), x))
    np.testing.assert_array_equal(ours(at), theirs(at))
    np.testing.assert_array_equal((x, y), before)


@pytest.mark.parametrize("x", [[0.0, 1, 2], [0.0, 1, 1, 2, 3], [3.0, 2, 1, 0]])
def test_points_that_will_not_do(x: list[float]) -> None:
    with pytest.raises(ValueError, match="four points"):
        through(np.array(x), np.array(x))


def test_does_not_import_the_interpolate_package() -> None:
    code = "import sys, numpy as np; from jwst_dask.kernels.ramp.cubic import through; through(np.arange(9.0), np.ones(9)).pieces()"
    assert subprocess.run([sys.executable, "-c", f"{code}; sys.exit('scipy.interpolate' in sys.modules)"], check=False).returncode == 0
