"""What calls of steps and pipelines give back: products opened lazily, combined spectra."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from jwst_dask.core.finish import Result


class Products(Result):
    """What a run made; ``products["cal"]`` opens the product with this suffix lazily (of several, give the file name)."""

    def __getitem__(self, name: str) -> Any:
        """A product as a dataset or tree, by suffix or file name.

        Raises
        ------
        KeyError
            When there is none, or there are several.
        """
        from jwst_dask.io.names import split_suffix

        found = [path for file, path in self.products.items() if name in (file, split_suffix(file)[1]) or file.rsplit(".", 1)[0].endswith(f"_{name}")]
        if len(found) != 1:
            raise KeyError(f"{len(found)} products are named {name}; there are {', '.join(self.products)}")
        return opened(str(found[0]))


def opened(source: Any) -> Any:
    """A dataset, a tree where there are many slits, or a table; datasets and trees as they are."""
    import xarray as xr

    if isinstance(source, (xr.Dataset, xr.DataTree)):
        return source
    from jwst_dask.data import lazy
    from jwst_dask.data.open import open
    from jwst_dask.io.fits import scan
    from jwst_dask.io.multi_read import class_of

    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    if name.lower().endswith((".fits", ".fits.gz")) and (lazy.is_multislit(file := scan(name)) or class_of(file) == "MultiSlitModel"):
        from jwst_dask.backend import JwstBackendEntrypoint

        return xr.open_datatree(file.path, engine=JwstBackendEntrypoint, chunks={})
    if name.lower().endswith(".ecsv"):
        from astropy.table import QTable

        return QTable.read(name, format="ascii.ecsv")
    return open(source)


def combined_spectra(model: Any, name: str) -> Any:
    """Combined spectra as a dataset; a tree where there are several spectral orders."""
    import xarray as xr

    out = {}
    for spec in model.spec:
        table, units = np.asarray(spec.spec_table), {c.name: c.unit for c in spec.spec_table.columns if c.unit}
        columns = {c.lower(): ("wavelength", table[c], {"units": units[c]} if c in units else {}) for c in table.dtype.names or ()}
        plain = {key: value for key, value in spec.instance.items() if isinstance(value, (str, int, float, bool))}
        out[f"/order{spec.spectral_order}"] = xr.Dataset(columns, coords={"wavelength": columns.pop("wavelength")}, attrs={**plain, "product": name})
    return next(iter(out.values())) if len(out) == 1 else xr.DataTree.from_dict(out)
