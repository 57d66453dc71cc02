"""Reference files of the mock detectors: what takes ramps back to slopes."""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.data.dq import PIXEL
from jwst_dask.simulate.detector import SKIP, Detector
from jwst_dask.simulate.shelf import Shelf


def make(shelf: Shelf, made: Detector) -> None:
    """Write every reference of a detector that ramps need, for its own subarray."""
    _flags_and_levels(shelf, made)
    _response(shelf, made)
    if made.miri:
        _miri(shelf, made)
    else:
        _near_infrared(shelf, made)


def _keys(made: Detector) -> dict[str, str]:
    head = made.setup.header
    return {"META.EXPOSURE.TYPE": str(head["exposure.type"]), "META.INSTRUMENT.DETECTOR": str(head["instrument.detector"]),
            "META.SUBARRAY.NAME": str(head["subarray.name"])}  # fmt: skip


def _save(shelf: Shelf, made: Detector, reftype: str, description: str, model: Any) -> None:
    """Complete a model with its place on the detector and its readout, and save it."""
    head = made.setup.header
    for name in ("name", "xstart", "ystart", "xsize", "ysize", "fastaxis", "slowaxis"):
        setattr(model.meta.subarray, name, head[f"subarray.{name}"])
    model.meta.instrument.detector = head["instrument.detector"]
    shelf.model(reftype, description, model, _keys(made))


def _definitions(model: Any, flags: np.ndarray) -> None:
    """The table of the flags that occur."""
    rows = [(bit, 1 << bit, name, name.replace("_", " ").lower()) for bit, name in enumerate(PIXEL) if bool((flags & np.uint32(1 << bit)).any())]
    model.dq_def = np.array(rows or [(0, 1, "DO_NOT_USE", "do not use")], dtype=model.get_dtype("dq_def"))


def _flags_and_levels(shelf: Shelf, made: Detector) -> None:
    from stdatamodels.jwst import datamodels as dm

    none = np.zeros(made.setup.shape, np.uint32)
    mask = dm.MaskModel(dq=made.flags)
    _definitions(mask, made.flags)
    _save(shelf, made, "mask", "bad pixels", mask)
    saturation = dm.SaturationModel(data=made.threshold, dq=none)
    _definitions(saturation, none)
    _save(shelf, made, "saturation", "thresholds of saturation", saturation)


def _response(shelf: Shelf, made: Detector) -> None:
    from stdatamodels.jwst import datamodels as dm

    none = np.zeros(made.setup.shape, np.uint32)
    linearity = dm.LinearityModel(coeffs=made.coeffs, dq=none)
    _definitions(linearity, none)
    _save(shelf, made, "linearity", "polynomials to linear counts", linearity)
    _save(shelf, made, "gain", "electrons per DN", dm.GainModel(data=made.gain.astype("f4")))
    pair = made.read / made.gain * np.sqrt(2.0)
    _save(shelf, made, "readnoise", "read noise of pairs of frames", dm.ReadnoiseModel(data=pair.astype("f4")))


def _dark(made: Detector) -> np.ndarray:
    """float32[group, y, x], DN."""
    time = made.setup.group_time * np.arange(1, made.setup.ngroups + 1, dtype=float)
    return np.asarray(time[:, None, None] * (made.dark / made.gain), np.float32)


def _readout(model: Any, made: Detector) -> None:
    exposure = model.meta.exposure
    exposure.nframes, exposure.groupgap, exposure.ngroups = 1, 0, made.setup.ngroups
    exposure.readpatt = str(made.setup.header["exposure.readpatt"])


def _near_infrared(shelf: Shelf, made: Detector) -> None:
    from stdatamodels.jwst import datamodels as dm

    none = np.zeros(made.setup.shape, np.uint32)
    bias = dm.SuperBiasModel(data=made.bias.astype("f4"), err=np.full(none.shape, 0.5, "f4"), dq=none)
    _definitions(bias, none)
    _save(shelf, made, "superbias", "bias", bias)
    dark = dm.DarkModel(data=_dark(made), dq=none)
    _definitions(dark, none)
    _readout(dark, made)
    dark.meta.exposure.average_dark_current = float(np.median(made.dark[~made.reference]))
    _save(shelf, made, "dark", "dark ramp", dark)


def _miri(shelf: Shelf, made: Detector) -> None:
    from stdatamodels.jwst import datamodels as dm

    none, ramp = np.zeros(made.setup.shape, np.uint32), _dark(made)
    dark = dm.DarkMIRIModel(data=np.stack([ramp, ramp]), dq=np.zeros((2, 1, *none.shape), np.uint32))
    _definitions(dark, none)
    _readout(dark, made)
    dark.meta.exposure.average_dark_current = float(np.median(made.dark[~made.reference]))
    _save(shelf, made, "dark", "dark ramps", dark)
    reset = dm.ResetModel(data=made.reset, dq=none)
    _definitions(reset, none)
    reset.meta.exposure.nints, reset.meta.exposure.ngroups = made.reset.shape[:2]
    _save(shelf, made, "reset", "decay after the reset", reset)
    rscd = dm.RSCDModel()
    head = made.setup.header
    rscd.rscd_group_skip_table = np.array([(head["subarray.name"], head["exposure.readpatt"], *SKIP)], dtype=rscd.get_dtype("rscd_group_skip_table"))
    shelf.model("rscd", "groups to skip after a reset", rscd, _keys(made))
