"""Ramp fits: against the reference implementation's values, independence of splits, and known truths."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels.ramp import finish, fit, fitopt, likely

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from make_ramp_fit import CASES, TIMES, digest, made_for, read_times  # noqa: E402

LINES = [name for name, case in CASES.items() if "algorithm" not in case]
LIKELY = [name for name, case in CASES.items() if "algorithm" in case]
NAMES = {"slope": "sci", "dq": "dq", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise", "err": "err"}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "ramp_fit.npz") as file:
        return {name: file[name] for name in file.files}


def ramps_of(name: str, golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    made = made_for(name)
    if not np.array_equal(digest(made), golden[f"{name}.digest"]):
        pytest.skip("this numpy makes other random numbers; run tests/parity/make_ramp_fit.py again")
    return made


def lines(made: dict[str, np.ndarray], cuts: list[tuple[int, int]] | None = None, rows: slice = slice(None), suppress: bool = True, zero: bool = False,
          nframes: int = 1, instrument: str = "", **rest: Any) -> dict[str, np.ndarray]:  # fmt: skip
    """Both stages over blocks of integrations; results under the reference implementation's names."""
    nints, ngroups = made["sci"].shape[:2]
    own = {key: np.ascontiguousarray(value[..., rows, :]) for key, value in made.items()}
    timing, noise = fit.Timing.of(*TIMES, nframes), fit.fit_noise(own["readnoise"], own["gain"], nframes)
    window = fit.limits(fit.used_groups(made["groupdq"], suppress, 0, ngroups)) if instrument == "MIRI" else None
    parts = [fit.stage_one(own["sci"][a:b], own["groupdq"][a:b], own["pixeldq"], noise, own["gain"], timing, nints, suppress=suppress,
                           zeroframe=own["zeroframe"][a:b] if zero else None, window=window) for a, b in cuts or [(0, nints)]]  # fmt: skip
    sums = fit.combine(sums for _, sums in parts)
    rate = finish.poisson_rate(sums, timing, own["dark"])
    for fitted, _ in parts:
        finish.finish(fitted, rate, noise, own["gain"], timing)
    result = finish.rate_of(sums, rate, own["pixeldq"], noise, own["gain"], timing)
    order = np.argsort([a for a, _ in cuts]) if cuts else [0]
    out = {}
    for key, name in NAMES.items():
        out[f"rate_{key}"] = getattr(result, name)
        out[f"ints_{key}"] = np.concatenate([getattr(parts[k][0], name) for k in order])
    return out


def agree(found: np.ndarray, expected: np.ndarray, tolerance: float, floor: float = 0.0, name: str = "") -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape, name
    if found.dtype.kind == "u":
        np.testing.assert_array_equal(found, expected, err_msg=name)
    else:
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=floor, err_msg=name)


@pytest.mark.parametrize("name", LINES)
def test_lines_are_the_reference_implementations(name, golden):
    made = ramps_of(name, golden)
    before = {key: value.copy() for key, value in made.items()}
    for key, value in lines(made, **CASES[name]).items():
        agree(value, golden[f"{name}.{key}"], 1e-6, 1e-9, f"{name} {key}")
    for key, value in made.items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("name", LINES)
