"""Which pipelines an exposure type gets (pipeline documents: "Pipeline Modules"), and the names pipelines go by."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from jwst_dask.core.errors import ParameterError

if TYPE_CHECKING:
    from jwst_dask.core.pipeline import Pipeline

_D1, _T1, _DARK, _GUIDE = "calwebb_detector1", "calwebb_tso1", "calwebb_dark", "calwebb_guider"
_I2, _S2, _TI2, _TS2 = "calwebb_image2", "calwebb_spec2", "calwebb_tso-image2", "calwebb_tso-spec2"
_I3, _S3, _T3, _C3, _A3 = "calwebb_image3", "calwebb_spec3", "calwebb_tso3", "calwebb_coron3", "calwebb_ami3"
_ROWS: list[tuple[str, tuple[str | None, str | None, str | None]]] = [
    ("FGS_IMAGE MIR_IMAGE NRC_IMAGE NIS_IMAGE", (_D1, _I2, _I3)),
    ("FGS_FOCUS MIR_TACQ MIR_TACONFIRM NRC_TACQ NRC_TACONFIRM NRC_FOCUS NIS_TACQ NIS_TACONFIRM NIS_FOCUS NRS_IMAGE NRS_TACQ NRS_TACONFIRM "
     "NRS_BOTA NRS_TASLIT NRS_CONFIRM NRS_FOCUS NRS_MIMF NRS_WATA NRS_VERIFY NRS_MSATA MIR_CORONCAL", (_D1, _I2, None)),
    ("FGS_DARK MIR_DARK MIR_DARKIMG MIR_DARKMRS NRC_DARK NIS_DARK NRS_DARK MIR_DARKALL", (_DARK, None, None)),
    ("FGS_SKYFLAT FGS_INTFLAT MIR_FLATIMAGE MIR_FLATMRS MIR_FLATIMAGE-EXT MIR_FLATMRS-EXT NRC_FLAT NRC_LED NIS_LAMP NIS_EXTCAL", (_D1, None, None)),
    ("NRS_AUTOWAVE NRS_AUTOFLAT NRS_LAMP", (_D1, _S2, None)),
    ("MIR_MRS MIR_LRS-FIXEDSLIT NRC_WFSS NRC_GRISM NIS_WFSS MIR_WFSS NRS_FIXEDSLIT NRS_IFU NRS_MSASPEC", (_D1, _S2, _S3)),
    ("MIR_LRS-SLITLESS NRC_TSGRISM NIS_SOSS NRS_BRIGHTOBJ", (_T1, _S2, _T3)),
    ("NRC_TSIMAGE", (_T1, _I2, _T3)),
    ("MIR_LYOT MIR_4QPM NRC_CORON", (_D1, _I2, _C3)),
    ("NIS_AMI", (_D1, _I2, _A3)),
    ("FGS_ID-IMAGE FGS_ID-STACK FGS_ACQ1 FGS_ACQ2 FGS_TRACK FGS_FINEGUIDE", (_GUIDE, None, None)),
]  # fmt: skip

PIPELINES_BY_EXP_TYPE: dict[str, tuple[str | None, str | None, str | None]] = {
    exp_type: stages for types, stages in _ROWS for exp_type in types.split()
}
"""EXP_TYPE -> (stage 1, stage 2, stage 3); None where the documents say N/A."""

BUILT = {
    "calwebb_detector1": "jwst_dask.pipelines.stage1:DETECTOR1",
    "calwebb_tso1": "jwst_dask.pipelines.stage1:TSO1",
    "calwebb_dark": "jwst_dask.pipelines.stage1:DARK",
    "calwebb_guider": "jwst_dask.pipelines.stage1:GUIDE",
    "calwebb_spec2": "jwst_dask.pipelines.stage2:SPEC2",
    "calwebb_tso-spec2": "jwst_dask.pipelines.stage2:TSO_SPEC2",
    "calwebb_tso3": "jwst_dask.pipelines.stage3:TSO3",
}
ALIASES = {"Detector1Pipeline": "calwebb_detector1", "DarkPipeline": "calwebb_dark", "GuiderPipeline": "calwebb_guider",
           "detector1": "calwebb_detector1", "tso1": "calwebb_tso1", "dark": "calwebb_dark", "guider": "calwebb_guider",
           "Spec2Pipeline": "calwebb_spec2", "Tso3Pipeline": "calwebb_tso3", "spec2": "calwebb_spec2", "tso3": "calwebb_tso3",
           "tso-spec2": "calwebb_tso-spec2"}  # fmt: skip


def pipeline(name: str) -> Pipeline:
    """A pipeline by alias, class name or old ``.cfg`` name.

    Raises
    ------
    ParameterError
        For a name that is unknown, or known to the documents but not built yet.
    """
    short = name.removesuffix(".cfg").removesuffix(".asdf").removeprefix("jwst.pipeline.").removeprefix("jwst_dask.")
    short = ALIASES.get(short, short)
    if short in BUILT:
        module, attribute = BUILT[short].split(":")
        return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
    known = {stage for stages in PIPELINES_BY_EXP_TYPE.values() for stage in stages if stage}
    if short in known:
        raise ParameterError(f"{name}: this pipeline is not available in this version; there are {', '.join(BUILT)}")
    raise ParameterError(f"{name!r} is not a pipeline; there are {', '.join((*BUILT, *ALIASES))}")


def stage_for(exp_type: str, suffix: str) -> str | None:
    """The pipeline that takes an exposure of this type with this product suffix (``uncal``, ``rate``, ``cal``, ...), None for N/A."""
    level = {"uncal": 0, "rate": 1, "rateints": 1, "cal": 2, "calints": 2, "crf": 2, "crfints": 2}.get(suffix)
    stages = PIPELINES_BY_EXP_TYPE.get(exp_type)
    return None if level is None or stages is None else stages[level]
