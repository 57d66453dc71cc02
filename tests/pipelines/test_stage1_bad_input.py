"""Raw exposures and references that are spoilt: said with the file and what to do, nothing half-made gets a final name, no scratch is left."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from ramp_runs import MODES, raw, scratch, uncals

import jwst_dask
from jwst_dask import simulate
from jwst_dask.cli import main

Say = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A raw segment of each mode, and its references."""
    return {mode: raw(mode, tmp_path_factory.mktemp(f"spoil-{mode}"), nsegments=1) for mode in MODES}


def own(raws: dict[str, Path], mode: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil; the cache has links to the files of the simulated one."""
    for path in uncals(raws[mode]):
        shutil.copy(path, folder)
    shutil.copytree(raws[mode] / "crds", folder / "crds", copy_function=os.link)
    for name, value in simulate.environment(raws[mode]).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CRDS_PATH", str(folder / "crds"))
    return folder


@pytest.fixture
def work(raws: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A NIRSpec exposure."""
    return own(raws, "bots", tmp_path, monkeypatch)


@pytest.fixture
def miri(raws: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A MIRI exposure."""
    return own(raws, "miri", tmp_path, monkeypatch)


@pytest.fixture
def say(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Say:
    """Run a command on the folder's exposure; status and what it said."""

    def run(*words: str, files: list[str] | None = None, pipeline: str = "calwebb_detector1", chunk: int = 2) -> tuple[int, str]:
        capfd.readouterr()
        status = main(["run", pipeline, *(files or uncals(tmp_path)), "--output-dir", str(tmp_path / "out"), "--no-progress", "--chunk", str(chunk), *words])
        return status, capfd.readouterr().err

    return run


def products(folder: Path) -> list[str]:
    """Final names in the output folder, the last words of them."""
    return sorted(path.name.rsplit("_", 1)[1] for path in (folder / "out").iterdir() if path.is_file()) if (folder / "out").is_dir() else []


def failed(folder: Path, said: tuple[int, str], *words: str, status: int = 1) -> None:
    """Nothing made, nothing left, and the words said."""
    code, text = said
    assert code == status, text
    assert not products(folder) and not scratch(folder / "out") and "Traceback" not in text, text
    for word in words:
        assert word in text, (word, text)


def rewrite(path: str | Path, change: Callable[[fits.HDUList], Any]) -> None:
    """Write a file again, without its tree, after a change."""
    with fits.open(path) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file if hdu.name != "ASDF"])
    change(hdus)
    hdus.writeto(path, overwrite=True)


def only(folder: Path, pattern: str) -> Path:
    return next(path for path in (folder / "crds").rglob(pattern) if "mappings" not in path.parts)


def replaced(folder: Path, pattern: str, change: Callable[[fits.HDUList], Any]) -> Path:
    """Spoil a reference; its simulated original, to which it is a link, stays."""
    path = only(folder, pattern)
    raw_bytes = path.read_bytes()
    path.unlink()
    path.write_bytes(raw_bytes)
    rewrite(path, change)
    return path


# exposures


@pytest.mark.parametrize("size", [300, 3000, 60_000, -2880])
def test_a_truncated_exposure(work: Path, say: Say, size: int) -> None:
    path = Path(uncals(work)[0])
    os.truncate(path, size if size > 0 else path.stat().st_size + size)
    failed(work, say(), path.name)


def test_a_header_without_data(work: Path, say: Say) -> None:
    rewrite(path := uncals(work)[0], lambda hdus: hdus.__delitem__(slice(1, None)))
    failed(work, say(), os.path.basename(path))


def groups(n: int) -> Callable[[fits.HDUList], None]:
    def change(hdus: fits.HDUList) -> None:
        hdus["SCI"].data = hdus["SCI"].data[:, :n].copy()
        hdus[0].header["NGROUPS"] = n

    return change


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_few_groups(raws: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say, mode: str, n: int) -> None:
    """Fitted as well as can be; the same by any tiles."""
    own(raws, mode, tmp_path, monkeypatch)
    rewrite(uncals(tmp_path)[0], groups(n))
    status, text = say()
    made = {path.name.rsplit("_", 1)[1]: fits.getdata(path, "SCI") for path in (tmp_path / "out").glob("*.fits")}
    assert status == 0 and not scratch(tmp_path / "out"), text
    if mode == "miri":  # the first and the last group are not used
        assert "not made" in text or not made or not np.isfinite(made["rate.fits"]).all()
    else:
        assert np.isfinite(made["rate.fits"]).any()
    say(chunk=100)
    for name, data in made.items():
        np.testing.assert_array_equal(fits.getdata(next((tmp_path / "out").glob(f"*_{name}")), "SCI"), data)


