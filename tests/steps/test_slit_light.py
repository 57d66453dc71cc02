"""flat_field and pathloss of slits against values of the reference implementation, and our own options against truth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from jwst_dask.core import memo
from jwst_dask.core.errors import InputError, ParameterError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.data.models import blank
from jwst_dask.steps.stage2.flat_field import FlatFieldStep
from jwst_dask.steps.stage2.pathloss import PathlossStep
from jwst_dask.wcs.slitwcs import GwcsSlit

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from slit_scene import ARRAYS, ATTRIBUTES, FLAT_CASES, KEPT, PATHLOSS_CASES, arguments, exposure, gwcs_of, pathloss_map, write_all  # noqa: E402

GOLDEN = np.load(PARITY / "slit_light.npz")
STEPS: dict[str, Any] = {"flat": FlatFieldStep, "pathloss": PathlossStep}
CASES = [("flat", c) for c in FLAT_CASES] + [("pathloss", c) for c in PATHLOSS_CASES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slit_light")
    write_all(path)
    memo.clear()
    return path


class Sky:
    """A WCS of a slit of 0.2 by 0.4 arcsec, x to the east and y to the north; wavelengths do not matter."""

    on_sky, corrected = True, False

    def slit_to_sky(self, xs: Any, ys: Any, wavelength: Any) -> tuple[np.ndarray, np.ndarray]:
        return 80.0 + np.asarray(xs) * 0.2 / 3600 / np.cos(np.deg2rad(60.0)), 60.0 + np.asarray(ys) * 0.4 / 3600


def slit_of(scene: str, k: int, **changed: Any) -> tuple[Draft, Block]:
    from stdatamodels.jwst import datamodels

    top, slits = exposure(scene)
    slit = slits[k] | changed
    model = blank(datamodels.SlitModel)
    names = {attribute: name for name, attribute in ARRAYS.items()}
    model.instance.update({key: value for key, value in slit.items() if key != "shift"})
    meta = model.meta
    meta.instrument.name, meta.exposure.type, meta.wcsinfo.dispersion_direction = "NIRSPEC", top["exp_type"], 1
    meta.subarray.xstart = meta.subarray.ystart = 1
    block = Block(arrays={names[key]: np.array(value)[None] for key, value in slit.items() if key in names}, start=0)
    draft = Draft(model=model, path="rate.fits", nints=1, wcs=GwcsSlit(gwcs_of(slit)))
    draft.first = lambda: block
    return draft, block


def run(step: Any, draft: Draft, block: Block) -> tuple[Any, Block]:
    state = step.prepare(draft, step.overrides.__getitem__)
    if not isinstance(state, Skip):
        with np.errstate(all="ignore"):
            block = step.run(block, {key: np.asarray(value) for key, value in state.items()})
    return state, block


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_equals_reference_implementation(kind: str, case: str, folder: Path) -> None:
    scene, given = {"flat": FLAT_CASES, "pathloss": PATHLOSS_CASES}[kind][case]
    step = STEPS[kind].make(**arguments(folder, given))
    done = 0
    for k in range(len(exposure(scene)[1])):
        want = {key.split("/")[3]: GOLDEN[key] for key in GOLDEN.files if key.startswith(f"{kind}/{case}/{k}/")}
        if not want:
            continue
        draft, block = slit_of(scene, k)
        state, block = run(step, draft, block)
        assert isinstance(state, Skip) == (kind == "pathloss" and "pathloss_point" not in want)
        for name in KEPT[kind]:
            same = np.testing.assert_array_equal if name == "dq" else _close
            same(block.arrays[name][0], want[name], err_msg=f"{k} {name}")
        for name in ATTRIBUTES:
            assert (name in draft.model.instance) == (name in want)
            if name == "pathloss_correction_type" and name in want:
                assert draft.model.instance[name] == str(want[name])
            elif name in want:
                _close(draft.model.instance[name], want[name], err_msg=f"{k} {name}")
                assert draft.model.instance[name].dtype == np.float32
        done += 1
    assert done >= 2
    assert str(GOLDEN[f"{kind}/{case}/status"]) == "COMPLETE"


def _close(got: np.ndarray, want: np.ndarray, err_msg: str) -> None:
    np.testing.assert_allclose(got, want, rtol=2e-6, err_msg=err_msg)


def test_flat_of_an_earlier_run_gives_the_same(folder: Path, tmp_path: Path) -> None:
    from stdatamodels.jwst import datamodels

    given = arguments(folder, {"fflat": "fflat_mos", "sflat": "sflat3", "dflat": "dflat"})
    product, first = datamodels.MultiSlitModel(), []
    for k in range(3):
        draft, block = slit_of("mos", k)
        first.append(run(FlatFieldStep.make(save_interpolated_flat=True, **given), draft, block)[1])
        made = draft.extras["interpolatedflat"]
        assert {"data", "dq", "err", "wavelength", "name", "xstart", "xsize", "ystart", "ysize"} == set(made)
        assert not np.isnan(made["wavelength"]).any()
        item = datamodels.SlitModel()
        for name, value in made.items():
            setattr(item, name, value)
        product.slits.append(item)
    product.save(str(tmp_path / "flat.fits"))
    for k in (2, 0):  # found by name, in whatever order and selection
        draft, block = slit_of("mos", k)
        block = run(FlatFieldStep.make(user_supplied_flat=str(tmp_path / "flat.fits")), draft, block)[1]
        for name, array in block.arrays.items():
            np.testing.assert_array_equal(array, first[k].arrays[name])
        assert draft.model.meta.ref_file.flat.name == "flat.fits"
    with pytest.raises(ParameterError, match="no slit 5"):
        run(FlatFieldStep.make(user_supplied_flat=str(tmp_path / "flat.fits")), *slit_of("mos", 4))
    with pytest.raises(ParameterError, match="MultiSlitModel"):
        run(FlatFieldStep.make(user_supplied_flat=str(folder / "user.fits")), *slit_of("mos", 4))


@pytest.mark.parametrize("error", [np.nan, np.inf])
def test_absent_uncertainty(error: float, folder: Path, tmp_path: Path) -> None:
    """Without an error of the flat, ERR is that of the counts: sqrt(var_poisson + var_rnoise)."""
    with fits.open(folder / "user_mos.fits") as file:
        for hdu in file:
            if hdu.name == "ERR":
                hdu.data[:] = error
        file.writeto(tmp_path / "user.fits")
    user = str(tmp_path / "user.fits")
    _, known = run(FlatFieldStep.make(user_supplied_flat=user, absent_uncertainty="zero"), *slit_of("mos", 0))
    _, unknown = run(FlatFieldStep.make(user_supplied_flat=user), *slit_of("mos", 0))
    a = known.arrays
    good = np.isfinite(a["sci"])
    assert 0.7 < good.mean() < 1
    np.testing.assert_allclose(a["err"][good], np.sqrt(a["var_poisson"] + a["var_rnoise"])[good], rtol=1e-6)
    assert not a["var_flat"][good].any()
    assert not np.isfinite(unknown.arrays["err"]).any()


def test_absent_uncertainty_of_one_component(folder: Path, tmp_path: Path) -> None:
    with fits.open(folder / "sflat.fits") as file:
        file["ERR"].data[:] = np.inf
        file.writeto(tmp_path / "sflat.fits")
    given = arguments(folder, {"fflat": "N/A", "sflat": "sflat", "dflat": "dflat"})
    _, usual = run(FlatFieldStep.make(**given), *slit_of("lamp", 0))
    given["override_sflat"] = str(tmp_path / "sflat.fits")
    _, broken = run(FlatFieldStep.make(**given), *slit_of("lamp", 0))
    _, mended = run(FlatFieldStep.make(absent_uncertainty="zero", **given), *slit_of("lamp", 0))
    good = np.isfinite(usual.arrays["sci"])
    assert np.isinf(broken.arrays["err"][good]).any()
    assert np.isfinite(mended.arrays["err"][good]).all()
    assert (mended.arrays["var_flat"][good] <= usual.arrays["var_flat"][good]).all()
    assert mended.arrays["var_flat"][good].max() > 0  # that of the other components


def throughput(
    folder: Path, k: int = 0, scene: str = "mos", changed: dict[str, Any] | None = None, sky: bool = True, **given: Any
) -> np.ndarray:
    """Losses that were applied at the wavelengths of one row, and that are not NaN."""
    step = PathlossStep.make(**arguments(folder, {"pathloss": f"pathloss_{scene}"} | given))
    draft, block = slit_of(scene, k, **(changed or {}))
    if sky:
        draft.wcs = Sky()  # type: ignore[assignment]
    state, _ = run(step, draft, block)
    return np.asarray(state["losses"])[4]


@pytest.mark.parametrize(("state", "y", "shutters", "at"), [
    ("x", 0.3, 1, 0.3), ("0x0", 0.3, 1, 0.3), ("1x1", 0.3, 3, 0.3), ("1x", 0.3, 3, 1.3), ("x1", 0.3, 3, -0.7),
    ("111x111", 0.3, 3, 0.3), ("11x11", 1.1, 3, 0.1), ("11x11", 2.1, 3, 1.1), ("11x11", -1.9, 3, -0.9), ("1x1", 1.2, 3, 1.2),
    ("x01", 2.1, 1, 0.1), ("x011", 2.1, 3, -0.9), ("x111", 1.4, 3, 0.4),
])  # fmt: skip
def test_any_slitlet(state: str, y: float, shutters: int, at: float, folder: Path) -> None:
    """The map is that for the shutter which holds the source, the place in it as the documented rule says."""
    got = throughput(folder, any_slitlet=True, changed={"shutter_state": state, "source_ypos": y, "source_xpos": 0.1}, sky=False)
    point, _ = pathloss_map(shutters, 25 if shutters == 1 else 73, 0 if shutters == 1 else 1)
    row, column = (at + (0.6 if shutters == 1 else 1.8)) / 0.05, (0.1 + 0.6) / 0.05
    i, j, v, u = int(row + 1e-9), int(column + 1e-9), row % 1, column % 1
    v, u = (0 if share > 1 - 1e-9 else share for share in (v, u))
    want = (
        (1 - v) * (1 - u) * point[:, i, j]
        + v * (1 - u) * point[:, i + 1, j]
        + (1 - v) * u * point[:, i, j + 1]
        + v * u * point[:, i + 1, j + 1]
    )
    wavelength = exposure("mos")[1][0]["wavelength"][4]
    curve = np.interp(wavelength, 1.0 + 0.12 * np.arange(16), want)
    good = np.isfinite(got)
    assert good.sum() > 15
    np.testing.assert_allclose(got[good], curve[good], rtol=2e-5)


def test_any_slitlet_is_the_reference_rule_for_three_shutters(folder: Path) -> None:
    for k in (0, 1, 2, 3, 4, 5):
        np.testing.assert_allclose(throughput(folder, k, any_slitlet=True), throughput(folder, k), rtol=1e-6)


def test_a_very_small_source_is_a_point(folder: Path) -> None:
    point = throughput(folder)
    for given in ({"source_fwhm": 0.0}, {"source_fwhm": 1e-6}, {"source_half_light": 1e-7, "source_sersic": 4.0}):
        np.testing.assert_allclose(throughput(folder, **given), point, rtol=1e-5)
    np.testing.assert_allclose(throughput(folder, changed={"source_type": "EXTENDED"}, source_fwhm=1e-6), point, rtol=1e-5)


def box_map(path: Path, sigma: tuple[float, float]) -> None:
    """A map of the light of a Gaussian image that falls into the unit square; uniform light: all of it."""
    from scipy.special import erf

    def part(at: np.ndarray, width: float) -> np.ndarray:
        return 0.5 * (erf((0.5 - at) / (np.sqrt(2) * width)) + erf((0.5 + at) / (np.sqrt(2) * width)))

    at = np.arange(-80, 81) * 0.025
    image = np.broadcast_to((part(at, sigma[1])[:, None] * part(at, sigma[0])).astype("f4"), (3, 161, 161))
    ps, uni = fits.ImageHDU(image.copy(), name="PS"), fits.ImageHDU(np.ones(3, "f4"), name="UNI")
    ps.header.update(APERTURE="MOS1x1", SHUTTERS=1, CRPIX1=81.0, CRVAL1=0.0, CDELT1=0.025, CRPIX2=81.0, CRVAL2=0.0, CDELT2=0.025,
                     CRPIX3=1.0, CRVAL3=1e-7, CDELT3=2e-6)  # fmt: skip
    uni.header.update(CRPIX1=1.0, CRVAL1=1e-7, CDELT1=2e-6)
    fits.HDUList([fits.PrimaryHDU(), ps, uni]).writeto(path)


@pytest.mark.parametrize("fwhm", [0.05, 0.2, 0.5])
@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.3, -0.4)])
def test_a_gaussian_source(fwhm: float, x: float, y: float, tmp_path: Path) -> None:
    """A Gaussian seen through a Gaussian is a Gaussian: what falls into the slit is a product of error functions."""
    from scipy.special import erf

    box_map(tmp_path / "pathloss_mos.fits", (0.15, 0.1))
    got = throughput(tmp_path, source_fwhm=fwhm, changed={"shutter_state": "x", "source_xpos": x, "source_ypos": y})
    want = 1.0
    for at, scale, psf in ((x, 0.2, 0.15), (y, 0.4, 0.1)):
        width = np.sqrt(2) * np.hypot(fwhm / 2.3548200450309493 / scale, psf)
        want *= 0.5 * (erf((0.5 - at) / width) + erf((0.5 + at) / width))
    np.testing.assert_allclose(np.nanmedian(got), want, rtol=4e-3)


def test_a_long_source_in_a_long_slitlet(folder: Path, tmp_path: Path) -> None:
    """Seven open shutters pass what falls into seven; the map of three, without the rule for any slitlet, ends after it."""
    with fits.open(folder / "pathloss_mos.fits") as file:
        file["PS", 2].data[:] = 0.8
        file.writeto(tmp_path / "pathloss_mos.fits")
    state = {"shutter_state": "111x111", "source_xpos": 0.0, "source_ypos": 0.0}
    shape = {"source_half_light": 1.2, "source_sersic": 0.5, "source_axis_ratio": 0.05}
    sigma = 1.2 / np.sqrt(2 * np.log(2)) / 0.4
    across = _within(0.6, 0.05 * 1.2 / np.sqrt(2 * np.log(2)) / 0.2)
    for any_slitlet, edge in ((True, 3.8), (False, 1.8)):
        got = np.nanmedian(throughput(tmp_path, changed=state, any_slitlet=any_slitlet, **shape))
        assert got == pytest.approx(0.8 * across * _within(edge, sigma), rel=1e-2)


def _within(edge: float, sigma: float) -> float:
    """Share of a Gaussian between two edges."""
    from scipy.special import erf

    return float(erf(edge / (np.sqrt(2) * sigma)))


def test_a_very_wide_source_is_uniform(tmp_path: Path) -> None:
    box_map(tmp_path / "pathloss_mos.fits", (0.15, 0.1))
    alone = {"shutter_state": "x", "source_xpos": 0.1, "source_ypos": 0.1}
    assert np.nanmedian(throughput(tmp_path, source_fwhm=20.0, source_light="slit", changed=alone)) == pytest.approx(1.0, rel=5e-3)
    wide = throughput(tmp_path, source_fwhm=20.0, changed=alone | {"source_type": "EXTENDED"})
    assert np.nanmedian(wide) == pytest.approx(1.0, rel=5e-3)
    # all of the light of a point-like type: the slit's area times the peak of the profile
    sigma = 20.0 / 2.3548200450309493
    assert np.nanmedian(throughput(tmp_path, source_fwhm=20.0, changed=alone)) == pytest.approx(
        0.2 * 0.4 / (2 * np.pi * sigma**2), rel=5e-3
    )


@pytest.mark.parametrize(("index", "ratio", "angle"), [(0.5, 1.0, 0.0), (1.0, 0.3, 90.0), (4.0, 0.6, 30.0)])
def test_a_profile_and_its_image_agree(index: float, ratio: float, angle: float, tmp_path: Path) -> None:
    from scipy.special import gammaincinv

    box_map(tmp_path / "pathloss_mos.fits", (0.15, 0.1))
    radius, pixel, n = 0.1, 0.01, 301
    y, x = (np.mgrid[:n, :n] - (n - 1) / 2) * pixel
    east, north = -x, y
    turn = np.deg2rad(angle)
    major, minor = east * np.sin(turn) + north * np.cos(turn), -east * np.cos(turn) + north * np.sin(turn)
    r = np.hypot(major, minor / ratio)
    image = np.exp(-gammaincinv(2 * index, 0.5) * ((np.maximum(r, pixel / 4) / radius) ** (1 / index)))
    hdu = fits.PrimaryHDU(image)
    hdu.header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CDELT1=-pixel / 3600, CDELT2=pixel / 3600, CRPIX1=1.0, CRPIX2=1.0,
                      CRVAL1=10.0, CRVAL2=0.0)  # fmt: skip
    hdu.writeto(tmp_path / "image.fits")
    alone = {"shutter_state": "x", "source_xpos": 0.2, "source_ypos": -0.1}
    shape = {"source_half_light": radius, "source_sersic": index, "source_axis_ratio": ratio, "source_angle": angle}
    profile = throughput(tmp_path, changed=alone, **shape)
    seen = throughput(tmp_path, changed=alone, source_image=str(tmp_path / "image.fits"))
    # the image has no light beyond 1.5 arcsec, and no cusp
    np.testing.assert_allclose(np.nanmedian(seen), np.nanmedian(profile), rtol=0.04 if index == 4 else 5e-3)
    if ratio < 0.5:
        across = throughput(tmp_path, changed=alone, **(shape | {"source_angle": 0.0}))
        assert abs(np.nanmedian(across) / np.nanmedian(profile) - 1) > 0.05


def test_shapes_are_for_the_source_only(folder: Path, tmp_path: Path) -> None:
    """Taken as extended (as for a background), losses are those of uniform light, whatever shape the source has."""
    step = PathlossStep.make(**arguments(folder, {"pathloss": "pathloss_mos", "source_type": "EXTENDED", "source_fwhm": 0.3}))
    draft, block = slit_of("mos", 0)
    run(step, draft, block)
    assert draft.model.instance["pathloss_correction_type"] == "UNIFORM"
    with pytest.raises(ParameterError, match="source_fwhm and source_image"):
        throughput(folder, source_fwhm=0.1, source_image="image.fits")
    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "plain.fits")
    with pytest.raises(ParameterError, match="celestial"):
        throughput(folder, source_image=str(tmp_path / "plain.fits"))


@pytest.mark.parametrize("kind", ["flat", "pathloss"])
def test_inverse_undoes(kind: str, folder: Path) -> None:
    given = {"flat": {"fflat": "fflat_mos", "sflat": "sflat3", "dflat": "dflat"}, "pathloss": {"pathloss": "pathloss_mos"}}[kind]
    draft, block = slit_of("mos", 1)
    before = {name: array.copy() for name, array in block.arrays.items()}
    for inverse in (False, True):
        _, block = run(STEPS[kind].make(inverse=inverse, **arguments(folder, given)), draft, block)
    good = np.isfinite(block.arrays["sci"])
    assert 0.1 < good.mean() < 1
    for name in ("sci", "var_poisson", "var_rnoise"):
        np.testing.assert_allclose(block.arrays[name][good], before[name][good], rtol=3e-6)
    np.testing.assert_array_equal(good, (block.arrays["dq"] & 1) == 0)


def test_skips() -> None:
    step = PathlossStep.make()
    for exp_type in ("NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT", "NRS_BRIGHTOBJ", "MIR_LRS-SLITLESS"):
        assert isinstance(step.applies({"exposure.type": exp_type}), Skip)
    assert step.applies({"exposure.type": "NRS_MSASPEC"}) is None
    with pytest.raises(InputError, match="MIR_LRS-FIXEDSLIT"):
        step.applies({"exposure.type": "MIR_LRS-FIXEDSLIT"})
    assert isinstance(PathlossStep.make(skip=True).applies({"exposure.type": "NRS_MSASPEC"}), Skip)
    assert isinstance(run(PathlossStep.make(override_pathloss="N/A"), *slit_of("mos", 0))[0], Skip)
    flat = FlatFieldStep.make()
    assert isinstance(flat.applies({"instrument.name": "NIRSPEC", "exposure.type": "NRS_AUTOFLAT"}), Skip)


def test_errors_tell_what_to_do(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE")
    broken = str(tmp_path / "broken.fits")
    with pytest.raises(ReferenceError_, match=r"broken\.fits.*override_pathloss"):
        run(PathlossStep.make(override_pathloss=broken), *slit_of("mos", 0))
    with pytest.raises(ReferenceError_, match="override_pathloss"):
        run(PathlossStep.make(override_pathloss=str(folder / "dflat.fits")), *slit_of("mos", 0))
    given = arguments(folder, {"fflat": "fflat_mos", "sflat": "sflat3", "dflat": "dflat"})
    for name, path in (("sflat", broken), ("fflat", str(folder / "pathloss_mos.fits"))):
        with pytest.raises(ReferenceError_, match=f"override_{name}"):
            run(FlatFieldStep.make(**(given | {f"override_{name}": path})), *slit_of("mos", 0))
    with pytest.raises(ReferenceError_, match="shutters"):
        run(FlatFieldStep.make(**given), *slit_of("mos", 0, xcen=13))
    with pytest.raises(ReferenceError_, match="quadrant 5"):
        run(FlatFieldStep.make(**given), *slit_of("mos", 0, quadrant=5))
    with pytest.raises(ReferenceError_, match="cover"):
        run(FlatFieldStep.make(**given), *slit_of("mos", 0, ystart=39))
    with pytest.raises(InputError, match="SLTSTRT1"):
        run(FlatFieldStep.make(**given), *slit_of("mos", 0, xstart=None))
    with pytest.raises(InputError, match="shutter state"):
        run(PathlossStep.make(**arguments(folder, {"pathloss": "pathloss_mos"})), *slit_of("mos", 0, shutter_state="111"))
    draft, block = slit_of("mos", 0)
    del block.arrays["dq"]
    with pytest.raises(InputError, match="DQ"):
        run(FlatFieldStep.make(**given), draft, block)
    draft.wcs = None
    with pytest.raises(InputError, match="extract_2d"):
        run(FlatFieldStep.make(**given), draft, block)


def test_images_are_read_as_they_lie(folder: Path, tmp_path: Path) -> None:
    """A packed file gives the same as a plain one."""
    import gzip

    given = arguments(folder, {"fflat": "N/A", "sflat": "sflat3", "dflat": "N/A"})
    _, plain = run(FlatFieldStep.make(**given), *slit_of("lamp", 0))
    (tmp_path / "sflat.fits.gz").write_bytes(gzip.compress((folder / "sflat3.fits").read_bytes()))
    given["override_sflat"] = str(tmp_path / "sflat.fits.gz")
    _, packed = run(FlatFieldStep.make(**given), *slit_of("lamp", 0))
    for name, array in packed.arrays.items():
        np.testing.assert_array_equal(array, plain.arrays[name])
