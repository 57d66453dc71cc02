"""Tasks of slits: small on the wire, plain, deterministic; a plan of slits reads no pixel."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from test_graph import tasks_of
from test_steps import modules

import jwst_dask
from jwst_dask import simulate
from jwst_dask.core.alone import plan_step
from jwst_dask.io import source
from jwst_dask.io.fits import scan


@pytest.fixture(params=["mos", "fs"])
def association(slit_folders: dict[str, Path], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = slit_folders[request.param]
    for name, value in simulate.environment(folder).items():
        monkeypatch.setenv(name, value)
    return str(next(folder.glob("*_00001_*mbkg*_asn.json" if request.param == "mos" else "*_00001_*_asn.json")))


def planned(association: str, folder: Path) -> list[Any]:
    return tasks_of(jwst_dask.plan(association, "calwebb_spec2", output_dir=folder), folder / "states")


def without_run(task: Any) -> Any:
    return type(task).__name__, task.name, task.needs, getattr(task, "order", ()), getattr(task, "steps", ()), str(getattr(task, "spec", ""))


def test_two_plans_make_the_same_tasks(association: str, tmp_path: Path) -> None:
    first, second = (planned(association, tmp_path) for _ in range(2))
    assert [without_run(task) for task in first] == [without_run(task) for task in second]
    assert len({task.name for task in first}) == len(first) and {need for task in first for need in task.needs} <= {task.name for task in first}


def test_tasks_are_plain_and_small(association: str, tmp_path: Path) -> None:
    for task in planned(association, tmp_path):
        words = pickle.dumps(task)
        assert len(words) < 4096, (task.name, len(words))
        assert without_run(pickle.loads(words)) == without_run(task)
        used = modules(cloudpickle.dumps(tuple(task.__dict__.values())))
        assert not used & {"gwcs", "astropy", "asdf", "xarray", "dask"}, used


def test_a_plan_reads_no_pixel_and_writes_nothing(association: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = {str(path): [(h.data_offset, h.data_offset + h.nbytes) for h in scan(path).hdus if h.name in ("SCI", "ERR", "DQ")]
             for path in Path(association).parent.glob("*_rate.fits")}  # fmt: skip
    read, into = source._Local.read, source._Local.into

    def check(name: str, offset: int, n: int) -> None:
        assert not any(offset < b and a < offset + n for a, b in spans.get(name, ())), f"pixels of {name} were read"

    def checked_read(self: Any, offset: int, n: int) -> bytes:
        check(self.name, offset, n)
        return read(self, offset, n)

    def checked_into(self: Any, offset: int, out: Any, what: str) -> None:
        check(self.name, offset, out.nbytes)
        into(self, offset, out, what)

    monkeypatch.setattr(source._Local, "read", checked_read)
    monkeypatch.setattr(source._Local, "into", checked_into)
    text = jwst_dask.plan(association, "calwebb_spec2", output_dir=tmp_path / "out").explain(verbose=True)
    assert not (tmp_path / "out").exists()
    for words in ("extract_2d             run", "resample_spec          run", "_s2d.fits", "fflat: jwst_nirspec_fflat"):
        assert words in text, words


def test_tasks_of_a_step_alone_are_small(association: str, tmp_path: Path) -> None:
    cal = [str(path) for name, path in jwst_dask.run(association, "calwebb_spec2", output_dir=tmp_path).products.items() if name.endswith("_cal.fits")]
    for alias in ("photom", "resample_spec"):
        plan, _ = plan_step(alias, cal, {}, output_dir=tmp_path / "more")
        tasks = tasks_of(plan, tmp_path / "states")
        assert len(tasks) == plan.ntasks() > 1
        for task in tasks:
            assert len(pickle.dumps(task)) < 2048 and pickle.loads(pickle.dumps(task)) == task