def test_one_integration(work: Path, say: Say) -> None:
    def change(hdus: fits.HDUList) -> None:
        hdus["SCI"].data = hdus["SCI"].data[:1].copy()
        hdus[0].header["NINTS"] = 1

    rewrite(uncals(work)[0], change)
    status, text = say()
    assert status == 0 and "rate.fits" in products(work) and not scratch(work / "out"), text


@pytest.mark.parametrize("mode", MODES)
def test_everything_saturated(raws: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say, mode: str) -> None:
    """No count rates, and a word about it, but no failure; the steps before have their results."""
    own(raws, mode, tmp_path, monkeypatch)
    rewrite(uncals(tmp_path)[0], lambda hdus: hdus["SCI"].data.fill(65535))
    status, text = say("--steps.saturation.save_results=true")
    assert status == 0 and products(tmp_path) == ["saturation.fits"] and not scratch(tmp_path / "out"), text
    assert text.count("not made") == 2 and "saturated" in text


def test_zero_frames_that_are_not_there(work: Path, say: Say) -> None:
    rewrite(path := uncals(work)[0], lambda hdus: hdus[0].header.__setitem__("ZEROFRAM", True))
    failed(work, say(), "ZEROFRAM", "ZEROFRAME", os.path.basename(path))


def test_another_number_of_groups(work: Path, say: Say) -> None:
    rewrite(path := uncals(work)[0], lambda hdus: hdus[0].header.__setitem__("NGROUPS", 7))
    failed(work, say(), "NGROUPS is 7", "5 groups", os.path.basename(path))


@pytest.mark.parametrize("keyword", ["TGROUP", "TFRAME", "SUBSIZE1", "SUBSTRT2", "NFRAMES", "GROUPGAP", "READPATT", "SUBARRAY", "DETECTOR", "FASTAXIS", "INSTRUME", "EXP_TYPE"])
def test_keywords_that_are_not_there(work: Path, say: Say, keyword: str) -> None:
    """Refused by name; or it is none that anything depends on."""
    rewrite(path := uncals(work)[0], lambda hdus: hdus[0].header.__delitem__(keyword))
    status, text = say()
    assert "Traceback" not in text and not scratch(work / "out")
    if status:
        failed(work, (status, text), os.path.basename(path))
        assert keyword in text or keyword in ("DETECTOR", "READPATT", "SUBARRAY", "INSTRUME"), text
    else:
        assert keyword not in ("INSTRUME", "EXP_TYPE", "TGROUP", "SUBSIZE1"), keyword


@pytest.mark.parametrize("value", ["NaN", "", 0, -1, 1e30], ids=str)
@pytest.mark.parametrize("keyword", ["TGROUP", "NFRAMES", "GROUPGAP", "INTSTART", "SUBSTRT1", "NGROUPS"])
def test_keywords_that_make_no_sense(work: Path, say: Say, keyword: str, value: Any) -> None:
    """Refused by name; or rates come out, where nothing depends on it."""
    rewrite(path := uncals(work)[0], lambda hdus: hdus[0].header.__setitem__(keyword, value))
    status, text = say()
    assert "Traceback" not in text and not scratch(work / "out"), text
    if status:
        failed(work, (status, text), os.path.basename(path))
    else:
        rate = fits.getdata(next((work / "out").glob("*_rate.fits")), "SCI")
        assert np.isfinite(rate).any() and (keyword, value) not in (("TGROUP", 0), ("TGROUP", "NaN"), ("NGROUPS", 0), ("SUBSTRT1", -1), ("NFRAMES", 0), ("NFRAMES", -1), ("GROUPGAP", -1))


def test_a_rate_given_to_stage_1_and_an_exposure_given_to_stage_2(work: Path, say: Say) -> None:
    path = uncals(work)[0]
    failed(work, say(pipeline="calwebb_spec2"), os.path.basename(path), "calwebb_detector1")
    rate = jwst_dask.run(path, "calwebb_detector1", output_dir=work / "rates").products
    for name, made in rate.items():
        failed(work, say(files=[str(made)]), name, "_uncal")
    failed(work, say(pipeline="calwebb_tso3"), os.path.basename(path))


