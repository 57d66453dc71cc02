"""extract_1d against values of the reference implementation (tests/parity/make_extract_1d.py), and its behaviour around them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jwst_dask.core.errors import ParameterError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage2.extract_1d import Extract1dStep

sys.path.insert(0, str(Path(__file__).parent))
from extract_1d_cases import ARRAYS, CASES, exposure, references

GOLDEN = np.load(Path(__file__).parent.parent / "parity" / "extract_1d.npz")
COLUMNS = [str(name) for name in GOLDEN["columns"]]


def blocks_of(model, edges):
    """Blocks of a cube, or of an image as one integration."""
    for start, stop in zip(edges, edges[1:], strict=False):
        arrays = {name: np.asarray(getattr(model, attribute)) for name, attribute in ARRAYS.items()}
        arrays = {name: np.array(a[None] if a.ndim == 2 else a[start:stop], order="C") for name, a in arrays.items()}
        yield Block(arrays=arrays, start=start)


def draft_of(model, optics, variant, first=True):
    """What the framework hands to `prepare`: one integration of zeros, and the first real one on request."""
    empty = exposure(optics, variant)
    for name in ARRAYS.values():
        array = np.asarray(getattr(model, name))
        setattr(empty, name, np.zeros((1, *array.shape[1:]) if array.ndim == 3 else array.shape, array.dtype))
    draft = Draft(model=empty, path="case_cal.fits", nints=len(model.data) if model.data.ndim == 3 else 1)
    if first:
        draft.first = lambda: next(blocks_of(model, (0, 1)))
    return draft


def prepared(folder, case, first=True, **more):
    optics, variant, aperture, parameters = CASES[case]
    model = exposure(optics, variant)
    draft = draft_of(model, optics, variant, first)
    paths = references(folder, optics, aperture)
    step = Extract1dStep.make(**{**parameters, **more})
    return step, draft, step.prepare(draft, lambda kind: paths[kind]), model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the references of all tests are (the FITS ones are written once)."""
    return tmp_path_factory.mktemp("references")


def extract(step, state, model, edges):
    made = [step.run(block, state) for block in blocks_of(model, edges)]
    return np.concatenate([block.tables["EXTRACT1D"] for block in made]), made


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("case", CASES)
def test_spectra_of_the_reference(case, folder):
    step, draft, state, model = prepared(folder, case)
    cube = model.data.ndim == 3
    table, made = extract(step, state, model, (0, 1, 3) if cube else (0, 1))
    for c, name in enumerate(COLUMNS):
        np.testing.assert_allclose(table[name], GOLDEN[f"{case}.spectra"][c], rtol=1e-9, atol=0, err_msg=name)
    if cube:
        assert list(table.dtype.names) == list(GOLDEN["all_columns"])
        for name, values in zip([n for n in table.dtype.names if n not in COLUMNS], GOLDEN[f"{case}.rest"], strict=True):
            np.testing.assert_array_equal(table[name], values, err_msg=name)
    for suffix in ("profile", "scene_model", "residual"):
        if f"{case}.{suffix}" in GOLDEN:
            ours = draft.extras[suffix].data if suffix == "profile" else np.concatenate([block.arrays[suffix] for block in made])
            np.testing.assert_allclose(np.squeeze(ours), GOLDEN[f"{case}.{suffix}"], rtol=2e-6, atol=1e-7, err_msg=suffix)
            assert draft.extras[suffix].data.ndim == (3 if cube and suffix != "profile" else 2)


    product_of_the_reference(case, draft.spectra, cube)


def product_of_the_reference(case, product, cube):
    assert type(product).__name__ == str(GOLDEN[f"{case}.model"])
    spectrum = product.spec[0]
    for name, value in json.loads(str(GOLDEN[f"{case}.attributes"])).items():
        assert getattr(spectrum, name, None) == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), name
    assert {c.name: c.unit for c in spectrum.spec_table.columns} == json.loads(str(GOLDEN[f"{case}.units"]))
    assert len(spectrum.spec_table) == (1 if cube else GOLDEN[f"{case}.spectra"].shape[1])
    assert product.meta.target.source_type is None
    wavelength = GOLDEN[f"{case}.spectra"][0].reshape(-1, GOLDEN[f"{case}.spectra"].shape[-1])[0]
    ra, dec, along = spectrum.meta.wcs(np.arange(len(wavelength)))
    np.testing.assert_allclose(along, wavelength, rtol=1e-12)
    np.testing.assert_allclose([ra[0], dec[0]], [spectrum.slit_ra, spectrum.slit_dec], rtol=1e-12)


def test_the_template_is_written_and_read_back(folder):
    from stdatamodels.jwst import datamodels

    _, draft, _, _ = prepared(folder, "slit_box")
    path = folder / "x1dints.fits"
    draft.spectra.save(path)
    with datamodels.open(path) as model:
        assert type(model) is datamodels.TSOMultiSpecModel
        model.validate()
        assert model.spec[0].spec_table["FLUX"].shape == (1, 18)
        assert len(model.int_times) == 5


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("case", ["slit_poly", "slit_profile", "prism_median", "slit_box"])
def test_blocks_do_not_matter(case, folder):
    step, _, state, model = prepared(folder, case)
    whole, made = extract(step, state, model, (0, 3))
    for edges in ((0, 1, 2, 3), (0, 2, 3)):
        cut, pieces = extract(step, state, model, edges)
        assert cut.tobytes() == whole.tobytes()
        if "residual" in made[0].arrays:
            assert np.concatenate([p.arrays["residual"] for p in pieces]).tobytes() == made[0].arrays["residual"].tobytes()


