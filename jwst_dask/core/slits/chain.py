"""One slit from its cut-out to its spectrum: the steps of the pipeline in order, and its part of every product."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jwst_dask.core.errors import JwstDaskError
from jwst_dask.core.pipeline import Product
from jwst_dask.core.prepare import flat_meta
from jwst_dask.core.slits.names import CUT, FIXED, results
from jwst_dask.core.step import Skip, Step
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.data.quality import cutout_quality
from jwst_dask.io.multi import Part, item_from, make_part

log = logging.getLogger(__name__)

WITH_FIXED = ("wavecorr", "flat_field", "pathloss", "photom")
"""Steps whose results fixed slits of a MOS exposure have files of their own for."""
AS_FIXED = ("master_background_mos", *WITH_FIXED, "barshadow", "extract_1d")
"""Steps in which a fixed slit of a MOS exposure counts as an exposure of type NRS_FIXEDSLIT."""
NOT_FOR_FIXED = ("master_background_mos", "barshadow")
"""Steps that such a slit does not go through."""
_ATTRIBUTES = {"sci": "data"}
_DEEP = ("con",)
"""Arrays with an axis of their own before y and x."""


@dataclass
class Outcome:
    """What a slit's chain gave.

    Attributes
    ----------
    parts : dict
        Product suffix -> (model class, its item).
    statuses : dict
        Step alias -> (``COMPLETE``, ``SKIPPED`` or ``FAILED``, reason).
    references : dict
        Reference type -> name as products record it, of all look-ups.
    changes : dict
        Metadata of the exposure that steps set, by product suffix: path -> value.
    """

    parts: dict[str, tuple[str, Part]] = field(default_factory=dict)
    statuses: dict[str, tuple[str, str]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    draft: Draft | None = None
    block: Block | None = None
    snapshots: dict[str, tuple[dict[str, np.ndarray], dict[str, Any]]] = field(default_factory=dict)

    def finished(self) -> tuple[Block, Draft]:
        """Block and draft as the last step left them."""
        if self.block is None or self.draft is None:
            raise JwstDaskError("the slit's chain has not ended")
        return self.block, self.draft


def run_slit(draft: Draft, block: Block, order: tuple[str | Product, ...], steps: Mapping[str, Step],
             references: Callable[[str], Any], serialise: bool = True, keep: bool = False) -> Outcome:  # fmt: skip
    """Take one slit's cut-out through the steps.

    Parameters
    ----------
    draft, block
        From extract_2d.
    order : tuple
        Steps after extract_2d, and products.
    steps : mapping
        Alias -> step with the parameters of this slit.
    references : callable
        ``references(alias)`` gives the step's look-up.
    serialise : bool
        Make the parts of products.
    keep : bool
        Keep the arrays of products in ``snapshots``.

    Raises
    ------
    JwstDaskError
        From a step; the message names the slit and the step.
    """
    out = Outcome(log=draft.log)
    exp_type, before = draft.model.meta.exposure.type, flat_meta(draft.model)
    mixed = draft.slit is not None and draft.slit.fixed and exp_type == "NRS_MSASPEC"
    draft.steps = steps
    for suffix in results(steps[CUT]) if serialise and CUT in steps else ():
        _note(out, Product(suffix, suffix), draft, block, before)
    for item in order:
        if isinstance(item, Product):
            if item.suffix == "cal":
                draft.quality.update(cutout_quality(draft, block))
            if serialise:
                _note(out, item, draft, block, before)
            if keep:
                _keep(out, item, draft, block)
            continue
        if mixed and item in NOT_FOR_FIXED:
            continue
        draft.model.meta.exposure.instance["type"] = "NRS_FIXEDSLIT" if mixed and item in AS_FIXED else exp_type
        block = _step(draft, block, steps[item], references(item), out)
        draft.model.meta.exposure.instance["type"] = exp_type
        more = FIXED if mixed and item in WITH_FIXED else ""
        for suffix in results(steps[item]) if serialise else ():  # also of a slit that skips it: others of the exposure may not
            _note(out, Product(suffix + more, suffix + more), draft, block, before)
        for name in [*draft.extras] if serialise else ():
            _note_extra(out, name + more, draft, draft.extras.pop(name))
    out.draft, out.block, out.quality = draft, block, {**draft.quality, **out.quality}
    return out


def _step(draft: Draft, block: Block, step: Step, refs: Any, out: Outcome) -> Block:
    began = time.perf_counter()
    draft.first = lambda: block
    named = _named(draft, step)
    try:
        answer = step.applies(flat_meta(draft.model))
        state: Any = {} if answer is not None else step.prepare(draft, refs)
        if answer is None and isinstance(state, Skip):
            answer = state
        if answer is None and step.pixels:
            block = step.run(block, {name: np.asarray(value) for name, value in (state or {}).items()})
    except JwstDaskError as error:
        raise type(error)(f"slit {draft.model.name} (source {draft.model.source_id}): {step.alias}: {error}") from error
    except Exception as error:  # what a damaged slit may set off has no end
        raise JwstDaskError(f"slit {draft.model.name} (source {draft.model.source_id}): {step.alias}: {type(error).__name__}: {error}") from error
    if step.cal_step:  # later steps ask what was done
        draft.model.meta.cal_step.instance[step.cal_step] = "COMPLETE" if answer is None else answer.status
    out.statuses[step.alias] = ("COMPLETE", "") if answer is None else (answer.status, answer.reason)
    out.references.update(refs.recorded())
    out.references.update({reftype: name for reftype, name in _named(draft, step).items() if named.get(reftype) != name})
    out.seconds[step.alias] = time.perf_counter() - began
    return block


def _named(draft: Draft, step: Step) -> dict[str, str]:
    """References of a step that the slit's metadata name (a step does so for a file of the user's)."""
    names = draft.model.instance["meta"].get("ref_file", {})
    return {reftype: names[reftype]["name"] for reftype in step.references if names.get(reftype, {}).get("name")}


def _keep(out: Outcome, product: Product, draft: Draft, block: Block) -> None:
    """Arrays and attributes of a product, for people."""
    plain = {name: value for name, value in draft.model.instance.items() if isinstance(value, (str, int, float, bool))}
    if product.spectra:
        if "EXTRACT1D" in block.tables:
            out.snapshots[product.suffix] = ({"x1d": _one(block.tables["EXTRACT1D"])}, plain)
    elif not product.needs or out.statuses.get(product.needs, ("",))[0] == "COMPLETE":
        arrays = {name: array[0].copy() for name, array in block.arrays.items()}
        planes = {name: value for name, value in draft.model.instance.items() if isinstance(value, np.ndarray) and value.ndim == 2 and name not in ("data", *arrays)}
        unit = draft.model.instance["meta"].get("bunit_data")
        out.snapshots[product.suffix] = ({**arrays, **planes}, {**plain, **({"unit": unit} if unit else {})})


def _note(out: Outcome, product: Product, draft: Draft, block: Block, before: Mapping[str, Any]) -> None:
    """The slit's part of a product, if the slit has come to it."""
    if product.needs and out.statuses.get(product.needs, ("",))[0] != "COMPLETE":
        return
    if product.spectra:
        if draft.spectra is None or "EXTRACT1D" not in block.tables:
            return
        spec = draft.spectra.spec[0]
        units = {column: unit for column, unit in _units(spec).items() if unit}
        tree = spec.instance
        values = item_from("MultiSpecModel", tree, {"spec_table": _one(block.tables["EXTRACT1D"])})
        wcs = spec.instance.get("meta", {}).get("wcs")
        part = make_part("MultiSpecModel", values, None if wcs is None else wcs.fragment(), {"units": units})
        out.parts[product.suffix] = ("MultiSpecModel", part)
    else:
        arrays = {_ATTRIBUTES.get(name, name): array if name in _DEEP else array[0] for name, array in block.arrays.items()}
        values = item_from("MultiSlitModel", draft.model.instance, arrays)
        out.parts[product.suffix] = ("MultiSlitModel", make_part("MultiSlitModel", values, _fragment(draft)))
    after = flat_meta(draft.spectra if product.spectra else draft.model)
    out.changes[product.suffix] = {path: value for path, value in after.items() if before.get(path) != value and not path.startswith(("cal_step.", "ref_file."))}


