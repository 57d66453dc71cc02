"""Plan and run pipelines: inputs to requests, requests to jobs, jobs to block tasks, blocks to finished products."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import jwst_dask
from jwst_dask.core import chunks, execute, ledger, prepare
from jwst_dask.core.config import setting
from jwst_dask.core.errors import InputError, JwstDaskError, ParameterError
from jwst_dask.core.inputs import Request, expand, requests
from jwst_dask.core.pipeline import Pipeline, Product, settle
from jwst_dask.core.plan import ExposurePlan, Job, Plan, PlannedProduct
from jwst_dask.data.exposure import CUBES, Draft
from jwst_dask.pipelines import table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How to run, apart from what the pipelines do.

    Attributes
    ----------
    resume : bool
        Leave alone the products that the ledger knows to be current.
    on_error : str
        ``raise``, or ``skip`` to go on with the other exposures.
    chunk : int, optional
        Integrations in a block.
    allow_outside : bool
        Association members may lie outside the association's folder.
    """

    output_dir: Path = Path(".")
    resume: bool = False
    on_error: str = "raise"
    chunk: int | None = None
    threads: int | None = None
    scheduler: str | None = None
    allow_outside: bool = False
    checksum: bool | None = None
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def workspace(self) -> Path:
        """Folder of the ledger and the prepared states."""
        return self.output_dir / ledger.FOLDER


def plan(inputs: Any, pipeline: str = "auto", *, params: Mapping[str, Any] | None = None, pars_file: str | None = None, client: Any = None,
         **options: Any) -> Plan:  # fmt: skip
    """What `run` would do with these inputs; reads headers, tables and reference files, never pixels.

    Parameters
    ----------
    inputs : str, path or list
        Exposures, patterns, associations.
    pipeline : str
        Pipeline name, or ``auto`` to choose by exposure type and product suffix.
    params : mapping
        ``{"fail_on_exception": False, "steps": {"extract_1d": {"smoothing_length": 5}}}``; ``override_<reftype>`` on either level.
    pars_file : str
        ASDF or YAML parameter file.
    client : distributed.Client, optional
        Default: the active one, else threads.
    **options
        Fields of `Options`.
    """
    opts = _options(options)
    paths = expand(inputs)
    chosen = choose(paths, opts) if pipeline == "auto" else table.pipeline(pipeline)
    client = client or (execute.active_client() if not opts.scheduler else None)
    return _plan(chosen, requests(paths, chosen.level, opts.allow_outside), params or {}, pars_file, opts, execute.resources(client, opts.scheduler, opts.threads))


def _options(options: Mapping[str, Any]) -> Options:
    values = dict(options)
    values["output_dir"] = Path(values.get("output_dir") or ".")
    values.setdefault("on_error", setting("on-error"))
    return Options(**values)


def choose(paths: list[str], opts: Options) -> Pipeline:
    """The pipeline for these inputs, by EXP_TYPE and product suffix of the first exposure.

    Raises
    ------
    InputError
        Where the documents say N/A, or the pipeline is not built.
    """
    from jwst_dask.io.fits import scan
    from jwst_dask.io.names import split_suffix

    path = paths[0]
    if path.endswith(".json"):
        from jwst_dask.data import association

        asn = association.load(path, allow_outside=opts.allow_outside)
        if asn.asn_type in ("spec2", "tso3"):
            return table.pipeline(asn.asn_type)
        path = str(next(m.path for p in asn.products for m in p.members if m.exptype.lower() == "science"))
    exp_type = str(scan(path).header("PRIMARY").get("EXP_TYPE", "")).strip("' ")
    suffix = split_suffix(os.path.basename(path))[1]
    name = table.stage_for(exp_type, suffix)
    if name is None:
        raise InputError(f"{os.path.basename(path)}: no pipeline takes EXP_TYPE {exp_type or '(absent)'} with product type {suffix or '(unknown)'}; "
                         "name one, for example `jwst-dask run calwebb_spec2`")  # fmt: skip
    return table.pipeline(name)


