"""Steps and pipelines as people call them: on lazy datasets, and ``.run`` / ``.call`` on files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jwst_dask.core import prepare
from jwst_dask.core.answers import Products, combined_spectra, opened
from jwst_dask.core.config import setting
from jwst_dask.core.errors import InputError
from jwst_dask.core.pipeline import Product, settle
from jwst_dask.core.planner import MANY_SLITS
from jwst_dask.core.ramps.lazy import apply_ramps, is_ramp
from jwst_dask.core.slits.names import CUT
from jwst_dask.core.slits.trees import HISTORY, changed, cut_outs, is_tree, step_on_tree
from jwst_dask.data.exposure import CUBES, Draft
from jwst_dask.pipelines import table


class StepCall:
    """One step as a function: ``steps.flat_field(ds, inverse=True)`` gives a new lazy dataset.

    Of a tree of slits it gives a tree, also extract_2d of an exposure with many slits.
    """

    def __init__(self, alias: str) -> None:
        from jwst_dask.steps import step_class

        self.alias, self.cls = alias, step_class(alias)
        self.__name__, self.__doc__ = alias, self.cls.__doc__

    def __call__(self, dataset: Any, **parameters: Any) -> Any:
        """Apply the step lazily.

        Parameters
        ----------
        dataset : xarray.Dataset or xarray.DataTree
            From `jwst_dask.open`, ``xarray.open_datatree`` or another step.
        **parameters
            Of the step; ``override_<reftype>`` too.

        Returns
        -------
        xarray.Dataset or xarray.DataTree
            Lazy; but the results of resample_spec and extract_1d for slits, whose shapes are not known before, are there.
        """
        if hasattr(self.cls, "from_files"):
            return self._combined(dataset, parameters)
        step = self.cls.make(**{"skip": False, **_own(parameters)})
        if is_tree(dataset):
            from jwst_dask.refs.crds import pin_context

            context = pin_context()
            return step_on_tree(dataset, step, _references(context), context)
        if self.alias == CUT and dataset.attrs.get("EXP_TYPE") in MANY_SLITS:
            return _cut_outs(dataset, step)
        results = (apply_ramps if is_ramp(dataset) else apply)(dataset, (self.alias,), {self.alias: step})
        return results["x1d"] if self.alias == "extract_1d" and "x1d" in results else results["exposure"]

    def run(self, source: Any, **parameters: Any) -> Any:
        """Open a file (or take a dataset or tree) and apply the step, without parameter files from CRDS.

        With ``save_results=True`` the product of a file is written (to ``output_dir``), and what is returned is opened from it.
        """
        if parameters.get("save_results") and not hasattr(source, "attrs"):
            return self._saved(source, parameters)
        return self(source if hasattr(self.cls, "from_files") else opened(source), **parameters)

    def call(self, source: Any, **parameters: Any) -> Any:
        """As `run`, with the step's parameter file from CRDS below the given values."""
        from jwst_dask.refs import pars

        if pars.disabled() or hasattr(self.cls, "from_files") or (parameters.get("save_results") and not hasattr(source, "attrs")):
            return self.run(source, **parameters)
        from jwst_dask.refs.crds import pin_context

        dataset, values = opened(source), {}
        for _, found in pars.from_crds("", [self.alias], _model_of(dataset).get_crds_parameters(), pin_context()):
            values.update(found.get("steps", {}).get(self.alias, {}))
        known = self.cls.parameters()
        return self(dataset, **{**{k: v for k, v in values.items() if k in known and v is not None}, **parameters})

    def _saved(self, source: Any, parameters: Mapping[str, Any]) -> Any:
        from jwst_dask.core.standalone import run_step

        values = {name: value for name, value in parameters.items() if name not in ("save_results", "output_dir")}
        result = run_step(self.alias, source, values, output_dir=parameters.get("output_dir") or ".")
        made = [path for name, path in result.products.items() if name in result.made]
        if not made:
            raise InputError("; ".join(result.failures) or f"{self.alias} made no product of {source}")
        return opened(str(made[0]))

    def _combined(self, source: Any, parameters: Mapping[str, Any]) -> Any:
        step: Any = self.cls.make(**_own(parameters))
        model, name = step.from_files(source)
        return combined_spectra(model, name)

    def __repr__(self) -> str:
        return f"<step {self.alias}: {', '.join(self.cls.parameters())}>"


