"""pathloss: light that is lost on the way through a slit.

Document: "Path Loss Correction" of the JWST pipeline documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.pathloss import at_wavelengths
from jwst_dask.kernels.scale import convert_flux
from jwst_dask.steps.stage2.flat_field.wavelength import slit_wavelengths
from jwst_dask.steps.stage2.pathloss.geometry import GAUSSIAN, Source
from jwst_dask.steps.stage2.pathloss.losses import Curve, losses
from jwst_dask.steps.stage2.pathloss.reference import apertures

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

__all__ = ["PathlossStep"]

SLITS = ("NRS_MSASPEC", "NRS_FIXEDSLIT")
ELSEWHERE = ("MIR_LRS-FIXEDSLIT", "NRS_IFU", "NIS_SOSS")
"""Exposure types with path losses that are not those of NIRSpec slits."""


@dataclass(frozen=True, kw_only=True)
class PathlossStep(BlockStep):
    """Divide the spectra of NIRSpec slits by the share of the light that gets through, for a point source by its place in the slit.

    Slits get the attributes ``pathloss_point`` and ``pathloss_uniform`` (float32[y, x]; NaN where the reference has no
    wavelength) and ``pathloss_correction_type``, which of the two was applied. With the shape of a source given,
    ``pathloss_point`` is for that shape. A source outside the map is not corrected. Reference type: pathloss.
    """

    alias: ClassVar[str] = "pathloss"
    cal_step: ClassVar[str] = "pathloss"
    references: ClassVar[tuple[str, ...]] = ("pathloss",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")

    inverse: bool = param(False, "Multiply by the correction: undo an earlier one")
    source_type: str | None = param(None, "Treat sources as of this type (POINT, EXTENDED) whatever SRCTYPE says", kind="str")
    user_slit_loc: float | None = param(None, "Place of the source across the slit (MIRI LRS only)", unit="arcsec", kind="float")
    any_slitlet: bool = param(False, "MOS: take the losses of the open shutter that the source is in, at an end of its slitlet or not, "
                              "for slitlets of any number of shutters; else those of shutter x, as the reference implementation")  # fmt: skip
    source_fwhm: float | None = param(
        None, "The source is a Gaussian of this full width at half maximum", unit="arcsec", low=0, kind="float"
    )
    source_half_light: float | None = param(None, "The source is a Sersic profile with this half-light radius (major axis)",
                                            unit="arcsec", low=0, kind="float")  # fmt: skip
    source_sersic: float = param(1.0, "Sersic index for source_half_light", low=0.3, high=8)
    source_axis_ratio: float = param(1.0, "Minor to major axis of the source", low=0.05, high=1)
    source_angle: float = param(0.0, "Position angle of its major axis, from north through east", unit="deg")
    source_image: str | None = param(None, "The source looks like this FITS image with a celestial WCS, centred on it", kind="str")
    source_light: str = param("auto", "What a source with a shape is corrected to: all of its light (total), that over the open "
                              "shutters (slit), or by type: total for POINT, slit for others", choices=("auto", "total", "slit"))  # fmt: skip

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """NIRSpec MOS and fixed slits.

        Raises
        ------
        InputError
            For other exposures that have path losses.
        """
        if (off := super().applies(meta)) is not None:
            return off
        exp_type = str(meta.get("exposure.type") or "").upper()
        if exp_type in ELSEWHERE:
            raise InputError(f"{meta.get('filename', 'input')}: step pathloss is not available for EXP_TYPE {exp_type} in this version; "
                             "turn it off with --steps.pathloss.skip=true")  # fmt: skip
        return None if exp_type in SLITS else Skip(f"not for EXP_TYPE {exp_type}")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Find the losses at the wavelength of each pixel.

        Returns
        -------
        dict
            `losses`: float32[y, x].

        Raises
        ------
        InputError
            When the exposure was not cut into slits, or has no wavelengths.
        ParameterError
            When the shape of the source is given in two ways, or its image is unusable.
        ReferenceError_
            When the reference is unusable.
        """
        if draft.wcs is None and getattr(draft.model, "wavelength", None) is None:
            raise InputError("pathloss needs the slits that extract_2d cuts out")
        path = refs("pathloss")
        if not path or path == "N/A":
            return Skip("no pathloss reference")
        slit = draft.model.instance
        kind = str((self.source_type or slit.get("source_type")) or "").upper()
        found = losses(draft, apertures(path), self._source(kind), self.any_slitlet)
        if isinstance(found, str):
            return Skip(found)
        point, uniform = found
        planes = self._planes(draft, kind == "POINT", point, uniform)
        shaped = kind == "POINT" or (self._source(kind) is not None)
        applied = planes[0] if shaped else planes[1]
        slit["pathloss_point"], slit["pathloss_uniform"] = planes
        slit["pathloss_correction_type"] = "POINT" if shaped else "UNIFORM"
        draft.quality["slit_throughput"] = float(np.median((point if shaped else uniform).loss))
        return {"losses": applied}

    def _planes(self, draft: Draft, point_source: bool, point: Curve, uniform: Curve) -> tuple[np.ndarray, np.ndarray]:
        """Losses of a point and of uniform light on the pixels.

        In a fixed slit the wavelengths of a point source are not those of the light around it.
        """
        wavelength = slit_wavelengths(draft)
        background = wavelength
        if point_source and str(draft.model.instance["meta"]["exposure"]["type"]).upper() == "NRS_FIXEDSLIT":
            background = slit_wavelengths(draft, corrected=False)
        return at_wavelengths(wavelength, *point), at_wavelengths(background, *uniform)

    def _source(self, kind: str) -> Source | None:
        """The shape that was given, unless the source is to be taken as uniform."""
        given = [name for name in ("source_fwhm", "source_half_light", "source_image") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ParameterError(f"pathloss: {' and '.join(given)} are two shapes of one source; give one")
        if not given or (self.source_type is not None and kind != "POINT"):
            return None
        total = kind == "POINT" if self.source_light == "auto" else self.source_light == "total"
        radius, index = (self.source_half_light, self.source_sersic) if self.source_fwhm is None else (self.source_fwhm / 2, GAUSSIAN)
        return Source(radius or 0.0, index, self.source_axis_ratio, self.source_angle, self.source_image, total)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Correct the block in place; variances that it lacks stay absent."""
        arrays, factor = block.arrays, state["losses"]
        convert_flux(arrays["sci"], arrays["err"], arrays["dq"], arrays.get("var_poisson"), arrays.get("var_rnoise"),
                     arrays.get("var_flat"), factor, np.zeros(factor.shape, np.uint32), not self.inverse)  # fmt: skip
        return block
