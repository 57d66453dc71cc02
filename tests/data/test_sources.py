"""Tables of parameters by source: what a slit gets from them, round trips, and what their errors say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.data.slits import SlitSpec
from jwst_dask.data.sources import SourceTable
from jwst_dask.pipelines.stage2 import SPEC2
from jwst_dask.steps import STEPS, step_class


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(STEPS, "master_background_mos", "jwst_dask.steps.stage2.master_background_mos:MasterBackgroundMosStep")


def slit(source_id: int, name: str) -> SlitSpec:
    return SlitSpec(SimpleNamespace(name=name, source_id=source_id, quadrant=1), ((0, 1), (0, 1)))


YAML = """
default: {extract_1d.position_offset: 0.5}
10*: {extract_1d: {smoothing_length: 5, position_offset: 1}}
1007: {extract_1d: {position_offset: -2.25, bkg_fit: median}, background: master, comment: the bright one}
S200*: {srctype.source_type: EXTENDED}
"""

ECSV = """# %ECSV 1.0
# ---
# datatype:
# - {name: source_id, datatype: string}
# - {name: extract_1d.position_offset, datatype: float64}
# - {name: extract_1d.smoothing_length, datatype: int64}
# - {name: background, datatype: string}
# schema: astropy-2.0
source_id extract_1d.position_offset extract_1d.smoothing_length background
"" 0.5 "" ""
10* 1 5 ""
1007 -2.25 "" master
"""


def test_most_specific_row_counts(tmp_path: Path) -> None:
    (tmp_path / "a.ecsv").write_text(ECSV)
    table = SourceTable.read(tmp_path / "a.ecsv")
    assert table.for_slit(slit(2, "2")) == {"extract_1d": {"position_offset": 0.5}}
    assert table.for_slit(slit(1014, "3")) == {"extract_1d": {"position_offset": 1.0, "smoothing_length": 5}}
    assert table.for_slit(slit(1007, "1")) == {
        "extract_1d": {"position_offset": -2.25, "smoothing_length": 5}, "master_background_mos": {"background": "master"},
        "background": "master",
    }  # fmt: skip


def test_yaml_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML.replace("srctype.source_type: EXTENDED", "extract_1d.bkg_fit: mean"))
    (tmp_path / "a.ecsv").write_text(ECSV)
    yaml, ecsv = SourceTable.read(tmp_path / "a.yaml"), SourceTable.read(tmp_path / "a.ecsv")
    assert yaml.for_slit(slit(1014, "3")) == ecsv.for_slit(slit(1014, "3"))
    assert yaml.for_slit(slit(1007, "1"))["extract_1d"] == {"position_offset": -2.25, "smoothing_length": 5, "bkg_fit": "median"}
    assert yaml.for_slit(slit(9, "S200A1"))["extract_1d"] == {"position_offset": 0.5, "bkg_fit": "mean"}


@pytest.mark.parametrize("suffix", [".ecsv", ".csv", ".yaml", ".yml"])
def test_written_and_read_again(tmp_path: Path, suffix: str) -> None:
    table = SourceTable.of([
        {"comment": "all", "extract_1d.position_offset": 1},
        {"slit_name": "3", "extract_1d.smoothing_length": 3, "pixel_replace.skip": False},
        {"source_id": "10?4", "extract_1d.bkg_fit": "none", "background": "nod"},
        {"source_id": -7, "extract_1d": {"center_xy": (3.0, 4.5)}, "pixel_replace.skip": "true"},
    ])  # fmt: skip
    table.write(tmp_path / f"t{suffix}")
    again = SourceTable.read(tmp_path / f"t{suffix}")
    assert [(row.kind, row.key, row.values) for row in again.rows] == [(row.kind, row.key, row.values) for row in table.rows]
    assert again.digest == table.digest


def test_digest_follows_content() -> None:
    one = SourceTable.of({1007: {"extract_1d.position_offset": 1}}, name="a")
    assert one.digest == SourceTable.of([{"source_id": "1007", "extract_1d": {"position_offset": "1.0"}}], name="b").digest
    assert one.digest != SourceTable.of({1007: {"extract_1d.position_offset": 2}}).digest
    assert one.digest != SourceTable.of({1008: {"extract_1d.position_offset": 1}}).digest


def test_steps_of_a_slit() -> None:
    steps = {alias: step_class(alias).make(skip=False) for alias in ("extract_1d", "photom")}
    table = SourceTable.of({1007: {"extract_1d.position_offset": 3, "photom.override_area": "N/A"}})
    made = table.steps_for(slit(1007, "1"), steps)
    assert made["extract_1d"].position_offset == 3 and made["photom"].overrides == {"area": "N/A"} and steps["photom"].overrides == {}
    assert table.steps_for(slit(1, "2"), steps) == steps


@pytest.mark.parametrize("rows, words", [
    ([{"source_id": 1, "extract_1d.positon_offset": 1}], ["row 1", "source_id 1", "extract_1d.positon_offset", "position_offset"]),
    ([{"source_id": 1, "extract_1d.position_offset": "wide"}], ["column extract_1d.position_offset", "'wide'", "number"]),
    ([{"source_id": 1, "extract_1.position_offset": 1}], ["extract_1", "did you mean extract_1d"]),
    ([{"source_id": 1, "assign_wcs.slit_y_low": 1}], ["assign_wcs", "whole exposures"]),
    ([{"source_id": 1, "extract_1d.save_results": True}], ["save_results", "run"]),
    ([{"source_id": 1, "width": 1}], ["column width", "<step>.<parameter>"]),
    ([{"source_id": 1, "background": "sky"}], ["row 1", "background", "nod, master, none"]),
    ([{"source_id": "one"}], ["source_id", "'one'", "slit_name"]),
    ([{"source_id": 1, "slit_name": "2"}], ["both source_id 1 and slit_name 2"]),
    ([{"source_id": 1}, {"source_id": "1.0"}], ["row 2", "row 1", "one row"]),
    ([{}, {"source_id": "*"}], ["row 2", "default"]),
    ([7], ["row 1", "mapping"]),
    ({1: 5}, ["1", "mapping of parameters"]),
    (5, ["list of rows"]),
])  # fmt: skip
def test_errors_name_place_and_remedy(rows, words) -> None:
    with pytest.raises(ParameterError) as caught:
        SourceTable.of(rows, name="my.yaml")
    assert str(caught.value).startswith("my.yaml")
    for word in words:
        assert word in str(caught.value)


def test_unknown_sources_and_steps() -> None:
    slits = [slit(1007, "1"), slit(1014, "2")]
    SourceTable.of({1007: {"extract_1d.position_offset": 1}, "10*": {}, "default": {}}).check(slits, SPEC2)
    with pytest.raises(ParameterError, match=r"row 1: no slit .* source_id 1017; there are 2, such as 1014, 1007"):
        SourceTable.of({1017: {}}).check(slits, SPEC2)
    with pytest.raises(ParameterError, match="slit_name 7"):
        SourceTable.of([{"slit_name": 7}]).check(slits, SPEC2)


@pytest.mark.parametrize("name, content, words", [
    ("a.txt", "", ["a.txt", ".ecsv"]),
    ("a.ecsv", "no header\n1 2 3\n", ["a.ecsv", "cannot be read"]),
    ("a.yaml", "1007: [", ["a.yaml", "cannot be read"]),
    ("a.yaml", "!!python/object/apply:os.getcwd []", ["a.yaml", "cannot be read"]),
    ("a.yaml", "1: {}\n2: {}\n1: {}\n", ["line 3", "1 comes twice"]),
    ("a.csv", "source_id,extract_1d.position_offset\n1,2\n1,3\n", ["a.csv, row 2", "row 1"]),
])  # fmt: skip
def test_unreadable_files(tmp_path: Path, name: str, content: str, words: list[str]) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises((InputError, ParameterError)) as caught:
        SourceTable.read(tmp_path / name)
    for word in words:
        assert word in str(caught.value)


def test_missing_file_and_empty_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        SourceTable.read(tmp_path / "none.yaml")
    (tmp_path / "e.yaml").write_text("")
    assert SourceTable.of({7: {"background": "none"}}).for_slit(slit(7, "1"))["background"] == "none"
    assert len(SourceTable.read(tmp_path / "e.yaml")) == 0 and SourceTable.of({}).for_slit(slit(1, "1")) == {}
