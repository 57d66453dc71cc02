"""Both pipelines from count rates to the white-light curve: products, names, classes, side products, and the same numbers by every way."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from products import contents, inputs, leftovers

import jwst_dask
from jwst_dask import simulate, steps
from jwst_dask.cli import main
from jwst_dask.simulate.truth import Truth

MODES = ("bots", "miri")


def environment(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    for name, value in simulate.environment(folder).items():
        patch.setenv(name, value)
    return folder


@pytest.fixture(scope="session")
def made(series: Path, lrs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Products of whole runs by mode."""
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        for mode, folder in (("bots", series), ("miri", lrs)):
            environment(patch, folder)
            out[mode] = tmp_path_factory.mktemp(f"products-{mode}")
            assert jwst_dask.run(inputs(folder), output_dir=out[mode]).exit_code == 0
    return out


@pytest.fixture
def where(request: pytest.FixtureRequest, mode: str) -> Path:
    """Inputs of a mode, CRDS set."""
    return Path(request.getfixturevalue(mode))


CLASSES = {"calints": "SlitModel", "crfints": "SlitModel", "x1dints": "TSOMultiSpecModel"}


@pytest.mark.parametrize("mode", MODES)
def test_products_open_and_validate_as_their_class(made: dict[str, Path], where: Path, mode: str) -> None:
    from stdatamodels.jwst import datamodels

    nsegments = len(inputs(where))
    paths = sorted(made[mode].glob("*.fits"))
    assert len(paths) == 3 * nsegments + 1 and len(list(made[mode].glob("*_whtlt.ecsv"))) == 1 and not leftovers(made[mode])
    for path in paths:
        kind = path.stem.rsplit("_", 1)[1]
        with datamodels.open(path) as model:
            assert type(model).__name__ == CLASSES[kind] == fits.getval(path, "DATAMODL"), path.name
            model.validate()
            assert model.meta.filename == path.name and model.meta.cal_step.assign_wcs == "COMPLETE"
            assert model.meta.calibration_software_version.startswith("jwst_dask") and model.meta.ref_file.crds.context_used == "jwst_0001.pmap"
            if kind != "x1dints":
                assert model.meta.wcs is not None and model.data.shape[0] == fits.getval(path, "NAXIS3", "SCI")
            elif "seg" not in path.name:
                assert len(model.spec) == nsegments and model.meta.cal_step.outlier_detection == "COMPLETE"
        with fits.open(path, checksum=True) as file:
            file.verify("exception")


@pytest.mark.parametrize("mode", MODES)
def test_white_light_recovers_the_injected_depth(made: dict[str, Path], where: Path, tmp_path: Path, mode: str) -> None:
    """Without outlier detection for MIRI: in so short a series of so bright a star a transit is an outlier."""
    from jwst_dask.plots.depth import fit_depth

    folder = made[mode]
    if mode == "miri":
        folder = tmp_path
        files = [str(path) for path in sorted(made[mode].glob("*_calints.fits"))]
        jwst_dask.run(files, "calwebb_tso3", output_dir=folder, params={"steps": {"outlier_detection": {"skip": True}}})
    truth = Truth.load(where)
    curve = QTable.read(next(folder.glob("*_whtlt.ecsv")), format="ascii.ecsv")
    assert len(curve) == len(truth.time)
    depth, error = fit_depth(curve, truth)
    assert abs(depth - truth.depth) < 5 * error and error < truth.depth / 4


@pytest.mark.parametrize("mode", MODES)
def test_lazy_steps_give_what_the_run_wrote(made: dict[str, Path], where: Path, mode: str) -> None:
    path = inputs(where)[0]
    result = jwst_dask.Spec2Pipeline.call(jwst_dask.open(path, chunks={"integration": 5}))
    image = jwst_dask.open(path, chunks={"integration": 3})
    for alias in ("assign_wcs", "extract_2d" if mode == "bots" else "as_slit", "srctype", *(("wavecorr",) if mode == "bots" else ()), "flat_field", "photom"):
        image = getattr(steps, alias)(image)
    stem = Path(path).name.removesuffix("rateints.fits")
    written = jwst_dask.open(made[mode] / f"{stem}calints.fits").load()
    spectra = fits.getdata(made[mode] / f"{stem}x1dints.fits", "EXTRACT1D")
    for lazy in (result["calints"].compute(), image.compute()):
        for name in ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat"):
            np.testing.assert_array_equal(lazy[name].values, written[name].values)
        np.testing.assert_array_equal(lazy["wavelength"].values, written["wavelength"].values)
    for lazy in (result["x1dints"].compute(), steps.extract_1d(image).compute()):
        for name in ("FLUX", "FLUX_ERROR", "NPIXELS", "DQ", "BACKGROUND"):
            np.testing.assert_array_equal(lazy[name.lower()].values, spectra[name])
        np.testing.assert_array_equal(lazy["mjd_avg"].values, spectra["MJD-AVG"])


