"""Exposures with slits, for the contracts of their steps."""

from __future__ import annotations

from pathlib import Path

import pytest

MODES = {"mos": "mos_prism", "fs": "fs"}


@pytest.fixture(scope="session")
def slit_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three nods of slits by mode: a point source, an extended one and background slitlets (MOS), the fixed slits (FS)."""
    from jwst_dask import simulate

    out = {}
    for mode, name in MODES.items():
        out[mode] = tmp_path_factory.mktemp(mode)
        simulate.make(name, out[mode], nsources=1, nextended=1, nbackground=1, nods=3, seed=5, shape=(320, 2048) if mode == "mos" else None)
    return out
