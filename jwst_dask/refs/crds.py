"""Which reference files an exposure gets: selection by the `crds` client, overrides, and what was looked up.

Rules are read from the cache at ``CRDS_PATH``. A server (``CRDS_SERVER_URL``) is contacted only for what the cache does
not hold: the current context when ``CRDS_CONTEXT`` does not name one, missing rules, missing files.
"""

from __future__ import annotations

import ast
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jwst_dask.core.errors import ReferenceError_

NOT_APPLICABLE = "N/A"
SERVER = "https://jwst-crds.stsci.edu"
VARIABLES = ("CRDS_PATH", "CRDS_SERVER_URL", "CRDS_CONTEXT", "CRDS_MODE", "CRDS_CONFIG_URI", "CRDS_REFPATH", "CRDS_MAPPATH", "CRDS_CFGPATH")
ADVICE = (
    f"Set CRDS_PATH to the folder of your CRDS cache; with CRDS_SERVER_URL={SERVER} missing files are downloaded into it. "
    "CRDS_CONTEXT (jwst_NNNN.pmap) selects the rules."
)

log = logging.getLogger(__name__)
_guard = threading.RLock()  # the crds client keeps process-wide caches without locks of its own
_state: dict[str, Any] = {"environment": None}
_pinned: dict[str | None, str] = {}
_found: dict[tuple[str, frozenset[tuple[str, str]]], dict[str, str]] = {}


def _client() -> None:
    """Import `crds` once, quiet, and drop its caches when the environment has changed since the last call."""
    from crds.core import config, utils  # config puts its defaults into the environment when it is imported

    log.debug("CRDS cache %s", config.get_crds_path())
    environment = tuple(os.environ.get(name) for name in VARIABLES)
    if _state["environment"] != environment:
        if _state["environment"] is not None:
            utils.clear_function_caches()
        _pinned.clear()
        _found.clear()
        _state["environment"] = environment
        if not os.environ.get("CRDS_VERBOSITY"):
            logging.getLogger("CRDS").setLevel(logging.ERROR)


def _folder(kind: str) -> Path:
    from crds.core import config

    return Path({"mappings": config.get_crds_mappath, "config": config.get_crds_cfgpath}[kind]("jwst"))


def _offline() -> bool:
    return "serverless" in os.environ.get("CRDS_SERVER_URL", "serverless") or not os.environ["CRDS_SERVER_URL"]


def server_config() -> dict[str, Any]:
    """What the cache remembers of the server: operational context, files found to be bad; empty if it remembers nothing."""
    path = _folder("config") / "server_config"
    try:
        return _parsed(str(path), path.stat().st_mtime_ns)
    except (OSError, ValueError, SyntaxError, TypeError):
        return {}


@lru_cache(maxsize=4)
def _parsed(path: str, mtime_ns: int) -> dict[str, Any]:
    """A server_config as it was at some time; it is asked for at every look-up."""
    return dict(ast.literal_eval(Path(path).read_text()))


def pin_context(context: str | None = None) -> str:
    """The rules to select by, as the name of one pipeline mapping (``jwst_NNNN.pmap``), for a whole run.

    Parameters
    ----------
    context : str
        A mapping or a symbolic name; by default what ``CRDS_CONTEXT`` says, else the operational context.

    Raises
    ------
    ReferenceError_
        When there is no CRDS cache, or the context is unknown; the message says what to set.
    """
    with _guard:
        if (name := context or os.environ.get("CRDS_CONTEXT", "")).endswith(".pmap") and _cached(name):
            return name  # where references are given, the client is not needed, whose import takes half a second
        _client()
        if context not in _pinned:
            name = _name_context(context or os.environ.get("CRDS_CONTEXT") or None)
            _mapping(name)
            _pinned[context] = name
        return _pinned[context]


def _cached(context: str) -> bool:
    """Whether the rules of a context are in a cache of the usual layout; False where only the client knows."""
    unusual = any(name in os.environ for name in ("CRDS_MAPPATH", "CRDS_MAPPATH_SINGLE", "CRDS_PATH_SINGLE"))
    return not unusual and os.path.isfile(os.path.join(os.environ.get("CRDS_PATH", ""), "mappings", "jwst", context))


