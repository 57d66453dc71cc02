"""Stage 1 from raw exposures to count rates: the same bytes by every way, products of all kinds."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from astropy.io import fits
from ramp_runs import MODES, digests, raw, scratch, uncals

import jwst_dask
from jwst_dask import simulate
from jwst_dask.core.standalone import run_step

SMALL = {"bots": 300_000, "miri": 2_000_000}
"""Bytes of tiles."""
EVERYTHING: dict[str, Any] = {
    "save_calibrated_ramp": True,
    "steps": {"dq_init": {"save_results": True}, "refpix": {"save_results": True}, "linearity": {"save_results": True, "suffix": "straight"},
              "jump": {"save_results": True}, "ramp_fit": {"save_opt": True}, "gain_scale": {"save_results": True}},
}  # fmt: skip


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two raw segments of each mode."""
    return {mode: raw(mode, tmp_path_factory.mktemp(f"raw-{mode}")) for mode in MODES}


@pytest.fixture(autouse=True)
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products all made at the same time, so that equal ones are equal byte for byte."""
    from astropy.time import Time

    monkeypatch.setattr(Time, "now", classmethod(lambda cls: cls("2025-01-01T00:00:00")))


@pytest.fixture
def where(raws: dict[str, Path], mode: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Raw segments of a mode, CRDS pointing at their references."""
    for name, value in simulate.environment(raws[mode]).items():
        monkeypatch.setenv(name, value)
    return raws[mode]


@pytest.fixture
def small(where: Path, mode: str) -> Iterator[Path]:
    """The same, with tiles so small that all passes have several."""
    with dask.config.set({"jwst_dask.chunks.bytes": SMALL[mode]}):
        yield where


