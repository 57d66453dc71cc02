"""`calwebb_tso3` for spectroscopy: outliers per segment, extraction, one level-3 product and one white-light catalogue."""

from __future__ import annotations

from jwst_dask.core.pipeline import Pipeline, Product

SPECTROSCOPY = (
    "outlier_detection",
    Product("crf", "crfints", needs="outlier_detection"),
    "adaptive_trace_model",
    "pixel_replace",
    "extract_1d",
    Product("x1d", "x1dints", spectra=True, level3=True),
    "white_light",
    Product("whtlt", "whtlt", extension=".ecsv", level3=True),
)

TSO3 = Pipeline(
    alias="calwebb_tso3",
    class_name="Tso3Pipeline",
    pars="pars-tso3pipeline",
    orders={"NRS_BRIGHTOBJ": SPECTROSCOPY, "MIR_LRS-SLITLESS": SPECTROSCOPY},
    level=3,
)
