"""Transforms through NIRSpec's optics, from reference files and metadata (wavelengths in metres up to the telescope).

Source: JWST documentation, NIRSpec instrument model; Dorner et al. 2016, A&A 592, A113.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.wcs.references import WcsReferences, model_of
from jwst_dask.wcs.sky import barycentric_correction

FULL_RANGE = [0.6e-6, 5.3e-6]
"""Wavelengths (metres) when the reference does not know the disperser."""
PRISM_TABLE = np.arange(0.3, 8.005, 0.005) * 1e-6
"""Wavelengths (metres) at which the prism's index is tabulated for its inversion."""


@dataclass(frozen=True)
class Setting:
    """The metadata that NIRSpec's optics depend on."""

    detector: str
    filter: str
    grating: str
    lamp_state: str
    exp_type: str
    gwa_xtilt: float | None
    gwa_ytilt: float | None
    gwa_tilt: float | None
    velosys: float | None
    xstart: int
    ystart: int
    lamp_mode: str = "NONE"

    @property
    def multi_object(self) -> bool:
        """Whether its slits are described by an MSA metafile."""
        return self.exp_type in ("NRS_MSASPEC", "NRS_AUTOFLAT") or self.lamp_mode.upper() == "MSASPEC"

    @property
    def internal(self) -> bool:
        """Whether the light comes from a lamp, so that the WCS ends in the MSA plane."""
        return self.filter == "OPAQUE" or self.exp_type in ("NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT")

    @property
    def prism(self) -> bool:
        """Whether the disperser is the prism."""
        return self.grating.upper() == "PRISM"


def order_and_range(setting: Setting, refs: WcsReferences) -> tuple[int, list[float]]:
    """Spectral order and wavelength range (metres) of a filter (or lamp) and grating."""
    orders, ranges, names = refs.read("wavelengthrange", _ranges)
    lit_by = setting.lamp_state if setting.internal else setting.filter
    wanted = f"{lit_by}_{setting.grating}"
    if wanted in names:
        index = names.index(wanted)
    else:
        gratings = [name.split("_")[1] for name in names]
        if setting.grating not in gratings:
            return -1, list(FULL_RANGE)
        index = gratings.index(setting.grating)
    return orders[index], list(ranges[index])


def _ranges(tree: Mapping[str, Any]) -> tuple[list[int], list[list[float]], list[str]]:
    return list(tree["order"]), [list(pair) for pair in tree["wavelengthrange"]], list(tree["waverange_selector"])


@dataclass(frozen=True)
class Disperser:
    """The disperser of the reference file, turned by the measured tilt of the grating wheel."""

    tree: Mapping[str, Any]
    angles: tuple[float, float, float, float]

    def rotation(self) -> Any:
        """Rotation into the frame of the grating."""
        from stdatamodels.jwst.transforms.models import Rotation3DToGWA

        return Rotation3DToGWA(list(self.angles), axes_order="xyzy", name="rotation")


def disperser(setting: Setting, refs: WcsReferences) -> Disperser:
    """The disperser with its angles corrected for the tilt sensors' readings (arcsec to degrees).

    The x sensor corrects the angle about y, and the other way round.
    """
    tree = refs.read("disperser", _without_history)
    theta_x, theta_y = tree["theta_x"], tree["theta_y"]
    if setting.gwa_xtilt is not None:
        theta_y = theta_y + _tilt(tree["gwa_tiltx"], setting.gwa_xtilt)
    if setting.gwa_ytilt is not None:
        theta_x = theta_x + _tilt(tree["gwa_tilty"], setting.gwa_ytilt)
    return Disperser(tree, (theta_x, theta_y, tree["theta_z"], tree["tilt_y"]))


def _without_history(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name not in ("history", "asdf_library")}


def _tilt(sensor: Mapping[str, Any], reading: float) -> float:
    model = sensor["tilt_model"]
    return float(0.5 * (model(reading) - model(sensor["zeroreadings"][0])) / 3600.0)


def detector_to_sca(setting: Setting) -> Any:
    """Science pixels of the subarray to pixels of the SCA (NRS2 is read out turned by 180 degrees).

    Raises
    ------
    InputError
        For another detector.
    """
    from astropy.modeling.models import Identity, Scale, Shift

    offset = Shift(setting.xstart - 1) & Shift(setting.ystart - 1)
    if setting.detector == "NRS1":
        return offset | Identity(2)
    if setting.detector == "NRS2":
        return offset | (Shift(-2047) & Shift(-2047) | Scale(-1) & Scale(-1))
    raise InputError(f"DETECTOR is {setting.detector!r}; NIRSpec's detectors are NRS1 and NRS2")


