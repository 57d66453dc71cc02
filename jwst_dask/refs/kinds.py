"""What each type of reference file holds: dimensions, dtype, units and the datamodel that reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A reference type.

    Attributes
    ----------
    reftype : str
    description : str
    model : str
        Class of `stdatamodels.jwst.datamodels`; ``""`` for plain JSON.
    dims : tuple of str
        Dimensions of the main array; empty for transforms and tables.
    dtype, units : str
    formats : tuple of str
        File formats in use.
    """

    reftype: str
    description: str
    model: str
    dims: tuple[str, ...] = ()
    dtype: str = ""
    units: str = ""
    formats: tuple[str, ...] = ("fits",)


_TRANSFORM = ("asdf",)
KINDS: dict[str, Kind] = {kind.reftype: kind for kind in (
    Kind("distortion", "detector pixels to V2, V3", "DistortionModel", units="arcsec", formats=_TRANSFORM),
    Kind("specwcs", "spectral trace and wavelengths", "MiriLRSSpecwcsModel", units="pixel, um", formats=("fits", "asdf")),
    Kind("filteroffset", "displacement of the image by a filter", "FilteroffsetModel", units="pixel", formats=_TRANSFORM),
    Kind("regions", "slices of an integral field unit on the detector", "RegionsModel", ("plane", "y", "x"), formats=_TRANSFORM),
    Kind("camera", "NIRSpec camera", "CameraModel", formats=_TRANSFORM),
    Kind("collimator", "NIRSpec collimator", "CollimatorModel", formats=_TRANSFORM),
    Kind("disperser", "NIRSpec grating or prism", "DisperserModel", units="degree, 1/m", formats=_TRANSFORM),
    Kind("fore", "NIRSpec fore optics", "FOREModel", formats=_TRANSFORM),
    Kind("fpa", "NIRSpec detectors in the focal plane", "FPAModel", units="m", formats=_TRANSFORM),
    Kind("msa", "NIRSpec apertures", "MSAModel", units="m", formats=_TRANSFORM),
    Kind("ote", "telescope focal plane to V2, V3", "OTEModel", units="arcsec", formats=_TRANSFORM),
    Kind("wavelengthrange", "wavelength range and order of a mode", "WavelengthrangeModel", units="m or um", formats=_TRANSFORM),
    Kind("chromcorr", "chromatic shift of the NIRSpec integral field unit", "ChromCorrModel", formats=_TRANSFORM),
    Kind("ifufore", "fore optics of the NIRSpec integral field unit", "IFUFOREModel", formats=_TRANSFORM),
    Kind("ifupost", "post optics of the NIRSpec integral field unit", "IFUPostModel", formats=_TRANSFORM),
    Kind("ifuslicer", "slicer of the NIRSpec integral field unit", "IFUSlicerModel", formats=_TRANSFORM),
    Kind("wavecorr", "wavelength zero point by source position", "WaveCorrModel", ("wavelength", "position"), "float64", "pixel", _TRANSFORM),
    Kind("msaoper", "failed shutters", "", formats=("json",)),
    Kind("flat", "pixel flat", "FlatModel", ("y", "x"), "float32", "1"),
    Kind("fflat", "NIRSpec fore-optics flat", "NirspecFlatModel", ("wavelength",), "float32", "1"),
    Kind("sflat", "NIRSpec spectrograph flat", "NirspecFlatModel", ("y", "x"), "float32", "1"),
    Kind("dflat", "NIRSpec detector flat", "NirspecFlatModel", ("wavelength", "y", "x"), "float32", "1"),
    Kind("photom", "flux calibration", "", ("wavelength",), "float32", "MJy or MJy/sr per DN/s"),
    Kind("area", "pixel area", "", (), "float32", "arcsec2"),
    Kind("extract1d", "extraction apertures", "", formats=("json", "fits", "asdf")),
    Kind("apcorr", "aperture correction", "", ("size", "wavelength"), "float32", "1", ("fits", "asdf")),
    Kind("psf", "profile across the trace", "SpecPsfModel", ("y", "x"), "float64", "1"),
    Kind("pastasoss", "SOSS traces by pupil wheel", "PastasossModel", formats=_TRANSFORM),
    Kind("specprofile", "SOSS profiles", "SpecProfileModel", ("order", "y", "x"), "float32", "1"),
    Kind("speckernel", "SOSS kernels", "SpecKernelModel", ("kernel", "wavelength"), "float32", "1"),
)}  # fmt: skip
"""By type, for the types of the modes that are carried out."""


def kind(reftype: str) -> Kind:
    """The description of a type; types that are not in the table get an empty one."""
    if reftype.startswith("pars-"):
        return Kind(reftype, f"parameters of {reftype.removeprefix('pars-')}", "", formats=("asdf",))
    return KINDS.get(reftype, Kind(reftype, reftype, ""))
