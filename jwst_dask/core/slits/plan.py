"""Plan an exposure with many slits: what each slit goes through, from headers, the metafile and reference look-ups alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import jwst_dask
from jwst_dask.core import ledger
from jwst_dask.core.blocks import BlockTask
from jwst_dask.core.errors import InputError
from jwst_dask.core.pipeline import Product
from jwst_dask.core.plan import ExposurePlan, PlannedProduct
from jwst_dask.core.prepare import Stage, StateStore, flat_meta
from jwst_dask.core.slits import references, store
from jwst_dask.core.slits.chain import AS_FIXED, NOT_FOR_FIXED, WITH_FIXED
from jwst_dask.core.slits.names import CUT, FIXED, MASTER, MASTER_PRODUCTS, results, side_products
from jwst_dask.core.slits.tasks import MasterTask, SlitTask
from jwst_dask.core.step import Step
from jwst_dask.data.exposure import Draft
from jwst_dask.data.quality import SUFFIX as QUALITY
from jwst_dask.data.slits import SlitSpec


@dataclass
class SlitPlan:
    """One slit.

    Attributes
    ----------
    steps : dict
        Steps with this slit's parameters.
    background : str
        ``frame``: as the association says; ``nod``, ``master`` or ``none`` where the user says otherwise.
    key : str
        Digest of all that its part depends on.
    """

    spec: SlitSpec
    steps: Mapping[str, Step]
    background: str = "frame"
    key: str = ""
    error: str = ""

    @property
    def name(self) -> str:
        """Slit name."""
        return self.spec.name


@dataclass
class SlitExposurePlan(ExposurePlan):
    """An exposure with many slits. `stages` are those of the frame, then those of the slits as far as the exposure decides them."""

    order: tuple[str | Product, ...] = ()
    slits: list[SlitPlan] = field(default_factory=list)
    table: dict[str, references.Table] = field(default_factory=dict)
    frame_stages: list[Stage] = field(default_factory=list)
    frame_key: str = ""
    unrecorded: tuple[str, ...] = ()
    """Steps that leave no status."""
    master: bool = False
    """Whether slits without a choice of their own get the master background."""
    workspace: Path = Path(".")
    run_id: str = ""
    resume: bool = False
    failed_slits: dict[str, str] = field(default_factory=dict)
    spectra: tuple[tuple[str, ...], str] = ((), "")
    """Files of the background slits' spectra, and of the master background, while the run lasts."""

    def links(self) -> list[Stage]:
        """Frame steps that touch pixels."""
        return [stage for stage in self.frame_stages if stage.runs]

    @property
    def frame_products(self) -> list[PlannedProduct]:
        """Products of the frame."""
        return [p for p in self.products if p.layout is not None]

    @property
    def slit_products(self) -> list[PlannedProduct]:
        """Products that are put together from slits."""
        return [p for p in self.products if p.layout is None]

    def part(self, slit: SlitPlan) -> Path:
        """File of a finished slit."""
        return self.workspace / "parts" / f"{self.name}-{_safe(slit.name)}-{slit.key[:24]}.slit"

    def frame(self, kind: str) -> Path:
        """Folder of the conditioned frame (``frame``), or of the one without background subtraction (``plain``)."""
        return self.workspace / "frames" / f"{self.name}-{kind}-{self.frame_key[:24]}"

    def todo(self) -> list[SlitPlan]:
        """Slits still to be done."""
        wanted = any(not p.done for p in self.slit_products)
        return [s for s in self.slits if wanted and not (self.resume and self.part(s).exists())]

    def ntasks(self) -> int:
        """Tasks of a run."""
        slits = self.todo()
        return bool(slits or any(not p.done for p in self.frame_products)) + len(slits) + self.master * (1 + len(self.backgrounds()) if slits else 0)

    def backgrounds(self) -> list[SlitPlan]:
        """Slits that the master background is made from."""
        from jwst_dask.steps.stage2.master_background_mos import is_background_slit

        step: Any = self.slits[0].steps[MASTER] if self.slits else None
        return [s for s in self.slits if step is not None and is_background_slit(s.spec, step)]

    def tasks(self, store_: StateStore, level3: PlannedProduct | None, ver: int) -> list[Any]:
        """Frame task, background slits, master background, slits."""
        slits, folder = self.todo(), store_.folder
        wanted = [p for p in self.frame_products if not p.done]
        shown = any(not p.done and p.product.suffix in MASTER_PRODUCTS for p in self.slit_products)
        if not slits and not wanted and not shown:
            return []
        kinds = {"plain" if s.background in ("master", "none") else "frame" for s in slits}
        masters = [s for s in (self.slits if shown else slits) if self._mastered(s)]
        if masters:
            kinds.add("plain" if any(s.background == "master" for s in masters) else "frame")
        out: list[Any] = [self._frame_task(store_, wanted, kinds)]
        if not slits and not masters:
            return out
        refs = store.save_json(folder / f"references-{self.index}.json", self.table)
        make = _Maker(self, self._save_header(folder), refs, folder)
        first: tuple[str, ...] = (out[0].name,)
        master, mastered, name = "", first, f"{self.name} master background"
        if masters:
            kind = "plain" if any(s.background == "master" for s in masters) else "frame"
            back = [make.background(s, kind, first) for s in self.backgrounds()]
            master, mastered = str(folder / f"master-{self.index}.npz"), (*first, name)
            self.spectra = (tuple(task.part for task in back), master)
            out += back
            out.append(MasterTask(name, self.index, self.file.path, self.slits[0].steps[MASTER], self.spectra[0], master,
                                  tuple(task.name for task in back)))  # fmt: skip
        out += [make.slit(s, master, mastered) if self._mastered(s) else make.slit(s, "", first) for s in slits]
        return out

    def _mastered(self, slit: SlitPlan) -> bool:
        return slit.background == "master" or (self.master and slit.background == "frame")

    def _frame_task(self, store_: StateStore, wanted: list[PlannedProduct], kinds: set[str]) -> BlockTask:
        from jwst_dask.core.blocks import Write
        from jwst_dask.core.plan import places

        links = self.links()
        chain = tuple((stage.step, store_.put(stage.state)) for stage in links)
        before = next((i for i, stage in enumerate(links) if stage.step.alias == "bkg_subtract"), len(links))
        dumps = tuple((len(links) if kind == "frame" else before, str(self.frame(kind))) for kind in sorted(kinds))
        writes = tuple(Write(str(p.temporary), p.after, *places(p)) for p in wanted)
        return BlockTask(f"{self.name} frame", self.index, self.file, 0, 1, 0, chain, writes, dumps=dumps)

    def _save_header(self, folder: Path) -> str:
        meta = {k: v for k, v in self.draft.model.instance["meta"].items() if k != "wcs"}
        shared = {name: value for name, value in self.draft.shared.items() if name != "master_background"}
        content = {"meta": meta, "path": self.draft.path, "shape": list(self.draft.shape), "shared": shared}
        return store.save_json(folder / f"header-{self.index}.json", content)

    def summary(self) -> str:
        """How many slits, of what kinds, and how many tasks."""
        fixed = sum(slit.spec.fixed for slit in self.slits)
        back = sum(slit.spec.background for slit in self.slits)
        kinds = ", ".join(f"{count} {kind}" for count, kind in ((fixed, "fixed"), (back, "background")) if count)
        open_ = len(self.draft.slits or ())
        chosen = f" of {open_}" if open_ != len(self.slits) else ""
        return f"{len(self.slits)}{chosen} slits{f' ({kinds})' if kinds else ''}, {self.ntasks()} tasks{', master background' if self.master else ''}"

    def assemble(self, planned: PlannedProduct) -> bool:
        """Put a product together under its temporary name; False when no slit has a part of it."""
        from jwst_dask.core.slits.finish import assemble

        return assemble(self, planned)

    def lose(self, slit: str, why: str) -> None:
        """Go on without a slit."""
        self.failed_slits[slit] = why

    def incomplete(self) -> str:
        """Slits that failed."""
        return ", ".join(self.failed_slits)

    def lost(self) -> str:
        """Why every slit failed, if that is so."""
        if not self.slits or len(self.failed_slits) < len(self.slits):
            return ""
        return f"{self.name}: no slit could be calibrated; {next(iter(self.failed_slits.values()))}"

    def clean(self) -> None:
        """Remove what only this run needed: frames, and parts that newer ones replace."""
        import shutil

        for kind in ("frame", "plain"):
            shutil.rmtree(self.frame(kind), ignore_errors=True)
        for slit in self.slits:
            if self.part(slit).exists():
                for old in (self.workspace / "parts").glob(f"{glob_escape(self.name)}-{glob_escape(_safe(slit.name))}-????????????????????????.slit"):
                    if old != self.part(slit):
                        old.unlink(missing_ok=True)


