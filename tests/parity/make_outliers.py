"""Values of the reference implementation for tests/steps/test_outlier_detection.py. Run in an environment with jwst 3.0.0:

    python tests/parity/make_outliers.py tests/parity/outliers.npz
"""

import logging
import os
import sys
import tempfile

import numpy as np
from jwst.outlier_detection import tso
from stdatamodels.jwst import datamodels

CASES = {
    "default": {"rolling_window_width": 25},
    "w7": {"rolling_window_width": 7},
    "w2": {"rolling_window_width": 2},
    "w8_snr3": {"rolling_window_width": 8, "snr": 3.0},
    "w39": {"rolling_window_width": 39},
    "whole": {"rolling_window_width": 100},
    "whole_w1_snr3": {"rolling_window_width": 1, "snr": 3.0},
    "equal": {"rolling_window_width": 40},
    "good_bits": {"rolling_window_width": 7, "good_bits": "~(DO_NOT_USE+HOT)"},
    "good_names": {"rolling_window_width": 7, "good_bits": "HOT,WARM"},
    "good_zero": {"rolling_window_width": 7, "good_bits": "0"},
    "good_none": {"rolling_window_width": 7, "good_bits": "None"},
    "good_number": {"rolling_window_width": 7, "good_bits": "2048"},
    "maskpt0": {"rolling_window_width": 7, "maskpt": 0.0},
    "maskpt1": {"rolling_window_width": 7, "maskpt": 1.0},
    "maskpt2": {"rolling_window_width": 7, "maskpt": 2.0},
}
DEFAULTS = {"good_bits": "~DO_NOT_USE", "maskpt": 0.7, "rolling_window_width": 25, "snr": 5.0}


def scene(nints=40, ny=4, nx=9, seed=5):
    rng = np.random.default_rng(seed)
    err = rng.uniform(0.5, 1.5, (nints, ny, nx)).astype("f4")
    data = (rng.normal(20, 1, (ny, nx)) + rng.normal(0, 1, (nints, ny, nx)) * err).astype("f4")
    data[rng.random(data.shape) < 0.02] += 15
    dq = np.zeros(data.shape, "u4")
    for flag, share in ((1, 0.01), (2048, 0.03), (4096, 0.03), (4, 0.02)):
        dq[rng.random(data.shape) < share] |= flag
    dq[:, 1, 2] |= 2048  # always hot
    dq[:, 2, 2] |= 1  # always bad
    data[5, 0, 0], err[7, 0, 1], err[8, 0, 3], data[9, 0, 4], err[11, 3, 3] = np.nan, np.nan, np.inf, np.inf, -np.inf
    data[20, 3, 5], data[23, 3, 5] = -np.inf, np.inf
    data[:, 3, 8] = np.nan
    variances = [(err**2 * share).astype("f4") for share in (0.6, 0.3, 0.1)]
    variances[1][12, 2, 3] = np.nan
    return data, err, dq, variances


def main(path):
    logging.disable(logging.INFO)
    data, err, dq, variances = scene()
    out = {"sci": data, "err": err, "dq": dq, "var_poisson": variances[0], "var_rnoise": variances[1], "var_flat": variances[2]}
    for name, values in CASES.items():
        p = DEFAULTS | values
        model = datamodels.CubeModel()
        model.data, model.err, model.dq = data.copy(), err.copy(), dq.copy()
        model.var_poisson, model.var_rnoise, model.var_flat = (v.copy() for v in variances)
        model.meta.filename = "cube_calints.fits"
        with tempfile.TemporaryDirectory() as folder:
            made = os.path.join(folder, "median.fits")
            model = tso.detect_outliers(
                model, True, p["good_bits"], p["maskpt"], p["rolling_window_width"], p["snr"], lambda *_, made=made, **__: made)
            with datamodels.open(made) as median:
                out[f"{name}.median"] = median.data.copy()
        out[f"{name}.dq"] = model.dq
        assert all(np.array_equal(np.isnan(a), (model.dq & 1) > 0) for a in (model.data, model.err, model.var_flat))
    np.savez_compressed(path, **out)


if __name__ == "__main__":
    main(sys.argv[1])
