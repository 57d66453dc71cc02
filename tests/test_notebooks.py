"""The notebooks run from top to bottom on data that they simulate, and are kept without outputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def time_series(figures: int, text: str, folder: Path) -> None:
    assert figures == 3
    assert "_whtlt.ecsv" in text and "injected 20000 ppm" in text and "smoothing_length = 5 (user)" in text
    assert (folder / "products/report.html").stat().st_size > 100_000
    assert len(list((folder / "part").glob("*_x1dints.fits"))) == 3


def mos(figures: int, text: str, folder: Path) -> None:
    assert figures == 3
    planned, measured = (float(line.split(":")[1].split()[0]) for line in text.splitlines() if line.startswith(("as planned", "as measured")))
    assert planned < 0.9 and abs(measured - 1) < 0.02
    assert "background: master" in text and "srctype.source_y" in text
    nods = [line.split()[1:4] for line in text.splitlines() if line.endswith("nod by nod")]
    assert len(nods) == 4 and all(abs(float(ratio) - 1) < 0.04 for line in nods for ratio in line)
    assert (folder / "products/report.html").stat().st_size > 20_000 and len(list((folder / "products").glob("*_x1d.fits"))) == 3


def ramps(figures: int, text: str, folder: Path) -> None:
    assert figures == 3
    shares = [float(line.split(":")[1].split("%")[0]) for line in text.splitlines() if "flagged as jumps" in line]
    assert shares == sorted(shares, reverse=True) and 0 < shares[-1] < shares[0] < 2
    assert "injected 20000 ppm" in text and "_whtlt.ecsv" in text and "_rateints.fits" in text
    assert (folder / "ramps/products/report.html").stat().st_size > 100_000


CHECKS = {"time_series": time_series, "mos": mos, "ramps": ramps}


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(CHECKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            assert len(cell.source.splitlines()) <= 15


@pytest.mark.distributed
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWST_DASK_EXAMPLE", str(tmp_path / "example"))
    monkeypatch.setenv("JWST_DASK_EXAMPLE_NINTS", "20")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.delenv("JWST_DASK_SCHEDULER", raising=False)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # figures go into the notebook
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    figures = sum("image/png" in output.get("data", {}) for output in outputs)
    CHECKS[path.stem](figures, "".join(output.get("text", "") for output in outputs), tmp_path / "example")
