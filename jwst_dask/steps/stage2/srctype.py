"""srctype: whether a source is treated as a point or as extended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import MetaStep, Skip, State, param
from jwst_dask.steps.stage2.source_position import centre, given

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft
    from jwst_dask.refs.crds import References

POINT, EXTENDED, UNKNOWN = "POINT", "EXTENDED", "UNKNOWN"

ONE_TARGET = (
    "MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS", "MIR_MRS", "NRC_TSGRISM", "NIS_SOSS", "NRS_FIXEDSLIT", "NRS_BRIGHTOBJ", "NRS_IFU",
)  # fmt: skip
"""Exposure types with one target, whose type the observer may have given in the proposal."""
NOT_SELECTABLE = ("NIS_SOSS",)
"""Those of them where the step's parameter does not apply."""
PER_SOURCE = ("NIS_WFSS", "NRC_WFSS", "MIR_WFSS")
"""Exposure types whose catalogue says for each source whether it is extended."""
DEFAULT_TYPE: dict[str, str] = {"MIR_MRS": EXTENDED, "NRS_IFU": EXTENDED}
"""What is assumed of a target when nothing else is known; POINT where not listed."""
STELLAR = 0.75
"""Stellarity of an MSA source above which (or below 0: unknown) it is a point source."""
ALWAYS_TIME_SERIES = ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ")


@dataclass(frozen=True)
class Facts:
    """What the type of an exposure's one target is decided from."""

    exp_type: str
    chosen: str | None = None
    background: bool = False
    time_series: bool = False
    proposal: str | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Rule:
    """A reason, when it holds, and the type it gives."""

    reason: str
    holds: Callable[[Facts], bool]
    gives: Callable[[Facts], str]


RULES: tuple[Rule, ...] = (
    Rule("the user's choice", lambda f: f.chosen is not None, lambda f: str(f.chosen).upper()),
    Rule("a background target", lambda f: f.background, lambda f: EXTENDED),
    Rule("a time series", lambda f: f.time_series, lambda f: POINT),
    Rule("the proposal", lambda f: f.proposal in (POINT, EXTENDED), lambda f: str(f.proposal)),
    Rule(
        "a dither pattern for point sources", lambda f: "NOD" in (f.pattern or "") or "POINT-SOURCE" in (f.pattern or ""), lambda f: POINT
    ),
    Rule("the default", lambda f: True, lambda f: DEFAULT_TYPE.get(f.exp_type, POINT)),
)
"""The first rule that holds decides."""


def decide(facts: Facts) -> tuple[str, str]:
    """(type, reason) of an exposure's one target."""
    rule = next(rule for rule in RULES if rule.holds(facts))
    return rule.gives(facts), rule.reason


def is_time_series(exp_type: str | None, tso_visit: bool | None, nints: int | None) -> bool:
    """Whether an exposure is a time series: by TSOVISIT or EXP_TYPE, if it has more than one integration."""
    return (bool(tso_visit) or (exp_type or "").upper() in ALWAYS_TIME_SERIES) and (nints is None or nints >= 2)


def model_is_time_series(model: Any) -> bool:
    """`is_time_series` of a datamodel."""
    meta = model.meta
    return is_time_series(meta.exposure.type, meta.visit.tsovisit, meta.exposure.nints)


