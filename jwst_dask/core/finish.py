"""Carry out a plan: allocate, run, finish each product as its last block is written, record it."""

from __future__ import annotations

import contextlib
import glob
import json
import logging
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.core import execute, ledger
from jwst_dask.core.blocks import Receipt
from jwst_dask.core.config import setting
from jwst_dask.core.errors import InputError, JwstDaskError
from jwst_dask.core.plan import ExposurePlan, Job, Plan, PlannedProduct
from jwst_dask.core.prepare import StateStore, flat_meta
from jwst_dask.core.ties import tie

log = logging.getLogger(__name__)

OWNER = "owner"
"""File in a folder of a run: the machine and the process that it belongs to."""


@dataclass
class Result:
    """What a run made.

    Attributes
    ----------
    products : dict
        File name -> path, of everything that is there and current, made now or before.
    made : list of str
        Names of what this run made.
    failures : list of str
        What went wrong.
    tolerated : list of str
        What went wrong in pipelines with ``fail_on_exception=False``.
    receipts : list of Receipt
        One for each block task that was carried out.
    """

    output_dir: Path
    products: dict[str, Path] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    tolerated: list[str] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0, or 1 when something failed."""
        return 1 if self.failures else 0


def carry_out(plan: Plan, opts: Any, client: Any, result: Result, progress: Any = None) -> Result:
    """Run a plan's block tasks and finish its products.

    Raises
    ------
    JwstDaskError
        At the first failure, unless ``opts.on_error`` is ``skip``. Temporary files are removed; finished products stay.
    """
    began, text = time.perf_counter(), plan.explain()
    earlier = replace(result, made=list(result.made), receipts=list(result.receipts), failures=[])
    states = opts.workspace / "states" / opts.run_id
    _sweep(plan, opts)
    claim(states)
    work = _Work(plan, opts, result, progress)
    try:
        tasks = work.allocate(StateStore(states))
        if progress is not None:
            progress.start(len(tasks), ", ".join(dict.fromkeys(job.pipeline.alias for job in plan.jobs)))
        for job, exposure in work.ready:  # all their slits are done
            work.complete(job, exposure)
        execute.run_tasks(tasks, work.done, client, opts.threads, opts.scheduler)
        work.finish_jobs()
    finally:
        work.discard()
        shutil.rmtree(states, ignore_errors=True)
        if progress is not None:
            progress.stop()
        result.plans.append(plan)
        for job in plan.jobs:
            (result.tolerated if job.tolerant else result.failures).extend(job.failures)
        result.seconds += time.perf_counter() - began
        _manifest(plan, text, opts, result, earlier)
    return result


def _sweep(plan: Plan, opts: Any) -> None:
    """Remove temporary files that killed runs left for the products of this plan."""
    for job in plan.jobs:
        for planned in job.products():
            for path in planned.final.parent.glob(f".{glob.escape(planned.final.name)}.*.part"):
                log.info("removing %s, left by a run that did not end", path.name)
                path.unlink(missing_ok=True)


def claim(folder: Path) -> None:
    """Make a folder of a run, and remove those beside it of runs that were killed: their processes, on this machine, are gone."""
    for owner in folder.parent.glob(f"*/{OWNER}"):
        with contextlib.suppress(OSError):  # a run that ends removes its own
            _remove_ownerless(owner)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OWNER).write_text(f"{socket.gethostname()} {os.getpid()}")
    except OSError as error:  # whoever has something to put there will say so
        log.debug("%s: cannot be written (%s)", folder, error.strerror)


def _remove_ownerless(owner: Path) -> None:
    host, _, pid = owner.read_text(errors="replace").partition(" ")
    if host == socket.gethostname() and pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
        log.info("removing %s, left by a run that did not end", owner.parent)
        shutil.rmtree(owner.parent, ignore_errors=True)


class _Work:
    """State of a run on the client: what each exposure still waits for."""

    def __init__(self, plan: Plan, opts: Any, result: Result, progress: Any) -> None:
        self.plan, self.opts, self.result, self.progress = plan, opts, result, progress
        self.book = ledger.Ledger(opts.output_dir)
        self.waiting: dict[int, int] = {}
        self.exposures: dict[int, tuple[Job, ExposurePlan]] = {e.index: (job, e) for job in plan.jobs for e in job.exposures}
        self.failed: set[int] = set()
        self.ready: list[tuple[Job, ExposurePlan]] = []
        self.white: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}

    def allocate(self, store: StateStore) -> list[Any]:
        """Temporary files for everything to be made, and the tasks that fill them."""
        tasks: list[Any] = []
        for job in self.plan.jobs:
            for planned in job.products():
                if planned.done:
                    self.result.products[planned.final.name] = planned.final
                    log.info("%s is current, not made again", planned.final.name)
            for exposure in job.exposures:
                self._reserve(job, exposure, exposure.pending())
            self._reserve(job, None, [p for p in job.level3 if not p.done])
            table = job.table()
            for ver, exposure in enumerate(self._extracted(job), start=1) if table is not None else ():
                exposure.tables["ver"] = ver
            for exposure in job.exposures:
                own = self._tasks(job, exposure, store, table)
                if exposure.index not in self.failed:
                    self.waiting[exposure.index] = len(own)
                    tasks += own
                    if not own and any(p.layout is None for p in exposure.pending()):
                        self.ready.append((job, exposure))
                for stage in [*exposure.prior, *exposure.stages] if not exposure.joined else ():  # the store has it
                    stage.state = {}
        tasks = tie(tasks, {index: exposure for index, (_, exposure) in self.exposures.items()}, store.folder / "done")
        self.waiting |= Counter(task.exposure for task in tasks)
        return tasks

    def _reserve(self, job: Job, exposure: ExposurePlan | None, wanted: list[PlannedProduct]) -> None:
        """Temporary files of one exposure's products, or of the level-3 products: all or none."""
        from jwst_dask.io.layout import allocate, temporary

        try:
            for planned in wanted:
                if planned.layout is not None and planned.temporary is None:
                    planned.final.parent.mkdir(parents=True, exist_ok=True)
                    planned.temporary = Path(temporary(planned.final, self.opts.run_id))
                    allocate(planned.temporary, planned.layout, reserve=bool(setting("fits.preallocate")))
                    planned.layout = replace(planned.layout, pieces=())  # they are in the file
        except (JwstDaskError, OSError) as error:
            for planned in wanted:
                _discard(planned)
            if exposure is not None:
                self._fail(job, exposure, str(error))
            else:
                self._note_failure(job, wanted, str(error))
                job.level3 = [p for p in job.level3 if p.done]

    def _tasks(self, job: Job, exposure: ExposurePlan, store: StateStore, table: PlannedProduct | None) -> list[Any]:
        """An exposure's tasks; none if they cannot be had, for want of room for what lies between them perhaps."""
        if exposure.index in self.failed:
            return []
        try:
            return exposure.tasks(store, table if "ver" in exposure.tables else None, exposure.tables.get("ver", 0))
        except (JwstDaskError, OSError) as error:
            for planned in exposure.pending():
                _discard(planned)
            exposure.discard()
            self._fail(job, exposure, str(error))
            return []

    def _extracted(self, job: Job) -> list[ExposurePlan]:
        return [e for e in job.exposures if e.draft.spectra is not None]

    def done(self, receipt: Receipt) -> None:
        """Take note of a finished block; finish the exposure's products after its last one."""
        job, exposure = self.exposures[receipt.exposure]
        if self.progress is not None:
            self.progress.advance(receipt)
        if receipt.error and receipt.slit and exposure.index not in self.failed:
            self._lose_slit(job, exposure, receipt)
        elif receipt.error:
            stopped = receipt.error_type == "needs" and exposure.upstream is not None
            self._fail(job, exposure, f"{exposure.name}: {job.pipeline.alias} has nothing to work on, because the stage before it failed" if stopped else receipt.error)
            return
        self.result.receipts.append(receipt)
        exposure.note(receipt)
        if "white_light" in receipt.tables:
            sums, times = receipt.tables["white_light"], receipt.tables["white_light_times"]
            self.white.setdefault(receipt.exposure, []).append((receipt.start, sums, times))
        self.waiting[receipt.exposure] -= 1
        if self.waiting[receipt.exposure] == 0 and receipt.exposure not in self.failed:
            self.complete(job, exposure)

    def complete(self, job: Job, exposure: ExposurePlan) -> None:
        """Finish an exposure's products, all of whose tasks are done."""
        try:
            exposure.finish_products()
        except JwstDaskError as error:
            self._fail(job, exposure, str(error))
            return
        for planned in exposure.pending():
            if why := exposure.withheld(planned):
                log.warning("%s: not made: %s", planned.final.name, why)
                _discard(planned)
                self._stop_following(planned, exposure, why)
                continue
            if planned.layout is None:  # put together from the slits
                planned.temporary = Path(temporary_of(planned.final, self.opts.run_id))
                planned.final.parent.mkdir(parents=True, exist_ok=True)
                if not exposure.assemble(planned):
                    log.warning("%s: no slit has come to it, so it is not made", planned.final.name)
                    planned.temporary = None
                    continue
            self._finish(planned, exposure.inherited(), exposure.incomplete())
        exposure.after_all()
        exposure.clean()
        if why := exposure.lost():
            self._fail(job, exposure, why)

    def _stop_following(self, planned: PlannedProduct, exposure: ExposurePlan, why: str) -> None:
        """Exposures of a later stage have lost what they were to work on."""
        for job, other in self.exposures.values() if planned.passed else ():
            if any(up is exposure for up in other.follows()):
                self._fail(job, other, f"{planned.final.name} is not made: {why}")

    def _lose_slit(self, job: Job, exposure: ExposurePlan, receipt: Receipt) -> None:
        """A slit failed: it is left out of the products, the others go on."""
        log.error("%s", receipt.error)
        exposure.lose(receipt.slit, receipt.error)
        job.failures.append(receipt.error)

    def _fail(self, job: Job, exposure: ExposurePlan, text: str) -> None:
        if exposure.index in self.failed:
            return
        self.failed.add(exposure.index)
        self._note_failure(job, exposure.pending(), text)

    def _note_failure(self, job: Job, lost: list[PlannedProduct], text: str) -> None:
        """Record a failure; stop the run if it is to stop at the first."""
        log.error("%s", text)
        job.failures.append(text)
        for planned in lost:
            self.book.record_failure(planned.final, planned.key, text)
        if not job.skip:
            raise JwstDaskError(text)

    def _finish(self, planned: PlannedProduct, late: Mapping[str, Any], lacking: str = "") -> None:
        from jwst_dask.io.layout import finish
        from jwst_dask.io.patch import patch

        if late and planned.product.extension == ".fits":
            patch(str(planned.temporary), late)
        if planned.passed:
            planned.temporary = _second_name(Path(str(planned.temporary)), planned.final, self.opts.run_id)
        if planned.product.extension == ".fits":
            finish(str(planned.temporary), planned.final, checksum=bool(setting("fits.checksum", self.opts.checksum)), fsync=bool(setting("fits.fsync")))
        else:
            os.replace(str(planned.temporary), planned.final)
        self._note(planned, lacking)

    def _note(self, planned: PlannedProduct, lacking: str = "") -> None:
        """Record a finished product; one that lacks something is not current, so that --resume tries again."""
        planned.done, planned.temporary = True, None
        self.book.record(planned.final, f"{planned.key} without {lacking}" if lacking else planned.key)
        self.result.products[planned.final.name] = planned.final
        self.result.made.append(planned.final.name)
        log.info("made %s", planned.final.name)

    def finish_jobs(self) -> None:
        """Level-3 products, when all their exposures are done."""
        for job in self.plan.jobs:
            todo = [p for p in job.level3 if not p.done]
            if not todo:
                continue
            broken = [e.name for e in job.exposures if e.index in self.failed]
            if broken:
                why = f"{job.name}: level-3 products not made, because {', '.join(broken)} failed; run again with --resume"
                self._note_failure(job, todo, why)
                continue
            late = job.exposures[0].inherited()  # as blending takes it, from the first
            for planned in todo:
                if planned.product.spectra:
                    self._finish(planned, late)
                else:
                    self._catalogue(job, planned)

    def _catalogue(self, job: Job, planned: PlannedProduct) -> None:
        """Write the white-light catalogue from the blocks' sums."""
        from jwst_dask.steps.stage3.white_light import parts_of

        parts = []
        for exposure in self._extracted(job):
            pieces = sorted(self.white.get(exposure.index, []), key=lambda piece: piece[0])
            sums, times = np.concatenate([p[1] for p in pieces]), np.concatenate([p[2] for p in pieces])
            parts.append(parts_of(exposure.draft.spectra, sums, times))
        step: Any = next(s.step for s in job.exposures[0].stages if s.step.alias == "white_light")
        planned.temporary = planned.final.with_name(f".{planned.final.name}.{self.opts.run_id}.part")
        try:
            step.write(step.finish(parts, flat_meta(job.exposures[0].draft.model)), planned.temporary)
            os.replace(planned.temporary, planned.final)
        except OSError as error:
            raise InputError(f"{planned.final}: cannot be written ({error.strerror}); make room, then --resume") from error
        self._note(planned)

    def discard(self) -> None:
        """Remove what is left under temporary names."""
        for job in self.plan.jobs:
            for planned in job.products():
                _discard(planned)
            for exposure in job.exposures:
                exposure.discard()


