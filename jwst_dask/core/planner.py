"""Plan one exposure: its draft through the chain of steps, products laid out on the way."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import jwst_dask
from jwst_dask.core import chunks, execute, ledger, prepare
from jwst_dask.core.config import setting
from jwst_dask.core.errors import InputError, JwstDaskError, NotYet
from jwst_dask.core.inputs import Request
from jwst_dask.core.pipeline import Pipeline, Product
from jwst_dask.core.plan import ExposurePlan, PlannedProduct
from jwst_dask.data.exposure import CUBES, Draft

MANY_SLITS = ("NRS_MSASPEC", "NRS_FIXEDSLIT", "NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT")
"""Exposure types with many slits."""


def draft_of(path: str) -> Draft:
    """The draft of an exposure file, nothing done to it yet."""
    from jwst_dask.data.ramps import ramp_draft
    from jwst_dask.io.fits import scan
    from jwst_dask.io.ramps import is_ramp
    from jwst_dask.io.skeleton import skeleton

    if is_ramp(file := scan(path)):
        return ramp_draft(path, file)
    model, nints = skeleton(path), 1
    if model.data is not None and model.data.ndim == 3:
        nints = file.nints
    return Draft(model, path, nints)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection: planning makes objects by the hundred thousand that stay (schemas, modules), a sixth of its time to walk."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class ExposurePlanner:
    """Plans one exposure: draft through the chain, products laid out on the way."""

    def __init__(self, pipeline: Pipeline, request: Request, steps: Mapping[str, Any], opts: Any, where: execute.Resources, context: str) -> None:
        self.pipeline, self.request, self.steps, self.opts, self.where, self.context = pipeline, request, steps, opts, where, context
        self.book = ledger.Ledger(opts.output_dir)
        self.products: list[PlannedProduct] = []
        self.own: Mapping[str, Any] = {}
        self.later = False

    @property
    def takes_ramps(self) -> bool:
        """Whether it is for exposures of ramps."""
        return self.pipeline.level == 1

    @property
    def takes_images(self) -> bool:
        """Whether it is for count rates and what is made of them."""
        return self.pipeline.level > 1

    def exposure(self, index: int, path: str) -> ExposurePlan:
        """Plan one exposure.

        Raises
        ------
        JwstDaskError
            When it cannot be planned; the message names the file, and the step where one failed.
        """
        try:
            with _uncollected():
                return self._exposure(index, path)
        except (JwstDaskError, NotYet, OSError):
            raise
        except Exception as error:  # what a damaged file may set off has no end
            raise InputError(f"{os.path.basename(path)}: cannot be processed ({type(error).__name__}: {error}); --verbose shows where") from error

    def _exposure(self, index: int, path: str) -> ExposurePlan:
        from jwst_dask.core.ramps.planner import plan_ramp
        from jwst_dask.data.schema import check_file
        from jwst_dask.io.fits import scan
        from jwst_dask.io.ramps import is_ramp
        from jwst_dask.io.source import CHANGING

        file = scan(path)
        if is_ramp(file):
            if not self.takes_ramps:
                raise InputError(f"{os.path.basename(path)}: an exposure of ramps (integrations of groups), {self.pipeline.alias} takes what stage 1 makes "
                                 "of it; run calwebb_detector1 before, or `jwst-dask run --stages 1,2`")  # fmt: skip
            return plan_ramp(self, index, file)
        if not self.takes_images:
            raise InputError(f"{os.path.basename(path)}: not an exposure of ramps (integrations of groups); {self.pipeline.alias} takes _uncal files")
        problems = check_file(file)
        if problems:
            raise InputError("; ".join(str(problem) for problem in problems))
        draft = draft_of(path)
        draft.model.meta.asn.pool_name, draft.model.meta.asn.table_name = self.request.pool, self.request.table
        exp_type = str(draft.model.meta.exposure.type)
        order = self.opts.until(self.pipeline.order(exp_type, os.path.basename(path)))
        self.later = file.mtime_ns == CHANGING
        if self.pipeline.level == 3:
            _must_be_series(draft)
        self.inputs = [self.opts.identity(path), *(self.opts.identity(name) for names in self.request.members.values() for name in names)]
        draft.members, draft.beside = self.request.members, self.opts.beside
        if self.pipeline.level == 2 and exp_type in MANY_SLITS:
            return self._slits(index, file, draft, order, exp_type)
        stages = self._prepared(draft, order, exp_type)
        per = sum(hdu.nbytes for hdu in file.hdus if hdu.name.lower() in CUBES) // max(1, draft.nints) * 7 // 5  # and what the chain adds
        halo = max((stage.halo(draft.nints) for stage in stages if stage.runs), default=0)
        limit = chunks.budget(self.where.memory_limit, self.where.threads)
        blocks = chunks.split(draft.nints, per, limit, halo, self.opts.chunk or setting("chunks.integrations"))
        return ExposurePlan(index, self.request.name if self.pipeline.level == 2 else Path(path).stem, file, draft, stages, self.products, blocks)

    def _prepared(self, draft: Draft, order: tuple[str | Product, ...], exp_type: str) -> list[prepare.Stage]:
        return prepare.prepare(draft, order, self.steps, self._references, self._provenance(), members=self.request.members,
                               unrecorded=self.pipeline.unrecorded.get(exp_type, ()), on_product=self._product, pixels=self.opts.pixels, later=self.later)  # fmt: skip

    def _slits(self, index: int, file: Any, draft: Draft, order: tuple[str | Product, ...], exp_type: str) -> ExposurePlan:
        """An exposure with many slits: frame steps are prepared here, those of the slits where the slits are."""
        from jwst_dask.core.slits import plan as slits
        from jwst_dask.core.slits.names import MASTER

        before, after = slits.split_order(order)
        frame = sum(hdu.nbytes for hdu in file.hdus if hdu.name.lower() in CUBES)
        stages = self._prepared(draft, before, exp_type)
        chosen, table, expected = slits.plan_slits(draft, stages, after, self.steps, self._references, self.opts.sources)
        out = slits.SlitExposurePlan(index, self.request.name, file, draft, [*stages, *expected], self.products, chunks.split(1, frame, 0), order=after,
                                     slits=chosen, table=table, frame_stages=stages, workspace=self.opts.workspace, run_id=self.opts.run_id,
                                     resume=self.opts.resume, unrecorded=self.pipeline.unrecorded.get(exp_type, ()))  # fmt: skip
        by_alias = {stage.step.alias: stage for stage in expected}
        out.master = exp_type == "NRS_MSASPEC" and by_alias[MASTER].status == "COMPLETE"
        if out.master and (why := self.steps[MASTER].check_slits([slit.spec for slit in chosen])) is not None:
            out.master, by_alias[MASTER].status, by_alias[MASTER].reason = False, why.status, why.reason
            draft.log.append(f"{MASTER}: {why.reason}")
        slits.keys(out, self.inputs)
        for product in slits.suffixes(out):
            final = Path(product.folder or self.opts.folder).absolute() / self._name(product, draft)
            key = ledger.product_key(self.inputs, [], {"slits": [slit.key for slit in chosen], "product": final.name, "version": jwst_dask.__version__})
            done = self.opts.resume and self.book.is_current(final, key)
            self.products.append(PlannedProduct(product, final, None, 0, key, done))
        return out

    def _references(self, model: Any, step: Any) -> Any:
        from jwst_dask.refs.crds import References

        return References(crds_parameters(model), overrides=step.overrides, context=self.context)

    def _provenance(self) -> prepare.Provenance:
        from jwst_dask.refs.crds import crds_version

        return prepare.Provenance(self.context, crds_version(), self.request.pool, self.request.table)

    def _product(self, product: Product, draft: Draft, stages: list[prepare.Stage]) -> None:
        if product.level3:
            return
        from jwst_dask.io.layout import plan_layout

        final = Path(product.folder or self.opts.folder).absolute() / self._name(product, draft)
        model = draft.extras[product.extra] if product.extra else draft.spectra if product.spectra else draft.model
        model.meta.filename = final.name
        key = ledger.product_key(self.inputs, [ledger.stage_record(s) for s in stages],
                                 {"version": jwst_dask.__version__, "pipeline": self.pipeline.alias, "product": final.name,
                                  "table": self.request.table, "pool": self.request.pool})  # fmt: skip
        stamp(model, stages)
        filled = not product.extra or product.extra in stages[-1].step.side_products
        rows = _spectral(draft) if product.spectra else _planes(model, draft) if filled else {}
        layout = plan_layout(model, rows)
        after = sum(stage.runs for stage in stages)
        done = self.opts.resume and self.book.is_current(final, key)
        arrays = {"SCI": product.extra} if product.extra else {name.upper(): name for name in CUBES}
        self.products.append(PlannedProduct(product, final, layout, after, key, done, arrays=arrays))

    def _name(self, product: Product, draft: Draft) -> str:
        from jwst_dask.io.names import product_name

        base = product.base or self.request.name if self.pipeline.level == 2 or product.base else os.path.basename(draft.path)
        asn_id = self.request.asn_id if self.pipeline.level == 3 else None
        suffix, slit = product.named(draft.is_cube), getattr(draft.model, "name", None)
        if product.extra == "median" and slit:
            suffix = f"{slit.lower()}_{suffix}"
        return product_name(base, suffix, asn_id=asn_id, extension=product.extension)


def crds_parameters(model: Any) -> dict[str, Any]:
    """What references are selected by: metadata without the records of processing, so that these do not count as other parameters."""
    return {f"meta.{path}": value for path, value in prepare.flat_meta(model).items()
            if isinstance(value, (str, int, float, bool)) and not path.startswith(("cal_step.", "ref_file."))}  # fmt: skip


def _planes(model: Any, draft: Draft) -> dict[str, int]:
    """Planes of each image array of a product that blocks fill: one per integration, or the one image."""
    named = {"SCI": "data", "ERR": "err", "DQ": "dq", "VAR_POISSON": "var_poisson", "VAR_RNOISE": "var_rnoise", "VAR_FLAT": "var_flat"}
    wanted = np.ndim(model.instance.get("data"))
    return {hdu: draft.nints for hdu, name in named.items() if np.ndim(model.instance.get(name)) == wanted and (wanted == 3 or not draft.is_cube)}


def _spectral(draft: Draft) -> dict[tuple[str, int], int]:
    """Rows of the spectral table: integrations, or for a single image its wavelengths."""
    return {("EXTRACT1D", 1): draft.nints if draft.is_cube else len(draft.spectra.spec[0].spec_table)}


def _must_be_series(draft: Draft) -> None:
    exposure = draft.model.meta.exposure
    series = draft.model.meta.visit.tsovisit or exposure.type in ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ")
    if not series or (exposure.nints or 0) < 2:
        raise InputError(f"{os.path.basename(draft.path)}: not a time series (TSOVISIT {draft.model.meta.visit.tsovisit}, EXP_TYPE {exposure.type}, "
                         f"NINTS {exposure.nints}); calwebb_tso3 takes series of two integrations or more")  # fmt: skip


def stamp(model: Any, stages: list[prepare.Stage]) -> None:
    """Software version and the parameters that were used, into a product's metadata."""
    model.meta.calibration_software_version = f"jwst_dask {jwst_dask.__version__}"
    model.meta.calibration_software_revision = "RELEASE"
    model.instance["jwst_dask"] = {
        "version": jwst_dask.__version__,
        "parameters": {s.step.alias: {k: list(v) if isinstance(v, tuple) else v for k, v in s.step.values().items()} for s in stages if s.status == "COMPLETE"},
    }
