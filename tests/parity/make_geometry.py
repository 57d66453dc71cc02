"""Values of the reference implementation for tests/steps/test_geometry_parity.py. Run in an environment with jwst 3.0.0:

python tests/parity/make_geometry.py tests/parity
"""

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from jwst.assign_wcs.assign_wcs import load_wcs
from jwst.assign_wcs.util import NoDataOnDetectorError
from jwst.extract_2d.extract_2d import extract2d
from jwst.srctype.srctype import set_source_type
from jwst.wavecorr.wavecorr import do_correction
from stdatamodels.jwst import datamodels

sys.path.insert(0, str(Path(__file__).parents[1] / "steps"))
import geometry_cases as cases

ALL = ("distortion", "filteroffset", "specwcs", "regions", "wavelengthrange", "camera", "chromcorr", "collimator", "disperser",
       "fore", "fpa", "msa", "ote", "ifupost", "ifufore", "ifuslicer")  # fmt: skip


def run(values, params, paths):
    """The model after the geometry steps, its bounding box after the first, and the status of wavecorr."""
    refs = cases.chosen(paths, values)
    first = params.get("assign_wcs", {})
    edges = [first.get("slit_y_low", -0.55), first.get("slit_y_high", 0.55)]
    model = load_wcs(cases.exposure(values), {name: refs.get(name, "N/A") for name in ALL}, edges)
    box = model.meta.wcs.bounding_box
    kind = params.get("srctype", {}).get("source_type")
    if values["instrument.name"] == "MIRI":
        slit = datamodels.SlitModel(model)
        for name in ("xstart", "ystart", "xsize", "ysize"):
            setattr(slit, name, getattr(model.meta.subarray, name))
        return set_source_type(slit, kind), np.array(box.bounding_box(order="F")), None
    model = extract2d(model, params.get("extract_2d", {}).get("slit_names"))
    model = do_correction(set_source_type(model, kind), refs["wavecorr"])
    return model, np.array(box[-104].bounding_box(order="F")), model.meta.cal_step.wavecorr


def plain(value):
    """`value` as JSON has it."""
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return np.ravel(value)[0].item() if isinstance(value, (np.ndarray, np.generic)) else value


def main(folder):
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    arrays, facts = {}, {"empty": []}
    with tempfile.TemporaryDirectory() as scratch:
        paths = cases.write(Path(scratch))
        for name, (values, params) in cases.CASES.items():
            model, box, status = run(values, params, paths)
            found = cases.summary(model)
            arrays |= {f"{name}.{key}": found.pop(key) for key in ("box", "world", "pixel", "wavelength")} | {f"{name}.first": box}
            found["keywords"] = {key: plain(value) for key, value in found["keywords"].items()}
            facts[name] = found | {"wavecorr": status, "shape": list(model.data.shape)}
        for name, (values, params) in cases.NOTHING_THERE.items():
            try:
                run(values, params, paths)
            except NoDataOnDetectorError:
                facts["empty"].append(name)
    facts["srctype"] = [cases.decided(set_source_type(model, kind)) for kind, model in cases.sources()]
    np.savez_compressed(Path(folder) / "geometry.npz", **arrays)
    (Path(folder) / "geometry.json").write_text(json.dumps(facts, indent=None, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
