"""The tasks of stage 1: take a tile of ramps through the links of a pass, write products, leave the rest for the next pass."""

from __future__ import annotations

import dataclasses
import shutil
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from jwst_dask.core.blocks import ZEROS, Receipt, Write
from jwst_dask.core.memo import memo
from jwst_dask.core.memory import keep_rows, turn_to
from jwst_dask.core.ramps.notes import Notes
from jwst_dask.core.ramps.passes import BANDS, GROUPS, PARTS, STREAM, Tile
from jwst_dask.core.ramps.receipts import keep, kept
from jwst_dask.core.ramps.store import RampStore, load_facts, save_facts
from jwst_dask.core.step import Step
from jwst_dask.data.exposure import Block

KEPT = ("jump", "RSCD", "ramp_fit")
"""Tables of blocks that go back to the client."""
OTHER_ROWS = 4
"""Rows of a frame that a task looks at, at a time, where its own do not tell enough."""
DUMPED = ("opt_", "persistence_window")
"""Arrays, by the beginning of their names, that the client puts together when the exposure is done."""


@dataclass(frozen=True)
class RampTask:
    """One tile of one pass; plain, small, deterministic.

    Attributes
    ----------
    name, exposure, source
        Name of the task, index of the exposure, and its file for messages.
    origin : FitsFile or RampStore
        Where ramps come from.
    sink : RampStore, optional
        Where they go for the next pass.
    links : tuple of (Step, str, int)
        Steps, the files of their states, and rows that they need above and below.
    writes : tuple of Write
        Rows of products.
    kind, tile, halo, round
        See `core.ramps.passes.Pass`.
    facts : str
        Folder of what the pass before has found out ('' without).
    leaves : str
        Folder for what this pass finds out.
    selected : (int, int), optional
        Groups that ramp_fit is to use, and not those outside.
    dump : str
        Folder for arrays that the client puts together.
    receipts : str
        Folder for the receipts of tasks that are done ('' where nobody needs them: see `core.ramps.receipts`).
    needs : tuple of str
        Names of tasks that must be done before.
    """

    name: str
    exposure: int
    source: str
    origin: Any
    sink: RampStore | None
    links: tuple[tuple[Step, str, int], ...]
    writes: tuple[Write, ...]
    kind: str
    tile: Tile
    halo: int = 0
    facts: str = ""
    leaves: str = ""
    dump: str = ""
    receipts: str = ""
    needs: tuple[str, ...] = ()
    selected: tuple[int, int] | None = None
    slit: str = ""
    round: str = ""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Compressed: the tasks of an exposure have most in common."""
        values = tuple(getattr(self, field.name) for field in dataclasses.fields(self))
        return _unpacked, (zlib.compress(cloudpickle.dumps(values), 1),)

    def process(self) -> Receipt:
        """Do it. Repeatable: it reads what it does not write, and once done it is not done again."""
        if (done := kept(self.receipts, self.tile.label)) is not None:
            return done
        turn_to((self.exposure, self.source, self.receipts))
        how = self._stream if self.kind == STREAM else self._part if self.kind == PARTS else self._tiled
        return keep(self.receipts, self.tile.label, how(time.perf_counter()))

    def _tiled(self, clock: float) -> Receipt:
        block = self._read()
        read, nbytes = time.perf_counter() - clock, tile_bytes(self.origin, self.tile, self.halo)
        seconds: dict[str, float] = {}
        written, out = 0.0, 0
        for place in range(len(self.links) + 1):
            if place:
                clock = time.perf_counter()
                block = _trimmed(block, sum(halo for _, _, halo in self.links[place - 1 :]))
                step, path, _ = self.links[place - 1]
                state = self._state(step, path)
                if self.kind == BANDS and getattr(step, "asks_others", False):
                    state = state | {"others": partial(self._others, place - 1)}
                block = self._own(step.run(block, state))
                seconds[step.alias] = seconds.get(step.alias, 0.0) + time.perf_counter() - clock
            clock = time.perf_counter()
            out += sum(_write(write, block) for write in self.writes if write.after == place)
            written += time.perf_counter() - clock
        clock = time.perf_counter()
        block = _trimmed(block, 0)
        if self.sink is not None:
            out += self.sink.put(block)
        if self.leaves and "groupdq" in block.arrays:
            save_facts(self.leaves, self.tile.label, facts_of(block, self.selected))
        self._dump(block)
        flagged = int(np.count_nonzero(block.arrays["dq"] & 1)) if "dq" in block.arrays else 0
        tables = {name: block.tables[name] for name in KEPT if name in block.tables}
        return Receipt(self.name, self.exposure, self.tile.i0, block.arrays["sci"].shape[0], tables, flagged, block.arrays["sci"].size, read, seconds,
                       written + time.perf_counter() - clock, nbytes, out)  # fmt: skip

    def _read(self) -> Block:
        tile = self.tile
        if self.kind == GROUPS:
            context = (0, 1) if tile.g0 > 0 and self._context() else None
            block = self._tile(tile.i0, tile.i1, tile.y0, tile.y1, (tile.g0, tile.g1))
            if context is not None:
                first = self._tile(tile.i0, tile.i1, tile.y0, tile.y1, context)
                for name in (name for name in ("sci", "groupdq") if name in block.arrays):
                    block.arrays[name] = np.concatenate((first.arrays[name], block.arrays[name]), axis=1)
            return block
        ny = self.origin.shape[0] if isinstance(self.origin, RampStore) else self.origin.hdu("SCI").shape[-2]
        above, below = min(self.halo, tile.y0), min(self.halo, ny - tile.y1)
        block = self._tile(tile.i0, tile.i1, tile.y0 - above, tile.y1 + below, None)
        block.row_halo = (above, below)
        return block

    def _others(self, place: int) -> Iterator[Block]:
        """All rows of the frame as they reach a link, a few at a time, from the middle on."""
        ny = self.origin.shape[0] if isinstance(self.origin, RampStore) else self.origin.hdu("SCI").shape[-2]
        starts = sorted(range(0, ny, OTHER_ROWS), key=lambda y0: abs(y0 - ny // 2))
        for y0 in starts:
            task = dataclasses.replace(self, tile=dataclasses.replace(self.tile, y0=y0, y1=min(y0 + OTHER_ROWS, ny)))
            block = task._read()
            for k in range(place):
                step, path, _ = self.links[k]
                block = step.run(_trimmed(block, sum(halo for _, _, halo in self.links[k:])), task._state(step, path))
            yield _trimmed(block, 0)

    def _tile(self, i0: int, i1: int, y0: int, y1: int, groups: tuple[int, int] | None) -> Block:
        if isinstance(self.origin, RampStore):
            return self.origin.read(i0, i1, y0, y1, groups, self._names())
        from jwst_dask.io.ramps import read_ramp

        return read_ramp(self.origin, i0, i1, y0, y1, groups=groups)

    def _names(self) -> tuple[str, ...] | None:
        """Arrays to be read for a few groups: what the step reads, and what is not shared with the next store; all of them else."""
        if self.kind != GROUPS or self.writes or self.sink is None:
            return None
        step, state, _ = self.links[0]
        declared: Any = step
        reads = declared.touches(self._state(step, state))[0] if hasattr(declared, "touches") else declared.reads
        return tuple(name for name in self.origin.names() if name in reads or name not in self.sink.shared)

    def _context(self) -> bool:
        """Whether groups are corrected together with the first of their integration."""
        step, state, _ = self.links[0]
        declared: Any = step
        return bool(declared.group_context(self._state(step, state)))

    def _own(self, block: Block) -> Block:
        """Without a first group that was only there for the others."""
        if self.kind != GROUPS or block.arrays["sci"].shape[1] == self.tile.g1 - self.tile.g0:
            return block
        arrays = {name: array[:, 1:] if name in ("sci", "groupdq") else array for name, array in block.arrays.items()}
        return dataclasses.replace(block, arrays=arrays)

    def _state(self, step: Step, path: str) -> dict[str, Any]:
        from jwst_dask.refs.load import load_npz

        state = dict(load_npz(path)) if path else {}
        return state | self._found(step, state) if self.facts else state

    def _found(self, step: Step, state: dict[str, Any]) -> dict[str, Any]:
        """What a step wants to know of the whole frame."""
        if step.alias not in ("jump", "ramp_fit"):
            return {}
        parts = memo(("facts", self.facts), lambda: load_facts(self.facts, ""))  # complete since the gate, and for all tasks of the pass
        if not parts:
            return {}
        if step.alias == "jump":
            dead = np.ones((max(int(part["i1"]) for part in parts), parts[0]["dead"].shape[1]), bool)
            for part in parts:
                dead[int(part["i0"]) : int(part["i1"])] &= part["dead"]
            return {"dead_groups": dead}
        from jwst_dask.kernels.ramp.fit import limits

        declared: Any = step
        name = "used_suppressed" if declared.suppress_one_group and parts[0]["dead"].shape[1] > 1 else "used"
        used = np.logical_or.reduce([part[name] for part in parts])
        first, last = (int(value) for value in state["selected"])
        used[:first], used[last:] = False, False
        found = limits(used)
        return {"window": np.array(found if found is not None else (-1, -1))}

    def _stream(self, clock: float) -> Receipt:
        assert self.sink is not None
        ((step, state, _),) = self.links
        declared: Any = step
        ramps: RampStore = self.origin
        if (ramps.shape, ramps.names()) == (self.sink.shape, self.sink.names()):  # in place, but so that it can be done again
            for name in set(ramps.names()) - set(self.sink.shared):
                shutil.copyfile(ramps.path(name), self.sink.path(name))
            ramps = self.sink
        read, clock = time.perf_counter() - clock, time.perf_counter()
        tables = declared.stream(ramps, _Sink(self.sink, self.writes), self._state(step, state)) or {}
        seconds = {step.alias: time.perf_counter() - clock}
        clock, written = time.perf_counter(), 0
        if self.writes or self.leaves:
            for block in self.sink.blocks():
                written += sum(_write(write, block) for write in self.writes if write.after and not _is_side(write))
                if self.leaves:
                    save_facts(self.leaves, f"{block.start:05d}", facts_of(block, self.selected))
        if windows := {name: array for name, array in tables.items() if name.startswith(DUMPED)}:
            save_facts(self.dump, f"dump-{self.tile.label}", windows | {"y0": np.array(0), "i0": np.array(0)})
        kept = {name: table for name, table in tables.items() if name in KEPT}
        return Receipt(self.name, self.exposure, 0, ramps.nints, kept, 0, 0, read, seconds, time.perf_counter() - clock, 0, written)

    def _part(self, clock: float) -> Receipt:
        """A part of what a step does with a stored ramp, found in files beside it; blocks that come out of it are finished tiles."""
        ((step, state, _),) = self.links
        declared: Any = step
        tile, written, out = self.tile, 0.0, 0
        place = (tile.i0, tile.i1, tile.y0, tile.y1, tile.g0, tile.g1)
        for block in declared.part(self.round, place, self.origin, Notes(self.origin.folder), self._state(step, state)):
            begin = time.perf_counter()
            assert self.sink is not None
            out += self.sink.put(block) + sum(_write(write, block) for write in self.writes if write.after)
            written += time.perf_counter() - begin
        seconds = {step.alias: time.perf_counter() - clock - written}
        return Receipt(self.name, self.exposure, tile.i0, tile.i1 - tile.i0, {}, 0, 0, 0.0, seconds, written, 0, out)

    def _dump(self, block: Block) -> None:
        if self.dump and (found := {name: a for name, a in block.arrays.items() if name.startswith(DUMPED)}):
            save_facts(self.dump, f"dump-{self.tile.label}", found | {"y0": np.array(block.y0), "i0": np.array(block.start)})


def tile_bytes(origin: Any, tile: Tile, halo: int = 0) -> int:
    """Bytes of an exposure's file that a tile is read from; none if it comes from a store."""
    if isinstance(origin, RampStore):
        return 0
    total, (ngroups, ny, nx) = 0, origin.hdu("SCI").shape[1:]
    rows, groups = min(ny, tile.y1 + halo) - max(0, tile.y0 - halo), tile.g1 or ngroups
    samples = (tile.i1 - tile.i0) * rows * nx
    counts = {"SCI": samples * (groups - tile.g0), "GROUPDQ": samples * (groups - tile.g0), "PIXELDQ": rows * nx, "DQ": rows * nx, "ZEROFRAME": samples}
    for name, count in counts.items():
        if name in origin and not (name == "ZEROFRAME" and tile.g0):
            total += count * np.dtype(origin.hdu(name).dtype).itemsize
    return total


