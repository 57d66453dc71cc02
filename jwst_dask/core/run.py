"""Plan and run pipelines: inputs to requests, requests to jobs, jobs to block tasks, blocks to finished products."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jwst_dask
from jwst_dask.core import execute, ledger
from jwst_dask.core.config import setting
from jwst_dask.core.errors import InputError, JwstDaskError, ParameterError
from jwst_dask.core.inputs import Request, expand, requests
from jwst_dask.core.layers import layers, share
from jwst_dask.core.level3 import plan_level3
from jwst_dask.core.pipeline import Pipeline, Product, settle
from jwst_dask.core.plan import Job, Plan
from jwst_dask.core.planner import ExposurePlanner, draft_of
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
    sources : SourceTable, optional
        Parameters per source (see `jwst_dask.data.sources`).
    beside : tuple of str
        Folders where members of associations, and files that go with exposures, are looked for: what an earlier stage of the same run
        has made, and where its inputs are.
    between : Path, optional
        Where products go that only the next stage of the same run takes.
    upto : str
        Suffix of the product that the next stage takes: steps after it are left out.
    made : mapping
        Paths of products of the same run -> their keys in the ledger, which say more than the files themselves.
    pixels : bool
        Steps may look at the first integration of an exposure while they prepare; not in a plan that is only shown.
    """

    output_dir: Path = Path(".")
    resume: bool = False
    on_error: str = "raise"
    chunk: int | None = None
    threads: int | None = None
    scheduler: str | None = None
    allow_outside: bool = False
    checksum: bool | None = None
    pixels: bool = True
    sources: Any = None
    beside: tuple[str, ...] = ()
    between: Path | None = None
    upto: str = ""
    made: Mapping[str, str] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def workspace(self) -> Path:
        """Folder of the ledger and the prepared states."""
        return self.output_dir / ledger.FOLDER

    @property
    def folder(self) -> Path:
        """Where products go."""
        return self.between or self.output_dir

    def identity(self, path: str | os.PathLike[str]) -> ledger.Identity:
        """A file as it counts in the keys of what is made of it."""
        key = self.made.get(os.fspath(path))
        return ledger.Identity.of(path) if key is None else ledger.Identity(f"{os.path.basename(path)} {key}", -1, -1)

    def until(self, order: tuple[str | Product, ...]) -> tuple[str | Product, ...]:
        """Steps and products of an order that are wanted."""
        last = next((k for k, item in enumerate(order) if self.upto and isinstance(item, Product) and item.suffix == self.upto), len(order))
        return order[: last + 1]


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
        Fields of `Options`; ``stages`` and ``save_intermediate`` as for `run`.
    """
    stages, keep = options.pop("stages", None), bool(options.pop("save_intermediate", False))
    if stages:
        from jwst_dask.core.stages import plan_stages

        _only_auto(pipeline)
        return plan_stages(inputs, stages, params=params, pars_file=pars_file, client=client, save_intermediate=keep, **options)
    opts = _options({**options, "pixels": False})
    paths = expand(inputs)
    auto = pipeline == "auto"
    paths = _in_turn(paths)[0] if auto else paths
    chosen = choose(paths, opts) if auto else table.pipeline(pipeline)
    client = client or (execute.active_client() if not opts.scheduler else None)
    where = execute.resources(client, opts.scheduler, opts.threads)
    return _plan(chosen, paths, params or {}, pars_file, opts, where, auto)


def _options(options: Mapping[str, Any]) -> Options:
    values = dict(options)
    values["output_dir"] = Path(values.get("output_dir") or ".").absolute()  # workers may have another working folder
    values.setdefault("on_error", setting("on-error"))
    if values.get("sources") is not None:
        from jwst_dask.data.sources import SourceTable

        given = values["sources"]
        values["sources"] = given if isinstance(given, SourceTable) else SourceTable.read(given) if isinstance(given, (str, Path)) else SourceTable.of(given)
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

        kind = association.asn_type(path)
        if kind in ("spec2", "tso-spec2", "tso3"):
            return table.pipeline("spec2" if kind == "tso-spec2" else kind)
        asn = association.load(path, allow_outside=opts.allow_outside, also=(opts.output_dir,))
        path = str(next(m.path for p in asn.products for m in p.members if m.exptype.lower() == "science"))
    exp_type = str(scan(path).header("PRIMARY").get("EXP_TYPE", "")).strip("' ")
    suffix = split_suffix(os.path.basename(path))[1]
    name = table.stage_for(exp_type, suffix)
    if name is None:
        raise InputError(f"{os.path.basename(path)}: no pipeline takes EXP_TYPE {exp_type or '(absent)'} with product type {suffix or '(unknown)'}; "
                         "name one, for example `jwst-dask run calwebb_spec2`")  # fmt: skip
    return table.pipeline(name)


def _plan(pipeline: Pipeline, paths: list[str], params: Mapping[str, Any], pars_file: str | None, opts: Options, where: execute.Resources,
          shared: bool | tuple[str, ...] = False) -> Plan:  # fmt: skip
    from jwst_dask.refs.crds import pin_context

    context = pin_context()
    wanted, failures = requests(paths, pipeline.level, opts.allow_outside, opts.on_error == "skip", (str(opts.output_dir),), opts.beside)
    jobs, index = [Job(pipeline, name, [], [], {}, {}, True, failures=[text]) for name, text in failures.items()], 0
    for request in wanted:
        jobs.append(_job(pipeline, request, params, pars_file, opts, where, context, index, shared))
        index += len(request.science)
    _unique(jobs)
    if opts.sources is not None:
        found = [slit for job in jobs for exposure in job.exposures for slit in exposure.draft.slits or ()]
        if not found:
            raise ParameterError(f"{opts.sources.name}: parameters per source are for exposures with slits; these have none")
        opts.sources.check(found, pipeline)
    return Plan(jobs, opts.output_dir, where, context, jwst_dask.__version__)


def _unique(jobs: list[Job]) -> None:
    seen: dict[Path, str] = {}
    for job in jobs:
        for product in job.products():
            if product.final in seen:
                raise InputError(f"two inputs make the same product {product.final.name} ({seen[product.final]} and {job.name}); run them apart")
            seen[product.final] = job.name


def _job(pipeline: Pipeline, request: Request, params: Mapping[str, Any], pars_file: str | None, opts: Options, where: execute.Resources,
         context: str, index: int, shared: bool | tuple[str, ...]) -> Job:  # fmt: skip
    job = Job(pipeline, request.name, [], [], {}, {}, opts.on_error == "skip")
    science = request.science if pipeline.level == 3 else request.science[:1]
    if len(science) < len(request.science):
        log.warning("%s: %d science members, using only the first", request.name, len(request.science))
    steps, job.settings, job.own = settle(pipeline, layers(pipeline, partial(_first_model, science), params, pars_file, context, shared))
    if "save_bsub" in job.own and job.own["save_bsub"].value:
        steps["bkg_subtract"] = dataclasses.replace(steps["bkg_subtract"], save_results=True)
    if "fail_on_exception" in job.own and not job.own["fail_on_exception"].value:
        job.skip = job.tolerant = True
    if pipeline.level == 3:
        with _isolated(job):
            _check_series(_readable(science))
        if job.failures:
            return job
    for offset, path in enumerate(science):
        with _isolated(job):
            planner = ExposurePlanner(pipeline, request, steps, opts, where, context)
            planner.own = job.own
            job.exposures.append(planner.exposure(index + offset, path))
    if pipeline.level == 3 and job.exposures:
        if job.failures:
            job.failures.append(f"{job.name}: {WITHOUT_LEVEL3}")
        else:
            plan_level3(job, request, opts)
    return job


WITHOUT_LEVEL3 = "level-3 products not made, because not all exposures are there; run again with --resume when they are"


@contextlib.contextmanager
def _isolated(job: Job) -> Iterator[None]:
    """Note an error as a failure of the job, where the run is to go on with the rest."""
    try:
        yield
    except ParameterError:
        raise
    except (JwstDaskError, OSError) as error:
        if not job.skip:
            raise
        log.error("%s", error)
        job.failures.append(str(error))


def _readable(paths: Iterable[str]) -> list[Any]:
    """Scans of those files that can be read; the others fail when they are planned."""
    from jwst_dask.io.fits import scan

    out = []
    for path in paths:
        with contextlib.suppress(InputError):
            out.append(scan(path))
    return out


def _first_model(paths: Iterable[str]) -> Any:
    """Datamodel of the first exposure that can be opened (its metadata choose the parameter files), None if there is none."""
    for path in paths:
        with contextlib.suppress(InputError):
            return draft_of(path).model
    return None


def _check_series(files: list[Any]) -> None:
    """Segments of one observation: no duplicates, one instrument and mode."""
    from jwst_dask.data import association

    association.check_segments(files)


def run(inputs: Any, pipeline: str = "auto", *, params: Mapping[str, Any] | None = None, pars_file: str | None = None, client: Any = None,
        progress: Any = None, **options: Any) -> Any:  # fmt: skip
    """Run a pipeline and write its products. Parameters as for `plan`.

    With ``auto`` and count-rate exposures of a time series, `calwebb_spec2` is followed by `calwebb_tso3`, on its association if that
    is among the inputs.

    stages : str or sequence of int
        ``"1,2,3"``: the pipelines of these stages as one graph, see `jwst_dask.core.stages.run_stages`.
    save_intermediate : bool
        With `stages`: keep what a later stage takes.

    Returns
    -------
    Result
        Products by name, failures, figures of the run.

    Raises
    ------
    JwstDaskError
        With ``on_error="raise"``, at the first exposure that fails; finished products stay.
    """
    stages, keep = options.pop("stages", None), bool(options.pop("save_intermediate", False))
    if stages:
        from jwst_dask.core.stages import run_stages

        _only_auto(pipeline)
        return run_stages(inputs, stages, params=params, pars_file=pars_file, client=client, progress=progress, save_intermediate=keep, **options)
    return run_pipeline(inputs, None if pipeline == "auto" else table.pipeline(pipeline), params=params, pars_file=pars_file, client=client,
                        progress=progress, **options)  # fmt: skip


def _only_auto(pipeline: str) -> None:
    if pipeline != "auto":
        raise ParameterError(f"--stages chooses the pipelines; leave {pipeline} out, or run it alone")


def run_pipeline(inputs: Any, pipeline: Pipeline | None, *, params: Mapping[str, Any] | None = None, pars_file: str | None = None,
                 client: Any = None, progress: Any = None, **options: Any) -> Any:  # fmt: skip
    """`run` for a pipeline object; None chooses by exposure type."""
    from jwst_dask.core.finish import Result, carry_out

    opts = _options(options)
    client = client or (execute.active_client() if not opts.scheduler else None)
    where = execute.resources(client, opts.scheduler, opts.threads)
    paths = expand(inputs)
    paths, later = _in_turn(paths) if pipeline is None else (paths, [])
    chosen = pipeline or choose(paths, opts)
    given = params or {}
    following = table.pipeline("calwebb_tso3") if pipeline is None and chosen.level == 2 else None
    if following is not None:  # a mistake in its parameters should show now
        settle(following, [("user", share(following, given))])
    result = Result(opts.output_dir)
    opts.output_dir.mkdir(parents=True, exist_ok=True)
    made = _plan(chosen, paths, given, pars_file, opts, where, pipeline is None)
    carry_out(made, opts, client, result, progress)
    series = [str(p.final) for job in made.jobs for p in job.products() if p.product.suffix_ints == "calints" and p.final.name in result.products]
    if following is not None and series and all(_is_series(job) for job in made.jobs):
        third = _plan(following, later or series, given, pars_file, opts, where, True)
        if any(job.failures for job in made.jobs):
            for job in third.jobs:
                job.level3, job.failures = [], [*job.failures, f"{job.name}: {WITHOUT_LEVEL3}"]
        carry_out(third, opts, client, result, progress)
    return result


def _in_turn(paths: list[str]) -> tuple[list[str], list[str]]:
    """Inputs of the first pipeline, and the level-3 associations of the one that follows it."""
    from jwst_dask.data import association

    later = [path for path in paths if path.endswith(".json") and association.asn_type(path) == "tso3"]
    first = [path for path in paths if path not in later]
    return (first, later) if first else (paths, [])


def _is_series(job: Job) -> bool:
    return all(e.draft.is_cube and table.PIPELINES_BY_EXP_TYPE.get(str(e.draft.model.meta.exposure.type), (None,) * 3)[2] == "calwebb_tso3"
               and (e.draft.model.meta.exposure.nints or 0) > 1 for e in job.exposures)  # fmt: skip


__all__ = ["Options", "choose", "plan", "run", "run_pipeline"]
