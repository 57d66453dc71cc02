"""How stage 1 is cut up: passes and tiles of any chain, the store between passes, tiles read from exposures and written to products."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jwst_dask.core.blocks import Receipt
from jwst_dask.core.errors import InputError, JwstDaskError
from jwst_dask.core.prepare import Stage
from jwst_dask.core.ramps import receipts
from jwst_dask.core.ramps.passes import BANDS, FRAMES, GROUPS, STREAM, WHOLE, Extent, Pass, plan_passes
from jwst_dask.core.ramps.store import RampStore
from jwst_dask.data.exposure import Block
from jwst_dask.io.fits import scan
from jwst_dask.io.layout import Region, write_tile
from jwst_dask.io.ramps import read_ramp

# passes


@dataclass(frozen=True)
class Fake:
    """A step that declares what the planner asks for."""

    alias: str
    band_halo: int | None = 0
    needs_all_integrations: bool = False
    pixels: bool = True
    writes: tuple[str, ...] = ("sci",)


class Streams(Fake):
    """A step that needs everything and can go through a store."""

    def stream(self, ramps: Any, out: Any, state: Any) -> None:
        """As it likes."""


class Single(Fake):
    """A step that corrects each group by itself."""

    def group_context(self, state: Any) -> bool:
        return True


class Interleaved(Streams):
    """Reference pixels between the others: needs everything if they are taken out."""

    def whole_exposure(self, shape: tuple[int, int], nints: int) -> bool:
        return False


KINDS = {
    "any": lambda name: Fake(name),
    "halo": lambda name: Fake(name, 3),
    "frames": lambda name: Fake(name, None),
    "bands": lambda name: Fake(name, 2, True),
    "stream": lambda name: Streams(name, None, True),
    "whole": lambda name: Fake(name, None, True),
    "groups": lambda name: Single(name, None),
}


def stages(steps: Sequence[Fake]) -> list[Stage]:
    return [Stage(step, "COMPLETE") for step in steps]  # type: ignore[arg-type]


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Fake], Extent]:
    """A chain with at most one of refpix, jump and ramp_fit each, and the size of an exposure."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=9))
    steps = [KINDS[kind](f"step{k}") for k, kind in enumerate(kinds)]
    irs2 = draw(st.booleans()) and not any(isinstance(step, Streams) for step in steps)
    if irs2:
        steps.insert(draw(st.integers(0, len(steps))), Interleaved("refpix", None, True))
    if draw(st.booleans()):
        steps.append(draw(st.sampled_from([Fake("jump", 2, True), Streams("jump", None, True)])))
    if draw(st.booleans()):
        steps.append(Fake("ramp_fit", 0, True))
    nints, ngroups = draw(st.integers(1, 9)), draw(st.integers(1, 12))
    shape = (draw(st.integers(5, 60)), draw(st.integers(4, 60)))
    after = (shape[0] - 1, shape[1]) if irs2 else shape
    limit = draw(st.sampled_from([1, 1000, 20_000, 500_000, 10_000_000]))
    return steps, Extent(nints, ngroups, shape, after, limit, draw(st.sampled_from([None, 1, 3, 100])), draw(st.booleans()))


@settings(max_examples=300, deadline=None)
@given(chains())
def test_every_link_is_in_one_pass_and_gets_what_it_needs(given: tuple[list[Fake], Extent]) -> None:
    steps, extent = given
    passes = plan_passes(stages(steps), extent)
    marks = [0, *(one.last for one in passes)]
    assert [one.first for one in passes] == marks[:-1] and marks[-1] == len(steps)
    assert not any(one.kind == STREAM for one in passes[:1])
    for one in passes:
        mine = steps[one.first : one.last]
        if one.kind in (STREAM, GROUPS):
            assert len(mine) == 1
        for step in mine:
            if isinstance(step, Streams):
                assert one.kind in (STREAM, WHOLE)
            elif step.band_halo is None:
                assert one.kind in (
                    (WHOLE,) if step.needs_all_integrations else (FRAMES, WHOLE, *((GROUPS,) if isinstance(step, Single) else ()))
                )
            elif step.needs_all_integrations:
                assert one.kind in (BANDS, WHOLE)
        if one.kind == BANDS:
            assert one.halo >= sum(step.band_halo or 0 for step in mine)
        assert_covers(one, extent)
    place = next((k for k, step in enumerate(steps) if step.alias == "refpix"), len(steps))
    for one in passes:
        assert one.shape == (extent.after if one.first > place else extent.shape)