def _plan(pipeline: Pipeline, wanted: list[Request], params: Mapping[str, Any], pars_file: str | None, opts: Options, where: execute.Resources) -> Plan:
    from jwst_dask.refs.crds import pin_context

    context = pin_context()
    jobs, index = [], 0
    for request in wanted:
        job = _job(pipeline, request, params, pars_file, opts, where, context, index)
        index += len(request.science)
        jobs.append(job)
    _unique(jobs)
    return Plan(jobs, opts.output_dir, where, context, jwst_dask.__version__)


def _unique(jobs: list[Job]) -> None:
    seen: dict[Path, str] = {}
    for job in jobs:
        for product in job.products():
            if product.final in seen:
                raise InputError(f"two inputs make the same product {product.final.name} ({seen[product.final]} and {job.name}); run them apart")
            seen[product.final] = job.name


def _job(pipeline: Pipeline, request: Request, params: Mapping[str, Any], pars_file: str | None, opts: Options, where: execute.Resources,
         context: str, index: int) -> Job:  # fmt: skip
    from jwst_dask.core.layers import layers

    first = _draft(request.science[0])
    steps, settings, own = settle(pipeline, layers(pipeline, first.model, params, pars_file, context))
    job = Job(pipeline, request.name, [], [], settings, own)
    science = request.science if pipeline.level == 3 else request.science[:1]
    if len(science) < len(request.science):
        log.warning("%s: %d science members, using only the first", request.name, len(request.science))
    if pipeline.level == 3:
        _check_series(science, request)
    for offset, path in enumerate(science):
        try:
            job.exposures.append(_Planner(pipeline, request, steps, opts, where, context).exposure(index + offset, path))
        except (JwstDaskError, OSError, ValueError, KeyError) as error:
            if opts.on_error != "skip":
                raise
            log.error("%s", error)
            job.failures.append(str(error))
    if pipeline.level == 3 and job.exposures:
        from jwst_dask.core.level3 import plan_level3

        plan_level3(job, request, opts)
    return job


def _check_series(paths: tuple[str, ...], request: Request) -> None:
    """Segments of one observation: no duplicates, one instrument and mode."""
    from jwst_dask.data import association
    from jwst_dask.io.fits import scan

    association.check_segments([scan(path) for path in paths])


def _draft(path: str) -> Draft:
    from jwst_dask.io.skeleton import skeleton

    model, nints = skeleton(path), 1
    if model.data is not None and model.data.ndim == 3:
        from jwst_dask.io.fits import scan

        nints = scan(path).nints
    return Draft(model, path, nints)


