"""Names that the parts of this package share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwst_dask.core.step import Step

CUT = "extract_2d"
MASTER = "master_background_mos"
MASTER_PRODUCTS = ("masterbg1d", "bkgx1d")
"""Side products of the exposure."""
FIXED = "_fs"
"""What is added to suffixes of results that the fixed slits of a MOS exposure have files of their own for."""
SIDE = {"save_interpolated_flat": "interpolatedflat", "save_background": "masterbg2d", "save_profile": "profile", "save_scene_model": "scene_model",
        "save_residual_image": "residual"}  # fmt: skip
"""Parameters that ask for a side product of slits."""


def results(step: Step) -> list[str]:
    """Suffix of a slit step's result, if it is saved."""
    return [step.suffix or step.alias] if step.save_results and step.alias != "extract_1d" else []


def side_products(step: Step) -> list[str]:
    """Side products that a slit step's parameters ask for."""
    return [suffix for name, suffix in SIDE.items() if getattr(step, name, False)]
