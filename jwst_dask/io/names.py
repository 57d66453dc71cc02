"""Product file names (JWST documentation, "File naming conventions and data products")."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

PRODUCTS: dict[str, str] = {
    "uncal": "uncalibrated ramps", "ramp": "corrected ramps", "dark": "dark ramps", "rate": "count rates",
    "rateints": "count rates per integration", "bsub": "background-subtracted exposure", "bsubints": "background-subtracted integrations",
    "cal": "calibrated exposure", "calints": "calibrated integrations", "crf": "calibrated exposure with outlier flags",
    "crfints": "calibrated integrations with outlier flags", "x1d": "1-D spectra", "x1dints": "1-D spectra per integration",
    "c1d": "combined 1-D spectra", "s2d": "rectified 2-D spectra", "s3d": "spectral cube", "i2d": "rectified image",
    "whtlt": "white-light curve", "phot": "photometry per integration", "cat": "source catalogue", "segm": "segmentation map",
    "psfstack": "stacked PSFs", "psfalign": "aligned PSFs", "psfsub": "PSF-subtracted integrations", "ami": "fringe parameters",
    "ami-oi": "fringe parameters (OIFITS)", "aminorm": "normalised fringe parameters",
    "aminorm-oi": "normalised fringe parameters (OIFITS)", "wfscmb": "combined wavefront-sensing images",
    "mbsub": "master-background-subtracted spectra", "median": "median of an outlier search", "blot": "median projected back",
    "snr": "signal-to-noise image", "interpolatedflat": "flat used on the fly", "esec": "WFSS exposure (e-/s)",
}  # fmt: skip
"""Product suffix -> what it holds."""

_STEPS = (
    "adaptive_trace_model", "align_refs", "ami_analyze", "ami_normalize", "assign_mtwcs", "assign_wcs", "background", "badpix_selfcal",
    "bar_shadow", "barshadow", "bkg_subtract", "charge_migration", "clean_flicker_noise", "combine_1d", "cube_build", "dark_current",
    "dq_init", "emicorr", "engdblog", "extract_1d", "extract_2d", "firstframe", "flat_field", "fringe", "gain_scale", "group_scale",
    "guider_cds", "hlsp", "imprint", "ipc", "jump", "klip", "lastframe", "linearity", "master_background", "master_background_mos",
    "msa_flag_open", "msa_flagging", "outlier_detection", "pathloss", "persistence", "photom", "picture_frame", "pixel_replace", "ramp_fit",
    "refpix", "resample", "resample_spec", "reset", "residual_fringe", "rscd", "saturation", "skymatch", "source_catalog", "source_type",
    "spectral_leak", "srctype", "stack_refs", "stackrefs", "straylight", "superbias", "targ_centroid", "tso_photometry", "tweakreg",
    "wavecorr", "wfs_combine", "wfscombine", "wfss_contam", "white_light",
)  # fmt: skip
_PIPELINES = ("ami3", "coron3", "dark", "detector1", "guider", "image2", "image3", "spec2", "spec3", "tso3")

SUFFIXES: frozenset[str] = frozenset(
    [*PRODUCTS, *_STEPS, "spec2nrslamp", *(f"{name.replace('_', '')}step" for name in _STEPS), *(f"{name}pipeline" for name in _PIPELINES)]
)
"""Everything that counts as a suffix and is replaced by another."""

_EXTENSION = re.compile(r"\.(fits(\.gz)?|asdf|ecsv|json)$", re.I)
_SUFFIX = re.compile(rf"^(?P<root>.+?)(?P<separator>[_-])(?P<suffix>{'|'.join(map(re.escape, sorted(SUFFIXES)))})$")
_EXPOSURE = re.compile(
    r"^jw(?P<program>\d{5})(?P<observation>\d{3})(?P<visit>\d{3})_(?P<group>\d{2})(?P<sequence>\d)(?P<activity>\w{2})_(?P<exposure>\d{5})"
    r"(?:-seg(?P<segment>\d{3}))?_(?P<detector>[a-z0-9]+)(?:_(?P<rest>.+))?$"
)


@dataclass(frozen=True)
class ExposureName:
    """What the name of a level-1 or -2 file says (numbers as text, zeros kept; segment 0 if there is none)."""

    program: str
    observation: str
    visit: str
    group: str
    sequence: str
    activity: str
    exposure: str
    segment: int
    detector: str


def parse(name: str | os.PathLike[str]) -> ExposureName | None:
    """The parts of an exposure's file name, or None for another kind of name."""
    match = _EXPOSURE.match(remove_suffix(name))
    if match is None:
        return None
    parts = match.groupdict()
    words = ("program", "observation", "visit", "group", "sequence", "activity", "exposure", "detector")
    return ExposureName(**{word: parts[word] for word in words}, segment=int(parts["segment"] or 0))


def stem(name: str | os.PathLike[str]) -> str:
    """File name without folder and without extension (``.fits``, ``.fits.gz``, ``.asdf``, ``.ecsv``, ``.json``)."""
    return _EXTENSION.sub("", os.fspath(name).rsplit("/", 1)[-1])


def split_suffix(name: str | os.PathLike[str]) -> tuple[str, str]:
    """Name without folder, extension and known suffix; and the suffix (``""`` if there is none)."""
    base = stem(name)
    match = _SUFFIX.match(base)
    return (match["root"], match["suffix"]) if match else (base, "")


def remove_suffix(name: str | os.PathLike[str]) -> str:
    """Name without folder, extension and known suffix."""
    return split_suffix(name)[0]


def product_name(name: str | os.PathLike[str], suffix: str, asn_id: str | None = None, extension: str = ".fits") -> str:
    """Name of a product.

    Parameters
    ----------
    name : str
        Input file, or product name of an association; its extension and known suffix are dropped.
    suffix : str
        Product suffix.
    asn_id : str, optional
        Association id that the name carries (``_o001_crfints``); not repeated if it is there.
    extension : str
        With its dot.
    """
    base = stem(name)
    match = _SUFFIX.match(base)
    root, separator = (match["root"], match["separator"]) if match else (base, "_")
    if asn_id and not root.endswith(f"_{asn_id}"):
        root = f"{root}_{asn_id}"
    return f"{root}{separator}{suffix}{extension if extension.startswith('.') else '.' + extension}"


def level3_name(program: str, candidate: str, target: str, instrument: str, elements: str) -> str:
    """Name of a level-3 product: ``jw<program>-<candidate>_<target>_<instrument>_<optical elements>``."""
    return f"jw{int(program):05d}-{candidate}_{target}_{instrument}_{elements}".lower()
