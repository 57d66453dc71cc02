"""`calwebb_tso3`: outliers per segment; for spectra extraction, one level-3 product and a white-light catalogue; for images photometry."""

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

_after = SPECTROSCOPY.index("extract_1d") + 1
SOSS = (*SPECTROSCOPY[:_after], "photom", *SPECTROSCOPY[_after:])
IMAGING = (*SPECTROSCOPY[:2], "tso_photometry", Product("phot", "phot", extension=".ecsv", level3=True))

ORDERS = {
    "NRS_BRIGHTOBJ": SPECTROSCOPY,
    "MIR_LRS-SLITLESS": SPECTROSCOPY,
    "NRC_TSGRISM": SPECTROSCOPY,
    "NIS_SOSS": SOSS,
    "NRC_TSIMAGE": IMAGING,
    "MIR_IMAGE": IMAGING,
}
"""Step order by EXP_TYPE."""

TSO3 = Pipeline(
    alias="calwebb_tso3",
    class_name="Tso3Pipeline",
    pars="pars-tso3pipeline",
    orders=ORDERS,
    working=("NRS_BRIGHTOBJ", "MIR_LRS-SLITLESS"),
    level=3,
)
