"""`calwebb_detector1`, its time-series configuration, `calwebb_dark` and `calwebb_guider`: step orders by instrument."""

from __future__ import annotations

from jwst_dask.core.pipeline import Pipeline, Product
from jwst_dask.core.step import param
from jwst_dask.pipelines.table import PIPELINES_BY_EXP_TYPE

RAMP, RATE = (Product("ramp", "ramp"),), (Product("rateints", "rateints", needs="ramp_fit"), Product("rate", "rate", needs="ramp_fit"))
NIR = ("group_scale", "dq_init", "saturation", "ipc", "superbias", "refpix", "linearity", "dark_current")
MIRI = ("group_scale", "dq_init", "emicorr", "saturation", "ipc", "firstframe", "lastframe", "reset", "linearity", "rscd", "dark_current", "refpix")
RATES = ("charge_migration", "jump", "picture_frame", "clean_flicker_noise", "persistence", *RAMP, "ramp_fit", "gain_scale", *RATE, *RAMP)

DARK_NIR = (*NIR[: NIR.index("dark_current")], Product("dark", "dark"))
DARK_MIRI = (*MIRI[: MIRI.index("dark_current")], Product("dark", "dark"))
GUIDER = ("dq_init", "guider_cds", "flat_field", Product("cal", "cal"))


def _orders(nir: tuple[str | Product, ...], miri: tuple[str | Product, ...], *pipelines: str) -> dict[str, tuple[str | Product, ...]]:
    """Step order by EXP_TYPE, of the types that get one of these pipelines (or whose stage 1 is as theirs)."""
    return {t: miri if t.startswith("MIR_") else nir for t, stages in PIPELINES_BY_EXP_TYPE.items() if stages[0] in pipelines}


DETECTOR1 = Pipeline(
    alias="calwebb_detector1",
    class_name="Detector1Pipeline",
    pars="pars-detector1pipeline",
    orders=_orders((*NIR, *RATES), (*MIRI, *RATES), "calwebb_detector1", "calwebb_tso1", "calwebb_dark"),
    parameters={"save_calibrated_ramp": param(False, "Save the corrected ramps before they are fitted")},
    settings={},
    level=1,
)

TSO1 = DETECTOR1.configured(
    "calwebb_tso1",
    {alias: {"skip": True} for alias in ("ipc", "firstframe", "lastframe", "rscd", "charge_migration", "persistence")},
)
"""For time series; the documents leave out steps that would treat the first or last groups, or the first integration, otherwise."""

DARK = Pipeline(
    alias="calwebb_dark",
    class_name="DarkPipeline",
    pars="pars-darkpipeline",
    orders=_orders(DARK_NIR, DARK_MIRI, "calwebb_detector1", "calwebb_tso1", "calwebb_dark"),
    parameters={},
    settings={},
    level=1,
)

GUIDE = Pipeline(
    alias="calwebb_guider",
    class_name="GuiderPipeline",
    pars="pars-guiderpipeline",
    orders=_orders(GUIDER, GUIDER, "calwebb_guider"),
    parameters={},
    settings={},
    level=1,
)
