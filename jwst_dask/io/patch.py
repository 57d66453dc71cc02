"""Metadata of a product that is laid out or finished, changed in place: keywords by its schema, the ASDF tree, hash and checksums.

Values that only all tasks together know (rates of cosmic rays, for example) reach a product when its pixels are already there. Serialising
its datamodel once more takes a tenth of a second; a few cards and an entry of the tree say the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.io import asdf_text
from jwst_dask.io.cards import BLOCK, CARD, asdf_header, cards_of, fitted, header_hash, set_card, values_of
from jwst_dask.io.checksums import encoded, ones_sum
from jwst_dask.io.edits import Unlike, card
from jwst_dask.io.fits import HDU, FitsFile, scan

Path = tuple[str, ...]
_ENTRY = r"^  {}:(?: .*)?\n(?:    .*\n|  - .*\n|\n)*"


@dataclass(frozen=True)
class Keyword:
    """Where the schema of a product wants a value.

    Attributes
    ----------
    path : tuple of str
    hdu, keyword, comment : str
    titles : tuple of (tuple of str, str)
        Sections that it is in, outermost first: their paths and titles, which stand in the header before their first keyword.
    """

    path: Path
    hdu: str
    keyword: str
    comment: str
    titles: tuple[tuple[Path, str], ...]


def patch(path: str | os.PathLike[str], values: Mapping[str, Any], file: FitsFile | None = None) -> None:
    """Change metadata of one product in place.

    The result is what writing its datamodel with these values makes. Pixels and tables are not read and do not move: a header grows into
    the blank cards that are reserved in it, and the ASDF extension, which is last, may have another length afterwards.

    Parameters
    ----------
    path : str
        FITS product, laid out under its temporary name or finished. Nobody else may write it meanwhile, except rows of its regions.
    values : mapping
        Path below ``meta`` (``exposure.primary_cosmic_rays``) -> str, int, float, bool, or None to remove what is there.
        A path without FITS keyword is changed in the tree only.
    file : FitsFile, optional
        Its scan, if there is one that is up to date.

    Raises
    ------
    InputError
        The file cannot be read or written, has no room left in a header, or cannot be changed in this way.
    """
    if not values:
        return
    own = {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}
    clean = {("meta", *key.removeprefix("meta.").split(".")): value for key, value in own.items()}
    file = file or scan(path)
    try:
        with open(path, "r+b", buffering=0) as out:
            _change(out.fileno(), file, clean)
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: cannot be changed ({error.strerror}); make room, then --resume") from error
    except Unlike as error:
        raise InputError(f"{os.fspath(path)}: metadata cannot be changed in place: {error}") from error


def _change(fd: int, file: FitsFile, values: Mapping[Path, Any]) -> None:
    headers = [os.pread(fd, hdu.data_offset - hdu.header_offset, hdu.header_offset) for hdu in file.hdus]
    last = file.hdus[-1]
    inner = len(headers) - (last.name == "ASDF")
    described = header_hash(headers[:inner])
    changed = _with_keywords(file.hdus[:inner], headers[:inner], values)
    for place, header in enumerate(changed):
        if header != headers[place]:
            headers[place] = _checked(header)
            os.pwrite(fd, headers[place], file.hdus[place].header_offset)
    if inner == len(headers):
        return
    content = os.pread(fd, last.nbytes, last.data_offset)
    text, blocks = asdf_text.split(content)
    new = asdf_text.join(edited(text, values), blocks)
    if asdf_text.stored_hash(content) == described:  # else the tree does not count as describing the headers, and shall not
        new, _ = asdf_text.replace_hash(new, header_hash(headers[:inner]))
    padded = new.ljust(-(-len(new) // BLOCK) * BLOCK, b"\0")
    header = asdf_header(headers[-1], len(new))
    if b"DATASUM = " in header:
        header = _checked(set_card(header, "DATASUM", f"'{ones_sum(padded)!s:<8}'"))
    os.pwrite(fd, header + padded, last.header_offset)
    os.ftruncate(fd, last.data_offset + len(padded))


def _checked(header: bytes) -> bytes:
    """The header with the right CHECKSUM, if it has one."""
    if b"CHECKSUM= " not in header or b"DATASUM = " not in header:
        return header
    at = header.index(b"DATASUM = ")
    total = int(header[at + 11 : at + 30].split(b"'")[0])
    header = set_card(header, "CHECKSUM", f"'{'0' * 16}'")
    return set_card(header, "CHECKSUM", f"'{encoded(ones_sum(header, total))}'")


def _with_keywords(hdus: Sequence[HDU], headers: Sequence[bytes], values: Mapping[Path, Any]) -> list[bytes]:
    words = keywords(str(values_of(headers[0]).get("DATAMODL", "")))
    known = {word.path: number for number, word in reversed(list(enumerate(words)))}
    if not any(path in known for path in values):
        return list(headers)
    cards = _Cards(hdus, headers, words)
    for path, value in values.items():
        if path in known:
            cards.put(known[path], value)
    return cards.headers()


class _Cards:
    """Cards of the headers of a product.

    `stdatamodels` goes through the schema, writes each keyword at the end of its header, and before the first one of a section, whatever
    header it belongs to, the title of the section.
    """

    def __init__(self, hdus: Sequence[HDU], headers: Sequence[bytes], words: Sequence[Keyword]) -> None:
        self.words, self.raw, self.cards = words, list(headers), [cards_of(header) for header in headers]
        self.places = {hdu.name or "PRIMARY": i for i, hdu in reversed(list(enumerate(hdus)))}
        self.there = {(i, text[:8].decode("ascii").rstrip()) for i, own in enumerate(self.cards) for text in own if text[8:10] == b"= "}
        self.changed: dict[int, str] = {}

    def headers(self) -> list[bytes]:
        """All headers, none of another length than before."""
        out = list(self.raw)
        for place, keyword in self.changed.items():
            try:
                out[place] = fitted(self.cards[place], len(out[place]))
            except ValueError as error:
                raise Unlike(f"no room for {keyword} in its header") from error
        return out

    def put(self, number: int, value: Any) -> None:
        """Another value for a keyword, at the place that the order of the schema gives it; None takes it away."""
        word = self.words[number]
        if word.hdu not in self.places:
            return
        place = self.places[word.hdu]
        new = [card(word.keyword, value, word.comment)] if value is not None else []
        if (place, word.keyword) in self.there and new:
            at = self._at(place, word.keyword)
            self.cards[place][at : at + 1] = new
        elif (place, word.keyword) in self.there or new:
            self._resettle(number, new)
        else:
            return
        self.changed[place] = word.keyword

    def _resettle(self, number: int, new: list[bytes]) -> None:
        """Put a card in, or take it away, with titles of sections."""
        word, place = self.words[number], self.places[self.words[number].hdu]
        before, after = self._near(reversed(self.words[:number])), self._near(self.words[number + 1 :])
        own = _titles(word, before)
        if not new:
            at = self._at(place, word.keyword)
            self._swap(place, at - len(own), [*own, self.cards[place][at]], [])
            self.there.remove((place, word.keyword))
        if after is not None:  # a section may begin with another keyword now
            old, wanted = _titles(after, before if new else word), _titles(after, word if new else before)
            other = self.places[after.hdu]
            self._swap(other, self._at(other, after.keyword) - len(old), old, wanted)
            if old != wanted:
                self.changed[other] = after.keyword
        if new:
            self._swap(place, self._position(number, word), [], [*own, *new])
            self.there.add((place, word.keyword))

    def _position(self, number: int, word: Keyword) -> int:
        """Where a new card goes in its header."""
        place = self.places[word.hdu]
        if (previous := self._near(reversed(self.words[:number]), word.hdu)) is not None:
            return self._at(place, previous.keyword) + 1
        following = self._near(self.words[number + 1 :], word.hdu)
        if following is None:  # the version comes with the array
            return next((i for i, text in enumerate(self.cards[place]) if text.startswith(b"EXTVER  = ")), len(self.cards[place]))
        later = self.words.index(following)
        return self._at(place, following.keyword) - len(_titles(following, self._near(reversed(self.words[number + 1 : later])) or word))

    def _near(self, words: Iterable[Keyword], hdu: str = "") -> Keyword | None:
        """The first that the file has."""
        return next((w for w in words if w.hdu in self.places and (not hdu or w.hdu == hdu) and (self.places[w.hdu], w.keyword) in self.there), None)

    def _at(self, place: int, keyword: str) -> int:
        start = keyword.encode().ljust(8) + b"= "
        return next(i for i, text in enumerate(self.cards[place]) if text.startswith(start))

    def _swap(self, place: int, at: int, old: list[bytes], new: list[bytes]) -> None:
        if at < 0 or self.cards[place][at : at + len(old)] != old:
            raise Unlike("titles of sections are written in another way")
        self.cards[place][at : at + len(old)] = new


def _titles(word: Keyword, before: Keyword | None) -> list[bytes]:
    """Titles of the sections that begin with a keyword."""
    known = before.titles if before is not None else ()
    return [line for title in word.titles if title not in known for line in _title(title[1])]


@lru_cache(maxsize=256)
def _title(text: str) -> list[bytes]:
    from astropy.io.fits import Header

    header = Header()
    for line in ("", text, ""):
        header.append((" ", line), end=True)
    raw = header.tostring(endcard=False, padding=False).encode("ascii")
    return [raw[i : i + CARD] for i in range(0, len(raw), CARD)]


@lru_cache(maxsize=16)
def keywords(model: str) -> tuple[Keyword, ...]:
    """Keywords of a class of `stdatamodels` in the order in which it writes them; those of lists of slits or spectra are left out.

    Raises
    ------
    Unlike
        There is no such class.
    """
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import blank

    if not hasattr(datamodels, model):
        raise Unlike(f"{model or 'no'} datamodel")
    return tuple(_walk(blank(getattr(datamodels, model)).schema, (), ()))


def _walk(node: Mapping[str, Any], path: Path, titles: tuple[tuple[Path, str], ...]) -> Iterator[Keyword]:
    for combiner in ("allOf", "anyOf", "oneOf"):
        for part in node.get(combiner, ()):
            yield from _walk(part, path, titles)
    title = node.get("title")
    if "fits_keyword" in node:
        comment = title if title is not None else node.get("description") or ""
        yield Keyword(path, node.get("fits_hdu") or "PRIMARY", node["fits_keyword"], comment.partition("\n")[0], titles)
    if "properties" in node:
        own = (*titles, (path, title)) if title is not None else titles
        for name, part in node["properties"].items():
            yield from _walk(part, (*path, name), own)


def edited(text: str, values: Mapping[Path, Any]) -> str:
    """The YAML text of a tree with other values for leaves below ``meta`` (None removes one).

    Raises
    ------
    Unlike
        When an entry to be changed is not written as `asdf` writes it, or shares nodes with others.
    """
    parts: dict[str, dict[Path, Any]] = {}
    for path, value in values.items():
        parts.setdefault(path[1], {})[path[2:]] = value
    begin = re.search(r"^meta:\n", text, re.M)
    if begin is None:
        raise Unlike("the tree has no meta")
    end = re.compile(r"^(?=[^ \n-])", re.M).search(text, begin.end())
    head, meta, tail = text[: begin.end()], text[begin.end() : end.start() if end else len(text)], text[end.start() if end else len(text) :]
    for name, leaves in parts.items():
        meta = _entry(meta, name, leaves)
    return head + meta + tail


def _entry(meta: str, name: str, leaves: Mapping[Path, Any]) -> str:
    """The block below ``meta`` with one of its entries changed, added where its name sorts, or removed."""
    import yaml

    found = re.search(_ENTRY.format(re.escape(name)), meta, re.M)
    old = found.group(0) if found else ""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root: Any = yaml.compose(f"meta:\n{old or '  _: {}' + chr(10)}", Loader=loader)
    except yaml.YAMLError as error:
        raise Unlike(f"meta.{name} shares nodes") from error
    parent = root.value[0][1]
    if old and (f"meta:\n{old}" != _written(root) or re.search(r"(?:^|[ \[{,])[&*]\w", old)):
        raise Unlike(f"meta.{name} is written in another way")
    parent.value = parent.value if old else []
    for path, value in leaves.items():
        _set(parent, (name, *path), value)
    new = _written(root).removeprefix("meta:\n") if parent.value else ""
    if found:
        return meta[: found.start()] + new + meta[found.end() :]
    later = [m for m in re.finditer(r"^  ([^ \n:-][^\n:]*):(?= |\n)", meta, re.M) if m.group(1).strip("'\"") > name]
    at = later[0].start() if later else len(meta)
    return meta[:at] + new + meta[at:]


def _written(root: Any) -> str:
    import yaml

    return str(yaml.serialize(root, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True))


def _set(node: Any, path: Path, value: Any) -> None:
    """Put a value into a mapping, whose keys are sorted."""
    import yaml

    place = next((i for i, (key, _) in enumerate(node.value) if key.value == path[0]), None)
    if len(path) == 1:
        if place is not None:
            del node.value[place]
        if value is not None:
            _insert(node, path[0], _represented(value))
        return
    if place is None and value is None:
        return
    if place is None:
        place = _insert(node, path[0], yaml.MappingNode("tag:yaml.org,2002:map", [], flow_style=True))
    child = node.value[place][1]
    if not isinstance(child, yaml.MappingNode):
        raise Unlike(f"{path[0]} is not a mapping")
    _set(child, path[1:], value)
    child.flow_style = all(isinstance(part, yaml.ScalarNode) for _, part in child.value)


def _insert(node: Any, key: str, child: Any) -> int:
    place = next((i for i, (other, _) in enumerate(node.value) if other.value > key), len(node.value))
    node.value.insert(place, (_represented(key), child))
    return place


def _represented(value: Any) -> Any:
    import yaml

    return yaml.representer.SafeRepresenter().represent_data(value)
