"""The jump step against the reference implementation's (tests/parity/make_ramp_jump.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage1.jump import TABLE, JumpStep, merge, rates, stored

PARITY = Path(__file__).parents[1] / "parity"
sys.path[:0] = [str(PARITY), str(Path(__file__).parent)]
from ramp_jump_cases import CASES, GROUP_TIME, Case, arrays  # noqa: E402
from stored_ramps import StoredRamps  # noqa: E402


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "ramp_jump.npz") as file:
        return {name: file[name] for name in file.files}


def prepared(step: JumpStep, data: dict[str, np.ndarray], folder: Path, nframes: int = 1, **exposure: Any) -> Any:
    from stdatamodels.jwst import datamodels

    nints, *shape = data["sci"].shape
    model = datamodels.RampModel(data=np.zeros((1, *shape), np.float32))
    area, meta = model.meta.subarray, model.meta.exposure
    model.meta.instrument.name, model.meta.instrument.detector = "NIRCAM", "NRCA1"
    area.xstart, area.ystart, area.ysize, area.xsize = 1, 1, shape[1], shape[2]
    meta.nframes, meta.group_time = nframes, GROUP_TIME
    for name, value in exposure.items():
        setattr(meta, name, value)
    header = fits.Header({"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": shape[2], "SUBSIZE2": shape[1]})
    for reftype in step.references:
        hdus = [fits.PrimaryHDU(header=header), fits.ImageHDU(data[reftype], name="SCI")]
        fits.HDUList(hdus).writeto(folder / f"{reftype}.fits", overwrite=True)
    return step.prepare(Draft(model, "made_up.fits", nints), lambda reftype: str(folder / f"{reftype}.fits"))


def block_of(data: dict[str, np.ndarray], rows: slice = slice(None)) -> Block:
    cut = {name: data[name][..., rows, :].copy(order="C") for name in ("sci", "groupdq", "pixeldq")}
    block = Block(cut, 0)
    block.y0 = rows.start or 0  # type: ignore[attr-defined]
    return block


@pytest.mark.parametrize("name", CASES)
def test_as_reference(name: str, golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    case, data = CASES[name], arrays(golden, CASES[name])
    step = JumpStep.make(**case.parameters)
    state = prepared(step, data, tmp_path, case.nframes)
    out = step.run(block_of(data), state)
    assert np.array_equal(out.arrays["groupdq"] ^ data["groupdq"], golden[f"{name}.groupdq"])
    assert np.array_equal(out.arrays["pixeldq"] ^ data["pixeldq"], golden[f"{name}.pixeldq"])
    assert np.array_equal(out.arrays["sci"], data["sci"], equal_nan=True)
    found = rates(out.tables[TABLE], GROUP_TIME, data["gain"].size)
    assert np.allclose(list(found.values()), golden[f"{name}.rates"], rtol=1e-12)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.scene == "points"])
def test_bands(name: str, golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Bands of rows with their halo give the same flags and rates as the whole frame."""
    case, data = CASES[name], arrays(golden, CASES[name])
    step = JumpStep.make(**case.parameters)
    state, ny = prepared(step, data, tmp_path, case.nframes), data["gain"].shape[0]
    assert step.band_halo in (0, 1)
    flags, tables = np.empty_like(data["groupdq"]), []
    for first, last in ((0, 3), (3, 4), (4, ny)):
        halo = (min(step.band_halo, first), min(step.band_halo, ny - last))
        block = block_of(data, slice(first - halo[0], last + halo[1]))
        block.row_halo = halo  # type: ignore[attr-defined]
        out = step.run(block, state)
        flags[:, :, first:last] = out.arrays["groupdq"][:, :, halo[0] : halo[0] + last - first]
        tables.append(out.tables[TABLE])
    assert np.array_equal(flags ^ data["groupdq"], golden[f"{name}.groupdq"])
    found = rates(merge(tables), GROUP_TIME, data["gain"].size)
    assert np.allclose(list(found.values()), golden[f"{name}.rates"], rtol=1e-12)


