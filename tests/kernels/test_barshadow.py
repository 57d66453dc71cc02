"""Shadows of bars: columns of shutters against the reference implementation, sampling against scipy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels.barshadow import HALF, ROWS, sample, stack

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from slit_corrections_scene import shadows  # noqa: E402

GOLDEN = np.load(PARITY / "slit_corrections.npz")


@pytest.mark.parametrize("states", [name.removeprefix("stack/") for name in GOLDEN.files if name.startswith("stack/")])
def test_stacks_of_the_reference(states: str) -> None:
    made = stack(*shadows(), states)
    assert made.shape == (HALF * (len(states) + 1), 101) and made.dtype == np.float64
    np.testing.assert_array_equal(made[::83, ::20], GOLDEN[f"stack/{states}"])


def test_pieces_meet_halfway() -> None:
    single, triple = np.full((ROWS, 3), 2.0, "f4"), np.full((ROWS, 3), 4.0, "f4")
    rows = stack(single, triple, "11")[:, 0]
    assert rows[0] == 2 and rows[HALF] == 3 and rows[HALF + 1] == 4 and rows[2 * HALF] == 3 and rows[2 * HALF + 1] == 2
    assert stack(single, triple, "100")[2 * HALF + 10, 0] == 2  # the darkest of the single shutter


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), shape=st.tuples(st.integers(1, 5), st.integers(1, 6)))
def test_samples_are_those_of_scipy(seed: int, shape: tuple[int, int]) -> None:
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rng.integers(1, 9), rng.integers(1, 9)))
    rows, columns = rng.uniform(-3, 12, (2, *shape))
    rows[rng.random(shape) < 0.2], columns[rng.random(shape) < 0.2] = np.nan, np.nan
    rows[0, 0] = len(table) - 1
    want = map_coordinates(table, [rows, columns], cval=np.nan, order=1, mode="nearest").astype("f4")
    np.testing.assert_allclose(sample(table, rows, columns), want, rtol=3e-7, atol=1e-12)
