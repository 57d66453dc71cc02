"""Products with many slits, opened without opening each: metadata of the whole, and the slits one by one when they are asked for.

`stdatamodels` opens all slits with their WCS objects at once, a quarter of a second each. Here the ASDF extension is read once as text and
cut at the entries of the list of slits; an entry is understood when its slit is needed, and its WCS when a step evaluates it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.io import asdf_text, source
from jwst_dask.io.cards import BLOCK, asdf_header, header_hash
from jwst_dask.io.fits import FitsFile, read, scan
from jwst_dask.io.multi import LISTS, leaves
from jwst_dask.io.shared_nodes import Nodes

_WCS = re.compile(r"^( *(?:- )?)(wcs):((?: &\w+)? !<tag:stsci.edu:gwcs/wcs-\S+>\n(?:\1 +.*\n|\1- .*\n|\n)*)", re.M)
_SAME = re.compile(r"^ *wcs: \*\w+\n", re.M)
"""A WCS that is that of another slit."""
_LOGS = re.compile(r"^  cal_logs:.*\n(?:   .*\n|  - .*\n|\n)*", re.M)
_PASTED = re.compile(r"(?<=[ \n\[{])([&*])w\d+v\w*?(id\d+)\b")
"""Names of nodes of a WCS that this package wrote: they say at which place, and would not at another."""
_TOP = re.compile(r"\n[^ \n-]")
_LINK = re.compile(r"fits:(.+),(\d+)")


@dataclass(frozen=True)
class Link:
    """Where an array of a slit lies."""

    extension: str
    ver: int


@dataclass
class Entry:
    """One slit (or spectrum) of a product.

    Attributes
    ----------
    place : int
        In the list, from 0.
    ver : int
        EXTVER of its extensions.
    """

    owner: MultiFile = field(repr=False)
    place: int
    ver: int

    @property
    def name(self) -> str:
        """Slit name."""
        return str(self.tree.get("name") or f"slit{self.ver}")

    @cached_property
    def tree(self) -> dict[str, Any]:
        """Attributes and metadata of the slit (not to be changed); arrays are `Link`."""
        text = self.owner.parts[self.place] if self.owner.parts else ""
        tree = _plain(self.owner.nodes.alone(_LOGS.sub("", _SAME.sub("", _WCS.sub("", text, count=1), count=1), count=1))) if text else {}
        if not self.owner.described:
            _from_headers(tree, self.owner, self.ver)
        return tree

    @cached_property
    def wcs(self) -> asdf_text.Fragment | None:
        """The slit's WCS as text."""
        text = self.owner.parts[self.place] if self.owner.parts else ""
        match = _WCS.search(text) or _SAME.search(text)
        if match is None:
            return None
        alone = self.owner.nodes.alone(match.group(0))
        again = _WCS.search(alone)
        if again is None:
            raise InputError(f"{self.owner.file.path}: the WCS of slit {self.name} is written in a form that is not known")
        piece = asdf_text.cut(alone, again, self.owner.blocks)
        return asdf_text.Fragment(_PASTED.sub(r"\1\2", piece.text), self.owner.extensions, piece.blocks)

    @property
    def links(self) -> dict[str, Link]:
        """Its arrays by attribute."""
        return {name: value for name, value in self.tree.items() if isinstance(value, Link)}

    def array(self, name: str) -> np.ndarray:
        """Read one of its arrays (native byte order, type of the file)."""
        link = self.tree[name]
        file = self.owner.file
        hdu = file.hdu(link.extension, link.ver)
        if hdu.kind == "table":
            from jwst_dask.io.tables import read_table

            return read_table(file, link.extension, link.ver)
        return read(file, link.extension, link.ver)

    def shape(self, name: str = "data") -> tuple[int, ...]:
        """Shape of one of its arrays."""
        link = self.tree[name]
        return self.owner.file.hdu(link.extension, link.ver).shape


