"""One step on a product with many slits: a task for each slit, and the product put together from them."""

from __future__ import annotations

import dataclasses
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jwst_dask.core.blocks import Receipt
from jwst_dask.core.errors import InputError, JwstDaskError
from jwst_dask.core.pipeline import Product
from jwst_dask.core.plan import ExposurePlan, PlannedProduct
from jwst_dask.core.prepare import Stage, StateStore, flat_meta
from jwst_dask.core.slits import references, store
from jwst_dask.core.slits.chain import AS_FIXED, run_slit
from jwst_dask.core.slits.names import FIXED, MASTER, MASTER_PRODUCTS, side_products
from jwst_dask.core.slits.opened import open_slit, spec_of
from jwst_dask.core.slits.tasks import MasterTask, load_spectrum, save_spectrum
from jwst_dask.core.step import Step
from jwst_dask.data.exposure import Draft
from jwst_dask.data.slits import FIXED_QUADRANT
from jwst_dask.io import multi
from jwst_dask.io.multi_read import Entry, MultiFile, open_multi

log = logging.getLogger(__name__)

BY_SLIT = ("srctype", MASTER, "wavecorr", "flat_field", "pathloss", "barshadow", "photom", "pixel_replace", "resample_spec", "extract_1d")
"""Steps that work on products with many slits."""
BACKGROUND = ("flat_field", "pathloss", "barshadow", "photom", "pixel_replace", "resample_spec", "extract_1d")
"""Steps that background slits go through for the master background."""


