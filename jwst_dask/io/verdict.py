"""Results of a comparison, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One compared part.

    Attributes
    ----------
    product, part : str
        File name, and what of it: ``SCI,1``, ``EXTRACT1D,1[FLUX]``, ``PRIMARY,1 header``, ``WCS``.
    agrees : bool
    kind : str
        ``pixels``, ``column``, ``header``, ``wcs``, ``structure``.
    figures : dict
        How large the difference is: ``max_rel``, ``beyond`` (samples outside the tolerance), ``nan_pattern`` (samples finite in one
        only), ``different``, ``of``.
    """

    product: str
    part: str
    agrees: bool
    kind: str = "pixels"
    figures: dict[str, Any] = field(default_factory=dict)


def failed(rows: Sequence[Row], headers: bool = True) -> list[Row]:
    """Rows that do not agree; without `headers`, differences of keywords and metadata are let pass."""
    return [row for row in rows if not row.agrees and (headers or row.kind != "header")]


def show(rows: Sequence[Row], everything: bool = False, headers: bool = True, console: Any = None) -> None:
    """Print a line for each product and a table of what does not agree (of everything, if asked)."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    bad = {id(row) for row in failed(rows, headers)}
    by_product: dict[str, list[Row]] = {}
    for row in rows:
        by_product.setdefault(row.product, []).append(row)
    for product, parts in by_product.items():
        wrong = sum(id(row) in bad for row in parts)
        passed = sum(not row.agrees for row in parts) - wrong
        line = f"{sum(row.agrees for row in parts)} of {len(parts)} parts agree" + (f", {passed} headers differ" if passed else "")
        console.print(Text.assemble(("DIFFERS " if wrong else "agrees  ", "bold red" if wrong else "green"), product, (f"  {line}", "dim")), soft_wrap=True)
        listed = [row for row in parts if everything or id(row) in bad]
        if listed:
            table = Table(box=None, pad_edge=False, show_header=False)
            for fold in (False, False, True, True):
                table.add_column(overflow="fold" if fold else "ellipsis", no_wrap=not fold)
            for row in listed:
                mark = ("differs", "red") if id(row) in bad else ("agrees", "green") if row.agrees else ("passed", "yellow")
                table.add_row("       ", Text(*mark), Text(row.part), Text(_words(row.figures)))
            console.print(table)
    wrong = sum(any(id(row) in bad for row in parts) for parts in by_product.values())
    console.print(f"{len(by_product) - wrong} of {len(by_product)} products agree")


def _words(figures: dict[str, Any]) -> str:
    out = []
    for name, value in figures.items():
        if name == "different" and isinstance(value, dict):
            out.append("; ".join(f"{key}: {a} instead of {b}" for key, (a, b) in value.items()))
        elif isinstance(value, list) and len(value) == 2 and name != "extra":
            out.append(f"{name} {value[0]} instead of {value[1]}")
        else:
            out.append(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(out)
