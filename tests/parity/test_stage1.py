"""Our products of stage 1 against those of the reference implementation, with every parameter away from its default, and however ramps are cut."""

from __future__ import annotations

from pathlib import Path

import peer
import pytest

pytestmark = [pytest.mark.skipif(peer.oracle() is None, reason="no oracle: set JWST_DASK_ORACLE to its folder"), pytest.mark.timeout(1800)]

import stage1_cases  # noqa: E402
from stage1_peer import RampCase  # noqa: E402


@pytest.mark.peer
@pytest.mark.parametrize("case", stage1_cases.CASES, ids=lambda case: case.name)
def test_ramps(case: RampCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in peer.environment(case.series.mode).items():
        monkeypatch.setenv(name, value)
    problems = case.problems(tmp_path)
    assert not problems, f"{case.name}: {len(problems)} disagreements\n" + "\n".join(problems)
