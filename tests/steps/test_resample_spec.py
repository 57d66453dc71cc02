"""resample_spec and the WCS of its results, against the reference implementation and analytic truth."""

from __future__ import annotations

import ast
import io
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage2.resample_spec import ResampleSpecStep
from jwst_dask.wcs.rectified import Line, RectifiedLamp, RectifiedSlit, extended, from_tangent, inside, to_tangent
from jwst_dask.wcs.slitwcs import GwcsSlit

PARITY = Path(__file__).resolve().parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from resample_spec_scene import CASES, NAMES, STRIDE, WHOLE, scene  # noqa: E402


@pytest.fixture(scope="module")
def golden():
    with np.load(PARITY / "resample_spec.npz") as file:
        return dict(file)


def asdf_value(content):
    import asdf

    with asdf.open(io.BytesIO(lzma.decompress(content.tobytes())), lazy_load=False, memmap=False) as file:
        return file.tree["wcs"]


@pytest.fixture(scope="module")
def slits(golden):
    """gwcs objects of the input slits by name."""
    found = {name: asdf_value(golden[f"wcs.{name}"]) for name in ("mos", "lamp")}
    other = asdf_value(golden["wcs.mos"])
    box = other.bounding_box
    other.pipeline[-2].transform = asdf_value(golden["sky.turned"])
    other.bounding_box = box
    return {**found, "turned": other}


def draft_of(wcs, arrays, *, unit="MJy", exposure=1200.0, area=4.92013831370025e-13, exp_type="NRS_MSASPEC"):
    from stdatamodels.jwst import datamodels

    model = datamodels.SlitModel()
    shape = arrays["sci"].shape
    model.instance.update({"data": np.zeros(shape, "f4"), "name": "2", "source_id": 7, "slit_ymin": -0.5, "pathloss_point": np.ones(shape, "f4"),
                           "dq": np.zeros(shape, "u4"), "wavelength": np.ones(shape, "f4")})  # fmt: skip
    observation = dict(zip(("program_number", "observation_number", "visit_number", "visit_group", "sequence_id", "activity_id",
                            "exposure_number"), ("02750", "010", "001", "03", "1", "01", "00001")))  # fmt: skip
    model.instance["meta"].update({
        "exposure": {"type": exp_type, "exposure_time": exposure, "measurement_time": exposure, "duration": 1.05 * exposure},
        "photometry": {"pixelarea_steradians": area} if area else {}, "bunit_data": unit, "observation": observation,
        "wcsinfo": {"s_region": "POLYGON ICRS 1 2", "spectral_region": [2.0, 2.0], "dispersion_direction": 1},
    })  # fmt: skip
    draft = Draft(model=model, path="x.fits", nints=1, wcs=wcs)
    draft.first = lambda: Block({name: array[None].copy() for name, array in arrays.items()}, 0)
    return draft


def resample(draft, **pars):
    step = ResampleSpecStep.make(**pars)
    state = step.prepare(draft, None)
    assert isinstance(state, dict), state
    block = step.run(draft.first(), {name: np.asarray(value) for name, value in state.items()})
    return {name: array[0] for name, array in block.arrays.items()}


@pytest.fixture(scope="module")
def results(golden, slits, tmp_path_factory):
    """Our results of all cases."""
    import asdf

    folder, out = tmp_path_factory.mktemp("wcs"), {}
    for name, (kind, pars, unit) in CASES.items():
        wcs = GwcsSlit(slits[kind])
        (x0, x1), (y0, y1) = wcs.box
        arrays = scene((int(y1 - y0), int(x1 - x0)), unit, name == "blank")
        area = float(golden[f"{kind}.area"])
        kept = draft_of(wcs, arrays, unit=unit, exposure=float(golden[f"{kind}.exposure_time"]), area=None if np.isnan(area) else area)
        pars = {**pars, **({"output_wcs": str(folder / pars["output_wcs"])} if "output_wcs" in pars else {})}
        out[name] = kept, resample(kept, **pars)
        if name == "default":
            asdf.AsdfFile({"wcs": kept.wcs.gwcs()}).write_to(folder / "custom.asdf")
    return out


