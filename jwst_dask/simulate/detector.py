"""The mock detectors: what lies between electrons and the numbers of the A/D converter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.data.dq import PIXEL
from jwst_dask.kernels._jit import jit
from jwst_dask.simulate.setup import Setup

FULL, EDGE = 2048, 4
EDGELESS = ("SUB512",)  # no reference pixels in reach: the first and last four columns are taken for them, and see no light here
CEILING = 65535
WELL = 44000.0  # DN
MARGIN = 0.96  # threshold of saturation over the largest count
KTC, ODD_EVEN, DRIFT = 18.0, 6.0, 4.0  # DN: of a pixel and integration; of odd and even lines; of a frame
PINK = 0.5  # standard deviation of 1/f noise over that of a pixel's read noise, which the readnoise reference does not count
SKIP = (2, 4)  # MIRI: groups that rscd leaves out of the first and of later integrations; time series go without it, so nothing is wrong with them
RESET_GROUPS = 12


@dataclass(frozen=True)
class Detector:
    """Response of every pixel of an exposure's frame.

    A pixel's linear counts are its charge over the gain (MIRI: on top of the pedestal). The counts that are measured are those of which the
    polynomial `coeffs` gives the linear ones.

    Attributes
    ----------
    setup : Setup
    bias : ndarray
        float64[y, x], DN: added to measured counts (MIRI: to linear counts).
    coeffs : ndarray
        float32[term, y, x], from measured to linear counts.
    full : ndarray
        float64[y, x]: largest measured counts, DN without bias.
    gain, read, dark : ndarray
        float64[y, x]: electrons per DN; read noise of a frame, electrons; dark current, electrons per second.
    flags : ndarray
        uint32[y, x]: of the mask reference.
    reference : ndarray
        bool[y, x]: pixels that see no light and have no dark current.
    lit : ndarray
        float64[y, x]: 0 where light makes no charge, else 1.
    fast : int
        Axis of the array along which pixels are read first (0: y, 1: x).
    outputs : int
        Amplifiers beside each other along that axis.
    reset : ndarray
        float32[integration, group, y, x], DN: what the reset leaves in measured counts (MIRI; else no groups).
    """

    setup: Setup
    bias: np.ndarray
    coeffs: np.ndarray
    full: np.ndarray
    gain: np.ndarray
    read: np.ndarray
    dark: np.ndarray
    flags: np.ndarray
    reference: np.ndarray
    lit: np.ndarray
    fast: int
    outputs: int
    reset: np.ndarray

    @property
    def miri(self) -> bool:
        """Whether it is MIRI's."""
        return str(self.setup.header["instrument.name"]) == "MIRI"

    @property
    def has_references(self) -> bool:
        """Whether drifts of the readout can be seen in reference pixels that refpix uses."""
        return not self.miri and bool(self.reference.any())

    @property
    def threshold(self) -> np.ndarray:
        """float32[y, x]: counts in the file from which on a pixel is saturated."""
        raw = self.full if self.miri else self.full + self.bias
        return np.asarray(np.minimum(MARGIN * raw, CEILING - 500), np.float32)

    def measured(self, linear: np.ndarray) -> np.ndarray:
        """Counts (DN, without the bias of NIR detectors) of linear counts, up to the full well."""
        return np.asarray(_invert(linear, self.coeffs, self.full))


@jit
def _invert(linear, coeffs, full):  # type: ignore[no-untyped-def]
    """Root of the cubic of each pixel by Newton's method: the polynomial is within a tenth of a line."""
    out = np.empty_like(linear)
    for y in range(linear.shape[0]):
        for x in range(linear.shape[1]):
            a, b, wanted = np.float64(coeffs[2, y, x]), np.float64(coeffs[3, y, x]), linear[y, x]
            found = min(wanted, 1.5 * full[y, x])
            for _ in range(4):
                found -= (((b * found + a) * found + 1.0) * found - wanted) / ((3.0 * b * found + 2.0 * a) * found + 1.0)
            out[y, x] = min(found, full[y, x])
    return out


