"""Cut a chain of stage 1 into passes, and each pass into tiles.

Some steps need whole frames (reference pixels), some all integrations of a pixel (jumps), and most neither. Steps that can share
one kind of tile make a pass, inside which a ramp goes from step to step in memory; between passes it lies in a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jwst_dask.core.prepare import Stage

WHOLE, FRAMES, BANDS, GROUPS, STREAM, PARTS = "whole", "frames", "bands", "groups", "stream", "parts"
ANY = ""
ALONE = (STREAM, PARTS, GROUPS, WHOLE)
"""Kinds of passes that have one step."""
SAMPLE_BYTES = 5
"""Of one sample of a ramp: its value and its flags."""
RESULT_BYTES = 28
"""Of one pixel of an integration when it has been fitted."""
FIT_BYTES = 100
"""Of one pixel while all its integrations are fitted."""
STREAM_BYTES = 12, 112
"""Of one pixel of a frame, besides flags of an integration, of a step that goes through a store: snowballs, and showers (MIRI)."""
PART_BYTES = 40
"""Of one pixel of a part of a frame that a step divides itself."""
REFERENCE_BYTES = 60
"""Of one pixel of reference files (and 4 for each group, of the dark)."""
NARROW = 40_000
"""Bytes of a band's rows in one frame below which they had better lie together with those of the other frames."""
LOOKS_AT_GROUPS = ("jump", "ramp_fit")
"""Steps that ask which groups are unusable all over the frame; for MIRI a pass before them must tell."""


@dataclass(frozen=True)
class Tile:
    """Integrations, rows and groups of a task."""

    i0: int
    i1: int
    y0: int
    y1: int
    g0: int = 0
    g1: int = 0

    @property
    def label(self) -> str:
        """Name among the tiles of an exposure."""
        return f"{self.i0:05d}-{self.i1:05d}.{self.y0:04d}-{self.y1:04d}.{self.g0:03d}"


@dataclass(frozen=True)
class Pass:
    """Consecutive links of a chain, and how frames are cut for them.

    Attributes
    ----------
    kind : str
        ``whole`` exposure, ``frames`` (some integrations), ``bands`` (rows), ``groups`` (frames of some groups), ``stream``, or
        ``parts``: as the step itself divides its work, in rounds of independent tasks.
    first, last : int
        Links ``first:last``.
    shape : (int, int)
        Of frames on the way in.
    tiles : tuple of Tile
    halo : int
        Rows needed above and below a band.
    facts : bool
        Whether its tasks say which groups are unusable, for the next pass.
    round : str
        Of ``parts``: the step's name for it. What it finds is for the rounds that follow.
    final : bool
        Whether ramps come out of it: not before a step's last round.
    """

    kind: str
    first: int
    last: int
    shape: tuple[int, int]
    tiles: tuple[Tile, ...]
    halo: int = 0
    facts: bool = False
    round: str = ""
    final: bool = True


@dataclass(frozen=True)
class Extent:
    """Size of an exposure, and what a task may hold of it.

    Attributes
    ----------
    nints, ngroups : int
    shape, after : (int, int)
        Of frames, and of frames once interleaved reference pixels are taken out.
    limit, most : int
        Bytes of a tile; and where rows are so long that most of a band would be halo.
    chunk : int, optional
        Integrations, or rows, that the user wants in a tile.
    miri : bool
    """

    nints: int
    ngroups: int
    shape: tuple[int, int]
    after: tuple[int, int]
    limit: int
    chunk: int | None = None
    miri: bool = False
    most: int = 0

    @property
    def nbytes(self) -> int:
        """Of the whole ramp in memory."""
        return self.nints * self.frame(self.shape)

    def frame(self, shape: tuple[int, int]) -> int:
        """Bytes of one integration."""
        return shape[0] * shape[1] * (self.ngroups * SAMPLE_BYTES + RESULT_BYTES)


