"""Steps that look at all integrations of an exposure, several times if need be, before they take any tile of it.

Such a step has ``surveys(state)`` (how often), ``survey(k, block, state)`` (small arrays that it finds in a tile, at survey `k`), and
``conclude(k, parts, state)`` (what follows from all tiles, which it has in its state from then on). Each survey takes the tiles of the
pass through the steps before, and leaves nothing else behind: that costs less than to store them, as long as these steps are quick.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.core.arrays import load_arrays
from jwst_dask.core.blocks import Receipt
from jwst_dask.core.prepare import Stage
from jwst_dask.core.ramps.passes import surveys_of
from jwst_dask.core.ramps.receipts import keep, kept
from jwst_dask.core.ramps.store import save_facts
from jwst_dask.core.ramps.tasks import RampTask, _trimmed, tile_bytes
from jwst_dask.core.step import Step


def with_surveys(tasks: Sequence[RampTask], stages: Sequence[Stage], folder: Path) -> tuple[list[Any], list[RampTask]]:
    """The tasks that have to be done before those of a pass, and these as they are then.

    Parameters
    ----------
    tasks : sequence of RampTask
        Of one pass.
    stages : sequence of Stage
        Its links.
    folder : Path
        For what is found.
    """
    before: list[Any] = []
    for place, stage in enumerate(stages):
        for k in range(surveys_of(stage)):
            name = tasks[0].name.rsplit(":", 1)[0]
            found = str(folder / f"{name.rsplit('[', 1)[-1]}.{place}.{k}")
            Path(found).mkdir(parents=True, exist_ok=True)
            own = [RampSurvey(f"{name}:{place}.{k}:{task.tile.label}]", task.exposure, task.source, replace(task, links=task.links[: place + 1]), k, found,
                                task.needs) for task in tasks]  # fmt: skip
            step, state, halo = tasks[0].links[place]
            gate = Conclusion(f"{name}:{place}.{k}:gate]", tasks[0].exposure, tasks[0].source, step, state, k, found, tuple(one.name for one in own))
            before += [*own, gate]
            tasks = [replace(task, links=(*task.links[:place], (step, gate.target, halo), *task.links[place + 1 :]), needs=(gate.name,)) for task in tasks]
    return before, list(tasks)


@dataclass(frozen=True)
class RampSurvey:
    """One tile of a survey.

    Attributes
    ----------
    task : RampTask
        Which has the steps before, and the one that asks.
    number : int
    folder : str
        For what is found.
    """

    name: str
    exposure: int
    source: str
    task: RampTask
    number: int
    folder: str
    needs: tuple[str, ...] = ()
    slit: str = ""

    def process(self) -> Receipt:
        """Do it. Repeatable."""
        task = self.task
        if (done := kept(self.folder, task.tile.label)) is not None:
            return done
        clock = time.perf_counter()
        block = task._read()
        read, seconds = time.perf_counter() - clock, {}
        *links, (last, path, _) = task.links
        for step, state, _ in links:
            clock = time.perf_counter()
            block = step.run(block, task._state(step, state))
            seconds[step.alias] = time.perf_counter() - clock
        clock = time.perf_counter()
        declared: Any = last
        found = declared.survey(self.number, _trimmed(block, 0), task._state(last, path))
        seconds[last.alias] = time.perf_counter() - clock
        clock = time.perf_counter()
        save_facts(self.folder, task.tile.label, found)
        out = sum(array.nbytes for array in found.values())
        return keep(self.folder, task.tile.label, Receipt(self.name, self.exposure, task.tile.i0, 0, {}, 0, 0, read, seconds, time.perf_counter() - clock,
                                                          tile_bytes(task.origin, task.tile, task.halo), out))  # fmt: skip


@dataclass(frozen=True)
class Conclusion:
    """What follows from a survey, when all of its tasks are done; the step's state with it is in a file then (`target`)."""

    name: str
    exposure: int
    source: str
    step: Step
    state: str
    number: int
    folder: str
    needs: tuple[str, ...] = ()
    slit: str = ""

    @property
    def target(self) -> str:
        """The state's file."""
        return str(Path(self.folder) / "facts-state.npz")

    def process(self) -> Receipt:
        """Conclude. Repeatable, also when what it is from is gone."""
        from jwst_dask.refs.load import load_npz

        if (done := kept(self.folder, "gate")) is not None:
            return done
        clock = time.perf_counter()
        declared: Any = self.step
        paths = sorted(path for path in Path(self.folder).glob("facts-*.npz") if path.name != Path(self.target).name)

        def parts() -> Iterator[dict[str, np.ndarray]]:
            yield from map(load_arrays, paths)

        if not Path(self.target).exists():  # else all that is lacking is the receipt
            before = dict(load_npz(self.state))
            state = before | declared.conclude(self.number, parts, before)
            save_facts(self.folder, "state", {name: np.asarray(value) for name, value in state.items()})
        for path in paths:
            path.unlink(missing_ok=True)
        return keep(self.folder, "gate", Receipt(self.name, self.exposure, 0, 0, step_seconds={self.step.alias: time.perf_counter() - clock}))
