"""What blocks of one exposure hand to each other between the two stages of ramp_fit, as plain arrays by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from jwst_dask.kernels.ramp.finish import finish, poisson_rate, rate_of
from jwst_dask.kernels.ramp.fit import Fitted, Sums, Timing, combine
from jwst_dask.kernels.ramp.fitopt import Options, finish_options
from jwst_dask.kernels.ramp.likely import Likely, average

RATE = "rate_"
"""Before the names of the 2-D result's planes among a block's arrays."""
OPTIONS = "opt_"
"""Before those of the results by segment."""
_SUM, _SEGMENT = "sum_", "segment_"
_PLANES = ("sci", "dq", "var_poisson", "var_rnoise", "err")


@dataclass(frozen=True)
class Pending:
    """What the second stage needs besides the blocks: flags before the fit and detector planes.

    Attributes
    ----------
    pixeldq : uint32[y, x]
    noise, gain : float32[y, x]
        Electrons; electrons per DN.
    dark : float32[y, x] or float
        Average dark current, DN/s.
    timing : Timing
    """

    pixeldq: np.ndarray
    noise: np.ndarray
    gain: np.ndarray
    dark: np.ndarray | float
    timing: Timing


def packed(fitted: Fitted | Likely, sums: Sums | None) -> dict[str, np.ndarray]:
    """Planes of a block of integrations and its sums as arrays by name."""
    out = {name: getattr(fitted, name) for name in _PLANES}
    if isinstance(fitted, Likely):
        return out | {"chisq": fitted.chisq}
    out |= {_SEGMENT + "ramp": fitted.ramp, _SEGMENT + "length": fitted.length}
    return out | ({_SUM + one.name: np.asarray(getattr(sums, one.name)) for one in fields(Sums)} if sums is not None else {})


def sums_in(arrays: Mapping[str, np.ndarray]) -> Sums:
    """The sums among a block's arrays."""
    found = {one.name: arrays[_SUM + one.name] for one in fields(Sums)}
    return Sums(**{**found, "nints": int(found["nints"]), "saturated": bool(found["saturated"])})  # type: ignore[arg-type]


def gathered(blocks: Iterable[Mapping[str, np.ndarray]]) -> Sums:
    """Sums over the arrays of all blocks of an exposure, in any order."""
    return combine(sums_in(arrays) for arrays in blocks)


def finished(arrays: Mapping[str, np.ndarray], sums: Sums, pending: Pending) -> dict[str, np.ndarray]:
    """Arrays of a block with its VAR_POISSON and ERR made final (in place), without what only the second stage needs.

    Parameters
    ----------
    arrays : mapping
        From `RampFitStep.run`.
    sums : Sums
        Of all integrations (`gathered`).
    pending : Pending
    """
    fitted = Fitted(*(arrays[name] for name in ("sci", "dq", "var_rnoise", "var_poisson", "err")), arrays[_SEGMENT + "ramp"], arrays[_SEGMENT + "length"])
    rate = poisson_rate(sums, pending.timing, pending.dark)
    finish(fitted, rate, pending.noise, pending.gain, pending.timing)
    if OPTIONS + "slope" in arrays:
        finish_options(Options(*(arrays[OPTIONS + one.name] for one in fields(Options))), rate, pending.gain)
    return {name: value for name, value in arrays.items() if not name.startswith((_SUM, _SEGMENT))}


def rate_arrays(sums: Sums | None, pending: Pending | None = None, cube: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Planes of the 2-D result, by name with the prefix `RATE`.

    Parameters
    ----------
    sums : Sums, optional
        Of all integrations, of the fit by lines.
    pending : Pending, optional
    cube : mapping, optional
        Of the fit by likelihood: planes of all integrations, or of a band of rows of them.
    """
    if sums is None or pending is None:
        assert cube is not None
        found: Any = average(Likely(*(cube[name] for name in ("sci", "dq", "var_poisson", "var_rnoise", "err", "chisq"))))
        return {RATE + name: getattr(found, name) for name in (*_PLANES, "chisq")}
    found = rate_of(sums, poisson_rate(sums, pending.timing, pending.dark), pending.pixeldq, pending.noise, pending.gain, pending.timing)
    return {RATE + name: getattr(found, name) for name in _PLANES}