def assert_covers(one: Pass, extent: Extent) -> None:
    """Every sample in one tile."""
    seen = np.zeros((extent.nints, extent.ngroups, one.shape[0]), int)
    for tile in one.tiles:
        assert tile.i0 < tile.i1 and tile.y0 < tile.y1
        seen[tile.i0 : tile.i1, tile.g0 : tile.g1 or None, tile.y0 : tile.y1] += 1
        if one.kind in (FRAMES, WHOLE, STREAM, GROUPS):
            assert (tile.y0, tile.y1) == (0, one.shape[0])
        if one.kind in (BANDS, WHOLE, STREAM):
            assert (tile.i0, tile.i1) == (0, extent.nints)
    assert (seen == 1).all() and len({tile.label for tile in one.tiles}) == len(one.tiles)
    if extent.chunk and one.kind in (FRAMES, BANDS):
        assert all(tile.i1 - tile.i0 <= extent.chunk if one.kind == FRAMES else tile.y1 - tile.y0 <= extent.chunk for tile in one.tiles)


@settings(max_examples=200, deadline=None)
@given(chains())
def test_who_asks_for_unusable_groups_is_told(given: tuple[list[Fake], Extent]) -> None:
    """The first of jump and ramp_fit begins a pass for MIRI, and the one before leaves the facts; an exposure in one piece has them itself."""
    steps, extent = given
    passes = plan_passes(stages(steps), extent)
    looks = next((k for k, step in enumerate(steps) if step.alias in ("jump", "ramp_fit")), None)
    telling = [k for k, one in enumerate(passes) if one.facts]
    if looks is None or not extent.miri or len(passes) == 1 and passes[0].kind == WHOLE:
        assert not telling
        return
    assert len(telling) == 1 and passes[telling[0] + 1].first == looks


@given(
    nints=st.integers(1, 50),
    shape=st.tuples(st.integers(8, 300), st.integers(8, 300)),
    ngroups=st.integers(1, 20),
    limit=st.integers(20_000, 4_000_000),
)
def test_tiles_are_as_small_as_memory_asks_and_not_smaller(nints: int, shape: tuple[int, int], ngroups: int, limit: int) -> None:
    extent = Extent(nints, ngroups, shape, shape, limit)
    for step in (Fake("a", None), Fake("b", 0, True)):
        (one,) = plan_passes(stages([step]), extent)
        if one.kind == WHOLE:
            assert extent.nbytes <= limit
        elif one.kind == FRAMES:
            assert all(tile.i1 - tile.i0 == 1 or (tile.i1 - tile.i0) * extent.frame(shape) <= limit for tile in one.tiles)
        else:
            assert all(
                tile.y1 - tile.y0 == 1 or (tile.y1 - tile.y0) * nints * extent.frame(shape) // shape[0] <= limit for tile in one.tiles
            )


# the store


def store(
    folder: Path, nints: int = 4, ngroups: int = 3, shape: tuple[int, int] = (7, 5), zeroframe: bool = True, limit: int = 64_000_000
) -> RampStore:
    made = RampStore(str(folder), nints, ngroups, shape, zeroframe, limit)
    made.create()
    return made