def sca_to_gwa(setting: Setting, refs: WcsReferences, grating: Disperser) -> Any:
    """SCA pixels to direction cosines after the grating."""
    from stdatamodels.jwst.transforms.models import Unitless2DirCos

    fpa = refs.read("fpa", _fpa_nrs1 if setting.detector == "NRS1" else _fpa_nrs2)
    cosines = Unitless2DirCos(name="unitless2directional_cosines")
    return fpa | refs.read("camera", model_of) | cosines | grating.rotation()


def _fpa_nrs1(tree: Mapping[str, Any]) -> Any:
    return tree["nrs1_model"]


def _fpa_nrs2(tree: Mapping[str, Any]) -> Any:
    return tree["nrs2_model"]


def msa_to_gwa(refs: WcsReferences, grating: Disperser) -> Any:
    """MSA plane to direction cosines before the grating."""
    from stdatamodels.jwst.transforms.models import Unitless2DirCos

    cosines = Unitless2DirCos(name="unitless2directional_cosines")
    return refs.read("collimator", model_of).inverse | cosines | grating.rotation()


def dispersed_angles(setting: Setting, grating: Disperser, order: int) -> Any:
    """(wavelength, direction cosines before the grating) to direction cosines after it."""
    from astropy.modeling.models import Identity, Mapping, Scale
    from gwcs.spectroscopy import AnglesFromGratingEquation3D
    from stdatamodels.jwst.transforms.models import Snell

    if not setting.prism:
        # The sign of the first cosine differs between gwcs and the instrument model.
        flip = Identity(1) & Scale(-1) & Identity(1)
        return (
            Mapping((0, 1, 2), n_inputs=4)
            | flip
            | AnglesFromGratingEquation3D(grating.tree["groovedensity"], order, name="alpha_from_greq")
        )
    glass = grating.tree
    terms = (glass[name] for name in ("angle", "kcoef", "lcoef", "tcoef", "tref", "pref"))
    return Snell(*terms, _temperature(setting), glass["pref"], name="snell_law")


def dispersed_wavelength(setting: Setting, grating: Disperser, order: int) -> Any:
    """(first two direction cosines before, first one after the grating) to wavelength."""
    from astropy.modeling.models import Mapping, Scale, Tabular1D
    from gwcs.spectroscopy import WavelengthFromGratingEquation
    from stdatamodels.jwst.transforms.models import RefractionIndexFromPrism, Snell

    if not setting.prism:
        equation = WavelengthFromGratingEquation(grating.tree["groovedensity"], order, name="lambda_from_gratingeq")
        return Mapping((0, 2), n_inputs=3) | equation | Scale(-1)
    glass = grating.tree
    index = Snell.compute_refraction_index(
        PRISM_TABLE, _temperature(setting), glass["tref"], glass["pref"], glass["pref"],
        list(glass["kcoef"]), list(glass["lcoef"]), list(glass["tcoef"]),
    )  # fmt: skip
    table = Tabular1D(points=(index[::-1].copy(),), lookup_table=PRISM_TABLE[::-1].copy(), bounds_error=False)
    return RefractionIndexFromPrism(glass["angle"], name="n_prism") | table


def _temperature(setting: Setting) -> float:
    if setting.gwa_tilt is None:
        raise InputError("GWA_TILT is missing; the prism's refraction depends on this temperature")
    return setting.gwa_tilt


def with_velocity(setting: Setting, angles: Any, wavelength: Any) -> tuple[Any, Any]:
    """Both grating relations for wavelengths as seen from the barycentre (unchanged without VELOSYS)."""
    from astropy.modeling.models import Identity

    if setting.velosys is None:
        return angles, wavelength
    correction = barycentric_correction(setting.velosys)
    return correction.inverse & Identity(3) | angles, wavelength | correction


def msa_to_oteip(refs: WcsReferences) -> Any:
    """MSA plane to the telescope's image plane; the foreoptics' distortion depends on wavelength."""
    from astropy.modeling.models import Identity, Mapping

    spread = Mapping((0, 1, 2, 2), name="msa2fore_mapping")
    spread.inverse = Identity(3)
    return spread | (refs.read("fore", model_of) & Identity(1))


def oteip_to_v23(refs: WcsReferences) -> Any:
    """Telescope's image plane to (V2, V3) in arcsec; wavelengths become microns here."""
    from astropy.modeling.models import Identity, Mapping, Scale

    same = Identity(3, name="fore2ote_mapping")
    same.inverse = Mapping((0, 1, 2, 2))
    return same | (refs.read("ote", model_of) & Scale(1e6))
