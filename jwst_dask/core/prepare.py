"""Take a draft through a chain: decide what runs, do each step's once-per-exposure work, lay out the products."""

from __future__ import annotations

import datetime
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError, JwstDaskError, NotYet
from jwst_dask.core.pipeline import Product
from jwst_dask.core.step import Skip, State, Step
from jwst_dask.data.exposure import Block, Draft

log = logging.getLogger(__name__)


CRITICAL = ("assign_wcs",)
"""Steps without which a pipeline makes no products of an exposure."""


@dataclass
class Stage:
    """One step of a chain after preparation.

    Attributes
    ----------
    status : str
        ``COMPLETE`` or ``SKIPPED``.
    state : dict
        What `step.run` needs; empty when skipped or when the step touches no pixels.
    references : dict
        Reference type -> path, as looked up.
    recorded : dict
        The same as products name them.
    """

    step: Step
    status: str
    reason: str = ""
    state: State = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def runs(self) -> bool:
        """Whether blocks pass through it."""
        return self.status == "COMPLETE" and self.step.pixels

    def halo(self, nints: int) -> int:
        """Integrations it must see on each side of a block, in an exposure of `nints`."""
        declared = getattr(self.step, "halo_for", None)
        return int(declared(nints)) if declared is not None else self.step.halo


@dataclass(frozen=True)
class Provenance:
    """What every product records about how it was made."""

    context: str = ""
    crds_version: str = ""
    pool_name: str | None = None
    table_name: str | None = None


def flat_meta(model: Any, **more: Any) -> dict[str, Any]:
    """Metadata of a datamodel by path without ``meta.``, plain values only."""
    out: dict[str, Any] = {}
    pending: list[tuple[str, Any]] = [("", model.instance.get("meta", {}))]
    while pending:
        path, node = pending.pop()
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(value, (dict, list, tuple)):
                pending.append((f"{path}{key}.", value))
            elif isinstance(value, (str, int, float, bool, np.generic)):
                out[f"{path}{key}"] = value
            elif isinstance(value, datetime.date) or type(value).__name__ == "Time":
                out[f"{path}{key}"] = value.isoformat() if isinstance(value, datetime.date) else str(value)
    out.update(more)
    return out


def prepare(
    draft: Draft,
    order: tuple[str | Product, ...],
    steps: Mapping[str, Step],
    references: Callable[[Any, Step], Any],
    provenance: Provenance,
    *,
    unrecorded: tuple[str, ...] = (),
    members: Mapping[str, list[str]] | None = None,
    on_product: Callable[[Product, Draft, list[Stage]], None] | None = None,
    prior: Sequence[Stage] = (),
    pixels: bool = True,
    later: bool = False,
    unchanged: bool = False,
) -> list[Stage]:
    """Prepare every step of a chain for one exposure.

    Parameters
    ----------
    draft : Draft
        Edited in place.
    order : tuple
        Step aliases and products.
    steps : mapping
        Alias -> step with its parameters.
    references : callable
        ``references(model, step)`` gives the step's reference look-up.
    provenance : Provenance
    unrecorded : tuple of str
        Steps that leave no status keyword.
    members : mapping
        Association members by type, for steps that need them.
    on_product : callable
        Called at each product of `order`, and after each step with ``save_results``.
    prior : sequence of Stage
        Steps that the exposure has been through since its file was written.
    pixels : bool
        Whether a step may look at the first integration (`Draft.first`); a plan that is only printed says no.
    later : bool
        The file's pixels are only to come (`Draft.later`).
    unchanged : bool
        Whether ``save_results`` of a step that finds nothing to do saves what it was given.

    Returns
    -------
    list of Stage
        One for each step, in order.

    Raises
    ------
    JwstDaskError
        From a step; the message is prefixed with the file and the step.
    """
    stages: list[Stage] = []
    seen: set[str] = set()
    draft.steps, draft.members, draft.later = steps, members or {}, later
    for item in order:
        if isinstance(item, Product):
            if on_product is not None and _wanted(item, stages):
                on_product(item, draft, stages)
            continue
        meta = flat_meta(draft.model, **{f"members.{kind}": len(names) for kind, names in (members or {}).items()})
        draft.first = partial(first_block, draft.path, [*prior, *stages], draft.nints) if pixels else None
        stage = _prepare_step(draft, steps[item], meta, references)
        stages.append(stage)
        if item not in unrecorded and not (stage.step.returns_table and stage.status == "COMPLETE"):
            _record(draft, stage, provenance)
        if item in CRITICAL and stage.status != "COMPLETE":
            log.warning("%s: %s was skipped (%s): no products are made", os.path.basename(draft.path), item, stage.reason)
            break
        if on_product is not None:
            for product in _asked_for(stage, draft, seen, unchanged and not stage.step.skip):
                on_product(product, draft, stages)
    draft.first = None
    return stages


