"""Products, skeletons and metadata that are derived from those of a similar exposure equal what stdatamodels makes of each by itself."""

from __future__ import annotations

import copy
import re
import string
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwst_dask.core import memo
from jwst_dask.data.models import blank, copy_metadata
from jwst_dask.io import asdf_text, layout, serial, skeleton
from jwst_dask.io.fits import scan

TEXT = st.text(string.digits + string.ascii_letters + " :-_/#'\"{}[],&*!%@.+~", min_size=1, max_size=90).filter(lambda text: text == text.strip())
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.fixed_dictionaries({
    "meta.filename": st.one_of(TEXT, st.from_regex(r"jw0990100100[0-9]_04101_00001-seg0[0-9]{2}_nrs1_calints\.fits", fullmatch=True)),
    "meta.exposure.segment_number": st.integers(1, 999),
    "meta.exposure.integration_start": st.integers(1, 10**6),
    "meta.exposure.integration_end": st.integers(1, 10**6),
    "meta.exposure.start_time": NUMBER,
    "meta.exposure.duration": NUMBER,
    "meta.observation.date": st.one_of(st.dates().map(str), TEXT),
    "meta.observation.time": st.one_of(st.times().map(str), TEXT),
    "meta.observation.date_beg": st.datetimes().map(lambda when: when.isoformat()),
    "meta.wcsinfo.s_region": st.one_of(TEXT, st.just("POLYGON ICRS  " + " ".join(["217.326572872"] * 8))),
    "meta.wcsinfo.velosys": NUMBER,
    "meta.visit.tsovisit": st.booleans(),
    "meta.target.proposer_name": TEXT,
    "source_name": TEXT,
    "slit_ymin": NUMBER,
})  # fmt: skip


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    memo.clear()
    yield
    memo.clear()


def exposure(values: dict[str, Any], rows: int = 3, seed: int = 0) -> Any:
    """A SlitModel of one integration."""
    from stdatamodels.jwst.datamodels import SlitModel

    model = blank(SlitModel)
    for name in ("data", "err"):
        setattr(model, name, np.zeros((1, 2, 3), "f4"))
    model.wavelength = np.random.default_rng(seed).random((2, 3), "f4")
    times = np.zeros(rows, model.get_dtype("int_times"))
    times["integration_number"], times["int_mid_MJD_UTC"] = np.arange(rows) + seed, np.random.default_rng(seed).random(rows)
    model.int_times = times
    model.meta.instrument.name, model.meta.exposure.type = "NIRSPEC", "NRS_BRIGHTOBJ"
    for path, value in values.items():
        model[path] = value
    return model


def series(values: list[dict[str, Any]], lengths: list[int]) -> Any:
    """A TSOMultiSpecModel of several spectra."""
    from stdatamodels.jwst import datamodels

    model = blank(datamodels.TSOMultiSpecModel)
    for own, length in zip(values, lengths):
        spectrum = datamodels.TSOSpecModel(validate_on_assignment=False)
        table = spectrum.get_dtype("spec_table")
        spectrum.spec_table = np.zeros(1, [(n, table[n].base, (length,)) if table[n].shape == (0,) else (n, table[n].base) for n in table.names])
        for name, value in own.items():
            setattr(spectrum, name, value)
        model.spec.append(spectrum)
    return model


def skip(extension: tuple[str, int]) -> bool:
    return extension[0] in ("SCI", "ERR", "EXTRACT1D")


def alone(model: Any) -> tuple[serial.Serial, list[asdf_text.Fragment]]:
    """Without help from other models."""
    tree, wcs = asdf_text.detach(model.instance)
    return serial.in_full(tree, model.schema), wcs


def same(derived: tuple[serial.Serial, Any], full: tuple[serial.Serial, Any], skip: Callable[[tuple[str, int]], bool] = skip) -> None:
    a, b = derived[0], full[0]
    assert a.headers[:-1] == b.headers[:-1]
    assert [(h.name, h.ver, h.shape, h.dtype, h.nbytes) for h in a.hdus[:-1]] == [(h.name, h.ver, h.shape, h.dtype, h.nbytes) for h in b.hdus[:-1]]
    assert all(x == y for h, x, y in zip(b.hdus, a.contents, b.contents) if not skip((h.name, h.ver)))
    assert re.sub("_fits_hash: .*", "", a.text) == re.sub("_fits_hash: .*", "", b.text)
    assert a.blocks == b.blocks and derived[1] == full[1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, VALUES, st.integers(1, 5))
