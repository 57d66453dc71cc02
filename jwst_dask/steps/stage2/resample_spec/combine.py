"""Drizzle the arrays of cut-outs onto one grid.

Source: Fruchter & Hook (2002), PASP 114, 144, as the ``drizzle`` library carries it out; JWST documentation, resample: weights,
variances and errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jwst_dask.data.dq import DO_NOT_USE, PIXEL

UNUSED = np.uint32(PIXEL["DO_NOT_USE"] | PIXEL["NON_SCIENCE"])
VARIANCES = ("var_rnoise", "var_flat", "var_poisson")
FLOATS = ("sci", "err", "var_rnoise", "var_poisson", "var_flat")


@dataclass(frozen=True)
class Drawing:
    """How drizzling is done.

    Attributes
    ----------
    shape : (int, int)
        Of the output (rows, columns).
    pixfrac, kernel, fillval : float, str, str
        As the parameters of the step.
    weight_type : str
        ``ivm`` (1 / VAR_RNOISE) or ``exptime``.
    ratio : float
        Input row height over output row height.
    propagate_dq : bool
        Whether flags are combined.
    images : int
        Number of cut-outs.
    """

    shape: tuple[int, int]
    pixfrac: float = 1.0
    kernel: str = "square"
    fillval: str = "NAN"
    weight_type: str = "ivm"
    ratio: float = 1.0
    propagate_dq: bool = False
    images: int = 1


@dataclass(frozen=True)
class Cutout:
    """One input: its pixels, and where they go.

    Attributes
    ----------
    arrays : mapping
        ``sci err dq var_poisson var_rnoise var_flat`` [y, x], bad pixels marked by `mark_bad`.
    pixmap : float64[y, x, 2]
        Output column and row of each pixel.
    window : (int, int, int, int)
        First and last column, first and last row that are drawn.
    exposure_time, weight : float
        Seconds; weight of a pixel when weights are exposure times.
    scale : float
        Factor of the pixel values.
    """

    arrays: Mapping[str, np.ndarray]
    pixmap: np.ndarray
    window: tuple[int, int, int, int]
    exposure_time: float
    weight: float
    scale: float = 1.0


def mark_bad(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Copies of the arrays in which what is NaN in one, or flagged DO_NOT_USE, is NaN and DO_NOT_USE in all."""
    shape = arrays["sci"].shape
    same = {name: arrays[name] for name in (*FLOATS, "dq") if name in arrays and arrays[name].shape == shape}
    bad = np.zeros(shape, bool)
    for name, array in same.items():
        bad |= (array & DO_NOT_USE) != 0 if name == "dq" else np.isnan(array)
    out = {}
    for name, array in same.items():
        out[name] = np.where(bad, array | DO_NOT_USE, array) if name == "dq" else np.where(bad, np.float32(np.nan), array)
    return out


def weights(cutout: Cutout, weight_type: str) -> np.ndarray:
    """Weight of every pixel (float32[y, x]): zero where it is not to be used."""
    good = (cutout.arrays["dq"] & UNUSED) == 0
    if weight_type == "exptime":
        return np.where(good, np.float32(cutout.weight), np.float32(0))
    variance = cutout.arrays.get("var_rnoise")
    if variance is None:
        return good.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = 1 / variance
    return np.where(good & np.isfinite(inverse), inverse, np.float32(0)).astype(np.float32)


@dataclass
class Canvas:
    """The output while cut-outs are added to it."""

    drawing: Drawing
    _sums: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    _image: Any = None

    def __post_init__(self) -> None:
        from drizzle.resample import Drizzle

        drawing = self.drawing
        self._image = Drizzle(kernel=drawing.kernel, fillval=drawing.fillval, out_shape=drawing.shape, max_ctx_id=drawing.images - 1)
        for name in VARIANCES:
            self._sums[name] = (np.full(drawing.shape, np.nan, np.float32), np.zeros(drawing.shape, np.float32))

    def add(self, cutout: Cutout) -> None:
        """Draw one cut-out: its pixels, and with the same weights its variances."""
        weight = weights(cutout, self.drawing.weight_type)
        x0, x1, y0, y1 = cutout.window
        settings = {
            "exptime": cutout.exposure_time, "pixmap": cutout.pixmap, "iscale": cutout.scale, "weight_map": weight,
            "pixel_scale_ratio": self.drawing.ratio, "pixfrac": self.drawing.pixfrac, "xmin": x0, "xmax": x1, "ymin": y0, "ymax": y1,
        }  # fmt: skip
        flags = {"dq": cutout.arrays["dq"]} if self.drawing.propagate_dq else {}
        self._image.add_image(cutout.arrays["sci"], **flags, **settings)
        drawn = {name: self._variance(cutout.arrays[name], settings) for name in VARIANCES if name in cutout.arrays}
        if not drawn:
            return
        weight = self._variance_weight(drawn.get("var_rnoise"), cutout.weight)
        for name, variance in drawn.items():
            total, count = self._sums[name]
            mask = (variance >= 0) & np.isfinite(variance) & (weight > 0)
            with np.errstate(over="ignore"):
                added = variance[mask] * weight[mask] * weight[mask]
                total[mask] = np.nansum([total[mask], added], axis=0)
            count[mask] += weight[mask]

    def _variance(self, variance: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
        """The variance on the grid: standard deviations are drawn, as they overlap like the pixels do."""
        from drizzle.resample import Drizzle

        image = Drizzle(kernel=self.drawing.kernel, fillval=np.nan, out_shape=self.drawing.shape, disable_ctx=True)
        with np.errstate(invalid="ignore"):
            image.add_image(np.sqrt(variance), **settings)
        return np.asarray(image.out_img**2)

    def _variance_weight(self, read_noise: np.ndarray | None, exposure: float) -> np.ndarray:
        """Weight of one cut-out's variances among others' (float64[y, x])."""
        if self.drawing.weight_type == "exptime":
            return np.full(self.drawing.shape, exposure)
        weight = np.zeros(self.drawing.shape)
        if read_noise is not None:
            mask = (read_noise > 0) & np.isfinite(read_noise)
            weight[mask] = np.reciprocal(read_noise[mask])
        return weight

    def finish(self) -> dict[str, np.ndarray]:
        """The arrays ``sci wht con err var_rnoise var_flat var_poisson`` (and ``dq``), [y, x]; ``con``: int32[plane, y, x]."""
        out = {"sci": self._image.out_img, "wht": self._image.out_wht, "con": self._image.out_ctx}
        if self.drawing.propagate_dq:
            out["dq"] = self._image.out_dq
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, (total, weight) in self._sums.items():
                out[name] = (total * self.drawing.ratio / weight / weight).astype(np.float32)
            parts = np.stack([out[name] for name in VARIANCES])
            err = np.sqrt(np.nansum(parts, axis=0))
        err[np.isnan(parts).all(axis=0)] = np.nan
        return {**out, "err": err}
