"""Selection of references from private caches, offline."""

from __future__ import annotations

import logging
import pickle
import socket
import time
from pathlib import Path

import pytest

from jwst_dask import simulate
from jwst_dask.core.errors import ReferenceError_
from jwst_dask.refs import crds
from jwst_dask.simulate.shelf import Reference, write_rules

OURS = ("CRDS_PATH", "CRDS_SERVER_URL", "CRDS_CONTEXT")
HEADER = {"meta.instrument.name": "NIRSPEC", "meta.instrument.detector": "NRS1", "meta.instrument.filter": "CLEAR", "meta.instrument.grating": "PRISM",
          "meta.exposure.type": "NRS_BRIGHTOBJ", "meta.observation.date": "2023-06-05", "meta.observation.time": "06:00:00.000",
          "meta.exposure.nints": 10, "meta.visit.tsovisit": True, "meta.nothing": None}  # fmt: skip
RULES = [
    Reference("NIRSPEC", "dflat", "jwst_nirspec_dflat_0001.fits", {"META.INSTRUMENT.DETECTOR": "NRS1"}),
    Reference("NIRSPEC", "dflat", "jwst_nirspec_dflat_0002.fits", {"META.INSTRUMENT.DETECTOR": "NRS2"}),
    Reference("NIRSPEC", "photom", "jwst_nirspec_photom_0007.fits", {"META.EXPOSURE.TYPE": "NRS_FIXEDSLIT|NRS_BRIGHTOBJ"}),
    Reference("NIRSPEC", "psf", "jwst_nirspec_psf_0003.fits", {"META.EXPOSURE.TYPE": "NRS_BRIGHTOBJ"}),
]


def _cache(folder: Path, rules: list[Reference] = RULES, without: str = "psf") -> Path:
    (folder / "crds" / "references" / "jwst" / "nirspec").mkdir(parents=True)
    for rule in rules:
        if rule.reftype != without:
            (folder / "crds" / "references" / "jwst" / "nirspec" / rule.name).write_bytes(b"x" * 10)
    write_rules(folder / "crds", rules)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with rules and files, no network, and no CRDS variables but its own."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    folder = _cache(tmp_path)
    for name, value in simulate.environment(folder).items():
        monkeypatch.setenv(name, value)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return folder / "crds" / "references" / "jwst" / "nirspec"


def test_selection(cache: Path) -> None:
    found = crds.resolve(HEADER, ("dflat", "photom", "fflat", "flat", "pars-extract1dstep"))
    assert found == {"dflat": str(cache / "jwst_nirspec_dflat_0001.fits"), "photom": str(cache / "jwst_nirspec_photom_0007.fits"),
                     "fflat": "N/A", "flat": "N/A", "pars-extract1dstep": "N/A"}  # fmt: skip
    assert crds.resolve(HEADER | {"meta.instrument.detector": "NRS2"}, ["dflat"])["dflat"].endswith("dflat_0002.fits")


def test_selection_is_cheap(cache: Path) -> None:
    types = ("dflat", "photom", "fflat", "flat", "wavecorr", "apcorr")
    crds.resolve(HEADER, types)
    clock = time.perf_counter()
    for k in range(20):
        crds.resolve(HEADER | {"meta.exposure.segment_number": k}, types)
    assert (time.perf_counter() - clock) / 20 < 0.02


def test_same_answer_as_getreferences(cache: Path) -> None:
    import crds as client

    simple = {key: value for key, value in HEADER.items() if value is not None}
    crds.pin_context()
    assert crds.resolve(HEADER, ["dflat", "photom"]) == client.getreferences(simple, reftypes=["dflat", "photom"], observatory="jwst")


