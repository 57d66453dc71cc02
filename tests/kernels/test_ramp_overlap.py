"""Convolution by tiles gives the numbers of scipy, to the last bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from jwst_dask.kernels.ramp.overlap import convolved

SHAPES = [((300, 260), (7, 7)), ((1024, 40), (7, 7)), ((64, 60), (5, 5)), ((30, 200), (15, 15)), ((40, 40), (21, 21)), ((10, 12), (5, 5)),
          ((257, 129), (9, 9)), ((9, 9), (9, 9)), ((6, 6), (9, 9)), ((128, 90), (5, 3))]  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("shape", "small"), SHAPES)
def test_equals_scipy(shape: tuple[int, int], small: tuple[int, int], dtype: str) -> None:
    from scipy.signal import oaconvolve

    rng = np.random.default_rng(sum(shape))
    image, kernel = rng.normal(size=shape).astype(dtype), rng.random(small)
    image[rng.random(shape) < 0.1] = 0
    before = image.copy()
    found = convolved(image, kernel)
    np.testing.assert_array_equal(found, oaconvolve(image, kernel, mode="same"))
    np.testing.assert_array_equal(image, before)
    assert found.shape == shape and found.dtype == np.float64 and found.flags.c_contiguous


@pytest.mark.parametrize(("shape", "small"), [((1, 50), (5, 5)), ((50, 50), (1, 1)), ((1, 1), (3, 3))])
def test_axes_of_one_pixel(shape: tuple[int, int], small: tuple[int, int]) -> None:
    from scipy.signal import convolve2d

    rng = np.random.default_rng(3)
    image, kernel = rng.normal(size=shape), rng.random(small)
    np.testing.assert_allclose(convolved(image, kernel), convolve2d(image, kernel, mode="same"), rtol=1e-10, atol=1e-12)


def test_does_not_import_the_signal_package() -> None:
    code = "import sys, numpy as np; from jwst_dask.kernels.ramp.overlap import convolved; convolved(np.ones((99, 99), 'f4'), np.ones((5, 5)))"
    assert subprocess.run([sys.executable, "-c", f"{code}; sys.exit('scipy.signal' in sys.modules)"], check=False).returncode == 0
