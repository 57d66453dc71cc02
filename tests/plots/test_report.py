"""The report: complete, self-contained, escaped; and the figures behind it, in bounded memory."""

from __future__ import annotations

import json
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from jwst_dask.core.errors import InputError
from jwst_dask.plots import record, series
from jwst_dask.plots.quicklook import plot_dataset, plot_series, plot_whitelight, spread
from jwst_dask.plots.report import make_report

NASTY = "<script>alert('x')</script> & \"q\""
PLAN = f"""jwst_dask 0.1.0, CRDS context jwst_0001.pmap, on this process: 1 worker x 2 threads

calwebb_spec2: a-seg001_nrs1 (1 exposure)
  pipeline.fail_on_exception = False (user)
  assign_wcs             run
    distortion: jwst_distortion.asdf
  pixel_replace          skip: skip = True
  extract_1d             run
    smoothing_length = 5 (user)
    bkg_fit = {NASTY} (pars.asdf)
    log_increment = 50 (default)
    extract1d: jwst_extract1d.json
  a-seg001_nrs1_rateints.fits: 4 integrations to 5 x 7, 1 blocks of 4
    -> a-seg001_nrs1_calints.fits (0.1 MB)

calwebb_spec2: a-seg002_nrs1 (1 exposure)
  pipeline.fail_on_exception = False (user)
  assign_wcs             run
    distortion: jwst_distortion.asdf
  pixel_replace          skip: skip = True
  extract_1d             run
    smoothing_length = 5 (user)
    bkg_fit = {NASTY} (pars.asdf)
    log_increment = 50 (default)
    extract1d: jwst_extract1d.json
  FAILED a-seg002: {NASTY}
  a-seg002_nrs1_rateints.fits: 4 integrations to 5 x 7, 1 blocks of 4

2 tasks, reads 0.1 MB, writes 0.1 MB, peak memory about 400 MB per worker
"""


def spectra(path: Path, parts: list[tuple[str, np.ndarray]], wavelength: np.ndarray) -> Path:
    hdus = [fits.PrimaryHDU()]
    hdus[0].header.update({"INSTRUME": "NIRSPEC", "TARGNAME": NASTY[:40], "EXP_TYPE": "NRS_BRIGHTOBJ", "S_WCS": "COMPLETE", "R_FLAT": "crds://f.fits"})
    first = 0
    for detector, flux in parts:
        rows = np.zeros(len(flux), [("INT_NUM", "i4"), ("WAVELENGTH", "f8", flux.shape[1:]), ("FLUX", "f8", flux.shape[1:]), ("TDB-MID", "f8")])
        rows["WAVELENGTH"], rows["FLUX"], rows["TDB-MID"] = wavelength, flux, 60000 + (first + np.arange(len(flux))) / 1440
        first += len(flux)
        hdu = fits.BinTableHDU(rows, name="EXTRACT1D")
        hdu.columns["FLUX"].unit = "Jy"
        hdu.header["DETECTOR"] = detector
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Products of a finished and a failed run, with truth beside them."""
    out = tmp_path / "products"
    (out / ".jwst_dask/runs").mkdir(parents=True)
    rng, count = np.random.default_rng(0), 40
    shape = ((np.arange(count) > 12) & (np.arange(count) < 28)).astype(float)
    flux = (1 - 0.01 * shape)[:, None] * np.linspace(1, 2, 30) * (1 + 1e-4 * rng.normal(size=(count, 30)))
    spectra(out / "a_x1dints.fits", [("NRS1", flux[:20]), ("NRS1", flux[20:])], np.linspace(1, 5, 30))
    time = 60000 + np.arange(count) / 1440
    QTable({"MJD_UTC": time, "BJD_TDB": time, "whitelight_flux": flux.sum(axis=1) * u.Jy}).write(out / "a_whtlt.ecsv", format="ascii.ecsv")
    dq = np.zeros((4, 5, 7), "u4")
    dq[:, 0, 0], dq[1, 1, 1] = 1 | 1 << 18, 16
    head = fits.Header({"INTSTART": 1, "INTEND": 4, "DATAMODL": "SlitModel"})
    fits.HDUList([fits.PrimaryHDU(header=head), fits.ImageHDU(np.ones((4, 5, 7), "f4"), name="SCI"), fits.ImageHDU(dq, name="DQ")]).writeto(
        out / "a-seg001_nrs1_crfints.fits"
    )
    (tmp_path / "inputs").mkdir()
    np.savez(tmp_path / "inputs/truth.npz", light_curve=1 - 0.01 * shape, time=time, depth=0.01)
    data = {"run": "r1", "version": "0.1.0", "context": "jwst_0001.pmap", "resources": "this process", "seconds": 3.25, "made": [], "blocks": 2,
            "failures": [NASTY], "step_seconds": {"extract_1d": 1.5}, "read_seconds": 0.1, "write_seconds": 0.2, "bytes_read": 1234567,
            "bytes_written": 7654321, "products": [], "plan": PLAN}  # fmt: skip
    (out / ".jwst_dask/runs/r1.json").write_text(json.dumps(data))
    (out / ".jwst_dask/runs/broken.json").write_text('{"run": ')
    return out


class Page(HTMLParser):
    """Tags, attributes and text of a page; refuses unbalanced tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.stack: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "img", "wbr", "link", "br"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page_is_complete_and_needs_nothing_else(folder: Path) -> None:
    path = make_report(folder)
    html = path.read_text(encoding="utf-8")
    assert path == folder / "report.html" and not list(folder.glob(".report*"))
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("src", "href"):
            assert value.startswith(("data:image/", "#")), (tag, name, value[:60])
    assert "url(" not in html and "@import" not in html
    assert all(value for tag, name, value in page.attributes if (tag, name) == ("img", "alt"))
    assert page.tags.count("img") == 2 == sum((tag, name) == ("img", "alt") for tag, name, _ in page.attributes)
    text = " ".join("".join(page.words).split())
    for expected in ("calwebb_spec2", "on 2 exposures", "smoothing_length = 5", "jwst_extract1d.json", "Skipped: pixel_replace: skip = True", "1.5 s", "1.2 MB",
                     "jwst_0001.pmap", "a-seg001_nrs1_crfints.fits", "DO_NOT_USE", "NO_FLAT_FIELD", "fail_on_exception = False", "SlitModel"):  # fmt: skip
        assert expected in text, expected
    assert text.count(NASTY) >= 3  # in the failures, a parameter, the failed exposure: as text