class _Planner:
    """Plans one exposure: draft through the chain, products laid out on the way."""

    def __init__(self, pipeline: Pipeline, request: Request, steps: Mapping[str, Any], opts: Options, where: execute.Resources, context: str) -> None:
        self.pipeline, self.request, self.steps, self.opts, self.where, self.context = pipeline, request, steps, opts, where, context
        self.book = ledger.Ledger(opts.output_dir)
        self.products: list[PlannedProduct] = []

    def exposure(self, index: int, path: str) -> ExposurePlan:
        """Plan one exposure."""
        from jwst_dask.data.schema import check_file
        from jwst_dask.io.fits import scan

        file = scan(path)
        problems = check_file(file)
        if problems:
            raise InputError("; ".join(str(problem) for problem in problems))
        draft = _draft(path)
        draft.model.meta.asn.pool_name, draft.model.meta.asn.table_name = self.request.pool, self.request.table
        exp_type = str(draft.model.meta.exposure.type)
        order = self.pipeline.order(exp_type, os.path.basename(path))
        if self.pipeline.level == 3:
            _must_be_series(draft)
        self.inputs = [ledger.Identity.of(path)]
        stages = prepare.prepare(draft, order, self.steps, self._references, self._provenance(), members=self.request.members,
                                 unrecorded=self.pipeline.unrecorded.get(exp_type, ()), on_product=self._product)  # fmt: skip
        per = sum(hdu.nbytes for hdu in file.hdus if hdu.name.lower() in CUBES) // max(1, draft.nints) * 7 // 5  # and what the chain adds
        halo = max((stage.halo(draft.nints) for stage in stages if stage.runs), default=0)
        limit = chunks.budget(self.where.memory_limit, self.where.threads)
        blocks = chunks.split(draft.nints, per, limit, halo, self.opts.chunk or setting("chunks.integrations"))
        return ExposurePlan(index, self.request.name if self.pipeline.level == 2 else Path(path).stem, file, draft, stages, self.products, blocks)

    def _references(self, model: Any, step: Any) -> Any:
        from jwst_dask.refs.crds import References

        return References(model.get_crds_parameters(), overrides=step.overrides, context=self.context)

    def _provenance(self) -> prepare.Provenance:
        from jwst_dask.refs.crds import crds_version

        return prepare.Provenance(self.context, crds_version(), self.request.pool, self.request.table)

    def _product(self, product: Product, draft: Draft, stages: list[prepare.Stage]) -> None:
        if product.level3:
            return
        from jwst_dask.io.layout import plan_layout

        final = self.opts.output_dir / self._name(product, draft)
        model = draft.extras[product.extra] if product.extra else draft.spectra if product.spectra else draft.model
        model.meta.filename = final.name
        key = ledger.product_key(self.inputs, [ledger.stage_record(s) for s in stages],
                                 {"version": jwst_dask.__version__, "pipeline": self.pipeline.alias, "product": final.name})  # fmt: skip
        stamp(model, stages)
        rows = _spectral(draft) if product.spectra else _planes(model, draft)
        layout = plan_layout(model, rows)
        after = sum(stage.runs for stage in stages)
        done = self.opts.resume and self.book.is_current(final, key)
        filled = not product.extra or product.extra in stages[-1].step.side_products
        arrays = ({"SCI": product.extra} if product.extra else {name.upper(): name for name in CUBES}) if filled else {}
        self.products.append(PlannedProduct(product, final, layout, after, key, done, arrays=arrays))

    def _name(self, product: Product, draft: Draft) -> str:
        from jwst_dask.io.names import product_name

        base = self.request.name if self.pipeline.level == 2 else os.path.basename(draft.path)
        asn_id = self.request.asn_id if self.pipeline.level == 3 else None
        return product_name(base, product.named(draft.is_cube), asn_id=asn_id, extension=product.extension)


def _planes(model: Any, draft: Draft) -> dict[str, int]:
    """Planes of each image array of a product that blocks fill: one per integration, or the one image."""
    named = {"SCI": "data", "ERR": "err", "DQ": "dq", "VAR_POISSON": "var_poisson", "VAR_RNOISE": "var_rnoise", "VAR_FLAT": "var_flat"}
    wanted = np.ndim(model.instance.get("data"))
    return {hdu: draft.nints for hdu, name in named.items() if np.ndim(model.instance.get(name)) == wanted and (wanted == 3 or not draft.is_cube)}


def _spectral(draft: Draft) -> dict[tuple[str, int], int]:
    """Rows of the spectral table: integrations, or for a single image its wavelengths."""
    return {("EXTRACT1D", 1): draft.nints if draft.is_cube else len(draft.spectra.spec[0].spec_table)}


def _must_be_series(draft: Draft) -> None:
    exposure = draft.model.meta.exposure
    series = draft.model.meta.visit.tsovisit or exposure.type in ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ")
    if not series or (exposure.nints or 0) < 2:
        raise InputError(f"{os.path.basename(draft.path)}: not a time series (TSOVISIT {draft.model.meta.visit.tsovisit}, EXP_TYPE {exposure.type}, "
                         f"NINTS {exposure.nints}); calwebb_tso3 takes series of two integrations or more")  # fmt: skip


