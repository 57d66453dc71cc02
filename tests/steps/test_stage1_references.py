"""Windows of reference files of stage 1, what is refused, and what steps keep beside the arrays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace as Bag
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage1 import reference
from jwst_dask.steps.stage1.dark_current import DarkCurrentStep
from jwst_dask.steps.stage1.dq_init import DQInitStep
from jwst_dask.steps.stage1.gain_scale import GainScaleStep
from jwst_dask.steps.stage1.linearity import LinearityStep
from jwst_dask.steps.stage1.persistence import load_windows, save_windows


def model(ny: int = 4, nx: int = 6, instrument: str = "NIRCAM", **area: Any) -> Any:
    place = {"xstart": 11, "ystart": 21, "xsize": nx, "ysize": ny} | area
    exposure = Bag(nframes=1, groupgap=0, integration_start=None, zero_frame=False, read_times=None, gain_factor=None)
    meta = Bag(instrument=Bag(name=instrument, detector="NRCA1"), subarray=Bag(**place), exposure=exposure)
    return Bag(data=np.zeros((1, 5, ny, nx), np.float32), meta=meta, average_dark_current=None)


def header(x: int, y: int, nx: int, ny: int) -> dict[str, int]:
    return {"SUBSTRT1": x, "SUBSTRT2": y, "SUBSIZE1": nx, "SUBSIZE2": ny}


def write(path: Path, keys: dict[str, Any], **images: np.ndarray) -> str:
    primary = fits.PrimaryHDU()
    primary.header.update(keys)
    fits.HDUList([primary, *(fits.ImageHDU(image, name=name) for name, image in images.items())]).writeto(path)
    return str(path)


def test_a_window_of_a_larger_reference() -> None:
    assert reference.window(model(), header(1, 1, 2048, 2048), (2048, 2048)) == (slice(20, 24), slice(10, 16))
    assert reference.window(model(), header(9, 15, 20, 30), (7, 30, 20)) == (slice(6, 10), slice(2, 8))
    assert reference.window(model(), {}, (2048, 2048)) == (slice(20, 24), slice(10, 16))


def test_the_whole_of_a_reference_of_the_same_subarray() -> None:
    assert reference.window(model(), header(11, 21, 6, 4), (4, 6)) == (slice(0, 4), slice(0, 6))


def test_irs2_frames_count_as_2048_rows() -> None:
    frame = model(3200, 2048, "NIRSPEC", xstart=1, ystart=1, ysize=2048)
    assert reference.window(frame, header(1, 1, 2048, 2048), (3200, 2048)) == (slice(0, 3200), slice(0, 2048))
    assert reference.window(frame, header(1, 1, 2048, 2048), (2048, 2048)) == (slice(0, 2048), slice(0, 2048))


@pytest.mark.parametrize(("keys", "shape", "text"), [
    (header(12, 1, 2037, 2048), (2048, 2037), "does not cover"), (header(1, 1, 12, 2048), (2048, 12), "does not cover"),
    ({}, (40, 40), "not a full frame"), (header(0, 1, 40, 40), (40, 40), "count from 1")])  # fmt: skip
def test_references_that_do_not_fit(keys: dict[str, int], shape: tuple[int, int], text: str) -> None:
    with pytest.raises(ReferenceError_, match=text):
        reference.window(model(), keys, shape, "ref.fits", "mask")


def test_exposures_that_do_not_say_where_they_are() -> None:
    with pytest.raises(InputError, match="SUBSTRT1"):
        reference.window(model(xstart=None), header(1, 1, 2048, 2048), (2048, 2048))
    with pytest.raises(InputError, match="stripes"):
        reference.window(model(multistripe_reads1=1), header(1, 1, 2048, 2048), (2048, 2048))


def test_flags_without_definitions_stay_and_absent_ones_are_zero(tmp_path: Path) -> None:
    dq = np.arange(24, dtype=np.uint32).reshape(4, 6) << 10
    path = write(tmp_path / "a.fits", header(11, 21, 6, 4), SCI=np.ones((4, 6), np.float32), DQ=dq)
    state = reference.locate(model(), path, "superbias").state()
    np.testing.assert_array_equal(reference.flags(state, "superbias"), dq)
    plain = write(tmp_path / "b.fits", header(11, 21, 6, 4), SCI=np.ones((4, 6)))
    state = reference.locate(model(), plain, "superbias").state()
    assert not reference.flags(state, "superbias").any() and reference.plane(state, "superbias").dtype == np.float32
    with pytest.raises(ReferenceError_, match="COEFFS"):
        reference.locate(model(), plain, "linearity", "COEFFS")


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "text.fits").write_text("text")
    for name in ("text.fits", "none.fits"):
        with pytest.raises(ReferenceError_, match=name):
            reference.locate(model(), str(tmp_path / name), "mask", "DQ")
    assert isinstance(DQInitStep().prepare(Draft(model(), "x", 1), lambda kind: "N/A"), Skip)  # type: ignore[arg-type]


def test_a_mask_of_the_user(tmp_path: Path) -> None:
    mask = write(tmp_path / "mask.fits", header(11, 21, 6, 4), DQ=np.full((4, 6), 4, np.uint32))
    own = tmp_path / "own.fits"
    fits.PrimaryHDU(np.eye(4, 6, dtype=np.int16)).writeto(own)
    draft = Draft(model(), "x", 1)
    step = DQInitStep.make(user_supplied_dq=str(own))
    state = step.prepare(draft, lambda kind: mask)  # type: ignore[arg-type]
    sci = np.zeros((1, 5, 4, 6), np.float32)
    block = step.run(Block({"sci": sci, "groupdq": np.zeros(sci.shape, np.uint8), "pixeldq": np.zeros((4, 6), np.uint32)}, 0), state)  # type: ignore[arg-type]
    np.testing.assert_array_equal(block.arrays["pixeldq"], 4 | np.eye(4, 6, dtype=np.uint32))
    assert (block.arrays["groupdq"] == np.eye(4, 6, dtype=np.uint8)).all()
    with pytest.raises(InputError, match="shape"):
        DQInitStep.make(user_supplied_dq=str(own)).prepare(Draft(model(5, 5), "x", 1), lambda kind: write(
            tmp_path / "other.fits", header(11, 21, 5, 5), DQ=np.zeros((5, 5), np.uint32)))  # type: ignore[arg-type]  # fmt: skip


def test_a_dark_of_another_subarray_or_without_keywords(tmp_path: Path) -> None:
    keys = header(11, 21, 6, 4) | {"NFRAMES": 1, "GROUPGAP": 0}
    wide = write(tmp_path / "wide.fits", keys, SCI=np.zeros((5, 8, 8), np.float32))
    bare = write(tmp_path / "bare.fits", header(11, 21, 6, 4), SCI=np.zeros((5, 4, 6), np.float32))
    short = write(tmp_path / "short.fits", keys, SCI=np.zeros((1, 4, 6), np.float32))
    flat = write(tmp_path / "flat.fits", keys, SCI=np.zeros((4, 6), np.float32))
    for path, text in ((wide, "8 x 8"), (bare, "NFRAMES"), (short, "too few"), (flat, "shape")):
        with pytest.raises(ReferenceError_, match=text):
            DarkCurrentStep().prepare(Draft(model(), "x", 1), lambda kind, path=path: path)  # type: ignore[arg-type, misc]


def test_the_dark_as_subtracted_can_be_saved(tmp_path: Path) -> None:
    from stdatamodels.jwst import datamodels

    keys = header(11, 21, 6, 4) | {"NFRAMES": 1, "GROUPGAP": 0, "TELESCOP": "JWST"}
    frames = np.arange(30, dtype=np.float32)[:, None, None] * np.ones((1, 4, 6), np.float32)
    path, out = write(tmp_path / "dark.fits", keys, SCI=frames), str(tmp_path / "out.fits")
    exposure = model()
    exposure.meta.exposure.nframes, exposure.meta.exposure.groupgap = 4, 1
    draft = Draft(exposure, "x", 1, first=lambda: Block({}, 0), folder=str(tmp_path))
    DarkCurrentStep.make(dark_output="out").prepare(draft, lambda kind: path)  # type: ignore[arg-type]
    with datamodels.open(out) as saved:
        np.testing.assert_array_equal(saved.data[:, 0, 0], np.arange(5) * 5 + 1.5)
        assert (saved.meta.exposure.nframes, saved.meta.exposure.groupgap, saved.meta.exposure.ngroups) == (4, 1, 5)


def test_linearity_needs_two_coefficients(tmp_path: Path) -> None:
    path = write(tmp_path / "lin.fits", header(11, 21, 6, 4), COEFFS=np.ones((1, 4, 6), np.float32))
    with pytest.raises(ReferenceError_, match="two terms"):
        LinearityStep().prepare(Draft(model(), "x", 1), lambda kind: path)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["exposure", "reference", "nowhere"])
def test_gain_factor(where: str, tmp_path: Path) -> None:
    gain = write(tmp_path / "gain.fits", {"GAINFACT": 1.43} if where == "reference" else {}, SCI=np.ones((4, 6), np.float32))
    exposure = model()
    exposure.meta.exposure.gain_factor = 1.43 if where == "exposure" else None
    state = GainScaleStep().prepare(Draft(exposure, "x", 1), lambda kind: gain)  # type: ignore[arg-type]
    if where == "nowhere":
        assert isinstance(state, Skip)
        return
    before = {name: np.arange(1, 25, dtype=np.float32).reshape(1, 4, 6) for name in ("sci", "err", "var_poisson", "var_rnoise", "var_flat")}
    block = GainScaleStep().run(Block({name: array.copy() for name, array in before.items()}, 0), state)  # type: ignore[arg-type]
    for name, factor in (("sci", 1.43), ("err", 1.43), ("var_poisson", 1.43**2), ("var_rnoise", 1.43**2), ("var_flat", 1)):
        np.testing.assert_array_equal(block.arrays[name], before[name] * np.float32(factor))
    assert exposure.meta.exposure.gain_factor == 1.43


def test_state_file_of_persistence(tmp_path: Path) -> None:
    path, windows = str(tmp_path / "state"), np.diag([0.0, 5.0, 7.0])
    assert load_windows(path + ".asdf", "NRCA1", 40, (3, 3)) is None
    save_windows(path, "NRCA1", "one.fits", windows, 40)
    path = save_windows(path, "NRCA2", "two.fits", 2 * windows, 50)
    np.testing.assert_array_equal(load_windows(path, "NRCA1", 40, (3, 3)), windows)
    np.testing.assert_array_equal(load_windows(path, "NRCA2", 50, (3, 3)), 2 * windows)
    assert load_windows(path, "NRCA1", 41, (3, 3)) is None and load_windows(path, "NRCB1", 40, (3, 3)) is None
    with pytest.raises(InputError, match="3|2 x 2"):
        load_windows(path, "NRCA1", 40, (2, 2))
