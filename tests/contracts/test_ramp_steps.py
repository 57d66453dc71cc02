"""What every step of stage 1 promises: it changes what it declares, and does not care how a ramp is cut up, as far as it says so."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from chains import saved
from dask.base import tokenize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ramp_chains import CASES, ELSEWHERE, ORDERS, SPECIAL, RampChain, bands, build, copy, integrations, own

from jwst_dask import simulate
from jwst_dask.core.prepare import StateStore
from jwst_dask.pipelines import table
from jwst_dask.steps import step_class

DTYPES = {"sci": np.float32, "groupdq": np.uint8, "pixeldq": np.uint32, "dq": np.uint32, "rate_dq": np.uint32}
RESULTS = ("rate_", "opt_")
"""Beginnings of the names of arrays for a fit's other products."""
FITTED = ("ramp_fit",)
"""Steps whose result has another shape."""


@pytest.fixture(scope="session")
def ramp_chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RampChain]]:
    """A raw exposure of each mode through its steps."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from ramp_runs import raw, uncals

    out = {}
    with pytest.MonkeyPatch.context() as patch:
        for mode in ORDERS:
            folder = raw(mode, tmp_path_factory.mktemp(f"ramps-{mode}"), nsegments=1)
            for key, value in simulate.environment(folder).items():
                patch.setenv(key, value)
            out[mode] = build(mode, uncals(folder)[0])
        yield out


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_the_chains_have_every_step_of_stage_1() -> None:
    aliases = {alias for name in ("detector1", "guider") for alias in table.pipeline(name).aliases()}
    assert aliases - {"flat_field"} == {alias for order in ORDERS.values() for alias in order} | set(ELSEWHERE)


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_declares_what_it_changes(ramp_chains: dict[str, RampChain], mode: str, alias: str) -> None:
    chain = ramp_chains[mode]
    stage, before, after = chain.stages[alias], chain.before[alias], chain.after[alias]
    if stage.status != "COMPLETE":
        pytest.skip(stage.reason)
    changed = {name for name, array in after.arrays.items() if name not in before.arrays or not same(array, before.arrays[name])}
    assert {name for name in changed if not name.startswith(RESULTS)} <= set(stage.step.writes) | set(stage.step.side_products)
    assert set(stage.references) <= set(stage.step.references)
    if alias not in FITTED:
        assert set(before.arrays) <= set(after.arrays)
        assert all(after.arrays[name].shape == array.shape for name, array in before.arrays.items())
    for name, array in after.arrays.items():
        assert array.dtype == DTYPES.get(name, np.float32) and array.flags.c_contiguous and array.dtype.isnative, name


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_reads_what_it_declares(ramp_chains: dict[str, RampChain], mode: str, alias: str) -> None:
    chain = ramp_chains[mode]
    stage = chain.stages[alias]
    if not stage.runs:
        pytest.skip(stage.reason)
    other = copy(chain.before[alias])
    for name in set(other.arrays) - set(stage.step.reads) - set(stage.step.writes):
        other.arrays[name][...] = 1
    found = stage.step.run(other, saved(stage))
    for name in set(stage.step.writes) & set(found.arrays):
        assert same(found.arrays[name], chain.after[alias].arrays[name]), name


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_state_is_plain_the_same_every_time_and_not_changed(ramp_chains: dict[str, RampChain], mode: str, alias: str, tmp_path: Path) -> None:
    chain, store = ramp_chains[mode], StateStore(tmp_path)
    state = saved(chain.stages[alias])
    assert all(not value.dtype.hasobject for value in state.values())
    assert store.put(dict(state)) == store.put(dict(chain.again[alias]))
    for value in state.values():
        value.flags.writeable = False  # a step that writes into what others may share fails here
    if chain.stages[alias].runs:
        after = chain.stages[alias].step.run(copy(chain.before[alias]), state)
        assert all(same(after.arrays[name], array) for name, array in chain.after[alias].arrays.items())


SPLIT = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FRAMES = [(mode, alias) for mode, alias in CASES if not getattr(step_class(alias), "needs_all_integrations", False) and alias not in FITTED]
BANDS = [(mode, alias) for mode, alias in CASES if getattr(step_class(alias), "band_halo", None) is not None]
TOLD = {("miri", "jump"), ("miri", "ramp_fit")}
"""Steps that, for bands, are told of the whole frame; runs of pipelines show that they are told rightly."""


def cut(data: st.DataObject, n: int) -> list[int]:
    marks = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=6)) | {0, n})
    return [b - a for a, b in zip(marks[:-1], marks[1:])]


@pytest.mark.parametrize(("mode", "alias"), FRAMES)
@SPLIT
@given(data=st.data())
def test_any_split_of_integrations_gives_the_same(ramp_chains: dict[str, RampChain], mode: str, alias: str, data: st.DataObject) -> None:
    chain = ramp_chains[mode]
    stage, whole = chain.stages[alias], chain.after[alias].arrays
    if not stage.runs:
        return
    asks = getattr(stage.step, "whole_exposure", None)
    nints = len(whole["sci"])
    if asks is not None and asks(whole["sci"].shape[-2:], nints):
        return
    parts = [stage.step.run(piece, saved(stage)).arrays for piece in integrations(chain, alias, cut(data, nints))]
    for name, array in whole.items():
        if array.ndim > 2:
            assert same(np.concatenate([part[name] for part in parts]), array), name
        else:
            assert all(same(part[name], array) for part in parts), name


@pytest.mark.parametrize(("mode", "alias"), [case for case in BANDS if case not in TOLD])
@SPLIT
@given(data=st.data())
def test_any_bands_give_the_same(ramp_chains: dict[str, RampChain], mode: str, alias: str, data: st.DataObject) -> None:
    chain = ramp_chains[mode]
    stage, whole = chain.stages[alias], chain.after[alias].arrays
    if not stage.runs:
        return
    parts = [own(stage.step.run(piece, saved(stage))) for piece in bands(chain, alias, cut(data, whole["sci"].shape[-2]))]
    for name, array in whole.items():
        if name.startswith("opt_"):  # as deep as the band's ramps have segments; put together by depth
            depth = max(part[name].shape[1] for part in parts) if array.ndim == 4 else 0
            parts = [{**part, name: deeper(part[name], depth)} for part in parts]
        assert same(np.concatenate([part[name] for part in parts], axis=-2), array), name


def deeper(array: np.ndarray, depth: int) -> np.ndarray:
    return np.pad(array, [(0, 0), (0, depth - array.shape[1]), (0, 0), (0, 0)]) if depth else array


@pytest.mark.parametrize("alias", sorted({alias for _, alias in CASES} | set(ELSEWHERE)))
def test_a_step_is_plain_and_comes_back_as_it_was(alias: str) -> None:
    step = step_class(alias).make(skip=False, **SPECIAL.get(alias, {}))
    assert pickle.loads(pickle.dumps(step)) == step == cloudpickle.loads(cloudpickle.dumps(step))
    assert tokenize(step) == tokenize(pickle.loads(pickle.dumps(step)))
    assert len(pickle.dumps(step)) < 1500
    assert getattr(step, "band_halo", None) is None or step.band_halo >= 0
