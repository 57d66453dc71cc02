"""imprint_subtract: subtract what the MSA lets through when it is closed, from an exposure taken for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.steps.stage2.members import PLACE, matching_imprint, member_state, read_member, subtract

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

IMPRINTED = ("NRS_MSASPEC", "NRS_IFU")
ONE_FOR_ALL = ("NRS_MSASPEC",)
"""Exposure types of which the first imprint of the association serves all exposures."""


@dataclass(frozen=True, kw_only=True)
class ImprintStep(BlockStep):
    """Subtract the association's imprint (leakcal) exposure; its flags are added to ``dq``, errors stay as they are.

    The imprint is cleaned of flicker noise first if the exposure is. Which one belongs to an exposure:
    `jwst_dask.steps.stage2.members.matching_imprint`; the step is skipped if none does. No reference files.

    Raises
    ------
    InputError
        For an imprint that cannot be read or has another shape.

    Source: JWST documentation, imprint.
    """

    alias: ClassVar[str] = "imprint_subtract"
    cal_step: ClassVar[str] = "imprint"
    reads: ClassVar[tuple[str, ...]] = ("sci", "dq")
    writes: ClassVar[tuple[str, ...]] = ("sci", "dq")

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """Skipped without imprints in the association, and for exposure types that have none."""
        if (off := super().applies(meta)) is not None:
            return off
        exp_type = str(meta.get("exposure.type") or "").upper()
        if exp_type not in IMPRINTED:
            return Skip(f"not for EXP_TYPE {exp_type}")
        return None if meta.get("members.imprint") else Skip("no imprint members in the association")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        imprints = imprints_of(draft)
        if not imprints:
            return Skip("no imprint members in the association")
        meta = draft.model.meta
        place = dict(zip(PLACE, (meta.dither.position_number, meta.observation.observation_number, meta.observation.bkgdtarg)))
        match = matching_imprint([place[key] for key in PLACE], imprints)
        if match is None:
            return Skip(f"none of the {len(imprints)} imprints is of this observation and dither position ({place})")
        return member_state(match, draft, refs)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """A new block; the arrays of the block it is given are left as they are."""
        return subtract(block, read_member(state))


def imprints_of(draft: Draft) -> list[str]:
    """Paths of the imprints that an exposure may choose from."""
    paths = list(draft.members.get("imprint", ()))
    return paths[:1] if draft.model.meta.exposure.type in ONE_FOR_ALL else paths
