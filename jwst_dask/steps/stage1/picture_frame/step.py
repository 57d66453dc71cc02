"""The step picture_frame."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import NoDataOnDetectorError, ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.ramp.picture_frame import Pattern, correct_image, correct_ramp, make_pattern
from jwst_dask.refs.load import planes
from jwst_dask.steps.stage1.draft_rate import DraftRate, Whole, is_ramp, prepare_rate, side_product
from jwst_dask.steps.stage1.reference import contents
from jwst_dask.steps.stage2.clean_flicker_noise import scene
from jwst_dask.steps.stage2.clean_flicker_noise.science import no_regions, regions

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

SHUTTERS = ("NRS_MSASPEC", "NRS_FIXEDSLIT")
"""Exposure types in which failed-open shutters are looked for."""


@dataclass(frozen=True, kw_only=True)
class PictureFrameStep(BlockStep):
    """Subtract the thermal picture frame from full frames of NIRSpec: from ramps, or from rates.

    The reference's image is scaled so that the medians of background pixels at the centre and at the edges of each image agree; the
    images of a ramp (``sci`` float32[integration, group, y, x], DN) are its groups less the first of their integration. Background is
    what the draft rate of the exposure shows as such. `run` takes an exposure in one block, `stream` goes through a stored one; the
    outcome is the same. A ramp is changed in place, rates are not. Whole frames; of ramps all integrations. Reference type: pictureframe.

    Side products: ``pctfrm_mask``, ``pctfrm_correction``. Of ramps they come among the arrays of the block that `run` returns, or those of
    blocks that `stream` writes; the mask as bool[y, x], with the first block.

    Raises
    ------
    InputError
        Where science regions are to be masked that this version does not know (NRS_IFU); of ramps also without the keywords that
        ramp_fit needs.
    ReferenceError_
        For a reference that is unusable or no full frame.

    Source: JWST documentation, picture_frame.
    """

    alias: ClassVar[str] = "picture_frame"
    cal_step: ClassVar[str] = "picture_frame"
    references: ClassVar[tuple[str, ...]] = ("pictureframe",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq", "pixeldq", "zeroframe", "dq")
    writes: ClassVar[tuple[str, ...]] = ("sci",)
    side_products: ClassVar[tuple[str, ...]] = ("pctfrm_mask", "pctfrm_correction")
    band_halo: ClassVar[int | None] = None
    needs_all_integrations: ClassVar[bool] = True

    mask_science_regions: bool = param(True, "Mask open slits and failed-open shutters")
    n_sigma: float = param(2.0, "Limit for signal among background pixels; 0 for none")
    save_mask: bool = param(False, "Save the mask (suffix pctfrm_mask)")
    save_correction: bool = param(False, "Save the correction (suffix pctfrm_correction)")
    skip: bool = param(True, "Skip this step")

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """Skipped for all but full frames of NIRSpec."""
        if (off := super().applies(meta)) is not None:
            return off
        name, subarray = (str(meta.get(path)).upper() for path in ("instrument.name", "subarray.name"))
        return None if (name, subarray) == ("NIRSPEC", "FULL") else Skip(f"not for {name} {subarray}, only for full frames of NIRSpec")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path = refs("pictureframe")
        if path == "N/A":
            return Skip("no pictureframe reference")
        ramp = is_ramp(draft)
        if ramp and draft.model.data.shape[1] == 1:
            return Skip("the exposure has one group")
        shape = contents(path).shapes.get("SCI", ())
        if tuple(shape) != draft.shape:
            raise ReferenceError_(f"the pictureframe reference {path} has images of {' x '.join(map(str, shape)) or 'no'} pixels (y, x), the exposure's "
                                  f"are {draft.shape[0]} x {draft.shape[1]}; give another with override_pictureframe")  # fmt: skip
        state: State = {"pictureframe": path, "ramp": ramp, "path": draft.path, "nints": draft.nints, "flat": "", "user_mask": ""}
        found = self._regions(draft, refs)
        if isinstance(found, Skip):
            return found
        state |= found
        if ramp:
            state |= prepare_rate(draft, refs)
        self._lay_out(draft, state)
        return state

    def _regions(self, draft: Draft, refs: References) -> State | Skip:
        if not self.mask_science_regions:
            return no_regions()
        try:
            return regions(draft, refs, SHUTTERS)
        except NoDataOnDetectorError as error:
            log.warning("picture_frame: %s; science regions are not masked", error)
            return no_regions()

    def _lay_out(self, draft: Draft, state: State) -> None:
        """Templates of the side products that are asked for."""
        shape = draft.model.data.shape
        for name, wanted, size in (("pctfrm_mask", self.save_mask, shape[-2:]), ("pctfrm_correction", self.save_correction, shape)):
            if wanted:
                draft.extras[name] = side_product(draft, size, state if name == "pctfrm_mask" else None)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        if bool(state["ramp"]):
            whole = Whole(block)
            self.stream(whole, whole, state)
            return block
        mask = scene.masks_of(block, state, self.n_sigma, False, True, None)
        sci = block.arrays["sci"]
        arrays = {**block.arrays, "sci": sci.copy()}
        pattern = _pattern(state, mask[0])
        if pattern is not None:
            for image in arrays["sci"]:
                correct_image(image, pattern)
        if self.save_mask:
            arrays["pctfrm_mask"] = mask
        if self.save_correction:
            arrays["pctfrm_correction"] = arrays["sci"] - sci
        return dataclasses.replace(block, arrays=arrays)

    def stream(self, ramps: Any, out: Any, state: Mapping[str, Any]) -> None:
        """Correct a stored ramp, holding some integrations at a time.

        Parameters
        ----------
        ramps, out : core.ramps.store.Ramps
            May be the same.
        state : mapping
        """
        rate = DraftRate(ramps, state).image()
        if rate is None:
            log.error("picture_frame: no pixel has a rate; the ramps stay as they are")
            return
        mask = scene.plane_mask(*rate, state, self.n_sigma, False)
        pattern = _pattern(state, mask)
        for block in ramps.blocks():
            sci = block.arrays["sci"]
            before = sci.copy() if self.save_correction else None
            if pattern is not None:
                for ramp in sci:
                    correct_ramp(ramp, pattern)
            keep = {"pctfrm_mask": mask} if self.save_mask and block.start == 0 else {}
            if before is not None:
                keep["pctfrm_correction"] = np.subtract(sci, before, out=before)
            block.arrays = {"sci": sci, **keep}
            out.write(block)


def _pattern(state: Mapping[str, Any], mask: np.ndarray) -> Pattern | None:
    found = make_pattern(planes(str(state["pictureframe"]), "SCI"), mask)
    if found is None:
        log.error("picture_frame: there is no background at the centre or at the edges; the images stay as they are")
    return found
