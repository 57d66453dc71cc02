"""Our products of slits against those of the reference implementation, with every parameter away from its default."""

from __future__ import annotations

from pathlib import Path

import peer
import pytest
import slit_cases
from slit_peer import SlitCase

pytestmark = [pytest.mark.skipif(peer.oracle() is None, reason="no oracle: set JWST_DASK_ORACLE to its folder"), pytest.mark.timeout(1800)]


@pytest.mark.peer
@pytest.mark.parametrize("case", slit_cases.CASES, ids=lambda case: case.name)
def test_parameters(case: SlitCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in peer.environment(case.series.mode).items():
        monkeypatch.setenv(name, value)
    problems = case.problems(tmp_path)
    assert not problems, f"{case.name}: {len(problems)} disagreements\n" + "\n".join(problems)