def test_state_survives_its_file(folder):
    step, _, state, model = prepared(folder, "slit_median")
    np.savez(folder / "state.npz", **state)
    with np.load(folder / "state.npz", allow_pickle=False) as file:
        again = {name: file[name] for name in file.files}
    for value in again.values():
        value.flags.writeable = False
    assert extract(step, again, model, (0, 3))[0].tobytes() == extract(step, state, model, (0, 3))[0].tobytes()


def test_without_the_first_integration_the_nominal_aperture_counts(folder):
    """The NIRSpec correction is tabulated on the pixels of the first integration; bad pixels there change it for all."""
    step, _, state, model = prepared(folder, "slit_box", first=False)
    nominal = extract(step, state, model, (0, 3))[0]
    golden = GOLDEN["slit_box.spectra"][COLUMNS.index("FLUX")]
    good = np.isclose(GOLDEN["slit_box.spectra"][COLUMNS.index("NPIXELS")][0], 5)
    assert good.any() and not good.all()
    np.testing.assert_allclose(nominal["FLUX"][:, good], golden[:, good], rtol=1e-9)
    assert not np.allclose(nominal["FLUX"][:, ~good], golden[:, ~good], rtol=1e-6, equal_nan=True)


def test_segments_share_the_geometry(folder):
    _, one, _, _ = prepared(folder, "slit_box")
    _, two, _, _ = prepared(folder, "slit_box")
    assert one.spectra.spec[0].meta.wcs is two.spectra.spec[0].meta.wcs


def test_draft_is_left_alone(folder):
    _, draft, _, _ = prepared(folder, "slit_box")
    fresh = exposure("slit", "cube")
    assert draft.model.to_flat_dict(include_arrays=False).keys() == fresh.to_flat_dict(include_arrays=False).keys()


def test_what_is_not_extracted(folder):
    step = Extract1dStep.make()
    assert isinstance(step.applies({"exposure.type": "MIR_IMAGE"}), Skip)
    assert step.applies({"exposure.type": "NRS_BRIGHTOBJ"}) is None
    assert isinstance(Extract1dStep.make(skip=True).applies({"exposure.type": "NRS_BRIGHTOBJ"}), Skip)
    paths = references(folder, "slit", {"extract_width": 5, "spectral_order": 3})
    assert "order" in step.prepare(draft_of(exposure("slit", "cube"), "slit", "cube"), paths.get).reason


def test_bad_references_are_named(folder):
    def attempt(pattern, optics="slit", aperture=None, **parameters):
        paths = references(folder, optics, aperture or {"extract_width": 5})
        paths.update({k: parameters.pop(k) for k in ("extract1d", "apcorr", "psf") if k in parameters})
        with pytest.raises(ReferenceError_, match=pattern):
            Extract1dStep.make(**parameters).prepare(draft_of(exposure(optics, "cube"), optics, "cube"), paths.get)

    attempt("no aperture for S1600A1", aperture={"id": "S200A1"})
    attempt("pairs of lower and upper", aperture={"src_coeff": [[1.0]]})
    attempt("bkg_fit is 'spline'", aperture={"bkg_coeff": [[1], [2]], "bkg_fit": "spline"})
    broken = folder / "broken.json"
    broken.write_text("{")
    attempt("cannot be read", extract1d=str(broken))
    attempt("not JSON", extract1d=str(folder / "slit_psf.fits"))
    attempt("apcorr reference .* not a readable", apcorr=str(broken))
    attempt("psf reference .* not a readable", psf=str(broken), extraction_type="optimal")


def test_apcorr_row_must_be_unique(folder):
    paths, draft = references(folder, "slit", {"extract_width": 5}), draft_of(exposure("slit", "cube"), "slit", "cube")
    draft.model.meta.instrument.filter = "F070LP"
    with pytest.raises(ReferenceError_, match="0 rows for filter = F070LP"):
        Extract1dStep.make().prepare(draft, paths.get)


def test_parameters_of_the_reference():
    expected = {
        "subtract_background": None, "apply_apcorr": True, "extraction_type": "box", "use_source_posn": None, "position_offset": 0,
        "model_nod_pair": True, "optimize_psf_location": True, "smoothing_length": None, "bkg_fit": None, "bkg_order": None,
        "log_increment": 50, "save_profile": False, "save_scene_model": False, "save_residual_image": False, "center_xy": None,
        "ifu_autocen": False, "bkg_sigma_clip": 3.0, "ifu_rfcorr": True, "ifu_set_srctype": None, "ifu_rscale": None,
        "ifu_covar_scale": 1.0, "soss_atoca": True, "soss_threshold": 1e-2, "soss_n_os": 2, "soss_wave_grid_in": None,
        "soss_wave_grid_out": None, "soss_estimate": None, "soss_rtol": 1e-4, "soss_max_grid_size": 20000, "soss_tikfac": None,
        "soss_width": 40.0, "soss_bad_pix": "masking", "soss_modelname": None, "soss_order_3": True,
    }  # fmt: skip
    values = Extract1dStep.make().values()
    assert {name: values[name] for name in expected} == expected
    assert Extract1dStep.make(extraction_type="None").extraction_type is None
    assert Extract1dStep.make(center_xy="3.5 4").center_xy == (3.5, 4.0)
    for name, value in (("bkg_order", -1), ("extraction_type", "horne"), ("ifu_rscale", 5), ("bkg_fit", "spline")):
        with pytest.raises(ParameterError, match=name):
            Extract1dStep.make(**{name: value})