class FileDraft(Draft):
    """Metadata of a product with many slits; its shape is that of the largest."""

    size: tuple[int, int] = (0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x) of the largest slit."""
        return self.size

    @property
    def is_cube(self) -> bool:
        """Slits of many have no integrations."""
        return False


@dataclass
class FilePlan(ExposurePlan):
    """A step on the slits of a product."""

    step: Step = field(default_factory=lambda: Step())
    steps: Mapping[str, Step] = field(default_factory=dict)
    table: dict[str, references.Table] = field(default_factory=dict)
    failed_slits: dict[str, str] = field(default_factory=dict)
    folder: Path = Path(".")
    master: str = ""
    spectra: tuple[str, ...] = ()

    @property
    def content(self) -> MultiFile:
        """The product."""
        return open_multi(self.file)

    def links(self) -> list[Stage]:
        """Nothing is done to a frame."""
        return []

    def ntasks(self) -> int:
        """Tasks of a run."""
        return len(self.content.entries) + (len(self._backgrounds()) + 1 if self._mastered() else 0)

    def part(self, entry: Entry) -> Path:
        """File of a finished slit."""
        return self.folder / f"{self.index}-{entry.place:04d}.part"

    def tasks(self, store_: StateStore, level3: PlannedProduct | None, ver: int) -> list[Any]:
        """A task for each slit; for a master background those of the background slits before."""
        if not self.pending():
            return []
        self.folder = store_.folder
        refs = store.save_json(self.folder / f"references-{self.index}.json", self.table)
        made: list[Any] = []
        if self._mastered():
            back = [self._task(entry, refs, str(self.folder / f"background-{self.index}-{entry.place:04d}.npz"), True) for entry in self._backgrounds()]
            self.spectra, self.master = tuple(task.part for task in back), str(self.folder / f"master-{self.index}.npz")
            master = MasterTask(f"{self.name} master background", self.index, self.file.path, self.step, self.spectra, self.master,
                                tuple(task.name for task in back))  # fmt: skip
            made = [*back, master]
        needs = (made[-1].name,) if made else ()
        return [*made, *(self._task(entry, refs, str(self.part(entry)), False, needs) for entry in self.content.entries)]

    def _task(self, entry: Entry, refs: str, part: str, background: bool, needs: tuple[str, ...] = ()) -> FileSlitTask:
        kind = "background" if background else "slit"
        order: tuple[str | Product, ...] = (self.step.alias, *(p.product for p in self.products[:1]))
        return FileSlitTask(f"{self.name} {kind} {entry.name}", self.index, self.file.path, entry.place, entry.name, () if background else order,
                            tuple(self.steps.items()), refs, part, "" if background else self.master, background, needs)  # fmt: skip

    def _mastered(self) -> bool:
        return self.step.alias == MASTER and self.stages[0].status == "COMPLETE"

    def _backgrounds(self) -> list[Entry]:
        from jwst_dask.steps.stage2.master_background_mos import is_background_slit

        return [entry for entry in self.content.entries if is_background_slit(spec_of(entry.tree), self.step)]  # type: ignore[arg-type]

    def lose(self, slit: str, why: str) -> None:
        """Go on without a slit."""
        self.failed_slits[slit] = why

    def incomplete(self) -> str:
        """Slits that failed."""
        return ", ".join(self.failed_slits)

    def assemble(self, planned: PlannedProduct) -> bool:
        """Put a product together under its temporary name; False when no slit has a part of it."""
        if planned.temporary is None:
            return False
        if planned.product.suffix in MASTER_PRODUCTS:
            return self._side(planned)
        paths = [path for entry in self.content.entries if entry.name not in self.failed_slits and (path := self.part(entry)).exists()]
        suffix = planned.product.extra or planned.product.suffix
        parts = [part for path in paths if (part := store.load_part(path, suffix) or store.load_part(path, suffix + FIXED)) is not None]
        if not parts:
            return False
        multi.assemble(planned.temporary, self._model([store.part_index(path) for path in paths], planned), parts)
        return True

    def _side(self, planned: PlannedProduct) -> bool:
        from jwst_dask.io.layout import allocate, plan_layout
        from jwst_dask.steps.stage2.master_background_mos import side_models

        step: Any = self.step
        if not self.master or not Path(self.master).exists() or planned.temporary is None:
            return False
        spectra = [spectrum for spectrum in map(load_spectrum, self.spectra) if spectrum is not None]
        model = side_models(self.draft.model, spectra, load_spectrum(self.master), step.user_background).get(planned.product.suffix)
        if model is None:
            return False
        model.meta.filename = planned.final.name
        allocate(str(planned.temporary), plan_layout(model, {}))
        return True

    def _model(self, indices: list[dict[str, Any]], planned: PlannedProduct) -> Any:
        """Metadata of the product: the exposure's, the step's status, its references, and what it changed."""
        from stdatamodels.jwst import datamodels

        from jwst_dask.data.models import blank, copy_metadata

        suffix = planned.product.extra or planned.product.suffix
        names = {index["products"][one]["class"] for index in indices for one in (suffix, suffix + FIXED) if one in index["products"]}
        name, source = names.pop(), self.content.model()
        if name == self.content.class_name and not planned.product.extra and self.step.alias != "resample_spec":
            model = source
        else:
            model = blank(getattr(datamodels, name))
            copy_metadata(model, source, only=None if name == "MultiSlitModel" and not planned.product.extra else "PRIMARY")
        self._record(model, indices, name, planned.product)
        model.meta.filename = planned.final.name
        earlier = dict(source.instance.get("jwst_dask", {}).get("parameters", {}))
        stamped(model, self.stages, earlier)
        return model

    def _record(self, model: Any, indices: list[dict[str, Any]], name: str, product: Product) -> None:
        from jwst_dask.core.slits.finish import OF_SLITS
        from jwst_dask.refs.crds import crds_version

        statuses, recorded = store.merged([*indices])
        if self.step.cal_step:
            model.meta.cal_step.instance[self.step.cal_step] = statuses.get(self.step.alias, "SKIPPED")
        for reftype, path in recorded.items() if not product.extra and self.step.alias != MASTER else ():
            if hasattr(model.meta.ref_file, reftype):
                getattr(model.meta.ref_file, reftype).name = path
        if recorded and (context := self.tables.get("context")):
            model.meta.ref_file.crds.sw_version, model.meta.ref_file.crds.context_used = crds_version(), context
        own = {".".join(path[1:]) for path in multi.leaves(name) if path[0] == "meta"}
        for index in indices[:1]:
            for path, value in index["changes"].get(product.extra or product.suffix, {}).items():
                if path not in own and not path.startswith(OF_SLITS):
                    put(model, path, value)


def put(model: Any, path: str, value: Any) -> None:
    """A value by its path below ``meta``, where the model's schema has it."""
    try:
        model[f"meta.{path}"] = value
    except (KeyError, AttributeError, ValueError):  # a model of another class has no such place
        return


