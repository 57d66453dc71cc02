"""Values of the reference implementation for tests/steps/test_stage1_corrections.py. Run in an environment with jwst 3.0.0:

python tests/parity/make_ramp_corrections.py tests/parity/ramp_corrections.npz
"""

import importlib
import logging
import sys
import tempfile
import warnings

import numpy as np
from ramp_scene import CASES, kept, scene, write_reference
from stdatamodels.jwst import datamodels

NAMES = {"sci": "data", "groupdq": "groupdq", "pixeldq": "pixeldq", "zeroframe": "zeroframe"}


def model_of(arrays, meta, times):
    model = datamodels.RampModel(data=arrays["sci"].copy(), groupdq=arrays["groupdq"].copy(), pixeldq=arrays["pixeldq"].copy())
    if "zeroframe" in arrays:
        model.zeroframe = arrays["zeroframe"].copy()
    for name, value in meta.items():
        model[f"meta.{name}"] = value
    if times is not None:
        table = np.zeros(len(times), dtype=model.get_dtype("int_times"))
        table["int_start_MJD_UTC"] = times
        model.int_times = table
    return model


def step_of(alias):
    module = importlib.import_module(f"jwst.{alias}.{alias}_step")
    return next(value for name, value in vars(module).items() if name.lower() == alias.replace("_", "") + "step")


def run(case):
    arrays, meta, times = scene(**case["ramp"])
    with tempfile.TemporaryDirectory() as folder:
        paths = {kind: write_reference(folder, kind, arrays, meta, options) for kind, options in case["refs"].items()}
        step = step_of(case["alias"])()
        step.skip = False
        for name, value in case["params"].items():
            setattr(step, name, value)
        step.get_reference_file = lambda model, kind: paths.get(kind, "N/A")
        result = step.process(model_of(arrays, meta, times))
        out = {name: np.asarray(getattr(result, path)) for name, path in NAMES.items() if name in arrays}
        out = {name: values for name, values in out.items() if values.tobytes() != arrays[name].tobytes()}
        if case["alias"] == "dark_current" and result.average_dark_current is not None:
            out["average"] = np.asarray(result.average_dark_current)[:1, :1]
        if case["alias"] == "persistence" and step.persistence_array is not None:
            out["window"] = step.persistence_array
        if case["alias"] == "rscd":
            out["rscd"] = np.array(
                [-1 if result.meta.rscd.instance.get(name) is None else result.meta.rscd.instance[name] for name in RSCD]
            )
        out["status"] = np.array(getattr(result.meta.cal_step, {"dark_current": "dark_sub"}.get(case["alias"], case["alias"])))
    return out


RSCD = ("ngroups_skip_int1", "ngroups_skip_int2p", "keep_groups_saturation_int1", "keep_bright_firstgroup_int1", "keep_groups_saturation_int2p",
        "keep_bright_firstgroup_int2p")  # fmt: skip


def main(path):
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    out = {}
    for name, case in CASES.items():
        for key, values in run(case).items():
            out[f"{name}.{key}"] = kept(key, values)
    np.savez_compressed(path, **out)


if __name__ == "__main__":
    main(sys.argv[1])