def stamp(model: Any, stages: list[prepare.Stage]) -> None:
    """Software version and the parameters that were used, into a product's metadata."""
    model.meta.calibration_software_version = f"jwst_dask {jwst_dask.__version__}"
    model.meta.calibration_software_revision = "RELEASE"
    model.instance["jwst_dask"] = {
        "version": jwst_dask.__version__,
        "parameters": {s.step.alias: {k: list(v) if isinstance(v, tuple) else v for k, v in s.step.values().items()} for s in stages if s.status == "COMPLETE"},
    }


def run(inputs: Any, pipeline: str = "auto", *, params: Mapping[str, Any] | None = None, pars_file: str | None = None, client: Any = None,
        progress: Any = None, **options: Any) -> Any:  # fmt: skip
    """Run a pipeline and write its products. Parameters as for `plan`.

    With ``auto`` and count-rate exposures of a time series, `calwebb_spec2` is followed by `calwebb_tso3`.

    Returns
    -------
    Result
        Products by name, failures, figures of the run.

    Raises
    ------
    JwstDaskError
        With ``on_error="raise"``, at the first exposure that fails; finished products stay.
    """
    return run_pipeline(inputs, None if pipeline == "auto" else table.pipeline(pipeline), params=params, pars_file=pars_file, client=client,
                        progress=progress, **options)  # fmt: skip


def run_pipeline(inputs: Any, pipeline: Pipeline | None, *, params: Mapping[str, Any] | None = None, pars_file: str | None = None,
                 client: Any = None, progress: Any = None, **options: Any) -> Any:  # fmt: skip
    """`run` for a pipeline object; None chooses by exposure type."""
    from jwst_dask.core.finish import Result, carry_out

    opts = _options(options)
    client = client or (execute.active_client() if not opts.scheduler else None)
    where = execute.resources(client, opts.scheduler, opts.threads)
    paths = expand(inputs)
    chosen = pipeline or choose(paths, opts)
    result = Result(opts.output_dir)
    opts.output_dir.mkdir(parents=True, exist_ok=True)
    given = params or {}
    mine = given if pipeline else _share(chosen, given)
    made = _plan(chosen, requests(paths, chosen.level, opts.allow_outside), mine, pars_file, opts, where)
    carry_out(made, opts, client, result, progress)
    series = [str(p.final) for job in made.jobs for p in job.products() if p.product.suffix_ints == "calints" and p.final.name in result.products]
    if pipeline is None and series and all(_is_series(job) for job in made.jobs):
        following = table.pipeline("calwebb_tso3")
        third = _plan(following, requests(series, 3), _share(following, given), pars_file, opts, where)
        carry_out(third, opts, client, result, progress)
    return result


def _share(pipeline: Pipeline, params: Mapping[str, Any]) -> dict[str, Any]:
    """Of parameters given to a chain of pipelines, those that concern this one.

    Raises
    ------
    ParameterError
        For a step that none of the chain has.
    """
    from jwst_dask.steps import step_class

    both = {alias for name in ("calwebb_spec2", "calwebb_tso3") for alias in table.pipeline(name).aliases()}
    for alias in params.get("steps", {}):
        if alias not in both:
            raise ParameterError(f"there is no step {alias!r} in these pipelines; there are {', '.join(sorted(both))}")
    own = set(pipeline.aliases())
    used = {f"override_{reftype}" for alias in own for reftype in step_class(alias).references}
    out: dict[str, Any] = {name: value for name, value in params.items() if name in used or name in pipeline.parameters}
    return {**out, "steps": {alias: values for alias, values in params.get("steps", {}).items() if alias in own}}


def _is_series(job: Job) -> bool:
    return all(e.draft.is_cube and table.PIPELINES_BY_EXP_TYPE.get(str(e.draft.model.meta.exposure.type), (None,) * 3)[2] == "calwebb_tso3"
               and (e.draft.model.meta.exposure.nints or 0) > 1 for e in job.exposures)  # fmt: skip


__all__ = ["Options", "choose", "plan", "run", "run_pipeline"]
