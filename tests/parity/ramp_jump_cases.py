"""Exposures and parameters for which the jump step's results were recorded (make_ramp_jump.py, ramp_jump.npz)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

GROUP_TIME = 10.0


@dataclass(frozen=True)
class Case:
    """A part of one of the three made-up exposures, and the parameters of the step."""

    scene: str
    integrations: int
    groups: int
    parameters: dict[str, Any] = field(default_factory=dict)
    nframes: int = 1
    dead: tuple[int, ...] = ()
    """Groups that are DO_NOT_USE everywhere."""


_AFTER = {"after_jump_flag_dn1": 300.0, "after_jump_flag_time1": 25.0, "after_jump_flag_dn2": 2000.0, "after_jump_flag_time2": 1000.0}
_SNOW = {"expand_large_events": True}
_SHOWER = {"find_showers": True}
CASES = {
    "single pass": Case("points", 2, 14),
    "single pass, averaged": Case("points", 2, 13, {"rejection_threshold": 3.0, "min_jump_to_flag_neighbors": 4.0,
                                                    "max_jump_to_flag_neighbors": 60.0}, nframes=4),
    "first and last dead": Case("points", 2, 14, dead=(0, 13)),
    "iterative by dead groups": Case("points", 3, 12, dead=(0, 11)),
    "iterative": Case("points", 3, 5),
    "seven differences": Case("points", 1, 8, nframes=2),
    "four groups": Case("points", 1, 4),
    "three groups": Case("points", 1, 3, {"three_group_rejection_threshold": 3.0}),
    "too few groups": Case("points", 1, 3, dead=(0,)),
    "after jumps": Case("points", 2, 12, _AFTER),
    "after jumps, no neighbours": Case("points", 1, 8, {**_AFTER, "flag_4_neighbors": False}),
    "clipped": Case("points", 12, 5, {"minimum_sigclip_groups": 12, "rejection_threshold": 2.5}),
    "clipped, dead": Case("points", 12, 5, {"minimum_sigclip_groups": 12, "rejection_threshold": 2.0}, dead=(0,)),
    "clipped together": Case("points", 8, 7, {"minimum_sigclip_groups": 50, "only_use_ints": False, "rejection_threshold": 3.0}),
    "single pass by parameter": Case("points", 2, 7, {"min_diffs_single_pass": 4, "minimum_groups": 5}),
    "snowballs as usual": Case("snowballs", 2, 5, _SNOW),
    "snowballs without cores": Case("snowballs", 2, 5, {**_SNOW, "sat_required_snowball": False, "min_jump_area": 1.0, "expand_factor": 3.0}),
    "snowballs, other sizes": Case("snowballs", 2, 5, {**_SNOW, "edge_size": 5, "expand_factor": 1.5, "min_jump_area": 12.0, "min_sat_area": 4.0,
                                                       "min_sat_radius_extend": 3.0, "sat_expand": 5, "max_extended_radius": 10,
                                                       "snowball_time_masked_next_int": 25}),
    "snowballs, this integration": Case("snowballs", 2, 4, {**_SNOW, "edge_size": 0, "mask_snowball_core_next_int": False}),
    "showers as usual": Case("showers", 2, 7, _SHOWER),
    "showers, other sizes": Case("showers", 2, 7, {**_SHOWER, "extend_snr_threshold": 1.4, "extend_min_area": 30, "extend_inner_radius": 1.5,
                                                   "extend_outer_radius": 2.0, "extend_ellipse_expand_ratio": 1.5, "max_extended_radius": 12,
                                                   "time_masked_after_shower": 25.0}, nframes=2),
    "showers, clipped": Case("showers", 2, 7, {**_SHOWER, "minimum_sigclip_groups": 2, "extend_snr_threshold": 0.8, "extend_min_area": 60}),
    "showers, too few": Case("showers", 1, 7, _SHOWER),
    "both": Case("showers", 2, 7, {**_SHOWER, **_SNOW}),
}  # fmt: skip


def arrays(stored: Any, case: Case) -> dict[str, np.ndarray]:
    """Input of a case: sci, groupdq, pixeldq, gain, readnoise."""
    part = np.s_[: case.integrations, : case.groups]
    out = {name: stored[f"{case.scene}.{name}"].copy() for name in ("pixeldq", "gain", "readnoise")}
    out["sci"] = stored[f"{case.scene}.sci"][part].astype(np.float32) * np.float32(0.7)
    if case.scene == "points":
        out["sci"][0, 1, 3, 3] = np.nan
    out["groupdq"] = stored[f"{case.scene}.groupdq"][part].copy()
    out["groupdq"][:, list(case.dead)] |= 1
    return out
