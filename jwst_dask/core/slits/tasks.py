"""Tasks of an exposure with many slits: a slit's chain, a background slit's spectrum, the master background."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
import zlib
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np

from jwst_dask.core.blocks import Receipt
from jwst_dask.core.errors import JwstDaskError
from jwst_dask.core.memo import memo
from jwst_dask.core.pipeline import Product
from jwst_dask.core.slits import references, store
from jwst_dask.core.slits.chain import Outcome, run_slit
from jwst_dask.core.step import Step
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.data.slits import SlitSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlitTask:
    """One slit; plain, small, deterministic.

    Attributes
    ----------
    header, references : str
        Files with the exposure's metadata after its frame steps, and with resolved references.
    frame : str
        Folder of the conditioned frame.
    part : str
        Where the result goes.
    master : str
        File of the master background ('' without).
    background : bool
        Make the slit's spectrum for the master background rather than its parts of the products.
    changes : tuple of (path, value)
        Metadata that differ for this slit (it was not subtracted, say).
    needs : tuple of str
        Names of tasks that must be done before.
    """

    name: str
    exposure: int
    source: str
    spec: SlitSpec
    header: str
    references: str
    frame: str
    order: tuple[str | Product, ...]
    steps: tuple[tuple[str, Step], ...]
    part: str
    master: str = ""
    background: bool = False
    changes: tuple[tuple[str, Any], ...] = ()
    needs: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Compressed: the tasks of an exposure have most in common."""
        values = tuple(getattr(self, field.name) for field in dataclasses.fields(self))
        return _unpacked, (zlib.compress(cloudpickle.dumps(values), 1),)

    @property
    def slit(self) -> str:
        """Name of the slit; its failure is its own."""
        return self.spec.name

    def process(self) -> Receipt:
        """Do it. Repeatable: the result is replaced as a whole."""
        clock = time.perf_counter()
        draft, block, refs = ready(self)
        read = time.perf_counter() - clock
        if self.background:
            from jwst_dask.steps.stage2.master_background_mos import background_spectrum

            spectrum = None
            try:
                run_slit(draft, block, ("srctype",), dict(self.steps), refs, serialise=False)
                spectrum = background_spectrum(draft, block, dict(self.steps), draft.shared["references"])
            except JwstDaskError as error:  # the background is then made of the other slits
                log.warning("%s: not used for the master background: %s", os.path.basename(self.source), error)
            return Receipt(self.name, self.exposure, 0, 1, read_seconds=read, bytes_written=save_spectrum(self.part, spectrum))
        size = sum(a.nbytes for a in block.arrays.values())
        outcome = run_slit(draft, block, self.order, dict(self.steps), refs)
        _measure(outcome)
        outcome.quality["seconds"] = time.perf_counter() - clock
        clock = time.perf_counter()
        nbytes = store.save_part(self.part, outcome)
        dq = outcome.block.arrays.get("dq") if outcome.block is not None else None
        flagged, pixels = (int(np.count_nonzero(dq & 1)), dq.size) if dq is not None else (0, 0)
        return Receipt(self.name, self.exposure, 0, 1, {}, flagged, pixels, read, outcome.seconds, time.perf_counter() - clock, size, nbytes)


def _unpacked(packed: bytes) -> SlitTask:
    return SlitTask(*cloudpickle.loads(zlib.decompress(packed)))


def ready(task: SlitTask) -> tuple[Draft, Block, Any]:
    """Draft and block of a task's slit, and its references by step."""
    draft, block = cut_out(task)
    found = store.load_json(task.references)
    kind = "fixed" if task.spec.fixed and "fixed" in found else "msa"

    def refs(alias: str) -> Any:
        return references.of_step(found[kind], alias)

    draft.shared["references"] = lambda step: refs(step.alias)
    draft.shared["master_background"] = load_spectrum(task.master) if task.master else None
    return draft, block, refs


def run_task(task: SlitTask) -> Outcome:
    """A slit's chain with its arrays kept, nothing written."""
    draft, block, refs = ready(task)
    outcome = run_slit(draft, block, task.order, dict(task.steps), refs, serialise=False, keep=True)
    _measure(outcome)
    return outcome


def _measure(outcome: Any) -> None:
    from jwst_dask.data.quality import slit_quality

    spectrum = outcome.block.tables.get("EXTRACT1D")
    outcome.quality.update({k: v for k, v in slit_quality(outcome.draft, outcome.block, spectrum).items() if k not in outcome.quality})


def frame_draft(header: str) -> Draft:
    """The draft of an exposure as its frame steps left it, made once in a process; not to be changed."""
    return memo(("frame draft", header, os.stat(header).st_mtime_ns), lambda: _frame_draft(header))


def _frame_draft(header: str) -> Draft:
    from stdatamodels.jwst.datamodels import ImageModel

    from jwst_dask.data.models import filled

    content = store.load_json(header)
    zeros = np.broadcast_to(np.float32(0), content["shape"])
    model = filled(ImageModel, {"meta": content["meta"], "data": zeros})
    return Draft(model, content["path"], 1, shared=dict(content["shared"]))


def cut_out(task: SlitTask) -> tuple[Draft, Block]:
    """Draft and block of the task's slit.

    Raises
    ------
    JwstDaskError
        When it cannot be cut out.
    """
    from jwst_dask.steps.stage2.extract_2d import cut, slit_draft

    try:
        step: Any = dict(task.steps)["extract_2d"]
        draft, window = slit_draft(frame_draft(task.header), task.spec, step)
        for path, value in task.changes:
            node: Any = draft.model.instance["meta"]
            *parents, last = path.split(".")
            for name in parents:
                node = node.setdefault(name, {})
            node[last] = value
        draft.model.meta.cal_step.instance["extract_2d"] = "COMPLETE"
        return draft, cut(store.load_frame(task.frame), window)
    except JwstDaskError as error:
        raise type(error)(f"slit {task.spec.name} (source {task.spec.source_id}): extract_2d: {error}") from error


@dataclass(frozen=True)
class MasterTask:
    """The master background of an exposure from the spectra of its background slits."""

    name: str
    exposure: int
    source: str
    step: Any
    spectra: tuple[str, ...]
    out: str
    needs: tuple[str, ...] = ()
    slit = ""

    def process(self) -> Receipt:
        """Combine the spectra; a file without a table says that there is none."""
        from jwst_dask.steps.stage2.master_background_mos import master_spectrum

        spectra = [s for s in map(load_spectrum, filter(os.path.exists, self.spectra)) if s is not None]
        nbytes = save_spectrum(self.out, master_spectrum(spectra, self.step))
        return Receipt(self.name, self.exposure, 0, 1, bytes_written=nbytes)


def save_spectrum(path: str, spectrum: Any) -> int:
    """Write a spectrum (a mapping of arrays and scalars, or None) to a file."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}.tmp.npz"
    np.savez(temporary, **({} if spectrum is None else spectrum))
    os.replace(temporary, path)
    return os.path.getsize(path)


def load_spectrum(path: str) -> Any:
    """A spectrum from a file; None if there is none in it."""
    from jwst_dask.refs.load import load_npz

    found = load_npz(path)
    return dict(found) or None
