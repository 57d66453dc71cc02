"""Values of the reference implementation for tests/steps/test_flat_photom.py. Run in an environment with jwst 3.0.0:

python tests/parity/make_flat_photom.py tests/parity/flat_photom.npz
"""

import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from flat_photom_scene import ARRAYS, FLAT_CASES, PHOTOM_CASES, arguments, write_all
from jwst.flatfield import FlatFieldStep
from jwst.photom import PhotomStep
from stdatamodels.jwst import datamodels

PHOTOMETRY = ("conversion_megajanskys", "conversion_microjanskys", "pixelarea_steradians", "pixelarea_arcsecsq")


def outputs(model):
    out = {name: np.array(getattr(model, attribute)) for name, attribute in ARRAYS.items() if model.hasattr(attribute)}
    keys = [getattr(model.meta.photometry, name) for name in PHOTOMETRY]
    out["keys"] = np.array([np.nan if key is None else key for key in keys])
    steps = model.meta.cal_step
    out["text"] = np.array([str(v) for v in (model.meta.bunit_data, model.meta.bunit_err, steps.flat_field, steps.photom)])
    if model.hasattr("area"):
        out["area"] = np.array(model.area)
    return out


def main(path):
    logging.disable(logging.WARNING)
    os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"
    result = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_all(folder)
        for kind, step, cases in (("flat", FlatFieldStep, FLAT_CASES), ("photom", PhotomStep, PHOTOM_CASES)):
            for case, (scene, given) in cases.items():
                with datamodels.open(folder / f"exposure_{scene}.fits") as model:
                    done = step.call(model, **arguments(folder, scene, given, tuple(step.reference_file_types)))
                result |= {f"{kind}/{case}/{key}": value for key, value in outputs(done).items()}
        flat = FlatFieldStep(save_interpolated_flat=True, output_dir=str(folder), output_file=str(folder / "x.fits"))
        for key, value in arguments(folder, "nrs", {}, tuple(flat.reference_file_types)).items():
            setattr(flat, key, value)
        flat.run(datamodels.open(folder / "exposure_nrs.fits"))
        with datamodels.open(folder / "x_interpolatedflat.fits") as model:
            result |= {f"interpolated/{key}": np.array(getattr(model, key)) for key in ("data", "err", "dq", "wavelength")}
    np.savez_compressed(path, **result)


if __name__ == "__main__":
    main(sys.argv[1])
