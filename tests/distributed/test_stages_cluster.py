"""Several stages as one graph on worker processes: the same bytes; killed workers and clients cost time only, and leave no scratch."""

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
from products import contents
from ramp_runs import digests, scratch, uncals

import jwst_dask
from jwst_dask import simulate

pytestmark = pytest.mark.distributed
BYTES = 1_000_000
"""Of tiles; less than a worker with a limit of memory would give is not possible."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two raw segments, CRDS pointing at their references, tiles small, dates all the same."""
    from astropy.time import Time

    made = tmp_path_factory.mktemp("raw-stages")
    simulate.make("bots_prism", made, nsegments=2, nints=20, shape=(32, 128), seed=3, uncal=True)
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"jwst_dask.chunks.bytes": BYTES}):
        patch.setattr(Time, "now", classmethod(lambda cls: cls("2025-01-01T00:00:00")))
        for name, value in {**simulate.environment(made), "OMP_NUM_THREADS": "1", "DASK_JWST_DASK__CHUNKS__BYTES": str(BYTES)}.items():
            patch.setenv(name, value)
        yield made


@pytest.fixture(scope="module", params=[False, True], ids=["passed", "kept"])
def keep(request: pytest.FixtureRequest) -> bool:
    """Whether what is passed on is kept."""
    return bool(request.param)


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory, keep: bool) -> Path:
    """Products of a run in one thread."""
    out = tmp_path_factory.mktemp("expected-stages")
    result = jwst_dask.run(uncals(folder), stages="1,2,3", output_dir=out, scheduler="sync", save_intermediate=keep)
    assert len(result.receipts) > 12 and not scratch(out)
    return out


def slow(where: str, marker: str) -> None:
    """In a worker: stay in a task for a while when it is done, but nobody knows yet, and say who does."""
    from jwst_dask.core import blocks

    real = blocks.process

    def process(task: Any) -> Any:
        receipt = real(task)
        if where in task.name:
            Path(marker).write_text(str(os.getpid()))
            time.sleep(0.5)
        return receipt

    blocks.process = process


def test_workers(folder: Path, tmp_path: Path, expected: Path, keep: bool, client: Any) -> None:
    jwst_dask.run(uncals(folder), stages="1,2,3", output_dir=tmp_path, client=client, save_intermediate=keep)
    assert digests(tmp_path) == digests(expected) and not scratch(tmp_path)


@pytest.mark.parametrize("place", ["passed on", "looks", "nrs1.1[", "calints.2["])
def test_a_worker_killed_in_the_middle(folder: Path, tmp_path: Path, expected: Path, keep: bool, client: Any, place: str) -> None:
    """While it has what tells that an exposure is through a stage, the look at the first integration, or blocks of a later stage."""
    marker, killed = tmp_path / "busy", []
    client.run(slow, place, str(marker))

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not marker.exists() and not ended.is_set():
            time.sleep(0.01)
        if marker.exists():
            time.sleep(0.05)
            killed.append(int(marker.read_text()))
            os.kill(killed[0], signal.SIGKILL)

    ended, out = threading.Event(), tmp_path / "out"
    thread = threading.Thread(target=kill)
    thread.start()
    result = jwst_dask.run(uncals(folder), stages="1,2,3", output_dir=out, client=client, save_intermediate=keep)
    ended.set()
    thread.join()
    assert bool(killed) == (keep or place != "nrs1.1[")  # blocks of stage 2 are those of stage 3, unless they are kept
    assert not result.failures and digests(out) == digests(expected) and not scratch(out)


@pytest.mark.parametrize(("when", "count"), [("task", 4), ("task", 20), ("renamed", 1), ("renamed", 2), ("renamed", 3), ("renamed", 4)])
def test_a_killed_client_resumes(folder: Path, tmp_path: Path, expected: Path, keep: bool, when: str, count: int) -> None:
    """In a task of any stage; ``renamed``: between a product's rename and its line in the ledger."""
    words = ["run", "--stages", "1,2,3", *uncals(folder), "--output-dir", str(tmp_path), "--scheduler", "sync", "--no-progress"]
    words += ["--save-intermediate"] if keep else []
    assert killed(when, count, words)
    result = jwst_dask.run(uncals(folder), stages="1,2,3", output_dir=tmp_path, resume=True, scheduler="sync", save_intermediate=keep)
    assert contents(tmp_path) == contents(expected) and not scratch(tmp_path)
    assert not (keep and when == "renamed") or len(result.made) == 12 - (count - 1)
    again = jwst_dask.run(uncals(folder), stages="1,2,3", output_dir=tmp_path, resume=True, save_intermediate=keep)
    assert again.receipts == [] and again.made == []
