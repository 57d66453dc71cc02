"""bkg_subtract: subtract the clipped average of background exposures (nods, or dedicated ones) from an exposure."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.steps.stage2 import members

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

REFERENCE_BACKGROUND = ("NIS_WFSS", "NRC_GRISM", "NRC_WFSS", "MIR_WFSS", "NIS_SOSS")
"""Exposure types whose background is that of a reference file."""
TILT_TOLERANCE = 1e-8
STRIP_BYTES = 48 * 2**20
"""Of all members together that are in memory at a time, if their files can be read in parts."""
FULL_FRAME = {"MIRI": (1024, 1032)}


@dataclass(frozen=True, kw_only=True)
class BackgroundStep(BlockStep):
    """Subtract from ``sci`` the sigma-clipped average of the background exposures; their flags are added to ``dq``.

    At every pixel the values of the exposures (of a series: first of the integrations of each) are clipped around their median
    and averaged. Errors and variances stay as they are, as in the reference implementation. Backgrounds are cleaned of flicker
    noise and less their imprint where the exposure is. NIRSpec backgrounds must have been taken at the same tilt of the grating
    wheel, otherwise the step is skipped. No reference files. Side product: ``combinedbackground``.

    Raises
    ------
    InputError
        For slitless exposures, whose backgrounds are not available in this version, and for a background that cannot be read or
        has another number of dimensions.

    Notes
    -----
    A background of another subarray is used where it overlaps the exposure.

    Source: JWST documentation, bkg_subtract.
    """

    alias: ClassVar[str] = "bkg_subtract"
    cal_step: ClassVar[str] = "bkg_subtract"
    reads: ClassVar[tuple[str, ...]] = ("sci", "dq")
    writes: ClassVar[tuple[str, ...]] = ("sci", "dq")
    product_suffixes: ClassVar[tuple[str, str]] = ("bsub", "bsubints")
    """Of the result when it is saved: of an image, of a series."""

    bkg_list: tuple[str, ...] | None = param(None, "Background exposures, where no association names them", kind="strs")
    save_combined_background: bool = param(False, "Save the average background (suffix combinedbackground)")
    sigma: float = param(3.0, "Limit of clipping, in standard deviations")
    maxiters: int | None = param(None, "Rounds of clipping (default: until nothing is clipped)", kind="int")
    soss_source_percentile: float = param(35.0, "Percentile of flux that counts as source (NIRISS SOSS)")
    soss_bkg_percentile: tuple[float, ...] | None = param(None, "Percentiles of the background that are used (NIRISS SOSS)", kind="floats")
    wfss_mmag_extract: float | None = param(None, "Faintest magnitude of sources (slitless)", kind="float")
    wfss_mask: str | None = param(None, "Mask of sources (slitless)", kind="str")
    wfss_maxiter: int = param(5, "Rounds of outlier rejection (slitless)")
    wfss_rms_stop: float = param(0.0, "Improvement at which these rounds end (slitless)", unit="percent")
    wfss_outlier_percent: float = param(1.0, "Outliers rejected in each round (slitless)", unit="percent")

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """Skipped without backgrounds.

        Raises
        ------
        InputError
            For slitless exposures.
        """
        if (off := super().applies(meta)) is not None:
            return off
        exp_type = str(meta.get("exposure.type") or "").upper()
        if exp_type in REFERENCE_BACKGROUND:
            raise InputError(f"{meta.get('filename', 'input')}: step {self.alias} is not available for EXP_TYPE {exp_type} in this version; "
                             f"turn it off with --steps.{self.alias}.skip=true")  # fmt: skip
        if meta.get("members.background") or any(self.bkg_list or ()):
            return None
        return Skip("no background members in the association")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        paths = [path for path in (draft.members.get("background") or self.bkg_list or ()) if path]
        if not paths:
            return Skip("no background members in the association")
        reason = _other_tilt(draft.model, paths)
        if reason:
            return Skip(reason)
        from jwst_dask.steps.stage2.imprint_subtract import imprints_of

        imprints = imprints_of(draft) if members.active(draft, "imprint_subtract") is not None else []
        area, shape = draft.model.meta.subarray, draft.shape
        corner = _corner(draft.path, area.xstart, area.ystart, shape, draft.model.meta.instrument.name)
        state: State = {"n": len(paths), "corner": np.array(corner), "is_cube": draft.is_cube}
        for i, path in enumerate(paths):
            state |= members.prefixed(f"{i}.", members.member_state(path, draft, refs, imprints) | _place(path, draft.is_cube))
        if self.save_combined_background:
            draft.extras["combinedbackground"] = self._combined(state, shape, draft.first is not None)
        return state

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """A new block less the background; the arrays of the block it is given are left as they are (and may be kept by the caller)."""
        sci, dq = block.arrays["sci"], block.arrays["dq"]
        level, flags, _ = self._average(state, sci.shape[-2:])
        return dataclasses.replace(block, arrays={**block.arrays, "sci": sci - level, "dq": dq | flags})

    def _average(self, state: Mapping[str, Any], shape: tuple[int, int], errors: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Average (float32[y, x]), flags (uint32[y, x]) and, if wanted, error (float32[y, x]) of the backgrounds.

        Those of a series are kept for its other blocks.
        """
        from jwst_dask.refs.load import CACHE, token
        from jwst_dask.steps.stage2.combine_backgrounds import combine

        found = [members.below(state, f"{i}.") for i in range(int(state["n"]))]
        maxiters = -1 if self.maxiters is None else self.maxiters
        corner = (int(state["corner"][0]), int(state["corner"][1]))

        def make() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return combine(found, shape, corner, self.sigma, maxiters, errors, STRIP_BYTES)

        if not bool(state["is_cube"]) or not all(map(members.is_plain, found)):
            return make()
        files = tuple(token(members.text(one, "path")) for one in found)
        kept = CACHE.get(("background", files, shape, corner, self.sigma, maxiters, errors), lambda: dict(enumerate(make())))
        return kept[0], kept[1], kept[2]

    def _combined(self, state: State, shape: tuple[int, int], pixels: bool) -> Any:
        """The average as a model of its own; zeros while a plan is only printed."""
        from stdatamodels.jwst import datamodels

        level, flags, error = self._average(state, shape, errors=True) if pixels else (np.zeros(shape, np.float32),) * 3
        return datamodels.ImageModel(data=level, dq=flags.astype(np.uint32), err=error)


