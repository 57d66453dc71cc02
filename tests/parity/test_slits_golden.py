"""Our products of simulated slits against kept values of the reference implementation's (make_golden.py), and of small set-ups of the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import golden_cases
import numpy as np
import peer
import pytest
import slit_cases
from digest import differences, digest, unpack
from slit_peer import SlitCase

import jwst_dask
from jwst_dask import simulate
from jwst_dask.data.quality import SUFFIX

GOLDEN = Path(__file__).parent / "golden"
MORE = {"NDRIZ", "RESWHT", "MJD-BEG", "TELAPSE", "XPOSURE", "S_RESAMP", "R_FLAT", "R_DFLAT", "R_FFLAT", "R_SFLAT"}
"""Keywords of the exposure, or of how it was resampled and flat-fielded, that some of our headers have and the reference's lack."""

WHOLE = ("mos_nods", "mos_master", "mos_grating", "fs")
"""Cases that leave the fluxes of point sources as they are."""


def load(name: str) -> dict[str, dict[str, np.ndarray]]:
    """Kept values by product and part."""
    kept: dict[str, dict[str, np.ndarray]] = {}
    for key, value in unpack(GOLDEN / f"{name}.npz").items():
        product, _, part = key.partition("|")
        kept.setdefault(product, {})[part] = value
    return kept


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Simulated exposures by scene, made when first asked for."""

    class Made(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            self[name] = golden_cases.scene(name, str(tmp_path_factory.mktemp(name)))
            return self[name]

    return Made()


@pytest.mark.parametrize("name", golden_cases.SLITS)
def test_golden(name: str, scenes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, chosen, number, steps = golden_cases.SLITS[name]
    truth, kept = scenes[scene], load(name)
    assert golden_cases.print_of(truth) == str(kept.pop("")["exposures"]), "the simulated exposures have changed: run make_golden.py again"
    for variable, value in simulate.environment(truth.folder).items():
        monkeypatch.setenv(variable, value)
    jwst_dask.run(truth.paths([getattr(truth, chosen)[number]]), "calwebb_spec2", params={"steps": steps}, output_dir=str(tmp_path))
    made = {p.name: p for p in tmp_path.iterdir() if p.suffix in (".fits", ".ecsv") and not p.stem.endswith(f"_{SUFFIX}")}
    problems = [f"{product}: made, not kept" for product in sorted(set(made) - set(kept))]
    for product, values in kept.items():
        if product in made:
            problems += [f"{product}: {line}" for line in differences(trimmed(digest(made[product], golden_cases.SLIT_SAMPLES), values), values)]
        else:
            problems.append(f"{product}: not made")
    assert not problems, f"{len(problems)} disagreements\n" + "\n".join(problems)
    if name in WHOLE:
        ratios = [ratio for *_, ratio in truth.ratios(tmp_path.glob("*_x1d.fits"))]
        np.testing.assert_allclose(ratios, 1, atol=0.01)  # of all elements; as in tests/simulate


@pytest.mark.parametrize("name", WHOLE)
def test_reference_recovers_what_was_put_in(name: str, scenes: dict[str, Any]) -> None:
    """The simulated exposures mean to the reference implementation what they were made to mean. 4 %: of each spectrum a few elements are kept."""
    truth = scenes[golden_cases.SLITS[name][0]]
    (values,) = (parts for product, parts in load(name).items() if product.endswith("_x1d.fits"))
    points, found = set(truth.source_id[~truth.extended].tolist()), set()
    for key in (key for key in values if key.startswith("EXTRACT1D,") and key.endswith("|header")):
        part, header = key.partition("|")[0], json.loads(str(values[key]))
        if header["SOURCEID"] in points and header["SRCTYPE"] == "POINT":
            found.add(header["SOURCEID"])
            wavelength, flux = (values[f"{part}[{column}]|sample"].astype(float) for column in ("WAVELENGTH", "FLUX"))
            assert truth.ratio(header["SOURCEID"], wavelength, flux) == pytest.approx(1, abs=0.04)
    assert found == points


@pytest.mark.skipif(peer.oracle() is None, reason="no oracle: set JWST_DASK_ORACLE to its folder")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", [SlitCase("mos", slit_cases.MOS, slit_cases.NOD), SlitCase("fs", slit_cases.FS, slit_cases.FIRST)], ids=lambda case: case.name)
def test_oracle(case: SlitCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real optical model, defaults everywhere."""
    for name, value in peer.environment(case.series.mode).items():
        monkeypatch.setenv(name, value)
    problems = case.problems(tmp_path)
    assert not problems, f"{case.name}: {len(problems)} disagreements\n" + "\n".join(problems)


def trimmed(ours: dict[str, np.ndarray], kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the keywords of `MORE` that are not kept."""
    out = dict(ours)
    for key in (key for key in ours if key.endswith("|header") and key in kept):
        theirs = json.loads(str(kept[key]))
        out[key] = np.array(json.dumps({k: v for k, v in json.loads(str(ours[key])).items() if k in theirs or k not in MORE}))
    return out
