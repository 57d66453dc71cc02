"""A datamodel as the pieces of a FITS file, those of a similar model derived from those of the first.

`stdatamodels` takes 40 ms to write the metadata of one product, and the products of the segments of an exposure differ in a dozen
values and a table of times. So the first is written by it, and the others are made from its headers and its ASDF text: cards and
YAML entries of values that differ are formatted anew. An entry is replaced only if formatting its old value gives what stands there,
and a model that differs in anything else (structure, types, schema) is written in full.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.io import asdf_text
from jwst_dask.io.cards import BLOCK, set_card
from jwst_dask.io.edits import CardPlaces, TextPlaces, Unlike, stored
from jwst_dask.io.fits import HDU, describe, structure
from jwst_dask.io.plugins import core_only, core_tree

Path = tuple[str | int, ...]
Extension = tuple[str, int]
HASH: Path = ("_fits_hash",)
"""Where the tree holds the hash of the headers; it is put in last."""
SPECTRA = "spec"
"""List of the spectra of a product, one for each segment in a level-3 product."""
SCALARS = (str, int, float, bool)


@dataclass(frozen=True)
class Serial:
    """A datamodel as it is written, ASDF extension last.

    Attributes
    ----------
    hdus : tuple of HDU
        What the headers say (offsets mean nothing).
    headers : tuple of bytes
    contents : tuple of bytes
        Data without padding, of all extensions but the last.
    text : str
        YAML text of the ASDF extension.
    blocks : tuple of bytes
        Its binary blocks.
    """

    hdus: tuple[HDU, ...]
    headers: tuple[bytes, ...]
    contents: tuple[bytes, ...]
    text: str
    blocks: tuple[bytes, ...]


@dataclass
class Flat:
    """Leaves of a tree in order: their paths, values, and what must be equal for another tree to count as similar."""

    paths: list[Path] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    kinds: list[Any] = field(default_factory=list)
    containers: dict[int, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for similar trees."""
        return (tuple(self.paths), tuple(self.kinds))


def flatten(tree: Any) -> Flat:
    """Leaves of nested dictionaries and lists; empty ones count as leaves, and those that occur again as references to the first."""
    out = Flat()

    def note(path: Path, value: Any, kind: Any) -> None:
        out.paths.append(path)
        out.values.append(value)
        out.kinds.append(kind)

    def walk(node: Any, path: Path) -> None:
        first = out.containers.setdefault(id(node), len(out.paths))
        if first != len(out.paths) or not node:
            note(path, {} if isinstance(node, dict) else [], (type(node), first if node else None))
            return
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(value, (dict, list)):
                walk(value, (*path, key))
            else:
                note((*path, key), value, type(value) if type(value) in SCALARS else _kind(value))

    walk(tree, ())
    return out