@pytest.mark.parametrize("case", CASES)
def test_images_are_those_of_the_reference(case, golden, results):
    draft, arrays = results[case]
    stride = 1 if case in (*WHOLE, "flags") else STRIDE
    assert arrays["sci"].shape == draft.shape == tuple(golden[f"{case}.shape"])
    for name in NAMES:
        if (key := f"{case}.{name}") not in golden:
            continue
        got, expected = arrays[name][..., ::stride], golden[key]
        if name in ("con", "dq"):
            assert np.array_equal(got, np.squeeze(expected)), name
            continue
        assert got.dtype == np.float32
        assert np.array_equal(np.isnan(got), np.isnan(expected)), name
        assert np.nanmax(np.abs(got - expected), initial=0) <= 2e-6 * np.nanmax(np.abs(expected), initial=0), name


@pytest.mark.parametrize("case", CASES)
def test_grid_is_that_of_the_reference(case, golden, results):
    from jwst_dask.wcs.slitwcs import to_world

    draft, _ = results[case]
    ny, nx = golden[f"{case}.shape"]
    y, x = np.array([0, 0.3 * ny, ny - 1, 2.2]), np.array([0, 0.7 * nx, nx - 1, 5.3])
    expected = golden[f"{case}.world"]
    got = np.array(to_world(draft.wcs, x, y))
    got[0] -= 360 * ((got[0] - expected[0]) > 180)
    row = abs(draft.wcs.line.slope[draft.wcs.axis])
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=3e-8 * row)
    assert np.array_equal(np.isnan(got[2]), np.isnan(expected[2]))
    if f"{case}.slit" in golden:
        np.testing.assert_allclose(draft.wcs.to_slit(x, y), golden[f"{case}.slit"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_metadata_are_those_of_the_reference(case, golden, results):
    draft, _ = results[case]
    expected = ast.literal_eval(str(golden[f"{case}.meta"]).replace("np.float64", ""))
    for path, value in expected.items():
        node = draft.model.instance["meta"]
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if (path.startswith("wcsinfo") and case == "custom_shape") or (path == "group_id" and case.startswith("lamp")):
            continue  # the reference describes the box of the WCS in the file, not the shape that was asked for
        if isinstance(value, (float, tuple)):
            np.testing.assert_allclose(node, value, rtol=1e-9)
        else:
            assert node == value, path
    assert draft.model.instance["meta"]["resample"]["pixfrac"] == golden[f"{case}.top"][1]


def test_attributes_with_a_keyword_stay(results):
    tree = results["default"][0].model.instance
    assert tree["name"] == "2" and tree["source_id"] == 7
    assert not {"slit_ymin", "pathloss_point", "dq"} & set(tree)
    assert results["flags"][0].model.instance["dq"].dtype == np.uint32
    assert tree["con"].shape == (1, 30, 69) and tree["wavelength"].dtype == np.float32
    assert np.ptp(tree["wavelength"], axis=0).max() == 0


def test_input_model_is_left_alone(slits):
    draft = draft_of(GwcsSlit(slits["mos"]), scene((33, 69), "MJy"))
    before, meta = draft.model, dict(draft.model.instance["meta"]["photometry"])
    resample(draft, pixel_scale_ratio=2.0)
    assert draft.model is not before and before.instance["meta"]["photometry"] == meta and "slit_ymin" in before.instance


@pytest.mark.parametrize("key, value", [("pixel_scale", 0.2), ("pixel_area", 0.02093281224370003 / 2)])
def test_units_of_a_custom_grid(key, value, golden, slits, results, tmp_path):
    """A grid with rows twice the height of the input's, or half: fluxes are conserved whatever the file says the scale is."""
    import asdf

    asdf.AsdfFile({"wcs": results["default"][0].wcs.gwcs(), key: value}).write_to(tmp_path / "grid.asdf")
    draft = draft_of(GwcsSlit(slits["mos"]), scene((33, 69), "MJy"))
    resample(draft, output_wcs=str(tmp_path / "grid.asdf"))
    area = draft.model.instance["meta"]["photometry"]["pixelarea_steradians"]
    expected = {"pixel_scale": 0.2 * float(golden["mos.area"]) / 0.10765, "pixel_area": float(golden["mos.area"]) / 2}[key]
    assert area == pytest.approx(expected, rel=1e-3)


def test_what_is_resampled():
    step = ResampleSpecStep()
    lamp = {"exposure.type": "NRS_LAMP", "instrument.lamp_mode": "MSASPEC", "instrument.lamp_state": "LINE1"}
    for meta in ({"exposure.type": "NRS_MSASPEC"}, {"exposure.type": "NRS_FIXEDSLIT"}, lamp, {**lamp, "exposure.type": "NRS_AUTOWAVE"},
                 {**lamp, "instrument.lamp_state": "REF"}, {**lamp, "instrument.lamp_mode": "BRIGHTOBJ"}):  # fmt: skip
        assert step.applies(meta) is None
    for meta in ({"exposure.type": "NRS_BRIGHTOBJ"}, {"exposure.type": "MIR_LRS-SLITLESS"}, {**lamp, "instrument.lamp_state": "FLAT3"},
                 {**lamp, "instrument.lamp_mode": "IFU"}, {**lamp, "exposure.type": "NRS_AUTOFLAT"}, {}):  # fmt: skip
        assert isinstance(step.applies(meta), Skip)
    with pytest.raises(InputError, match="not available"):
        step.applies({"exposure.type": "MIR_LRS-FIXEDSLIT"})


def test_errors_and_skips(slits, tmp_path):
    draft = draft_of(GwcsSlit(slits["mos"]), scene((33, 69), "MJy"))
    for pars, match in (({"output_wcs": str(tmp_path / "no.asdf")}, "no file"), ({"output_shape": "5"}, "output_shape"),
                        ({"pixel_scale_ratio": -1}, "positive"), ({"weight_type": "None"}, "weight_type")):  # fmt: skip
        with pytest.raises(ParameterError, match=match):
            ResampleSpecStep.make(**pars).prepare(draft, None)
    with pytest.raises(InputError, match="WCS"):
        ResampleSpecStep().prepare(draft_of(None, scene((33, 69), "MJy")), None)
    assert isinstance(ResampleSpecStep().prepare(draft_of(Straight(height=0.0), scene((9, 40), "MJy")), None), Skip)


class Straight:
    """An analytic slit: tilted by `tilt` columns a row, `height` degrees a row, wavelengths linear in x."""

    on_sky, corrected = True, False

    def __init__(self, shape=(9, 40), tilt=0.0, height=1e-4, centre=(30.0, -20.0)):
        self.shape, self.tilt, self.height, self.centre = shape, tilt, height, centre
        self.box = (-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5)

    def to_slit(self, x, y, corrected=True):
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        inside = (y > 0.5) & (y < self.shape[0] - 1.5) & (self.height > 0)
        return np.zeros(x.shape), np.where(inside, y - 4, np.nan), np.where(inside, 1 + 0.01 * (x - self.tilt * (y - 4)), np.nan)

    def from_slit(self, xs, ys, wavelength, corrected=True):
        return (np.asarray(wavelength) - 1) / 0.01 + self.tilt * np.asarray(ys), np.asarray(ys) + 4

    def slit_to_sky(self, xs, ys, wavelength):
        ys = np.asarray(ys, float)
        return from_tangent(0.6 * self.height * ys, 0.8 * self.height * ys, *self.centre)

    def sky_to_slit(self, ra, dec, wavelength):
        x, y = to_tangent(ra, dec, *self.centre)
        return np.zeros(np.shape(x)), (0.6 * x + 0.8 * y) / self.height


def flat(shape, value=2.0):
    one = np.ones(shape, "f4")
    return {
        "sci": value * one,
        "err": one,
        "dq": np.zeros(shape, "u4"),
        "var_poisson": 0.5 * one,
        "var_rnoise": 0.25 * one,
        "var_flat": 0 * one,
    }


@pytest.mark.parametrize("kernel", ["square", "point"])
@pytest.mark.parametrize("unit, ratio, factor", [("MJy/sr", 1.0, 1), ("MJy/sr", 2.0, 1), ("MJy", 2.0, 0.5), ("MJy", 0.5, 2)])
def test_brightness_stays_and_flux_is_shared(kernel, unit, ratio, factor):
    """A constant image stays constant, per output pixel or per solid angle."""
    draft = draft_of(Straight(tilt=0.3), flat((9, 40)), unit=unit)
    out = resample(draft, pixel_scale_ratio=ratio, kernel=kernel)
    some = np.isfinite(out["sci"])
    assert some.sum() > 100 * min(ratio, 1)
    np.testing.assert_allclose(out["sci"][some], 2.0 * factor, rtol=1e-6)
    # Variances: of a pixel that covers `ratio` less of the slit, larger by as much.
    np.testing.assert_allclose(out["var_poisson"][some], 0.5 * factor**2 * ratio, rtol=1e-6)
    np.testing.assert_allclose(out["err"][some], np.sqrt(0.75 * factor**2 * ratio), rtol=1e-6)
    assert np.array_equal(out["con"], out["wht"] > 0)
    area = draft.model.instance["meta"]["photometry"]["pixelarea_steradians"]
    assert area == pytest.approx(4.92013831370025e-13 / ratio)


def test_tilted_lines_become_straight():
    """A line tilted on the detector is in one column afterwards, and its flux is what it was."""
    shape, tilt = (9, 60), 0.4
    wcs = Straight(shape, tilt)
    y, x = np.mgrid[:9, :60].astype(float)
    arrays = flat(shape)
    arrays["sci"] = np.exp(-0.5 * ((x - 30 - tilt * (y - 4)) / 1.5) ** 2).astype("f4")
    draft = draft_of(wcs, arrays)
    out = resample(draft)
    rows = np.isfinite(out["sci"]).sum(axis=1) > 50
    columns = np.arange(out["sci"].shape[1])
    image = np.nan_to_num(out["sci"][rows])
    centroid = (image * columns).sum(axis=1) / image.sum(axis=1)
    assert np.ptp(centroid[1:-1]) < 1e-3
    np.testing.assert_allclose(image.sum(axis=1)[1:-1], arrays["sci"][4].sum(), rtol=1e-4)


def test_pixels_of_exposure_time_weigh_alike():
    """With weights by exposure time, a noisy pixel counts as much as another; with ivm, hardly."""
    wcs = Straight()
    arrays = flat((9, 40))
    arrays["sci"][4, 20], arrays["var_rnoise"][4, 20] = 100.0, 1e4
    weighted = {kind: resample(draft_of(wcs, arrays), weight_type=kind) for kind in ("ivm", "exptime")}
    peak = {kind: np.nanmax(out["sci"]) for kind, out in weighted.items()}
    assert peak["ivm"] > peak["exptime"] or peak["exptime"] > 40  # alone in its output pixel it is what it is
    half = resample(draft_of(wcs, arrays), weight_type="exptime", pixel_scale_ratio=0.5)["sci"]
    noisy = resample(draft_of(wcs, arrays), weight_type="ivm", pixel_scale_ratio=0.5)["sci"]
    assert np.nanmax(half) > 60 and np.nanmax(noisy) < 10  # fluxes of two rows in one: (100 + 2) / 2 * 2, or 2 * 2 with little more
    assert np.nanmax(weighted["exptime"]["wht"]) == pytest.approx(1200.0, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0, 1))
def test_bad_pixels_do_not_count(seed, share):
    """Whatever is NaN or flagged has no influence on a constant image."""
    rng = np.random.default_rng(seed)
    arrays = flat((9, 40))
    bad = rng.random((9, 40)) < share
    for name in ("sci", "err", "var_rnoise", "var_poisson"):
        arrays[name][bad & (rng.random((9, 40)) < 0.4)] = np.nan
    nan = np.isnan(arrays["sci"]) | np.isnan(arrays["err"]) | np.isnan(arrays["var_rnoise"]) | np.isnan(arrays["var_poisson"])
    arrays["dq"][bad & ~nan] = 1
    arrays["sci"][bad & ~nan] = 1e6
    out = resample(draft_of(Straight(tilt=0.3), arrays))
    some = np.isfinite(out["sci"])
    np.testing.assert_allclose(out["sci"][some], 2.0, rtol=1e-6)
    assert np.array_equal(some, out["wht"] > 0) and np.array_equal(some, np.isfinite(out["err"]))


def test_wavelengths_of_several_inputs():
    from jwst_dask.steps.stage2.resample_spec.grid import merged_waves, with_edges

    first, later, apart = np.linspace(1, 2, 11), np.linspace(1.55, 2.55, 11), np.linspace(5, 6, 3)
    got = merged_waves([first, apart, later])
    np.testing.assert_allclose(got, np.concatenate([first, later[later > 2], apart]))
    np.testing.assert_allclose(merged_waves([np.array([1, 2, 2.0001, 3.0])]), [1, 2, 2.0001, 3])
    np.testing.assert_allclose(merged_waves([first, first + 1e-9])[:11], first)
    assert np.array_equal(with_edges(np.array([3.0]))[1], [3, 3, 3])
    columns, waves = with_edges(first)
    assert columns[0] == -0.5 and columns[-1] == 10.5 and waves[0] == pytest.approx(0.95)


def test_medians_of_columns():
    from jwst_dask.steps.stage2.resample_spec.footprint import Footprint

    rng = np.random.default_rng(1)
    wave = rng.random((7, 12))
    wave[rng.random((7, 12)) < 0.4] = np.nan
    wave[:, 3] = np.nan
    some = np.isfinite(wave).any(axis=0)
    np.testing.assert_array_equal(Footprint(None, wave, wave, wave, wave).column_waves, np.nanmedian(wave[:, some], axis=0))


def test_planes_match_a_direct_evaluation():
    from jwst_dask.steps.stage2.resample_spec.footprint import footprint

    slit = footprint(Straight(tilt=0.2))
    plane = slit.plane(lambda ys, wave: (np.sin(0.3 * ys) * wave, np.cos(0.2 * ys) + wave**2))
    expected = np.sin(0.3 * slit.ys) * slit.wave, np.cos(0.2 * slit.ys) + slit.wave**2
    np.testing.assert_allclose(plane.values, expected, atol=2e-5)
    assert plane.limits[1] == pytest.approx((np.nanmin(plane.values[1]), np.nanmax(plane.values[1])))


@given(ra0=st.floats(0, 360, exclude_max=True), dec0=st.floats(-89, 89), x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5))
def test_tangent_plane(ra0, dec0, x, y):
    """There and back; the same as the transforms of astropy."""
    from astropy.modeling.models import Pix2Sky_TAN, RotateNative2Celestial

    ra, dec = from_tangent(x, y, ra0, dec0)
    assert 0 <= ra < 360.0000001
    np.testing.assert_allclose(to_tangent(ra, dec, ra0, dec0), (x, y), atol=1e-12)
    expected = (Pix2Sky_TAN() | RotateNative2Celestial(ra0, dec0, 180))(x, y)
    assert abs((ra - expected[0] + 180) % 360 - 180) < 1e-11 and abs(dec - expected[1]) < 1e-12