@pytest.fixture(scope="module")
def whole(raws: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Products of each mode, every exposure in one piece, in one thread."""
    from astropy.time import Time

    out = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Time, "now", classmethod(lambda cls: cls("2025-01-01T00:00:00")))
        for mode, folder in raws.items():
            for name, value in simulate.environment(folder).items():
                patch.setenv(name, value)
            made = tmp_path_factory.mktemp(f"whole-{mode}")
            with dask.config.set({"jwst_dask.chunks.bytes": "2GB"}):
                result = jwst_dask.run(uncals(folder), "calwebb_detector1", output_dir=made, scheduler="sync", params=EVERYTHING)
            assert len(result.receipts) == 2
            out[mode] = digests(made)
            assert len(out[mode]) == len(result.made) == 20 and not scratch(made)
    return out


WAYS: dict[str, dict[str, Any]] = {
    "chunk 1": {"chunk": 1, "scheduler": "sync"}, "chunk 3": {"chunk": 3, "threads": 2}, "chunk 7": {"chunk": 7, "threads": 1},
    "1 MB": {"bytes": "1MB", "threads": 2}, "8 MB": {"bytes": "8MB", "threads": 2}, "100 kB": {"bytes": "100kB", "threads": 2}, "defaults": {},
}  # fmt: skip
CASES = [(mode, way) for mode in MODES for way in WAYS if (mode, way) not in (("miri", "100 kB"), ("miri", "chunk 1"))]  # too many tiles


@pytest.mark.parametrize(("mode", "way"), CASES)
def test_every_way_gives_the_same_bytes(where: Path, tmp_path: Path, whole: dict[str, dict[str, str]], mode: str, way: str) -> None:
    options = dict(WAYS[way])
    with dask.config.set({"jwst_dask.chunks.bytes": options.pop("bytes", "48MB")}):
        result = jwst_dask.run(list(reversed(uncals(where))), "calwebb_detector1", output_dir=tmp_path, params=EVERYTHING, **options)
    found = digests(tmp_path)
    assert set(found) == set(whole[mode])
    assert not [name for name in found if found[name] != whole[mode][name]]
    assert not scratch(tmp_path) and len(result.receipts) > (2 if way not in ("8 MB", "defaults") else 1)


@pytest.mark.parametrize("mode", MODES)
def test_products_are_what_they_say(small: Path, tmp_path: Path, mode: str) -> None:
    from stdatamodels.jwst import datamodels

    result = jwst_dask.run(uncals(small)[:1], "calwebb_detector1", output_dir=tmp_path, params=EVERYTHING)
    kinds = {name.removesuffix(".fits").split("_", 4)[-1]: path for name, path in result.products.items()}
    assert set(kinds) == {"dq_init", "refpix", "straight", "jump", "ramp", "fitopt", "0_gain_scale", "1_gain_scale", "rate", "rateints"} \
        or set(kinds) == {"dq_init", "refpix", "straight", "jump", "ramp", "fitopt", "gain_scale", "gain_scaleints", "rate", "rateints"}  # fmt: skip
    nints, (ny, nx) = MODES[mode][2], MODES[mode][1]
    for kind, path in kinds.items():
        with datamodels.open(path) as model:
            model.validate()
            assert model.meta.filename == path.name
            shape = model.data.shape if kind != "fitopt" else model.slope.shape
            assert shape[-2:] == (ny, nx) and (kind == "rate" or "0_" in kind or kind == "gain_scale" or shape[0] == nints), kind
            if kind in ("rate", "rateints"):
                assert type(model).__name__ == {"rate": "ImageModel", "rateints": "CubeModel"}[kind]
                assert np.isfinite(model.data).any() and model.meta.cal_step.ramp_fit == "COMPLETE" and model.meta.bunit_data == "DN/s"
            recorded = model.meta.exposure.primary_cosmic_rays
            assert (recorded is not None) == (kind in ("jump", "ramp", "fitopt", "rate", "rateints", "gain_scale", "gain_scaleints")), kind
    np.testing.assert_array_equal(fits.getdata(kinds["ramp"], "SCI"), fits.getdata(kinds["jump"], "SCI"))
    np.testing.assert_array_equal(fits.getdata(kinds["ramp"], "GROUPDQ"), fits.getdata(kinds["jump"], "GROUPDQ"))


@pytest.mark.parametrize("steps", [{"clean_flicker_noise": {"skip": False, "fit_method": "median", "save_noise": True, "save_mask": True}},
                                   {"ramp_fit": {"algorithm": "LIKELY", "save_opt": True}, "jump": {"flag_4_neighbors": False}}], ids=lambda steps: next(iter(steps)))  # fmt: skip
@pytest.mark.parametrize("mode", ["bots"])
def test_other_ways_to_clean_and_fit(where: Path, tmp_path: Path, mode: str, steps: dict[str, Any]) -> None:
    for name, options in {"whole": {"scheduler": "sync"}, "tiles": {"chunk": 2, "threads": 2}, "bytes": {"bytes": 250_000}}.items():
        with dask.config.set({"jwst_dask.chunks.bytes": options.pop("bytes", "48MB")}):
            jwst_dask.run(uncals(where), "calwebb_detector1", output_dir=tmp_path / name, params={"steps": steps}, **options)
    found = [digests(tmp_path / name) for name in ("whole", "tiles", "bytes")]
    assert found[0] == found[1] == found[2] and len(found[0]) > 4 and not scratch(tmp_path / "tiles")


@pytest.mark.parametrize("mode", ["bots"])
def test_zero_frames_and_saturated_ramps_by_every_way(where: Path, tmp_path: Path, mode: str) -> None:
    """Ramps full from the second group on are fitted by their zero frame or their first group, whichever way they are cut up."""
    with fits.open(uncals(where)[0]) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file if hdu.name != "ASDF"])
    hdus["SCI"].data[:, 1:, 3:9, 10:50] = 65535
    hdus["SCI"].data[2, :, 12:15] = 65535
    hdus.append(fits.ImageHDU((hdus["SCI"].data[:, 0] // 3).astype(np.uint16), name="ZEROFRAME"))
    hdus[0].header["ZEROFRAM"] = True
    path, found = tmp_path / Path(uncals(where)[0]).name, {}
    hdus.writeto(path)
    for name, options in {"whole": {}, "chunk 1": {"chunk": 1}, "100 kB": {"bytes": "100kB"}}.items():
        with dask.config.set({"jwst_dask.chunks.bytes": options.pop("bytes", "2GB")}):
            for suppress in (True, False):
                steps = {**EVERYTHING["steps"], "ramp_fit": {"save_opt": True, "suppress_one_group": suppress}}
                jwst_dask.run(str(path), "calwebb_detector1", output_dir=tmp_path / name / str(suppress), params={**EVERYTHING, "steps": steps}, **options)
        found[name] = [digests(tmp_path / name / str(suppress)) for suppress in (True, False)]
        assert len(found[name][0]) == 10 and not scratch(tmp_path / name / "True")
    assert found["chunk 1"] == found["whole"] == found["100 kB"] and found["whole"][0] != found["whole"][1]
    assert "ZEROFRAME" in fits.open(next((tmp_path / "whole" / "True").glob("*_ramp.fits")))


@pytest.mark.parametrize("mode", ["bots"])
def test_compressed_exposures(small: Path, tmp_path: Path, mode: str) -> None:
    path = Path(uncals(small)[0])
    (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    jwst_dask.run(str(path), "calwebb_tso1", output_dir=tmp_path / "plain")
    result = jwst_dask.run(str(tmp_path / f"{path.name}.gz"), output_dir=tmp_path / "packed")
    assert len(result.made) == 2 and digests(tmp_path / "plain") == digests(tmp_path / "packed") and not scratch(tmp_path / "packed")


def test_settings_have_their_defaults_whatever_happens_to_the_configuration() -> None:
    from jwst_dask.core.config import setting

    kept = dask.config.config.pop("jwst_dask")  # as leaving a `dask.config.set` does, within which the defaults were registered
    try:
        assert setting("on-error") == "raise" and setting("chunks.bytes") == 48_000_000 and setting("chunks.integrations") is None
    finally:
        dask.config.config["jwst_dask"] = kept


# resuming


@pytest.mark.parametrize("mode", MODES)
def test_resume_makes_what_is_stale_and_nothing_else(small: Path, tmp_path: Path, mode: str) -> None:
    files, params = uncals(small), {"steps": {"dq_init": {"save_results": True}}}
    first = jwst_dask.run(files, "calwebb_detector1", output_dir=tmp_path, params=params)
    before = digests(tmp_path)
    assert len(first.made) == 6
    again = jwst_dask.run(files, "calwebb_detector1", output_dir=tmp_path, params=params, resume=True)
    assert again.made == [] and again.receipts == [] and set(again.products) == set(first.products)
    steps = {**params["steps"], "jump": {"rejection_threshold": 4.5}}
    changed = jwst_dask.run(files, "calwebb_detector1", output_dir=tmp_path, params={"steps": steps}, resume=True)
    assert sorted(changed.made) == sorted(name for name in first.made if "_rate" in name)
    next(iter(tmp_path.glob("*seg002*_rate.fits"))).unlink()
    part = jwst_dask.run(files, "calwebb_detector1", output_dir=tmp_path, params={"steps": steps}, resume=True)
    assert [name.rsplit("_", 1)[1] for name in part.made] == ["rate.fits"]
    dq = {name: digest for name, digest in digests(tmp_path).items() if "dq_init" in name}
    assert dq == {name: digest for name, digest in before.items() if "dq_init" in name} and not scratch(tmp_path)
    next(iter(tmp_path.glob("*seg002*_dq_init.fits"))).unlink()
    early = jwst_dask.run(files, "calwebb_detector1", output_dir=tmp_path, params={"steps": steps}, resume=True)
    assert [name.split("_", 4)[-1] for name in early.made] == ["dq_init.fits"]
    assert not any("jump" in receipt.step_seconds for receipt in early.receipts)  # the chain ends where nothing is wanted any more
    assert before[early.made[0]] == digests(tmp_path)[early.made[0]]


# other pipelines, steps alone


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["calwebb_tso1", "calwebb_dark", "tso1.cfg", "Detector1Pipeline", "auto"])
def test_other_pipelines(small: Path, tmp_path: Path, mode: str, name: str) -> None:
    from stdatamodels.jwst import datamodels

    result = jwst_dask.run(uncals(small)[:1], name.replace("tso1.cfg", "calwebb_tso1.cfg"), output_dir=tmp_path)
    kinds = {made.rsplit("_", 1)[1].removesuffix(".fits") for made in result.made}
    assert kinds == ({"dark"} if "dark" in name else {"rate", "rateints"}) and not scratch(tmp_path)
    with datamodels.open(next(iter(result.products.values()))) as model:
        assert model.meta.cal_step.superbias == "COMPLETE" if mode == "bots" else model.meta.cal_step.reset == "COMPLETE"
        assert model.meta.cal_step.dark_sub == (None if "dark" in name else "COMPLETE")
        if "tso1" in name and mode == "miri":
            assert model.meta.cal_step.firstframe == model.meta.cal_step.lastframe == "SKIPPED"


@pytest.mark.parametrize("mode", MODES)
def test_steps_one_after_the_other_are_the_pipeline(where: Path, tmp_path: Path, mode: str) -> None:
    """Each on the file that the one before has made, in small tiles and in one piece."""
    from jwst_dask.pipelines import table

    path = uncals(where)[0]
    order = table.pipeline("detector1").orders[fits.getval(path, "EXP_TYPE")]
    reference = jwst_dask.run(path, "calwebb_detector1", output_dir=tmp_path / "run")
    with fits.open(next(p for n, p in reference.products.items() if "rateints" in n)) as file:
        expected, header = {h.name: h.data for h in file if h.name in ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE")}, file[0].header
    done = {"group_scale", "dark_sub"}
    names = {"dark_current": "S_DARK", "dq_init": "S_DQINIT", "saturation": "S_SATURA", "superbias": "S_SUPERB", "refpix": "S_REFPIX", "linearity": "S_LINEAR",
             "emicorr": "S_EMICOR", "firstframe": "S_FRSTFR", "lastframe": "S_LASTFR", "reset": "S_RESET", "rscd": "S_RSCD", "jump": "S_JUMP"}  # fmt: skip
    for chunk in (None, 2):
        now = path
        for alias in [item for item in order if isinstance(item, str) and item in names and header.get(names[item]) == "COMPLETE"]:
            made = run_step(alias, now, output_dir=tmp_path / f"{chunk}" / alias, chunk=chunk)
            (now,) = map(str, made.products.values())
            done.add(alias)
        result = run_step("ramp_fit", now, output_dir=tmp_path / f"{chunk}" / "fit", chunk=chunk)
        with fits.open(next(p for n, p in result.products.items() if "rateints" in n or "1_" in n)) as file:
            for name, array in expected.items():
                np.testing.assert_array_equal(file[name].data, array, err_msg=f"{name} {chunk}")
            assert file[0].header["PRIMECRS"] == header["PRIMECRS"]
        assert not scratch(tmp_path / f"{chunk}" / "fit") and {"dq_init", "linearity", "jump"} <= done


# plans


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [{}, {"chunk": 2}, {"bytes": "1MB"}, {"bytes": "250kB"}], ids=str)
def test_a_plan_is_what_happens(where: Path, tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    options = dict(options)
    with dask.config.set({"jwst_dask.chunks.bytes": options.pop("bytes", "48MB")}):
        common = {"output_dir": tmp_path / "out", "params": {"steps": {"dq_init": {"save_results": True}}}, **options}
        plan = jwst_dask.plan(uncals(where), "calwebb_detector1", **common)
        assert not (tmp_path / "out").exists()
        result = jwst_dask.run(uncals(where), "calwebb_detector1", **common)
    assert plan.ntasks() == len(result.receipts)
    assert plan.bytes_read() == sum(receipt.bytes_read for receipt in result.receipts)
    assert plan.bytes_written() == sum(path.stat().st_size for path in result.products.values())
    assert {p.final.name for job in plan.jobs for p in job.products()} == set(result.made)
    assert "tasks, reads" in plan.explain(verbose=True) and "groups of" in plan.explain()


MEASURE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import jwst_dask
out, *files = sys.argv[1:]
plan = jwst_dask.plan(files, "calwebb_detector1", output_dir=out, threads=1)
jwst_dask.run(files, "calwebb_detector1", output_dir=out, threads=1)
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([plan.peak_memory(), peak]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory of a process is read from /proc")
def test_memory_is_no_more_than_the_plan_says(tmp_path: Path) -> None:
    simulate.make("lrs_slitless", tmp_path / "in", nsegments=1, nints=24, seed=1, noise=0, uncal=True)
    found = []
    for size in ("8MB", "48MB"):
        environment = {**os.environ, **simulate.environment(tmp_path / "in"), "OMP_NUM_THREADS": "1", "DASK_JWST_DASK__CHUNKS__BYTES": size}
        done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path / size), *uncals(tmp_path / "in")], env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    assert all(measured <= estimate for estimate, measured in found), found


@pytest.mark.parametrize("mode", ["miri"])
@pytest.mark.parametrize("group", [1, 2])
def test_one_selected_group_by_every_way(small: Path, tmp_path: Path, mode: str, group: int) -> None:
    """Ramps of which a user leaves a single group are not fitted, however they are cut, unless that is asked for."""
    found = {}
    for suppress in (True, False):
        for name, size in (("whole", "2GB"), ("tiles", "100kB")):
            with dask.config.set({"jwst_dask.chunks.bytes": size}):
                out = tmp_path / f"{name}{suppress}"
                params = {"steps": {"ramp_fit": {"firstgroup": group, "lastgroup": group, "suppress_one_group": suppress}}}
                jwst_dask.run(uncals(small)[0], "calwebb_detector1", output_dir=out, params=params)
            found[name, suppress] = digests(out)
        assert found["whole", suppress] == found["tiles", suppress]
    assert len(found["whole", False]) == 2 and found["whole", False] != found["whole", True]


@pytest.mark.parametrize("mode", ["bots"])
@pytest.mark.parametrize("but", [0, 40])
def test_a_group_in_which_everything_jumps_by_every_way(where: Path, tmp_path: Path, mode: str, but: int) -> None:
    """With sigma clipping that is taken for no cosmic ray, but not if some pixels of one row do not jump: rows know of one another."""
    with fits.open(uncals(where)[0]) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file if hdu.name != "ASDF"])
    lifted = np.minimum(hdus["SCI"].data[2, 3:].astype(int) + 3000, 65535).astype(np.uint16)
    lifted[:, 17, 60 : 60 + but] = hdus["SCI"].data[2, 3:, 17, 60 : 60 + but]
    hdus["SCI"].data[2, 3:] = lifted
    path, found = tmp_path / Path(uncals(where)[0]).name, {}
    hdus.writeto(path)
    steps = {"jump": {"minimum_sigclip_groups": 4, "rejection_threshold": 1.2, "flag_4_neighbors": False, "save_results": True}, "refpix": {"skip": True}}
    for name, size in (("whole", "2GB"), ("tiles", "100kB")):
        with dask.config.set({"jwst_dask.chunks.bytes": size}):
            jwst_dask.run(str(path), "calwebb_detector1", output_dir=tmp_path / name, params={"steps": steps})
        found[name] = digests(tmp_path / name)
    assert found["whole"] == found["tiles"]
    flags = fits.getdata(next((tmp_path / "whole").glob("*_jump.fits")), "GROUPDQ")[2, 3]
    usable = flags & 3 == 0
    assert usable.sum() > 1000 and np.mean(flags[usable] & 4 > 0) == pytest.approx(int(but > 0), abs=0.02)


@pytest.mark.parametrize("mode", ["miri"])
def test_the_reference_output_goes_along(small: Path, tmp_path: Path, mode: str) -> None:
    """What no step touches is in the ramps that are saved, as numbers of 32 bits, and in no rates."""
    with fits.open(uncals(small)[0]) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file if hdu.name != "ASDF"])
        nints, ngroups, ny, nx = file["SCI"].shape
    counts = np.random.default_rng(1).integers(0, 65536, (nints, ngroups, ny, nx // 4)).astype(np.uint16)
    hdus.append(fits.ImageHDU(counts, name="REFOUT"))
    path = tmp_path / Path(uncals(small)[0]).name
    hdus.writeto(path)
    params = {"save_calibrated_ramp": True, "steps": {"dq_init": {"save_results": True}}}
    planned = jwst_dask.plan(str(path), "calwebb_detector1", output_dir=tmp_path / "out", params=params)
    result = jwst_dask.run(str(path), "calwebb_detector1", output_dir=tmp_path / "out", params=params)
    assert planned.ntasks() == len(result.receipts) and planned.bytes_read() == sum(receipt.bytes_read for receipt in result.receipts)
    for name, made in result.products.items():
        with fits.open(made) as file:
            assert ("REFOUT" in file) == (name.endswith(("_ramp.fits", "_dq_init.fits")))
            if "REFOUT" in file:
                assert file["REFOUT"].data.dtype == np.dtype(">f4") and np.array_equal(file["REFOUT"].data, counts.astype(np.float32))
