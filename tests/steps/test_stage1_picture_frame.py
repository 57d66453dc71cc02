"""picture_frame against the reference implementation (tests/parity/make_ramp_flicker.py), on ramps in one block and streamed, and on rates."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from ramp_noise_cases import PARITY, Refs, draft_of, outcome, references, scene

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.prepare import flat_meta
from jwst_dask.core.step import Failed, Skip
from jwst_dask.data.exposure import Block
from jwst_dask.steps.stage1.picture_frame import PictureFrameStep

GOLDEN = np.load(PARITY / "ramp_flicker.npz")
PRODUCTS = ("pctfrm_mask", "pctfrm_correction")


@pytest.mark.parametrize("name", scene.FRAME)
def test_like_the_reference_implementation(name: str, tmp_path: Path) -> None:
    case = scene.FRAME[name]
    arrays, meta = scene.ramp(**case["ramp"])
    step = PictureFrameStep.make(skip=False, save_mask=True, save_correction=True, **case["params"])
    draft = draft_of(arrays, meta)
    found, status = outcome(step, arrays, draft, Refs(**references(tmp_path, arrays, meta)), tmp_path)
    assert status == str(GOLDEN[f"picture_frame.{name}.status"])
    for key in ("sci", *PRODUCTS):
        if f"picture_frame.{name}.{key}" not in GOLDEN.files:
            continue
        expected = GOLDEN[f"picture_frame.{name}.{key}"]
        if "mask" in key:
            np.testing.assert_array_equal(np.packbits(found[key]), expected)
        else:
            np.testing.assert_array_equal(found[key][scene.crop(found[key].shape)], expected)
            assert key == "sci" or draft.extras[key].data.shape == (1, *found[key].shape[1:])


@pytest.fixture
def frame(tmp_path: Path):
    arrays, meta = scene.ramp(**scene.FULL)
    return arrays, meta, references(tmp_path, arrays, meta)


@pytest.mark.parametrize("nints", [0, 1, 3])
def test_rates_get_what_the_last_group_of_a_ramp_gets(nints: int, frame, tmp_path: Path) -> None:
    """Rates are corrected like differences to the first group; those of several integrations share a mask."""
    from jwst_dask.core.planner import draft_of as draft_of_file
    from jwst_dask.io.fits import read_block, scan
    from jwst_dask.kernels.ramp.picture_frame import correct_image, make_pattern
    from jwst_dask.steps.stage2.clean_flicker_noise.background import clip_to_background

    _, _, paths = frame
    rng, shape = np.random.default_rng(5), (160, 160)
    sci = (1 + rng.standard_normal((max(nints, 1), *shape)) + scene._pattern(shape) * 5).astype(np.float32)
    sci[:, 90:93] += 50
    path = str(tmp_path / ("x_rateints.fits" if nints else "x_rate.fits"))
    primary = fits.PrimaryHDU()
    for key, value in {"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": "NRS_MSASPEC", "SUBARRAY": "FULL", "NINTS": max(nints, 1),
                       "DATAMODL": "CubeModel" if nints else "ImageModel", "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 160, "SUBSIZE2": 160}.items():  # fmt: skip
        primary.header[key] = value
    arrays = {"SCI": sci, "DQ": np.zeros(sci.shape, np.uint32), "ERR": np.ones_like(sci)}
    fits.HDUList([primary, *(fits.ImageHDU(a if nints else a[0], name=n) for n, a in arrays.items())]).writeto(path)
    draft = draft_of_file(path)
    step = PictureFrameStep.make(skip=False, mask_science_regions=False, save_mask=True, save_correction=True)
    assert step.applies(flat_meta(draft.model)) is None
    state = step.prepare(draft, Refs(**paths))
    block = read_block(scan(path), 0, max(nints, 1))
    done = step.run(block, {name: np.asarray(value) for name, value in state.items()})
    np.testing.assert_array_equal(block.arrays["sci"], sci)  # rates are not changed in place
    mask = np.ones(shape, bool)
    for image in sci:
        own = ~np.isnan(image) & (image != 0)
        clip_to_background(image, own)
        mask &= own
    pattern = make_pattern(scene._pattern(shape), mask)
    for image, corrected in zip(sci.copy(), done.arrays["sci"], strict=True):
        correct_image(image, pattern)
        np.testing.assert_array_equal(corrected, image)
    np.testing.assert_array_equal(done.arrays["pctfrm_correction"], done.arrays["sci"] - sci)
    assert done.arrays["pctfrm_mask"].shape == sci.shape and (done.arrays["pctfrm_mask"] == mask).all()


def test_when_frames_are_left_alone(frame, tmp_path: Path) -> None:
    arrays, meta, paths = frame
    assert PictureFrameStep().applies(flat_meta(draft_of(arrays, meta).model)).reason == "skip = True"
    step = PictureFrameStep.make(skip=False)
    assert step.applies(flat_meta(draft_of(arrays, meta | {"instrument.name": "NIRISS"}).model)) is not None
    assert step.prepare(draft_of(arrays, meta), Refs(**paths | {"pictureframe": "N/A"})) == Skip("no pictureframe reference")
    failed = step.prepare(draft_of(arrays, meta), Refs(**paths))  # there is no MSA metafile
    assert isinstance(failed, Failed) and "MSAMETFL" in failed.reason or "WCS" in failed.reason
    with pytest.raises(InputError, match="NRS_IFU"):
        step.prepare(draft_of(arrays, meta | {"exposure.type": "NRS_IFU"}), Refs(**paths))
    small = {name: array[..., :120, :] for name, array in arrays.items()}
    with pytest.raises(ReferenceError_, match="160 x 160 pixels .* 120 x 160"):
        step.prepare(draft_of(small, meta), Refs(**paths))


def test_exposures_without_background_or_rates(frame, tmp_path: Path, caplog) -> None:
    arrays, meta, paths = frame
    step = PictureFrameStep.make(skip=False, mask_science_regions=False)
    for change, text in (
        ({"sci": np.zeros_like(arrays["sci"])}, "no background"),
        ({"groupdq": np.full_like(arrays["groupdq"], 2)}, "no pixel has a rate"),
    ):
        caplog.clear()
        found, status = outcome(step, arrays | change, draft_of(arrays, meta), Refs(**paths), tmp_path)
        np.testing.assert_array_equal(found["sci"], (arrays | change)["sci"])
        assert status == "COMPLETE" and text in caplog.text


def test_a_block_keeps_what_it_has_besides(frame) -> None:
    arrays, meta, paths = frame
    step = PictureFrameStep.make(skip=False, mask_science_regions=False)
    state = step.prepare(draft_of(arrays, meta), Refs(**paths))
    block = step.run(Block({name: array.copy() for name, array in arrays.items()} | {"other": np.ones(3)}, 0), state)
    assert set(block.arrays) == {*arrays, "other"} and dataclasses.asdict(block)["start"] == 0
