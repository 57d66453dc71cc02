"""The ASDF extension of a product as text: sizes patched, WCS objects serialised once per process and pasted.

Serialising a product's tree with its WCS objects takes four times longer than without (they are hundreds of nodes that asdf converts,
validates and prints), and the same object goes into the product of every segment. So the tree is written without them, and their
text and binary blocks are put back. Format: ASDF standard 1.6 (https://asdf-standard.readthedocs.io), "Low-level file layout".
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo

_PLACE = "jwst_dask_wcs_"
_BLOCK_MAGIC = b"\xd3BLK"
_INDEX_MAGIC = b"#ASDF BLOCK INDEX"
_HASH = re.compile(rb"^_fits_hash: ([0-9a-f]{64})$", re.M)


@dataclass(frozen=True)
class Fragment:
    """One serialised object: YAML lines below its key, ASDF extension entries it needs, binary blocks it refers to."""

    text: str
    extensions: tuple[str, ...]
    blocks: tuple[bytes, ...]


def detach(tree: Any) -> tuple[Any, list[Fragment]]:
    """A copy of a model's tree whose WCS objects are replaced by place holders, and the objects serialised.

    Only containers on the way to a WCS are copied; arrays keep their identity.
    """
    found: list[Fragment] = []

    def walk(node: Any) -> Any:
        changed: dict[Any, Any] = {}
        items: Iterator[tuple[Any, Any]] = iter(node.items()) if isinstance(node, dict) else iter(enumerate(node))
        for key, value in items:
            if isinstance(node, dict) and _is_wcs(value):
                changed[key] = len(found)
                found.append(fragment(value))
            elif isinstance(value, (dict, list)) and (new := walk(value)) is not value:
                changed[key] = new
        if not changed:
            return node
        node = copy.copy(node)
        for key, new in changed.items():
            if isinstance(new, int):
                del node[key]
                # Another key, so that the schema of the WCS does not refuse it; a list, so that YAML puts it on a line of its own.
                node[f"{_PLACE}{new}"] = [key]
            else:
                node[key] = new
        return node

    return walk(tree), found


def _is_wcs(value: Any) -> bool:
    return type(value).__name__ == "WCS" and type(value).__module__.startswith("gwcs")


def fragment(wcs: Any) -> Fragment:
    """A WCS object as text and blocks; kept while the object is not changed, for the products of other segments."""
    key, parts = _identity(wcs)
    return memo(key, lambda: (wcs, parts, _serialise(wcs)))[2]  # holding the objects keeps their ids their own


def _identity(wcs: Any) -> tuple[Any, Any]:
    parts = [(step.transform, step.frame) for step in wcs.pipeline]
    return ("wcs text", id(wcs), tuple((id(a), id(b)) for a, b in parts), repr(wcs.bounding_box), wcs.name, wcs.pixel_shape), parts


def load(piece: Fragment) -> Any:
    """The gwcs object of a fragment. One object for equal fragments (segments of an exposure): copy it before changing it."""

    def make() -> Any:
        wcs = _parse(_document(piece))["wcs"]
        key, parts = _identity(wcs)
        memo(key, lambda: (wcs, parts, piece))
        return wcs

    return memo(("wcs of text", piece), make)


def set_aside(content: bytes) -> tuple[bytes, list[Fragment]]:
    """The inverse of `compose`: an ASDF file with place holders for its WCS objects, and these as fragments.

    A WCS that shares nodes with the rest of the tree stays where it is.
    """
    text, blocks = split(content)
    found: list[Fragment] = []
    at = 0
    while match := _WCS.search(text, at):
        piece = cut(text, match, blocks)
        anchors, aliases = set(_ANCHOR.findall(piece.text)), set(_ALIAS.findall(piece.text))
        line = f"{match.group(1)}{_PLACE}{len(found)}: [{match.group(2)}]\n"
        rest = text[: match.start()] + line + text[match.end() :]
        at = match.end()
        if aliases <= anchors and not anchors & set(_ALIAS.findall(rest)):
            found.append(piece)
            text, at = rest, match.start() + len(line)
    return (join(text, blocks) if found else content), found


def put_back(tree: Any, found: list[Fragment]) -> None:
    """Replace the place holders in a tree that was read from `set_aside` by WCS objects (in place)."""
    if isinstance(tree, dict):
        for key in [key for key in tree if isinstance(key, str) and key.startswith(_PLACE)]:
            tree[tree.pop(key)[0]] = load(found[int(key.removeprefix(_PLACE))])
    for value in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(value, (dict, list)):
            put_back(value, found)


def _serialise(wcs: Any) -> Fragment:
    import asdf

    file, buffer = asdf.AsdfFile(), io.BytesIO()
    file.tree["wcs"] = wcs  # the constructor would validate once more
    file.write_to(buffer)
    text, blocks = split(buffer.getvalue())
    match = _WCS.search(text)
    if match is None:
        raise InputError(f"the WCS {wcs.name!r} was serialised in a form that cannot be pasted into a product")
    return cut(text, match, blocks)


def split(content: bytes) -> tuple[str, tuple[bytes, ...]]:
    """YAML text (up to, without, the end marker) and binary blocks (header included) of an ASDF file."""
    end = content.find(b"\n...\n")
    start = content.find(_BLOCK_MAGIC, 0 if end < 0 else end)
    text = content if end < 0 else content[: end + 1]
    blocks = []
    while start >= 0 and content[start : start + 4] == _BLOCK_MAGIC:
        header = int.from_bytes(content[start + 4 : start + 6], "big")
        size = int.from_bytes(content[start + 14 : start + 22], "big")
        blocks.append(content[start : start + 6 + header + size])
        start += len(blocks[-1])
    return text.decode("utf-8"), tuple(blocks)


def cut(text: str, match: re.Match[str], blocks: tuple[bytes, ...]) -> Fragment:
    """The value that `match` (of `_WCS`) found, with only the blocks that it uses."""
    indent = len(match.group(1))
    lines = match.group(3).split("\n")
    body = "\n".join([lines[0], *(line[indent:] for line in lines[1:])])
    used: list[int] = []

    def renumber(source: re.Match[str]) -> str:
        block = int(source.group(2))
        if block not in used:
            used.append(block)
        return f"{source.group(1)}{used.index(block)}"

    body = _SOURCE.sub(renumber, body)
    return Fragment(body, tuple(extensions_of(text)), tuple(blocks[i] for i in used))


_WCS = re.compile(r"^( *(?:- )?)(wcs):( !<tag:stsci.edu:gwcs/wcs-\S+>\n(?:\1 +.*\n|\1- .*\n|\n)*)", re.M)
_ANCHOR, _ALIAS = re.compile(r"(?<=[ \n\[{])&(id\d+)\b"), re.compile(r"(?<=[ \n\[{])\*(id\d+)\b")
_SOURCE = re.compile(r"(!core/ndarray-\S+\n\s+source: )(\d+)(?=\n)")


def extensions_of(text: str) -> list[str]:
    """Entries of ``history: extensions:`` as text, indented as in the file."""
    match = re.search(r"^  extensions:\n((?:  - .*\n(?:    .*\n)*)+)", text, re.M)
    return re.findall(r"  - .*\n(?:    .*\n)*", match.group(1)) if match else []


def compose(text: str, blocks: Sequence[bytes], fragments: list[Fragment], rows: Mapping[tuple[str, int], int]) -> bytes:
    """The ASDF file of this text and blocks with fragments at their place holders, sizes of linked arrays changed, and a new block index.

    Parameters
    ----------
    text : str
        Of a tree from `detach`.
    blocks : sequence of bytes
    fragments : list of Fragment
    rows : mapping
        (extension, version) -> length of the first axis.
    """
    text, all_blocks = resize(text, rows), list(blocks)
    pasted: set[int] = set()

    def paste(match: re.Match[str]) -> str:
        number = int(match.group(2))
        piece, indent = fragments[number], " " * len(match.group(1))
        first = len(all_blocks)
        body = _SOURCE.sub(lambda m: f"{m.group(1)}{int(m.group(2)) + first}", piece.text)
        body = _NAMED.sub(rf"\g<1>w{number}\g<2>", body)
        lines = body.rstrip("\n").split("\n")
        all_blocks.extend(piece.blocks)
        pasted.add(number)
        return "\n".join([f"{match.group(1)}{match.group(3)}:{lines[0]}", *(indent + line if line else line for line in lines[1:])]) + "\n"

    text = _HOLDER.sub(paste, text)
    if pasted != set(range(len(fragments))):
        raise InputError(f"the ASDF extension has no place for WCS number {min(set(range(len(fragments))) - pasted)}")
    return join(with_extensions(text, [entry for piece in dict.fromkeys(fragments) for entry in piece.extensions]), all_blocks)


_HOLDER = re.compile(rf"^( *(?:- )?){_PLACE}(\d+): \[(\S+)\]\n", re.M)
_NAMED = re.compile(r"(?<=[ \n\[{])([&*])(id\d+)\b")


def paste(text: str, fragments: Sequence[Fragment], mark: str = "") -> str:
    """Text with fragments at their place holders; block numbers count from 0, names of nodes get `mark`."""
    first = 0

    def put(match: re.Match[str]) -> str:
        nonlocal first
        piece, indent = fragments[int(match.group(2))], " " * len(match.group(1))
        body = _NAMED.sub(rf"\g<1>w{match.group(2)}v{mark}\g<2>", shifted(piece.text, first))
        first += len(piece.blocks)
        lines = body.rstrip("\n").split("\n")
        return "\n".join([f"{match.group(1)}{match.group(3)}:{lines[0]}", *(indent + line if line else line for line in lines[1:])]) + "\n"

    return _HOLDER.sub(put, text)


def shifted(text: str, by: int) -> str:
    """Text whose binary blocks have numbers higher by `by`."""
    return _SOURCE.sub(lambda match: f"{match.group(1)}{int(match.group(2)) + by}", text) if by else text


def renumber(text: str, old: int, new: int) -> str:
    """Text whose place holders from number `old` on are numbered from `new` on."""
    return _HOLDER.sub(lambda match: f"{match.group(1)}{_PLACE}{int(match.group(2)) - old + new}: [{match.group(3)}]\n", text)


def join(text: str, blocks: list[bytes] | tuple[bytes, ...]) -> bytes:
    """An ASDF file of YAML text and blocks, with its block index."""
    head = text.encode("utf-8") + b"...\n"
    return b"".join([head, *with_index(len(head), blocks)])


def with_index(at: int, blocks: Sequence[bytes]) -> list[bytes]:
    """Blocks that begin at a place in a file, and the block index that follows them (nothing without blocks)."""
    if not blocks:
        return []
    offsets = []
    for block in blocks:
        offsets.append(f"- {at}\n")
        at += len(block)
    return [*blocks, _INDEX_MAGIC, b"\n%YAML 1.1\n---\n", "".join(offsets).encode(), b"...\n"]


def resize(text: str, rows: Mapping[tuple[str, int], int | tuple[int, ...]]) -> str:
    """Change the first number of ``shape`` of the arrays linked to the extensions of `rows`, or all of it."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        match = re.fullmatch(r"( *)source: '?fits:(.+),(\d+)'?", line)
        if match is None or (match.group(2), int(match.group(3))) not in rows:
            continue
        count, indent = rows[match.group(2), int(match.group(3))], match.group(1)
        for j in range(i + 1, len(lines)):
            if not lines[j].startswith(indent):
                raise InputError(f"the ASDF extension gives no shape for {match.group(2)}")
            if lines[j].startswith(f"{indent}shape: ["):
                whole = isinstance(count, tuple)
                lines[j] = f"{indent}shape: {list(count)}" if whole else re.sub(r"\[\d+", f"[{count}", lines[j], count=1)  # type: ignore[arg-type]
                break
    return "\n".join(lines)


