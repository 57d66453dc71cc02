"""What every step promises: it changes what it declares, leaves its input alone, and does not care how integrations are cut up."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chains import CASES, ORDERS, SPECIAL, Chain, build, copy, pieces, saved
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jwst_dask
from jwst_dask import simulate, steps
from jwst_dask.steps import step_class


@pytest.fixture(scope="session")
def chains(series: Path, lrs: Path) -> Iterator[dict[str, Chain]]:
    """The prepared chain of each mode."""
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        for mode, folder in (("bots", series), ("miri", lrs)):
            for name, value in simulate.environment(folder).items():
                patch.setenv(name, value)
            out[mode] = build(mode, sorted(folder.glob("*_rateints.fits"))[1])
    yield out


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_declares_what_it_changes(chains: dict[str, Chain], mode: str, alias: str) -> None:
    chain = chains[mode]
    stage, before = chain.stages[alias], chain.before[alias]
    assert stage.status == "COMPLETE", stage.reason
    after = stage.step.run(copy(before), saved(stage))
    assert after.halo == (0, 0) and after.start == before.start and after.nints == before.nints
    changed = {name for name, array in after.arrays.items() if name not in before.arrays or not same(array, before.arrays[name])}
    gone = set(before.arrays) - set(after.arrays)
    tables = {name for name, table in after.tables.items() if name not in before.tables or not same(table, before.tables[name])}
    declared = set(stage.step.writes)
    assert changed | tables <= declared | set(stage.step.side_products)
    if not stage.step.pixels:
        assert not changed and not tables and not gone
    if alias != "extract_2d":
        assert not gone
        assert all(after.arrays[name].shape == array.shape for name, array in before.arrays.items())
    for name, array in after.arrays.items():
        assert array.dtype == (np.uint32 if name == "dq" else np.float32), name
        assert array.flags.c_contiguous and array.dtype.isnative


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_reads_what_it_declares(chains: dict[str, Chain], mode: str, alias: str) -> None:
    chain = chains[mode]
    stage, before = chain.stages[alias], chain.before[alias]
    expected = stage.step.run(copy(before), saved(stage))
    other = copy(before)
    for name in set(other.arrays) - set(stage.step.reads) - set(stage.step.writes):
        other.arrays[name][...] = 1
    found = stage.step.run(other, saved(stage))
    for name in set(stage.step.writes) & set(expected.arrays):
        assert same(found.arrays[name], expected.arrays[name]), name
    assert all(same(found.tables[name], table) for name, table in expected.tables.items())


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_state_is_plain_and_not_changed(chains: dict[str, Chain], mode: str, alias: str) -> None:
    stage = chains[mode].stages[alias]
    state = saved(stage)
    assert all(not value.dtype.hasobject for value in state.values())
    for value in state.values():
        value.flags.writeable = False  # a step that writes into what all blocks share fails here
    stage.step.run(copy(chains[mode].before[alias]), state)


PIXELS = [(mode, alias) for mode, alias in CASES if step_class(alias).pixels]


@pytest.mark.parametrize(("mode", "alias"), PIXELS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_split_gives_the_same(chains: dict[str, Chain], mode: str, alias: str, data: st.DataObject) -> None:
    chain = chains[mode]
    stage, nints = chain.stages[alias], chain.draft.nints
    cuts = sorted(data.draw(st.sets(st.integers(1, nints - 1)), label="cuts") | {0, nints})
    assert_split(chain, alias, stage, [b - a for a, b in zip(cuts[:-1], cuts[1:])])


@pytest.mark.parametrize(("mode", "alias"), PIXELS)
def test_single_integrations_give_the_same(chains: dict[str, Chain], mode: str, alias: str) -> None:
    assert_split(chains[mode], alias, chains[mode].stages[alias], [1] * chains[mode].draft.nints)


def assert_split(chain: Chain, alias: str, stage: Any, sizes: list[int]) -> None:
    whole = stage.step.run(copy(chain.before[alias]), saved(stage))
    parts = [stage.step.run(piece, saved(stage)) for piece in pieces(chain, alias, sizes)]
    for name, array in whole.arrays.items():
        assert same(np.concatenate([part.arrays[name] for part in parts]), array), name
    for name, table in whole.tables.items():
        assert same(np.concatenate([part.tables[name] for part in parts]), table), name


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def through(dataset: Any, mode: str, last: str) -> Any:
    """A dataset after the steps of a mode up to `last`, by the public functions."""
    for alias in ORDERS[mode]:
        if alias not in ("outlier_detection", "pixel_replace", "white_light"):
            dataset = getattr(steps, alias)(dataset)
        if alias == last:
            return dataset
    return dataset


@pytest.mark.parametrize("mode", ["bots", "miri"])
def test_building_computes_nothing_and_leaves_the_input(request: pytest.FixtureRequest, no_compute: None, mode: str) -> None:
    folder = request.getfixturevalue(mode)
    paths = sorted(folder.glob("*_rateints.fits"))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    dataset = jwst_dask.open(paths, chunks={"integration": 5})
    attrs, graphs = dict(dataset.attrs), {name: set(v.data.__dask_graph__()) for name, v in dataset.data_vars.items() if dask_backed(v)}
    steps.outlier_detection(through(dataset, mode, "photom"))
    steps.pixel_replace(dataset)
    jwst_dask.Spec2Pipeline.call(dataset)
    assert dataset.attrs == attrs
    assert {name: set(v.data.__dask_graph__()) for name, v in dataset.data_vars.items() if dask_backed(v)} == graphs
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == digests


def dask_backed(variable: Any) -> bool:
    return hasattr(variable.data, "__dask_graph__")


@pytest.mark.parametrize(("mode", "last"), [("bots", "extract_1d"), ("miri", "extract_1d"), ("bots", "photom")])
def test_schedulers_and_chunks_give_the_same(request: pytest.FixtureRequest, mode: str, last: str) -> None:
    folder = request.getfixturevalue(mode)
    path = sorted(folder.glob("*_rateints.fits"))[0]
    found = []
    for chunk, scheduler in ((100, "sync"), (1, "threads"), (5, "threads")):
        dataset = through(jwst_dask.open(path, chunks={"integration": chunk}), mode, last)
        found.append(dataset.compute(scheduler=scheduler))
    for other in found[1:]:
        for name, variable in found[0].data_vars.items():
            assert same(np.asarray(other[name].values), np.asarray(variable.values)), name


def test_outliers_of_a_lazy_series_do_not_depend_on_chunks(bots: Path) -> None:
    path = sorted(bots.glob("*_rateints.fits"))[0]
    found = []
    for chunk in (100, 1, 5):
        dataset = through(jwst_dask.open(path, chunks={"integration": chunk}), "bots", "photom")
        found.append(steps.outlier_detection(dataset, rolling_window_width=3).compute())
    for other in found[1:]:
        for name, variable in found[0].data_vars.items():
            assert same(np.asarray(other[name].values), np.asarray(variable.values)), name


@pytest.mark.parametrize("mode", ["bots", "miri"])
def test_arrays_in_memory_are_not_changed(request: pytest.FixtureRequest, mode: str) -> None:
    folder = request.getfixturevalue(mode)
    dataset = jwst_dask.open(sorted(folder.glob("*_rateints.fits"))[0]).load()
    copies = {name: variable.values.copy() for name, variable in dataset.data_vars.items()}
    through(dataset, mode, "extract_1d").compute()
    assert all(same(dataset[name].values, values) for name, values in copies.items())


GRAPH = """
import os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from jwst_dask import simulate
from test_steps import keys
for mode, folder in (("bots", sys.argv[2]), ("miri", sys.argv[3])):
    os.environ.update(simulate.environment(Path(folder)))
    print(keys(Path(folder), mode))
