"""Plan a step that runs alone, on an exposure or on a product with many slits."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jwst_dask.core import chunks, execute, ledger, prepare
from jwst_dask.core.config import setting
from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.inputs import Request, requests
from jwst_dask.core.layers import layers
from jwst_dask.core.pipeline import Pipeline, Product, settle
from jwst_dask.core.plan import ExposurePlan, Job, Plan, PlannedProduct
from jwst_dask.core.planner import MANY_SLITS, ExposurePlanner, draft_of
from jwst_dask.core.run import Options, _options
from jwst_dask.core.slits import plan as slits
from jwst_dask.core.slits import standalone
from jwst_dask.core.slits.names import CUT, MASTER
from jwst_dask.core.standalone import suffix_of
from jwst_dask.data.exposure import CUBES, Draft

log = logging.getLogger(__name__)


def plan_step(alias: str, paths: list[str], given: Mapping[str, Any], *, client: Any = None, **options: Any) -> tuple[Plan, Options]:
    """The plan of one step on files.

    Parameters
    ----------
    alias : str
        Step.
    paths : list of str
        Exposures, products, associations.
    given : mapping
        Parameters of the step.
    client : distributed.Client, optional
        Default: the active one, else threads.
    **options
        Fields of `Options`.

    Raises
    ------
    InputError
        For files that the step does not work on.
    ParameterError
        For a parameter that it does not have.
    """
    import jwst_dask
    from jwst_dask.refs.crds import pin_context

    opts, context = _options(options), pin_context()
    client = client or (execute.active_client() if not opts.scheduler else None)
    where = execute.resources(client, opts.scheduler, opts.threads)
    wanted, failures = requests(paths, 2, opts.allow_outside, opts.on_error == "skip", (str(opts.output_dir),))
    bare = _pipeline(alias)
    jobs = [Job(bare, name, [], [], {}, {}, True, failures=[text]) for name, text in failures.items()]
    for index, request in enumerate(wanted):
        if len(request.science) > 1:
            log.warning("%s: %d science members, using only the first", request.name, len(request.science))
        jobs.append(_job(bare, request, given, opts, where, context, index))
    return Plan(jobs, opts.output_dir, where, context, jwst_dask.__version__), opts


def _pipeline(alias: str, step: Any = None) -> Pipeline:
    """A pipeline of one step and its product."""
    from jwst_dask.pipelines import table

    orders: dict[str, tuple[str | Product, ...]] = {}
    first = alias in STAGE1
    known = {t for name in (("guider",) if alias == "guider_cds" else ("detector1", "guider")) for t in table.pipeline(name).orders} if first else table.pipeline("calwebb_spec2").working
    for exp_type in sorted(known):
        made = () if step is None else _of_ramps(step) if first else (_product(step, exp_type),)
        orders[exp_type] = (alias, *made)
    return Pipeline(alias=alias, class_name=alias, pars="", orders=orders)


STAGE1 = ("group_scale", "dq_init", "emicorr", "saturation", "ipc", "superbias", "refpix", "firstframe", "lastframe", "reset", "linearity", "rscd",
          "dark_current", "charge_migration", "jump", "picture_frame", "persistence", "ramp_fit", "guider_cds")  # fmt: skip
"""Steps that take exposures of ramps."""
BOTH = ("clean_flicker_noise",)
"""Steps that take ramps and count rates."""


def _of_ramps(step: Any) -> tuple[Product, ...]:
    """What a step of stage 1 makes: ramps under its name, or count rates."""
    place: dict[str, Any] = {"folder": step.output_dir or "", "base": step.output_file or ""}
    if step.alias == "ramp_fit":
        return (Product("rateints", "rateints", **place), Product("rate", "rate", **place))
    return (Product(step.suffix or step.alias, step.suffix or step.alias, **place),)


def _product(step: Any, exp_type: str) -> Product:
    spectra = step.alias == "extract_1d" and exp_type not in MANY_SLITS
    return Product(suffix_of(step, exp_type), suffix_of(step, exp_type, "x1dints"), spectra=spectra, folder=step.output_dir or "", base=step.output_file or "")


def _job(bare: Pipeline, request: Request, given: Mapping[str, Any], opts: Options, where: execute.Resources, context: str, index: int) -> Job:
    job = Job(bare, request.name, [], [], {}, {}, opts.on_error == "skip")
    path = request.science[0]
    steps, job.settings, job.own = settle(bare, layers(bare, lambda: metadata_of(path), {"steps": {bare.alias: dict(given)}}, None, context))
    planner = StepPlanner(_pipeline(bare.alias, steps[bare.alias]), request, steps, opts, where, context)
    try:
        job.exposures.append(planner.exposure(index, path))
    except (InputError, OSError) as error:
        if not job.skip:
            raise
        log.error("%s", error)
        job.failures.append(str(error))
    return job


def metadata_of(path: str) -> Any:
    """A datamodel with the metadata of a file."""
    from jwst_dask.io.fits import scan
    from jwst_dask.io.multi_read import is_multi, open_multi

    file = scan(path)
    return open_multi(file).model() if is_multi(file) else draft_of(path).model


class StepPlanner(ExposurePlanner):
    """Plans one step on one file."""

    @property
    def takes_ramps(self) -> bool:
        """Whether the step is for exposures of ramps."""
        return self.pipeline.alias in (*STAGE1, *BOTH)

    @property
    def takes_images(self) -> bool:
        """Whether it is for count rates and what is made of them."""
        return self.pipeline.alias not in STAGE1

    def _exposure(self, index: int, path: str) -> ExposurePlan:
        from jwst_dask.io.fits import scan
        from jwst_dask.io.multi_read import is_multi

        file = scan(path)
        return self._file(index, file) if is_multi(file) else super()._exposure(index, path)

    @property
    def step(self) -> Any:
        """The step."""
        return next(iter(self.steps.values()))

    def _file(self, index: int, file: Any) -> ExposurePlan:
        """A product with many slits."""
        from jwst_dask.io.multi_read import open_multi

        content = open_multi(file)
        standalone.check_class(content, self.step.alias)
        model = content.model()
        exp_type = str(model.meta.exposure.type)
        self.pipeline.order(exp_type, os.path.basename(file.path))
        draft = standalone.FileDraft(model, file.path, 1)
        draft.size = standalone.largest(content)
        stage = standalone.expected(content, self.step)
        steps = standalone.companions(self.step)
        table = standalone.reference_table(content, steps, self._references)
        stage.references = {reftype: path for reftype, (path, _) in table["msa"].get(self.step.alias, {}).items()}
        self._products(draft, standalone.products(self.step, suffix_of(self.step, exp_type)), [stage], file.path)
        return standalone.FilePlan(index, self.request.name, file, draft, [stage], self.products, chunks.split(1, 0, 0), {"context": self.context},
                                   step=self.step, steps=steps, table=table)  # fmt: skip

    def _products(self, draft: Draft, wanted: Any, stages: list[prepare.Stage], path: str) -> None:
        """Products that are put together from slits."""
        inputs = [ledger.Identity.of(path)]
        for product in wanted:
            final = Path(product.folder or self.opts.output_dir).absolute() / self._name(product, draft)
            if final == Path(path).absolute():
                raise InputError(f"{final}: the product would replace the file that it is made from; give another --suffix, --output_file or --output_dir")
            key = ledger.product_key(inputs, [ledger.stage_record(stage) for stage in stages], {"product": final.name})
            self.products.append(PlannedProduct(product, final, None, 0, key, self.opts.resume and self.book.is_current(final, key)))

    def _slits(self, index: int, file: Any, draft: Draft, order: tuple[str | Product, ...], exp_type: str) -> ExposurePlan:
        """An exposure with many slits: a step on its frame, or its cut-outs."""
        if self.step.alias in standalone.BY_SLIT:
            raise InputError(f"{os.path.basename(draft.path)}: {self.step.alias} works on slits that are cut out; run extract_2d before")
        locate_slits(draft, self._references, bool(getattr(self.step, "mask_science_regions", False)))
        if order[0] == CUT:
            return self._cut_outs(index, file, draft, order)
        stages = self._prepared(draft, order, exp_type)
        per = sum(hdu.nbytes for hdu in file.hdus if hdu.name.lower() in CUBES) * 7 // 5
        blocks = chunks.split(draft.nints, per, chunks.budget(self.where.memory_limit, self.where.threads), 0, setting("chunks.integrations"))
        return ExposurePlan(index, self.request.name, file, draft, stages, self.products, blocks)

    def _cut_outs(self, index: int, file: Any, draft: Draft, order: tuple[str | Product, ...]) -> ExposurePlan:
        from jwst_dask.steps import step_class

        if draft.slits is None:
            raise InputError(f"{os.path.basename(draft.path)}: its slits are not known; run assign_wcs before extract_2d")
        steps = {CUT: self.step, MASTER: step_class(MASTER)()}
        after = tuple(item for item in order if isinstance(item, Product))
        chosen, table, stages = slits.plan_slits(draft, [], after, steps, self._references, self.opts.sources)
        out = slits.SlitExposurePlan(index, self.request.name, file, draft, stages, self.products, chunks.split(1, 0, 0), order=after, slits=chosen,
                                     table=table, workspace=self.opts.workspace, run_id=self.opts.run_id)  # fmt: skip
        slits.keys(out, self.inputs)
        self._products(draft, after, stages, file.path)
        return out


def locate_slits(draft: Draft, look_up: Any, needed: bool = False) -> None:
    """Find the slits of an exposure again that assign_wcs has been through: ``draft.slits``, and the optics' references.

    They are those of the WCS that the file carries, else assign_wcs finds them from the metadata (and the MSA metafile) again. References
    are those that the file names, if they can be had.

    Parameters
    ----------
    draft : Draft
        Its metadata stay as they are.
    look_up : callable
        ``look_up(model, step)`` gives a step's look-up.
    needed : bool
        Find them also if assign_wcs has not been run.
    """
    from jwst_dask.data.models import filled
    from jwst_dask.steps import step_class

    model = draft.model
    if str(model.meta.exposure.type) not in MANY_SLITS or draft.slits is not None or not (needed or model.meta.cal_step.assign_wcs == "COMPLETE"):
        return
    cls = step_class("assign_wcs")
    used = model.instance.get("jwst_dask", {}).get("parameters", {}).get("assign_wcs", {})
    step = cls.make(**{name: used[name] for name in ("slit_y_low", "slit_y_high") if name in used})
    refs = look_up(model, replace(step, overrides=_recorded(model, cls, look_up)))
    if model.meta.instance.get("wcs") is not None:
        _slits_of_wcs(draft, refs)
        return
    tree = {**model.instance, "meta": _copied(model.instance["meta"])}
    scratch = Draft(filled(type(model), tree), draft.path, draft.nints, members=draft.members)
    step.prepare(scratch, refs)
    draft.slits = scratch.slits
    draft.shared |= scratch.shared


def _slits_of_wcs(draft: Draft, refs: Any) -> None:
    from jwst_dask.steps.stage2.assign_wcs import OPTICS
    from jwst_dask.wcs.nirspec.single import slits_of
    from jwst_dask.wcs.nirspec.tracer import optics_of

    paths = {name: refs(name) for name in OPTICS}
    draft.slits = optics_of(draft.model, paths).specs(slits_of(draft.model.meta.wcs))
    draft.shared["wcs_references"] = paths


def _recorded(model: Any, cls: Any, look_up: Any) -> dict[str, str]:
    """References that a file says its WCS was made with, as far as they can be had."""
    out = {}
    for reftype in cls.references:
        name = getattr(getattr(model.meta.ref_file, reftype, None), "name", None)
        if not name or name == "N/A":
            continue
        try:
            look_up(model, cls.make(overrides={reftype: name}))(reftype)
            out[reftype] = name
        except ReferenceError_:
            log.warning("%s: the %s reference %s that it was made with is not there; the one that is selected now is used", model.meta.filename, reftype, name)
    return out


def _copied(node: Any) -> Any:
    return {key: _copied(value) for key, value in node.items()} if isinstance(node, dict) else node
