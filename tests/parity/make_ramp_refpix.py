"""Golden values of refpix and guider_cds: run with the reference implementation's environment; writes ramp_refpix.npz beside this file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
from jwst.guider_cds.guider_cds import guider_cds
from jwst.refpix import RefPixStep, irs2_subtract_reference, reference_pixels
from stdatamodels.jwst import datamodels

sys.path.insert(0, str(Path(__file__).parent))
import ramp_refpix_scene as scene

DEFAULTS = {"odd_even_columns": True, "use_side_ref_pixels": True, "side_smoothing_length": 11, "side_gain": 1.0, "odd_even_rows": True,
            "refpix_algorithm": "median", "sigreject": 4.0, "gaussmooth": 1.0, "halfwidth": 30, "siglimit": 3.0}  # fmt: skip


def model_of(detector: str, subarray: str, arrays: dict, corner: tuple, outputs: int) -> datamodels.RampModel:
    """A ramp with the metadata that refpix looks at."""
    model = datamodels.RampModel(data=arrays["sci"], pixeldq=arrays["pixeldq"])
    meta = model.meta
    meta.instrument.name, meta.instrument.detector = scene.INSTRUMENT[detector], detector
    meta.subarray.name, (meta.subarray.xstart, meta.subarray.ystart) = subarray, corner
    meta.subarray.ysize, meta.subarray.xsize = arrays["sci"].shape[-2:]
    meta.subarray.fastaxis, meta.subarray.slowaxis = scene.NORMAL_ORIENTATION[detector]
    meta.exposure.noutputs, meta.exposure.zero_frame = outputs, "zeroframe" in arrays
    if "zeroframe" in arrays:
        model.zeroframe = arrays["zeroframe"]
    return model


def correct(model: datamodels.RampModel, values: dict) -> None:
    """The correction of everything but IRS2."""
    sirs = None
    if values["refpix_algorithm"] == "sirs":
        gamma, zeta = scene.kernels()
        sirs = datamodels.SIRSKernelModel()
        sirs.nrca1 = {"gamma": gamma, "zeta": zeta}
    kernel = {name: values[name] for name in ("refpix_algorithm", "sigreject", "gaussmooth", "halfwidth")} | {"sirs_kernel_model": sirs}
    reference_pixels.correct_model(
        model, values["odd_even_columns"], values["use_side_ref_pixels"], values["side_smoothing_length"], values["side_gain"],
        values["odd_even_rows"], kernel, values["siglimit"],
    )  # fmt: skip


def irs2_reference() -> datamodels.IRS2Model:
    """The refpix reference."""
    alpha, beta = scene.irs2_coefficients()
    kind = [(f"{name}_{k}", np.float32) for name in ("alpha", "beta") for k in range(4)]
    table = np.zeros(2 * alpha.shape[1], kind)
    for k in range(4):
        table[f"alpha_{k}"], table[f"beta_{k}"] = alpha[k].view(np.float32), beta[k].view(np.float32)
    listed = np.array(scene.BAD_LIST, [("OUTPUT", np.uint16), ("ODD_EVEN", np.uint16), ("MASK", np.uint32)])
    return datamodels.IRS2Model(irs2_table=table, dq_table=listed)


def irs2(name: str, reference: datamodels.IRS2Model) -> dict[str, np.ndarray]:
    """The correction of an IRS2 case, as the step does it."""
    detector, _, extra = scene.IRS2_CASES[name]
    arrays = scene.irs2_frames(name)
    model = model_of(detector, "FULL", arrays, (1, 1), 5)
    model.groupdq = arrays["groupdq"]
    model.meta.exposure.nrs_normal, model.meta.exposure.nrs_reference = 16, 4
    irs2_subtract_reference.flag_bad_refpix(model, n_sigma=extra.get("ovr_corr_mitigation_ftr", 3.0), flag_only=True)
    if extra.get("irs2_mean_subtraction"):
        correct(model, DEFAULTS | {"use_side_ref_pixels": False})
    irs2_subtract_reference.flag_bad_refpix(model, replace_only=True)
    bad = np.flatnonzero((model.pixeldq & scene.BAD_REF).any(axis=1))
    model = irs2_subtract_reference.correct_model(model, reference, preserve_refpix=extra.get("preserve_irs2_refpix", False))
    return {"sci": scene.sample(model.data), "pixeldq": scene.sample(model.pixeldq), "groupdq": scene.sample(model.groupdq), "bad": bad}


def guider(name: str) -> dict[str, np.ndarray]:
    """The rates of a guide star exposure."""
    exp_type, shape, corner = scene.GUIDER[name]
    arrays = scene.guider(name)
    model = datamodels.GuiderRawModel(data=arrays["sci"], dq=arrays["dq"])
    model.meta.exposure.type, model.meta.exposure.group_time, model.meta.instrument.name = exp_type, scene.GROUP_TIME, "FGS"
    references = []
    for kind, key in ((datamodels.GainModel, "gain"), (datamodels.ReadnoiseModel, "readnoise")):
        reference = kind(data=arrays[key])
        reference.meta.instrument.name = "FGS"
        references.append(reference)
    for target, (x, y), (ny, nx) in ((model, corner, shape[2:]), *((reference, (1, 1), (2048, 2048)) for reference in references)):
        area = target.meta.subarray
        area.xstart, area.ystart, area.xsize, area.ysize = x, y, nx, ny
    with np.errstate(all="ignore"):
        result = guider_cds(model, *references)
    return {"sci": result.data, "err": result.err}


def main() -> None:
    """Write the values."""
    logging.disable(logging.CRITICAL)
    assert set(DEFAULTS) <= set(RefPixStep().get_pars())
    out = {}
    for name, (detector, subarray, _, corner, outputs, _, extra) in scene.CASES.items():
        model = model_of(detector, subarray, scene.frames(name), corner, outputs)
        correct(model, DEFAULTS | extra)
        out[f"{name}.sci"] = scene.sample(model.data)
        if model.meta.exposure.zero_frame:
            out[f"{name}.zeroframe"] = scene.sample(model.zeroframe)
    reference = irs2_reference()
    for name in scene.IRS2_CASES:
        out |= {f"{name}.{key}": value for key, value in irs2(name, reference).items()}
    for name in scene.GUIDER:
        out |= {f"{name}.{key}": value for key, value in guider(name).items()}
    np.savez_compressed(Path(__file__).parent / "ramp_refpix.npz", **out)


main()
