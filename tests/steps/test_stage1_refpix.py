"""refpix against the reference implementation (tests/parity/make_ramp_refpix.py), and what it does not depend on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from jwst_dask.core.errors import InputError, ParameterError, ReferenceError_
from jwst_dask.core.ramps.notes import Notes
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.kernels.ramp.irs2 import make_filters
from jwst_dask.steps.stage1.refpix import RefPixStep, irs2

PARITY = Path(__file__).parent.parent / "parity"
sys.path[:0] = [str(PARITY), str(Path(__file__).parent)]
import ramp_refpix_scene as scene  # noqa: E402
from stored_ramps import StoredRamps  # noqa: E402

GOLDEN = np.load(PARITY / "ramp_refpix.npz")


def draft_of(detector, subarray, shape, corner, outputs, zero=False, nints=1):
    from stdatamodels.jwst import datamodels

    model = datamodels.RampModel((1, shape[1], *shape[2:]))
    meta = model.meta
    meta.instrument.name, meta.instrument.detector = scene.INSTRUMENT[detector], detector
    meta.subarray.name, (meta.subarray.xstart, meta.subarray.ystart) = subarray, corner
    meta.subarray.ysize, meta.subarray.xsize = shape[2:]
    meta.subarray.fastaxis, meta.subarray.slowaxis = scene.NORMAL_ORIENTATION[detector]
    meta.exposure.noutputs, meta.exposure.zero_frame = outputs, zero
    return Draft(model, "exposure.fits", nints)


def prepared(name, **refs):
    detector, subarray, shape, corner, outputs, zero, extra = scene.CASES[name]
    step = RefPixStep.make(**extra)
    return step, step.prepare(draft_of(detector, subarray, shape, corner, outputs, zero, shape[0]), lambda kind: refs.get(kind, "N/A"))


@pytest.fixture(scope="module")
def sirs_file(tmp_path_factory):
    from stdatamodels.jwst import datamodels

    path = str(tmp_path_factory.mktemp("sirs") / "kernel.asdf")
    model = datamodels.SIRSKernelModel()
    gamma, zeta = scene.kernels()
    model.nrca1 = {"gamma": gamma, "zeta": zeta}
    model.meta.description, model.meta.author, model.meta.pedigree, model.meta.useafter = "kernels", "tests", "DUMMY", "2020-01-01T00:00:00"
    model.meta.instrument.name = "NIRCAM"
    model.save(path)
    return path


@pytest.mark.parametrize("name", list(scene.CASES))
def test_like_the_reference(name, sirs_file):
    step, state = prepared(name, sirskernel=sirs_file)
    arrays = scene.frames(name)
    flags = arrays["pixeldq"].copy()
    block = step.run(Block(arrays, 0), state)
    assert block.arrays["sci"].dtype == np.float32
    np.testing.assert_array_equal(block.arrays["pixeldq"], flags)
    for key in ("sci", "zeroframe"):
        if f"{name}.{key}" in GOLDEN:
            np.testing.assert_allclose(scene.sample(block.arrays[key]), GOLDEN[f"{name}.{key}"], rtol=1e-6 if name == "sirs" else 0, atol=0)
    if name == "sub_none":
        np.testing.assert_array_equal(block.arrays["sci"], scene.frames(name)["sci"])


@pytest.mark.parametrize("name", ["stripe", "sub"])
def test_integrations_may_be_split(name):
    step, state = prepared(name)
    whole = step.run(Block(scene.frames(name), 0), state).arrays
    for i in range(2):
        arrays = scene.frames(name)
        part = {key: value[i : i + 1] if key != "pixeldq" else value for key, value in arrays.items()}
        found = step.run(Block(part, i), state).arrays
        for key in found.keys() - {"pixeldq"}:
            np.testing.assert_array_equal(found[key], whole[key][i : i + 1])


@pytest.mark.parametrize("name", ["full", "stripe", "miri"])
def test_what_is_not_read_may_be_missing(name):
    step, state = prepared(name)
    reads, writes = step.touches(state)
    assert "groupdq" not in reads and "pixeldq" not in writes
    every, some = scene.frames(name), {key: value for key, value in scene.frames(name).items() if key in reads}
    every["groupdq"] = np.ones(every["sci"].shape, np.uint8)
    found, expected = step.run(Block(some, 0), state).arrays, step.run(Block(every, 0), state).arrays
    assert all(found[key].tobytes() == expected[key].tobytes() for key in writes if key in found) and (expected["groupdq"] == 1).all()


@pytest.mark.parametrize("name", ["full", "sub", "miri"])
def test_groups_may_be_split(name):
    step, state = prepared(name)
    arrays = scene.frames(name)
    if name == "miri":
        arrays["sci"][0, 0, 5, 6:9] = np.nan, np.inf, -np.inf
        arrays["sci"][0, 1, 5, 0:7:3] = np.nan
    start = {key: value.copy() for key, value in arrays.items()}
    whole, context = step.run(Block(arrays, 0), state).arrays, step.group_context(state)
    stored = StoredRamps(start)
    for i in range(len(start["sci"])):
        for g in range(context, start["sci"].shape[1]):
            part = {
                "sci": np.stack([stored.arrays["sci"][i, k] for k in ({0, g} if context else {g})])[None],
                "pixeldq": start["pixeldq"].copy(),
            }
            if g == 0 and "zeroframe" in start:
                part["zeroframe"] = start["zeroframe"][i : i + 1].copy()
            block = step.run(Block(part, i, group0=0 if context else g), state)
            for k, plane in zip(({0, g} if context else {g}), block.arrays["sci"][0]):
                stored.arrays["sci"][i, k] = plane
            if "zeroframe" in part:
                stored.arrays["zeroframe"][i] = part["zeroframe"]
    for key, values in whole.items():
        assert stored.arrays[key].tobytes() == values.tobytes(), key


def test_group_context():
    assert [RefPixStep.group_context({"kind": kind}) for kind in ("amplifiers", "flagged", "miri", "irs2")] == [0, 0, 1, None]


@pytest.fixture(scope="module")
def coefficients():
    alpha, beta = make_filters(*scene.irs2_coefficients(), 2048)
    return {"alpha": alpha, "beta": beta, "bad": np.array(scene.BAD_LIST)}


def irs2_step(name):
    detector, (ni, ng), extra = scene.IRS2_CASES[name]
    draft = draft_of(detector, "FULL", (ni, ng, 3200, 2048), (1, 1), 5, nints=ni)
    draft.model.meta.subarray.ysize = 2048
    step = RefPixStep.make(**extra)
    return draft, step, step.prepare(draft, lambda kind: "refpix.fits")


@pytest.mark.parametrize("name", list(scene.IRS2_CASES))
def test_irs2_like_the_reference(name, coefficients, monkeypatch):
    monkeypatch.setattr(irs2, "read_reference", lambda path, n: coefficients)
    draft, step, state = irs2_step(name)
    arrays = scene.irs2_frames(name)
    bad: list[np.ndarray] = []
    find = irs2.find_bad
    monkeypatch.setattr(irs2, "find_bad", lambda *args: bad.append(find(*args)) or bad[0])
    found = step.run(Block(arrays, 0), state).arrays
    np.testing.assert_array_equal(np.flatnonzero(bad[0]), GOLDEN[f"{name}.bad"])
    rows = 3200 if step.preserve_irs2_refpix else 2048
    assert found["sci"].shape[-2:] == found["pixeldq"].shape == found["groupdq"].shape[-2:] == (rows, 2048)
    assert draft.shape == (rows, 2048) and all(found[key].flags.c_contiguous for key in ("sci", "groupdq", "pixeldq"))
    np.testing.assert_allclose(scene.sample(found["sci"]), GOLDEN[f"{name}.sci"], rtol=1e-6, atol=2e-5)
    for key in ("pixeldq", "groupdq"):
        np.testing.assert_array_equal(scene.sample(found[key]), GOLDEN[f"{name}.{key}"])
    if name == "irs2":
        return
    ramps = StoredRamps(scene.irs2_frames(name))
    out = ramps if step.preserve_irs2_refpix else StoredRamps({key: np.zeros_like(value) for key, value in found.items()})
    assert step.stream(ramps, out, state) == {}
    for key, values in found.items():
        assert out.arrays[key].tobytes() == values.tobytes(), key


@pytest.mark.parametrize("name", list(scene.IRS2_CASES))
def test_irs2_in_rounds(name, coefficients, monkeypatch, tmp_path):
    monkeypatch.setattr(irs2, "read_reference", lambda path, n: coefficients)
    monkeypatch.setattr(irs2, "read_filters", lambda path, n, sector: (coefficients["alpha"][sector], coefficients["beta"][sector]))
    monkeypatch.setattr(irs2, "read_listed", lambda path, n: coefficients["bad"])
    _, step, state = irs2_step(name)
    (tmp_path / "refpix.fits").touch()
    state["path"] = str(tmp_path / "refpix.fits")
    ramps = StoredRamps(scene.irs2_frames(name))
    rounds = step.rounds(state, ramps.nints, ramps.ngroups)
    if step.irs2_mean_subtraction:
        assert not rounds
        return
    expected = step.run(Block(scene.irs2_frames(name), 0), state).arrays
    out, notes = StoredRamps({key: np.zeros_like(value) for key, value in expected.items()}), Notes(str(tmp_path))
    for round_name, places in rounds:
        for place in [*reversed(places), places[0]]:  # in any order, and again
            for block in step.part(round_name, place, ramps, notes, state):
                assert (round_name, "pixeldq" in block.arrays) == (rounds[-1][0], (block.start, block.group0) == (0, 0))
                out.write(block)
    for key, values in expected.items():
        assert out.arrays[key].tobytes() == values.tobytes(), key


def test_irs2_needs_the_whole_exposure():
    _, step, state = irs2_step("irs2_mean")
    assert RefPixStep.whole_exposure((2, 3200, 2048), 2) and not RefPixStep.whole_exposure((2, 2048, 2048), 2)
    arrays = {"sci": np.zeros((1, 1, 3200, 2048), np.float32), "pixeldq": np.zeros((3200, 2048), np.uint32)}
    with pytest.raises(InputError, match="all 2 integrations"):
        step.run(Block(arrays, 0), state)


def test_irs2_reference_file(tmp_path):
    from astropy.io import fits

    n = 16
    alpha, beta = scene.irs2_coefficients(n)
    columns = [fits.Column(f"{name}_{k}", "E", array=values[k].view(np.float32))
               for name, values in (("alpha", alpha), ("beta", beta)) for k in range(4)]  # fmt: skip
    listed = [fits.Column(name, form, array=np.array(values), bzero=zero) for name, form, zero, values in
              zip(("OUTPUT", "ODD_EVEN", "MASK"), "IIJ", (1 << 15, 1 << 15, 1 << 31), zip(*scene.BAD_LIST))]  # fmt: skip
    path = str(tmp_path / "refpix.fits")
    hdus = [fits.BinTableHDU.from_columns(columns, name="IRS2"), fits.BinTableHDU.from_columns(listed, name="DQ")]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    found = irs2.read_reference(path, n)
    expected = make_filters(alpha, beta, n)
    np.testing.assert_array_equal(found["alpha"], expected[0])
    np.testing.assert_array_equal(found["beta"], expected[1])
    assert found["bad"].tolist() == [list(row) for row in scene.BAD_LIST]
    with pytest.raises(ReferenceError_, match="22784 rows in its IRS2 table"):
        irs2.read_reference(path, 32)
    with pytest.raises(ReferenceError_, match="override_refpix"):
        irs2.read_reference(str(PARITY / "cases.py"), n)


def test_bad_reads_without_neighbours_become_zero():
    columns = np.ones((1, 1, 3200, 2), np.float32)
    bad = irs2.READS & (np.arange(3200) < 640)
    irs2.replace_all(columns, bad)
    assert not columns[0, 0, bad].any() and (columns[0, 0, ~bad] == 1).all()


def test_skips_and_errors(sirs_file):
    step = RefPixStep.make()

    def nothing(kind):
        return "N/A"

    assert isinstance(step.prepare(draft_of("MIRIMAGE", "SUB64", (1, 2, 64, 72), (1, 1), 4), nothing), Skip)
    assert isinstance(step.prepare(draft_of("NRCA1", "SUB64P", (1, 2, 64, 72), (2000, 1), 1), nothing), Skip)
    assert isinstance(step.prepare(draft_of("NRS1", "FULL", (1, 2, 3200, 2048), (1, 1), 5), nothing), Skip)
    striped = draft_of("NRCA1", "SUB64P", (1, 2, 64, 72), (1, 1), 1)
    striped.model.meta.subarray.multistripe_reads1 = 1
    with pytest.raises(InputError, match="stripes"):
        step.prepare(striped, nothing)
    unknown = draft_of("NRCA1", "SUB64P", (1, 2, 64, 72), (1, 1), 1)
    unknown.model.meta.subarray.fastaxis = None
    with pytest.raises(InputError, match="FASTAXIS"):
        step.prepare(unknown, nothing)
    wrong = draft_of("NRCA1", "SUB64P", (1, 2, 64, 72), (1, 1), 1)
    wrong.model.meta.subarray.xsize = 70
    with pytest.raises(InputError, match="SUBSIZE2"):
        step.prepare(wrong, nothing)
    odd = draft_of("NRS1", "FULL", (1, 2, 3200, 2048), (1, 1), 5)
    odd.model.meta.exposure.nrs_normal = 8
    with pytest.raises(InputError, match="NRS_NORM"):
        step.prepare(odd, nothing)
    with pytest.raises(ParameterError):
        RefPixStep.make(side_smoothing_length=0)
    with pytest.raises(ReferenceError_, match="sirskernel"):
        RefPixStep.make(refpix_algorithm="sirs").prepare(
            draft_of("NRCA1", "FULL", (1, 1, 2048, 2048), (1, 1), 4), lambda kind: str(PARITY / "cases.py")
        )
    full = draft_of("NRCA2", "FULL", (1, 1, 2048, 2048), (1, 1), 4)
    assert "kernels" not in RefPixStep.make(refpix_algorithm="sirs").prepare(full, lambda kind: sirs_file)
    assert "NRCA2" in full.log[-1]


def test_one_group_and_no_usable_miri_pixels():
    step, state = prepared("miri")
    one = scene.frames("miri")
    sci = one["sci"][:1, :1].copy()
    before = sci.copy()
    step.run(Block({"sci": sci, "pixeldq": one["pixeldq"]}, 0), state)
    np.testing.assert_array_equal(sci, before)
    flags = np.full_like(one["pixeldq"], scene.DNU)
    sci = one["sci"][:1].copy()
    before = sci.copy()
    step.run(Block({"sci": sci, "pixeldq": flags}, 0), state)
    np.testing.assert_allclose(sci, before, rtol=1e-6)
