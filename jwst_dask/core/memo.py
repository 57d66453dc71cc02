"""Work that several segments of an exposure share, done once per process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
_store: OrderedDict[Hashable, Any] = OrderedDict()
_locks: dict[Hashable, threading.Lock] = {}
_guard = threading.Lock()
MAX_ENTRIES = 128


def memo(key: Hashable, make: Callable[[], T]) -> T:
    """The value of ``make()`` for `key`, computed once per process and kept while it is among the latest used.

    The key must name everything the value depends on (metadata values, reference file paths, parameters). The value is
    shared: callers must not change it. Concurrent callers with one key wait for the first.
    """
    with _guard:
        if key in _store:
            _store.move_to_end(key)
            return _store[key]  # type: ignore[no-any-return]
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        with _guard:
            if key in _store:
                return _store[key]  # type: ignore[no-any-return]
        value = make()
        with _guard:
            _store[key] = value
            _locks.pop(key, None)
            while len(_store) > MAX_ENTRIES:
                _store.popitem(last=False)
    return value


def clear() -> None:
    """Forget everything (for tests)."""
    with _guard:
        _store.clear()
