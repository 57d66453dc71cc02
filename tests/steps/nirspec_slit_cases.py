"""Exposures with many slits on the made-up optics of `geometry_cases`, and what is compared of their geometry.

Used by tests/steps/test_nirspec_slits.py and by tests/parity/make_nirspec_slits.py, which runs the reference implementation.
"""

from __future__ import annotations

from typing import Any

import geometry_cases
import numpy as np

MOS: dict[str, Any] = geometry_cases.BOTS | {
    "image": True, "exposure.type": "NRS_MSASPEC", "subarray.name": "FULL", "subarray.xstart": 1, "subarray.ystart": 1,
    "subarray.xsize": 8, "subarray.ysize": 8, "visit.tsovisit": False,
}  # fmt: skip
"""(The pixels do not matter, so there are few.)"""
GRATING: dict[str, Any] = MOS | {"instrument.filter": "F290LP", "instrument.grating": "G395H"}
CASES: dict[str, dict[str, Any]] = {
    "prism": MOS,
    "prism_still": MOS | {"wcsinfo.velosys": None, "velocity_aberration.scale_factor": None, "instrument.gwa_tilt": 60.0},
    "grating": GRATING,
    "nrs2": GRATING | {"instrument.detector": "NRS2"},
    "subarray": MOS | {"exposure.type": "NRS_FIXEDSLIT", "subarray.name": "SUB512", "subarray.xstart": 1025, "subarray.ystart": 801},
    "lamp": GRATING
    | {"exposure.type": "NRS_LAMP", "instrument.filter": "OPAQUE", "instrument.lamp_state": "LINE2", "instrument.lamp_mode": "MSASPEC"},
    "lamp_prism": MOS | {"exposure.type": "NRS_AUTOFLAT", "instrument.lamp_state": "FLAT2"},
}
FIXED = ("S200A1", "S200A2", "S400A1", "S1600A1", "S200B1")
POINTS = 7
"""Pixels compared along each axis of a slit."""


def slits() -> list[Any]:
    """Open slits in mixed order: two or three slitlets of one to five shutters in each quadrant, and fixed slits."""
    from stdatamodels.jwst.transforms.models import Slit

    found = []
    for number, (quadrant, shutter) in enumerate([(3, 2), (5, 0), (1, 1), (4, 5), (2, 3), (5, 3), (1, 4), (3, 5), (2, 1), (4, 2)], 1):
        if quadrant == 5:
            name = FIXED[shutter]
            found.append(Slit(name, shutter, 0, 0, 0, -0.55, 0.55, 5, number, slit_id=-101 - shutter))
        else:
            low, high = -1.05 - 1.15 * (number % 3), 1.05 + 1.15 * (number % 2)
            found.append(
                Slit(
                    number, shutter, 1, 1, shutter, low, high, quadrant, number, "1x1", "a", "b", 0.5, 0.1, -0.2, 1.0, 2.0, 1.3, 1.1, number
                )
            )
    return found


def far_away() -> list[Any]:
    """`slits`, and a copy of one that lies so high that it misses the detector."""
    every = slits()
    return [*every[:4], every[3]._replace(name=99, slit_id=99, ymin=98.0, ymax=100.0), *every[4:]]


def grid(box: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in a bounding box at which a slit is looked at (float64[y, x] each)."""
    (x0, x1), (y0, y1) = box
    return tuple(np.meshgrid(np.linspace(x0, x1, POINTS), np.linspace(y0, y1, POINTS)))  # type: ignore[return-value]
