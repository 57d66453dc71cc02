"""Pixels and parameters of the resample_spec comparisons, shared by the script that runs the reference and the tests."""

import numpy as np

CASES = {  # name: (slit, parameters, unit of the pixels)
    "default": ("mos", {}, "MJy"),
    "pixfrac": ("mos", {"pixfrac": 0.6}, "MJy"),
    "point": ("mos", {"kernel": "point"}, "MJy"),
    "fill": ("mos", {"fillval": "-7.5"}, "MJy"),
    "exptime": ("mos", {"weight_type": "exptime"}, "MJy"),
    "ratio": ("mos", {"pixel_scale_ratio": 1.7}, "MJy"),
    "ratio_surface": ("mos", {"pixel_scale_ratio": 0.6}, "MJy/sr"),
    "scale": ("mos", {"pixel_scale": 0.08, "weight_type": "exptime"}, "MJy"),
    "flags": ("mos", {"propagate_dq": True}, "MJy"),
    "shape_alone": ("mos", {"output_shape": [50, 20]}, "MJy"),
    "custom": ("mos", {"output_wcs": "custom.asdf"}, "MJy"),
    "custom_shape": ("mos", {"output_wcs": "custom.asdf", "output_shape": [50, 33]}, "MJy"),
    "turned": ("turned", {}, "MJy"),
    "turned_scale": ("turned", {"pixel_scale": 0.13}, "MJy"),
    "lamp": ("lamp", {}, "DN/s"),
    "lamp_ratio": ("lamp", {"pixel_scale_ratio": 1.5, "pixel_scale": 0.2}, "DN/s"),
    "lamp_exptime": ("lamp", {"weight_type": "exptime", "kernel": "point"}, "DN/s"),
    "blank": ("mos", {}, "MJy"),
}
WHOLE, STRIDE = ("default", "lamp"), 4
"""Cases kept in full; of the others every so many columns are."""
NAMES = ("sci", "err", "wht", "con", "var_poisson", "var_rnoise", "var_flat", "dq")


def scene(shape, unit, blank=False, seed=5):
    """``sci err dq var_poisson var_rnoise var_flat`` [y, x] with bad pixels of every kind."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx].astype("f8")
    scale = {"MJy": 1e-11, "MJy/sr": 30.0, "DN/s": 4.0}[unit]
    sci = 5 * np.exp(-0.5 * ((y - 0.4 * ny - 0.01 * x) / 2.0) ** 2) * (1 + 0.4 * np.sin(x / 7)) + rng.normal(0, 0.05, shape)
    shares = {"var_poisson": 0.002, "var_rnoise": 0.001, "var_flat": 0.0005}
    arrays = {"sci": (sci * scale).astype("f4")}
    for name, share in shares.items():
        arrays[name] = (share * rng.uniform(0.5, 1.5, shape) * scale**2).astype("f4")
    arrays["err"] = np.sqrt(sum(arrays[name] for name in shares)).astype("f4")
    dq = np.zeros(shape, "u4")
    for flag in (1, 512, 4, 1 << 28, 1 | 1024):
        dq[rng.random(shape) < 0.03] |= np.uint32(flag)
    arrays["sci"][rng.random(shape) < 0.02] = np.nan
    arrays["err"][rng.random(shape) < 0.01] = np.nan
    arrays["var_rnoise"][rng.random(shape) < 0.02] = 0
    arrays["var_poisson"][rng.random(shape) < 0.01] = 0
    arrays["sci"][ny // 3, nx // 2] = 1e6 * scale  # 100 standard deviations off
    arrays["sci"][0, 0] = -100 * scale
    if blank:
        dq |= np.uint32(1)
    return {**arrays, "dq": dq}
