"""What is compared with the reference implementation: small set-ups, full modes, and a table of parameters."""

from __future__ import annotations

from typing import Any

from peer import OTHERS, Case, Series

MODES = ("bots_prism", "bots_grating_nrs1", "bots_grating_nrs2", "lrs_slitless")


def _series(mode: str, seed: int = 0, **options: Any) -> tuple[Series]:
    rate = options.pop("rate", False)
    return (Series(mode, seed, tuple(sorted(options.items())), rate),)


SMALL = [
    Case("bots_prism", _series("bots_prism", nints=6, nseg=2)),
    Case("bots_grating_nrs1", _series("bots_grating_nrs1", nints=6, nseg=1)),
    Case("bots_grating_nrs2", _series("bots_grating_nrs2", nints=6, nseg=1)),
    Case("lrs_slitless", _series("lrs_slitless", nints=6, nseg=2)),
]
FULL = [Case(f"{mode}-{seed}", _series(mode, seed)) for mode in MODES for seed in (0, 7)]

PRISM = _series("bots_prism", 3, nseg=1, nints=6)
TWO = _series("bots_prism", 3, nseg=2, nints=5)
NRS1 = _series("bots_grating_nrs1", 3, nseg=1, nints=4)
NRS2 = _series("bots_grating_nrs2", 3, nseg=1, nints=4)
LRS = _series("lrs_slitless", 3, nseg=2, nints=10)
RATE, LRS_RATE = _series("bots_prism", 3, nseg=1, nints=4, rate=True), _series("lrs_slitless", 3, nseg=1, nints=4, rate=True)


def _apertures(instrument: str, exp_type: str, **aperture: Any) -> dict[str, Any]:
    return {"reftype": "EXTRACT1D", "instrument": instrument, "telescope": "JWST", "exp_type": exp_type, "pedigree": "DUMMY", "description": "apertures",
            "author": "tests", "useafter": "2022-01-01T00:00:00", "history": "tests", "apertures": [{"region_type": "target", **aperture}]}  # fmt: skip


NRS_BACKGROUND = _apertures("NIRSPEC", "NRS_BRIGHTOBJ", id="S1600A1", dispaxis=1, xstart=3, xstop=420, ystart=6, ystop=14,
                            bkg_coeff=[[1.5], [4.0], [16.0], [19.5]], bkg_fit="poly", bkg_order=1, smoothing_length=5)  # fmt: skip
NRS_CURVED = _apertures("NIRSPEC", "NRS_BRIGHTOBJ", id="S1600A1", dispaxis=1, src_coeff=[[7.3, 0.004], [13.6, 0.002, 1e-6]],
                        bkg_coeff=[[1.2, 0.001], [4.4]], bkg_fit="median")  # fmt: skip
LRS_CURVED = _apertures("MIRI", "MIR_LRS-SLITLESS", id="MIR_LRS-SLITLESS", dispaxis=2, src_coeff=[[32.2, 0.004], [41.9, 0.002, 1e-6]],
                        bkg_coeff=[[12.0], [24.4], [50.0], [62.0]], bkg_fit="poly", bkg_order=0)  # fmt: skip

UNUSED = {"weight_type": "exptime", "pixfrac": 0.8, "kernel": "point", "maskpt": 0.5, "scale": "1.0 0.5", "backg": 1.0, "resample_data": False,
          "in_memory": False, "kernel_size": "5 5", "threshold_percent": 99.0, "ifu_second_check": True}  # fmt: skip
"""Parameters of outlier_detection that make no difference to a time series."""

OFF = ("bkg_subtract", "imprint_subtract", "msa_flagging", "master_background_mos", "straylight", "fringe", "pathloss", "barshadow", "wfss_contam",
       "resample_spec", "cube_build")  # fmt: skip
"""Steps that the documents' time-series configuration of spec2 switches off, wavecorr apart."""