def detector(setup: Setup) -> Detector:
    """The detector of an exposure. The same for every seed, as its reference files are."""
    head, shape = setup.header, setup.shape
    miri, second = head["instrument.name"] == "MIRI", int("nrs2" in setup.detector)
    r = np.random.default_rng([57, int(miri), second])
    fast = 0 if abs(int(head["subarray.fastaxis"])) == 2 else 1
    reference = _reference(setup)
    y, x = np.indices(shape)
    column = 300.0 * np.sin((x if fast == 1 else y) / 37.0) + 0.05 * (x + y)
    bias = (9500.0 if miri else 9000.0) + column + 60.0 * r.standard_normal(shape)
    curve = np.stack([np.zeros(shape), np.ones(shape), *(scale * (1 + 0.05 * r.standard_normal(shape)) for scale in (9e-7, 6e-12))])
    flags, lit, dark = _blemishes(shape, (0.15 if miri else 0.008), WELL * setup.gain / setup.integration_time, r)
    flags[reference] = PIXEL["REFERENCE_PIXEL"] | (PIXEL["DO_NOT_USE"] if miri else 0)
    dark[reference] = 0.0
    lit[reference] = 0.0
    full = WELL + 900.0 * r.standard_normal(shape) + (9500.0 if miri else 0.0)
    gain = setup.gain * (1 + 0.01 * r.standard_normal(shape))
    read = setup.read_noise * (1 + 0.04 * r.standard_normal(shape)).clip(0.8, 1.3)
    reset = _reset(shape, setup.ngroups, r) if miri else np.zeros((0, 0, *shape), np.float32)
    return Detector(setup, np.asarray(bias.astype("f4"), float), curve.astype("f4"), full, gain, read, dark, flags, reference, lit, fast,
                    int(head.get("exposure.noutputs", 1)), reset)  # fmt: skip


def _reference(setup: Setup) -> np.ndarray:
    """Pixels that see no light: MIRI's left columns; along the edges of a NIR detector."""
    out = np.zeros(setup.shape, bool)
    if setup.header["instrument.name"] == "MIRI":
        out[:, : setup.reference_columns] = True
        return out
    if setup.header["subarray.name"] in EDGELESS:
        out[:, :EDGE] = out[:, -EDGE:] = True
        return out
    for axis, size in enumerate(setup.shape):
        first = int(setup.header["subarray.ystart" if axis == 0 else "subarray.xstart"]) - 1
        place = np.arange(first, first + size)
        edge = (place < EDGE) | (place >= FULL - EDGE)
        out |= edge[:, None] if axis == 0 else edge[None, :]
    return out


def _blemishes(shape: tuple[int, int], current: float, filling: float, r: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flags, response to light, and dark current (electrons per second; `filling` fills a pixel in an integration): dead, warm and hot pixels."""
    dark = current * (1 + 0.1 * r.standard_normal(shape)).clip(0.5, 1.5)
    lot = r.random(shape)
    dead, hot = lot < 0.002, lot > 0.998
    warm = (lot > 0.997) & ~hot
    dark[hot] = filling * r.uniform(0.02, 1.1, int(hot.sum()))
    dark[warm] = current * r.uniform(5.0, 50.0, int(warm.sum()))
    flags = np.zeros(shape, np.uint32)
    flags[dead] = PIXEL["DO_NOT_USE"] | PIXEL["DEAD"]
    flags[hot] = PIXEL["DO_NOT_USE"] | PIXEL["HOT"]
    flags[warm] = PIXEL["WARM"]
    return flags, np.where(dead, 0.0, 1.0), dark


def _reset(shape: tuple[int, int], ngroups: int, r: np.random.Generator) -> np.ndarray:
    """Decay after a reset, of the first integration and of all later ones."""
    group = np.arange(min(RESET_GROUPS, ngroups), dtype=float)[:, None, None]
    size = 1 + 0.1 * r.standard_normal(shape)
    return np.stack([-70.0 * size * np.exp(-group / 2.5), -40.0 * size * np.exp(-group / 1.5)]).astype(np.float32)


def raw_header(head: dict[str, Any]) -> dict[str, Any]:
    """Metadata of an exposure of count rates as they come from the telescope: nothing is calibrated yet."""
    rest = {key: value for key, value in head.items() if not key.startswith("cal_step.") and key not in ("bunit_err", "exposure.gain_factor")}
    defaults = {"exposure.noutputs": 1, "exposure.drop_frames1": 0, "exposure.drop_frames3": 0}
    return defaults | rest | {"filetype": "raw", "bunit_data": "DN", "exposure.zero_frame": False, "exposure.frame_divisor": 1,
                              "exposure.data_problem": False}  # fmt: skip
