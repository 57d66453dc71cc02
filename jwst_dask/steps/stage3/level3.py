"""The level-3 spectra of a time series: all segments in one product, their times, blended metadata and header table."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.data.blend import blend_into, header_of, rules_of
from jwst_dask.data.models import blank, copy_metadata

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft

log = logging.getLogger(__name__)

OPTIONAL_STEPS = ("adaptive_trace_model", "pixel_replace")
"""Steps of `calwebb_tso3` whose status in the combination is a summary over the segments."""


def combine(drafts: Sequence[Draft], association: Mapping[str, Any], table_name: str) -> Any:
    """Template of the level-3 spectra (TSOMultiSpecModel) of the segments of a time series.

    Parameters
    ----------
    drafts : sequence of Draft
        Segments in association order, after the steps of `calwebb_tso3`; ``draft.spectra`` is None where nothing was
        extracted.
    association : mapping
        The association (``asn_pool`` is used).
    table_name : str
        Name of the association file.

    Returns
    -------
    TSOMultiSpecModel or None
        With INT_TIMES of the whole exposure (by integration number), ``spec`` entries of all segments in order (their tables
        are those of the templates), and HDRTAB. None when no segment has spectra.

    Raises
    ------
    InputError
        No INT_TIMES, or an integration number outside the exposure.
    """
    from stdatamodels.jwst import datamodels

    with_spectra = [draft for draft in drafts if draft.spectra is not None]
    if not with_spectra:
        log.warning("no spectra were extracted; there are no level-3 products")
        return None
    pool = association.get("asn_pool")
    model = blank(datamodels.TSOMultiSpecModel, validate=True)
    copy_metadata(model, drafts[0].model, only="PRIMARY")
    model.int_times = place_times(drafts)
    model.meta.target.source_type = None  # it would make an empty SCI extension
    blend_into(model, [_header(draft, pool, table_name) for draft in with_spectra], rules_of(with_spectra[0].spectra))
    for draft in with_spectra:  # past the check on assignment, which takes longer than all else and was passed by the segment
        model.spec.instance.extend(dict(spectrum.instance) for spectrum in draft.spectra.spec)
    model.meta.asn.pool_name, model.meta.asn.table_name = pool, table_name
    for step in OPTIONAL_STEPS:
        model.meta.cal_step.instance[step] = summary([getattr(draft.model.meta.cal_step, step, None) for draft in drafts])
    _set_footprint(model, drafts)
    return model


def place_times(drafts: Sequence[Draft]) -> np.ndarray:
    """INT_TIMES of the whole exposure: each segment's rows where their integration numbers say.

    Rows that no segment fills stay as in the reference implementation: those of the first file at the beginning, zeros after.

    Returns
    -------
    structured ndarray[integration]
        With the columns of INT_TIMES.
    """
    first = _times_of(drafts[0])
    nints = int(drafts[0].model.meta.exposure.nints)
    out = np.zeros(nints, dtype=first.dtype.newbyteorder("="))
    out[: len(first)] = first[:nints]
    placed = np.zeros(nints, bool)
    for draft in drafts:
        rows = _times_of(draft)
        numbers = rows["integration_number"].astype(np.int64)
        if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= nints):
            raise InputError(f"{os.path.basename(draft.path)}: INT_TIMES has integrations {numbers.min()} to {numbers.max()}, "
                             f"but the exposure has NINTS = {nints}")  # fmt: skip
        out[numbers - 1] = rows
        placed[numbers - 1] = True
    if not placed.all():
        log.warning("%d of %d integrations are in none of the segments", nints - placed.sum(), nints)
    return out


def _times_of(draft: Draft) -> np.ndarray:
    rows = draft.model.int_times
    if rows is None:
        raise InputError(f"{os.path.basename(draft.path)} has no INT_TIMES table; the level-3 spectra need the times of all integrations")
    return np.asarray(rows)


def summary(statuses: Sequence[str | None]) -> str:
    """COMPLETE if any segment is, else FAILED if any is, else SKIPPED."""
    return next((status for status in ("COMPLETE", "FAILED") if status in statuses), "SKIPPED")


def _header(draft: Draft, pool: Any, table_name: str) -> dict[str, Any]:
    """Metadata of a segment's spectra, with the names that its row of HDRTAB shows."""
    header = header_of(draft.spectra)
    header["meta.filename"] = os.path.basename(draft.path)
    header["meta.asn.table_name"] = table_name
    if pool is not None:
        header["meta.asn.pool_name"] = pool
    return header


def _set_footprint(model: Any, drafts: Sequence[Draft]) -> None:
    footprints = [draft.model.meta.wcsinfo.s_region for draft in drafts if draft.model.meta.wcsinfo.hasattr("s_region")]
    if not footprints:
        log.info("no segment has an S_REGION; the level-3 spectra have none")
        return
    if len(set(footprints)) > 1:
        log.warning("the segments have different S_REGION values; that of the first is used")
    model.spec[0].s_region = footprints[0]
