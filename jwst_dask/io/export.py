"""Datasets as FITS products: the template comes from the files they were opened from, the arrays from the dataset."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

import numpy as np
import xarray as xr

from jwst_dask.core.errors import InputError
from jwst_dask.data import schema
from jwst_dask.data.exposure import CUBES
from jwst_dask.io import names
from jwst_dask.io.fits import scan
from jwst_dask.io.layout import Layout, Region, allocate, finish, plan_layout, temporary, write_rows

_HISTORY = "JWSTDASK"


def to_fits(dataset: xr.Dataset, path: str | os.PathLike[str], checksum: bool = False) -> list[str]:
    """See `jwst_dask.accessor.JwstAccessor.to_fits`."""
    sources = dataset.jwst.sources
    target = os.fspath(path)
    folder = os.path.isdir(target) or target.endswith(os.sep)
    if len(sources) > 1 and not folder:
        raise InputError(f"{target}: the dataset is from {len(sources)} files; give a folder, or select the integrations of one")
    written = []
    for model, part, name in zip(_templates(dataset, sources), _parts(dataset, sources), sources):
        if part is not None:
            final = os.path.join(target, names.product_name(name, dataset.jwst.kind)) if folder else target
            written.append(_write(model, part, final, checksum))
    if not written:
        raise InputError(f"{target}: none of the dataset's integrations is from {', '.join(map(os.path.basename, sources))}")
    return written


def _templates(dataset: xr.Dataset, sources: list[str]) -> list[Any]:
    """A datamodel of one integration for each source, taken through the steps that the dataset has been through."""
    from jwst_dask.io.skeleton import skeleton

    history = json.loads(dataset.attrs.get(_HISTORY, "[]"))
    if not history:
        return [skeleton(name) for name in sources]
    from jwst_dask.core import calls
    from jwst_dask.refs.crds import pin_context

    drafts, context = calls.drafts_of(dataset), pin_context()
    for draft in drafts:
        calls.replay(draft, history, context)
    return [draft.spectra if "flux" in dataset else draft.model for draft in drafts]


def _parts(dataset: xr.Dataset, sources: list[str]) -> list[xr.Dataset | None]:
    """The integrations of each source (None for a source without any)."""
    if "integration" not in dataset.dims or len(sources) == 1:
        return [dataset]
    numbers, out = dataset["integration"].values, []
    for name in sources:
        header = scan(name).header(0)
        place = np.flatnonzero((numbers >= int(header.get("INTSTART", 1))) & (numbers <= int(header.get("INTEND", 2**31))))
        out.append(dataset.isel(integration=slice(place[0], place[-1] + 1)) if len(place) else None)
    return out


def _write(model: Any, dataset: xr.Dataset, final: str, checksum: bool) -> str:
    os.makedirs(os.path.dirname(final) or ".", exist_ok=True)
    model.meta.filename = os.path.basename(final)
    count = dataset.sizes.get("integration", 1)
    if "integration" in dataset.dims:
        _select_times(model, dataset)
    layout = plan_layout(model, _rows(model, dataset, count))
    unfinished = temporary(final, uuid.uuid4().hex[:12])
    allocate(unfinished, layout, reserve=True)
    try:
        _fill(unfinished, layout, dataset)
        finish(unfinished, final, checksum=checksum)
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
    return final


def _select_times(model: Any, dataset: xr.Dataset) -> None:
    """Keep the rows of INT_TIMES, and the range of integrations, that the dataset has."""
    numbers = dataset["integration"].values if "integration" in dataset.coords else None
    if numbers is None:
        return
    model.meta.exposure.integration_start, model.meta.exposure.integration_end = int(numbers[0]), int(numbers[-1])
    table = getattr(model, "int_times", None)
    if table is not None and len(table):
        keep = np.isin(np.asarray(table["integration_number"]), numbers)
        if keep.any() and not keep.all():
            model.int_times = np.asarray(table)[keep]


def _rows(model: Any, dataset: xr.Dataset, count: int) -> dict[Any, int]:
    if "flux" in dataset:
        tables = len(model.spec)
        if "integration" not in dataset.dims:
            return {("EXTRACT1D", 1): dataset.sizes["wavelength"]}
        if tables == 1:
            return {("EXTRACT1D", 1): count}
        lengths = [hdu.shape[0] for hdu in scan(dataset.jwst.sources[0]).hdus if hdu.name == "EXTRACT1D"]
        if sum(lengths) != count or len(lengths) != tables:
            raise InputError(f"the spectra are {sum(lengths)} integrations in {tables} tables; "
                             f"a selection of {count} cannot be written as such a product")  # fmt: skip
        return {("EXTRACT1D", i + 1): n for i, n in enumerate(lengths)}
    shape = tuple(dataset["sci"].shape[-2:])
    if model.data.shape[-2:] != shape:
        ny, nx = model.data.shape[-2:]
        raise InputError(f"the images are {shape[0]} x {shape[1]} pixels, the product's template has {ny} x {nx}; "
                         "write the whole detector area, or use to_zarr")  # fmt: skip
    for name in CUBES:
        attribute = "data" if name == "sci" else name
        if name in dataset:
            setattr(model, attribute, np.zeros(model.data.shape, np.uint32 if name == "dq" else np.float32))
    return {name.upper(): count for name in CUBES}


def _fill(path: str, layout: Layout, dataset: xr.Dataset) -> None:
    from jwst_dask.core.execute import compute

    if "flux" in dataset:
        _fill_spectra(path, layout, dataset)
        return
    tasks = []
    for (hdu, _), region in layout.regions.items():
        if hdu.lower() in dataset:
            tasks += _image_tasks(path, region, dataset[hdu.lower()])
    compute(*tasks)


def _image_tasks(path: str, region: Region, array: xr.DataArray) -> list[Any]:
    """One task for each chunk of integrations: it computes the chunk and writes it."""
    import dask

    dtype = np.uint32 if region.unsigned else np.float32
    if array.chunks is None:
        _write_chunk(path, region, 0, array.values, dtype)
        return []
    whole = array.chunk({dim: -1 for dim in array.dims if dim != "integration"})
    blocks = whole.data.to_delayed().ravel()
    sizes = whole.chunks[0] if "integration" in whole.dims else (1,)
    starts = np.cumsum((0, *sizes))[:-1]
    write = dask.delayed(_write_chunk, pure=False)
    return [write(path, region, int(start), block, dtype) for start, block in zip(starts, blocks)]


def _write_chunk(path: str, region: Region, start: int, array: np.ndarray, dtype: Any) -> int:
    write_rows(path, region, start, np.asarray(array, dtype=dtype))
    return start


def _fill_spectra(path: str, layout: Layout, dataset: xr.Dataset) -> None:
    from jwst_dask.core.execute import compute

    series = "integration" in dataset.dims
    friendly = {column: name for name, column in schema.SPECTRUM_TIMES.items()} | {"INT_NUM": "integration", "WAVELENGTH": "wavelength"}
    first = 0
    for _, region in sorted(layout.regions.items()):
        stop = first + region.nrows
        found = {c.name: dataset.get(friendly.get(c.name, c.name.lower().replace("-", "_"))) for c in region.columns}
        missing = [name for name, value in found.items() if value is None]
        if missing:
            raise InputError(f"{os.path.basename(path)}: the dataset has no values for the columns {', '.join(missing)}")
        step = max(1, 16_000_000 // region.row_nbytes)
        for a in range(first, stop, step):
            b = min(a + step, stop)
            cells = [v.isel(integration=slice(a, b)) if "integration" in v.dims else v[a:b] if not series else v for v in found.values()]
            values = compute(*(cell.data for cell in cells))
            rows = np.zeros(b - a, [(c.name, c.native, c.shape) for c in region.columns])
            for column, value in zip(region.columns, values):
                rows[column.name] = value
            write_rows(path, region, a - first, rows)
        first = stop
