"""Plans of consecutive stages made into one: the products that one stage passes on to the next, and who waits for whom."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jwst_dask
from jwst_dask.core import execute
from jwst_dask.core.errors import InputError, NotYet
from jwst_dask.core.finish import Result, carry_out
from jwst_dask.core.pipeline import Pipeline
from jwst_dask.core.plan import ExposurePlan, Job, Plan, PlannedProduct

log = logging.getLogger(__name__)

STRIDE = 4
"""Between the numbers of exposures of the first stage: those of later stages follow the exposure they are made of."""
PLACEHOLDERS = {"jump": {"exposure.primary_cosmic_rays": 0.0, "exposure.extended_emission_events": 0.0}}
"""Metadata of rates that are known when all tasks of a step are done: the next stage is planned with these, and its products mended when they are finished."""


@dataclass
class Chain:
    """Stages as they are planned, one after the other.

    Attributes
    ----------
    opts : Options
    between : Path
        Where products go that only a later stage takes.
    laid_out : Path
        Where their unfinished files lie, which a later stage is planned from and reads.
    keep : bool
        They are wanted besides.
    given, pars_file
        Parameters.
    paths : list of str
        What the next stage takes.
    failed : bool
        Something went wrong so far.
    """

    opts: Any
    between: Path
    laid_out: Path
    keep: bool
    given: Mapping[str, Any]
    pars_file: str | None
    client: Any
    result: Result
    progress: Any = None
    paths: list[str] = field(default_factory=list)
    failed: bool = False
    plans: list[Plan] = field(default_factory=list)
    passed: dict[str, tuple[ExposurePlan, PlannedProduct]] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    count: int = 0

    def add_all(self, pipelines: Mapping[int, Pipeline], loose: list[str], asns: Mapping[int, list[str]]) -> None:
        """Plan stages, the first on exposures, each on the associations that it was given besides."""
        self.paths, shared = loose, tuple(one.alias for one in pipelines.values())
        for number, pipeline in pipelines.items():
            if self.paths:  # all may have failed
                self.add(number, pipeline, asns.get(number) or self.paths, shared, number == max(pipelines))

    def add(self, number: int, pipeline: Pipeline, paths: list[str], shared: tuple[str, ...], last: bool) -> None:
        """Plan a stage on what the one before passes on.

        Raises
        ------
        JwstDaskError
            When it cannot be planned, or passes nothing on to the next.
        """
        from jwst_dask.core import run
        from jwst_dask.io import source

        if not self.beside:
            self.beside = tuple(dict.fromkeys(os.path.dirname(os.path.abspath(path)) for path in paths))
        own = last or self.keep
        folders = (str(self.laid_out), str(self.between if not self.keep else self.opts.output_dir), *self.beside)
        where = execute.resources(self.client, self.opts.scheduler, self.opts.threads)

        def plan() -> Plan:
            opts = replace(self.opts, between=None if own else self.between, upto="cal" if number == 2 and not own else "", made=self.made, beside=folders,
                           sources=self.opts.sources if number == 2 else None)  # fmt: skip
            to_come = {path: _filled(product) for path, (_, product) in self.passed.items() if not product.done}
            with source.to_come(to_come):
                return run._plan(pipeline, [self._where(path) for path in paths], self.given, self.pars_file, opts, where, shared)

        try:
            made = plan()
        except NotYet as why:
            log.info("stage %d is planned when the stages before it are done: %s", number, why)
            if not self.opts.pixels:
                raise InputError(f"stage {number} rests on pixels that an earlier stage makes ({why}); a run plans it when they are there, plan the others alone") from why
            self.carry_out()
            made = plan()
        self._follow(made, number)
        if not last:
            self._pass_on(made, number, pipeline)
        self.plans.append(made)

    def _where(self, path: str) -> str:
        """A passed product, by its final name once it has that."""
        product = self.passed[path][1] if path in self.passed else None
        return str(product.final) if product is not None and product.done else path

    def _follow(self, plan: Plan, number: int) -> None:
        """Number the exposures of a stage, and say what each is made of."""
        finals = {str(product.final): found for found in self.passed.values() for product in found[1:]}
        for job in plan.jobs:
            self.failed |= bool(job.failures)
            for exposure in job.exposures:
                path = str(exposure.file.path)
                upstream, product = self.passed.get(path) or finals.get(path) or (None, None)
                if upstream is None:
                    exposure.index, self.count = STRIDE * self.count, self.count + 1
                    continue
                exposure.index = upstream.index + 1
                if product is None or product.done:
                    continue
                exposure.upstream = upstream
                exposure.members = [self.passed[path][0] for paths in exposure.draft.members.values() for path in paths
                                    if path in self.passed and not self.passed[path][1].done]  # fmt: skip
                if number == 3 and not self.keep and upstream.products == [product]:
                    self._join(exposure, upstream)
            if number == 3 and self.failed and job.level3:
                from jwst_dask.core.run import WITHOUT_LEVEL3

                job.level3, job.failures = [], [*job.failures, f"{job.name}: {WITHOUT_LEVEL3}"]

    @staticmethod
    def _join(exposure: ExposurePlan, upstream: ExposurePlan) -> None:
        """Let the tasks of an exposure do the steps of the stage before too: what that would pass on never leaves memory."""
        exposure.prior, exposure.file, exposure.upstream = upstream.links(), upstream.file, upstream.upstream
        upstream.products, upstream.joined = [], True

    def _pass_on(self, plan: Plan, number: int, pipeline: Pipeline) -> None:
        """Lay out what the next stage takes; what nobody takes is not made."""
        from jwst_dask.io.layout import allocate
        from jwst_dask.io.patch import patch

        self.paths = []
        for job in plan.jobs:
            for exposure in job.exposures:
                product = _passed(exposure, number)
                if not self.keep:
                    exposure.demanded = False
                    exposure.products = [p for p in exposure.products if p is product or p.final.parent != self.between]
                if product is None:
                    continue
                product.passed, product.passing = True, not self.keep
                path = self.laid_out / product.final.name
                self.made |= {str(path): product.key, str(product.final): product.key}
                self.passed[str(path)] = exposure, product
                self.paths.append(str(path))
                if not product.done:
                    self.laid_out.mkdir(parents=True, exist_ok=True)
                    allocate(path, product.layout)
                    product.temporary = path
                    for step in set(product.recorded) & set(PLACEHOLDERS):
                        patch(path, PLACEHOLDERS[step])
        if not self.paths and not self.failed:
            raise InputError(f"{pipeline.alias} makes nothing that the next stage takes")

    def plan(self) -> Plan:
        """All stages planned so far and not carried out, as one."""
        jobs: list[Job] = [job for plan in self.plans for job in plan.jobs]
        for exposure in (e for job in self.plans[-1].jobs for e in job.exposures) if self.plans else ():
            exposure.demanded = True
        for job in reversed(jobs):  # a later stage says what it wants of an earlier one
            table = job.table()
            for exposure in job.exposures:
                if exposure.wants_source(table if exposure.draft.spectra is not None else None):
                    for upstream in exposure.follows():
                        upstream.demanded = True
        context = self.plans[0].context if self.plans else ""
        return Plan(jobs, self.opts.output_dir, execute.resources(self.client, self.opts.scheduler, self.opts.threads), context, jwst_dask.__version__)

    def carry_out(self) -> None:
        """Run all that is planned as one graph."""
        plan = self.plan()
        self.opts.output_dir.mkdir(parents=True, exist_ok=True)
        self.plans = []
        carry_out(plan, self.opts, self.client, self.result, self.progress)
        self.failed |= any(job.failures for job in plan.jobs)


def _filled(product: PlannedProduct) -> frozenset[str]:
    """Extensions of a product that tasks fill."""
    return frozenset(name for name, _ in product.layout.regions)


def _passed(exposure: ExposurePlan, number: int) -> PlannedProduct | None:
    """The product of an exposure that the next stage takes."""
    meta: Any = exposure.draft.model.meta
    series = str(meta.visit.tsovisit) == "True" or meta.exposure.type in ("NRS_BRIGHTOBJ", "NRC_TSGRISM", "NRC_TSIMAGE")
    wanted = {1: ("rateints",) if series and (meta.exposure.nints or 1) > 1 else ("rate",), 2: ("calints", "cal")}[number]
    return next((p for p in exposure.products if p.product.named(exposure.draft.is_cube) in wanted and p.layout is not None), None)
