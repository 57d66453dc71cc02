"""A draft of the count rate, from a ramp that is still being calibrated: what scene masks are made from.

It is the rate that the step ramp_fit would give now, with its default parameters.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import Skip, State
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.kernels.ramp.fit import combine, limits, used_groups
from jwst_dask.steps.stage1.ramp_fit import RATE, RampFitStep, finished, rate_arrays
from jwst_dask.steps.stage1.ramp_fit.planes import sums_in
from jwst_dask.steps.stage1.reference import contents

if TYPE_CHECKING:
    from jwst_dask.kernels.ramp.fit import Sums
    from jwst_dask.refs.crds import References

PREFIX = "draft."
"""Before the names of ramp_fit's state within that of another step."""
PLANES = ("data", "err", "dq", "var_poisson", "var_rnoise")


class Series(Protocol):
    """A ramp that can be gone through as often as one likes (`core.ramps.store.Ramps`, or `Whole`)."""

    nints: int
    shape: tuple[int, int]

    def blocks(self) -> Iterator[Block]: ...

    def bands(self, halo: int = 0) -> Iterator[Block]: ...

    def write(self, block: Block) -> None: ...


@dataclass
class Whole:
    """An exposure in one block, gone through as a stored ramp is; what is written changes the block.

    Attributes
    ----------
    block : Block
        All integrations, whole frames.
    """

    block: Block

    def __post_init__(self) -> None:
        self.nints = self.block.nints
        self.shape: tuple[int, int] = self.block.arrays["sci"].shape[-2:]

    def blocks(self) -> Iterator[Block]:
        """The block; its ``sci`` may be changed in place."""
        yield dataclasses.replace(self.block, arrays=dict(self.block.arrays))

    def bands(self, halo: int = 0) -> Iterator[Block]:
        """The block."""
        return self.blocks()

    def write(self, block: Block) -> None:
        """Take over the arrays of a block."""
        self.block.arrays.update(block.arrays)


def is_ramp(draft: Draft) -> bool:
    """Whether an exposure has groups."""
    return bool(draft.model.data.ndim == 4)


def prepare_rate(draft: Draft, refs: References) -> State:
    """State of ramp_fit, its names prefixed by `PREFIX`, for the drafts of an exposure; its references are those of the pipeline's ramp_fit.

    Raises
    ------
    InputError, ReferenceError_
        As ramp_fit.
    """
    given = draft.steps.get("ramp_fit")
    step = RampFitStep(overrides=given.overrides if given is not None else {})
    look_up = scoped(refs, step)
    for reftype in step.references:
        if look_up(reftype) == "N/A":
            raise ReferenceError_(f"there is no {reftype} reference, which the draft rate of a ramp needs; give ramp_fit one with override_{reftype}")
    found = step.prepare(private(draft), look_up)
    if isinstance(found, Skip):  # it never is, as things are
        raise InputError(f"no draft rate can be made: {found.reason}")
    return {PREFIX + name: value for name, value in found.items()}


def scoped(refs: Any, step: Any) -> Any:
    """The reference look-up of another step."""
    return refs.scoped(step.overrides, step.references) if hasattr(refs, "scoped") else refs


def private(draft: Draft) -> Draft:
    """A draft whose metadata may be changed without a trace."""
    from jwst_dask.data.models import filled

    tree = dict(draft.model.instance)
    tree["meta"] = copy.deepcopy(tree["meta"])
    return dataclasses.replace(draft, model=filled(type(draft.model), tree), extras={}, log=[], shared=dict(draft.shared), first=None)


def rate_draft(draft: Draft, cube: bool) -> Draft:
    """A draft of the rate of a ramp: of an image, or of a series (for steps that follow ramp_fit)."""
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import filled

    shape = (1, *draft.shape) if cube else draft.shape
    kinds = {"dq": np.uint32}
    tree = {name: np.zeros(shape, kinds.get(name, np.float32)) for name in PLANES}
    if cube and "int_times" in draft.model.instance:
        tree["int_times"] = draft.model.instance["int_times"]
    tree["meta"] = copy.deepcopy(draft.model.instance["meta"])
    model = filled(datamodels.CubeModel if cube else datamodels.ImageModel, tree)
    model.meta.model_type, model.meta.cal_step.ramp_fit = type(model).__name__, "COMPLETE"
    return dataclasses.replace(draft, model=model, extras={}, log=[], shared=dict(draft.shared), first=None)


