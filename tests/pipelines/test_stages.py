"""Several stages in one command: one graph, the bytes of the pipelines run apart, nothing passed on through products, resuming, bad exposures."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from astropy.io import fits
from ramp_runs import MODES, digests, raw, scratch, uncals

import jwst_dask
from jwst_dask import simulate
from jwst_dask.cli import main
from jwst_dask.core.errors import JwstDaskError
from jwst_dask.core.execute import run_tasks
from jwst_dask.core.step import Step
from jwst_dask.plots.record import read_plan

SMALL = {"bots": 300_000, "miri": 2_000_000}
"""Bytes of tiles."""


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two raw segments of each mode, and two raw exposures through fixed slits."""
    folders = {mode: raw(mode, tmp_path_factory.mktemp(f"raw-{mode}")) for mode in MODES}
    folders["fs"] = tmp_path_factory.mktemp("raw-fs")
    simulate.make("fs", folders["fs"], nods=2, seed=2, uncal=True)
    return folders


@pytest.fixture(autouse=True)
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products all made at the same time, so that equal ones are equal byte for byte."""
    from astropy.time import Time

    monkeypatch.setattr(Time, "now", classmethod(lambda cls: cls("2025-01-01T00:00:00")))


@pytest.fixture
def small(raws: dict[str, Path], mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Raw exposures of a mode, CRDS pointing at their references, tiles so small that all passes have several."""
    for name, value in simulate.environment(raws[mode]).items():
        monkeypatch.setenv(name, value)
    with dask.config.set({"jwst_dask.chunks.bytes": SMALL.get(mode, 48_000_000)}):
        yield raws[mode]


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """Tasks of all graphs that are carried out."""
    found: list[list[Any]] = []

    def noted(tasks: Any, *more: Any) -> None:
        found.append(list(tasks))
        run_tasks(tasks, *more)

    monkeypatch.setattr("jwst_dask.core.execute.run_tasks", noted)
    return found


def apart(folder: Path, out: Path, params: dict[str, Any] | None = None) -> Any:
    """Results of the pipelines of a series, one after the other by hand; parameters are for stages 2 and 3."""
    first = jwst_dask.run(uncals(folder), "calwebb_tso1", output_dir=out)
    second = jwst_dask.run(passed(first, "rateints"), "calwebb_spec2", output_dir=out, params=params)
    return first, second, jwst_dask.run(passed(second, "calints"), "calwebb_tso3", output_dir=out, params=params)


def passed(result: Any, suffix: str) -> list[str]:
    """Products with a suffix."""
    return [str(path) for name, path in result.products.items() if f"_{suffix}." in name]


@pytest.mark.parametrize("mode", MODES)
def test_the_pipelines_run_apart_make_the_same(small: Path, tmp_path: Path, mode: str, graphs: list[list[Any]]) -> None:
    one = jwst_dask.run(list(reversed(uncals(small))), stages="1,2,3", output_dir=tmp_path / "one")
    assert not scratch(tmp_path / "one") and len(one.made) == 4 and len(graphs) == 1
    first, _, _ = apart(small, tmp_path / "apart")
    found, expected = digests(tmp_path / "one"), digests(tmp_path / "apart")
    assert found == {name: expected[name] for name in found}
    del graphs[:]
    kept = jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path / "kept", save_intermediate=True)
    assert digests(tmp_path / "kept") == expected and set(kept.products) == set(expected) and not scratch(tmp_path / "kept") and len(graphs) == 1
    some = jwst_dask.run(passed(first, "rateints"), stages="2,3", output_dir=tmp_path / "some")
    assert digests(tmp_path / "some") == found and len(some.made) == 4 and len(graphs) == 2


@pytest.mark.parametrize("mode", ["bots"])
def test_tasks_of_a_later_stage_wait_for_their_exposure_only(small: Path, tmp_path: Path, mode: str, graphs: list[list[Any]]) -> None:
    """Each needs one task; those of stage 3 do what stage 2 does, calibrated integrations are not written; nobody reads whole files."""
    result = jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path)
    tasks = [getattr(task, "task", task) for task in graphs[0]]
    by_name = {task.name: task for task in tasks}
    blocks = [task for task in tasks if hasattr(task, "chain") and hasattr(task, "stop")]
    assert len(blocks) == 2 and all([step.alias for step, _ in task.chain][-3:] == ["outlier_detection", "extract_1d", "white_light"] for task in blocks)
    for block in blocks:
        assert "photom" in [step.alias for step, _ in block.chain] and len(block.needs) == 1
        look = by_name[block.needs[0]]
        gate = by_name[look.needs[0]]
        segment = re.search(r"seg\d+", block.name)[0]  # type: ignore[index]
        assert look.step.alias == "extract_1d" and gate.needs and all(segment in name for name in gate.needs)
    written = {Path(write.path).name.rsplit("_", 1)[1].split(".")[0] for task in tasks for write in getattr(task, "writes", ())}
    assert written == {"rateints", "crfints", "x1dints"}
    assert len(result.receipts) == len(tasks)


