"""The task of a run: read a block of integrations, take it through the chain, write its rows of every product."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import numpy as np

from jwst_dask.core.errors import JwstDaskError
from jwst_dask.core.step import Step
from jwst_dask.data.exposure import Block

ZEROS = ""
"""In place of an array's name: planes of zeros (the error and flags of a side product)."""


@dataclass(frozen=True)
class Write:
    """Where a task writes its rows of one product.

    Attributes
    ----------
    path : str
        The temporary file.
    after : int
        Number of chain links that precede the product.
    cubes : tuple of (name, Region)
        Block arrays and their place in the file.
    table : Region, optional
        Place of the spectral rows.
    """

    path: str
    after: int
    cubes: tuple[tuple[str, Any], ...] = ()
    table: Any = None


@dataclass(frozen=True)
class BlockTask:
    """Everything a worker needs for one block; plain, small, deterministic."""

    name: str
    exposure: int
    source: Any
    start: int
    stop: int
    halo: int
    chain: tuple[tuple[Step, str], ...]
    writes: tuple[Write, ...]
    keep: tuple[str, ...] = ()
    dumps: tuple[tuple[int, str], ...] = ()
    """(links before it, folder) where the block's arrays are kept for other tasks of the exposure."""
    needs: tuple[str, ...] = ()
    slit: str = ""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Compressed: a long series has tens of thousands of tasks, and most of each is the same names again."""
        values = tuple(getattr(self, field.name) for field in dataclasses.fields(self))
        return _unpacked, (zlib.compress(cloudpickle.dumps(values), 1),)


def _unpacked(packed: bytes) -> BlockTask:
    return BlockTask(*cloudpickle.loads(zlib.decompress(packed)))


@dataclass(frozen=True)
class LookTask:
    """Complete the state of a step with what the first integration shows, as it reaches the step.

    Attributes
    ----------
    name, exposure, source
        Name of the task, index of the exposure, and its file for messages.
    origin : FitsFile
    halo : int
        Integrations that the chain wants besides.
    chain : tuple of (Step, state path)
        Steps before it.
    step, state, whole
        The step, the file of what is known, and the file for all.
    """

    name: str
    exposure: int
    source: str
    origin: Any
    halo: int
    chain: tuple[tuple[Step, str], ...]
    step: Step
    state: str
    whole: str
    needs: tuple[str, ...] = ()
    slit: str = ""

    def process(self) -> Receipt:
        """Do it. Repeatable: the file is replaced as a whole."""
        from jwst_dask.io.fits import read_block
        from jwst_dask.refs.load import load_npz

        clock = time.perf_counter()
        block = read_block(self.origin, 0, 1, self.halo)
        read, nbytes, clock = time.perf_counter() - clock, sum(array.nbytes for array in block.arrays.values()), time.perf_counter()
        for step, path in self.chain:
            block = step.run(block, load_npz(path) if path else {})
        state = dict(load_npz(self.state))
        state |= {name: np.asarray(value) for name, value in self.step.look(block, state).items()}
        temporary = f"{self.whole}.{os.getpid()}.{threading.get_ident()}.npz"
        np.savez(temporary, **state)  # type: ignore[arg-type]
        os.replace(temporary, self.whole)
        return Receipt(self.name, self.exposure, 0, 0, {}, 0, 0, read, {self.step.alias: time.perf_counter() - clock}, bytes_read=nbytes)


@dataclass(frozen=True)
class Receipt:
    """What a task sends back: small tables and figures, or what went wrong."""

    name: str
    exposure: int
    start: int
    nints: int
    tables: Mapping[str, np.ndarray] = field(default_factory=dict)
    flagged: int = 0
    pixels: int = 0
    read_seconds: float = 0.0
    step_seconds: Mapping[str, float] = field(default_factory=dict)
    write_seconds: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    error: str = ""
    error_type: str = ""
    slit: str = ""
    """Slit of a failure that is the slit's own."""


def process(task: Any) -> Receipt:
    """Run one task. Repeatable: writing the same rows twice changes nothing."""
    return _process(task) if isinstance(task, BlockTask) else task.process()


def _process(task: BlockTask) -> Receipt:
    from jwst_dask.io.fits import read_block
    from jwst_dask.refs.load import load_npz

    if task.dumps:
        from jwst_dask.core.slits.store import save_frame
    clock = time.perf_counter()
    block = read_block(task.source, task.start, task.stop, task.halo)
    read_seconds, seconds, written, bytes_written = time.perf_counter() - clock, {}, 0.0, 0
    bytes_read = sum(array.nbytes for array in block.arrays.values())
    for place, (step, state_path) in enumerate(((None, ""), *task.chain)):  # products may come before any step that touches pixels
        clock = time.perf_counter()
        if step is not None:
            block = step.run(block, load_npz(state_path) if state_path else {})
            seconds[step.alias] = time.perf_counter() - clock
        clock = time.perf_counter()
        bytes_written += sum(_write(write, block) for write in task.writes if write.after == place)
        bytes_written += sum(save_frame(folder, block) for after, folder in task.dumps if after == place)
        written += time.perf_counter() - clock
    flagged = int(np.count_nonzero(block.arrays["dq"] & 1)) if "dq" in block.arrays else 0
    return Receipt(task.name, task.exposure, block.start, block.nints, {key: block.tables[key] for key in task.keep if key in block.tables},
                   flagged, block.arrays["sci"].size, read_seconds, seconds, written, bytes_read, bytes_written)  # fmt: skip


def guarded(task: Any, *before: Receipt) -> Receipt:
    """`process`, with an error turned into a receipt so that one bad block does not take the run down.

    A task whose predecessors failed is not tried.
    """
    if any(receipt.error and not receipt.slit for receipt in before):
        return Receipt(task.name, task.exposure, 0, 0, error=f"{task.name}: not done, because {before[0].name} failed", error_type="needs", slit=task.slit)
    try:
        return process(task)
    except Exception as error:  # reported by the client, which decides whether to go on
        return failed(task, error)


def failed(task: Any, error: BaseException, remedy: str = "") -> Receipt:
    """The receipt of a block, or a slit, that could not be done."""
    task, explained = getattr(task, "task", task), isinstance(error, JwstDaskError)
    detail = str(error) if explained else f"{type(error).__name__}: {error}"
    if not isinstance(task, BlockTask):
        return Receipt(task.name, task.exposure, 0, 0, error=f"{os.path.basename(task.source)}: {remedy or detail}", error_type=type(error).__name__, slit=task.slit)
    where = f"{os.path.basename(task.source.path)}: integrations {task.start + 1}-{task.stop}"
    return Receipt(task.name, task.exposure, task.start, 0, error=f"{where}: {remedy or detail}", error_type=type(error).__name__)


def _write(write: Write, block: Block) -> int:
    from jwst_dask.io.layout import write_rows

    total = 0
    for name, region in write.cubes:
        array = block.arrays[name] if name != ZEROS else np.zeros((block.nints, *region.shape[-2:]), np.uint32 if region.unsigned else np.float32)
        write_rows(write.path, region, block.start, array)
        total += array.nbytes
    if write.table is not None:
        table = block.tables["EXTRACT1D"]
        write_rows(write.path, write.table, block.start, table)
        total += table.nbytes
    return total
