"""The step ramp_fit: golden values through references on disk, blocks of an exposure, and what it refuses."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from jwst_dask.core.errors import InputError, ParameterError, ReferenceError_
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage1.ramp_fit import RATE, RampFitStep, finished, rate_arrays
from jwst_dask.steps.stage1.ramp_fit.planes import gathered

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from make_ramp_fit import CASES, TIMES, made_for, read_times  # noqa: E402

NAMES = {"slope": "sci", "dq": "dq", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise", "err": "err"}
CORNER = (5, 9)
"""First row and column of the made-up subarray."""


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "ramp_fit.npz") as file:
        return {name: file[name] for name in file.files}


def references(made: dict[str, np.ndarray], folder: Path, **header: Any) -> dict[str, str]:
    """Reference files that are larger than the exposure by two rows and three columns on each side."""
    paths = {}
    for kind in ("readnoise", "gain"):
        image, primary = np.pad(made[kind], ((2, 2), (3, 3)), constant_values=99), fits.PrimaryHDU()
        for name, value in {"SUBSTRT1": CORNER[1] - 3, "SUBSTRT2": CORNER[0] - 2, "SUBSIZE1": image.shape[1], "SUBSIZE2": image.shape[0], **header}.items():
            primary.header[name] = value
        paths[kind] = str(folder / f"{kind}.fits")
        fits.HDUList([primary, fits.ImageHDU(image.astype(np.float32), name="SCI")]).writeto(paths[kind], overwrite=True)
    return paths


def draft_of(made: dict[str, np.ndarray], nframes: int = 1, groupgap: int = 0, instrument: str = "NIRSPEC", uneven: bool = False, **rest: Any) -> Draft:
    from stdatamodels.jwst import datamodels

    nints, ngroups, ny, nx = made["sci"].shape
    model = datamodels.RampModel(data=np.zeros((1, ngroups, ny, nx), np.float32))
    model.meta.instrument.name = instrument
    model.meta.subarray.xstart, model.meta.subarray.ystart, model.meta.subarray.xsize, model.meta.subarray.ysize = CORNER[1], CORNER[0], nx, ny
    exposure = model.meta.exposure
    exposure.group_time, exposure.frame_time, exposure.nframes, exposure.groupgap = *TIMES, nframes, groupgap
    if uneven:
        exposure.read_times = [[float(t)] for t in read_times(ngroups)]
    model.average_dark_current = made["dark"]
    return Draft(model, "made_up.fits", nints)


def prepared(name: str, folder: Path, **params: Any) -> tuple[RampFitStep, dict[str, np.ndarray], dict[str, np.ndarray], Draft]:
    made, case = made_for(name), CASES[name]
    paths, draft = references(made, folder, GAINFACT=1.4), draft_of(made, **case)
    step = RampFitStep.make(suppress_one_group=case.get("suppress", True), algorithm="OLS_C" if case.get("uneven") else case.get("algorithm", "OLS_C"), **params)
    state = step.prepare(draft, paths.__getitem__)  # type: ignore[arg-type]
    np.savez(folder / "state.npz", **state)
    with np.load(folder / "state.npz") as file:
        return step, {key: file[key] for key in file.files}, made, draft


def block_of(made: dict[str, np.ndarray], name: str, ints: slice = slice(None), rows: slice = slice(None)) -> Block:
    names = ("sci", "groupdq", "zeroframe") if CASES[name].get("zero") else ("sci", "groupdq")
    arrays = {key: np.ascontiguousarray(made[key][ints][..., rows, :]) for key in names}
    block = Block(arrays | {"pixeldq": np.ascontiguousarray(made["pixeldq"][rows])}, ints.start or 0)
    block.y0 = rows.start or 0  # type: ignore[attr-defined]
    return block


@pytest.mark.parametrize("name", CASES)
def test_values(name: str, golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    step, state, made, draft = prepared(name, tmp_path, save_opt=True)
    arrays = step.run(block_of(made, name), state).arrays
    assert draft.model.meta.exposure.gain_factor == 1.4 and draft.model.meta.bunit_data == "DN/s"
    lines = "algorithm" not in CASES[name]
    for key, field in NAMES.items():
        for prefix, own in (("ints", arrays[field]), ("rate", arrays[RATE + field])):
            expected = golden[f"{name}.{prefix}_{key}"]
            if own.dtype.kind == "u":
                assert (own == expected).mean() > (0.999 if lines else 0.98)
            else:
                close = np.isclose(own, expected, rtol=2e-5, atol=1e-8, equal_nan=True)
                assert close.all() if lines else close.mean() > 0.95, key
    if lines:
        for key in ("slope", "var_poisson", "weights"):
            np.testing.assert_allclose(arrays[f"opt_{key}"], golden[f"{name}.opt_{key}"], rtol=1e-5, atol=1e-7)
    else:
        assert arrays["chisq"].shape == arrays["sci"].shape and RATE + "chisq" in arrays
    assert not {"groupdq", "pixeldq", "zeroframe"} & set(arrays)


@pytest.mark.parametrize("name", ["base", "keep_loss", "miri", "likely"])
def test_blocks_of_an_exposure(name: str, tmp_path: Path) -> None:
    step, state, made, _ = prepared(name, tmp_path, save_opt=True)
    whole = step.run(block_of(made, name), state).arrays
    if CASES[name].get("instrument") == "MIRI":
        state["window"] = np.array([2, 8])
    for rows in (slice(0, 10), slice(4, 7)):
        blocks = [block_of(made, name, ints, rows) for ints in (slice(1, 3), slice(0, 1))]
        flags = blocks[0].arrays["pixeldq"]
        parts = [step.run(block, state).arrays for block in blocks]
        if name == "likely":
            cube = {key: np.concatenate([part[key] for part in reversed(parts)]) for key in parts[0]}
            rate = rate_arrays(None, cube=cube)
        else:
            sums = gathered(parts)
            pending = step.pending(block_of(made, name, slice(0, 1), rows), state, flags)
            parts = [finished(part, sums, pending) for part in parts]
            rate = rate_arrays(sums, pending)
        for field in NAMES.values():
            np.testing.assert_array_equal(np.concatenate([part[field] for part in reversed(parts)]), whole[field][..., rows, :])
            np.testing.assert_array_equal(rate[RATE + field], whole[RATE + field][rows])


def test_selected_groups(tmp_path: Path) -> None:
    step, state, made, _ = prepared("base", tmp_path, firstgroup=1, lastgroup=5)
    found = step.run(block_of(made, "base"), state).arrays
    made["groupdq"][:, 0] |= 1
    made["groupdq"][:, 6:] |= 1
    plain = prepared("base", tmp_path)
    expected = plain[0].run(block_of(made, "base"), plain[1]).arrays
    for field in NAMES.values():
        np.testing.assert_array_equal(found[field], expected[field])
    ignored = RampFitStep.make(firstgroup=5, lastgroup=2)._selected(8)
    assert ignored == (0, 8) and RampFitStep.make(firstgroup=-3, lastgroup=99)._selected(8) == (0, 8)


@pytest.mark.parametrize("name", ["base", "miri"])
def test_nothing_to_fit(name: str, tmp_path: Path) -> None:
    step, state, made, _ = prepared(name, tmp_path)
    made["groupdq"][:] = 2 if name == "base" else 1
    found = step.run(block_of(made, name), state).arrays
    assert bool(found["unusable"]) and np.isnan(found["sci"]).all() and (found["dq"] & 1).all()


def test_refusals(tmp_path: Path) -> None:
    made = made_for("base")
    paths = references(made, tmp_path)
    draft = draft_of(made)
    draft.model.meta.exposure.group_time = None
    with pytest.raises(InputError, match="TGROUP"):
        RampFitStep.make().prepare(draft, paths.__getitem__)  # type: ignore[arg-type]
    with pytest.raises(ReferenceError_, match="does not cover"):
        RampFitStep.make().prepare(draft_of(made), references(made, tmp_path, SUBSTRT1=10, SUBSTRT2=9).__getitem__)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="algorithm"):
        RampFitStep.make(algorithm="GLS")
    step = RampFitStep.make(firstgroup="2", save_opt="true")
    assert pickle.loads(pickle.dumps(step)) == step and step.firstgroup == 2


def test_likelihood_needs_four_groups(tmp_path: Path) -> None:
    made = made_for("two")
    state = RampFitStep.make(algorithm="LIKELY").prepare(draft_of(made), references(made, tmp_path).__getitem__)  # type: ignore[arg-type]
    assert not state["likely"]  # type: ignore[index]
