"""Division by flats and flux conversion against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels.scale import convert_flux, divide_by_flat, multiply_by_flat

VALUES = [0.0, 1.0, -3.5, 7.25, 1e-30, 1e30, np.nan, np.inf]


def block(seed: int, n: int, ny: int, nx: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = ("sci", "err", "var_poisson", "var_rnoise", "var_flat")
    out = {name: rng.choice(VALUES, (n, ny, nx), p=[0.1, 0.3, 0.1, 0.3, 0.05, 0.05, 0.05, 0.05]).astype("f4") for name in names}
    out["dq"] = rng.choice(np.array([0, 1, 4, 5, 1 << 31], "u4"), (n, ny, nx))
    return out


def plane(seed: int, ny: int, nx: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed + 1000)
    flat = rng.choice([0.5, 1.0, 1.3, 1e-20, np.nan], (ny, nx), p=[0.3, 0.3, 0.3, 0.05, 0.05]).astype("f4")
    return (
        flat,
        rng.choice([0.0, 0.01, np.nan], (ny, nx), p=[0.2, 0.7, 0.1]).astype("f4"),
        rng.choice(np.array([0, 1, 1 << 18], "u4"), (ny, nx)),
    )


def matched(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Bad in one array is bad in all."""
    bad = (arrays["dq"] & 1) != 0
    for name, array in arrays.items():
        if name != "dq":
            bad |= np.isnan(array)
    return {name: array | bad.astype("u4") if name == "dq" else np.where(bad, np.float32(np.nan), array) for name, array in arrays.items()}


def same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    for name, array in want.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array, err_msg=name)


SHAPES = st.tuples(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.booleans())
def test_divide(shape: tuple[int, int, int, int], squares_first: bool) -> None:
    given_, (flat, err, dq) = block(*shape), plane(shape[0], *shape[2:])
    got = {name: array.copy() for name, array in given_.items()}
    divide_by_flat(**got, flat=flat, flat_err=err, flat_dq=dq, squares_first=squares_first)
    with np.errstate(all="ignore"):
        want = {name: given_[name] / flat**k for name, k in (("sci", 1), ("var_poisson", 2), ("var_rnoise", 2))}
        want["var_flat"] = want["sci"] ** 2 / flat**2 * err**2 if squares_first else (want["sci"] / flat * err) ** 2
        want["err"] = np.sqrt(want["var_poisson"] + want["var_rnoise"] + want["var_flat"])
        same(got, matched(want | {"dq": given_["dq"] | dq}))


@settings(max_examples=60, deadline=None)
@given(SHAPES)
def test_multiply(shape: tuple[int, int, int, int]) -> None:
    given_, (flat, _, dq) = block(*shape), plane(shape[0], *shape[2:])
    got = {name: array.copy() for name, array in given_.items()}
    multiply_by_flat(**got, flat=flat, flat_dq=dq)
    with np.errstate(all="ignore"):
        want = {name: given_[name] * flat**k for name, k in (("sci", 1), ("var_poisson", 2), ("var_rnoise", 2))}
        want |= {"var_flat": np.zeros_like(want["sci"]), "err": np.sqrt(want["var_poisson"] + want["var_rnoise"])}
        same(got, matched(want | {"dq": given_["dq"] | dq}))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.booleans(), st.sampled_from([(), ("var_flat",), ("var_poisson",), ("var_poisson", "var_rnoise", "var_flat")]))
def test_convert(shape: tuple[int, int, int, int], inverse: bool, absent: tuple[str, ...]) -> None:
    given_, (flat, _, dq) = block(*shape), plane(shape[0], *shape[2:])
    factor = flat.astype(float) * 1.1
    given_ = {name: array for name, array in given_.items() if name not in absent}
    got = {name: array.copy() for name, array in given_.items()}
    convert_flux(**(dict.fromkeys(absent) | got), factor=factor, factor_dq=dq, inverse=inverse)
    with np.errstate(all="ignore"):
        want = {}
        for name, array in given_.items():
            power = 1 if name in ("sci", "err") else 2
            by = factor if power == 1 else factor * factor
            want[name] = (array / by if inverse else array * by).astype("f4")
        same(got, matched(want | {"dq": given_["dq"] | dq}))


def test_known_pixel() -> None:
    one = {name: np.full((1, 1, 1), value, "f4") for name, value in
           (("sci", 6), ("err", 9), ("var_poisson", 4), ("var_rnoise", 8), ("var_flat", 9))}  # fmt: skip
    one["dq"] = np.array([[[2]]], "u4")
    divide_by_flat(**one, flat=np.full((1, 1), 2, "f4"), flat_err=np.full((1, 1), 0.5, "f4"), flat_dq=np.array([[4]], "u4"))
    assert [float(one[n][0, 0, 0]) for n in ("sci", "var_poisson", "var_rnoise", "var_flat", "dq")] == [3, 1, 2, 0.5625, 6]
    assert one["err"][0, 0, 0] == np.sqrt(np.float32(3.5625))


def test_arrays_that_cannot_be_changed_in_place_are_refused() -> None:
    arrays = block(0, 2, 3, 4)
    arrays["sci"] = arrays["sci"].transpose(0, 2, 1).copy().transpose(0, 2, 1)
    with pytest.raises(ValueError, match="contiguous"):
        multiply_by_flat(**arrays, flat=np.ones((3, 4), "f4"), flat_dq=np.zeros((3, 4), "u4"))
