"""Every step by its alias. ``steps.flat_field`` is callable on a dataset (lazy), and has ``.run`` and ``.call`` for files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jwst_dask.core.errors import ParameterError

if TYPE_CHECKING:
    from jwst_dask.core.calls import StepCall
    from jwst_dask.core.step import Step

STEPS: dict[str, str] = {
    "group_scale": "jwst_dask.steps.stage1.group_scale:GroupScaleStep",
    "dq_init": "jwst_dask.steps.stage1.dq_init:DQInitStep",
    "emicorr": "jwst_dask.steps.stage1.emicorr:EmiCorrStep",
    "saturation": "jwst_dask.steps.stage1.saturation:SaturationStep",
    "ipc": "jwst_dask.steps.stage1.ipc:IPCStep",
    "superbias": "jwst_dask.steps.stage1.superbias:SuperBiasStep",
    "refpix": "jwst_dask.steps.stage1.refpix:RefPixStep",
    "firstframe": "jwst_dask.steps.stage1.firstframe:FirstFrameStep",
    "lastframe": "jwst_dask.steps.stage1.lastframe:LastFrameStep",
    "reset": "jwst_dask.steps.stage1.reset:ResetStep",
    "linearity": "jwst_dask.steps.stage1.linearity:LinearityStep",
    "rscd": "jwst_dask.steps.stage1.rscd:RscdStep",
    "dark_current": "jwst_dask.steps.stage1.dark_current:DarkCurrentStep",
    "charge_migration": "jwst_dask.steps.stage1.charge_migration:ChargeMigrationStep",
    "jump": "jwst_dask.steps.stage1.jump:JumpStep",
    "picture_frame": "jwst_dask.steps.stage1.picture_frame:PictureFrameStep",
    "persistence": "jwst_dask.steps.stage1.persistence:PersistenceStep",
    "ramp_fit": "jwst_dask.steps.stage1.ramp_fit:RampFitStep",
    "gain_scale": "jwst_dask.steps.stage1.gain_scale:GainScaleStep",
    "guider_cds": "jwst_dask.steps.stage1.guider_cds:GuiderCdsStep",
    "assign_wcs": "jwst_dask.steps.stage2.assign_wcs:AssignWcsStep",
    "extract_2d": "jwst_dask.steps.stage2.extract_2d:Extract2dStep",
    "as_slit": "jwst_dask.steps.stage2.lrs:AsSlitStep",
    "srctype": "jwst_dask.steps.stage2.srctype:SourceTypeStep",
    "wavecorr": "jwst_dask.steps.stage2.wavecorr:WavecorrStep",
    "flat_field": "jwst_dask.steps.stage2.flat_field:FlatFieldStep",
    "photom": "jwst_dask.steps.stage2.photom:PhotomStep",
    "pixel_replace": "jwst_dask.steps.stage2.pixel_replace:PixelReplaceStep",
    "msa_flagging": "jwst_dask.steps.stage2.msa_flagging:MSAFlagOpenStep",
    "master_background_mos": "jwst_dask.steps.stage2.master_background_mos:MasterBackgroundMosStep",
    "clean_flicker_noise": "jwst_dask.steps.stage2.clean_flicker_noise:CleanFlickerNoiseStep",
    "imprint_subtract": "jwst_dask.steps.stage2.imprint_subtract:ImprintStep",
    "bkg_subtract": "jwst_dask.steps.stage2.bkg_subtract:BackgroundStep",
    "barshadow": "jwst_dask.steps.stage2.barshadow:BarShadowStep",
    "pathloss": "jwst_dask.steps.stage2.pathloss:PathlossStep",
    "resample_spec": "jwst_dask.steps.stage2.resample_spec:ResampleSpecStep",
    "extract_1d": "jwst_dask.steps.stage2.extract_1d:Extract1dStep",
    "outlier_detection": "jwst_dask.steps.stage3.outlier_detection:OutlierDetectionStep",
    "white_light": "jwst_dask.steps.stage3.white_light:WhiteLightStep",
    "combine_1d": "jwst_dask.steps.stage3.combine_1d:Combine1dStep",
}
"""Alias -> module:class, imported when first used."""


def step_class(alias: str) -> type[Step]:
    """The class of a step.

    Raises
    ------
    ParameterError
        For an alias that is not a step.
    """
    from jwst_dask.steps.absent import TABLE, absent_class

    if alias in STEPS:
        module, name = STEPS[alias].split(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    if alias in TABLE:
        return absent_class(alias)
    raise ParameterError(f"there is no step {alias!r}; the steps are {', '.join(sorted((*STEPS, *TABLE)))}")


def __getattr__(name: str) -> StepCall:
    from jwst_dask.steps.absent import TABLE

    if name in STEPS or name in TABLE:
        from jwst_dask.core.calls import StepCall

        return StepCall(name)
    raise AttributeError(f"module 'jwst_dask.steps' has no step {name!r}")


def __dir__() -> list[Any]:
    return sorted(STEPS)