@pytest.mark.parametrize("value", ["jwst_0001.pmap", "jwst-latest", "jwst-operational", "latest", None])
def test_context(cache: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("CRDS_CONTEXT")
    else:
        monkeypatch.setenv("CRDS_CONTEXT", value)
    assert crds.pin_context() == "jwst_0001.pmap"


def test_no_network_with_a_server_when_the_cache_suffices(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRDS_SERVER_URL", "https://jwst-crds.stsci.edu")
    assert crds.resolve(HEADER, ["dflat", "flat"])["flat"] == "N/A"


def test_another_cache_in_the_same_process(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert crds.resolve(HEADER, ["dflat"])["dflat"].startswith(str(cache))
    rules = [Reference("NIRSPEC", "dflat", "jwst_nirspec_dflat_0009.fits", {"META.INSTRUMENT.DETECTOR": "NRS1"})]
    other = _cache(tmp_path / "other", rules)
    monkeypatch.setenv("CRDS_PATH", simulate.environment(other)["CRDS_PATH"])
    assert crds.resolve(HEADER, ["dflat"])["dflat"].endswith("dflat_0009.fits")


def test_explained_set_up(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CRDS_CONTEXT", "jwst_9999.pmap")
    with pytest.raises(ReferenceError_, match=r"jwst_9999.*It holds jwst_0001\.pmap.*CRDS_CONTEXT"):
        crds.pin_context()
    monkeypatch.setenv("CRDS_CONTEXT", "jwst_0001.pmap")
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(ReferenceError_, match="no CRDS cache at CRDS_PATH"):
        crds.pin_context()
    monkeypatch.delenv("CRDS_PATH")
    with pytest.raises(ReferenceError_, match="CRDS_PATH is not set"):
        crds.pin_context()
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("CRDS_PATH", str(empty))
    monkeypatch.delenv("CRDS_CONTEXT")
    with pytest.raises(ReferenceError_, match="no server_config"):
        crds.pin_context()


def test_file_absent_from_the_cache(cache: Path) -> None:
    with pytest.raises(ReferenceError_, match=r"psf reference jwst_nirspec_psf_0003\.fits is not in the cache.*prefetch"):
        crds.resolve(HEADER, ["psf"])


def test_no_rule_names_type_and_mode(cache: Path) -> None:
    with pytest.raises(ReferenceError_, match=r"no notatype reference for NIRSPEC NRS1 NRS_BRIGHTOBJ CLEAR PRISM under jwst_0001\.pmap.*override_notatype"):
        crds.resolve(HEADER, ["notatype"])
    with pytest.raises(ReferenceError_, match="instrument 'HAWK-I'"):
        crds.resolve(HEADER | {"meta.instrument.name": "HAWK-I"}, ["dflat"])


def test_bad_file_is_refused(cache: Path) -> None:
    config = cache.parents[2] / "config" / "jwst" / "server_config"
    config.write_text(config.read_text().replace("'bad_files_list': []", "'bad_files_list': ['jwst_nirspec_dflat_0001.fits']"))
    with pytest.raises(ReferenceError_, match="scientifically invalid"):
        crds.resolve(HEADER, ["dflat"])


def test_overrides_and_records(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.fits"
    mine.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    refs = crds.References(HEADER, {"photom": "mine.fits", "dflat": "N/A", "flat": "crds://jwst_nirspec_dflat_0002.fits", "wavecorr": None, "fflat": ""})
    assert refs("photom") == str(mine) and refs("dflat") == "N/A" and refs("flat").endswith("dflat_0002.fits") and refs("fflat") == "N/A"
    assert refs.used == {"photom": str(mine), "dflat": "N/A", "flat": str(cache / "jwst_nirspec_dflat_0002.fits"), "fflat": "N/A"}
    assert refs.recorded() == {"photom": str(mine), "dflat": "N/A", "flat": "crds://jwst_nirspec_dflat_0002.fits", "fflat": "N/A"}
    step = refs.scoped({"photom": "N/A"}, ["dflat"])
    assert step.used == {} and step("photom") == "N/A" and step("dflat") == "N/A"
    assert pickle.loads(pickle.dumps(step)).used == step.used
    plain = crds.References(HEADER)
    plain("photom")
    assert plain.recorded() == {"photom": "crds://jwst_nirspec_photom_0007.fits"}


def test_override_that_does_not_exist(cache: Path) -> None:
    with pytest.raises(ReferenceError_, match=r"override_flat=/no/such\.fits: the file /no/such\.fits does not exist"):
        crds.References(HEADER, {"flat": "/no/such.fits"})("flat")


def test_overrides_need_no_crds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.fits").write_bytes(b"x")
    refs = crds.References({}, {"flat": str(tmp_path / "a.fits"), "photom": "N/A"})
    assert refs("flat") == str(tmp_path / "a.fits") and refs("photom") == "N/A"


def test_list_and_prefetch(cache: Path, tmp_path: Path) -> None:
    rows = {row.reftype: row for row in crds.list_references(HEADER, ("dflat", "psf", "flat", "photom", "notatype"), overrides={"photom": "/no.fits"})}
    states = {name: row.state.split(":")[0] for name, row in rows.items()}
    assert states == {"dflat": "cached", "psf": "to download", "flat": "N/A", "photom": "override missing", "notatype": "NOT FOUND"}
    assert rows["dflat"].size == 10
    headers = [HEADER, HEADER | {"meta.instrument.detector": "NRS2"}]
    assert [Path(path).name for path in crds.prefetch(headers, ("dflat", "photom", "notatype"))] == [
        "jwst_nirspec_dflat_0001.fits", "jwst_nirspec_photom_0007.fits", "jwst_nirspec_dflat_0002.fits"]  # fmt: skip


def test_logging_is_left_alone(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().level, list(logging.getLogger().handlers)
    crds.resolve(HEADER, ["dflat"])
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before
    assert "CRDS" not in capfd.readouterr().err
