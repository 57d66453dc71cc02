"""Values of the reference implementation for tests/steps/test_nirspec_slits.py. Run in an environment with jwst 3.0.0:

python tests/parity/make_nirspec_slits.py tests/parity
"""

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import gwcs
import numpy as np
from jwst.assign_wcs import nirspec, util
from stdatamodels.jwst.transforms.models import Slit

sys.path.insert(0, str(Path(__file__).parents[1] / "steps"))
import geometry_cases
import nirspec_slit_cases as cases


def run(values, paths):
    """Numbers of the slits on the detector, and arrays of each."""
    refs = geometry_cases.chosen(paths, values)
    model = geometry_cases.exposure(values)
    valid = nirspec.validate_open_slits(model, cases.far_away(), refs)
    model.meta.wcs = gwcs.WCS(nirspec.slitlets_wcs(model, refs, valid))
    model.meta.wcs.bounding_box = nirspec.generate_compound_bbox(model)
    ordered = [Slit(*slit) for slit in model.meta.wcs.get_transform("gwa", "slit_frame").slits]
    arrays, regions = {}, []
    for slit in ordered:
        single = nirspec.nrs_wcs_set_input(model, slit.name)
        box = single.bounding_box.bounding_box(order="F")
        x, y = cases.grid(box)
        arrays[f"{slit.slit_id}.box"] = np.array(box)
        arrays[f"{slit.slit_id}.slit"] = np.array(single.get_transform("detector", "slit_frame")(x, y))
        arrays[f"{slit.slit_id}.world"] = world = np.array(single(x, y, with_bounding_box=False))
        if "world" in single.available_frames:
            arrays[f"{slit.slit_id}.back"] = np.array(single.get_transform("world", "detector")(*world))
            arrays[f"{slit.slit_id}.v2v3"] = np.array(single.get_transform("v2v3", "slit_frame")(370.0, -500.0, 2.0))[:2].ravel()
            like = SimpleNamespace(meta=SimpleNamespace(wcs=single), slit_ymin=slit.ymin, slit_ymax=slit.ymax)
            regions.append(util.compute_s_region_keyword(util.compute_footprint_nrs_slit(like)[0]))
    info = model.meta.wcsinfo
    return {
        "ids": [s.slit_id for s in ordered],
        "regions": regions,
        "info": [info.waverange_start, info.waverange_end, info.spectral_order],
    }, arrays


def main(folder):
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    arrays, facts = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        paths = geometry_cases.write(Path(scratch))
        for name, values in cases.CASES.items():
            facts[name], found = run(values, paths)
            arrays |= {f"{name}.{key}": value for key, value in found.items()}
    np.savez_compressed(Path(folder) / "nirspec_slits.npz", **arrays)
    (Path(folder) / "nirspec_slits.json").write_text(json.dumps(facts, separators=(",", ":"), sort_keys=True, default=int) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
