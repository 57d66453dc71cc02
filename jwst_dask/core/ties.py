"""Tasks of several stages tied together: those of a later stage wait for the exposure that they are made of, and for nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jwst_dask.core.blocks import Receipt, process
from jwst_dask.core.plan import ExposurePlan
from jwst_dask.core.ramps.receipts import keep, kept
from jwst_dask.core.ramps.tasks import Gate


@dataclass(frozen=True)
class Once:
    """A task of an exposure that others follow: done again, it changes nothing.

    When a worker dies with the receipt of the last task of an exposure, the scheduler asks for all before it once more; by then stores may be gone,
    and products may have their final names.
    """

    name: str
    exposure: int
    source: Any
    task: Any
    folder: str
    needs: tuple[str, ...] = ()
    slit: str = ""

    def process(self) -> Receipt:
        """Do it, unless it is done."""
        return kept(self.folder, self.name) or keep(self.folder, self.name, process(self.task))


def tie(tasks: list[Any], exposures: Mapping[int, ExposurePlan], folder: Path) -> list[Any]:
    """Tasks in the order of their exposures; each that another follows ends with one that says that all of it is done.

    Parameters
    ----------
    tasks : list
        Of all exposures.
    exposures : mapping
        By index; see `ExposurePlan.upstream`.
    folder : Path
        For receipts.
    """
    followed = {e.upstream.index: e.upstream for e in exposures.values() if e.upstream is not None}
    gates: dict[int, str] = {}
    for index, exposure in followed.items():
        if own := [task for task in tasks if task.exposure == index]:
            folder.mkdir(parents=True, exist_ok=True)
            needed = {name for task in own for name in task.needs}
            gates[index] = f"{exposure.name}.{index}[passed on]"
            tasks = [*tasks, Gate(gates[index], index, exposure.file.path, needs=tuple(task.name for task in own if task.name not in needed))]
    return sorted((_tied(task, exposures, gates, str(folder)) for task in tasks), key=lambda task: task.exposure)


def _tied(task: Any, exposures: Mapping[int, ExposurePlan], gates: Mapping[int, str], folder: str) -> Any:
    upstream = exposures[task.exposure].upstream
    if upstream is not None and upstream.index in gates and not task.needs:
        task = dataclasses.replace(task, needs=(gates[upstream.index],))
    if task.exposure in gates and task.name != gates[task.exposure]:
        return Once(task.name, task.exposure, task.source, task, folder, task.needs, task.slit)
    return task