def _unpacked(packed: bytes) -> RampTask:
    return RampTask(*cloudpickle.loads(zlib.decompress(packed)))


def _trimmed(block: Block, halo: int) -> Block:
    """A block with at most `halo` rows above and below its own; takes the arrays of the one that is given."""
    above, below = (max(0, have - halo) for have in block.row_halo)
    if not above and not below:
        return block
    for name in [name for name, array in block.arrays.items() if array.ndim >= 2]:
        keep_rows(block.arrays, name, above, below)
    return dataclasses.replace(block, y0=block.y0 + above, row_halo=(block.row_halo[0] - above, block.row_halo[1] - below))


def facts_of(block: Block, selected: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """Which groups are unusable in all pixels of a block, and which of the selected ones may be used."""
    from jwst_dask.kernels.ramp.fit import used_groups
    from jwst_dask.kernels.ramp.jump import dead_groups

    groupdq = block.arrays["groupdq"]
    first, last = selected or (0, groupdq.shape[1])
    return {"dead": dead_groups(groupdq), "used": used_groups(groupdq, False, first, last), "used_suppressed": used_groups(groupdq, True, first, last),
            "i0": np.array(block.start), "i1": np.array(block.start + len(groupdq))}  # fmt: skip


def _is_side(write: Write) -> bool:
    """Whether it is a side product of a step, and not what ramps have become."""
    return any(name not in ("sci", "groupdq", "pixeldq", "zeroframe", ZEROS) for name, _ in write.cubes)


@dataclass
class _Sink:
    """Where a step that streams writes: the store, and the files of its side products."""

    store: RampStore
    writes: tuple[Write, ...]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def write(self, block: Block) -> None:
        """Arrays of some integrations."""
        self.store.write(block)
        for write in self.writes:
            if _is_side(write) and any(name in block.arrays for name, _ in write.cubes):
                _write(write, block)


def _write(write: Write, block: Block) -> int:
    """Write what a block has of a product."""
    from jwst_dask.io.layout import write_tile

    (above, below), total = block.row_halo, 0
    for name, region in write.cubes:
        if name in ("zeroframe", "pixeldq") and block.group0 > 0 and name not in block.arrays:  # comes with the first group
            continue
        if name == ZEROS or (name == "err" and name not in block.arrays):  # guide exposures have none at first
            shape = block.arrays["sci"].shape
            array = np.zeros((*(shape[:1] if region.nrows > 1 or len(region.shape) > 2 else ()), *(shape[1:2] if len(region.shape) > 2 else ()), *shape[-2:]),
                             np.uint8 if np.dtype(region.dtype).itemsize == 1 else np.uint32 if region.unsigned else np.float32)  # fmt: skip
        else:
            array = np.asarray(block.arrays[name])
            array = array.astype(np.float32) if array.dtype == bool else array
        array = array[..., above : array.shape[-2] - below, :]
        write_tile(write.path, region, block.start, block.y0 + above, array, block.group0)
        total += array.nbytes
    return total


@dataclass(frozen=True)
class Gate:
    """Done when all tasks of a pass are: so that those of the next need one task and not all of them.

    Attributes
    ----------
    old : str
        Folder of the store that the pass has read.
    made, leaves
        What it has written, and the folder for what is to be found out of it.
    """

    name: str
    exposure: int
    source: str
    old: str = ""
    made: RampStore | None = None
    leaves: str = ""
    receipts: str = ""
    needs: tuple[str, ...] = ()
    selected: tuple[int, int] | None = None
    slit: str = ""

    def process(self) -> Receipt:
        """Remove the store that the pass has read; find out what its tasks could not, having seen some groups only."""
        if (done := kept(self.receipts, "gate")) is not None:
            return done
        if self.leaves and self.made is not None:
            for block in self.made.blocks():
                save_facts(self.leaves, f"{block.start:05d}", facts_of(block, self.selected))
        if self.old and Path(self.old).exists():
            shutil.rmtree(self.old, ignore_errors=True)
        return keep(self.receipts, "gate", Receipt(self.name, self.exposure, 0, 0))

