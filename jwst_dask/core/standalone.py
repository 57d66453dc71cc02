"""``jwst-dask strun``: what users of ``strun`` type, carried out here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    alias = _step_alias(what)
    if alias is not None:
        return _single(alias, args, values, file)
    pipeline = table.pipeline(what)
    if args.save_parameters:
        return _save(pipeline, args, values, file)
    from jwst_dask.core.run import run

    result = run(args.inputs, pipeline.alias, params=values, pars_file=file, output_dir=args.output_dir)
    for name in result.made:
        print(f"made {os.path.join(args.output_dir, name)}")
    return int(result.exit_code)


def _step_alias(name: str) -> str | None:
    from jwst_dask.steps import STEPS

    short = name.rsplit(".", 1)[-1]
    if short in STEPS:
        return short
    return next((alias for alias, place in STEPS.items() if place.split(":")[1] == short), None)


def _single(alias: str, args: Any, values: Mapping[str, Any], file: str | None) -> int:
    """One step as a pipeline of its own: the same blocks, products and errors as a whole one."""
    from jwst_dask.core.pipeline import Pipeline, Product
    from jwst_dask.core.run import run_pipeline
    from jwst_dask.pipelines import table
    from jwst_dask.refs import pars

    given = dict(values)
    given.pop("steps", None)
    spectra = alias == "extract_1d"
    exp_types = table.pipeline("calwebb_spec2").working
    product = Product("x1d", "x1dints", spectra=True) if spectra else Product(alias, alias)
    made = Pipeline(alias=alias, class_name=alias, pars="", orders=dict.fromkeys(exp_types, (alias, product)))
    if file:
        given = {**pars.read_pars(file), **given}
    given.pop("steps", None)
    result = run_pipeline(args.inputs, made, params={"steps": {alias: {"skip": False, **given}}}, output_dir=args.output_dir)
    for name in result.made:
        print(f"made {os.path.join(args.output_dir, name)}")
    return int(result.exit_code)


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
