"""Frames with drifting readout signals for tests of refpix and guider_cds: the same numbers in both environments (numpy only)."""

from __future__ import annotations

import numpy as np

DNU, BAD_REF, REF = 1, 1 << 17, 1 << 31
SLOTS = 712
NORMAL_ORIENTATION = {"NIS": (-2, -1), "NRS1": (2, 1), "NRS2": (-2, -1), "NRCA1": (-1, 2), "NRCA2": (1, -2), "MIRIMAGE": (1, 2)}
INSTRUMENT = {"NIS": "NIRISS", "NRS1": "NIRSPEC", "NRS2": "NIRSPEC", "NRCA1": "NIRCAM", "NRCA2": "NIRCAM", "MIRIMAGE": "MIRI"}
# detector, subarray, (ints, groups, ny, nx), (xstart, ystart), outputs, zeroframe, parameters
CASES: dict[str, tuple] = {
    "full": ("NIS", "FULL", (2, 2, 2048, 2048), (1, 1), 4, True, {}),
    "options": ("NRCA1", "FULL", (1, 2, 2048, 2048), (1, 1), 4, False,
                {"odd_even_columns": False, "side_smoothing_length": 8, "side_gain": 0.7, "siglimit": 2.0}),
    "plain": ("NRCA2", "FULL", (1, 1, 2048, 2048), (1, 1), 4, False, {"use_side_ref_pixels": False}),
    "sirs": ("NRCA1", "FULL", (1, 2, 2048, 2048), (1, 1), 4, False, {"refpix_algorithm": "sirs", "sigreject": 3.0, "gaussmooth": 1.5, "halfwidth": 20}),
    "stripe": ("NRCA1", "SUB64P", (2, 2, 64, 2048), (1, 1), 4, True, {}),
    "stripe_top": ("NRCA2", "SUB64P", (1, 2, 40, 2048), (1, 2009), 4, False, {"odd_even_columns": False}),
    "sub": ("NRS1", "SUBS200A1", (2, 3, 32, 2048), (1, 1024), 1, False, {}),
    "sub_nis": ("NIS", "SUBSTRIP96", (1, 2, 96, 500), (3, 1), 1, True, {"siglimit": 2.0}),
    "sub_mean": ("NRCA1", "SUB64P", (1, 2, 40, 64), (2, 1), 1, False, {"odd_even_columns": False}),
    "sub_none": ("NRCA2", "SUB160P", (1, 2, 20, 30), (1000, 1000), 1, False, {}),
    "edgeless": ("NRS2", "SUB512", (1, 2, 32, 512), (601, 900), 1, False, {}),
    "miri": ("MIRIMAGE", "FULL", (2, 3, 1024, 1032), (1, 1), 4, False, {}),
    "miri_rows": ("MIRIMAGE", "FULL", (1, 2, 1024, 1032), (1, 1), 4, False, {"odd_even_rows": False, "siglimit": 2.0}),
}  # fmt: skip
IRS2_CASES: dict[str, tuple] = {
    "irs2": ("NRS1", (1, 3), {}),
    "irs2_mean": ("NRS2", (2, 2), {"irs2_mean_subtraction": True, "ovr_corr_mitigation_ftr": 2.5}),
    "irs2_keep": ("NRS2", (1, 2), {"preserve_irs2_refpix": True}),
}
DETECTOR_SHAPE = {"MIRI": (1024, 1032)}


