"""Steps on trees of slits: a child for each, its arrays made by one lazy task."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.core.slits import references, standalone
from jwst_dask.core.slits.chain import Outcome, run_slit
from jwst_dask.core.slits.names import CUT, MASTER
from jwst_dask.core.step import Step
from jwst_dask.data.exposure import CUBES, Block, Draft
from jwst_dask.data.slits import SlitSpec

HISTORY = "JWSTDASK"
"""Attribute of a tree or dataset that names the steps it has been through, as JSON: ``[[alias, {parameter: value}], ...]``."""
NOW = ("resample_spec", "extract_1d")
"""Steps whose results have a shape of their own, which is known when they are done: they are carried out at once."""
_STATIC = ("wavelength", "barshadow", "area", "wht")
Table = Mapping[str, references.Table]


@dataclass(frozen=True)
class OfProduct:
    """A slit of a product."""

    path: str
    place: int

    def open(self, table: Table | None = None) -> tuple[Draft, Block]:
        """Its draft and block."""
        from jwst_dask.core.slits.opened import open_slit
        from jwst_dask.io.multi_read import open_multi

        return open_slit(open_multi(self.path).entries[self.place], optics=standalone.optics_in(table or {}))


@dataclass(frozen=True)
class OfFrame:
    """A slit of an exposure that has been through some steps; its pixels are given."""

    path: str
    history: str
    context: str
    spec: SlitSpec
    cut: Any

    def open(self, table: Table | None = None) -> tuple[Draft, Block]:
        """Its draft, and a block of zeros."""
        from jwst_dask.steps.stage2.extract_2d import slit_draft

        draft, _ = slit_draft(frame_of(self.path, self.history, self.context), self.spec, self.cut)
        draft.model.meta.cal_step.instance[CUT] = "COMPLETE"
        arrays = {name: np.zeros((1, *draft.shape), np.uint32 if name == "dq" else np.float32) for name in CUBES[:5]}
        return draft, Block(arrays, 0)


def frame_of(path: str, history: str, context: str) -> Draft:
    """The draft of an exposure after its steps, its slits located; made once in a process, not to be changed."""
    from jwst_dask.core.calls import draft_after

    key = ("frame of a tree", path, os.stat(path).st_mtime_ns, history, context)
    return memo(key, lambda: draft_after(path, json.loads(history), context))


@dataclass(frozen=True)
class Work:
    """The last step of a chain on one slit: ``work(before)`` gives its arrays by name.

    Attributes
    ----------
    slit : OfProduct or OfFrame
    chain : tuple of Step
        All steps since the file was written; those before the last only bring metadata up to date.
    table : mapping
        Resolved references.
    """

    slit: OfProduct | OfFrame
    chain: tuple[Step, ...]
    table: Table
    names: tuple[str, ...]
    shape: tuple[int, int]

    def outcome(self, before: Mapping[str, Any]) -> Outcome:
        """The slit after the chain; ``before`` has the arrays that the last step gets, and the master background."""
        draft, block = self.slit.open(self.table)
        kind = "fixed" if draft.slit is not None and draft.slit.fixed and "fixed" in self.table else "msa"
        steps = {step.alias: step for step in self.chain} | {alias: step for s in self.chain for alias, step in standalone.companions(s).items()}

        def look_up(alias: str) -> Any:
            return references.of_step(self.table[kind], alias)

        draft.shared |= {"references": lambda step: look_up(step.alias), "master_background": before.get("master")}
        out = Outcome()
        if self.chain[:-1]:
            out = run_slit(draft, block, tuple(step.alias for step in self.chain[:-1]), steps, look_up, serialise=False)
            block = out.block or block
        for name, array in before.get("arrays", {}).items():
            if name in CUBES:
                block.arrays[name] = np.array(array, np.uint32 if name == "dq" else np.float32, order="C")[None]
        return run_slit(draft, block, (self.chain[-1].alias,), steps, look_up, serialise=False)

    def __call__(self, before: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Arrays of the slit by name, all of one shape; NaN for what it does not have."""
        found = planes(self.outcome(before))
        return {name: found[name] if name in found else np.full(self.shape, np.nan, np.float32) for name in self.names}


def planes(outcome: Outcome) -> dict[str, np.ndarray]:
    """float32[y, x] (``dq`` uint32) of a slit: its pixels and static planes."""
    if outcome.draft is None or outcome.block is None:
        return {}
    shape = outcome.block.arrays["sci"].shape[-2:]
    found = {name.lower(): value for name, value in outcome.draft.model.instance.items() if isinstance(value, np.ndarray) and value.shape == shape}
    found |= {name: array[0] for name, array in outcome.block.arrays.items() if array.shape[-2:] == shape}
    return {name: np.asarray(value, np.uint32 if name == "dq" else np.float32) for name, value in found.items() if name != "data"}


