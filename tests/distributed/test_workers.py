"""Worker processes, threads and chunks do not change a byte; killed workers and killed clients cost time only."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killed import killed
from products import contents, inputs, leftovers

import jwst_dask
from jwst_dask import simulate

pytestmark = pytest.mark.distributed
WINDOW = {"steps": {"outlier_detection": {"rolling_window_width": 5}}}
"""Small enough that blocks have neighbours."""


@pytest.fixture(scope="session")
def expected(series: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Content of the products of a run in one piece."""
    out = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in simulate.environment(series).items():
            patch.setenv(name, value)
        jwst_dask.run(inputs(series), output_dir=out, scheduler="sync", params=WINDOW)
    return contents(out)


@pytest.fixture(scope="module")
def cluster(series: Path) -> Iterator[Any]:
    """A local cluster; its workers inherit the environment."""
    from distributed import LocalCluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**simulate.environment(series), "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        with LocalCluster(n_workers=4, threads_per_worker=2, processes=True, memory_limit="1.5GB", dashboard_address=None, host="127.0.0.1") as made:
            yield made


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    """A client with two workers unless a test changes that, undisturbed by earlier tests."""
    from distributed import Client

    with Client(cluster) as made:
        workers(cluster, made, 2)
        made.run(restore)
        yield made


def restore() -> None:
    """In a worker: undo `watch` and `poison`."""
    from jwst_dask.core import blocks

    blocks.process = getattr(blocks, "untouched", blocks.process)
    blocks.untouched = blocks.process  # type: ignore[attr-defined]


def workers(cluster: Any, client: Any, count: int) -> None:
    cluster.scale(count)
    deadline = time.monotonic() + 60
    while len(client.scheduler_info(n_workers=-1)["workers"]) != count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(("scheduler", "threads", "chunk"), [("threads", 4, 1), ("threads", 1, 5), ("sync", None, 7), ("threads", 2, 100)])
def test_threads_and_chunks(bots: Path, tmp_path: Path, expected: dict[str, str], scheduler: str, threads: int | None, chunk: int) -> None:
    result = jwst_dask.run(inputs(bots), output_dir=tmp_path, scheduler=scheduler, threads=threads, chunk=chunk, params=WINDOW)
    assert contents(tmp_path) == expected and len(result.receipts) == 6 * -(-12 // chunk)


@pytest.mark.parametrize(("count", "chunk"), [(4, 1), (2, 5), (1, None)])
def test_workers_in_another_folder(bots: Path, tmp_path: Path, expected: dict[str, str], client: Any, cluster: Any, monkeypatch: pytest.MonkeyPatch,
                                   count: int, chunk: int | None) -> None:  # fmt: skip
    """Everything that workers need they find by path, though they were started elsewhere and the client was given relative names."""
    workers(cluster, client, count)
    monkeypatch.chdir(tmp_path)
    files = [os.path.relpath(path) for path in inputs(bots)]
    jwst_dask.run(files, output_dir="out", chunk=chunk, params=WINDOW, client=client)
    assert contents(tmp_path / "out") == expected and not leftovers(tmp_path)


def watch(seconds: float) -> None:
    """In a worker: make blocks slower, and count those that are worked on at once."""
    from jwst_dask.core import blocks

    lock, real = threading.Lock(), blocks.process
    blocks.seen = {"now": 0, "most": 0, "done": 0}  # type: ignore[attr-defined]

    def process(task: Any) -> Any:
        with lock:
            blocks.seen["now"] += 1  # type: ignore[attr-defined]
            blocks.seen["most"] = max(blocks.seen["most"], blocks.seen["now"])  # type: ignore[attr-defined]
        try:
            time.sleep(seconds)
            return real(task)
        finally:
            with lock:
                blocks.seen["now"] -= 1  # type: ignore[attr-defined]
                blocks.seen["done"] += 1  # type: ignore[attr-defined]

    blocks.process = process


def seen(dask_worker: Any) -> dict[str, Any]:
    """In a worker: what `watch` counted, and what the worker holds."""
    from jwst_dask.core import blocks

    data = dask_worker.data
    return {**blocks.seen, "threads": dask_worker.state.nthreads, "spilled": sum(getattr(data, "spilled_total", (0,))), "held": dask_worker.state.nbytes}  # type: ignore[attr-defined]


def test_blocks_in_memory_are_bounded_and_nothing_spills(bots: Path, tmp_path: Path, client: Any) -> None:
    client.run(watch, 0.0)
    result = jwst_dask.run(inputs(bots), "calwebb_spec2", output_dir=tmp_path, chunk=1, client=client)
    found = client.run(seen).values()
    assert sum(f["done"] for f in found) == len(result.receipts) == 36
    for each in found:
        assert 1 <= each["most"] <= each["threads"] == 2
        assert each["spilled"] == 0 and each["held"] < 1_000_000  # receipts, never blocks


def test_a_worker_killed_in_the_middle(bots: Path, tmp_path: Path, expected: dict[str, str], client: Any) -> None:
    client.run(watch, 0.15)
    pids = client.run(os.getpid)
    killed: list[int] = []

    def kill() -> None:
        time.sleep(1.0)
        while not any(client.processing().values()):
            time.sleep(0.02)
        victim = max(client.processing().items(), key=lambda item: len(item[1]))[0]
        killed.append(pids[victim])
        os.kill(pids[victim], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    result = jwst_dask.run(inputs(bots), output_dir=tmp_path, chunk=1, client=client, params=WINDOW)
    thread.join()
    assert killed and not result.failures and len(result.receipts) == 72
    assert contents(tmp_path) == expected and not leftovers(tmp_path)


def poison(limit: int) -> None:
    """In a worker: die of the block at `limit`, as for want of memory."""
    from jwst_dask.core import blocks

    real = blocks.process

    def process(task: Any) -> Any:
        if task.start == limit and "seg002" in task.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(task)

    blocks.process = process


class Poison:
    """Applies `poison` in every worker, those that replace killed ones too."""

    def __new__(cls) -> Any:
        from distributed import WorkerPlugin

        class Plugin(WorkerPlugin):  # type: ignore[misc]
            name = "poison"

            def setup(self, worker: Any) -> None:
                poison(6)

        return Plugin()


def test_a_block_that_kills_every_worker_is_a_failure_with_advice(bots: Path, tmp_path: Path, client: Any) -> None:
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
        client.register_plugin(Poison())
        try:
            result = jwst_dask.run(inputs(bots), "calwebb_spec2", output_dir=tmp_path, chunk=6, client=client, on_error="skip")
        finally:
            client.unregister_worker_plugin("poison")
            client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 3))
    assert result.exit_code == 1 and any("seg002" in text and "--chunk" in text for text in result.failures)
    assert not leftovers(tmp_path) and not any("seg002" in name for name in result.made)


