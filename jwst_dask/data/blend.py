"""One set of metadata out of many: the blending that product schemas declare, and the table of all headers (HDRTAB)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.memo import memo

Header = Mapping[str, Any]
"""Metadata by datamodel path (``meta.observation.date``), plain values."""


@dataclass(frozen=True)
class Rules:
    """What a product schema says about blending.

    Attributes
    ----------
    columns : dict
        Datamodel path -> column of HDRTAB, in schema order.
    blends : dict
        Datamodel path -> name of the rule (a key of `RULES`, or ``first``).
    ignored : tuple of str
        Beginnings of paths that are not taken over (lists, the WCS).
    """

    columns: Mapping[str, str]
    blends: Mapping[str, str]
    ignored: tuple[str, ...]

    def keeps(self, path: str) -> bool:
        """Whether a path takes part in blending."""
        return path.startswith("meta") and not path.startswith(self.ignored)


def _multiple(values: Sequence[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else "MULTIPLE"


def _wheel(values: Sequence[Any]) -> str:
    outside = "outside calibration tolerance"
    return outside if outside in values else "within commanded tolerance"


def _number(function: Callable[[Any], Any]) -> Callable[[Sequence[Any]], Any]:
    return lambda values: function(np.asarray(values)).item()


RULES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "multi": _multiple,
    "wheeltol": _wheel,
    "mean": _number(np.mean),
    "sum": _number(np.sum),
    "max": _number(np.max),
    "min": _number(np.min),
    **{f"min{kind}": min for kind in ("time", "date", "datetime")},
    **{f"max{kind}": max for kind in ("time", "date", "datetime")},
}
"""``blend_rule`` of the schemas -> function of the values of all inputs (dates are ISO 8601 text, whose order is that of time)."""


def rules_of(model: Any) -> Rules:
    """Blending rules in the schema of a datamodel; read once per class."""
    return memo(("blend rules", type(model)), lambda: _read_rules(model.schema))


def _read_rules(schema: Mapping[str, Any]) -> Rules:
    from stdatamodels.schema import walk_schema

    columns: dict[str, str] = {}
    blends: dict[str, str] = {}
    lists: list[str] = []

    def visit(node: Mapping[str, Any], path: list[str], _combiner: Any, _context: Any, _recurse: Any) -> None:
        if len(path) < 2 or path[0] != "meta" or "items" in path or node.get("properties"):
            return
        ends = [path.index(word) for word in ("anyOf", "oneOf") if word in path]
        name = ".".join(path[: ends[0]] if ends else path)
        if node.get("type") == "array":
            lists.append(name)
            return
        if "blend_rule" in node:
            blends[name] = node["blend_rule"]
        if node.get("blend_table"):
            columns[name] = node.get("fits_keyword", name)

    walk_schema(schema, visit)
    return Rules(columns, blends, ("meta.wcs", *lists))


def header_of(model: Any) -> dict[str, Any]:
    """Metadata of a datamodel by path, arrays left out, times as text."""
    return {path: value for path, value in model.to_flat_dict(include_arrays=False).items() if path.startswith("meta")}


def blended(headers: Sequence[Header], rules: Rules) -> dict[str, Any]:
    """Metadata of the combination: that of the first input, with the schema's rule where there is one.

    Parameters
    ----------
    headers : sequence of mapping
        Of the inputs, in order.
    rules : Rules

    Returns
    -------
    dict
        Value by datamodel path; None where a rule met no value.
    """
    out = {path: value for path, value in headers[0].items() if rules.keeps(path)}
    for path, rule in rules.blends.items():
        if rule != "first" and rules.keeps(path):
            values = [header[path] for header in headers if path in header]
            out[path] = RULES[rule](values) if values else None
    return out


def header_table(headers: Sequence[Header], rules: Rules) -> np.ndarray:
    """The rows of HDRTAB: one per input, a column for every keyword that any of them has (NaN where one has not).

    Returns
    -------
    structured ndarray[input]
    """
    columns: dict[str, np.ndarray] = {}
    for path, name in rules.columns.items():
        if any(path in header for header in headers):
            columns[name] = np.array([header.get(path, np.nan) for header in headers])
    table = np.empty(len(headers), dtype=[(name, values.dtype) for name, values in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def blend_into(model: Any, headers: Sequence[Header], rules: Rules) -> None:
    """Give a product the blended metadata of its inputs, and their header table as ``model.hdrtab``."""
    for path, value in blended(headers, rules).items():
        try:
            model[path] = value
        except KeyError:  # in the file's ASDF tree but not in the product's schema
            continue
    _attach_table(model, header_table(headers, rules))


def _attach_table(model: Any, table: np.ndarray) -> None:
    from astropy.io import fits
    from stdatamodels import fits_support

    types = [{"name": name, "datatype": _type_of(table.dtype[name])} for name in table.dtype.names or ()]
    schema = {"title": "Combined header table", "fits_hdu": "HDRTAB", "datatype": types}
    model.add_schema_entry("hdrtab", schema)
    # through a FITS table, so that logical columns stay logical when they are written
    model.instance["hdrtab"] = fits_support.from_fits_hdu(fits.BinTableHDU.from_columns(table), schema)


def _type_of(dtype: np.dtype[Any]) -> str | list[Any]:
    if dtype.kind == "U":
        return ["ascii", dtype.itemsize // 4]
    return "int8" if dtype.kind == "b" else str(dtype)
