"""Raw exposures of tests of stage 1, and what runs on them leave."""

from __future__ import annotations

import hashlib
from pathlib import Path

MODES = {"bots": ("bots_prism", (32, 128), 5), "miri": ("lrs_slitless", (64, 72), 3)}
"""Simulated mode, rows and columns, integrations of a segment."""


def raw(mode: str, folder: Path, nsegments: int = 2) -> Path:
    """Segments of a series as ramps, and their references."""
    from jwst_dask import simulate

    name, shape, nints = MODES[mode]
    simulate.make(name, folder, nsegments=nsegments, nints=nints, shape=shape, seed=3, uncal=True)
    return folder


def uncals(folder: Path) -> list[str]:
    """Raw exposures in a folder."""
    return [str(path) for path in sorted(folder.glob("*_uncal.fits"))]


def digests(folder: Path) -> dict[str, str]:
    """Every byte of every product."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.suffix in (".fits", ".ecsv")}


def scratch(folder: Path) -> list[str]:
    """What a run has left besides its products and its records."""
    kept = [path for name in ("ramps", "between", "states") for path in (folder / ".jwst_dask" / name).rglob("*") if path.is_file() or name != "states"]
    return sorted(str(path.relative_to(folder)) for path in [*kept, *folder.rglob("*.part")])
