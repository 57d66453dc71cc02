"""Products of an exposure put together from the parts of its slits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwst_dask.core.planner import stamp
from jwst_dask.core.slits import store
from jwst_dask.core.slits.names import CUT, FIXED, MASTER, MASTER_PRODUCTS, results, side_products
from jwst_dask.data.quality import SUFFIX as QUALITY
from jwst_dask.data.quality import failed, write_quality
from jwst_dask.io import multi
from jwst_dask.io.layout import allocate, plan_layout

if TYPE_CHECKING:
    from jwst_dask.core.plan import PlannedProduct
    from jwst_dask.core.slits.plan import SlitExposurePlan, SlitPlan


OF_SLITS = ("exposure.", "group_id", "resample.fillval", "resample.kernel", "resample.pointings", "resample.weight_type")
"""What steps change in the metadata of slits only."""


CALIBRATED = "masterbg2d"
"""Side product that has been through the steps after its own: the background calibrated for each slit."""


def assemble(plan: SlitExposurePlan, planned: PlannedProduct) -> bool:
    """Write a product under its temporary name.

    Returns
    -------
    bool
        False when no slit has a part of it.
    """
    if planned.temporary is None:
        return False
    suffix = planned.product.extra or planned.product.suffix
    slits = _ordered(plan, suffix)
    done = [plan.part(slit) for slit in slits]
    indices = [store.part_index(path) for path in done]
    if suffix in MASTER_PRODUCTS:
        return _master(plan, suffix, planned)
    if suffix == QUALITY:
        return _quality(plan, indices, planned.temporary)
    classes = {index["products"][suffix]["class"] for index in indices if suffix in index["products"]}
    if not classes or not _came(plan, suffix, indices):
        return False
    fixed = [slit.spec.fixed for slit in slits]
    leading = suffix.endswith(FIXED) or all(fixed)  # a product tells of the slits of the MSA, where it has some
    model = _model(plan, classes.pop(), [index for index, one in zip(indices, fixed, strict=True) if one == leading], suffix)
    if suffix.endswith(FIXED):
        model.meta.exposure.type = "NRS_FIXEDSLIT"
    model.meta.filename = planned.final.name
    stamp(model, plan.stages)
    parts = (part for path in done if (part := store.load_part(path, suffix)) is not None)
    multi.assemble(planned.temporary, model, parts)
    return True


def _ordered(plan: SlitExposurePlan, suffix: str) -> list[SlitPlan]:
    """Slits that were done; after srctype fixed slits follow those of the MSA."""
    slits = [slit for slit in plan.slits if slit.name not in plan.failed_slits and plan.part(slit).exists()]
    return slits if _before(plan, suffix)[-1] in (CUT, "srctype") else sorted(slits, key=lambda slit: slit.spec.fixed)


def _came(plan: SlitExposurePlan, suffix: str, indices: list[dict[str, Any]]) -> bool:
    """Whether a step whose result this is was completed for one slit."""
    statuses = store.merged(indices)[0]
    return all(statuses.get(stage.step.alias) == "COMPLETE" for stage in plan.stages if suffix == (stage.step.suffix or stage.step.alias) and stage.step.alias in statuses)


def _master(plan: SlitExposurePlan, suffix: str, planned: PlannedProduct) -> bool:
    """The master background, or the spectra it was made of."""
    from jwst_dask.core.slits.tasks import load_spectrum
    from jwst_dask.steps.stage2.master_background_mos.products import side_models

    files, master = plan.spectra
    step: Any = next(stage.step for stage in plan.stages if stage.step.alias == MASTER)
    if not master or not Path(master).exists():
        return False
    spectra = [spectrum for spectrum in map(load_spectrum, files) if spectrum is not None]
    model = side_models(plan.draft.model, spectra, load_spectrum(master), step.user_background).get(suffix)
    if model is None:
        return False
    model.meta.filename = planned.final.name
    stamp(model, plan.stages)
    allocate(str(planned.temporary), plan_layout(model, {}))
    return True


def _quality(plan: SlitExposurePlan, indices: list[dict[str, Any]], path: Path) -> bool:
    """The table of figures of all slits, those that failed included."""
    rows = [index["quality"] for index in indices]
    for slit in plan.slits:
        if slit.name in plan.failed_slits:
            step, _, why = plan.failed_slits[slit.name].partition("): ")[2].partition(": ")
            rows.append(failed(slit.name, why or plan.failed_slits[slit.name], step, source_id=slit.spec.source_id))
    write_quality(rows, path)
    return True


def _model(plan: SlitExposurePlan, class_name: str, indices: list[dict[str, Any]], suffix: str) -> Any:
    """Metadata of a product: those of the exposure, statuses and references of the steps, and what steps changed alike for all slits."""
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import blank, copy_metadata

    by_alias = {stage.step.alias: stage for stage in plan.stages}
    before = [alias for alias in _before(plan, suffix) if alias not in plan.unrecorded]
    beside = suffix != CALIBRATED and suffix.removesuffix(FIXED) in side_products(by_alias[before[-1]].step)
    model = blank(getattr(datamodels, class_name))
    copy_metadata(model, plan.draft.model, only="PRIMARY" if beside or class_name != "MultiSlitModel" else None)
    statuses, recorded = store.merged([{**index, "statuses": {a: s for a, s in index["statuses"].items() if a in before}} for index in indices])
    for alias, status in {CUT: "COMPLETE", **statuses}.items():
        if by_alias[alias].step.cal_step:
            model.meta.cal_step.instance[by_alias[alias].step.cal_step] = status
    known = {reftype for alias in before[: -1 if beside else None] if alias != MASTER for reftype in by_alias[alias].step.references}
    for reftype, name in {**by_alias[CUT].recorded, **{t: name for t, name in recorded.items() if t in known}}.items():
        if hasattr(model.meta.ref_file, reftype):
            getattr(model.meta.ref_file, reftype).name = name
    own = {".".join(path[1:]) for path in multi.leaves(class_name) if path[0] == "meta"}
    for index in indices[:1]:
        for path, value in index["changes"].get(suffix, {}).items():
            if path not in own and not path.startswith(OF_SLITS):
                _set(model, path, value)
    return model


def _before(plan: SlitExposurePlan, suffix: str) -> list[str]:
    """Steps that a product has been through: it is one of the order, the result of a step, or a side product of one."""
    from jwst_dask.steps.stage2.master_background_mos.calibrate import CALIBRATION

    if suffix == CALIBRATED:
        return [CUT, "srctype", *CALIBRATION]
    steps = {stage.step.alias: stage.step for stage in plan.stages}
    out: list[str] = []
    for item in (CUT, *plan.order):
        if isinstance(item, str):
            out.append(item)
            if suffix.removesuffix(FIXED) in (results(steps[item]) + side_products(steps[item])):
                return out
        elif item.suffix == suffix:
            return out
    return out


def _set(model: Any, path: str, value: Any) -> None:
    """A value by its path below ``meta``, where the model's schema has it."""
    try:
        model[f"meta.{path}"] = value
    except (KeyError, AttributeError, ValueError):  # a model of another class has no such place
        return
