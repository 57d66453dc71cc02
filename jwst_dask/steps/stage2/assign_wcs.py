"""assign_wcs: attach the world coordinate system of the exposure's mode, and the keywords that follow from it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, NoDataOnDetectorError
from jwst_dask.core.step import MetaStep, Skip, State, param

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft
    from jwst_dask.data.slits import SlitSpec
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

SPECTROSCOPIC = (
    "MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS", "MIR_MRS", "MIR_WFSS", "NIS_SOSS", "NIS_WFSS", "NRC_TSGRISM", "NRC_WFSS",
    "NRS_FIXEDSLIT", "NRS_IFU", "NRS_MSASPEC", "NRS_BRIGHTOBJ",
)  # fmt: skip
"""Exposure types whose wavelengths are barycentric and whose dispersion axis is recorded."""
LAMP_MODES = ("BRIGHTOBJ", "FIXEDSLIT", "IFU", "MSASPEC")
"""NIRSpec lamp modes to which the same applies."""
SLITS = ("NRS_MSASPEC", "NRS_FIXEDSLIT", "NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT")
"""Exposure types with many slits."""
OPTICS = ("wavelengthrange", "camera", "collimator", "disperser", "fore", "fpa", "msa", "ote")
"""References that the WCS of their slits are made from."""


@dataclass(frozen=True, kw_only=True)
class AssignWcsStep(MetaStep):
    """Build the gwcs object of a spectroscopic exposure and set S_REGION, DISPAXIS, SPECSYS and the spectral range.

    Input is an ImageModel or CubeModel; others are skipped. Sets ``meta.wcs``, ``meta.wcsinfo`` and, for MIRI LRS,
    ``wavelength`` (float32[y, x], microns). Reference types: those of `references`, of which each mode uses some.

    An exposure with many NIRSpec slits (MOS, fixed slits, lamps) gets no WCS of the whole, but the list of slits on its detector
    (``draft.slits``, in the order of quadrants, with bounding boxes); extract_2d gives each cut-out a WCS of its own. The MSA
    metafile (``MSAMETFL``) is looked for beside the exposure, beside other members of its association, and in the working folder.

    Raises
    ------
    InputError
        For an exposure type without a WCS, metadata that are missing, or an MSA metafile that cannot be used.
    ReferenceError_
        For a reference that is missing or unusable.
    NoDataOnDetectorError
        When no slit falls on the detector.

    Source: JWST documentation, assign_wcs.
    """

    alias: ClassVar[str] = "assign_wcs"
    cal_step: ClassVar[str] = "assign_wcs"
    references: ClassVar[tuple[str, ...]] = (
        "distortion", "filteroffset", "specwcs", "regions", "wavelengthrange", "camera", "chromcorr", "collimator",
        "disperser", "fore", "fpa", "msa", "ote", "ifupost", "ifufore", "ifuslicer",
    )  # fmt: skip

    sip_approx: bool = param(True, "Fit a FITS SIP approximation (imaging and WFSS)")
    sip_max_pix_error: float = param(0.01, "Largest error of the forward SIP fit", unit="pixel")
    sip_degree: int | None = param(None, "Degree of the forward SIP fit (default: the best)", kind="int", high=6)
    sip_max_inv_pix_error: float = param(0.01, "Largest error of the inverse SIP fit", unit="pixel")
    sip_inv_degree: int | None = param(None, "Degree of the inverse SIP fit (default: the best)", kind="int", high=6)
    sip_npoints: int = param(12, "Points along each axis for the SIP fit")
    slit_y_low: float = param(-0.55, "Lower edge of a NIRSpec slit, in slit heights from its centre")
    slit_y_high: float = param(0.55, "Upper edge of a NIRSpec slit, in slit heights from its centre")
    nrs_ifu_slice_wcs: bool = param(False, "Keep one WCS for each slice of the NIRSpec IFU")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        from jwst_dask.wcs.build import attach_wcs, build_wcs

        model = draft.model
        if type(model).__name__ not in ("ImageModel", "CubeModel", "IFUImageModel"):
            return Skip(f"assign_wcs works on ImageModel, IFUImageModel and CubeModel, not {type(model).__name__}")
        if not model.meta.exposure.type:
            raise InputError(f"{draft.path}: EXP_TYPE is missing, so its WCS is not known")
        paths = {reftype: refs(reftype) for reftype in self.references}
        _set_spectral_keywords(model)
        if model.meta.exposure.type.upper() in SLITS:
            draft.slits = self._slits(draft, paths)
            return {}
        attach_wcs(model, build_wcs(model, paths, self.values()))
        if model.meta.exposure.type == "MIR_LRS-SLITLESS":
            _set_lrs_footprint(model)
        _drop_region_off_sky(model)
        return {}

    def _slits(self, draft: Draft, paths: dict[str, str]) -> list[SlitSpec]:
        """The slits on the detector; what their tasks need to make their WCS goes to ``draft.shared``."""
        from jwst_dask.wcs.nirspec.msa_slits import folders_of, open_slits
        from jwst_dask.wcs.nirspec.tracer import optics_of
        from jwst_dask.wcs.references import WcsReferences

        model = draft.model
        info, instrument = model.meta.wcsinfo.instance, model.meta.instrument
        refs = {name: paths[name] for name in OPTICS}
        if (odd := lamp_mismatch(instrument.lamp_state, instrument.grating)) and model.meta.exposure.type != "NRS_FIXEDSLIT":
            draft.log.append(odd)
            log.warning("%s: %s", draft.path, odd)
        folders = [*folders_of(draft.path, draft.members), *draft.beside]
        found = WcsReferences(refs, str(instrument.name), model.meta.exposure.type)
        slits = open_slits(model, found, self.slit_y_low, self.slit_y_high, folders, draft.log)
        if model.meta.exposure.type == "NRS_FIXEDSLIT" and instrument.fixed_slit is None:
            instrument.fixed_slit = "NONE"
        optics = optics_of(model, refs)
        info.update(optics.wcsinfo())
        if not optics.on_sky:
            info.pop("s_region", None)
        specs = optics.specs(slits)
        if not specs:
            raise NoDataOnDetectorError(f"{draft.path}: none of its {len(slits)} open slits falls on detector {instrument.detector}")
        draft.shared["wcs_references"] = refs
        return specs


LAMP_GRATINGS = {
    **dict.fromkeys(("FLAT1", "FLAT4", "LINE1", "REF"), ("G140M", "G140H")),
    **dict.fromkeys(("FLAT2", "LINE2"), ("G235M", "G235H")),
    **dict.fromkeys(("FLAT3", "LINE3"), ("G395M", "G395H")),
    **dict.fromkeys(("FLAT5", "LINE4"), ("PRISM",)),
}
"""Gratings that each lamp has the filter for (pipeline documents: "NIRSpec Lamp Exposures")."""


def lamp_mismatch(lamp: str | None, grating: str | None) -> str:
    """What is odd about a lamp seen through a grating, or nothing; such exposures are processed all the same."""
    meant = LAMP_GRATINGS.get(str(lamp or "").upper())
    if meant is None or str(grating or "").upper() in meant:
        return ""
    return f"LAMP {lamp} has the filter for {' and '.join(meant)}, GRATING is {grating}: its wavelength range is not that of the grating"


def _set_spectral_keywords(model: Any) -> None:
    from jwst_dask.wcs.sky import dispersion_axis

    instrument, exp_type = model.meta.instrument, model.meta.exposure.type.upper()
    if exp_type in SPECTROSCOPIC or str(instrument.lamp_mode).upper() in LAMP_MODES:
        model.meta.wcsinfo.specsys = "BARYCENT"
        model.meta.wcsinfo.dispersion_direction = dispersion_axis(exp_type, instrument.filter, instrument.pupil)


def _set_lrs_footprint(model: Any) -> None:
    """S_REGION of the lit part of the subarray, and the wavelength of every pixel (NaN outside it)."""
    from jwst_dask.wcs.grid import of_wcs
    from jwst_dask.wcs.sky import imaging_footprint, s_region

    wcs, shape = model.meta.wcs, model.data.shape[-2:]
    region = of_wcs("footprint", wcs, lambda: s_region(imaging_footprint(wcs)))
    if region is not None:
        model.meta.wcsinfo.s_region = region
    model.wavelength = of_wcs(("wavelengths", shape), wcs, lambda: _wavelengths(wcs, shape)).copy()


def _wavelengths(wcs: Any, shape: tuple[int, int]) -> np.ndarray:
    y, x = np.indices(shape, dtype=float)
    return np.asarray(wcs(x, y)[2], np.float32)


def _drop_region_off_sky(model: Any) -> None:
    from jwst_dask.wcs.sky import is_celestial

    if not is_celestial(model.meta.wcs.output_frame):
        model.meta.wcsinfo.s_region = None