class PipelineCall:
    """A pipeline as users of stpipe know it: ``Spec2Pipeline.call(...)``."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def call(self, source: Any, *, steps: Mapping[str, Mapping[str, Any]] | None = None, **parameters: Any) -> Any:
        """Files and associations are run and written (see `jwst_dask.run`); a dataset gives lazy datasets by product suffix.

        Returns
        -------
        Products or dict
            ``["cal"]`` is the dataset (a tree, where there are many slits) with this suffix.
        """
        import xarray as xr

        if isinstance(source, xr.Dataset):
            return self._lazy(source, steps or {})
        from jwst_dask.core.run import run

        known = {"output_dir", "resume", "on_error", "chunk", "threads", "scheduler", "client", "progress", "pars_file", "allow_outside", "checksum"}
        options = {k: parameters.pop(k) for k in list(parameters) if k in known}
        parameters.pop("save_results", None)
        return Products(**vars(run(source, self.alias, params={**parameters, "steps": dict(steps or {})}, **options)))

    def _lazy(self, dataset: Any, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        pipeline = table.pipeline(self.alias)
        steps, _, _ = settle(pipeline, [("user", {"steps": given})])
        if is_ramp(dataset):
            return apply_ramps(dataset, pipeline.order(str(dataset.attrs.get("EXP_TYPE", ""))), steps)
        return apply(dataset, pipeline.order(str(dataset.attrs.get("EXP_TYPE", ""))), steps, pipeline.unrecorded.get(str(dataset.attrs.get("EXP_TYPE")), ()))


Detector1Pipeline = PipelineCall("calwebb_detector1")
DarkPipeline = PipelineCall("calwebb_dark")
GuiderPipeline = PipelineCall("calwebb_guider")
Spec2Pipeline = PipelineCall("calwebb_spec2")
Tso3Pipeline = PipelineCall("calwebb_tso3")


def _own(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without those that say where a result is saved."""
    return {name: value for name, value in parameters.items() if name not in ("save_results", "output_dir", "output_file", "suffix")}


def _model_of(dataset: Any) -> Any:
    """A datamodel with the metadata of the file that a dataset or tree is from."""
    if is_tree(dataset):
        from jwst_dask.core.alone import metadata_of

        return metadata_of(str(dataset.encoding.get("source")))
    return drafts_of(dataset)[0].model


def _cut_outs(dataset: Any, step: Any) -> Any:
    """extract_2d of an exposure with many slits: a tree."""
    from jwst_dask.refs.crds import pin_context

    history = json.loads(dataset.attrs.get(HISTORY, "[]"))
    draft = draft_after(_sources(dataset)[0], history, pin_context())
    if draft.slits is None:
        raise InputError(f"{os.path.basename(draft.path)}: its slits are not known; run assign_wcs before extract_2d")
    return cut_outs(dataset, draft, history, step)


def draft_after(path: str, history: list[Any], context: str) -> Draft:
    """The draft of an exposure file after some steps, its slits located if assign_wcs is among them or was before."""
    from jwst_dask.core.alone import locate_slits
    from jwst_dask.core.planner import draft_of

    draft = draft_of(path)
    locate_slits(draft, _references(context))
    replay(draft, history, context)
    return draft


def _sources(dataset: Any) -> list[str]:
    source = dataset.encoding.get("sources") or [dataset.encoding.get("source")]
    if not source or not source[0]:
        raise InputError("this dataset does not know the file it is from (encoding['source']); open it with jwst_dask.open")
    return [str(path) for path in source]


def drafts_of(dataset: Any) -> list[Draft]:
    from jwst_dask.io.fits import scan
    from jwst_dask.io.skeleton import skeleton

    out = []
    for path in _sources(dataset):
        model = skeleton(path)
        out.append(Draft(model, path, scan(path).nints if model.data.ndim == 3 else 1))
    return out


