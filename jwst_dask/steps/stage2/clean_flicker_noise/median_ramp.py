"""The median of the ramps of a time series, scaled to the brightness of each integration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import JwstDaskError
from jwst_dask.core.step import Failed, State
from jwst_dask.kernels.flicker import median_in_time
from jwst_dask.steps.stage2.clean_flicker_noise.median_image import EXTRACTION, extraction

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References
    from jwst_dask.steps.stage1.draft_rate import DraftRate, Series

WITHOUT = {"NIS_SOSS": "the background and the spectra of SOSS", "NRC_TSGRISM": "the spectra of grism time series",
           "NRC_TSIMAGE": "photometry of time series"}  # fmt: skip
"""Exposure types whose brightness needs what this version cannot do."""


def prepare_brightness(draft: Draft, refs: References) -> State | Failed:
    """State of the steps that measure the brightness of integrations of NIRSpec time series, their names prefixed; others need none."""
    from jwst_dask.steps.stage1.draft_rate import PREFIX
    from jwst_dask.steps.stage2.clean_flicker_noise.science import with_wcs
    from jwst_dask.steps.stage2.extract_1d.target import is_tso

    exp_type = str(draft.model.meta.exposure.type).upper()
    lacking = WITHOUT.get(exp_type, WITHOUT["NRC_TSIMAGE"] if exp_type == "MIR_IMAGE" and is_tso(draft.model) else "")
    if lacking:
        return Failed(f"background_method=median_image needs {lacking}, which this version does not have; choose another for {exp_type}")
    state: State = {}
    if exp_type == "NRS_BRIGHTOBJ":
        try:
            for step, found in extraction(with_wcs(draft, refs, cube=True), refs):
                state |= {f"{step.alias}:{name}": value for name, value in found.items()}
        except JwstDaskError as error:
            return Failed(f"a median image cannot be made: {error}")
    assert not any(name.startswith(PREFIX) for name in state)
    return state


def brightness(rates: DraftRate, state: Mapping[str, Any], flat: np.ndarray | None) -> np.ndarray:
    """Brightness of each integration (float[integration]), by its draft rate: white light, or the median of all pixels."""
    parts: list[np.ndarray] = []
    for block in rates.integrations():
        if flat is not None:
            block.arrays["sci"] /= flat
        parts.append(_white_light(block, state) if f"{EXTRACTION[1]}:cube" in state else _medians(block.arrays["sci"]))
    return np.concatenate(parts) if parts else np.full(1, np.nan)


def _medians(images: np.ndarray) -> np.ndarray:
    return np.array([np.nanmedian(image) if np.isfinite(image).any() else np.nan for image in images], np.float32)


def _white_light(block: Block, state: Mapping[str, Any]) -> np.ndarray:
    from jwst_dask.steps import step_class

    for alias in EXTRACTION:
        own = {name.removeprefix(f"{alias}:"): value for name, value in state.items() if name.startswith(f"{alias}:")}
        block = step_class(alias)().run(block, own)
    return np.asarray(block.tables["white_light"])


def median_ramp(ramps: Series) -> np.ndarray:
    """Median over the integrations (float32[group, y, x])."""
    out: np.ndarray | None = None
    rows = 0
    for band in ramps.bands():
        sci = band.arrays["sci"]
        if out is None:
            out = np.empty((sci.shape[1], *ramps.shape), np.float32)
        for group in range(sci.shape[1]):
            strip = np.empty(sci.shape[-2:], np.float32)
            median_in_time(np.ascontiguousarray(sci[:, group]), strip)
            out[group, rows : rows + len(strip)] = strip
        rows += sci.shape[-2]
    assert out is not None
    return out
