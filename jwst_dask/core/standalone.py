"""``jwst-dask strun``: what users of ``strun`` type, carried out here; steps alone, on files of any kind."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwst_dask.core.errors import InputError
from jwst_dask.core.planner import MANY_SLITS

if TYPE_CHECKING:
    from jwst_dask.core.finish import Result
    from jwst_dask.core.step import Step

log = logging.getLogger(__name__)

IGNORED = ("save_results", "output_ext", "output_use_model", "output_use_index", "search_output_file", "input_dir", "pre_hooks", "post_hooks")
"""Framework options of strun that have no counterpart: products are always saved, under their standard names."""


def strun(args: Any, params: Mapping[str, Any]) -> int:
    """Run a pipeline or a single step on a file.

    Raises
    ------
    ParameterError
        For a name that is neither a pipeline nor a step.
    """
    from jwst_dask.pipelines import table
    from jwst_dask.refs import pars

    if args.disable_crds_steppars:
        os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"
    values = {name: value for name, value in params.items() if name not in IGNORED}
    what, file = args.what, None
    if what.endswith((".asdf", ".yaml", ".yml")) and os.path.exists(what):
        file, what = what, pars.class_of(what)
    alias = step_alias(what)
    if alias is not None:
        return _told(run_step(alias, args.inputs, values, pars_file=file, output_dir=args.output_dir), args.output_dir)
    pipeline = table.pipeline(what)
    if args.save_parameters:
        return _save(pipeline, args, values, file)
    from jwst_dask.core.run import run

    return _told(run(args.inputs, pipeline.alias, params=values, pars_file=file, output_dir=args.output_dir), args.output_dir)


def _told(result: Result, folder: str) -> int:
    import sys

    for name in result.made:
        print(f"made {os.path.join(folder, name)}")
    for text in result.failures:
        print(f"FAILED {text}", file=sys.stderr)
    return int(result.exit_code)


def step_alias(name: str) -> str | None:
    """The alias of a step by alias or class name, with or without its module; None for other names."""
    from jwst_dask.steps import STEPS

    short = name.rsplit(".", 1)[-1]
    if short in STEPS:
        return short
    return next((alias for alias, place in STEPS.items() if place.split(":")[1].lower() == short.lower()), None)


def run_step(alias: str, inputs: Any, params: Mapping[str, Any] | None = None, *, pars_file: str | None = None, client: Any = None,
             progress: Any = None, **options: Any) -> Result:  # fmt: skip
    """One step on files, as a pipeline of its own: the same blocks, products and errors as a whole one.

    Parameters
    ----------
    alias : str
        Step.
    inputs : str, path or list
        Exposures, products with many slits, associations.
    params : mapping
        Parameters of the step.
    pars_file : str
        ASDF or YAML parameter file of the step.
    **options
        Fields of `jwst_dask.core.run.Options`.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        For files that the step does not work on.
    """
    from jwst_dask.core.inputs import expand
    from jwst_dask.refs import pars

    given = {name: value for name, value in (params or {}).items() if name != "steps" and name not in IGNORED}
    if pars_file:
        given = {**{name: value for name, value in pars.read_pars(pars_file).items() if name not in (*IGNORED, "steps")}, **given}
    given.setdefault("skip", False)
    if alias == "combine_1d":
        return _of_files(alias, expand(inputs), given, **options)
    from jwst_dask.core.alone import plan_step
    from jwst_dask.core.finish import Result, carry_out

    plan, opts = plan_step(alias, expand(inputs), given, client=client, **options)
    result = Result(opts.output_dir)
    opts.output_dir.mkdir(parents=True, exist_ok=True)
    return carry_out(plan, opts, client, result, progress)


def suffix_of(step: Step, exp_type: str, spectra: str = "x1d") -> str:
    """Suffix of a step's product: its class in lower case, as the reference implementation names the result of a step that runs alone.

    Of time series: the alias of the step, as in a pipeline.
    """
    if step.suffix:
        return step.suffix
    if exp_type in MANY_SLITS:
        return type(step).__name__.lower()
    return spectra if step.alias == "extract_1d" else step.alias


def _of_files(alias: str, paths: list[str], given: Mapping[str, Any], **options: Any) -> Result:
    """A step that makes one product of several files."""
    from jwst_dask.core.finish import Result
    from jwst_dask.io.layout import allocate, finish, plan_layout, temporary
    from jwst_dask.steps import step_class

    step: Any = step_class(alias).make(**{name: value for name, value in given.items() if name != "skip"})
    folder = Path(step.output_dir or options.get("output_dir") or ".").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    model, name = step.from_files(paths[0] if len(paths) == 1 else paths)
    model.instance["jwst_dask"] = {"parameters": {alias: step.values()}}
    partial, final = temporary(folder / name, "c1d"), folder / name
    try:
        allocate(partial, plan_layout(model, {}))
        finish(str(partial), final)
    except OSError as error:
        raise InputError(f"{final}: cannot be written ({error.strerror}); free some space, or choose another --output_dir") from error
    return Result(folder, products={name: final}, made=[name])


def _save(pipeline: Any, args: Any, values: Mapping[str, Any], file: str | None) -> int:
    """Write the parameters in effect as an ASDF parameter file that stpipe reads too."""
    import asdf

    from jwst_dask.core.run import plan

    job = plan(args.inputs, pipeline.alias, params=values, pars_file=file, output_dir=args.output_dir).jobs[0]
    steps = [{"name": alias, "class": f"jwst_dask.steps.{alias}", "parameters": {n: _plain(s.value) for n, s in settings.items()}}
             for alias, settings in job.settings.items()]  # fmt: skip
    tree = {"class": f"jwst_dask.{pipeline.class_name}", "name": pipeline.class_name, "meta": {"author": "jwst_dask", "origin": "jwst_dask"},
            "parameters": {n: _plain(s.value) for n, s in job.own.items()}, "steps": steps}  # fmt: skip
    asdf.AsdfFile(tree).write_to(args.save_parameters)
    print(f"made {Path(args.save_parameters)}")
    return 0


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