@dataclass
class MultiFile:
    """A product with many slits.

    Attributes
    ----------
    file : FitsFile
    class_name : str
        Of the datamodel.
    top : str
        Text of the ASDF extension with an empty list.
    parts : list of str
        Text of the entries of the list, empty if the file has no ASDF extension.
    blocks, extensions : tuple
        Binary blocks, and the ASDF extensions that the file declares.
    described : bool
        Whether the tree describes the headers; else these were edited, and what they say counts.
    """

    file: FitsFile
    class_name: str
    top: str
    parts: list[str]
    blocks: tuple[bytes, ...]
    extensions: tuple[str, ...]
    described: bool

    @cached_property
    def entries(self) -> list[Entry]:
        """Its slits in order."""
        base = {"slits": "SCI", "spec": "EXTRACT1D"}[LISTS[self.class_name]]
        vers = [hdu.ver for hdu in self.file.hdus if hdu.name == base]
        if self.parts and len(self.parts) != len(vers):
            raise InputError(f"{self.file.path}: the ASDF extension lists {len(self.parts)} slits, the file has {len(vers)} extensions {base}")
        return [Entry(self, place, ver) for place, ver in enumerate(vers)]

    @cached_property
    def nodes(self) -> Nodes:
        """What the entries share."""
        return Nodes([self.top, *self.parts])

    def find(self, name: str) -> Entry:
        """A slit by name.

        Raises
        ------
        InputError
            When there is none.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise InputError(f"{self.file.path}: there is no slit {name}; the file has {', '.join(e.name for e in self.entries)}")

    def model(self) -> Any:
        """The metadata of the whole as a datamodel of its class with an empty list."""
        from jwst_dask.data.models import filled

        first = memo(("multi file", self.file.path, self.file.mtime_ns, self.file.size, "model"), self._model)
        return filled(type(first), _copied(first.instance))

    def _model(self) -> Any:
        from astropy.io import fits
        from stdatamodels.jwst import datamodels

        own = {name for name, _ in self._of_slits}
        parts: list[bytes] = []
        headers: list[bytes] = []
        with source.reader(self.file) as reader:
            for hdu in self.file.hdus:
                if hdu.name in own or hdu.name == "ASDF":
                    continue
                headers.append(reader.read(hdu.header_offset, hdu.data_offset - hdu.header_offset))
                parts += [headers[-1], content := reader.read(hdu.data_offset, hdu.nbytes), bytes(-len(content) % BLOCK)]
            if "ASDF" in self.file:
                blocks = self.blocks if re.search(r"source: \d+\n", self.top) else ()
                content, _ = asdf_text.replace_hash(asdf_text.join(self.top, blocks), header_hash(headers) if self.described else "0" * 64)
                hdu = self.file.hdu("ASDF")
                header = asdf_header(reader.read(hdu.header_offset, hdu.data_offset - hdu.header_offset), len(content))
                parts += [header, content, bytes(-len(content) % BLOCK)]
        small = fits.open(io.BytesIO(b"".join(parts)), memmap=False)
        model = getattr(datamodels, self.class_name)(small, validate_on_assignment=not self.described)
        model._validate_on_assignment = False
        model.instance.pop("validate_on_assignment", None)
        model.instance[LISTS[self.class_name]] = []
        if not self.described:
            _top_from_first(model, self)
        return model

    @cached_property
    def _of_slits(self) -> set[tuple[str, int]]:
        base = LISTS[self.class_name]
        known = {leaf.hdu for leaf in leaves(self.class_name).values() if leaf.array} | {"SCI" if base == "slits" else "EXTRACT1D"}
        return {(hdu.name, hdu.ver) for hdu in self.file.hdus if hdu.name in known}


def is_multi(file: FitsFile) -> bool:
    """Whether a file is a product with a list of slits or spectra, by the class that it declares."""
    return class_of(file) in LISTS


def class_of(file: FitsFile) -> str:
    """The datamodel class that a file declares."""
    return str(file.header(0).get("DATAMODL", "")).strip()


def open_multi(path: str | FitsFile) -> MultiFile:
    """Open a product with many slits: one pass over its headers and its ASDF extension.

    Raises
    ------
    InputError
        When it is no such product, or damaged.
    """
    if isinstance(path, FitsFile):
        return memo(("multi file", path.path, path.mtime_ns, path.size), lambda: _open(path))
    where, size, mtime = source.stat(path)
    return memo(("multi file", where, mtime, size), lambda: _open(scan(where)))


def _open(file: FitsFile) -> MultiFile:
    name = class_of(file)
    if name not in LISTS:
        raise InputError(f"{file.path}: a {name or 'file of unknown class'} has no list of slits")
    if "ASDF" not in file:
        return MultiFile(file, name, "", [], (), (), False)
    headers = []
    with source.reader(file) as reader:
        for hdu in file.hdus:
            if hdu.name == "ASDF":
                content = reader.read(hdu.data_offset, hdu.nbytes)
            else:
                headers.append(reader.read(hdu.header_offset, hdu.data_offset - hdu.header_offset))
    stored = asdf_text.stored_hash(content)
    described = bool(stored) and stored == header_hash(headers)
    text, blocks = asdf_text.split(content)
    top, parts = cut_list(text, LISTS[name], file.path)
    return MultiFile(file, name, top, parts, blocks, tuple(asdf_text.extensions_of(text)), described)


def cut_list(text: str, name: str, path: str = "") -> tuple[str, list[str]]:
    """Text without the entries of a list at the top, and the text of each entry."""
    begin = text.find(f"\n{name}:") + 1
    first = text.find("\n", begin) + 1
    if not begin or text[begin + len(name) + 1 : first].strip() not in ("", "[]"):
        raise InputError(f"{path}: the ASDF extension has no list of {name}; the file is damaged or was written by other software")
    if not text.startswith("- ", first):
        return text, []
    after = _TOP.search(text, first)
    end = after.start() + 1 if after else len(text)
    parts = [f"- {entry}\n" for entry in text[first + 2 : end - 1].split("\n- ")]  # (a regular expression would take seconds)
    return f"{text[:begin]}{name}: []\n{text[end:]}", parts


def _plain(text: str) -> dict[str, Any]:
    """An entry's YAML as plain values; links to extensions as `Link`, other arrays left out."""
    import yaml

    loader = _loader()(text)
    try:
        found = loader.get_single_data()
    except yaml.YAMLError as error:
        raise InputError(f"an entry of the ASDF extension cannot be understood: {error}") from error
    finally:
        loader.dispose()
    tree = found[0] if isinstance(found, list) and found else {}
    return {name: value for name, value in tree.items() if value is not None}