def _name_context(wanted: str | None) -> str:
    if wanted and wanted.endswith((".pmap", ".imap")):
        return wanted
    symbols = {None: "operational_context", "latest": "operational_context", "jwst-latest": "operational_context",
               "jwst-operational": "operational_context", "jwst-edit": "edit_context"}  # fmt: skip
    info = server_config() if _offline() else {}
    if wanted in symbols and info:
        return str(info.get("latest_context") if wanted != "jwst-edit" and info.get("latest_context") else info[symbols[wanted]])
    if _offline():
        _explain_absence(wanted)
    from crds.core import heavy_client

    try:
        return str(heavy_client.get_context_name("jwst", wanted))
    except (Exception, SystemExit) as error:  # the client's set-up errors have many types, one ends the process
        raise ReferenceError_(f"CRDS cannot name the context {wanted or '(default)'!r}: {error}. {ADVICE}") from error


def _explain_absence(wanted: str | None) -> None:
    cache = os.environ.get("CRDS_PATH")
    if not cache:
        raise ReferenceError_(f"CRDS_PATH is not set. {ADVICE}")
    if not os.path.isdir(cache):
        raise ReferenceError_(f"there is no CRDS cache at CRDS_PATH={cache}. {ADVICE}")
    what = f"the context {wanted!r} cannot be translated" if wanted else "CRDS_CONTEXT is not set"
    raise ReferenceError_(f"{what} and the cache at {cache} holds no server_config. {ADVICE}")


def _mapping(context: str) -> Any:
    """The loaded rules of a context, from the cache, downloaded only if they are not there."""
    from crds.core import heavy_client

    try:
        return heavy_client.get_symbolic_mapping(context, cached=True)
    except Exception as error:
        if _offline():
            if not (known := sorted(path.name for path in _folder("mappings").glob("*.pmap")) if os.environ.get("CRDS_PATH") else []):
                _explain_absence(context)
            raise ReferenceError_(
                f"the CRDS context {context} is not usable from the cache at {os.environ.get('CRDS_PATH')} ({error}). It holds "
                f"{', '.join(known[-5:])}. {ADVICE}"
            ) from error
    from crds.client import api

    try:
        api.dump_mappings(context)
        return heavy_client.get_symbolic_mapping(context, cached=True)
    except Exception as error:
        raise ReferenceError_(f"CRDS has no usable context {context}: {error}. {ADVICE}") from error


def _simple(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if isinstance(value, (str, int, float, bool))}


def _select(parameters: Mapping[str, Any], reftypes: Iterable[str], context: str) -> dict[str, str]:
    """File name, ``N/A`` or ``NOT FOUND reason`` for each type; one evaluation of the rules per distinct parameter set."""
    _client()
    from crds.core import heavy_client

    from jwst_dask.io.plugins import core_only

    simple = _simple(parameters)
    known = _found.setdefault((context, frozenset((key, str(value)) for key, value in simple.items())), {})
    if wanted := [reftype for reftype in dict.fromkeys(reftypes) if reftype not in known]:
        _mapping(context)
        try:
            with core_only():  # it makes a datamodel to ask which keywords there are
                answer = heavy_client.hv_best_references(context, simple, include=wanted)
        except Exception as error:
            instrument = simple.get("meta.instrument.name")
            raise ReferenceError_(f"CRDS cannot select references for instrument {instrument!r} under {context}: {error}") from error
        for reftype in wanted:
            name = str(answer.get(reftype, NOT_APPLICABLE))
            none = name.upper() == NOT_APPLICABLE or (name.startswith("NOT FOUND") and "N/A" in name.upper())
            known[reftype] = NOT_APPLICABLE if none else name
    return {reftype: known[reftype] for reftype in dict.fromkeys(reftypes)}


