"""Tasks of a run: small on the wire, plain, deterministic; lazy graphs exchange halos for any chunks."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import inputs
from test_steps import modules

import jwst_dask
from jwst_dask.core import graph
from jwst_dask.core.blocks import BlockTask, Receipt, guarded, process
from jwst_dask.core.plan import Plan
from jwst_dask.core.prepare import StateStore
from jwst_dask.core.step import BlockStep
from jwst_dask.data.exposure import Block


def tasks_of(plan: Plan, folder: Path) -> list[BlockTask]:
    store, out = StateStore(folder), []
    for job in plan.jobs:
        for product in job.products():
            product.temporary = product.final.with_name(f".{product.final.name}.0.part")
        level3 = job.level3[0] if job.level3 else None
        for exposure in job.exposures:
            out += exposure.tasks(store, level3, 1)
    return out


@pytest.fixture(scope="session")
def plans(series: Path, lrs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[BlockTask]]:
    from jwst_dask import simulate

    out = {}
    with pytest.MonkeyPatch.context() as patch:
        for mode, folder in (("bots", series), ("miri", lrs)):
            for name, value in simulate.environment(folder).items():
                patch.setenv(name, value)
            base = tmp_path_factory.mktemp(mode)
            jwst_dask.run(inputs(folder), "calwebb_spec2", output_dir=base)
            for alias, files in (("calwebb_spec2", inputs(folder)), ("calwebb_tso3", [str(p) for p in sorted(base.glob("*_calints.fits"))])):
                planned = jwst_dask.plan(files, alias, output_dir=base / "more", chunk=1)
                out[f"{mode} {alias}"] = tasks_of(planned, base / "states")
    return out


CASES = [f"{mode} {alias}" for mode in ("bots", "miri") for alias in ("calwebb_spec2", "calwebb_tso3")]


@pytest.mark.parametrize("case", CASES)
def test_a_task_is_about_two_kilobytes(plans: dict[str, list[BlockTask]], case: str) -> None:
    sizes = [len(pickle.dumps(task)) for task in plans[case]]
    assert max(sizes) < 2048, max(sizes)


@pytest.mark.parametrize("case", CASES)
def test_a_task_is_plain_and_comes_back_as_it_was(plans: dict[str, list[BlockTask]], case: str) -> None:
    task = plans[case][0]
    assert pickle.loads(pickle.dumps(task)) == task
    used = modules(cloudpickle.dumps(tuple(task.__dict__.values())))
    assert used <= {"jwst_dask", "builtins", "numpy"}, used


def test_tasks_name_files_absolutely(plans: dict[str, list[BlockTask]]) -> None:
    for tasks in plans.values():
        for task in tasks:
            paths = [task.source.path, *(path for _, path in task.chain if path), *(write.path for write in task.writes)]
            assert all(Path(path).is_absolute() for path in paths)


def test_two_plans_make_the_same_tasks(bots: Path, tmp_path: Path) -> None:
    made = [tasks_of(jwst_dask.plan(inputs(bots), "calwebb_spec2", output_dir=tmp_path, chunk=5), tmp_path / "states") for _ in range(2)]
    assert made[0] == made[1] and len(made[0]) == 9
    assert len({task.name for task in made[0]}) == 9


def test_an_error_becomes_a_receipt_that_says_where(plans: dict[str, list[BlockTask]]) -> None:
    import dataclasses

    task = plans["bots calwebb_spec2"][1]
    gone = dataclasses.replace(task, source=dataclasses.replace(task.source, path="/nowhere/x_rateints.fits"))
    receipt = guarded(gone)
    assert "x_rateints.fits: integrations 2-2" in receipt.error and receipt.error_type == "InputError"


def test_a_product_before_any_pixel_step_has_the_input_in_it(bots: Path, tmp_path: Path) -> None:
    from jwst_dask.io.fits import read, scan

    path = inputs(bots)[0]
    result = jwst_dask.run(path, "calwebb_spec2", output_dir=tmp_path, params={"steps": {"assign_wcs": {"save_results": True}}})
    made = scan(next(p for n, p in result.products.items() if "assign_wcs" in n))
    for name in ("SCI", "DQ", "ERR", "VAR_POISSON"):
        np.testing.assert_array_equal(read(made, name), read(scan(path), name))


class Neighbours(BlockStep):
    """Sum of an integration and its neighbours; as a plain formula it is known for every chunking."""

    alias = "neighbours"
    cal_step = ""

    def run(self, block: Block, state: Any) -> Block:
        sci = block.arrays["sci"]
        before, after = block.halo
        out = np.zeros((block.nints, *sci.shape[1:]), np.float32)
        for i in range(block.nints):
            at = i + before
            out[i] = sci[max(0, at - 2) : at + 3].sum(axis=0) + 1000 * (block.start + i)
        return Block({"sci": out}, block.start)


@settings(max_examples=25, deadline=None)
@given(chunks=st.lists(st.integers(1, 7), min_size=1, max_size=8), ny=st.integers(1, 3), start=st.integers(0, 5), split=st.booleans())
def test_halos_for_any_chunks(chunks: list[int], ny: int, start: int, split: bool) -> None:
    import dask.array as da

    nints, nx = sum(chunks), 4
    values = np.arange(nints * ny * nx, dtype=np.float32).reshape(nints, ny, nx)
    expected = np.stack([values[max(0, i - 2) : i + 3].sum(axis=0) + 1000 * (start + i) for i in range(nints)])
    lazy = da.from_array(values, chunks=(tuple(chunks), -1, 2 if split else -1))
    blocks = graph.segment({"sci": lazy}, ((Neighbours(), ""),), start, 2, "test")
    result = graph.pick(blocks, "sci", tuple(chunks), (ny, nx), np.float32)
    np.testing.assert_array_equal(result.compute(scheduler="sync"), expected)


def test_receipts_are_small(plans: dict[str, list[BlockTask]], tmp_path: Path) -> None:
    import dataclasses

    task = dataclasses.replace(plans["bots calwebb_spec2"][0], writes=())
    receipt = process(task)
    assert isinstance(receipt, Receipt) and len(pickle.dumps(receipt)) < 2048