def _loader() -> Any:
    return memo("loader of entries", _make_loader)


def _make_loader() -> Any:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """YAML without the tags of ASDF."""

    def plain(loader: Any, suffix: str, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            values = loader.construct_mapping(node, deep=True)
            if "ndarray" in node.tag:
                match = _LINK.fullmatch(str(values.get("source", "")))
                return Link(match.group(1), int(match.group(2))) if match else None
            return values
        return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else loader.construct_scalar(node)

    Loader.add_multi_constructor("", plain)
    Loader.add_multi_constructor("!", plain)
    return Loader


def _from_headers(tree: dict[str, Any], owner: MultiFile, ver: int) -> None:
    """Put what the headers of a slit say into its tree."""
    there = {hdu.name for hdu in owner.file.hdus if hdu.ver == ver and (hdu.name, hdu.ver) in owner._of_slits}
    headers = {name: owner.file.header(name, ver) for name in there}
    for path, leaf in leaves(owner.class_name).items():
        if leaf.array:
            if leaf.hdu in there:
                tree[path[0]] = Link(str(leaf.hdu), ver)
        elif leaf.keyword and leaf.hdu in headers and leaf.keyword in headers[leaf.hdu]:
            node = tree
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = headers[leaf.hdu][leaf.keyword]


def _top_from_first(model: Any, owner: MultiFile) -> None:
    """Metadata of the whole that stand in the first slit's header."""
    from jwst_dask.data.meta import keywords

    base = "SCI" if LISTS[owner.class_name] == "slits" else "EXTRACT1D"
    if base not in owner.file:
        return
    header = owner.file.header(base)
    for word in keywords(owner.class_name):
        if word.hdu == base and word.keyword in header and word.path != "name":
            try:
                model[f"meta.{word.path}"] = header[word.keyword]
            except (KeyError, AttributeError, ValueError):  # an attribute of slits
                continue


def _copied(node: Any) -> Any:
    """A copy of nested containers; what they hold is shared."""
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    if isinstance(node, Sequence) and isinstance(node, list):
        return [_copied(value) for value in node]
    return node
