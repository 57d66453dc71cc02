"""clean_flicker_noise: subtract correlated (1/f) noise from rates or ramps, told from the sky by what unlit pixels show."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, NoDataOnDetectorError, ParameterError
from jwst_dask.core.step import BlockStep, Failed, Skip, State, param
from jwst_dask.steps.stage1.draft_rate import Whole, is_ramp, prepare_rate, side_product
from jwst_dask.steps.stage2.clean_flicker_noise import scene
from jwst_dask.steps.stage2.clean_flicker_noise.clean import CORNERS, CORNERS_ALLSLITS, CleaningError, Recipe, clean_image
from jwst_dask.steps.stage2.clean_flicker_noise.science import no_regions, regions

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

CLEANED = ("NRS_MSASPEC", "NRS_IFU", "NRS_FIXEDSLIT", "NRS_BRIGHTOBJ")
RAMPS = ("RampModel", "Level1bModel")
"""Datamodels of exposures with groups."""
WITH_SHUTTERS = ("NRS_MSASPEC", "NRS_IFU")
AUTOMATIC = ("NIS_IMAGE", "NRC_IMAGE")
"""Exposure types for which the reference implementation chooses parameters by itself."""


@dataclass(frozen=True, kw_only=True)
class CleanFlickerNoiseStep(BlockStep):
    """Fit and subtract the correlated noise of rate images and of the integrations of time series (``sci`` only), or of ramps.

    Per integration: a mask of unlit pixels, the level of their background, what is left of them fitted along the slow
    readout direction (``median``) or in frequency space (``fft``), subtracted. With `single_mask` the mask of a time series
    is what is background in every integration of its file. Reference types: flat (with `apply_flat_field`, `autoparam`), pastasoss.

    Of ramps (float32[integration, group, y, x]) the differences of consecutive groups are cleaned, less pixels flagged DO_NOT_USE or
    JUMP_DET in ``groupdq``; masks come from a draft rate, that of the whole exposure with `single_mask`. `run` takes an exposure in one
    block, `stream` goes through a stored one; the outcome is the same. Whole frames, all integrations.

    Side products: ``mask``, ``flicker_bkg``, ``flicker_noise``. Of ramps they come among the arrays of the block that `run` returns, or
    those of blocks that `stream` writes; a single mask as bool[y, x], with the first block.

    Raises
    ------
    InputError
        Where science regions are to be masked that this version does not know (NRS_IFU), or without a WCS; of ramps also without
        the keywords that ramp_fit needs.
    ParameterError
        For a user's mask that cannot be read.

    Notes
    -----
    An image (or difference of groups) whose fit fails is left as it is, with an error in the log.

    Source: JWST documentation, clean_flicker_noise; B. J. Rauscher 2024, PASP 136, 015001.
    """

    alias: ClassVar[str] = "clean_flicker_noise"
    cal_step: ClassVar[str] = "clean_flicker_noise"
    references: ClassVar[tuple[str, ...]] = ("flat", "pastasoss")
    reads: ClassVar[tuple[str, ...]] = ("sci", "dq", "groupdq", "pixeldq")
    writes: ClassVar[tuple[str, ...]] = ("sci",)
    band_halo: ClassVar[int | None] = None
    needs_all_integrations: ClassVar[bool] = True
    ramp_side_products: ClassVar[tuple[str, ...]] = ("mask", "flicker_bkg", "flicker_noise")
    """Of ramps, whose mask is not known before there are rates, blocks fill them all."""

    autoparam: bool = param(False, "Choose fit and background parameters from the data (imaging only)")
    fit_method: str = param("median", "How the noise is fitted", choices=("fft", "median"))
    fit_by_channel: bool = param(False, "Fit each of the detector's outputs by itself (full frames)")
    background_method: str | None = param("median", "How the background is fitted", choices=("median", "model", "median_image", None))
    background_box_size: tuple[int, ...] | None = param(None, "Boxes (y, x) of background_method=model", unit="pixel", kind="ints", low=1)
    mask_science_regions: bool = param(False, "Mask open slits and failed-open shutters")
    apply_flat_field: bool = param(False, "Divide by the flat while fitting")
    n_sigma: float = param(2.0, "Limit for signal among background pixels; 0 for none")
    fit_histogram: bool = param(False, "Take the limit from a Gaussian fitted to the histogram of values")
    single_mask: bool = param(True, "One mask for all integrations")
    user_mask: str | None = param(None, "File with a mask of background pixels", kind="str")
    save_mask: bool = param(False, "Save the mask (suffix mask)")
    save_background: bool = param(False, "Save the background (suffix flicker_bkg)")
    save_noise: bool = param(False, "Save the noise (suffix flicker_noise)")
    skip: bool = param(True, "Skip this step")

    @property
    def side_products(self) -> tuple[str, ...]:  # type: ignore[override]
        """A single mask is complete once prepared; the others are filled by the blocks."""
        return ("flicker_bkg", "flicker_noise", *(() if self.single_mask else ("mask",)))

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """Skipped for rates of all but the spectroscopic modes of NIRSpec; of ramps `prepare` decides."""
        if (off := super().applies(meta)) is not None:
            return off
        exp_type = str(meta.get("exposure.type") or "").upper()
        return None if exp_type in CLEANED or str(meta.get("model_type")) in RAMPS else Skip(f"not for EXP_TYPE {exp_type}")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        if self.background_box_size is not None and len(self.background_box_size) != 2:
            raise ParameterError("clean_flicker_noise.background_box_size needs two numbers, y and x")
        exp_type = str(draft.model.meta.exposure.type or "").upper()
        if (unfit := self._unfit(exp_type, is_ramp(draft))) is not None:
            return unfit
        if exp_type == "NIS_SOSS":
            refs("pastasoss")  # recorded whether its traces are used or not
        automatic = self.autoparam and is_ramp(draft) and exp_type in AUTOMATIC
        if self.autoparam and not automatic:
            log.warning("autoparam has no values for EXP_TYPE %s: the parameters stay as they are", exp_type)
        series = self.background_method == "median_image" and not automatic
        if series and draft.nints <= 1:
            return Failed(f"background_method=median_image needs several integrations, there is {draft.nints}")
        mask = self._mask_file()
        if mask and not _fits(scene.user_mask(mask).shape, draft):
            return Failed(f"user_mask {mask} has another shape than the data")
        state = self._facts(draft, refs, mask, automatic)
        found = self._rates(draft, refs, series) if not is_ramp(draft) else self._ramps(draft, refs, series, automatic)
        if isinstance(found, Skip):
            return found
        state |= found
        self._lay_out(draft, state)
        return state

    def _unfit(self, exp_type: str, ramp: bool) -> Skip | None:
        """Why the step does not do anything for an exposure."""
        if not ramp:
            return None if exp_type in CLEANED else Skip(f"not for EXP_TYPE {exp_type}")
        if exp_type.startswith("MIR") and exp_type != "MIR_IMAGE":
            return Failed(f"not for EXP_TYPE {exp_type}")
        if self.fit_method == "fft" and exp_type not in CLEANED:
            return Failed(f"fit_method=fft is not for EXP_TYPE {exp_type}; choose median")
        return None

    def _facts(self, draft: Draft, refs: References, mask: str, automatic: bool) -> State:
        """What all kinds of exposures need."""
        model, area = draft.model, draft.model.meta.subarray
        axis = 0 if str(model.meta.exposure.type).startswith("MIR") else abs(int(area.slowaxis or 1)) - 1
        return {"path": draft.path, "nints": draft.nints, "detector": str(model.meta.instrument.detector).upper(),
                "subarray": str(area.name).upper(), "axis": axis, "user_mask": mask,
                "corner": np.array([area.ystart or 1, area.xstart or 1]), "flat": self._flat_file(refs, automatic)}  # fmt: skip

    def _rates(self, draft: Draft, refs: References, series: bool) -> State | Skip:
        state = self._regions(draft, refs) if self.mask_science_regions and not self._mask_file() else no_regions()
        if series:
            from jwst_dask.steps.stage2.clean_flicker_noise.median_image import median_image

            made = median_image(draft, refs)
            if isinstance(made, Skip):
                return Failed(made.reason)
            state |= made
        return state

    def _ramps(self, draft: Draft, refs: References, series: bool, automatic: bool) -> State | Skip:
        state: State = {"ramp": True, "exp_type": str(draft.model.meta.exposure.type).upper(), "automatic": automatic} | no_regions()
        state |= prepare_rate(draft, refs)
        if self.mask_science_regions and not self._mask_file():
            try:
                found = regions(draft, refs, WITH_SHUTTERS)
            except NoDataOnDetectorError as error:
                return Failed(str(error))
            if isinstance(found, Skip):
                return found
            state |= found
        if series:
            from jwst_dask.steps.stage2.clean_flicker_noise.median_ramp import prepare_brightness

            made = prepare_brightness(draft, refs)
            if isinstance(made, Skip):
                return made
            state |= made
        return state

    def stream(self, ramps: Any, out: Any, state: Mapping[str, Any]) -> None:
        """Clean a stored ramp, holding some integrations at a time.

        Parameters
        ----------
        ramps, out : core.ramps.store.Ramps
            May be the same.
        state : mapping
        """
        from jwst_dask.steps.stage2.clean_flicker_noise.ramps import clean_ramps

        clean_ramps(self, ramps, out, state)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Clean the integrations of a block; the arrays of a block of rates are left as they are, a ramp is changed in place."""
        if bool(state.get("ramp", False)):
            whole = Whole(block)
            self.stream(whole, whole, state)
            return block
        recipe, flat, sci = self.recipe(state), _flat(state, block), block.arrays["sci"]
        masks = scene.masks_of(block, state, self.n_sigma, self.fit_histogram, self.single, flat)
        arrays = {**block.arrays, "sci": sci.copy()}
        keep = {name: np.zeros_like(sci) for name, wanted in self._wanted().items() if wanted and name in self.side_products}
        if "mask" in keep:
            keep["mask"][:] = masks
        for i, image in enumerate(sci):
            self._clean_one(i, image, masks[i], recipe, flat, _median_plane(state, block.start - block.halo[0] + i), arrays["sci"], keep)
        if "flicker_noise" in keep:
            np.subtract(arrays["sci"], sci, out=keep["flicker_noise"])
        return dataclasses.replace(block, arrays={**arrays, **keep})

    def _clean_one(self, i: int, image: np.ndarray, mask: np.ndarray, recipe: Recipe, flat: np.ndarray | None, scaled: np.ndarray | None,
                   out: np.ndarray, keep: dict[str, np.ndarray]) -> None:  # fmt: skip
        try:
            done = clean_image(image if scaled is None else image - scaled, mask, recipe, flat)
        except CleaningError as error:
            log.error("clean_flicker_noise: %s; the image stays as it is", error)
            return
        if done is None:
            log.warning("clean_flicker_noise: no usable pixel; the image stays as it is")
            return
        out[i] = done[0] if scaled is None else scaled + done[0]
        if "flicker_bkg" in keep:
            keep["flicker_bkg"][i] = done[1] if scaled is None else scaled

    @property
    def single(self) -> bool:
        """Whether there is one mask for all integrations."""
        if self.single_mask and self.background_method == "median_image":
            return False  # that background is made of the integrations one by one
        return self.single_mask

    def _wanted(self) -> dict[str, bool]:
        return {"mask": self.save_mask, "flicker_bkg": self.save_background, "flicker_noise": self.save_noise}

    def _one_mask(self) -> bool:
        """Whether the mask of a ramp has one plane."""
        path = self._mask_file()
        return scene.user_mask(path).ndim == 2 if path else self.single

    def _mask_file(self) -> str:
        return "" if self.user_mask is None or self.user_mask.lower() == "none" else self.user_mask

    def _flat_file(self, refs: References, automatic: bool) -> str:
        if not (self.apply_flat_field or automatic):
            return ""
        path = refs("flat")
        if path == "N/A":
            log.warning("clean_flicker_noise: this mode has no flat; give one with override_flat")
            return ""
        return path

    def _regions(self, draft: Draft, refs: References) -> State:
        exp_type = str(draft.model.meta.exposure.type)
        if exp_type == "NRS_IFU":
            raise InputError("mask_science_regions is not available for NRS_IFU in this version; leave it out, or give a user_mask")
        state: State = {"regions": True, "areas": scene.slit_areas(draft), "fixed_rows": scene.fixed_slits_idle(draft)}
        if exp_type in WITH_SHUTTERS and draft.model.meta.cal_step.msa_flagging != "COMPLETE":
            state |= scene.open_shutters(draft, refs)
        return state

    def recipe(self, state: Mapping[str, Any]) -> Recipe:
        """How images are cleaned, by the parameters and the exposure."""
        subarray = str(state["subarray"])
        background = None if self.background_method == "median_image" else self.background_method
        return Recipe(self.fit_method, int(state["axis"]), self.fit_by_channel and subarray == "FULL", str(state["detector"]),
                      CORNERS_ALLSLITS if subarray == "ALLSLITS" else CORNERS, background, self.background_box_size, self.n_sigma)  # fmt: skip

    def _lay_out(self, draft: Draft, state: State) -> None:
        """Templates of the side products that are asked for."""
        shape = draft.model.data.shape
        for name, wanted in self._wanted().items():
            if wanted and is_ramp(draft):
                mask = shape[-2:] if self._one_mask() else (1, *shape[-2:])
                rate = None if self._mask_file() and self.background_method != "median_image" else state  # a user's mask is not made from rates
                draft.extras[name] = side_product(draft, mask, rate) if name == "mask" else side_product(draft, shape)
            elif wanted:
                draft.extras[name] = _template(draft, np.zeros(shape, np.float32))
        if is_ramp(draft):
            return
        if self.save_mask and "mask" not in self.side_products and draft.first is not None:
            first = draft.first()
            mask = scene.masks_of(first, state, self.n_sigma, self.fit_histogram, self.single, _flat(state, first))[0]
            draft.extras["mask"] = _template(draft, mask.astype(np.float32))


def _template(draft: Draft, data: np.ndarray) -> Any:
    """A model of an image or cube with the exposure's metadata."""
    from stdatamodels.jwst import datamodels

    model = (datamodels.CubeModel if data.ndim == 3 else datamodels.ImageModel)(data=data)
    model.update(draft.model)
    return model


def _fits(shape: tuple[int, ...], draft: Draft) -> bool:
    return shape[-2:] == draft.shape and (len(shape) == 2 or ((draft.is_cube or is_ramp(draft)) and shape[0] == draft.nints))


def _flat(state: Mapping[str, Any], block: Block) -> np.ndarray | None:
    path = str(state["flat"])
    y, x = (int(n) for n in state["corner"])
    ny, nx = block.arrays["sci"].shape[-2:]
    return scene.flat_image(path, (y, x), (ny, nx)) if path else None


def _median_plane(state: Mapping[str, Any], integration: int) -> np.ndarray | None:
    if "median" not in state:
        return None
    return np.asarray(np.asarray(state["scale"])[integration] * np.asarray(state["median"]))