@dataclass(frozen=True)
class Master:
    """The master background of the slits of a product, from its background slits."""

    slits: tuple[Work, ...]
    step: Any

    def __call__(self) -> Any:
        """The spectrum, None without one."""
        from jwst_dask.steps.stage2.master_background_mos import master_spectrum

        spectra = []
        for work in self.slits:
            draft, block = work.slit.open(work.table)
            draft.shared["references"] = lambda step, work=work: references.of_step(work.table["msa"], step.alias)
            steps = standalone.companions(self.step)
            spectra.append(standalone.background(draft, block, steps))
        return master_spectrum(spectra, self.step)


def is_tree(thing: Any) -> bool:
    """Whether it is an `xarray.DataTree`."""
    import xarray as xr

    return isinstance(thing, xr.DataTree)


def step_on_tree(tree: Any, step: Step, look_up: Any, context: str) -> Any:
    """Take the slits of a tree through a step.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``xr.open_datatree`` of a product with many slits, extract_2d of an exposure, or another step; any of its slits.
    step : Step
    look_up : callable
        ``look_up(model, step)`` gives a step's look-up of references.
    context : str

    Returns
    -------
    xarray.DataTree
        Lazy, one task a slit; resample_spec and extract_1d are carried out at once.

    Raises
    ------
    InputError
        For a tree that does not know its file, or a step that does not work on slits.
    """
    from jwst_dask.steps import step_class

    source = tree.encoding.get("source") or tree.dataset.encoding.get("source")
    if not source:
        raise InputError("this tree does not know the file it is from (encoding['source']); open it with xarray.open_datatree(path, engine='jwst')")
    if step.alias not in standalone.BY_SLIT:
        raise InputError(f"{step.alias} does not work on slits that are cut out; give it the exposure")
    history = json.loads(tree.attrs.get(HISTORY, "[]"))
    at = next((i for i, (alias, _) in enumerate(history) if alias == CUT), None)
    done = history if at is None else history[at + 1 :]
    chain = tuple(step_class(alias).make(**values) for alias, values in done) + (step,)
    all_steps = {s.alias: s for one in chain for s in standalone.companions(one).values()} | {s.alias: s for s in chain}
    slits, table = _of_product(source, all_steps, look_up, step) if at is None else _of_frame(source, history[: at + 1], context, all_steps, look_up)
    works = {name: _work(node, slits[name], chain, table) for name, node in tree.children.items() if name in slits}
    if lost := [name for name in tree.children if name not in slits]:
        raise InputError(f"{os.path.basename(source)}: the tree has slits that the file has not: {', '.join(lost[:12])}")
    out = _now(tree, works, _master(works, step)) if step.alias in NOW else _later(tree, works, _master(works, step))
    return _tree(tree, out, [*history, [step.alias, changed(step)]])


def changed(step: Any) -> dict[str, Any]:
    """Parameters that differ from the defaults, as JSON can hold them."""
    default = type(step)().values()
    out = {k: list(v) if isinstance(v, tuple) else v for k, v in step.values().items() if v != default[k] or k == "skip"}
    return out | {f"override_{k}": v for k, v in step.overrides.items()}


def _of_product(path: str, steps: Mapping[str, Step], look_up: Any, step: Step) -> tuple[dict[str, Any], Table]:
    from jwst_dask.data import lazy
    from jwst_dask.io.multi_read import open_multi

    content = open_multi(path)
    standalone.check_class(content, step.alias)
    places = {entry.ver: entry.place for entry in content.entries}
    slits = {name: OfProduct(path, places[ver]) for name, ver in lazy.slits(content.file).items()}
    return slits, standalone.reference_table(content, steps, look_up)


def _of_frame(path: str, history: Sequence[Any], context: str, steps: Mapping[str, Step], look_up: Any) -> tuple[dict[str, Any], Table]:
    from jwst_dask.steps import step_class

    text, cut = json.dumps(history[:-1]), step_class(CUT).make(**history[-1][1])
    frame = frame_of(path, text, context)
    slits = {spec.name: OfFrame(path, text, context, spec, cut) for spec in frame.slits or ()}
    return slits, standalone.resolved(frame.model, steps, look_up, any(spec.fixed for spec in frame.slits or ()))


def _work(node: Any, slit: Any, chain: tuple[Step, ...], table: Table) -> Work:
    shape = (int(node.sizes.get("y", 0)), int(node.sizes.get("x", 0)))
    names = [str(name) for name, variable in node.data_vars.items() if variable.dims == ("y", "x")]
    more = ("var_flat",) if chain[-1].alias == "flat_field" else ("barshadow",) if chain[-1].alias == "barshadow" else ()
    return Work(slit, chain, table, tuple(dict.fromkeys((*names, *more))), shape)


def _given(node: Any) -> dict[str, Any]:
    """Arrays of a node that someone has made or changed; what still lies in the file is read by the task."""
    return {str(name): variable.data for name, variable in node.data_vars.items()
            if name in CUBES and variable.dims == ("y", "x") and (variable.chunks is not None or variable.variable._in_memory)}  # fmt: skip


