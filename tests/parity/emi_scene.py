"""Made-up MIRI ramps with interference: the same for the reference implementation and for this one."""

import numpy as np

FREQUENCIES = {"Hz390": 390.625, "Hz218a": 218.52055}
ROW, FRAME = 28, 15904
CASES = {
    "joint": {},
    "joint_two": {"names": ("Hz390", "Hz218a")},
    "joint_slow": {"readpatt": "SLOW", "nsamples": 9, "nints": 3},
    "joint_separate": {"params": {"fit_ints_separately": True}, "nints": 3},
    "joint_3groups": {"ngroups": 3, "nints": 1},
    "joint_in_phase": {"row": 32, "subarray": "FULL", "shape": (1024, 16), "nints": 1, "ngroups": 4},
    "sequential": {"params": {"algorithm": "sequential"}, "ngroups": 10},
    "sequential_two": {"params": {"algorithm": "sequential", "use_n_cycles": None}, "names": ("Hz390", "Hz218a"), "ngroups": 9},
    "sequential_unscaled": {"params": {"algorithm": "sequential", "scale_reference": False, "nbins": 60, "nints_to_phase": 9}, "ngroups": 8},
    "sequential_some": {"params": {"algorithm": "sequential", "nints_to_phase": 1, "use_n_cycles": 5}, "ngroups": 4, "readpatt": "FAST", "nints": 3},
    "on_the_fly": {"params": {"onthefly_corr_freq": (390.625, 218.52055)}, "ngroups": 11},
    "full_late": {"params": {"algorithm": "sequential"}, "subarray": "FULL", "shape": (64, 1032), "nints": 1, "ngroups": 5},
    "two_groups": {"ngroups": 2},
    "unknown": {"subarray": "SUB64"},
}  # fmt: skip


def scene(
    ngroups=6, nints=2, shape=(48, 72), readpatt="FASTR1", nsamples=1, names=("Hz390",), subarray="SLITLESSPRISM", row=ROW, params=None
):
    """sci, pixeldq, metadata by datamodel path, and the tree of a reference file."""
    rng = np.random.default_rng(ngroups + nints)
    ny, nx = shape
    wave = np.sin(2 * np.pi * (np.arange(64) + 0.5) / 64) + 0.4 * np.cos(6 * np.pi * (np.arange(64) + 0.5) / 64)
    slope = np.exp(rng.uniform(1, 5, (ny, nx)))
    sci = rng.normal(9500, 40, (ny, nx)) + slope * np.arange(1, ngroups + 1)[:, None, None] + rng.normal(0, 4, (nints, ngroups, ny, nx))
    frame = ny * row + (1024 - ny) * 7
    ticks = np.arange(ny)[:, None] * row + np.arange(nx // 4) * nsamples
    reset = FRAME if readpatt.endswith("R1") else 0
    for name, size in zip(names, (9.0, 5.0)):
        period = 1 / FREQUENCIES[name] / 1e-5
        for i in range(nints):
            for g in range(ngroups):
                phase = ((ticks + g * frame + i * (ngroups * frame + reset)) / period + 0.37) % 1
                sci[i, g, :, : nx // 4 * 4] += np.repeat(size * wave[(phase * 64).astype(int)], 4, axis=1)
    pixeldq = np.where(rng.random((ny, nx)) < 0.05, 1, 0).astype("u4")
    meta = {"exposure.nints": nints, "exposure.ngroups": ngroups, "exposure.readpatt": readpatt, "exposure.nsamples": nsamples, "exposure.type": "MIR_LRS-SLITLESS",
            "instrument.name": "MIRI", "instrument.detector": "MIRIMAGE", "subarray.name": subarray, "subarray.xstart": 1, "subarray.ystart": 1,
            "subarray.xsize": nx, "subarray.ysize": ny}  # fmt: skip
    own = {"rowclocks": row, "frameclocks": FRAME, "freqs": {"FAST": list(names), "SLOW": {"MIRIMAGE": list(names)}}}
    tree = {"frequencies": {name: {"frequency": value, "phase_amplitudes": wave} for name, value in FREQUENCIES.items()},
            "subarray_cases": {"SLITLESSPRISM": own, "FULL_FAST": own}}  # fmt: skip
    return sci.astype("f4"), pixeldq, meta, tree


def kept(values):
    """The part of a result that is a golden value: differences from the input."""
    return values[..., ::11, ::5]
