"""srctype, wavecorr, barshadow and photom of slits against values of the reference implementation, and what users may choose."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jwst_dask.core.errors import InputError, ParameterError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage2.barshadow import BarShadowStep
from jwst_dask.steps.stage2.photom import PhotomStep
from jwst_dask.steps.stage2.srctype import SourceTypeStep
from jwst_dask.steps.stage2.wavecorr import WavecorrStep
from jwst_dask.wcs.slitwcs import GwcsSlit

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
import slit_corrections_scene as scene  # noqa: E402

GOLDEN = np.load(PARITY / "slit_corrections.npz")
FACTS = json.loads((PARITY / "slit_corrections.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slit_corrections")
    scene.write_references(path)
    return path


def paths(folder: Path, **given: str) -> Any:
    """References by type, all of them looked up by name."""
    return lambda reftype: str(folder / given[reftype]) if given[reftype] != "N/A" else "N/A"


def drafts(name: str, **meta: Any) -> list[tuple[Draft, Block]]:
    """A draft and a block for each slit."""
    from stdatamodels.jwst import datamodels

    out = []
    exp_type, slits = scene.slits(name)
    for given in slits:
        wcs = GwcsSlit(given.pop("wcs"))
        arrays = {key: given.pop(attribute)[None].copy() for key, attribute in scene.ARRAYS.items()}
        model = datamodels.SlitModel()
        model.instance["data"] = np.zeros(scene.SHAPE, "f4")
        model.instance.update({key: value for key, value in given.items() if value is not None})
        scene.describe(model, exp_type)
        for key, value in meta.items():
            setattr({"bkgdtarg": model.meta.observation, "primary_type": model.meta.dither}.get(key, model.meta.target), key, value)
        out.append((Draft(model=model, path="x.fits", nints=1, slit=SimpleNamespace(), wcs=wcs), Block(arrays=arrays, start=0)))  # type: ignore[arg-type]
    return out


def compare(case: str, made: list[tuple[Draft, Block]], names: tuple[str, ...] = (), unit: bool = True) -> None:
    for number, (draft, block) in enumerate(made):
        model, want = draft.model, FACTS[case][number]
        for name in scene.ATTRIBUTES:
            assert getattr(model, name) == want[name], (number, name)
        for name in scene.PHOTOMETRY:
            value = getattr(model.meta.photometry, name)
            assert value == want[name] if want[name] is None else value == pytest.approx(want[name], rel=1e-12), (number, name)
        if unit:
            assert model.meta.bunit_data == want["bunit"]
        for name in names:
            inverse = {attribute: key for key, attribute in scene.ARRAYS.items()}
            if f"{case}/{name}" not in GOLDEN:
                assert model.instance.get(name) is None
                continue
            value = block.arrays[inverse[name]][0] if name in inverse else model.instance.get(name)
            value = np.full(scene.SHAPE, -99, "f4") if value is None else value
            assert value.dtype == (np.uint32 if name == "dq" else np.float32)
            np.testing.assert_array_equal(np.isnan(value), np.isnan(GOLDEN[f"{case}/{name}"][number]))
            np.testing.assert_allclose(value, GOLDEN[f"{case}/{name}"][number], rtol=3e-7, atol=0, err_msg=f"{number} {name}")


@pytest.mark.parametrize("case", scene.SRCTYPE_CASES)
def test_source_types(case: str) -> None:
    which, meta, choice = scene.SRCTYPE_CASES[case]
    made = drafts(which, **meta)
    for draft, _ in made:
        SourceTypeStep.make(source_type=choice).prepare(draft, None)  # type: ignore[arg-type]
        assert draft.model.meta.target.source_type == FACTS[f"srctype/{case}"][-1]["target"]
    compare(f"srctype/{case}", made)


@pytest.mark.parametrize("case", scene.WAVECORR_CASES)
def test_wavelengths_of_point_sources(case: str, folder: Path) -> None:
    which, reference = scene.WAVECORR_CASES[case]
    made = drafts(which)
    before = [draft.wcs for draft, _ in made]
    answers = [WavecorrStep.make().prepare(draft, paths(folder, wavecorr=f"{reference}.asdf")) for draft, _ in made]
    compare(f"wavecorr/{case}", made, ("wavelength",))
    changed = [draft.model.wavelength_corrected for draft, _ in made]
    assert [not isinstance(answer, Skip) for answer in answers] == changed
    assert ("COMPLETE" if any(changed) else "SKIPPED") == FACTS[f"wavecorr/{case}"][-1]["wavecorr"]
    y, x = np.indices(scene.SHAPE, dtype=float)
    for (draft, _), old in zip(made, before):
        assert old is not None and draft.wcs is not None
        assert not old.corrected  # what others share is as it was
        assert draft.wcs.corrected == draft.model.wavelength_corrected == (draft.wcs is not old)
        new, plane = draft.wcs.to_slit(x, y)[2], draft.model.wavelength
        np.testing.assert_allclose(new[~np.isnan(plane)], plane[~np.isnan(plane)], rtol=1e-7)
        np.testing.assert_array_equal(draft.wcs.to_slit(x, y, corrected=False)[2], old.to_slit(x, y)[2])


def test_wavecorr_is_not_for_all(folder: Path) -> None:
    step = WavecorrStep.make()
    (draft, _), *_ = drafts("mos")
    assert step.prepare(draft, paths(folder, wavecorr="N/A")) == Skip("no wavecorr reference")
    assert draft.model.wavelength_corrected is None
    assert step.applies({"exposure.type": "NRS_AUTOFLAT"}) is None
    assert isinstance(step.applies({"exposure.type": "NRS_AUTOWAVE"}), Skip)
    draft.model.instance["wavelength"] = np.full(scene.SHAPE, np.nan, "f4")
    assert isinstance(step.prepare(draft, paths(folder, wavecorr="wavecorr.asdf")), Skip)
    assert draft.model.wavelength_corrected is False


@pytest.mark.parametrize("case", scene.BARSHADOW_CASES)
def test_shadows(case: str, folder: Path) -> None:
    which, given = scene.BARSHADOW_CASES[case]
    step, made = BarShadowStep.make(**given), drafts(which)
    for draft, block in made:
        before = block.arrays["err"].copy(), block.arrays["dq"].copy()
        state = step.prepare(draft, paths(folder, barshadow="barshadow.fits"))
        assert not isinstance(state, Skip)
        step.run(block, state)
        shadow = draft.model.barshadow
        np.testing.assert_allclose(block.arrays["err"][0], before[0][0] * shadow if step.inverse else before[0][0] / shadow, rtol=1e-6)
        np.testing.assert_array_equal(block.arrays["dq"], before[1])
    compare(f"barshadow/{case}", made, ("data", "var_rnoise", "var_flat", "barshadow"))


def test_shadow_undone(folder: Path) -> None:
    """The inverse with the state of the forward pass gives back what was there."""
    for draft, block in drafts("mos"):
        before = {name: array.copy() for name, array in block.arrays.items()}
        state = BarShadowStep.make(source_type="EXTENDED").prepare(draft, paths(folder, barshadow="barshadow.fits"))
        assert not isinstance(state, Skip)
        BarShadowStep.make(inverse=True).run(BarShadowStep.make().run(block, state), state)
        for name in ("sci", "err", "var_poisson"):
            np.testing.assert_allclose(block.arrays[name], before[name], rtol=1e-5)


def test_unusable_shadows(folder: Path) -> None:
    step, ((draft, _), *_) = BarShadowStep.make(source_type="EXTENDED"), drafts("mos")
    assert step.prepare(draft, paths(folder, barshadow="N/A")) == Skip("no barshadow reference")
    with pytest.raises(ReferenceError_, match="override_barshadow"):
        step.prepare(draft, paths(folder, barshadow="photom_mos.fits"))
    with pytest.raises(InputError, match="extract_2d"):
        step.prepare(Draft(model=draft.model, path="x.fits", nints=1), paths(folder, barshadow="barshadow.fits"))
    assert isinstance(step.applies({"exposure.type": "NRS_FIXEDSLIT"}), Skip)
    assert step.applies({"exposure.type": "NRS_MSASPEC"}) is None


@pytest.mark.parametrize("case", scene.PHOTOM_CASES)
def test_fluxes(case: str, folder: Path) -> None:
    which, given, reference = scene.PHOTOM_CASES[case]
    refs = paths(folder, photom=f"{reference}.fits", area=f"area_{which}.fits", wavecorr="wavecorr.asdf")
    step, made = PhotomStep.make(**given), drafts(which)
    for draft, block in made:
        if which == "fs":
            WavecorrStep.make().prepare(draft, refs)
        state = step.prepare(draft, refs)
        assert not isinstance(state, Skip)
        with np.errstate(all="ignore"):
            step.run(block, state)
    names = ("data", "dq", "var_rnoise", "photom_point", "photom_uniform")
    compare(f"photom/{case}", made, names, unit=not step.inverse)  # fluxes taken back are in DN/s for us, still in MJy there
    if step.inverse:
        assert {draft.model.meta.bunit_data for draft, _ in made if draft.model.name != "S1600A1"} == {"DN/s"}


def test_a_point_source_as_an_extended_one(folder: Path) -> None:
    """Surface brightness is flux over pixel area; both conversions of the slit are kept whatever is applied."""
    refs = paths(folder, photom="photom_fs.fits", area="area_fs.fits")
    conversions = {}
    for kind in ("POINT", "EXTENDED"):
        (draft, _), *_ = drafts("fs")
        state = PhotomStep.make(source_type=kind).prepare(draft, refs)
        assert not isinstance(state, Skip)
        conversions[kind] = state["factor"]
        planes = draft.model.photom_point, draft.model.photom_uniform
        assert draft.model.meta.bunit_data == {"POINT": "MJy", "EXTENDED": "MJy/sr"}[kind]
    known = conversions["POINT"] > 0
    assert known.sum() > 100
    area = 0.02 * (np.pi / 648000) ** 2
    np.testing.assert_allclose(conversions["EXTENDED"][known] * area, conversions["POINT"][known], rtol=1e-6)
    np.testing.assert_allclose(planes[0], conversions["POINT"], rtol=1e-6)
    # without the loss of throughput with time
    np.testing.assert_allclose(planes[1][known] * area * (1 / (1 - 0.02 * (60123.25 - 59700.5) / 365)), planes[0][known], rtol=1e-5)


@pytest.mark.parametrize("exp_type", ["NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT"])
def test_lamps(exp_type: str, folder: Path) -> None:
    (draft, _), *_ = drafts("fs")
    draft.model.meta.exposure.type = exp_type
    assert isinstance(PhotomStep.make().prepare(draft, paths(folder, photom="N/A", area="N/A")), Skip)
    assert isinstance(BarShadowStep.make().applies({"exposure.type": exp_type}), Skip)
    draft.model.instance["source_type"] = None
    SourceTypeStep.make().prepare(draft, None)  # type: ignore[arg-type]
    assert draft.model.meta.target.source_type == "UNKNOWN" and draft.model.source_type is None


def test_no_area(folder: Path) -> None:
    (draft, _), *_ = drafts("mos")
    with pytest.raises(ReferenceError_, match="override_area"):
        PhotomStep.make().prepare(draft, paths(folder, photom="photom_mos.fits", area="N/A"))
    with pytest.raises(ReferenceError_, match="area_fs.fits.*override_area"):
        PhotomStep.make().prepare(draft, paths(folder, photom="photom_mos.fits", area="area_fs.fits"))


def test_chosen_types() -> None:
    """One slit at a time the user's choice counts for MSA sources, and with `all_slits` for every fixed slit."""
    for kind in ("POINT", "EXTENDED"):
        for draft, _ in drafts("mos"):
            SourceTypeStep.make(source_type=kind).prepare(draft, None)  # type: ignore[arg-type]
            assert draft.model.source_type == kind
    found = []
    for draft, _ in drafts("fs"):
        SourceTypeStep.make(source_type="POINT", all_slits=True).prepare(draft, None)  # type: ignore[arg-type]
        found.append(draft.model.source_type)
    assert found == ["POINT"] * 4
    (draft, _), *_ = drafts("mos")
    draft.model.instance["stellarity"] = None
    with pytest.raises(InputError, match="stellarity"):
        SourceTypeStep.make().prepare(draft, None)  # type: ignore[arg-type]


def test_chosen_positions() -> None:
    (draft, _), *_ = drafts("fs")
    SourceTypeStep.make(source_type="EXTENDED", source_x=0.2).prepare(draft, None)  # type: ignore[arg-type]
    assert (draft.model.source_xpos, draft.model.source_ypos) == (0.2, 0.0)  # the centre, as it is extended
    (draft, _), *_ = drafts("mos")
    # the made-up sky: 1e-4 degrees for the height of the slit
    SourceTypeStep.make(source_ra=5 + 0.25e-4, source_dec=-3 - 0.4e-4).prepare(draft, None)  # type: ignore[arg-type]
    np.testing.assert_allclose([draft.model.source_xpos, draft.model.source_ypos], [0.25, -0.4], atol=1e-9)
    assert (draft.model.source_ra, draft.model.source_dec) == (5 + 0.25e-4, -3 - 0.4e-4)
    for wrong, message in (({"source_ra": 5}, "together"), ({"source_ra": 5, "source_dec": -3, "source_y": 0}, "not both")):
        with pytest.raises(ParameterError, match=message):
            SourceTypeStep.make(**wrong).prepare(draft, None)  # type: ignore[arg-type]
