"""A step that runs alone on a product gives what the pipeline gives, for files and for lazy trees."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import jwst_dask
from jwst_dask import simulate, steps
from jwst_dask.backend import JwstBackendEntrypoint
from jwst_dask.cli import main
from jwst_dask.core.errors import InputError
from jwst_dask.core.standalone import run_step

AFTER = {
    "mos": ("extract_2d", "srctype", "master_background_mos", "wavecorr", "flat_field", "pathloss", "barshadow", "photom", "pixel_replace"),
    "fs": ("extract_2d", "srctype", "wavecorr", "flat_field", "pathloss", "photom", "pixel_replace"),
}
"""Steps with a file each, in order."""
CASES = [(mode, alias) for mode, order in AFTER.items() for alias in (*order[1:], "resample_spec", "extract_1d")]
DATED = {"DATE", "FILENAME", "ASNTABLE", "ASNPOOL", "CHECKSUM", "DATASUM", "S_TRCMOD", "S_PXREPL", "S_BARSHA", "S_MSBSUB", "S_CLNFNS", "S_IMPRNT", "S_BPXSLF"}
"""Keywords of the making of a file, and of steps that a pipeline records as skipped in between."""


@pytest.fixture(scope="session")
def made(slit_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The results of all steps of a pipeline, by mode."""
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        for mode, folder in slit_folders.items():
            for name, value in simulate.environment(folder).items():
                patch.setenv(name, value)
            out[mode] = tmp_path_factory.mktemp(f"{mode}-made")
            saved = {alias: {"save_results": True} for alias in (*AFTER[mode], "assign_wcs", "msa_flagging", "bkg_subtract")}
            saved["pixel_replace"]["skip"] = False
            pattern = "*_00001_*mbkg*_asn.json" if mode == "mos" else "*_00001_*_asn.json"
            result = jwst_dask.run(str(next(folder.glob(pattern))), "calwebb_spec2", params={"steps": saved}, output_dir=out[mode])
            assert not result.failures
            for path in folder.glob("*_msa.fits"):
                shutil.copy(path, out[mode])
    return out