def stamped(model: Any, stages: Iterable[Stage], earlier: Mapping[str, Any]) -> None:
    """Software and parameters into a product's metadata, those of earlier steps being kept."""
    from jwst_dask.core.planner import stamp

    stamp(model, list(stages))
    model.instance["jwst_dask"]["parameters"] = {**earlier, **model.instance["jwst_dask"]["parameters"]}


@dataclass(frozen=True)
class FileSlitTask:
    """One slit of a product through one step; plain, small, deterministic.

    Attributes
    ----------
    source : str
        The product.
    place : int
        Of the slit in it.
    references : str
        File with resolved references.
    part : str
        Where the result goes.
    master : str
        File of the master background ('' without).
    background : bool
        Make the slit's spectrum for the master background.
    """

    name: str
    exposure: int
    source: str
    place: int
    slit: str
    order: tuple[str | Product, ...]
    steps: tuple[tuple[str, Step], ...]
    references: str
    part: str
    master: str = ""
    background: bool = False
    needs: tuple[str, ...] = ()

    def process(self) -> Receipt:
        """Do it. Repeatable: the result is replaced as a whole."""
        clock = time.perf_counter()
        entry = open_multi(self.source).entries[self.place]
        draft, block = opened(entry, dict(self.steps), store.load_json(self.references))
        draft.shared["master_background"] = load_spectrum(self.master) if self.master else None
        read, size = time.perf_counter() - clock, sum(array.nbytes for array in block.arrays.values())
        if self.background:
            nbytes = save_spectrum(self.part, background(draft, block, dict(self.steps)))
            return Receipt(self.name, self.exposure, 0, 1, read_seconds=read, bytes_read=size, bytes_written=nbytes)
        outcome = run_slit(draft, block, self.order, dict(self.steps), draft.shared["look_up"])
        for alias, (status, why) in outcome.statuses.items():
            if status != "COMPLETE":
                log.info("%s: slit %s: %s %s: %s", Path(self.source).name, self.slit, alias, status.lower(), why)
        clock = time.perf_counter()
        nbytes = store.save_part(self.part, outcome)
        return Receipt(self.name, self.exposure, 0, 1, {}, 0, 0, read, outcome.seconds, time.perf_counter() - clock, size, nbytes)


def opened(entry: Entry, steps: Mapping[str, Step], table: Mapping[str, references.Table]) -> tuple[Draft, Any]:
    """A slit with its look-ups of references."""
    draft, block = open_slit(entry, steps, optics=optics_in(table))
    kind = "fixed" if draft.slit is not None and draft.slit.fixed and "fixed" in table else "msa"

    def look_up(alias: str) -> Any:
        return references.of_step(table[kind], alias)

    draft.shared |= {"look_up": look_up, "references": lambda step: look_up(step.alias)}
    return draft, block


OPTICS = "optics"
"""Entry of a table of references: those that the WCS of a product was made with."""


def optics_in(table: Mapping[str, references.Table]) -> dict[str, str] | None:
    """References of the optics by type, None if they are not known."""
    found = table.get(OPTICS, {}).get("assign_wcs")
    return {reftype: path for reftype, (path, _) in found.items()} if found else None


def optics_table(model: Any, look_up: Callable[[Any, Step], Any]) -> references.Table:
    """The references that the WCS of a product was made with, as far as they are there; empty if one is not."""
    from jwst_dask.core.errors import ReferenceError_
    from jwst_dask.steps import step_class
    from jwst_dask.steps.stage2.assign_wcs import OPTICS as TYPES

    cls, paths = step_class("assign_wcs"), {}
    for reftype in TYPES:
        name = getattr(getattr(model.meta.ref_file, reftype, None), "name", None)
        if not name or name == "N/A":
            return {}
        try:
            paths[reftype] = (look_up(model, cls.make(overrides={reftype: name}))(reftype), name)
        except ReferenceError_ as error:
            log.info("the WCS is read as it is in the product: %s", error)
            return {}
    return {"assign_wcs": paths}


