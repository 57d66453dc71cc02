"""Plan an exposure of ramps: its draft through the chain, products laid out on the way, passes at the end."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwst_dask
from jwst_dask.core import chunks, ledger
from jwst_dask.core.blocks import ZEROS
from jwst_dask.core.config import setting
from jwst_dask.core.pipeline import Product
from jwst_dask.core.plan import PlannedProduct
from jwst_dask.core.prepare import Stage
from jwst_dask.core.ramps.passes import Extent, plan_passes, task_bytes
from jwst_dask.core.ramps.plan import RampExposurePlan
from jwst_dask.core.ramps.products import model_of
from jwst_dask.data.exposure import Draft

ASSEMBLED = {"fitopt": "opt_"}
"""Products whose size is not known before they are made."""


def plan_ramp(planner: Any, index: int, file: Any) -> RampExposurePlan:
    """Plan one exposure of ramps.

    Parameters
    ----------
    planner : jwst_dask.core.planner.ExposurePlanner
    index : int
    file : FitsFile

    Raises
    ------
    JwstDaskError
        When it cannot be planned.
    """
    from jwst_dask.data.ramps import GUIDE, ramp_draft
    from jwst_dask.io.ramps import check_input

    check_input(file)
    draft = ramp_draft(file.path, file)
    draft.folder = str(planner.opts.folder)
    exp_type = str(draft.model.meta.exposure.type)
    order = planner.pipeline.order(exp_type, os.path.basename(file.path))
    planner.inputs = [ledger.Identity.of(file.path)]
    nints, ngroups, ny, nx = file.hdu("SCI").shape
    miri = str(draft.model.meta.instrument.name).upper() == "MIRI"

    def on_product(product: Product, draft: Draft, stages: list[Stage]) -> None:
        if _wanted(planner, product, stages):
            for one, like in _with_rates(product, stages):
                plan_product(planner, one, draft, stages, like)

    from jwst_dask.core import prepare

    stages = prepare.prepare(draft, order, planner.steps, planner._references, planner._provenance(), on_product=on_product, pixels=planner.opts.pixels,
                             unchanged=True)  # fmt: skip
    limit = chunks.budget(planner.where.memory_limit, planner.where.threads)
    if exp_type in GUIDE:  # a few frames, of which all are needed
        limit = 2 * Extent(nints, ngroups, (ny, nx), (ny, nx), 0).nbytes
    chunk = None if exp_type in GUIDE else planner.opts.chunk or setting("chunks.integrations")
    room = planner.where.memory_limit and (planner.where.memory_limit - chunks.RESERVE) // (2 * planner.where.threads)
    extent = Extent(nints, ngroups, (ny, nx), draft.shape, limit, chunk, miri, min(3 * limit, room or 3 * limit))
    links = [stage for stage in stages if stage.runs]
    passes = plan_passes(links, extent)
    tile = max((task_bytes(one, extent, links, planner.where.threads) for one in passes), default=0) // chunks.COPIES
    bounds = tuple((t.i0, t.i1) for t in passes[0].tiles)
    plan = chunks.ChunkPlan(bounds, tile // max(1, max(b - a for a, b in bounds)), 0)
    scratch = Path(planner.opts.workspace) / "ramps" / f"{planner.request.name}.{planner.opts.run_id}-{index}"
    return RampExposurePlan(index, planner.request.name, file, draft, stages, planner.products, plan, passes=passes, ngroups=ngroups,
                            zeroframe="ZEROFRAME" in file, scratch=scratch, limit=limit)  # fmt: skip


def _wanted(planner: Any, product: Product, stages: list[Stage]) -> bool:
    """Whether a product of the order is asked for."""
    fitted = any(stage.step.alias == "ramp_fit" and stage.status == "COMPLETE" for stage in stages)
    fits = any(stage.step.alias == "ramp_fit" for stage in stages)
    if product.suffix == "ramp" and not product.needs:
        corrected = bool(planner.own.get("save_calibrated_ramp") and planner.own["save_calibrated_ramp"].value)
        return (fits and not fitted) or (corrected and not fits and not planner.steps["ramp_fit"].skip)
    return True


def _with_rates(product: Product, stages: list[Stage]) -> list[tuple[Product, str]]:
    """A product, and what it is like; results of ramp_fit and gain_scale are two, for the exposure and for its integrations."""
    alias = stages[-1].step.alias if stages else ""
    if alias == "ramp_fit" and product.extra:
        return [(dataclasses.replace(product, base=getattr(stages[-1].step, "opt_name", None) or ""), product.suffix)]
    if alias == "ramp_fit" and product.suffix in (alias, stages[-1].step.suffix):
        names = f"0_{product.suffix}", f"1_{product.suffix}"
    elif alias == "gain_scale" and product.suffix in (alias, stages[-1].step.suffix):
        names = alias, f"{alias}ints"
    else:
        return [(product, product.suffix)]
    return [(dataclasses.replace(product, suffix=name, suffix_ints=name), like) for name, like in zip(names, ("rate", "rateints"), strict=True)]


def plan_product(planner: Any, product: Product, draft: Draft, stages: list[Stage], like: str = "") -> None:
    """Lay out a product as the chain has it now; of the exposure, not its integrations, if it is like ``rate``."""
    from jwst_dask.core.planner import stamp
    from jwst_dask.io.layout import plan_layout
    from jwst_dask.io.names import product_name

    name = product_name(product.base or planner.request.name, product.suffix)
    final = Path(product.folder or planner.opts.folder).absolute() / name
    shapes: dict[str, tuple[int, ...]] = {}
    arrays: dict[str, str] = {}
    if product.extra and product.extra in getattr(stages[-1].step, "ramp_side_products", stages[-1].step.side_products):
        model, shapes, _ = model_of("side", replace(draft, model=draft.extras[product.extra]))
        arrays = {hdu: product.extra if hdu == "SCI" else ZEROS for hdu in shapes}
    elif product.extra and draft.extras[product.extra] is not None:
        model = draft.extras[product.extra]
    else:
        model, shapes, arrays = model_of(like or product.suffix, draft)
    model.meta.filename = final.name
    stamp(model, stages)
    key = ledger.product_key(planner.inputs, [ledger.stage_record(s) for s in stages],
                             {"version": jwst_dask.__version__, "pipeline": planner.pipeline.alias, "product": final.name})  # fmt: skip
    layout = None if product.suffix in ASSEMBLED else plan_layout(model, {}, shapes=shapes)
    done = planner.opts.resume and planner.book.is_current(final, key)
    recorded = tuple(stage.step.alias for stage in stages if stage.status == "COMPLETE")
    planner.products.append(PlannedProduct(product, final, layout, sum(stage.runs for stage in stages), key, done, arrays=arrays,
                                           model=model, shapes=shapes, recorded=recorded))  # fmt: skip