def _kind(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return type(value)
    shape = value.shape if value.dtype.names is None else (min(len(value), 1), *value.shape[1:])
    described = getattr(value, "columns", None)
    columns = () if described is None else tuple(tuple(str(getattr(c, name)) for name in _COLUMN) for c in described)
    return type(value), value.dtype, shape, columns


_COLUMN = ("name", "format", "unit", "null", "bscale", "bzero", "disp", "dim")


def serialise(model: Any, skip: Callable[[Extension], bool]) -> tuple[Serial, list[asdf_text.Fragment]]:
    """Write a model.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        As `on_save` leaves it.
    skip : callable
        Says of an extension that its data do not matter.

    Returns
    -------
    Serial
    list of Fragment
        WCS objects, for the place holders in the text.
    """
    spectra = model.instance.get(SPECTRA)
    if isinstance(spectra, list) and len(spectra) > 2:
        repeated = _series(model, spectra, skip)
        if repeated is not None:
            return repeated
    tree, wcs = asdf_text.detach(model.instance)
    return _like(type(model).__name__, tree, flatten(tree), model.schema, skip), wcs


def _like(name: str, tree: Any, flat: Flat, schema: Any, skip: Callable[[Extension], bool]) -> Serial:
    made: list[Serial] = []

    def first() -> Original:
        made.append(in_full(tree, schema))
        return Original(made[0], flat, schema)

    original: Original = memo(("serialised", name, flat.key), first)
    if made:
        return made[0]
    try:
        return original.changed(flat, schema, skip)
    except Unlike:
        return in_full(tree, schema)


def in_full(tree: Any, schema: Any) -> Serial:
    """Write a tree with `stdatamodels`."""
    from stdatamodels import fits_support

    raw = io.BytesIO()
    with core_only(core_tree(tree)):
        fits_support.to_fits(tree, schema).writeto(raw, output_verify="silentfix")
    view = raw.getbuffer()
    hdus = _hdus(view)
    text, blocks = asdf_text.split(bytes(view[hdus[-1].data_offset : hdus[-1].data_offset + hdus[-1].nbytes]))
    return Serial(
        tuple(hdus),
        tuple(bytes(view[h.header_offset : h.data_offset]) for h in hdus),
        tuple(bytes(view[h.data_offset : h.data_offset + h.nbytes]) for h in hdus[:-1]),
        text,
        blocks,
    )


class Original:
    """A model that was written in full, from which others are derived."""

    def __init__(self, serial: Serial, flat: Flat, schema: Any) -> None:
        self.serial, self.flat, self.schema = serial, flat, schema
        self.cards = CardPlaces(serial.hdus, serial.headers, flat.paths, schema)
        self.text = TextPlaces(serial.text, flat.paths, flat.values)

    def changed(self, flat: Flat, schema: Any, skip: Callable[[Extension], bool]) -> Serial:
        """What a similar model is written as.

        Raises
        ------
        Unlike
            When it cannot be said for sure.
        """
        if schema is not self.schema and schema != self.schema:
            raise Unlike("another schema")
        headers, text = self._scalars(flat.values, range(len(flat.values)))
        contents, hdus, lengths = list(self.serial.contents), list(self.serial.hdus), {}
        for i, kind in enumerate(flat.kinds):
            if isinstance(kind, tuple) and issubclass(kind[0], np.ndarray):
                name, ver = self.text.linked(i)
                if skip((name, ver)):
                    continue
                place = self.cards.place(name, ver)
                contents[place] = stored(flat.values[i], hdus[place], headers[place])
                if hdus[place].kind == "table" and len(flat.values[i]) != hdus[place].shape[0]:
                    lengths[name, ver] = len(flat.values[i])
                    headers[place] = set_card(headers[place], "NAXIS2", str(lengths[name, ver]))
                    hdus[place] = replace(hdus[place], shape=(lengths[name, ver],), nbytes=len(contents[place]))
        text = asdf_text.resize(text, lengths) if lengths else text
        return Serial(tuple(hdus), tuple(headers), tuple(contents), text, self.serial.blocks)

    def _scalars(self, values: list[Any], among: range) -> tuple[list[bytes], str]:
        headers, differing = list(self.serial.headers), []
        for i in among:
            old, new = self.flat.values[i], values[i - among.start]
            if old is new or isinstance(new, np.ndarray) or self.flat.paths[i] == HASH:
                continue
            if type(new) not in SCALARS:
                if not (isinstance(new, (dict, list)) or (type(new) is tuple and repr(new) == repr(old))):  # lists are empty here, or known
                    raise Unlike(f"{self.flat.paths[i]} is a {type(new).__name__}")
            elif old != new or (type(new) is float and repr(old) != repr(new)):
                self.cards.put(headers, self.flat.paths[i], old, new)
                differing.append(i)
        return headers, self.text.put(differing, values, among.start)

    def item(self, flat: Flat, first: int) -> tuple[list[bytes], str]:
        """Headers, and text, with the leaves from number `first` on replaced by those of a similar subtree."""
        return self._scalars(flat.values, range(first, first + len(flat.values)))


def _series(model: Any, spectra: list[Any], skip: Callable[[Extension], bool]) -> tuple[Serial, list[asdf_text.Fragment]] | None:
    """A product with more than two spectra: written with two, the others like the second (the first may carry titles of sections)."""
    tree, wcs = asdf_text.detach({**model.instance, SPECTRA: spectra[:2]})
    whole, parts = flatten(tree), [asdf_text.detach(spectrum) for spectrum in spectra[1:]]
    flats = [flatten(part) for part, _ in parts]
    seen = set(whole.containers) - set(flats[0].containers)
    for flat in flats:
        if flat.key != flats[0].key or seen & set(flat.containers):
            return None
        seen |= set(flat.containers)
    serial = _like(type(model).__name__, tree, whole, model.schema, skip)
    place = [i for i, path in enumerate(whole.paths) if path[:2] == (SPECTRA, 1)]
    if serial.blocks or len(place) != len(flats[0].paths) or len(wcs) < len(parts[0][1]):
        return None
    try:
        return _extended(serial, Original(serial, whole, model.schema), flats, parts, place[0], wcs)
    except Unlike:
        return None


def _extended(serial: Serial, original: Original, flats: list[Flat], parts: list[tuple[Any, list[asdf_text.Fragment]]], first: int,
              wcs: list[asdf_text.Fragment]) -> tuple[Serial, list[asdf_text.Fragment]]:  # fmt: skip
    extensions = [original.text.linked(first + i) for i, value in enumerate(flats[0].values) if isinstance(value, np.ndarray)]
    if len(extensions) != 1 or extensions[0][1] != 2:
        raise Unlike("spectra are not one table each")
    name, place = extensions[0][0], original.cards.place(*extensions[0])
    begin, end = original.text.item((SPECTRA, 1))
    after = len(serial.text) - end
    headers, hdus, contents = list(serial.headers[: place + 1]), list(serial.hdus[: place + 1]), list(serial.contents[: place + 1])
    pieces, found = [serial.text[:end]], list(wcs)
    own = len(parts[0][1])
    for number, (flat, (_, fragments)) in enumerate(zip(flats[1:], parts[1:]), start=3):
        changed, text = original.item(flat, first)
        if any(a is not b for i, (a, b) in enumerate(zip(changed, serial.headers)) if i != place):
            raise Unlike("a value of a spectrum stands in another header")
        piece = text[begin : len(text) - after].replace(f"fits:{name},2\n", f"fits:{name},{number}\n")
        pieces.append(asdf_text.renumber(piece, len(wcs) - own, len(found)))
        found += fragments
        headers.append(set_card(changed[place], "EXTVER", str(number)))
        hdus.append(replace(serial.hdus[place], ver=number))
        contents.append(serial.contents[place])
    pieces.append(serial.text[end:])
    return Serial((*hdus, *serial.hdus[place + 1 :]), (*headers, *serial.headers[place + 1 :]),
                  (*contents, *serial.contents[place + 1 :]), "".join(pieces), ()), found  # fmt: skip


def _hdus(view: memoryview) -> list[HDU]:
    reader, at = _Memory(view), 0
    found: list[HDU] = []
    while at < len(view):
        cards, data = structure(reader, "layout", at, len(found))
        if cards is None:
            break
        found.append(describe(cards, at, data))
        at = data + math.ceil(found[-1].nbytes / BLOCK) * BLOCK
    if not found or found[-1].name != "ASDF":
        raise InputError("a product without an ASDF extension cannot be laid out")
    return found


class _Memory:
    def __init__(self, view: memoryview) -> None:
        self.view, self.size = view, len(view)

    def read(self, offset: int, n: int) -> bytes:
        return bytes(self.view[offset : offset + n])

    def into(self, offset: int, out: np.ndarray, what: str) -> None:
        out.view(np.uint8)[...] = np.frombuffer(self.view[offset : offset + out.nbytes], np.uint8)