def _other_tilt(model: Any, paths: list[str]) -> str:
    """Why the backgrounds cannot be used if one was taken at another tilt of the grating wheel, or nothing."""
    if str(model.meta.instrument.name).upper() != "NIRSPEC":
        return ""
    own = (model.meta.instrument.gwa_xtilt, model.meta.instrument.gwa_ytilt)
    for path in paths:
        header = members.header_of(path)
        theirs = (header.get("GWA_XTIL"), header.get("GWA_YTIL"))
        if any((a is None) != (b is None) or (a is not None and not abs(a - b) <= TILT_TOLERANCE) for a, b in zip(own, theirs)):
            return (f"the background {os.path.basename(path)} was taken at another tilt of the grating wheel: GWA_XTIL, GWA_YTIL are "
                    f"{theirs[0]}, {theirs[1]} there, {own[0]}, {own[1]} here")  # fmt: skip
    return ""


def _place(path: str, is_cube: bool) -> State:
    """Where a background lies on the detector, and whether it has integrations."""
    from jwst_dask.io.fits import scan

    file = scan(path)
    header, shape = file.header(0), file.hdu("SCI").shape
    if (len(shape) == 3) != is_cube:
        raise InputError(f"the background {path} has {len(shape)} dimensions, the exposure {2 + is_cube}: "
                         "give rate files for rate files, rateints files for rateints files")  # fmt: skip
    corner = _corner(path, header.get("SUBSTRT1"), header.get("SUBSTRT2"), shape[-2:], header.get("INSTRUME", ""))
    return {"corner": np.array(corner), "shape": np.array(shape)}


def _corner(path: str, x: int | None, y: int | None, shape: tuple[int, ...], instrument: str) -> tuple[int, int]:
    """First row and column of a subarray, from 0."""
    if x is not None and y is not None:
        return int(y) - 1, int(x) - 1
    if tuple(shape) == FULL_FRAME.get(str(instrument).upper(), (2048, 2048)):
        return 0, 0
    raise InputError(f"{path}: the subarray's corner (SUBSTRT1, SUBSTRT2) is missing")
