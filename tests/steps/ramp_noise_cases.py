"""Made-up ramps with their references, as steps that need whole exposures see them; and a stored ramp that hands out little at a time."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
import ramp_flicker_scene as scene  # noqa: E402


class Refs:
    """References by type; none otherwise."""

    def __init__(self, **paths: str) -> None:
        self.paths = paths

    def __call__(self, reftype: str) -> str:
        return self.paths.get(reftype, "N/A")


class Stored:
    """A ramp in pieces of `size` integrations, or of `height` rows; `out` has what was written."""

    def __init__(self, arrays: dict[str, np.ndarray], size: int, height: int) -> None:
        self.arrays, self.size, self.height = arrays, size, height
        self.nints, self.ngroups = arrays["sci"].shape[:2]
        self.shape = arrays["sci"].shape[-2:]

    def blocks(self) -> Iterator[Block]:
        for start in range(0, self.nints, self.size):
            rows = slice(start, start + self.size)
            yield Block({name: (array if array.ndim == 2 else array[rows]).copy() for name, array in self.arrays.items()}, start)

    def bands(self, halo: int = 0) -> Iterator[Block]:
        for y0 in range(0, self.shape[0], self.height):
            yield Block({name: array[..., y0 : y0 + self.height, :].copy() for name, array in self.arrays.items()}, 0, y0=y0)

    def write(self, block: Block) -> None:
        for name, array in block.arrays.items():
            if array.ndim == 2:
                self.arrays[name] = array
                continue
            target = self.arrays.setdefault(name, np.zeros((self.nints, *array.shape[1:]), array.dtype))
            target[block.start : block.start + len(array)] = array


def draft_of(arrays: dict[str, np.ndarray], meta: dict[str, Any], path: str = "made_up_nrs1_ramp.fits") -> Draft:
    from stdatamodels.jwst import datamodels

    nints, ngroups, ny, nx = arrays["sci"].shape
    model = datamodels.RampModel(data=np.zeros((1, ngroups, ny, nx), np.float32))
    for name, value in meta.items():
        model[f"meta.{name}"] = value
    return Draft(model, path, nints)


def references(folder: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> dict[str, str]:
    return scene.write_references(str(folder), arrays["sci"].shape[-2:], len(arrays["sci"]), meta["subarray.xstart"] == 1)


def outcome(step: Any, arrays: dict[str, np.ndarray], draft: Draft, refs: Refs, folder: Path) -> tuple[dict[str, np.ndarray], str]:
    """What a step makes of an exposure in one block, which must be what it makes of a stored one; and its status."""
    from jwst_dask.core.prepare import flat_meta

    state = step.applies(flat_meta(draft.model)) or step.prepare(draft, refs)
    if isinstance(state, Skip):
        return arrays, state.status
    np.savez(folder / "state.npz", **{name: np.asarray(value) for name, value in state.items()})
    state = dict(np.load(folder / "state.npz"))
    whole = step.run(Block({name: array.copy() for name, array in arrays.items()}, 0), state).arrays
    for size, height in ((1, 7), (2, 1000)):
        store = Stored({name: array.copy() for name, array in arrays.items()}, size, height)
        step.stream(store, store, state)
        assert store.arrays.keys() == whole.keys()
        for name, array in whole.items():
            assert array.dtype == store.arrays[name].dtype and array.tobytes() == store.arrays[name].tobytes(), name
    for name in arrays.keys() - {"sci"}:
        assert whole[name].tobytes() == arrays[name].tobytes(), name
    return whole, "COMPLETE"


def with_defaults(step: Any, **values: Any) -> Any:
    return dataclasses.replace(step, skip=False, **values)
