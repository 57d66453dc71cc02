"""Make ramp_jump.npz: three made-up exposures and what the reference implementation's jump step makes of them.

To be run with the reference implementation's Python; references are given as files, so that no look-up is needed.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from ramp_jump_cases import CASES, GROUP_TIME, arrays

HERE = Path(__file__).parent
UNIT = 0.7
"""DN of a stored count."""


def ramp(rng, shape, rate, noise, rays, size):
    nints, ngroups, ny, nx = shape
    gain, read = rng.uniform(1.2, 2.1, (ny, nx)).astype("f4"), rng.uniform(0.5, 1.5, (ny, nx)).astype("f4") * noise
    step = rng.poisson(rng.uniform(0, rate, (ny, nx)) * gain, shape) / gain
    step += (rng.random(shape) < rays) * rng.exponential(size, shape)
    signal = np.cumsum(step, axis=1) + rng.normal(0, 1, shape) * read / np.sqrt(2) + 300
    flags, pixels = np.zeros(shape, "u1"), np.zeros((ny, nx), "u4")
    return signal, flags, pixels, gain, read.astype("f4")


def points(rng):
    signal, flags, pixels, gain, read = ramp(rng, (12, 14, 10, 14), 30, 5, 0.03, 900)
    flags[np.maximum.accumulate(signal > rng.uniform(1500, 9000, signal.shape[-2:]), axis=1)] |= 2
    for flag, share in ((1, 0.01), (4, 0.005), (128, 0.01)):
        flags[rng.random(flags.shape) < share] |= flag
    flags[:, :, 3, 4] |= 1
    flags[:, 1:, 3, 5] |= 2
    flags[:, 2:, 6, 5] |= 2
    read[5, 5], read[2, 2], gain[7, 7], gain[8, 8], gain[8, 9] = 0, np.nan, np.nan, -1, 0
    signal[:, :, 9], gain[9] = np.round(signal[:, :, 9], -1), 1
    return signal, flags, pixels, gain, read


def snowballs(rng):
    shape = (2, 5, 64, 72)
    signal, flags, pixels, gain, read = ramp(rng, shape, 0.2, 2, 0.002, 300)
    y, x = np.mgrid[: shape[2], : shape[3]]
    for i in range(2):
        for k in range(9):
            cy, cx, g, size, turn = rng.integers(0, 64), rng.integers(0, 72), rng.integers(1, 5), rng.uniform(2, 9), rng.uniform(0, 3.2)
            flat = 1.0 if k % 3 == 0 else rng.uniform(0.6, 1)
            size = round(size) if k % 3 == 0 else size
            u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), ((y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)) / flat
            apart = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) if k % 3 == 0 else np.hypot(u, v)
            signal[i, g:, apart <= size] += 400
            if rng.random() < 0.8:
                flags[i, min(g + rng.integers(0, 2), 4) :, apart <= size * rng.uniform(0, 0.7)] |= 2
    flags[:, :, 30, 40:44] |= 1
    return signal, flags, pixels, gain, read


def showers(rng):
    shape = (2, 7, 44, 50)
    signal, flags, pixels, gain, read = ramp(rng, shape, 8, 2, 0.004, 200)
    y, x = np.mgrid[: shape[2], : shape[3]]
    for i in range(2):
        for _ in range(3):
            cy, cx, g, (sx, sy) = rng.integers(0, 44), rng.integers(0, 50), rng.integers(1, 7), rng.uniform(3, 8, 2)
            signal[i, g:] += rng.uniform(8, 25) * np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))
    flags[np.maximum.accumulate(signal > rng.uniform(330, 5000, signal.shape[-2:]), axis=1)] |= 2
    flags[:, 0] |= 1
    pixels[:, :2], pixels[5, 20:23] = 1 << 31, 1
    return signal, flags, pixels, gain, read


def reference(path, reftype, array):
    header = fits.Header({"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "REFTYPE": reftype, "SUBSTRT1": 1, "SUBSTRT2": 1,
                          "SUBSIZE1": array.shape[1], "SUBSIZE2": array.shape[0]})  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(array, name="SCI")]).writeto(path, overwrite=True)


def peer(case, data, folder):
    from jwst.jump import JumpStep
    from stdatamodels.jwst import datamodels

    model = datamodels.RampModel(data=data["sci"], groupdq=data["groupdq"], pixeldq=data["pixeldq"])
    model.meta.instrument.name, model.meta.instrument.detector = "NIRCAM", "NRCA1"
    area, exposure = model.meta.subarray, model.meta.exposure
    area.xstart, area.ystart, area.ysize, area.xsize = 1, 1, *data["sci"].shape[-2:]
    exposure.nframes, exposure.group_time = case.nframes, GROUP_TIME
    step = JumpStep(**case.parameters)
    for reftype in ("gain", "readnoise"):
        path = os.path.join(folder, f"{reftype}.fits")
        reference(path, reftype.upper(), data[reftype])
        setattr(step, f"override_{reftype}", path)
    done = step.process(model)
    return done.groupdq, done.pixeldq, [done.meta.exposure.primary_cosmic_rays, done.meta.exposure.extended_emission_events]


def main():
    warnings.simplefilter("ignore")
    stored = {}
    for seed, make in enumerate((points, snowballs, showers)):
        signal, flags, pixels, gain, read = make(np.random.default_rng(seed))
        counts = np.clip(np.round(signal / UNIT), 0, 65535).astype("u2")
        stored |= {f"{make.__name__}.{name}": a for name, a in
                   zip(("sci", "groupdq", "pixeldq", "gain", "readnoise"), (counts, flags, pixels, gain, read))}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            data = arrays(stored, case)
            before = {key: array.copy() for key, array in data.items()}
            groups, pixels, rates = peer(case, data, folder)
            stored |= {f"{name}.groupdq": groups ^ before["groupdq"], f"{name}.pixeldq": pixels ^ before["pixeldq"],
                       f"{name}.rates": np.array([np.nan if rate is None else rate for rate in rates])}  # fmt: skip
            print(f"{name}: {np.count_nonzero(stored[f'{name}.groupdq'])} flags, rates {rates}")
    np.savez_compressed(HERE / "ramp_jump.npz", **stored)


if __name__ == "__main__":
    main()
