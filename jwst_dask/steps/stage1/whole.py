"""An exposure that is in memory as a whole, for steps that otherwise go through a stored ramp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

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
