"""The WCS of a slit as a product holds it: text until a step evaluates it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwst_dask.io.asdf_text import Fragment


class StoredSlit:
    """`SlitWcs` of a slit of a product, rectified or not.

    Making the gwcs object takes some 0.2 s, so it is made when something is asked of it. What goes into another product is the
    text as it was found.

    Parameters
    ----------
    piece : Fragment
        Of the ASDF extension.
    fast : callable, optional
        Gives the same WCS without gwcs, None if it cannot.
    """

    def __init__(self, piece: Fragment, fast: Callable[[], Any] | None = None) -> None:
        self._piece, self._fast = piece, fast

    @cached_property
    def _made(self) -> Any:
        from jwst_dask.wcs.rectified_gwcs import rectified
        from jwst_dask.wcs.slitwcs import GwcsSlit

        if self._fast is not None and (fast := self._fast()) is not None:
            return fast
        wcs = self.gwcs()
        return GwcsSlit(wcs) if "gwa" in wcs.available_frames else rectified(wcs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._made, name)

    def gwcs(self) -> Any:
        """The gwcs object: do not change it."""
        from jwst_dask.io.asdf_text import load

        return load(self._piece)

    def fragment(self) -> Fragment:
        """Its text."""
        return self._piece
