"""wavecorr: wavelengths of a NIRSpec point source that is off the centre of its slit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import MetaStep, Skip, State
from jwst_dask.wcs.grid import METRES_TO_MICRONS

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft
    from jwst_dask.refs.crds import References

CORRECTED = ("NRS_FIXEDSLIT", "NRS_MSASPEC", "NRS_BRIGHTOBJ", "NRS_AUTOFLAT")
BY_SLIT = ("NRS_FIXEDSLIT", "NRS_BRIGHTOBJ")
"""Exposure types whose aperture in the reference is the slit; it is the MOS shutter for others."""


@dataclass(frozen=True, kw_only=True)
class WavecorrStep(MetaStep):
    """Insert the frame ``wavecorr_frame`` after ``slit_frame`` and recompute ``wavelength`` (float32[y, x], microns).

    The shift is the reference's zero-point offset (in pixels, by wavelength and position of the source across the
    slit) times the dispersion, from their means over rows. Skipped for extended sources, without a reference, without
    an entry for the slit, and where corrected wavelengths would not increase. Of exposures with many slits each says in
    ``wavelength_corrected`` whether it was. Reference type: wavecorr.

    Raises
    ------
    InputError
        Without a WCS.
    ReferenceError_
        For a reference that cannot be used.

    Source: JWST documentation, wavecorr.
    """

    alias: ClassVar[str] = "wavecorr"
    cal_step: ClassVar[str] = "wavecorr"
    references: ClassVar[tuple[str, ...]] = ("wavecorr",)

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (why := super().applies(meta)) is not None:
            return why
        exp_type = str(meta.get("exposure.type") or "").upper()
        return None if exp_type in CORRECTED else Skip(f"EXP_TYPE {exp_type} needs no wavelength correction")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        from jwst_dask.wcs.build import attach_wcs
        from jwst_dask.wcs.nirspec.zeropoint import corrected

        model = draft.model
        if model.meta.cal_step.assign_wcs == "SKIPPED":
            return Skip("assign_wcs was skipped")
        if draft.wcs is not None:
            return self._slit(draft, refs)
        if type(model).__name__ != "SlitModel":
            raise InputError(f"{draft.path}: wavecorr works on cut-outs, not on a {type(model).__name__}; run extract_2d first")
        if getattr(model.meta, "wcs", None) is None:
            raise InputError(f"{draft.path} has no WCS; run assign_wcs before wavecorr")
        path = refs("wavecorr")
        if not path or path == "N/A":
            return Skip("no wavecorr reference")
        if (why := _not_a_point(model)) is not None:
            return why
        found = corrected(model.meta.wcs, model.wavelength, path, model.source_xpos, _aperture(model))
        if isinstance(found, str):
            return Skip(found)
        attach_wcs(model, found.wcs)
        model.wavelength = found.wavelength.copy()
        return {}

    def _slit(self, draft: Draft, refs: References) -> State | Skip:
        """One slit of an exposure with many: its WCS is ``draft.wcs``, and it says whether its wavelengths are corrected."""
        from jwst_dask.wcs.grid import pixel_centres
        from jwst_dask.wcs.nirspec.zeropoint import find_shift, shift_slit, slit_dispersion

        model, wcs = draft.model, draft.wcs
        if wcs is None:
            raise InputError(f"{draft.path} has no WCS; run assign_wcs before wavecorr")
        path = refs("wavecorr")
        if not path or path == "N/A":
            return Skip("no wavecorr reference")
        model.instance["wavelength_corrected"] = False
        if (why := _not_a_point(model)) is not None:
            return why
        shift = find_shift(np.asarray(model.wavelength), slit_dispersion(wcs), path, float(model.source_xpos), _aperture(model))
        if isinstance(shift, str):
            return Skip(shift)
        plane = wcs.to_slit(*pixel_centres(wcs.box), corrected=False)[2]
        model.instance["wavelength"] = (shift(plane / METRES_TO_MICRONS) * METRES_TO_MICRONS).astype(np.float32)
        model.instance["wavelength_corrected"] = True
        draft.wcs = shift_slit(wcs, shift)
        return {}


def _not_a_point(model: Any) -> Skip | None:
    kind = model.source_type if model.source_type is not None else model.meta.target.source_type
    return None if (kind or "").strip().upper() == "POINT" else Skip(f"the source is {kind or 'of unknown type'}, not a point")


def _aperture(model: Any) -> str:
    return str(model.name) if model.meta.exposure.type in BY_SLIT else "MOS"
