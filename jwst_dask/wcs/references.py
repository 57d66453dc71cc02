"""Contents of the reference files that transforms are made from, read once per process."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo


def identity(path: str) -> Hashable:
    """What tells one state of a file from another without reading it."""
    try:
        status = os.stat(path)
    except OSError:
        return (path,)
    return (path, status.st_mtime_ns, status.st_size)


@dataclass(frozen=True)
class WcsReferences:
    """Paths of the references of one exposure by type (``""`` or ``"N/A"`` for none), and what they are for."""

    paths: Mapping[str, str]
    instrument: str
    mode: str

    @property
    def key(self) -> Hashable:
        """Identity of all files, for `memo`."""
        return tuple(sorted((name, identity(path)) for name, path in self.paths.items() if _given(path)))

    def path(self, reftype: str) -> str:
        """Path of the file of this type.

        Raises
        ------
        ReferenceError_
            When there is none.
        """
        path = self.paths.get(reftype, "")
        if not _given(path):
            raise ReferenceError_(
                f"assign_wcs needs a {reftype} reference for {self.instrument} {self.mode}, and none was found; "
                f"check CRDS_CONTEXT and CRDS_PATH, or give override_{reftype}"
            )
        return path

    def read(self, reftype: str, pick: Callable[[Mapping[str, Any]], Any]) -> Any:
        """``pick(tree)`` of the ASDF reference of this type, computed once per process (`pick` is a module-level function).

        Raises
        ------
        ReferenceError_
            When the file is missing, unreadable or lacks what `pick` wants.
        """
        path = self.path(reftype)
        return memo(("wcs reference", identity(path), pick), lambda: self._load(reftype, path, pick))

    def _load(self, reftype: str, path: str, pick: Callable[[Mapping[str, Any]], Any]) -> Any:
        import asdf

        try:
            with asdf.open(path, lazy_load=False, memmap=False) as file:
                return pick(file.tree)
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise self.unusable(reftype, error) from error

    def unusable(self, reftype: str, error: Exception) -> ReferenceError_:
        """The error for a file that cannot be used."""
        return ReferenceError_(
            f"the {reftype} reference {self.paths.get(reftype)} for {self.instrument} {self.mode} cannot be used "
            f"({type(error).__name__}: {error}); replace it or give override_{reftype}"
        )


def _given(path: str | None) -> bool:
    return bool(path) and path != "N/A"


def model_of(tree: Mapping[str, Any]) -> Any:
    """The transform of a reference that holds just one."""
    return tree["model"]
