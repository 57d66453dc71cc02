"""What the WCS of a NIRSpec exposure is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from jwst_dask.wcs.build import Geometry, Recipe, needed
from jwst_dask.wcs.nirspec import slits
from jwst_dask.wcs.nirspec.optics import Setting
from jwst_dask.wcs.references import WcsReferences


def bright_object(model: Any, params: Mapping[str, Any]) -> Recipe:
    """Bright-object time series: the S1600A1 slit alone, one spectrum on each detector."""
    setting, pointing = setting_of(model), pointing_of(model)
    low, high = float(params["slit_y_low"]), float(params["slit_y_high"])

    def make(refs: WcsReferences) -> Geometry:
        return Geometry(*slits.assemble(setting, pointing, [slits.bright_object_slit(low, high)], refs))

    return Recipe((astuple(setting), astuple(pointing), low, high), make)


def setting_of(model: Any) -> Setting:
    """The metadata of an exposure that NIRSpec's optics depend on."""
    instrument, subarray = model.meta.instrument, model.meta.subarray
    detector, filter_wheel, grating = needed(model, "instrument.detector", "instrument.filter", "instrument.grating")
    return Setting(
        detector=detector,
        filter=filter_wheel,
        grating=grating,
        lamp_state=instrument.lamp_state or "NONE",
        exp_type=model.meta.exposure.type,
        gwa_xtilt=instrument.gwa_xtilt,
        gwa_ytilt=instrument.gwa_ytilt,
        gwa_tilt=instrument.gwa_tilt,
        velosys=model.meta.wcsinfo.velosys,
        xstart=1 if subarray.xstart is None else subarray.xstart,
        ystart=1 if subarray.ystart is None else subarray.ystart,
        lamp_mode=instrument.lamp_mode or "NONE",
    )


def pointing_of(model: Any) -> slits.Pointing:
    """Where an exposure points."""
    names = ("v2_ref", "v3_ref", "roll_ref", "ra_ref", "dec_ref")
    values = dict(zip(names, needed(model, *(f"wcsinfo.{name}" for name in names))))
    return slits.Pointing(**values, va_scale=model.meta.velocity_aberration.scale_factor)
