"""A stored ramp in memory, for steps that go through one by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from jwst_dask.data.exposure import Block


class StoredRamps:
    """Arrays of all integrations, handed out as copies: `step` integrations or `height` rows at a time."""

    def __init__(self, arrays: Mapping[str, np.ndarray], step: int = 1, height: int = 7) -> None:
        self.arrays = {name: array.copy() for name, array in arrays.items()}
        self.nints, self.ngroups = arrays["sci"].shape[:2]
        self.shape = arrays["sci"].shape[-2:]
        self.step, self.height = step, height

    def blocks(self) -> Iterator[Block]:
        for start in range(0, self.nints, self.step):
            part = slice(start, start + self.step)
            yield Block({name: array.copy() if name == "pixeldq" else array[part].copy() for name, array in self.arrays.items()}, start)

    def write(self, block: Block) -> None:
        rows = slice(block.y0, block.y0 + next(iter(block.arrays.values())).shape[-2])
        for name, array in block.arrays.items():
            if name == "pixeldq":
                self.arrays[name][rows] = array
                continue
            target = self.arrays[name][block.start : block.start + len(array), ..., rows, :]
            if target.ndim == 4:
                target = target[:, block.group0 : block.group0 + array.shape[1]]
            target[...] = array

    def read(self, start: int, stop: int, y0: int = 0, y1: int | None = None, groups: tuple[int, int] | None = None,
             names: tuple[str, ...] = ("sci", "groupdq", "pixeldq")) -> Block:  # fmt: skip
        part = np.s_[start:stop, slice(*(groups or (0, None))), y0:y1]
        arrays = {name: self.arrays[name][np.s_[y0:y1] if name == "pixeldq" else part].copy() for name in names}
        return Block(arrays, start, y0=y0, group0=groups[0] if groups else 0)

    def bands(self, halo: int = 0) -> Iterator[Block]:
        for y0 in range(0, self.shape[0], self.height):
            yield self.band(y0, min(y0 + self.height, self.shape[0]), halo)

    def band(self, y0: int, y1: int, halo: int = 0) -> Block:
        first, last = max(0, y0 - halo), min(self.shape[0], y1 + halo)
        block = Block({name: np.ascontiguousarray(array[..., first:last, :]).copy() for name, array in self.arrays.items()}, 0)
        block.y0, block.row_halo = first, (y0 - first, last - y1)
        return block

    def write_band(self, block: Block) -> None:
        above, below = block.row_halo
        for name, array in block.arrays.items():
            rows = array.shape[-2]
            self.arrays[name][..., block.y0 + above : block.y0 + rows - below, :] = array[..., above : rows - below, :]
