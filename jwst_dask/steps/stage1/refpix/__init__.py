"""refpix: drifts of the readout, from pixels that see no light."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.steps.stage1.reference import IRS2_ROWS, NIR_FULL_FRAME, is_irs2

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References
    from jwst_dask.steps.stage1.refpix.frames import Side
    from jwst_dask.steps.stage1.refpix.layout import Frame, Layout

MIRI_FULL_FRAME = (1024, 1032)
IRS2_READOUT = (16, 4)
LONGEST = 2 * NIR_FULL_FRAME[0] - 1


@dataclass(frozen=True, kw_only=True)
class RefPixStep(BlockStep):
    """Subtract from ``sci`` (float32[integration, group, y, x], DN) and ``zeroframe`` the signal of the reference pixels of each frame.

    NIR full frames, and subarrays read through four outputs: for each amplifier the clipped means of the upper and lower reference
    rows, by odd and even columns; then the running median of the reference columns at both sides (``median``), or their
    optimised convolution (``sirs``, full frames only, needs a sirskernel reference with the detector, else the median). Other NIR
    subarrays: the clipped mean of all flagged reference pixels. MIRI full frames: for each of the four interleaved
    amplifiers, by odd and even rows, relative to the first group. NIRSpec IRS2 frames: bad interleaved reference pixels are flagged
    (``pixeldq``, BAD_REF_PIXEL and DO_NOT_USE) and replaced, the others and the reference output combined with the
    coefficients of the refpix reference; the result has 2048 rows, unless `preserve_irs2_refpix`. Skipped for MIRI subarrays,
    for subarrays that are not within the detector, and for IRS2 frames without a refpix reference.

    Raises
    ------
    InputError
        For multistripe readouts, which are not available in this version; when the place or orientation of the subarray is not known;
        for an IRS2 frame that is not read in runs of 16 and 4.
    ReferenceError_
        For a reference that cannot be used.

    Notes
    -----
    Needs whole frames, but not always all groups: see `group_context`. Flags of bad IRS2 reference pixels are those of all
    integrations: see `whole_exposure`, and `stream`.
    Source: JWST documentation, refpix.
    """

    alias: ClassVar[str] = "refpix"
    cal_step: ClassVar[str] = "refpix"
    references: ClassVar[tuple[str, ...]] = ("refpix", "sirskernel")
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq", "pixeldq", "zeroframe")
    writes: ClassVar[tuple[str, ...]] = ("sci", "groupdq", "pixeldq", "zeroframe")
    band_halo: ClassVar[int | None] = None
    needs_all_integrations: ClassVar[bool] = False

    odd_even_columns: bool = param(True, "Separate signals of odd and even columns (NIR)")
    use_side_ref_pixels: bool = param(True, "Use the reference pixels at the sides (NIR)")
    side_smoothing_length: int = param(11, "Window of the running median along the sides", unit="rows", low=1, high=LONGEST)
    side_gain: float = param(1.0, "Factor of the signal of the sides")
    odd_even_rows: bool = param(True, "Separate signals of odd and even rows (MIRI)")
    ovr_corr_mitigation_ftr: float = param(3.0, "Limit of bad interleaved reference pixels (IRS2)", unit="standard deviations")
    preserve_irs2_refpix: bool = param(False, "Keep the interleaved reference pixels (IRS2)")
    irs2_mean_subtraction: bool = param(False, "Subtract the means of the reference rows first (IRS2)")
    refpix_algorithm: str = param("median", "Use of the side reference pixels of NIR full frames", choices=("median", "sirs"))
    sigreject: float = param(4.0, "Limit of outliers (sirs)", unit="standard deviations")
    gaussmooth: float = param(1.0, "Smoothing of the kernels (sirs)", unit="rows")
    halfwidth: int = param(30, "Half width of the kernels (sirs)", unit="rows", low=0)
    siglimit: float = param(3.0, "Limit of clipping", unit="standard deviations")

    @staticmethod
    def whole_exposure(shape: tuple[int, ...], nints: int) -> bool:
        """Whether all integrations must be in one block: IRS2 frames of several integrations (`shape` of the data ends in y, x)."""
        return max(shape[-2:]) > NIR_FULL_FRAME[0] and nints > 1

    @staticmethod
    def group_context(state: Mapping[str, Any]) -> int | None:
        """Which groups of an integration a block must have: any (0), any together with the first (1: MIRI), all of them (None: IRS2)."""
        return {"miri": 1, "irs2": None}.get(str(state["kind"]), 0)

    @staticmethod
    def touches(state: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Arrays that are read, and those that are changed: flags are only where interleaved reference pixels are (IRS2)."""
        every = ("sci", "groupdq", "pixeldq", "zeroframe")
        return {"irs2": (every, every), "miri": (("sci", "pixeldq"), ("sci",))}.get(
            str(state["kind"]), (("sci", "pixeldq", "zeroframe"), ("sci", "zeroframe"))
        )

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        model, area = draft.model, draft.model.meta.subarray
        shape = draft.shape
        if getattr(area, "multistripe_reads1", None) is not None or (getattr(area, "num_superstripe", None) or 0) > 0:
            raise InputError(
                f"{draft.path} reads several stripes of the detector in one frame; this readout is not available in this version"
            )
        if str(model.meta.instrument.name).upper() == "MIRI":
            small = shape[0] < MIRI_FULL_FRAME[0] or shape[1] < MIRI_FULL_FRAME[1]
            return Skip("MIRI subarrays have no reference pixels that are used") if small else {"kind": "miri"}
        if (found := _place(draft)) is None:
            return Skip("the subarray is not within the detector")
        if is_irs2(model):
            return self._prepare_irs2(draft, refs, found)
        small = min(shape) < NIR_FULL_FRAME[0]
        state = found | {
            "kind": "flagged" if small and model.meta.exposure.noutputs != 4 else "amplifiers",
            "edgeless": small and _is_edgeless(area.name),
            "zeroframe": bool(model.meta.exposure.zero_frame),
        }
        if self.refpix_algorithm == "sirs" and self.use_side_ref_pixels and not small and "FULL" in str(area.name).upper():
            kernels = self._kernels(refs("sirskernel"), str(model.meta.instrument.detector), draft)
            state |= {} if kernels is None else {"kernels": kernels}
        return state

    def _prepare_irs2(self, draft: Draft, refs: References, found: State) -> State | Skip:
        model = draft.model
        runs = tuple(default if value is None else int(value) for value, default in
                     zip((model.meta.exposure.nrs_normal, model.meta.exposure.nrs_reference), IRS2_READOUT))  # fmt: skip
        detector = str(model.meta.instrument.detector).upper()
        if runs != IRS2_READOUT or draft.shape != (IRS2_ROWS, NIR_FULL_FRAME[1]) or detector not in ("NRS1", "NRS2"):
            raise InputError(f"{draft.path}: IRS2 frames of NRS1 and NRS2 with {IRS2_ROWS} x {NIR_FULL_FRAME[1]} pixels (y, x), read in runs of 16 "
                             f"pixels and 4 reference pixels (NRS_NORM, NRS_REF), can be corrected; this is {detector} with {draft.shape[0]} x "
                             f"{draft.shape[1]}, {runs[0]} and {runs[1]}")  # fmt: skip
        path = refs("refpix")
        if not path or path == "N/A":
            return Skip("no refpix reference")
        if not self.preserve_irs2_refpix:
            _shorten(model)
        return found | {"kind": "irs2", "path": path, "flipped": detector == "NRS2", "nints": draft.nints}

    def _kernels(self, path: str | None, detector: str, draft: Draft) -> np.ndarray | None:
        """Convolution kernels of the detector (float64[2, channel, n]), None if there is no reference or none for the detector."""
        from stdatamodels.jwst import datamodels

        from jwst_dask.kernels.ramp.sirs import make_kernels

        if not path or path == "N/A":
            draft.log.append("refpix: no sirskernel reference; the running median is used")
            return None
        try:
            with datamodels.open(path) as opened:
                entries = {key.lower(): np.array(value) for key, value in opened.to_flat_dict().items()
                           if key.lower() in (f"{detector.lower()}.gamma", f"{detector.lower()}.zeta")}  # fmt: skip
        except (OSError, ValueError, TypeError) as error:
            raise ReferenceError_(
                f"{path} is not a usable sirskernel reference: {error}; give another file with override_sirskernel"
            ) from error
        if len(entries) < 2:
            draft.log.append(f"refpix: {os.path.basename(path)} has no kernels of {detector}; the running median is used")
            return None
        gamma, zeta = entries[f"{detector.lower()}.gamma"], entries[f"{detector.lower()}.zeta"]
        if gamma.shape != zeta.shape or gamma.ndim != 2 or gamma.shape[1] <= self.halfwidth:
            raise ReferenceError_(f"the sirskernel reference {path} has GAMMA and ZETA of shapes {gamma.shape} and {zeta.shape} for {detector}; equal "
                                  f"shapes (channel, more than halfwidth = {self.halfwidth} frequencies) are needed")  # fmt: skip
        return make_kernels(gamma, zeta, self.gaussmooth, self.halfwidth)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        from jwst_dask.steps.stage1.refpix import frames, layout

        kind, arrays = str(state["kind"]), block.arrays
        sci, flags = arrays["sci"], arrays["pixeldq"]
        if kind == "miri":
            frames.correct_miri_ramp(sci, flags, self.siglimit, self.odd_even_rows)
            return block
        frame = layout.Frame.of(sci.shape[-2:], (int(state["y0"]), int(state["x0"])), int(state["fast"]), int(state["slow"]))
        if kind == "irs2":
            return self._run_irs2(block, state, frame)
        found, side = self._layout(kind, flags, frame, state)
        frames.correct_ramp(sci, found, self.siglimit, side, block.start, getattr(block, "group0", 0))
        if bool(state["zeroframe"]) and "zeroframe" in arrays:
            frames.correct_zeroframe(arrays["zeroframe"], found, self.siglimit, side)
        return block

    def _layout(self, kind: str, flags: np.ndarray, frame: Frame, state: Mapping[str, Any]) -> tuple[Layout, Side | None]:
        from jwst_dask.steps.stage1.refpix import frames, layout

        if kind == "flagged":
            return layout.flagged(flags, frame, self.odd_even_columns, bool(state["edgeless"])), None
        kernels = state.get("kernels") if self.use_side_ref_pixels else None
        found = layout.by_amplifier(flags, frame, self.odd_even_columns, self.use_side_ref_pixels, kernels is not None)
        return found, frames.Side(self.side_smoothing_length, self.side_gain, kernels, self.sigreject) if self.use_side_ref_pixels else None

    def _run_irs2(self, block: Block, state: Mapping[str, Any], frame: Frame) -> Block:
        from jwst_dask.steps.stage1.refpix import irs2

        sci, flags, flipped = block.arrays["sci"], block.arrays["pixeldq"], bool(state["flipped"])
        if len(sci) != int(state["nints"]):
            raise InputError(f"refpix of IRS2 frames needs all {int(state['nints'])} integrations in one block, not {len(sci)}: bad reference "
                             "pixels are those of the exposure; use larger chunks")  # fmt: skip
        bad = irs2.find_bad(sci, irs2.known(flags), self.ovr_corr_mitigation_ftr)
        flags[bad] |= irs2.MARK
        replaced = self._replaced(flags, bad, frame)
        for plane in sci.reshape(-1, *sci.shape[-2:]):
            replaced(plane)
        reference = irs2.read_reference(str(state["path"]), sci.shape[-1])
        arrays = dict(block.arrays, sci=irs2.correct(sci, bad, flipped, reference, self.preserve_irs2_refpix))
        if not self.preserve_irs2_refpix:
            arrays["pixeldq"] = irs2.strip(flags, flipped)
            if "groupdq" in arrays:
                arrays["groupdq"] = irs2.strip(arrays["groupdq"], flipped)
        return dataclasses.replace(block, arrays=arrays)

    def _replaced(self, flags: np.ndarray, bad: np.ndarray, frame: Frame) -> Callable[[np.ndarray], None]:
        """What is done to each frame (float32[3200, x], in place) before the correction."""
        from jwst_dask.steps.stage1.refpix import frames, irs2, layout

        rows = layout.interleaved(flags, frame, self.odd_even_columns) if self.irs2_mean_subtraction else None

        def replaced(plane: np.ndarray) -> None:
            if rows is not None:
                frames.correct_plane(plane, rows, self.siglimit, None, True)
            irs2.replace_all(plane[None, None], bad)

        return replaced

    def rounds(self, state: Mapping[str, Any], nints: int, ngroups: int) -> list[tuple[str, list[tuple[int, ...]]]]:
        """How IRS2 frames of a stored ramp are divided (see `part`); not if the means of reference rows, of all outputs, come first."""
        from jwst_dask.steps.stage1.refpix import rounds

        if str(state["kind"]) != "irs2" or self.irs2_mean_subtraction:
            return []
        return rounds.divide(nints, ngroups, bool(state["flipped"]), self.preserve_irs2_refpix)  # type: ignore[return-value]

    def part(self, name: str, place: tuple[int, ...], ramps: Any, notes: Any, state: Mapping[str, Any]) -> Iterator[Block]:
        """What is done with one tile in one round; `notes` (`jwst_dask.core.ramps.notes.Notes`) keep what later rounds need."""
        from jwst_dask.steps.stage1.refpix import rounds

        part = rounds.Part(place, ramps, notes, str(state["path"]), bool(state["flipped"]), self.preserve_irs2_refpix)  # type: ignore[arg-type]
        if name == rounds.LOOK:
            part.look(self.ovr_corr_mitigation_ftr)
        elif name == rounds.OUTPUT:
            part.spectra()
        else:
            yield from part.correct()

    def stream(self, ramps: Any, out: Any, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """IRS2 frames of a stored ramp (`jwst_dask.core.ramps.store.RampStore`), a few at a time; `out` has 2048 rows, unless
        reference pixels are kept."""
        from jwst_dask.steps.stage1.refpix import irs2, layout
        from jwst_dask.steps.stage1.stored import group_of

        flags, flipped, keep = group_of(ramps, 0, 0, ("pixeldq",)).arrays["pixeldq"], bool(state["flipped"]), self.preserve_irs2_refpix
        frame = layout.Frame.of(ramps.shape, (int(state["y0"]), int(state["x0"])), int(state["fast"]), int(state["slow"]))
        known = irs2.known(flags)
        bad = known.copy()
        for i in range(ramps.nints):
            bad |= irs2.bad_of(irs2.reads_of(ramps, i), known, self.ovr_corr_mitigation_ftr)
        flags[bad] |= irs2.MARK
        replaced, reference = self._replaced(flags, bad, frame), irs2.read_reference(str(state["path"]), ramps.shape[1])
        for i in range(ramps.nints):
            for g, plane in enumerate(irs2.correct_stored(ramps, i, replaced, bad, flipped, reference, keep)):
                block = group_of(ramps, i, g, ("groupdq",))
                block.arrays = {"sci": plane[None, None], "groupdq": block.arrays["groupdq"]}
                if not keep:
                    block.arrays["groupdq"] = irs2.strip(block.arrays["groupdq"], flipped)
                out.write(block)
        if not keep:
            flags = irs2.strip(flags, flipped)
        out.write(dataclasses.replace(block, arrays={**block.arrays, "pixeldq": flags}))
        return {}


def _is_edgeless(name: Any) -> bool:
    from jwst_dask.steps.stage1.refpix.layout import EDGELESS

    return str(name) in EDGELESS


def _place(draft: Draft) -> State | None:
    """Where the frame lies on the detector and how; None if it does not fit."""
    area, shape = draft.model.meta.subarray, draft.shape
    values = (area.ystart, area.xstart, area.ysize, area.xsize, area.fastaxis, area.slowaxis)
    if any(value is None for value in values):
        raise InputError(f"{draft.path}: SUBSTRT2, SUBSTRT1, SUBSIZE2, SUBSIZE1, FASTAXIS, SLOWAXIS = {', '.join(map(str, values))}; "
                         "set these keywords in its primary header")  # fmt: skip
    y0, x0, ysize, xsize, fast, slow = (int(value) for value in values)
    if abs(fast) not in (1, 2) or abs(slow) not in (1, 2) or abs(fast) == abs(slow):
        raise InputError(
            f"{draft.path}: FASTAXIS = {fast}, SLOWAXIS = {slow} are no axes of the detector; one must be 1 or -1, the other 2 or -2"
        )
    if min(shape) >= NIR_FULL_FRAME[0]:
        return {"y0": 0, "x0": 0, "fast": fast, "slow": slow}
    if min(y0, x0) < 1 or y0 - 1 + ysize > NIR_FULL_FRAME[0] or x0 - 1 + xsize > NIR_FULL_FRAME[1]:
        return None
    if (ysize, xsize) != shape:
        raise InputError(f"{draft.path}: the frames have {shape[0]} x {shape[1]} pixels (y, x), SUBSIZE2 and SUBSIZE1 say {ysize} x {xsize}; "
                         "correct these keywords in its primary header")  # fmt: skip
    return {"y0": y0 - 1, "x0": x0 - 1, "fast": fast, "slow": slow}


def _shorten(model: Any) -> None:
    """Frames of the draft become those of the detector; its arrays are zeros."""
    for name in ("data", "err", "groupdq", "pixeldq"):
        array = model.instance.get(name)
        if array is not None and np.ndim(array) >= 2 and np.shape(array)[-2] == IRS2_ROWS:
            setattr(model, name, np.zeros((*np.shape(array)[:-2], NIR_FULL_FRAME[0], np.shape(array)[-1]), array.dtype))
