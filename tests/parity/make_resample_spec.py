"""Values of the reference implementation for tests/steps/test_resample_spec.py. Run in an environment with jwst 3.0.0:

    python tests/parity/make_resample_spec.py MOS_CAL LAMP_CAL tests/parity/resample_spec.npz

with ``cal`` products of the simulated oracle: the first slit of a MOS exposure on the sky, the second of one with a line lamp.
"""

import copy
import io
import logging
import lzma
import os
import sys
import tempfile
import warnings

import asdf
import numpy as np
from astropy.modeling.models import Identity
from jwst.assign_wcs.pointing import v23tosky
from jwst.resample import ResampleSpecStep
from resample_spec_scene import CASES, NAMES, STRIDE, WHOLE, scene
from stdatamodels.jwst import datamodels

META = ("photometry.pixelarea_steradians", "photometry.pixelarea_arcsecsq", "wcsinfo.s_region", "wcsinfo.spectral_region",
        "resample.pixel_scale_ratio", "resample.pixfrac", "resample.kernel", "resample.fillval", "resample.weight_type",
        "resample.pointings", "exposure.elapsed_exposure_time", "group_id")  # fmt: skip


def turned(wcs, model, like):
    """The WCS with the slit along declination, where right ascension goes from 360 to 0."""
    wcs = copy.deepcopy(wcs)
    box = wcs.bounding_box
    other = datamodels.SlitModel()
    other.meta.wcsinfo = copy.deepcopy(like.meta.wcsinfo.instance)
    other.meta.wcsinfo.roll_ref += 70
    for _ in range(3):
        wcs.pipeline[-2].transform = v23tosky(other) & Identity(1)
        ra = np.nanmedian(wcs(*np.meshgrid(np.arange(69.0), np.arange(33.0)))[0])
        other.meta.wcsinfo.ra_ref -= (ra + 180) % 360 - 180
    wcs.bounding_box = box
    return wcs


def as_bytes(value):
    """A WCS or transform as a compressed ASDF file."""
    buffer = io.BytesIO()
    asdf.AsdfFile({"wcs": value}).write_to(buffer)
    return np.frombuffer(lzma.compress(buffer.getvalue()), "u1")


def value_of(model, path):
    """A metadata value, or None."""
    node = model.meta.instance
    for part in path.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def main(mos, lamp, path):
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    models = {"mos": datamodels.open(mos), "lamp": datamodels.open(lamp)}
    slits = {"mos": models["mos"].slits[0], "lamp": models["lamp"].slits[1]}
    wcss = {name: copy.deepcopy(slit.meta.wcs) for name, slit in slits.items()}
    wcss["turned"] = turned(wcss["mos"], slits["mos"], slits["mos"])
    out = {f"wcs.{name}": as_bytes(wcs) for name, wcs in wcss.items() if name != "turned"}
    out["sky.turned"] = as_bytes(wcss["turned"].pipeline[-2].transform)
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    for name, (kind, pars, unit) in CASES.items():
        origin = "lamp" if kind == "lamp" else "mos"
        model = models[origin].copy()
        model.instance["slits"] = [model.instance["slits"][1 if origin == "lamp" else 0]]
        slit = model.slits[0]
        arrays = scene(slit.data.shape, unit, name == "blank")
        for key, array in arrays.items():
            setattr(slit, {"sci": "data"}.get(key, key), array)
        slit.meta.wcs, slit.meta.bunit_data = wcss[kind], unit
        for key in ("exposure_time", "measurement_time", "duration"):
            out[f"{kind}.{key}"] = np.array(getattr(model.meta.exposure, key))
        out[f"{kind}.area"] = np.array(slit.meta.photometry.pixelarea_steradians or np.nan)
        result = ResampleSpecStep.call(model, **pars)
        got = result.slits[0]
        if name == "default":
            shifted = copy.deepcopy(got.meta.wcs)
            asdf.AsdfFile({"wcs": shifted}).write_to("custom.asdf")
        for key in NAMES if name in WHOLE else ("dq",) if name == "flags" else ("sci", "wht", "var_rnoise"):
            array = getattr(got, {"sci": "data"}.get(key, key), None)
            if array is not None:
                out[f"{name}.{key}"] = np.asarray(array)[..., :: 1 if name in (*WHOLE, "flags") else STRIDE]
        out[f"{name}.shape"] = np.array(got.data.shape)
        ny, nx = got.data.shape
        y, x = np.array([0, 0.3 * ny, ny - 1, 2.2]), np.array([0, 0.7 * nx, nx - 1, 5.3])
        out[f"{name}.world"] = np.array(got.meta.wcs(x, y, with_bounding_box=False))
        if kind != "lamp":
            out[f"{name}.slit"] = np.array(got.meta.wcs.get_transform("detector", "slit_frame")(x, y))
        out[f"{name}.meta"] = np.array(repr({key: value_of(got, key) for key in META}))
        out[f"{name}.top"] = np.array([result.meta.resample.pixel_scale_ratio, result.meta.resample.pixfrac])
    np.savez_compressed(path, **out)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3]))