def glob_escape(text: str) -> str:
    """Text that stands for itself in a pattern."""
    import glob

    return glob.escape(text)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


@dataclass
class _Maker:
    plan: SlitExposurePlan
    header: str
    references: str
    folder: Path

    def slit(self, slit: SlitPlan, master: str, needs: tuple[str, ...]) -> SlitTask:
        plan = self.plan
        changes: tuple[tuple[str, Any], ...] = ()
        kind = "plain" if slit.background in ("master", "none") else "frame"
        if kind == "plain":
            changes = (("cal_step.bkg_subtract", "SKIPPED"),)
        return SlitTask(f"{plan.name} slit {slit.name}", plan.index, plan.file.path, slit.spec, self.header, self.references, str(plan.frame(kind)),
                        plan.order, tuple(slit.steps.items()), str(plan.part(slit)), master, False, changes, needs)  # fmt: skip

    def background(self, slit: SlitPlan, kind: str, needs: tuple[str, ...]) -> SlitTask:
        plan = self.plan
        part = str(self.folder / f"background-{plan.index}-{_safe(slit.name)}.npz")
        changes = (("cal_step.bkg_subtract", "SKIPPED"),) if kind == "plain" else ()
        return SlitTask(f"{plan.name} background {slit.name}", plan.index, plan.file.path, slit.spec, self.header, self.references, str(plan.frame(kind)),
                        (), tuple(slit.steps.items()), part, "", True, changes, needs)  # fmt: skip