@pytest.mark.parametrize(("alias", "kind", "words"), [("jump", "rateints", "not an exposure of ramps"), ("guider_cds", "uncal", "FGS_TRACK"),
                                                       ("gain_scale", "uncal", "calwebb_detector1"), ("assign_wcs", "uncal", "calwebb_detector1")])  # fmt: skip
def test_steps_alone_on_what_they_are_not_for(work: Path, capfd: pytest.CaptureFixture[str], alias: str, kind: str, words: str) -> None:
    path = uncals(work)[0]
    if kind != "uncal":
        path = next(str(p) for n, p in jwst_dask.run(path, "calwebb_detector1", output_dir=work / "rates").products.items() if kind in n)
    capfd.readouterr()
    status = main(["strun", alias, path, "--output_dir", str(work / "out")])
    failed(work, (status, capfd.readouterr().err), words, os.path.basename(path))


def test_the_others_are_made(work: Path, say: Say) -> None:
    good = Path(uncals(work)[0])
    bad = good.with_name(good.name.replace("seg001", "seg000"))
    shutil.copy(good, bad)
    os.truncate(bad, 60_000)
    status, text = say("--on-error", "skip")
    assert status == 1 and products(work) == ["rate.fits", "rateints.fits"] and bad.name in text and not scratch(work / "out")


# references


@pytest.mark.parametrize(("pattern", "step"), [("*_saturation_*", "saturation"), ("*_superbias_*", "superbias"), ("*_linearity_*", "linearity"), ("*_dark_*", "dark_current"), ("*_mask_*", "dq_init")])
def test_a_reference_file_that_is_gone(work: Path, say: Say, pattern: str, step: str) -> None:
    """Selected but not in the cache: an error, and where to get it."""
    gone = only(work, pattern)
    gone.unlink()
    failed(work, say(), gone.name, "refs prefetch", step)


@pytest.mark.parametrize(("reftype", "status"), [("superbias", "S_SUPERB"), ("linearity", "S_LINEAR"), ("dark", "S_DARK"), ("saturation", "S_SATURA"), ("mask", "S_DQINIT")])
def test_no_such_reference(work: Path, say: Say, reftype: str, status: str) -> None:
    """None is selected: the step is skipped."""
    code, text = say(f"--override_{reftype}=N/A")
    assert code == 0 and products(work) == ["rate.fits", "rateints.fits"], text
    assert fits.getval(next((work / "out").glob("*_rate.fits")), status) == "SKIPPED"


@pytest.mark.parametrize("reftype", ["gain", "readnoise"])
def test_no_gain_or_noise(work: Path, say: Say, reftype: str) -> None:
    failed(work, say(f"--override_{reftype}=N/A"), reftype, os.path.basename(uncals(work)[0]))


@pytest.mark.parametrize(("pattern", "reftype", "extension"), [("*_superbias_*", "superbias", "SCI"), ("*_dark_*", "dark", "SCI"), ("*_linearity_*", "linearity", "COEFFS"),
                                                               ("*_gain_*", "gain", "SCI"), ("*_mask_*", "mask", "DQ")])  # fmt: skip
def test_a_reference_of_another_subarray(work: Path, say: Say, pattern: str, reftype: str, extension: str) -> None:
    def change(hdus: fits.HDUList) -> None:
        for hdu in hdus:
            if hdu.name in (extension, "ERR", "DQ") and hdu.data is not None and hdu.data.dtype.names is None:
                hdu.data = hdu.data[..., :-9, :-20].copy()
        hdus[0].header["SUBSIZE1"], hdus[0].header["SUBSIZE2"] = hdus[extension].data.shape[-1], hdus[extension].data.shape[-2]

    bad = replaced(work, pattern, change)
    failed(work, say(), reftype, bad.name, os.path.basename(uncals(work)[0]))


@pytest.mark.parametrize(("pattern", "reftype"), [("*_superbias_*", "superbias"), ("*_dark_*", "dark"), ("*_linearity_*", "linearity"), ("*_gain_*", "gain"),
                                                  ("*_readnoise_*", "readnoise"), ("*_mask_*", "mask"), ("*_saturation_*", "saturation")])  # fmt: skip
