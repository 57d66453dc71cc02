"""Parts of a YAML document that stand alone: what they share with the rest of it is written out.

asdf writes an object that occurs twice once, with an anchor (``&id001``), and refers to it afterwards (``*id001``). So in a product with
many slits the WCS objects of all but the first consist of references to nodes of the first. Text is taken apart by indentation, which
is regular in files that asdf writes: nodes with an anchor begin after ``key:`` or ``-``; inside of brackets there are plain values only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jwst_dask.core.errors import InputError

_ANCHOR = re.compile(r"(?<=[ \n\[{])&(id\d+)\b")
_ALIAS = re.compile(r"(?<=[ \n\[{])\*(id\d+)\b")
_EITHER = re.compile(r"(?<=[ \n\[{])([&*])(id\d+)\b")
_WHOLE = re.compile(r"(?:- |[^\s:]: )\*(id\d+)$")


@dataclass(frozen=True)
class Definition:
    """An anchored node: its text after the anchor, and the column (of a key, or of a dash) that its lines are indented from."""

    lines: tuple[str, ...]
    column: int
    under_key: bool
    value: str | None = None
    """Of a plain value."""


class Nodes:
    """The anchored nodes of some parts of a document.

    Parameters
    ----------
    parts : sequence of str
        Whole lines, in the order of the document.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = parts
        self._part_of: dict[str, int] = {}
        self._lines: dict[int, list[str]] = {}
        self._found: dict[str, Definition] = {}
        for number, part in enumerate(parts):
            for name in _ANCHOR.findall(part) if "&id" in part else ():
                self._part_of[name] = number

    def alone(self, text: str) -> str:
        """`text` (whole lines of one of the parts, or of another part) with references to nodes outside of it replaced by these nodes.

        Raises
        ------
        InputError
            For a reference to a node that is nowhere.
        """
        known = set(_ANCHOR.findall(text))
        if set(_ALIAS.findall(text)) <= known:
            return text
        return "\n".join(_Writer(self, known).written(text.split("\n"), {}))

    def definition(self, name: str) -> Definition:
        """The node with an anchor."""
        if name not in self._found:
            if name not in self._part_of:
                raise InputError(f"the ASDF extension refers to a node {name} that it does not hold")
            number = self._part_of[name]
            lines = self._lines.setdefault(number, self.parts[number].split("\n"))
            mark = re.compile(rf"(?<=[ \n\[{{])&{name}\b")
            at, match = next((i, m) for i, line in enumerate(lines) if "&id" in line and (m := mark.search(line)))
            column, under_key = owner(lines[at], match.start())
            rest = lines[at][match.end() :]
            if not _starts_value(lines[at][: match.start()]):
                self._found[name] = Definition((), column, under_key, re.split(r"[,\]}]", rest)[0].strip())
                return self._found[name]
            end = at + 1
            while end < len(lines) and _belongs(lines[end], column, under_key):
                end += 1
            value = rest.strip() if end == at + 1 and rest.strip()[:1] not in ("", "!", "[", "{") else None
            self._found[name] = Definition((rest, *lines[at + 1 : end]), column, under_key, value)
        return self._found[name]


def _starts_value(before: str) -> bool:
    """Whether what follows is the whole value of a key or dash."""
    return before.rstrip().endswith((":", "-")) and "[" not in before and "{" not in before


def owner(line: str, at: int) -> tuple[int, bool]:
    """Column of the key or dash whose value begins at `at`, and whether it is a key."""
    before = line[:at].rstrip()
    if before.endswith("-"):
        return len(before) - 1, False
    lead = re.match(r"[ ]*(?:- )*", line)
    return len(lead.group(0)) if lead else 0, True


def _belongs(line: str, column: int, under_key: bool) -> bool:
    """Whether a line continues the value of a key or dash at `column`."""
    if not line.strip():
        return True
    indent = len(line) - len(line.lstrip(" "))
    return indent > column or (under_key and indent == column and line.startswith("- ", indent))


class _Writer:
    """Writes lines, with nodes that are not there yet where they are first referred to."""

    def __init__(self, nodes: Nodes, known: set[str]) -> None:
        self.nodes, self.known = nodes, known
        self.copies: dict[str, str] = {}
        self.number = 0

    def written(self, lines: Sequence[str], scope: dict[str, str]) -> list[str]:
        """Lines with names of nodes as `scope` has them."""
        out: list[str] = []
        for line in lines:
            if "id" not in line or _EITHER.search(line) is None:
                out.append(line)
                continue
            whole = _WHOLE.search(line)
            if whole is not None and self._absent(whole.group(1), scope) and self.nodes.definition(whole.group(1)).value is None:
                out += self._copy(whole.group(1), line, whole.start(1) - 1)
            else:
                out.append(_EITHER.sub(lambda match: self._named(match, scope), line))
        return out

    def _absent(self, name: str, scope: dict[str, str]) -> bool:
        return name not in scope and name not in self.known and name not in self.copies

    def _named(self, match: re.Match[str], scope: dict[str, str]) -> str:
        """An anchor or reference under the name that it has here, or the plain value that it refers to."""
        mark, name = match.groups()
        if mark == "*" and self._absent(name, scope):
            value = self.nodes.definition(name).value
            if value is None:
                raise InputError(f"the ASDF extension refers to the node {name} in a way that is not known")
            return value
        return mark + (scope.get(name) or (name if name in self.known else self.copies.get(name, name)))

    def _copy(self, name: str, line: str, at: int) -> list[str]:
        """The node in place of a reference to it; nodes inside of it get names of this copy."""
        found = self.nodes.definition(name)
        column, under_key = owner(line, at)
        self.number += 1
        inside = {inner: f"id9{self.number:04d}{inner[2:]}" for one in found.lines for inner in _ANCHOR.findall(one)}
        self.copies[name] = f"id9{self.number:04d}{name[2:]}"
        shift = column - found.column
        moved = [_moved(one, shift + 2 * (not under_key and found.under_key and one.startswith("- ", found.column))) for one in found.lines[1:]]
        first = f"{line[:at]}&{self.copies[name]}{found.lines[0]}"
        return [first, *self.written(moved, inside)]


def _moved(line: str, by: int) -> str:
    return line[-by:] if by < 0 else " " * by + line if line.strip() else line
