"""Combination of spectra: values of the reference implementation, plain formulas, properties."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels.combine import COMBINED, combine_spectra, nearest, usable, wavelength_grid

sys.path.insert(0, str(Path(__file__).parent))
from combine_cases import CASES, KINDS, tables

GOLDEN = np.load(Path(__file__).parent.parent / "parity" / "combine_1d.npz")


def spectrum(wavelength, flux=1.0, error=0.1, dq=0):
    out = np.zeros(len(wavelength), dtype=KINDS)
    out["WAVELENGTH"], out["FLUX"], out["FLUX_ERROR"], out["DQ"] = wavelength, flux, error, dq
    out["SURF_BRIGHT"], out["SB_ERROR"] = 2 * out["FLUX"], 2 * out["FLUX_ERROR"]
    return out


@pytest.mark.parametrize("case", CASES)
def test_values_of_the_reference(case):
    spectra, times = zip(*tables(case), strict=True)
    ours = combine_spectra(spectra, times, CASES[case][3])
    for name in COMBINED.names:
        np.testing.assert_allclose(ours[name], GOLDEN[case][name], rtol=1e-13, atol=0, err_msg=name)


def test_same_wavelengths_give_weighted_means():
    wavelength = np.linspace(1, 2, 20)
    ours = combine_spectra([spectrum(wavelength, 1.0, 0.3), spectrum(wavelength, 4.0, 0.4, dq=4)], [1.0, 3.0])
    np.testing.assert_allclose(ours["WAVELENGTH"], wavelength)
    np.testing.assert_allclose(ours["FLUX"], (1 + 3 * 4) / 4)
    np.testing.assert_allclose(ours["ERROR"], np.hypot(0.3, 3 * 0.4) / 4)
    np.testing.assert_allclose(ours["SURF_BRIGHT"], 2 * ours["FLUX"])
    assert (ours["N_INPUT"] == 2).all() and (ours["WEIGHT"] == 4).all() and (ours["DQ"] == 4).all()


def test_unusable_elements_are_left_out():
    wavelength = np.linspace(1, 2, 11)
    one, two = spectrum(wavelength, 1.0), spectrum(wavelength, 3.0)
    one["FLUX"][3], one["DQ"][4], two["DQ"][4] = np.nan, 1, 1
    ours = combine_spectra([one, two], [1.0, 1.0])
    assert len(ours) == 10 and 4 not in np.searchsorted(wavelength, ours["WAVELENGTH"] - 1e-9)
    assert ours["FLUX"][3] == 3.0 and ours["N_INPUT"][3] == 1


def test_outliers_are_clipped():
    wavelength, rng = np.linspace(1, 2, 50), np.random.default_rng(1)
    spectra = [spectrum(wavelength, 5 + 0.1 * rng.normal(size=50)) for _ in range(7)]
    spectra[2]["FLUX"][10] = 500.0
    plain, clipped = (combine_spectra(spectra, [1.0] * 7, clip) for clip in (None, 10.0))
    assert plain["FLUX"][10] > 70 and abs(clipped["FLUX"][10] - 5) < 0.3
    assert clipped["N_INPUT"][10] == 6 and clipped["N_INPUT"][11] == 7


def test_what_is_usable():
    wavelength = np.linspace(1, 2, 5)
    assert usable(spectrum(wavelength)) and usable(spectrum(wavelength[::-1]))
    assert not usable(spectrum(wavelength, np.nan))
    assert not usable(spectrum([1.0, 1.2, 1.1])) and not usable(spectrum([1.0, 1.0, 1.1]))


def test_nothing_to_combine():
    with pytest.raises(ValueError, match="no spectrum"):
        combine_spectra([spectrum([1.0])], [1.0])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(2, 30), st.floats(0, 3), st.integers(0, 1000))
def test_the_grid_is_as_dense_as_the_spectra(number, length, offset, seed):
    rng = np.random.default_rng(seed)
    spectra = [1 + 0.01 * (np.arange(length) + offset * rng.random()) for _ in range(number)]
    grid = wavelength_grid(spectra)
    assert (np.diff(grid) >= 0).all()
    assert min(s[0] for s in spectra) - 1e-9 <= grid[0] and grid[-1] <= max(s[-1] for s in spectra) + 1e-9
    assert np.array_equal(grid, wavelength_grid([s[::-1] for s in spectra]))
    if number == 1:
        assert np.array_equal(grid, spectra[0])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_nearest_is_the_nearest(at):
    grid = np.array([0.5, 1.0, 2.5, 3.0, 7.0])
    for place, wavelength in zip(nearest(grid, np.array(at)), at, strict=True):
        if 0.5 <= wavelength <= 7.0:
            low = max(int(np.searchsorted(grid, wavelength, "right")) - 1, 0)
            high = min(low + 1, 4)
            expected = low if wavelength - grid[low] <= grid[high] - wavelength else high
            assert place == expected or abs(2 * wavelength - grid[low] - grid[high]) < 1e-9
        else:
            assert place == -1
