"""Steps of stage 1 that correct or flag groups, against the reference implementation (tests/parity/make_ramp_corrections.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jwst_dask.core.step import Skip, Step
from jwst_dask.data.exposure import Block, Draft

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from ramp_scene import CASES, kept, scene, write_reference  # noqa: E402

from jwst_dask.steps.stage1 import (  # noqa: E402
    charge_migration,
    dark_current,
    dq_init,
    firstframe,
    group_scale,
    ipc,
    lastframe,
    linearity,
    persistence,
    reset,
    rscd,
    saturation,
    superbias,
)

CLASSES = {cls.alias: cls for cls in (
    charge_migration.ChargeMigrationStep, dark_current.DarkCurrentStep, dq_init.DQInitStep, firstframe.FirstFrameStep, group_scale.GroupScaleStep,
    ipc.IPCStep, lastframe.LastFrameStep, linearity.LinearityStep, persistence.PersistenceStep, reset.ResetStep, rscd.RscdStep,
    saturation.SaturationStep, superbias.SuperBiasStep)}  # fmt: skip
ARRAYS = ("sci", "groupdq", "pixeldq", "zeroframe")


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "ramp_corrections.npz") as file:
        return {name: file[name] for name in file.files}


def draft_of(arrays: dict[str, np.ndarray], meta: dict[str, Any], times: Any) -> Draft:
    from stdatamodels.jwst import datamodels

    nints, *shape = arrays["sci"].shape
    model = datamodels.RampModel(data=np.zeros((1, *shape), np.float32))
    for name, value in meta.items():
        model[f"meta.{name}"] = value
    if times is not None:
        table = np.zeros(len(times), dtype=model.get_dtype("int_times"))
        table["int_start_MJD_UTC"] = times
        model.int_times = table
    return Draft(model, "made_up.fits", nints)


class Case:
    """A step, prepared for a made-up exposure."""

    def __init__(self, name: str, folder: Path, **changes: Any) -> None:
        case = CASES[name]
        self.arrays, self.meta, times = scene(**case["ramp"])
        self.draft = draft_of(self.arrays, self.meta, times)
        paths = {kind: write_reference(folder, kind, self.arrays, self.meta, options | changes) for kind, options in case["refs"].items()}
        params = case["params"] | ({"skip": False} if CLASSES[case["alias"]].parameters()["skip"].default else {})
        self.step: Step = CLASSES[case["alias"]].make(**params)
        self.paths, self.state = paths, None
        self.skip = self.step.applies({name: value for name, value in self.meta.items() if value is not None})
        if self.skip is None:
            state = self.step.prepare(self.draft, lambda kind: paths.get(kind, "N/A"))  # type: ignore[arg-type]
            if isinstance(state, Skip):
                self.skip = state
            else:
                np.savez(folder / "state.npz", **state)
                with np.load(folder / "state.npz") as file:
                    self.state = {key: file[key] for key in file.files}

    def block(self, ints: slice = slice(None), rows: slice = slice(None)) -> Block:
        out = {
            name: np.ascontiguousarray(a[rows] if name == "pixeldq" else a[ints][..., rows, :]).copy() for name, a in self.arrays.items()
        }
        block = Block(out, ints.start or 0)
        block.y0 = rows.start or 0  # type: ignore[attr-defined]
        return block

    def run(self, ints: slice = slice(None), rows: slice = slice(None)) -> Block:
        return self.step.run(self.block(ints, rows), self.state)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_values(name: str, golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    status = case.skip.status if case.skip else "COMPLETE"
    assert status == golden[f"{name}.status"], case.skip
    if "average" in (known := {key.split(".")[1] for key in golden if key.startswith(f"{name}.")}):
        assert (case.draft.model.average_dark_current == golden[f"{name}.average"]).all()
    if case.skip:
        assert not known & set(ARRAYS)
        return
    block = case.run()
    for key in (key for key in ARRAYS if key in case.arrays):
        expected = golden.get(f"{name}.{key}", kept(key, case.arrays[key]))
        np.testing.assert_array_equal(kept(key, block.arrays[key]), expected, err_msg=key)
        assert block.arrays[key].dtype == case.arrays[key].dtype
        assert key in case.step.writes or f"{name}.{key}" not in golden
    if "window" in known:
        np.testing.assert_array_equal(block.arrays["persistence_window"], golden[f"{name}.window"])
    if "rscd" in known:
        found = [case.draft.model.meta.rscd.instance.get(key, -1) for key in ("ngroups_skip_int1", "ngroups_skip_int2p")]
        counts = list(block.tables["RSCD"][0])
        assert [value for value in (*found, *counts) if value > 0] == [value for value in golden[f"{name}.rscd"] if value > 0]


@pytest.mark.parametrize("name", [name for name in CASES if "irs2" not in name])
def test_integrations_and_bands_of_rows(name: str, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    if case.skip:
        return
    whole = case.run()
    nints, _, ny, _ = case.arrays["sci"].shape
    if not case.step.needs_all_integrations and nints > 1:  # type: ignore[attr-defined]
        parts = [case.run(slice(0, 1)), case.run(slice(1, nints))]
        for key in set(ARRAYS) & set(case.arrays) - {"pixeldq"}:
            np.testing.assert_array_equal(np.concatenate([part.arrays[key] for part in parts]), whole.arrays[key])
        for part in parts:
            np.testing.assert_array_equal(part.arrays["pixeldq"], whole.arrays["pixeldq"])
    halo = case.step.band_halo  # type: ignore[attr-defined]
    for start, stop in ((0, 7), (7, 11), (11, ny)):
        first = max(0, start - halo)
        part = case.run(rows=slice(first, min(ny, stop + halo)))
        for key in set(ARRAYS) & set(case.arrays):
            np.testing.assert_array_equal(part.arrays[key][..., start - first : stop - first, :], whole.arrays[key][..., start:stop, :])