def ramp(nints: int = 4, ngroups: int = 3, shape: tuple[int, int] = (7, 5), zeroframe: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    r = np.random.default_rng(seed)
    out = {"sci": r.normal(size=(nints, ngroups, *shape)).astype(np.float32), "groupdq": r.integers(0, 256, (nints, ngroups, *shape)).astype(np.uint8),
           "pixeldq": r.integers(0, 2**32, shape, dtype=np.uint32)}  # fmt: skip
    out["sci"][0, 0, 0, 0] = np.nan
    return out | ({"zeroframe": r.normal(size=(nints, *shape)).astype(np.float32)} if zeroframe else {})


def tile_of(whole: dict[str, np.ndarray], i0: int, i1: int, y0: int, y1: int, g0: int = 0, g1: int | None = None) -> dict[str, np.ndarray]:
    out = {"pixeldq": whole["pixeldq"][y0:y1]}
    out |= {name: whole[name][i0:i1, g0:g1, y0:y1] for name in ("sci", "groupdq")}
    return out | ({"zeroframe": whole["zeroframe"][i0:i1, y0:y1]} if "zeroframe" in whole and g0 == 0 else {})


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].flags.c_contiguous, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@st.composite
def cut(draw: st.DrawFn, n: int) -> list[tuple[int, int]]:
    marks = sorted(draw(st.sets(st.integers(1, n - 1))) | {0, n}) if n > 1 else [0, n]
    return draw(st.permutations(list(zip(marks[:-1], marks[1:]))))


FOLDER = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FOLDER
@given(data=st.data(), zeroframe=st.booleans())
def test_a_store_gives_back_what_it_was_given(tmp_path: Path, data: st.DataObject, zeroframe: bool) -> None:
    whole, made = ramp(zeroframe=zeroframe), store(tmp_path / "s", zeroframe=zeroframe)
    how = data.draw(st.sampled_from(["frames", "bands", "groups"]))
    if how == "frames":
        for i0, i1 in data.draw(cut(4)):
            assert made.put(Block(tile_of(whole, i0, i1, 0, 7), i0)) > 0
    elif how == "bands":
        for y0, y1 in data.draw(cut(7)):
            first, last = max(0, y0 - 2), min(7, y1 + 2)
            spoilt = {name: array.copy() for name, array in tile_of(whole, 0, 4, first, last).items()}
            for array in spoilt.values():  # rows of the halo are not this band's to write
                array[..., : y0 - first, :] = array[..., array.shape[-2] - (last - y1) :, :] = 77
            made.write_band(Block(spoilt, 0, y0=first, row_halo=(y0 - first, last - y1)))
    else:
        for i in range(4):
            for g0, g1 in data.draw(cut(3)):
                made.put(Block(tile_of(whole, i, i + 1, 0, 7, g0, g1), i, group0=g0))
    same(made.read(0, 4).arrays, whole)
    i0, i1 = sorted(data.draw(st.lists(st.integers(0, 4), min_size=2, max_size=2, unique=True)))
    y0, y1 = sorted(data.draw(st.lists(st.integers(0, 7), min_size=2, max_size=2, unique=True)))
    g0, g1 = sorted(data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=2, unique=True)))
    block = made.read(i0, i1, y0, y1, (g0, g1))
    assert (block.start, block.y0, block.group0) == (i0, y0, g0)
    same(block.arrays, tile_of(whole, i0, i1, y0, y1, g0, g1))


@pytest.mark.parametrize("limit", [1, 400, 1100, 64_000_000])
def test_blocks_and_bands_of_a_store_cover_it(tmp_path: Path, limit: int) -> None:
    whole, made = ramp(), store(tmp_path / "s", limit=limit)
    made.write(Block(whole, 0))
    blocks = list(made.blocks())
    assert [block.start for block in blocks] == list(np.cumsum([0, *(block.nints for block in blocks)]))[:-1]
    np.testing.assert_array_equal(np.concatenate([block.arrays["sci"] for block in blocks]), whole["sci"])
    bands, at = list(made.bands(halo=2)), 0
    for block in bands:
        above, below = block.row_halo
        first, last = block.y0, block.y0 + block.arrays["sci"].shape[-2]
        assert first + above == at and above == min(2, at)
        at = last - below
        assert below == min(2, 7 - at)
        same(block.arrays, tile_of(whole, 0, 4, first, last))
        block.arrays["sci"] += 1  # its own
        made.write_band(block)
    assert at == 7
    np.testing.assert_array_equal(made.read(0, 4).arrays["sci"], whole["sci"] + 1)