def test_depth_in_the_report_is_that_of_the_truth(folder: Path) -> None:
    text = re.sub(r"<[^>]+>", " ", make_report(folder).read_text())
    found = re.search(r"10000\s+(\d+) ± (\d+)\s+([+-][\d.]+)", text)
    assert found and abs(int(found[1]) - 10000) <= 4 * int(found[2]) + 1 and int(found[2]) < 200


def test_flags_are_those_of_the_pixels(folder: Path) -> None:
    flags = series.flag_shares([str(folder / "a-seg001_nrs1_crfints.fits")])
    assert flags.shares == pytest.approx({"DO_NOT_USE": 1 / 35, "NO_FLAT_FIELD": 1 / 35, "OUTLIER": 1 / 140})
    assert flags.good == pytest.approx(1 - 5 / 140) and flags.integrations == 4
    assert series.flag_shares([str(folder / "a-seg001_nrs1_crfints.fits")], sample=2).integrations == 2


def test_plan_is_read_back(folder: Path) -> None:
    (run,) = record.runs(folder)
    (job,) = run.jobs
    assert (job.pipeline, job.names, [name for name, _, _ in job.exposures]) == (
        "calwebb_spec2", ["a-seg001_nrs1", "a-seg002_nrs1"], ["a-seg001_nrs1_rateints.fits", "a-seg002_nrs1_rateints.fits"],
    )  # fmt: skip
    assert [(step.alias, step.result) for step in job.steps] == [("assign_wcs", "run"), ("pixel_replace", "skip: skip = True"), ("extract_1d", "run")]
    assert job.steps[2].parameters == [("smoothing_length", "5", "user"), ("bkg_fit", NASTY, "pars.asdf"), ("log_increment", "50", "default")]
    assert job.steps[2].references == [("extract1d", "jwst_extract1d.json")] and job.failures == [f"a-seg002: {NASTY}"]


def test_without_a_recorded_run_the_headers_speak(folder: Path) -> None:
    for path in (folder / ".jwst_dask/runs").glob("*.json"):
        path.unlink()
    text = re.sub(r"<[^>]+>", "", make_report(folder, folder / "other.html").read_text())
    assert "No run is recorded" in text and "S_WCS" in text and "f.fits" in text


