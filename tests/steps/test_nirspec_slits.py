"""Fast geometry of NIRSpec slits against values of the reference implementation (tests/parity/make_nirspec_slits.py) and against gwcs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geometry_cases
import nirspec_slit_cases as cases
import numpy as np
import pytest

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.io import asdf_text
from jwst_dask.wcs.nirspec import text
from jwst_dask.wcs.nirspec.cutout import slit_cutout, source_offset
from jwst_dask.wcs.nirspec.program import Writer
from jwst_dask.wcs.nirspec.tracer import Optics, OpticsSlit, optics_of
from jwst_dask.wcs.nirspec.zeropoint import Shift, find_shift, slit_dispersion
from jwst_dask.wcs.slitwcs import GwcsSlit

PARITY = Path(__file__).parents[1] / "parity"
FACTS: dict[str, Any] = json.loads((PARITY / "nirspec_slits.json").read_text())
KINDS = [(name, quadrant) for name in ("prism", "grating", "lamp") for quadrant in range(1, 6)]


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "nirspec_slits.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return geometry_cases.write(tmp_path_factory.mktemp("optics"))


def optics(name: str, paths: dict[str, str]) -> Optics:
    values = cases.CASES[name]
    return optics_of(geometry_cases.exposure(values), geometry_cases.chosen(paths, values))


def cut(o: Optics, quadrant: int) -> OpticsSlit:
    """The cut-out of the first slit of a quadrant, not more than 60 columns wide."""
    spec = next(s for s in o.specs(cases.slits()) if s.slit.quadrant == quadrant)
    (x0, x1), (y0, y1) = spec.box
    return o.slit(spec.slit, ((int(x0) + 5, int(min(x1, x0 + 60))), (int(y0 + 0.5), int(y1 + 0.5))))


def bent(view: OpticsSlit) -> OpticsSlit:
    """With a correction of wavelengths that is not linear."""
    low, high = view.optics.waves
    points = np.linspace(low, high, 41).astype(np.float32)
    return view.with_wavecorr(Shift(points, points * (1 + 1e-4 * np.sin(np.linspace(0, 3, 41)))))


def pixels(view: OpticsSlit) -> tuple[np.ndarray, np.ndarray]:
    (x0, x1), (y0, y1) = view.box
    return np.meshgrid(np.arange(x0 + 0.5, x1, 3), np.arange(y0 + 0.5, y1))  # type: ignore[return-value]


def close(mine: Any, theirs: Any, rtol: float, atol: float) -> None:
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", cases.CASES)
def test_slits_and_boxes_are_those_of_the_reference(name: str, paths: dict[str, str], golden: dict[str, np.ndarray]) -> None:
    o = optics(name, paths)
    specs = o.specs(cases.far_away())
    assert [s.slit.slit_id for s in specs] == FACTS[name]["ids"]
    assert list(o.wcsinfo().values()) == FACTS[name]["info"]
    for spec in specs:
        np.testing.assert_allclose(spec.box, golden[f"{name}.{spec.slit.slit_id}.box"], rtol=0, atol=1e-9)
    assert o.boxes(cases.far_away())[4] is None


@pytest.mark.parametrize("name", cases.CASES)
def test_coordinates_are_those_of_the_reference(name: str, paths: dict[str, str], golden: dict[str, np.ndarray]) -> None:
    o = optics(name, paths)
    unit = 1e6 if o.on_sky else 1.0
    for slit in cases.slits():
        view, key = o.slit(slit), f"{name}.{slit.slit_id}"
        x, y = cases.grid(golden[f"{key}.box"])
        xs, ys, wave = view.to_slit(x, y)
        theirs = golden[f"{key}.slit"]
        close((xs, ys), theirs[:2], 0, 1e-11)
        np.testing.assert_allclose(wave, theirs[2] * unit, rtol=1e-11)
        np.testing.assert_array_equal(view.wavelengths(x, y), wave)
        if not o.on_sky:
            close(view.slit_to_msa(xs, ys), golden[f"{key}.world"][:2], 1e-12, 1e-15)
            continue
        close((*view.slit_to_sky(xs, ys, wave), wave), golden[f"{key}.world"], 1e-11, 0)
        around = view.sky_to_slit(*golden[f"{key}.world"])
        close(view.from_slit(*around, wave), golden[f"{key}.back"], 0, 1e-6)  # the sky in degrees resolves 1e-7 pixel
        close(view.v2v3_to_slit(370.0, -500.0, 2.0), golden[f"{key}.v2v3"], 1e-9, 1e-9)


@pytest.mark.parametrize(("name", "quadrant"), KINDS)
def test_programs_do_what_astropy_does(name: str, quadrant: int, paths: dict[str, str]) -> None:
    view = bent(cut(optics(name, paths), quadrant))
    slow, (x, y) = GwcsSlit(view.gwcs()), pixels(view)
    assert (view.box, view.on_sky, view.corrected) == (slow.box, slow.on_sky, True)
    close(view.to_slit(x, y, corrected=False), slow.to_slit(x, y, corrected=False), 1e-11, 1e-11)
    found = view.to_slit(x, y)
    assert np.isfinite(found[2]).any() and np.isnan(found[2]).any()
    np.testing.assert_array_equal(view.wavelengths(x, y), found[2])
    inside = [a[np.isfinite(found[2])] for a in found]
    close(view.slit_to_msa(*inside[:2]), slow.slit_to_msa(*inside[:2]), 1e-12, 1e-16)
    if view.on_sky:
        close(found, slow.to_slit(x, y), 1e-11, 1e-11)
        close(view.from_slit(*inside), slow.from_slit(*inside), 0, 1e-8)
        v23, sky = slow.slit_to_v2v3(*inside), slow.slit_to_sky(*inside)
        close(view.slit_to_v2v3(*inside), v23, 1e-12, 0)
        close(view.slit_to_sky(*inside), sky, 1e-11, 0)
        close(view.v2v3_to_slit(*v23, inside[2]), slow.v2v3_to_slit(*v23, inside[2]), 0, 1e-9)
        close(view.sky_to_slit(*sky, inside[2]), slow.sky_to_slit(*sky, inside[2]), 0, 1e-8)


@pytest.mark.parametrize("quadrant", [2, 5])
def test_there_and_back(quadrant: int, paths: dict[str, str]) -> None:
    """The made-up optics invert well only near their centre; where they do, so do the slits, of lamps too."""
    for name in ("grating", "lamp"):
        view = cut(optics(name, paths), quadrant)
        slow, (x, y) = GwcsSlit(view.gwcs()), pixels(view)
        xs, ys, wave = view.to_slit(x, y)
        close(view.from_slit(xs, ys, wave), slow.from_slit(xs, ys, wave), 0, 1e-8)
        np.testing.assert_allclose(view.from_slit(xs, ys, wave)[0][np.isfinite(wave)], x[np.isfinite(wave)], atol=5)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("name", "quadrant", "corrected"),
    [
        *(("prism", quadrant, corrected) for quadrant in range(1, 6) for corrected in (False, True)),
        ("grating", 5, True),
        ("lamp", 2, False),
        ("lamp", 5, False),
    ],
)
def test_text_gives_the_same_object(name: str, quadrant: int, corrected: bool, paths: dict[str, str]) -> None:
    o = optics(name, paths)
    first, second = (s for s in o.specs(cases.slits()) if s.slit.quadrant == quadrant)
    (x0, _), (y0, y1) = second.box
    view = o.slit(second.slit, ((int(x0), int(x0) + 50), (int(y0), int(y1))))
    one, view = (bent(v) if corrected else v for v in (o.slit(first.slit), view))
    assert text.fragment(one).text != view.fragment().text
    direct, read = view.gwcs(), asdf_text.load(text.fragment(view))
    assert read.available_frames == direct.available_frames
    assert [tuple(step.frame.unit) for step in read.pipeline] == [tuple(step.frame.unit) for step in direct.pipeline]
    assert read.bounding_box.bounding_box(order="F") == view.box
    x, y = pixels(view)
    end = direct.available_frames[-1]
    for frame in direct.available_frames[1:]:
        np.testing.assert_array_equal(read.get_transform("detector", frame)(x, y), direct.get_transform("detector", frame)(x, y))
    world = direct(x, y)
    np.testing.assert_array_equal(read(x, y), world)
    np.testing.assert_array_equal(read.get_transform(end, "detector")(*world), direct.get_transform(end, "detector")(*world))


def test_form_needs_all_its_places(paths: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    o = Optics(*[getattr(optics("grating", paths), name) for name in ("setting", "pointing", "refs")])
    monkeypatch.setattr(asdf_text, "fragment", lambda wcs: asdf_text.Fragment("nothing", (), ()))
    with pytest.raises(InputError, match="no place for.*width"):
        text.fragment(cut(o, 1))


@pytest.mark.parametrize("name", ["prism", "grating", "nrs2", "subarray", "lamp"])
def test_cutouts(name: str, paths: dict[str, str]) -> None:
    o, shape = optics(name, paths), (1050, 1700)
    regions = dict(zip(FACTS[name]["ids"], FACTS[name]["regions"]))
    seen = 0
    for spec in o.specs(cases.slits()):
        (x0, x1), (y0, y1) = ((int(np.floor(low + 0.5)), int(np.floor(high + 0.5))) for low, high in spec.box)
        if x0 >= shape[1] or y0 >= shape[0]:
            with pytest.raises(InputError, match="outside the subarray"):
                slit_cutout(o, spec.slit, spec.box, shape)
            continue
        seen += 1
        made = slit_cutout(o, spec.slit, spec.box, shape, (370.0, -500.0))
        assert made.window == ((x0, x1), (y0, y1))
        assert made.wavelength.shape == (min(y1, shape[0]) - y0, min(x1, shape[1]) - x0) and made.wavelength.dtype == np.float32
        y, x = np.indices(made.wavelength.shape)
        np.testing.assert_array_equal(made.wavelength, np.asarray(o.slit(spec.slit).wavelengths(x + x0, y + y0), np.float32))
        assert made.attributes["ystart"] == y0 + 1 and made.attributes["xsize"] == x1 - x0
        if o.on_sky:
            assert made.wcsinfo["s_region"] == regions[spec.slit.slit_id]
            assert made.wcsinfo["spectral_region"] == (2.0, 2.0)
        else:
            assert not made.wcsinfo
        if o.setting.exp_type == "NRS_FIXEDSLIT":
            np.testing.assert_allclose(made.attributes["source_xpos"], made.wcs.v2v3_to_slit(370.0, -500.0, 2.0)[0])
            assert slit_cutout(o, spec.slit, spec.box, shape).attributes["source_ypos"] == 0.0
        else:
            assert made.attributes["source_xpos"] == spec.slit.source_xpos
            assert made.attributes["slitlet_id"] == (spec.slit.shutter_id if spec.fixed else spec.slit.name)
    assert seen


def test_the_source_is_in_the_primary_slit(paths: dict[str, str]) -> None:
    model = geometry_cases.exposure(cases.CASES["subarray"] | {"instrument.fixed_slit": "S200A1"})
    by_name = {slit.name: slit for slit in cases.slits()}
    offset = source_offset(model, by_name["S200A1"])
    assert offset == pytest.approx((model.meta.wcsinfo.v2_ref, model.meta.wcsinfo.v3_ref))
    assert source_offset(model, by_name["S1600A1"]) is None
    model.meta.dither.x_offset = None
    assert source_offset(model, by_name["S200A1"]) is None


def test_zero_point_of_a_fast_slit(paths: dict[str, str]) -> None:
    """The step's correction, through the compiled and through the astropy transforms."""
    view = cut(optics("prism", paths), 5)
    y, x = np.indices([int(high + 0.5) for _, high in reversed(view.box)])
    plane = view.wavelengths(x, y).astype(np.float32)
    shifts = [find_shift(plane, slit_dispersion(wcs), paths["wavecorr"], 0.2, "S1600A1") for wcs in (view, GwcsSlit(view.gwcs()))]
    assert all(isinstance(shift, Shift) for shift in shifts)
    np.testing.assert_allclose(shifts[0].values, shifts[1].values, rtol=1e-12)  # type: ignore[union-attr]
    fast = view.with_wavecorr(shifts[0])  # type: ignore[arg-type]
    np.testing.assert_allclose(fast.wavelengths(x, y), shifts[0](view.wavelengths(x, y) / 1e6) * 1e6, rtol=1e-13)  # type: ignore[operator]
    found = fast.to_slit(x, y)
    np.testing.assert_allclose(fast.from_slit(*found), view.from_slit(*view.to_slit(x, y)), atol=1e-7)
    assert "wavecorr_frame" in fast.gwcs().available_frames and not view.corrected


def test_one_object_for_an_exposure(paths: dict[str, str]) -> None:
    assert optics("prism", paths) is optics("prism", paths)
    assert optics("prism", paths) is not optics("prism_still", paths)


def test_transforms_that_are_not_known(paths: dict[str, str]) -> None:
    from astropy.modeling.models import Gaussian1D, Tabular1D

    with pytest.raises(ReferenceError_, match="Gaussian1D"):
        Writer(1).model(Gaussian1D(), [0])
    with pytest.raises(ReferenceError_, match="not interpolated linearly"):
        Writer(1).model(Tabular1D(points=np.arange(3), lookup_table=np.arange(3.0), method="nearest", bounds_error=False), [0])
    values = cases.CASES["prism"] | {"instrument.gwa_tilt": None}
    with pytest.raises(InputError, match="GWA_TILT"):
        optics_of(geometry_cases.exposure(values), geometry_cases.chosen(paths, values))
    with pytest.raises(ReferenceError_, match="msa.*NRS_MSASPEC.*override_msa"):
        optics_of(geometry_cases.exposure(cases.MOS), {**geometry_cases.chosen(paths, cases.MOS), "msa": "N/A"})
