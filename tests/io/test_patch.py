"""Metadata that are patched into a product are those that writing its datamodel with them gives."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from jwst_dask.core.errors import InputError
from jwst_dask.io.fits import scan
from jwst_dask.io.layout import allocate, finish, plan_layout, write_rows
from jwst_dask.io.patch import patch

RATES = {"exposure.primary_cosmic_rays": 0.018544226579701156, "exposure.extended_emission_events": 0.0}


@pytest.fixture(autouse=True)
def undated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that are laid out at different times shall be equal."""
    from stdatamodels.jwst import datamodels

    monkeypatch.setattr(datamodels.JwstDataModel, "on_save", lambda self, path: None)


def product(kind: str = "CubeModel") -> Any:
    from stdatamodels.jwst import datamodels

    model = getattr(datamodels, kind)()
    model.instance["meta"] |= {"model_type": kind, "date": "2026-01-01T00:00:00.000"}
    if kind == "MultiSlitModel":
        for name in ("S1", "S2"):
            slit = datamodels.SlitModel()
            slit.data, slit.name = np.ones((2, 3), "f4"), name
            slit.instance["meta"]["date"] = model.meta.date
            model.slits.append(slit)
    else:
        model.data = np.zeros((1, 2, 3), "f4")
    model.meta.instrument.name, model.meta.instrument.detector, model.meta.exposure.type = "MIRI", "MIRIMAGE", "MIR_LRS-SLITLESS"
    model.meta.exposure.nints, model.meta.exposure.ngroups, model.meta.program.program_number = 4, 9, "01091"
    model.meta.exposure.duration, model.meta.visit.tsovisit, model.meta.target.proposer_name = 1e-5, True, "HD 1: a 'star'"
    return model


def put(model: Any, values: dict[str, Any]) -> None:
    for path, value in values.items():
        node = model.instance["meta"]
        *parents, last = path.split(".")
        for name in parents:
            node = node.setdefault(name, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value


def written(path: Path, model: Any, checksum: bool = False) -> bytes:
    """A finished product."""
    rows = {"SCI": 4} if type(model).__name__ == "CubeModel" else {}
    layout = plan_layout(model, rows)
    part = path.with_suffix(".part")
    allocate(part, layout)
    if rows:
        write_rows(part, layout.regions["SCI", 1], 0, np.arange(24, dtype="f4").reshape(4, 2, 3))
    finish(part, path, checksum=checksum)
    return path.read_bytes()


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "new": ({}, RATES),
    "other": (RATES, {"exposure.primary_cosmic_rays": 7.25e-9}),
    "removed": (RATES, dict.fromkeys(RATES)),
    "one of two": (RATES, {"exposure.primary_cosmic_rays": None, "exposure.extended_emission_events": 4.5}),
    "not there": ({}, dict.fromkeys(RATES)),
    "text": ({"target.catalog_name": "a"}, {"target.catalog_name": "b: 'c' # d", "target.proposer_name": "x, [y] " * 7}),
    "of a section": ({"rscd.ngroups_skip_int1": 3}, {"rscd.ngroups_skip_int2p": 3}),
    "first of a section": ({}, {"rscd.ngroups_skip_int1": 3}),
    "between sections": ({}, {"photometry.pixelarea_steradians": 1e-12}),
    "last of a section removed": ({"rscd.ngroups_skip_int1": 3}, {"rscd.ngroups_skip_int1": None}),
    "without keyword": ({}, {"exposure.mine": "own", "mine.deeper.yet": 3}),
    "truth": ({}, {"visit.tsovisit": False, "meta.exposure.nints": np.int64(7)}),
    "in an extension": ({}, {"bunit_data": "DN/s", "wcsinfo.crpix1": 3.5}),
}


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["CubeModel", "MultiSlitModel"])
def test_equals_writing_anew(tmp_path: Path, kind: str, change: str) -> None:
    if kind == "MultiSlitModel" and change == "in an extension":
        pytest.skip("these stand in every slit's own header")
    before, values = CHANGES[change]
    model, other = product(kind), product(kind)
    put(model, before)
    put(other, before)
    put(other, {path.removeprefix("meta."): value for path, value in values.items()})
    written(tmp_path / "a.fits", model)
    expected = written(tmp_path / "b.fits", other)
    patch(tmp_path / "a.fits", values)
    assert (tmp_path / "a.fits").read_bytes() == expected


def test_pixels_stay_and_the_tree_describes_the_headers(tmp_path: Path) -> None:
    from stdatamodels import fits_support
    from stdatamodels.jwst import datamodels

    path = tmp_path / "a.fits"
    written(path, product(), checksum=True)
    size = os.path.getsize(path)
    patch(path, RATES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as file:
            assert file["SCI"].data.ravel().tolist() == list(range(24))
            assert fits_support.from_fits_asdf(file)["_fits_hash"] == fits_support.fits_hash(file)
            assert file[0].header["PRIMECRS"] == RATES["exposure.primary_cosmic_rays"]
        with datamodels.open(str(path), strict_validation=True) as model:
            model.validate()
            assert model.meta.exposure.primary_cosmic_rays == RATES["exposure.primary_cosmic_rays"]
    assert os.path.getsize(path) % 2880 == 0 and abs(os.path.getsize(path) - size) <= 2880
    patch(path, dict.fromkeys(RATES))
    assert "PRIMECRS" not in fits.getheader(path)


def test_before_rows_are_written(tmp_path: Path) -> None:
    layout = plan_layout(product(), {"SCI": 4})
    allocate(tmp_path / "part", layout)
    patch(tmp_path / "part", RATES, scan(tmp_path / "part"))
    write_rows(tmp_path / "part", layout.regions["SCI", 1], 0, np.ones((4, 2, 3), "f4"))
    finish(tmp_path / "part", tmp_path / "a.fits")
    assert fits.getdata(tmp_path / "a.fits", "SCI").sum() == 24


def test_headers_that_were_edited_still_count(tmp_path: Path) -> None:
    from stdatamodels.jwst import datamodels

    path = tmp_path / "a.fits"
    written(path, product())
    fits.setval(path, "TARGNAME", value="edited")
    patch(path, RATES)
    with datamodels.open(str(path)) as model:
        assert model.meta.target.catalog_name == "edited"
        assert model.meta.exposure.primary_cosmic_rays == RATES["exposure.primary_cosmic_rays"]


def test_no_room(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    written(path, product())
    words = ("title", "pi_name", "category", "sub_category", "science_category", "continuation_id", "cycle")
    more = {f"program.{word}": 1 if word in ("continuation_id", "cycle") else "x" for word in words}
    more |= {f"guidestar.{word}": 1.0 for word in ("gs_ra", "gs_dec", "gs_ura", "gs_udec", "gs_mag", "gs_umag", "gs_pcs_mode")}
    more |= {f"dither.{word}": 1 for word in ("position_number", "total_points", "nod_type", "subpixel_number", "x_offset", "y_offset")}
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"a\.fits: .*no room"):
        patch(path, more)
    assert path.read_bytes() == before


@pytest.mark.parametrize("bad", ["anchored", "gone"])
def test_what_cannot_be_patched_is_told(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "a.fits"
    model = product()
    shared = [1.0, 2.0]
    model.instance["meta"]["exposure"]["mine"], model.instance["meta"]["wcsinfo"] = {"a": shared, "b": shared}, {}
    written(path, model)
    if bad == "gone":
        path.unlink()
    with pytest.raises(InputError, match=r"a\.fits"):
        patch(path, RATES)