@pytest.mark.parametrize("mode", ["bots"])
def test_the_plan_is_that_of_the_run(small: Path, tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    planned = jwst_dask.plan(uncals(small), stages="1,2,3", output_dir=tmp_path)
    assert not list(tmp_path.iterdir())
    assert [len(job.exposures) for job in read_plan(planned.explain())] == [2, 2, 2]
    result = jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path)
    assert planned.ntasks() == len(result.receipts) and planned.bytes_read() == sum(receipt.bytes_read for receipt in result.receipts)
    assert main(["plan", "--stages", "1,2,3", *uncals(small), "--output-dir", str(tmp_path / "other")]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("calwebb_tso1:", "calwebb_spec2:", "calwebb_tso3:", "in the blocks of the next stage", f"{planned.ntasks()} tasks"))


@pytest.mark.parametrize("mode", ["bots"])
def test_a_step_that_must_see_pixels_waits_for_the_stage_before(small: Path, tmp_path: Path, mode: str, graphs: list[list[Any]]) -> None:
    """The place of the PSF is found in the first integration, and the template of the spectra depends on it: stage 3 is planned when stage 2 is done."""
    params = {"steps": {"extract_1d": {"extraction_type": "optimal"}}}
    one = jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path / "one", params=params)
    assert len(graphs) == 2 and len(one.made) == 4 and not scratch(tmp_path / "one")
    apart(small, tmp_path / "apart", params)
    found, expected = digests(tmp_path / "one"), digests(tmp_path / "apart")
    assert found == {name: expected[name] for name in found}
    assert len(jwst_dask.plan(uncals(small), stages="1,2,3", output_dir=tmp_path / "plan", params=params).jobs) == 5


@pytest.mark.parametrize("mode", ["bots"])
def test_associations_of_later_stages(small: Path, tmp_path: Path, mode: str, graphs: list[list[Any]]) -> None:
    """They name what the stage before will make; products are named after them."""
    asns = sorted(str(path) for path in small.glob("*_asn.json"))
    result = jwst_dask.run([*uncals(small), *asns], stages="1,2,3", output_dir=tmp_path)
    assert len(graphs) == 1 and len(result.made) == 4
    assert any("t001_nirspec" in name and name.endswith("_whtlt.ecsv") for name in result.made)
    with fits.open(next(tmp_path.glob("*_crfints.fits"))) as file:
        assert file[0].header["PRIMECRS"] > 0


@pytest.mark.parametrize("mode", ["fs"])
@pytest.mark.parametrize("nods", [False, True])
def test_slits_in_one_graph(small: Path, tmp_path: Path, mode: str, nods: bool, graphs: list[list[Any]]) -> None:
    """With nods, exposures are backgrounds of one another: each waits for all that it reads."""
    asns = sorted(small.glob("*_spec2_asn.json")) if nods else []
    sources = {"S200A1": {"extract_1d": {"extract_width": 5}}} if nods else None
    one = jwst_dask.run([*uncals(small), *map(str, asns)], stages="1,2", output_dir=tmp_path / "one", sources=sources)
    planned = jwst_dask.plan([*uncals(small), *map(str, asns)], stages="1,2", output_dir=tmp_path / "plan")
    assert len(graphs) == 1 and len(graphs[0]) == planned.ntasks() == len(one.receipts) and not scratch(tmp_path / "one")
    assert sum("all there" in task.name for task in graphs[0]) == len(asns)
    first = jwst_dask.run(uncals(small), "calwebb_detector1", output_dir=tmp_path / "apart")
    for asn in asns:
        shutil.copy(asn, tmp_path / "apart")
    rates = [str(path) for name, path in first.products.items() if name.endswith("_rate.fits")]
    inputs = [str(tmp_path / "apart" / asn.name) for asn in asns] or rates
    second = jwst_dask.run(inputs, "calwebb_spec2", output_dir=tmp_path / "apart", sources=sources)
    expected = digests(tmp_path / "apart")
    images = [name for name in second.made if name.endswith(".fits")]  # tables of quality have times in them
    assert sorted(one.made) == sorted(second.made) and len(images) == 6
    assert {name: digests(tmp_path / "one")[name] for name in images} == {name: expected[name] for name in images}


@pytest.mark.parametrize("mode", ["bots"])
def test_on_the_command_line(small: Path, tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--output-dir", str(tmp_path / "out"), "--no-progress"]
    assert main(["run", "--stages", "1,2", *uncals(small), "--save-intermediate", *words]) == 0
    assert sorted(name.rsplit("_", 1)[1] for name in digests(tmp_path / "out")) == sorted(2 * ["rate.fits", "rateints.fits", "calints.fits", "x1dints.fits"])
    for given, said in (("1,3", "follow each other"), ("0,1", "1, 2 and 3"), ("a", "numbers"), ("2,3", "does not begin with stage 2"), ("", "--stages")):
        capfd.readouterr()
        status = main(["run", f"--stages={given}", *uncals(small), *words])
        assert status != 0 and said in capfd.readouterr().err or given == ""


# mistakes, failures, resuming


@pytest.mark.parametrize("mode", ["bots"])
def test_a_mistake_of_a_later_stage_shows_before_anything_runs(small: Path, tmp_path: Path, mode: str, graphs: list[list[Any]]) -> None:
    with pytest.raises(JwstDaskError, match="S200A2"):
        jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path, params={"steps": {"extract_2d": {"slit_names": ("S200A2",)}}})
    assert graphs == [] and not scratch(tmp_path)


