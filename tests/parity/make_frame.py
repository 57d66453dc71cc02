"""Golden values for the steps of the frame (tests/steps/test_frame.py); run in the environment of the reference implementation.

    eval "$(python oracle.py env nirspec)"; python tests/parity/make_frame.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import frame_scene as scene  # noqa: E402


def nsclean(out: dict[str, np.ndarray]) -> None:
    """The line-by-line fit on a frame that is smaller than a detector, for both detectors."""
    from jwst.clean_flicker_noise.nsclean import NSClean

    made = scene.image(30, scene.FRAME)["SCI"]
    for detector in ("NRS1", "NRS2"):
        # the kernels of the reference's filters are those of its square detector: a square cut, padded, is square too
        square = np.zeros((512, 512), np.float32)
        square[240:272] = np.nan_to_num(made)
        mask = np.zeros(square.shape, bool)
        mask[240:272] = (made < 1.5) & (made != 0) & ~np.isnan(made)
        mask[60:200:7] = True
        square[60:200:7] = 0.3 * np.sin(np.arange(512) / 20)
        out[f"lines.{detector}"] = NSClean(detector, mask).clean(square.copy())[60:272:5, ::5]


def main() -> None:
    from jwst.background import BackgroundStep
    from jwst.clean_flicker_noise import CleanFlickerNoiseStep
    from stdatamodels.jwst import datamodels

    out: dict[str, np.ndarray] = {}
    nsclean(out)
    os.chdir(tempfile.mkdtemp())
    sci = scene.write("sci_rate.fits", scene.image(1))
    ints = scene.write("sci_rateints.fits", scene.series(10), "NRS_BRIGHTOBJ")
    datamodels.ImageModel(data=scene.mask()).save("mask.fits")
    flat = datamodels.FlatModel(data=scene.flat())
    area = {"xstart": 1, "ystart": 101, "xsize": scene.IMAGE[1], "ysize": scene.IMAGE[0], "fastaxis": 2, "slowaxis": 1}
    for name, value in area.items():
        setattr(flat.meta.subarray, name, value)
    flat.save("flat.fits")
    for name, values in scene.FLICKER.items():
        more = {"override_flat": "flat.fits"} if name == "flat" else {}
        result = CleanFlickerNoiseStep.call(datamodels.open(sci), skip=False, **values, **more)
        assert result.meta.cal_step.clean_flicker_noise == "COMPLETE", name
        out[f"flicker.{name}"] = result.data[scene.CROP]
    for name, values in scene.SERIES.items():
        out[f"series.{name}"] = CleanFlickerNoiseStep.call(datamodels.open(ints), skip=False, **values).data[(slice(None), *scene.CROP)]
    backgrounds = [scene.write(f"bkg{i}_rate.fits", scene.image(i)) for i in (2, 3)]
    cubes = [scene.write(f"bkg{i}_rateints.fits", scene.series(i), "NRS_BRIGHTOBJ") for i in (20, 40)]
    for name, values in scene.BACKGROUND.items():
        for kind, exposure, members in (("image", sci, backgrounds), ("cube", ints, cubes)):
            result = BackgroundStep.call(datamodels.open(exposure), bkg_list=members, save_combined_background=True, output_file=f"{kind}{name}.fits", **values)
            with datamodels.open(f"{kind}{name}_combinedbackground.fits") as combined:
                out[f"bkg.{kind}.{name}.err"] = combined.err[scene.CROP]
            out[f"bkg.{kind}.{name}"], out[f"bkg.{kind}.{name}.dq"] = result.data[(..., *scene.CROP)], result.dq[(..., *scene.CROP)]
    np.savez_compressed(HERE / "frame.npz", **out)


if __name__ == "__main__":
    main()