PARAMETERS = [
    Case("slit-edges", PRISM,
         {"assign_wcs": {"slit_y_low": -0.42, "slit_y_high": 0.5, "sip_approx": False, "sip_npoints": 8, "nrs_ifu_slice_wcs": True},
          "extract_2d": {"wfss_nbright": 5, "source_max_sep": 1.0},
          "extract_1d": {"smoothing_length": 5, "position_offset": 1.3, "log_increment": 1, "soss_atoca": False, "ifu_autocen": True}},
         {"outlier_detection": {"rolling_window_width": 3, "snr": "3.0 2.0", "save_intermediate_results": True, **UNUSED},
          "white_light": {"min_wavelength": 1.1, "max_wavelength": 3.9}}),
    Case("extended", PRISM,
         {"srctype": {"source_type": "EXTENDED"}, "flat_field": {"save_interpolated_flat": True}, "photom": {"apply_time_correction": False}},
         {"outlier_detection": {"rolling_window_width": 1, "good_bits": "DO_NOT_USE,OUTLIER"}, "white_light": {"min_wavelength": 2.0},
          "pixel_replace": {"skip": False, "algorithm": "fit_profile", "n_adjacent_cols": 5}}),
    Case("saved", TWO,
         {"assign_wcs": {"save_results": True}, "extract_2d": {"save_results": True, "slit_names": ["S1600A1"]}, "srctype": {"save_results": True},
          "wavecorr": {"save_results": True}, "flat_field": {"save_results": True, "suffix": "flatted"}, "photom": {"save_results": True},
          "extract_1d": {"apply_apcorr": False, "use_source_posn": False}, "pixel_replace": {"skip": False, "save_results": True}},
         {"outlier_detection": {"skip": True}, "white_light": {"max_wavelength": 3.0}, "pixel_replace": {"skip": False}, "extract_1d": {"position_offset": -2.0}}),
    Case("background", PRISM,
         {"photom": {"source_type": "EXTENDED"}, "pixel_replace": {"skip": False, "algorithm": "fit_profile"},
          "extract_1d": {"override_extract1d": "{files}/background.json"}},
         {"extract_1d": {"override_extract1d": "{files}/curved.json", "subtract_background": True}},
         {"background.json": NRS_BACKGROUND, "curved.json": NRS_CURVED}),
    Case("background-off", PRISM,
         {"flat_field": {"override_fflat": "N/A"},
          "extract_1d": {"override_extract1d": "{files}/background.json", "subtract_background": False, "override_apcorr": "N/A"}},
         {"extract_1d": {"override_extract1d": "{files}/background.json", "bkg_fit": "median", "smoothing_length": 1}},
         {"background.json": NRS_BACKGROUND}),
    Case("no-flat", PRISM, {"flat_field": {"skip": True}, "wavecorr": {"skip": True}, "extract_1d": {"extraction_type": None}, **{a: {"skip": True} for a in OFF}},
         {"extract_1d": {"extraction_type": "optimal", "optimize_psf_location": False}}),
    Case("trace-model", NRS2, {"pixel_replace": {"skip": False, "algorithm": "trace_model"}}, None,
         differs=("algorithm trace_model needs", "file: {\"absent\": true}")),
    Case("no-area", PRISM, {"photom": {"override_area": "N/A"}}, None),
    Case("no-white-light", PRISM, {}, {"white_light": {"skip": True}},
         goes_on="with white_light skipped the reference implementation fails (it takes its own spectra for a table) before it writes them; ours writes them"),
    Case("one-threshold", PRISM, {}, {"outlier_detection": {"snr": "3.0"}}),
    Case("no-photom", PRISM, {"photom": {"skip": True}, "flat_field": {"inverse": True}}, {"extract_1d": {"skip": True}}),
    Case("inverse", PRISM, {"photom": {"inverse": True}, "wavecorr": {"override_wavecorr": "N/A"}, "flat_field": {"override_sflat": "N/A"}}, None),
    Case("no-references", PRISM, {"photom": {"override_photom": "N/A"}, "flat_field": {"override_dflat": "N/A"}, "extract_1d": {"override_extract1d": "N/A"}}, None),
    Case("user-flat", PRISM, {"flat_field": {"user_supplied_flat": "{extended}/*interpolatedflat.fits"}, "srctype": {"skip": True}}, None),
    Case("no-cutout", PRISM, {"extract_2d": {"skip": True}}, None),
    Case("no-wcs", PRISM, {"assign_wcs": {"skip": True}}, None),
    Case("optimal", NRS1,
         {"extract_1d": {"extraction_type": "optimal", "save_profile": True, "save_scene_model": True, "save_residual_image": True}},
         {"extract_1d": {"extraction_type": "optimal", "model_nod_pair": False, "use_source_posn": False}}),
    Case("optimal-nrs2", NRS2,
         {"extract_1d": {"extraction_type": "optimal", "subtract_background": True}, "pixel_replace": {"skip": False}},
         {"outlier_detection": {"snr": "2.5 2.0"}}),
    Case("saved-tso3", TWO, {},
         {"outlier_detection": {"save_results": True}, "pixel_replace": {"skip": False, "save_results": True},
          "extract_1d": {"save_results": True, "extraction_type": "optimal", "save_profile": True, "save_scene_model": True, "save_residual_image": True},
          "white_light": {"suffix": "curve", "min_wavelength": 1.0}},
         differs=("_curve.ecsv", "_whtlt.ecsv", "_extract_1d.fits", "_profile.fits", "_residual.fits", "_scene_model.fits")),
    Case("both", (*NRS1, *NRS2), {}, {"outlier_detection": {"save_intermediate_results": True}}),
    Case("rate", RATE, {"flat_field": {"save_interpolated_flat": True}, "pixel_replace": {"skip": False}}, None),
    Case("rate-optimal", RATE, {"extract_1d": {"extraction_type": "optimal", "save_profile": True, "save_scene_model": True, "save_residual_image": True}}, None),
    Case("lrs-rate", LRS_RATE, {"extract_1d": {"subtract_background": False}}, None),
    Case("lrs-box", LRS,
         {"srctype": {"source_type": "EXTENDED"}, "photom": {"apply_time_correction": False}, "pixel_replace": {"skip": False, "algorithm": "fit_profile"},
          "extract_1d": {"use_source_posn": True, "position_offset": 0.7, "bkg_fit": "mean"}},
         {"outlier_detection": {"rolling_window_width": 4, "snr": "3.0 2.5", "save_intermediate_results": True},
          "white_light": {"min_wavelength": 6.0, "max_wavelength": 11.0}, "pixel_replace": {"skip": False}}),
    Case("lrs-curved", LRS,
         {"flat_field": {"override_flat": "N/A"}, "photom": {"source_type": "EXTENDED"}, "extract_1d": {"override_extract1d": "{files}/curved.json", "bkg_order": 2}},
         {"extract_1d": {"extraction_type": "optimal", "save_profile": True}, "outlier_detection": {"skip": True}},
         {"curved.json": LRS_CURVED}, differs=("_profile.fits",)),
    Case("lrs-inverse", _series("lrs_slitless", 3, nseg=1, nints=4),
         {"flat_field": {"inverse": True, "save_results": True}, "photom": {"inverse": True},
          "extract_1d": {"apply_apcorr": False, "smoothing_length": 7, "bkg_fit": "poly", "bkg_order": 1}}, {"pixel_replace": {"skip": False, "algorithm": "fit_profile"}}),
    Case("lrs-skips", _series("lrs_slitless", 3, nseg=1, nints=4),
         {"srctype": {"skip": True}, "flat_field": {"skip": True}, "photom": {"skip": True}, "extract_1d": {"extraction_type": "optimal", "use_source_posn": True}}, None),
]  # fmt: skip
OTHERS.update({case.name: case for case in PARAMETERS})