def sky_slit(axis, turned):
    rows = np.linspace(-1.1, 0.9, 6) + 0.01 * np.arange(6) ** 2
    slopes = (1e-5, -3e-5) if axis else (-3e-5, 1e-5)
    columns = np.concatenate([[-0.5], np.arange(9), [8.5]])
    return RectifiedSlit(
        (6, 9), columns, np.linspace(1, 2, 11) ** 2, Line(slopes, (2e-4, -1e-4)), axis, (359.9999, 40.0), -rows if turned else rows
    )


@pytest.mark.parametrize("wcs", [sky_slit(0, False), sky_slit(1, True), sky_slit(0, True)], ids=str)
def test_rectified_slit_and_its_gwcs(wcs):
    from jwst_dask.io import asdf_text
    from jwst_dask.wcs.rectified_gwcs import rectified

    y, x = np.mgrid[-0.4:5.4:7j, -1.5:9.5:12j]
    xs, ys, wave = wcs.to_slit(x, y)
    loaded = asdf_text.load(wcs.fragment())
    for gwcs in (wcs.gwcs(), loaded):
        assert gwcs.available_frames == ["detector", "slit_frame", "world"] and gwcs.array_shape == (6, 9)
        np.testing.assert_allclose(gwcs.get_transform("detector", "slit_frame")(x, y), (xs, ys, wave), atol=1e-12)
        world = gwcs(x, y, with_bounding_box=False)
        np.testing.assert_allclose(world[2], wave, atol=1e-13)
        np.testing.assert_allclose(np.array(wcs.slit_to_sky(xs, ys, wave)), world[:2], atol=1e-11)
        np.testing.assert_allclose(gwcs.invert(*world, with_bounding_box=False), wcs.from_slit(xs, ys, wave), atol=1e-7)
        again = rectified(gwcs)
        assert again.axis == wcs.axis and again.shape == wcs.shape
        np.testing.assert_allclose(again.wavelengths, wcs.wavelengths)
        np.testing.assert_allclose([again.centre, again.line.slope], [wcs.centre, wcs.line.slope], rtol=1e-14)
    np.testing.assert_allclose(wcs.sky_to_slit(*wcs.slit_to_sky(xs, ys, wave), wave)[1], ys, atol=1e-8)
    with pytest.raises(InputError):
        wcs.slit_to_msa(0, 0)


