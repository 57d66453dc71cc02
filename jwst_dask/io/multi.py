"""Products with many slits or spectra: each item becomes the pieces of a FITS file where it is made, and the file is put together from them.

`stdatamodels` takes 50 ms and more to write the metadata of one slit, and half a second with its WCS. So for every kind of item (same class,
same arrays, same keywords) one small item is written by it; the headers and the text of the others are filled in.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.io import asdf_text
from jwst_dask.io.cards import BLOCK, CARD, SPARE, asdf_header, cards_of, joined, with_spare
from jwst_dask.io.edits import described_by
from jwst_dask.io.fits import HDU
from jwst_dask.io.serial import in_full
from jwst_dask.io.tables import encode

LISTS = {"MultiSlitModel": "slits", "MultiSpecModel": "spec", "MultiCombinedSpecModel": "spec"}
"""Model class -> the list that holds its items."""
ITEMS = ("SCI", "EXTRACT1D", "COMBINE1D")
"""Extensions that items begin with, into the first of which keywords of the whole product go."""
_VER, _WCS_HOLDER = "@ver@", "jwst_dask_wcs_0"
Path = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One item of a product, its extensions numbered ``1`` and its text ``@ver@`` until its place is known.

    Attributes
    ----------
    headers, contents : tuple of bytes
        Of its extensions; contents without padding.
    text : str
        Its lines in the ASDF extension, as an entry of a list at the top.
    blocks, extensions : tuple
        Binary blocks that the text refers to (by number from 0), and ASDF extensions that it needs.
    """

    headers: tuple[bytes, ...]
    contents: tuple[bytes, ...]
    text: str
    blocks: tuple[bytes, ...] = ()
    extensions: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes in a product, about."""
        return sum(map(len, self.headers)) + sum(math.ceil(len(c) / BLOCK) * BLOCK for c in self.contents) + len(self.text)


@dataclass(frozen=True)
class _Leaf:
    keyword: str | None
    hdu: str | None
    comment: str
    array: bool


def leaves(model_class: str) -> dict[Path, _Leaf]:
    """What an item may hold: path in the item -> keyword, extension, comment, and whether it is an array, in the schema's order."""
    return memo(("item schema", model_class), lambda: _leaves(model_class))


def _leaves(model_class: str) -> dict[Path, _Leaf]:
    from stdatamodels.jwst import datamodels

    schema = getattr(datamodels, model_class)().schema
    found: dict[Path, _Leaf] = {}

    def walk(node: Mapping[str, Any], path: Path) -> None:
        for combiner in ("allOf", "anyOf"):
            for part in node.get(combiner, ()):
                walk(part, path)
        for name, child in node.get("properties", {}).items():
            if "properties" in child or "allOf" in child:
                walk(child, (*path, name))
            else:
                title = child.get("title")
                comment = title if title is not None else child.get("description") or ""
                found[(*path, name)] = _Leaf(child.get("fits_keyword"), child.get("fits_hdu"), comment.partition("\n")[0], "datatype" in child)

    walk(_list_schema(schema, LISTS[model_class])["items"], ())
    return found


