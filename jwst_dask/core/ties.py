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
    own: dict[int, list[Any]] = {}
    for task in tasks:
        own.setdefault(task.exposure, []).append(task)
    followed = {up.index for exposure in exposures.values() for up in exposure.follows()}
    gates = {index: f"{exposures[index].name}.{index}[passed on]" for index in followed if index in own}
    if gates:
        folder.mkdir(parents=True, exist_ok=True)
    out: list[Any] = []
    for index in sorted(own, key=lambda index: (_turn(exposures[index]), index)):
        exposure, waits, ends = exposures[index], "", gates.get(index, "")
        before = tuple(dict.fromkeys(gates[up.index] for up in exposure.follows() if up.index in gates))
        if before:
            waits = before[0]
            if len(before) > 1:  # tasks that read should need few
                waits = f"{exposure.name}.{index}[all there]"
                out.append(_tied(Gate(waits, index, exposure.file.path, needs=before), "", ends, str(folder)))
        out += [_tied(task, waits, ends, str(folder)) for task in own[index]]
        if ends:
            needed = {name for task in own[index] for name in task.needs}
            out.append(Gate(ends, index, exposure.file.path, needs=tuple(task.name for task in own[index] if task.name not in needed)))
    return out


def _turn(exposure: ExposurePlan) -> int:
    """Exposures go one after the other, each after all that it needs."""
    return max([exposure.index, *(1 + _turn(other) for other in exposure.follows())])


def _tied(task: Any, waits: str, ends: str, folder: str) -> Any:
    """A task behind the one it waits for, if any; done once, if its exposure ends with one that others wait for."""
    if waits and not task.needs:
        task = dataclasses.replace(task, needs=(waits,))
    return Once(task.name, task.exposure, task.source, task, folder, task.needs, task.slit) if ends else task