@dataclass(frozen=True, kw_only=True)
class SourceTypeStep(MetaStep):
    """Set SRCTYPE: for the exposure, and for each slit; and where in its slit the source is, if that is not as planned.

    A source of the MSA is a point unless its stellarity is between 0 and 0.75. Of fixed slits only the one with the target takes the
    target's type, the others count as extended.

    Raises
    ------
    InputError
        Without EXP_TYPE, or without the stellarity of an MSA source.
    ParameterError
        For `source_type` with an exposure type whose targets are always points; for positions that contradict each other.

    Source: JWST documentation, srctype.
    """

    alias: ClassVar[str] = "srctype"
    cal_step: ClassVar[str] = "srctype"

    source_type: str | None = param(None, "Type of the source, whatever else is known", choices=(POINT, EXTENDED), kind="str")
    all_slits: bool = param(False, "Let source_type decide also for fixed slits beside the one with the target")
    source_x: float | None = param(None, "Where the source is across its slit (edges -0.5, 0.5)", unit="slit", kind="float")
    source_y: float | None = param(None, "Where the source is along its slit or shutter (edges -0.5, 0.5)", unit="slit", kind="float")
    source_ra: float | None = param(None, "Where the source is", unit="deg", low=0, high=360, kind="float")
    source_dec: float | None = param(None, "Where the source is", unit="deg", low=-90, high=90, kind="float")
    measure_position: bool = param(False, "Measure where point sources are along their slits, and use it if it is good")
    measure_range: float = param(2.0, "Largest distance of a measured position from the planned one", unit="pixel", low=0, high=5)
    measure_snr: float = param(10.0, "Least height of a trace over its standard deviation for its position to be measured", low=1)

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (why := super().applies(meta)) is not None:
            return why
        if not meta.get("exposure.type"):
            raise InputError("EXP_TYPE is missing, so the type of the source cannot be set")
        return None

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        model = draft.model
        exp_type = model.meta.exposure.type
        if exp_type in ONE_TARGET:
            self._one_target(draft, exp_type)
        elif exp_type == "NRS_MSASPEC":
            self._msa(draft)
        elif model_is_time_series(model):
            model.meta.target.source_type = POINT
        elif exp_type in PER_SOURCE:
            for slit in model.slits:
                slit.source_type = EXTENDED if slit.is_extended else POINT
        else:
            model.meta.target.source_type = UNKNOWN
            draft.log.append(f"srctype: EXP_TYPE {exp_type} has no type of source; SRCTYPE = {UNKNOWN}")
        if draft.wcs is not None:
            given(draft, self.source_x, self.source_y, self.source_ra, self.source_dec)
            if self.measure_position:
                centre(draft, self.measure_range, self.measure_snr)
        return {}

    def _msa(self, draft: Draft) -> None:
        """Slits of the MSA, each with a source of its own, whose type the user may choose where a step is made for each slit."""
        model = draft.model
        many = getattr(model, "slits", None)
        for slit in many or [model]:
            if slit.stellarity is None:
                raise InputError(f"slit {slit.name} has no stellarity; srctype needs it for NRS_MSASPEC")
            kind = EXTENDED if 0 <= slit.stellarity <= STELLAR else POINT
            slit.source_type = kind if many or self.source_type is None else self.source_type
        model.meta.target.source_type = None  # each slit has its own

    def _one_target(self, draft: Draft, exp_type: str) -> None:
        model, target = draft.model, draft.model.meta.target
        if self.source_type is not None and exp_type in NOT_SELECTABLE:
            raise ParameterError(f"srctype.source_type cannot be given for {exp_type}: its targets are points")
        if target.source_type_apt is None:
            target.source_type_apt = target.source_type
        dither = model.meta.dither
        kind, reason = decide(
            Facts(
                exp_type=exp_type,
                chosen=self.source_type,
                background=bool(model.meta.observation.bkgdtarg),
                time_series=model_is_time_series(model),
                proposal=target.source_type_apt,
                pattern=dither.optimized_for if exp_type == "MIR_MRS" else dither.primary_type,
            )
        )
        draft.log.append(f"srctype: {kind} ({reason})")
        target.source_type = kind
        everywhere = self.all_slits and self.source_type is not None
        _set_slits(model, exp_type, kind, draft.slit is not None, everywhere)


def _set_slits(model: Any, exp_type: str, kind: str, one_of_many: bool, everywhere: bool) -> None:
    """The type of each slit: the target's, except (unless `everywhere`) in the fixed slits beside the one it is in."""
    name = type(model).__name__
    if exp_type == "NRS_FIXEDSLIT" and (one_of_many or name != "SlitModel"):
        for slit in [model] if one_of_many else model.slits:
            primary = slit.name == model.meta.instrument.fixed_slit
            slit.source_type = kind if primary or everywhere else EXTENDED
            if primary and kind == EXTENDED:
                slit.source_xpos = slit.source_ypos = 0.0
    elif name == "SlitModel":
        model.source_type = kind
    elif name == "MultiSlitModel":
        for slit in model.slits:
            slit.source_type = kind
