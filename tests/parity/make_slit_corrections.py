"""Values of the reference implementation for tests/steps/test_slit_corrections.py. Run in an environment with jwst 3.0.0:

python tests/parity/make_slit_corrections.py tests/parity
"""

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import slit_corrections_scene as scene
from jwst.barshadow.bar_shadow import create_shadow, create_shutter_elements, do_correction
from jwst.photom.photom import DataSet
from jwst.srctype.srctype import set_source_type
from jwst.wavecorr import wavecorr
from stdatamodels.jwst import datamodels

STACKS = ("x", "1x1", "x10", "0x0011", "101x")


def model_of(name):
    """The exposure with all slits."""
    exp_type, slits = scene.slits(name)
    model = datamodels.MultiSlitModel()
    for given in slits:
        slit = datamodels.SlitModel()
        for key, value in given.items():
            if key == "wcs":
                slit.meta.wcs = value
            elif value is not None:
                setattr(slit, key, value)
        scene.describe(slit, exp_type)
        model.slits.append(slit)
    scene.describe(model, exp_type)
    return model


def facts(model):
    """Attributes and keywords of each slit."""
    out = []
    for slit in model.slits:
        photometry = {name: getattr(slit.meta.photometry, name, None) for name in scene.PHOTOMETRY}
        found = {name: getattr(slit, name, None) for name in scene.ATTRIBUTES} | photometry | {"bunit": slit.meta.bunit_data}
        out.append({key: value.item() if isinstance(value, np.generic) else value for key, value in found.items()})
    return out


def planes(model, names):
    """Arrays by name, of all slits."""
    out = {}
    for name in names:
        found = [getattr(slit, name, None) for slit in model.slits]
        if any(value is not None for value in found):
            out[name] = np.array([np.full(scene.SHAPE, -99) if value is None else value for value in found])
            out[name] = out[name].astype("u4" if name == "dq" else "f4")
    return out


def main(folder):
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    arrays, texts = {}, {}

    def keep(case, model, names):
        texts[case] = facts(model) + [{"target": model.meta.target.source_type, "wavecorr": model.meta.cal_step.wavecorr}]
        arrays.update({f"{case}/{name}": value for name, value in planes(model, names).items()})

    with tempfile.TemporaryDirectory() as name:
        refs = Path(name)
        scene.write_references(refs)
        for case, (which, meta, choice) in scene.SRCTYPE_CASES.items():
            model = model_of(which)
            for key, value in meta.items():
                setattr({"bkgdtarg": model.meta.observation, "primary_type": model.meta.dither}.get(key, model.meta.target), key, value)
            keep(f"srctype/{case}", set_source_type(model, choice), ())
        for case, (which, reference) in scene.WAVECORR_CASES.items():
            keep(f"wavecorr/{case}", wavecorr.do_correction(model_of(which), str(refs / f"{reference}.asdf")), ("wavelength",))
        with datamodels.BarshadowModel(refs / "barshadow.fits") as shadow:
            elements = create_shutter_elements(shadow)
            for states in STACKS:
                arrays[f"stack/{states}"] = create_shadow(elements, states)[::83, ::20]
            for case, (which, given) in scene.BARSHADOW_CASES.items():
                done = do_correction(model_of(which), shadow, return_corrections=False, **given)
                keep(f"barshadow/{case}", done, ("data", "var_rnoise", "var_flat", "barshadow"))
        for case, (which, given, reference) in scene.PHOTOM_CASES.items():
            model = model_of(which)
            if which == "fs":
                model = wavecorr.do_correction(model, str(refs / "wavecorr.asdf"))
            data = DataSet(model, **{"inverse": False, "source_type": None, "apply_time_correction": True, **given})
            done = data.apply_photom(str(refs / f"{reference}.fits"), str(refs / f"area_{which}.fits"))
            keep(f"photom/{case}", done, ("data", "dq", "var_rnoise", "photom_point", "photom_uniform"))
    np.savez_compressed(Path(folder) / "slit_corrections.npz", **arrays)
    (Path(folder) / "slit_corrections.json").write_text(json.dumps(texts, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
