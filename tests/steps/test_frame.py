"""Steps of the frame against the reference implementation (tests/parity/make_frame.py) and against plain numpy."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.planner import draft_of
from jwst_dask.core.step import Skip
from jwst_dask.io.fits import read_block, scan
from jwst_dask.steps.stage2 import members
from jwst_dask.steps.stage2.bkg_subtract import BackgroundStep
from jwst_dask.steps.stage2.clean_flicker_noise import CleanFlickerNoiseStep
from jwst_dask.steps.stage2.clean_flicker_noise.scene import plane_mask
from jwst_dask.steps.stage2.imprint_subtract import ImprintStep

PARITY = Path(__file__).parent.parent / "parity"
sys.path.insert(0, str(PARITY))
import frame_scene as scene  # noqa: E402

GOLDEN = np.load(PARITY / "frame.npz")


class Refs:
    """References by type; none otherwise."""

    def __init__(self, parameters=None, overrides=None, context=None, **paths):
        self.paths = paths

    def __call__(self, reftype):
        return self.paths.get(reftype, "N/A")


@pytest.fixture(scope="module")
def exposures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frame")
    from astropy.io import fits

    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(scene.mask(), name="SCI")]).writeto(folder / "mask.fits")
    scene.write(str(folder / "flat.fits"), {"SCI": scene.flat()})
    return SimpleNamespace(
        folder=folder,
        sci=scene.write(str(folder / "sci_rate.fits"), scene.image(1)),
        ints=scene.write(str(folder / "sci_rateints.fits"), scene.series(10), "NRS_BRIGHTOBJ"),
        backgrounds=[scene.write(str(folder / f"bkg{i}_rate.fits"), scene.image(i)) for i in (2, 3)],
        cubes=[scene.write(str(folder / f"bkg{i}_rateints.fits"), scene.series(i), "NRS_BRIGHTOBJ") for i in (20, 40)],
    )


def draft_at(path, **found):
    draft = draft_of(path)
    draft.members, draft.first = found, lambda: read_block(scan(path), 0, 1)
    return draft


def saved(state, folder):
    """A state as it comes back from its file."""
    np.savez(folder / "state.npz", **{name: np.asarray(value) for name, value in state.items()})
    return dict(np.load(folder / "state.npz"))


def run(step, draft, folder, refs=None, edges=None):
    state = step.prepare(draft, refs or Refs())
    assert isinstance(state, dict), state
    state, file = saved(state, folder), scan(draft.path)
    edges = edges or (0, file.nints)
    blocks = []
    for start, stop in zip(edges, edges[1:]):
        block = read_block(file, start, stop)
        before = {name: array.copy() for name, array in block.arrays.items()}
        blocks.append(step.run(block, state))
        for name, array in before.items():  # the input stays as it is: nod-subtracted and unsubtracted frames are used side by side
            np.testing.assert_array_equal(block.arrays[name], array)
    arrays = {name: np.concatenate([block.arrays[name] for block in blocks]) for name in blocks[0].arrays}
    return arrays if draft.is_cube else {name: array[0] for name, array in arrays.items()}


@pytest.mark.parametrize("case", scene.FLICKER)
def test_flicker_noise_of_an_image(case, exposures, tmp_path):
    values = dict(scene.FLICKER[case])
    if "user_mask" in values:
        values["user_mask"] = str(exposures.folder / values["user_mask"])
    step = CleanFlickerNoiseStep.make(skip=False, **values)
    arrays = run(step, draft_at(exposures.sci), tmp_path, Refs(flat=str(exposures.folder / "flat.fits")))
    tolerance = {"rtol": 1e-5, "atol": 2e-6} if values.get("fit_method") == "fft" else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(arrays["sci"][scene.CROP], GOLDEN[f"flicker.{case}"], **tolerance)
    np.testing.assert_array_equal(arrays["dq"], scene.image(1)["DQ"])


@pytest.mark.parametrize("edges", [(0, 4), (0, 1, 4)], ids=["whole", "cut"])
@pytest.mark.parametrize("case", scene.SERIES)
def test_flicker_noise_of_a_series(case, edges, exposures, tmp_path):
    step = CleanFlickerNoiseStep.make(skip=False, **scene.SERIES[case])
    arrays = run(step, draft_at(exposures.ints), tmp_path, edges=edges)
    tolerance = {"rtol": 1e-5, "atol": 2e-6} if "fft" in case else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(arrays["sci"][(slice(None), *scene.CROP)], GOLDEN[f"series.{case}"], **tolerance)


def test_side_products_of_flicker_noise(exposures, tmp_path):
    step = CleanFlickerNoiseStep.make(skip=False, save_mask=True, save_background=True, save_noise=True)
    draft = draft_at(exposures.sci)
    arrays = run(step, draft, tmp_path)
    assert set(draft.extras) == {"mask", "flicker_bkg", "flicker_noise"} and set(step.side_products) == {"flicker_bkg", "flicker_noise"}
    sci = scene.image(1)["SCI"]
    np.testing.assert_array_equal(arrays["flicker_noise"], arrays["sci"] - sci)
    mask = draft.extras["mask"].data.astype(bool)
    assert len(np.unique(arrays["flicker_bkg"])) == 1 and not mask[np.isnan(sci) | (sci == 0) | (sci > 30)].any() and mask.mean() > 0.4
    every = CleanFlickerNoiseStep.make(skip=False, save_mask=True, single_mask=False)
    assert "mask" in every.side_products and run(every, draft_at(exposures.ints), tmp_path)["mask"].shape == scene.CUBE


def test_science_regions_are_masked():
    image, dq = np.random.default_rng(1).standard_normal((2048, 60)).astype(np.float32), np.zeros((2048, 60), np.uint32)
    dq[5, 5] = 1 << 29
    state = {"regions": True, "areas": np.array([[10, 20, 100, 130]]), "fixed_rows": True, "open": np.array([2 * 60 + 3])}
    mask = plane_mask(image, dq, state, 0.0, False)
    expected = np.ones(mask.shape, bool)
    expected[100:130, 10:20], expected[922:1116] = False, False
    expected[5, 5], expected[2, 3] = False, False
    np.testing.assert_array_equal(mask, expected)
    assert plane_mask(image, dq, state | {"regions": False}, 0.0, False).all()


def test_when_flicker_noise_is_left_alone(exposures):
    step = CleanFlickerNoiseStep.make(skip=False)
    assert CleanFlickerNoiseStep().applies({"exposure.type": "NRS_IFU"}).reason == "skip = True"
    assert step.applies({"exposure.type": "NRS_IFU"}) is None and step.applies({"exposure.type": "MIR_MRS"}) is not None
    failed = CleanFlickerNoiseStep.make(skip=False, background_method="median_image").prepare(draft_at(exposures.sci), Refs())
    assert isinstance(failed, Skip) and failed.status == "FAILED" and "integrations" in failed.reason
    wrong = CleanFlickerNoiseStep.make(skip=False, user_mask=str(exposures.folder / "mask.fits")).prepare(draft_at(exposures.ints), Refs())
    assert isinstance(wrong, Skip) and "shape" in wrong.reason
    with pytest.raises(InputError, match="assign_wcs"):
        CleanFlickerNoiseStep.make(skip=False, mask_science_regions=True).prepare(draft_at(exposures.sci), Refs())
    with pytest.raises(ParameterError, match="cannot be read"):
        CleanFlickerNoiseStep.make(skip=False, user_mask="absent.fits").prepare(draft_at(exposures.sci), Refs())


@pytest.mark.parametrize("case", scene.BACKGROUND)
@pytest.mark.parametrize("kind", ["image", "cube"])
def test_backgrounds(kind, case, exposures, tmp_path):
    path, others = (exposures.sci, exposures.backgrounds) if kind == "image" else (exposures.ints, exposures.cubes)
    draft = draft_at(path, background=others)
    arrays = run(BackgroundStep.make(save_combined_background=True, **scene.BACKGROUND[case]), draft, tmp_path)
    for name, key in (("sci", ""), ("dq", ".dq")):
        np.testing.assert_array_equal(arrays[name][(..., *scene.CROP)], GOLDEN[f"bkg.{kind}.{case}{key}"])
    combined = draft.extras["combinedbackground"]
    np.testing.assert_array_equal(combined.err[scene.CROP], GOLDEN[f"bkg.{kind}.{case}.err"])
    np.testing.assert_array_equal(arrays["err"], scene.image(1)["ERR"] if kind == "image" else scene.series(10)["ERR"])


def test_a_background_list_without_an_association(exposures, tmp_path):
    listed = run(BackgroundStep.make(bkg_list=exposures.backgrounds), draft_at(exposures.sci), tmp_path)
    np.testing.assert_array_equal(listed["sci"][scene.CROP], GOLDEN["bkg.image.default"])


def test_a_background_of_another_subarray(exposures, tmp_path):
    whole = {name: array[10:30, 100:300] for name, array in scene.image(2).items()}
    part = scene.write(str(tmp_path / "part_rate.fits"), whole, SUBSTRT1=101, SUBSTRT2=111)
    arrays, sci = run(BackgroundStep(), draft_at(exposures.sci, background=[part]), tmp_path), scene.image(1)["SCI"]
    level = np.zeros_like(sci)
    level[10:30, 100:300] = np.nan_to_num(whole["SCI"])
    np.testing.assert_array_equal(arrays["sci"], sci - level)


def test_strips_make_no_difference(exposures, monkeypatch, tmp_path):
    import jwst_dask.steps.stage2.bkg_subtract as module

    monkeypatch.setattr(module, "STRIP_BYTES", 7 * scene.IMAGE[1] * 24)
    arrays = run(BackgroundStep(), draft_at(exposures.sci, background=exposures.backgrounds), tmp_path)
    np.testing.assert_array_equal(arrays["sci"][scene.CROP], GOLDEN["bkg.image.default"])


def test_backgrounds_that_cannot_be_used(exposures, tmp_path):
    step = BackgroundStep()
    assert step.applies({"exposure.type": "NRS_MSASPEC"}).reason.startswith("no background")
    with pytest.raises(InputError, match="not available for EXP_TYPE NIS_SOSS"):
        step.applies({"exposure.type": "NIS_SOSS"})
    tilted = scene.write(str(tmp_path / "tilted_rate.fits"), scene.image(2), GWA_XTIL=0.34 + 1e-6)
    reason = step.prepare(draft_at(exposures.sci, background=[exposures.backgrounds[0], tilted]), Refs()).reason
    assert "tilted_rate.fits" in reason and "GWA_XTIL" in reason
    with pytest.raises(InputError, match="3 dimensions"):
        step.prepare(draft_at(exposures.sci, background=[exposures.cubes[0]]), Refs())
    with pytest.raises(InputError, match="does not exist"):
        members.member_state(str(tmp_path / "gone.fits"), draft_at(exposures.sci), Refs())


PLACES = {"a": (1, "001", False), "b": (2, "001", False), "c": (1, "002", True), "d": (1, "001", True), "none": (None, None, None)}


@pytest.mark.parametrize(
    "own, imprints, expected",
    [
        ((1, "001", False), ["c"], "c"),  # the only one, whatever it is
        ((2, "001", False), ["a", "b", "c"], "b"),
        ((3, "001", False), ["a", "b", "c"], None),  # two of the same kind, none at this position
        ((3, "009", True), ["a", "b", "c"], "c"),  # the only one on a background
        ((1, "001", True), ["a", "d", "c"], "d"),
        ((1, "001", None), ["a", "none"], "none"),
        ((1, "001", None), [], None),
    ],
)
def test_which_imprint_belongs_to_an_exposure(own, imprints, expected, monkeypatch):
    monkeypatch.setattr(members, "header_of", lambda path: {k: v for k, v in zip(members.PLACE, PLACES[path]) if v is not None})
    assert members.matching_imprint(own, imprints) == expected


def test_an_imprint_is_subtracted(exposures, tmp_path):
    draft = draft_at(exposures.sci, imprint=exposures.backgrounds)
    draft.model.meta.exposure.type = "NRS_MSASPEC"
    arrays, sci, other = run(ImprintStep(), draft, tmp_path), scene.image(1), scene.image(2)
    np.testing.assert_array_equal(arrays["sci"], sci["SCI"] - other["SCI"])
    np.testing.assert_array_equal(arrays["dq"], sci["DQ"] | other["DQ"])
    assert ImprintStep().applies({"exposure.type": "NRS_MSASPEC"}).reason.startswith("no imprint")
    assert ImprintStep().applies({"exposure.type": "NRS_FIXEDSLIT", "members.imprint": 1}) is not None


def test_members_go_through_what_the_exposure_goes_through(exposures, tmp_path):
    imprint = scene.write(str(tmp_path / "imprint_rate.fits"), scene.image(7), "NRS_MSASPEC")
    clean = CleanFlickerNoiseStep.make(skip=False, n_sigma=3.0)
    draft = draft_at(exposures.sci, background=exposures.backgrounds, imprint=[imprint])
    draft.model.meta.exposure.type = "NRS_MSASPEC"
    draft.steps = {"clean_flicker_noise": clean, "imprint_subtract": ImprintStep()}
    arrays = run(BackgroundStep(), draft, tmp_path)
    cleaned = {path: run(clean, draft_at(path), tmp_path) for path in (*exposures.backgrounds, imprint)}
    levels = [cleaned[path]["sci"] - cleaned[imprint]["sci"] for path in exposures.backgrounds]
    stack = np.array(levels, np.float64)
    with np.errstate(invalid="ignore"):
        level = (np.nansum(stack, axis=0) / np.isfinite(stack).sum(axis=0)).astype(np.float32)
    np.testing.assert_array_equal(arrays["sci"], scene.image(1)["SCI"] - np.nan_to_num(level))
    flags = scene.image(1)["DQ"] | scene.image(2)["DQ"] | scene.image(3)["DQ"] | scene.image(7)["DQ"]
    np.testing.assert_array_equal(arrays["dq"], flags)
    off = dataclasses.replace(clean, skip=True)
    draft.steps = {"clean_flicker_noise": off, "imprint_subtract": ImprintStep.make(skip=True)}
    assert all(members.is_plain(members.below(BackgroundStep().prepare(draft, Refs()), f"{i}.")) for i in range(2))