def first_block(path: str, stages: Sequence[Stage], nints: int) -> Block:
    """The first integration of a file after some prepared steps.

    Some choices of the reference implementation rest on it: the place of the PSF, the sizes of the aperture correction.
    """
    from jwst_dask.io.fits import read_block, scan

    links = [stage for stage in stages if stage.runs]
    block = read_block(scan(path), 0, 1, min(nints, max((stage.halo(nints) for stage in links), default=0)))
    for stage in links:
        block = stage.step.run(block, {name: np.asarray(value) for name, value in stage.state.items()})
    return block


def _asked_for(stage: Stage, draft: Draft, seen: set[str], unchanged: bool) -> list[Product]:
    """Products that a step's parameters ask for: its result, and its side products."""
    out = []
    if (stage.status == "COMPLETE" or unchanged) and stage.step.save_results and stage.step.alias != "white_light":
        names = stage.step.product_suffixes or (stage.step.alias, stage.step.alias)
        suffix = stage.step.suffix or names[draft.is_cube]
        if stage.step.alias != "extract_1d":  # its result is a product of the pipelines anyway
            out.append(Product(suffix, suffix, folder=stage.step.output_dir or "", base=stage.step.output_file or ""))
    for name in draft.extras:
        if name not in seen:
            seen.add(name)
            out.append(Product(name, name, extra=name))
    return out


def _wanted(product: Product, stages: list[Stage]) -> bool:
    done = {stage.step.alias for stage in stages if stage.status == "COMPLETE"}
    return (not product.needs or product.needs in done) and (not (product.spectra or product.level3) or "extract_1d" in done)


def _prepare_step(draft: Draft, step: Step, meta: Mapping[str, Any], references: Callable[[Any, Step], Any]) -> Stage:
    began = time.perf_counter()
    where = f"{os.path.basename(draft.path)}: {step.alias}: "
    refs = references(draft.model, step)
    try:
        answer: State | Skip | None = step.applies(meta)
        if answer is None:
            answer = step.prepare(draft, refs)
    except JwstDaskError as error:
        raise type(error)(str(error) if str(error).startswith(os.path.basename(draft.path)) else where + str(error)) from error
    except NotYet:
        raise
    except Exception as error:  # what a damaged file or reference may set off has no end
        read = ", ".join(f"{reftype} {path}" for reftype, path in refs.used.items() if path != "N/A")
        raise InputError(f"{where}{type(error).__name__}: {error}"
                         + (f"; check the references it reads: {read}" if read else "")) from error  # fmt: skip
    seconds = time.perf_counter() - began
    used, recorded = dict(refs.used), refs.recorded()
    if isinstance(answer, Skip):
        log.info("%s%s: %s", where, answer.status.lower(), answer.reason)
        return Stage(step, answer.status, answer.reason, references=used, recorded=recorded, seconds=seconds)
    log.debug("%sprepared in %.3f s", where, seconds)
    return Stage(step, "COMPLETE", state=answer or {}, references=used, recorded=recorded, seconds=seconds)


def _record(draft: Draft, stage: Stage, provenance: Provenance) -> None:
    """Status, references and software of a step, into the model its result is in."""
    if not stage.step.cal_step:
        return
    models = [draft.spectra] if stage.step.alias == "extract_1d" and draft.spectra is not None else [draft.model]
    for model in models:
        model.meta.cal_step.instance[stage.step.cal_step] = stage.status
        for reftype, path in stage.recorded.items():
            if hasattr(model.meta.ref_file, reftype):
                getattr(model.meta.ref_file, reftype).name = path
        if stage.references and provenance.context:
            model.meta.ref_file.crds.sw_version = provenance.crds_version
            model.meta.ref_file.crds.context_used = provenance.context


class StateStore:
    """Prepared states as files named by their content, where every worker can read them."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def put(self, state: State) -> str:
        """Save a state once; returns its path ('' for an empty state)."""
        if not state:
            return ""
        arrays = {name: np.asarray(value) for name, value in state.items()}
        digest = hashlib.sha256()
        for name in sorted(arrays):
            if arrays[name].dtype.hasobject:
                raise TypeError(f"state value {name!r} is not a plain array")
            digest.update(f"{name}{arrays[name].dtype.str}{arrays[name].shape}".encode())
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        path = self.folder / f"state-{digest.hexdigest()[:24]}.npz"
        if not path.exists():
            try:
                self._save(path, arrays)
            except OSError as error:
                raise InputError(f"{path}: cannot be written ({error.strerror}); free some space, or choose another --output-dir") from error
        return str(path)

    def _save(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".state-", suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