def split_order(order: tuple[str | Product, ...]) -> tuple[tuple[str | Product, ...], tuple[str | Product, ...]]:
    """Frame steps, and what follows extract_2d."""
    at = order.index(CUT)
    return order[:at], order[at + 1 :]


def plan_slits(draft: Draft, stages: list[Stage], order: tuple[str | Product, ...], steps: Mapping[str, Step],
               look_up: Callable[[Any, Step], Any], sources: Any = None) -> tuple[list[SlitPlan], dict[str, references.Table], list[Stage]]:  # fmt: skip
    """The slits of an exposure whose frame steps are prepared, their references, and what the exposure decides of their steps.

    Parameters
    ----------
    draft : Draft
        With `slits` from assign_wcs.
    stages : list of Stage
        Frame steps.
    order : tuple
        What follows extract_2d.
    steps : mapping
        Alias -> step.
    look_up : callable
        ``look_up(model, step)`` gives the step's reference look-up.
    sources : SourceTable, optional
        Parameters per source.

    Raises
    ------
    InputError
        When assign_wcs or extract_2d was skipped or no slit is selected.
    """
    cut: Any = steps[CUT]
    if cut.skip:
        raise InputError(f"{os.path.basename(draft.path)}: extract_2d is to be skipped, but what follows needs the slits that it cuts out; turn it on")
    if draft.slits is None:
        raise InputError(f"{os.path.basename(draft.path)}: assign_wcs was skipped, so the slits are not known; turn it on")
    chosen = cut.select(draft)
    plans = [_slit_plan(spec, steps, sources) for spec in chosen]
    table = {"msa": references.resolve(_running(draft, steps, (CUT, *order)), (CUT, *order), lambda step: look_up(draft.model, step))}
    exp_type = draft.model.meta.exposure.type
    if exp_type == "NRS_MSASPEC" and any(p.spec.fixed for p in plans):
        draft.model.meta.exposure.instance["type"] = "NRS_FIXEDSLIT"
        fixed = references.resolve(_running(draft, steps, tuple(a for a in order if a not in NOT_FOR_FIXED)), order, lambda step: look_up(draft.model, step))
        draft.model.meta.exposure.instance["type"] = exp_type
        table["fixed"] = {alias: (fixed if alias in AS_FIXED else table["msa"]).get(alias, {}) for alias in {*fixed, *table["msa"]}}
    return plans, table, [_expected(draft, steps[alias], table["msa"]) for alias in (CUT, *order) if isinstance(alias, str)]


