"""Parts of the joint fit of interference, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jwst_dask.kernels.ramp import emi

SPREADS = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(0, width=32, allow_nan=False))


@settings(deadline=None)
@given(SPREADS, st.integers(0, 60))
def test_twice_the_median_whatever_the_parts(spread: np.ndarray, at: int) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = np.float32(2) * np.median(spread)
        assert np.array_equal(emi.quiet(lambda: [spread[:at], spread[at:]]), wanted, equal_nan=True)


def test_no_median_of_nan() -> None:
    assert np.isnan(emi.quiet(lambda: [np.array([1, np.nan, 2], np.float32)]))
    assert emi.quiet(lambda: [np.array([1, np.inf, 2], np.float32)]) == 4


@pytest.mark.parametrize("n", [2, 3, 5, 256, 500])
def test_spline_is_that_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    wave = emi.waveform(rng.normal(size=n))
    phases = np.concatenate([rng.random(5000), wave.t[(wave.t >= 0) & (wave.t <= 1)], [0, 1]])
    np.testing.assert_allclose(emi.at_phases(wave, phases), wave(phases), rtol=1e-13, atol=1e-14)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 19), st.floats(1, 1e5))
def test_sums_of_bands_add_up_to_the_last_bit(cut: int, size: float) -> None:
    rng = np.random.default_rng(cut)
    sci = (rng.normal(0, size, (2, 5, 20, 16))).astype(np.float32)
    pixeldq, clock, period = (rng.random((20, 16)) < 0.1).astype(np.uint32), emi.Clock(1, 28, 15904), 256.0
    spread = emi.spreads(sci)
    level = emi.quiet(lambda: [spread])

    def sums(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.s_[..., first:last, :]
        return emi.phase_sums(np.ascontiguousarray(sci[rows]), pixeldq[rows], spread[rows], level, 64, clock, period, first)

    for whole, above, below in zip(sums(0, 20), sums(0, cut), sums(cut, 20)):
        assert (above + below).tobytes() == whole.tobytes()


@pytest.mark.parametrize("step", [0.0, 0.004, 0.37, 226.7975819616025, 27930.36])
def test_sums_over_trial_phases(step: float) -> None:
    rng = np.random.default_rng(3)
    terms, trial = emi.Terms(rng.normal(size=(emi.TRIALS, 9)), rng.normal(size=(emi.TRIALS, 9))), np.arange(emi.TRIALS) * 1.0 / emi.TRIALS
    phases = np.concatenate([trial[::7], rng.random(20), [-0.001, 1.0003]])
    chisq, amplitude = terms.at(phases, range(1, 9), step)
    for phase, one, c in zip(phases, chisq, amplitude):
        k = [int(np.argmin((trial - phase - step * i) % 1)) for i in range(1, 9)]
        a, b = terms.quadratic[k, range(1, 9)].sum(), terms.linear[k, range(1, 9)].sum()
        np.testing.assert_allclose([one, c], [-(b**2) / (4 * a), -b / (2 * a)], rtol=1e-9)
