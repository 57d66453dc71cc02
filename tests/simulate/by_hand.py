"""Ramps of a detector with the references of stage 1 only, and stage 1 by hand: the steps one after the other on a block with a whole exposure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stdatamodels.jwst import datamodels

from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.simulate import RampTruth, miri, nirspec, ramp_refs, ramps
from jwst_dask.simulate.detector import detector
from jwst_dask.simulate.exposures import Series
from jwst_dask.simulate.ramp_truth import Written, gather
from jwst_dask.simulate.shelf import Shelf
from jwst_dask.steps.stage1.dark_current import DarkCurrentStep
from jwst_dask.steps.stage1.dq_init import DQInitStep
from jwst_dask.steps.stage1.jump import JumpStep
from jwst_dask.steps.stage1.linearity import LinearityStep
from jwst_dask.steps.stage1.ramp_fit import RampFitStep
from jwst_dask.steps.stage1.refpix import RefPixStep
from jwst_dask.steps.stage1.reset import ResetStep
from jwst_dask.steps.stage1.saturation import SaturationStep
from jwst_dask.steps.stage1.superbias import SuperBiasStep

START = 60100.25  # MJD
NIR = (DQInitStep, SaturationStep, SuperBiasStep, RefPixStep, LinearityStep, DarkCurrentStep, JumpStep, RampFitStep)
MIRI = (DQInitStep, SaturationStep, ResetStep, LinearityStep, DarkCurrentStep, RefPixStep, JumpStep, RampFitStep)


@dataclass
class Result:
    """What ramp_fit gives, and the flags of the groups before it."""

    arrays: dict[str, np.ndarray]
    groupdq: np.ndarray

    @property
    def good(self) -> np.ndarray:
        """bool[integration, y, x]"""
        return ((self.arrays["dq"] & 1) == 0) & np.isfinite(self.arrays["sci"])


def observe(mode: str, folder: Path, shape: tuple[int, int], nints: int = 3, nsegments: int = 1, seed: int = 0, noise: float = 1.0) -> RampTruth:
    """Write segments of a star that fades a little, and their references."""
    setup = miri.setup(shape, START) if mode == "MIRI" else nirspec.setup(*mode.split(), shape, START)
    made = detector(setup)
    ramp_refs.make(Shelf(folder / "crds", str(setup.header["instrument.name"])), made)
    fading = 1 - 0.01 * np.arange(nints * nsegments)
    series, written = Series(START, fading, nsegments, nints, seed, noise), []
    for k in range(nsegments):
        name, told = ramps.exposure(folder, made, series, k + 1, f"-seg{k + 1:03d}")
        written.append(Written(name, made, k * nints, nints, told))
    return gather(folder, written, fading)


def calibrate(folder: Path, name: str) -> Result:
    """Take one ``_uncal`` file to count rates with the references in the folder."""
    paths = {path.name.split("_")[2]: str(path) for path in (folder / "crds" / "references").rglob("*.fits")}
    with datamodels.open(folder / name) as raw:
        sci = np.asarray(raw.data, np.float32)
        model = datamodels.RampModel((1, *sci.shape[1:]))
        model.update(raw)
    block = Block({"sci": sci, "groupdq": np.zeros(sci.shape, np.uint8), "pixeldq": np.zeros(sci.shape[2:], np.uint32)}, 0)
    draft, groupdq = Draft(model, name, len(sci)), np.zeros(0)
    for kind in MIRI if model.meta.instrument.name == "MIRI" else NIR:
        step = kind()
        state = step.prepare(draft, lambda reftype: paths.get(reftype, "N/A"))
        if isinstance(state, Skip):
            assert step.alias == "refpix" and kind in MIRI, state.reason
            continue
        groupdq = block.arrays["groupdq"].copy() if kind is RampFitStep else groupdq
        block = step.run(block, state)
    return Result(block.arrays, groupdq)
