"""The tree of a file made from that of a file like it: the segments of an exposure differ in a few metadata and a table of times.

Reading the tree of a small file takes `asdf` and `stdatamodels` 20 ms. Where the ASDF text of two files differs only in entries
below ``meta``, these are read anew and the rest is copied.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jwst_dask.io.edits import described_by
from jwst_dask.io.fits import HDU
from jwst_dask.io.tables import decode, row_dtype

_START = re.compile(r"^(?=[^ \n])|^(?=  [^ \n])", re.M)
_MARKS = re.compile(r"(?:^|[ \[{])[!&*]")
HASH = "_fits_hash"
FILENAME = ("meta", "filename")
"""Left alone: whoever opens a file sets it."""


class Likeness:
    """A file whose tree is known.

    Parameters
    ----------
    text : str
        YAML text of its ASDF extension.
    hdus, contents : sequence
        Its extensions and their data as stored, without pixels.
    tree : mapping
        As it was read; copied here.
    """

    def __init__(self, text: str, hdus: Sequence[HDU], contents: Sequence[bytes], tree: Mapping[str, Any]) -> None:
        self.entries, self.hdus, self.contents, self.tree = _entries(text), tuple(hdus), tuple(contents), copied(tree)

    def tree_of(self, text: str, headers: Sequence[bytes], contents: Sequence[bytes]) -> Any:
        """The tree of another file with the same extensions; None if it cannot be told from this one."""
        entries = _entries(text)
        if [names for names, _ in entries] != [names for names, _ in self.entries]:
            return None
        tree = copied(self.tree)
        for (names, old), (_, new) in zip(self.entries, entries):
            if old != new and names != FILENAME and not _replace(tree, names, old, new):
                return None
        for place, (old_data, data) in enumerate(zip(self.contents, contents)):
            if old_data != data and self.hdus[place].name != "ASDF" and not _refill(tree, self.hdus[place], headers[place], old_data, data):
                return None
        return tree


def _replace(tree: Any, names: tuple[str, ...], old: str, new: str) -> bool:
    """Put an entry that was written anew into the tree, if the tree has what the old entry says."""
    if names[0] not in (HASH, "meta") or len(names) != (1 if names[0] == HASH else 2) or _MARKS.search(new):
        return False
    before, after = _read(old), _read(new)
    node, key = (tree, HASH) if names[0] == HASH else (tree["meta"], names[1])
    if list(before) != [key] or list(after) != [key] or not _same(before[key], node.get(key)) or not _plain(after[key]):
        return False
    node[key] = after[key]
    return True


def copied(node: Any) -> Any:
    """A tree with containers and arrays of its own."""
    if isinstance(node, dict):
        out = copy.copy(node)
        for key, value in node.items():
            if isinstance(value, (dict, list, np.ndarray)):
                out[key] = copied(value)
        return out
    if isinstance(node, list):
        return type(node)(copied(value) for value in node)
    return node.copy() if isinstance(node, np.ndarray) else node


def _entries(text: str) -> list[tuple[tuple[str, ...], str]]:
    """Names and text of what stands at the first two levels."""
    out: list[tuple[tuple[str, ...], str]] = []
    above = ""
    for piece in _START.split(text):
        name = re.split(r":[ \n]", piece, maxsplit=1)[0]
        if piece.startswith(" "):
            out.append(((above, name.strip()), piece))
        elif piece:
            above = name
            out.append(((name,), piece))
    return out


def _read(text: str) -> dict[Any, Any]:
    import yaml

    value = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return value if isinstance(value, dict) else {}


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and _plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return type(value) in (str, int, float, bool)


def _same(value: Any, other: Any) -> bool:
    """Equal in values and their types."""
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_same(item, other[key]) for key, item in value.items())
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_same, value, other))
    return type(value) is type(other) and repr(value) == repr(other)


def _refill(tree: Any, hdu: HDU, header: bytes, old: bytes, new: bytes) -> bool:
    """Put the rows of a table into the tree, where it has a table with the old rows under the extension's name."""
    table = tree.get(hdu.name.lower())
    if hdu.kind != "table" or len(old) != len(new) or not isinstance(table, np.ndarray):
        return False
    described = described_by(header)
    dtype = row_dtype(described)
    if any(c.logical or c.unsigned or c.native.kind not in "if" for c in described) or dtype.itemsize * len(table) != len(new):
        return False
    rows = table.view(np.ndarray)
    before, after = (decode(np.frombuffer(data, dtype), described) for data in (old, new))
    if rows.dtype.newbyteorder("=") != before.dtype or rows.tobytes() != before.astype(rows.dtype).tobytes():
        return False
    rows[...] = after
    return True
