"""How many integrations go into a block: whole integrations, as many as memory allows."""

from __future__ import annotations

from dataclasses import dataclass

from jwst_dask.core.config import setting

RESERVE = 300_000_000
"""Bytes of a worker that the interpreter, the imports and compiled code take."""
COPIES = 4
"""Blocks' worth of memory that a task may hold at once: input, result, scratch and what is being written."""


@dataclass(frozen=True)
class ChunkPlan:
    """Blocks of one exposure."""

    bounds: tuple[tuple[int, int], ...]
    bytes_per_integration: int
    halo: int

    @property
    def block_bytes(self) -> int:
        """Largest block in memory, halo included."""
        longest = max((stop - start for start, stop in self.bounds), default=0)
        total = self.bounds[-1][1] if self.bounds else 0
        return self.bytes_per_integration * min(total, longest + 2 * self.halo)


def budget(memory_limit: int | None, threads: int) -> int:
    """Bytes that one block may have: ``(memory of a worker - reserve) / (4 x threads)``, at most ``chunks.bytes``."""
    most = int(setting("chunks.bytes"))
    if not memory_limit:
        return most
    return max(1_000_000, min(most, (memory_limit - RESERVE) // (COPIES * max(1, threads))))


def split(nints: int, bytes_per_integration: int, limit: int, halo: int = 0, integrations: int | None = None) -> ChunkPlan:
    """Cut `nints` integrations into nearly equal blocks.

    Parameters
    ----------
    nints : int
    bytes_per_integration : int
        Of all variables of the chain.
    limit : int
        Bytes of a block with its halo.
    halo : int
        Integrations read on each side besides.
    integrations : int, optional
        Block length wanted by the user; wins over `limit`.
    """
    if nints <= 0:
        return ChunkPlan((), bytes_per_integration, halo)
    if halo >= nints:  # every block would need the whole exposure: one block
        return ChunkPlan(((0, nints),), bytes_per_integration, nints)
    if integrations is None:
        fit = limit // max(1, bytes_per_integration) - 2 * halo
        integrations = max(1, fit, min(halo, nints))
    count = -(-nints // max(1, min(integrations, nints)))
    edges = [nints * i // count for i in range(count + 1)]
    return ChunkPlan(tuple(zip(edges[:-1], edges[1:])), bytes_per_integration, halo)
