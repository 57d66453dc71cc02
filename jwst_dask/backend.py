"""xarray engine ``jwst``: exposures and spectra as lazy datasets, multi-slit products as lazy trees."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

import jwst_dask.accessor  # noqa: F401  registers ds.jwst
from jwst_dask.core.errors import InputError
from jwst_dask.data import lazy, schema
from jwst_dask.io import names
from jwst_dask.io.fits import FitsFile, scan


class JwstBackendEntrypoint(BackendEntrypoint):  # type: ignore[misc]
    """Open JWST products with ``xr.open_dataset(path, engine="jwst")`` and ``xr.open_datatree``.

    Headers (and the small tables of times) are read on opening; pixels are read by byte range when they are computed, one range
    per variable and chunk. ``chunks={}`` takes the preferred chunks: whole integrations, some 16 MB for each variable.
    """

    description: ClassVar[str] = "JWST FITS products (uncal, ramp, rate, rateints, cal, calints, crfints, x1d, x1dints)"
    url: ClassVar[str] = "https://jwst-docs.stsci.edu"
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[tuple[str, ...]] = ("filename_or_obj", "drop_variables", "group")

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None,
                     group: str | None = None) -> xr.Dataset:  # fmt: skip
        """One exposure, spectrum, or (with `group`) one slit of a multi-slit product.

        Raises
        ------
        InputError
            Not a JWST product, damaged, or a multi-slit product without `group`.
        """
        file = filename_or_obj if isinstance(filename_or_obj, FitsFile) else scan(_path(filename_or_obj))
        return _dropped(_open(file, group), drop_variables)

    def open_datatree(self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None, **kwargs: Any) -> xr.DataTree:
        """Every slit of a product as a child of a root that holds attributes only."""
        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, drop_variables=drop_variables, **kwargs))

    def open_groups_as_dict(self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None,
                            **kwargs: Any) -> dict[str, xr.Dataset]:  # fmt: skip
        """Datasets by path in the tree, the root included."""
        file = scan(_path(filename_or_obj))
        children = lazy.slits(file)
        root = xr.Dataset(attrs=lazy.attributes(file))
        root.encoding["source"] = file.path
        tree = {"/": root}
        for name, ver in children.items():
            tree[f"/{name}"] = _dropped(lazy.slit(file, ver), drop_variables)
        return tree

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the name is that of a JWST product in FITS."""
        if not isinstance(filename_or_obj, (str, os.PathLike)):
            return False
        path = os.fspath(filename_or_obj)
        return path.lower().endswith((".fits", ".fits.gz")) and names.split_suffix(path)[1] in {*schema.SCHEMAS, *schema.ALIASES}


def _path(name: Any) -> str:
    if isinstance(name, (str, os.PathLike)):
        return os.fspath(name)
    raise InputError(f"{name!r}: give the path or URL of a FITS file")


def _dropped(dataset: xr.Dataset, names_: str | Iterable[str] | None) -> xr.Dataset:
    wanted = [names_] if isinstance(names_, str) else list(names_ or ())
    return dataset.drop_vars(wanted, errors="ignore")


def _open(file: FitsFile, group: str | None) -> xr.Dataset:
    children = lazy.slits(file)
    if group not in (None, "", "/"):
        wanted = str(group).strip("/")
        if wanted not in children:
            raise InputError(f"{file.path}: there is no slit {wanted}; the file has {', '.join(children)}")
        return lazy.slit(file, children[wanted])
    if lazy.is_multislit(file):
        raise InputError(f"{file.path}: holds {len(children)} slits; open one with group={next(iter(children))!r}, "
                         "or all with xr.open_datatree")  # fmt: skip
    return lazy.dataset(file)
