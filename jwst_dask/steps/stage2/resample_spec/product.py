"""What a product says about a resampled slit: metadata, attributes and static planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.steps.stage2.resample_spec.output import ARCSEC2, Output, sky_box

if TYPE_CHECKING:
    from jwst_dask.steps.stage2.resample_spec.step import ResampleSpecStep

KEPT = (
    "name", "xstart", "xsize", "ystart", "ysize", "slitlet_id", "shutter_id", "source_id", "source_name", "source_alias", "stellarity",
    "source_type", "ta_xpos", "ta_ypos", "source_xpos", "source_ypos", "shutter_state", "quadrant", "source_ra", "source_dec",
    "slit_xscale", "slit_yscale", "wavelength_corrected", "pathloss_correction_type", "barshadow_corrected",
)  # fmt: skip
"""Attributes that a resampled slit keeps: those with a keyword."""
PLANES = ("data", "err", "wht", "var_poisson", "var_rnoise", "var_flat")
IDENTITY = ("program_number", "observation_number", "visit_number", "visit_group", "sequence_id", "activity_id", "exposure_number")


def resampled(model: Any, made: Output, step: ResampleSpecStep) -> Any:
    """The model of a resampled slit: as `model` (which is left alone), with arrays of zeros in the shape of the output."""
    from jwst_dask.data.models import filled

    tree = {name: value for name, value in model.instance.items() if name in KEPT}
    tree |= {name: np.zeros(made.shape, np.float32) for name in PLANES}
    tree["con"] = np.zeros((1, *made.shape), np.int32)
    if step.propagate_dq:
        tree["dq"] = np.zeros(made.shape, np.uint32)
    _, _, waves = made.wcs.to_slit(np.arange(made.shape[1]), np.zeros(made.shape[1]))
    tree["wavelength"] = np.broadcast_to(waves.astype(np.float32), made.shape).copy()
    meta = {name: dict(value) if isinstance(value, dict) else value for name, value in model.instance["meta"].items()}
    meta["resample"] = {"pointings": 1, "pixel_scale_ratio": float(made.ratio), "pixfrac": step.pixfrac, "kernel": step.kernel,
                        "fillval": step.fillval, "weight_type": step.weight_type}  # fmt: skip
    _geometry(meta, made, waves)
    _exposure(meta)
    return filled(type(model), {"meta": meta, **tree})


def _geometry(meta: dict[str, Any], made: Output, waves: np.ndarray) -> None:
    photometry, wcsinfo = meta.setdefault("photometry", {}), meta.setdefault("wcsinfo", {})
    if made.area is None:
        photometry.pop("pixelarea_steradians", None)
        photometry.pop("pixelarea_arcsecsq", None)
    else:
        photometry |= {"pixelarea_steradians": made.area, "pixelarea_arcsecsq": made.area * ARCSEC2}
    wcsinfo.pop("spectral_region", None)
    if not made.wcs.on_sky:
        wcsinfo.pop("s_region", None)
        return
    wcsinfo["spectral_region"] = [float(np.nanmin(waves)), float(np.nanmax(waves))]
    if (region := sky_box(made.wcs, made.shape)) is not None:  # type: ignore[arg-type]
        wcsinfo["s_region"] = region


def _exposure(meta: dict[str, Any]) -> None:
    """Times and identity of the one exposure in the result."""
    exposure, background, observation = (meta.setdefault(name, {}) for name in ("exposure", "background", "observation"))
    seconds, duration = float(exposure.get("exposure_time") or 0.0), float(exposure.get("duration") or 0.0)
    exposure |= {"exposure_time": seconds, "effective_exposure_time": seconds, "duration": duration, "elapsed_exposure_time": duration}
    for name in ("level", "subtracted"):
        background.pop(name, None)
    if not background:
        del meta["background"]
    parts = [observation.get(name) for name in IDENTITY]
    if None not in parts:
        meta["group_id"] = "jw{}{}{}_{}{}{}_{}".format(*parts)
