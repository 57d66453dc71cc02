"""Metadata of an exposure as a flat mapping, by datamodel path or by FITS keyword."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

Value = str | int | float | bool
"""What metadata values are."""


@dataclass(frozen=True)
class Keyword:
    """Where a metadata value stands in a FITS file."""

    path: str
    keyword: str
    hdu: str
    kind: str


_CLASSES = ("SlitModel", "TSOMultiSpecModel", "CubeModel", "JwstDataModel")


@cache
def keywords(model_type: str = "") -> tuple[Keyword, ...]:
    """Keywords of a datamodel class, in schema order; without a name, those of all classes of time-series products.

    Parameters
    ----------
    model_type : str
        ``DATAMODL`` of a product.
    """
    if not model_type:
        seen: dict[str, Keyword] = {}
        for name in _CLASSES:
            for word in keywords(name):
                seen.setdefault(word.path, word)
        return tuple(seen.values())
    from asdf.schema import load_schema
    from stdatamodels import schema
    from stdatamodels.jwst import datamodels

    found: list[Keyword] = []

    def note(node: Any, path: list[Any], combiner: Any, context: Any, recurse: Any) -> None:
        if "fits_keyword" in node and "items" not in path:
            name = ".".join(map(str, path)).removeprefix("meta.")
            kind = node.get("type", "string")
            found.append(Keyword(name, node["fits_keyword"], node.get("fits_hdu", "PRIMARY"), kind if isinstance(kind, str) else kind[0]))

    from jwst_dask.io.plugins import core_only

    url = getattr(datamodels, model_type if hasattr(datamodels, model_type) else "JwstDataModel").schema_url
    with core_only():
        schema.walk_schema(schema.merge_property_trees(load_schema(url, resolve_references=True)), note)
    return tuple(found)


@cache
def by_path() -> dict[str, Keyword]:
    """Datamodel path (without ``meta.``) -> keyword."""
    return {word.path: word for word in keywords()}


@cache
def by_keyword() -> dict[str, tuple[Keyword, ...]]:
    """FITS keyword -> its datamodel paths in the primary header and SCI.

    Classes give some keywords different paths (SRCTYPE), and a few keywords of the guide star are also those of the pointing (V2_REF),
    which is meant here.
    """
    out: dict[str, tuple[Keyword, ...]] = {}
    for word in keywords():
        if word.hdu in ("PRIMARY", "SCI"):
            out[word.keyword] = (*out.get(word.keyword, ()), word)
    return {key: tuple(w for w in words if not w.path.startswith("guidestar.")) or words for key, words in out.items()}


class Meta(Mapping[str, Value]):
    """Immutable flat metadata: datamodel path without leading ``meta.`` -> plain value.

    ``meta["exposure.type"]``, ``meta.get("instrument.name")``; attribute access walks the path: ``meta.exposure.type``
    (None where there is no value).
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        clean = {path: plain(value) for path, value in (values or {}).items()}
        object.__setattr__(self, "_values", {path: value for path, value in clean.items() if value is not None})

    @classmethod
    def from_model(cls, model: Any) -> Meta:
        """Everything plain in a datamodel: ``meta`` and, under their own names, attributes of a slit."""
        words = by_path()
        out = {}
        for path, value in _leaves(model.instance, ""):
            if path.startswith("meta.") or path in words:
                out[path.removeprefix("meta.")] = value
        return cls(out)

    @classmethod
    def from_attrs(cls, attrs: Mapping[str, Any]) -> Meta:
        """From attributes keyed by FITS keyword (`attrs`); keywords that no schema knows are left out."""
        words = by_keyword()
        out: dict[str, Any] = {}
        for key, value in attrs.items():
            for word in words.get(key, ()):
                out[word.path] = bool(value) if word.kind == "boolean" else value
        return cls(out)

    def attrs(self) -> dict[str, Value]:
        """Plain values keyed by FITS keyword, in schema order; they survive zarr and netCDF (logical values are 0 and 1)."""
        out: dict[str, Value] = {}
        for word in keywords():
            value = self._values.get(word.path)
            if value is not None and word.keyword not in out:
                out[word.keyword] = int(value) if isinstance(value, bool) else value
        return out

    def __getitem__(self, path: str) -> Value:
        return self._values[path.removeprefix("meta.")]  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Branch(self, name)._value()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("metadata of a dataset cannot be changed; make a new one")

    def __reduce__(self) -> tuple[Any, ...]:
        return (Meta, (self._values,))

    def __hash__(self) -> int:
        return hash(tuple(sorted((k, repr(v)) for k, v in self._values.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    def __repr__(self) -> str:
        lines = "\n".join(f"  {path} = {value!r}" for path, value in self._values.items())
        return f"Meta of {len(self)} values\n{lines}"


class _Branch:
    """Part of a path on the way to a value (``meta.exposure``)."""

    __slots__ = ("_meta", "_path")

    def __init__(self, meta: Meta, path: str) -> None:
        self._meta, self._path = meta, path

    def _value(self) -> Any:
        if self._path in self._meta:
            return self._meta[self._path]
        return self if any(key.startswith(self._path + ".") for key in self._meta) else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Branch(self._meta, f"{self._path}.{name}")._value()

    def __dir__(self) -> list[str]:
        head = self._path + "."
        return sorted({key[len(head) :].split(".")[0] for key in self._meta if key.startswith(head)})

    def __repr__(self) -> str:
        return f"<metadata {self._path}: {', '.join(self.__dir__())}>"


def plain(value: Any) -> Value | None:
    """A str, int, float or bool with this value, or None if it is nothing of the kind."""
    if isinstance(value, (np.generic,)):
        value = value.item()
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if type(value).__name__ == "Time":
        return str(value.isot)
    return None


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            yield from _leaves(value, here)
        else:
            yield here, value


def header_attrs(*headers: Any) -> dict[str, Value]:
    """Attributes from astropy headers: every keyword but those of the file's structure, earlier headers first."""
    out: dict[str, Value] = {}
    for header in headers:
        for key, value in header.items():
            if not key or key in ("COMMENT", "HISTORY") or key in _STRUCTURE or key.startswith(_NUMBERED) or key in out:
                continue
            clean = plain(value)
            if clean is not None:
                out[key] = int(clean) if isinstance(clean, bool) else clean
    return out


_STRUCTURE = {"SIMPLE", "XTENSION", "BITPIX", "EXTEND", "PCOUNT", "GCOUNT", "TFIELDS", "EXTNAME", "EXTVER", "EXTLEVEL", "BZERO", "BSCALE",
              "CHECKSUM", "DATASUM", "NAXIS"}  # fmt: skip
_NUMBERED = ("NAXIS", "TTYPE", "TFORM", "TUNIT", "TDIM", "TZERO", "TSCAL", "TNULL", "TDISP", "ZNAXIS", "ZTILE", "ZVAL", "ZNAME")