"""


def keys(folder: Path, mode: str) -> str:
    """Digest of the keys of a mode's whole graph."""
    path = sorted(folder.glob("*_rateints.fits"))[0]
    graph = through(jwst_dask.open(path, chunks={"integration": 3}), mode, "extract_1d").__dask_graph__()
    return hashlib.sha256(repr(sorted(map(str, graph))).encode()).hexdigest()


def test_keys_are_the_same_in_every_build_and_process(series: Path, lrs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", GRAPH, str(Path(__file__).parent), str(series), str(lrs)]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": seed}) for seed in ("1", "77")]
    here = []
    for mode, folder in (("bots", series), ("miri", lrs)):
        for name, value in simulate.environment(folder).items():
            monkeypatch.setenv(name, value)
        here.append(keys(folder, mode))
        assert keys(folder, mode) == here[-1]
    for process in others:
        assert process.communicate()[0].split() == here


@pytest.mark.parametrize("mode", ["bots", "miri"])
def test_graph_is_small_and_holds_plain_things(request: pytest.FixtureRequest, mode: str) -> None:
    """One task a block and chain, one pick for each variable of the result, and the reads; no closures, no WCS, no models."""
    path = sorted(request.getfixturevalue(mode).glob("*_rateints.fits"))[0]
    dataset = jwst_dask.open(path, chunks={"integration": 1})
    blocks, reads = dataset.sizes["integration"], sum(v.ndim == 3 for v in dataset.data_vars.values())
    result = jwst_dask.Spec2Pipeline.call(dataset)
    for suffix in ("calints", "x1dints"):
        flat = dict(result[suffix].__dask_graph__())
        assert len(flat) == blocks * (reads + 1 + sum(dask_backed(v) for v in result[suffix].variables.values()))
        words = pickle.dumps(flat, protocol=4)  # plain pickle refuses closures
        assert len(words) / len(flat) < 2048
        used = modules(words)
        assert not used & {"gwcs", "stdatamodels", "asdf", "asdf_astropy", "jwst"}, used


def modules(words: bytes) -> set[str]:
    """Top-level packages of everything that a pickle names."""
    found = set()

    class Recorder(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found.add(module.split(".")[0])
            return super().find_class(module, name)

    Recorder(io.BytesIO(words)).load()
    return found


def test_special_parameters_are_those_of_the_steps() -> None:
    for alias, values in SPECIAL.items():
        step_class(alias).make(**values)
