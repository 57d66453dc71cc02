"""A run of stage 1 imports what it needs and no more: half of its start-up was packages that nobody used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ramp_runs import MODES, raw, uncals

from jwst_dask import simulate

HEAVY = ("gwcs", "asdf_astropy.extensions", "scipy.optimize", "scipy.signal", "scipy.interpolate", "scipy.stats", "scipy.ndimage", "xarray", "matplotlib",
         "distributed", "dask.array")  # fmt: skip
CODE = """
import json, sys, warnings
warnings.simplefilter("ignore")
from jwst_dask.cli import main
status = main(json.loads(sys.argv[1]))
print(json.dumps([status, [name for name in json.loads(sys.argv[2]) if name in sys.modules]]))
"""


def loaded(folder: Path, words: list[str], names: tuple[str, ...]) -> list[str]:
    """Which packages a run has imported."""
    environment = {**os.environ, **simulate.environment(folder)}
    run = subprocess.run([sys.executable, "-c", CODE, json.dumps(words), json.dumps(names)], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    status, found = json.loads(run.stdout.splitlines()[-1])
    assert status == 0, run.stdout + run.stderr
    return list(found)


@pytest.mark.parametrize("mode", MODES)
def test_packages_of_a_run(mode: str, tmp_path: Path) -> None:
    folder = raw(mode, tmp_path / "raw")
    exposure = str(uncals(folder)[0])
    words = ["run", "calwebb_detector1", exposure, "--output-dir", str(tmp_path / "out"), "--no-progress", "--scheduler", "threads"]
    assert loaded(folder, words, HEAVY) == []


def test_crds_is_left_alone_where_all_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = raw("bots", tmp_path / "raw")
    types = ("mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise", "refpix", "sirskernel", "pictureframe", "flat", "pastasoss", "ipc")
    words = ["plan", "calwebb_detector1", str(uncals(folder)[0]), *(f"--override_{name}=N/A" for name in types), "--steps.ramp_fit.skip=true",
             "--steps.jump.skip=true"]  # fmt: skip
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    assert loaded(folder, words, ("crds", *HEAVY)) == []