def test_a_store_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    made = store(tmp_path / "s")
    os.truncate(tmp_path / "s" / "sci.raw", 100)
    with pytest.raises(JwstDaskError, match="cut short"):
        made.read(0, 4)
    made.remove()
    with pytest.raises(JwstDaskError, match="must share"):
        made.read(0, 4)
    with pytest.raises(InputError, match="cannot be written"):
        made.put(Block(ramp(), 0))

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="No space left.*--output-dir"):
        store(tmp_path / "t")


@given(hnp.arrays(np.dtype([("jumps", "i8"), ("dead", "?", (3,))]), st.integers(0, 4)))
@FOLDER
def test_receipts_are_kept(tmp_path: Path, table: np.ndarray) -> None:
    receipt = Receipt("a[0:b/c]", 3, 5, 2, {"jump": table, "RSCD": np.zeros(2)}, 1, 2, 0.5, {"dq_init": 0.25}, 0.125, 7, 8)
    assert receipts.kept("", "x") is None and receipts.kept(str(tmp_path), "absent") is None
    receipts.keep(str(tmp_path), "b/c", receipt)
    found = receipts.kept(str(tmp_path), "b/c")
    assert found is not None and replace(found, tables={}) == replace(receipt, tables={})
    np.testing.assert_array_equal(found.tables["jump"], table)
    assert receipts.keep("", "x", receipt) is receipt


# tiles of products


@FOLDER
@given(data=st.data(), dtype=st.sampled_from([">f4", ">i4", ">u1", ">i2"]), groups=st.booleans())
def test_tiles_make_an_image(tmp_path: Path, data: st.DataObject, dtype: str, groups: bool) -> None:
    unsigned, n, ng, ny, nx = dtype == ">i4", 3, 2, 6, 4
    shape = (ng, ny, nx) if groups else (ny, nx)
    native = np.uint32 if unsigned else np.dtype(dtype).newbyteorder("=")
    whole = np.random.default_rng(1).integers(0, 200, (n, *shape)).astype(native)
    path, size = tmp_path / "x.part", np.dtype(dtype).itemsize
    path.write_bytes(bytes(100 + whole.size * size + 10))
    region = Region(100, int(np.prod(shape)) * size, n, dtype, unsigned, shape, name="SCI")
    for i0, i1 in data.draw(cut(n)):
        for y0, y1 in data.draw(cut(ny)):
            for g0, g1 in data.draw(cut(ng)) if groups else [(0, 1)]:
                part = whole[i0:i1, g0:g1, y0:y1] if groups else whole[i0:i1, y0:y1]
                write_tile(path, region, i0, y0, part, g0)
    raw = path.read_bytes()
    assert raw[:100] == bytes(100) and raw[-10:] == bytes(10)
    stored = np.frombuffer(raw[100:-10], dtype).reshape(whole.shape)
    np.testing.assert_array_equal((stored.astype(np.int64) + 2**31 if unsigned else stored).astype(native), whole)


def test_a_tile_of_one_image_and_tiles_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    path.write_bytes(bytes(4 * 30))
    image = Region(0, 120, 1, ">f4", False, (6, 5), name="RATE")
    for y0 in (4, 0, 2):
        write_tile(path, image, 7, y0, np.full((2, 5), y0, np.float32))
    np.testing.assert_array_equal(np.frombuffer(path.read_bytes(), ">f4").reshape(6, 5)[:, 0], [0, 0, 2, 2, 4, 4])
    cube = Region(0, 40, 3, ">f4", False, (2, 5), name="SCI")
    for first, y0, shape in ((3, 0, (1, 2, 5)), (0, 1, (1, 2, 5)), (0, 0, (1, 2, 4)), (2, 0, (2, 2, 5))):
        with pytest.raises(InputError, match="SCI"):
            write_tile(path, cube, first, y0, np.zeros(shape, np.float32))
    path.unlink()
    with pytest.raises(InputError, match="gone"):
        write_tile(path, cube, 0, 0, np.zeros((1, 2, 5), np.float32))
    assert not path.exists()


