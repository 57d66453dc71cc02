"""Calibrating a copy of a slit as an extended source, and undoing it on a model of its background."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jwst_dask.core.prepare import flat_meta
from jwst_dask.core.step import Skip, State, Step
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.data.models import filled

CALIBRATION = ("flat_field", "pathloss", "barshadow", "photom")
"""Steps between counts and surface brightness, in order; they follow what the user set for the pipeline's own steps."""
EXTRACTION = ("pixel_replace", "resample_spec", "extract_1d")
"""Steps from a calibrated background slit to its spectrum; they have parameters of their own."""
_OWN = {"save_results": False, "suffix": None, "output_dir": None, "output_file": None}
_FORCED: Mapping[str, Mapping[str, Any]] = {
    "flat_field": {"inverse": False, "save_interpolated_flat": False},
    "pathloss": {"inverse": False, "source_type": "EXTENDED"},
    "barshadow": {"inverse": False, "source_type": "EXTENDED"},
    "photom": {"inverse": False, "source_type": "EXTENDED"},
}

Applied = tuple[Step, Mapping[str, np.ndarray]]
"""A step that ran, and the state that it ran with."""


def calibration_steps(steps: Mapping[str, Step]) -> dict[str, Step]:
    """flat_field, pathloss, barshadow and photom as they serve the master background.

    They keep the parameters and overrides of the pipeline's, but take every source as extended and save nothing.
    """
    from jwst_dask.steps import step_class

    out: dict[str, Step] = {}
    for alias in CALIBRATION:
        step = steps.get(alias) or step_class(alias)()
        forced = {name: value for name, value in (_OWN | dict(_FORCED[alias])).items() if name in step.parameters()}
        out[alias] = dataclasses.replace(step, **forced)
    return out


def extraction_steps(given: Mapping[str, Step] | None = None) -> dict[str, Step]:
    """pixel_replace, resample_spec and extract_1d: those given, else with default parameters.

    As in the reference implementation they do not follow the parameters of the pipeline's.
    """
    from jwst_dask.steps import step_class

    return {alias: (given or {}).get(alias) or step_class(alias)() for alias in EXTRACTION}


def private(draft: Draft, block: Block) -> tuple[Draft, Block]:
    """A draft and block that steps may change without any effect on the slit they were taken from."""
    tree = {name: copy.deepcopy(value) if name == "meta" else value for name, value in draft.model.instance.items()}
    mine = dataclasses.replace(draft, model=filled(type(draft.model), tree), spectra=None, extras={}, log=[], quality={}, shared={})
    return mine, Block(arrays={name: array.copy() for name, array in block.arrays.items()}, start=block.start)


def apply(draft: Draft, block: Block, step: Step, refs: Any) -> tuple[Block, Applied | None]:
    """One step on a private draft; nothing if it skips itself. Its status is noted in the draft's metadata."""
    draft.first = lambda: block
    answer: State | Skip | None = step.applies(flat_meta(draft.model))
    if answer is None:
        own = look_up(refs, step)
        answer = step.prepare(draft, own)
        if hasattr(own, "recorded"):
            draft.shared.setdefault("recorded", {}).update(own.recorded())
    status = draft.model.meta.cal_step.instance
    if isinstance(answer, Skip):
        status[step.cal_step] = "SKIPPED"
        return block, None
    status[step.cal_step] = "COMPLETE"
    state = {name: np.asarray(value) for name, value in (answer or {}).items()}
    return (step.run(block, state) if step.pixels else block), (step, state)


def look_up(refs: Any, step: Step) -> Any:
    """A step's references.

    Parameters
    ----------
    refs : References or callable
        Those of the exposure, to which the step's overrides are added; or ``refs(step)`` gives the step's look-up.
    """
    if hasattr(refs, "scoped"):
        return refs.scoped(step.overrides, step.references)
    return refs if hasattr(refs, "used") else refs(step)


def forward(draft: Draft, block: Block, steps: Mapping[str, Step], refs: Any) -> tuple[Block, list[Applied]]:
    """Counts to surface brightness, on a private draft."""
    done: list[Applied] = []
    for alias in CALIBRATION:
        block, applied = apply(draft, block, steps[alias], refs)
        if applied is not None:
            done.append(applied)
    return block, done


def backward(block: Block, done: Sequence[Applied]) -> Block:
    """Surface brightness to counts, with the corrections of the way there."""
    for step, state in reversed(done):
        if step.pixels:
            block = dataclasses.replace(step, inverse=True).run(block, state)  # type: ignore[call-arg]
    return block
