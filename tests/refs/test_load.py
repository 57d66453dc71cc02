"""The memory of reference planes and state files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.refs import load
from jwst_dask.refs.kinds import KINDS, kind


def test_state_file(tmp_path: Path) -> None:
    path = str(tmp_path / "state.npz")
    np.savez(path, a=np.arange(3), s="text", flag=True)
    state = load.load_npz(path)
    assert state["a"].tolist() == [0, 1, 2] and str(state["s"]) == "text" and bool(state["flag"])
    assert load.load_npz(path) is state
    np.savez(path, a=np.arange(5))
    os.utime(path, ns=(1, 1))
    assert len(load.load_npz(path)["a"]) == 5


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    path = str(tmp_path / "bad.npz")
    np.savez(path, a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ReferenceError_, match="bad.npz"):
        load.load_npz(path)
    with pytest.raises(ReferenceError_, match="absent.npz"):
        load.load_npz(str(tmp_path / "absent.npz"))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ReferenceError_, match="cut.npz"):
        load.load_npz(str(tmp_path / "cut.npz"))


def test_planes(tmp_path: Path) -> None:
    path = str(tmp_path / "ref.fits")
    cube, flags = np.arange(3 * 20 * 30, dtype="f4").reshape(3, 20, 30), np.full((20, 30), 2**31 + 1, np.uint32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(cube, name="SCI"), fits.ImageHDU(flags, name="DQ")]).writeto(path)
    window = (slice(4, 9), slice(10, 30))
    got = load.planes(path, "SCI", window)
    np.testing.assert_array_equal(got, cube[:, 4:9, 10:30])
    assert got.dtype == np.dtype("f4") and got.dtype.isnative and got.flags.c_contiguous
    assert load.planes(path, "sci", window) is got
    for part in (None, window):
        dq = load.planes(path, "DQ", part)
        assert dq.dtype == np.uint32 and (dq == 2**31 + 1).all()
    for name in ("ERR", "PRIMARY"):
        with pytest.raises(ReferenceError_, match=f"no image extension {name}"):
            load.planes(path, name)
    Path(tmp_path / "junk.fits").write_bytes(b"junk")
    with pytest.raises(ReferenceError_, match="junk.fits"):
        load.planes(str(tmp_path / "junk.fits"), "SCI")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=60), st.integers(1, 200))
def test_limit_holds(requests: list[tuple[int, int]], limit: int) -> None:
    cache, sizes = load.ByteLRU(limit), {}
    for key, size in requests:
        size = sizes.setdefault(key, size)
        value = cache.get(key, lambda size=size: np.zeros(size, np.uint8))
        assert value.nbytes == size
        assert cache.nbytes <= limit and cache.nbytes == sum(kept for _, kept in cache._values.values())
    cache.resize(1)
    assert cache.nbytes <= 1


def test_oldest_goes_first() -> None:
    cache = load.ByteLRU(20)
    for key in "ab":
        cache.get(key, lambda: np.zeros(10, np.uint8))
    cache.get("a", lambda: np.zeros(10, np.uint8))
    cache.get("c", lambda: np.zeros(10, np.uint8))
    assert list(cache._values) == ["a", "c"]


def test_threads_make_a_value_once() -> None:
    cache, made, gate = load.ByteLRU(), [], threading.Barrier(6)

    def make() -> np.ndarray:
        made.append(1)
        return np.zeros(1000)

    def ask() -> None:
        gate.wait()
        cache.get("key", make)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_failure_is_not_remembered() -> None:
    cache = load.ByteLRU()
    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: 1 / 0)
    assert cache.get("key", lambda: 7) == 7


def test_kinds_name_existing_models() -> None:
    from stdatamodels.jwst import datamodels

    for entry in KINDS.values():
        assert not entry.model or hasattr(datamodels, entry.model)
    assert kind("pars-extract1dstep").formats == ("asdf",) and kind("never-heard").model == ""
