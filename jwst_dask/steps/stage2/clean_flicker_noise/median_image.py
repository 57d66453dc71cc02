"""The median of a time series, scaled to the brightness of each integration: what is subtracted before noise is fitted."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import JwstDaskError
from jwst_dask.core.step import Skip, State

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

BYTES = 64 * 2**20
"""Of pixels in memory at a time."""
EXTRACTION = ("extract_2d", "extract_1d", "white_light")
NO_FLUX = "no integration has a flux to scale it to"


def median_image(draft: Draft, refs: References) -> State | Skip:
    """Median over the integrations of the exposure's file, and the brightness of each relative to their median.

    The brightness is the sum of a quickly extracted spectrum for NIRSpec time series, the median of all pixels otherwise.

    Returns
    -------
    dict
        ``median``: float32[y, x]; ``scale``: float64[integration].
    Skip
        When no integration has a brightness.
    """
    if draft.first is None:  # a plan that is only printed reads no pixels
        return {"median": np.zeros(draft.shape, np.float32), "scale": np.ones(draft.nints)}
    bright = draft.model.meta.exposure.type == "NRS_BRIGHTOBJ"
    try:
        flux = _extracted(draft, refs) if bright else _medians(draft.path)
    except JwstDaskError as error:
        return Skip(f"a median image cannot be made: {error}")
    scale = relative(flux)
    return Skip(f"a median image cannot be made: {NO_FLUX}") if scale is None else {"median": _median(draft.path), "scale": scale}


def relative(flux: np.ndarray) -> np.ndarray | None:
    """Brightness of integrations over their median (float[integration]); None if none has any."""
    middle = np.nanmedian(flux) if np.isfinite(flux).any() else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = flux / middle
    bad = ~np.isfinite(scale)
    if bad.all():
        return None
    if bad.any():
        log.warning("%d of %d integrations have no flux: they get the median of the others", bad.sum(), bad.size)
        scale[bad] = np.median(scale[~bad])
    return np.asarray(scale)


def _medians(path: str) -> np.ndarray:
    from jwst_dask.io.fits import read, scan

    file = scan(path)
    planes = (read(file, "SCI", start=i, stop=i + 1) for i in range(file.nints))
    return np.array([np.nanmedian(plane) if np.isfinite(plane).any() else np.nan for plane in planes], np.float64)


def _median(path: str) -> np.ndarray:
    """Median over the integrations, strip by strip of rows."""
    from jwst_dask.io.fits import read, scan
    from jwst_dask.kernels.flicker import median_in_time

    file = scan(path)
    n, ny, nx = file.hdu("SCI").shape
    out, height = np.empty((ny, nx), np.float32), max(1, BYTES // (4 * n * nx))
    for y in range(0, ny, height):
        rows = slice(y, min(y + height, ny))
        cube = read(file, "SCI", window=(rows.start, rows.stop, 0, nx)).astype(np.float32, copy=False)
        median_in_time(np.ascontiguousarray(cube), out[rows])
    return out


def _extracted(draft: Draft, refs: References) -> np.ndarray:
    """White-light flux of each integration: cut-out and extraction of a point source with default parameters."""
    from jwst_dask.core.chunks import split
    from jwst_dask.io.fits import read_block, scan

    file, first = scan(draft.path), draft.first
    tree = {name: copy.deepcopy(value) if name == "meta" else value for name, value in _without_wcs(draft).items()}
    mine = dataclasses.replace(draft, model=_model_like(draft.model, tree), spectra=None, extras={}, log=[], quality={}, first=first)
    chain: list[tuple[Any, State]] = []
    for link in extraction(mine, refs):
        chain.append(link)
        mine.first = lambda: _through(read_block(file, 0, 1), chain)
    per = sum(hdu.nbytes for hdu in file.hdus if hdu.kind == "image") // max(1, draft.nints)
    blocks = split(draft.nints, per, BYTES)
    return np.concatenate([_through(read_block(file, start, stop), chain).tables["white_light"] for start, stop in blocks.bounds])


def extraction(mine: Draft, refs: References) -> Iterator[tuple[Any, State]]:
    """Steps, with their states, that turn integrations into the flux of a point source; the draft is changed.

    Raises
    ------
    JwstDaskError
        When one of them does not apply.
    """
    from jwst_dask.steps import step_class

    for alias in EXTRACTION:
        step = step_class(alias)()
        state = step.prepare(mine, _scoped(refs, step))
        if isinstance(state, Skip):
            raise JwstDaskError(f"{alias}: {state.reason}")
        if alias == EXTRACTION[0]:
            mine.model.source_type = "POINT"
        yield step, {name: np.asarray(value) for name, value in state.items()}


def _through(block: Any, chain: list[tuple[Any, State]]) -> Any:
    for step, state in chain:
        block = step.run(block, state)
    return block


def _without_wcs(draft: Draft) -> dict[str, Any]:
    tree = dict(draft.model.instance)
    tree["meta"] = {name: value for name, value in tree["meta"].items() if name != "wcs"}
    return tree


def _model_like(model: Any, tree: dict[str, Any]) -> Any:
    """A model with this tree and the WCS object of another, which is shared."""
    from jwst_dask.data.models import filled
    from jwst_dask.wcs.build import attach_wcs

    made = filled(type(model), tree)
    attach_wcs(made, getattr(model.meta, "wcs", None))
    return made


def _scoped(refs: References, step: Any) -> Any:
    return refs.scoped(step.overrides, step.references) if hasattr(refs, "scoped") else refs