# exposures


def exposure(path: Path, dtype: str, calibrated: bool, zeroframe: bool) -> dict[str, np.ndarray]:
    """A file of ramps by other means; what is in it as blocks have it."""
    whole = ramp(zeroframe=zeroframe, seed=3)
    whole["sci"] = np.random.default_rng(2).integers(0, 65536, whole["sci"].shape).astype(dtype)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(whole["sci"], name="SCI")]
    if calibrated:
        hdus += [fits.ImageHDU(whole["pixeldq"], name="PIXELDQ"), fits.ImageHDU(whole["groupdq"], name="GROUPDQ")]
    else:
        whole["pixeldq"][:], whole["groupdq"][:] = 0, 0
    if zeroframe:
        kept = whole["zeroframe"].astype(dtype) if dtype == "f4" else np.abs(whole["zeroframe"] * 100).astype(dtype)
        hdus.append(fits.ImageHDU(kept, name="ZEROFRAME"))
        whole["zeroframe"] = kept.astype(np.float32)
    fits.HDUList(hdus).writeto(path.with_suffix(""), overwrite=True) if path.suffix == ".gz" else fits.HDUList(hdus).writeto(
        path, overwrite=True
    )
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    return whole | {"sci": whole["sci"].astype(np.float32)}


@pytest.mark.parametrize("name", ["x_uncal.fits", "x_uncal.fits.gz"])
@pytest.mark.parametrize("zeroframe", [False, True])
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("dtype", ["u2", "i2", "f4", "f8", "i4"])
def test_tiles_of_an_exposure(tmp_path: Path, dtype: str, calibrated: bool, zeroframe: bool, name: str) -> None:
    whole = exposure(tmp_path / name, dtype, calibrated, zeroframe)
    file = scan(tmp_path / name)
    same(read_ramp(file, 0, 4).arrays, whole)
    for i0, i1, y0, y1, groups in (
        (1, 3, 0, 7, None),
        (0, 4, 2, 6, None),
        (2, 3, 6, 7, None),
        (1, 2, 0, 7, (0, 2)),
        (3, 4, 1, 5, (1, 3)),
        (0, 1, 0, 1, (2, 3)),
    ):
        block = read_ramp(file, i0, i1, y0, y1, groups=groups)
        assert (block.start, block.y0, block.group0) == (i0, y0, (groups or (0,))[0])
        same(block.arrays, tile_of(whole, i0, i1, y0, y1, *(groups or (0, None))))


def test_an_exposure_that_shrinks(tmp_path: Path) -> None:
    import os

    exposure(tmp_path / "x_uncal.fits", "u2", False, False)
    file = scan(tmp_path / "x_uncal.fits")
    os.truncate(tmp_path / "x_uncal.fits", 9000)
    with pytest.raises(InputError, match="x_uncal"):
        read_ramp(file, 0, 4)


def test_the_last_store_has_the_shape_that_frames_end_with(tmp_path: Path) -> None:
    """Interleaved reference pixels may go in the last pass, with a store all the same where the step streams."""
    from types import SimpleNamespace

    from jwst_dask.core.chunks import ChunkPlan
    from jwst_dask.core.ramps.plan import RampExposurePlan

    extent = Extent(3, 2, (20, 6), (12, 6), 1000, 1)
    links = stages([Interleaved("refpix", None, True)])
    passes = plan_passes(links, extent)
    assert [one.kind for one in passes][1:] == [STREAM]
    file: Any = SimpleNamespace(hdu=lambda name: SimpleNamespace(shape=(3, 2, 20, 6)), path="x_uncal.fits")
    draft: Any = SimpleNamespace(shape=(12, 6))
    plan = RampExposurePlan(0, "x", file, draft, links, [], ChunkPlan((), 0, 0), passes=passes, ngroups=2, scratch=tmp_path / "s", limit=1000)
    first = plan._store(0, passes[0], file)
    last = plan._store(1, passes[1], first)
    assert first.shape == (20, 6) and last.shape == (12, 6) and last.shared == ()