def with_extensions(text: str, entries: Iterable[str]) -> str:
    """Add the ASDF extensions that pasted text needs to those that the file declares."""
    there = extensions_of(text)
    names = {_uri(entry) for entry in there}
    new = []
    for entry in entries:
        if _uri(entry) not in names:
            names.add(_uri(entry))
            new.append(entry)
    if not new or not there:
        return text
    end = text.index(there[-1]) + len(there[-1])
    return text[:end] + "".join(new) + text[end:]


def _uri(entry: str) -> str:
    match = re.search(r"extension_uri: (\S+)", entry)
    return match.group(1) if match else entry


def _document(piece: Fragment) -> bytes:
    """A fragment as an ASDF file of its own."""
    lines = ["#ASDF 1.0.0", "#ASDF_STANDARD 1.6.0", "%YAML 1.1", "%TAG ! tag:stsci.edu:asdf/", "--- !core/asdf-1.1.0"]
    return join("\n".join([*lines, f"wcs:{piece.text.rstrip()}", ""]), piece.blocks)


def _parse(content: bytes) -> Any:
    import asdf

    with asdf.open(io.BytesIO(content), lazy_load=False, memmap=False) as file:
        return dict(file.tree)


def stored_hash(content: bytes) -> str:
    """The header hash that an ASDF file holds ('' if it has none)."""
    match = _HASH.search(content)
    return match.group(1).decode() if match else ""


def replace_hash(content: bytes, digest: str) -> tuple[bytes, int]:
    """Put another header hash into an ASDF file; also its place (-1 if the file has none)."""
    match = _HASH.search(content)
    if match is None:
        return content, -1
    return content[: match.start(1)] + digest.encode() + content[match.end(1) :], match.start(1)
