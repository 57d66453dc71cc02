"""An exposure of ramps in a plan: its passes, their tasks, and what its products lack until the last of them is done."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jwst_dask.core.blocks import Receipt, Write
from jwst_dask.core.errors import InputError
from jwst_dask.core.plan import ExposurePlan, PlannedProduct
from jwst_dask.core.prepare import StateStore
from jwst_dask.core.ramps import products as ramp_products
from jwst_dask.core.ramps.copies import COPIED, CopyTask
from jwst_dask.core.ramps.passes import BANDS, FRAMES, GROUPS, PARTS, STREAM, Pass, by_rows, changes, halo_of, surveys_of
from jwst_dask.core.ramps.store import RampStore, load_facts
from jwst_dask.core.ramps.surveys import with_surveys
from jwst_dask.core.ramps.tasks import Gate, RampTask, tile_bytes

log = logging.getLogger(__name__)



@dataclass
class RampExposurePlan(ExposurePlan):
    """One exposure through stage 1.

    Attributes
    ----------
    passes : list of Pass
    ngroups : int
    scratch : Path
        Folder of the stores between passes.
    limit : int
        Bytes that a tile may have.
    """

    passes: list[Pass] = field(default_factory=list)
    ngroups: int = 0
    zeroframe: bool = False
    scratch: Path = Path()
    limit: int = 0
    found: dict[str, list[Receipt]] = field(default_factory=dict)

    def ntasks(self) -> int:
        """Tasks of a run."""
        surveys = sum(surveys_of(link) * (len(p.tiles) + 1) for p in self.passes if p.kind in (FRAMES, BANDS) for link in self.links()[p.first : p.last])
        return sum(len(p.tiles) for p in self.passes) + max(0, len(self.passes) - 1) + surveys + self._copied()

    def summary(self) -> str:
        """What is done with it, in a few words."""
        ny, nx = self.passes[0].shape
        words = ", then ".join(f"{len(p.tiles)} {p.kind}" if len(p.tiles) > 1 or p.kind in ("frames", "bands") else p.kind for p in self.passes)
        return f"{self.nints} x {self.ngroups} groups of {ny} x {nx}: {words}"

    @property
    def nints(self) -> int:
        """Integrations in the file."""
        return int(self.file.hdu("SCI").shape[0])

    def bytes_read(self) -> int:
        """Bytes of pixels read from the file, halos included."""
        copied = self.file.hdu(COPIED).nbytes if self._copied() else 0
        return copied + sum(tile_bytes(self.file, tile, self.passes[0].halo) for tile in self.passes[0].tiles)

    def _copied(self) -> bool:
        """Whether a product has what no step touches."""
        return any(p.layout is not None and (COPIED, 1) in p.layout.regions for p in self.pending())

    def tasks(self, store: StateStore, level3: PlannedProduct | None, ver: int) -> list[Any]:
        """Tasks of all passes; none if nothing is to be made."""
        self._sweep()
        wanted = self.pending()
        if not wanted:
            return []
        links, out = self.links(), list[Any]()
        last = max((k for k, one in enumerate(self.passes) if any(self._ends_in(k, one, p) for p in wanted)), default=0)
        origin: Any = self.file
        states = [(stage.step, store.put(stage.state), halo_of(stage)) for stage in links]
        gate, facts = "", ""
        selected = next(((int(first), int(last)) for stage in links if "selected" in stage.state for first, last in [stage.state["selected"]]), None)
        for k, one in enumerate(self.passes[: last + 1]):
            sink = None
            if one.final and (k < last or one.kind in (STREAM, PARTS)):
                sink = self._store(k, one, origin)
            leaves = str(self.scratch / f"facts{k}") if one.facts and k < last else ""
            receipts = str(self.scratch / f"done{k}") if last else ""
            for folder in filter(None, (leaves, receipts, str(self.scratch / "dump"))):
                Path(folder).mkdir(parents=True, exist_ok=True)
            writes = self._writes(k, one, wanted)
            source = self._reads(origin, k, one)
            tasks = [RampTask(f"{self.name}.{self.index}[{k}:{tile.label}]", self.index, self.file.path, source, sink, tuple(states[one.first : one.last]), writes,
                              one.kind, tile, one.halo, facts, "" if one.kind in (GROUPS, PARTS) else leaves, str(self.scratch / "dump"), receipts, (gate,) if gate else (),
                              selected=selected, round=one.round) for tile in one.tiles]  # fmt: skip
            before, tasks = with_surveys(tasks, links[one.first : one.last] if one.kind in (FRAMES, BANDS) else [], self.scratch / "surveys")
            out += [*before, *tasks]
            if k < last:
                old = origin.folder if isinstance(origin, RampStore) and one.final else ""
                gate = f"{self.name}.{self.index}[{k}:gate]"
                out.append(Gate(gate, self.index, self.file.path, old, sink, leaves if one.kind in (GROUPS, PARTS) else "", receipts,
                                tuple(task.name for task in tasks), selected))  # fmt: skip
            origin, facts = sink if one.final else origin, leaves or facts
        return [*out, *self._copies(wanted)]

    def _copies(self, wanted: list[PlannedProduct]) -> list[CopyTask]:
        """The task that copies what no step touches, if a product has it."""
        places = tuple((str(p.temporary), p.layout.regions[COPIED, 1]) for p in wanted if p.layout is not None and (COPIED, 1) in p.layout.regions)
        return [CopyTask(f"{self.name}.{self.index}[{COPIED}]", self.index, self.file.path, self.file, places)] if places else []

    @staticmethod
    def _ends_in(k: int, one: Pass, planned: PlannedProduct) -> bool:
        """Whether a product is complete within pass `k`."""
        return (one.final and one.first < planned.after <= one.last) or (k == 0 and planned.after == 0)

    def _reads(self, origin: Any, k: int, one: Pass) -> Any:
        """Where a pass reads; a step that streams reads a store, which the file has to be copied to if it comes first."""
        if one.kind in (STREAM, PARTS) and not isinstance(origin, RampStore):
            raise InputError(f"{os.path.basename(self.file.path)}: a pass that streams cannot be the first")
        return origin

    def _store(self, k: int, one: Pass, origin: Any) -> RampStore:
        """The store that a pass writes; what its steps leave alone stays where it is."""
        shape = self.passes[k + 1].shape if k + 1 < len(self.passes) else self.draft.shape
        rows = k + 1 < len(self.passes) and by_rows(one, self.passes[k + 1])
        before = origin if isinstance(origin, RampStore) and (origin.shape, origin.by_rows) == (shape, rows) else None
        changed = {name for link in self.links()[one.first : one.last] for name in changes(link)}
        shared = tuple(name for name in before.names() if name not in changed) if before is not None else ()
        sink = RampStore(str(self.scratch / f"pass{k}"), self.nints, self.ngroups, shape, self.zeroframe, self.limit // 3, shared, rows)
        return sink.create(before)

    def _writes(self, k: int, one: Pass, wanted: list[PlannedProduct]) -> tuple[Write, ...]:
        """Products that are complete within a pass; one at its end is written there, not at the start of the next."""
        out = []
        for planned in wanted:
            if planned.layout is None or not self._ends_in(k, one, planned):
                continue
            names = {hdu: planned.arrays[hdu] for (hdu, _) in planned.layout.regions if hdu in planned.arrays}
            cubes = tuple((names[hdu], region) for (hdu, _), region in planned.layout.regions.items() if hdu in names)
            out.append(Write(str(planned.temporary), planned.after - one.first, cubes))
        return tuple(out)

    def note(self, receipt: Receipt) -> None:
        """Keep the tables of a finished task until the exposure is done."""
        for name in receipt.tables:
            self.found.setdefault(name, []).append(receipt)

    def finish_products(self) -> None:
        """Put what only all tasks together know into the products' metadata."""
        late = self.late = ramp_products.late_metadata(self.draft, {name: [r.tables[name] for r in receipts] for name, receipts in self.found.items()})
        for planned in self.pending():
            if planned.model is not None and late and (planned.layout is None or planned.temporary is not None):
                ramp_products.rewrite(planned, {k: v for k, v in late.items() if ramp_products.concerns(k, planned.recorded)})

    def withheld(self, planned: PlannedProduct) -> str:
        """Why a product is not made after all ('' if it is)."""
        tables = [r.tables["ramp_fit"] for r in self.found.get("ramp_fit", ())]
        if "ramp_fit" in planned.recorded and tables and all(bool(t["unusable"].all()) for t in tables):
            return "no ramp can be fitted (all are saturated from their first group on, or too few groups are left)"
        return ""

    def assemble(self, planned: PlannedProduct) -> bool:
        """Put an optional product together from what the tasks left."""
        dumps = load_facts(str(self.scratch / "dump"), "dump-")
        return ramp_products.assemble(planned, dumps, self.draft)

    def after_all(self) -> None:
        """What a step wants done when its exposure is finished."""
        dumps = load_facts(str(self.scratch / "dump"), "dump-") if (self.scratch / "dump").exists() else []
        for stage in self.links():
            closing: Any = getattr(stage.step, "close", None)
            if closing is not None:
                closing(self.draft, dumps)

    def discard(self) -> None:
        """Remove the stores of a run that did not end well."""
        self.clean()

    def clean(self) -> None:
        """Remove the stores."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        with contextlib.suppress(OSError):  # others have theirs there
            self.scratch.parent.rmdir()

    def _sweep(self) -> None:
        """Remove stores that killed runs left of this exposure."""
        for folder in self.scratch.parent.glob(f"{glob.escape(self.name)}.*"):
            log.info("removing %s, left by a run that did not end", folder)
            shutil.rmtree(folder, ignore_errors=True)
