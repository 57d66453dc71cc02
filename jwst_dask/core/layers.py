"""Where parameter values come from, lowest precedence first: CRDS for steps, CRDS for the pipeline, a file, the call."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from jwst_dask.core.errors import ParameterError
from jwst_dask.core.pipeline import Pipeline

log = logging.getLogger(__name__)

CHAIN = ("calwebb_spec2", "calwebb_tso3")
"""Pipelines that `auto` may run one after the other."""


def layers(pipeline: Pipeline, model: Callable[[], Any], params: Mapping[str, Any], pars_file: str | None, context: str,
           shared: bool | tuple[str, ...] = False) -> list[tuple[str, Mapping[str, Any]]]:  # fmt: skip
    """Sources of parameter values for `core.pipeline.settle`.

    Parameters
    ----------
    pipeline : Pipeline
    model : callable
        Gives the datamodel of the first exposure, whose metadata select the ``pars-*`` references; None if none can be opened.
    params : mapping
        Values from the command line or the call.
    pars_file : str
        The user's parameter file (ASDF or YAML).
    context : str
        CRDS context.
    shared : bool or tuple of str
        File and call are meant for a chain of pipelines (of these names): take what concerns this one.
    """
    from jwst_dask.refs import pars

    out: list[tuple[str, Mapping[str, Any]]] = []
    if not pars.disabled() and (first := model()) is not None:
        out += [(source, _known(pipeline, values)) for source, values in pars.from_crds(pipeline.pars, pipeline.aliases(), first.get_crds_parameters(), context)]
    if pars_file:
        values = pars.read_pars(pars_file)
        known = values if shared else _known(pipeline, values)
        if lost := _lost(values, known):
            log.warning("%s: %s: not known here, left out", os.path.basename(pars_file), ", ".join(lost))
        out.append((os.path.basename(pars_file), known))
    if params:
        out.append(("user", params))
    given = ("user", os.path.basename(pars_file or ""))
    chain = shared if isinstance(shared, tuple) else CHAIN
    return [(source, share(pipeline, values, chain)) if shared and source in given else (source, values) for source, values in out]


FRAMEWORK = ("pre_hooks", "post_hooks", "output_ext", "output_use_model", "output_use_index", "search_output_file", "input_dir")
"""Options of stpipe in every parameter file that it writes; they have no counterpart here."""


def share(pipeline: Pipeline, params: Mapping[str, Any], names: tuple[str, ...] = CHAIN) -> dict[str, Any]:
    """Of parameters given to a chain of pipelines, those that concern one.

    Raises
    ------
    ParameterError
        For a name that none of the chain has.
    """
    from jwst_dask.pipelines import table
    from jwst_dask.steps import step_class

    chain = [pipeline, *(table.pipeline(name) for name in names)]
    steps = {alias for one in chain for alias in one.aliases()}
    for alias in params.get("steps", {}):
        if alias not in steps:
            raise ParameterError(f"there is no step {alias!r} in these pipelines; there are {', '.join(sorted(steps))}")
    known = {name for one in chain for name in one.parameters} | {f"override_{reftype}" for alias in steps for reftype in step_class(alias).references}
    for name in params:
        if name != "steps" and name not in known:
            raise ParameterError(f"{', '.join(names)} have no parameter {name!r}; parameters of steps are written steps.STEP.{name}")
    own = set(pipeline.aliases())
    used = {f"override_{reftype}" for alias in own for reftype in step_class(alias).references}
    out: dict[str, Any] = {name: value for name, value in params.items() if name in used or name in pipeline.parameters}
    return {**out, "steps": {alias: values for alias, values in params.get("steps", {}).items() if alias in own}}


def _lost(values: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Names that `_known` dropped, but for unset values."""
    steps = known.get("steps", {})
    return [name for name in values if name != "steps" and name not in known] + [
        f"{alias}.{name}"
        for alias, given in values.get("steps", {}).items()
        for name, value in given.items()
        if value is not None and name not in steps.get(alias, {}) and name not in FRAMEWORK
    ]


def _known(pipeline: Pipeline, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a CRDS parameter file this version knows: files there also configure steps and framework options that it does not have."""
    from jwst_dask.steps import step_class

    steps = {}
    for alias, given in values.get("steps", {}).items():
        if alias in pipeline.aliases():
            names = step_class(alias).parameters()
            steps[alias] = {name: value for name, value in given.items() if name in names and not (value is None and name != "skip")}
    own = {name: value for name, value in values.items() if name in pipeline.parameters}
    return {**own, "steps": steps}
