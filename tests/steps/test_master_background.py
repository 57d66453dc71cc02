"""master_background_mos: the reference's spectra, expansion and subtraction; calibration there and back; which slits count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst.datamodels import SlitModel

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import BlockStep, Skip, param
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.data.slits import SlitSpec
from jwst_dask.steps.stage2 import master_background_mos as mos
from jwst_dask.steps.stage2.master_background_mos import calibrate
from jwst_dask.steps.stage2.master_background_mos.products import plain, side_models
from jwst_dask.steps.stage2.master_background_mos.step import expand

GOLDEN = np.load(Path(__file__).parents[1] / "parity/master_background.npz")
VARIANTS = {"default": {}, "unclipped": {"sigma_clip": "none", "median_kernel": 4}, "tight": {"sigma_clip": 1, "median_kernel": 5}}
COLUMNS = ("WAVELENGTH", "FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR", "DQ")
FLAT = 4.0


def spectra() -> list[dict[str, Any]]:
    out = []
    for i in range(4):
        table = np.zeros(len(GOLDEN[f"in/{i}/FLUX"]), [(name, "u4" if name == "DQ" else "f8") for name in COLUMNS])
        for name in COLUMNS:
            table[name] = GOLDEN[f"in/{i}/{name}"]
        out.append({"table": table, "exposure_time": 1200.0, "name": str(i), "spectral_order": 0, "source_type": "EXTENDED", "slit_ra": 1.0, "slit_dec": 2.0})
    return out


@dataclass(frozen=True, kw_only=True)
class Scale(BlockStep):
    """Divides by numbers of its own, wavelength by wavelength; without data where the divisor is NaN."""

    source_type: str | None = param(None, "", kind="str")
    inverse: bool = param(False, "")
    factor: float = param(1.0, "")

    def prepare(self, draft: Draft, refs: Any) -> Any:
        assert self.alias == "flat_field" or self.source_type == "EXTENDED"
        assert draft.first is not None and draft.first().arrays["sci"].shape[1:] == draft.shape
        draft.model.instance[f"of_{self.alias}"] = refs(self.alias)
        return {"by": self.factor * np.asarray(draft.model.wavelength, float)}

    def run(self, block: Block, state: Any) -> Block:
        by = state["by"] if not self.inverse else 1 / state["by"]
        for name in ("sci", "err"):
            block.arrays[name] = (block.arrays[name] / by).astype(np.float32)
        block.arrays["dq"] |= np.isnan(block.arrays["sci"]).astype(np.uint32)
        return block


def scale(name: str, factor: float) -> Scale:
    return dataclass(frozen=True, kw_only=True)(type(name, (Scale,), {"alias": name, "cal_step": name, "__annotations__": {}}))(factor=factor)


class Refs:
    """References by type that know which overrides they were asked with."""

    used: ClassVar[dict[str, str]] = {}

    def __init__(self, overrides: Any = None) -> None:
        self.overrides = overrides or {}

    def __call__(self, reftype: str) -> str:
        return self.overrides.get(reftype, "crds")

    def scoped(self, overrides: Any, reftypes: Any = ()) -> Refs:
        return Refs(overrides)


def slit(**meta: Any) -> tuple[Draft, Block]:
    model = SlitModel()
    model.name, model.meta.exposure.type = "1", "NRS_MSASPEC"
    model.instance["wavelength"] = GOLDEN["slit/wavelength"]
    shape = model.wavelength.shape
    model.instance["data"] = np.zeros(shape, np.float32)
    for name, value in meta.items():
        setattr(model.meta.cal_step, name, value)
    sci = GOLDEN["slit/data"][None].copy()
    block = Block({"sci": sci, "err": np.ones_like(sci), "dq": GOLDEN["slit/dq"][None].copy()}, 0)
    draft = Draft(model, "a.fits", 1)
    draft.first = lambda: block
    draft.steps = {"flat_field": scale("flat_field", FLAT), "pathloss": scale("pathloss", 0.5), "barshadow": scale("barshadow", 2.0),
                   "photom": scale("photom", 0.125)}  # fmt: skip
    return draft, block


@pytest.mark.parametrize("variant", VARIANTS)
def test_spectrum_is_the_references(variant: str) -> None:
    master = mos.master_spectrum([*spectra()[:2], None, *spectra()[2:]], mos.MasterBackgroundMosStep.make(**VARIANTS[variant]))
    assert master is not None
    for name in master["table"].dtype.names:
        np.testing.assert_allclose(master["table"][name], GOLDEN[f"{variant}/{name}"], rtol=1e-12, err_msg=name)


def test_expansion_is_the_references() -> None:
    master = mos.master_spectrum(spectra(), mos.MasterBackgroundMosStep())
    assert master is not None
    for table in (master["table"], master["table"][::-1]):
        picture, outside = expand(table, GOLDEN["slit/wavelength"])
        np.testing.assert_array_equal(picture.astype(np.float32), GOLDEN["expanded/data"])
        np.testing.assert_array_equal(GOLDEN["slit/dq"] | outside, GOLDEN["expanded/dq"])


@pytest.mark.parametrize("inverse, label", [(False, "subtracted"), (True, "added")])
def test_subtraction_is_the_references(inverse: bool, label: str) -> None:
    state = {"background": GOLDEN["expanded/data"], "background_dq": GOLDEN["expanded/dq"]}
    _, block = slit()
    done = mos.MasterBackgroundMosStep(inverse=inverse).run(block, state)
    np.testing.assert_array_equal(done.arrays["sci"][0], GOLDEN[f"{label}/data"])
    np.testing.assert_array_equal(done.arrays["dq"][0], GOLDEN[f"{label}/dq"])


def test_there_and_back() -> None:
    draft, block = slit()
    before = {name: array.copy() for name, array in block.arrays.items()}
    tree = set(draft.model.instance)
    master = mos.master_spectrum(spectra(), mos.MasterBackgroundMosStep())
    assert master is not None
    draft.shared["master_background"] = {name: np.asarray(value) for name, value in master.items()}
    state = mos.MasterBackgroundMosStep(save_background=True).prepare(draft, Refs())
    assert isinstance(state, dict)
    # four divisions by multiples of the wavelength on the way there are four multiplications on the way back
    factor = (FLAT * 0.5 * 2.0 * 0.125) * GOLDEN["slit/wavelength"].astype(float) ** 4
    inside = np.isfinite(factor)
    np.testing.assert_allclose(state["background"][inside], (GOLDEN["expanded/data"] * factor)[inside], rtol=1e-6)
    assert np.isnan(state["background"][~inside]).all() and (state["background_dq"][~inside] & 1).all()
    for name, array in before.items():
        np.testing.assert_array_equal(block.arrays[name], array)
    assert set(draft.model.instance) == tree and draft.model.meta.cal_step.photom is None and draft.log == []
    product = draft.extras["masterbg2d"]
    np.testing.assert_array_equal(product["arrays"]["data"], state["background"])
    np.testing.assert_allclose(product["arrays"]["err"][inside], 1.0, rtol=1e-5)
    assert product["attributes"]["meta"]["cal_step"]["photom"] == "COMPLETE" and product["attributes"]["of_photom"] == "crds"
    assert draft.quality["master_background"] == pytest.approx(np.nanmedian(state["background"]))


def test_steps_follow_the_pipelines() -> None:
    draft, block = slit()
    draft.steps = {**draft.steps, "photom": draft.steps["photom"].make(skip=True), "flat_field": draft.steps["flat_field"].make(factor=FLAT)}
    object.__setattr__(draft.steps["flat_field"], "overrides", {"flat_field": "mine.fits"})
    mine, copied = calibrate.private(draft, block)
    out, done = calibrate.forward(mine, copied, calibrate.calibration_steps(draft.steps), Refs())
    assert [step.alias for step, _ in done] == ["flat_field", "pathloss", "barshadow"]
    assert mine.model.instance["of_flat_field"] == "mine.fits" and mine.model.meta.cal_step.photom == "SKIPPED"
    back = calibrate.backward(out, done)
    good = np.isfinite(GOLDEN["slit/wavelength"])
    np.testing.assert_allclose(back.arrays["sci"][0][good], GOLDEN["slit/data"][good], rtol=1e-5)


def test_references_by_step() -> None:
    step = scale("photom", 1.0)
    assert calibrate.look_up(lambda asked: f"of {asked.alias}", step) == "of photom"
    plain_refs = SimpleNamespace(used={})
    assert calibrate.look_up(plain_refs, step) is plain_refs


@pytest.mark.parametrize("parameters, meta, runs", [
    ({}, {}, True), ({}, {"cal_step.bkg_subtract": "COMPLETE"}, False), ({}, {"cal_step.master_background": "COMPLETE"}, False),
    ({"force_subtract": True}, {"cal_step.bkg_subtract": "COMPLETE"}, True), ({"skip": True}, {}, False), ({"background": "nod"}, {}, False),
    ({"background": "none"}, {}, False), ({"background": "master"}, {}, True), ({}, {"exposure.type": "NRS_FIXEDSLIT"}, False),
])  # fmt: skip
def test_when_it_runs(parameters: dict[str, Any], meta: dict[str, str], runs: bool) -> None:
    answer = mos.MasterBackgroundMosStep.make(**parameters).applies({"exposure.type": "NRS_MSASPEC", **meta})
    assert (answer is None) == runs and not isinstance(answer, mos.Failed)


def spec(name: str, source: str = "1_2", quadrant: int = 3) -> SlitSpec:
    return SlitSpec(SimpleNamespace(name=name, source_id=1, source_name=source, quadrant=quadrant), ((0, 1), (0, 1)))


SLITS = [spec("1"), spec("2", "background_2"), spec("3", "2750_bkg3"), spec("S200A1", "BKG", quadrant=5)]


@pytest.mark.parametrize("parameters, chosen", [
    ({}, ["2", "3"]), ({"background_slits": "1 3"}, ["1", "3"]), ({"background_slits": "fixed"}, ["S200A1"]),
    ({"background_slits": "all"}, ["1", "2", "3", "S200A1"]), ({"user_background": "x.fits"}, []), ({"skip": True}, []),
])  # fmt: skip
def test_which_slits_make_the_background(parameters: dict[str, Any], chosen: list[str]) -> None:
    step = mos.MasterBackgroundMosStep.make(**parameters)
    assert [slit.name for slit in SLITS if mos.is_background_slit(slit, step)] == chosen
    assert step.check_slits(SLITS) is None or step.skip


def test_without_background_or_sources() -> None:
    step = mos.MasterBackgroundMosStep()
    for slits, word in ((SLITS[:1], "no background slits"), (SLITS[1:], "no source slits")):
        answer = step.check_slits(slits)
        assert isinstance(answer, mos.Failed) and isinstance(answer, Skip) and answer.status == "FAILED" and word in answer.reason
    with pytest.raises(ParameterError, match=r"background_slits: 7 not among .* 1, 2, 3, S200A1"):
        mos.MasterBackgroundMosStep.make(background_slits="1 7").check_slits(SLITS)
    draft, _ = slit()
    assert isinstance(step.prepare(draft, Refs()), mos.Failed)
    draft.shared["master_background"] = None
    assert isinstance(step.prepare(draft, Refs()), mos.Failed)
    assert mos.master_spectrum([None, spectra()[3]], step) is None


def test_the_users_spectrum(tmp_path: Path) -> None:
    table = spectra()[0]["table"]
    for name in ("COMBINE1D", "EXTRACT1D"):
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name=name), fits.BinTableHDU(table[:3], name=name)]).writeto(tmp_path / f"{name}.fits")
        step = mos.MasterBackgroundMosStep(user_background=str(tmp_path / f"{name}.fits"))
        master = mos.master_spectrum([], step)
        assert master is not None
        np.testing.assert_array_equal(master["table"]["SURF_BRIGHT"], table["SURF_BRIGHT"])
        draft, _ = slit()
        state = step.prepare(draft, Refs())
        assert isinstance(state, dict) and np.isfinite(state["background"]).any()
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    (tmp_path / "text.fits").write_text("not a file")
    for name, words in (("none.fits", "neither a COMBINE1D"), ("text.fits", "cannot be read"), ("absent.fits", "user_background")):
        with pytest.raises(InputError, match=words):
            mos.user_spectrum(str(tmp_path / name))


def test_side_products_of_the_exposure(tmp_path: Path) -> None:
    draft, _ = slit()
    given = [{**spectrum, "records": '{"cal_step": {"photom": "COMPLETE"}, "ref_file": {"photom": "crds://p.fits"}}'} for spectrum in spectra()]
    stored = [plain({name: np.asarray(value) for name, value in spectrum.items()}) for spectrum in given]
    step = mos.MasterBackgroundMosStep()
    master = mos.master_spectrum(stored, step)
    models = side_models(draft.model, stored, master)
    assert set(models) == {"masterbg1d", "bkgx1d"} and side_models(draft.model, stored, None) == {}
    assert [one.name for one in models["bkgx1d"].spec] == ["0", "1", "2", "3"]
    for suffix, model in models.items():
        model.save(tmp_path / f"{suffix}.fits")
        assert model.meta.cal_step.photom == "COMPLETE" and model.meta.ref_file.photom.name == "crds://p.fits"
    for number, spectrum in enumerate(stored):
        written = fits.getdata(tmp_path / "bkgx1d.fits", ("EXTRACT1D", number + 1))
        np.testing.assert_array_equal(written["SURF_BRIGHT"], spectrum["table"]["SURF_BRIGHT"])
    combined = fits.getdata(tmp_path / "masterbg1d.fits", "COMBINE1D")
    np.testing.assert_allclose(combined["SURF_BRIGHT"], GOLDEN["default/SURF_BRIGHT"], rtol=1e-12)
    assert models["masterbg1d"].spec[0].source_type == "EXTENDED"


def test_failed_open_shutters_are_background(tmp_path: Path) -> None:
    import json

    import cutout_cases

    from jwst_dask.data.msa import MSAMetafile

    msa = MSAMetafile.read(cutout_cases.metafile(tmp_path / "m_msa.fits"))
    first = msa.shutters[0]
    taken = [int(first[f"shutter_{name}"]) for name in ("quadrant", "row", "column")]
    shutters = [(*taken, "open"), (4, 300, 86, "open"), (4, 301, 86, "closed"), (2, 7, 9, "open")]
    (tmp_path / "msaoper.json").write_text(json.dumps({"msaoper": [
        {"Q": q, "x": x, "y": y, "state": state, "TA state": state, "Internal state": state} for q, x, y, state in shutters]}))  # fmt: skip
    made = mos.with_failed_open(msa, str(tmp_path / "msaoper.json"), without=[(2, 7, 9)])
    new = [s for s in made.slitlets() if s.slitlet_id not in {s.slitlet_id for s in msa.slitlets()}]
    assert {(s.quadrant, s.row, s.columns, s.background) for s in new} == {(4, 300, (86,), True)}
