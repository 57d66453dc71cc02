"""References as they were resolved on the client, for steps that are prepared where the slit is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jwst_dask.core.step import Step

Table = Mapping[str, Mapping[str, tuple[str, str]]]
"""Step alias -> reference type -> (path or ``N/A``, name as products record it)."""


@dataclass
class FixedReferences:
    """What a step's look-ups gave on the client; notes which of them are used."""

    found: Mapping[str, tuple[str, str]]
    used: dict[str, str] = field(default_factory=dict)

    def __call__(self, reftype: str) -> str:
        """Path of a reference, ``N/A`` without one."""
        path = self.found.get(reftype, ("N/A", "N/A"))[0]
        self.used[reftype] = path
        return path

    def recorded(self) -> dict[str, str]:
        """What was used, as products name it."""
        return {reftype: self.found.get(reftype, ("N/A", "N/A"))[1] for reftype in self.used}


def resolve(steps: Mapping[str, Step], order: tuple[Any, ...], look_up: Callable[[Step], Any]) -> Table:
    """All references of the steps of an order.

    Parameters
    ----------
    steps : mapping
        Alias -> step.
    order : tuple
        Aliases, and products, which are passed over.
    look_up : callable
        Gives a step's reference look-up (`jwst_dask.refs.crds.References`).
    """
    table: dict[str, dict[str, tuple[str, str]]] = {}
    for alias in order:
        if not isinstance(alias, str) or steps[alias].skip:
            continue
        refs = look_up(steps[alias])
        paths = {reftype: refs(reftype) for reftype in steps[alias].references}
        names = refs.recorded()
        table[alias] = {reftype: (path, names.get(reftype, path)) for reftype, path in paths.items()}
    return table


def of_step(table: Table, alias: str) -> FixedReferences:
    """The look-up of one step."""
    return FixedReferences(table.get(alias, {}))
