"""Golden values of picture_frame and clean_flicker_noise on ramps. Run in an environment with jwst 3.0.0:

python tests/parity/make_ramp_flicker.py tests/parity/ramp_flicker.npz
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from typing import Any

import numpy as np
import ramp_flicker_scene as scene
from jwst.clean_flicker_noise import CleanFlickerNoiseStep, clean_flicker_noise
from jwst.flatfield import FlatFieldStep
from jwst.picture_frame import PictureFrameStep
from jwst.ramp_fitting import RampFitStep
from stdatamodels.jwst import datamodels

NAMES = {"sci": "data", "groupdq": "groupdq", "pixeldq": "pixeldq", "zeroframe": "zeroframe"}
NOISE = ("median", "image", "fft")
"""Cases whose noise is kept."""
PRODUCTS = {"mask": "mask", "flicker_bkg": "background", "flicker_noise": "noise", "pctfrm_mask": "mask", "pctfrm_correction": "correction"}


def model_of(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> Any:
    model = datamodels.RampModel(data=arrays["sci"].copy(), groupdq=arrays["groupdq"].copy(), pixeldq=arrays["pixeldq"].copy())
    if "zeroframe" in arrays:
        model.zeroframe = arrays["zeroframe"].copy()
    for name, value in meta.items():
        model[f"meta.{name}"] = value
    return model


def with_references(base: type, paths: dict[str, str]) -> type:
    """A step that finds these references, and starts no pipeline machinery."""

    class Found(base):  # type: ignore[misc,valid-type]
        class_alias = base.class_alias

        def get_reference_file(self, model: Any, kind: str) -> str:
            return paths.get(kind, "N/A")

        def make_output_path(self, basepath: str = "", suffix: str = "") -> str:
            return f"{suffix}.fits"

        def run(self, model: Any) -> Any:
            return self.process(model.copy())

    return Found


class Unchanged:
    """A step that does nothing."""

    def run(self, model: Any) -> Any:
        return model


def run(step_class: type, case: dict[str, Any], products: tuple[str, ...]) -> dict[str, np.ndarray]:
    arrays, meta = scene.ramp(**case["ramp"])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        paths = scene.write_references(folder, arrays["sci"].shape[-2:], len(arrays["sci"]), meta["subarray.xstart"] == 1)
        clean_flicker_noise.RampFitStep = with_references(RampFitStep, paths)
        clean_flicker_noise.FlatFieldStep = with_references(FlatFieldStep, paths)
        clean_flicker_noise.AssignWcsStep = Unchanged
        step = with_references(step_class, paths)()
        for name, value in {**case["params"], **{f"save_{PRODUCTS[product]}": True for product in products}}.items():
            setattr(step, name, paths[f"mask{value}"] if name == "user_mask" else value)
        saved: dict[str, np.ndarray] = {}
        result = step.process(model_of(arrays, meta))
        for product in products:
            if os.path.exists(f"{product}.fits"):
                with datamodels.open(f"{product}.fits") as model:
                    saved[product] = model.data.copy()
        os.chdir("/")
    assert all(
        getattr(result, path).tobytes() == arrays[name].tobytes() for name, path in NAMES.items() if name in arrays and name != "sci"
    )
    out = {"sci": result.data, **saved}
    out = {name: (values.astype(bool) if "mask" in name else values[scene.crop(values.shape)]) for name, values in out.items()}
    return out | {"status": np.array(result.meta.cal_step.instance[step_class.class_alias])}


def main(path: str) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    out, path = {}, os.path.abspath(path)
    steps = ((CleanFlickerNoiseStep, scene.FLICKER, ("mask", "flicker_bkg", "flicker_noise")),
             (PictureFrameStep, scene.FRAME, ("pctfrm_mask", "pctfrm_correction")))  # fmt: skip
    for step_class, cases, products in steps:
        for name, case in cases.items():
            for key, values in run(step_class, case, products).items():
                if key == "flicker_noise" and name not in NOISE:
                    continue
                out[f"{step_class.class_alias}.{name}.{key}"] = np.packbits(values) if values.dtype == bool else values
    np.savez_compressed(path, **out)


if __name__ == "__main__":
    main(sys.argv[1])
