"""Two worker processes for the tests of a module, in the environment of its ``folder``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Any]:
    """Two workers of 2 GB."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, memory_limit="2GB", dashboard_address=None, host="127.0.0.1") as made:
        yield made


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    """Two workers, undisturbed by earlier tests."""
    from distributed import Client

    with Client(cluster) as made:
        made.wait_for_workers(2, timeout=60)
        made.run(restore)
        yield made


def restore() -> None:
    """In a worker: do tasks as they are done, whatever a test has put in place of that."""
    from jwst_dask.core import blocks

    blocks.process = getattr(blocks, "untouched", blocks.process)
    blocks.untouched = blocks.process  # type: ignore[attr-defined]
