"""Every step that slits go through, as a mode uses it: what it was given, what it looked up, and the block that it got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from chains import copy, saved

from jwst_dask.core import prepare
from jwst_dask.core.step import Skip, Step
from jwst_dask.data.exposure import Block, Draft

FRAME = ("assign_wcs", "msa_flagging", "clean_flicker_noise", "imprint_subtract", "bkg_subtract")
SLIT = ("srctype", "master_background_mos", "wavecorr", "flat_field", "pathloss", "barshadow", "photom", "pixel_replace", "resample_spec", "extract_1d")
ALONE = ("combine_1d",)
"""Steps that work on files of spectra."""
MODES = ("mos", "fs")
FOR_MSA = ("msa_flagging", "imprint_subtract", "master_background_mos", "barshadow")
SPECIAL: dict[str, dict[str, Any]] = {
    "clean_flicker_noise": {"fit_method": "median"},
    "master_background_mos": {"force_subtract": True},
    "resample_spec": {"propagate_dq": True},
}


@dataclass
class Noted:
    """One step on a frame or a slit.

    Attributes
    ----------
    step : Step
    state : mapping
        As workers see it.
    again : mapping
        The state of a second preparation.
    looked_up : set of str
        Reference types that it asked for.
    before, after : Block
    """

    step: Step
    state: Mapping[str, np.ndarray]
    again: Mapping[str, np.ndarray]
    looked_up: set[str]
    before: Block
    after: Block


@dataclass
class SlitChain:
    """An exposure's steps on its frame, and on each of its slits."""

    frame: dict[str, Noted] = field(default_factory=dict)
    slits: dict[str, dict[str, Noted]] = field(default_factory=dict)

    def of(self, alias: str) -> dict[str, Noted]:
        """A step wherever it ran, by slit (the frame is ````)."""
        found = {"": self.frame[alias]} if alias in self.frame else {}
        return found | {name: chain[alias] for name, chain in self.slits.items() if alias in chain}


def look_up(model: Any, step: Step, context: str) -> Any:
    """A step's look-up of references."""
    from jwst_dask.core.planner import crds_parameters
    from jwst_dask.refs.crds import References

    return References(crds_parameters(model), overrides=step.overrides, context=context)


def build(folder: Path) -> SlitChain:
    """Take the first nod of a folder through all steps, one after the other."""
    from jwst_dask.io.fits import read_block, scan
    from jwst_dask.io.skeleton import skeleton
    from jwst_dask.refs.crds import pin_context
    from jwst_dask.steps import step_class
    from jwst_dask.steps.stage2.extract_2d import cut, slit_draft
    from jwst_dask.steps.stage2.master_background_mos import background_spectrum, is_background_slit, master_spectrum

    context = pin_context()
    path, *others = sorted(folder.glob("*_rate.fits"))
    steps = {alias: step_class(alias).make(skip=False, **SPECIAL.get(alias, {})) for alias in (*FRAME, "extract_2d", *SLIT)}
    frame = Draft(skeleton(path), str(path), 1, members={"background": [str(others[0])], "imprint": [str(others[1])]}, steps=steps)
    out, block = SlitChain(), read_block(scan(path))
    for alias in FRAME:
        block = _through(frame, block, steps[alias], context, out.frame, twice=alias != "assign_wcs")
    cuts = {spec.name: (spec, *slit_draft(frame, spec)) for spec in frame.slits or ()}

    def refs(step: Step) -> Any:
        return look_up(frame.model, step, context)

    spectra = []
    for spec, draft, window in cuts.values():
        if is_background_slit(spec, steps["master_background_mos"]):  # type: ignore[arg-type]
            spectra.append(background_spectrum(draft, cut(block, window), steps, refs))
    master = master_spectrum(spectra, steps["master_background_mos"]) if spectra else None  # type: ignore[arg-type]
    for name, (spec, _, _) in cuts.items():
        draft, window = slit_draft(frame, spec)
        draft.shared |= {"references": refs, "master_background": master}
        mine = cut(block, window)
        for alias in SLIT:
            mine = _through(draft, mine, steps[alias], context, out.slits.setdefault(name, {}))
    return out


def _through(draft: Draft, block: Block, step: Step, context: str, notes: dict[str, Noted], twice: bool = True) -> Block:
    meta = prepare.flat_meta(draft.model, **{f"members.{kind}": len(paths) for kind, paths in draft.members.items()})
    if isinstance(step.applies(meta), Skip):
        return block
    kept, refs = copy(block), look_up(draft.model, step, context)
    draft.first = lambda: block
    again = _second(draft, block, step, context) if twice else None
    state = step.prepare(draft, refs)
    if isinstance(state, Skip):
        return block
    for name, array in block.arrays.items():
        np.testing.assert_array_equal(array, kept.arrays[name], err_msg=f"{step.alias} changed the pixels that it prepares from")
    first = {name: np.asarray(value) for name, value in state.items()}
    after = step.run(copy(block), first) if step.pixels else copy(block)
    notes[step.alias] = Noted(step, first, first if again is None else again, set(refs.used), kept, after)
    if step.cal_step:
        draft.model.meta.cal_step.instance[step.cal_step] = "COMPLETE"
    return copy(after)


def _second(draft: Draft, block: Block, step: Step, context: str) -> Mapping[str, np.ndarray] | None:
    """The state of the step prepared on a copy of the draft."""
    import copy as copies
    import dataclasses

    from jwst_dask.data.models import filled

    tree = {name: copies.deepcopy(value) if name == "meta" else value for name, value in draft.model.instance.items()}
    mine = dataclasses.replace(draft, model=filled(type(draft.model), tree), extras={}, log=[], quality={}, shared=dict(draft.shared), first=lambda: block)
    state = step.prepare(mine, look_up(mine.model, step, context))
    return None if isinstance(state, Skip) else {name: np.asarray(value) for name, value in state.items()}


__all__ = ["ALONE", "FOR_MSA", "FRAME", "MODES", "SLIT", "SPECIAL", "Noted", "SlitChain", "build", "copy", "saved"]
