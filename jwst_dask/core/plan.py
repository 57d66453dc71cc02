"""A run that can be read before it runs: exposures, steps and reasons, references, parameters, blocks, bytes, products."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jwst_dask.core.blocks import ZEROS, BlockTask, LookTask, Write
from jwst_dask.core.chunks import COPIES, RESERVE, ChunkPlan
from jwst_dask.core.execute import Resources
from jwst_dask.core.pipeline import Pipeline, Product, Setting
from jwst_dask.core.prepare import Stage, StateStore
from jwst_dask.core.step import LOOK
from jwst_dask.data.exposure import CUBES, Draft

COMMON = ("skip", "save_results", "suffix", "output_dir", "output_file")


@dataclass
class PlannedProduct:
    """A file that the run makes.

    Attributes
    ----------
    after : int
        Chain links (steps that touch pixels) before it.
    key : str
        Ledger key: digest of everything its content depends on.
    done : bool
        The ledger says it is there and current.
    arrays : mapping
        Extension -> block array that fills it.
    model, shapes, recorded
        Of products of stage 1: the model it was laid out from, shapes of its images, and the steps before it; its headers are written again
        when all tasks are done.
    passed : bool
        A later stage of the same run reads it, from its temporary file.
    passing : bool
        And nobody else wants it.
    """

    product: Product
    final: Path
    layout: Any
    after: int
    key: str
    done: bool = False
    temporary: Path | None = None
    arrays: Mapping[str, str] = field(default_factory=dict)
    model: Any = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    recorded: tuple[str, ...] = ()
    passed: bool = False
    passing: bool = False

    @property
    def nbytes(self) -> int:
        """Size on disk."""
        return int(self.layout.size) if self.layout is not None else 0


@dataclass
class ExposurePlan:
    """One exposure (segment) through one pipeline.

    Attributes
    ----------
    prior : list of Stage
        Steps of the pipeline before, which in a run of several stages its tasks do first.
    upstream : ExposurePlan, optional
        The exposure of an earlier stage of the same run whose product it reads.
    members : list of ExposurePlan
        Others whose products it reads besides (backgrounds).
    demanded : bool
        Whether products that are only passed on are wanted.
    joined : bool
        The tasks of a later stage do its steps.
    late : dict
        Metadata that were not known before all tasks were done.
    """

    index: int
    name: str
    file: Any
    draft: Draft
    stages: list[Stage]
    products: list[PlannedProduct]
    chunks: ChunkPlan
    tables: dict[str, Any] = field(default_factory=dict)
    prior: list[Stage] = field(default_factory=list)
    upstream: ExposurePlan | None = None
    members: list[ExposurePlan] = field(default_factory=list)
    demanded: bool = True
    joined: bool = False
    late: dict[str, Any] = field(default_factory=dict)

    def links(self) -> list[Stage]:
        """Steps that touch pixels, in order."""
        return [stage for stage in self.stages if stage.runs]

    def ntasks(self) -> int:
        """Tasks of a run."""
        return len(self.chunks.bounds) + self.looks()

    def looks(self) -> int:
        """Tasks that look at the first integration."""
        return sum(LOOK in stage.state for stage in [*self.prior, *self.stages])

    def summary(self) -> str:
        """What is done with it, in a few words."""
        ny, nx = self.draft.shape
        size = self.chunks.bounds[0][1] - self.chunks.bounds[0][0] if self.chunks.bounds else 0
        halo = f", halo {self.chunks.halo}" if self.chunks.halo else ""
        blocks = "in the blocks of the next stage" if self.joined else f"{len(self.chunks.bounds)} blocks of {size}{halo}"
        return f"{self.draft.nints} integrations to {ny} x {nx}, {blocks}"

    def bytes_read(self) -> int:
        """Bytes of pixels that will be read, halos included."""
        return _read(self)

    def follows(self) -> list[ExposurePlan]:
        """Exposures of earlier stages of the same run that it needs."""
        return [*([self.upstream] if self.upstream is not None else []), *self.members]

    def inherited(self) -> dict[str, Any]:
        """Metadata that the stages before it in the same run could not know when it was planned."""
        return {} if self.upstream is None else self.upstream.inherited() | self.upstream.late

    def note(self, receipt: Any) -> None:
        """Take note of what a finished task says."""

    def finish_products(self) -> None:
        """Put what only all tasks together know into the products."""

    def withheld(self, planned: PlannedProduct) -> str:
        """Why a product is not made after all ('' if it is)."""
        return ""

    def discard(self) -> None:
        """Remove what an unfinished run leaves of no use."""

    def after_all(self) -> None:
        """What is to be done when all products are there."""

    def assemble(self, planned: PlannedProduct) -> bool:
        """Put a product without a layout together under its temporary name; there is none here."""
        return False

    def lose(self, slit: str, why: str) -> None:
        """Go on without a slit."""

    def incomplete(self) -> str:
        """What finished products lack."""
        return ""

    def lost(self) -> str:
        """Why nothing of the exposure is left, if that is so."""
        return ""

    def clean(self) -> None:
        """Remove what only this run needed."""

    def pending(self) -> list[PlannedProduct]:
        """Products of this exposure still to be made."""
        return [p for p in self.products if not p.done and (self.demanded or not p.passing)]

    def wants_source(self, level3: PlannedProduct | None) -> bool:
        """Whether its tasks read its file: there is something to make, and no product of its own to make it from."""
        after = [p.after for p in self.pending()] + ([level3.after] if level3 is not None else [])
        return bool(after) and self._start(min(after)) is None

    def tasks(self, store: StateStore, level3: PlannedProduct | None, ver: int) -> list[Any]:
        """Block tasks for what is still to be made; none if nothing is."""
        wanted = [p for p in self.pending() if p.layout is not None]
        table = level3 is not None and not level3.done
        if not wanted and not table:
            return []
        first, links, source, skip = len(self.prior), self.links(), self.file, 0
        last = first + max([p.after for p in wanted] + ([len(links)] if table else []))
        base = self._start(min([p.after for p in wanted] + ([level3.after] if table and level3 is not None else [])))
        if base is not None:
            from jwst_dask.io.fits import scan

            source, skip = scan(str(base.final)), first + base.after
        chosen = [*self.prior, *links][skip:last]
        writes = [Write(str(p.temporary), first + p.after - skip, *places(p)) for p in wanted]
        if table and level3 is not None and level3.layout is not None:
            writes.append(Write(str(level3.temporary), first + level3.after - skip, (), level3.layout.regions[("EXTRACT1D", ver)]))
        halo = min(max((stage.halo(self.draft.nints) for stage in chosen), default=0), self.draft.nints)
        keep = ("white_light", "white_light_times") if table else ()
        looks, chain = self._chained(store, source, halo, chosen)
        needs = tuple(task.name for task in looks[-1:])
        blocks = [BlockTask(f"{self.name}.{self.index}[{a}:{b}]", self.index, source, a, b, halo, chain, tuple(writes), keep, needs=needs)
                  for a, b in self.chunks.bounds]  # fmt: skip
        return [*looks, *blocks]

    def _chained(self, store: StateStore, source: Any, halo: int, stages: list[Stage]) -> tuple[list[LookTask], tuple[tuple[Any, str], ...]]:
        """Steps with the files of their states; and the tasks that complete states which rest on the first integration."""
        looks: list[LookTask] = []
        chain: list[tuple[Any, str]] = []
        for stage in stages:
            path = store.put(stage.state)
            if LOOK in stage.state:
                name, whole = f"{self.name}.{self.index}[{stage.step.alias} looks]", str(store.folder / f"looked-{self.index}-{len(chain)}.npz")
                needs = tuple(task.name for task in looks[-1:])
                looks.append(LookTask(name, self.index, source.path, source, halo, tuple(chain), stage.step, path, whole, needs))
                path = whole
            chain.append((stage.step, path))
        return looks, tuple(chain)

    def _start(self, before: int) -> PlannedProduct | None:
        """The latest finished image product that everything still to be made comes after."""
        usable = [p for p in self.products if p.done and not p.product.spectra and not p.product.extra and p.product.extension == ".fits" and p.after <= before and p.after > 0]
        return max(usable, key=lambda p: p.after, default=None)


def places(planned: PlannedProduct) -> tuple[tuple[tuple[str, Any], ...], Any]:
    """Block arrays and their regions in a product, and the region of its spectral table."""
    regions: Mapping[tuple[str, int], Any] = planned.layout.regions
    if planned.product.spectra:
        return (), next(region for (hdu, _), region in regions.items() if hdu == "EXTRACT1D")
    return tuple((planned.arrays.get(hdu, ZEROS), region) for (hdu, _), region in regions.items()), None


@dataclass
class Job:
    """One pipeline over the exposures of one association product.

    Attributes
    ----------
    skip : bool
        Go on with the other exposures when one fails.
    tolerant : bool
        Failures do not count for the exit status (``fail_on_exception=False``).
    failures : list of str
        What went wrong so far.
    """

    pipeline: Pipeline
    name: str
    exposures: list[ExposurePlan]
    level3: list[PlannedProduct]
    settings: Mapping[str, Mapping[str, Setting]]
    own: Mapping[str, Setting]
    skip: bool = False
    tolerant: bool = False
    failures: list[str] = field(default_factory=list)

    def products(self) -> list[PlannedProduct]:
        """All products, exposure by exposure, then level 3."""
        return [p for e in self.exposures for p in e.products] + self.level3

    def table(self) -> PlannedProduct | None:
        """The level-3 spectra if they, or the catalogue made along with them, are to be made."""
        spectra = next((p for p in self.level3 if p.product.spectra), None)
        if spectra is None or all(p.done for p in self.level3):
            return None
        if spectra.done:  # only the catalogue is missing: extract again, write nothing but the catalogue
            return PlannedProduct(spectra.product, spectra.final, None, max(p.after for p in self.level3), spectra.key)
        return spectra


@dataclass
class Plan:
    """What a run will do. ``print(plan.explain())``."""

    jobs: list[Job]
    output_dir: Path
    resources: Resources
    context: str
    version: str

    def explain(self, verbose: bool = False) -> str:
        """The plan as text: see `describe`."""
        return "\n".join(describe(self, verbose))

    def __repr__(self) -> str:
        return self.explain()

    def ntasks(self) -> int:
        """Block tasks of a full run (finished products not counted)."""
        exposures = [e for job in self.jobs for e in job.exposures if _work(job, e)]
        followed = {up.index for e in exposures for up in e.follows() if up.pending()}
        return sum(e.ntasks() for e in exposures) + len(followed) + sum(sum(bool(up.pending()) for up in e.follows()) > 1 for e in exposures)

    def bytes_read(self) -> int:
        """Bytes of pixels that will be read, halos included."""
        return sum(e.bytes_read() for job in self.jobs for e in job.exposures if _work(job, e))

    def bytes_written(self) -> int:
        """Bytes of products that will be written."""
        return sum(p.nbytes for job in self.jobs for p in job.products() if not p.done)

    def peak_memory(self) -> int:
        """Estimated peak resident bytes of one worker."""
        block = max((e.chunks.block_bytes for job in self.jobs for e in job.exposures), default=0)
        return RESERVE + COPIES * max(1, min(self.resources.threads, self.ntasks())) * block


def _work(job: Job, exposure: ExposurePlan) -> bool:
    return bool(exposure.pending()) or any(not p.done for p in job.level3)


def _read(exposure: ExposurePlan) -> int:
    nints, halo = exposure.draft.nints, exposure.chunks.halo
    per = sum(math.prod(hdu.shape) * hdu.native.itemsize for hdu in exposure.file.hdus if hdu.name.lower() in CUBES) // max(1, nints)
    looked_at = exposure.looks() * min(nints, 1 + halo)
    return int(per) * (looked_at + sum(min(nints, stop + halo) - max(0, start - halo) for start, stop in exposure.chunks.bounds))


def describe(plan: Plan, verbose: bool = False) -> list[str]:
    """Lines of text: where, each pipeline with its steps and settings, blocks, bytes, products."""
    lines = [f"jwst_dask {plan.version}, CRDS context {plan.context or 'none'}, on {plan.resources.describe()}"]
    for job in plan.jobs:
        lines += ["", f"{job.pipeline.alias}: {job.name} ({len(job.exposures)} exposure{'s' if len(job.exposures) != 1 else ''})"]
        lines += [f"  pipeline.{name} = {s.value!r} ({s.source})" for name, s in job.own.items() if verbose or s.source != "default"]
        if job.exposures:
            lines += _steps(job, verbose)
        lines += [f"  FAILED {text}" for text in job.failures]
        for e in job.exposures:
            lines.append(f"  {os.path.basename(e.file.path)}: {e.summary()}")
            lines += [f"    -> {p.final.name}{_state(p)}" for p in e.products]
        lines += [f"  -> {p.final.name}{_state(p)}" for p in job.level3]
    total = f"{plan.ntasks()} tasks, reads {plan.bytes_read() / 1e6:.1f} MB, writes {plan.bytes_written() / 1e6:.1f} MB"
    return [*lines, "", f"{total}, peak memory about {plan.peak_memory() / 1e6:.0f} MB per worker"]


def _state(p: PlannedProduct) -> str:
    size = f" ({p.nbytes / 1e6:.1f} MB)" if p.layout is not None else ""
    return f"{size}{', current: not made again' if p.done else ''}"


def _steps(job: Job, verbose: bool) -> list[str]:
    lines = []
    for stage in job.exposures[0].stages:
        alias = stage.step.alias
        lines.append(f"  {alias:22s} {'run' if stage.status == 'COMPLETE' else 'skip: ' + stage.reason}")
        settings = job.settings.get(alias, {})
        runs = stage.status == "COMPLETE"
        shown = {n: s for n, s in settings.items() if s.source != "default" or (runs and (verbose or n not in COMMON))}
        lines += [f"    {name} = {s.value!r} ({s.source})" for name, s in shown.items()]
        found = {t: p for t, p in stage.references.items() if p != "N/A" or verbose}
        lines += [f"    {reftype}: {path if path == 'N/A' else os.path.basename(path)}" for reftype, path in found.items()]
    return lines
