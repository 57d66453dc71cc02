"""One open slit of a NIRSpec exposure as a plan knows it: what it is and where its spectrum falls; no pixels, no WCS object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jwst_dask.wcs.grid import Box

FIXED_QUADRANT = 5
"""Fixed slits count as the MSA's fifth quadrant."""


@dataclass(frozen=True)
class SlitSpec:
    """A slit.

    Attributes
    ----------
    slit : stdatamodels.jwst.transforms.models.Slit
        Name, numbers, quadrant, shutters, source and edges.
    box : ((x0, x1), (y0, y1))
        Bounding box of its spectrum in pixels of the exposure (not of the cut-out).
    """

    slit: Any
    box: Box

    @property
    def name(self) -> str:
        """Slit name, as ``SLTNAME``."""
        return str(self.slit.name)

    @property
    def source_id(self) -> int:
        """Number of its source."""
        return int(self.slit.source_id)

    @property
    def fixed(self) -> bool:
        """Whether it is a fixed slit (also one that is in use in a MOS exposure)."""
        return int(self.slit.quadrant) == FIXED_QUADRANT

    @property
    def background(self) -> bool:
        """Whether it has background shutters only, by the name of its source."""
        name = str(getattr(self.slit, "source_name", "") or "").upper()
        return "BKG" in name or "BACKGROUND" in name
