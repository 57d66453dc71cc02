"""calwebb_spec2 of exposures with many slits: products, choice of slits, parameters by source, failures, resuming, sessions."""

from __future__ import annotations

import glob
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from products import leftovers
from slit_products import quality, slits

import jwst_dask
from jwst_dask.cli import main
from jwst_dask.core.errors import InputError, ParameterError

SUFFIXES = ("cal", "s2d", "x1d")


def nod(folder: Path, number: int = 1, kind: str = "") -> str:
    """Association of a nod (the others are its backgrounds), or of the exposure alone."""
    return next(name for name in glob.glob(str(folder / f"*_0000{number}_nrs1{kind}_spec2_asn.json")))


@pytest.fixture(scope="session")
def whole(field: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Products of the first nod."""
    from jwst_dask import simulate

    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in simulate.environment(field).items():
            patch.setenv(name, value)
        result = jwst_dask.run(nod(field), output_dir=out, scheduler="sync")
        assert result.exit_code == 0
    return out


def product(folder: Path, suffix: str) -> Path:
    return next(path for path in folder.iterdir() if path.name.endswith((f"_{suffix}.fits", f"_{suffix}.ecsv")))


def test_products_are_complete_and_valid(mos: Path, whole: Path) -> None:
    from stdatamodels.jwst import datamodels

    sources = np.load(mos / "truth.npz")["source_id"]
    for suffix, cls in (("cal", "MultiSlitModel"), ("s2d", "MultiSlitModel"), ("x1d", "MultiSpecModel")):
        with datamodels.open(product(whole, suffix)) as model:
            assert type(model).__name__ == cls
            model.validate()
            items = model.spec if suffix == "x1d" else model.slits
            assert {int(item.source_id) for item in items} >= {int(source) for source in sources}
            assert all(item.meta.wcs is not None for item in items)
            assert model.meta.cal_step.assign_wcs == model.meta.cal_step.extract_2d == model.meta.cal_step.photom == "COMPLETE"
    table = quality(product(whole, "quality"))
    assert len(table) == len(slits(product(whole, "cal"))) and set(table["status"]) == {"COMPLETE"}


def test_a_plan_reads_no_pixels_and_says_what_a_run_does(mos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jwst_dask.io import fits as io

    def refuse(*args: Any, **keywords: Any) -> None:
        raise AssertionError("pixels were read")

    with monkeypatch.context() as patch:
        patch.setattr(io, "read_block", refuse)
        plan = jwst_dask.plan(nod(mos), output_dir=tmp_path)
    text = plan.explain()
    assert all(f"_{suffix}.fits" in text for suffix in SUFFIXES) and "pathloss" in text
    result = jwst_dask.run(nod(mos), output_dir=tmp_path, scheduler="sync")
    assert len(result.receipts) == plan.ntasks()


def test_one_source_alone_is_the_same(mos: Path, whole: Path, tmp_path: Path) -> None:
    chosen = str(np.load(mos / "truth.npz")["source_id"][1])
    result = jwst_dask.run(nod(mos), output_dir=tmp_path, scheduler="sync", params={"steps": {"extract_2d": {"source_ids": [chosen]}}})
    assert len(result.receipts) == 2  # the frame and the slit
    for suffix in SUFFIXES:
        mine, all_ = slits(product(tmp_path, suffix)), slits(product(whole, suffix))
        assert len(mine) == 1 and all(all_[name] == content for name, content in mine.items())


def test_a_changed_source_costs_one_slit(mos: Path, whole: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "out")
    source = int(np.load(mos / "truth.npz")["source_id"][0])
    table = jwst_dask.SourceTable.of({source: {"extract_1d": {"position_offset": 1.0}}})
    assert jwst_dask.run(nod(mos), output_dir=out, resume=True).made == []
    result = jwst_dask.run(nod(mos), output_dir=out, resume=True, sources=table, scheduler="sync")
    assert len(result.receipts) == 2 and len(result.made) == 4
    before, after = slits(product(whole, "x1d")), slits(product(out, "x1d"))
    assert [name for name in before if before[name] != after[name]] == [str(slit) for slit in _slits_of(out, source)]
    assert slits(product(whole, "cal")) == slits(product(out, "cal"))


def _slits_of(out: Path, source: int) -> list[str]:
    table = quality(product(out, "quality"))
    return [str(row["slit"]) for row in table if row["source_id"] == source]


def test_a_slit_that_fails_is_left_out(mos: Path, whole: Path, tmp_path: Path) -> None:
    source = int(np.load(mos / "truth.npz")["source_id"][0])
    broken = {source: {"flat_field.user_supplied_flat": str(tmp_path / "absent.fits")}}
    result = jwst_dask.run(nod(mos), output_dir=tmp_path, sources=broken, scheduler="sync")
    assert result.exit_code == 1 and len(result.failures) == 1
    assert f"source {source}" in result.failures[0] and "flat_field" in result.failures[0] and "absent.fits" in result.failures[0]
    table = quality(product(tmp_path, "quality"))
    lost = [str(row["slit"]) for row in table if row["status"] == "FAILED"]
    assert len(lost) == 1 and str(table["failed_step"][table["status"] == "FAILED"][0]) == "flat_field"
    for suffix in SUFFIXES:
        mine, all_ = slits(product(tmp_path, suffix)), slits(product(whole, suffix))
        assert mine == {name: content for name, content in all_.items() if name not in lost}
    again = jwst_dask.run(nod(mos), output_dir=tmp_path, resume=True, scheduler="sync")  # without the cause
    assert again.exit_code == 0 and len(again.receipts) == 2
    for suffix in SUFFIXES:
        assert slits(product(tmp_path, suffix)) == slits(product(whole, suffix))
    assert not leftovers(tmp_path)


def test_nod_and_master_background_in_one_pass(mos: Path, whole: Path, tmp_path: Path) -> None:
    """Each source has what a run of its own with that background gives."""
    mixed, alone = tmp_path / "mixed", tmp_path / "alone"
    source = int(np.load(mos / "truth.npz")["source_id"][1])
    jwst_dask.run(nod(mos), output_dir=mixed, scheduler="sync", sources={source: {"background": "master"}})
    jwst_dask.run(nod(mos, kind="_mbkg"), output_dir=alone, scheduler="sync")
    mine = _slits_of(mixed, source)
    for suffix in SUFFIXES:
        got, nods, master = (slits(product(folder, suffix)) for folder in (mixed, whole, alone))
        assert mine and all(got[name] == (master if name in mine else nods)[name] for name in got)


def test_background_that_is_not_subtracted(mos: Path, tmp_path: Path) -> None:
    source = int(np.load(mos / "truth.npz")["source_id"][1])
    jwst_dask.run(nod(mos), output_dir=tmp_path / "a", scheduler="sync", sources={source: {"background": "none"}})
    jwst_dask.run(nod(mos), output_dir=tmp_path / "b", scheduler="sync", params={"steps": {"bkg_subtract": {"skip": True}, "master_background_mos": {"skip": True}}})
    name = _slits_of(tmp_path / "a", source)[0]
    assert slits(product(tmp_path / "a", "cal"))[name] == slits(product(tmp_path / "b", "cal"))[name]


def test_a_session_gives_the_numbers_of_the_products(mos: Path, whole: Path, no_compute: None) -> None:
    session = jwst_dask.SlitSession(nod(mos))
    assert len(session.slits) == len(slits(product(whole, "cal"))) and "slits" in repr(session)
    tree = session.tree()
    name = next(iter(session.slits))
    found = session.extract(name)
    with fits.open(product(whole, "x1d")) as x1d, fits.open(product(whole, "cal")) as cal:
        ver = next(hdu.ver for hdu in x1d[1:] if hdu.name == "EXTRACT1D" and hdu.header["SLTNAME"] == name)
        np.testing.assert_array_equal(found["x1d"]["flux"], x1d["EXTRACT1D", ver].data["FLUX"])
        ver = next(hdu.ver for hdu in cal[1:] if hdu.name == "SCI" and hdu.header["SLTNAME"] == name)
        assert tree[name]["sci"].shape == cal["SCI", ver].data.shape
        np.testing.assert_array_equal(found["cal"]["sci"], cal["SCI", ver].data)
    moved = session.extract(name, extract_1d={"position_offset": 2.0})
    assert not np.array_equal(moved["x1d"]["flux"], found["x1d"]["flux"], equal_nan=True)
    with pytest.raises(InputError, match="no slit or source nowhere"):
        session.extract("nowhere")


def test_a_lazy_tree(mos: Path, whole: Path) -> None:
    tree = jwst_dask.open_slits(nod(mos))
    with fits.open(product(whole, "cal")) as cal:
        for hdu in cal[1:]:
            if hdu.name == "SCI":
                child = tree[hdu.header["SLTNAME"]]
                assert child.attrs["source_id"] == hdu.header["SOURCEID"]
                np.testing.assert_array_equal(child["sci"].compute(scheduler="threads"), hdu.data)
                np.testing.assert_array_equal(child["dq"].compute(scheduler="threads"), cal["DQ", hdu.ver].data)


def _copy(folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "in"
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("crds"))
    return out


def run(path: str, out: Path, capfd: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    status = main(["run", "calwebb_spec2", path, "--output-dir", str(out), "--no-progress", "--scheduler", "sync", *more])
    return status, capfd.readouterr().err


def _edit(folder: Path, table: str, edit: Any) -> None:
    path = next(folder.glob("*_msa.fits"))
    with fits.open(path, mode="update", memmap=False) as file:
        file[table].data = edit(file[table].data)


def _without(column: str) -> Any:
    return lambda rows: fits.BinTableHDU.from_columns([c for c in rows.columns if c.name.lower() != column]).data


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda folder: next(folder.glob("*_msa.fits")).unlink(), ("_msa.fits",)),
    (lambda folder: next(folder.glob("*_msa.fits")).write_bytes(b"not a file"), ("_msa.fits",)),
    (lambda folder: _edit(folder, "SHUTTER_INFO", lambda rows: rows[rows["msa_metadata_id"] == 99]), ("_msa.fits", "1")),
    (lambda folder: _edit(folder, "SHUTTER_INFO", lambda rows: rows[rows["dither_point_index"] != 1]), ("_msa.fits", "dither")),
    (lambda folder: _edit(folder, "SHUTTER_INFO", _without("source_id")), ("_msa.fits", "source_id")),
])  # fmt: skip
def test_metafiles_that_cannot_be_used(mos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], spoil: Any, words: tuple[str, ...]) -> None:
    folder = _copy(mos, tmp_path)
    spoil(folder)
    status, text = run(nod(folder), tmp_path / "out", capfd)
    assert status == 1 and all(word.lower() in text.lower() for word in words), text
    assert "Traceback" not in text and not list((tmp_path / "out").glob("*.fits"))


def test_a_source_without_entry_goes_on_without_its_name(mos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = _copy(mos, tmp_path)
    _edit(folder, "SOURCE_INFO", lambda rows: rows[1:])
    status, text = run(nod(folder), tmp_path / "out", capfd)
    assert status == 0, text
    assert len(slits(product(tmp_path / "out", "cal"))) >= 5


def test_no_slit_on_this_detector(mos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, text = run(nod(mos), tmp_path, capfd, "--steps.extract_2d.source_ids=424242")
    assert status == 64 and "424242" in text and not list(tmp_path.glob("*.fits"))


def test_a_background_at_another_tilt_is_not_used(mos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = _copy(mos, tmp_path)
    member = next(m["expname"] for m in json.loads(Path(nod(folder)).read_text())["products"][0]["members"] if m["exptype"] == "background")
    with fits.open(folder / member, mode="update") as file:
        file[0].header["GWA_XTIL"] += 1e-4
    assert "tilt" in jwst_dask.plan(nod(folder), output_dir=tmp_path / "out").explain()
    status, _ = run(nod(folder), tmp_path / "out", capfd)
    assert status == 0 and fits.getval(product(tmp_path / "out", "cal"), "S_BKDSUB") == "SKIPPED"


def test_a_table_of_sources_with_mistakes(mos: Path, tmp_path: Path) -> None:
    for content, words in (({424242: {"extract_1d.position_offset": 1}}, "424242"), ({"default": {"extract_1d.no_such": 1}}, "no_such"),
                           ({"default": {"assign_wcs.slit_y_low": -1}}, "assign_wcs")):  # fmt: skip
        with pytest.raises(ParameterError, match=words):
            jwst_dask.run(nod(mos), output_dir=tmp_path, sources=content)
    assert not list(tmp_path.glob("*.fits"))


def test_an_all_nan_exposure_is_carried_through(mos: Path, tmp_path: Path) -> None:
    folder = _copy(mos, tmp_path)
    science = next(m["expname"] for m in json.loads(Path(nod(folder)).read_text())["products"][0]["members"] if m["exptype"] == "science")
    with fits.open(folder / science, mode="update", memmap=False) as file:
        file["SCI"].data[:] = np.nan
    result = jwst_dask.run(nod(folder), output_dir=tmp_path / "out", scheduler="sync")
    table = Table.read(product(tmp_path / "out", "quality"), format="ascii.ecsv")
    assert len(table) and not result.failures or all("slit" in text for text in result.failures)
    with fits.open(product(tmp_path / "out", "cal")) as cal:
        assert np.isnan(cal["SCI", 1].data).all() and (cal["DQ", 1].data & 1).all()
