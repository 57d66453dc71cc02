"""Every step of the package where a mode uses it: prepared, and the block that it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.core import prepare
from jwst_dask.data.exposure import Block, Draft

ORDERS = {
    "bots": ("assign_wcs", "extract_2d", "srctype", "wavecorr", "flat_field", "photom", "outlier_detection", "pixel_replace", "extract_1d", "white_light"),
    "miri": ("assign_wcs", "as_slit", "srctype", "flat_field", "photom", "outlier_detection", "pixel_replace", "extract_1d", "white_light"),
}
"""All steps of both pipelines, in one chain."""
CASES = [(mode, alias) for mode, order in ORDERS.items() for alias in order]
SPECIAL = {
    "outlier_detection": {"rolling_window_width": 3, "save_intermediate_results": True},
    "extract_1d": {"save_scene_model": True, "save_residual_image": True},
}


@dataclass
class Chain:
    """A mode's steps after preparation, and what they read."""

    path: Path
    draft: Draft
    stages: dict[str, prepare.Stage]
    before: dict[str, Block]


def copy(block: Block) -> Block:
    """A block of its own."""
    return Block({k: v.copy() for k, v in block.arrays.items()}, block.start, block.halo, {k: v.copy() for k, v in block.tables.items()})


def build(mode: str, path: Path) -> Chain:
    """Prepare the chain of a mode, and note the whole exposure as each step gets it."""
    from jwst_dask.io.fits import read_block, scan
    from jwst_dask.io.skeleton import skeleton
    from jwst_dask.refs.crds import References, pin_context
    from jwst_dask.steps import step_class

    file, context = scan(path), pin_context()
    draft = Draft(skeleton(path), str(path), file.nints)
    steps = {alias: step_class(alias).make(skip=False, **SPECIAL.get(alias, {})) for alias in ORDERS[mode]}
    stages = prepare.prepare(draft, ORDERS[mode], steps, lambda model, step: References(model.get_crds_parameters(), step.overrides, context=context),
                             prepare.Provenance(context))  # fmt: skip
    block, before = read_block(file), {}
    for stage in stages:
        before[stage.step.alias] = copy(block)
        if stage.runs:
            block = stage.step.run(block, saved(stage))
    return Chain(path, draft, {stage.step.alias: stage for stage in stages}, before)


def saved(stage: prepare.Stage) -> Mapping[str, Any]:
    """A state as workers see it: arrays only."""
    return {name: np.asarray(value) for name, value in stage.state.items()}


def pieces(chain: Chain, alias: str, sizes: list[int]) -> list[Block]:
    """A step's input cut into blocks of these sizes, with the halo that the step asks for."""
    whole, out, start = chain.before[alias], [], 0
    nints = len(whole.arrays["sci"])
    halo = chain.stages[alias].halo(nints)
    for size in sizes:
        low, high = max(0, start - halo), min(nints, start + size + halo)
        arrays = {name: array[low:high].copy() for name, array in whole.arrays.items()}
        tables = {name: table[start : start + size].copy() for name, table in whole.tables.items()}
        out.append(Block(arrays, start, (start - low, high - start - size), tables))
        start += size
    return out
