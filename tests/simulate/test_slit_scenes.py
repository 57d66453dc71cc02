"""Simulated slits against analytic truth, and what calwebb_spec2 makes of them against what was put in."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std

import jwst_dask
from jwst_dask import simulate
from jwst_dask.core.errors import ParameterError
from jwst_dask.data.msa_edits import COLUMNS, ROWS
from jwst_dask.simulate import optics, shutters, slit_response, slit_scene
from jwst_dask.simulate.shutters import Opening

SMALL = {"nsources": 3, "nextended": 1, "nbackground": 2, "shape": (256, 2048), "seed": 5}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> simulate.SlitTruth:
    return simulate.make("mos_prism", tmp_path_factory.mktemp("noisy"), **SMALL)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> simulate.SlitTruth:
    return simulate.make("mos_prism", tmp_path_factory.mktemp("clean"), noise=0, **SMALL)


@pytest.fixture(scope="module")
def products(clean: simulate.SlitTruth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(clean, [clean.level2[1], clean.master[0]], tmp_path_factory.mktemp("products"))


def _run(truth: simulate.SlitTruth, associations: Any, out: Path, **steps: Any) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in truth.environment().items():
            patch.setenv(name, value)
        result = jwst_dask.run(truth.paths(associations), "calwebb_spec2", params={"steps": steps}, output_dir=str(out))
    assert result.exit_code == 0, result.failures
    return out


def test_point_sources_come_back(clean: simulate.SlitTruth, products: Path) -> None:
    """Without noise what is left is interpolation: of maps, flats and the trace, and bad pixels of any nod; 0.5 % as measured."""
    found = clean.ratios(products.glob("*_x1d.fits"))
    assert len(found) == 6 and {number for _, number, _ in found} == set(clean.source_id[~clean.extended])
    np.testing.assert_allclose([ratio for *_, ratio in found], 1, atol=0.01)


def test_extended_source_comes_back(clean: simulate.SlitTruth, products: Path) -> None:
    """Surface brightness on the pixels in the open shutters, less the master background, which the bars do not upset."""
    from stdatamodels.jwst import datamodels

    (index,) = np.flatnonzero(clean.extended)
    with datamodels.open(str(next(products.glob("*_mbkg_cal.fits")))) as model:
        slit = next(s for s in model.slits if s.source_id == clean.source_id[index])
        assert slit.source_type == "EXTENDED" and slit.meta.bunit_data == "MJy/sr"
        y, x = np.indices(slit.data.shape)
        _, height, wavelength = slit.meta.wcs.get_transform("detector", "slit_frame")(x, y)
        data, good = np.array(slit.data), (slit.dq & 1) == 0
    offset = (height - clean.y[index]) * shutters.OPEN[1] * shutters.ARCSEC
    expected = clean.of(clean.source_id[index], wavelength * 1e6) * np.exp(-0.5 * (offset / clean.size[index]) ** 2)
    from_bar = np.abs(height - shutters.STEP * np.round(height / shutters.STEP))
    use = good & np.isfinite(data) & (from_bar < 0.3) & (np.abs(offset) < 0.4) & np.isfinite(expected)
    assert use.sum() > 1000
    ratio = data[use] / expected[use]
    assert np.median(ratio) == pytest.approx(1, abs=0.002) and mad_std(ratio) < 0.005


def test_slitlets_with_background_are_empty(clean: simulate.SlitTruth, products: Path) -> None:
    with fits.open(next(products.glob("*_00002_nrs1_cal.fits"))) as file:
        for hdu in (h for h in file if h.name == "SCI" and str(h.header["SLTNAME"]).strip() in clean.background):
            assert np.nanmedian(np.abs(hdu.data)) < 1e-3 * clean.sky.mean()


def test_fixed_slit_of_the_other_detector(tmp_path: Path) -> None:
    truth = simulate.make("fs", tmp_path, grating="PRISM", detectors=("NRS2",), nods=2, noise=0, seed=8)
    made = _run(truth, truth.level2[:1], tmp_path / "products")
    with fits.open(next(made.glob("*_cal.fits"))) as file:
        assert [h.header["SLTNAME"] for h in file if h.name == "SCI"] == ["S200B1"]
    assert truth.ratios(made.glob("*_x1d.fits")) == []


def test_wavelengths_are_those_of_the_pipeline(clean: simulate.SlitTruth, products: Path) -> None:
    """Two models of the optics, which share the glass and the figures of the reference files only."""
    msa = jwst_dask.MSAMetafile.read(Path(clean.folder) / clean.metafile)
    start = int(fits.getheader(clean.paths(clean.exposures[:1])[0])["SUBSTRT2"]) - 1
    with fits.open(next(products.glob("*_00002_nrs1_cal.fits"))) as file:
        for hdu in (h for h in file if h.name == "SCI" and str(h.header["SLTNAME"]).strip() in clean.background):
            name = str(hdu.header["SLTNAME"]).strip()
            slitlet = next(s for s in msa.slitlets(1, 2) if s.name == name)
            slit = tuple(float(v) for v in shutters.shutter(slitlet.quadrant, slitlet.row, sorted(slitlet.columns)[1]))
            stored = file["WAVELENGTH", hdu.ver].data
            y, x = np.indices(stored.shape)
            x, y = x + hdu.header["SLTSTRT1"] - 1, y + hdu.header["SLTSTRT2"] - 1 + start
            expected, _ = optics.project("NRS1", "PRISM", x, y, slit_scene.VELOCITY, slit, (-2.2, 2.2))  # type: ignore[arg-type]
            both = np.isfinite(stored) & np.isfinite(expected) & (expected > 0.5) & (expected < 5.5)
            assert both.sum() > 0.9 * np.isfinite(stored).sum()
            np.testing.assert_allclose(stored[both], expected[both], rtol=3e-5)


def test_metafile(noisy: simulate.SlitTruth) -> None:
    msa = jwst_dask.MSAMetafile.read(Path(noisy.folder) / noisy.metafile)
    assert msa.check() == [] and len(msa.sources) == 4 and msa.dither_points() == [1, 2, 3]
    assert (shutters.ROWS, shutters.COLUMNS) == (ROWS, COLUMNS)
    states = {s.state for s in msa.slitlets() if not s.background}
    assert states == {"1x1", "11x", "x11"}
    row = msa.source(int(noisy.source_id[0]))
    assert row is not None and (row["stellarity"] > 0.75) == (not noisy.extended[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = fits.getheader(noisy.paths(noisy.exposures[:1])[0])
    assert header["MSAMETFL"] == noisy.metafile and header["PATT_NUM"] == 1


def test_sources_stay_where_they_are_in_the_sky(clean: simulate.SlitTruth, products: Path) -> None:
    """The pointing of the nods moves a source by a shutter; the slit's WCS takes it back to the catalogue's place."""
    from stdatamodels.jwst import datamodels

    with datamodels.open(str(next(products.glob("*_00002_nrs1_cal.fits")))) as model:
        for slit in (s for s in model.slits if s.source_id in clean.source_id):
            ra, dec, _ = slit.meta.wcs.get_transform("slit_frame", "world")(slit.source_xpos, slit.source_ypos, 2e-6)
            off = np.hypot((ra - slit.source_ra) * np.cos(np.deg2rad(dec)), dec - slit.source_dec) * 3600
            assert off < 0.02  # arcsec; aberration is 3 mas over the MSA


def test_noise_and_bad_pixels(noisy: simulate.SlitTruth, clean: simulate.SlitTruth) -> None:
    pulls = []
    for a, b in zip(noisy.paths(noisy.exposures), clean.paths(clean.exposures), strict=True):
        with fits.open(a) as one, fits.open(b) as other:
            bad = (one["DQ"].data & 1) != 0
            assert 0.001 < bad.mean() < 0.005 and np.isnan(one["SCI"].data[bad]).all() and np.isfinite(one["SCI"].data[~bad]).all()
            np.testing.assert_allclose(one["ERR"].data[~bad] ** 2, (one["VAR_POISSON"].data + one["VAR_RNOISE"].data)[~bad], rtol=1e-5)
            pulls.append(((one["SCI"].data - other["SCI"].data) / one["ERR"].data)[~bad])
    for pull in pulls:
        assert mad_std(pull) == pytest.approx(1, abs=0.01)
    assert abs(np.corrcoef(pulls[0], pulls[1])[0, 1]) < 0.01  # each nod has noise of its own


def test_seed_decides_every_byte(noisy: simulate.SlitTruth, clean: simulate.SlitTruth, tmp_path: Path) -> None:
    def digest(folder: str | Path) -> dict[str, str]:
        files = (p for p in Path(folder).rglob("*") if p.is_file() and p.name != "ref_cache_subdir_mode")
        return {str(p.relative_to(folder)): hashlib.sha1(p.read_bytes()).hexdigest() for p in files}

    simulate.make("mos_prism", tmp_path, **SMALL)
    first = digest(noisy.folder)
    assert first == digest(tmp_path)
    assert {name for name, value in digest(clean.folder).items() if first[name] != value} == set(noisy.exposures)


def test_bars_and_edges_take_what_they_should() -> None:
    """A narrow source in the middle of a shutter gets through whole; one behind a bar does not; uniform light is that of the open areas."""
    opening = Opening("1", shutters.shutter(1, 10, 10), (-1, 0, 1))
    height = np.linspace(-2.5, 2.5, 5001)
    step, narrow = height[1] - height[0], np.full(1, 0.005)
    places = (0.0, shutters.STEP, 0.5 * shutters.STEP, 0.5, 2 * shutters.STEP)
    through = [slit_response.along(height, step, at, opening, narrow).sum() for at in places]
    np.testing.assert_allclose(through, [1, 1, 0, 0.5, 0], atol=1e-3)
    seen = (slit_response.shadow(height, opening, np.array(2.0)) - slit_response.SCATTERED) / (1 - slit_response.SCATTERED)
    assert seen.sum() * step == pytest.approx(3, rel=1e-3)
    assert seen[np.abs(height) < 0.2].min() > 0.99 and seen[np.abs(height) > 2.2].max() < 1e-6


def test_truth_is_kept(noisy: simulate.SlitTruth) -> None:
    again = simulate.SlitTruth.load(noisy.folder)
    assert again.mode == "mos_prism" and list(again.exposures) == list(noisy.exposures)
    np.testing.assert_array_equal(again.flux, noisy.flux)
    number = int(again.source_id[~again.extended][0])
    wavelength = np.linspace(0.5, 5.5, 300)
    assert again.ratio(number, wavelength, 1.02 * again.of(number, wavelength)) == pytest.approx(1.02)
    assert np.isnan(again.ratio(number, wavelength, np.full(300, np.nan)))


def test_spectra_do_not_overlap(tmp_path: Path) -> None:
    rows = (0, 2048)
    found = slit_scene.place(60, (-1, 0, 1), "PRISM", ("NRS1", "NRS2"), rows, np.random.default_rng(1))
    spots = {name: [slit_scene.footprint(name, "PRISM", o) for o in found] for name in ("NRS1", "NRS2")}
    for name, own in spots.items():
        count = np.zeros((2048, 2048), np.uint8)
        for spot in (s for s in own if s is not None):
            count[spot.window] += spot.lit
        assert count.max() == 1
        lit = [s.lit.sum() for s in own if s is not None]
        assert sum(n > 5000 for n in lit[:-1]) >= 29, name


@pytest.mark.parametrize("options", [
    {"nods": 4}, {"nsources": -1}, {"nsources": 0, "nextended": 0, "nbackground": 0}, {"nsources": 40, "shape": (200, 2048)}, {"shape": (200, 512)}, {"shape": (20, 2048)},
    {"grating": "G395M"}, {"detectors": ("NRS3",)}, {"mode": "fs", "grating": "G999"},
])  # fmt: skip
def test_refusals_say_what_is_wrong(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ParameterError):
        simulate.make(**{"mode": "mos_prism", "folder": tmp_path} | options)


@pytest.mark.distributed
def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from jwst_dask.simulate import demo

    for name in ("CRDS_PATH", "CRDS_CONTEXT", "CRDS_SERVER_URL"):
        monkeypatch.setenv(name, "")  # put back afterwards
    options = {"mode": "mos", "workers": 1, "nsources": 2, "shape": (200, 2048)}
    assert demo.demo(str(tmp_path), **options) == 0
    out = capsys.readouterr().out
    assert "6 spectra of point sources: median" in out and (tmp_path / "products" / "report.html").stat().st_size > 10_000
    truth = simulate.SlitTruth.load(tmp_path / "inputs")
    with monkeypatch.context() as patch:
        patch.setattr(demo, "MEDIAN_OFF", 0.0)
        assert demo.compare(truth, tmp_path / "products") == 1  # fluxes are off
    assert demo.compare(truth, tmp_path / "products") == 0
    next((tmp_path / "products").glob("*_x1d.fits")).unlink()
    assert demo.compare(truth, tmp_path / "products") == 1  # a spectrum is missing
