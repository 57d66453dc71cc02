"""Files that many tasks of a process read: state of prepared steps and planes of reference files, kept while there is room."""

from __future__ import annotations

import os
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from jwst_dask.core.arrays import load_arrays
from jwst_dask.core.errors import ReferenceError_
from jwst_dask.refs.windows import Window, read_window

DEFAULT_BYTES = 256 * 2**20


def token(path: str) -> tuple[str, int, int]:
    """Identity of a file's content: absolute path, size in bytes and time of change in ns.

    Raises
    ------
    ReferenceError_
        When there is no such file.
    """
    path = os.path.abspath(path)
    try:
        status = os.stat(path)
    except OSError as error:
        raise ReferenceError_(f"{path} cannot be read: {error.strerror}") from error
    return path, status.st_size, status.st_mtime_ns


def _nbytes(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_nbytes(item) for item in value.values())
    return int(getattr(value, "nbytes", 100))


class ByteLRU:
    """A thread-safe memory of the latest values that together stay within a number of bytes.

    Concurrent requests for one key wait for the first of them. A value larger than the limit is handed out, not kept.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit = limit
        self.nbytes = 0
        self.hits = 0
        self.misses = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], Any], keep: bool = True) -> Any:
        """The value of ``make()`` for `key`, from memory if it is still there. Values are shared: do not change them.

        What is not to be kept is made for each who asks.
        """
        with self._guard:
            if key in self._values:
                self._values.move_to_end(key)
                self.hits += 1
                return self._values[key][0]
            if keep:
                lock = self._making.setdefault(key, threading.Lock())
        if not keep:
            return make()
        with lock:
            with self._guard:
                if key in self._values:
                    self.hits += 1
                    return self._values[key][0]
            try:
                value = make()
                self._keep(key, value)
            finally:
                with self._guard:
                    self._making.pop(key, None)
        return value

    def _keep(self, key: Hashable, value: Any) -> None:
        size = _nbytes(value)
        with self._guard:
            self.misses += 1
            if size > self.limit:
                return
            self._values[key] = (value, size)
            self.nbytes += size
            while self.nbytes > self.limit:
                _, (_, gone) = self._values.popitem(last=False)
                self.nbytes -= gone

    def clear(self) -> None:
        """Forget everything."""
        with self._guard:
            self._values.clear()
            self.nbytes = 0

    def resize(self, limit: int) -> None:
        """Change the limit, dropping the oldest values that no longer fit."""
        with self._guard:
            self.limit = limit
            while self.nbytes > self.limit:
                _, (_, gone) = self._values.popitem(last=False)
                self.nbytes -= gone


CACHE = ByteLRU()
"""The memory of this process."""


def load_npz(path: str) -> Mapping[str, np.ndarray]:
    """Arrays of a state file by name (shared by all tasks of the process: do not change them).

    Raises
    ------
    ReferenceError_
        When the file is absent or not a plain npz file.
    """
    key = ("npz", *token(path))
    return CACHE.get(key, lambda: _read_npz(path))  # type: ignore[no-any-return]


def _read_npz(path: str) -> dict[str, np.ndarray]:
    try:
        return load_arrays(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ReferenceError_(f"{path} is not a readable state file: {error}") from error


def planes(path: str, extname: str, window: Window | None = None, extver: int = 1, keep: bool = True) -> np.ndarray:
    """An image of a FITS reference file, or a window of it.

    Parameters
    ----------
    path : str
    extname : str
        Extension, such as ``"SCI"`` or ``"DQ"``.
    window : tuple of slice
        One slice for each trailing axis, for example ``(slice(956, 988), slice(1024, 1536))`` for (y, x); leading axes
        are read whole.
    extver : int
    keep : bool
        Keep it in memory for those who ask again.

    Returns
    -------
    ndarray
        Native byte order, C-contiguous, shared by all tasks of the process: do not change it.

    Raises
    ------
    ReferenceError_
        When the file or extension is absent or unreadable.
    """
    cut = tuple((part.start, part.stop, part.step) for part in window) if window else None
    key = ("fits", *token(path), extname.upper(), extver, cut)
    return CACHE.get(key, lambda: _read_planes(path, extname, window, extver), keep)  # type: ignore[no-any-return]


def _read_planes(path: str, extname: str, window: Window | None, extver: int) -> np.ndarray:
    if (found := read_window(path, token(path), extname, window, extver)) is not None:
        return found
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as file:
            hdu = file[extname, extver]
            if hdu.data is None if window is None else not hdu.shape:
                raise KeyError(extname)
            array = hdu.section[(Ellipsis, *window)] if window else hdu.data
            return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    except KeyError as error:
        raise ReferenceError_(f"{path} has no image extension {extname},{extver}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ReferenceError_(f"{path}[{extname}] cannot be read: {error}") from error