def _locate(names: Mapping[str, str], parameters: Mapping[str, Any], context: str) -> dict[str, str]:
    """Absolute paths; files that the cache lacks are downloaded together, if there is a server."""
    _client()
    import crds
    from crds.core import config

    bad = set() if config.ALLOW_BAD_REFERENCES else set(server_config().get("bad_files_list") or ())
    paths, absent = {}, []
    for reftype, name in names.items():
        if name == NOT_APPLICABLE:
            paths[reftype] = NOT_APPLICABLE
            continue
        if name in bad:
            raise ReferenceError_(
                f"{name} ({reftype}) is marked as scientifically invalid by CRDS. Use a newer context, override_{reftype}, or "
                "CRDS_ALLOW_BAD_REFERENCES=1"
            )
        paths[reftype] = os.path.abspath(crds.locate_file(name, "jwst"))
        if not os.path.exists(paths[reftype]):
            absent.append(reftype)
    if absent and not _offline():
        try:
            fetched = crds.getreferences(_simple(parameters), reftypes=absent, context=context, observatory="jwst")
        except Exception as error:
            raise ReferenceError_(f"CRDS could not deliver {', '.join(names[r] for r in absent)}: {error}") from error
        paths |= {reftype: os.path.abspath(str(path)) for reftype, path in fetched.items()}
    for reftype in absent:
        if not os.path.exists(paths[reftype]):
            raise ReferenceError_(
                f"the {reftype} reference {names[reftype]} is not in the cache ({paths[reftype]}) and there is no server to get it from. "
                f"Set CRDS_SERVER_URL={SERVER}, or run `jwst-dask refs prefetch` where there is a network"
            )
    return paths


def _mode(parameters: Mapping[str, Any]) -> str:
    parts = [parameters.get(f"meta.{key}") for key in ("instrument.name", "instrument.detector", "exposure.type", "instrument.filter",
                                                       "instrument.grating", "subarray.name")]  # fmt: skip
    return " ".join(str(part) for part in parts if part)


def resolve(parameters: Mapping[str, Any], reftypes: Iterable[str], context: str | None = None) -> dict[str, str]:
    """The best references for an exposure.

    Parameters
    ----------
    parameters : mapping
        CRDS parameters, from ``model.get_crds_parameters()``.
    reftypes : iterable of str
        Types, for example ``("flat", "photom")``.
    context : str
        Rules; by default those of `pin_context`.

    Returns
    -------
    dict
        Absolute path, or ``"N/A"`` where the rules say that the mode has no such reference.

    Raises
    ------
    ReferenceError_
        When the rules have no answer for this exposure, or a file cannot be had.
    """
    with _guard:
        context = pin_context(context)
        names = _select(parameters, reftypes, context)
        for reftype, name in names.items():
            if name.startswith("NOT FOUND"):
                raise ReferenceError_(
                    f"no {reftype} reference for {_mode(parameters)} under {context}: {name.removeprefix('NOT FOUND').strip()}. "
                    f"Give one with override_{reftype}, or override_{reftype}=N/A to do without"
                )
        return _locate(names, parameters, context)