def apply(dataset: Any, order: tuple[str | Product, ...], steps: Mapping[str, Any], unrecorded: tuple[str, ...] = ()) -> dict[str, Any]:
    """Take a dataset lazily through a chain.

    Returns
    -------
    dict
        Datasets by product suffix (``calints``, ``x1dints``, ...), ``exposure`` for what the image arrays are at the end.
    """
    from jwst_dask.core.alone import locate_slits
    from jwst_dask.refs.crds import pin_context

    history = json.loads(dataset.attrs.get(HISTORY, "[]"))
    context = pin_context()
    parts: dict[str, list[Any]] = {}
    first = 0
    for draft in drafts_of(dataset):
        locate_slits(draft, _references(context), any(getattr(step, "mask_science_regions", False) for step in steps.values()))
        prior = replay(draft, history, context)
        rows, start = _rows_of(dataset, draft, first)
        first += rows.sizes.get("integration", 0)
        if "integration" in dataset.dims and not rows.sizes["integration"]:
            continue
        for suffix, piece in _one(rows, start, draft, order, steps, unrecorded, history, prior, context).items():
            parts.setdefault(suffix, []).append(piece)
    return {suffix: _joined(pieces, dataset) for suffix, pieces in parts.items()}


def _rows_of(dataset: Any, draft: Draft, first: int) -> tuple[Any, int]:
    """The rows of a dataset that a file holds, from row `first` on, and which integration of the file they begin with.

    Raises
    ------
    InputError
        When integrations of the file are missing between others.
    """
    if "integration" not in dataset.dims:
        return dataset, 0
    numbers = np.asarray(dataset["integration"].values)[first:] - (draft.model.meta.exposure.integration_start or 1)
    here = (numbers >= 0) & (numbers < draft.nints)
    count = len(here) if here.all() else int(np.argmin(here))
    mine = numbers[:count]
    stop = int(np.argmax(np.diff(mine) <= 0)) + 1 if count > 1 and (np.diff(mine) <= 0).any() else count
    if stop > 1 and (np.diff(mine[:stop]) != 1).any():
        raise InputError(f"{os.path.basename(draft.path)}: integrations are missing between others; select a run without gaps (isel with a slice)")
    return dataset.isel(integration=slice(first, first + stop)), int(mine[0]) if stop else 0


def _references(context: str) -> Any:
    from jwst_dask.core.planner import crds_parameters
    from jwst_dask.refs.crds import References

    return lambda model, step: References(crds_parameters(model), overrides=step.overrides, context=context)


