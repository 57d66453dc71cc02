"""What the user named, sorted into the jobs a pipeline does: one per association product."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jwst_dask.core.errors import InputError

log = logging.getLogger(__name__)


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
    for name in [os.fspath(given) for given in names]:
        found = sorted(glob.glob(name)) if any(c in name for c in "*?[") and "://" not in name else [name]
        if not found or ("://" not in name and not os.path.exists(found[0])):
            raise InputError(f"{name}: no such file; give exposures, associations (.json) or a quoted pattern")
        out += found
    return list(dict.fromkeys(out))


def requests(paths: list[str], level: int, allow_outside: bool = False, isolate: bool = False,
             also: tuple[str, ...] = (), first: tuple[str, ...] = ()) -> tuple[list[Request], dict[str, str]]:  # fmt: skip
    """Requests for a pipeline of this level.

    Stages 1 and 2 make one request for each exposure; stage 3 one for each association product (loose files make one together).

    Parameters
    ----------
    paths : list of str
        Exposures and associations.
    level : int
    allow_outside : bool
        Association members may lie outside the association's folder.
    isolate : bool
        Report associations that cannot be used rather than fail with the first.
    also : tuple of str
        Folders where association members may be besides.
    first : tuple of str
        Folders where they are looked for before any other.

    Returns
    -------
    requests, failures
        ``failures``: path -> what is wrong.
    """
    from jwst_dask.data import association

    loose = [path for path in paths if not path.endswith(".json")]
    out: list[Request] = []
    failures: dict[str, str] = {}
    for path in paths:
        if path.endswith(".json"):
            try:
                out += _of_association(association.load(path, allow_outside=allow_outside, also=also, first=first), path)
            except InputError as error:
                if not isolate:
                    raise
                log.error("%s", error)
                failures[os.path.basename(path)] = str(error)
    if level < 3:
        out += [Request(_base(path), (path,), pool="singleton", table="singleton", asn_id=None) for path in loose]
    elif loose:
        loose = sorted(loose, key=os.path.basename)  # segments in their order, however they were given
        out.append(Request(_level3_name(loose), tuple(loose), pool="none", table="none", asn_id=None))
    return out, failures


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
    """A level-3 name for files given without an association: what their names have in common, without segment and detector."""
    from jwst_dask.io.names import parse, remove_suffix

    bases = [remove_suffix(Path(path).name) for path in paths]
    parsed = [parse(base) for base in bases]
    if all(parsed):
        parts = [(f"jw{p.program}{p.observation}{p.visit}", f"{p.group}{p.sequence}{p.activity}", p.exposure) for p in parsed if p is not None]
        shared = [words[0] for words in zip(*parts) if len(set(words)) == 1]
        name = "_".join(shared if len(shared) == 3 else shared[:1]) or f"jw{parsed[0].program}"  # type: ignore[union-attr]
    else:
        name = os.path.commonprefix(bases).rstrip("-_") or bases[0]
    return f"{name}_series" if name in bases else name  # products of level 2 have that name
