"""Stored ramps, as steps go through them that need whole frames and all integrations: frame by frame, or in memory after all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block


class Whole:
    """One block with all integrations and rows, in the form of a stored ramp (`jwst_dask.core.ramps.store.Ramps`).

    What it hands out is the block itself, so that changes are made in place.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        nints, ngroups, ny, nx = block.arrays["sci"].shape
        self.nints, self.ngroups, self.shape = nints, ngroups, (ny, nx)

    def blocks(self) -> Iterator[Block]:
        """The block."""
        yield self.block

    def write(self, block: Block) -> None:
        """It is where it should be."""

    def bands(self, halo: int = 0) -> Iterator[Block]:
        """The block: all rows are one band."""
        yield self.block

    def band(self, y0: int, y1: int, halo: int = 0) -> Block:
        """The block, whatever rows are asked for."""
        return self.block

    def write_band(self, block: Block) -> None:
        """It is where it should be."""


def group_of(ramps: Any, index: int, group: int, names: tuple[str, ...] = ("sci", "groupdq", "pixeldq")) -> Block:
    """One group of one integration of a stored ramp, all its arrays or some."""
    block: Block = ramps.read(index, index + 1, groups=(group, group + 1), names=names)
    return block


def groupdq_of(ramps: Any, index: int) -> np.ndarray:
    """Flags of one integration of a stored ramp: uint8[group, y, x]."""
    out = np.empty((ramps.ngroups, *ramps.shape), np.uint8)
    for group in range(ramps.ngroups):
        out[group] = group_of(ramps, index, group, ("groupdq",)).arrays["groupdq"][0, 0]
    return out
