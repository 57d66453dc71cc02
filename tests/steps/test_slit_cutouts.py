"""Slits of MOS, fixed-slit and lamp exposures against values of the reference implementation, on made-up optics (tests/parity/make_slits.py)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cutout_cases as cases
import geometry_cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.core.errors import InputError, NoDataOnDetectorError, ReferenceError_
from jwst_dask.core.prepare import flat_meta
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage2.assign_wcs import AssignWcsStep
from jwst_dask.steps.stage2.extract_2d import Extract2dStep, cut, slit_draft
from jwst_dask.steps.stage2.msa_flagging import MSAFlagOpenStep

PARITY = Path(__file__).parents[1] / "parity"
FACTS: dict[str, Any] = json.loads((PARITY / "slits.json").read_text())
SHAPE = (2048, 2048)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "slits.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return cases.write(tmp_path_factory.mktemp("slits"))


def frame(values: dict[str, Any], paths: dict[str, str]) -> Draft:
    """The exposure beside its metafile, without pixels of its own."""
    from stdatamodels.jwst.datamodels import ImageModel

    from jwst_dask.data.models import filled

    small = cases.exposure(values | {"subarray.xsize": 1, "subarray.ysize": 1})
    small.meta.subarray.xsize, small.meta.subarray.ysize = values["subarray.xsize"], values["subarray.ysize"]
    zeros = np.broadcast_to(np.float32(0), (values["subarray.ysize"], values["subarray.xsize"]))
    model = filled(ImageModel, {"meta": small.instance["meta"], "data": zeros})
    return Draft(model=model, path=str(Path(paths["msaoper"]).parent / "made_rate.fits"), nints=1)


def assigned(values: dict[str, Any], paths: dict[str, str], **params: Any) -> Draft:
    draft = frame(values, paths)
    refs = geometry_cases.chosen(paths, values)
    step = AssignWcsStep.make(**{name: value for name, value in params.items() if name.startswith("slit_y")})
    assert step.prepare(draft, lambda reftype: refs.get(reftype, "N/A")) == {}
    return draft


def differences(ours: Any, theirs: dict[str, Any]) -> dict[str, Any]:
    return {name: (ours(name), value) for name, value in theirs.items() if not close(ours(name), value)}


def close(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(close, ours, theirs))
    if isinstance(theirs, float):
        return (np.isnan(theirs) and np.isnan(ours)) or bool(np.isclose(ours, theirs, rtol=1e-11, atol=1e-13))
    return type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize("name", cases.CASES)
def test_slits_are_those_of_the_reference(name: str, paths: dict[str, str]) -> None:
    values, params = cases.CASES[name]
    draft, facts = assigned(values, paths, **params), FACTS[name]
    assert draft.slits is not None
    for spec, slit, box in zip(draft.slits, facts["slits"], facts["boxes"], strict=True):
        assert close(list(spec.slit), slit), (list(spec.slit), slit)
        np.testing.assert_allclose(np.array(spec.box), box, rtol=0, atol=1e-9)
    assert not differences(lambda key: getattr(draft.model.meta.wcsinfo, key, None), facts["wcsinfo"])


@pytest.mark.parametrize("name", cases.CASES)
def test_cutouts_are_those_of_the_reference(name: str, paths: dict[str, str], golden: dict[str, np.ndarray]) -> None:
    values, params = cases.CASES[name]
    draft, facts = assigned(values, paths, **params), FACTS[name]
    step = Extract2dStep.make(**{key: value for key, value in params.items() if not key.startswith("slit_y")})
    waves = []
    for spec, wanted in zip(step.select(draft), facts["cutouts"], strict=True):
        slit, window = slit_draft(draft, spec, step)
        model, info = slit.model, slit.model.meta.wcsinfo
        assert not differences(lambda key: info.instance.get(key), {key: wanted.pop(key) for key in cases.INFO})  # noqa: B023
        assert list(model.data.shape) == list(model.wavelength.shape) == wanted.pop("shape")
        assert [model.meta.bunit_data, model.meta.bunit_err] == wanted.pop("bunit")
        assert not differences(model.instance.get, wanted)
        assert window == ((wanted["xstart"] - 1, wanted["xstart"] - 1 + wanted["xsize"]), (wanted["ystart"] - 1, wanted["ystart"] - 1 + wanted["ysize"]))
        assert slit.wcs is not None and slit.wcs.on_sky == (values["instrument.filter"] != "OPAQUE")
        assert model.wavelength.dtype == np.float32
        waves.append(np.ravel(model.wavelength[1::5, ::41]))
    np.testing.assert_allclose(np.concatenate(waves), golden[name], rtol=1.2e-7)


@pytest.mark.parametrize("name", [name for name in cases.CASES if "flagged" in FACTS[name]])
def test_flags_are_those_of_the_reference(name: str, paths: dict[str, str]) -> None:
    values, _ = cases.CASES[name]
    draft = assigned(values, paths)
    state = MSAFlagOpenStep().prepare(draft, {"msaoper": paths["msaoper"]}.__getitem__)
    where = np.asarray(state["pixels"])  # type: ignore[index]
    count, value, digest = FACTS[name]["flagged"]
    assert (len(where), hashlib.sha256(where.tobytes()).hexdigest()) == (count, digest)
    dq = np.zeros((1, *draft.shape), np.uint32)
    dq[0, 0, :2] = 1, value
    block = MSAFlagOpenStep().run(Block({"dq": dq.copy()}, 0), state)  # type: ignore[arg-type]
    expected = dq.copy()
    expected.reshape(-1)[where] |= value
    np.testing.assert_array_equal(block.arrays["dq"], expected)


def test_flags_in_a_subarray_are_those_of_the_whole_detector(paths: dict[str, str]) -> None:
    """The reference implementation fails here: shutters are imaged beyond the subarray."""
    whole = cases.CASES["lamp_fs"][0]
    part = whole | {"subarray.name": "ALLSLITS", "subarray.ystart": 897, "subarray.ysize": 256}
    masks = []
    for values in (whole, part):
        state = MSAFlagOpenStep().prepare(assigned(values, paths), {"msaoper": paths["msaoper"]}.__getitem__)
        mask = np.zeros((values["subarray.ysize"], values["subarray.xsize"]), bool)
        mask.flat[state["pixels"]] = True  # type: ignore[index]
        masks.append(mask)
    assert masks[1].any()
    np.testing.assert_array_equal(masks[1], masks[0][896:1152])


def test_when_nothing_is_flagged(paths: dict[str, str], tmp_path: Path) -> None:
    draft = assigned(cases.MOS, paths)
    assert MSAFlagOpenStep().prepare(draft, lambda reftype: "N/A") == Skip("no msaoper reference")
    assert isinstance(MSAFlagOpenStep().applies({"exposure.type": "NRS_FIXEDSLIT"}), Skip)
    assert MSAFlagOpenStep().applies({"exposure.type": "NRS_AUTOFLAT"}) is None
    for text in ("{}", '{"msaoper": [{"Q": 1}]}', "no json"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ReferenceError_, match=r"msaoper reference .*bad\.json.*override_msaoper"):
            MSAFlagOpenStep().prepare(draft, lambda reftype: str(tmp_path / "bad.json"))
    with pytest.raises(InputError, match="run assign_wcs"):
        MSAFlagOpenStep().prepare(frame(cases.MOS, paths), {"msaoper": paths["msaoper"]}.__getitem__)


def test_only_what_is_asked_for(paths: dict[str, str]) -> None:
    draft = assigned(cases.MOS, paths)
    assert {spec.name for spec in draft.slits or () if spec.background} == {"4", "7"}
    assert {spec.name for spec in draft.slits or () if spec.fixed} == {"S200A2"}
    names = [spec.name for spec in Extract2dStep.make(source_ids="1004", slit_names="S200A2 5 99").select(draft)]
    assert names == ["5", "S200A2", "6", "9"]
    assert any("slit 99" in line for line in draft.log)
    with pytest.raises(NoDataOnDetectorError, match="none of slit_names"):
        Extract2dStep.make(slit_names="77").select(draft)
    with pytest.raises(InputError, match="run assign_wcs"):
        Extract2dStep().select(frame(cases.MOS, paths))


def test_drafts_are_independent(paths: dict[str, str]) -> None:
    draft = assigned(cases.MOS, paths)
    assert draft.slits is not None
    (first, _), (second, _) = (slit_draft(draft, spec) for spec in draft.slits[:2])
    before = flat_meta(second.model), flat_meta(draft.model)
    first.model.meta.exposure.type = "NRS_FIXEDSLIT"
    first.model.meta.wcsinfo.s_region = "elsewhere"
    first.model.instance["data"][:] = 5
    first.shared["more"] = 1
    assert (flat_meta(second.model), flat_meta(draft.model)) == before
    assert not second.model.data.any() and "more" not in draft.shared and "more" not in second.shared
    assert first.model.meta.wcs is None and first.wcs is not second.wcs


def test_a_slit_beside_the_subarray(paths: dict[str, str]) -> None:
    values = cases.ALLSLITS | {"subarray.name": "SUBS200A2", "subarray.ystart": 1, "subarray.ysize": 64}
    draft = assigned(values, paths)
    assert draft.slits is not None
    with pytest.raises(InputError, match="outside the subarray"):
        slit_draft(draft, draft.slits[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 6), st.integers(1, 6))
def test_cut_is_a_slice(x0: int, width: int, y0: int, height: int) -> None:
    rng = np.random.default_rng(0)
    arrays = {"sci": rng.random((1, 7, 10), np.float32), "dq": rng.integers(0, 9, (1, 7, 10), np.uint32), "zeroframe": np.ones((1, 7, 10), np.float32)}
    made = cut(Block(dict(arrays), 0), ((x0, x0 + width), (y0, y0 + height)))
    assert set(made.arrays) == {"sci", "dq"}
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(array, arrays[name][:, y0 : y0 + height, x0 : x0 + width])
        assert array.flags.c_contiguous and array.dtype == arrays[name].dtype and not np.shares_memory(array, arrays[name])


def test_edge_margin(paths: dict[str, str]) -> None:
    """More rows with a WCS on both sides; where both have one, it is the same, and so are the slit's attributes and S_REGION."""
    draft = assigned(cases.MOS, paths)
    assert draft.slits is not None
    for spec in draft.slits[:3]:
        (plain, _), (wide, window) = slit_draft(draft, spec), slit_draft(draft, spec, Extract2dStep(edge_margin=0.8))
        row, column = plain.model.ystart - wide.model.ystart, plain.model.xstart - wide.model.xstart
        (ny, nx), wave = plain.model.data.shape, wide.model.wavelength
        assert row > 0 and row + ny < len(wave) and wave.shape == (window[1][1] - window[1][0], window[0][1] - window[0][0])
        inner = wave[row : row + ny, column : column + nx]
        both = np.isfinite(plain.model.wavelength)
        np.testing.assert_allclose(inner[both], plain.model.wavelength[both], rtol=1e-6)
        assert np.isfinite(wave).sum() > both.sum()
        assert wide.model.meta.wcsinfo.s_region == plain.model.meta.wcsinfo.s_region
        assert (wide.model.slit_ymin, wide.model.slit_ymax) == (spec.slit.ymin - 0.8, spec.slit.ymax + 0.8)
        # 0.8 slit heights were gained above and below, to a pixel
        assert wide.wcs is not None
        heights = wide.wcs.to_slit(nx // 2 + column, np.arange(len(wave)))[1]
        pixel = np.nanmedian(np.abs(np.diff(heights)))
        assert spec.slit.ymax + 0.8 - pixel < np.nanmax(heights) <= spec.slit.ymax + 0.8
        assert spec.slit.ymin - 0.8 <= np.nanmin(heights) < spec.slit.ymin - 0.8 + pixel


def test_a_source_in_the_last_shutter_keeps_its_light(paths: dict[str, str]) -> None:
    """What lies on pixels with a wavelength of a source that is as bright in every column: with a margin all of it, without one a
    part that jumps from column to column with the place of the slit's edge among the pixels."""
    draft = assigned(cases.MOS, paths)
    assert draft.slits is not None
    spec = next(s for s in draft.slits if s.name == "8")
    seen = {}
    for margin in (0.0, 1.5):
        slit, _ = slit_draft(draft, spec, Extract2dStep(edge_margin=margin))
        assert slit.wcs is not None
        valid, low = np.isfinite(slit.model.wavelength), spec.slit.ymax - 0.8
        wave = np.linspace(1.2, 4.8, 80)
        x, y = slit.wcs.from_slit(np.zeros(80), np.full(80, low), wave)
        shares = []
        for column, centre in zip(np.rint(x).astype(int), y, strict=True):
            rows = np.arange(-20, 60)
            profile = np.exp(-0.5 * ((rows - centre) / 0.9) ** 2)
            kept = [valid[r, column] if 0 <= r < len(valid) else False for r in rows]
            shares.append(profile[kept].sum() / profile.sum())
        seen[margin] = np.array(shares)
    assert seen[0.0].min() < 0.97 and np.ptp(seen[0.0]) > 0.01
    assert seen[1.5].min() > 0.9999


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (cases.MOS | {"instrument.msa_metadata_file": None}, "MSAMETFL is not set"),
        (cases.MOS | {"instrument.msa_metadata_file": "none_msa.fits"}, r"none_msa\.fits.*looked for as .*beside the exposure"),
        (cases.MOS | {"instrument.msa_metadata_id": 7}, "no rows with MSA_METADATA_ID 7"),
        (cases.MOS | {"dither.position_number": 9}, "no rows with DITHER_POINT_INDEX 9"),
        (cases.MOS | {"dither.position_number": None}, "dither.position_number"),
        (cases.MOS | {"instrument.msa_metadata_id": None}, "msa_metadata_id"),
        (cases.FS | {"subarray.name": None}, "subarray.name"),
        (cases.FS | {"instrument.grating": "MIRROR"}, "MIRROR"),
        (cases.LAMP | {"instrument.lamp_mode": "IFU"}, "IFU"),
        (cases.LAMP | {"instrument.lamp_mode": "IMAGE"}, "IMAGE.*FIXEDSLIT, BRIGHTOBJ and MSASPEC"),
        (cases.LAMP | {"instrument.lamp_mode": "GRATING-ONLY"}, "GRATING-ONLY"),
        (cases.LAMP | {"instrument.lamp_mode": None}, "OPMODE is NONE"),
    ],
)
def test_unusable_metadata(values: dict[str, Any], message: str, paths: dict[str, str]) -> None:
    draft = frame(values, paths)
    refs = geometry_cases.chosen(paths, values | {"instrument.grating": "PRISM"})
    with pytest.raises(InputError, match=message):
        AssignWcsStep().prepare(draft, lambda reftype: refs.get(reftype, "N/A"))


def test_no_slit_on_the_detector(paths: dict[str, str]) -> None:
    values = cases.FS | {"instrument.detector": "NRS2"}  # PRISM spectra end on NRS1
    with pytest.raises(NoDataOnDetectorError, match="none of its 5 open slits falls on detector NRS2"):
        assigned(values, paths)


def test_lamps_and_their_gratings() -> None:
    """The table of the pipeline documents."""
    from jwst_dask.steps.stage2.assign_wcs import lamp_mismatch

    assert not lamp_mismatch("LINE2", "G235H") and not lamp_mismatch("FLAT5", "PRISM") and not lamp_mismatch("NONE", "G140M")
    assert "G395M and G395H" in lamp_mismatch("FLAT3", "G140M") and "PRISM" in lamp_mismatch("LINE4", "G235M")