def background(draft: Draft, block: Any, steps: Mapping[str, Step]) -> Any:
    """The spectrum of a background slit, None if it has none."""
    from jwst_dask.steps.stage2.master_background_mos import background_spectrum

    try:
        return background_spectrum(draft, block, steps, draft.shared["references"])
    except JwstDaskError as error:  # the background is then made of the other slits
        log.warning("%s: slit %s is not used for the master background: %s", Path(draft.path).name, draft.model.name, error)
        return None


def companions(step: Step) -> dict[str, Step]:
    """The steps that a step applies, itself included: with its overrides, and defaults for the rest."""
    from jwst_dask.steps import step_class

    out = {step.alias: step}
    for alias in BACKGROUND if step.alias == MASTER else ():
        cls = step_class(alias)
        out[alias] = cls.make(overrides={reftype: path for reftype, path in step.overrides.items() if reftype in cls.references})
    return out


def reference_table(content: MultiFile, steps: Mapping[str, Step], look_up: Callable[[Any, Step], Any]) -> dict[str, references.Table]:
    """Resolved references of steps for the slits of a product."""
    model = content.model()
    table = resolved(model, steps, look_up, any(entry.tree.get("quadrant") == FIXED_QUADRANT for entry in content.entries))
    return {**table, OPTICS: optics_table(model, look_up)}


def resolved(model: Any, steps: Mapping[str, Step], look_up: Callable[[Any, Step], Any], fixed: bool) -> dict[str, references.Table]:
    """Resolved references of steps, for slits of the MSA and (where there are) for fixed slits beside them."""
    table = {"msa": references.resolve(_running(model, steps), tuple(steps), lambda step: look_up(model, step))}
    if model.meta.exposure.type == "NRS_MSASPEC" and fixed:
        model.meta.exposure.instance["type"] = "NRS_FIXEDSLIT"
        found = references.resolve(_running(model, steps), tuple(steps), lambda step: look_up(model, step))
        model.meta.exposure.instance["type"] = "NRS_MSASPEC"
        table["fixed"] = {alias: (found if alias in AS_FIXED else table["msa"]).get(alias, {}) for alias in steps}
    return table


def _running(model: Any, steps: Mapping[str, Step]) -> dict[str, Step]:
    """Steps, those turned off that the exposure does not go through (their references need not exist)."""
    meta = flat_meta(model)
    return {alias: step if step.applies(meta) is None else dataclasses.replace(step, skip=True) for alias, step in steps.items()}


def check_class(content: MultiFile, alias: str) -> None:
    """InputError for a step that does not work on slits, or for spectra in place of slits."""
    if alias not in BY_SLIT:
        raise InputError(f"{Path(content.file.path).name}: {alias} does not work on slits that are cut out; give the exposure they were cut from")
    if content.class_name != "MultiSlitModel":
        raise InputError(f"{Path(content.file.path).name}: {alias} works on slits, not on a {content.class_name}")


def expected(content: MultiFile, step: Step) -> Stage:
    """What the exposure's metadata say of a step: whether it runs."""
    answer = step.applies(flat_meta(content.model()))
    if answer is None and step.alias == MASTER:
        answer = step.check_slits([spec_of(entry.tree) for entry in content.entries])  # type: ignore[attr-defined]
    return Stage(step, "COMPLETE" if answer is None else answer.status, "" if answer is None else answer.reason)


def products(step: Step, suffix: str) -> Iterable[Product]:
    """The step's product, and the side products that it is asked for."""
    spectra = step.alias == "extract_1d"
    needs = step.alias if step.alias == "resample_spec" else ""
    yield Product(suffix, suffix, spectra=spectra, needs=needs, folder=step.output_dir or "", base=step.output_file or "")
    yield from (Product(name, name, extra=name) for name in side_products(step))
    if step.alias == MASTER and getattr(step, "save_background", False):
        yield from (Product(name, name, extra=name) for name in MASTER_PRODUCTS)


def largest(content: MultiFile) -> tuple[int, int]:
    """(y, x) of the largest slit, from the file's structure."""
    shapes = [hdu.shape[-2:] for hdu in content.file.hdus if re.fullmatch("SCI", hdu.name) and len(hdu.shape) >= 2]
    return max(shapes, key=lambda shape: shape[0] * shape[1], default=(0, 0))  # type: ignore[return-value]
