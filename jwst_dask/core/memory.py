"""Memory that tasks have freed goes back to the system between passes: what one pass needs most of is not what the next needs."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Hashable

_last: list[Hashable] = []


@functools.cache
def _trimmer() -> Callable[[int], int] | None:
    """``malloc_trim`` of the GNU C library; None where memory is allocated by another."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim  # type: ignore[no-any-return]
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