def halo_of(stage: Stage) -> int:
    """Rows that a step needs above and below its own."""
    declared: Any = stage.step
    return int(declared.halo_rows(stage.state)) if hasattr(declared, "halo_rows") else int(getattr(declared, "band_halo", 0) or 0)


def surveys_of(stage: Stage) -> int:
    """How often a step looks at all integrations before it takes a tile of them (`core.ramps.surveys`)."""
    ask: Any = getattr(stage.step, "surveys", None)
    return int(ask(stage.state)) if ask is not None else 0


def changes(stage: Stage) -> tuple[str, ...]:
    """Arrays that a step changes in this exposure."""
    declared: Any = stage.step
    return tuple(declared.touches(stage.state)[1] if hasattr(declared, "touches") else declared.writes)


def need(stage: Stage, extent: Extent, shape: tuple[int, int]) -> str:
    """What kind of tile a step asks for."""
    step: Any = stage.step
    if surveys_of(stage):
        return ANY
    everything = bool(getattr(step, "needs_all_integrations", False))
    if (asks := getattr(step, "whole_exposure", None)) is not None:
        everything |= bool(asks(shape, extent.nints)) or shape != extent.after
    if getattr(step, "band_halo", None) is None:
        if everything:
            return PARTS if rounds_of(stage, extent) else STREAM if hasattr(step, "stream") else WHOLE
        alone = getattr(step, "group_context", None)
        single = alone is not None and alone(stage.state) is not None
        if extent.frame(shape) > extent.limit:
            return GROUPS if single else PARTS if rounds_of(stage, extent) else FRAMES
        return FRAMES
    return BANDS if everything or step.alias == "ramp_fit" else ANY


def rounds_of(stage: Stage, extent: Extent) -> list[tuple[str, list[tuple[int, ...]]]]:
    """Rounds in which a step does its work, each with the tiles (i0, i1, y0, y1, g0, g1) of its tasks; none if it does not divide it."""
    divide: Any = getattr(stage.step, "rounds", None)
    return list(divide(stage.state, extent.nints, extent.ngroups)) if divide is not None else []


def plan_passes(links: Sequence[Stage], extent: Extent) -> list[Pass]:
    """Passes of an exposure, in order.

    A small exposure is one pass. Else steps that do not care go with those before them, the first ones with those that follow.
    """
    if extent.nbytes <= extent.limit // 2 and extent.chunk is None:
        return [Pass(WHOLE, 0, len(links), extent.shape, (Tile(0, extent.nints, 0, extent.shape[0]),))]
    runs: list[tuple[str, int, int, tuple[int, int]]] = []
    shape, looks = extent.shape, next((k for k, link in enumerate(links) if link.step.alias in LOOKS_AT_GROUPS), None) if extent.miri else None
    for k, link in enumerate(links):
        kind = need(link, extent, shape)
        last = runs[-1] if runs else None
        joins = last is not None and last[0] not in ALONE and kind not in ALONE and k != looks
        if joins and last is not None and (kind in (ANY, last[0]) or last[0] == ANY):
            runs[-1] = (last[0] or kind, last[1], k + 1, last[3])
        else:
            runs.append((kind, k, k + 1, shape))
        if getattr(link.step, "alias", "") == "refpix":
            shape = extent.after
    if not runs or runs[0][0] in (STREAM, PARTS) or looks == 0:  # which reads from a store only, or asks what a pass before has found
        runs.insert(0, (ANY, 0, 0, extent.shape))
    passes: list[Pass] = []
    for kind, first, end, shape in runs:
        if kind == PARTS:
            passes += _in_rounds(first, end, shape, rounds_of(links[first], extent), end == looks)
        else:
            passes.append(_tiled(kind, first, end, shape, links, extent, end == looks))
    return passes


def _in_rounds(first: int, last: int, shape: tuple[int, int], rounds: list[tuple[str, list[tuple[int, ...]]]], facts: bool) -> list[Pass]:
    return [Pass(PARTS, first, last, shape, tuple(Tile(*tile) for tile in tiles), 0, facts and k == len(rounds) - 1, name, k == len(rounds) - 1)
            for k, (name, tiles) in enumerate(rounds)]  # fmt: skip