def test_a_folder_without_products_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither products"):
        make_report(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        make_report(tmp_path / "nowhere")


def test_series_are_joined_normalised_and_binned(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    wavelength, light = np.linspace(5, 1, 12), 1 + 0.1 * np.sin(np.arange(30))
    flux = light[:, None] * rng.uniform(1, 3, 12)
    flux[4, 3] = np.nan
    path = spectra(tmp_path / "x1dints.fits", [("NRS1", flux[:13]), ("NRS1", flux[13:]), ("NRS2", 2 * flux)], wavelength)
    one, two = series.read_series(path)
    assert (one.label, two.label, one.integrations, one.unit) == ("NRS1", "NRS2", 30, "Jy")
    np.testing.assert_allclose(one.spectrum, np.nanmedian(flux, axis=0))
    np.testing.assert_allclose(two.spectrum, 2 * one.spectrum)
    assert np.all(np.diff(one.columns) > 0)
    expected = (flux / np.nanmedian(flux, axis=0))[:, ::-1]
    np.testing.assert_allclose(one.image, expected, rtol=1e-6)
    binned = series.read_series(path, times=10, waves=4)[0]
    assert binned.image.shape == (10, 4)
    np.testing.assert_allclose(binned.time - 60000, (np.arange(30) / 1440).reshape(10, 3).mean(axis=1), atol=1e-9)
    mean = np.nanmean(flux.reshape(10, 3, 12), axis=1)
    top = mean[:, ::-1].reshape(10, 4, 3).sum(axis=2) / np.median(mean, axis=0)[::-1].reshape(4, 3).sum(axis=1)
    np.testing.assert_allclose(binned.image, top, rtol=1e-6)


def test_reading_a_long_series_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spectra(tmp_path / "x1dints.fits", [("NRS1", np.ones((4000, 300)))], np.linspace(1, 5, 300))
    monkeypatch.setattr(series, "_SLAB", 1 << 20)
    series.read_series(path)
    tracemalloc.start()
    (found,) = series.read_series(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.image.shape == (600, 300) and path.stat().st_size > 19e6
    assert peak < 14e6


def test_quick_looks_draw_what_they_are_given(folder: Path) -> None:
    import xarray as xr
    from matplotlib.figure import Figure

    axes = plot_series(folder / "a_x1dints.fits", Figure(layout="constrained"))
    assert len(axes) == 2 and axes[0].get_lines()[0].get_ydata().shape == (30,)
    (axis,) = plot_whitelight(folder / "a_whtlt.ecsv", Figure())
    assert np.median(axis.get_lines()[0].get_ydata()) == pytest.approx(1, abs=1e-3)
    sci, dq = np.arange(20 * 4 * 6, dtype="f4").reshape(20, 4, 6), np.zeros((20, 4, 6), "u4")
    dq[:, 1, 2] = 1
    ds = xr.Dataset({"sci": (("integration", "y", "x"), sci), "dq": (("integration", "y", "x"), dq)}, attrs={"INSTRUME": "NIRSPEC"}).chunk(integration=5)
    axes = plot_dataset(ds, Figure())
    shown = np.ma.filled(axes[0].images[0].get_array(), np.nan)
    assert np.isnan(shown[1, 2]) and shown[0, 0] == np.median(sci[spread(20, 16), 0, 0])
    assert axes[1].images[0].get_array()[1, 2] == 1
    assert len(plot_dataset(ds.isel(integration=0), Figure())) == 2
    x1d = xr.Dataset({"flux": (("integration", "wavelength"), np.ones((5, 8))), "wavelength": (("integration", "wavelength"), np.ones((5, 8)).cumsum(1))})
    assert len(plot_dataset(x1d, Figure())) == 2 and len(plot_dataset(x1d.isel(integration=0), Figure())) == 1
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_dataset(ds[["dq"]])


def test_the_text_of_a_real_plan_is_read_back(bots: Path, tmp_path: Path) -> None:
    import jwst_dask

    made = jwst_dask.plan(str(bots / "*_rateints.fits"), "calwebb_spec2", output_dir=tmp_path, params={"steps": {"extract_1d": {"smoothing_length": 5}}})
    (job,) = record.read_plan(made.explain())
    first = made.jobs[0].exposures[0]
    assert (job.pipeline, len(job.names), [count for _, count, _ in job.exposures]) == ("calwebb_spec2", 3, [12, 12, 12])
    assert [(s.alias, s.result == "run") for s in job.steps] == [(s.step.alias, s.status == "COMPLETE") for s in first.stages]
    assert {s.alias: dict(s.references) for s in job.steps if s.references} == {
        s.step.alias: {t: Path(p).name for t, p in s.references.items() if p != "N/A"} for s in first.stages if set(s.references.values()) - {"N/A"}
    }
    assert ("smoothing_length", "5", "user") in next(s for s in job.steps if s.alias == "extract_1d").parameters
