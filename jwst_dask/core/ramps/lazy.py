"""Stage 1 on lazy datasets of ramps: for notebooks, and for steps one by one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core import graph, prepare
from jwst_dask.core.config import setting
from jwst_dask.core.errors import InputError
from jwst_dask.core.pipeline import Product
from jwst_dask.core.slits.trees import HISTORY, changed
from jwst_dask.core.step import Step
from jwst_dask.data.exposure import Block

DIMS = {4: ("integration", "group", "y", "x"), 3: ("integration", "y", "x"), 2: ("y", "x")}
RATES = ("sci", "err", "dq", "var_poisson", "var_rnoise")
RAMPS = ("sci", "groupdq", "pixeldq", "zeroframe")
TYPES = {"dq": np.uint32, "pixeldq": np.uint32, "groupdq": np.uint8}


@dataclass(frozen=True)
class Links:
    """A chain of prepared steps, called with the arrays of some integrations."""

    chain: tuple[tuple[Step, str], ...]
    start: int
    rate: bool = False

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays after the last step."""
        from jwst_dask.refs.load import load_npz

        own = {name: np.array(array, dtype=TYPES.get(name, np.float32), order="C") for name, array in arrays.items()}
        block = Block(own, self.start)
        for step, path in self.chain:
            block = step.run(block, load_npz(path) if path else {})
        return {name.removeprefix("rate_"): array for name, array in block.arrays.items() if name.startswith("rate_")} if self.rate else block.arrays


def is_ramp(dataset: Any) -> bool:
    """Whether a dataset has integrations of groups."""
    return "group" in getattr(dataset, "dims", ())


def apply_ramps(dataset: Any, order: tuple[str | Product, ...], steps: Mapping[str, Any]) -> dict[str, Any]:
    """Take a dataset of one exposure of ramps lazily through steps of stage 1.

    Integrations are independent tasks where all steps allow it; where one compares integrations, or the ramps are fitted, the whole
    exposure is one task and in memory at once (a run on files cuts it into bands of rows instead).

    Returns
    -------
    dict
        ``exposure``: what the chain makes; after ramp_fit also ``rateints`` (the same) and ``rate``.

    Raises
    ------
    InputError
        For several files at once, or part of an exposure where all of it is needed.
    """
    from jwst_dask.core.calls import _references, _sources, replay
    from jwst_dask.data.ramps import ramp_draft
    from jwst_dask.refs.crds import pin_context

    paths = _sources(dataset)
    if len(paths) > 1:
        raise InputError("steps of stage 1 work on one segment at a time: open each file by itself, or run the pipeline on the files")
    history, context = json.loads(dataset.attrs.get(HISTORY, "[]")), pin_context()
    draft = ramp_draft(paths[0])
    prior = replay(draft, history, context)
    stages = prepare.prepare(draft, tuple(item for item in order if isinstance(item, str)), steps, _references(context),
                             prepare.Provenance(context), prior=prior, pixels=False)  # fmt: skip
    links = [stage for stage in stages if stage.runs]
    fitted = any(stage.step.alias == "ramp_fit" and stage.status == "COMPLETE" for stage in stages)
    together = fitted or any(_compares(stage, draft) for stage in links)
    first = int(dataset["integration"].values[0]) - int(draft.model.meta.exposure.integration_start or 1)
    if together and dataset.sizes["integration"] != draft.nints:
        raise InputError(f"{os.path.basename(paths[0])}: these steps need all {draft.nints} integrations of the file; give the whole dataset and select from the result")
    states = prepare.StateStore(setting("scratch") or os.path.join(tempfile.gettempdir(), f"jwst_dask-{os.getuid()}"))
    chain = tuple((stage.step, states.put(stage.state)) for stage in links)
    done = [*history, *([s.step.alias, changed(s.step)] for s in stages if s.status == "COMPLETE")]
    attrs = _attrs(draft, done)
    names = RATES if fitted else tuple(name for name in RAMPS if name != "zeroframe" or "zeroframe" in dataset)
    out = {"exposure": _dataset(dataset, draft, chain, first, together, names, attrs)}
    if fitted:
        out["rateints"] = out["exposure"]
        out["rate"] = _dataset(dataset, draft, chain, first, True, names, attrs, rate=True)
    return out


def _compares(stage: prepare.Stage, draft: Any) -> bool:
    """Whether a step needs more than some integrations."""
    whole: Any = getattr(stage.step, "whole_exposure", None)
    return bool(getattr(stage.step, "needs_all_integrations", False)) or (whole is not None and bool(whole(draft.shape, draft.nints)))


def _attrs(draft: Any, done: list[Any]) -> dict[str, Any]:
    from jwst_dask.data.meta import Meta

    return {**Meta.from_model(draft.model).attrs(), HISTORY: json.dumps(done)}


def _dataset(dataset: Any, draft: Any, chain: Any, first: int, together: bool, names: tuple[str, ...], attrs: dict[str, Any], rate: bool = False) -> Any:
    """The dataset that a chain gives: one lazy task for each block of integrations."""
    import xarray as xr

    source = _inputs(dataset)
    nints, ngroups = dataset.sizes["integration"], dataset.sizes["group"]
    sizes = (nints,) if together else source["sci"].chunks[0]
    shapes = {"pixeldq": draft.shape, **dict.fromkeys(("sci", "groupdq"), (ngroups, *draft.shape))} if "groupdq" in names else {}
    parts: dict[str, list[Any]] = {name: [] for name in names}
    start = 0
    for size in sizes:
        here = {name: array if name == "pixeldq" else array[start : start + size] for name, array in source.items()}
        made = graph.later(Links(chain, first + start, rate), here, "-".join(step.alias for step, _ in chain[-1:]) or "ramp")
        for name in names:
            tail = shapes.get(name, draft.shape)
            shape = tail if name == "pixeldq" or rate else (size, *tail)
            parts[name].append(graph.delayed_array(made, name, shape, TYPES.get(name, np.float32)))
        start += size
    arrays = {name: found[0] if name == "pixeldq" or rate else graph.concatenate(found) for name, found in parts.items()}
    coords = {} if rate else {name: c for name, c in dataset.coords.items() if c.dims == ("integration",)}
    out = xr.Dataset({name: (DIMS[array.ndim], array) for name, array in arrays.items()}, coords=coords, attrs=attrs)
    out.encoding.update({key: dataset.encoding[key] for key in ("source", "sources") if key in dataset.encoding})
    return out


def _inputs(dataset: Any) -> dict[str, Any]:
    """Dask arrays of a ramp, flags of zeros where it has none."""
    sci = graph.as_dask(dataset["sci"].data)
    out = {"sci": sci.rechunk({1: -1, 2: -1, 3: -1})}
    sizes = out["sci"].chunks
    out["groupdq"] = graph.as_dask(dataset["groupdq"].data).rechunk(sizes) if "groupdq" in dataset else graph.zeros(sci.shape, sizes, np.uint8)
    out["pixeldq"] = graph.as_dask(dataset["pixeldq"].data, -1).rechunk(-1) if "pixeldq" in dataset else graph.zeros(sci.shape[-2:], -1, np.uint32)
    if "zeroframe" in dataset:
        out["zeroframe"] = graph.as_dask(dataset["zeroframe"].data).rechunk((sizes[0], -1, -1))
    return out
