"""Parameter files of every layout."""

from __future__ import annotations

from pathlib import Path

import asdf
import pytest
import yaml

from jwst_dask import simulate
from jwst_dask.core.errors import ParameterError, ReferenceError_
from jwst_dask.refs import pars
from jwst_dask.simulate.shelf import Reference, write_rules

SPEC2 = {
    "class": "jwst.pipeline.calwebb_spec2.Spec2Pipeline", "name": "Spec2Pipeline", "meta": {"author": "x"},
    "parameters": {"save_bsub": True, "pre_hooks": [], "output_ext": ".fits", "override_flat": None},
    "steps": [{"class": "jwst.extract_1d.Extract1dStep", "name": "extract_1d", "parameters": {"smoothing_length": 5, "override_psf": None, "input_dir": ""}},
              {"class": "jwst.photom.PhotomStep", "name": "photom", "parameters": {"skip": True, "override_photom": "N/A"}}],
}  # fmt: skip
EXPECTED = {"save_bsub": True, "steps": {"extract_1d": {"smoothing_length": 5}, "photom": {"skip": True, "override_photom": "N/A"}}}


def _asdf(path: Path, tree: dict) -> str:
    asdf.AsdfFile(tree).write_to(path)
    return str(path)


def test_asdf_and_yaml_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(SPEC2))
    for path in (_asdf(tmp_path / "a.asdf", SPEC2), str(tmp_path / "a.yaml")):
        assert pars.read_pars(path) == EXPECTED
        assert pars.class_of(path) == "Spec2Pipeline"


def test_plain_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("save_bsub: true\nsteps:\n  extract_1d: {smoothing_length: 5}\n  photom: {skip: true, override_photom: N/A}\n")
    assert pars.read_pars(str(tmp_path / "a.yaml")) == EXPECTED
    with pytest.raises(ParameterError, match="no 'class'"):
        pars.class_of(str(tmp_path / "a.yaml"))


def test_first_layout(tmp_path: Path) -> None:
    tree = {"parameters": {"class": "jwst.pipeline.Spec2Pipeline", "name": "Spec2Pipeline", "save_bsub": True,
                           "steps": {"extract_1d": {"smoothing_length": 5}}}}  # fmt: skip
    path = _asdf(tmp_path / "old.asdf", tree)
    assert pars.read_pars(path) == {"save_bsub": True, "steps": {"extract_1d": {"smoothing_length": 5}}}
    assert pars.class_of(path) == "Spec2Pipeline"


def test_step_file_named_by_a_pipeline_file(tmp_path: Path) -> None:
    _asdf(tmp_path / "x1d.asdf", {"class": "Extract1dStep", "name": "extract_1d", "parameters": {"smoothing_length": 5, "bkg_order": 1}})
    (tmp_path / "p.yaml").write_text("steps: {extract_1d: {config_file: x1d.asdf, bkg_order: 2}}")
    assert pars.read_pars(str(tmp_path / "p.yaml"))["steps"]["extract_1d"] == {"smoothing_length": 5, "bkg_order": 2}


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "!!python/object/apply:os.system ['true']\n", "steps: [1, 2]\n", "just text"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match="bad.yaml"):
        pars.read_pars(str(path))
    with pytest.raises(ReferenceError_, match="absent.yaml"):
        pars.read_pars(str(tmp_path / "absent.yaml"))


def test_reference_types() -> None:
    assert pars.reftype("extract_1d") == "pars-extract1dstep" and pars.reftype("bkg_subtract") == "pars-backgroundstep"
    assert pars.reftype("as_slit") is None


def test_from_crds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "crds" / "references" / "jwst" / "nirspec"
    folder.mkdir(parents=True)
    keys = {"META.EXPOSURE.TYPE": "NRS_BRIGHTOBJ"}
    rules = [Reference("NIRSPEC", kind, f"jwst_nirspec_{kind}_0001.asdf", keys) for kind in ("pars-extract1dstep", "pars-spec2pipeline")]
    _asdf(folder / rules[0].name, {"class": "Extract1dStep", "name": "extract_1d", "parameters": {"smoothing_length": 3}})
    _asdf(folder / rules[1].name, SPEC2)
    write_rules(tmp_path / "crds", rules)
    monkeypatch.delenv(pars.DISABLE, raising=False)
    for name, value in simulate.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    header = {"meta.instrument.name": "NIRSPEC", "meta.exposure.type": "NRS_BRIGHTOBJ", "meta.observation.date": "2023-06-05",
              "meta.observation.time": "06:00:00"}  # fmt: skip
    ask = ("pars-spec2pipeline", ["assign_wcs", "extract_1d", "as_slit"], header)
    assert pars.from_crds(*ask) == [("CRDS jwst_nirspec_pars-extract1dstep_0001.asdf", {"steps": {"extract_1d": {"smoothing_length": 3}}}),
                                    ("CRDS jwst_nirspec_pars-spec2pipeline_0001.asdf", EXPECTED)]  # fmt: skip
    assert pars.from_crds("", ["extract_1d"], header | {"meta.exposure.type": "NRS_IFU"}) == []
    monkeypatch.setenv(pars.DISABLE, "true")
    assert pars.from_crds(*ask) == []