def frames(name: str) -> dict[str, np.ndarray]:
    """sci, pixeldq and zeroframe of a case."""
    detector, _, shape, (x, y), _, zero, _ = CASES[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    full = DETECTOR_SHAPE.get(INSTRUMENT[detector], (2048, 2048))
    ny, nx = shape[2:]
    sci = 4 * rng.standard_normal(shape, np.float32)
    sci += (200 + 10 * np.sin(np.arange(ny) / 30.0)[:, None] + 3 * (np.arange(nx) % 2) + 0.01 * np.arange(nx)).astype(np.float32)
    sci += (1000 * np.arange(shape[1], dtype=np.float32))[:, None, None]
    sci.reshape(-1)[rng.integers(0, sci.size, sci.size // 1000)] += 300
    flags = np.zeros(full, np.uint32)
    flags[:, :4] = flags[:, -4:] = REF
    if full[0] == 2048:
        flags[:4] = flags[-4:] = REF
    flags.reshape(-1)[rng.integers(0, flags.size, flags.size // 50)] |= DNU
    if name == "full":
        flags[:4, 512:1024] |= DNU
        flags[-4:, 512:1024] |= DNU
        flags[900:930, :4] |= DNU
        flags[915:960, -4:] |= DNU
    flags = flags[y - 1 : y - 1 + ny, x - 1 : x - 1 + nx].copy()
    out = {"sci": sci, "pixeldq": flags}
    if zero:
        frame = sci[:, 0] / 3
        frame.reshape(-1)[rng.integers(0, frame.size, frame.size // 100)] = 0
        out["zeroframe"] = frame
    return out


def kernels() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of both sides by channel and frequency."""
    f = np.arange(1025) / 1024.0
    shape = np.stack([np.exp(-f * (20 + 5 * k)) * (0.4 + 0.05 * k) for k in range(4)])
    return shape.astype(np.complex64), (0.8 * shape * np.exp(0.2j * f)).astype(np.complex64)


def irs2_frames(name: str) -> dict[str, np.ndarray]:
    """sci, pixeldq and groupdq of an IRS2 case; some reads are bad, some of them flagged."""
    _, (ni, ng), _ = IRS2_CASES[name]
    rng = np.random.default_rng(len(name))
    shape = (ni, ng, 3200, 2048)
    sci = np.empty(shape, np.float32)
    noise = 6 * rng.standard_normal(shape[2:], np.float32)
    for i in range(ni * ng):
        sci[i // ng, i % ng] = np.roll(noise, 2047 * i, axis=0)
    wave = 20 * np.sin(np.arange(2048) / 11.0) + 5 * np.sin(np.arange(2048) / 150.0)
    for g in range(ng):
        sci[:, g] += (g * 100 + np.roll(wave, 70 * g) + np.linspace(0, 3 * g, 2048)).astype(np.float32)
        sci[:, g] += (g * (np.arange(3200) % 37)).astype(np.float32)[:, None]
    sci[0, :, 1288:1290] *= 3
    sci[-1, :, 688:690] += 400
    sci[:, :, 8:10] += 300
    flags = np.zeros(shape[2:], np.uint32)
    flags[:, :4] = flags[:, -4:] = REF
    flags[1328, 7] = flags[2611, :] = BAD_REF
    groups = rng.integers(0, 8, shape, np.uint8) if name == "irs2" else np.zeros(shape, np.uint8)
    return {"sci": sci, "pixeldq": flags, "groupdq": groups}


def irs2_coefficients(n: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """alpha, beta (complex64[4, 712 n]) and not quite Hermitian."""
    f = np.fft.fftfreq(SLOTS * n)
    alpha = np.stack([np.exp(-np.abs(f) * (30 + k)) * (0.3 + 0.02 * k) * np.exp(40j * f) for k in range(4)])
    beta = np.stack([0.2 * np.exp(-np.abs(f) * (3 + k)) * np.exp(-5j * f) + 0.05 / (1 + np.abs(f) * 900) * (1 + 0.1j) for k in range(4)])
    return alpha.astype(np.complex64), beta.astype(np.complex64)


BAD_LIST = [(1, 1, 1 << 4), (2, 2, (1 << 7) | (1 << 8)), (4, 1, 1 << 31), (3, 2, 0)]
"""OUTPUT, ODD_EVEN, MASK."""


def sample(array: np.ndarray) -> np.ndarray:
    """Every so many pixels, and the edges' neighbours: a few thousand numbers of a frame."""
    ny, nx = array.shape[-2:]
    rows = np.unique(np.r_[np.arange(0, ny, max(1, ny // 23)), 3, ny - 2])
    cols = np.unique(np.r_[np.arange(0, nx, max(1, nx // 23)), 2, nx - 1])
    return np.ascontiguousarray(array[..., rows[:, None], cols])


GROUP_TIME = 0.7
GUIDER = {
    "fineguide": ("FGS_FINEGUIDE", (3, 10, 8, 8), (101, 201)),
    "acq1": ("FGS_ACQ1", (2, 2, 12, 10), (1, 1)),
    "id_image": ("FGS_ID-IMAGE", (2, 2, 16, 20), (1, 1)),
    "id_stack": ("FGS_ID-STACK", (2, 2, 15, 21), (2040, 1)),
}
"""Exposure type, (ints, groups, ny, nx), (xstart, ystart)."""


def guider(name: str) -> dict[str, np.ndarray]:
    """sci, dq, and full frames of gain and read noise."""
    _, shape, _ = GUIDER[name]
    rng = np.random.default_rng(len(name))
    sci = 1000 + 30 * rng.standard_normal(shape, np.float32) + (20 * np.arange(shape[1], dtype=np.float32))[:, None, None]
    gain, noise = (low + rng.random((2048, 2048), np.float32) for low in (np.float32(1.5), np.float32(5)))
    gain[1, 2] = 0.0
    return {"sci": sci, "dq": rng.integers(0, 4, shape[2:], np.uint32), "gain": gain, "readnoise": noise}