def _running(draft: Draft, steps: Mapping[str, Step], order: tuple[str | Product, ...]) -> dict[str, Step]:
    """Steps, those turned off that the exposure does not go through (their references need not exist)."""
    meta = flat_meta(draft.model)
    if MASTER in order and steps[MASTER].applies(meta) is None:  # it extracts spectra even if the exposure's own are not extracted
        steps = {**steps, **{alias: dataclasses.replace(steps[alias], skip=False) for alias in ("resample_spec", "extract_1d")}}
    return {alias: step if alias in order and step.applies(meta) is None else dataclasses.replace(step, skip=True) for alias, step in steps.items()}


def _expected(draft: Draft, step: Step, table: references.Table) -> Stage:
    answer = step.applies(flat_meta(draft.model))
    found = {reftype: path for reftype, (path, _) in table.get(step.alias, {}).items()}
    names = {reftype: name for reftype, (_, name) in table.get(step.alias, {}).items()}
    return Stage(step, "COMPLETE" if answer is None else "SKIPPED", "" if answer is None else answer.reason, references=found, recorded=names)


def _slit_plan(spec: SlitSpec, steps: Mapping[str, Step], sources: Any) -> SlitPlan:
    own = sources.steps_for(spec, steps) if sources is not None else steps
    return SlitPlan(spec, own, getattr(own.get(MASTER), "background", None) or "frame")


def keys(plan: SlitExposurePlan, inputs: list[ledger.Identity]) -> None:
    """Digests of the frame and of every slit's part, for resuming."""
    frame: list[Mapping[str, Any]] = [ledger.stage_record(stage) for stage in plan.frame_stages]
    plan.frame_key = ledger.product_key(inputs, frame, {"version": jwst_dask.__version__})
    base = {kind: {alias: {t: _identity(path) for t, (path, _) in found.items()} for alias, found in table.items()} for kind, table in plan.table.items()}
    shared = hashlib.sha256(json.dumps([plan.frame_key, base, [repr(item) for item in plan.order], plan.master], sort_keys=True, default=str).encode())
    if plan.master or any(s.background == "master" for s in plan.slits):  # each slit then depends on the background slits
        for slit in plan.backgrounds():
            shared.update(_own(slit))
    for slit in plan.slits:
        digest = shared.copy()
        digest.update(_own(slit))
        slit.key = digest.hexdigest()


def _identity(path: str) -> Any:
    return path if path == "N/A" else ledger.Identity.of(path).__dict__


def _own(slit: SlitPlan) -> bytes:
    steps = {alias: {n: str(ledger.content(v)) for n, v in step.values().items()} for alias, step in slit.steps.items()}
    return json.dumps([repr(slit.spec), slit.background, steps], sort_keys=True, default=_plain).encode()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def suffixes(plan: SlitExposurePlan) -> Iterator[Product]:
    """Products that slits have parts of: those of the order whose step is expected to run, and results that steps save."""
    expected = {stage.step.alias: stage for stage in plan.stages}
    mixed = plan.draft.model.meta.exposure.type == "NRS_MSASPEC" and any(slit.spec.fixed for slit in plan.slits)
    seen: set[str] = set()
    for item in (CUT, *plan.order):
        if isinstance(item, Product):
            needed = item.needs or ("extract_1d" if item.spectra else "")
            if (not needed or (needed in expected and expected[needed].status == "COMPLETE")) and item.suffix not in seen:
                seen.add(item.suffix)
                yield item
        elif item in expected and expected[item].status == "COMPLETE":
            step = expected[item].step
            for more in ("", FIXED) if mixed and item in WITH_FIXED else ("",):
                for suffix in results(step):
                    yield Product(suffix + more, suffix + more, folder=step.output_dir or "", base=step.output_file or "")
                for name in side_products(step):
                    yield Product(name + more, name + more, extra=name + more)
    if expected[MASTER].step.save_background and plan.master:  # type: ignore[attr-defined]
        for name in MASTER_PRODUCTS:
            yield Product(name, name, extra=name)
    yield Product(QUALITY, QUALITY, extension=".ecsv")
