"""`jwst-dask compare`: every kind of difference is found, and only those."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwst_dask.core.errors import InputError
from jwst_dask.io import compare as module
from jwst_dask.io.compare import compare, main
from jwst_dask.io.tally import Tally
from jwst_dask.io.verdict import Row


def product(path: Path, change: Callable[[fits.HDUList], None] | None = None) -> Path:
    rng = np.random.default_rng(1)
    sci = rng.normal(1.0, 1.0, (6, 5, 7)).astype("f4")
    sci[2, 1, 1] = np.nan
    dq = rng.integers(0, 2**31, (6, 5, 7)).astype("u4")
    dq[0, 0, 0] = 1 << 31
    primary = fits.PrimaryHDU()
    primary.header.update({"TARGNAME": "STAR", "DATE": "2026-01-01", "EFFINTTM": 1.25, "R_FLAT": "crds://flat.fits", "CAL_VER": "3.0.0", "TSOVISIT": True})
    rows = np.zeros(6, [("INT_NUM", "i4"), ("FLUX", "f8", (4,)), ("DQ", "u4", (4,)), ("NAME", "S8"), ("TDB-MID", "f8")])
    rows["FLUX"], rows["NAME"], rows["INT_NUM"], rows["TDB-MID"] = rng.normal(5, 1, (6, 4)), b"abc", np.arange(6), 60000.5 + np.arange(6)
    table = fits.BinTableHDU(rows, name="EXTRACT1D")
    table.columns["FLUX"].unit = "Jy"
    hdus = fits.HDUList([primary, fits.ImageHDU(sci, name="SCI"), fits.ImageHDU(dq, name="DQ"), fits.ImageHDU(sci[0], name="WAVELENGTH"), table])
    if change:
        change(hdus)
    hdus.writeto(path)
    return path


def differing(rows: list[Row]) -> dict[str, dict]:
    return {row.part: row.figures for row in rows if not row.agrees}


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return product(tmp_path / "ref_calints.fits")


def test_a_product_agrees_with_itself(reference: Path, tmp_path: Path) -> None:
    assert differing(compare(product(tmp_path / "ours.fits"), reference)) == {}
    assert main([str(reference), str(reference)]) == 0


def _value(hdus: fits.HDUList) -> None:
    hdus["SCI"].data[4, 2, 3] += 0.01


def _nan(hdus: fits.HDUList) -> None:
    hdus["SCI"].data[1, 0, 0] = np.nan


def _infinite(hdus: fits.HDUList) -> None:
    hdus["SCI"].data[2, 1, 1] = np.inf


def _flag(hdus: fits.HDUList) -> None:
    hdus["DQ"].data[5, 4, 6] ^= 1 << 31


def _column(hdus: fits.HDUList) -> None:
    hdus["EXTRACT1D"].data["FLUX"][3, 2] *= 1.001


def _text(hdus: fits.HDUList) -> None:
    hdus["EXTRACT1D"].data["NAME"][3] = "abd"


def _time(hdus: fits.HDUList) -> None:
    hdus["EXTRACT1D"].data["TDB-MID"][1] += 1e-8


def _unit(hdus: fits.HDUList) -> None:
    hdus["EXTRACT1D"].columns["FLUX"].unit = "mJy"


def _absent(hdus: fits.HDUList) -> None:
    del hdus["WAVELENGTH"]


def _extra(hdus: fits.HDUList) -> None:
    hdus.append(fits.ImageHDU(np.zeros((2, 2)), name="AREA"))


def _shape(hdus: fits.HDUList) -> None:
    hdus["SCI"].data = hdus["SCI"].data[:5]


def _keyword(hdus: fits.HDUList) -> None:
    hdus[0].header["EFFINTTM"] = 1.26


@pytest.mark.parametrize(
    ("change", "part", "figures"),
    [
        (_value, "SCI,1", {"beyond": 1, "nan_pattern": 0, "of": 210}),
        (_nan, "SCI,1", {"beyond": 0, "nan_pattern": 1}),
        (_infinite, "SCI,1", {"nan_pattern": 1}),
        (_flag, "DQ,1", {"different": 1, "of": 210}),
        (_column, "EXTRACT1D,1[FLUX]", {"beyond": 1, "of": 24}),
        (_text, "EXTRACT1D,1[NAME]", {"different": 1}),
        (_time, "EXTRACT1D,1[TDB-MID]", {"beyond": 1}),
        (_unit, "EXTRACT1D,1[FLUX]", {"unit": ["mJy", "Jy"]}),
        (_absent, "WAVELENGTH,1", {"absent": True}),
        (_extra, "extensions", {"extra": ["AREA,1"]}),
        (_shape, "SCI,1", {"shape": [[5, 5, 7], [6, 5, 7]]}),
        (_keyword, "PRIMARY,1 header", {"different": {"EFFINTTM": ["1.26", "1.25"]}}),
    ],
)
def test_one_difference_is_found_and_nothing_else(
    reference: Path, tmp_path: Path, change: Callable[[fits.HDUList], None], part: str, figures: dict
) -> None:
    ours = product(tmp_path / "ours.fits", change)
    found = differing(compare(ours, reference))
    assert list(found) == [part]
    assert {key: found[part][key] for key in figures} == figures
    assert main([str(ours), str(reference)]) == 1


def test_dates_versions_and_folders_of_references_do_not_count(reference: Path, tmp_path: Path) -> None:
    def change(hdus: fits.HDUList) -> None:
        hdus[0].header.update({"DATE": "2027-05-05", "CAL_VER": "0.1", "R_FLAT": "/somewhere/flat.fits", "OURS": 1})

    assert differing(compare(product(tmp_path / "ours.fits", change), reference)) == {}


def test_without_headers_only_numbers_decide(reference: Path, tmp_path: Path) -> None:
    assert main([str(product(tmp_path / "ours.fits", _keyword)), str(reference), "--no-headers"]) == 0


def test_what_is_within_the_tolerance_agrees(reference: Path, tmp_path: Path) -> None:
    def change(hdus: fits.HDUList) -> None:
        hdus["SCI"].data *= np.float32(1 + 4e-6)

    ours = product(tmp_path / "ours.fits", change)
    assert differing(compare(ours, reference)) == {}
    found = differing(compare(ours, reference, rtol=1e-6))
    assert found["SCI,1"]["max_rel"] == pytest.approx(4e-6, rel=0.5)


@pytest.mark.parametrize("slab", [100, 300, 1000])
def test_pieces_do_not_change_the_result(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slab: int) -> None:
    def change(hdus: fits.HDUList) -> None:
        for one in (_value, _flag, _column):
            one(hdus)

    ours = product(tmp_path / "ours.fits", change)
    whole = compare(ours, reference)
    monkeypatch.setattr(module, "SLAB", slab)
    pieces = compare(ours, reference)
    assert [(row.part, row.agrees) for row in pieces] == [(row.part, row.agrees) for row in whole]
    assert differing(pieces)["DQ,1"] == differing(whole)["DQ,1"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 20), max_size=4), st.integers(0, 2**32 - 1))
def test_tally_of_pieces_equals_the_formula(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = rng.normal(size=20)
    a = b * (1 + rng.choice([0, 1e-6, 1e-3], 20))
    a[rng.random(20) < 0.1] = np.nan
    b[rng.random(20) < 0.1] = np.nan
    tally = Tally(1e-5, 0.5)
    for x, y in zip(np.split(a, sorted(cuts)), np.split(b, sorted(cuts))):
        tally.add(x, y)
    both = np.isfinite(a) & np.isfinite(b)
    relative = np.abs(a - b)[both] / (np.abs(b[both]) + 0.5)
    assert tally.nans == np.sum(np.isfinite(a) != np.isfinite(b))
    assert tally.beyond == np.sum(relative > 1e-5)
    assert tally.worst == pytest.approx(relative.max(initial=0.0))


def catalogue(path: Path, flux: float = 1.0, unit: u.Unit = u.Jy, target: str = "STAR") -> Path:
    QTable({"MJD_UTC": [1.0, 2.0], "whitelight_flux": [flux, 2.0] * unit}, meta={"target_name": target}).write(path, format="ascii.ecsv")
    return path


@pytest.mark.parametrize(
    ("change", "part"), [({"flux": 1.1}, "whitelight_flux"), ({"unit": u.mJy}, "whitelight_flux"), ({"target": "B"}, "metadata")]
)
def test_catalogues(tmp_path: Path, change: dict, part: str) -> None:
    reference = catalogue(tmp_path / "a_whtlt.ecsv")
    assert differing(compare(catalogue(tmp_path / "same.ecsv"), reference)) == {}
    assert list(differing(compare(catalogue(tmp_path / "b.ecsv", **change), reference))) == [part]


def test_folders_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, reference = tmp_path / "ours", tmp_path / "reference"
    for folder in (ours, reference):
        folder.mkdir()
        catalogue(folder / "x_whtlt.ecsv")
    product(reference / "y_calints.fits")
    (reference / "note.txt").write_text("not a product")
    assert main([str(ours), str(reference), "--all", "--json", str(tmp_path / "rows.json")]) == 1
    out = capsys.readouterr().out
    assert "1 of 2 products agree" in out and "y_calints.fits" in out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["part"] for row in rows if not row["agrees"]] == ["file"]


def test_nothing_to_compare_is_an_error(tmp_path: Path, reference: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no products"):
        compare(tmp_path, tmp_path / "empty")
    with pytest.raises(InputError, match="no such file"):
        compare(reference, tmp_path / "nowhere.fits")


def test_tile_compressed_and_gzipped_products(reference: Path, tmp_path: Path) -> None:
    import gzip

    zipped = tmp_path / "ours.fits.gz"
    zipped.write_bytes(gzip.compress(reference.read_bytes()))
    assert differing(compare(zipped, reference)) == {}


def test_coordinates_are_evaluated_on_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from astropy import coordinates
    from astropy.modeling.models import Shift
    from gwcs import WCS, coordinate_frames

    from jwst_dask.io import skeleton

    def make(shift: float, middle: str = "world") -> WCS:
        pixel = coordinate_frames.Frame2D(name="detector")
        sky = coordinate_frames.CelestialFrame(name=middle, reference_frame=coordinates.ICRS())
        wcs = WCS([(pixel, Shift(5.0) & Shift(shift)), (sky, None)])
        wcs.bounding_box = ((0, 6), (0, 4))
        return wcs

    def add(hdus: fits.HDUList) -> None:
        hdus.append(fits.BinTableHDU(np.zeros(1, [("ASDF_METADATA", "u1", (4,))]), name="ASDF"))

    ours, reference = product(tmp_path / "ours.fits", add), product(tmp_path / "ref.fits", add)

    def rows(mine: WCS | None) -> list[Row]:
        monkeypatch.setattr(skeleton, "wcs_of", lambda file, index: None if index else mine if "ours" in file.path else make(7.0))
        return [row for row in compare(ours, reference, wcs=True) if row.kind == "wcs"]

    (same,) = rows(make(7.0))
    assert same.agrees and same.figures["of"] == 2 * 12 * 12
    (moved,) = rows(make(7.0 + 1e-7))
    assert not moved.agrees and moved.figures["max_rel"] == pytest.approx(1e-7 / 7.5, rel=0.1)
    (other,) = rows(make(7.0, "elsewhere"))
    assert not other.agrees and other.figures["same_frames"] is False
    (absent,) = rows(None)
    assert absent.figures == {"absent": True}
