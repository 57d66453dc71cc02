"""``ds.jwst``: what a dataset of a JWST product knows beyond its arrays."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import xarray as xr

from jwst_dask.core.errors import InputError
from jwst_dask.data import dq

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from jwst_dask.data.meta import Meta


class Flags:
    """``ds.jwst.dq``: flags by name."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def mask(self, names: str | Iterable[str] = "DO_NOT_USE") -> xr.DataArray:
        """True where any of the named flags is set (lazy, dimensions of ``dq``).

        Raises
        ------
        KeyError
            For a name that is not a flag.
        InputError
            If the dataset has no ``dq``.
        """
        if "dq" not in self._dataset:
            raise InputError("this dataset has no dq variable")
        out: xr.DataArray = dq.mask(self._dataset["dq"], names)
        return out.rename(names.lower() if isinstance(names, str) else "_".join(names).lower()).assign_attrs(units="")

    @property
    def names(self) -> dict[str, int]:
        """Flag names and values."""
        return dict(dq.PIXEL)


@xr.register_dataset_accessor("jwst")
class JwstAccessor:
    """Metadata by datamodel path, flags by name, the WCS, a quick look and FITS output of a dataset.

    Nothing here is kept in ``attrs``; what is built on demand belongs to this view of the dataset.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    @cached_property
    def meta(self) -> Meta:
        """Metadata by datamodel path: ``ds.jwst.meta["exposure.type"]`` or ``ds.jwst.meta.exposure.type``."""
        from jwst_dask.data.meta import Meta

        return Meta.from_attrs({str(key): value for key, value in self._dataset.attrs.items()})

    @property
    def dq(self) -> Flags:
        """Flags by name."""
        return Flags(self._dataset)

    @property
    def kind(self) -> str:
        """Kind of product (``rateints``, ``calints``, ``x1dints``, ...)."""
        from jwst_dask.data import schema

        return str(self._dataset.encoding.get("kind") or schema.guess(self._dataset))

    @property
    def sources(self) -> list[str]:
        """Files the dataset was opened from.

        Raises
        ------
        InputError
            If it does not know them.
        """
        found = self._dataset.encoding.get("sources") or [self._dataset.encoding.get("source")]
        if not found[0]:
            raise InputError("this dataset does not know the file it is from (encoding['source']); open it with jwst_dask.open")
        return [str(path) for path in found]

    @cached_property
    def wcs(self) -> Any:
        """The gwcs object of the (first) source file, or of this slit of it; None if it has none. Shared: copy it before changing it."""
        from jwst_dask.io.asdf_text import load
        from jwst_dask.io.fits import scan
        from jwst_dask.io.multi_read import is_multi, open_multi
        from jwst_dask.io.skeleton import wcs_of

        file, slit = scan(self.sources[0]), self._dataset.attrs.get("SLTNAME")
        if slit is not None and is_multi(file):
            piece = open_multi(file).find(str(slit)).wcs
            return None if piece is None else load(piece)
        return wcs_of(file)

    @cached_property
    def header(self) -> Header:
        """Primary header of the (first) source file."""
        from jwst_dask.io.fits import scan

        return scan(self.sources[0]).header(0)

    def check(self) -> list[Any]:
        """Where the dataset departs from its declared schema (a list of issues, empty if it does not)."""
        from jwst_dask.data import schema

        return schema.check(self._dataset)

    def plot(self, figure: Any = None, **options: Any) -> Any:
        """A quick look (`jwst_dask.plots.plot_dataset`): median image and flags, or spectra against time; returns the Axes."""
        from jwst_dask.plots import plot_dataset

        return plot_dataset(self._dataset, figure, **options)

    def to_fits(self, path: Any, checksum: bool = False) -> list[str]:
        """Write the dataset as a product of its kind, with the metadata of the files it is from. Computes it, in bounded memory.

        Parameters
        ----------
        path : str
            File name; a folder if the dataset is from several files (one product each, named after them).
        checksum : bool
            Add CHECKSUM and DATASUM.

        Returns
        -------
        list of str
            Files written.

        Raises
        ------
        InputError
            The dataset's image size is not that of its source, or the file cannot be written.
        """
        from jwst_dask.io.export import to_fits

        return to_fits(self._dataset, path, checksum=checksum)
