"""Our products against those of the reference implementation, on exposures and references of the oracle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cases
import peer
import pytest

import jwst_dask
from jwst_dask.core.errors import JwstDaskError

pytestmark = [pytest.mark.skipif(peer.oracle() is None, reason="no oracle: set JWST_DASK_ORACLE to its folder"), pytest.mark.timeout(1800)]


def second(case: peer.Case, out: Path) -> str:
    """Run our spec2 on the exposures of a case; returns what went wrong."""
    associations = [str(asn) for series in case.series for asn in series.associations("spec2")]
    try:
        jwst_dask.run(associations, "calwebb_spec2", params={"steps": peer.filled(case, case.spec2)}, output_dir=str(out))
    except JwstDaskError as error:
        return str(error)
    return ""


def third(case: peer.Case, calibrated: Path, out: Path) -> str:
    """Run our tso3 on our calibrated segments; returns what went wrong."""
    out.mkdir()
    for path in calibrated.glob("*_calints.fits"):
        os.link(path, out / path.name)
    try:
        jwst_dask.run([str(peer.join(case, out))], "calwebb_tso3", params={"steps": peer.filled(case, case.tso3 or {})}, output_dir=str(out))
    except JwstDaskError as error:
        return str(error)
    finally:
        for path in out.glob("*_calints.fits"):
            path.unlink()
    return ""


def check(case: peer.Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both pipelines on a case; asserts that nothing disagrees."""
    wanted = peer.second(case)
    final = peer.third(case) if case.tso3 is not None and not peer.failure(wanted) and list(wanted.glob("*_calints.fits")) else None
    for name, value in peer.environment(case.mode).items():
        monkeypatch.setenv(name, value)
    problems: list[str] = []
    went = second(case, folder / "spec2")
    if bool(went) != bool(peer.failure(wanted)) and not (case.goes_on and not went):
        problems.append(f"spec2: ours: {went or 'no error'}; reference: {peer.failure(wanted) or 'no error'}")
    pairs = [(folder / "spec2", wanted)]
    if final is not None:
        went = third(case, folder / "spec2", folder / "tso3")
        if bool(went) != bool(peer.failure(final)) and not (case.goes_on and not went):
            problems.append(f"tso3: ours: {went or 'no error'}; reference: {peer.failure(final) or 'no error'}")
        pairs.append((folder / "tso3", final))
    problems += [line for line in peer.compared(pairs) if not (case.goes_on and line.endswith(peer.EXTRA))]
    problems = [line for line in problems if not any(part in line for part in case.differs)]
    assert not problems, f"{case.name}: {len(problems)} disagreements\n" + "\n".join(problems)


@pytest.mark.parametrize("case", cases.SMALL, ids=lambda case: case.name)
def test_small(case: peer.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(case, tmp_path, monkeypatch)


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line makes the same products: spec2 and tso3 in one run, chosen by exposure type."""
    case = cases.SMALL[0]
    for name, value in peer.environment(case.mode).items():
        monkeypatch.setenv(name, value)
    inputs = [str(asn) for asn in case.series[0].associations("spec2")]
    for pipeline, out in (("calwebb_spec2", "spec2"), ("calwebb_tso3", "tso3")):
        if out == "tso3":
            (tmp_path / out).mkdir()
            for path in (tmp_path / "spec2").glob("*_calints.fits"):
                shutil.copy(path, tmp_path / out)
            inputs = [str(peer.join(case, tmp_path / out))]
        done = subprocess.run([sys.executable, "-m", "jwst_dask.cli", "run", pipeline, *inputs, "--output-dir", str(tmp_path / out), "--no-progress"],
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        for path in (tmp_path / out).glob("*_calints.fits") if out == "tso3" else ():
            path.unlink()
    assert peer.compared([(tmp_path / "spec2", peer.second(case)), (tmp_path / "tso3", peer.third(case))]) == []


@pytest.mark.peer
@pytest.mark.parametrize("case", cases.FULL, ids=lambda case: case.name)
def test_full(case: peer.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(case, tmp_path, monkeypatch)


@pytest.mark.peer
@pytest.mark.parametrize("case", cases.PARAMETERS, ids=lambda case: case.name)
def test_parameters(case: peer.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(case, tmp_path, monkeypatch)
