"""Our products of simulated exposures against kept values of the reference implementation's (make_golden.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import golden_cases
import numpy as np
import pytest
from digest import differences, digest

import jwst_dask
from jwst_dask import simulate

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Simulated exposures by scene, made when first asked for."""

    class Made(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            self[name] = golden_cases.scene(name, str(tmp_path_factory.mktemp(name)))
            return self[name]

    return Made()


def load(name: str) -> dict[str, dict[str, np.ndarray]]:
    """Kept values by product and part."""
    out: dict[str, dict[str, np.ndarray]] = {}
    with np.load(GOLDEN / f"{name}.npz") as file:
        for i, key in enumerate(json.loads(str(file["names"]))):
            product, _, part = key.partition("|")
            out.setdefault(product, {})[part] = file[f"a{i}"]
    return out


@pytest.mark.parametrize("name", golden_cases.CASES)
def test_golden(name: str, scenes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, second, third = golden_cases.CASES[name]
    truth, kept = scenes[scene], load(name)
    assert golden_cases.print_of(truth) == str(kept.pop("")["exposures"]), "the simulated exposures have changed: run make_golden.py again"
    for variable, value in simulate.environment(truth.folder).items():
        monkeypatch.setenv(variable, value)
    folder = Path(truth.folder)
    jwst_dask.run([str(folder / str(asn)) for asn in truth.level2], "calwebb_spec2", params={"steps": second}, output_dir=str(tmp_path))
    for asn in truth.level3 if third is not None else ():
        shutil.copy(folder / str(asn), tmp_path)
        jwst_dask.run([str(tmp_path / str(asn))], "calwebb_tso3", params={"steps": third}, output_dir=str(tmp_path))
    made = {p.name: p for p in tmp_path.iterdir() if p.suffix in (".fits", ".ecsv")}
    problems = [f"{product}: made, not kept" for product in sorted(set(made) - set(kept))]
    for product, values in kept.items():
        problems += [f"{product}: {line}" for line in differences(digest(made[product]), values)] if product in made else [f"{product}: not made"]
    assert not problems, f"{len(problems)} disagreements\n" + "\n".join(problems)