def replay(draft: Draft, history: list[Any], context: str) -> list[prepare.Stage]:
    """Bring a fresh draft to where its dataset is; the steps it went through."""
    from jwst_dask.steps import step_class

    prior: list[prepare.Stage] = []
    for alias, values in history:
        step = step_class(alias).make(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
        prior += prepare.prepare(draft, (alias,), {alias: step}, _references(context), prepare.Provenance(context), prior=prior)
    return prior


def _one(rows: Any, start: int, draft: Draft, order: tuple[str | Product, ...], steps: Mapping[str, Any], unrecorded: tuple[str, ...], history: list[Any],
         prior: list[prepare.Stage], context: str) -> dict[str, Any]:  # fmt: skip
    """Lazy products of one exposure."""
    marks: list[tuple[str, Any, int, dict[str, Any], Any]] = []

    def mark(product: Product, at: Draft, stages: list[prepare.Stage]) -> None:
        if not product.level3 or product.spectra:
            model = at.spectra if product.spectra else at.model
            done = [*history, *([s.step.alias, changed(s.step)] for s in stages if s.status == "COMPLETE")]
            marks.append((product.named(at.is_cube), product, sum(s.runs for s in stages), _attrs(model, done), _planes(at)))

    closing = () if isinstance(order[-1], Product) and order[-1].spectra else (Product("exposure", "exposure"),)
    if order == ("extract_1d",):
        closing = (Product("x1d", "x1d", spectra=True),)
    stages = prepare.prepare(draft, (*order, *closing), steps, _references(context), prepare.Provenance(context), unrecorded=unrecorded, on_product=mark,
                             prior=prior)  # fmt: skip
    links = [s for s in stages if s.runs]
    states = prepare.StateStore(setting("scratch") or os.path.join(tempfile.gettempdir(), f"jwst_dask-{os.getuid()}"))
    chain = [(s.step, states.put(s.state)) for s in links]
    if rows.sizes.get("integration", draft.nints) != draft.nints and any(s.halo(draft.nints) for s in links):
        raise InputError(f"{os.path.basename(draft.path)}: {next(s.step.alias for s in links if s.halo(draft.nints))} compares integrations with "
                         "their neighbours and needs whole segments; give it the whole dataset and select from the result")  # fmt: skip
    return {suffix: _lazy(rows, start, draft, product, chain[:after], links[:after], attrs, planes) for suffix, product, after, attrs, planes in marks}


def _attrs(model: Any, done: list[Any]) -> dict[str, Any]:
    from jwst_dask.data.meta import Meta

    return {**Meta.from_model(model).attrs(), HISTORY: json.dumps(done)}


def _planes(draft: Draft) -> dict[str, np.ndarray]:
    wavelength = getattr(draft.model, "wavelength", None)
    shape = draft.shape
    return {"wavelength": np.asarray(wavelength)} if wavelength is not None and np.shape(wavelength) == shape else {"": np.empty(shape, bool)}


def _lazy(rows: Any, start: int, draft: Draft, product: Product, chain: Any, links: Any, attrs: dict[str, Any], planes: dict[str, np.ndarray]) -> Any:
    """The dataset of one product: a segment layer and its picks."""
    import xarray as xr

    from jwst_dask.core import graph

    cube = "integration" in rows.dims
    arrays = {name: graph.as_dask(rows[name].data if cube else rows[name].data[None], "auto") for name in CUBES if name in rows}
    coords = {name: c for name, c in rows.coords.items() if c.dims == ("integration",)} if cube else {}
    sizes = arrays["sci"].chunks[0]
    shape = next(iter(planes.values())).shape
    blocks = graph.segment(arrays, tuple(chain), start, max((s.halo(draft.nints) for s in links), default=0), product.suffix)
    if product.spectra:
        return _spectra(xr, graph, blocks, draft, sizes, coords, attrs, cube)
    names = [*arrays, *(name for name in dict.fromkeys(w for s in links for w in s.step.writes) if name not in arrays and name in CUBES)]
    dims = ("integration", "y", "x") if cube else ("y", "x")
    data = {}
    for name in names:
        array = graph.pick(blocks, name, sizes, shape, np.uint32 if name == "dq" else np.float32)
        data[name] = (dims, array if cube else array[0])
    data |= {name: (("y", "x"), plane) for name, plane in planes.items() if name}
    return xr.Dataset(data, coords=coords, attrs=attrs)


def _spectra(xr: Any, graph: Any, blocks: Any, draft: Draft, sizes: Any, coords: Any, attrs: dict[str, Any], cube: bool) -> Any:
    dtype = np.asarray(draft.spectra.spec[0].spec_table).dtype
    data = {}
    for name in dtype.names or ():
        base, tail = dtype[name].subdtype or (dtype[name], ())
        kind = np.dtype(base).newbyteorder("=")
        kind = np.dtype(np.uint32) if name in ("DQ", "N_ALONGDISP") else kind
        if cube:
            dims = ("integration", "wavelength")[: 1 + len(tail)]
            data[_variable(name)] = (dims, graph.pick(blocks, name, sizes, tail, kind, "EXTRACT1D"))
        else:
            n = len(draft.spectra.spec[0].spec_table)
            data[_variable(name)] = (("wavelength",), graph.pick(blocks, name, (n,), (), kind, "EXTRACT1D"))
    return xr.Dataset(data, coords=coords, attrs=attrs)


def _variable(column: str) -> str:
    return column.lower().replace("-", "_")


def _joined(pieces: list[Any], dataset: Any) -> Any:
    import xarray as xr

    out = pieces[0] if len(pieces) == 1 else xr.concat(pieces, "integration", data_vars="minimal", coords="minimal", compat="override",
                                                       combine_attrs="override", join="override")  # fmt: skip
    out.encoding.update({key: dataset.encoding[key] for key in ("source", "sources") if key in dataset.encoding})
    return out