def _list_schema(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for part in schema.get("allOf", ()):
        if found := _list_schema(part, name):
            return found
    return schema.get("properties", {}).get(name, {})  # type: ignore[no-any-return]


def item_from(model_class: str, tree: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[Path, Any]:
    """Values of an item by path: those of a slit's tree that the schema of the product knows, and arrays.

    Parameters
    ----------
    model_class : str
        Class of the product.
    tree : mapping
        Instance of the slit's model: attributes, ``meta``.
    arrays : mapping
        Attribute name -> array; they go before those of the tree.
    """
    out: dict[Path, Any] = {}
    for path, leaf in leaves(model_class).items():
        value: Any = tree
        if len(path) == 1 and path[0] in arrays:
            value = arrays[path[0]]
        else:
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
                if value is None:
                    break
        if value is None or (leaf.array and np.size(value) == 0):
            continue
        if leaf.array:
            out[path] = np.asarray(value)
        elif isinstance(value, (str, bool, int, float, np.generic)):
            out[path] = value.item() if isinstance(value, np.generic) else value
    return out


def make_part(model_class: str, values: Mapping[Path, Any], wcs: asdf_text.Fragment | None, extra: Mapping[str, Any] | None = None) -> Part:
    """An item as pieces of a file.

    Parameters
    ----------
    model_class : str
    values : mapping
        From `item_from`.
    wcs : Fragment, optional
        Its ``meta.wcs``.
    extra : mapping
        Units of table columns: ``{"units": {column: unit}}``.
    """
    known = leaves(model_class)
    shape = tuple((path, str(np.asarray(v).dtype) if known[path].array else type(v).__name__) for path, v in values.items())
    units = tuple(sorted((extra or {}).get("units", {}).items()))
    template: _Template = memo(("item template", model_class, shape, units), lambda: _Template(model_class, values, units))
    return template.fill(values, wcs)


class _Template:
    """An item of one kind as `stdatamodels` writes it, ready to be filled with other values."""

    def __init__(self, model_class: str, values: Mapping[Path, Any], units: Sequence[tuple[str, str]]) -> None:
        self.known, self.list_name = leaves(model_class), LISTS[model_class]
        serial = in_full(*self._small(model_class, values, units))
        self.hdus: list[HDU] = [hdu for hdu in serial.hdus[1:-1] if hdu.ver == 2]
        headers = [header for hdu, header in zip(serial.hdus[1:-1], serial.headers[1:-1]) if hdu.ver == 2]
        self.slots = [self._slots(hdu, header, values) for hdu, header in zip(self.hdus, headers)]
        self.described = {hdu.name: described_by(header) for hdu, header in zip(self.hdus, headers) if hdu.kind == "table"}
        self.array_of = {self.known[path].hdu: path for path in values if self.known[path].array}
        self.array_text = dict(self._array_texts(serial.text))

    def _small(self, model_class: str, values: Mapping[Path, Any], units: Sequence[tuple[str, str]]) -> tuple[Any, Any]:
        """A model with two such items (the first extension of a kind may carry keywords of the whole product)."""
        from stdatamodels.jwst import datamodels

        model = getattr(datamodels, model_class)()
        items = getattr(model, self.list_name)
        for _ in range(2):
            items.append(items.item())
            for path, value in values.items():
                target = items[-1]
                for name in path[:-1]:
                    target = getattr(target, name)
                setattr(target, path[-1], _tiny(value) if self.known[path].array else value)
            for column, unit in units:
                items[-1].spec_table.columns[column].unit = unit
        model.on_save(None)
        return model.instance, model.schema

    def _slots(self, hdu: HDU, header: bytes, values: Mapping[Path, Any]) -> list[Any]:
        """The header's cards: bytes that stay, or (keyword, comment, path) of those that are formatted anew."""
        own = {leaf.keyword: path for path, leaf in self.known.items() if leaf.hdu == hdu.name and leaf.keyword and path in values and not leaf.array}
        sizes = {"NAXIS2": ("rows", -2)} if hdu.kind == "table" else {"NAXIS1": ("pixels", -1), "NAXIS2": ("pixels", -2)}
        out: list[Any] = []
        for card in cards_of(header):
            keyword = card[:8].decode().rstrip()
            if keyword == "CONTINUE":
                continue
            _, slash, comment = card.decode().rpartition(" / ") if keyword in sizes else ("", "", "")
            if keyword in own:
                out.append((keyword, self.known[own[keyword]].comment, own[keyword]))
            elif keyword in sizes:
                out.append((keyword, comment.rstrip() if slash else "", sizes[keyword]))
            elif keyword == "EXTVER":
                out.append(_card(keyword, 1, "extension value"))
            else:
                out.append(card)
        return out

    def _array_texts(self, text: str) -> Iterable[tuple[str, str]]:
        start = re.search(rf"^{self.list_name}:\n", text, re.M)
        if start is None:
            raise InputError(f"a product of class {self.list_name} was written in a form that is not known")
        for match in re.finditer(r"^(?:- |  )(\w+): (!core/ndarray-\S+\n(?:    .*\n)+)", text[start.end() :], re.M):
            lines = match.group(2)
            if ",2" in lines.partition("source: ")[2].partition("\n")[0]:
                yield match.group(1), lines

    def fill(self, values: Mapping[Path, Any], wcs: asdf_text.Fragment | None) -> Part:
        """The pieces of an item with these values."""
        headers, contents = [], []
        for hdu, slots in zip(self.hdus, self.slots):
            array = values[self.array_of[hdu.name]]
            cards = []
            for slot in slots:
                if isinstance(slot, bytes):
                    cards.append(slot)
                else:
                    keyword, comment, source = slot
                    value = values[source] if source in values else len(array) if source[0] == "rows" else array.shape[source[1]]
                    cards.append(_card(keyword, value, comment))
            headers.append(with_spare(joined([c[i : i + CARD] for c in cards for i in range(0, len(c), CARD)]), SPARE))
            contents.append(encode(array, self.described[hdu.name]).tobytes() if hdu.kind == "table" else _stored(array, hdu))
        text, blocks, extensions = self._text(values, wcs)
        return Part(tuple(headers), tuple(contents), text, blocks, extensions)

    def _text(self, values: Mapping[Path, Any], wcs: asdf_text.Fragment | None) -> tuple[str, tuple[bytes, ...], tuple[str, ...]]:
        import yaml

        tree: dict[str, Any] = {}
        for path, value in values.items():
            node = tree
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = f"@array {path[-1]}@" if self.known[path].array else value
        if wcs is not None:
            tree.setdefault("meta", {})[_WCS_HOLDER] = ["wcs"]
        text = yaml.dump([tree], Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), default_flow_style=None, allow_unicode=True, width=1000)

        def array(match: re.Match[str]) -> str:
            name = match.group(1)
            lines = re.sub(r"(source: '?fits:[^,]+,)2", rf"\g<1>{_VER}", self.array_text[name], count=1)
            shape = values[(name,)].shape
            return re.sub(r"shape: \[[^\]]*\]", f"shape: [{', '.join(map(str, shape))}]", lines, count=1)

        text = re.sub(r"'?@array (\w+)@'?\n", array, text)
        if wcs is None:
            return text, (), ()
        return asdf_text.paste(text, [wcs], _VER), wcs.blocks, wcs.extensions


def _tiny(value: Any) -> Any:
    array = np.asarray(value)
    return array[:1].copy() if array.dtype.names else np.zeros((1,) * array.ndim, array.dtype)


def _stored(array: np.ndarray, hdu: HDU) -> bytes:
    native = np.ascontiguousarray(array, hdu.native)
    if hdu.native.kind == "u" and hdu.bzero:
        native = native ^ hdu.native.type(1 << (8 * hdu.native.itemsize - 1))
    return native.astype(native.dtype.newbyteorder(">")).tobytes()


_formatted: dict[tuple[str, type, Any, str], bytes] = {}


def _card(keyword: str, value: Any, comment: str) -> bytes:
    from astropy.io.fits import Card

    key = (keyword, type(value), repr(value), comment)
    if key not in _formatted:
        if len(_formatted) > 20000:
            _formatted.clear()
        text = str(Card(keyword, value, comment))
        _formatted[key] = text.ljust(math.ceil(len(text) / CARD) * CARD).encode("ascii", "replace")
    return _formatted[key]


def numbered(part: Part, ver: int, extra_cards: Sequence[bytes] = ()) -> list[bytes]:
    """Headers of an item at its place; cards of the whole product go into the first."""
    number = _card("EXTVER", ver, "extension value")
    out = [header.replace(_card("EXTVER", 1, "extension value"), number, 1) for header in part.headers]
    if extra_cards and out:
        cards = cards_of(out[0])
        at = next(i for i, card in enumerate(cards) if card.startswith(b"EXTNAME"))
        own = {card[:8] for card in cards}  # what an item says of itself goes before what the product says
        extra_cards = [card for card in extra_cards if card[:8] not in own or not card[:8].strip()]
        out[0] = with_spare(joined([*cards[: at + 1], *extra_cards, *cards[at + 1 :]]), SPARE)
    return out


def assemble(path: str | os.PathLike[str], model: Any, parts: Iterable[Part]) -> None:
    """Write a product of these items to a (temporary) file; of the items only texts are kept, so that their number does not matter.

    Parameters
    ----------
    path : str
    model : MultiSlitModel or another of `LISTS`
        Metadata of the product, its list empty.
    parts : iterable of Part
        Items in their order.

    Raises
    ------
    InputError
        When it cannot be written.
    """
    name = LISTS[type(model).__name__]
    model.on_save(None)
    model.instance[name] = []
    serial = in_full(model.instance, model.schema)
    shared = [card for hdu, header in zip(serial.hdus[1:-1], serial.headers[1:-1]) if hdu.name in ITEMS for card in _keywords(header)]
    others = [i for i, hdu in enumerate(serial.hdus[1:-1], start=1) if hdu.name not in ITEMS]
    texts: list[Part] = []
    digest = hashlib.sha256()
    try:
        with open(path, "wb") as file:

            def write(header: bytes, data: bytes) -> None:
                digest.update(header)
                file.write(header)
                file.write(data)
                file.write(bytes(-len(data) % BLOCK))

            write(with_spare(serial.headers[0], SPARE), b"")
            for ver, part in enumerate(parts, start=1):
                for header, data in zip(numbered(part, ver, shared if ver == 1 else ()), part.contents):
                    write(header, data)
                texts.append(Part((), (), part.text, part.blocks, part.extensions))
            for i in others:
                write(with_spare(serial.headers[i], SPARE), serial.contents[i])
            first, *rest = _asdf(serial, name, texts)
            first, _ = asdf_text.replace_hash(first, digest.hexdigest())
            size = len(first) + sum(map(len, rest))
            file.write(with_spare(asdf_header(serial.headers[-1], size), SPARE))
            file.writelines((first, *rest, bytes(-size % BLOCK)))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); free some space, or choose another --output-dir") from error


