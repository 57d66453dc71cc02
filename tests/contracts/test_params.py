"""Where parameter values come from, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from products import inputs

import jwst_dask
from jwst_dask.cli import main, parameters
from jwst_dask.core.errors import ParameterError, ReferenceError_
from jwst_dask.core.layers import share
from jwst_dask.core.pipeline import settle
from jwst_dask.core.step import Step
from jwst_dask.pipelines import table
from jwst_dask.pipelines.table import pipeline
from jwst_dask.steps import STEPS, step_class
from jwst_dask.steps.absent import TABLE

SPEC2 = pipeline("calwebb_spec2")


def extract(**values: Any) -> dict[str, Any]:
    return {"steps": {"extract_1d": values}}


def test_the_highest_source_wins_and_is_named() -> None:
    layers = [("CRDS pars-extract1dstep", extract(smoothing_length=1)), ("CRDS pars-spec2pipeline", extract(smoothing_length=2)),
              ("my.yaml", extract(smoothing_length=3)), ("user", extract(smoothing_length=4))]  # fmt: skip
    for count in range(len(layers), 0, -1):
        steps, settings, _ = settle(SPEC2, layers[:count])
        assert steps["extract_1d"].values()["smoothing_length"] == count
        assert (settings["extract_1d"]["smoothing_length"].value, settings["extract_1d"]["smoothing_length"].source) == (count, layers[count - 1][0])
    steps, settings, _ = settle(SPEC2, [])
    assert settings["extract_1d"]["smoothing_length"].source == "default" and steps["extract_1d"].values()["smoothing_length"] is None


def test_a_pipeline_sets_what_nobody_else_does() -> None:
    tso = pipeline("calwebb_tso-spec2")
    steps, settings, _ = settle(tso, [])
    assert steps["wavecorr"].skip and settings["wavecorr"]["skip"].source == "pipeline calwebb_tso-spec2"
    steps, settings, _ = settle(tso, [("user", {"steps": {"wavecorr": {"skip": "false"}}})])
    assert not steps["wavecorr"].skip and settings["wavecorr"]["skip"].source == "user"


def test_overrides_on_step_and_pipeline() -> None:
    steps, _, _ = settle(SPEC2, [("user", {"override_wavelengthrange": "all.asdf", "steps": {"extract_2d": {"override_wavelengthrange": "N/A"}}})])
    assert steps["assign_wcs"].overrides == {"wavelengthrange": "all.asdf"}
    assert steps["extract_2d"].overrides == {"wavelengthrange": "N/A"}
    steps, _, _ = settle(SPEC2, [("file", {"steps": {"extract_2d": {"override_wavelengthrange": "N/A"}}}), ("user", {"override_wavelengthrange": "all.asdf"})])
    assert steps["extract_2d"].overrides == {"wavelengthrange": "all.asdf"}
    assert not steps["photom"].overrides


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"steps": {"extract_3d": {}}}, ["extract_3d", "extract_2d"]),
        ({"steps": {"photom": {"inverted": True}}}, ["photom", "inverted", "inverse"]),
        ({"steps": {"photom": {"override_flat": "x"}}}, ["photom", "flat", "photom, area"]),
        ({"override_nothing": "x"}, ["nothing"]),
        ({"fail": True}, ["fail", "fail_on_exception"]),
        (extract(bkg_order=-1), ["extract_1d.bkg_order", "-1"]),
        (extract(bkg_fit="cubic"), ["extract_1d.bkg_fit", "cubic", "poly, mean, median"]),
        (extract(smoothing_length="3.5"), ["extract_1d.smoothing_length", "3.5", "whole number"]),
        (extract(apply_apcorr="perhaps"), ["extract_1d.apply_apcorr", "perhaps", "true or false"]),
        (extract(position_offset="left"), ["extract_1d.position_offset", "left", "a number"]),
    ],
)
def test_mistakes_are_named_with_what_would_do(given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        settle(SPEC2, [("user", given)])
    assert all(word in str(caught.value) for word in words), caught.value


def test_text_becomes_values() -> None:
    step = step_class("extract_1d").make(smoothing_length="5", apply_apcorr="False", position_offset="-1.5", bkg_fit="None", center_xy="3, 4.5")
    assert [step.values()[n] for n in ("smoothing_length", "apply_apcorr", "position_offset", "bkg_fit", "center_xy")] == [5, False, -1.5, None, (3.0, 4.5)]


def test_command_lines_become_values() -> None:
    words = ["--steps.extract_1d.smoothing_length=3", "--override_flat", "N/A", "--steps.photom.skip", "--fail_on_exception=false"]
    assert parameters(words) == {"steps": {"extract_1d": {"smoothing_length": "3"}, "photom": {"skip": "true"}}, "override_flat": "N/A",
                                 "fail_on_exception": "false"}  # fmt: skip
    for bad in (["x"], ["--steps.photom=1"], ["--steps.a.b.c=1"]):
        with pytest.raises(ParameterError):
            parameters(bad)


@pytest.mark.parametrize("alias", [*STEPS, *TABLE])
def test_every_step_accepts_its_own_defaults_and_explains_its_parameters(alias: str) -> None:
    cls = step_class(alias)
    default = cls()
    assert cls.make(**default.values()) == default
    assert issubclass(cls, Step) and all(f.metadata.get("help") for f in cls.parameters().values())


def test_a_chain_of_pipelines_shares_its_parameters() -> None:
    given = {"override_wavelengthrange": "w", "fail_on_exception": False, "steps": {"outlier_detection": {"snr": "9 4"}, "flat_field": {"inverse": True}, "extract_1d": {"bkg_fit": "mean"}}}
    spec2, tso3 = (share(pipeline(name), given) for name in ("calwebb_spec2", "calwebb_tso3"))
    assert set(spec2["steps"]) == {"flat_field", "extract_1d"} and spec2["fail_on_exception"] is False
    assert set(tso3["steps"]) == {"outlier_detection", "extract_1d"} and "fail_on_exception" not in tso3 and tso3["override_wavelengthrange"] == "w"
    for wrong in ({"typo": 1}, {"steps": {"typo": {}}}, {"override_typo": "x"}):
        with pytest.raises(ParameterError, match="typo"):
            share(SPEC2, wrong)


def test_a_mistake_in_the_second_pipeline_shows_before_the_first_runs(bots: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="rolling_window_width"):
        jwst_dask.run(inputs(bots), output_dir=tmp_path / "out", params={"steps": {"outlier_detection": {"rolling_window_width": "wide"}}})
    assert not list(tmp_path.rglob("*.fits"))


def test_file_and_command_line_together(bots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pars = tmp_path / "mine.yaml"
    pars.write_text(yaml.safe_dump({"fail_on_exception": False, "steps": {"extract_1d": {"smoothing_length": 7, "bkg_fit": "mean"},
                                                                          "outlier_detection": {"snr": "6 4"}}}))  # fmt: skip
    assert main(["plan", "auto", inputs(bots)[0], "--output-dir", str(tmp_path), "--pars", str(pars), "--steps.extract_1d.smoothing_length=3",
                 "--steps.white_light.min_wavelength=1", "--steps.flat_field.override_dflat=N/A"]) == 0  # fmt: skip
    text = capsys.readouterr().out
    assert "smoothing_length = 3 (user)" in text and "bkg_fit = 'mean' (mine.yaml)" in text and "fail_on_exception = False (mine.yaml)" in text
    assert "override_dflat = 'N/A' (user)" in text
    assert main(["plan", "calwebb_spec2", inputs(bots)[0], "--steps.extract_1d.typo=3"]) == 1
    assert "typo" in capsys.readouterr().err


def test_an_override_is_used_and_recorded(bots: Path, tmp_path: Path) -> None:
    from shutil import copy

    mine = Path(copy(next(bots.glob("crds/**/jwst_nirspec_photom_*.fits")), tmp_path / "mine.fits"))
    job = jwst_dask.plan(inputs(bots)[0], "calwebb_spec2", params={"override_photom": str(mine), "override_dflat": "N/A"}, output_dir=tmp_path).jobs[0]
    stages = {stage.step.alias: stage for stage in job.exposures[0].stages}
    assert stages["photom"].references["photom"] == str(mine) == stages["photom"].recorded["photom"]
    assert stages["flat_field"].references["dflat"] == "N/A"
    with pytest.raises(ReferenceError_, match="absent.fits"):
        jwst_dask.plan(inputs(bots)[0], "calwebb_spec2", params={"override_photom": "absent.fits"}, output_dir=tmp_path)


def test_old_names_and_exposure_types_choose_pipelines() -> None:
    assert pipeline("calwebb_tso3.cfg").alias == "calwebb_tso3" and pipeline("calwebb_tso-spec2.cfg").alias == "calwebb_tso-spec2"
    assert pipeline("jwst.pipeline.Spec2Pipeline").alias == "calwebb_spec2"
    assert table.stage_for("NRS_BRIGHTOBJ", "rateints") == "calwebb_spec2" and table.stage_for("NRS_BRIGHTOBJ", "calints") == "calwebb_tso3"
    assert table.stage_for("MIR_DARKIMG", "rateints") is None and table.stage_for("NRS_MIMF", "calints") in ("calwebb_image3", None)
    for name, words in (("calwebb_ami3", "not available"), ("calwebb_nothing", "is not a pipeline")):
        with pytest.raises(ParameterError, match=words):
            pipeline(name)
