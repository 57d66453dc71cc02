"""Associations: reading, members that leave their folder, segments that do not belong together."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from jwst_dask.core.errors import InputError
from jwst_dask.data import association
from jwst_dask.io.fits import scan

from .files import rateints, series


def made(folder: Path, *members: str, **more: Any) -> Path:
    for member in members:
        if "/" not in member:
            (folder / member).write_bytes(b"x")
    tree = {"asn_type": "tso3", "asn_rule": "Asn_Lv3TSO", "asn_id": "o001", "asn_pool": "pool.csv", "program": "01366",
            "products": [{"name": "jw1_tso", "members": [{"expname": m, "exptype": "science"} for m in members]}]} | more  # fmt: skip
    (folder / "asn.json").write_text(json.dumps(tree))
    return folder / "asn.json"


def test_load(tmp_path: Path) -> None:
    asn = association.load(made(tmp_path, "a_calints.fits", "b_calints.fits"))
    assert (asn.asn_type, asn.asn_id, asn.asn_pool, asn.asn_rule) == ("tso3", "o001", "pool.csv", "Asn_Lv3TSO")
    assert [m.path for m in asn.science] == [str(tmp_path / "a_calints.fits"), str(tmp_path / "b_calints.fits")]
    assert asn.products[0].name == "jw1_tso"


def test_members_stay_in_the_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out.fits"
    inside.mkdir()
    outside.write_bytes(b"x")
    (inside / "link.fits").symlink_to(outside)
    for member in ("../out.fits", str(outside), "./link.fits", "s3://bucket/a.fits"):
        with pytest.raises(InputError, match="outside the association's folder"):
            association.load(made(inside, member))
        if "s3" not in member:
            assert association.load(made(inside, member), allow_outside=True).science
    (inside / "own.fits").write_bytes(b"x")
    assert association.load(made(inside, str(inside / "own.fits"))).science


def test_absent_members_are_all_named(tmp_path: Path) -> None:
    path = made(tmp_path, "a.fits", "b.fits", "c.fits")
    for name in "ac":
        (tmp_path / f"{name}.fits").unlink()
    with pytest.raises(InputError, match=r"asn.json: member a.fits does not exist; member c.fits does not exist$"):
        association.load(path)


WRONG = ["not json", "[]", "{}", '{"products": []}', '{"products": [{}]}', '{"products": [{"members": [{"a": 1}]}]}', '{"products": [3]}']


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_association(tmp_path: Path, text: str) -> None:
    (tmp_path / "asn.json").write_text(text)
    with pytest.raises(InputError, match=r"asn\.json: "):
        association.load(tmp_path / "asn.json")


def test_from_list_and_back(tmp_path: Path) -> None:
    files = series(tmp_path)
    level3 = association.from_list(files, product_name="jw1_series", asn_id="o002")
    assert (level3.asn_rule, level3.asn_type, level3.program) == ("Asn_Lv3TSO", "tso3", "01366")
    association.write(level3, tmp_path / "three_asn.json")
    again = association.load(tmp_path / "three_asn.json")
    assert again.products == (association.Product("jw1_series", tuple(association.Member(f.name, "science", str(f)) for f in files)),)
    level2 = association.from_list(files)
    assert level2.asn_rule == "Asn_Lv2SpecTSO"
    assert [p.name for p in level2.products] == [f.name.removesuffix("_rateints.fits") for f in files]
    assert association.from_list(["absent_rateints.fits"]).asn_rule == "DMSLevel2bBase"
    assert association.from_list(files, rule="Asn_Lv2NRSFSS").asn_type == "spec2"
    assert association.singleton(files[0]).products[0].name == files[0].name.removesuffix("_rateints.fits")
    with pytest.raises(InputError, match="product-name"):
        association.from_list(files, rule="Asn_Lv3TSO")
    with pytest.raises(InputError, match="not an association rule"):
        association.from_list(files, rule="Asn_Nothing")


def test_segments_are_grouped_in_order(tmp_path: Path) -> None:
    files = [scan(path) for path in reversed(series(tmp_path))]
    other = tmp_path / "jw01366002001_04101_00001-seg001_nrs2_rateints.fits"
    rateints(other, detector="NRS2")
    groups = association.check_segments([*files, scan(other)])
    assert [(key[1], [s.number for s in group]) for key, group in groups.items()] == [("NRS1", [1, 2, 3]), ("NRS2", [1])]


def test_duplicate_overlapping_and_missing_segments(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = series(tmp_path)
    copy = tmp_path / "jw01366002001_04101_00001-seg002_nrs1_crfints.fits"
    copy.write_bytes(paths[1].read_bytes())
    with pytest.raises(InputError, match=r"segment 2 of exposure .* is there twice: .*seg002.* and .*seg002"):
        association.check_segments([scan(p) for p in [*paths, copy]])
    copy.unlink()
    rateints(copy, 7, segment=4)
    with pytest.raises(InputError, match="integrations 7 to 8 of exposure .* are in two files"):
        association.check_segments([scan(p) for p in [paths[0], paths[1], copy]])
    with caplog.at_level(logging.WARNING, "jwst_dask"):
        association.check_segments([scan(p) for p in (paths[0], paths[2])])
    assert "segment 2 missing" in caplog.text


def test_mixed_instruments_and_modes(tmp_path: Path) -> None:
    first, second = series(tmp_path, 2)
    rateints(second, 5, segment=2, instrument__name="MIRI", instrument__detector="MIRIMAGE")
    with pytest.raises(InputError, match=r"different instruments in one association: MIRI \(.*seg002.*\), NIRSPEC \(.*seg001"):
        association.check_segments([scan(first), scan(second)])
    rateints(second, 5, segment=2, exposure__type="NRS_FIXEDSLIT")
    with pytest.raises(InputError, match="different exposure types in one association: NRS_"):
        association.check_segments([scan(first), scan(second)])
