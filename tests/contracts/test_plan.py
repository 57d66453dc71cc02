"""A plan reads no pixel, and what it says is what happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from products import inputs

import jwst_dask
from jwst_dask import simulate
from jwst_dask.data.exposure import CUBES
from jwst_dask.io import source
from jwst_dask.io.fits import scan

MEMORY_FACTOR = 1.35
"""Measured peak of a run over the plan's estimate, at most (and no less than a third of it)."""


@pytest.fixture
def no_pixels(bots: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fail when a byte of an input's pixels is read."""
    spans = {path: [(h.data_offset, h.data_offset + h.nbytes) for h in scan(path).hdus if h.name.lower() in CUBES] for path in inputs(bots)}
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
    return bots


def test_planning_reads_no_pixel_and_writes_nothing(no_pixels: Path, tmp_path: Path) -> None:
    plan = jwst_dask.plan(inputs(no_pixels), output_dir=tmp_path / "out")
    text = plan.explain(verbose=True)
    assert not (tmp_path / "out").exists()
    for words in ("assign_wcs             run", "pathloss               skip: not for EXP_TYPE NRS_BRIGHTOBJ", "fflat: jwst_nirspec_fflat", "ifupost: N/A",
                  "extraction_type = 'box' (default)", "_calints.fits (", "tasks, reads", "peak memory about"):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize("chunk", [None, 5, 1])
def test_tasks_and_bytes_are_those_of_the_run(bots: Path, tmp_path: Path, chunk: int | None) -> None:
    files, params = inputs(bots)[:2], {"steps": {"outlier_detection": {"rolling_window_width": 5}}}
    for alias in ("calwebb_spec2", "calwebb_tso3"):
        own = params if alias == "calwebb_tso3" else {}
        plan = jwst_dask.plan(files, alias, output_dir=tmp_path, chunk=chunk, params=own)
        result = jwst_dask.run(files, alias, output_dir=tmp_path, chunk=chunk, params=own)
        assert plan.ntasks() == len(result.receipts)
        assert plan.bytes_read() == sum(receipt.bytes_read for receipt in result.receipts)
        sizes = [path.stat().st_size for name, path in result.products.items() if name.endswith(".fits")]
        assert plan.bytes_written() == sum(sizes)
        assert {p.final.name for job in plan.jobs for p in job.products()} == set(result.made)
        files = [str(path) for path in sorted(tmp_path.glob("*_calints.fits"))]


MEASURE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import jwst_dask
out, chunk, file = sys.argv[1:]
plan = jwst_dask.plan(file, "calwebb_spec2", output_dir=out, chunk=int(chunk), threads=2)
jwst_dask.run(file, "calwebb_spec2", output_dir=out, chunk=int(chunk), threads=2)
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([plan.peak_memory(), peak, plan.jobs[0].exposures[0].chunks.block_bytes]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory of a process is read from /proc")
def test_memory_is_set_by_chunks_and_near_the_estimate(tmp_path: Path) -> None:
    simulate.make("bots_prism", tmp_path / "in", nsegments=1, nints=240, seed=1, noise=0)
    file = inputs(tmp_path / "in")[0]
    environment = {**os.environ, **simulate.environment(tmp_path / "in"), "OMP_NUM_THREADS": "1"}
    found = []
    for chunk in (20, 120):
        done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path / f"out{chunk}"), str(chunk), file], env=environment, capture_output=True,
                              text=True, check=True)  # fmt: skip
        found.append(json.loads(done.stdout.splitlines()[-1]))
    for estimate, measured, _ in found:
        assert measured < MEMORY_FACTOR * estimate, found
        assert measured > estimate / 3, found
    assert found[0][1] < found[1][1], found
    growth = (found[1][1] - found[0][1]) / (found[1][0] - found[0][0])
    assert growth < 1.1, found  # what a larger block costs is what the plan says, or less
