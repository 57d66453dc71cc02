"""Values of the reference implementation for tests/steps/test_stage1_emicorr.py. Run in an environment with jwst 3.0.0:

python tests/parity/make_emi.py tests/parity/emi.npz
"""

import logging
import os
import sys
import tempfile
import warnings

import asdf
import numpy as np
from emi_scene import CASES, kept, scene
from jwst.emicorr import EmiCorrStep
from stdatamodels.jwst import datamodels

META = {"reftype": "emicorr", "author": "made up", "description": "made up", "pedigree": "DUMMY", "useafter": "2020-01-01T00:00:00",
        "telescope": "JWST", "instrument": {"name": "MIRI"}}  # fmt: skip


def run(case):
    sci, pixeldq, meta, tree = scene(**case)
    model = datamodels.RampModel(data=sci.copy(), pixeldq=pixeldq.copy())
    for name, value in meta.items():
        model[f"meta.{name}"] = value
    step = EmiCorrStep()
    step.skip = False
    for name, value in case.get("params", {}).items():
        setattr(step, name, value)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "emi.asdf")
        asdf.AsdfFile(tree | {"meta": META}).write_to(path)
        step.get_reference_file = lambda model, kind: path
        result = step.process(model)
    return np.array(result.meta.cal_step.emicorr), result.data.astype("f8") - sci


def main(path):
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    out = {}
    for name, case in CASES.items():
        out[f"{name}.status"], change = run(case)
        out[name] = kept(change).astype("f4")
    np.savez_compressed(path, **out)


if __name__ == "__main__":
    main(sys.argv[1])