def temporary_of(final: Path, run_id: str) -> str:
    """Name of a product while it is made."""
    from jwst_dask.io.layout import temporary

    return temporary(final, run_id)


def _second_name(path: Path, final: Path, run_id: str) -> Path:
    """Another temporary name for a file that tasks go on reading under the one it has; a copy where files cannot have two."""
    other = Path(temporary_of(final, run_id))
    other.parent.mkdir(parents=True, exist_ok=True)
    other.unlink(missing_ok=True)
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)
    return other


def _discard(planned: PlannedProduct) -> None:
    if planned.temporary is not None:
        planned.temporary.unlink(missing_ok=True)
        planned.temporary = None


def _manifest(plan: Plan, text: str, opts: Any, result: Result, earlier: Result) -> None:
    """A record of one pipeline of the run, for the report and for people."""
    folder = opts.workspace / "runs"
    receipts = result.receipts[len(earlier.receipts) :]
    steps: dict[str, float] = {}
    for receipt in receipts:
        for alias, seconds in receipt.step_seconds.items():
            steps[alias] = steps.get(alias, 0.0) + seconds
    record: Mapping[str, Any] = {
        "run": opts.run_id, "version": plan.version, "context": plan.context, "resources": plan.resources.describe(),
        "seconds": result.seconds - earlier.seconds, "made": result.made[len(earlier.made) :],
        "failures": [text for job in plan.jobs for text in job.failures], "blocks": len(receipts), "step_seconds": steps, "plan": text,
        "read_seconds": sum(r.read_seconds for r in receipts), "write_seconds": sum(r.write_seconds for r in receipts),
        "bytes_read": sum(r.bytes_read for r in receipts), "bytes_written": sum(r.bytes_written for r in receipts),
        "products": [p.final.name for job in plan.jobs for p in job.products() if p.final.name in result.products],
    }  # fmt: skip
    name = f"{opts.run_id}-{'+'.join(dict.fromkeys(job.pipeline.alias for job in plan.jobs)) or 'nothing'}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(record, indent=1, default=str))
    except OSError as error:  # the products are there; only the report lacks this run
        log.warning("the record of this run cannot be written to %s (%s)", folder / name, error.strerror)
