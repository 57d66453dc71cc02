"""Data quality flags of JWST products (values from the JWST documentation's table of DQ flags)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

PIXEL: dict[str, int] = {
    name: 1 << bit
    for bit, name in enumerate(
        (
            "DO_NOT_USE", "SATURATED", "JUMP_DET", "DROPOUT", "OUTLIER", "PERSISTENCE", "AD_FLOOR", "CHARGELOSS",
            "RESERVED", "NON_SCIENCE", "DEAD", "HOT", "WARM", "LOW_QE", "RC", "TELEGRAPH",
            "NONLINEAR", "BAD_REF_PIXEL", "NO_FLAT_FIELD", "NO_GAIN_VALUE", "NO_LIN_CORR", "NO_SAT_CHECK",
            "UNRELIABLE_BIAS", "UNRELIABLE_DARK", "UNRELIABLE_SLOPE", "UNRELIABLE_FLAT", "OPEN", "ADJ_OPEN",
            "FLUX_ESTIMATED", "MSA_FAILED_OPEN", "OTHER_BAD_PIXEL", "REFERENCE_PIXEL",
        )
    )
}  # fmt: skip
"""Flags of DQ and PIXELDQ arrays (uint32)."""

GROUP: dict[str, int] = {name: PIXEL[name] for name in list(PIXEL)[:8]}
"""Flags of GROUPDQ arrays (uint8)."""

DO_NOT_USE = np.uint32(PIXEL["DO_NOT_USE"])


def bits(names: str | Iterable[str]) -> int:
    """Value of one flag name, ``"A+B"``, or several names combined.

    Raises
    ------
    KeyError
        For a name that is not a flag; the message lists the flags.
    """
    value = 0
    for name in names.replace("+", " ").replace("|", " ").split() if isinstance(names, str) else names:
        if name not in PIXEL:
            raise KeyError(f"{name!r} is not a DQ flag; the flags are {', '.join(PIXEL)}")
        value |= PIXEL[name]
    return value


def mask(dq: Any, names: str | Iterable[str]) -> Any:
    """True where any of the named flags is set; numpy, dask and xarray arrays alike (bool, shape of `dq`)."""
    return (dq & np.uint32(bits(names))) != 0
