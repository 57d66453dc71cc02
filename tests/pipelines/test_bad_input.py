"""What is wrong is said, with the file, the place in it and what to do; nothing half-made gets a final name; the rest is still made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from products import inputs, leftovers

import jwst_dask
from jwst_dask import simulate
from jwst_dask.cli import main
from jwst_dask.core.errors import JwstDaskError

STEM = "jw09901001001_04101_00001-seg00"


@pytest.fixture
def work(bots: Path, tmp_path: Path) -> Path:
    """A folder with two segments to spoil, and their associations."""
    for path in [*inputs(bots)[:2], *map(str, bots.glob("*_spec2_asn.json"))]:
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def second(work: Path) -> Path:
    """The segment that is spoilt."""
    return Path(inputs(work)[1])


Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(work: Path, capfd: pytest.CaptureFixture[str]) -> Say:
    """Run a command on the folder's files; status and what it said."""

    def run(*words: str, files: list[str] | None = None, pipeline: str = "calwebb_spec2") -> tuple[int, str]:
        capfd.readouterr()
        status = main(["run", pipeline, *(files or inputs(work)), "--output-dir", str(work / "out"), *words])
        return status, capfd.readouterr().err

    return run


def finals(work: Path) -> list[str]:
    """Final names in the output folder, short."""
    return sorted(path.name.removeprefix(STEM) for path in (work / "out").iterdir() if path.is_file()) if (work / "out").exists() else []


FIRST_ONLY = ["1_nrs1_calints.fits", "1_nrs1_x1dints.fits"]


def truncate(path: Path) -> list[str]:
    path.write_bytes(path.read_bytes()[:2_000_000])
    return ["truncated in extension DQ,1", "bytes of data expected"]


def no_extension(path: Path) -> list[str]:
    with fits.open(path) as file:
        fits.HDUList([hdu.copy() for hdu in file if hdu.name not in ("DQ", "ASDF")]).writeto(path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)
    return ["extension DQ is missing"]


def other_type(path: Path) -> list[str]:
    fits.setval(path, "EXP_TYPE", value="NRS_IFU")
    return ["EXP_TYPE NRS_IFU", "NRS_BRIGHTOBJ"]


def no_type(path: Path) -> list[str]:
    fits.delval(path, "EXP_TYPE")
    return ["EXP_TYPE"]


def not_fits(path: Path) -> list[str]:
    path.write_text("<html>404</html>")
    return ["not a FITS file"]


def empty(path: Path) -> list[str]:
    path.write_bytes(b"")
    return ["not a FITS file"]


def bad_asdf(path: Path) -> list[str]:
    with fits.open(path) as file:
        info = file["ASDF"].fileinfo()
    raw = bytearray(path.read_bytes())
    raw[info["datLoc"] + 200 : info["datLoc"] + info["datSpan"]] = b"\xff" * (info["datSpan"] - 200)
    path.write_bytes(raw)
    return [path.name]


def other_shape(path: Path) -> list[str]:
    with fits.open(path) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file if hdu.name != "ASDF"])
        hdus["ERR"].data = hdus["ERR"].data[:, :, :-2]
        hdus.writeto(path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)
    return ["ERR has shape", "SCI has"]


SPOILT = [truncate, no_extension, other_type, no_type, not_fits, empty, bad_asdf, other_shape]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda f: f.__name__)
def test_one_spoilt_segment(work: Path, second: Path, say: Say, spoil: Callable[[Path], list[str]]) -> None:
    words = spoil(second)
    status, text = say()
    assert status == 1 and finals(work) == [] and not leftovers(work)
    for word in (*words, second.name):
        assert word in text, text
    assert "Traceback" not in text
    status, text = say("--on-error", "skip")
    assert status == 1 and finals(work) == FIRST_ONLY and not leftovers(work)
    assert "FAILED" in text and all(word in text for word in words)
    record = json.loads(next((work / "out" / ".jwst_dask" / "runs").glob("*.json")).read_text())
    assert len(record["failures"]) == 1 and "FAILED" in record["plan"]


