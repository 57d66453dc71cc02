"""What the writer of exposures needs to know about a mode: header, light on the detector, noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Setup:
    """One detector's exposure, before noise.

    Attributes
    ----------
    stem : str
        File name up to the segment, for example ``jw09999001001_04101_00001``; `detector` is what follows it.
    product : str
        Level-3 product name.
    program : str
    star, background : ndarray
        float64[y, x] in DN/s: the star outside transit, and what does not vary.
    integration_time, group_time : float
        Seconds.
    ngroups : int
    cadence : float
        Seconds from one integration to the next.
    gain, read_noise : float
        Electrons per DN, and electrons.
    header : dict
        Metadata of the datamodel, by path without ``meta.``.
    rule2 : str
        Level-2 association rule.
    wavelength, flux : ndarray
        um and Jy of the injected spectrum.
    reference_columns : int
        Columns on the left that see no light.
    """

    stem: str
    detector: str
    product: str
    program: str
    star: np.ndarray
    background: np.ndarray
    integration_time: float
    group_time: float
    ngroups: int
    cadence: float
    gain: float
    read_noise: float
    header: dict[str, Any]
    rule2: str
    wavelength: np.ndarray
    flux: np.ndarray
    reference_columns: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        ny, nx = self.star.shape
        return int(ny), int(nx)


def common_header(instrument: str, detector: str, exp_type: str, program: str, target: tuple[float, float], roll: float,
                  reference: tuple[float, float, float], aperture: str, velocity: float) -> dict[str, Any]:  # fmt: skip
    """Keywords that both instruments share: programme, target, pointing, aperture, steps already done."""
    v2, v3, angle = reference
    ra, dec = target
    visit = f"{program}001001"
    head: dict[str, Any] = {
        "telescope": "JWST", "instrument.name": instrument, "instrument.detector": detector, "exposure.type": exp_type,
        "observation.program_number": program, "observation.observation_number": "001", "observation.visit_number": "001",
        "observation.visit_group": "04", "observation.sequence_id": "1", "observation.activity_id": "01", "observation.exposure_number": "00001",
        "observation.visit_id": visit, "observation.obs_id": f"V{visit}P0000000004101", "observation.bkgdtarg": False,
        "program.title": "mock observatory", "program.category": "GO", "program.pi_name": "Nobody", "visit.tsovisit": True,
        "visit.type": "PRIME_TARGETED_FIXED", "visit.status": "SUCCESSFUL",
        "target.catalog_name": "MOCK-STAR", "target.proposer_name": "Mock star", "target.type": "FIXED", "target.ra": ra, "target.dec": dec,
        "target.proposer_ra": ra, "target.proposer_dec": dec, "target.source_type_apt": "POINT",
        "wcsinfo.v2_ref": v2, "wcsinfo.v3_ref": v3, "wcsinfo.v3yangle": angle, "wcsinfo.vparity": -1, "wcsinfo.ra_ref": ra, "wcsinfo.dec_ref": dec,
        "wcsinfo.roll_ref": roll, "wcsinfo.crval1": ra, "wcsinfo.crval2": dec, "wcsinfo.velosys": velocity,
        "pointing.ra_v1": ra + 0.15, "pointing.dec_v1": dec + 0.04, "pointing.pa_v3": roll, "aperture.name": aperture, "aperture.pps_name": aperture,
        "aperture.position_angle": (roll + angle) % 360, "velocity_aberration.scale_factor": 1.00002,
        "dither.x_offset": 0.0, "dither.y_offset": 0.0, "dither.position_number": 1, "dither.total_points": 1, "dither.primary_points": 1,
        "dither.primary_type": "NONE", "exposure.nframes": 1, "exposure.groupgap": 0, "exposure.nresets_at_start": 1,
        "exposure.nsamples": 1, "exposure.sample_time": 10.0, "exposure.gain_factor": 1.0, "bunit_data": "DN/s", "bunit_err": "DN/s",
        "filetype": "countrate",
    }  # fmt: skip
    for step in ("dq_init", "saturation", "refpix", "linearity", "dark_sub", "jump", "ramp_fit", "gain_scale"):
        head[f"cal_step.{step}"] = "COMPLETE"
    return head
