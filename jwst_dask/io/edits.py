"""Where the values of a datamodel stand in its FITS headers and ASDF text, and other values put there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from jwst_dask.io.cards import CARD
from jwst_dask.io.fits import HDU
from jwst_dask.io.tables import Column, columns, encode

Path = tuple[str | int, ...]
_FILLER = "~~"
"""Sorts after every key of a tree, and makes YAML give each key of its mapping a line of its own."""
_WRITTEN_APART = ("extra_fits", "history")
"""Parts of a tree that reach the headers by other ways than keywords of the schema."""


class Unlike(Exception):
    """A model is not similar enough to another one for its serialised form to be derived."""


class CardPlaces:
    """Cards of the leaves of a tree.

    Parameters
    ----------
    hdus, headers : sequence
        As written.
    paths : sequence of tuple
        Of all leaves.
    schema : mapping
    """

    def __init__(self, hdus: Sequence[HDU], headers: Sequence[bytes], paths: Sequence[Path], schema: Mapping[str, Any]) -> None:
        self.hdus, self.headers, self.paths, self.schema = hdus, headers, paths, schema
        self._found: dict[Path, tuple[int, str, str, int] | None] = {}

    def place(self, name: str, ver: int) -> int:
        """Number of an extension."""
        for i, hdu in enumerate(self.hdus):
            if (hdu.name, hdu.ver) == (name, ver):
                return i
        raise Unlike(f"no extension {name},{ver}")

    def put(self, headers: list[bytes], path: Path, old: Any, new: Any) -> None:
        """Another value into the card of a leaf, if it has one.

        Raises
        ------
        Unlike
            When the card is not what `old` makes, or is not one card.
        """
        if path not in self._found:
            self._found[path] = self._find(path, old)
        if (found := self._found[path]) is not None:
            place, keyword, comment, at = found
            header = headers[place]
            headers[place] = header[:at] + card(keyword, new, comment) + header[at + CARD :]

    def _find(self, path: Path, old: Any) -> tuple[int, str, str, int] | None:
        if path[0] in _WRITTEN_APART:
            raise Unlike(f"{path[0]} differs")
        declared = self._declared(path)
        if declared is None:
            return None
        name, ver, keyword, comment = declared
        if self._owners[name, ver, keyword] != 1 or keyword in ("COMMENT", "HISTORY"):
            raise Unlike(f"{keyword} has several sources")
        place = self.place(name, ver)
        at = _position(self.headers[place], keyword)
        if self.headers[place][at : at + CARD] != card(keyword, old, comment):
            raise Unlike(f"{keyword} is written in another way")
        return place, keyword, comment, at

    @cached_property
    def _owners(self) -> Counter[tuple[str, int, str]]:
        return Counter(found[:3] for path in self.paths if (found := self._declared(path)) is not None)

    def _declared(self, path: Path) -> tuple[str, int, str, str] | None:
        """Extension, keyword and comment of a leaf."""
        found = [node for node in _reach(self.schema, path) if "fits_keyword" in node]
        if not found:
            return None
        if len(found) > 1:
            raise Unlike(f"the schema declares {path} twice")
        name = found[0].get("fits_hdu") or "PRIMARY"
        numbers = [part for part in path if isinstance(part, int)]
        if numbers and name == "PRIMARY":
            raise Unlike(f"{path} is one of several values for a keyword of the primary header")
        title = found[0].get("title")
        comment = title if title is not None else found[0].get("description") or ""
        return name, numbers[-1] + 1 if numbers else 1, found[0]["fits_keyword"], comment.partition("\n")[0]


def _reach(node: Any, path: Path) -> Iterator[Mapping[str, Any]]:
    """Every part of a schema that applies to a path."""
    if "patternProperties" in node or "not" in node or "$ref" in node:
        raise Unlike("a schema with patterns or references")
    for combiner in ("allOf", "anyOf", "oneOf"):
        for part in node.get(combiner, ()):
            yield from _reach(part, path)
    if not path:
        yield node
    elif isinstance(path[0], str):
        if path[0] in node.get("properties", {}):
            yield from _reach(node["properties"][path[0]], path[1:])
        elif isinstance(node.get("additionalProperties"), dict):
            yield from _reach(node["additionalProperties"], path[1:])
    elif isinstance(node.get("items"), list):
        if path[0] < len(node["items"]):
            yield from _reach(node["items"][path[0]], path[1:])
    elif "items" in node:
        yield from _reach(node["items"], path[1:])


def _position(header: bytes, keyword: str) -> int:
    start = keyword.encode().ljust(8) + b"= "
    at = header.find(start)
    while at > 0 and at % CARD:
        at = header.find(start, at + 1)
    if at < 0:
        raise Unlike(f"no card {keyword}")
    return at


def card(keyword: str, value: Any, comment: str) -> bytes:
    """A keyword as `astropy` writes it.

    Raises
    ------
    Unlike
        When it takes more than one card.
    """
    from astropy.io.fits import Card

    try:
        text = str(Card(keyword, value, comment)).encode("ascii")
    except ValueError as error:
        raise Unlike(str(error)) from error
    if len(text) != CARD:
        raise Unlike(f"{keyword} takes more than one card")
    return text


class TextPlaces:
    """Entries of the leaves of a tree in the YAML text it was written as.

    Parameters
    ----------
    text : str
    paths, values : sequence
        Of all leaves, in order.
    """

    def __init__(self, text: str, paths: Sequence[Path], values: Sequence[Any]) -> None:
        self.text, self.paths, self.values = text, paths, values
        self._entries: dict[Path, Entry] = {}

    @cached_property
    def _root(self) -> Any:
        import yaml

        return yaml.compose(self.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

    def put(self, differing: Sequence[int], values: Sequence[Any], first: int = 0) -> str:
        """The text with other values for the leaves of these numbers.

        Parameters
        ----------
        differing : sequence of int
        values : sequence
            Of the leaves from number `first` on.

        Raises
        ------
        Unlike
            When an entry is not what its old values make.
        """
        pieces, at = [], 0
        for entry in sorted({self._entry(i) for i in differing}, key=lambda entry: entry.begin):
            begin, end = entry.leaves.start - first, entry.leaves.stop - first
            if begin < 0 or end > len(values):
                raise Unlike("an entry reaches beyond the values")
            pieces += [self.text[at : entry.begin], self._dumped(entry, values[begin:end])]
            at = entry.end
        return "".join([*pieces, self.text[at:]])

    def linked(self, leaf: int) -> tuple[str, int]:
        """Extension that holds an array."""
        import yaml

        node: Any = self._root
        for part in self.paths[leaf]:
            node = _child(node, part)[1]
        if isinstance(node, yaml.MappingNode) and node.tag.startswith("tag:stsci.edu:asdf/core/ndarray-"):
            kind, _, source = str(_child(node, "source")[1].value).partition(":")
            name, _, ver = source.rpartition(",")
            if kind == "fits" and name:
                return name, int(ver)
        raise Unlike(f"{self.paths[leaf]} is not in an extension of its own")

    def item(self, path: Path) -> tuple[int, int]:
        """Where the lines of an item begin and end that is the last of a list at the top."""
        key, number = path
        keys = [name.value for name, _ in self._root.value]
        items = _child(self._root, key)[1]
        following = self._root.value[keys.index(key) + 1 :]
        if items.flow_style or number != len(items.value) - 1:
            raise Unlike(f"{key} is written in another way")
        begin = self.text.rfind("\n", 0, items.value[-1].start_mark.index) + 1
        return begin, following[0][0].start_mark.index if following else len(self.text)

    def _entry(self, leaf: int) -> Entry:
        """The innermost entry with a line of its own that holds a leaf."""
        import yaml

        path, node, depth, key = self.paths[leaf], self._root, 0, None
        while depth < len(path):
            key, node = _child(node, path[depth])
            depth += 1
            if isinstance(node, yaml.ScalarNode) or node.flow_style:
                break
        place = path[:depth]
        if place not in self._entries:
            inside = [i for i, other in enumerate(self.paths) if other[:depth] == place]
            entry = Entry(key.start_mark.index if key else -1, node.end_mark.index, key.start_mark.column if key else -1, depth,
                          range(inside[0], inside[-1] + 1))  # fmt: skip
            old = [self.values[i] for i in entry.leaves]
            if key is None or len(inside) != len(entry.leaves) or self.text[entry.begin : entry.end] != self._dumped(entry, old):
                raise Unlike(f"{place} is written in another way")
            self._entries[place] = entry
        return self._entries[place]

    def _dumped(self, entry: Entry, values: Sequence[Any]) -> str:
        """Text of an entry (levels are two columns wide)."""
        import yaml

        levels, odd = divmod(entry.column, 2)
        paths = [self.paths[i][entry.depth :] for i in entry.leaves]
        tree: Any = {self.paths[entry.leaves.start][entry.depth - 1]: _nested(paths, values), _FILLER: {}}
        for _ in range(levels):
            tree = {"_": tree}
        lines = yaml.dump(tree, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), default_flow_style=None, allow_unicode=True).split("\n")
        if odd or lines[-2] != f"{' ' * entry.column}{_FILLER}: {{}}":
            raise Unlike("an entry is written in another way")
        return "\n".join(lines[levels:-2])[entry.column :]


@dataclass(frozen=True)
class Entry:
    """Part of a YAML text: a key and its value, on lines of their own, from position `begin` to `end`.

    Attributes
    ----------
    column : int
        Where the key begins.
    depth : int
        Length of its path.
    leaves : range
        Numbers of the leaves in it.
    """

    begin: int
    end: int
    column: int
    depth: int
    leaves: range


def _child(node: Any, part: str | int) -> tuple[Any, Any]:
    """Key (None in a list) and value in a node."""
    import yaml

    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key, value
    raise Unlike(f"the text has no {part}")


def _nested(paths: Sequence[Path], values: Sequence[Any]) -> Any:
    """The tree of some leaves."""
    if paths == [()]:
        return values[0]
    first: dict[str | int, list[int]] = {}
    for i, path in enumerate(paths):
        first.setdefault(path[0], []).append(i)
    parts = {part: _nested([paths[i][1:] for i in inside], [values[i] for i in inside]) for part, inside in first.items()}
    return list(parts.values()) if all(isinstance(part, int) for part in parts) else parts


def stored(array: np.ndarray, hdu: HDU, header: bytes) -> bytes:
    """Bytes of an array as an extension holds it.

    Raises
    ------
    Unlike
        When it is of another type or shape than the extension (the number of rows of a table may differ).
    """
    if hdu.kind == "table":
        described = described_by(header)
        if array.dtype.names != tuple(column.name for column in described):
            raise Unlike(f"{hdu.name} has other columns")
        return encode(array, described).tobytes()
    if array.dtype.newbyteorder("=") != hdu.native or array.shape != hdu.shape:
        raise Unlike(f"{hdu.name} has numbers of another type")
    native = np.ascontiguousarray(array, hdu.native)
    if hdu.native.kind == "u" and hdu.bzero:
        native = native ^ hdu.native.type(1 << (8 * hdu.native.itemsize - 1))
    return native.astype(native.dtype.newbyteorder(">")).tobytes()


def described_by(header: bytes) -> tuple[Column, ...]:
    """Columns of a table; those of tables that look the same are read once."""
    return _columns(table_cards(header) + b"END".ljust(CARD))


def table_cards(header: bytes) -> bytes:
    """Cards that say what the columns of a table are."""
    cards = (header[i : i + CARD] for i in range(0, len(header), CARD))
    return b"".join(card for card in cards if card.startswith(_TABLE))


_TABLE = (b"TFIELDS", b"TTYPE", b"TFORM", b"TUNIT", b"TDIM", b"TZERO", b"TSCAL", b"TNULL", b"TDISP")


@lru_cache(maxsize=32)
def _columns(cards: bytes) -> tuple[Column, ...]:
    return columns(cards)
