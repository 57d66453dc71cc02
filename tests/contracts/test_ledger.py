"""A resumed run makes exactly what is missing or out of date."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import contents, inputs, leftovers

import jwst_dask
from jwst_dask.core.ledger import Identity, Ledger, product_key


@pytest.fixture(scope="session")
def finished(series: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs (links) and the products of a whole run."""
    from jwst_dask import simulate

    base = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in simulate.environment(series).items():
            patch.setenv(name, value)
        shutil.copy(next(series.glob("crds/**/jwst_nirspec_photom_*.fits")), base / "photom.fits")
        shutil.copy(next(series.glob("crds/**/jwst_nirspec_extract1d_*.json")), base / "extract1d.json")
        for path in inputs(series):
            shutil.copy2(path, base)
        patch.chdir(base)  # references by relative path, so that a copy of the folder is the same run
        again(base)
    return base


@pytest.fixture
def base(finished: Path, bots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `finished` to change."""
    shutil.copytree(finished, tmp_path / "base", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path / "base")
    return tmp_path / "base"


def again(base: Path, **steps: Any) -> Any:
    params = {"override_photom": "photom.fits", "override_extract1d": "extract1d.json", "steps": steps}
    return jwst_dask.run(inputs(base), output_dir=base / "out", resume=True, params=params)


def made(result: Any) -> dict[str, int]:
    """Products made, by suffix."""
    out: dict[str, int] = {}
    for name in result.made:
        kind = "level3 x1dints" if "seg" not in name and "x1dints" in name else name.rsplit("_", 1)[1].split(".")[0]
        out[kind] = out.get(kind, 0) + 1
    return out


ALL = {"calints": 3, "x1dints": 3, "crfints": 3, "level3 x1dints": 1, "whtlt": 1}
SECOND = "jw09901001001_04101_00001-seg002_nrs1"


def test_nothing_is_done_twice(base: Path) -> None:
    before = contents(base / "out")
    result = again(base)
    assert result.made == [] and result.receipts == [] and len(result.products) == 11
    assert contents(base / "out") == before


def test_a_changed_input_makes_its_own_products_stale(base: Path) -> None:
    os.utime(base / f"{SECOND}_rateints.fits")
    result = again(base)
    assert made(result) == {"calints": 1, "x1dints": 1, "crfints": 1, "level3 x1dints": 1, "whtlt": 1}
    assert len(result.receipts) == 1 + 3  # level 3 needs the spectra of all segments; two of them start from their crfints
    assert sum("outlier_detection" in receipt.step_seconds for receipt in result.receipts) == 1


@pytest.mark.parametrize(
    ("steps", "expected", "tasks"),
    [
        ({"white_light": {"min_wavelength": 1.0}}, {"whtlt": 1}, 3),
        ({"extract_1d": {"smoothing_length": 3}}, {"x1dints": 3, "level3 x1dints": 1, "whtlt": 1}, 6),
        ({"outlier_detection": {"snr": "50.0 4.0"}}, {"crfints": 3, "level3 x1dints": 1, "whtlt": 1}, 3),
        ({"photom": {"apply_time_correction": False}}, ALL, 6),
        ({"extract_1d": {"save_results": True}}, {}, 0),
    ],
)
def test_a_changed_parameter_makes_what_follows_stale(base: Path, steps: dict[str, Any], expected: dict[str, int], tasks: int) -> None:
    result = again(base, **steps)
    assert made(result) == expected and len(result.receipts) == tasks


def test_a_changed_reference_makes_what_follows_stale(base: Path) -> None:
    os.utime(base / "extract1d.json")
    result = again(base)
    assert made(result) == {"x1dints": 3, "level3 x1dints": 1, "whtlt": 1}
    assert all("flat_field" not in receipt.step_seconds for receipt in result.receipts)  # begun from the calints
    os.utime(base / "photom.fits")
    assert made(again(base)) == ALL


def test_products_deleted_or_replaced_are_made_again_with_the_same_bytes(base: Path) -> None:
    out, before = base / "out", contents(base / "out")
    (out / f"{SECOND}_x1dints.fits").unlink()
    shutil.copy(out / f"{SECOND}_crfints.fits", out / "other.fits")
    os.replace(out / "other.fits", out / f"{SECOND}_crfints.fits")
    result = again(base)
    assert made(result) == {"x1dints": 1, "crfints": 1}
    assert contents(out) == before and not leftovers(out)
    next(out.glob("*_whtlt.ecsv")).unlink()
    assert made(again(base)) == {"whtlt": 1} and contents(out) == before


def test_without_resume_everything_is_made_again(base: Path) -> None:
    result = jwst_dask.run(inputs(base)[0], "calwebb_spec2", output_dir=base / "out")
    assert made(result) == {"calints": 1, "x1dints": 1}


@pytest.mark.parametrize("tail", [b'{"product": "x', b"\xff\xfe\x00", b"17\n", b'{"product": "lonely"}\n', b"\n\n"])
def test_a_damaged_end_of_the_ledger_loses_that_line_only(tmp_path: Path, tail: bytes) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"x")
    book = Ledger(tmp_path)
    book.record(tmp_path / "a", "k")
    with open(book.path, "ab") as file:
        file.write(tail)
    book = Ledger(tmp_path)
    assert book.is_current(tmp_path / "a", "k") and not book.is_current("lonely", "k")
    book.record(tmp_path / "b", "k")
    assert Ledger(tmp_path).is_current(tmp_path / "b", "k") and Ledger(tmp_path).is_current(tmp_path / "a", "k")


def test_a_run_after_a_cut_line_redoes_one_product(base: Path) -> None:
    book = base / "out" / ".jwst_dask" / "ledger.jsonl"
    book.write_bytes(book.read_bytes()[:-30])
    assert made(again(base)) == {"whtlt": 1}
    assert again(base).made == []


def test_a_record_needs_the_same_file_and_key(tmp_path: Path) -> None:
    product = tmp_path / "a.fits"
    product.write_bytes(b"x")
    book = Ledger(tmp_path)
    book.record(product, "k")
    assert Ledger(tmp_path).is_current(product, "k") and not Ledger(tmp_path).is_current(product, "other")
    product.write_bytes(b"xy")
    assert not Ledger(tmp_path).is_current(product, "k")
    book.record_failure(product, "k", "why")
    row = Ledger(tmp_path).rows()[0]
    assert row["status"] == "FAILED" and row["reason"] == "why" and not Ledger(tmp_path).is_current(product, "k")


@settings(deadline=None)
@given(st.recursive(st.none() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_keys_depend_on_content_only(value: Any) -> None:
    inputs_ = [Identity("a", 1, 2)]
    one = product_key(inputs_, [{"parameters": value}], {"version": "1"})
    assert one == product_key(inputs_, [json.loads(json.dumps({"parameters": value}))], {"version": "1"})
    assert one != product_key(inputs_, [{"parameters": [value]}], {"version": "1"})
    assert one != product_key([Identity("a", 1, 3)], [{"parameters": value}], {"version": "1"})
