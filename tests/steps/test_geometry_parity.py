"""Geometry steps against values of the reference implementation, on made-up optics (tests/parity/make_geometry.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geometry_cases as cases
import numpy as np
import pytest

from jwst_dask.core.errors import InputError, NoDataOnDetectorError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Draft
from jwst_dask.steps import step_class

PARITY = Path(__file__).parents[1] / "parity"
FACTS: dict[str, Any] = json.loads((PARITY / "geometry.json").read_text())


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "geometry.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return cases.write(tmp_path_factory.mktemp("optics"))


class Refs:
    """References of one exposure, and which types were looked up."""

    def __init__(self, paths: dict[str, str], values: dict[str, Any]) -> None:
        self.paths, self.asked = cases.chosen(paths, values), set[str]()

    def __call__(self, reftype: str) -> str:
        self.asked.add(reftype)
        return self.paths.get(reftype, "N/A")


def prepare(values: dict[str, Any], params: dict[str, Any], refs: Refs, upto: str = "") -> tuple[Draft, dict[str, Any]]:
    """A draft after the geometry steps (until `upto`), and what each returned."""
    draft, states = Draft(model=cases.exposure(values), path="made-up.fits", nints=1), {}
    for alias in cases.steps_of(values):
        step = step_class(alias).make(**params.get(alias, {}))
        assert step.applies({"exposure.type": values["exposure.type"], "instrument.grating": values.get("instrument.grating")}) is None
        states[alias] = step.prepare(draft, refs)
        if alias == upto:
            break
    return draft, states


def close(a: Any, b: Any) -> bool:
    if isinstance(b, list):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    return bool(np.isclose(a, b, rtol=1e-12, atol=1e-15)) if isinstance(b, float) else bool(a == b)


@pytest.mark.parametrize("name", cases.CASES)
def test_geometry_is_that_of_the_reference(name: str, paths: dict[str, str], golden: dict[str, np.ndarray]) -> None:
    values, params = cases.CASES[name]
    draft, states = prepare(values, params, Refs(paths, values))
    facts, found = FACTS[name], cases.summary(draft.model)
    assert [found["frames"], found["units"], found["axes"]] == [facts["frames"], facts["units"], facts["axes"]]
    wrong = {key: (found["keywords"][key], value) for key, value in facts["keywords"].items() if not close(found["keywords"][key], value)}
    assert not wrong
    assert list(draft.model.data.shape) == facts["shape"]
    np.testing.assert_array_equal(found["box"], golden[f"{name}.box"])
    # rtol: the linear algebra libraries of two machines may round differently.
    np.testing.assert_allclose(found["world"], golden[f"{name}.world"], rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(found["pixel"], golden[f"{name}.pixel"], rtol=1e-9, atol=1e-7)
    assert draft.model.wavelength.dtype == np.float32
    np.testing.assert_allclose(found["wavelength"], golden[f"{name}.wavelength"], rtol=1.2e-7)
    if facts["wavecorr"]:
        assert isinstance(states["wavecorr"], Skip) == (facts["wavecorr"] == "SKIPPED")


@pytest.mark.parametrize("name", cases.CASES)
def test_bounding_box_before_the_cutout(name: str, paths: dict[str, str], golden: dict[str, np.ndarray]) -> None:
    values, params = cases.CASES[name]
    draft, _ = prepare(values, params, Refs(paths, values), "assign_wcs")
    box = draft.model.meta.wcs.bounding_box
    box = box[-104] if values["instrument.name"] == "NIRSPEC" else box
    np.testing.assert_allclose(np.array(box.bounding_box(order="F")), golden[f"{name}.first"], rtol=0, atol=1e-9)


def test_empty_detectors() -> None:
    assert FACTS["empty"] == list(cases.NOTHING_THERE)


@pytest.mark.parametrize("name", cases.NOTHING_THERE)
def test_nothing_on_the_detector(name: str, paths: dict[str, str]) -> None:
    values, params = cases.NOTHING_THERE[name]
    with pytest.raises(NoDataOnDetectorError):
        prepare(values, params, Refs(paths, values))


def test_segments_share_their_geometry(paths: dict[str, str]) -> None:
    first, _ = prepare(cases.BOTS, {}, Refs(paths, cases.BOTS))
    second, _ = prepare(cases.BOTS, {}, Refs(paths, cases.BOTS))
    other, _ = prepare(cases.BOTS | {"wcsinfo.velosys": 1.0}, {}, Refs(paths, cases.BOTS))
    assert first.model.meta.wcs is second.model.meta.wcs
    assert first.model.wavelength is not second.model.wavelength
    assert other.model.meta.wcs is not first.model.meta.wcs
    assert np.nanmax(np.abs(other.model.wavelength - first.model.wavelength)) > 0


def test_lookups(paths: dict[str, str]) -> None:
    refs = Refs(paths, cases.BOTS)
    prepare(cases.BOTS, {}, refs)
    assert refs.asked == {*step_class("assign_wcs").references, "wavecorr"}  # the cut-outs of NIRSpec look up nothing


def test_a_full_wcs_survives_a_file(paths: dict[str, str], tmp_path: Path) -> None:
    """Saved after assign_wcs and read again, an exposure gets the same cut-out."""
    from stdatamodels.jwst import datamodels

    refs = Refs(paths, cases.GRATING)
    draft, _ = prepare(cases.GRATING, {}, refs, "assign_wcs")
    draft.model.save(tmp_path / "a.fits")
    with datamodels.open(tmp_path / "a.fits") as model:
        again = Draft(model=model, path="a.fits", nints=1)
        for alias in ("extract_2d", "srctype", "wavecorr"):
            step_class(alias).make().prepare(again, refs)
        whole, _ = prepare(cases.GRATING, {}, refs)
        np.testing.assert_array_equal(again.model.wavelength, whole.model.wavelength)
        assert cases.summary(again.model)["keywords"] == cases.summary(whole.model)["keywords"]
        again.model.save(tmp_path / "b.fits")
    with datamodels.open(tmp_path / "b.fits") as model:
        model.validate()
        assert model.meta.wcs.available_frames == whole.model.meta.wcs.available_frames


def test_without_a_reference(paths: dict[str, str]) -> None:
    with pytest.raises(ReferenceError_, match=r"camera.*NRS_BRIGHTOBJ.*override_camera"):
        prepare(cases.BOTS, {}, Refs({**paths, "camera": "N/A"}, cases.BOTS))
    with pytest.raises(ReferenceError_, match=r"specwcs.*MIR_LRS-SLITLESS.*override_specwcs"):
        prepare(cases.LRS, {}, Refs({**paths, "specwcs": "/nowhere.fits"}, cases.LRS))
    with pytest.raises(ReferenceError_, match=r"wavecorr.*override_wavecorr"):
        prepare(cases.BOTS, {}, Refs({**paths, "wavecorr": paths["camera"]}, cases.BOTS))
    with pytest.raises(ReferenceError_, match=r"camera reference .*specwcs.fits"):
        prepare(cases.BOTS, {}, Refs({**paths, "camera": paths["specwcs"]}, cases.BOTS))
    _, states = prepare(cases.BOTS, {}, Refs({**paths, "wavecorr": "N/A"}, cases.BOTS))
    assert states["wavecorr"] == Skip("no wavecorr reference")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (cases.BOTS | {"instrument.gwa_tilt": None}, "GWA_TILT"),
        (cases.BOTS | {"wcsinfo.velosys": None, "velocity_aberration.scale_factor": -1.0}, "VA_SCALE"),
        (cases.BOTS | {"subarray.xstart": 513}, "outside the subarray"),
        (cases.LRS | {"subarray.ystart": 1}, r"pixel \(1, 1\)"),
        (cases.LRS | {"exposure.type": "MIR_IMAGE"}, "MIR_IMAGE"),
        (cases.BOTS | {"instrument.filter": None}, "meta.instrument.filter"),
    ],
)
def test_unusable_metadata(values: dict[str, Any], message: str, paths: dict[str, str]) -> None:
    draft, refs = Draft(model=cases.exposure(values), path="made-up.fits", nints=1), Refs(paths, values)
    with pytest.raises(InputError, match=message):
        for alias in ("assign_wcs", "extract_2d"):
            step_class(alias).make().prepare(draft, refs)


def test_order_of_steps(paths: dict[str, str]) -> None:
    refs = Refs(paths, cases.BOTS)
    bare = Draft(model=cases.exposure(cases.BOTS), path="made-up.fits", nints=1)
    with pytest.raises(InputError, match="run assign_wcs before extract_2d"):
        step_class("extract_2d").make().prepare(bare, refs)
    with pytest.raises(InputError, match="run extract_2d first"):
        step_class("wavecorr").make().prepare(bare, refs)
    bare.model.meta.cal_step.assign_wcs = "SKIPPED"
    assert isinstance(step_class("extract_2d").make().prepare(bare, refs), Skip)
    assert isinstance(step_class("wavecorr").make().prepare(bare, refs), Skip)
    done, _ = prepare(cases.BOTS, {}, refs)
    assert isinstance(step_class("assign_wcs").make().prepare(done, refs), Skip)  # a SlitModel
