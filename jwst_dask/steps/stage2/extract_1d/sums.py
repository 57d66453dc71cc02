"""From a prepared state to the sums of a block: picks the kernel and lays out its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.kernels.extract import BKG_FLAT, FLAT, MEDIAN, NO_FIT, NSUMS, POLYNOMIAL, box_background_sums, box_sums
from jwst_dask.kernels.extract_profile import profile_sums

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block

PLANES = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")


def powers(n: int, order: int) -> np.ndarray:
    """Polynomial terms (float64[across, order + 1]) of the coordinate that runs from -1 to 1 over `n` pixels; order -1: none."""
    return np.linspace(-1, 1, n)[:, None] ** np.arange(order + 1)


class Extractor:
    """The extraction that a state describes (see `jwst_dask.steps.stage2.extract_1d.prepare`), ready for blocks."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.horizontal, self.smoothing = bool(state["horizontal"]), int(state["smoothing"])
        self.optimal, order, fit = bool(state["optimal"]), int(state["order"]), int(state["fit"])
        self.save_scene, self.save_residual = bool(state["save_scene"]), bool(state["save_residual"])
        profiles, region = np.array(state["profiles"]), np.array(state["region"])  # copies: kernels want them writable
        self.profile, self.fit, self.lo = profiles[0], fit, 0
        self.nk = profiles.shape[2] if self.horizontal else profiles.shape[1]
        turn = (0, 2, 1) if self.horizontal else (0, 1, 2)
        self.profiles = np.ascontiguousarray(profiles.transpose(turn))
        self.region = np.ascontiguousarray(region.transpose(turn)[0]) if len(region) else np.zeros_like(self.profiles[0])
        self.basis = powers(self.profiles.shape[2], order if self.optimal or fit == POLYNOMIAL else 0)
        self.simple = not self.optimal and fit == NO_FIT and not (self.save_scene or self.save_residual)
        if not (self.optimal or self.save_scene or self.save_residual):
            used = np.flatnonzero(((self.profiles[0] != 0) | (self.region != 0)).any(axis=0))
            self.lo, hi = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
            self.profiles, self.region = (np.ascontiguousarray(a[..., self.lo : hi]) for a in (self.profiles, self.region))
            self.basis = np.ascontiguousarray(self.basis[self.lo : hi])
        self.images: dict[str, np.ndarray] = {}

    def make_images(self, block: Block) -> None:
        """Allocate the scene and residual arrays of a block, where they are wanted."""
        shape = block.arrays["sci"].shape
        for name, wanted in (("scene_model", self.save_scene), ("residual", self.save_residual)):
            self.images[name] = np.zeros(shape if wanted else (0, *shape[1:]), dtype=np.float32)
            if wanted:
                block.arrays[name] = self.images[name]

    def sums(self, block: Block, lo: int, hi: int) -> np.ndarray:
        """Sums (float64[integration, 9, along]) of integrations `lo` to `hi` of the block."""
        sci = block.arrays["sci"][lo:hi]
        planes = [_plane(block, name, lo, hi) for name in PLANES]
        out = np.empty((len(sci), NSUMS, self.nk))
        scene, residual = (image[lo:hi] for image in (self.images["scene_model"], self.images["residual"]))
        if self.simple:
            box_sums(*planes, self.profile, self.horizontal, out)
        elif self.optimal:
            profile_sums(*planes, self.profiles, self.region, self.basis, self.horizontal, out, scene, residual)
        else:
            box_background_sums(*planes, self.profiles[0], self.region, self.basis, self.fit, self.smoothing, self.horizontal,
                                self.lo, out, scene, residual)  # fmt: skip
        if not _has(block, "var_flat"):  # no variance at all, not even where pixels are missing
            out[:, [FLAT, BKG_FLAT]] = np.where(np.isnan(out[:, [FLAT, BKG_FLAT]]), 0.0, out[:, [FLAT, BKG_FLAT]])
        return out


def _has(block: Block, name: str) -> bool:
    return name in block.arrays and block.arrays[name].shape == block.arrays["sci"].shape


def _plane(block: Block, name: str, lo: int, hi: int) -> np.ndarray:
    """One array of a block; zeros for what the exposure does not have."""
    if _has(block, name):
        return block.arrays[name][lo:hi]
    return np.zeros(block.arrays["sci"][lo:hi].shape, dtype=np.uint32 if name == "dq" else np.float32)


__all__ = ["MEDIAN", "NO_FIT", "POLYNOMIAL", "Extractor", "powers"]
