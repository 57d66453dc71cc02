"""`calwebb_spec2`: the step table and orders of the pipeline documents, per family of exposure types."""

from __future__ import annotations

from jwst_dask.core.pipeline import Pipeline, Product
from jwst_dask.core.step import param

HEAD = ("assign_wcs", "badpix_selfcal", "msa_flagging", "clean_flicker_noise", "imprint_subtract", "bkg_subtract")
CAL = (Product("cal", "calints"),)
TAIL = ("adaptive_trace_model", "pixel_replace", "resample_spec", "cube_build", "extract_1d", Product("x1d", "x1dints", spectra=True))

NRS_SLITS = (*HEAD, "extract_2d", "srctype", "master_background_mos", "wavecorr", "flat_field", "pathloss", "barshadow", "photom", *CAL, *TAIL)
NRS_MANY = (*NRS_SLITS[: NRS_SLITS.index("adaptive_trace_model")], "adaptive_trace_model", "pixel_replace", "resample_spec",
            Product("s2d", "s2d", needs="resample_spec"), "extract_1d", TAIL[-1])  # fmt: skip
MIRI_LRS = (*HEAD, "as_slit", "srctype", "targ_centroid", "straylight", "flat_field", "fringe", "pathloss", "barshadow", "photom",
            "residual_fringe", *CAL, *TAIL)  # fmt: skip

GRISM = (*HEAD, "flat_field", "extract_2d", "srctype", "straylight", "fringe", "pathloss", "barshadow", "wfss_contam", "photom", *CAL, *TAIL)
SOSS = (*HEAD, "srctype", "flat_field", "straylight", "fringe", "pathloss", "barshadow", *CAL, *TAIL[:-1], "photom", TAIL[-1])

ORDERS = {
    "NRS_BRIGHTOBJ": NRS_SLITS,
    "NRS_MSASPEC": NRS_MANY,
    "NRS_FIXEDSLIT": NRS_MANY,
    "NRS_LAMP": NRS_MANY,
    "NRS_AUTOWAVE": NRS_MANY,
    "NRS_AUTOFLAT": NRS_MANY,
    "MIR_LRS-SLITLESS": MIRI_LRS,
    "NRC_TSGRISM": GRISM,
    "NIS_SOSS": SOSS,
}
"""Step order by EXP_TYPE."""

WORKING = ("NRS_BRIGHTOBJ", "MIR_LRS-SLITLESS", "NRS_MSASPEC", "NRS_FIXEDSLIT", "NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT")
"""Exposure types that this version carries out."""

UNRECORDED = {
    "NRS_BRIGHTOBJ": ("master_background_mos", "resample_spec", "cube_build"),
    "MIR_LRS-SLITLESS": ("resample_spec", "cube_build"),
    **dict.fromkeys(("NRS_FIXEDSLIT", "NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT"), ("master_background_mos",)),
}
"""Steps that the reference implementation does not even call for an exposure type (no status keyword)."""

SPEC2 = Pipeline(
    alias="calwebb_spec2",
    class_name="Spec2Pipeline",
    pars="pars-spec2pipeline",
    orders=ORDERS,
    working=WORKING,
    unrecorded=UNRECORDED,
    parameters={
        "save_bsub": param(False, "Save the background-subtracted data (deprecated: use steps.bkg_subtract.save_results)"),
        "fail_on_exception": param(True, "Fail if any product fails"),
        "save_wfss_esec": param(False, "Save the WFSS image in e-/s (WFSS exposures only)"),
    },
    settings={},
)

TSO_SETTINGS = {
    alias: {"skip": True}
    for alias in ("bkg_subtract", "imprint_subtract", "msa_flagging", "master_background_mos", "wavecorr", "straylight", "fringe",
                  "pathloss", "barshadow", "wfss_contam", "resample_spec", "cube_build")
}  # fmt: skip
"""The documents' TSO column: assign_wcs, extract_2d, srctype, flat_field, photom and extract_1d, all others off."""

TSO_SPEC2 = SPEC2.configured("calwebb_tso-spec2", TSO_SETTINGS)
