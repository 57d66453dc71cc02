"""Calibration of MIRI spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.photom.rows import Calibration, read_rows, upper

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft


def miri_lrs(draft: Draft, path: str, area_path: str) -> Calibration | None:
    """MIRI imager with its prism: the row of filter and subarray, or of filter and GENERIC; areas from AREA or the photom file."""
    model = draft.model
    kind, filter_name = upper(model.meta.subarray.name), upper(model.meta.instrument.filter)
    matches = tuple((("subarray", name), ("filter", filter_name)) for name in (kind, "GENERIC"))
    found = read_rows(path, matches, model.meta.exposure.mid_time)
    areas: tuple[float | None, float | None] = found.area_sr, found.area_arcsec2
    if area_path != "N/A":
        plane, areas = memo(("pixel areas", token(area_path)), lambda: _area_plane(area_path))
        corner = model.meta.subarray
        y, x = corner.ystart - 1, corner.xstart - 1
        model.area = plane[y : y + corner.ysize, x : x + corner.xsize]
    sr, arcsec2 = (None if value is None else float(value) for value in areas)
    model.meta.photometry.pixelarea_arcsecsq, model.meta.photometry.pixelarea_steradians = arcsec2, sr
    return found.row


def _area_plane(path: str) -> tuple[np.ndarray, tuple[float | None, float | None]]:
    """Relative pixel areas (float32[y, x]) and their mean in sr and arcsec2."""
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.open(path) as model:
            mean = model.meta.photometry
            return np.array(model.data, dtype=np.float32), (mean.pixelarea_steradians, mean.pixelarea_arcsecsq)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReferenceError_(f"the area reference {path} cannot be used: {error}; replace it or give override_area") from error