@pytest.mark.parametrize("how", ["garbage", "cut", "empty"])
def test_an_unreadable_reference(work: Path, say: Say, pattern: str, reftype: str, how: str) -> None:
    bad = only(work, pattern)
    size = bad.stat().st_size
    content = {"garbage": os.urandom(5000), "cut": bad.read_bytes()[: int(size * 0.3)], "empty": b""}[how]
    bad.unlink()
    bad.write_bytes(content)
    failed(work, say(), reftype, bad.name)


@pytest.mark.parametrize("change", [{"READPATT": "SLOWR1"}, {"NFRAMES": 4}, {"GROUPGAP": 2}], ids=str)
def test_a_dark_of_other_readout(miri: Path, say: Say, change: dict[str, Any]) -> None:
    """Not subtracted where the exposure's groups cannot be made of the dark's; which pattern a dark is for is the choice of CRDS."""
    replaced(miri, "*_dark_*", lambda hdus: hdus[0].header.update(change))
    plan = jwst_dask.plan(uncals(miri), "calwebb_detector1").explain()
    assert "READPATT" in change or "skip: the dark has NFRAMES" in plan, plan
    status, text = say()
    assert status == 0 and products(miri) == ["rate.fits", "rateints.fits"] and not scratch(miri / "out"), text
    assert "override_dark" in text and ("pattern SLOWR1" in text) == ("READPATT" in change), text
    assert fits.getval(next((miri / "out").glob("*_rate.fits")), "S_DARK") == ("COMPLETE" if "READPATT" in change else "SKIPPED")


@pytest.mark.parametrize("reftype", ["superbias", "dark", "linearity", "gain", "readnoise"])
def test_a_reference_of_nan(work: Path, say: Say, reftype: str) -> None:
    """Pixels without numbers are not fitted, or flagged; nothing breaks."""

    def change(hdus: fits.HDUList) -> None:
        for hdu in hdus:
            if hdu.data is not None and hdu.data.dtype.names is None and hdu.data.dtype.kind == "f":
                hdu.data[..., 10, 20] = np.nan

    replaced(work, f"*_{reftype}_*", change)
    status, text = say()
    assert status == 0 and products(work) == ["rate.fits", "rateints.fits"], text
    path = next((work / "out").glob("*_rateints.fits"))
    sci, dq = fits.getdata(path, "SCI"), fits.getdata(path, "DQ")
    assert np.isfinite(sci[:, 11, 20]).any() or (dq[:, 11, 20] & 1).all()


# disks


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_a_full_disk(work: Path, say: Say, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """At the first product, the second, or an array of the scratch store."""
    reserve, calls = os.posix_fallocate, []

    def full(fd: int, offset: int, size: int) -> None:
        calls.append(size)
        if len(calls) > first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    failed(work, say(), "o space left", "--output-dir")
    assert len(calls) == first + 1
    monkeypatch.undo()


@pytest.mark.parametrize("first", [4, 6])
def test_a_full_disk_takes_one_exposure(work: Path, say: Say, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """The other one is made."""
    path = Path(uncals(work)[0])
    shutil.copy(path, path.with_name(path.name.replace("seg001", "seg002")))
    reserve, calls = os.posix_fallocate, []

    def full(fd: int, offset: int, size: int) -> None:
        calls.append(size)
        if len(calls) == first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    status, text = say("--on-error", "skip")
    assert status == 1 and products(work) == ["rate.fits", "rateints.fits"] and "o space left" in text and not scratch(work / "out"), text


def test_a_disk_that_fills_while_tiles_are_written(work: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = os.pwrite, []

    def full(fd: int, data: Any, offset: int) -> int:
        calls.append(offset)
        if len(calls) > 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    failed(work, say(), "o space left", os.path.basename(uncals(work)[0]))


def test_an_output_folder_that_cannot_be(work: Path, say: Say) -> None:
    (work / "out").write_text("x")
    status, text = say()
    assert status == 1 and "out" in text and "Traceback" not in text


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_an_output_folder_that_may_not_be_written(work: Path, say: Say) -> None:
    (work / "out").mkdir(mode=0o500)
    failed(work, say(), "Permission denied", str(work / "out"))


def test_a_file_system_that_writes_nothing(work: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Any, flags: int, *more: Any, **keywords: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and "/out/" in os.fspath(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return real(path, flags, *more, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    failed(work, say(), "Read-only file system", "/out/")