def _master(works: Mapping[str, Work], step: Any) -> Any:
    """The master background as a lazy task, None for another step."""
    if step.alias != MASTER:
        return None
    from jwst_dask.core import graph
    from jwst_dask.steps.stage2.master_background_mos import is_background_slit

    back = []
    for work in works.values():
        spec = work.slit.spec if isinstance(work.slit, OfFrame) else work.slit.open()[0].slit
        if spec is not None and is_background_slit(spec, step):
            back.append(work)
    return graph.once(Master(tuple(back), step), "master-background")


def _later(tree: Any, works: Mapping[str, Work], master: Any) -> dict[str, Any]:
    import xarray as xr

    from jwst_dask.core import graph

    out = {}
    for name, work in works.items():
        node = tree[name].to_dataset()
        arrays = graph.arrays_of(work, {"arrays": _given(node), "master": master}, work.names, work.shape, f"{work.chain[-1].alias}-{name}")
        kept = {str(key): variable for key, variable in node.data_vars.items() if str(key) not in arrays}
        data = {key: (("y", "x"), array, node[key].attrs if key in node else {}) for key, array in arrays.items()}
        out[name] = xr.Dataset({**kept, **data}, attrs={**node.attrs, **_attributes(work)})
    return out


def _attributes(work: Work) -> dict[str, Any]:
    """Attributes of a slit after a step that sets nothing else; other steps set theirs when the pixels are there."""
    from jwst_dask.data.meta import Meta

    if work.chain[-1].alias != "srctype" or getattr(work.chain[-1], "measure_position", False):
        return {}
    draft = work.outcome({}).draft
    return {} if draft is None else dict(Meta.from_model(draft.model).attrs())


def _now(tree: Any, works: Mapping[str, Work], master: Any) -> dict[str, Any]:
    from functools import partial

    from jwst_dask.core import execute, graph

    calls = [graph.later(partial(_outcome, work), {"arrays": _given(tree[name].to_dataset())}, name) for name, work in works.items()]
    found = dict(zip(works, execute.compute(*calls)))
    return {name: dataset for name, dataset in found.items() if dataset is not None}


def _outcome(work: Work, before: Mapping[str, Any]) -> Any:
    """A slit after the chain as a dataset of its own; None if the step does not apply to it."""
    import xarray as xr

    from jwst_dask.data.meta import Meta

    outcome = work.outcome(before)
    if outcome.statuses[work.chain[-1].alias][0] != "COMPLETE" or outcome.block is None or outcome.draft is None:
        return None
    if "EXTRACT1D" in outcome.block.tables:
        table = np.asarray(outcome.block.tables["EXTRACT1D"])
        spec = outcome.draft.spectra.spec[0]
        plain = {name: value for name, value in spec.instance.items() if isinstance(value, (str, int, float, bool))}
        units = {c.name: c.unit for c in getattr(spec.spec_table, "columns", ()) if c.unit}
        columns = {name.lower(): ("wavelength", np.ravel(table[name]), {"units": units[name]} if name in units else {}) for name in table.dtype.names or ()}
        wave = columns.pop("wavelength")
        return xr.Dataset(columns, coords={"wavelength": wave}, attrs=plain)
    attrs = Meta.from_model(outcome.draft.model).attrs()
    return xr.Dataset({name: (("y", "x"), array) for name, array in planes(outcome).items()}, attrs=attrs)


def _tree(tree: Any, children: Mapping[str, Any], history: Sequence[Any]) -> Any:
    import xarray as xr

    root = xr.Dataset(attrs={**tree.attrs, HISTORY: json.dumps(history)})
    out = xr.DataTree.from_dict({"/": root, **{f"/{name}": dataset for name, dataset in children.items()}})
    out.encoding["source"] = tree.encoding.get("source") or tree.dataset.encoding.get("source")
    return out


def cut_outs(dataset: Any, draft: Draft, history: Sequence[Any], step: Any) -> Any:
    """The slits of an exposure as a tree: slices of its arrays, and the wavelength of each pixel.

    Parameters
    ----------
    dataset : xarray.Dataset
        The exposure, dimensions ``y, x``.
    draft : Draft
        After its steps, with `slits`.
    history : sequence
        Its steps, extract_2d not yet among them.
    step : Extract2dStep
    """
    import xarray as xr

    from jwst_dask.core.slits.interactive import window
    from jwst_dask.data.meta import Meta
    from jwst_dask.steps.stage2.extract_2d import slit_draft

    children, source = {}, draft.path
    for spec in step.select(draft):
        mine, _ = slit_draft(draft, spec, step)
        (x0, x1), (y0, y1) = window(mine.slit.box if mine.slit else spec.box, draft.shape)
        arrays = {name: (("y", "x"), dataset[name].data[y0:y1, x0:x1], dataset[name].attrs) for name in CUBES[:5] if name in dataset}
        arrays["wavelength"] = (("y", "x"), mine.model.instance["wavelength"], {"units": "um"})
        children[f"/{spec.name}"] = xr.Dataset(arrays, attrs=Meta.from_model(mine.model).attrs())
    attrs = {**dataset.attrs, HISTORY: json.dumps([*history, [step.alias, changed(step)]])}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **children})
    tree.encoding["source"] = source
    return tree
