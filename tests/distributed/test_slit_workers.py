"""Exposures with many slits on worker processes: the same bytes, nothing spilled, killed workers and clients cost time only."""

from __future__ import annotations

import glob
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killed import killed
from products import contents, leftovers

import jwst_dask
from jwst_dask import simulate

pytestmark = pytest.mark.distributed
SLITS, NODS = 6, 3


def nods(folder: Path) -> list[str]:
    return sorted(glob.glob(str(folder / "*_nrs1_spec2_asn.json")))


def products(folder: Path) -> dict[str, str]:
    """Content of FITS products; the quality table has times in it."""
    return {name: digest for name, digest in contents(folder).items() if not name.endswith(".ecsv")}


@pytest.fixture(scope="module")
def expected(field: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Content of the products of a run in one thread."""
    out = tmp_path_factory.mktemp("expected-slits")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in simulate.environment(field).items():
            patch.setenv(name, value)
        result = jwst_dask.run(nods(field), output_dir=out, scheduler="sync")
    assert len(result.receipts) == NODS * (SLITS + 1)
    return products(out)


@pytest.fixture(scope="module")
def client(field: Path) -> Iterator[Any]:
    """Two workers of 2 GB."""
    from distributed import Client, LocalCluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**simulate.environment(field), "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True, memory_limit="2GB", dashboard_address=None, host="127.0.0.1") as made,
            Client(made) as one,
        ):
            yield one


def test_threads(mos: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    jwst_dask.run(nods(mos), output_dir=tmp_path, scheduler="threads", threads=3)
    assert products(tmp_path) == expected and not leftovers(tmp_path)


def slow(seconds: float) -> None:
    """In a worker: make tasks slower."""
    from jwst_dask.core import blocks

    real = blocks.process

    def process(task: Any) -> Any:
        time.sleep(seconds)
        return real(task)

    blocks.process = process


def spilled(dask_worker: Any) -> tuple[int, int]:
    """In a worker: bytes on disk for want of memory, and bytes held."""
    return sum(getattr(dask_worker.data, "spilled_total", (0,))), dask_worker.state.nbytes


def test_workers(mos: Path, tmp_path: Path, expected: dict[str, str], client: Any) -> None:
    result = jwst_dask.run(nods(mos), output_dir=tmp_path, client=client)
    assert products(tmp_path) == expected and not leftovers(tmp_path) and len(result.receipts) == NODS * (SLITS + 1)
    for disk, held in client.run(spilled).values():
        assert disk == 0 and held < 1_000_000


def test_a_worker_killed_in_the_middle(mos: Path, tmp_path: Path, expected: dict[str, str], client: Any) -> None:
    client.run(slow, 0.2)
    pids, killed = client.run(os.getpid), []

    def kill() -> None:
        deadline = time.monotonic() + 60
        parts = tmp_path / ".jwst_dask" / "parts"
        while time.monotonic() < deadline and len(list(parts.glob("*.slit"))) < 3:
            time.sleep(0.02)
        while not any(client.processing().values()):
            time.sleep(0.02)
        victim = max(client.processing().items(), key=lambda item: len(item[1]))[0]
        killed.append(victim)
        os.kill(pids[victim], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    result = jwst_dask.run(nods(mos), output_dir=tmp_path, client=client)
    thread.join()
    assert killed and not result.failures and products(tmp_path) == expected and not leftovers(tmp_path)


@pytest.mark.parametrize(("when", "count"), [("renamed", 2), ("renamed", 6), ("task", 5), ("task", 12), ("part", 14)])
def test_a_killed_client_resumes(mos: Path, tmp_path: Path, expected: dict[str, str], when: str, count: int) -> None:
    """``renamed``: between a product's rename and its line in the ledger; ``part``: before a slit's result has its name."""
    out = tmp_path / "out"
    words = ["run", "calwebb_spec2", *nods(mos), "--output-dir", str(out), "--scheduler", "sync", "--no-progress"]
    assert killed(when, count, words)
    parts = {path.name for path in (out / ".jwst_dask" / "parts").glob("*.slit")}
    assert 0 < len(parts) < NODS * SLITS
    result = jwst_dask.run(nods(mos), output_dir=out, resume=True, scheduler="sync")
    done = sum(receipt.name.count(" slit ") for receipt in result.receipts)
    assert done == NODS * SLITS - len(parts)
    assert products(out) == expected and not leftovers(out)
    assert jwst_dask.run(nods(mos), output_dir=out, resume=True).receipts == []


def test_a_changed_input_makes_its_exposure_stale(mos: Path, tmp_path: Path) -> None:
    jwst_dask.run(nods(mos), output_dir=tmp_path, scheduler="sync")
    changed = jwst_dask.run(nods(mos), output_dir=tmp_path, resume=True, scheduler="sync", params={"steps": {"photom": {"apply_time_correction": False}}})
    assert sum(" slit " in receipt.name for receipt in changed.receipts) == NODS * SLITS
    os.utime(next(iter(sorted(mos.glob("*_00003_nrs1_rate.fits")))))
    again = jwst_dask.run(nods(mos)[:1], output_dir=tmp_path, resume=True, scheduler="sync", params={"steps": {"photom": {"apply_time_correction": False}}})
    assert sum(" slit " in receipt.name for receipt in again.receipts) == SLITS  # the third nod is a background of the first
