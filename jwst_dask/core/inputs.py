"""What the user named, sorted into the jobs a pipeline does: one per association product."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jwst_dask.core.errors import InputError


@dataclass(frozen=True)
class Request:
    """One association product to be made by one pipeline.

    Attributes
    ----------
    name : str
        Product name (file name without suffix).
    science : tuple of str
        Paths of the science members.
    members : mapping
        Other member types -> paths.
    pool, table, asn_id : str
        Association identity for the products' headers and names.
    """

    name: str
    science: tuple[str, ...]
    members: Mapping[str, list[str]] = field(default_factory=dict)
    pool: str | None = None
    table: str | None = None
    asn_id: str | None = None
    asn_type: str = ""


def expand(inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Files from names, globs and lists.

    Raises
    ------
    InputError
        When a name matches nothing.
    """
    names = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    out: list[str] = []
    for name in map(os.fspath, names):
        found = sorted(glob.glob(name)) if any(c in name for c in "*?[") and "://" not in name else [name]
        if not found or ("://" not in name and not os.path.exists(found[0])):
            raise InputError(f"{name}: no such file; give exposures, associations (.json) or a quoted pattern")
        out += found
    return list(dict.fromkeys(out))


def requests(paths: list[str], level: int, allow_outside: bool = False) -> list[Request]:
    """Requests for a pipeline of this level.

    Stage 2 makes one request for each exposure; stage 3 one for each association product (loose files make one together).
    """
    from jwst_dask.data import association

    loose = [path for path in paths if not path.endswith(".json")]
    out: list[Request] = []
    for path in paths:
        if path.endswith(".json"):
            out += _of_association(association.load(path, allow_outside=allow_outside), path)
    if level == 2:
        out += [Request(_base(path), (path,), pool="singleton", table="singleton", asn_id=None) for path in loose]
    elif loose:
        out.append(Request(_level3_name(loose), tuple(loose), pool="none", table="none", asn_id=None))
    return out


def _of_association(asn: Any, path: str) -> list[Request]:
    out = []
    for product in asn.products:
        members: dict[str, list[str]] = {}
        for member in product.members:
            members.setdefault(member.exptype.lower(), []).append(str(member.path))
        science = members.pop("science", [])
        if not science:
            raise InputError(f"{path}: product {product.name} has no science member; give at least one member with exptype science")
        out.append(Request(product.name, tuple(science), members, asn.asn_pool, os.path.basename(path), asn.asn_id, asn.asn_type))
    return out


def _base(path: str) -> str:
    from jwst_dask.io.names import remove_suffix

    return remove_suffix(Path(path).name)


def _level3_name(paths: list[str]) -> str:
    """A level-3 name for files given without an association: what their names have in common."""
    from jwst_dask.io.names import remove_suffix

    bases = [remove_suffix(Path(path).name) for path in paths]
    common = os.path.commonprefix(bases) if len(bases) > 1 else bases[0]
    return common.rstrip("-_0123456789").removesuffix("-seg").rstrip("-_") or bases[0]
