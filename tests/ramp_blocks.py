"""Ramps of random numbers, and how they may be cut."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FOLDER = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ramp(nints: int = 4, ngroups: int = 3, shape: tuple[int, int] = (7, 5), zeroframe: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    r = np.random.default_rng(seed)
    out = {"sci": r.normal(size=(nints, ngroups, *shape)).astype(np.float32), "groupdq": r.integers(0, 256, (nints, ngroups, *shape)).astype(np.uint8),
           "pixeldq": r.integers(0, 2**32, shape, dtype=np.uint32)}  # fmt: skip
    out["sci"][0, 0, 0, 0] = np.nan
    return out | ({"zeroframe": r.normal(size=(nints, *shape)).astype(np.float32)} if zeroframe else {})


def tile_of(whole: dict[str, np.ndarray], i0: int, i1: int, y0: int, y1: int, g0: int = 0, g1: int | None = None) -> dict[str, np.ndarray]:
    out = {"pixeldq": whole["pixeldq"][y0:y1]}
    out |= {name: whole[name][i0:i1, g0:g1, y0:y1] for name in ("sci", "groupdq")}
    return out | ({"zeroframe": whole["zeroframe"][i0:i1, y0:y1]} if "zeroframe" in whole and g0 == 0 else {})


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].flags.c_contiguous, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@st.composite
def cut(draw: st.DrawFn, n: int) -> list[tuple[int, int]]:
    marks = sorted(draw(st.sets(st.integers(1, n - 1))) | {0, n}) if n > 1 else [0, n]
    return draw(st.permutations(list(zip(marks[:-1], marks[1:]))))
