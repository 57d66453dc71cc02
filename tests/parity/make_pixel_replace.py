"""Values of the reference implementation for tests/steps/test_pixel_replace.py. Run in an environment with jwst 3.0.0:

    python tests/parity/make_pixel_replace.py tests/parity/pixel_replace.npz
"""

import logging
import sys
import warnings

import numpy as np
from jwst.pixel_replace.pixel_replace import PixelReplacement
from stdatamodels.jwst import datamodels

CASES = [  # name, algorithm, dispersion axis, columns
    ("mingrad", "mingrad", 1, 3),
    ("profile_x3", "fit_profile", 1, 3),
    ("profile_x1", "fit_profile", 1, 1),
    ("profile_x8", "fit_profile", 1, 8),
    ("profile_y3", "fit_profile", 2, 3),
    ("trace_x", "trace_model", 1, 3),
    ("trace_y", "trace_model", 2, 3),
    ("trace_none", "trace_model", 1, 3),
]
VARIANCES = ("var_poisson", "var_rnoise", "var_flat")


def scene(nints=3, ny=15, nx=23, seed=11):
    """A spectrum along x with missing pixels of every kind; integration 1 is faint, 2 has negative columns."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ny, :nx].astype("f8")
    trace = 50 * np.exp(-0.5 * ((y - 7 - 0.05 * x) / 1.6) ** 2) * (1 + 0.02 * x)
    data = (trace * np.array([1, 0.02, -0.5])[:, None, None] + rng.normal(0, 0.4, (nints, ny, nx))).astype("f4")
    err = rng.uniform(0.3, 0.6, data.shape).astype("f4")
    variances = {name: (err**2 * share).astype("f4") for name, share in zip(VARIANCES, (0.6, 0.3, 0.1))}
    dq = np.zeros(data.shape, "u4")
    dq[:, 0, :] |= 1 | 512
    dq[:, :, 0] |= 1
    dq[rng.random(dq.shape) < 0.1] |= 1
    dq[rng.random(dq.shape) < 0.03] |= 1 | 4
    dq[rng.random(dq.shape) < 0.02] |= 1 | 512
    dq[rng.random(dq.shape) < 0.02] |= 512
    dq[rng.random(dq.shape) < 0.03] |= 1 << 28
    dq[:, :, 12] |= 1
    dq[0, 3:13, 5] |= 1
    bad = (dq & 1) > 0
    for cube in (data, err, *variances.values()):
        cube[bad] = np.nan
    data[0, 8, 9], err[0, 8, 9] = 7.5, 0.5  # flagged only
    dq[0, 8, 9] |= 1
    data[0, 5, 7] = np.nan  # missing without a flag
    data[1, 6, 15], data[1, 6, 17], data[2, 9, 3] = np.inf, -np.inf, np.inf
    variances["var_rnoise"][2, 5, 5] = -0.1
    model = trace.astype("f4")
    model[:4] = np.nan
    return data, err, dq, variances, model


def main(path):
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    data, err, dq, variances, trace = scene()
    out = {"sci": data, "err": err, "dq": dq, "trace": trace, **variances}
    for name, algorithm, axis, columns in CASES:
        turn = (lambda a: a) if axis == 1 else (lambda a: np.ascontiguousarray(np.swapaxes(a, -1, -2)))
        model = datamodels.SlitModel()
        model.data, model.err, model.dq = turn(data).copy(), turn(err).copy(), turn(dq).copy()
        for key, value in variances.items():
            setattr(model, key, turn(value).copy())
        if algorithm == "trace_model" and name != "trace_none":
            model.trace_model = turn(trace).copy()
        model.meta.wcsinfo.dispersion_direction = axis
        PixelReplacement(model, algorithm=algorithm, n_adjacent_cols=columns).replace()
        for key, attribute in {"sci": "data", "err": "err", "dq": "dq", **{v: v for v in VARIANCES}}.items():
            out[f"{name}.{key}"] = np.asarray(turn(getattr(model, attribute)))
    np.savez_compressed(path, **out)


if __name__ == "__main__":
    main(sys.argv[1])
