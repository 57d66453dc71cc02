"""Where parameter values come from, lowest precedence first: CRDS for steps, CRDS for the pipeline, a file, the call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from jwst_dask.core.pipeline import Pipeline


def layers(pipeline: Pipeline, model: Any, params: Mapping[str, Any], pars_file: str | None, context: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Sources of parameter values for `core.pipeline.settle`.

    Parameters
    ----------
    pipeline : Pipeline
    model : datamodel
        First exposure; its metadata select the ``pars-*`` references.
    params : mapping
        Values from the command line or the call.
    pars_file : str
        The user's parameter file (ASDF or YAML).
    context : str
        CRDS context.
    """
    out: list[tuple[str, Mapping[str, Any]]] = []
    if os.environ.get("STPIPE_DISABLE_CRDS_STEPPARS", "").lower() not in ("true", "1", "yes"):
        from jwst_dask.refs import pars

        out += [(source, _known(pipeline, values)) for source, values in pars.from_crds(pipeline.pars, pipeline.aliases(), model.get_crds_parameters(), context)]
    if pars_file:
        from jwst_dask.refs import pars

        out.append((os.path.basename(pars_file), pars.read_pars(pars_file)))
    if params:
        out.append(("user", params))
    return out


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
