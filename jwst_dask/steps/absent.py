"""Steps that this version records but does not carry out: where they apply in the reference implementation, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import Skip, Step, param

_MRS = ("MIR_MRS",)
_WFSS = ("NIS_WFSS", "NRC_GRISM", "NRC_WFSS", "MIR_WFSS")


@dataclass(frozen=True)
class Absent:
    """Where a step applies: `exp_types` (empty: all), `members` it needs in the association, whether it is off by default."""

    cal_step: str
    exp_types: tuple[str, ...] = ()
    members: str = ""
    skip: bool = False


TABLE: dict[str, Absent] = {
    "badpix_selfcal": Absent("badpix_selfcal", skip=True),
    "targ_centroid": Absent("targ_centroid", ("MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS"), skip=True),
    "straylight": Absent("straylight", _MRS),
    "fringe": Absent("fringe", _MRS),
    "residual_fringe": Absent("residual_fringe", _MRS, skip=True),
    "wfss_contam": Absent("wfss_contam", _WFSS, skip=True),
    "adaptive_trace_model": Absent("adaptive_trace_model", skip=True),
    "cube_build": Absent("cube_build", ("MIR_MRS", "NRS_IFU")),
    "tso_photometry": Absent("tso_photometry", ("NRC_TSIMAGE", "MIR_IMAGE")),
}
"""By pipeline alias; conditions as in `calwebb_spec2` and `calwebb_tso3` (design notes, reference behaviour 1.4 and 1.7)."""


@dataclass(frozen=True, kw_only=True)
class AbsentStep(Step):
    """Recorded as SKIPPED where the reference implementation skips it; a clear error where it would have run."""

    where: ClassVar[Absent]
    pixels: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """By its alias: its class is made where it is asked for."""
        return _rebuilt, (self.alias, {name: value for name, value in self.values().items() if value is not None})

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """The reason why the step is skipped.

        Raises
        ------
        InputError
            Where the reference implementation would run it.
        """
        if (off := super().applies(meta)) is not None:
            return off
        exp_type = meta.get("exposure.type", "")
        if self.where.exp_types and exp_type not in self.where.exp_types:
            return Skip(f"not for EXP_TYPE {exp_type}")
        if self.where.members and not meta.get(f"members.{self.where.members}"):
            return Skip(f"no {self.where.members} members in the association")
        raise InputError(f"{meta.get('filename', 'input')}: step {self.alias} is not available for EXP_TYPE {exp_type} in this version; "
                         f"turn it off with --steps.{self.alias}.skip=true")  # fmt: skip


def _rebuilt(alias: str, values: dict[str, Any]) -> Step:
    return absent_class(alias)(**values)


@cache
def absent_class(alias: str) -> type[Step]:
    """The step class of an entry of `TABLE`."""
    where = TABLE[alias]
    body = {"alias": alias, "cal_step": where.cal_step, "where": where, "__doc__": f"{alias}: recorded, not carried out in this version.",
            "__annotations__": {"skip": "bool", "alias": "ClassVar[str]", "cal_step": "ClassVar[str]", "where": "ClassVar[Absent]"},
            "skip": param(where.skip, "Skip this step"), "__module__": __name__, "overrides": field(default_factory=dict)}  # fmt: skip
    body.pop("overrides")
    name = "".join(word.title() for word in alias.split("_")) + "Step"
    return dataclass(frozen=True, kw_only=True)(type(name, (AbsentStep,), body))