RESUME = [("renamed", 1), ("renamed", 11), ("task", 50), ("laid out", 5),
          *(pytest.param(*case, marks=pytest.mark.slow) for case in (("renamed", 8), ("task", 1), ("task", 20), ("task", 72), ("laid out", 1)))]  # fmt: skip


@pytest.mark.parametrize(("when", "count"), RESUME)
def test_a_killed_client_resumes(bots: Path, tmp_path: Path, expected: dict[str, str], when: str, count: int) -> None:
    """``renamed``: between a product's rename and its line in the ledger."""
    out = tmp_path / "out"
    words = ["run", "auto", *inputs(bots), "--output-dir", str(out), "--chunk", "1", "--threads", "2", "--no-progress",
             "--steps.outlier_detection.rolling_window_width=5"]  # fmt: skip
    assert killed(when, count, words)
    recorded = finished(out)
    if when == "renamed":
        assert len(recorded) == count - 1 and len([p for p in out.iterdir() if p.is_file() and not p.name.startswith(".")]) == count
    assert_resumed(bots, out, expected, recorded)


def finished(out: Path) -> set[str]:
    """Products that the ledger knows."""
    book = out / ".jwst_dask" / "ledger.jsonl"
    return {json.loads(line)["product"] for line in book.read_text().splitlines()} if book.exists() else set()


def assert_resumed(folder: Path, out: Path, expected: dict[str, str], recorded: set[str], client: Any = None) -> None:
    result = jwst_dask.run(inputs(folder), output_dir=out, chunk=1, resume=True, params=WINDOW, client=client)
    assert contents(out) == expected and not leftovers(out)
    assert set(result.made) == {p.name for p in out.iterdir() if p.is_file()} - recorded
    series = not {name for name in recorded if "seg" not in name and "x1dints" in name} or not any(n.endswith("ecsv") for n in recorded)
    tasks = 0
    for segment in ("seg001", "seg002", "seg003"):
        mine = {name.rsplit("_", 1)[1] for name in recorded if segment in name}
        tasks += 12 * (not {"calints.fits", "x1dints.fits"} <= mine)
        tasks += 12 * ("crfints.fits" not in mine or series)
    assert len(result.receipts) == tasks
    assert jwst_dask.run(inputs(folder), output_dir=out, chunk=1, resume=True, params=WINDOW, client=client).made == []


def test_a_killed_client_of_a_cluster_resumes_on_it(bots: Path, tmp_path: Path, expected: dict[str, str], client: Any, cluster: Any) -> None:
    out = tmp_path / "out"
    words = ["run", "auto", *inputs(bots), "--output-dir", str(out), "--chunk", "1", "--scheduler", cluster.scheduler_address,
             "--steps.outlier_detection.rolling_window_width=5"]  # fmt: skip
    client.run(watch, 0.05)
    assert killed("receipt", 30, words)
    assert_resumed(bots, out, expected, finished(out), client)


def test_no_scheduler_there(bots: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    from jwst_dask.cli import main

    def refuse(*args: Any, **keywords: Any) -> None:
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", refuse)
    status = main(["run", "calwebb_spec2", inputs(bots)[0], "--scheduler", "tcp://127.0.0.1:9", "--output-dir", str(tmp_path)])
    assert status == 1 and "no scheduler answers at tcp://127.0.0.1:9" in capfd.readouterr().err
