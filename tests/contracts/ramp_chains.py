"""Every step of stage 1 on raw exposures: prepared, and the ramps that it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from chains import saved

from jwst_dask.core import prepare
from jwst_dask.data.exposure import Block

ORDERS = {
    "bots": ("dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current", "jump", "clean_flicker_noise", "ramp_fit", "gain_scale"),
    "miri": ("dq_init", "saturation", "firstframe", "lastframe", "reset", "linearity", "rscd", "dark_current", "refpix", "jump", "ramp_fit", "gain_scale"),
}
"""Steps that the simulated exposures go through."""
ELSEWHERE = ("group_scale", "emicorr", "ipc", "charge_migration", "picture_frame", "persistence", "guider_cds")
"""Steps for which they have no reference or which are for other readouts: their own tests hold them to the same."""
CASES = [(mode, alias) for mode, order in ORDERS.items() for alias in order]
SPECIAL = {"clean_flicker_noise": {"fit_method": "median"}, "ramp_fit": {"save_opt": True}}


@dataclass
class RampChain:
    """An exposure's steps, and what each of them gets."""

    stages: dict[str, prepare.Stage]
    again: dict[str, Mapping[str, np.ndarray]]
    """States of a second preparation."""
    before: dict[str, Block]
    after: dict[str, Block]


def copy(block: Block) -> Block:
    """A block of its own."""
    tables = {name: table.copy() for name, table in block.tables.items()}
    return Block({name: array.copy() for name, array in block.arrays.items()}, block.start, block.halo, tables, block.y0, block.row_halo, block.group0)


def build(mode: str, path: str) -> RampChain:
    """Prepare the chain of a mode, and take the exposure through it in one piece."""
    from jwst_dask.io.fits import scan
    from jwst_dask.io.ramps import read_ramp

    stages = prepared(mode, path)
    file, before, after = scan(path), {}, {}
    block = read_ramp(file, 0, file.hdu("SCI").shape[0])
    for stage in stages:
        before[stage.step.alias] = copy(block)
        if stage.runs:
            block = stage.step.run(block, saved(stage))
        after[stage.step.alias] = copy(block)
    again = {stage.step.alias: saved(stage) for stage in prepared(mode, path)}
    return RampChain({stage.step.alias: stage for stage in stages}, again, before, after)


def prepared(mode: str, path: str) -> list[prepare.Stage]:
    """The steps of a mode, with what they have looked up."""
    from jwst_dask.core.planner import crds_parameters
    from jwst_dask.data.ramps import ramp_draft
    from jwst_dask.refs.crds import References, pin_context
    from jwst_dask.steps import step_class

    context = pin_context()
    steps = {alias: step_class(alias).make(skip=False, **SPECIAL.get(alias, {})) for alias in ORDERS[mode]}
    return prepare.prepare(ramp_draft(path), ORDERS[mode], steps,
                           lambda model, step: References(crds_parameters(model), overrides=step.overrides, context=context), prepare.Provenance(context))  # fmt: skip


def integrations(chain: RampChain, alias: str, sizes: list[int]) -> list[Block]:
    """A step's input cut into runs of integrations."""
    whole, out, start = chain.before[alias], [], 0
    for size in sizes:
        part = {name: array if name == "pixeldq" else array[start : start + size] for name, array in whole.arrays.items()}
        out.append(copy(Block(part, start)))
        start += size
    return out


def bands(chain: RampChain, alias: str, sizes: list[int]) -> list[Block]:
    """A step's input cut into bands of rows, with the rows above and below that the step asks for."""
    from jwst_dask.core.ramps.passes import halo_of

    whole, out, y0, halo = chain.before[alias], [], 0, halo_of(chain.stages[alias])
    ny = whole.arrays["sci"].shape[-2]
    for size in sizes:
        first, last = max(0, y0 - halo), min(ny, y0 + size + halo)
        part = {name: array[..., first:last, :] for name, array in whole.arrays.items()}
        out.append(copy(Block({name: np.ascontiguousarray(array) for name, array in part.items()}, 0, y0=first, row_halo=(y0 - first, last - y0 - size))))
        y0 += size
    return out


def own(block: Block) -> dict[str, np.ndarray]:
    """Arrays without the rows above and below a band."""
    above, below = block.row_halo
    return {name: array[..., above : array.shape[-2] - below, :] for name, array in block.arrays.items()}


__all__ = ["CASES", "ELSEWHERE", "ORDERS", "SPECIAL", "RampChain", "bands", "build", "copy", "integrations", "own"]
