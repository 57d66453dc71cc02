"""photom: count rates to flux or surface brightness, and the pixel areas that go with them.

Document: "Photometric Correction" of the JWST pipeline documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.data.dq import DO_NOT_USE
from jwst_dask.kernels.scale import convert_flux
from jwst_dask.steps.stage2.flat_field.wavelength import pixel_wavelengths
from jwst_dask.steps.stage2.photom.miri import miri_lrs
from jwst_dask.steps.stage2.photom.nirspec import bright_object, fixed_slit, keep_both, msa_slitlet
from jwst_dask.steps.stage2.photom.rows import Calibration, upper

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

__all__ = ["PhotomStep"]

PER_SR_TO_PER_ARCSEC2 = 23.50443053909789
"""MJy/sr to uJy/arcsec2."""

MODES: dict[str, Callable[[Draft, str, str], Calibration | None]] = {
    "NRS_BRIGHTOBJ": bright_object,
    "NRS_FIXEDSLIT": fixed_slit,
    "NRS_MSASPEC": msa_slitlet,
    "MIR_LRS-SLITLESS": miri_lrs,
}
"""How the calibration of an EXP_TYPE is found; None: the file has no row for the exposure, which stays in count rates."""
LAMPS = ("NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT")


@dataclass(frozen=True, kw_only=True)
class PhotomStep(BlockStep):
    """Convert count rates to MJy (point sources, NIRSpec) or MJy/sr, by a factor that depends on wavelength.

    References: PHOTOM, AREA.
    """

    alias: ClassVar[str] = "photom"
    cal_step: ClassVar[str] = "photom"
    references: ClassVar[tuple[str, ...]] = ("photom", "area")
    reads: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")

    inverse: bool = param(False, "Divide by the conversion: undo an earlier calibration")
    source_type: str | None = param(None, "Treat the source as of this type (POINT, EXTENDED) whatever SRCTYPE says", kind="str")
    apply_time_correction: bool = param(True, "Correct for the loss of throughput with time, where the reference file has it")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Find the conversion of each pixel; record pixel areas, conversion keywords and units.

        Returns
        -------
        dict
            `factor`: float64[y, x], and `factor_dq`: uint32[y, x], DO_NOT_USE where the reference has no wavelength; empty
            when the reference has no row for the exposure.

        Raises
        ------
        InputError
            For an exposure type that is not covered, or an exposure without ERR, DQ or wavelengths.
        ReferenceError_
            When a reference is missing or unusable.
        """
        model = draft.model
        exp_type = str(model.meta.exposure.type or "").upper()
        if exp_type in LAMPS:
            for reftype in self.references:  # products record that they were looked up
                refs(reftype)
            return Skip(f"EXP_TYPE {exp_type}: lamps are not calibrated")
        if exp_type not in MODES:
            raise InputError(f"photom does not cover EXP_TYPE {exp_type} yet; it covers {', '.join(MODES)}")
        absent = [name for name in ("err", "dq") if getattr(model, name, None) is None]
        if absent and draft.wcs is None:  # what a slit has is in its block
            raise InputError(f"photom needs {', '.join(absent).upper()}, which the exposure lacks")
        paths = {reftype: refs(reftype) for reftype in self.references}
        if paths["photom"] == "N/A":
            return Skip("no PHOTOM reference for this mode")
        found = MODES[exp_type](draft, paths["photom"], paths["area"])
        if found is None:
            draft.log.append(f"photom: {paths['photom']} has no row for this exposure, which stays in count rates")
            return {}
        conversion, unit = self._conversion(draft, found)
        model.meta.photometry.conversion_megajanskys = conversion
        model.meta.photometry.conversion_microjanskys = conversion * PER_SR_TO_PER_ARCSEC2
        model.meta.bunit_data = model.meta.bunit_err = "DN/s" if self.inverse else unit
        response = found.at(pixel_wavelengths(model))
        unknown = np.isnan(response)
        if exp_type == "NRS_FIXEDSLIT" and upper(model.source_type) == "POINT":
            keep_both(draft, found, response, self.apply_time_correction)
        return {"factor": np.where(unknown, 0.0, conversion * response), "factor_dq": np.where(unknown, DO_NOT_USE, np.uint32(0))}

    def _conversion(self, draft: Draft, found: Calibration) -> tuple[np.floating[Any], str]:
        """The scalar conversion, and the unit that it leads to."""
        model, conversion = draft.model, found.conversion
        if draft.wcs is not None:
            source = upper(self.source_type or model.source_type)
        else:  # a type that is given counts as it is spelt, one from the exposure in any case
            source = self.source_type or upper(model.meta.target.source_type)
        point = found.flux and source == "POINT"
        if found.flux and not point:
            if model.meta.photometry.pixelarea_steradians is None:
                draft.log.append("photom: the pixel area is not known, so that fluxes are not converted to surface brightness")
            else:
                conversion = conversion / model.meta.photometry.pixelarea_steradians
        if self.apply_time_correction and found.throughput != 1:
            conversion = conversion / found.throughput
        return conversion, "MJy" if point else "MJy/sr"

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Convert the block in place; variances that it lacks stay absent."""
        if "factor" not in state:
            return block
        arrays = block.arrays
        convert_flux(arrays["sci"], arrays["err"], arrays["dq"], arrays.get("var_poisson"), arrays.get("var_rnoise"),
                     arrays.get("var_flat"), state["factor"], state["factor_dq"], self.inverse)  # fmt: skip
        return block
