"""What a task has said when it was done, kept in the scratch folder: a task that is asked to run again says the same, and changes nothing.

A cluster runs a task again when the worker that had its receipt dies, even if others have used what the task wrote: the store that it
read may be gone by then, and the one that it wrote may be in use.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np

from jwst_dask.core.arrays import load_arrays
from jwst_dask.core.blocks import Receipt

TABLE = "table."


def keep(folder: str, name: str, receipt: Receipt) -> Receipt:
    """Note that a task is done; complete or not at all."""
    if not folder:
        return receipt
    path = _path(folder, name)
    plain = {field.name: getattr(receipt, field.name) for field in dataclasses.fields(receipt) if field.name != "tables"}
    words = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part.npz")
    np.savez(temporary, plain=words, **{TABLE + key: table for key, table in receipt.tables.items()})  # type: ignore[arg-type]
    os.replace(temporary, path)
    return receipt


def kept(folder: str, name: str) -> Receipt | None:
    """The receipt of a task that was done before; None if it was not."""
    if not folder or not (path := _path(folder, name)).exists():
        return None
    found = load_arrays(path)
    plain = json.loads(found["plain"].tobytes())
    return Receipt(**plain, tables={key.removeprefix(TABLE): array for key, array in found.items() if key.startswith(TABLE)})


def _path(folder: str, name: str) -> Path:
    return Path(folder) / f"{name.replace(os.sep, '_')}.npz"