def test_any_change_of_values(first: dict[str, Any], second: dict[str, Any], rows: int) -> None:
    memo.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cards whose comment does not fit
        for model in (exposure(first), exposure(second, rows, seed=1)):
            model.on_save(None)
            same(serial.serialise(model, skip), alone(model))


def usual(segment: int) -> dict[str, Any]:
    return {"meta.filename": f"jw1-seg{segment:03d}_calints.fits", "meta.exposure.segment_number": segment, "meta.exposure.start_time": 6e4 + segment / 7,
            "meta.exposure.integration_start": 10**segment, "meta.observation.date": f"2023-06-{segment:02d}",
            "meta.observation.time": f"0{segment}:00:00.000"}  # fmt: skip


def only_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each model that is written in full."""
    calls: list[str] = []
    full = serial.in_full
    monkeypatch.setattr(serial, "in_full", lambda *given: (calls.append("full"), full(*given))[1])
    return calls


def test_segments_are_written_in_full_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = only_once(monkeypatch)
    for segment in range(1, 5):
        model = exposure(usual(segment), rows=segment, seed=segment)
        model.on_save(None)
        serial.serialise(model, skip)
    assert calls == ["full"]


def other_keyword(model: Any) -> None:
    model.meta.target.catalog_name = "a star"


def other_type(model: Any) -> None:
    model.meta.exposure.duration = 7


def more_cards(model: Any) -> None:
    model.meta.target.proposer_name = "x" * 70


def other_extra(model: Any) -> None:
    model.instance["extra_fits"] = {"PRIMARY": {"header": [["MINE", 2, "kept"]]}}


def other_plane(model: Any) -> None:
    model.wavelength = np.zeros((3, 3), "f4")


def other_column(model: Any) -> None:
    model.instance["int_times"].columns[1].unit = "d"


def other_schema(model: Any) -> None:
    model.add_schema_entry("meta.exposure.segment_number", {"type": "integer", "title": "Which one", "fits_keyword": "EXSEGNUM"})


def one_list_twice(model: Any) -> None:
    model.meta.wcsinfo.spectral_region = model.instance["mine"]["a"]


@pytest.mark.parametrize("change", [other_keyword, other_type, more_cards, other_extra, other_plane, other_column, other_schema, one_list_twice])
def test_what_is_not_similar_is_written_in_full(change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = only_once(monkeypatch)
    for segment in (1, 2):
        model = exposure(usual(segment) | {"meta.exposure.duration": 7.5, "meta.target.proposer_name": "somebody"})
        model.instance["mine"] = {"a": [1.0, 2.0]}
        model.meta.wcsinfo.spectral_region = [1.0, 2.0]
        model.instance["extra_fits"] = {"PRIMARY": {"header": [["MINE", 1, "kept"]]}}
        if segment == 2:
            change(model)
        model.on_save(None)
        derived = serial.serialise(model, skip)
        expected = len(calls)
        same(derived, alone(model))
        calls[expected:] = []
    assert calls == ["full", "full"]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.fixed_dictionaries({"name": TEXT, "slit_ra": NUMBER, "source_id": st.integers(-9, 9), "extraction_xstart": st.integers(0, 4000)}),
                min_size=3, max_size=6))  # fmt: skip
def test_any_number_of_spectra(values: list[dict[str, Any]]) -> None:
    memo.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = series(values, [4] * len(values))
        model.on_save(None)
        same(serial.serialise(model, skip), alone(model))


def test_spectra_of_other_lengths() -> None:
    model = series([{"name": "S1600A1"}] * 4, [4, 4, 5, 4])
    model.on_save(None)
    same(serial.serialise(model, skip), alone(model))


def test_spectra_like_the_second_are_written_twice_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    model = series([{"name": "S1600A1", "slit_ra": n / 3} for n in range(20)], [4] * 20)
    model.on_save(None)
    tables: list[int] = []
    full = serial.in_full
    monkeypatch.setattr(serial, "in_full", lambda tree, schema: (tables.append(len(tree["spec"])), full(tree, schema))[1])
    assert len([hdu for hdu in serial.serialise(model, skip)[0].hdus if hdu.name == "EXTRACT1D"]) == 20
    assert tables == [2]


@pytest.mark.parametrize("mode", ["bots", "miri"])
def test_all_products_of_a_run(mode: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jwst_dask.core.run import run

    folder = request.getfixturevalue(mode)
    names: list[str] = []

    def checked(model: Any, skip: Callable[[tuple[str, int]], bool]) -> tuple[serial.Serial, list[asdf_text.Fragment]]:
        out = serial.serialise(model, skip)
        same(out, alone(model), skip)
        names.append(model.meta.filename)
        return out

    def tree_checked(path: str, file: Any = None) -> Any:
        model = original(path, file)
        equal(model.instance, read(path, str(model.meta.filename)).instance)
        return model

    original = skeleton.skeleton
    monkeypatch.setattr(layout, "serialise", checked)
    monkeypatch.setattr(skeleton, "skeleton", tree_checked)
    result = run([str(path) for path in sorted(folder.glob("*_rateints.fits"))], output_dir=tmp_path)
    assert not result.failures and sorted(names) == sorted(name for name in result.products if name.endswith(".fits"))


def read(path: str, name: str) -> Any:
    """A skeleton without help from other files."""
    file = scan(path)
    small = skeleton._small(file)
    model = skeleton._read(file, small)
    asdf_text.put_back(model.instance, small.wcs)
    model.meta.filename = name
    return model


def equal(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            equal(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            equal(x, y)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        assert repr(getattr(a, "columns", None)) == repr(getattr(b, "columns", None))
    elif type(a).__name__ == "WCS":
        assert a is b
    else:
        assert repr(a) == repr(b)


def written(folder: Path, segment: int, **values: Any) -> str:
    model = exposure(usual(segment) | values, seed=segment)
    model.data = np.ones((segment + 1, 2, 3), "f4")
    path = folder / f"segment{segment}.fits"
    model.save(str(path))
    return str(path)


def test_skeletons_are_their_own(tmp_path: Path) -> None:
    """Changing one does not change the next, nor what it was made from."""
    paths = [written(tmp_path, segment) for segment in (1, 2, 3)]
    for path in paths:
        model = skeleton.skeleton(path)
        equal(model.instance, read(path, Path(path).name).instance)
        model.meta.exposure.nints, model.meta.observation.date = 77, "changed"
        model.instance["wavelength"][...] = -1
        model.instance["int_times"]["int_mid_MJD_UTC"] = -1


@pytest.mark.parametrize("what", ["meta.target.proposer_name", "source_name"])
def test_files_that_differ_elsewhere(tmp_path: Path, what: str) -> None:
    paths = [written(tmp_path, 1, **{what: "!one"}), written(tmp_path, 2, **{what: "&two: {*x, [1]}"})]
    for path in paths:
        equal(skeleton.skeleton(path).instance, read(path, Path(path).name).instance)


@pytest.mark.parametrize("only", [None, "PRIMARY"])
@pytest.mark.parametrize("name", ["SlitModel", "TSOMultiSpecModel", "ImageModel"])
def test_metadata_are_copied_as_update_does(only: str | None, name: str) -> None:
    """Invalid values and those of unusual types too."""
    from stdatamodels.jwst import datamodels

    source = exposure(usual(1) | {"meta.instrument.detector": "NRS1", "meta.wcsinfo.v2_ref": 3, "meta.visit.tsovisit": True})
    source.instance["meta"]["instrument"]["filter"] = "NO SUCH FILTER"
    source.instance["meta"]["exposure"]["nints"] = "twelve"
    source.instance["meta"]["exposure"]["ngroups"] = np.int32(5)
    source.instance["meta"]["wcsinfo"]["spectral_region"] = [1.0, 2.0]
    source.instance["meta"]["mine"] = {"unknown": 1}
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, theirs = blank(getattr(datamodels, name), validate=True), getattr(datamodels, name)()
            copy_metadata(ours, source, only=only)
            theirs.update(source, only=only)
        ours.meta.date = theirs.meta.date
        equal(dict(ours.to_flat_dict()), dict(theirs.to_flat_dict()))


def test_blank_models_share_nothing_but_their_schema() -> None:
    from stdatamodels.jwst.datamodels import SlitModel

    first, second = blank(SlitModel), blank(SlitModel)
    first.meta.exposure.nints = 3
    assert second.meta.exposure.nints is None and blank(SlitModel).meta.exposure.nints is None
    assert copy.deepcopy(SlitModel().schema) == first.schema
