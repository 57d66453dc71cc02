"""What every step promises of a slit, or of the frame that slits are cut from: declarations are what it touches."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import ramp_chains
from chains import ORDERS
from dask.base import tokenize
from slit_chains import ALONE, FOR_MSA, FRAME, MODES, SLIT, SPECIAL, Noted, SlitChain, build, copy

from jwst_dask import simulate
from jwst_dask.core.prepare import StateStore
from jwst_dask.steps import STEPS, step_class

CASES = [(mode, alias) for mode in MODES for alias in (*FRAME, *SLIT) if mode == "mos" or alias not in FOR_MSA]
SHAPED = ("resample_spec",)
"""Steps whose result has a shape of its own."""
INVERSES = ("flat_field", "pathloss", "barshadow", "photom", "master_background_mos")


@pytest.fixture(scope="session")
def chains(slit_folders: dict[str, Path]) -> Iterator[dict[str, SlitChain]]:
    """An exposure of each mode through all steps."""
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        for mode, folder in slit_folders.items():
            for key, value in simulate.environment(folder).items():
                patch.setenv(key, value)
            out[mode] = build(folder)
    yield out


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def runs(chains: dict[str, SlitChain], mode: str, alias: str) -> dict[str, Noted]:
    found = chains[mode].of(alias)
    assert found, f"{alias} ran nowhere"
    return found


def test_the_chains_cover_every_step() -> None:
    ramps = {alias for order in ramp_chains.ORDERS.values() for alias in order} | set(ramp_chains.ELSEWHERE)
    assert {alias for order in ORDERS.values() for alias in order} | {*FRAME, *SLIT, *ALONE} | ramps == set(STEPS)


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_looks_up_what_it_declares(chains: dict[str, SlitChain], mode: str, alias: str) -> None:
    for noted in runs(chains, mode, alias).values():
        assert noted.looked_up <= set(noted.step.references)


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_declares_what_it_changes(chains: dict[str, SlitChain], mode: str, alias: str) -> None:
    effects = 0
    for name, noted in runs(chains, mode, alias).items():
        before, after, declared = noted.before, noted.after, set(noted.step.writes)
        changed = {key for key, array in after.arrays.items() if key not in before.arrays or not same(array, before.arrays[key])}
        gone = set(before.arrays) - set(after.arrays)
        assert changed | set(after.tables) - set(before.tables) <= declared | set(noted.step.side_products), name
        effects += len(changed) + len(set(after.tables) - set(before.tables))
        if alias not in SHAPED:
            assert not gone
            assert all(after.arrays[key].shape == array.shape for key, array in before.arrays.items())
        for key, array in after.arrays.items():
            assert array.dtype == {"dq": np.uint32, "con": np.int32}.get(key, np.float32), key
            assert array.flags.c_contiguous and array.dtype.isnative, key
    assert bool(effects) == step_class(alias).pixels


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_reads_what_it_declares(chains: dict[str, SlitChain], mode: str, alias: str) -> None:
    if not step_class(alias).pixels:
        return
    for noted in runs(chains, mode, alias).values():
        other = copy(noted.before)
        for key in set(other.arrays) - set(noted.step.reads) - set(noted.step.writes):
            other.arrays[key][...] = 1
        found = noted.step.run(other, noted.state)
        for key in set(noted.step.writes) & set(noted.after.arrays):
            assert same(found.arrays[key], noted.after.arrays[key]), key
        assert all(same(found.tables[key], table) for key, table in noted.after.tables.items())


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_state_is_plain_the_same_every_time_and_not_changed(chains: dict[str, SlitChain], mode: str, alias: str, tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    for noted in runs(chains, mode, alias).values():
        assert all(not value.dtype.hasobject for value in noted.state.values())
        assert store.put(dict(noted.state)) == store.put(dict(noted.again))
        for value in noted.state.values():
            value.flags.writeable = False  # a step that writes into what others may share fails here
        if noted.step.pixels:
            after = noted.step.run(copy(noted.before), noted.state)
            assert all(same(after.arrays[key], array) for key, array in noted.after.arrays.items())


@pytest.mark.parametrize("alias", list(INVERSES))
def test_an_inverse_undoes_it(chains: dict[str, SlitChain], alias: str) -> None:
    import dataclasses

    undone = 0
    for noted in runs(chains, "mos", alias).values():
        back = dataclasses.replace(noted.step, inverse=True).run(copy(noted.after), noted.state)  # type: ignore[call-arg]
        before, after = noted.before.arrays["sci"], back.arrays["sci"]
        good = np.isfinite(before) & np.isfinite(after)
        scale = np.abs(before[good]).max() + np.abs(noted.after.arrays["sci"][good]).max() * (alias == "master_background_mos")
        np.testing.assert_allclose(after[good], before[good], rtol=1e-5, atol=1e-6 * scale)
        undone += int(good.sum())
    assert undone > 1000


@pytest.mark.parametrize("alias", [*FRAME, *SLIT, *ALONE])
def test_a_step_is_plain_and_comes_back_as_it_was(alias: str) -> None:
    step = step_class(alias).make(skip=False, **SPECIAL.get(alias, {}))
    assert pickle.loads(pickle.dumps(step)) == step == cloudpickle.loads(cloudpickle.dumps(step))
    assert tokenize(step) == tokenize(pickle.loads(pickle.dumps(step)))
    assert len(pickle.dumps(step)) < 400
