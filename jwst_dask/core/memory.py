"""Memory that tasks have freed goes back to the system between passes: what one pass needs most of is not what the next needs."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Hashable

import numpy as np

_last: list[Hashable] = []


@functools.cache
def _trimmer() -> Callable[[int], int] | None:
    """``malloc_trim`` of the GNU C library; None where memory is allocated by another."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


def give_back() -> None:
    """Give back what is free: allocators keep as much of it as the largest arrays had, once for each thread."""
    if (trim := _trimmer()) is not None:
        trim(0)


def turn_to(what: Hashable) -> None:
    """Say what the tasks of this process are working on; memory is given back whenever that changes."""
    if _last != [what]:
        _last[:] = [what]
        give_back()


def keep_rows(arrays: dict[str, np.ndarray], name: str, above: int, below: int) -> None:
    """Take rows off an array [..., y, x] at both ends; without a copy, and the rest of its memory is given back, if it is nobody else's."""
    array = arrays.pop(name)
    shape = (*array.shape[:-2], array.shape[-2] - above - below, array.shape[-1])
    if array.flags.owndata and array.flags.c_contiguous and sys.getrefcount(array) == 2 and array.size:  # here, and as an argument
        _pack(array, above, shape[-2])
        array.resize(shape, refcheck=False)
    else:
        array = np.ascontiguousarray(array[..., above : above + shape[-2], :])
    arrays[name] = array


def _pack(array: np.ndarray, first: int, count: int) -> None:
    """Move rows of all planes to the front of the array's memory."""
    from jwst_dask.kernels.bytes import pack

    row = array.shape[-1] * array.itemsize
    words, size = (np.uint64, row // 8) if row % 8 == 0 else (np.uint8, row)
    pack(array.reshape(-1).view(words), array.shape[-2] * size, first * size, count * size)
