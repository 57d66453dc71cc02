"""Golden values of the ramp fits: made-up ramps and what the reference implementation's functions make of them.

Run with an interpreter that has `stcal`: ``python make_ramp_fit.py`` writes ``ramp_fit.npz`` beside this file.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

DNU, SAT, JUMP, PERS, FLOOR, LOSS = 1, 2, 4, 32, 64, 128
PIXEL = {"DO_NOT_USE": 1, "SATURATED": 2, "JUMP_DET": 4, "PERSISTENCE": 32, "CHARGELOSS": 128, "NO_GAIN_VALUE": 1 << 19, "UNRELIABLE_SLOPE": 1 << 24}
SIZE = 10
TIMES = (10.73677, 2.6841925)
"""Group time and frame time, s."""

CASES = {
    "base": {},
    "keep_one": {"suppress": False, "zero": True, "nframes": 4, "groupgap": 1},
    "keep_loss": {"suppress": False, "zero": True, "loss": True},
    "loss": {"loss": True, "ngroups": 12},
    "one": {"ngroups": 1, "nframes": 2},
    "two": {"ngroups": 2},
    "two_keep": {"ngroups": 2, "suppress": False},
    "single": {"nints": 1, "ngroups": 20},
    "miri": {"instrument": "MIRI", "ngroups": 9},
    "miri_keep": {"instrument": "MIRI", "ngroups": 9, "suppress": False, "zero": True},
    "likely": {"algorithm": "LIKELY", "ngroups": 10},
    "likely_frames": {"algorithm": "LIKELY", "ngroups": 7, "nframes": 4, "groupgap": 1, "zero": True},
    "likely_uneven": {"algorithm": "LIKELY", "ngroups": 6, "uneven": True},
    "likely_single": {"algorithm": "LIKELY", "ngroups": 5, "nints": 1},
}  # fmt: skip


def ramps(seed: int, size: int, nints: int = 3, ngroups: int = 8, loss: bool = False, instrument: str = "NIRSPEC", **rest: object) -> dict[str, np.ndarray]:
    """Ramps of all signal levels with flags of all kinds."""
    rng = np.random.default_rng(seed)
    shape = (nints, ngroups, size, size)
    level = 10 ** rng.uniform(-1, 4, (size, size))
    step = rng.normal(level, np.sqrt(level), shape) + (rng.random(shape) < 0.03) * rng.uniform(50, 5000, shape)
    sci = (np.cumsum(step, axis=1) + rng.normal(0, 6, shape)).astype(np.float32)
    flags = np.zeros(shape, np.uint8)
    for bit, share in ((JUMP, 0.08), (DNU, 0.03), (PERS, 0.02), (FLOOR, 0.01)):
        flags |= np.where(rng.random(shape) < share, bit, 0).astype(np.uint8)
    flags[:, :, :2] = 0
    flags[:, :, 2] = np.where(rng.random((nints, ngroups, size)) < 0.5, JUMP, 0)
    first = rng.integers(0, 3 * ngroups, (nints, size, size))
    flags[np.arange(ngroups)[:, None, None] >= first[:, None]] |= SAT
    flags[:, :, 3] = np.where(rng.random((nints, ngroups, size)) < 0.7, DNU, 0)
    flags[:, :, 4, :3] = SAT
    flags[:, :, 4, 3:6] = DNU
    flags[:, 1:, 5, :4] = DNU
    flags[:, 0, 5, :4] = 0
    flags[:, 1:, 6, :4] = SAT
    flags[:, 0, 6, :4] = 0
    if loss:
        rest_of = np.arange(ngroups)[:, None, None] >= rng.integers(1, 2 * ngroups, (nints, size, size))[:, None]
        flags[rest_of] |= LOSS | DNU
        flags[:, -1, 7] |= LOSS
    if instrument == "MIRI":
        flags[:, :2] |= DNU
        flags[:, -1] |= DNU
    sci[0, ngroups // 2, 8, 2] = np.nan
    pixeldq = np.where(rng.random((size, size)) < 0.03, 1, 0).astype(np.uint32) | np.where(rng.random((size, size)) < 0.02, 2 | 1 << 12, 0).astype(np.uint32)
    gain = rng.uniform(0.8, 2.0, (size, size)).astype(np.float32)
    gain[9, :3] = (np.nan, 0.0, -1.0)
    readnoise = rng.uniform(5, 15, (size, size)).astype(np.float32)
    readnoise[9, 4:6] = (np.nan, 0.0)
    dark = rng.uniform(-0.01, 0.05, (size, size)).astype(np.float32)
    zero = np.where(rng.random((nints, size, size)) < 0.3, 0, sci[:, 0] / 4 + rng.normal(0, 1, (nints, size, size))).astype(np.float32)
    return {"sci": sci, "groupdq": flags, "pixeldq": pixeldq, "gain": gain, "readnoise": readnoise, "dark": dark, "zeroframe": zero}


def fit(made: dict[str, np.ndarray], suppress: bool = True, zero: bool = False, nframes: int = 1, groupgap: int = 0, instrument: str = "NIRSPEC",
        algorithm: str = "OLS_C", uneven: bool = False, **rest: object) -> dict[str, np.ndarray]:  # fmt: skip
    """What the reference implementation makes of them."""
    from stcal.ramp_fitting import ramp_fit
    from stcal.ramp_fitting.ramp_fit_class import RampData

    own = {name: value.copy() for name, value in made.items()}
    data = RampData()
    lossy = algorithm == "OLS_C" and (own["groupdq"] & LOSS).any()
    data.set_arrays(own["sci"], own["groupdq"], own["pixeldq"], own["dark"], orig_gdq=own["groupdq"].copy() if lossy else None,
                    zeroframe=own["zeroframe"] if zero else None)  # fmt: skip
    data.set_meta(instrument, TIMES[1], TIMES[0], groupgap, nframes, drop_frames1=0)
    data.algorithm = algorithm
    data.set_dqflags(PIXEL)
    data.start_row, data.num_rows = 0, own["sci"].shape[2]
    data.suppress_one_group_ramps = suppress and own["sci"].shape[1] > 1
    if uneven:
        data.read_pattern = [np.array([t]) for t in read_times(own["sci"].shape[1])]
    image, cube, optional = ramp_fit.ramp_fit_data(data, algorithm == "OLS_C", own["readnoise"], own["gain"], algorithm, "optimal", "none")
    out = {f"rate_{key}": value for key, value in image.items()} | {f"ints_{key}": value for key, value in cube.items()}
    return out | {f"opt_{key}": value for key, value in (optional or {}).items()}


def read_times(ngroups: int) -> np.ndarray:
    """Uneven sampling, s."""
    return np.cumsum(1.0 + 0.5 * (np.arange(ngroups) % 3)) * TIMES[1]


def digest(made: dict[str, np.ndarray]) -> np.ndarray:
    """Fingerprint of made-up ramps, to tell whether they could be made again."""
    return np.array([int(zlib.crc32(np.ascontiguousarray(made[name]).tobytes())) for name in sorted(made)])


def made_for(name: str, size: int = SIZE) -> dict[str, np.ndarray]:
    """The ramps of a case."""
    return ramps(list(CASES).index(name), size, **CASES[name])


if __name__ == "__main__":
    found = {}
    for name, case in CASES.items():
        made = made_for(name)
        found |= {f"{name}.{key}": value for key, value in fit(made, **case).items()} | {f"{name}.digest": digest(made)}
    np.savez_compressed(Path(__file__).with_name("ramp_fit.npz"), **found)