_STRUCTURE = re.compile(rb"(XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTNAME|EXTVER|TFIELDS|T(TYPE|FORM|UNIT|ZERO|SCAL|NULL|DIM|DISP)\d+|BSCALE|BZERO) *=")


def _keywords(header: bytes) -> list[bytes]:
    """Cards of a header that say nothing of its structure."""
    return [card for card in cards_of(header) if not _STRUCTURE.match(card)]


def _asdf(serial: Any, name: str, parts: list[Part]) -> list[bytes]:
    """The ASDF extension with the text of all items, in pieces; takes the items out of the list as it goes."""
    empty = re.search(rf"^{name}: \[\]\n", serial.text, re.M)
    if empty is None:
        raise InputError(f"the product's list of {name} was written in a form that is not known")
    entries = dict.fromkeys(entry for part in parts for entry in part.extensions)
    before = asdf_text.with_extensions(serial.text[: empty.start()], entries)
    pieces = [(before + (f"{name}:\n" if parts else empty.group(0))).encode()]
    blocks, ver = list(serial.blocks), 0
    for ver, part in enumerate(_taken(parts), start=1):
        pieces.append(asdf_text.shifted(part.text, len(blocks)).replace(_VER, str(ver)).encode())
        blocks += part.blocks
    pieces.append(serial.text[empty.end() :].encode() + b"...\n")
    return [*pieces, *asdf_text.with_index(sum(map(len, pieces)), blocks)]


def _taken(parts: list[Part]) -> Iterator[Part]:
    parts.reverse()
    while parts:
        yield parts.pop()
