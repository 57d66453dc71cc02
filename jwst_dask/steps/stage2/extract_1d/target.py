"""What is extracted from an exposure or slit: names, source type, references."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jwst_dask.core.step import Skip

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft
    from jwst_dask.refs.crds import References
    from jwst_dask.steps.stage2.extract_1d.step import Extract1dStep

log = logging.getLogger(__name__)

TSO_TYPES = ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ")


@dataclass(frozen=True)
class Target:
    """What is extracted: slit name, spectral order, source type, and the resolved reference files."""

    slit: str
    order: int
    source_type: str | None
    dispaxis: int
    photom: bool
    extraction_type: str | None
    files: tuple[str, str, str]

    @property
    def point(self) -> bool:
        return self.source_type is not None and self.source_type.upper() == "POINT"


def describe(step: Extract1dStep, draft: Draft, refs: References) -> Target | Skip:
    """Names, source type and references of the exposure or slit."""
    model = draft.model
    files = (refs("extract1d"), refs("apcorr") if step.apply_apcorr else "N/A", refs("psf"))
    exp_type, slit_model = model.meta.exposure.type, type(model).__name__ != "CubeModel"
    named = type(model).__name__ == "ImageModel" or exp_type in ("NRS_BRIGHTOBJ", "NRS_FIXEDSLIT")
    slit = (getattr(model, "name", None) if slit_model and named or draft.wcs is not None else None) or exp_type
    if exp_type == "NRS_FIXEDSLIT" and slit == exp_type:
        slit = model.meta.instrument.fixed_slit
    order = model.meta.wcsinfo.spectral_order
    order = 1 if order is None else int(order)
    if order == 0 and not is_prism(model):
        return Skip("spectral order 0 is a direct image")
    if model.meta.wcsinfo.dispersion_direction is None:
        return Skip("the dispersion direction is not known")
    source_type = model.meta.target.source_type
    if draft.wcs is not None:
        source_type = model.source_type
    elif type(model).__name__ == "SlitModel":
        source_type = model.source_type or source_type
    kind = step.extraction_type
    if files[2] == "N/A" and kind != "box":
        log.warning("no psf reference for %s: box extraction", exp_type)
        kind = "box"
    photom = str(model.meta.cal_step.photom or "").upper() == "COMPLETE"
    if not photom:
        log.log(logging.DEBUG if draft.slit is not None else logging.WARNING, "the exposure is not flux calibrated: the spectra are count rates")
    return Target(slit, order, source_type, int(model.meta.wcsinfo.dispersion_direction), photom, kind, files)


def is_prism(model: Any) -> bool:
    """Whether the exposure's spectral order 0 is a spectrum."""
    instrument = model.meta.instrument
    return (instrument.name == "MIRI" and "P750L" in str(instrument.filter).upper()) or (
        instrument.name == "NIRSPEC" and "PRISM" in str(instrument.grating).upper()
    )


def is_tso(model: Any) -> bool:
    """Whether the exposure counts as a time series (at least two integrations)."""
    series = bool(model.meta.visit.tsovisit) or model.meta.exposure.type in TSO_TYPES
    nints = model.meta.exposure.nints
    return series and not (nints is not None and nints < 2)