def test_level_3_waits_for_what_failed(work: Path, second: Path, say: Say) -> None:
    whole = second.read_bytes()
    truncate(second)
    status, text = say("--on-error", "skip", pipeline="auto")
    assert status == 1 and finals(work) == ["1_nrs1_calints.fits", "1_nrs1_crfints.fits", "1_nrs1_x1dints.fits"]
    assert "level-3 products not made" in text and "--resume" in text
    second.write_bytes(whole)
    status, _ = say("--resume", pipeline="auto")
    assert status == 0 and len(finals(work)) == 8


def test_a_failure_while_blocks_are_read(work: Path, second: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file shrinks after it was planned."""
    from jwst_dask.core import finish

    carry_out = finish.carry_out

    def shrink(plan: Any, *args: Any, **keywords: Any) -> Any:
        os.truncate(second, 2_000_000)
        return carry_out(plan, *args, **keywords)

    monkeypatch.setattr(finish, "carry_out", shrink)
    status, text = say("--on-error", "skip", "--chunk", "4")
    assert status == 1 and finals(work) == FIRST_ONLY and not leftovers(work)
    assert second.name in text and "integrations" in text
    rows = [json.loads(line) for line in (work / "out" / ".jwst_dask" / "ledger.jsonl").read_text().splitlines()]
    assert sorted(row["product"].removeprefix(STEM) for row in rows if row["status"] == "FAILED") == ["2_nrs1_calints.fits", "2_nrs1_x1dints.fits"]
    assert sorted(row["product"].removeprefix(STEM) for row in rows if row["status"] == "COMPLETE") == FIRST_ONLY


def test_a_segment_twice(work: Path, bots: Path, tmp_path_factory: pytest.TempPathFactory, say: Say) -> None:
    jwst_dask.run(inputs(work)[0], "calwebb_spec2", output_dir=work)
    path = next(work.glob("*_calints.fits"))
    twin = tmp_path_factory.mktemp("twin") / path.name.replace("seg001", "seg009")
    shutil.copy(path, twin)
    status, text = say(files=[str(path), str(twin)], pipeline="calwebb_tso3")
    assert status == 1 and finals(work) == [] and path.name in text and twin.name in text and "twice" in text
    same = tmp_path_factory.mktemp("same") / path.name
    shutil.copy(path, same)
    status, text = say(files=[str(path), str(same)], pipeline="calwebb_tso3")
    assert status == 1 and finals(work) == [] and path.name in text


def test_mixed_instruments_and_modes(work: Path, lrs: Path, say: Say) -> None:
    jwst_dask.run(inputs(work)[0], "calwebb_spec2", output_dir=work)
    path = next(work.glob("*_calints.fits"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in simulate.environment(lrs).items():
            patch.setenv(name, value)
        jwst_dask.run(inputs(lrs)[0], "calwebb_spec2", output_dir=work)
    other = next(work.glob("*mirimage_calints.fits"))
    status, text = say(files=[str(path), str(other)], pipeline="calwebb_tso3")
    assert status == 1 and finals(work) == [] and "different instruments" in text and path.name in text and other.name in text
    changed = work / path.name.replace("seg001", "seg002")
    shutil.copy(path, changed)
    fits.setval(changed, "EXP_TYPE", value="NRS_FIXEDSLIT")
    status, text = say(files=[str(path), str(changed)], pipeline="calwebb_tso3")
    assert status == 1 and finals(work) == [] and "different exposure types" in text


def test_not_a_series(work: Path, say: Say) -> None:
    jwst_dask.run(inputs(work)[0], "calwebb_spec2", output_dir=work)
    path = next(work.glob("*_calints.fits"))
    fits.setval(path, "NINTS", value=1)
    with fits.open(path) as file:
        fits.HDUList([hdu.copy() for hdu in file if hdu.name != "ASDF"]).writeto(work / "x_calints.fits")
    status, text = say(files=[str(work / "x_calints.fits")], pipeline="calwebb_tso3")
    assert status == 1 and "not a time series" in text and "x_calints.fits" in text


def test_no_such_file_or_pipeline(work: Path, say: Say) -> None:
    status, text = say(files=[str(work / "absent_rateints.fits")])
    assert status == 1 and "absent_rateints.fits: no such file" in text
    status, text = say(pipeline="calwebb_image3")
    assert status == 1 and "not available in this version" in text


# references


@pytest.fixture
def shelf(work: Path, bots: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CRDS cache to spoil: links to the files of the simulated one."""
    cache = work / "crds"
    shutil.copytree(bots / "crds", cache, copy_function=os.link)
    monkeypatch.setenv("CRDS_PATH", str(cache))
    return cache


def only(cache: Path, pattern: str) -> Path:
    return next(path for path in cache.rglob(pattern) if "mappings" not in path.parts)


@pytest.mark.parametrize(("pattern", "reftype"), [("*_photom_*", "photom"), ("*_dflat_*", "dflat"), ("*_collimator_*", "collimator"), ("*_extract1d_*", "extract1d")])
def test_a_reference_that_is_not_there(work: Path, shelf: Path, say: Say, pattern: str, reftype: str) -> None:
    gone = only(shelf, pattern)
    gone.unlink()
    status, text = say(files=inputs(work)[:1])
    assert status == 1 and finals(work) == [] and not leftovers(work)
    for word in (reftype, gone.name, "refs prefetch", f"{STEM}1_nrs1_rateints.fits"):
        assert word in text, text


@pytest.mark.parametrize(
    ("pattern", "reftype"),
    [("*_photom_*", "photom"), ("*_dflat_*", "dflat"), ("*_fflat_*", "fflat"), ("*_collimator_*", "collimator"), ("*_extract1d_*", "extract1d"),
     ("*_apcorr_*", "apcorr"), ("*_wavecorr_*", "wavecorr"), ("*_wavelengthrange_*", "wavelengthrange"), ("*_msa_*", "msa")],
)  # fmt: skip
@pytest.mark.parametrize("how", ["garbage", "cut"])
def test_an_unreadable_reference(work: Path, shelf: Path, say: Say, pattern: str, reftype: str, how: str) -> None:
    bad = only(shelf, pattern)
    raw = bad.read_bytes()
    bad.unlink()  # not into the file that others link to
    bad.write_bytes(os.urandom(5000) if how == "garbage" else raw[: len(raw) // 3])
    status, text = say(files=inputs(work)[:1])
    assert status == 1 and finals(work) == [] and not leftovers(work), text
    assert bad.name in text and reftype in text and "Traceback" not in text, text


def test_no_crds_at_all(work: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRDS_PATH", str(work / "nowhere"))
    status, text = say()
    assert status == 1 and "CRDS_PATH" in text and finals(work) == []


def test_no_source_on_the_detector(work: Path, say: Say) -> None:
    status, text = say("--steps.extract_2d.slit_names=S200A2", files=inputs(work)[:1])
    assert status == 64 and finals(work) == [] and "S200A2" in text and "S1600A1" in text


# pixels


def spoil_pixels(path: Path, **planes: tuple[Any, Any]) -> None:
    """Set parts of extensions: name -> (index, value)."""
    with fits.open(path, mode="update") as file:
        for name, (index, value) in planes.items():
            file[name].data[index] = value


def test_an_integration_of_nan_is_a_row_of_nan(work: Path, second: Path) -> None:
    whole = jwst_dask.run(str(second), "calwebb_spec2", output_dir=work / "whole", chunk=5)
    before = fits.getdata(next(p for n, p in whole.products.items() if "x1dints" in n), "EXTRACT1D")
    spoil_pixels(second, SCI=(4, np.nan), ERR=(4, np.nan), VAR_POISSON=(4, np.nan), VAR_RNOISE=(4, np.nan))
    result = jwst_dask.run(str(second), "calwebb_spec2", output_dir=work / "out", chunk=5)
    after = fits.getdata(next(p for n, p in result.products.items() if "x1dints" in n), "EXTRACT1D")
    assert not np.isfinite(after["FLUX"][4]).any()
    assert np.isfinite(before["FLUX"][4]).any()
    others = [i for i in range(len(before)) if i != 4]
    np.testing.assert_array_equal(after["FLUX"][others], before["FLUX"][others])
    third = jwst_dask.run([str(p) for n, p in result.products.items() if "calints" in n], "calwebb_tso3", output_dir=work / "out")
    assert third.exit_code == 0 and len(third.made) == 3


def test_a_detector_with_every_pixel_flagged(work: Path, second: Path) -> None:
    with fits.open(second, mode="update") as file:
        file["DQ"].data[...] |= 1
    result = jwst_dask.run([str(second)], output_dir=work / "out")
    assert result.exit_code == 0
    spectra = fits.getdata(next(p for n, p in result.products.items() if n.endswith("nrs1_x1dints.fits")), "EXTRACT1D")
    assert not np.isfinite(spectra["FLUX"]).any()


# associations


def association(work: Path, *members: str) -> str:
    tree = {"asn_type": "tso3", "asn_rule": "Asn_Lv3TSO", "asn_pool": "none", "asn_id": "o001",
            "products": [{"name": "series", "members": [{"expname": m, "exptype": "science"} for m in members]}]}  # fmt: skip
    path = work / "x_tso3_asn.json"
    path.write_text(json.dumps(tree))
    return str(path)


def test_absent_members_and_paths_that_leave_the_folder(work: Path, say: Say) -> None:
    jwst_dask.run(inputs(work)[0], "calwebb_spec2", output_dir=work)
    there = next(work.glob("*_calints.fits")).name
    cases = [("absent_calints.fits", "does not exist"), ("../outside_calints.fits", "outside"), ("/etc/hostname", "outside")]
    (work / "link_calints.fits").symlink_to("/etc/hostname")
    for member, words in [*cases, ("link_calints.fits", "outside")]:
        path = association(work, there, member)
        status, text = say(files=[path], pipeline="calwebb_tso3")
        assert status == 1 and finals(work) == [] and member in text and words in text, text
    good = work / "good_tso3_asn.json"
    good.write_text(Path(association(work, there)).read_text().replace('"series"', '"good"'))
    bad = association(work, "absent_calints.fits")
    status, text = say("--on-error", "skip", files=[bad, str(good)], pipeline="calwebb_tso3")
    assert status == 1 and "absent_calints.fits" in text
    assert {"good_x1dints.fits", "good_whtlt.ecsv"} <= set(finals(work))


def test_two_inputs_for_one_product(work: Path, say: Say, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / Path(inputs(work)[0]).name
    shutil.copy(inputs(work)[0], other)
    status, text = say(files=[inputs(work)[0], str(other)])
    assert status == 1 and finals(work) == [] and "same product" in text


# disks


@pytest.fixture
def small_disk(work: Path) -> Iterator[Path]:
    """A file system of 6 MB, room for one segment's products."""
    folder = work / "out"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(work: Path, small_disk: Path, say: Say) -> None:
    status, text = say()
    assert status == 1 and finals(work) == [] and not leftovers(work)
    assert "no space left on the disk" in text and "--output-dir" in text
    status, text = say("--on-error", "skip")
    assert status == 1 and finals(work) == FIRST_ONLY and not leftovers(work)
    assert "no space left" in text


def test_a_disk_that_fills_while_blocks_are_written(work: Path, small_disk: Path, say: Say) -> None:
    import dask

    with dask.config.set({"jwst_dask.fits.preallocate": False}):
        status, text = say()
        assert status == 1 and not leftovers(work) and "no space left on" in text.lower()
        assert set(finals(work)) <= {*FIRST_ONLY, *(name.replace("1_", "2_", 1) for name in FIRST_ONLY)}
        for path in small_disk.glob("*.fits"):
            with fits.open(path) as file:
                file.verify("exception")


def test_a_full_disk_by_the_system_call(work: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where nothing can be mounted: the second segment finds no room."""
    import errno

    reserve = os.posix_fallocate
    calls = []

    def full(fd: int, offset: int, size: int) -> None:
        calls.append(size)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    status, text = say("--on-error", "skip")
    assert status == 1 and finals(work) == FIRST_ONLY and not leftovers(work) and "no space left" in text


def test_an_output_folder_that_is_a_file(work: Path, say: Say) -> None:
    (work / "out").write_text("x")
    status, text = say()
    assert status == 1 and "out" in text and "Traceback" not in text


def test_errors_are_of_one_family(work: Path, second: Path) -> None:
    truncate(second)
    with pytest.raises(JwstDaskError, match=second.name):
        jwst_dask.run(str(second), "calwebb_spec2", output_dir=work / "out")
