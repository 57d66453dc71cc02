"""extract_1d of the slits of an exposure against values of the reference implementation (tests/parity/make_extract_1d_slits.py)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage2.extract_1d import Extract1dStep
from jwst_dask.wcs.rectified_gwcs import rectified
from jwst_dask.wcs.slitwcs import GwcsSlit

sys.path.insert(0, str(Path(__file__).parent))
from extract_1d_slit_cases import ARRAYS, CASES, SHAPES, exposure, references

GOLDEN = np.load(Path(__file__).parent.parent / "parity" / "extract_1d_slits.npz")
COLUMNS = [str(name) for name in GOLDEN["columns"]]


def slit_of(multi, number, optics):
    """What the framework hands over for one slit: its draft and its block."""
    from stdatamodels.jwst import datamodels

    item = multi.slits[number]
    model = datamodels.SlitModel(validate_on_assignment=False)
    tree = {name: value for name, value in item.instance.items() if name not in ARRAYS.values()}
    meta = {name: value for name, value in tree.pop("meta").items() if name != "wcs"}
    for name, value in meta.items():
        model.instance["meta"][name] = {**model.instance["meta"].get(name, {}), **value} if isinstance(value, dict) else value
    model.instance.update(tree)
    model.instance["data"] = np.array(item.data)
    arrays = {name: np.array(getattr(item, attribute))[None] for name, attribute in ARRAYS.items() if name != "dq" or optics == "detector"}
    block = Block(arrays=arrays, start=0)
    wcs = item.meta.wcs
    draft = Draft(model=model, path="case_cal.fits", nints=1, wcs=rectified(wcs) if optics == "rectified" else GwcsSlit(wcs))
    draft.first = lambda: block
    return draft, block


def extract(folder, case, number, **more):
    optics, _, _, parameters = CASES[case]
    draft, block = slit_of(exposure(case), number, optics)
    paths = {**references(folder, case), **{k: more.pop(k) for k in ("apcorr", "psf", "extract1d") if k in more}}
    step = Extract1dStep.make(**{**parameters, **more})
    state = step.prepare(draft, paths.__getitem__)
    if isinstance(state, Skip):
        return draft, state
    block = step.run(block, {name: np.asarray(value) for name, value in state.items()})
    return draft, block.tables["EXTRACT1D"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("references")


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_spectra_of_the_reference(case, number, folder):
    draft, table = extract(folder, case, number)
    for name, golden in zip(COLUMNS, GOLDEN[f"{case}.{number}.spectrum"], strict=True):
        np.testing.assert_allclose(table[name], golden, rtol=1e-9, atol=0, err_msg=name)
    spectrum = draft.spectra.spec[0]
    expected = json.loads(str(GOLDEN[f"{case}.{number}.attributes"]))
    found = {name: value for name, value in spectrum.instance.items() if name != "meta"}
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value), name
    assert {c.name: c.unit for c in spectrum.spec_table.columns} == json.loads(str(GOLDEN[f"{case}.{number}.units"]))
    for image in ("profile", "scene_model", "residual"):
        if f"{case}.{number}.{image}" in GOLDEN:
            np.testing.assert_allclose(draft.extras[image]["arrays"]["data"], GOLDEN[f"{case}.{number}.{image}"], rtol=2e-6, atol=1e-7)


def test_slits_do_not_know_of_each_other(folder):
    """A shared aperture (``ANY``) with background regions: every slit's regions start from those of the reference."""
    path = folder / "shared.json"
    entry = {"id": "ANY", "extract_width": 5, "bkg_coeff": [[0.6], [2.9], [10.2], [12.8]], "use_source_posn": True}
    path.write_text(json.dumps({"apertures": [entry]}))
    alone = extract(folder, "mos", 1, extract1d=str(path))[1]
    extract(folder, "mos", 0, extract1d=str(path))
    assert extract(folder, "mos", 1, extract1d=str(path))[1].tobytes() == alone.tobytes()


def test_wcs_of_a_spectrum(folder):
    from jwst_dask.io import asdf_text

    draft, table = extract(folder, "mos", 0)
    wcs = draft.spectra.spec[0].instance["meta"]["wcs"]
    ra, dec, wavelength = wcs.gwcs()(np.arange(len(table)))
    np.testing.assert_array_equal(wavelength, table["WAVELENGTH"])
    assert (ra[0], dec[0]) == (draft.spectra.spec[0].slit_ra, draft.spectra.spec[0].slit_dec)
    assert wcs.fragment() == asdf_text.fragment(wcs.gwcs())


def test_figures_of_quality(folder):
    draft, table = extract(folder, "mos", 0)
    good = np.isfinite(table["FLUX"])
    assert draft.quality["extracted_fraction"] == good.mean() < 1
    assert draft.quality["snr_median"] == np.median(table["FLUX"][good] / table["FLUX_ERROR"][good])
    assert (draft.quality["wavelength_min"], draft.quality["wavelength_max"]) == (table["WAVELENGTH"][good].min(), table["WAVELENGTH"][good].max())


def test_slits_without_a_spectrum_are_skipped(folder):
    draft, _ = slit_of(exposure("mos"), 0, "rectified")
    draft.model.instance["wavelength"] = np.full(SHAPES["point"], np.nan, np.float32)
    paths = references(folder, "mos")
    assert "wavelength" in Extract1dStep.make().prepare(draft, paths.__getitem__).reason
    draft.model.instance["data"] = np.zeros((0, 0), np.float32)
    assert "no data" in Extract1dStep.make().prepare(draft, paths.__getitem__).reason


@pytest.mark.parametrize("exp_type", ["NRS_MSASPEC", "NRS_FIXEDSLIT", "NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT"])
def test_modes(exp_type):
    assert Extract1dStep.make().applies({"exposure.type": exp_type}) is None


def test_metadata_of_the_product_is_that_of_the_primary_header(folder):
    draft, _ = extract(folder, "mos", 0)
    meta = draft.spectra.instance["meta"]
    assert meta["exposure"]["type"] == "NRS_MSASPEC" and meta["instrument"]["detector"] == "NRS1" and meta["cal_step"]["photom"] == "COMPLETE"
    assert not {"wcsinfo", "photometry", "bunit_data", "wcs"} & set(meta)  # those are the slit's, in extensions that spectra do not have