def test_lazy_outliers_give_what_the_run_wrote(made: dict[str, Path], bots: Path) -> None:
    path = next(made["bots"].glob("*seg002*_calints.fits"))
    found = steps.outlier_detection(jwst_dask.open(path, chunks={"integration": 5})).compute()
    with fits.open(str(path).replace("calints", "crfints")) as file:
        np.testing.assert_array_equal(found["dq"].values, file["DQ"].data)
        np.testing.assert_array_equal(found["sci"].values, file["SCI"].data)


@pytest.mark.parametrize("mode", ["bots", "miri"])
def test_a_rate_image_becomes_cal_and_x1d(mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from stdatamodels.jwst import datamodels

    simulate.make({"bots": "bots_prism", "miri": "lrs_slitless"}[mode], tmp_path / "in", nsegments=1, nints=4, seed=2, rate=True)
    environment(monkeypatch, tmp_path / "in")
    rate = next((tmp_path / "in").glob("*_rate.fits"))
    assert main(["run", "auto", str(rate), "--output-dir", str(tmp_path / "out")]) == 0
    products = {path.name.rsplit("_", 1)[1]: path for path in (tmp_path / "out").glob("*.fits")}
    assert set(products) == {"cal.fits", "x1d.fits"}
    with datamodels.open(products["cal.fits"]) as model:
        assert type(model).__name__ == "SlitModel" and model.data.ndim == 2 and np.isfinite(model.data).any()
        model.validate()
    with datamodels.open(products["x1d.fits"]) as model:
        assert type(model).__name__ == "MultiSpecModel" and np.isfinite(model.spec[0].spec_table["FLUX"]).any()
        model.validate()
    result = jwst_dask.Spec2Pipeline.call(jwst_dask.open(rate))
    np.testing.assert_array_equal(result["cal"]["sci"].values, fits.getdata(products["cal.fits"], "SCI"))
    np.testing.assert_array_equal(result["x1d"]["flux"].values, fits.getdata(products["x1d.fits"], "EXTRACT1D")["FLUX"])


def test_the_tso_configuration_and_old_names(bots: Path, tmp_path: Path, made: dict[str, Path]) -> None:
    from stdatamodels.jwst import datamodels

    path = inputs(bots)[0]
    for name in ("calwebb_tso-spec2", "calwebb_tso-spec2.cfg"):
        assert main(["run", name, path, "--output-dir", str(tmp_path / name)]) == 0
    assert contents(tmp_path / "calwebb_tso-spec2") == contents(tmp_path / "calwebb_tso-spec2.cfg")
    with datamodels.open(next((tmp_path / "calwebb_tso-spec2").glob("*_calints.fits"))) as model:
        assert model.meta.cal_step.wavecorr == "SKIPPED" and model.meta.cal_step.photom == "COMPLETE"


def test_associations_give_the_same_as_files(bots: Path, made: dict[str, Path], tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(bots, work, ignore=shutil.ignore_patterns("crds"))
    second, third = sorted(map(str, work.glob("*spec2_asn.json"))), next(work.glob("*tso3_asn.json"))
    assert main(["run", "calwebb_spec2", *second, "--output-dir", str(work)]) == 0
    assert main(["run", "auto", str(third), "--output-dir", str(work)]) == 0
    stem = json.loads(third.read_text())["products"][0]["name"]
    assert {p.name for p in work.glob(f"{stem}*") if p.suffix != ".json"} == {f"{stem}_x1dints.fits", f"{stem}_whtlt.ecsv"}
    assert sorted(p.name for p in work.glob("*_crfints.fits"))[0].endswith("_o001_crfints.fits")
    ours = contents(work)
    for key, value in contents(made["bots"]).items():
        part = key.replace("jw09901001001_04101_00001_whtlt", f"{stem}_whtlt").replace("jw09901001001_04101_00001_x1dints", f"{stem}_x1dints")
        part = part.replace("_crfints", "_o001_crfints")
        assert "HDRTAB" in part or ours[part] == value, part  # HDRTAB names the association


def test_results_of_steps_and_side_products(bots: Path, tmp_path: Path, made: dict[str, Path]) -> None:
    path = inputs(bots)[0]
    base = Path(path).name.removesuffix("_rateints.fits")
    spec2 = {"assign_wcs": {"save_results": True}, "flat_field": {"save_results": True, "suffix": "flattened", "save_interpolated_flat": True},
             "extract_2d": {"save_results": True, "output_dir": str(tmp_path / "cut"), "output_file": "other"},
             "extract_1d": {"save_scene_model": True, "save_residual_image": True, "save_profile": True}}  # fmt: skip
    out = tmp_path / "out"
    result = jwst_dask.run(path, "calwebb_spec2", output_dir=out, params={"steps": spec2}, chunk=5)
    names = {name.removeprefix(f"{base}_").removesuffix(".fits") for name in result.made}
    assert {"assign_wcs", "flattened", "interpolatedflat", "scene_model", "residual", "profile", "calints", "x1dints"} <= names
    assert (tmp_path / "cut" / "other_extract_2d.fits").exists()
    cal = fits.getdata(out / f"{base}_calints.fits", "SCI")
    np.testing.assert_array_equal(cal, fits.getdata(made["bots"] / f"{base}_calints.fits", "SCI"))
    flat, cut, flattened = (fits.getdata(p, "SCI") for p in (out / f"{base}_interpolatedflat.fits", tmp_path / "cut" / "other_extract_2d.fits",
                                                             out / f"{base}_flattened.fits"))  # fmt: skip
    good = np.isfinite(flattened)
    np.testing.assert_allclose((cut / flat)[good], flattened[good], rtol=1e-6)
    scene, residual = (fits.getdata(out / f"{base}_{kind}.fits", "SCI") for kind in ("scene_model", "residual"))
    assert scene.shape == residual.shape == cal.shape
    inside = np.isfinite(scene) & np.isfinite(residual) & (scene != 0)
    assert inside.any()
    np.testing.assert_allclose((scene + residual)[inside], cal[inside], rtol=1e-5, atol=1e-6 * np.nanmax(np.abs(cal)))
    third = jwst_dask.run(str(out / f"{base}_calints.fits"), "calwebb_tso3", output_dir=out, chunk=5,
                          params={"steps": {"outlier_detection": {"save_intermediate_results": True, "rolling_window_width": 5}}})  # fmt: skip
    median = next(p for n, p in third.products.items() if n.endswith("_median.fits"))
    assert fits.getdata(median, "SCI").shape == cal.shape


@pytest.mark.parametrize(("mode", "what"), [("bots", "assign_wcs"), ("miri", "flat_field"), ("miri", "jwst.assign_wcs.AssignWcsStep")])
def test_strun_of_one_step(where: Path, tmp_path: Path, mode: str, what: str) -> None:
    from stdatamodels.jwst import datamodels

    path = inputs(where)[0]
    status = main(["strun", what, path, "--output_dir", str(tmp_path)])
    assert status == 0
    products = list(tmp_path.glob("*.fits"))
    assert len(products) == 1
    with datamodels.open(products[0]) as model:
        model.validate()
        alias = "flat_field" if what == "flat_field" else "assign_wcs"
        assert getattr(model.meta.cal_step, alias) == "COMPLETE"
        assert np.isfinite(model.data).any()


def test_strun_of_a_pipeline_saves_parameters_that_run_it_again(bots: Path, tmp_path: Path) -> None:
    path, saved = inputs(bots)[0], tmp_path / "pars.asdf"
    assert main(["strun", "calwebb_spec2", path, "--steps.extract_1d.smoothing_length=3", f"--save-parameters={saved}", "--output_dir", str(tmp_path)]) == 0
    plan = jwst_dask.plan(path, "calwebb_spec2", pars_file=str(saved), output_dir=tmp_path)
    assert plan.jobs[0].settings["extract_1d"]["smoothing_length"].value == 3


def test_one_segment(bots: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Products of level 3 have a name of their own, and the missing segments are a warning."""
    logging.getLogger("jwst_dask").propagate = True
    with caplog.at_level("WARNING", logger="jwst_dask"):
        result = jwst_dask.run(inputs(bots)[1], output_dir=tmp_path)
    assert "segments 1, 3 missing" in caplog.text
    assert len(result.made) == len(set(result.made)) == 5
    assert len(QTable.read(next(tmp_path.glob("*_whtlt.ecsv")), format="ascii.ecsv")) == 12


def test_a_missing_segment_is_a_warning(made: dict[str, Path], bots: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("jwst_dask").propagate = True
    files = [str(next(made["bots"].glob(f"*seg00{i}*_calints.fits"))) for i in (1, 3)]
    with caplog.at_level("WARNING", logger="jwst_dask"):
        result = jwst_dask.run(files, "calwebb_tso3", output_dir=tmp_path)
    assert "segment 2 missing" in caplog.text and result.exit_code == 0
    assert len(QTable.read(next(tmp_path.glob("*_whtlt.ecsv")), format="ascii.ecsv")) == 24


def test_two_detectors_make_one_catalogue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulate.make("bots_grating", tmp_path / "in", nsegments=1, nints=4, seed=2, detectors=("NRS1", "NRS2"), shape=(16, 2048))
    environment(monkeypatch, tmp_path / "in")
    result = jwst_dask.run(inputs(tmp_path / "in"), output_dir=tmp_path / "out")
    assert len(result.made) == 8 and not result.failures
    curve = QTable.read(next((tmp_path / "out").glob("*_whtlt.ecsv")), format="ascii.ecsv")
    assert {"whitelight_flux_NRS1", "whitelight_flux_NRS2", "MJD_UTC_NRS1", "BJD_TDB_NRS2"} <= set(curve.colnames) and len(curve) == 4
    joint = fits.open(next(p for p in (tmp_path / "out").glob("*_x1dints.fits") if "nrs" not in p.name))
    assert [hdu.header["DETECTOR"] for hdu in joint if hdu.name == "EXTRACT1D"] == ["NRS1", "NRS2"]
    joint.close()


def test_two_exposures_make_one_catalogue(bots: Path, made: dict[str, Path], tmp_path: Path) -> None:
    """A second exposure an hour later: every integration has its row, in order of time."""
    files = []
    for number in (1, 2):
        source = next(made["bots"].glob("*seg001*_calints.fits"))
        target = tmp_path / source.name.replace("_00001-", f"_0000{number}-")
        shutil.copy(source, target)
        files.append(str(target))
        with fits.open(target, mode="update") as file:
            file[0].header["EXPOSURE"] = f"{number}"
            file[0].header["EXSEGTOT"] = 1
            for column in ("int_start_MJD_UTC", "int_mid_MJD_UTC", "int_end_MJD_UTC"):
                file["INT_TIMES"].data[column] += (number - 1) / 24
    result = jwst_dask.run(files, "calwebb_tso3", output_dir=tmp_path / "out")
    assert len(result.made) == 4
    curve = QTable.read(next((tmp_path / "out").glob("*_whtlt.ecsv")), format="ascii.ecsv")
    column = next(name for name in curve.colnames if name.startswith("MJD_UTC"))
    assert len(curve) == 24 and (np.diff(curve[column]) > 0).all()


def test_report_and_manifest(made: dict[str, Path], bots: Path, tmp_path: Path) -> None:
    from jwst_dask.plots.report import make_report

    page = Path(make_report(made["bots"], tmp_path / "report.html")).read_text()
    assert "calwebb_tso3" in page and "whtlt" in page and "<svg" in page or "data:image" in page
    records = [json.loads(path.read_text()) for path in (made["bots"] / ".jwst_dask" / "runs").glob("*.json")]
    assert len(records) == 2 and all(not record["failures"] and record["blocks"] == 3 for record in records)


def test_fail_on_exception_false_tolerates(bots: Path, tmp_path: Path) -> None:
    broken = tmp_path / Path(inputs(bots)[1]).name
    broken.write_bytes(Path(inputs(bots)[1]).read_bytes()[:100_000])
    result = jwst_dask.run([inputs(bots)[0], str(broken)], "calwebb_spec2", output_dir=tmp_path / "out", params={"fail_on_exception": False})
    assert result.exit_code == 0 and len(result.made) == 2 and len(result.tolerated) == 1
