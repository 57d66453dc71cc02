"""Level-3 products of a time series: planned from the drafts of all segments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwst_dask
from jwst_dask.core import ledger
from jwst_dask.core.inputs import Request
from jwst_dask.core.pipeline import Product
from jwst_dask.core.plan import Job, PlannedProduct
from jwst_dask.core.prepare import Stage


def plan_level3(job: Job, request: Request, opts: Any) -> None:
    """Add the level-3 products of a job whose exposures are prepared."""
    order = job.pipeline.order(str(job.exposures[0].draft.model.meta.exposure.type))
    book = ledger.Ledger(opts.output_dir)
    extracted = [e for e in job.exposures if e.draft.spectra is not None and _complete(e.stages, "extract_1d")]
    if not extracted:
        return
    for place, item in enumerate(order):
        if not (isinstance(item, Product) and item.level3):
            continue
        before = {name for name in order[:place] if isinstance(name, str)}
        if not item.spectra and not _complete(extracted[0].stages, "white_light"):
            continue
        final = opts.output_dir / _name(item, request, extracted[0].stages)
        stages: list[Mapping[str, Any]] = [ledger.stage_record(s) | {"exposure": e.name} for e in extracted for s in e.stages if s.step.alias in before]
        key = ledger.product_key([opts.identity(e.draft.path) for e in extracted], stages,
                                 {"version": jwst_dask.__version__, "pipeline": job.pipeline.alias, "product": final.name,
                                  "table": request.table, "pool": request.pool})  # fmt: skip
        links = extracted[0].links()
        after = sum(stage.step.alias in before for stage in links)
        planned = PlannedProduct(item, final, _layout(job, extracted, request, final, opts) if item.spectra else None, after, key)
        planned.done = opts.resume and book.is_current(final, key)
        job.level3.append(planned)


def _name(product: Product, request: Request, stages: list[Stage]) -> str:
    from jwst_dask.io.names import product_name

    if product.spectra:
        return product_name(request.name, product.named(True), extension=product.extension)
    step: Any = next(stage.step for stage in stages if stage.step.alias == "white_light")
    return product_name(request.name, step.suffix or product.named(True), extension=step.output_ext)


def _complete(stages: list[Stage], alias: str) -> bool:
    return any(stage.step.alias == alias and stage.status == "COMPLETE" for stage in stages)


def _layout(job: Job, extracted: list[Any], request: Request, final: Any, opts: Any) -> Any:
    from jwst_dask.core.planner import stamp
    from jwst_dask.io.layout import plan_layout
    from jwst_dask.steps.stage3.level3 import combine

    model = combine([e.draft for e in job.exposures], {"asn_pool": request.pool}, request.table or "none")
    model.meta.filename = final.name
    stamp(model, extracted[0].stages)
    return plan_layout(model, {("EXTRACT1D", i + 1): e.draft.nints for i, e in enumerate(extracted)})
