"""Values of the reference implementation for tests/steps/test_slit_light.py. Run in an environment with jwst 3.0.0:

python tests/parity/make_slit_light.py tests/parity/slit_light.npz

CRDS looks for a cache although every reference is given: CRDS_PATH must name one.
"""

import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from jwst.flatfield import FlatFieldStep
from jwst.pathloss import PathLossStep
from slit_scene import ARRAYS, ATTRIBUTES, FLAT_CASES, KEPT, PATHLOSS_CASES, arguments, exposure, gwcs_of, write_all
from stdatamodels.jwst import datamodels


def multi(scene):
    top, slits = exposure(scene)
    model = datamodels.MultiSlitModel()
    meta = model.meta
    meta.instrument.name, meta.instrument.detector, meta.instrument.filter, meta.instrument.grating = "NIRSPEC", "NRS1", "CLEAR", "PRISM"
    meta.exposure.type = top["exp_type"]
    meta.subarray.name, meta.subarray.xstart, meta.subarray.ystart, meta.subarray.xsize, meta.subarray.ysize = "FULL", 1, 1, 2048, 2048
    for given in slits:
        slit = datamodels.SlitModel()
        for name, value in given.items():
            if name != "shift":
                setattr(slit, name, value)
        slit.meta.wcs = gwcs_of(given)
        slit.meta.wcsinfo.dispersion_direction = 1
        model.slits.append(slit)
    return model


def main(path):
    logging.disable(logging.CRITICAL)
    os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"
    result = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_all(folder)
        for kind, step, cases in (("flat", FlatFieldStep, FLAT_CASES), ("pathloss", PathLossStep, PATHLOSS_CASES)):
            for case, (scene, given) in cases.items():
                done = step.call(multi(scene), **arguments(folder, given))
                for k, slit in enumerate(done.slits):
                    if kind == "flat" and k > 3:  # the others differ in what matters to path losses only
                        continue
                    arrays = {name: np.array(getattr(slit, ARRAYS[name])) for name in KEPT[kind]}
                    arrays |= {name: np.array(getattr(slit, name)) for name in ATTRIBUTES if slit.hasattr(name)}
                    result |= {f"{kind}/{case}/{k}/{name}": array for name, array in arrays.items()}
                result[f"{kind}/{case}/status"] = np.array(getattr(done.meta.cal_step, "flat_field" if kind == "flat" else kind))
    np.savez_compressed(path, **result)


if __name__ == "__main__":
    main(sys.argv[1])
