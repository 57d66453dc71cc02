"""clean_flicker_noise: subtract correlated (1/f) noise from rates, told from the sky by what unlit pixels show."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.steps.stage2.clean_flicker_noise import scene
from jwst_dask.steps.stage2.clean_flicker_noise.clean import CORNERS, CORNERS_ALLSLITS, CleaningError, Recipe, clean_image

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

CLEANED = ("NRS_MSASPEC", "NRS_IFU", "NRS_FIXEDSLIT", "NRS_BRIGHTOBJ")
WITH_SHUTTERS = ("NRS_MSASPEC", "NRS_IFU")
AUTOMATIC = ("NIS_IMAGE", "NRC_IMAGE")
"""Exposure types for which the reference implementation chooses parameters by itself."""


@dataclass(frozen=True)
class Failed(Skip):
    """The step cannot be carried out; products record it as FAILED and keep the input's pixels."""

    status: ClassVar[str] = "FAILED"


@dataclass(frozen=True, kw_only=True)
class CleanFlickerNoiseStep(BlockStep):
    """Fit and subtract the correlated noise of rate images and of the integrations of time series (``sci`` only).

    Per integration: a mask of unlit pixels, the level of their background, what is left of them fitted along the slow
    readout direction (``median``) or in frequency space (``fft``), subtracted. With `single_mask` the mask of a time series
    is what is background in every integration of its file. Reference type: flat (with `apply_flat_field`).

    Side products: ``mask``, ``flicker_bkg``, ``flicker_noise``.

    Raises
    ------
    InputError
        Where science regions are to be masked that this version does not know (NRS_IFU), or without a WCS.
    ParameterError
        For a user's mask that cannot be read.

    Notes
    -----
    An image whose fit fails is left as it is, with an error in the log.

    Source: JWST documentation, clean_flicker_noise; B. J. Rauscher 2024, PASP 136, 015001.
    """

    alias: ClassVar[str] = "clean_flicker_noise"
    cal_step: ClassVar[str] = "clean_flicker_noise"
    references: ClassVar[tuple[str, ...]] = ("flat",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "dq")
    writes: ClassVar[tuple[str, ...]] = ("sci",)

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
        """Skipped for all but the spectroscopic modes of NIRSpec."""
        if (off := super().applies(meta)) is not None:
            return off
        exp_type = str(meta.get("exposure.type") or "").upper()
        return None if exp_type in CLEANED else Skip(f"not for EXP_TYPE {exp_type}")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        model = draft.model
        if self.background_box_size is not None and len(self.background_box_size) != 2:
            raise ParameterError("clean_flicker_noise.background_box_size needs two numbers, y and x")
        if self.autoparam:
            log.warning("autoparam has no values for EXP_TYPE %s: the parameters stay as they are", model.meta.exposure.type)
        if self.background_method == "median_image" and draft.nints <= 1:
            return Failed(f"background_method=median_image needs several integrations, there is {draft.nints}")
        mask = self._mask_file()
        if mask and not _fits(scene.user_mask(mask).shape, draft):
            return Failed(f"user_mask {mask} has another shape than the data")
        area = model.meta.subarray
        state: State = {"path": draft.path, "nints": draft.nints, "detector": str(model.meta.instrument.detector).upper(),
                        "subarray": str(area.name).upper(), "axis": abs(int(area.slowaxis or 1)) - 1, "user_mask": mask,
                        "corner": np.array([area.ystart or 1, area.xstart or 1]), "flat": self._flat_file(refs)}  # fmt: skip
        state |= self._regions(draft, refs) if self.mask_science_regions and not mask else _no_regions()
        if self.background_method == "median_image":
            from jwst_dask.steps.stage2.clean_flicker_noise.median_image import median_image

            made = median_image(draft, refs)
            if isinstance(made, Skip):
                return Failed(made.reason)
            state |= made
        self._lay_out(draft, state)
        return state

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Clean the integrations of a block; the arrays of the block it is given are left as they are."""
        recipe, flat, sci = self._recipe(state), _flat(state, block), block.arrays["sci"]
        masks = scene.masks_of(block, state, self.n_sigma, self.fit_histogram, self._single, flat)
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
    def _single(self) -> bool:
        if self.single_mask and self.background_method == "median_image":
            return False  # that background is made of the integrations one by one
        return self.single_mask

    def _wanted(self) -> dict[str, bool]:
        return {"mask": self.save_mask, "flicker_bkg": self.save_background, "flicker_noise": self.save_noise}

    def _mask_file(self) -> str:
        return "" if self.user_mask is None or self.user_mask.lower() == "none" else self.user_mask

    def _flat_file(self, refs: References) -> str:
        if not self.apply_flat_field:
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
            state |= _open_shutters(draft, refs)
        return state

    def _recipe(self, state: Mapping[str, Any]) -> Recipe:
        subarray = str(state["subarray"])
        background = None if self.background_method == "median_image" else self.background_method
        return Recipe(self.fit_method, int(state["axis"]), self.fit_by_channel and subarray == "FULL", str(state["detector"]),
                      CORNERS_ALLSLITS if subarray == "ALLSLITS" else CORNERS, background, self.background_box_size, self.n_sigma)  # fmt: skip

    def _lay_out(self, draft: Draft, state: State) -> None:
        """Templates of the side products that are asked for."""
        for name, wanted in self._wanted().items():
            if wanted:
                draft.extras[name] = _template(draft, np.zeros(draft.model.data.shape, np.float32))
        if self.save_mask and "mask" not in self.side_products and draft.first is not None:
            first = draft.first()
            mask = scene.masks_of(first, state, self.n_sigma, self.fit_histogram, self._single, _flat(state, first))[0]
            draft.extras["mask"] = _template(draft, mask.astype(np.float32))


def _template(draft: Draft, data: np.ndarray) -> Any:
    """A model of an image or cube with the exposure's metadata."""
    from stdatamodels.jwst import datamodels

    model = (datamodels.CubeModel if data.ndim == 3 else datamodels.ImageModel)(data=data)
    model.update(draft.model)
    return model


def _fits(shape: tuple[int, ...], draft: Draft) -> bool:
    return shape[-2:] == draft.shape and (len(shape) == 2 or (draft.is_cube and shape[0] == draft.nints))


def _no_regions() -> State:
    return {"regions": False, "areas": np.zeros((0, 4), np.int64), "fixed_rows": False}


def _flat(state: Mapping[str, Any], block: Block) -> np.ndarray | None:
    path = str(state["flat"])
    y, x = (int(n) for n in state["corner"])
    ny, nx = block.arrays["sci"].shape[-2:]
    return scene.flat_image(path, (y, x), (ny, nx)) if path else None


def _median_plane(state: Mapping[str, Any], integration: int) -> np.ndarray | None:
    if "median" not in state:
        return None
    return np.asarray(np.asarray(state["scale"])[integration] * np.asarray(state["median"]))


def _open_shutters(draft: Draft, refs: References) -> State:
    """Pixels lit by failed-open shutters, for an exposure that has not been through msa_flagging."""
    from jwst_dask.steps import step_class

    step = draft.steps.get("msa_flagging") or step_class("msa_flagging")()
    found = step.prepare(draft, refs.scoped(step.overrides, step.references) if hasattr(refs, "scoped") else refs)
    return {} if isinstance(found, Skip) else {"open": found["pixels"]}
