"""Small exposures for tests, made with stdatamodels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def rateints(path: Path, first: int = 1, nints: int = 4, segment: int = 1, total: int = 12, detector: str = "NRS1",
             **changes: Any) -> dict[str, np.ndarray]:  # fmt: skip
    """Write a segment of a time series; returns its arrays."""
    from stdatamodels.jwst import datamodels

    rng = np.random.default_rng(segment)
    model = datamodels.CubeModel(data=rng.normal(size=(nints, 3, 5)).astype("f4"))
    model.err, model.var_poisson, model.var_rnoise = (rng.random((nints, 3, 5), np.float32) for _ in range(3))
    model.dq = rng.integers(0, 2**32, (nints, 3, 5), "u4")
    times = np.zeros(nints, model.get_dtype("int_times"))
    times["integration_number"] = np.arange(first, first + nints)
    for shift, name in enumerate(times.dtype.names[1:]):
        times[name] = 60000 + (np.arange(first, first + nints) + shift / 10) / 86400
    model.int_times = times
    meta = model.meta
    meta.instrument.name, meta.instrument.detector, meta.instrument.filter, meta.instrument.grating = "NIRSPEC", detector, "CLEAR", "PRISM"
    meta.exposure.type, meta.exposure.nints, meta.visit.tsovisit = "NRS_BRIGHTOBJ", total, True
    meta.exposure.integration_start, meta.exposure.integration_end, meta.exposure.segment_number = first, first + nints - 1, segment
    meta.bunit_data = meta.bunit_err = "DN/s"
    for key, value in changes.items():
        model[f"meta.{key.replace('__', '.')}"] = value
    model.save(str(path))
    return {name: np.array(getattr(model, name)) for name in ("data", "err", "dq", "var_poisson", "var_rnoise")}


def series(folder: Path, segments: int = 3) -> list[Path]:
    """Segments of four integrations each."""
    out = []
    for i in range(segments):
        out.append(folder / f"jw01366002001_04101_00001-seg{i + 1:03d}_nrs1_rateints.fits")
        rateints(out[-1], 4 * i + 1, segment=i + 1, total=4 * segments)
    return out