def _note_extra(out: Outcome, name: str, draft: Draft, given: dict[str, Any]) -> None:
    """A side product that a step left: its arrays and attributes, or ``{"arrays": ..., "attributes": ..., "wcs": bool, "only": bool}``."""
    if "arrays" not in given:
        arrays = {key: value for key, value in given.items() if isinstance(value, np.ndarray)}
        given = {"arrays": arrays, "attributes": {key: value for key, value in given.items() if key not in arrays}, "only": True, "wcs": True}
    own = given.get("attributes", {})
    tree = dict(own) if given.get("only") else {**{k: v for k, v in draft.model.instance.items() if not isinstance(v, np.ndarray)}, **own}
    cls = given.get("class", "MultiSlitModel")
    wcs = _fragment(draft) if given.get("wcs") else None
    out.parts[name] = (cls, make_part(cls, item_from(cls, tree, given["arrays"]), wcs, given))


def _one(table: np.ndarray) -> np.ndarray:
    """The rows of one spectrum: a table of vectors is unfolded."""
    if len(table) == 1 and table.dtype[0].shape:
        out = np.empty(table.dtype[0].shape, [(name, table.dtype[name].base) for name in table.dtype.names or ()])
        for name in out.dtype.names or ():
            out[name] = table[name][0]
        return out
    return table


def _units(spec: Any) -> dict[str, str]:
    columns = getattr(spec.spec_table, "columns", None)
    return {} if columns is None else {column.name: column.unit or "" for column in columns}


def _fragment(draft: Draft) -> Any:
    """The WCS as it is written."""
    from jwst_dask.io.asdf_text import fragment

    wcs: Any = draft.wcs
    if wcs is None:
        return None
    return wcs.fragment() if hasattr(wcs, "fragment") else fragment(wcs.gwcs())