def side_product(draft: Draft, shape: tuple[int, ...], state: Mapping[str, Any] | None = None) -> Any:
    """A template of a side product: ImageModel, CubeModel or RampModel of zeros that take no room.

    Parameters
    ----------
    draft : Draft
        Has the metadata.
    shape : tuple of int
    state : mapping
        What `prepare_rate` gave, where the product has the metadata of a draft rate.
    """
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import copy_metadata, filled
    from jwst_dask.data.ramps import zeros

    kinds = {2: datamodels.ImageModel, 3: datamodels.CubeModel, 4: datamodels.RampModel}
    tree = {"data": zeros(np.float32, *shape), "meta": {}}
    if len(shape) == 3:
        tree |= {"err": zeros(np.float32, *shape), "dq": zeros(np.uint32, *shape)}
    if len(shape) == 4:
        tree |= {"pixeldq": zeros(np.uint32, *shape[-2:]), "groupdq": zeros(np.uint8, *shape)}
    model = filled(kinds[len(shape)], tree)
    model.meta.model_type = type(model).__name__
    copy_metadata(model, draft.model)
    if state is not None and (path := state.get(PREFIX + "gain.path")) is not None:
        model.meta.cal_step.ramp_fit = "COMPLETE"
        model.meta.bunit_data = model.meta.bunit_err = "DN/s"
        if (factor := contents(str(path)).header.get("GAINFACT")) is not None:
            model.meta.exposure.gain_factor = float(factor)
    return model


@dataclass
class DraftRate:
    """Draft rates of a ramp.

    Parameters
    ----------
    ramps : Series
    state : mapping
        Has what `prepare_rate` gave.
    """

    ramps: Series
    state: Mapping[str, Any]

    def __post_init__(self) -> None:
        self._own = {name.removeprefix(PREFIX): value for name, value in self.state.items() if name.startswith(PREFIX)}
        self._step = RampFitStep()
        self._usable = True
        self._sums: Sums | None = None
        if bool(self._own["miri"]):
            self._find_groups()

    def _find_groups(self) -> None:
        """Which groups of a MIRI exposure are in use at all."""
        used: np.ndarray | None = None
        for block in self.ramps.blocks():
            groupdq = block.arrays["groupdq"]
            if groupdq.shape[1] == 1:
                return
            own = used_groups(groupdq, True, *(int(n) for n in self._own["selected"]))
            used = own if used is None else used | own
        window = None if used is None else limits(used)
        self._usable = window is not None
        if window is not None:
            self._own["window"] = np.array(window)

    def of(self, block: Block) -> dict[str, np.ndarray] | None:
        """Rates of the integrations of a block of the ramp (``sci``, ``dq`` final; ``err``, ``var_poisson`` provisional); None if there are none.

        The block is not changed.
        """
        if not self._usable:
            return None
        arrays = self._step.run(dataclasses.replace(block, arrays=dict(block.arrays)), self._own).arrays
        return None if "unusable" in arrays else arrays

    def image(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The rate of the whole exposure and its flags (float32[y, x], uint32[y, x]); None without one."""
        found = self._gone_through()
        return None if found is None else (found[RATE + "sci"], found[RATE + "dq"])

    def _gone_through(self) -> dict[str, np.ndarray] | None:
        self._sums = None
        cubes: list[dict[str, np.ndarray]] = []  # of fits by likelihood, which have no sums
        last: Block | None = None
        for last in self.ramps.blocks():
            arrays = self.of(last)
            if arrays is None:
                return None
            if RATE + "sci" in arrays:
                return arrays
            if bool(self._own["likely"]):
                cubes.append(arrays)
            else:
                self._sums = sums_in(arrays) if self._sums is None else combine((self._sums, sums_in(arrays)))
        if cubes:
            return rate_arrays(None, cube={name: np.concatenate([arrays[name] for arrays in cubes]) for name in cubes[0]})
        if last is None or self._sums is None or self._sums.saturated:
            return None
        return rate_arrays(self._sums, self._step.pending(last, self._own))

    def integrations(self) -> Iterator[Block]:
        """Complete rates of the integrations, some at a time."""
        whole = self._gone_through()
        if whole is None:
            return
        for block in self.ramps.blocks():
            arrays = self.of(block)
            assert arrays is not None
            if RATE + "sci" not in arrays and self._sums is not None:
                arrays = finished(arrays, self._sums, self._step.pending(block, self._own))
            yield Block({name: array for name, array in arrays.items() if not name.startswith(RATE)}, block.start)
