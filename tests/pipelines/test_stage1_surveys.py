"""Steps that survey all tiles of an exposure before they take one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from ramp_blocks import ramp

from jwst_dask.core.prepare import Stage, StateStore
from jwst_dask.core.ramps.passes import BANDS, FRAMES, Extent, Tile, plan_passes, surveys_of
from jwst_dask.core.ramps.store import RampStore
from jwst_dask.core.ramps.surveys import Conclusion, RampSurvey, with_surveys
from jwst_dask.core.ramps.tasks import RampTask
from jwst_dask.core.step import BlockStep
from jwst_dask.data.exposure import Block


@dataclass(frozen=True, kw_only=True)
class Plus(BlockStep):
    """Adds a number, and needs a row on each side."""

    alias: ClassVar[str] = "plus"
    band_halo: ClassVar[int | None] = 1

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        block.arrays["sci"] += np.float32(state["plus"])
        return block


@dataclass(frozen=True, kw_only=True)
class Centred(BlockStep):
    """Takes the least and then the largest number of all off."""

    alias: ClassVar[str] = "centred"
    band_halo: ClassVar[int | None] = None
    needs_all_integrations: ClassVar[bool] = True

    def surveys(self, state: Mapping[str, Any]) -> int:
        return int(state["n"])

    def survey(self, k: int, block: Block, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        assert block.row_halo == (0, 0) and ("least" in state) == (k == 1)
        return {"value": self.run(block, {**state, "most": np.array(0)}).arrays["sci"].max() if k else block.arrays["sci"].min()}

    def conclude(self, k: int, parts: Callable[[], Iterable[Mapping[str, np.ndarray]]], state: Mapping[str, Any]) -> dict[str, Any]:
        values = [part["value"] for part in parts()]
        assert len(values) == len(list(parts()))
        return {"most": np.max(values)} if k else {"least": np.min(values)}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        block.arrays["sci"] -= state["least"]
        block.arrays["sci"] -= state["most"]
        return block


def stages(n: int = 2) -> list[Stage]:
    return [Stage(Plus(), "COMPLETE", state={"plus": np.array(3)}), Stage(Centred(), "COMPLETE", state={"n": np.array(n)})]


TILES = {FRAMES: [Tile(0, 1, 0, 7), Tile(1, 4, 0, 7)], BANDS: [Tile(0, 4, 0, 2), Tile(0, 4, 2, 7)]}


@pytest.mark.parametrize("kind", TILES)
def test_surveys_come_before_the_tiles(kind: str, tmp_path: Path) -> None:
    whole = ramp(zeroframe=False)
    whole["sci"][0, 0, 0, 0] = 1.0
    origin, sink = (RampStore(str(tmp_path / name), 4, 3, (7, 5)).create() for name in ("a", "b"))
    origin.put(Block(whole, 0))
    links, states = stages(), StateStore(tmp_path / "states")
    own = tuple((link.step, states.put(link.state), halo) for link, halo in zip(links, (1, 0)))
    tasks = [RampTask(f"x.0[2:{tile.label}]", 0, "x", origin, sink, own, (), kind, tile, 1 if kind == BANDS else 0, receipts=str(tmp_path / "done"),
                      needs=("gate",)) for tile in TILES[kind]]  # fmt: skip
    (tmp_path / "done").mkdir()
    before, after = with_surveys(tasks, links, tmp_path / "surveys")
    assert [type(one) for one in before] == [RampSurvey, RampSurvey, Conclusion] * 2
    names = [one.name for one in (*before, *after)]
    assert len(set(names)) == len(names)
    known = {"gate"}
    for one in (*before, *after):
        assert set(one.needs) <= known
        receipt = one.process()
        known.add(one.name)
        assert receipt.name == one.name and one.process().name == one.name  # again, when all is gone that it was from
    values = whole["sci"] + np.float32(3)
    values -= values.min()
    values -= values.max()
    np.testing.assert_array_equal(sink.read(0, 4).arrays["sci"], values)
    np.testing.assert_array_equal(origin.read(0, 4).arrays["sci"], whole["sci"])
    (tmp_path / "surveys" / "2.1.1" / "gate.npz").unlink()
    assert before[-1].process().name == before[-1].name  # of which only the receipt had been lost


def test_they_take_any_tile_in_the_plan() -> None:
    extent = Extent(4, 3, (7, 5), (7, 5), 100, most=400)
    assert [surveys_of(stage) for stage in stages()] == [0, 2]
    assert [(one.first, one.last) for one in plan_passes(stages(), extent)] == [(0, 2)]
    assert with_surveys([], stages(0), Path("none")) == ([], [])