def _tiled(kind: str, first: int, last: int, shape: tuple[int, int], links: Sequence[Stage], extent: Extent, facts: bool) -> Pass:
    ny, nints = shape[0], extent.nints
    if kind == ANY:
        kind = FRAMES if extent.frame(shape) <= extent.limit else BANDS
    if kind in (STREAM, WHOLE):
        return Pass(kind, first, last, shape, (Tile(0, nints, 0, ny),), facts=facts)
    if kind == GROUPS:
        size = max(1, extent.limit // (2 * SAMPLE_BYTES * ny * shape[1]))
        edges = _edges(extent.ngroups, size)
        return Pass(kind, first, last, shape, tuple(Tile(i, i + 1, 0, ny, a, b) for i in range(nints) for a, b in edges), facts=facts)
    if kind == FRAMES:
        size = extent.chunk or max(1, extent.limit // extent.frame(shape))
        return Pass(kind, first, last, shape, tuple(Tile(a, b, 0, ny) for a, b in _edges(nints, size)), facts=facts)
    halo = sum(halo_of(link) for link in links[first:last])
    fits = any(link.step.alias == "ramp_fit" for link in links[first:last])
    beyond = 2 * halo * nints * shape[1] * extent.ngroups * SAMPLE_BYTES
    row = nints * extent.frame(shape) // ny + _beside(shape, extent, fits)
    size = extent.chunk or max(1, (extent.limit - beyond) // row, min((extent.most - beyond) // row, 16 * halo))
    return Pass(BANDS, first, last, shape, tuple(Tile(0, nints, a, b) for a, b in _edges(ny, size)), halo, facts)


def _beside(shape: tuple[int, int], extent: Extent, fits: bool) -> int:
    """Bytes of references, and of what is found, for a row of a frame."""
    return shape[1] * (REFERENCE_BYTES + SAMPLE_BYTES * extent.ngroups + FIT_BYTES * fits)


def task_bytes(one: Pass, extent: Extent, links: Sequence[Stage], threads: int) -> int:
    """Bytes that a task of a pass has in memory at most, as many of which there are as threads.

    A step that goes through a store has no other beside it.
    """
    (ny, nx), fits = one.shape, any(link.step.alias == "ramp_fit" for link in links[one.first : one.last])
    if one.kind == STREAM:
        return (extent.limit // 2 + ny * nx * (extent.ngroups + STREAM_BYTES[extent.miri])) // threads
    most = 0
    for tile in one.tiles:
        rows, groups = tile.y1 - tile.y0, tile.g1 - tile.g0 if tile.g1 else extent.ngroups
        if one.kind == PARTS:
            most = max(most, rows * nx * PART_BYTES + ny * nx * 2)
            continue
        samples = (tile.i1 - tile.i0) * min(ny, rows + 2 * one.halo) * nx * (groups + (one.kind == GROUPS and extent.miri)) * SAMPLE_BYTES
        results = (tile.i1 - tile.i0) * rows * nx * RESULT_BYTES * fits
        most = max(most, samples + results + rows * (nx * SAMPLE_BYTES if one.kind == GROUPS else _beside(one.shape, extent, fits)))
    return most


def by_rows(one: Pass, following: Pass) -> bool:
    """Whether what a pass leaves for the next is better stored row by row: for bands of which each frame has little."""
    height = max(tile.y1 - tile.y0 for tile in following.tiles) + 2 * following.halo
    return one.kind in (FRAMES, BANDS) and following.kind == BANDS and height * following.shape[1] * SAMPLE_BYTES < NARROW


def _edges(n: int, size: int) -> list[tuple[int, int]]:
    """`n` things cut into nearly equal parts of at most `size`."""
    count = -(-n // max(1, min(size, n)))
    marks = [n * i // count for i in range(count + 1)]
    return list(zip(marks[:-1], marks[1:]))
