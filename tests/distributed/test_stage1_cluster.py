"""Raw exposures on worker processes: the same bytes, nothing spilled; killed workers and clients cost time only, and leave no scratch."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from killed import killed
from products import contents, leftovers
from ramp_runs import digests, raw, scratch, uncals

import jwst_dask
from jwst_dask import simulate

pytestmark = pytest.mark.distributed
BYTES = 300_000
"""Of tiles: five of frames, then three of bands, for each of two exposures; workers with a limit of memory have 1 MB at least."""
PARAMS: dict[str, Any] = {"steps": {"dq_init": {"save_results": True}, "jump": {"save_results": True}, "ramp_fit": {"save_opt": True}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two raw segments, CRDS pointing at their references, tiles small, dates all the same."""
    from astropy.time import Time

    made = raw("bots", tmp_path_factory.mktemp("raw-cluster"))
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"jwst_dask.chunks.bytes": BYTES}):
        patch.setattr(Time, "now", classmethod(lambda cls: cls("2025-01-01T00:00:00")))
        for name, value in {**simulate.environment(made), "OMP_NUM_THREADS": "1", "DASK_JWST_DASK__CHUNKS__BYTES": str(BYTES)}.items():
            patch.setenv(name, value)
        yield made


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Products of a run in one thread."""
    out = tmp_path_factory.mktemp("expected-ramps")
    result = jwst_dask.run(uncals(folder), "calwebb_detector1", output_dir=out, scheduler="sync", params=PARAMS)
    assert len(result.receipts) == 18 and not scratch(out)
    return out


def slow(where: str, seconds: float) -> None:
    """In a worker: stay in tasks of a pass for a while, when half of what they write is written."""
    from jwst_dask.core import blocks
    from jwst_dask.core.ramps import tasks

    real = blocks.process

    def process(task: Any) -> Any:
        if where in task.name and isinstance(task, tasks.RampTask):
            receipt = real(tasks.RampTask(**{**vars(task), "receipts": ""}))
            time.sleep(seconds)  # written, but not said
            return receipt if not task.receipts else real(task)
        return real(task)

    blocks.process = process


def spilled(dask_worker: Any) -> tuple[int, int]:
    """In a worker: bytes on disk for want of memory, and bytes held."""
    return sum(getattr(dask_worker.data, "spilled_total", (0,))), dask_worker.state.nbytes


def test_workers(folder: Path, tmp_path: Path, expected: Path, client: Any) -> None:
    result = jwst_dask.run(uncals(folder), "calwebb_detector1", output_dir=tmp_path, client=client, params=PARAMS)
    assert digests(tmp_path) == digests(expected) and not scratch(tmp_path)
    assert len({receipt.name for receipt in result.receipts}) == len(result.receipts) >= 10
    for disk, held in client.run(spilled).values():
        assert disk == 0 and held < 1_000_000  # receipts, never ramps


def test_workers_in_another_folder(folder: Path, tmp_path: Path, expected: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jwst_dask.run([os.path.relpath(path) for path in uncals(folder)], "calwebb_detector1", output_dir="out", client=client, params=PARAMS)
    assert digests(tmp_path / "out") == digests(expected) and not scratch(tmp_path / "out")


@pytest.mark.parametrize("place", ["[0:", "[1:", ":gate]"])
def test_a_worker_killed_in_the_middle(folder: Path, tmp_path: Path, expected: Path, client: Any, place: str) -> None:
    """While it has a tile of the first or the last pass, or when a pass has just ended."""
    pids, killed = client.run(os.getpid), []
    client.run(slow, place, 0.3)

    def kill() -> None:
        deadline = time.monotonic() + 60
        done = tmp_path / ".jwst_dask" / "ramps"
        wanted = {"[0:": "done0/0*.npz", "[1:": "done1/0*.npz", ":gate]": "done0/gate.npz"}[place]
        while time.monotonic() < deadline and not list(done.glob(f"*/{wanted}")):
            time.sleep(0.005)
        busy = [(worker, len(tasks)) for worker, tasks in client.processing().items()]
        victim = max(busy, key=lambda item: item[1])[0]
        killed.append(victim)
        os.kill(pids[victim], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    result = jwst_dask.run(uncals(folder), "calwebb_detector1", output_dir=tmp_path, client=client, params=PARAMS)
    thread.join()
    assert killed and not result.failures and digests(tmp_path) == digests(expected) and not scratch(tmp_path)


def tasks_of(folder: Path, out: Path) -> list[Any]:
    """All tasks of a run, and its products allocated."""
    from jwst_dask.core.finish import Result, _Work
    from jwst_dask.core.prepare import StateStore
    from jwst_dask.core.run import _options

    steps = {**PARAMS["steps"], "clean_flicker_noise": {"skip": False, "fit_method": "median"}}
    plan = jwst_dask.plan(uncals(folder)[:1], "calwebb_detector1", output_dir=out, params={"steps": steps})
    opts = _options({"output_dir": out})
    out.mkdir()
    return _Work(plan, opts, Result(out), None).allocate(StateStore(out / ".jwst_dask" / "states"))


def parts(out: Path) -> dict[str, bytes]:
    return {path.name.split(".")[1]: path.read_bytes() for path in out.glob(".*.part")}


def test_tasks_may_be_done_twice_and_in_any_order_of_their_pass(folder: Path, tmp_path: Path) -> None:
    """Each once more as soon as it is done, and all again when all are: as clusters do with what dead workers had."""
    from jwst_dask.core.blocks import process

    once = tasks_of(folder, tmp_path / "once")
    assert {"stream", "frames", "bands"} <= {getattr(task, "kind", "") for task in once} and sum(bool(getattr(task, "old", "")) for task in once) > 0
    first = {task.name: process(task) for task in once}
    again = tasks_of(folder, tmp_path / "again")
    for task in again:
        process(task)
        same(process(task), first[task.name])
    for task in [task for task in again if not task.name.endswith(":gate]")] + [task for task in again if task.name.endswith(":gate]")]:
        same(process(task), first[task.name])
    assert parts(tmp_path / "once") == parts(tmp_path / "again") != {}


def same(one: Any, other: Any) -> None:
    assert (one.name, one.start, one.nints, one.bytes_read, one.bytes_written, sorted(one.tables)) \
        == (other.name, other.start, other.nints, other.bytes_read, other.bytes_written, sorted(other.tables))  # fmt: skip
    assert all(table.tobytes() == other.tables[name].tobytes() for name, table in one.tables.items())


@pytest.mark.parametrize(("when", "count"), [("allocated", 5), ("tile", 60), ("task", 8), ("renamed", 2),
                                               *(pytest.param(when, count, marks=pytest.mark.slow) for when, count in (("allocated", 1), ("task", 3), ("renamed", 4)))])  # fmt: skip
def test_a_killed_client_resumes(folder: Path, tmp_path: Path, expected: Path, when: str, count: int) -> None:
    """``allocated``: while room is taken; ``tile``: in the middle of one; ``renamed``: between a product's rename and its line in the ledger."""
    words = ["run", "calwebb_detector1", *uncals(folder), "--output-dir", str(tmp_path), "--scheduler", "sync", "--no-progress", "--steps.dq_init.save_results=true",
             "--steps.jump.save_results=true", "--steps.ramp_fit.save_opt=true"]  # fmt: skip
    assert killed(when, count, words)
    left = len(contents(tmp_path))
    result = jwst_dask.run(uncals(folder), "calwebb_detector1", output_dir=tmp_path, resume=True, scheduler="sync", params=PARAMS)
    assert contents(tmp_path) == contents(expected) and not leftovers(tmp_path) and not scratch(tmp_path)
    assert when != "renamed" or left > 0
    assert len(result.made) == 10 - (count - 1 if when == "renamed" else 0)
    assert jwst_dask.run(uncals(folder), "calwebb_detector1", output_dir=tmp_path, resume=True, params=PARAMS).receipts == []