@pytest.fixture
def here(slit_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Point CRDS at the references of a mode."""

    def use(mode: str) -> None:
        for name, value in simulate.environment(slit_folders[mode]).items():
            monkeypatch.setenv(name, value)

    return use


def product(folder: Path, suffix: str) -> str:
    return str(next(path for path in folder.glob("*.fits") if path.stem.endswith(f"_{suffix}")))


def result_of(alias: str) -> str:
    return {"resample_spec": "s2d", "extract_1d": "x1d"}.get(alias, alias)


def before(mode: str, alias: str) -> str:
    order = (*AFTER[mode], "resample_spec", "extract_1d")
    return "cal" if alias == "pixel_replace" else result_of(order[order.index(alias) - 1])


def assert_same(ours: str, theirs: str) -> None:
    with fits.open(ours) as a, fits.open(theirs) as b:
        assert [(h.name, h.ver) for h in a] == [(h.name, h.ver) for h in b]
        for x, y in zip(a, b):
            if x.name == "ASDF":
                continue
            for keyword in set(x.header) | set(y.header):
                if keyword not in DATED and keyword not in ("", "COMMENT", "HISTORY"):
                    u, v = x.header.get(keyword), y.header.get(keyword)
                    assert u == pytest.approx(v, rel=1e-9) if isinstance(v, float) else u == v, (x.name, x.ver, keyword)
            if x.data is None:
                continue
            names = x.data.dtype.names
            for name in names or ("",):
                u, v = (np.asarray(h.data[name] if names else h.data) for h in (x, y))
                if u.dtype.kind == "f":  # a gwcs object and compiled optics differ in the last digit
                    scale = np.nanmax(np.abs(v), initial=0.0, where=np.isfinite(v))
                    np.testing.assert_allclose(u, v, rtol=2e-6, atol=1e-6 * scale, err_msg=f"{x.name},{x.ver} {name}")
                else:
                    np.testing.assert_array_equal(u, v, err_msg=f"{x.name},{x.ver} {name}")


@pytest.mark.parametrize(("mode", "alias"), CASES)
def test_a_step_alone_gives_what_the_pipeline_gives(made: dict[str, Path], here: Any, tmp_path: Path, mode: str, alias: str) -> None:
    here(mode)
    result = run_step(alias, product(made[mode], before(mode, alias)), {}, output_dir=tmp_path)
    assert not result.failures and len(result.made) == 1
    assert result.made[0].endswith(f"_{steps.step_class(alias).__name__.lower()}.fits")
    assert_same(str(result.products[result.made[0]]), product(made[mode], result_of(alias)))


@pytest.mark.parametrize("mode", list(AFTER))
def test_cut_outs_of_a_frame_alone(made: dict[str, Path], here: Any, tmp_path: Path, mode: str) -> None:
    """The slits are found again from the metadata and the MSA metafile."""
    here(mode)
    result = run_step("extract_2d", product(made[mode], "assign_wcs" if mode == "mos" else "bsub"), {}, output_dir=tmp_path)
    with fits.open(str(result.products[result.made[0]])) as ours, fits.open(product(made[mode], "extract_2d")) as theirs:
        assert [h.header.get("SLTNAME") for h in ours] == [h.header.get("SLTNAME") for h in theirs]
        for a, b in zip(ours, theirs):
            if a.name in ("SCI", "WAVELENGTH"):
                np.testing.assert_array_equal(a.data, b.data)


def test_flags_of_the_frame_alone(made: dict[str, Path], here: Any, tmp_path: Path) -> None:
    here("mos")
    result = run_step("msa_flagging", product(made["mos"], "assign_wcs"), {}, output_dir=tmp_path)
    assert_same(str(result.products[result.made[0]]), product(made["mos"], "msa_flagging"))


def test_the_command_line_takes_what_strun_takes(made: dict[str, Path], here: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here("fs")
    cal = product(made["fs"], "cal")
    assert main(["strun", "jwst.resample.ResampleSpecStep", cal, "--output_dir", str(tmp_path), "--pixel_scale_ratio=0.5", "--suffix=half"]) == 0
    assert main(["strun", "extract_1d", str(next(tmp_path.glob("*_half.fits"))), "--output_dir", str(tmp_path), "--output_file=mine.fits"]) == 0
    assert main(["strun", "combine_1d", product(made["fs"], "x1d"), "--output_dir", str(tmp_path)]) == 0
    assert {path.name.split("_")[-1] for path in tmp_path.glob("*.fits")} == {"half.fits", "extract1dstep.fits", "c1d.fits"}
    assert main(["strun", "flat_field", product(made["fs"], "x1d"), "--output_dir", str(tmp_path)]) == 1
    assert "works on slits, not on a MultiSpecModel" in capsys.readouterr().err
    assert main(["strun", "photom", product(made["fs"], "assign_wcs"), "--output_dir", str(tmp_path)]) == 1
    assert "run extract_2d before" in capsys.readouterr().err
    assert main(["strun", "msa_flagging", cal, "--output_dir", str(tmp_path)]) == 1
    assert "give the exposure they were cut from" in capsys.readouterr().err


def test_combined_spectra(made: dict[str, Path], here: Any, tmp_path: Path) -> None:
    from stdatamodels.jwst import datamodels

    here("mos")
    path = product(made["mos"], "x1d")
    result = run_step("combine_1d", path, {"exptime_key": "unit_weight"}, output_dir=tmp_path)
    found = steps.combine_1d.call(path, exptime_key="unit_weight")
    with datamodels.open(str(result.products[result.made[0]])) as model:
        model.validate()
        assert model.meta.cal_step.combine_1d == "COMPLETE"
        np.testing.assert_array_equal(model.spec[0].spec_table["FLUX"], found.flux.values)
        np.testing.assert_array_equal(model.spec[0].spec_table["WAVELENGTH"], found.wavelength.values)


def test_a_product_does_not_replace_what_it_is_made_from(made: dict[str, Path], here: Any) -> None:
    here("fs")
    path = Path(product(made["fs"], "cal"))
    with pytest.raises(InputError, match="would replace the file"):
        run_step("photom", path, {"suffix": "cal"}, output_dir=path.parent)


def test_edited_headers_count(made: dict[str, Path], here: Any, tmp_path: Path) -> None:
    """Keywords that someone changed with other software win over the ASDF extension, as for `stdatamodels`."""
    here("mos")
    path = shutil.copy(product(made["mos"], "barshadow"), tmp_path / "edited_barshadow.fits")
    with fits.open(path, mode="update") as file:
        assert file["SCI", 1].header["SRCTYPE"] == "POINT"
        file["SCI", 1].header["SRCTYPE"] = "EXTENDED"
    ours = run_step("photom", path, {}, output_dir=tmp_path)
    with fits.open(str(ours.products[ours.made[0]])) as a, fits.open(product(made["mos"], "photom")) as b:
        assert a["SCI", 1].header["BUNIT"].strip() == "MJy/sr" and b["SCI", 1].header["BUNIT"].strip() != "MJy/sr"
        np.testing.assert_array_equal(a["SCI", 2].data, b["SCI", 2].data)


def test_a_slit_that_fails_is_left_out(made: dict[str, Path], here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jwst_dask.steps.stage2.photom import PhotomStep

    here("mos")
    prepare = PhotomStep.prepare

    def broken(self: Any, draft: Any, refs: Any) -> Any:
        if draft.slit.name == name:
            raise ValueError("damaged")
        return prepare(self, draft, refs)

    path = product(made["mos"], "barshadow")
    with fits.open(path) as file:
        names = [hdu.header["SLTNAME"] for hdu in file if hdu.name == "SCI"]
    name = names[1]
    monkeypatch.setattr(PhotomStep, "prepare", broken)
    result = run_step("photom", path, {}, output_dir=tmp_path, scheduler="sync", on_error="skip")
    assert result.exit_code == 1 and len(result.failures) == 1
    assert f"slit {name} (source " in result.failures[0] and "photom: ValueError: damaged" in result.failures[0]
    with fits.open(str(result.products[result.made[0]])) as file:
        assert [hdu.header["SLTNAME"] for hdu in file if hdu.name == "SCI"] == [n for n in names if n != name]


def tree(path: str) -> Any:
    return xr.open_datatree(path, engine=JwstBackendEntrypoint, chunks={})


@pytest.fixture
def no_wcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if a gwcs object is made."""
    from jwst_dask.io import asdf_text

    monkeypatch.setattr(asdf_text, "load", lambda piece: pytest.fail("a gwcs object was made"))
    yield


def test_lazy_steps_on_a_tree(made: dict[str, Path], here: Any, no_compute: None, no_wcs: None) -> None:
    here("mos")
    source = product(made["mos"], "wavecorr")
    whole = steps.flat_field.run(source)
    chosen = steps.photom(steps.barshadow(steps.pathloss(steps.flat_field(tree(source)))))
    assert isinstance(whole, xr.DataTree) and set(whole.children) == set(chosen.children)
    assert all(node["sci"].chunks is not None for node in chosen.children.values())


def test_values_of_lazy_steps(made: dict[str, Path], here: Any) -> None:
    here("mos")
    chain = steps.photom(steps.barshadow(steps.pathloss(steps.flat_field.call(product(made["mos"], "wavecorr")))))
    reference = tree(product(made["mos"], "photom"))
    for name, node in reference.children.items():
        for variable in ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat"):
            u, v = chain[name][variable].values, node[variable].values
            assert u.dtype == v.dtype
            np.testing.assert_allclose(u, v, rtol=2e-6, err_msg=f"{name} {variable}")
    spectra = steps.extract_1d(steps.resample_spec(steps.pixel_replace(chain)))
    for name, node in tree(product(made["mos"], "x1d")).children.items():
        np.testing.assert_allclose(spectra[name].flux.values, node.flux.values, rtol=1e-4, atol=1e-4 * np.nanmax(np.abs(node.flux.values)), err_msg=name)


def test_changed_pixels_of_a_tree_count(made: dict[str, Path], here: Any) -> None:
    here("fs")
    opened = tree(product(made["fs"], "pathloss"))
    name = next(iter(opened.children))
    plain = steps.photom(opened)[name].sci.values
    opened[f"/{name}"] = opened[name].to_dataset().assign(sci=opened[name]["sci"] * 2)
    np.testing.assert_allclose(steps.photom(opened)[name].sci.values, 2 * plain, rtol=1e-6)


def test_slits_of_a_lazy_exposure(made: dict[str, Path], here: Any, slit_folders: dict[str, Path]) -> None:
    """From a count-rate image to spectra without a file in between."""
    here("fs")
    rate = sorted(slit_folders["fs"].glob("*_00001_*_rate.fits"))[0]
    cut = steps.extract_2d(steps.assign_wcs(jwst_dask.open(rate)), slit_names="S200A1")
    assert list(cut.children) == ["S200A1"]
    chain = steps.photom(steps.pathloss(steps.flat_field(steps.wavecorr(steps.srctype(cut)))))
    with fits.open(product(made["fs"], "extract_2d")) as file:
        np.testing.assert_array_equal(cut["S200A1"].wavelength.values, file["WAVELENGTH", 1].data)
    assert chain["S200A1"].sci.chunks is not None and np.isfinite(chain["S200A1"].sci.values).any()


def test_a_saved_call_opens_what_it_wrote(made: dict[str, Path], here: Any, tmp_path: Path) -> None:
    here("fs")
    found = steps.photom.call(product(made["fs"], "pathloss"), save_results=True, output_dir=tmp_path)
    assert isinstance(found, xr.DataTree) and str(found.encoding["source"]).startswith(str(tmp_path))
    np.testing.assert_array_equal(found["S200A1"].sci.values, tree(product(made["fs"], "photom"))["S200A1"].sci.values)


def test_a_pipeline_call_opens_its_products(slit_folders: dict[str, Path], here: Any, tmp_path: Path) -> None:
    here("fs")
    association = str(next(slit_folders["fs"].glob("*_00001_*_asn.json")))
    result = jwst_dask.Spec2Pipeline.call(association, output_dir=tmp_path, steps={"extract_2d": {"slit_names": "S200A1"}})
    assert result.exit_code == 0 and len(result.made) == 4
    assert list(result["cal"].children) == ["S200A1"] and result["x1d"].flux.dims == ("wavelength",)
    with pytest.raises(KeyError, match="products are named nothing"):
        result["nothing"]


@pytest.mark.parametrize(("mode", "suffix"), [("mos", "extract_2d"), ("mos", "cal"), ("fs", "cal")])
def test_the_wcs_of_a_product_without_gwcs(made: dict[str, Path], here: Any, no_wcs: None, mode: str, suffix: str) -> None:
    """It is evaluated by compiled code where that gives the product's own wavelengths, footprint and pointing."""
    from jwst_dask.core.slits import standalone
    from jwst_dask.core.slits.opened import open_slit
    from jwst_dask.io.multi_read import open_multi
    from jwst_dask.refs.crds import References

    here(mode)
    content = open_multi(product(made[mode], suffix))
    optics = standalone.optics_in({"optics": standalone.optics_table(content.model(), lambda model, step: References({}, step.overrides))})
    for entry in content.entries:
        draft, _ = open_slit(entry, optics=optics)
        assert draft.wcs is not None
        waves = draft.wcs.to_slit(*np.meshgrid(*(np.arange(n, dtype=float) for n in draft.shape[::-1])))[2]
        np.testing.assert_allclose(waves, draft.model.instance["wavelength"], rtol=3e-7)


@pytest.mark.parametrize("change", ["wavelength", "region", "pointing", "corner"])
def test_a_wcs_that_is_not_that_of_the_references_is_read(made: dict[str, Path], here: Any, change: str) -> None:
    from jwst_dask.core.slits import standalone
    from jwst_dask.core.slits.opened import open_slit
    from jwst_dask.io.asdf_text import Fragment
    from jwst_dask.io.multi_read import open_multi
    from jwst_dask.refs.crds import References
    from jwst_dask.wcs.nirspec.again import slit_again

    here("mos")
    entry = open_multi(product(made["mos"], "cal")).entries[0]
    optics = standalone.optics_in({"optics": standalone.optics_table(entry.owner.model(), lambda model, step: References({}, step.overrides))})
    draft, _ = open_slit(entry)
    item, piece = draft.model.instance, entry.wcs
    assert optics and piece is not None and draft.slit is not None and slit_again(draft.model, draft.slit.slit, optics, piece) is not None
    if change == "wavelength":
        item["wavelength"] = item["wavelength"] * np.float32(1 + 1e-5)
    elif change == "region":
        item["meta"]["wcsinfo"]["s_region"] = item["meta"]["wcsinfo"]["s_region"].replace("62.", "61.", 1)
    elif change == "pointing":
        piece = Fragment(re.sub(r"(rotate_sequence_3d-\S+\n\s+angles: \[)", r"\g<1>1", piece.text), piece.extensions, piece.blocks)
    else:
        item["xstart"] += 1
    assert slit_again(draft.model, draft.slit.slit, optics, piece) is None
