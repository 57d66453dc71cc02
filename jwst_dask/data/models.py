"""New datamodels, and metadata from one to another, without the schema work that `stdatamodels` repeats for each.

Making an empty model takes it 5 ms (it loads, copies and merges the schema) and copying metadata 8 ms (it walks both schemas and
validates value by value); both recur for every product of every segment.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jwst_dask.core.memo import memo
from jwst_dask.io.plugins import core_only

Path = tuple[str, ...]
_PROTECTED = {("meta", "date"), ("meta", "model_type")}
_ANNOTATIONS = {"title", "description", "fits_keyword", "fits_hdu", "blend_rule", "blend_table", "default", "type", "enum", "id"}
_TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,)}


def blank(cls: type[Any], validate: bool = False) -> Any:
    """An empty model of a class of `stdatamodels`; models of one class share their schema.

    Parameters
    ----------
    cls : type
    validate : bool
        Check values on assignment. Values that steps compute need no check; products are validated when they are opened.
    """
    with core_only(not validate):  # checks convert values of any type
        first = memo(("blank model", cls), cls)
        model: Any = object.__new__(cls)
        vars(model).update(vars(first))
        model._file_references = []
        cls.clone(model, first, deepcopy=True)
        model._validate_on_assignment = validate
    return model


def filled(cls: type[Any], tree: Mapping[str, Any], validate: bool = False) -> Any:
    """A model with this tree, which is not copied below the top."""
    model = blank(cls, validate)
    model.instance.clear()
    model.instance.update(tree)
    return model


def copy_metadata(target: Any, source: Any, only: str | None = None) -> None:
    """The same as ``target.update(source, only=only)``: values that both schemas have for keywords, none of them arrays.

    Values of a simple type are put where they belong at once if they are of that type; others go through assignment.
    """
    if source.hasattr("cal_logs"):
        target.update(source, only=only)
        return
    wanted, rules = memo(("metadata", type(source), type(target), only), lambda: (_keywords(source, target, only), {}))
    validate = target._validate_on_assignment

    def walk(node: Mapping[str, Any], path: Path) -> None:
        for key, value in node.items():
            here = (*path, key)
            if isinstance(value, dict):
                walk(value, here)
            elif here in wanted and not isinstance(value, list):
                if here not in rules:
                    rules[here] = _rule(target.schema, here)
                _assign(target, here, value, rules[here], validate)

    walk(source.instance, ())


def _assign(target: Any, path: Path, value: Any, rule: tuple[bool, tuple[type, ...], Any], validate: bool) -> None:
    reachable, types, choices = rule
    if reachable and type(value) in (types if validate else (str, int, float, bool)) and (not validate or choices is None or value in choices):
        node = target.instance
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
        return
    try:
        target[".".join(path)] = copy.deepcopy(value)
    except (KeyError, AttributeError):  # the target's schema has no such place
        return


def _keywords(source: Any, target: Any, only: str | None) -> set[Path]:
    """Paths of keywords of the source that belong to extensions which the target has."""
    from stdatamodels.schema import walk_schema

    extensions, found = {only or "PRIMARY"}, set()

    def extension(node: Mapping[str, Any], *_: Any) -> None:
        if "fits_hdu" in node:
            extensions.add(node["fits_hdu"])

    def keyword(node: Mapping[str, Any], path: list[str], *_: Any) -> None:
        if "fits_keyword" in node and node.get("fits_hdu", "PRIMARY") in extensions and tuple(path) not in _PROTECTED:
            found.add(tuple(path))

    if only is None:
        walk_schema(target.schema, extension)
    walk_schema(source.schema, keyword)
    return found


def _rule(schema: Mapping[str, Any], path: Path) -> tuple[bool, tuple[type, ...], Any]:
    """Whether a schema has a path; the types that are valid there, and the values if they are few (none where it is not that simple)."""
    for part in path:
        if part not in schema.get("properties", {}):
            return False, (), None
        schema = schema["properties"][part]
    simple = set(schema) <= _ANNOTATIONS and isinstance(schema.get("type"), str)
    return "datatype" not in schema, _TYPES.get(schema["type"], ()) if simple else (), schema.get("enum")
