"""Calibration of NIRSpec spectra."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.photom.rows import Calibration, read_rows, upper

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft

ARCSEC2_TO_SR = (np.pi / (180.0 * 3600.0)) ** 2


def bright_object(draft: Draft, path: str, area_path: str) -> Calibration | None:
    """Bright object: the row of slit S1600A1; pixel area from the slit's row of the AREA reference."""
    _record_area(draft, _area_of_slit(draft, area_path))
    return _row(draft, path, "S1600A1")


def fixed_slit(draft: Draft, path: str, area_path: str) -> Calibration | None:
    """A fixed slit: its own row of both references."""
    _record_area(draft, _area_of_slit(draft, area_path))
    return _row(draft, path, upper(draft.model.name))


def msa_slitlet(draft: Draft, path: str, area_path: str) -> Calibration | None:
    """A slitlet of the MSA: the row of filter and grating, the pixel area of its shutter."""
    model = draft.model
    codes, areas = _table(area_path, "shutter areas", _shutter_areas)
    code = shutter_code(np.int64(model.quadrant), np.int64(model.xcen), np.int64(model.ycen))
    first, last = np.searchsorted(codes, code, "left"), np.searchsorted(codes, code, "right")
    if last - first != 1:
        draft.log.append(f"photom: shutter ({model.xcen}, {model.ycen}) of quadrant {model.quadrant} is {last - first} times in {area_path}; "
                         "its pixel area is recorded as 1")  # fmt: skip
    _record_area(draft, float(areas[first]) if last - first == 1 else None)
    return _row(draft, path, None)


def keep_both(draft: Draft, found: Calibration, response: np.ndarray, time_correction: bool) -> None:
    """Keep the conversions of a point source and of uniform light that share a fixed slit, for its background.

    ``photom_point`` and ``photom_uniform`` (float32[y, x]); 0 where the response is not known. The latter takes uncorrected wavelengths,
    and no loss of throughput with time, as in published products.

    Parameters
    ----------
    draft : Draft
        Of a slit, its pixel area recorded.
    found : Calibration
    response : float64[y, x]
        At corrected wavelengths.
    time_correction : bool
        Whether the conversion of the point source takes the loss with time.
    """
    model, wcs = draft.model, draft.wcs
    point = found.conversion
    uniform = point / model.meta.photometry.pixelarea_steradians
    if time_correction and found.throughput != 1:
        point = point / found.throughput
    plain = response
    if wcs is not None and wcs.corrected:
        y, x = np.indices(response.shape, dtype=float)
        plain = found.at(wcs.to_slit(x, y, corrected=False)[2])
    for name, scale, relative in (("photom_point", point, response), ("photom_uniform", uniform, plain)):
        model.instance[name] = np.where(np.isnan(relative), 0.0, scale * relative).astype(np.float32)


def _row(draft: Draft, path: str, slit: str | None) -> Calibration | None:
    optics = draft.model.meta.instrument
    match = (("filter", upper(optics.filter)), ("grating", upper(optics.grating)), *((("slit", slit),) if slit else ()))
    return read_rows(path, (match,), draft.model.meta.exposure.mid_time).row


def _area_of_slit(draft: Draft, path: str) -> float | None:
    name = draft.model.name
    area = _table(path, "slit areas", _slit_areas).get(name)
    if area is None:
        draft.log.append(f"photom: slit {name} is not in {path}; its pixel area is recorded as 1")
    return area  # type: ignore[no-any-return]


def _record_area(draft: Draft, area: float | None) -> None:
    photometry = draft.model.meta.photometry
    photometry.pixelarea_arcsecsq = 1.0 if area is None else area
    photometry.pixelarea_steradians = 1.0 if area is None else area * ARCSEC2_TO_SR


def _table(path: str, what: str, read: Callable[[Any], Any]) -> Any:
    """What `read` makes of the table of an AREA reference, kept."""
    if not path or path == "N/A":
        raise ReferenceError_("photom needs an AREA reference for NIRSpec, and there is none; give override_area")
    return memo((what, token(path)), lambda: _read(path, read))


def _read(path: str, read: Callable[[Any], Any]) -> Any:
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.open(path) as model:
            return read(model.area_table)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReferenceError_(f"the area reference {path} cannot be used: {error}; replace it or give override_area") from error


def _slit_areas(table: Any) -> dict[str, float]:
    """Pixel area (arcsec2) by slit; of several rows for a slit, the first."""
    return {str(name).strip(): float(area) for name, area in zip(table["slit_id"][::-1], table["pixarea"][::-1], strict=True)}


def _shutter_areas(table: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes of shutters, sorted, and their pixel areas (arcsec2)."""
    codes = shutter_code(*(np.asarray(table[name], np.int64) for name in ("quadrant", "shutter_x", "shutter_y")))
    order = np.argsort(codes, kind="stable")
    return codes[order], np.asarray(table["pixarea"], float)[order]


def shutter_code(quadrant: Any, x: Any, y: Any) -> Any:
    """One number for a shutter of the MSA."""
    return (quadrant * 1000 + x) * 1000 + y