class References:
    """Look-up of reference files by type for one exposure and one step: ``refs("flat")`` is a path or ``"N/A"``.

    Parameters
    ----------
    parameters : mapping
        CRDS parameters of the exposure.
    overrides : mapping
        Path or ``"N/A"`` by type; wins over CRDS. An empty value counts as none given.
    context : str
        Rules; by default those of `pin_context`.
    reftypes : iterable of str
        Types that are likely to be asked for, resolved together with the first.

    Attributes
    ----------
    used : dict
        Absolute path or ``"N/A"`` of each type looked up so far.
    """

    def __init__(self, parameters: Mapping[str, Any], overrides: Mapping[str, str] | None = None, *, context: str | None = None,
                 reftypes: Iterable[str] = ()) -> None:  # fmt: skip
        self.parameters = dict(parameters)
        self.overrides = {reftype: str(path).strip() for reftype, path in (overrides or {}).items() if path is not None and str(path).strip()}
        self.context = context
        self.used: dict[str, str] = {}
        self._hint = tuple(reftypes)

    def __call__(self, reftype: str) -> str:
        """Absolute path of the reference, or ``"N/A"``; noted in `used`.

        Raises
        ------
        ReferenceError_
            When it cannot be had.
        """
        if reftype in self.overrides:
            path = self._override(reftype)
        else:
            with _guard:
                context = pin_context(self.context)
                _select(self.parameters, (*self._hint, reftype), context)
                path = resolve(self.parameters, (reftype,), context)[reftype]
        self.used[reftype] = path
        return path

    def _override(self, reftype: str) -> str:
        given = self.overrides[reftype]
        if given == NOT_APPLICABLE:
            return NOT_APPLICABLE
        if given.startswith("crds://"):
            with _guard:
                context = pin_context(self.context)
                return _locate({reftype: given.removeprefix("crds://")}, self.parameters, context)[reftype]
        path = os.path.abspath(os.path.expanduser(given))
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            what = "is not readable" if os.path.exists(path) else "does not exist"
            raise ReferenceError_(f"override_{reftype}={given}: the file {path} {what}")
        return path

    def scoped(self, overrides: Mapping[str, str], reftypes: Iterable[str] = ()) -> References:
        """The same look-up for another step: its overrides on top of these, nothing looked up yet."""
        return References(self.parameters, {**self.overrides, **overrides}, context=self.context, reftypes=reftypes or self._hint)

    def recorded(self) -> dict[str, str]:
        """What products record in their ``R_*`` keywords: ``crds://name``, the path of an override, or ``N/A``."""
        out = {}
        for reftype, path in self.used.items():
            chosen = reftype in self.overrides and not self.overrides[reftype].startswith("crds://")
            out[reftype] = path if chosen or path == NOT_APPLICABLE else f"crds://{os.path.basename(path)}"
        return out


@dataclass(frozen=True)
class Row:
    """A line of ``jwst-dask refs list``; `size` in bytes, 0 for what is not a local file."""

    reftype: str
    name: str
    path: str
    size: int
    state: str


def list_references(parameters: Mapping[str, Any], reftypes: Iterable[str], *, overrides: Mapping[str, str] | None = None,
                    context: str | None = None) -> list[Row]:  # fmt: skip
    """What an exposure would use, without fetching anything.

    Returns
    -------
    list of Row
        `state` is ``"cached"``, ``"to download"``, ``"override"``, ``"override missing"``, ``"N/A"`` or ``"NOT FOUND: reason"``.
    """
    import crds

    given = {reftype: path for reftype, path in (overrides or {}).items() if path}
    with _guard:
        context = pin_context(context)
        names = _select(parameters, reftypes, context)
        rows = []
        for reftype, name in names.items():
            if reftype in given and given[reftype] != NOT_APPLICABLE:
                path = os.path.abspath(given[reftype])
                there = os.path.isfile(path)
                rows.append(Row(reftype, os.path.basename(path), path, os.path.getsize(path) if there else 0,
                                "override" if there else "override missing"))  # fmt: skip
            elif name == NOT_APPLICABLE or given.get(reftype) == NOT_APPLICABLE:
                rows.append(Row(reftype, NOT_APPLICABLE, NOT_APPLICABLE, 0, NOT_APPLICABLE))
            elif name.startswith("NOT FOUND"):
                rows.append(Row(reftype, "", "", 0, f"NOT FOUND: {name.removeprefix('NOT FOUND').strip()}"))
            else:
                path = os.path.abspath(crds.locate_file(name, "jwst"))
                there = os.path.isfile(path)
                rows.append(Row(reftype, name, path, os.path.getsize(path) if there else 0, "cached" if there else "to download"))
    return rows


def prefetch(exposures: Iterable[Mapping[str, Any]], reftypes: Iterable[str], context: str | None = None) -> list[str]:
    """Bring all references of some exposures into the cache; types without an answer are left to the steps that need them.

    Returns
    -------
    list of str
        Paths of the files, each once.
    """
    types = tuple(reftypes)
    files: dict[str, None] = {}
    with _guard:
        context = pin_context(context)
        for parameters in exposures:
            names = {k: v for k, v in _select(parameters, types, context).items() if not v.startswith("NOT FOUND")}
            files |= dict.fromkeys(path for path in _locate(names, parameters, context).values() if path != NOT_APPLICABLE)
    return list(files)


def crds_version() -> str:
    """Version of the `crds` client, as products record it."""
    return version("crds")
