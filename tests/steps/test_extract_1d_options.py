"""Options of extract_1d that the reference implementation does not have, against a scene whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import erf

from jwst_dask.core.errors import ParameterError, ReferenceError_
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.data.models import blank
from jwst_dask.steps.stage2.extract_1d import Extract1dStep
from jwst_dask.steps.stage2.extract_1d.encircled import dense, factors_for
from jwst_dask.wcs.rectified import Line, RectifiedSlit

NY, NX, CENTRE, LEVEL = 41, 30, 19.3, 2.5
WAVE = 1.0 + 0.1 * np.arange(NX)
FWHM = 2.0 + 0.5 * WAVE  # pixels
SIGMA = FWHM / 2.3548200450309493
SIZES = np.array([3.0, 5.0, 7.0])


def light(size, sigma):
    """Fraction of a Gaussian within `size` pixels about its middle."""
    return erf(size / 2 / (np.sqrt(2) * sigma))


def wcs():
    knots = np.concatenate([[-0.5], np.arange(NX), [NX - 0.5]])
    return RectifiedSlit((NY, NX), knots, 1.0 + 0.1 * knots, Line((1e-5, -2e-5), (0.0, 1e-4)), 1, (30.0, -10.0), 0.1 * (np.arange(NY) - 20.0))


def draft_of(background=0.0, source_type="POINT", centre=CENTRE):
    """A point source of flux 1 MJy at every wavelength, integrated over pixels, on a sloping background."""
    from stdatamodels.jwst import datamodels

    edges = np.arange(NY + 1) - 0.5 - centre
    scene = np.diff(0.5 * (1 + erf(edges[:, None] / (np.sqrt(2) * SIGMA))), axis=0) + background * (1 + 0.02 * np.arange(NY)[:, None])
    planes = {"sci": scene, "err": np.full(scene.shape, 0.01), **{f"var_{n}": np.full(scene.shape, 1e-5) for n in ("poisson", "rnoise", "flat")}}
    block = Block({name: np.ascontiguousarray(plane, np.float32)[None] for name, plane in planes.items()}, 0)
    model = blank(datamodels.SlitModel)
    meta = model.meta
    meta.instrument.name, meta.instrument.detector, meta.instrument.filter, meta.instrument.grating = "NIRSPEC", "NRS1", "CLEAR", "PRISM"
    meta.exposure.type, meta.wcsinfo.dispersion_direction, meta.wcsinfo.spectral_order = "NRS_MSASPEC", 1, 0
    meta.photometry.pixelarea_steradians, meta.cal_step.photom = 2.5e-13, "COMPLETE"
    model.name, model.source_type, model.source_id, model.source_xpos, model.source_ypos = "3", source_type, 7, 0.0, 0.1 * (centre - 20.0)
    model.instance["wavelength"] = np.repeat(WAVE[None], NY, axis=0)
    model.instance["data"] = block.arrays["sci"][0]
    draft = Draft(model=model, path="case_s2d.fits", nints=1, wcs=wcs())
    draft.first = lambda: block
    return draft, block


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    from stdatamodels.jwst import datamodels

    folder = tmp_path_factory.mktemp("references")
    found = {name: str(folder / f"{name}.fits") for name in ("apcorr", "psf")} | {"extract1d": str(folder / "extract1d.json")}
    entry = {"id": "ANY", "extract_width": 5, "use_source_posn": True}
    (folder / "extract1d.json").write_text(json.dumps({"apertures": [entry]}))
    factor = 1 / light(SIZES[:, None], SIGMA)
    kinds = [("filter", "S12"), ("grating", "S15"), ("wavelength", "f4", (NX,)), ("nelem_wl", "i2"), ("size", "f4", (3, NX)), ("nelem_size", "i2"),
             ("pixphase", "f4", (2,)), ("apcorr", "f4", (3, NX, 2)), ("apcorr_err", "f4", (3, NX, 2))]  # fmt: skip
    factors, sizes = np.repeat(factor[..., None], 2, axis=2), np.repeat(SIZES[:, None], NX, axis=1)
    apcorr = datamodels.NrsMosApcorrModel()
    wave = WAVE.copy()
    wave[[0, -1]] += [-0.01, 0.01]
    apcorr.apcorr_table = np.array([("CLEAR", "PRISM", wave, NX, sizes, 3, [0.0, 1.0], factors, 0 * factors)], dtype=kinds)
    apcorr.sizeunit = "pixels"
    apcorr.save(found["apcorr"])
    psf, across = datamodels.SpecPsfModel(), (np.arange(401) - 200) / 10.0
    data = np.exp(-(across[:, None] ** 2) / (2 * (SIGMA**2 + 1 / 12)))  # as pixels see it
    psf.apertures.append({"name": "ANY", "subpix": 10.0, "center_row": 200.0, "center_col": 200.0, "data": data, "wave": WAVE.copy()})
    psf.meta.instrument.name = "NIRSPEC"
    psf.save(found["psf"])
    return found


def extract(paths, background=0.0, source_type="POINT", centre=CENTRE, **parameters):
    references = {**paths, **{k: parameters.pop(k) for k in ("apcorr", "psf", "extract1d") if k in parameters}}
    draft, block = draft_of(background, source_type, centre)
    step = Extract1dStep.make(**parameters)
    state = step.prepare(draft, references.__getitem__)
    return draft, step.run(block, {name: np.asarray(value) for name, value in state.items()}).tables["EXTRACT1D"]


FLUX = 1e6
"""Of the source, in Jy."""


@pytest.mark.parametrize(("width", "centre"), [(1.0, 19.0), (4.0, 19.5), (6.0, 19.5), (9.0, 19.0), (13.0, 19.0)])
def test_any_size_gives_the_flux_of_the_source(width, centre, paths):
    """Edges between pixels, as the table counts them."""
    plain, better = (extract(paths, centre=centre, extract_width=width, apcorr_any_size=flag)[1]["FLUX"] / FLUX for flag in (False, True))
    np.testing.assert_allclose(better, 1, atol=0.12 if width < 3 else 0.01)  # below the table only an empty aperture is known
    assert np.abs(better - 1).max() <= np.abs(plain - 1).max() + 1e-6
    if width < 3 or width > 7:
        assert np.abs(better - 1).max() < 0.6 * np.abs(plain - 1).max()


def test_sizes_of_the_table_stay(paths):
    for width in SIZES:
        one, two = (extract(paths, extract_width=width, apcorr_any_size=flag)[1] for flag in (False, True))
        np.testing.assert_allclose(one["FLUX"], two["FLUX"], rtol=1e-9)
    assert np.array_equal(extract(paths, extract_width=5.0)[1], extract(paths)[1])


@pytest.mark.parametrize("parameters", [{}, {"extract_width": 2.0}, {"position_offset": 1.4}, {"extract_width": 8.0, "position_offset": -2.0}])
def test_aperture_correction_from_the_psf(parameters, paths):
    """Wherever the source is in the aperture."""
    flux = extract(paths, apcorr="N/A", apcorr_any_size=True, **parameters)[1]["FLUX"] / FLUX
    np.testing.assert_allclose(flux, 1, atol=0.006)
    assert extract(paths, apcorr="N/A", **parameters)[1]["FLUX"].max() < 0.97 * FLUX or parameters.get("extract_width") == 8.0


def test_extended_sources_are_not_corrected(paths):
    one, two = (extract(paths, source_type="EXTENDED", apcorr_any_size=flag)[1] for flag in (False, True))
    assert np.array_equal(one, two)


def test_height_follows_the_psf(paths):
    draft, table = extract(paths, height_scale=2.0, apply_apcorr=False)
    np.testing.assert_allclose(table["NPIXELS"], 2 * 2.3548 * np.sqrt(SIGMA**2 + 1 / 12), rtol=2e-3)
    captured = table["FLUX"] / FLUX
    assert np.ptp(captured) < 0.03 and abs(captured.mean() - light(2 * 2.3548, 1.0)) < 0.02  # (edges are within pixels)
    assert draft.spectra.spec[0].extraction_ystart == pytest.approx(CENTRE + 1 - (table["NPIXELS"].mean() - 1) / 2, abs=1e-6)


def test_height_by_a_polynomial(paths):
    table = extract(paths, height_coeff="2, 1.5", apcorr_any_size=True)[1]
    np.testing.assert_allclose(table["NPIXELS"], 2 + 1.5 * WAVE, rtol=1e-6)
    np.testing.assert_allclose(table["FLUX"], FLUX, rtol=0.02)


def test_centre_by_hand(paths):
    by_position = extract(paths)[1]
    by_hand = extract(paths, extract_center=CENTRE)[1]
    for name in by_hand.dtype.names:
        np.testing.assert_allclose(by_hand[name], by_position[name], rtol=1e-9, atol=1e-12, err_msg=name)
    draft = extract(paths, extract_center=11.0, position_offset=0.5, extract_width=4)[0]
    assert (draft.spectra.spec[0].extraction_ystart, draft.spectra.spec[0].extraction_ystop) == pytest.approx((11.0, 14.0))


def test_background_regions_by_hand(paths, tmp_path):
    """The same as in a reference, for a source in the nominal place."""
    edges = (-12.0, -7.5, 8.0, 12.0)
    for parameters in ({"bkg_order": 1}, {"bkg_fit": "median"}, {"bkg_fit": "mean", "smoothing_length": 5}):
        by_hand = extract(paths, background=0.3, bkg_regions=",".join(map(str, edges)), **parameters)[1]
        nominal = (NY - 1) / 2
        entry = {"id": "ANY", "extract_width": 5, "use_source_posn": True, "bkg_coeff": [[nominal + edge] for edge in edges]}
        (tmp_path / "extract1d.json").write_text(json.dumps({"apertures": [entry]}))
        by_reference = extract(paths, background=0.3, extract1d=str(tmp_path / "extract1d.json"), **parameters)[1]
        for name in by_hand.dtype.names:
            np.testing.assert_allclose(by_hand[name], by_reference[name], rtol=1e-6, atol=1e-12, err_msg=name)
    flux = extract(paths, background=0.3, centre=19.0, bkg_regions="-12,-7.5,8,12", bkg_order=1)[1]["FLUX"]
    np.testing.assert_allclose(flux, FLUX, rtol=0.01)


def test_an_aperture_without_a_reference(paths):
    described = extract(paths, extract1d="N/A", extract_width=5.0)[1]
    np.testing.assert_allclose(described["FLUX"], extract(paths)[1]["FLUX"], rtol=1e-12)


@pytest.mark.parametrize(("error", "pattern", "parameters"), [
    (ParameterError, "pairs", {"bkg_regions": "1,2,3"}),
    (ParameterError, "pairs", {"bkg_regions": "3,1"}),
    (ParameterError, "one of them", {"height_scale": 2.0, "height_coeff": "3"}),
    (ParameterError, "not on the spectral image", {"extract_center": 60.0}),
    (ParameterError, "no height", {"height_coeff": "-3"}),
    (ParameterError, "extract_width too", {"extract1d": "N/A", "extract_center": 11.0}),
    (ReferenceError_, "needs a psf", {"height_scale": 2.0, "psf": "N/A"}),
])  # fmt: skip
def test_unusable_options(error, pattern, parameters, paths):
    with pytest.raises(error, match=pattern):
        extract(paths, **parameters)


def test_encircled_energy_between_and_beyond_sizes():
    sizes = np.repeat(np.array([2.0, 4.0, 6.0, 8.0])[:, None], 2, axis=1)
    sigma = np.array([1.2, 1.9])
    at = np.array([3.0, 5.1, 7.0, 10.0, 20.0])[:, None] * np.ones(2)
    found = factors_for(sizes, 1 / light(sizes, sigma), at)
    np.testing.assert_allclose(found, 1 / light(at, sigma), rtol=0.01)
    grid, table = dense(sizes, 1 / light(sizes, sigma))
    np.testing.assert_allclose(np.interp(5.1, grid[:, 0], table[:, 0]), found[1, 0], rtol=1e-3)
    assert (np.diff(table, axis=0) <= 1e-12).all()  # never less light in a larger aperture
    assert (factors_for(sizes, np.ones(sizes.shape), at)[1:] >= 1 - 1e-12).all()
    assert (factors_for(sizes, 0 * sizes, at) == 1).all()  # a table of zeros tells nothing
