"""Spectra to combine; shared with the maker of the golden values (tests/parity/make_extract_1d_slits.py)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

KINDS = np.dtype([(name, "u4" if name == "DQ" else "f8") for name in ("WAVELENGTH", "FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR", "DQ")])

CASES: dict[str, tuple[int, int, float, float | None]] = {
    # name: (spectra, elements, offset between their wavelengths in elements, sigma_clip)
    "one": (1, 30, 0.0, None),
    "same": (3, 40, 0.0, None),
    "near": (4, 40, 0.05, None),
    "between": (2, 40, 0.5, None),
    "far": (5, 50, 2.3, None),
    "many": (12, 40, 0.3, None),
    "clipped": (5, 40, 0.1, 3.0),
    "clipped_hard": (12, 50, 0.7, 1.0),
}


def tables(case: str) -> Iterator[tuple[np.ndarray, float]]:
    """Spectra and exposure times of a case; every other one has falling wavelengths."""
    number, length, offset, _ = CASES[case]
    rng = np.random.default_rng(len(case) + number)
    for s in range(number):
        n = length + (int(rng.integers(-4, 5)) if offset else 0)
        out = np.zeros(n, dtype=KINDS)
        wavelength = 1 + 0.01 * (np.arange(n) + offset * rng.normal())
        out["WAVELENGTH"] = wavelength[::-1] if s % 2 else wavelength
        for name in ("FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR"):
            out[name] = rng.normal(5, 1, n)
        out["FLUX"][rng.random(n) < 0.05] = np.nan
        out["FLUX"][rng.random(n) < 0.05] = 100
        out["SB_ERROR"][rng.random(n) < 0.05] = np.nan
        out["DQ"] = rng.choice([0, 1, 4, 8], n, p=[0.8, 0.1, 0.05, 0.05])
        yield out, 100.0 + 50 * s
