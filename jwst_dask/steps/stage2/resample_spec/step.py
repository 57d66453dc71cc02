"""The step resample_spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import BlockStep, Skip, State, param

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

SLITS = ("NRS_FIXEDSLIT", "NRS_MSASPEC")
LAMPS = ("NRS_AUTOWAVE", "NRS_LAMP")
LAMP_MODES = ("msaspec", "fixedslit", "brightobj")
OTHERS = ("MIR_LRS-FIXEDSLIT",)
"""Exposure types that the reference resamples and this version does not."""


def is_line_lamp(meta: Mapping[str, Any]) -> bool:
    """Whether an exposure (flat metadata) is one of slits lit by a lamp with lines."""
    lamp = str(meta.get("instrument.lamp_state") or "").lower()
    mode = str(meta.get("instrument.lamp_mode") or "").lower()
    return str(meta.get("exposure.type") or "").upper() in LAMPS and mode in LAMP_MODES and lamp[:3] in ("lin", "ref")


@dataclass(frozen=True, kw_only=True)
class ResampleSpecStep(BlockStep):
    """Drizzle a slit onto a grid: rows of equal height along a straight line on the sky, one wavelength a column.

    Makes float32[y, x] ``sci err wht var_poisson var_rnoise var_flat``, int32[1, y, x] ``con`` (uint32 ``dq`` with `propagate_dq`) and
    ``wavelength``. Applies to NIRSpec slits on the sky and to slits with a line lamp, whose grid is in the plane of the MSA.
    Reference types: none. With one exposure, `single`, `blendheaders` and `in_memory` change nothing.

    Raises
    ------
    InputError
        Without a WCS.
    ParameterError
        For an `output_wcs` or `weight_type` that cannot be used.

    Source: JWST documentation, resample_spec.
    """

    alias: ClassVar[str] = "resample_spec"
    cal_step: ClassVar[str] = "resample"
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "wht", "con", "dq", "var_poisson", "var_rnoise", "var_flat")

    pixfrac: float = param(1.0, "Fraction by which pixels are shrunk before they are drawn", low=0.0, high=1.0)
    kernel: str = param("square", "Shape of the drawn pixels", choices=("square", "point"))
    fillval: str = param("NAN", "Value of output pixels that nothing is drawn on")
    weight_type: str | None = param("ivm", "Weights: inverse read-noise variance, or exposure time", choices=("ivm", "exptime"))
    output_shape: tuple[int, ...] | None = param(None, "Columns and rows of the output, with output_wcs", kind="ints")
    pixel_scale_ratio: float = param(1.0, "Input row height over output row height")
    pixel_scale: float | None = param(None, "Row height of the output", unit="arcsec", kind="float")
    output_wcs: str | None = param(None, "ASDF file with the WCS of a resampled slit, to resample onto", kind="str")
    single: bool = param(False, "Resample each input to a grid of its own")
    blendheaders: bool = param(True, "Blend metadata of the inputs")
    in_memory: bool = param(True, "Keep images in memory")
    propagate_dq: bool = param(False, "Combine the flags of the pixels that are drawn")

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """As `Step.applies`.

        Raises
        ------
        InputError
            For an exposure type that the reference implementation resamples and this version does not.
        """
        if (why := super().applies(meta)) is not None:
            return why
        exp_type = str(meta.get("exposure.type") or "").upper()
        if exp_type in OTHERS:
            raise InputError(f"{meta.get('filename', 'input')}: step {self.alias} is not available for EXP_TYPE {exp_type} in this version; "
                             f"turn it off with --steps.{self.alias}.skip=true")  # fmt: skip
        return None if exp_type in SLITS or is_line_lamp(meta) else Skip(f"not for EXP_TYPE {exp_type}")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        from jwst_dask.steps.stage2.resample_spec.combine import mark_bad
        from jwst_dask.steps.stage2.resample_spec.footprint import footprint
        from jwst_dask.steps.stage2.resample_spec.output import Wanted, output, pixel_map, window
        from jwst_dask.steps.stage2.resample_spec.product import resampled

        self._check()
        model = draft.model
        if model.data.ndim != 2:
            return Skip("integrations are not resampled")
        if draft.wcs is None or draft.first is None:
            raise InputError(f"{draft.path} has no WCS of a slit; run assign_wcs and extract_2d before resample_spec")
        slit = footprint(draft.wcs)
        shape = draft.shape
        rows, columns = (slice(int(max(a[0, 0], 0)), int(a[-1, -1]) + 1) for a in (slit.y, slit.x))
        sci = mark_bad({name: array[0] for name, array in draft.first().arrays.items()})["sci"][rows, columns]
        area = getattr(model.meta.photometry, "pixelarea_steradians", None)
        wanted = Wanted(self.pixel_scale_ratio, self.pixel_scale, self.output_shape, self.output_wcs or "")
        try:
            made = output([slit], sci, area, wanted)
        except InputError as error:
            return Skip(f"{error}")
        pixmap = pixel_map(slit, made.planes[0], made.wcs, shape)
        state = {
            "pixmap": pixmap,
            "window": np.array(window(slit, shape)),
            "shape": np.array(made.shape),
            "ratio": made.ratio,
            **_times(model),
        }
        state["scale"] = 1.0 / made.ratio if area and is_flux_density(model.meta.bunit_data) else 1.0
        state["level"] = _background(model)
        draft.model, draft.wcs = resampled(model, made, self), made.wcs
        return state

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        from jwst_dask.steps.stage2.resample_spec.combine import Canvas, Cutout, Drawing, mark_bad

        arrays = mark_bad({name: array[0] for name, array in block.arrays.items()})
        if level := float(state["level"]):
            arrays["sci"] = (arrays["sci"] - level).astype(np.float32)
        shape = tuple(int(n) for n in state["shape"])
        ratio = float(state["ratio"])
        drawing = Drawing(shape, self.pixfrac, self.kernel, self.fillval, str(self.weight_type), ratio, self.propagate_dq)  # type: ignore[arg-type]
        x0, x1, y0, y1 = (int(n) for n in state["window"])
        canvas = Canvas(drawing)
        canvas.add(
            Cutout(arrays, state["pixmap"], (x0, x1, y0, y1), float(state["exposure"]), float(state["weight"]), float(state["scale"]))
        )
        made = canvas.finish()
        block.arrays = {name: array if name == "con" else array[None] for name, array in made.items()}
        return block

    def _check(self) -> None:
        if self.weight_type not in ("ivm", "exptime"):
            raise ParameterError("resample_spec.weight_type: None is not one of ivm, exptime")
        if self.output_shape is not None and (len(self.output_shape) != 2 or min(self.output_shape) < 1):
            raise ParameterError(f"resample_spec.output_shape: {self.output_shape} is not a number of columns and a number of rows")
        if self.pixel_scale_ratio <= 0 or (self.pixel_scale is not None and self.pixel_scale <= 0):
            raise ParameterError("resample_spec.pixel_scale_ratio and pixel_scale must be positive")


def is_flux_density(unit: str | None) -> bool:
    """Whether values in this unit are fluxes, not surface brightnesses."""
    from astropy import units as u

    from jwst_dask.core.memo import memo

    def check() -> bool:
        try:
            return bool(u.Unit(unit).is_equivalent(u.Jy))
        except (ValueError, TypeError):
            return False

    return memo(("flux density", unit), check)


def _times(model: Any) -> dict[str, float]:
    exposure = model.meta.exposure
    seconds = float(exposure.exposure_time or 0.0)
    return {"exposure": seconds, "weight": seconds if exposure.measurement_time is None else float(exposure.measurement_time)}


def _background(model: Any) -> float:
    """Sky level that was measured and not subtracted."""
    background = model.instance["meta"].get("background") or {}
    level = background.get("level")
    return 0.0 if level is None or background.get("subtracted") else float(level)
