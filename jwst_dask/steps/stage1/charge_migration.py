"""charge_migration: groups that lose charge to the next pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.ramp.charge_migration import flag

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class ChargeMigrationStep(BlockStep):
    """Flag ``groupdq`` CHARGELOSS + DO_NOT_USE from the first group above a signal on, in the pixel and its four neighbours.

    Skipped for ramps of up to two groups. No reference files. Integrations are independent; a band of rows needs a halo of one row.

    Source: JWST documentation, charge_migration.
    """

    alias: ClassVar[str] = "charge_migration"
    cal_step: ClassVar[str] = "charge_migration"
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq")
    writes: ClassVar[tuple[str, ...]] = ("groupdq",)
    band_halo: ClassVar[int | None] = 1
    needs_all_integrations: ClassVar[bool] = False

    skip: bool = param(True, "Skip this step")
    signal_threshold: float = param(25000.0, "Signal above which charge migrates", unit="DN")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        return {} if draft.model.data.shape[1] > 2 else Skip(f"{draft.model.data.shape[1]} groups are too few")

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        flag(block.arrays["sci"], block.arrays["groupdq"], self.signal_threshold)
        return block
