"""emicorr against the reference implementation (tests/parity/make_emi.py), and on interference that is known."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest

from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.kernels.ramp import emi_folded
from jwst_dask.steps.stage1.emicorr import EmiCorrStep

PARITY = Path(__file__).parents[1] / "parity"
sys.path[:0] = [str(PARITY), str(Path(__file__).parent)]
from emi_scene import CASES, kept, scene  # noqa: E402
from stored_ramps import StoredRamps  # noqa: E402


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "emi.npz") as file:
        return {name: file[name] for name in file.files}


def tile_by_tile(step: EmiCorrStep, state: Any, sci: np.ndarray, pixeldq: np.ndarray, size: int) -> np.ndarray:
    """Surveys of tiles of `size` integrations and 7 times as many rows, last tiles first, and what comes out of them."""
    height, known, out = 7 * size, dict(state), np.full_like(sci, np.nan)
    places = [(i, y) for i in range(0, len(sci), size) for y in range(0, sci.shape[2], height)]

    def tile(i: int, y: int) -> Block:
        part = np.ascontiguousarray(sci[i : i + size, :, y : y + height])
        return Block({"sci": part, "pixeldq": pixeldq[y : y + height].copy()}, i, y0=y)

    for k in range(step.surveys(known)):
        parts = [step.survey(k, tile(*place), known) for place in reversed(places)]
        known |= step.conclude(k, lambda parts=parts: parts, known)  # type: ignore[misc]
    for i, y in places:
        out[i : i + size, :, y : y + height] = step.run(tile(i, y), known).arrays["sci"]
    return out


def run(case: dict[str, Any], folder: Path, stored: int = 0, **params: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    from stdatamodels.jwst import datamodels

    sci, pixeldq, meta, tree = scene(**case)
    model = datamodels.RampModel(data=np.zeros((1, *sci.shape[1:]), np.float32))
    for name, value in meta.items():
        model[f"meta.{name}"] = value
    asdf.AsdfFile(tree).write_to(folder / "emi.asdf")
    step = EmiCorrStep.make(skip=False, **{**case.get("params", {}), **params})
    state = step.applies(meta) or step.prepare(
        Draft(model, str(folder / "jw1_uncal.fits"), len(sci)), lambda kind: str(folder / "emi.asdf")
    )  # type: ignore[arg-type]
    if isinstance(state, Skip):
        return state, sci, sci
    if stored and step.surveys(state):
        return None, sci, tile_by_tile(step, state, sci, pixeldq, stored)
    if stored:
        ramps = StoredRamps({"sci": sci, "pixeldq": pixeldq}, stored)
        out = ramps if stored % 2 else StoredRamps({"sci": sci * 0, "pixeldq": pixeldq * 0})
        assert step.stream(ramps, out, state) == {}
        np.testing.assert_array_equal(out.arrays["pixeldq"], pixeldq)
        return None, sci, out.arrays["sci"]
    block = step.run(Block({"sci": sci.copy(), "pixeldq": pixeldq.copy()}, 0), state)
    np.testing.assert_array_equal(block.arrays["pixeldq"], pixeldq)
    return None, sci, block.arrays["sci"]


@pytest.mark.parametrize("name", CASES)
def test_values(name: str, golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    skip, before, after = run(CASES[name], tmp_path)
    assert (skip.status if skip else "COMPLETE") == golden[f"{name}.status"]
    # single precision of values around 10000 DN
    np.testing.assert_allclose(kept(after.astype(float) - before), golden[name], rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ["joint", "joint_two", "joint_slow", "on_the_fly"])
def test_takes_off_most_of_it(name: str, tmp_path: Path) -> None:
    _, before, after = run(CASES[name], tmp_path)
    # second differences of the white noise of 4 DN that the ramps have besides
    excess = [np.diff(a.astype(float), 2, axis=1)[..., 12:].var() - 6 * 4.0**2 for a in (before, after)]
    assert excess[1] < 0.3 * excess[0]


@pytest.mark.parametrize("stored", [1, 2])
@pytest.mark.parametrize("name", [*(name for name in CASES if name not in ("two_groups", "unknown", "joint_in_phase")), "five"])
def test_stored_ramps(name: str, stored: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emi_folded, "BATCH", 30000)
    case = {**CASES["sequential"], "nints": 5} if name == "five" else CASES[name]
    results = []
    for i in (0, stored):
        (tmp_path / str(i)).mkdir()
        results.append(run(case, tmp_path / str(i), stored=i)[2])
    assert results[0].tobytes() == results[1].tobytes()


def test_saves_the_waveforms_it_made(tmp_path: Path) -> None:
    run(CASES["on_the_fly"], tmp_path, save_intermediate_results=True)
    with asdf.open(tmp_path / "jw1_emi_ref_waves.asdf") as file:
        assert file["subarray_cases"]["SLITLESSPRISM"]["freqs"]["FASTR1"] == ["390.625", "218.52055"]
        assert len(file["frequencies"]["390.625"]["phase_amplitudes"]) == 128