@pytest.mark.parametrize("height", [1, 7, 1000])
@pytest.mark.parametrize("name", CASES)
def test_stored_ramps(name: str, height: int, golden: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ramp that is gone through by rows and frames gets the flags and the table of one in memory."""
    monkeypatch.setattr(stored, "BAND_BYTES", height * 4000)
    case, data = CASES[name], arrays(golden, CASES[name])
    step = JumpStep.make(**case.parameters)
    state = prepared(step, data, tmp_path, case.nframes)
    whole, ramps = step.run(block_of(data), state), StoredRamps(block_of(data).arrays, height=height)
    table = step.stream(ramps, ramps, state)[TABLE]
    for key, values in whole.arrays.items():
        assert ramps.arrays[key].tobytes() == values.tobytes(), key
    assert np.array_equal(table, whole.tables[TABLE])


def test_marks_above_a_band_are_as_they_were(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Neighbours of faint jumps are flagged once, not again and again from band to band."""
    data = arrays(golden, CASES["single pass"])
    step = JumpStep(min_jump_to_flag_neighbors=0.5, rejection_threshold=6.0)
    state = prepared(step, data, tmp_path)
    whole, ramps = step.run(block_of(data), state), StoredRamps(block_of(data).arrays, height=1)
    step.stream(ramps, ramps, state)
    assert np.array_equal(ramps.arrays["groupdq"], whole.arrays["groupdq"])


def test_group_in_which_every_pixel_jumps(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    data = arrays(golden, CASES["clipped"])
    data["groupdq"][...], data["gain"][...] = 0, 2
    data["sci"] = np.random.default_rng(1).normal(100, 5, data["sci"].shape).astype(np.float32)
    data["sci"][3, 2:] += 1e6
    step = JumpStep.make(**CASES["clipped"].parameters)
    state = prepared(step, data, tmp_path)
    whole, ramps = step.run(block_of(data), state), StoredRamps(block_of(data).arrays, height=3)
    table = step.stream(ramps, ramps, state)[TABLE]
    assert not (whole.arrays["groupdq"][3, 2] & 4).all()
    assert np.array_equal(ramps.arrays["groupdq"], whole.arrays["groupdq"]) and np.array_equal(table, whole.tables[TABLE])


def test_refused(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    data = arrays(golden, Case("points", 2, 6))
    state = prepared(JumpStep(), data, tmp_path)
    short = {**data, "sci": data["sci"][:1], "groupdq": data["groupdq"][:1]}
    with pytest.raises(InputError, match="all 2 integrations"):
        JumpStep().run(block_of(short), state)
    step = JumpStep(find_showers=True)
    assert step.band_halo is None
    with pytest.raises(InputError, match="whole frames"):
        step.run(block_of(data, slice(0, 4)), state)
    with pytest.raises(InputError, match="NFRAMES"):
        prepared(JumpStep(), data, tmp_path, nframes=None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="TGROUP"):
        prepared(JumpStep(), data, tmp_path, group_time=None)
    with pytest.raises(ReferenceError_, match="does not cover"):
        prepared(JumpStep(), {**data, "gain": data["gain"][:5]}, tmp_path)


def test_skipped(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert isinstance(JumpStep().applies({"exposure.ngroups": 2}), Skip)
    assert isinstance(JumpStep(skip=True).applies({}), Skip)
    assert JumpStep().applies({"exposure.ngroups": 3}) is None
    assert isinstance(prepared(JumpStep(), arrays(golden, Case("points", 1, 2)), tmp_path), Skip)


def test_no_reference(golden: dict[str, np.ndarray]) -> None:
    from stdatamodels.jwst import datamodels

    model = datamodels.RampModel(data=np.zeros((1, 5, 4, 4), np.float32))
    model.meta.exposure.nframes, model.meta.exposure.group_time = 1, GROUP_TIME
    with pytest.raises(ReferenceError_, match="override_gain"):
        JumpStep().prepare(Draft(model, "made_up.fits", 1), lambda reftype: "N/A")


def test_dead_groups_of_the_frame(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    """A band of which a group is not to be used, while the frame's is: the state tells."""
    data = arrays(golden, Case("points", 1, 12))
    data["groupdq"][0, 5, :4] |= 1
    step, state = JumpStep(), prepared(JumpStep(), data, tmp_path)
    whole = step.run(block_of(data), state).arrays["groupdq"][:, :, :3]
    alone = step.run(block_of(data, slice(0, 4)), state | {"dead_groups": np.zeros((1, 12), np.bool_)}).arrays["groupdq"][:, :, :3]
    assert np.array_equal(whole, alone)
