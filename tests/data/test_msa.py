"""The MSA metafile: what is read is written, rules, edits; slits of contradictory files."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

sys.path.insert(0, str(Path(__file__).parents[1] / "steps"))
import cutout_cases as cases

from jwst_dask.core.errors import InputError
from jwst_dask.data.msa import MSAMetafile, shutter_state
from jwst_dask.wcs.nirspec.msa_slits import msa_slits

X, Y = "estimated_source_in_shutter_x", "estimated_source_in_shutter_y"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return cases.metafile(tmp_path / "jw00007001001_01_msa.fits")


@pytest.fixture
def msa(path: Path) -> MSAMetafile:
    return MSAMetafile.read(path)


def long_slit(folder: Path, single: bool) -> MSAMetafile:
    """Eleven shutters on an extended target: one slitlet, or each shutter a slitlet as the caveats document wants it."""
    rows, sources = [], []
    for k, column in enumerate(range(50, 61)):
        lit = 53 <= column <= 57
        if not single:
            rows.append((1, 1, 4, 88, column, 101, "N" if column == 55 else "Y", "OPEN", 0.5 if column == 55 else np.nan,
                         0.5 if column == 55 else np.nan, 1, "Y" if column == 55 else "N", "NONE"))  # fmt: skip
        else:
            rows.append((k + 1, 1, 4, 88, column, 101 + k if lit else 0, "N" if lit else "Y", "OPEN", 0.5 if lit else np.nan,
                         0.5 if lit else np.nan, 1, "Y" if lit else "N", "NONE"))  # fmt: skip
            if lit:
                sources.append((101 + k, f"777_{101 + k}", str(101 + k), 0.0))
    name = folder / f"{single}_msa.fits"
    return MSAMetafile.read(cases.metafile(name, rows, sources or [(101, "777_101", "101", 0.0)]))


def test_what_is_read_is_written(msa: MSAMetafile, path: Path, tmp_path: Path) -> None:
    msa.write(tmp_path / "copy.fits")
    assert fits.FITSDiff(path, tmp_path / "copy.fits").identical
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.fits", path.name]
    with pytest.raises(InputError, match="overwrite=True"):
        msa.write(path)
    msa.write(path, overwrite=True)
    assert fits.FITSDiff(path, tmp_path / "copy.fits").identical
    with pytest.raises(InputError, match="cannot be written"):
        msa.write(tmp_path / "nowhere" / "copy.fits")


def test_only_what_was_changed_differs(msa: MSAMetafile, path: Path, tmp_path: Path) -> None:
    name = "a name that is longer than the column was"
    changed = msa.set_source(1001, stellarity=0.25, x=0.125, name=name).set_source(1001, y=0.75, dither_point=2)
    changed.write(tmp_path / "new.fits")
    with fits.open(tmp_path / "new.fits") as new, fits.open(path) as old:
        assert [h.name for h in new] == [h.name for h in old]
        assert new[0].header == old[0].header
        np.testing.assert_array_equal(new["SHUTTER_IMAGE"].data, old["SHUTTER_IMAGE"].data)
        assert new["SHUTTER_INFO"].header == old["SHUTTER_INFO"].header
        assert [(c.name, c.unit) for c in new["SOURCE_INFO"].columns] == [(c.name, c.unit) for c in old["SOURCE_INFO"].columns]
        ours, theirs = new["SHUTTER_INFO"].data, old["SHUTTER_INFO"].data
        own = (theirs["SOURCE_ID"] == 1001) & (theirs["PRIMARY_SOURCE"] == "Y")
        for column in theirs.names:
            same = np.array_equal(ours[column], theirs[column], equal_nan=theirs[column].dtype.kind == "f")
            assert same == (column not in (X.upper(), Y.upper()))
        np.testing.assert_array_equal(ours[X][own], np.float32(0.125))
        np.testing.assert_array_equal(ours[Y][own & (theirs["DITHER_POINT_INDEX"] == 2)], np.float32(0.75))
        np.testing.assert_array_equal(ours[Y][own & (theirs["DITHER_POINT_INDEX"] == 1)], np.float32(0.84))
        assert set(new["SOURCE_INFO"].data["source_name"][[0, 5]]) == {name}
    assert changed.source(1001)["stellarity"] == 0.25 and msa.source(1001)["stellarity"] == 0.9  # type: ignore[index]
    with pytest.raises(InputError, match="no source 5"):
        msa.set_source(5, x=0.1)
    with pytest.raises(ValueError, match="read-only"):
        msa.shutters["source_id"][0] = 5


def test_source_added_to_those_described(tmp_path: Path) -> None:
    msa = MSAMetafile.read(cases.metafile(tmp_path / "a.fits", sources=cases.SOURCES[1:]))
    msa = msa.drop(sources=[1003]).set_source(1001, stellarity=0.1, ra=3.0, dec=4.0)
    row = msa.source(1001)
    assert row is not None and [row[name] for name in ("program", "source_name", "alias", "ra", "dec")] == [777, "again", "a2", 3.0, 4.0]
    msa = MSAMetafile.read(cases.metafile(tmp_path / "b.fits", sources=cases.SOURCES[1:4]))
    row = msa.set_source(1001, ra=3.0).source(1001)
    assert row is not None and [row[name] for name in ("program", "source_name", "alias", "ra")] == [777, "777_1001", "1001", 3.0]


def test_a_split_long_slit_is_that_of_the_caveats_document(tmp_path: Path) -> None:
    ours, wanted = long_slit(tmp_path, False).split(1, target=range(53, 58)), long_slit(tmp_path, True)
    for name in wanted.shutters.dtype.names or ():
        np.testing.assert_array_equal(ours.shutters[name], wanted.shutters[name], err_msg=name)
    for name in ("program", "source_id", "source_name", "alias", "stellarity"):
        np.testing.assert_array_equal(ours.sources[name], wanted.sources[name], err_msg=name)
    assert not [issue for issue in ours.check() if issue.level == "error"]
    slits: list[list[Any]] = [msa_slits(m, "777", 1, 1, -0.55, 0.55, {}, []) for m in (ours, wanted)]
    assert [s._replace(source_ra=0, source_dec=0) for s in slits[0]] == [s._replace(source_ra=0, source_dec=0) for s in slits[1]]
    assert [s.source_name for s in slits[0]][2:5] == ["777_BKG3", "777_104", "777_105"]
    everything = long_slit(tmp_path, False).split(1)
    assert len(everything.sources) == 11 and not any(s.background for s in everything.slitlets())
    with pytest.raises(InputError, match=r"columns \[49\] are not open"):
        long_slit(tmp_path, False).split(1, target=[49, 50])


def test_a_split_keeps_numbers_of_others(msa: MSAMetafile) -> None:
    made = msa.split(6, target=[103])
    names = [s.name for s in made.slitlets(3, 1)]
    assert sorted(map(int, set(names) - {"S200A2"})) == [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    for point in (1, 2):
        lit = [s for s in made.slitlets(3, point) if s.columns == (103,)]
        assert [(s.name, s.source_id, s.background) for s in lit] == [("11", 1006, False)]
    assert made.source(1004) is not None  # slitlet 9 has it too


def test_extended_slitlets(msa: MSAMetafile) -> None:
    made = msa.extend([12, 6], shutters=2)
    at = {s.name: s for s in made.slitlets(3, 2)}
    assert sorted(at["12"].columns) == [58, 59, 60, 61, 62, 63, 64] and at["12"].state == "1111x11" and at["12"].source_id == 1001
    assert sorted(at["6"].columns) == [98, 99, 100, 101, 103, 104, 105, 106]
    assert at["7"].columns == (20, 21)
    assert all(len(s.columns) == 7 for s in made.slitlets() if s.name == "12")
    whole = msa.extend()
    assert {min(s.columns) for s in whole.slitlets() if s.name == "9"} == {2} and "S200A2" in {s.name for s in whole.slitlets()}
    assert max(max(s.columns) for s in whole.slitlets()) == 171  # not beyond the quadrant
    assert not [i for i in whole.check() if "listed" in i.text]


def test_slitlets_dropped_and_made_background(msa: MSAMetafile) -> None:
    made = msa.drop(slitlets=[7], sources=[1003]).as_background([12])
    names = {s.name: s for s in made.slitlets(3, 1)}
    assert set(names) == {"12", "4", "5", "6", "9", "14", "S200A2"}
    assert names["12"].background and names["12"].state == "1x1"
    assert made.source(1003) is None and made.source(1001) is None and made.source(1004) is not None
    more = made.add_background(2, 100, [5, 6, 7])
    added = [s for s in more.slitlets() if s.name == "15"]
    assert [(s.metadata_id, s.dither_point, s.columns, s.background) for s in added] == [
        (i, p, (5, 6, 7), True) for i in (3, 5) for p in (1, 2)
    ]  # fmt: skip
    for broken, message in ((lambda: msa.drop([99]), "no slitlet 99"), (lambda: msa.drop(sources=[7]), "no slitlet has source 7"),
                            (lambda: msa.add_background(5, 1, [1]), "quadrants are 1 to 4"),
                            (lambda: msa.add_background(1, 1, [1], slitlet_id=4), "slitlet 4 exists")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            broken()


def test_numbers_beyond_the_column_type(msa: MSAMetafile, tmp_path: Path) -> None:
    made = msa.add_background(1, 3, [4], slitlet_id=70000)
    made.write(tmp_path / "wide.fits")
    again = MSAMetafile.read(tmp_path / "wide.fits")
    np.testing.assert_array_equal(again.shutters["slitlet_id"], made.shutters["slitlet_id"])
    with fits.open(tmp_path / "wide.fits") as hdus:
        assert hdus["SHUTTER_INFO"].columns["SLITLET_ID"].format == "J"


def test_a_good_file_has_no_errors(tmp_path: Path) -> None:
    rows = [r for r in cases.shutters() if r[0] not in (5, 9)]
    msa = MSAMetafile.read(cases.metafile(tmp_path / "a.fits", rows, cases.SOURCES[:4]))
    assert [str(issue) for issue in msa.check()] == ["warning: slitlet 6 has gaps: columns 102 are closed"]
    assert "8 slitlets" not in repr(msa) and "7 slitlets" in repr(msa) and "[3]" in repr(msa)
    table = msa.table
    assert list(table["slitlet"][:2]) == ["12", "4"] and table["state"][0] == "1x1" and table["stellarity"][0] == 0.9
    assert "slitlet" in msa._repr_html_()
    assert (msa.metadata_ids, msa.dither_points()) == ([3], [1, 2])


def put(row: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*row[:place], value, *row[place + 1 :])


BROKEN: dict[str, tuple[Any, str]] = {
    "primaries": (lambda rows: [put(r, 11, "Y") if r[0] == 12 else r for r in rows], r"slitlet 12 at dither point 1 has 3 shutters with primary"),
    "all background": (lambda rows: [put(r, 6, "Y") for r in rows], "all its shutters are background"),
    "flags": (lambda rows: [put(r, 6, "y") for r in rows], "background must be Y or N, not 'y'"),
    "row": (lambda rows: [put(r, 3, 366) if r[0] == 4 else r for r in rows], "slitlet 4: shutter_row 366 is outside 1 to 365"),
    "column": (lambda rows: [put(r, 4, 172) if r[0] == 5 else r for r in rows], "shutter_column 172 is outside 1 to 171"),
    "quadrant": (lambda rows: [put(r, 2, 6) if r[0] == 5 else r for r in rows], "shutter_quadrant 6 is outside 1 to 4"),
    "twice": (lambda rows: [*rows, *[r for r in rows if r[0] == 5]], r"shutter \(1, 180, 90\).* is listed 2 times at dither point 1, in slitlet 5"),
    "two rows": (lambda rows: [put(r, 3, 9) if r[:1] == (12,) and r[4] == 60 else r for r in rows], "slitlet 12 has shutters in rows 9, 200"),
    "missing": (lambda rows: [put(r, 5, 55) if r[0] == 12 else r for r in rows], "source 55 is in SHUTTER_INFO and not in SOURCE_INFO"),
    "unused": (lambda rows: [r for r in rows if r[0] != 12], "source 1001 is in SOURCE_INFO and in no slitlet"),
    "place": (lambda rows: [put(r, 8, 1.5) if r[11] == "Y" else r for r in rows], "source 1001 is 1.500, outside 0 to 1"),
    "unset": (lambda rows: [put(r, 8, np.nan) for r in rows], "source 1001 is not set"),
    "fixed": (lambda rows: [*rows, *[r for r in rows if r[12] != "NONE"]], "fixed slit S200A2 has 2 rows"),
    "fixed background": (lambda rows: [put(r, 11, "N") if r[12] != "NONE" else r for r in rows], "S200A2 has no primary source .* not extracted"),
    "closed": (lambda rows: [put(r, 7, "CLOSED") for r in rows], "every shutter that is listed is taken as open"),
    "dithers": (lambda rows: [r for r in rows if (r[0], r[4], r[10]) != (12, 60, 2)], "slitlet 12 of configuration 3 has other shutters"),
    "configuration": (lambda rows: [put(r, 1, 0) for r in rows], "msa_metadata_id must be 1 or more"),
    "no number": (lambda rows: [put(r, 5, 0) if r[0] == 12 else r for r in rows], "primary source with source_id 0"),
    "empty": (lambda rows: rows[:0], "SHUTTER_INFO has no rows"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_rules(name: str, tmp_path: Path) -> None:
    change, message = BROKEN[name]
    msa = MSAMetafile.read(cases.metafile(tmp_path / "a.fits", change(cases.shutters())))
    found = [str(issue) for issue in msa.check()]
    assert [text for text in found if re.search(message, text)], found


def test_rules_for_sources(tmp_path: Path) -> None:
    odd = [(1001, "a", "a", 0.5), (1001, "b", "b", 0.5), (1003, "c", "c", np.nan)]
    found = [str(i) for i in MSAMetafile.read(cases.metafile(tmp_path / "a.fits", sources=odd, old=True)).check()]
    assert any("source 1001 is in SOURCE_INFO 2 times" in text for text in found)
    assert any("source 1003: stellarity nan" in text for text in found)
    assert any("no column fixed_slit" in text for text in found)
    assert any("source 1004 is the primary source of slitlets 6, 9" in text for text in found)


def test_unreadable_files(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.fits does not exist"):
        MSAMetafile.read(tmp_path / "nothing.fits")
    (tmp_path / "text.fits").write_text("not a FITS file")
    with pytest.raises(InputError, match=r"text\.fits cannot be read"):
        MSAMetafile.read(tmp_path / "text.fits")
    with fits.open(path) as hdus:
        del hdus["SOURCE_INFO"]
        hdus.writeto(tmp_path / "less.fits")
    with pytest.raises(InputError, match="no table SOURCE_INFO"):
        MSAMetafile.read(tmp_path / "less.fits")
    with fits.open(path) as hdus:
        hdus["SHUTTER_INFO"] = fits.BinTableHDU.from_columns([c for c in hdus["SHUTTER_INFO"].columns if c.name != "BACKGROUND"], name="SHUTTER_INFO")
        hdus.writeto(tmp_path / "column.fits")
    with pytest.raises(InputError, match="SHUTTER_INFO lacks the column background"):
        MSAMetafile.read(tmp_path / "column.fits")
    data = path.read_bytes()
    (tmp_path / "cut.fits").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.fits"), pytest.warns():
        MSAMetafile.read(tmp_path / "cut.fits")


@pytest.mark.parametrize(
    ("name", "message"),
    [("primaries", "3 shutters with a primary source"), ("all background", "set BACKGROUND to N"), ("fixed", "S200A2 has 2 rows"),
     ("row", "shutter row 366")],
)  # fmt: skip
def test_contradictions_stop_an_exposure(name: str, message: str, tmp_path: Path) -> None:
    msa = MSAMetafile.read(cases.metafile(tmp_path / "a.fits", BROKEN[name][0](cases.shutters())))
    with pytest.raises(InputError, match=message):
        msa_slits(msa, "777", 3, 1, -0.55, 0.55, {}, [])


def test_what_is_odd_is_noted(tmp_path: Path) -> None:
    rows = BROKEN["fixed background"][0](BROKEN["quadrant"][0](BROKEN["missing"][0](cases.shutters())))
    notes: list[str] = []
    slits = msa_slits(MSAMetafile.read(cases.metafile(tmp_path / "a.fits", rows)), "777", 3, 1, -0.55, 0.55, {}, notes)
    assert [s.name for s in slits] == [12, 4, 6, 7, 8, 14, 9]
    assert (slits[0].source_id, slits[0].source_name, slits[0].stellarity) == (55, "777_VRT12", 0.0)
    for part, note in zip(("source 55 of slitlet 12", "quadrant 6", "fixed slit S200A2 has no primary"), notes, strict=True):
        assert part in note and "a.fits" in note


def test_shutter_state() -> None:
    assert shutter_state([4, 6, 3], 4) == "1x01"
    assert shutter_state([9], 9) == "x"
    assert shutter_state([5, 8], 6) == "1x01"
