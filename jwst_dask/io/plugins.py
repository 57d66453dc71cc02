"""`asdf` without the plug-ins that a file has no use for.

The first use of `asdf` in a process loads every package that registers types with it: `gwcs`, the transforms of `stdatamodels` and
`asdf_astropy` with the coordinates, models and tables of `astropy`, 0.6 s and 40 MB. Products of stage 1 hold plain values and arrays.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

log = logging.getLogger(__name__)
_CORE_TAG = re.compile(r"!(?:<tag:stsci\.edu:asdf/)?core/(?:asdf|software|extension_metadata|history_entry|ndarray|integer|complex|constant)-")
_TAG = re.compile(r"(?<=[ \n\[{])!\S+")
_EXTENSION = re.compile(r"extension_uri: (\S+)")
_CORE_EXTENSION = "asdf://asdf-format.org/core/extensions/"
_HEAD = 1 << 22
"""Bytes of a file that are searched for the end of its text."""
_PLAIN = (str, int, float, bool, type(None), np.generic)
_RESOURCES = (("asdf_standard", "asdf_standard"), ("asdf", "asdf"), ("stdatamodels", "jwst_datamodel"))
"""Packages, and entry points among theirs, that bring the schemas of core types and of datamodels."""


@contextlib.contextmanager
def core_only(enough: bool = True) -> Iterator[None]:
    """Within, `asdf` knows its core types and the schemas of datamodels, and loads no other plug-in; for this thread.

    Where all plug-ins are loaded already, or `asdf` keeps them in another way than is known here, nothing changes.

    Parameters
    ----------
    enough : bool
        False: do nothing.
    """
    import asdf

    if not enough or getattr(asdf.get_config(), "_extensions", ()) is not None or (resources := _resources()) is None:
        yield
        return
    with asdf.config_context() as known:
        config: Any = known  # there is no public way to say which plug-ins to load: asking for those there are loads them all
        config._resource_mappings, config._resource_manager = resources
        config._extensions = _extensions()
        yield


@contextlib.contextmanager
def opened(path: str, **how: Any) -> Iterator[Any]:
    """`asdf.open` of a file, with the plug-ins that it needs.

    Parameters
    ----------
    path : str
    **how
        For `asdf.open`.

    Raises
    ------
    OSError, ValueError
        As `asdf.open` does.
    """
    import asdf

    with open(path, "rb") as raw:
        head, end, _ = raw.read(_HEAD).partition(b"\n...\n")
    with core_only(bool(end) and core_text(head.decode("utf-8", "replace"))), asdf.open(path, **how) as file:
        yield file


@lru_cache(maxsize=1)
def _resources() -> tuple[list[Any], Any] | None:
    """Schemas of `asdf` itself and of datamodels, as `asdf` wraps them; None if they are not found where they are known to be."""
    from importlib.metadata import distribution

    import asdf
    from asdf.resource import ResourceManager, ResourceMappingProxy

    try:
        if not all(name in vars(asdf.get_config()) for name in ("_extensions", "_resource_mappings", "_resource_manager")):
            raise LookupError("its configuration is another one")
        found = []
        for package, name in _RESOURCES:
            made, dist = _loaded(package, "asdf.resource_mappings", name), distribution(package)
            found += [ResourceMappingProxy(one, package_name=dist.name, package_version=dist.version) for one in made]
        return found, ResourceManager(found)
    except (ImportError, LookupError, TypeError, ValueError) as error:
        log.debug("all plug-ins of asdf are loaded: %s", error)
        return None


@lru_cache(maxsize=1)
def _extensions() -> list[Any]:
    """The core types; they read the resources as they are configured."""
    from importlib.metadata import distribution

    from asdf.extension import ExtensionProxy

    dist = distribution("asdf")
    return [ExtensionProxy(one, package_name=dist.name, package_version=dist.version) for one in _loaded("asdf", "asdf.extensions", "asdf")]


def _loaded(package: str, group: str, name: str) -> list[Any]:
    from importlib.metadata import distribution

    points = [point for point in distribution(package).entry_points if point.group == group and point.name == name]
    if not points:
        raise LookupError(f"{package} has no {name} among its {group}")
    found = points[0].load()()
    return list(found) if isinstance(found, (list, tuple)) else [found]


def core_text(text: str) -> bool:
    """Whether the YAML text of a file has core types only, and was written with no other plug-ins."""
    tags = all(_CORE_TAG.match(tag) for tag in _TAG.findall(text))
    return tags and all(uri.strip("'\"").startswith(_CORE_EXTENSION) for uri in _EXTENSION.findall(text))


def core_tree(tree: Any) -> bool:
    """Whether a tree has nothing but plain values and arrays (of numbers or records), in dictionaries and lists."""
    stack, seen = [tree], set()
    while stack:
        node = stack.pop()
        tag = getattr(node, "_tag", "tag:stsci.edu:asdf/core/")
        if isinstance(node, (dict, list, tuple)) and str(tag).startswith("tag:stsci.edu:asdf/core/"):
            if id(node) not in seen:
                seen.add(id(node))
                stack.extend(node.values() if isinstance(node, dict) else node)
        elif not (isinstance(node, _PLAIN) or type(node) is np.ndarray or type(node).__name__ == "FITS_rec"):
            return False
    return True
