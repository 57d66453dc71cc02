"""Several stages in one command: from raw ramps to a white-light curve, with what lies between in a folder that goes when all is done."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwst_dask
from jwst_dask.core import execute, ledger
from jwst_dask.core.errors import InputError, JwstDaskError, ParameterError
from jwst_dask.core.finish import Result, carry_out
from jwst_dask.core.inputs import expand
from jwst_dask.core.layers import share
from jwst_dask.core.pipeline import Pipeline, settle
from jwst_dask.pipelines import table

log = logging.getLogger(__name__)

BETWEEN = "between"
"""Folder in the workspace for products that the next stage takes."""
ENTRY = "stages"
"""Beginning of the name in the ledger of all products of a chain together."""


def parse_stages(text: str | Sequence[int]) -> tuple[int, ...]:
    """``"1,2,3"`` as numbers.

    Raises
    ------
    ParameterError
        Unless they are consecutive stages from 1 to 3.
    """
    try:
        stages = tuple(int(word) for word in (text.replace(",", " ").split() if isinstance(text, str) else text))
    except ValueError as error:
        raise ParameterError(f"--stages {text}: give numbers of stages, for example 1,2,3") from error
    if not stages or list(stages) != list(range(stages[0], stages[-1] + 1)) or stages[0] < 1 or stages[-1] > 3:
        raise ParameterError(f"--stages {text}: stages are 1, 2 and 3, and must follow each other")
    return stages


def run_stages(inputs: Any, stages: str | Sequence[int], *, params: Mapping[str, Any] | None = None, pars_file: str | None = None, client: Any = None,
               progress: Any = None, save_intermediate: bool = False, **options: Any) -> Result:  # fmt: skip
    """Run the pipelines of consecutive stages, each on what the one before has made.

    Parameters
    ----------
    inputs : str, path or list
        Exposures (in any order), and associations of the later stages if there are any.
    stages : str or sequence of int
        ``"1,2,3"``.
    params, pars_file
        For all pipelines: each takes what it knows.
    client : distributed.Client, optional
    progress : Progress, optional
    save_intermediate : bool
        Keep the products that a later stage takes.
    **options
        Fields of `jwst_dask.core.run.Options`.

    Returns
    -------
    Result

    Raises
    ------
    JwstDaskError
        With ``on_error="raise"``, at the first failure; with `resume`, what is there is not made again.
    """
    from jwst_dask.core import run

    numbers, opts = parse_stages(stages), run._options(options)
    client = client or (execute.active_client() if not opts.scheduler else None)
    where = execute.resources(client, opts.scheduler, opts.threads)
    between = opts.output_dir if save_intermediate else opts.workspace / BETWEEN
    loose, asns = _sorted(expand(inputs), opts)
    chain = _chain(loose, asns, numbers, opts)
    given = params or {}
    for pipeline in chain:  # a mistake should show now
        settle(pipeline, [("user", share(pipeline, given, tuple(one.alias for one in chain)))])
    result, paths, failed = Result(opts.output_dir), loose, False
    book, key = ledger.Ledger(opts.output_dir), _key(chain, [*loose, *sum(asns.values(), [])], given, pars_file, save_intermediate)
    if opts.resume and (there := _all_there(book, key, opts.output_dir)):
        log.info("all products of stages %s are current, nothing is made again", stages)
        result.products = there
        return result
    for number, pipeline in zip(numbers, chain):
        last = number == numbers[-1]
        paths = asns.get(number) or paths
        mine = replace(opts, output_dir=opts.output_dir if last else between, beside=(str(between), *dict.fromkeys(os.path.dirname(os.path.abspath(path)) for path in loose)))
        mine.output_dir.mkdir(parents=True, exist_ok=True)
        plan = run._plan(pipeline, paths, given, pars_file, mine, where, tuple(one.alias for one in chain))
        if failed and number == 3:
            for job in plan.jobs:
                job.level3, job.failures = [], [*job.failures, f"{job.name}: {run.WITHOUT_LEVEL3}"]
        try:
            carry_out(plan, mine, client, result, progress)
        except JwstDaskError:
            if between != opts.output_dir:
                log.warning("what was made so far is kept for --resume in %s", between)
            raise
        failed |= any(job.failures for job in plan.jobs)
        if not last:
            paths = _passed_on(plan, result, number, pipeline)
    _tidy(result, opts.output_dir, between, failed)
    if not failed:
        made = {name: ledger.Identity.of(path).__dict__ for name, path in result.products.items()}
        book.record(opts.output_dir / f"{ENTRY}-{key[:16]}", key, made=made)
    return result


def _key(chain: Sequence[Pipeline], paths: Sequence[str], given: Mapping[str, Any], pars_file: str | None, keep: bool) -> str:
    """What the products of a whole chain depend on."""
    from jwst_dask.refs.crds import pin_context

    def plain(value: Any) -> Any:
        return {name: plain(one) for name, one in value.items()} if isinstance(value, Mapping) else ledger.content(value)

    inputs = [ledger.Identity.of(path) for path in sorted([*paths, *([pars_file] if pars_file else [])])]
    return ledger.product_key(inputs, [{"pipeline": one.alias} for one in chain], {"parameters": plain(given), "context": pin_context(),
                                                                                  "version": jwst_dask.__version__, "keep": keep})  # fmt: skip


def _all_there(book: ledger.Ledger, key: str, folder: Path) -> dict[str, Path]:
    """Products of an earlier run of the same chain, if all of them are as they were; else none."""
    row = next((row for row in book.rows() if row["product"].startswith(ENTRY) and row.get("key") == key), {})
    found = {name: folder / name for name in row.get("made", {})}
    return found if all(ledger.Identity.of(path).__dict__ == row["made"][name] for name, path in found.items()) else {}


def _sorted(paths: list[str], opts: Any) -> tuple[list[str], dict[int, list[str]]]:
    """Exposures, and associations by the stage that takes them."""
    from jwst_dask.data import association

    asns: dict[int, list[str]] = {}
    for path in (p for p in paths if p.endswith(".json")):
        asns.setdefault(3 if association.asn_type(path).endswith("3") else 2, []).append(path)
    return [p for p in paths if not p.endswith(".json")], asns


def _chain(loose: list[str], asns: Mapping[int, list[str]], numbers: Sequence[int], opts: Any) -> list[Pipeline]:
    """The pipelines of the stages, by the type of the first exposure."""
    from jwst_dask.io.fits import scan
    from jwst_dask.io.names import split_suffix

    if not loose:
        raise InputError("--stages needs exposures, not associations only")
    header = scan(loose[0]).keywords("PRIMARY")
    exp_type = str(header.get("EXP_TYPE", "")).strip()
    suffix = split_suffix(os.path.basename(loose[0]))[1]
    known = table.PIPELINES_BY_EXP_TYPE.get(exp_type)
    first = {"uncal": 1, "ramp": 1, "rate": 2, "rateints": 2, "cal": 3, "calints": 3}.get(suffix, 1)
    if known is None or first != numbers[0]:
        raise InputError(f"{os.path.basename(loose[0])}: EXP_TYPE {exp_type or '(absent)'} with product type {suffix or '(unknown)'} "
                         f"does not begin with stage {numbers[0]}")  # fmt: skip
    names = [known[number - 1] for number in numbers]
    if None in names:
        raise InputError(f"{os.path.basename(loose[0])}: EXP_TYPE {exp_type} has no stage {numbers[names.index(None)]}")
    return [table.pipeline(str(name)) for name in names]


def _passed_on(plan: Any, result: Result, number: int, pipeline: Pipeline) -> list[str]:
    """Products that the next stage takes.

    Raises
    ------
    InputError
        When there are none.
    """
    out = []
    for job in plan.jobs:
        for exposure in job.exposures:
            series = str(exposure.draft.model.meta.visit.tsovisit) == "True" or exposure.draft.model.meta.exposure.type in ("NRS_BRIGHTOBJ", "NRC_TSGRISM", "NRC_TSIMAGE")
            wanted = {1: ("rateints",) if series and (exposure.draft.model.meta.exposure.nints or 1) > 1 else ("rate",), 2: ("calints", "cal")}[number]
            found = [p for p in exposure.products if p.product.named(exposure.draft.is_cube) in wanted and p.final.name in result.products]
            out += [str(result.products[p.final.name]) for p in found[:1]]
    if not out:
        raise InputError(f"{pipeline.alias} has made nothing that the next stage takes")
    return out


def _tidy(result: Result, folder: Path, between: Path, failed: bool) -> None:
    """Forget what was only made for a later stage, and remove it if all went well."""
    if between == folder:
        return
    kept = {name: path for name, path in result.products.items() if Path(path).parent != between}
    gone = set(result.products) - set(kept)
    result.products, result.made = kept, [name for name in result.made if name not in gone]
    if failed:
        log.warning("what was made for later stages is kept for --resume in %s", between)
    else:
        shutil.rmtree(between, ignore_errors=True)
