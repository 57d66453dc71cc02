"""Arrays that numpy has saved, read by tasks.

One thread at a time: numpy parses their headers as Python text, and in CPython 3.11 threads that parse at the same time share a count of
recursion, which now and then ends in ``SystemError: AST constructor recursion depth mismatch``.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

_one_at_a_time = threading.Lock()


def load_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file by name."""
    with _one_at_a_time, np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def load_array(path: str | os.PathLike[str], mmap_mode: Any = None) -> np.ndarray:
    """The array of an ``.npy`` file."""
    with _one_at_a_time:
        found: np.ndarray = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        return found
