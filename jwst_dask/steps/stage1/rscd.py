"""rscd: the first groups of MIRI ramps, which the reset switch disturbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.kernels.ramp.early_groups import skip_groups
from jwst_dask.refs.load import token
from jwst_dask.steps.stage1.reset import not_miri

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

COUNTS = ("keep_groups_saturation_int1", "keep_bright_firstgroup_int1", "keep_groups_saturation_int2p", "keep_bright_firstgroup_int2p")
"""Attributes of ``meta.rscd`` that pixels decide; columns of the table RSCD of a block (one row), to be added up over bands of rows."""
LEAST = 3
"""Groups that must remain, of which lastframe takes one."""


@dataclass(frozen=True, kw_only=True)
class RscdStep(BlockStep):
    """Flag the first groups of each integration DO_NOT_USE: as many as the reference says for the first and for later integrations.

    Fewer groups are flagged in short ramps, and where saturation would leave less than two; those pixels become FLUX_ESTIMATED. MIRI
    only. Reference type: rscd; skipped without one, without a row for the subarray and readout, and for ramps of up to two groups.
    Works on any band of rows; flags of ``pixeldq`` and counts come from all integrations. The block's table ``RSCD`` has the
    counts `COUNTS`.

    Raises
    ------
    ReferenceError_
        For a reference without the table of groups.

    Source: JWST documentation, rscd.
    """

    alias: ClassVar[str] = "rscd"
    cal_step: ClassVar[str] = "rscd"
    references: ClassVar[tuple[str, ...]] = ("rscd",)
    reads: ClassVar[tuple[str, ...]] = ("groupdq", "pixeldq")
    writes: ClassVar[tuple[str, ...]] = ("groupdq", "pixeldq", "RSCD")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = True

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        return super().applies(meta) or not_miri(meta)

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path = refs("rscd")
        if path == "N/A":
            return Skip("no rscd reference")
        meta = draft.model.meta
        subarray, readout = str(meta.subarray.name), str(meta.exposure.readpatt)
        found = _rows(path).get(("SLITLESSPRISM" if subarray.upper() == "SUBPRISM" else subarray, readout))
        if found is None:
            return Skip(f"the rscd reference has no row for SUBARRAY {subarray}, READPATT {readout}")
        ngroups, nints = int(draft.model.data.shape[1]), int(meta.exposure.nints or draft.nints)
        if ngroups < LEAST:
            return Skip(f"{ngroups} groups are too few")
        # files of an early format do not know the first integration
        first, later = (1, 1) if ngroups <= 5 else (found[0] if found[0] >= 0 else 1, found[1])
        first, later = min(first, ngroups - LEAST), min(later, ngroups - LEAST)
        start = meta.exposure.integration_start
        has_first = start is None or int(start) == 1
        if has_first:
            meta.rscd.ngroups_skip_int1 = first
        if nints > 1:
            meta.rscd.ngroups_skip_int2p = later
        return {"first": first, "later": later, "has_first": has_first, "has_later": nints > 1}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        groupdq, pixeldq = block.arrays["groupdq"], block.arrays["pixeldq"]
        after = 1 if state["has_first"] and block.start == 0 else 0
        counts = [0, 0, 0, 0]
        (above, below), height = block.row_halo, len(pixeldq)
        for rows in (slice(above, height - below), slice(0, above), slice(height - below, height)):  # only the band's own rows count
            if rows.start == rows.stop:
                continue
            found = [0, 0, 0, 0]
            if after:
                found[:2] = skip_groups(groupdq[:1, :, rows], pixeldq[rows], int(state["first"]))
            if state["has_later"] and len(groupdq) > after:
                found[2:] = skip_groups(groupdq[after:, :, rows], pixeldq[rows], int(state["later"]))
            counts = found if rows.start == above else counts
        block.tables["RSCD"] = np.array([tuple(counts)], dtype=[(name, np.int64) for name in COUNTS])
        return block


def _rows(path: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Groups to skip in the first and in later integrations, by (SUBARRAY, READPATT)."""
    return memo(("rscd groups", token(path)), lambda: _read(path))


def _read(path: str) -> dict[tuple[str, str], tuple[int, int]]:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as file:
            table = file["RSCD_GROUP_SKIP"].data
            first = table["group_skip1"] if "group_skip1" in [name.lower() for name in table.names] else np.full(len(table), -1)
            rows = zip(table["subarray"], table["readpatt"], first, table["group_skip"], strict=True)
            found: dict[tuple[str, str], tuple[int, int]] = {}
            for subarray, readout, one, more in rows:
                found.setdefault((str(subarray).strip(), str(readout).strip()), (int(one), int(more)))
            return found
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ReferenceError_(
            f"the rscd reference {path} has no usable table RSCD_GROUP_SKIP: {error}; give another file with override_rscd"
        ) from error
