"""Several stages in one command and one graph: from raw ramps to a white-light curve.

All stages are planned before anything runs: what one passes on to the next is laid out as a product is, so that the next can be planned from
its headers and its tree; then the tasks of all go to the scheduler together, those of a later stage behind one task of the exposure they need.
Rates lie in scratch until the next stage has read them (fits work on rows, the next stage on integrations), as ramps do between passes. Calibrated
integrations stay in memory: tasks of stage 3 do the steps of stage 2 first. Only where a step has to see pixels of the stage before while it is planned,
that stage is run first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jwst_dask
from jwst_dask.core import execute, ledger
from jwst_dask.core.chain import Chain
from jwst_dask.core.errors import InputError, JwstDaskError, ParameterError
from jwst_dask.core.finish import Result, claim
from jwst_dask.core.inputs import expand
from jwst_dask.core.layers import share
from jwst_dask.core.pipeline import Pipeline, settle
from jwst_dask.core.plan import Plan
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
    """Run the pipelines of consecutive stages, as one graph.

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
    opts, loose, asns, pipelines = _understood(inputs, stages, params, options)
    client = client or (execute.active_client() if not opts.scheduler else None)
    between = opts.workspace / BETWEEN
    result = Result(opts.output_dir)
    book, key = ledger.Ledger(opts.output_dir), _key(list(pipelines.values()), [*loose, *sum(asns.values(), [])], params or {}, pars_file, save_intermediate)
    if opts.resume and (there := _all_there(book, key, opts.output_dir)):
        log.info("all products of stages %s are current, nothing is made again", stages)
        result.products = there
        return result
    chain = Chain(opts, between, between / f"run-{opts.run_id}", save_intermediate, params or {}, pars_file, client, result, progress)
    claim(chain.laid_out)
    try:
        chain.add_all(pipelines, loose, asns)
        chain.carry_out()
    except JwstDaskError:
        if list(between.glob("*.fits")):
            log.warning("what was made so far is kept for --resume in %s", between)
        raise
    finally:
        shutil.rmtree(chain.laid_out, ignore_errors=True)
        _remove_empty(between)
    _tidy(result, chain)
    if not chain.failed:
        made = {name: ledger.Identity.of(path).__dict__ for name, path in result.products.items()}
        book.record(opts.output_dir / f"{ENTRY}-{key[:16]}", key, made=made)
    return result


def plan_stages(inputs: Any, stages: str | Sequence[int], *, params: Mapping[str, Any] | None = None, pars_file: str | None = None, client: Any = None,
                save_intermediate: bool = False, **options: Any) -> Plan:  # fmt: skip
    """What `run_stages` would do; parameters as there."""
    opts, loose, asns, pipelines = _understood(inputs, stages, params, {**options, "pixels": False})
    client = client or (execute.active_client() if not opts.scheduler else None)
    with tempfile.TemporaryDirectory(prefix="jwst_dask-plan-") as folder:
        chain = Chain(opts, opts.workspace / BETWEEN, Path(folder), save_intermediate, params or {}, pars_file, client, Result(opts.output_dir))
        chain.add_all(pipelines, loose, asns)
        return chain.plan()


def _understood(inputs: Any, stages: str | Sequence[int], params: Mapping[str, Any] | None,
                options: Mapping[str, Any]) -> tuple[Any, list[str], dict[int, list[str]], dict[int, Pipeline]]:  # fmt: skip
    """Options, exposures, associations by stage, and pipelines by stage."""
    from jwst_dask.core.run import _options

    numbers, opts = parse_stages(stages), _options(options)
    loose, asns = _sorted(expand(inputs), opts)
    pipelines = dict(zip(numbers, _chain(loose, asns, numbers, opts)))
    for pipeline in pipelines.values():  # a mistake should show now
        settle(pipeline, [("user", share(pipeline, params or {}, tuple(one.alias for one in pipelines.values())))])
    return opts, loose, asns, pipelines


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
    header: Mapping[str, Any] = {}
    for path in loose:
        try:
            header = scan(path).keywords("PRIMARY")
            break
        except InputError:  # said again when it is planned, if the others go on
            if opts.on_error != "skip" or path == loose[-1]:
                raise
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


def _tidy(result: Result, chain: Chain) -> None:
    """Forget what was only made for a later stage, and remove it if all went well (others may have theirs there)."""
    kept = {name: path for name, path in result.products.items() if Path(path).parent != chain.between}
    gone = set(result.products) - set(kept)
    result.products, result.made = kept, [name for name in result.made if name not in gone]
    if chain.failed and chain.between.exists():
        log.warning("what was made for later stages is kept for --resume in %s", chain.between)
    elif not chain.failed:
        for _, product in chain.passed.values():
            (chain.between / product.final.name).unlink(missing_ok=True)
        _remove_empty(chain.between)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it is not there, or what is in it is kept
        folder.rmdir()
