"""Products of stage 1: their models, laid out without their pixels, and what is put into them when all tasks are done."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jwst_dask.core.plan import PlannedProduct
from jwst_dask.data.exposure import Draft
from jwst_dask.data.models import filled

IMAGES = {"data": "SCI", "err": "ERR", "dq": "DQ", "pixeldq": "PIXELDQ", "groupdq": "GROUPDQ", "zeroframe": "ZEROFRAME",
          "var_poisson": "VAR_POISSON", "var_rnoise": "VAR_RNOISE", "refout": "REFOUT"}  # fmt: skip
"""Arrays of models that tasks fill, and their extensions."""
NAMES = {"SCI": "sci", "ERR": "err", "DQ": "dq", "PIXELDQ": "pixeldq", "GROUPDQ": "groupdq", "ZEROFRAME": "zeroframe",
         "VAR_POISSON": "var_poisson", "VAR_RNOISE": "var_rnoise"}  # fmt: skip
"""Extensions, and arrays of blocks."""
IFU = ("NRS_IFU", "MIR_MRS")
LATE = {"exposure.primary_cosmic_rays": "jump", "exposure.extended_emission_events": "jump", "rscd.": "rscd"}
"""Metadata that are known when all tasks are done, and the step they belong to."""


def model_of(suffix: str, draft: Draft) -> tuple[Any, dict[str, tuple[int, ...]], dict[str, str]]:
    """Model of a product as the draft has it now, of one pixel; shapes of its images, and the arrays of blocks that fill them.

    Parameters
    ----------
    suffix : str
        ``rate`` and ``likely_chisq`` are images made of the integrations; other products are what the draft's model is.
    draft : Draft
    """
    from stdatamodels.jwst import datamodels

    source = draft.model
    tree = {key: value for key, value in source.instance.items() if IMAGES.get(key) is None}
    tree["meta"] = copy.deepcopy(source.instance["meta"])
    cls, arrays, shapes = type(source), dict(NAMES), {}
    if suffix in ("rate", "likely_chisq"):
        meta = source.meta
        ifu = meta.exposure.type in IFU or (meta.exposure.type in ("NRS_AUTOWAVE", "NRS_LAMP") and meta.instrument.lamp_mode == "IFU")
        cls = datamodels.IFUImageModel if ifu and suffix == "rate" else datamodels.ImageModel
        tree.pop("int_times", None)
        wanted = ("data",) if suffix == "likely_chisq" else ("data", "err", "dq", "var_poisson", "var_rnoise")
        arrays = {hdu: f"rate_{name}" for hdu, name in NAMES.items()} | ({"SCI": "rate_chisq"} if suffix == "likely_chisq" else {})
        for name in wanted:
            shapes[IMAGES[name]] = tuple(source.instance[name].shape[-2:])
            tree[name] = np.zeros((1, 1), np.uint32 if name == "dq" else np.float32)
        if suffix == "likely_chisq":  # with the unit of the ramps
            tree["meta"]["bunit_data"] = "DN"
            tree["meta"].pop("bunit_err", None)
    else:
        for name, hdu in IMAGES.items():
            if isinstance(array := source.instance.get(name), np.ndarray):
                shapes[hdu] = (draft.nints, *array.shape[1:]) if array.ndim > 2 else tuple(array.shape)
                tree[name] = np.zeros((1,) * array.ndim, array.dtype)
    return filled(cls, tree), shapes, arrays


def concerns(path: str, steps: Sequence[str]) -> bool:
    """Whether late metadata belong to a product made after these steps."""
    return any(path.startswith(beginning) and alias in steps for beginning, alias in LATE.items())


def late_metadata(draft: Draft, tables: Mapping[str, list[np.ndarray]]) -> dict[str, Any]:
    """Metadata by path that follow from the tables of all tasks."""
    from jwst_dask.steps.stage1.jump import merge, rates

    out: dict[str, Any] = {}
    if found := tables.get("jump"):
        ny, nx = draft.shape
        out |= dict.fromkeys(("exposure.primary_cosmic_rays", "exposure.extended_emission_events"))
        out |= dict(rates(merge(found), float(draft.model.meta.exposure.group_time), ny * nx))
    if found := tables.get("RSCD"):
        for name in found[0].dtype.names or ():
            out[f"rscd.{name}"] = int(sum(int(table[name].sum()) for table in found))
    return out


def rewrite(planned: PlannedProduct, late: Mapping[str, Any]) -> None:
    """Put late metadata into a product's model, and into its file if that is laid out; its pixels stay where they are.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    for path, value in late.items():
        node = planned.model.instance["meta"]
        *parents, last = path.split(".")
        for name in parents:
            node = node.setdefault(name, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    if planned.layout is not None:
        from jwst_dask.io.patch import patch

        patch(str(planned.temporary), late)


def assemble(planned: PlannedProduct, dumps: Iterable[Mapping[str, np.ndarray]], draft: Draft) -> bool:
    """Write the results by segment (``fitopt``) that the tasks left; False if they left none."""
    from jwst_dask.io.layout import allocate, plan_layout, write_tile

    parts = [part for part in dumps if any(name.startswith("opt_") for name in part)]
    if not parts:
        return False
    names = [name for name in parts[0] if name.startswith("opt_")]
    ny, nx = draft.shape
    model, shapes = planned.model, {}
    for name in names:
        own = name.removeprefix("opt_")
        depth = max(part[name].shape[1] for part in parts) if parts[0][name].ndim == 4 else 0
        model.instance[own] = np.zeros((1,) * parts[0][name].ndim, np.float32)
        shapes[own.upper()] = (draft.nints, depth, ny, nx) if depth or parts[0][name].ndim == 4 else (draft.nints, ny, nx)
    layout = plan_layout(model, {}, shapes=shapes)
    allocate(str(planned.temporary), layout)
    for part in parts:
        for name in (name for name in names if part[name].size):
            region = layout.regions[name.removeprefix("opt_").upper(), 1]
            write_tile(str(planned.temporary), region, int(part["i0"]), int(part["y0"]), part[name])
    return True
