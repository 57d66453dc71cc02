"""Files between the tasks of an exposure with many slits: its conditioned frame, its metadata, and the parts of finished slits."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.core.arrays import load_array
from jwst_dask.core.errors import InputError, JwstDaskError
from jwst_dask.core.memo import memo
from jwst_dask.core.slits.chain import Outcome
from jwst_dask.data.exposure import Block
from jwst_dask.io.multi import Part


def save_frame(folder: str | os.PathLike[str], block: Block) -> int:
    """Write the arrays of a frame, one file each, where other tasks map them; complete or not at all."""
    final = Path(folder)
    final.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, array in block.arrays.items():
        handle, temporary = tempfile.mkstemp(dir=final, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, array)
            os.replace(temporary, final / f"{name}.npy")
        except OSError as error:
            os.unlink(temporary)
            raise InputError(f"{final}: cannot be written ({error.strerror}); free some space, or choose another --output-dir") from error
        total += array.nbytes
    (final / "complete").write_text(" ".join(block.arrays))
    return total


def frame_ready(folder: str | os.PathLike[str]) -> bool:
    """Whether a frame is complete."""
    return (Path(folder) / "complete").exists()


def load_frame(folder: str | os.PathLike[str]) -> Block:
    """A frame, its arrays mapped and not read.

    Raises
    ------
    JwstDaskError
        When it is not there (its task failed, or the file system is not shared).
    """
    path = Path(folder)
    try:
        names = (path / "complete").read_text().split()
        return Block({name: load_array(path / f"{name}.npy", "r") for name in names}, 0)
    except OSError as error:
        raise JwstDaskError(f"{path}: the exposure's frame is not there; workers must share the output folder's file system") from error


def save_json(path: str | os.PathLike[str], content: Any) -> str:
    """Write a small description."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content, default=_plain))
    return str(path)


def load_json(path: str) -> Any:
    """Read a description, once in a process."""
    return memo(("json", path, os.stat(path).st_mtime_ns), lambda: json.loads(Path(path).read_text()))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def save_part(path: str | os.PathLike[str], outcome: Outcome) -> int:
    """Write a finished slit's parts; complete or not at all."""
    index: dict[str, Any] = {"products": {}, "statuses": outcome.statuses, "references": outcome.references, "changes": outcome.changes,
                             "quality": outcome.quality, "log": outcome.log, "seconds": outcome.seconds}  # fmt: skip
    pieces: list[bytes] = []
    for suffix, (cls, part) in outcome.parts.items():
        index["products"][suffix] = {"class": cls, "headers": [len(h) for h in part.headers], "contents": [len(c) for c in part.contents],
                                     "blocks": [len(b) for b in part.blocks], "text": len(part.text.encode()), "extensions": part.extensions}  # fmt: skip
        pieces += [*part.headers, *part.contents, part.text.encode(), *part.blocks]
    head = json.dumps(index, default=_plain).encode()
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=final.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(head).to_bytes(8, "big"))
            file.write(head)
            for piece in pieces:
                file.write(piece)
        os.replace(temporary, final)
    except OSError as error:
        os.unlink(temporary)
        raise InputError(f"{final}: cannot be written ({error.strerror}); free some space, or choose another --output-dir") from error
    return 8 + len(head) + sum(map(len, pieces))


def part_index(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a finished slit says of itself, without its data."""
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "big")))  # type: ignore[no-any-return]


def load_part(path: str | os.PathLike[str], suffix: str) -> Part | None:
    """A finished slit's part of one product, None if it has none."""
    with open(path, "rb") as file:
        index = json.loads(file.read(int.from_bytes(file.read(8), "big")))
        for name, sizes in index["products"].items():
            lengths = [*sizes["headers"], *sizes["contents"], sizes["text"], *sizes["blocks"]]
            if name != suffix:
                file.seek(sum(lengths), os.SEEK_CUR)
                continue
            pieces = [file.read(n) for n in lengths]
            nh, nc = len(sizes["headers"]), len(sizes["contents"])
            return Part(tuple(pieces[:nh]), tuple(pieces[nh : nh + nc]), pieces[nh + nc].decode(), tuple(pieces[nh + nc + 1 :]), tuple(sizes["extensions"]))
    return None


_RANK = {"SKIPPED": 0, "FAILED": 1, "COMPLETE": 2}


def merged(indices: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Statuses and references of an exposure: a step is COMPLETE if one slit completed it."""
    statuses: dict[str, str] = {}
    references: dict[str, str] = {}
    for index in indices:
        references.update(index["references"])
        for alias, (status, _) in index["statuses"].items():
            if _RANK[status] > _RANK.get(statuses.get(alias, ""), -1):
                statuses[alias] = status
    return statuses, references