def test_lines_do_not_depend_on_splits(name):
    made, case = made_for(name), CASES[name]
    nints = len(made["sci"])
    whole = lines(made, **case)
    for cuts in ([(k, k + 1) for k in reversed(range(nints))], [(nints // 2, nints), (0, nints // 2)] if nints > 1 else [(0, 1)]):
        for key, value in lines(made, cuts, **case).items():
            np.testing.assert_array_equal(value, whole[key], err_msg=f"{name} {key}")
    for rows in (slice(0, 3), slice(3, 11)):
        for key, value in lines(made, rows=rows, **case).items():
            np.testing.assert_array_equal(value, whole[key][..., rows, :], err_msg=f"{name} {key}")


@pytest.mark.parametrize("name", LINES)
def test_segments_are_the_reference_implementations(name, golden):
    made, case = ramps_of(name, golden), CASES[name]
    nframes, suppress = case.get("nframes", 1), case.get("suppress", True)
    timing, noise = fit.Timing.of(*TIMES, nframes), fit.fit_noise(made["readnoise"], made["gain"], nframes)
    nints, ngroups = made["sci"].shape[:2]
    how = {"suppress": suppress, "zeroframe": made["zeroframe"] if case.get("zero") else None,
           "window": fit.limits(fit.used_groups(made["groupdq"], suppress, 0, ngroups)) if case.get("instrument") == "MIRI" else None}  # fmt: skip
    fitted, sums = fit.stage_one(made["sci"], made["groupdq"], made["pixeldq"], noise, made["gain"], timing, nints, **how)
    found = fitopt.fit_options(made["sci"], made["groupdq"], fitted.sci, noise, made["gain"], timing, (nframes, case.get("groupgap", 0), 0), **how)
    fitopt.finish_options(found, finish.poisson_rate(sums, timing, made["dark"]), made["gain"])
    for key in found.__dataclass_fields__:
        agree(getattr(found, key), golden[f"{name}.opt_{key}"], 1e-5, 2e-3 if key == "pedestal" else 1e-4 if "int" in key else 1e-7, f"{name} {key}")


def likely_of(made: dict[str, np.ndarray], ints: slice = slice(None), rows: slice = slice(None), zero: bool = False, nframes: int = 1, groupgap: int = 0,
              uneven: bool = False, **rest: Any) -> likely.Likely:  # fmt: skip
    own = {key: np.ascontiguousarray(value[..., rows, :]) for key, value in made.items()}
    ngroups = own["sci"].shape[1]
    reads = [np.array([t]) for t in read_times(ngroups)] if uneven else likely.read_pattern(ngroups, nframes, groupgap, TIMES[1])
    return likely.fit_likely(own["sci"][ints], own["groupdq"][ints], own["pixeldq"], own["readnoise"], own["gain"], own["dark"], reads,
                             zeroframe=own["zeroframe"][ints] if zero else None)  # fmt: skip


@pytest.mark.parametrize("name", LIKELY)
def test_likelihood_is_the_reference_implementations(name, golden):
    """But for ramps of two or three differences, of which either may be the jump: the last bit decides there."""
    made, case = ramps_of(name, golden), CASES[name]
    cube = likely_of(made, **case)
    good = (made["groupdq"][:, 1:] == 0) & (made["groupdq"][:, :-1] == 0)
    clear = good.sum(axis=1) > 3 - bool(case.get("zero"))
    everywhere = clear.all(axis=0)
    assert clear.mean() > 0.1
    rate = likely.average(cube)
    for key, field in {**NAMES, "chisq": "chisq"}.items():
        floor = 1e-6 if key == "chisq" else 1e-9
        agree(getattr(cube, field)[clear], golden[f"{name}.ints_{key}"][clear], 2e-5, floor, f"{name} ints {key}")
        agree(getattr(rate, field)[everywhere], golden[f"{name}.rate_{key}"][everywhere], 2e-5, floor, f"{name} rate {key}")


@pytest.mark.parametrize("name", LIKELY)
def test_likelihood_does_not_depend_on_splits(name):
    made, case = made_for(name), CASES[name]
    whole = likely_of(made, **case)
    for field in whole.__dataclass_fields__:
        for k in range(len(made["sci"])):
            np.testing.assert_array_equal(getattr(likely_of(made, slice(k, k + 1), **case), field)[0], getattr(whole, field)[k])
        np.testing.assert_array_equal(getattr(likely_of(made, rows=slice(4, 9), **case), field), getattr(whole, field)[:, 4:9])


def clean(shape: tuple[int, ...], rate: float) -> dict[str, np.ndarray]:
    nints, ngroups, ny, nx = shape
    sci = np.broadcast_to(100.0 + rate * TIMES[0] * np.arange(ngroups)[:, None, None], shape).astype(np.float32)
    plane = (ny, nx)
    return {"sci": sci, "groupdq": np.zeros(shape, np.uint8), "pixeldq": np.zeros(plane, np.uint32), "gain": np.full(plane, 1.5, np.float32),
            "readnoise": np.full(plane, 8.0, np.float32), "dark": np.zeros(plane, np.float32), "zeroframe": np.zeros((nints, ny, nx), np.float32)}  # fmt: skip


@pytest.mark.parametrize("ngroups", [2, 3, 5, 30, 130])
@pytest.mark.parametrize("rate", [0.5, 40.0])
def test_straight_ramps(ngroups, rate):
    found = lines(clean((2, ngroups, 1, 70), rate))
    np.testing.assert_allclose(found["rate_slope"], rate, rtol=1e-5)
    read = 12 * (8.0 / np.sqrt(2) / TIMES[0]) ** 2 / max(ngroups**3 - ngroups, 6)
    np.testing.assert_allclose(found["ints_var_rnoise"], read, rtol=1e-5)
    np.testing.assert_allclose(found["ints_var_poisson"], rate / (1.5 * TIMES[0] * (ngroups - 1)), rtol=1e-4)
    np.testing.assert_allclose(found["rate_err"], np.sqrt((found["ints_var_poisson"][0] + read) / 2), rtol=1e-5)


def test_a_jump_splits_the_ramp():
    made = clean((1, 10, 1, 2), 5.0)
    made["sci"][0, 4:, 0, 1] += 3000
    made["groupdq"][0, 4, 0, 1] = 4
    found = lines(made)
    np.testing.assert_allclose(found["rate_slope"], 5.0, rtol=1e-5)
    assert found["rate_dq"].tolist() == [[0, 4]] and found["rate_err"][0, 1] > found["rate_err"][0, 0]


def test_nothing_to_fit():
    made = clean((2, 5, 1, 3), 1.0)
    made["groupdq"][:] = 2
    found = lines(made)
    assert np.isnan(found["rate_slope"]).all() and (found["rate_dq"] == 3).all() and (found["ints_dq"] == 3).all() and (found["rate_err"] == 0).all()
    timing = fit.Timing.of(*TIMES, 1)
    assert fit.stage_one(made["sci"], made["groupdq"], made["pixeldq"], made["readnoise"], made["gain"], timing, 2)[1].saturated
    assert fit.limits(np.zeros(5, bool)) is None and fit.limits(np.array([False, True, False])) is None
    assert fit.limits(np.array([False, True, True, False, False])) == (1, 4)
    with pytest.raises(ValueError, match="no blocks"):
        fit.combine([])
    with pytest.raises(ValueError, match="at least 4 groups"):
        likely.covariance([np.array([1.0])] * 3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(2, 7), st.integers(1, 3), st.integers(1, 70), st.floats(0, 0.5))
def test_splits_of_anything(seed, nints, ngroups, ny, nx, nans):
    rng = np.random.default_rng(seed)
    made = clean((nints, ngroups, ny, nx), 3.0)
    made["sci"] = (made["sci"] * 10 ** rng.uniform(-3, 4, (ny, nx)) + rng.normal(0, 20, made["sci"].shape)).astype(np.float32)
    made["sci"][rng.random(made["sci"].shape) < nans] = np.nan
    made["groupdq"] = rng.choice(np.array([0, 0, 0, 0, 1, 2, 4, 32, 128, 129], np.uint8), made["sci"].shape)
    for suppress in (True, False):
        whole = lines(made, suppress=suppress, zero=True)
        for key, value in lines(made, [(k, k + 1) for k in rng.permutation(nints)], suppress=suppress, zero=True).items():
            np.testing.assert_array_equal(value, whole[key], err_msg=key)
