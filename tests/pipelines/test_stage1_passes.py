"""How stage 1 is cut up: passes and tiles of any chain, the store between passes, tiles read from exposures and written to products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ramp_blocks import FOLDER, cut, ramp, same, tile_of

from jwst_dask.core.blocks import Receipt
from jwst_dask.core.errors import InputError, JwstDaskError
from jwst_dask.core.prepare import Stage
from jwst_dask.core.ramps import receipts
from jwst_dask.core.ramps.passes import BANDS, FRAMES, GROUPS, PARTS, STREAM, WHOLE, Extent, Pass, plan_passes
from jwst_dask.core.ramps.store import RampStore
from jwst_dask.data.exposure import Block

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


class Divides(Streams):
    """A step that divides its work itself: it looks at integrations, then it corrects them."""

    def rounds(self, state: Any, nints: int, ngroups: int) -> list[tuple[str, list[tuple[int, ...]]]]:
        tiles = [(i, i + 1, y, y + 1, 0, ngroups) for i in range(nints) for y in range(2)]
        return [("look", tiles[:1]), ("correct", tiles)]


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
    "parts": lambda name: Divides(name, None, True),
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
    looks = [one for one in passes if not one.final]
    assert all((one.kind, one.round) == (PARTS, "look") and not one.facts for one in looks)
    passes = [one for one in passes if one.final]
    assert [one.round for one in passes if one.kind == PARTS] == ["correct"] * len(looks)
    marks = [0, *(one.last for one in passes)]
    assert [one.first for one in passes] == marks[:-1] and marks[-1] == len(steps)
    assert not any(one.kind in (STREAM, PARTS) for one in passes[:1])
    for one in passes:
        mine = steps[one.first : one.last]
        if one.kind in (STREAM, GROUPS, PARTS):
            assert len(mine) == 1
        for step in mine:
            if isinstance(step, Streams):
                assert one.kind in (PARTS if isinstance(step, Divides) else STREAM, WHOLE)
            elif step.band_halo is None:
                assert one.kind in (
                    (WHOLE,) if step.needs_all_integrations else (FRAMES, WHOLE, *((GROUPS,) if isinstance(step, Single) else ()))
                )
            elif step.needs_all_integrations:
                assert one.kind in (BANDS, WHOLE)
        if one.kind == BANDS:
            assert one.halo >= sum(step.band_halo or 0 for step in mine)
        if one.kind != PARTS:
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
    folder: Path, nints: int = 4, ngroups: int = 3, shape: tuple[int, int] = (7, 5), zeroframe: bool = True, limit: int = 64_000_000,
    by_rows: bool = False,
) -> RampStore:  # fmt: skip
    made = RampStore(str(folder), nints, ngroups, shape, zeroframe, limit, by_rows=by_rows)
    made.create()
    return made


@FOLDER
@given(data=st.data(), zeroframe=st.booleans(), by_rows=st.booleans())
def test_a_store_gives_back_what_it_was_given(tmp_path: Path, data: st.DataObject, zeroframe: bool, by_rows: bool) -> None:
    whole, made = ramp(zeroframe=zeroframe), store(tmp_path / "s", zeroframe=zeroframe, by_rows=by_rows)
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


@pytest.mark.parametrize("links", [True, False])
def test_stores_share_what_does_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Where files cannot have links, each store has its own; the first store may go in any case."""
    import os

    def refuse(*args: Any) -> None:
        raise OSError(1, "Operation not permitted")

    whole, first = ramp(), store(tmp_path / "a")
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    later = replace(first, folder=str(tmp_path / "b"), shared=("pixeldq", "zeroframe")).create(first)
    assert later.shared == (("pixeldq", "zeroframe") if links else ())
    first.write(Block(whole, 0))
    later.write(Block({name: array + 1 for name, array in whole.items()} if links else whole, 0))
    same(first.read(0, 4).arrays, whole)
    first.remove()
    more = 1 if links else 0
    same(later.read(0, 4).arrays, whole | {"sci": whole["sci"] + np.float32(more), "groupdq": whole["groupdq"] + np.uint8(more)})


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


@settings(deadline=None)
@given(data=st.data(), dtype=st.sampled_from([np.uint8, np.float32, np.uint32]), nx=st.integers(1, 9), shared=st.booleans())
def test_rows_are_taken_off(data: st.DataObject, dtype: Any, nx: int, shared: bool) -> None:
    """With or without a copy, and never under the feet of somebody else."""
    from jwst_dask.core.memory import keep_rows

    ny, lead = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([(), (3,), (2, 3)]))
    above, below = sorted(data.draw(st.lists(st.integers(0, ny), min_size=2, max_size=2)))
    arrays = {"a": data.draw(hnp.arrays(dtype, (*lead, ny, nx), unique=False)).copy()}
    before = arrays["a"].copy()
    other = arrays["a"][..., :1, :] if shared else None
    keep_rows(arrays, "a", above, ny - below)
    assert arrays["a"].tobytes() == before[..., above:below, :].tobytes() and arrays["a"].shape == (*lead, below - above, nx)
    assert arrays["a"].flags.c_contiguous and (other is None or other.tobytes() == before[..., :1, :].tobytes())
