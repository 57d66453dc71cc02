"""Shared fixtures: simulated series, the oracle if it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("STPIPE_DISABLE_CRDS_STEPPARS", "true")


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with three segments of twelve integrations (NIRSpec PRISM), its references and truth."""
    from jwst_dask import simulate

    folder = tmp_path_factory.mktemp("bots")
    simulate.make("bots_prism", folder, nsegments=3, nints=12, seed=3)
    return folder


@pytest.fixture(scope="session")
def lrs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with two segments of eight integrations (MIRI LRS slitless)."""
    from jwst_dask import simulate

    folder = tmp_path_factory.mktemp("lrs")
    simulate.make("lrs_slitless", folder, nsegments=2, nints=8, seed=4)
    return folder


@pytest.fixture(scope="session")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with three nods of six NIRSpec MOS slitlets (PRISM), their metafile, references and truth."""
    from jwst_dask import simulate

    folder = tmp_path_factory.mktemp("mos")
    simulate.make("mos_prism", folder, nsources=3, nextended=1, nbackground=2, seed=5)
    return folder


@pytest.fixture
def mos(field: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`field`, with CRDS pointing at its references."""
    return _here(field, monkeypatch)


@pytest.fixture
def bots(series: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`series`, with CRDS pointing at its references."""
    return _here(series, monkeypatch)


@pytest.fixture
def miri(lrs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`lrs`, with CRDS pointing at its references."""
    return _here(lrs, monkeypatch)


def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from jwst_dask import simulate

    for name, value in simulate.environment(folder).items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def no_compute() -> Iterator[None]:
    """Fail if dask computes anything."""
    import dask

    def refuse(dsk: object, keys: object, **kwargs: object) -> None:
        raise AssertionError("computed while building a graph")

    with dask.config.set(scheduler=refuse):
        yield
