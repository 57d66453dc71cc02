"""The mock observatory against analytic truth and against what the reference implementation makes of it (simulated.json)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std

from jwst_dask import simulate
from jwst_dask.core.errors import ParameterError
from jwst_dask.simulate import miri_refs, nirspec_refs, optics, scene

PEER = json.loads((Path(__file__).parents[1] / "parity" / "simulated.json").read_text())
SMALL = {"nsegments": 2, "nints": 5, "shape": (24, 160), "seed": 9}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> simulate.Truth:
    return simulate.make("bots_prism", tmp_path_factory.mktemp("small"), **SMALL)


@pytest.mark.parametrize(("case", "grating", "detector"), [("bots_prism", "PRISM", "nrs1"), ("G395H", "G395H", "nrs1"), ("G395H", "G395H", "nrs2"),
                                                          ("G140M", "G140M", "nrs1")])  # fmt: skip
def test_nirspec_wavelengths_are_those_of_the_reference(case: str, grating: str, detector: str) -> None:
    """Full-frame pixels: products are cut out of a sub-array."""
    entry = next(e for e in PEER["values"][case]["exposures"] if detector in e["product"])
    first = _corner(grating, detector.upper())
    x, y = np.array(entry["x"]) + first[1], np.array(entry["y"]) + first[0]
    wavelength, _ = optics.project(detector.upper(), grating, x, y, velocity=-8000.0)
    moved = wavelength + nirspec_refs.shift(optics.SOURCE[0], wavelength * 1e-6) * _dispersion(detector.upper(), grating, x, y)
    np.testing.assert_allclose(moved, entry["wavelength"], rtol=3e-5)  # the zero point is a mean over rows there
    np.testing.assert_allclose(entry["source"], optics.SOURCE, atol=1e-5)


def _corner(grating: str, detector: str) -> tuple[int, int]:
    from jwst_dask.simulate.nirspec import setup

    head = setup(grating, detector, None, simulate.START).header
    return head["subarray.ystart"] - 1, head["subarray.xstart"] - 1


def _dispersion(detector: str, grating: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (optics.project(detector, grating, x + 0.5, y, -8000.0)[0] - optics.project(detector, grating, x - 0.5, y, -8000.0)[0]).astype(float)


def test_lrs_wavelengths_are_those_of_the_reference() -> None:
    entry = PEER["values"]["lrs_slitless"]["exposures"][0]
    row = np.array(entry["y"]) - miri_refs.ZERO[1]  # the product counts rows of the full frame
    expected = miri_refs.wavelength(row) / (1 + 12000.0 / 299792458.0)
    np.testing.assert_allclose(entry["wavelength"], expected, atol=0.01)  # the reference smooths the table


@pytest.mark.parametrize("case", list(PEER["cases"]))
def test_reference_recovers_depth_and_flux(case: str) -> None:
    """A noise-free series through the reference implementation gives back what was injected."""
    level, pivot = {"bots_prism": (0.015, 2.0), "G395H": (0.20, 3.0), "G140M": (0.08, 2.0), "lrs_slitless": (0.08, 7.0)}[case]
    for entry in PEER["values"][case]["exposures"]:
        wavelength, flux = (np.array(entry["spectrum"][key], float) for key in ("wavelength", "flux"))
        ratio = flux / scene.star(wavelength, level, pivot)
        assert abs(np.nanmedian(ratio) - 1) < 0.012  # a box of 8 rows does not follow the bend of the trace
    curves = PEER["values"][case]["curves"]
    assert len(curves) == (3 if case == "G395H" else 1)
    for table in curves.values():
        for name in (key for key in table if key.startswith("whitelight_flux")):
            flux = np.array(table[name], float)
            curve = _curve(len(flux), PEER["common"]["depth"])
            slope = np.polyfit(curve, flux / flux[0], 1)[0]
            assert slope == pytest.approx(1, abs=0.02)  # bad pixels dilute nothing


def _curve(n: int, depth: float) -> np.ndarray:
    return scene.transit(np.arange(n) + 0.5, n / 2, simulate.IN_TRANSIT * n, depth)


def test_transit_depth_at_the_centre_is_that_of_limb_darkening() -> None:
    depth = 1e-4  # a planet so small that the star is uniform behind it
    u1, u2 = scene.LIMB
    fall = 1 - np.sqrt(1 - scene.IMPACT**2)
    expected = depth * (1 - u1 * fall - u2 * fall**2) / (1 - u1 / 3 - u2 / 6)
    flux = scene.transit(np.array([-0.51, -0.49, 0.0, 0.49, 0.51]), 0.0, 1.0, depth)
    assert 1 - flux[2] == pytest.approx(expected, rel=1e-3)
    assert flux[0] == flux[4] == 1 and flux[1] == pytest.approx(flux[3])
    assert scene.transit(np.array([0.0]), 0.0, 1.0, 0.0)[0] == 1


def test_refraction_of_calcium_fluoride() -> None:
    """Malitson (1963), 24 C: n(0.5876 um) = 1.43384, n(2.3 um) = 1.42212 (to what the rounded coefficients give)."""
    np.testing.assert_allclose(optics.refraction(np.array([0.5876, 2.3])), [1.43384, 1.42212], atol=2e-4)


def test_transforms_invert() -> None:
    parts = optics.train()
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-0.037, 0.037, 9), np.linspace(-0.018, 0.018, 5)))
    back = parts["camera"].inverse(*parts["camera"](x, y))
    np.testing.assert_allclose(back, (x, y), atol=1e-12)  # m; a pixel is 1.8e-5
    v = parts["ote"](*parts["fore"](optics.SLIT[0], optics.SLIT[1], 2e-6))
    again = parts["fore"].inverse(*parts["ote"].inverse(*v), 2e-6)
    np.testing.assert_allclose(np.squeeze(again), optics.SLIT[:2], atol=1e-12)


def test_files_are_complete(small: simulate.Truth) -> None:
    from stdatamodels.jwst import datamodels

    folder = Path(small.folder)
    assert len(small.exposures) == 2 and len(small.time) == 10
    assert json.loads((folder / small.level3[0]).read_text())["products"][0]["members"][1]["expname"].endswith("-seg002_nrs1_calints.fits")
    with datamodels.open(folder / small.exposures[1]) as model:
        assert type(model).__name__ == "CubeModel" and model.shape == (5, 24, 160)
        model.validate()
        assert (model.meta.exposure.integration_start, model.meta.exposure.integration_end, model.meta.exposure.nints) == (6, 10, 10)
        np.testing.assert_array_equal(model.int_times["integration_number"], np.arange(6, 11))
        np.testing.assert_array_equal(model.int_times["int_mid_MJD_UTC"], small.time[5:])
        bad = (model.dq & 1) != 0
        assert np.isnan(model.data[bad]).all() and np.isfinite(model.data[~bad]).all()
        np.testing.assert_allclose(model.err[~bad] ** 2, (model.var_poisson + model.var_rnoise)[~bad], rtol=1e-5)


def test_noise_has_its_declared_size(tmp_path: Path) -> None:
    noisy = simulate.make("bots_prism", tmp_path / "a", nsegments=1, nints=6, shape=(24, 160), depth=0)
    clean = simulate.make("bots_prism", tmp_path / "b", nsegments=1, nints=6, shape=(24, 160), depth=0, noise=0)
    with fits.open(tmp_path / "a" / noisy.exposures[0]) as a, fits.open(tmp_path / "b" / clean.exposures[0]) as b:
        pull = (a["SCI"].data - b["SCI"].data) / a["ERR"].data
        assert mad_std(pull, ignore_nan=True) == pytest.approx(1, abs=0.02)
        assert np.ptp(b["SCI"].data, axis=0)[np.isfinite(b["SCI"].data[0])].max() == 0


def test_seed_decides_every_byte(small: simulate.Truth, tmp_path: Path) -> None:
    def digest(folder: str | Path) -> dict[str, str]:
        files = (p for p in Path(folder).rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): hashlib.sha1(p.read_bytes()).hexdigest() for p in files}

    simulate.make("bots_prism", tmp_path / "again", **SMALL)
    assert digest(small.folder) == digest(tmp_path / "again")
    simulate.make("bots_prism", tmp_path / "other", **(SMALL | {"seed": 10}))
    changed = {name for name, value in digest(tmp_path / "other").items() if digest(small.folder)[name] != value}
    assert changed == set(small.exposures)


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: simulate.Truth) -> None:
    from jwst_dask.simulate import exposures

    monkeypatch.setattr(exposures, "BLOCK_BYTES", 1)
    simulate.make("bots_prism", tmp_path, **SMALL)
    for name in small.exposures:
        assert (tmp_path / name).read_bytes() == (Path(small.folder) / name).read_bytes()


def test_image_is_the_mean_of_the_series(tmp_path: Path) -> None:
    options = {"nsegments": 1, "nints": 4, "shape": (64, 72)}
    cube, image = simulate.make("lrs_slitless", tmp_path, **options), simulate.make("lrs_slitless", tmp_path, rate=True, **options)
    assert list(image.exposures) == ["jw09902001001_04101_00001_mirimage_rate.fits"] and not len(image.level3)
    with fits.open(tmp_path / cube.exposures[0]) as a, fits.open(tmp_path / image.exposures[0]) as b:
        np.testing.assert_allclose(b["SCI"].data, a["SCI"].data.mean(axis=0, dtype=float), rtol=1e-6)
        assert np.isnan(b["SCI"].data[:, :4]).all() and (b["DQ"].data[:, :4] == 1 | 2**31).all()


def test_recover_is_exact_without_noise(small: simulate.Truth) -> None:
    depth, error = small.recover(small.time, 3.0 * small.light_curve * (1 + 1e-6 * np.arange(10)))
    assert depth == pytest.approx(small.depth, rel=1e-4) and error < 1e-5
    assert simulate.Truth.load(small.folder).recover(small.time, small.light_curve)[0] == pytest.approx(small.depth)


@pytest.mark.parametrize("options", [{"mode": "soss"}, {"nints": 0}, {"depth": 0.5}, {"mode": "bots_grating", "grating": "PRISM"},
                                     {"mode": "bots_grating", "grating": "G395M", "detectors": ("NRS2",)}, {"detectors": ()},
                                     {"mode": "lrs_slitless", "shape": (64, 64)}])  # fmt: skip
def test_refusals_say_what_is_wrong(options: dict, tmp_path: Path) -> None:
    with pytest.raises(ParameterError):
        simulate.make(**{"mode": "bots_prism", "folder": tmp_path} | options)
