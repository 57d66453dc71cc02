"""`jwst_dask.open`: files, globs, lists, associations and URLs as one lazy dataset."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

import jwst_dask.accessor  # noqa: F401  registers ds.jwst
from jwst_dask.backend import JwstBackendEntrypoint
from jwst_dask.core.errors import InputError
from jwst_dask.data import association, lazy
from jwst_dask.io import source
from jwst_dask.io.fits import FitsFile, scan

Source = str | os.PathLike[str] | association.Association | Iterable[str | os.PathLike[str]]


def open(what: Source, chunks: Any = "preferred", *, exptype: str = "science", allow_outside: bool = False, **options: Any) -> xr.Dataset:
    """Open an exposure or a whole time series lazily.

    Parameters
    ----------
    what : str, path, Association, or iterable of them
        A file, a glob, an association (``.json``), an fsspec URL (``s3://...``), or several files.
    chunks : optional
        As for `xarray.open_dataset`: ``{"integration": 50}``, ``"auto"``, ``{}``, an int (integrations), or None for
        lazy arrays without dask. By default whole integrations, some 16 MB of each variable.
    exptype : str
        Which members of an association.
    allow_outside : bool
        Accept association members outside its folder.
    **options
        For `xarray.open_dataset` (``drop_variables``, ``group``).

    Returns
    -------
    xarray.Dataset
        Dims ``integration, y, x`` (``y, x`` for 2-D images; ``integration, wavelength`` for spectra). Segments of one exposure are joined
        along ``integration``, whose coordinate is the integration's number in the exposure; times are coordinates on it.
        ``attrs`` are keyed by FITS keyword (of the first segment); ``encoding["sources"]`` lists the files.

    Raises
    ------
    InputError
        Nothing there, damaged files, a segment twice, or files that are not one exposure on one detector.
    """
    files = [scan(path) for path in paths(what, exptype, allow_outside)]
    keywords = {"integration": chunks} if isinstance(chunks, (int, np.integer)) and not isinstance(chunks, bool) else chunks
    if len(files) > 1:
        files = _in_order(files)
    parts = [_one(file, keywords, options) for file in files]
    _must_match(parts, files)
    out = parts[0] if len(parts) == 1 else lazy.concat(parts)
    _must_increase(out, files)
    out.encoding.update(source=files[0].path, sources=[file.path for file in files], kind=parts[0].encoding.get("kind", ""))
    return out


def paths(what: Source, exptype: str = "science", allow_outside: bool = False) -> list[str]:
    """Files that `what` stands for.

    Raises
    ------
    InputError
        If there are none.
    """
    if isinstance(what, association.Association):
        return [m.path for product in what.products for m in product.members if m.exptype.lower() == exptype]
    if not isinstance(what, (str, os.PathLike)):
        found = [path for one in what for path in paths(one, exptype, allow_outside)]
        if not found:
            raise InputError("nothing to open: the list is empty")
        return found
    name = os.fspath(what)
    if name.endswith(".json"):
        found = paths(association.load(name, allow_outside), exptype)
        if not found:
            raise InputError(f"{name}: has no members of type {exptype}")
        return found
    if any(c in name for c in "*?[") and not os.path.exists(name):
        found = _url_glob(name) if source.is_url(name) else sorted(glob.glob(os.path.expanduser(name)))
        if not found:
            raise InputError(f"{name}: matches no file")
        return found
    return [name]


def _url_glob(name: str) -> list[str]:
    import fsspec

    fs, inner = fsspec.url_to_fs(name)
    return sorted(str(fs.unstrip_protocol(path)) for path in fs.glob(inner))


def _one(file: FitsFile, chunks: Any, options: dict[str, Any]) -> xr.Dataset:
    wanted = {} if isinstance(chunks, str) and chunks == "preferred" else chunks
    dataset = JwstBackendEntrypoint().open_dataset(file, **options)
    kind = dataset.encoding
    if wanted is not None:
        dataset = _chunked(dataset, file, wanted)
    dataset.encoding = kind
    return dataset


def _chunked(dataset: xr.Dataset, file: FitsFile, chunks: Any) -> xr.Dataset:
    """Each variable in chunks, named by the file and what is in it (equal names for equal content in every process)."""
    from dask.base import tokenize

    out = {}
    for name, variable in dataset.variables.items():
        if name in dataset.coords:
            continue
        wanted = variable.encoding.get("preferred_chunks", {}) if chunks == {} else chunks
        if isinstance(wanted, dict):
            wanted = {dim: n for dim, n in {**variable.encoding.get("preferred_chunks", {}), **wanted}.items() if dim in variable.dims}
        encoding = variable.encoding
        out[name] = variable.chunk(wanted, name=f"{str(name)}-{tokenize(file, str(name), wanted)}", inline_array=True)
        out[name].encoding = encoding
    return dataset.assign(out)


def _in_order(files: list[FitsFile]) -> list[FitsFile]:
    """Segments in order of time.

    Raises
    ------
    InputError
        If they are not the segments of one exposure on one detector.
    """
    groups = association.check_segments(files)
    if len(groups) > 1:
        what = ", ".join(f"{exposure} {detector}" for exposure, detector in groups)
        raise InputError(f"these files are {len(groups)} exposures or detectors ({what}); open each apart")
    return [one.file for one in next(iter(groups.values()))]


def _must_match(parts: list[xr.Dataset], files: list[FitsFile]) -> None:
    first = parts[0]
    for part, file in zip(parts[1:], files[1:]):
        for dim, size in first.sizes.items():
            if dim != "integration" and part.sizes.get(dim) != size:
                raise InputError(f"{file.path}: has {part.sizes.get(dim)} elements along {dim}, {files[0].path} has {size}")
        if set(part.data_vars) != set(first.data_vars):
            odd = ", ".join(sorted(map(str, set(part.data_vars) ^ set(first.data_vars))))
            raise InputError(f"{file.path}: has other extensions than {files[0].path} ({odd})")


def _must_increase(dataset: xr.Dataset, files: list[FitsFile]) -> None:
    """Integration numbers and times of a series grow; a fault in one file is only reported, one between files is an error."""
    from jwst_dask.data.schema import check_integrations

    issues = check_integrations(dataset) if "integration" in dataset.dims else []
    if issues and len(files) > 1:
        names = f"{os.path.basename(files[0].path)} to {os.path.basename(files[-1].path)}"
        raise InputError(f"the segments {names} do not follow each other: {'; '.join(map(str, issues))}")
    for issue in issues:
        association.log.warning("%s: %s", os.path.basename(files[0].path), issue)
