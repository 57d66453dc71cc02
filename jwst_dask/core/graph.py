"""Lazy graphs of interactive datasets: the only user of dask.array.

A chain of block steps becomes one task per block (`_segment`), whose result is a `Block`; each variable of the resulting dataset is a
pick, one array taken out of each block. Halos are exchanged here by `dask.array.overlap`, because the input may be any dask array.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np

from jwst_dask.core.step import Step
from jwst_dask.data.exposure import Block

Chain = tuple[tuple[Step, str], ...]


def segment(arrays: Mapping[str, Any], chain: Chain, start: int, halo: int, label: str) -> Any:
    """Blocks after a chain of steps.

    Parameters
    ----------
    arrays : mapping
        Name -> dask array [integration, y, x], chunked along integration only and alike.
    chain : tuple of (Step, state path)
    start : int
        Index in the file of the first integration of the arrays.
    halo : int
        Integrations that the chain sees on each side.
    label : str
        Prefix of the task names, for people who watch the dashboard.

    Returns
    -------
    dask array
        object[block]: one `Block` each.
    """
    names = tuple(arrays)
    sizes = arrays[names[0]].chunks[0]
    halo = min(halo, sum(sizes))
    inputs = [_whole_planes(arrays[name], sizes) for name in names]
    if halo:
        inputs = [_with_halo(array, halo) for array in inputs]
    offsets = tuple(np.cumsum((0, *sizes))[:-1] + start)
    return da.map_blocks(_segment, *inputs, names=names, chain=chain, sizes=tuple(sizes), offsets=offsets, start=start, total=sum(sizes), halo=halo,
                         dtype=object, drop_axis=(1, 2), chunks=((1,) * len(sizes),), name=None, token=label, meta=np.empty((0,), object))  # fmt: skip


def _whole_planes(array: Any, sizes: tuple[int, ...]) -> Any:
    """Chunked along integration only, as the other variables are."""
    return array.rechunk((sizes, -1, -1)) if array.numblocks[1:] != (1, 1) or array.chunks[0] != sizes else array


def _with_halo(array: Any, halo: int) -> Any:
    if max(array.chunks[0]) >= array.shape[0]:
        return array
    small = array if min(array.chunks[0]) >= halo else None
    if small is not None:
        return da.overlap.overlap(array, depth={0: halo, 1: 0, 2: 0}, boundary="none")
    edges = np.cumsum((0, *array.chunks[0]))
    pieces = [array[max(0, a - halo) : min(array.shape[0], b + halo)].rechunk(-1) for a, b in zip(edges[:-1], edges[1:])]
    return da.concatenate(pieces, axis=0)


def _segment(*arrays: np.ndarray, names: tuple[str, ...], chain: Chain, sizes: tuple[int, ...], offsets: tuple[int, ...], start: int, total: int,
             halo: int, block_id: tuple[int, ...] | None = None) -> np.ndarray:  # fmt: skip
    from jwst_dask.refs.load import load_npz

    out = np.empty(1, object)
    place = block_id[0] if block_id else 0
    first = int(offsets[place])
    before = min(halo, first - start)
    after = min(halo, start + total - first - sizes[place])
    copies = {name: np.array(array, dtype=np.uint32 if name == "dq" else np.float32, order="C") for name, array in zip(names, arrays)}
    block = Block(copies, first, (before, after))
    for step, path in chain:
        block = step.run(block, load_npz(path) if path else {})
    out[0] = block
    return out


def pick(blocks: Any, name: str, sizes: Sequence[int], tail: tuple[int, ...], dtype: Any, table: str = "") -> Any:
    """One variable out of blocks: dask array [integration, *tail].

    With `table`, column `name` of that table.
    """
    axes = list(range(1, 1 + len(tail)))
    return da.map_blocks(_pick, blocks, key=name, table=table, dtype=dtype, new_axis=axes or None,
                         chunks=(tuple(sizes), *((n,) for n in tail)), token=f"{name.lower()}", meta=np.empty((0,) * (1 + len(tail)), dtype))  # fmt: skip


def _pick(blocks: np.ndarray, key: str, table: str) -> np.ndarray:
    block = blocks[0]
    if table:
        rows = block.tables[table]
        return np.ascontiguousarray(rows[key] if rows.dtype.names else rows)
    return block.arrays[key]  # type: ignore[no-any-return]


def concatenate(parts: list[Any]) -> Any:
    """Arrays of consecutive segments as one."""
    return parts[0] if len(parts) == 1 else da.concatenate(parts, axis=0)


def as_dask(array: Any, chunks: Any = "auto") -> Any:
    """An array of any kind as a dask array."""
    return array if isinstance(array, da.Array) else da.from_array(array, chunks=chunks)


def once(call: Any, label: str) -> Any:
    """A call without arguments as one lazy task that others can depend on."""
    import dask

    return dask.delayed(call, pure=False, traverse=False)(dask_key_name=f"{label}-{uuid.uuid4().hex}")


def later(call: Any, before: Any, label: str) -> Any:
    """``call(before)`` as one lazy task; dask arrays in `before` (also within dictionaries) are there when it runs."""
    import dask

    return dask.delayed(call, pure=False, traverse=False)(before, dask_key_name=f"{label}-{uuid.uuid4().hex}")


def arrays_of(call: Any, before: Any, names: Sequence[str], shape: tuple[int, ...], label: str) -> dict[str, Any]:
    """Arrays that one lazy task makes together: ``call(before)`` gives them by name, all of one shape (``dq`` uint32, others float32)."""
    made = later(call, before, label)
    return {name: da.from_delayed(made[name], shape, np.dtype("u4" if name == "dq" else "f4")) for name in names}


def delayed_array(made: Any, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Array `name` of the dictionary that a lazy task makes."""
    return da.from_delayed(made[name], shape, np.dtype(dtype))


def zeros(shape: tuple[int, ...], chunks: Any, dtype: Any) -> Any:
    """An array of zeros."""
    return da.zeros(shape, chunks=chunks, dtype=dtype)