@pytest.mark.parametrize("waves", [np.linspace(1, 2, 9) ** 2, np.linspace(2, 1, 9)], ids=["up", "down"])
def test_rectified_lamp_and_its_gwcs(waves):
    from jwst_dask.io import asdf_text
    from jwst_dask.wcs.rectified_gwcs import rectified

    lamp = RectifiedLamp((6, 9), waves, Line((1e-8, -4e-5), (-0.02, 0.03)))
    y, x = np.mgrid[-0.4:5.4:7j, -1.5:9.5:12j]
    xs, ys, wave = lamp.to_slit(x, y)
    for gwcs in (lamp.gwcs(), asdf_text.load(lamp.fragment())):
        assert gwcs.available_frames == ["detector", "world"] and gwcs.array_shape == (6, 9)
        world = gwcs(x, y, with_bounding_box=False)
        np.testing.assert_allclose((*lamp.slit_to_msa(xs, ys), wave), world, rtol=1e-13)
        np.testing.assert_allclose(gwcs.invert(*world, with_bounding_box=False), lamp.world_to_pixel(world[1], wave), atol=1e-9)
        assert np.array_equal(rectified(gwcs).wavelengths, waves)
    assert np.allclose(lamp.from_slit(xs, ys, wave), (x, y))


@given(at=st.lists(st.floats(-5, 15) | st.just(float("nan")), min_size=1, max_size=8))
def test_interpolation(at):
    from scipy.interpolate import interp1d

    from jwst_dask.kernels.drizzle_map import interpolate

    knots, values, at = np.array([0.0, 1, 2.5, 7]), np.array([3.0, -1, 4, 4.5]), np.array(at)
    np.testing.assert_allclose(extended(knots, values, at), interp1d(knots, values, fill_value="extrapolate")(at), atol=1e-12)
    np.testing.assert_allclose(inside(knots, values, at), interp1d(knots, values, bounds_error=False)(at), atol=1e-12)
    np.testing.assert_allclose(interpolate(knots, values, at[None])[0], inside(knots, values, at), atol=1e-12)
