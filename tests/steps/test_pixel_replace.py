"""pixel_replace against values of the reference implementation (tests/parity/make_pixel_replace.py)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block
from jwst_dask.steps.stage2.pixel_replace import PixelReplaceStep

GOLDEN = np.load(Path(__file__).parent.parent / "parity" / "pixel_replace.npz")
NAMES = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")
CASES = {
    "mingrad": ("mingrad", 1, 3),
    "profile_x3": ("fit_profile", 1, 3),
    "profile_x1": ("fit_profile", 1, 1),
    "profile_x8": ("fit_profile", 1, 8),
    "profile_y3": ("fit_profile", 2, 3),
    "trace_x": ("trace_model", 1, 3),
    "trace_y": ("trace_model", 2, 3),
    "trace_none": ("trace_model", 1, 3),
}


def draft_of(axis, trace=None, status="COMPLETE", kind="SlitModel"):
    meta = SimpleNamespace(wcsinfo=SimpleNamespace(dispersion_direction=axis), cal_step=SimpleNamespace(adaptive_trace_model=status))
    return SimpleNamespace(model=type(kind, (), {"meta": meta, "trace_model": trace})(), log=[])


def turn(array, axis):
    return np.ascontiguousarray(np.swapaxes(array, -1, -2)) if axis == 2 else array.copy()


@pytest.mark.parametrize("edges", [(0, 3), (0, 1, 3)], ids=["whole", "cut"])
@pytest.mark.parametrize("case", CASES)
def test_values_of_the_reference(case, edges):
    algorithm, axis, columns = CASES[case]
    step = PixelReplaceStep.make(algorithm=algorithm, n_adjacent_cols=columns)
    trace = turn(GOLDEN["trace"], axis) if algorithm == "trace_model" and case != "trace_none" else None
    status, kind = ("COMPLETE", "SlitModel") if trace is not None or algorithm != "trace_model" else ("SKIPPED", "CubeModel")
    state = step.prepare(draft_of(axis, trace, status, kind), None)
    made = []
    for start, stop in zip(edges, edges[1:]):
        arrays = {name: turn(GOLDEN[name][start:stop], axis) for name in NAMES}
        made.append(step.run(Block(arrays=arrays, start=start), state))
    for name in NAMES:
        ours = turn(np.concatenate([block.arrays[name] for block in made]), axis)
        np.testing.assert_array_equal(ours, GOLDEN[f"{case}.{name}"], err_msg=name)


def test_the_cases_replace_something():
    for case in CASES:
        changed = (GOLDEN[f"{case}.dq"] ^ GOLDEN["dq"]) & (1 << 28)
        assert np.count_nonzero(changed) > 20, case


@pytest.mark.parametrize("algorithm", ["mingrad", "fit_profile"])
def test_a_variance_may_be_absent(algorithm):
    step = PixelReplaceStep.make(algorithm=algorithm)
    arrays = {name: GOLDEN[name].copy() for name in ("sci", "err", "dq", "var_poisson")}
    out = step.run(Block(arrays=arrays, start=0), step.prepare(draft_of(1), None)).arrays
    case = {"mingrad": "mingrad", "fit_profile": "profile_x3"}[algorithm]
    for name in out:
        np.testing.assert_array_equal(out[name], GOLDEN[f"{case}.{name}"], err_msg=name)


def test_preparation():
    assert isinstance(PixelReplaceStep.make().applies({}), Skip)  # off unless asked for
    assert PixelReplaceStep.make(skip=False).applies({}) is None
    assert isinstance(PixelReplaceStep.make().prepare(draft_of(1, kind="RampModel"), None), Skip)
    assert PixelReplaceStep.make().prepare(draft_of(None), None)["algorithm"] == "mingrad"
    with pytest.raises(InputError, match="DISPAXIS"):
        PixelReplaceStep.make(algorithm="fit_profile").prepare(draft_of(None), None)
    draft = draft_of(1, np.ones((2, 2), "f4"), status=None)
    with pytest.raises(InputError, match="adaptive_trace_model"):
        PixelReplaceStep.make(algorithm="trace_model").prepare(draft, None)
