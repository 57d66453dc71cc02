"""flat_field and photom against values of the reference implementation, and what users see when something is amiss."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from jwst_dask.core import memo
from jwst_dask.core.errors import InputError, ParameterError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage2.flat_field import FlatFieldStep
from jwst_dask.steps.stage2.flat_field.reference import definitions, translated
from jwst_dask.steps.stage2.flat_field.wavelength import pixel_wavelengths
from jwst_dask.steps.stage2.photom import PhotomStep

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from flat_photom_scene import ARRAYS, FLAT_CASES, PHOTOM_CASES, arguments, exposure, write_all  # noqa: E402

GOLDEN = np.load(PARITY / "flat_photom.npz")
STEPS: dict[str, Any] = {"flat": FlatFieldStep, "photom": PhotomStep}
SAVED = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")


class Refs:
    """References given by type; notes what was looked up."""

    def __init__(self, paths: dict[str, str]) -> None:
        self.paths, self.used = paths, {}

    def __call__(self, reftype: str) -> str:
        self.used[reftype] = self.paths[reftype]
        return self.paths[reftype]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flat_photom")
    write_all(path)
    memo.clear()
    return path


def draft_of(name: str) -> Draft:
    """An exposure with one integration of zeros, as steps get it."""
    model = exposure(name)
    nints = model.data.shape[0] if model.data.ndim == 3 else 1
    for attribute in ("data", "err", "dq", "var_poisson", "var_rnoise"):
        array = getattr(model, attribute)
        setattr(model, attribute, np.zeros_like(array[:1] if array.ndim == 3 else array))
    return Draft(model=model, path=f"{name}.fits", nints=nints)


def block_of(name: str, rows: slice = slice(None)) -> Block:
    model = exposure(name)
    arrays = {key: np.array(getattr(model, attribute)) for key, attribute in ARRAYS.items() if model.hasattr(attribute)}
    arrays = {key: np.ascontiguousarray((a if a.ndim == 3 else a[None])[rows]) for key, a in arrays.items()}
    return Block(arrays=arrays, start=rows.start or 0)


def prepared(kind: str, scene: str, given: dict[str, Any], folder: Path, **more: Any) -> tuple[Any, Draft, Any, Refs]:
    cls = STEPS[kind]
    step = cls.make(**arguments(folder, scene, given | more, cls.references))
    draft, refs = draft_of(scene), Refs(dict(step.overrides))
    return step, draft, step.prepare(draft, refs), refs


def saved(state: dict[str, Any]) -> dict[str, np.ndarray]:
    return {key: np.asarray(value) for key, value in state.items()}


@pytest.mark.parametrize(("kind", "case"), [("flat", c) for c in FLAT_CASES] + [("photom", c) for c in PHOTOM_CASES])
def test_equals_reference_implementation(kind: str, case: str, folder: Path) -> None:
    scene, given = {"flat": FLAT_CASES, "photom": PHOTOM_CASES}[kind][case]
    step, draft, state, refs = prepared(kind, scene, given, folder)
    assert not isinstance(state, Skip)
    block = block_of(scene)
    with np.errstate(all="ignore"):
        block = step.run(block, saved(state))
    want = {key.split("/")[-1]: GOLDEN[key] for key in GOLDEN.files if key.startswith(f"{kind}/{case}/")}
    assert set(block.arrays) == set(want) & set(SAVED)
    for name, got in block.arrays.items():
        expected = want[name].reshape(got.shape)
        assert got.dtype == expected.dtype.newbyteorder("="), name
        if name == "dq":
            np.testing.assert_array_equal(got, expected)
        else:
            np.testing.assert_allclose(got, expected, rtol=3e-7, atol=0, err_msg=name)
    meta = draft.model.meta
    keys = [
        getattr(meta.photometry, k)
        for k in ("conversion_megajanskys", "conversion_microjanskys", "pixelarea_steradians", "pixelarea_arcsecsq")
    ]
    np.testing.assert_allclose([np.nan if key is None else key for key in keys], want["keys"], rtol=1e-12)
    assert [str(meta.bunit_data), str(meta.bunit_err)] == want["text"][:2].tolist()
    assert want["text"][2 if kind == "flat" else 3] == "COMPLETE"
    if "area" in want:
        np.testing.assert_array_equal(draft.model.area, want["area"])
    if "user_supplied_flat" in given:
        assert not refs.used
        assert meta.ref_file.flat.name == f"{given['user_supplied_flat']}.fits"
    else:
        assert set(refs.used) == set(step.references)
    if kind == "flat":
        assert draft.model.var_flat.shape == draft.model.data.shape


def test_interpolated_flat(folder: Path) -> None:
    _, draft, _, _ = prepared("flat", "nrs", {}, folder, save_interpolated_flat=True)
    model = draft.extras["interpolatedflat"]
    for name in ("data", "err", "dq", "wavelength"):
        np.testing.assert_allclose(getattr(model, name), GOLDEN[f"interpolated/{name}"], rtol=3e-7, err_msg=name)
    assert model.meta.exposure.type == "NRS_BRIGHTOBJ"
    assert prepared("flat", "nrs", {}, folder)[1].extras == {}


def test_image_flat_is_saved_whole(folder: Path) -> None:
    _, draft, _, _ = prepared("flat", "lrs", {}, folder, save_interpolated_flat=True)
    with fits.open(folder / "flat.fits") as file:
        np.testing.assert_array_equal(draft.extras["interpolatedflat"].data, file["SCI"].data)


@pytest.mark.parametrize("kind", ["flat", "photom"])
@pytest.mark.parametrize("scene", ["nrs", "lrs"])
def test_blocks_do_not_matter(kind: str, scene: str, folder: Path) -> None:
    step, _, state, _ = prepared(kind, scene, {}, folder)
    whole = step.run(block_of(scene), saved(state))
    for i in range(2):
        part = step.run(block_of(scene, slice(i, i + 1)), saved(state))
        for name, array in part.arrays.items():
            np.testing.assert_array_equal(array[0], whole.arrays[name][i])


@pytest.mark.parametrize("scene", ["nrs", "lrs"])
def test_inverse_undoes(scene: str, folder: Path) -> None:
    before, block = block_of(scene), block_of(scene)
    for kind, inverse in (("flat", False), ("photom", False), ("photom", True), ("flat", True)):
        step, _, state, _ = prepared(kind, scene, {}, folder, inverse=inverse)
        block = step.run(block, saved(state))
    good = np.isfinite(block.arrays["sci"])
    assert 0.1 < good.mean() < 1
    for name in ("sci", "var_poisson", "var_rnoise"):
        np.testing.assert_allclose(block.arrays[name][good], before.arrays[name][good], rtol=3e-6)
    np.testing.assert_array_equal(good, (block.arrays["dq"] & 1) == 0)


def test_wavelengths_from_plane_or_wcs() -> None:
    def wcs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return x, y, 10 * y + x

    def model(plane: Any, wcs: Any = wcs) -> Any:
        return SimpleNamespace(data=np.zeros((1, 2, 3)), wavelength=plane, meta=SimpleNamespace(wcs=wcs))

    of_wcs = np.array([[0, 1, 2], [10, 11, 12.0]])
    given = np.array([[1, np.nan, 0], [2, 3, 4]], "f4")
    np.testing.assert_array_equal(pixel_wavelengths(model(given)), given)
    for empty in (None, np.zeros((2, 3)), np.array([[0, np.nan, 0]] * 2)):
        np.testing.assert_array_equal(pixel_wavelengths(model(empty)), of_wcs)
    assert np.isnan(pixel_wavelengths(model(np.full((2, 3), np.nan)))).all()
    with pytest.raises(InputError, match="assign_wcs"):
        pixel_wavelengths(model(None, None))


def test_skips(folder: Path) -> None:
    for kind, override in (("flat", "override_flat"), ("photom", "override_photom")):
        assert isinstance(prepared(kind, "lrs", {}, folder, **{override: "N/A"})[2], Skip)
    draft = draft_of("lrs")
    for name in ("data", "err", "dq", "var_poisson", "var_rnoise"):
        setattr(draft.model, name, np.zeros((1, 20, 20), getattr(draft.model, name).dtype))
    assert isinstance(FlatFieldStep.make().prepare(draft, Refs({r: str(folder / "flat.fits") for r in FlatFieldStep.references})), Skip)
    step = FlatFieldStep.make()
    assert step.applies({"instrument.name": "NIRSPEC", "exposure.type": "NRS_BRIGHTOBJ", "cal_step.extract_2d": "COMPLETE"}) is None
    assert isinstance(step.applies({"instrument.name": "NIRSPEC", "exposure.type": "NRS_AUTOFLAT"}), Skip)
    assert isinstance(
        step.applies({"instrument.name": "MIRI", "exposure.type": "MIR_LRS-SLITLESS", "cal_step.extract_2d": "COMPLETE"}), Skip
    )
    assert isinstance(FlatFieldStep.make(skip=True).applies({}), Skip)


def test_errors_tell_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ReferenceError_, match="override_area"):
        prepared("photom", "nrs", {}, folder, override_area="N/A")
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE")
    broken = str(tmp_path / "broken")
    for kind, scene, reftype in (("flat", "nrs", "sflat"), ("flat", "lrs", "flat"), ("photom", "nrs", "photom"), ("photom", "nrs", "area"),
                                 ("photom", "lrs", "area")):  # fmt: skip
        with pytest.raises(ReferenceError_, match=r"broken\.fits"):
            prepared(kind, scene, {}, folder, **{f"override_{reftype}": broken})
    for scene in ("nrs", "lrs"):
        with pytest.raises(ParameterError, match="user_supplied_flat"):
            prepared("flat", scene, {}, folder, user_supplied_flat=broken)
    with pytest.raises(ParameterError, match="shape"):
        prepared("flat", "nrs", {}, folder, user_supplied_flat="flat_matching")
    with pytest.raises(ReferenceError_, match="S1600A1"):
        prepared("flat", "nrs", {}, folder, override_fflat=_renamed(folder, tmp_path))


def _renamed(folder: Path, tmp_path: Path) -> str:
    """The F flat without a row for the slit."""
    with fits.open(folder / "fflat.fits") as file:
        file["FAST_VARIATION"].data["slit_name"][1] = "S400A1"
        file.writeto(tmp_path / "other.fits")
    return str(tmp_path / "other")


@pytest.mark.parametrize("kind", ["flat", "photom"])
def test_unusable_exposures(kind: str, folder: Path) -> None:
    step, draft, _, refs = prepared(kind, "lrs", {}, folder)
    draft.model.meta.exposure.type = "NRC_TSGRISM"
    with pytest.raises(InputError, match="NRC_TSGRISM"):
        step.prepare(draft, refs)
    draft = draft_of("lrs")
    draft.model.dq = None
    with pytest.raises(InputError, match="DQ"):
        step.prepare(draft, refs)
    if kind == "photom":
        draft = draft_of("lrs")
        draft.model.meta.exposure.mid_time = None
        with pytest.raises(InputError, match="mid_time"):
            step.prepare(draft, refs)
    else:
        step, draft, _, refs = prepared(kind, "nrs", {}, folder)
        draft.model.xstart = None
        with pytest.raises(InputError, match="SLTSTRT1"):
            step.prepare(draft, refs)


def test_flag_definitions() -> None:
    table = np.array([(2, "HOT"), (4, "DEAD"), (8, "UNHEARD_OF")], dtype=[("VALUE", "i4"), ("NAME", "U20")])
    got = translated(np.array([0, 2, 6, 8, 1], "u4"), definitions(table))
    np.testing.assert_array_equal(got, np.array([0, 2048, 3072, 0, 0], "u4"))


def test_without_variances_photom_converts_the_rest(folder: Path) -> None:
    step, _, state, _ = prepared("photom", "nrs", {}, folder)
    full, block = block_of("nrs"), block_of("nrs")
    for arrays in (full.arrays, block.arrays):
        for name in ("var_poisson", "var_rnoise"):
            np.nan_to_num(arrays[name], copy=False)
    del block.arrays["var_poisson"], block.arrays["var_rnoise"]
    full, block = step.run(full, saved(state)), step.run(block, saved(state))
    assert set(block.arrays) == {"sci", "err", "dq"}
    for name, array in block.arrays.items():
        np.testing.assert_array_equal(array, full.arrays[name])
