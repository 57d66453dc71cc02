"""Values of the reference implementation for tests/steps/test_slit_cutouts.py. Run in an environment with jwst 3.0.0:

python tests/parity/make_slits.py tests/parity
"""

import hashlib
import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from jwst.assign_wcs.assign_wcs import load_wcs
from jwst.extract_2d.extract_2d import extract2d
from jwst.msaflagopen.msaflag_open import create_slitlets, flag

sys.path.insert(0, str(Path(__file__).parents[1] / "steps"))
import cutout_cases as cases
import geometry_cases

ALL = ("distortion", "filteroffset", "specwcs", "regions", "wavelengthrange", "camera", "chromcorr", "collimator", "disperser",
       "fore", "fpa", "msa", "ote", "ifupost", "ifufore", "ifuslicer")  # fmt: skip
FLAGGED = ("mos", "mos_still", "mos_nrs2", "lamp_mos", "lamp_fs", "autoflat")


def plain(value):
    """`value` as JSON has it."""
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return np.ravel(value)[0].item() if isinstance(value, (np.ndarray, np.generic)) else value


def run(values, params, paths, folder, flagged):
    """Slits of the exposure, the flags of its pixels, attributes and wavelengths of the cut-outs."""
    refs = geometry_cases.chosen(paths, values)
    names = {name: refs.get(name, "N/A") for name in ALL}
    edges = [params.get("slit_y_low", -0.55), params.get("slit_y_high", 0.55)]
    metafile = {"msametafile": str(folder / values["instrument.msa_metadata_file"])}
    model = load_wcs(cases.exposure(values), {**names, **metafile}, edges)
    slits = model.meta.wcs.get_transform("gwa", "slit_frame").slits
    boxes = [[[i.lower, i.upper] for _, i in sorted(model.meta.wcs.bounding_box[s.slit_id].intervals.items())] for s in slits]
    facts = {"slits": [plain(list(s)) for s in slits], "boxes": plain(boxes), "wcsinfo": plain_info(model)}
    if flagged:
        names = {name: None if path == "N/A" else path for name, path in names.items()}
        dq = flag(model.copy(), create_slitlets(paths["msaoper"]), names).dq
        where = np.flatnonzero(dq).astype("i4")
        facts["flagged"] = [len(where), int(dq.max()), hashlib.sha256(where.tobytes()).hexdigest()]
    made = extract2d(model, params.get("slit_names"), params.get("source_ids"))
    facts["cutouts"], waves = [], []
    for slit in made.slits:
        keywords = {name: plain(getattr(slit, name, None)) for name in cases.ATTRIBUTES}
        facts["cutouts"].append(keywords | plain_info(slit) | {"shape": list(slit.data.shape), "bunit": [slit.meta.bunit_data, slit.meta.bunit_err]})
        waves.append(np.ravel(slit.wavelength[1::5, ::41]))
    return facts, np.concatenate(waves).astype("f4")


def plain_info(model):
    return {name: plain(getattr(model.meta.wcsinfo, name, None)) for name in cases.INFO}


def main(folder):
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    facts, arrays = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        paths = cases.write(Path(scratch))
        for name, (values, params) in cases.CASES.items():
            facts[name], arrays[name] = run(values, params, paths, Path(scratch), name in FLAGGED)
            print(name, [f["name"] for f in facts[name]["cutouts"]], [f["shape"] for f in facts[name]["cutouts"]], facts[name].get("flagged"))
    np.savez_compressed(Path(folder) / "slits.npz", **arrays)
    (Path(folder) / "slits.json").write_text(json.dumps(facts, indent=None, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