def broken(monkeypatch: pytest.MonkeyPatch, cls: type[Step], alias: str, after: int) -> None:
    """Let the runs of a step fail after so many."""
    run, count = cls.run, iter(range(10**9))

    def failing(self: Step, block: Any, state: Any) -> Any:
        if next(count) >= after:
            raise JwstDaskError(f"{alias} broke")
        return run(self, block, state)

    monkeypatch.setattr(cls, "run", failing)


@pytest.mark.parametrize("mode", ["bots"])
@pytest.mark.parametrize("after", [0, 2])
def test_resume_after_a_failure_of_a_later_stage(small: Path, tmp_path: Path, mode: str, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates that were finished are kept and used; products that were finished need nothing before them."""
    from jwst_dask.steps import step_class

    with monkeypatch.context() as patch:
        broken(patch, step_class("outlier_detection"), "outlier_detection", after)
        with pytest.raises(JwstDaskError, match="broke"):
            jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path / "out", scheduler="sync")
    rates = {path.name for path in (tmp_path / "out" / ".jwst_dask" / "between").glob("*_rateints.fits")}
    done = set(digests(tmp_path / "out"))
    assert rates and len(done) == after // 2  # a segment is one block, and one look
    again = jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path / "out", resume=True)
    assert not scratch(tmp_path / "out") and len(again.made) == 4 - len(done)
    redone = {re.search(r"seg\d+", receipt.name)[0] for receipt in again.receipts if re.search(r"\[\d+:\d{5}-", receipt.name)}  # type: ignore[index]
    assert not any(segment in name for segment in redone for name in rates)
    jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path / "whole")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("mode", ["bots"])
def test_what_is_done_is_not_done_again(small: Path, tmp_path: Path, mode: str, keep: bool) -> None:
    first = jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path, save_intermediate=keep)
    again = jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path, save_intermediate=keep, resume=True)
    assert len(first.made) == (12 if keep else 4) and again.made == [] and again.receipts == [] and not scratch(tmp_path)
    before = digests(tmp_path)
    next(tmp_path.glob("*seg002*_crfints.fits")).unlink()
    part = jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path, save_intermediate=keep, resume=True)
    assert [name.rsplit("_", 1)[1] for name in part.made] == ["crfints.fits"] and digests(tmp_path) == before
    assert not any("seg001" in receipt.name for receipt in part.receipts)


@pytest.mark.parametrize("mode", ["bots"])
def test_runs_beside_it_are_left_alone(small: Path, tmp_path: Path, mode: str) -> None:
    """What a living run of other exposures has between its stages stays; what a dead one has left goes."""
    between, host = tmp_path / ".jwst_dask" / "between", socket.gethostname()
    for name, pid in (("run-living", os.getpid()), ("run-dead", 2**31 - 1)):
        (between / name).mkdir(parents=True)
        (between / name / "owner").write_text(f"{host} {pid}")
    (between / "jw09902001001_04101_00001-seg001_nrs1_rateints.fits").touch()
    jwst_dask.run(uncals(small), stages="1,2,3", output_dir=tmp_path)
    assert sorted(path.name for path in between.iterdir()) == ["jw09902001001_04101_00001-seg001_nrs1_rateints.fits", "run-living"]


@pytest.mark.parametrize("mode", ["bots"])
def test_an_exposure_that_fails_leaves_the_others(small: Path, tmp_path: Path, mode: str) -> None:
    """Truncated, or saturated in every group of every pixel: named, the rest is made, level 3 is not."""
    paths = uncals(small)
    short = tmp_path / Path(paths[0]).name
    short.write_bytes(Path(paths[0]).read_bytes()[: 2880 * 40])
    full = tmp_path / Path(paths[1]).name
    with fits.open(paths[1]) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file if hdu.name != "ASDF"])
    hdus["SCI"].data[:] = np.uint16(65535)
    hdus.writeto(full)
    for bad, good, said in ((short, paths[1], "truncated"), (full, paths[0], "no ramp can be fitted")):
        out = tmp_path / f"{bad.name}-out"
        result = jwst_dask.run([str(bad), good], stages="1,2,3", output_dir=out, on_error="skip")
        assert [name.rsplit("_", 1)[1] for name in result.made] == ["crfints.fits"]
        assert any(said in text for text in result.failures) and any("level-3" in text for text in result.failures) and result.exit_code == 1
