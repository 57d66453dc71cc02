"""Other exposures of an association (backgrounds, imprints) as the exposure itself would be at the step that needs them.

The reference implementation puts every background and imprint through clean_flicker_noise, if that is on, and subtracts an
imprint from every background, before the backgrounds are averaged. Here a member is described by a plain state (paths, and
the states of those steps, below a prefix), and read and taken through these steps by whoever needs it, one at a time.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import Skip, State

if TYPE_CHECKING:
    from jwst_dask.core.step import Step
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

CLEAN, IMPRINT = "clean.", "imprint."
"""Prefixes of the states of a member's own steps."""
PLACE = ("PATT_NUM", "OBSERVTN", "BKGDTARG")
"""Keywords that say which imprint belongs to an exposure: dither position, observation, whether it points at a background."""


def prefixed(prefix: str, state: Mapping[str, Any]) -> State:
    """A state with a prefix before its names."""
    return {prefix + name: value for name, value in state.items()}


def below(state: Mapping[str, Any], prefix: str) -> State:
    """The part of a state below a prefix, without it; empty if there is none."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def header_of(path: str) -> Any:
    """Primary header of a member.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    from jwst_dask.io.fits import scan

    return scan(path).header(0)


def matching_imprint(place: Sequence[Any], imprints: Sequence[str]) -> str | None:
    """The imprint that belongs to an exposure.

    A single one is for all. Of several, those count that agree in whether they point at a background; of these, the one of the
    same observation and dither position, or else the only one there is.

    Parameters
    ----------
    place : sequence
        Values of `PLACE` of the exposure (None where a keyword is absent).
    imprints : sequence of str
        Paths.
    """
    if len(imprints) == 1:
        return imprints[0]
    others = [(path, [header.get(key) for key in PLACE]) for path, header in ((path, header_of(path)) for path in imprints)]
    alike = [(path, other) for path, other in others if other[2] == place[2]]
    exact = next((path for path, other in alike if other[:2] == list(place[:2])), None)
    return exact or (alike[0][0] if len(alike) == 1 else None)


def member_state(path: str, draft: Draft, refs: References, imprints: Sequence[str] = ()) -> State:
    """What `read_member` needs: the path, the state of clean_flicker_noise if that is on, and the imprint to subtract.

    Parameters
    ----------
    path : str
    draft : Draft
        The exposure that the member goes with; its `steps` say whether clean_flicker_noise is on.
    refs : References
    imprints : sequence of str
        Imprints to choose from; none to subtract no imprint.

    Raises
    ------
    InputError
        When the member cannot be read.
    """
    if not os.path.exists(path) and "://" not in path:
        raise InputError(f"the association's member {path} does not exist; put it beside the association, or remove it from there")
    state: State = {"path": path, **prefixed(CLEAN, _cleaning(path, draft, refs))}
    if imprints:
        header = header_of(path)
        match = matching_imprint([header.get(key) for key in PLACE], imprints)
        if match is not None:
            state |= prefixed(IMPRINT, member_state(match, draft, refs))
    return state


def is_plain(state: Mapping[str, Any]) -> bool:
    """Whether a member is used as it is in its file, so that any part of it can be read alone."""
    return not below(state, CLEAN) and not below(state, IMPRINT)


def read_member(state: Mapping[str, Any]) -> Block:
    """A whole member, cleaned and less its imprint where it has these (arrays as of `jwst_dask.io.fits.read_block`)."""
    from jwst_dask.io.fits import read_block, scan

    block = read_block(scan(str(state["path"])))
    if cleaning := below(state, CLEAN):
        from jwst_dask.steps.stage2.clean_flicker_noise import CleanFlickerNoiseStep

        values = json.loads(str(cleaning.pop("values")))
        block = CleanFlickerNoiseStep(**values).run(block, cleaning)
    if imprint := below(state, IMPRINT):
        block = subtract(block, read_member(imprint))
    return block


def subtract(block: Block, other: Block) -> Block:
    """A block less the pixels of another exposure, with the flags of both; a new block, the arrays of the first stay as they are.

    Raises
    ------
    InputError
        When the shapes do not agree.
    """
    sci, off = block.arrays["sci"], other.arrays["sci"]
    if off.shape[0] != 1:
        off, flags = off[block.rows], other.arrays["dq"][block.rows]
    else:
        flags = other.arrays["dq"]
    if off.shape[-2:] != sci.shape[-2:] or off.shape[0] not in (1, sci.shape[0]):
        raise InputError(f"the exposure of {sci.shape[::-1][:2]} pixels (x, y) and the member of {off.shape[::-1][:2]} do not match")
    return dataclasses.replace(block, arrays={**block.arrays, "sci": sci - off, "dq": block.arrays["dq"] | flags})


def active(draft: Draft, alias: str) -> Step | None:
    """The step of the exposure's pipeline with this alias if it is on and applies to the exposure."""
    from jwst_dask.core.prepare import flat_meta

    step = draft.steps.get(alias)
    if step is None:
        return None
    counts = {f"members.{kind}": len(paths) for kind, paths in draft.members.items()}
    return None if step.applies(flat_meta(draft.model, **counts)) else step


def _cleaning(path: str, draft: Draft, refs: References) -> State:
    """State of clean_flicker_noise for a member, and the parameters (JSON) under ``values``; empty if it is off or fails."""
    step: Any = active(draft, "clean_flicker_noise")
    if step is None:
        return {}
    from jwst_dask.core.planner import draft_of

    member = draft_of(path)
    member.steps = draft.steps
    if step.mask_science_regions:
        _locate_slits(member, refs)
    quiet = dataclasses.replace(step, save_mask=False, save_background=False, save_noise=False)
    state = quiet.prepare(member, refs_for(refs, member.model, quiet))
    if isinstance(state, Skip):
        return {}
    return {**state, "values": json.dumps(quiet.values())}


def _locate_slits(member: Draft, refs: References) -> None:
    from jwst_dask.steps import step_class

    step = member.steps.get("assign_wcs") or step_class("assign_wcs")()
    step.prepare(member, refs_for(refs, member.model, step))


def refs_for(refs: References, model: Any, step: Step) -> References:
    """The look-up of references for another exposure and step, under the same rules."""
    from jwst_dask.core.planner import crds_parameters

    return type(refs)(crds_parameters(model), overrides=step.overrides, context=getattr(refs, "context", None))


def text(state: Mapping[str, Any], name: str) -> str:
    """A string of a state, which may come back from a file as an array."""
    return str(np.asarray(state[name]))
