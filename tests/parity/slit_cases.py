"""What is compared for slits: every parameter of the steps of calwebb_spec2 away from its default, and unusual exposures."""

from __future__ import annotations

from typing import Any

import slit_edits as edits
from peer import Parameters, Series
from slit_peer import OTHERS, SlitCase


def _series(mode: str, seed: int, **options: Any) -> Series:
    return Series(mode, seed, tuple(sorted(options.items())))


MOS = _series("mos_prism", 5, nsource=3, nlong=1, nbkg=1, dets=["NRS1"])
"""An extended source in five shutters, two point sources, one background slitlet; three nods."""
GRATING = _series("mos_g395m", 5, nsource=3, nlong=1, nbkg=1)
LONG, SPLIT = _series("mos_longslit", 3, nshutter=7), _series("mos_longslit_split", 3, nshutter=7)
FS = _series("fs", 3, npos=2, dets=["NRS1"])
"""Five fixed slits, a point source in S200A1; two nods."""
LINE, CONTINUUM, WAVE = _series("lamp_line_fs", 3), _series("lamp_flat_fs", 3), _series("autowave_fs", 3)
LINES, AUTOFLAT = _series("lamp_line_mos", 3, nslit=3), _series("autoflat_mos", 3, nslit=3)

NOD, FIRST, MASTER, ANY = "*00002_nrs1_spec2_asn.json", "*00001_nrs1_spec2_asn.json", "*00002_nrs1_mbkg_spec2_asn.json", "*spec2_asn.json"
STEPS = ("assign_wcs", "msa_flagging", "bkg_subtract", "extract_2d", "srctype", "wavecorr", "flat_field", "pathloss", "barshadow", "photom")
NO_WCS = ('_imprint_subtract.fits: WCS wcs: {"absent"', '_clean_flicker_noise.fits: WCS wcs: {"absent"', '_msa_flagging.fits: WCS wcs: {"absent"', '_bsub.fits: WCS wcs: {"absent"')
"""Saved frames with many slits hold no WCS."""
SCALE = ("PXSCLRT", "PIXAR_SR", "PIXAR_A2")
"""With a pixel scale in arcsec these depend on the distance of two points on the sky 0.1 arcsec apart: rounding of 1e-8."""
SHORT: dict[str, dict[str, Any]] = {"resample_spec": {"skip": True}, "extract_1d": {"skip": True}}
"""For parameters whose effect is seen before the resampling, which is what takes the time."""


def saved(*aliases: str, **others: dict[str, Any]) -> Parameters:
    """Parameters with ``save_results`` of the steps named."""
    return {**others, **{alias: {**others.get(alias, {}), "save_results": True} for alias in aliases}}


def apertures(exp_type: str, *own: dict[str, Any]) -> dict[str, Any]:
    """An EXTRACT1D reference file."""
    return {"reftype": "EXTRACT1D", "instrument": "NIRSPEC", "telescope": "JWST", "exp_type": exp_type, "pedigree": "DUMMY", "description": "apertures",
            "author": "tests", "useafter": "2022-01-01T00:00:00", "history": "tests", "apertures": [{"region_type": "target", **one} for one in own]}  # fmt: skip


BOX = apertures("NRS_FIXEDSLIT", *({"id": name, "dispaxis": 1, "xstart": 20, "xstop": 1900, "ystart": 4, "ystop": 14, "extract_width": 6,
                                    "bkg_coeff": [[1.5], [4.0], [16.0], [19.5]], "bkg_fit": "poly", "bkg_order": 1, "smoothing_length": 5}
                                   for name in ("S200A1", "S200A2", "S400A1", "S1600A1")))  # fmt: skip
CURVED = apertures("NRS_MSASPEC", *({"id": name, "dispaxis": 1, "src_coeff": [[4.3, 0.002], [9.6, 0.001, 1e-6]], "bkg_coeff": [[1.2, 0.001], [3.4]],
                                     "bkg_fit": "median"} for name in "1234"))  # fmt: skip

POINT: dict[str, dict[str, Any]] = {
    "pixel_replace": {"skip": False, "algorithm": "fit_profile", "n_adjacent_cols": 5}, "resample_spec": {"kernel": "point", "fillval": "0.0"},
    "extract_1d": {"smoothing_length": 5, "use_source_posn": False}}  # fmt: skip
EXTENDED: dict[str, dict[str, Any]] = {
    "resample_spec": {"pixel_scale_ratio": 0.6, "propagate_dq": True}, "extract_1d": {"apply_apcorr": False, "use_source_posn": True}}  # fmt: skip

CORRECTIONS = [
    SlitCase("mos-saved", MOS, NOD, saved(*STEPS, "pixel_replace", flat_field={"save_interpolated_flat": True}, pixel_replace={"skip": False},
                                          bkg_subtract={"save_combined_background": True}), differs=NO_WCS),
    SlitCase("mos-edges", MOS, NOD,
             {"assign_wcs": {"slit_y_low": -0.45, "slit_y_high": 0.62}, "bkg_subtract": {"sigma": 1.5, "maxiters": 2, "save_combined_background": True},
              "pathloss": {"source_type": "EXTENDED"}, "barshadow": {"source_type": "POINT"}, "photom": {"apply_time_correction": False},
              "resample_spec": {"pixfrac": 0.7, "weight_type": "exptime"}, "extract_1d": {"position_offset": 0.8}}),
    SlitCase("mos-point", MOS, FIRST, saved("srctype", extract_2d={"slit_names": ["1", 2, "3"]}, **POINT), edits.stars, keywords=("STLARITY",),
             twin=SlitCase("", MOS, FIRST, saved("srctype", srctype={"source_type": "POINT"}, extract_2d={"slit_names": ["1", 2, "3"]}, **POINT))),
    SlitCase("mos-extended", MOS, FIRST, saved("srctype", **EXTENDED), edits.galaxies, keywords=("STLARITY",),
             twin=SlitCase("", MOS, FIRST, saved("srctype", srctype={"source_type": "EXTENDED"}, **EXTENDED))),
    SlitCase("mos-chosen", MOS, NOD,
             {"extract_2d": {"source_ids": ["1007", "1021"]}, "photom": {"source_type": "EXTENDED"}, "resample_spec": {"pixel_scale": 0.15},
              "extract_1d": {"subtract_background": True, "bkg_fit": "mean"}}, keywords=SCALE),
    SlitCase("mos-chosen-both", MOS, NOD, {"extract_2d": {"slit_names": ["4"], "source_ids": ["1014"]}, "photom": {"source_type": "POINT"}, **SHORT}),
    SlitCase("mos-single", MOS, NOD, {"extract_2d": {"slit_names": ["1", "2"]}, "resample_spec": {"single": True, "blendheaders": False, "in_memory": False}}),
    SlitCase("mos-none-chosen", MOS, NOD, {"extract_2d": {"slit_names": ["99"]}, **SHORT}),
    SlitCase("mos-inverse", MOS, FIRST,
             {"flat_field": {"inverse": True}, "pathloss": {"inverse": True, "source_type": "POINT"}, "barshadow": {"inverse": True, "source_type": "EXTENDED"}, **SHORT}),
    SlitCase("mos-photom-inverse", MOS, FIRST, {"photom": {"inverse": True}, **SHORT}),
    SlitCase("mos-skips", MOS, FIRST,
             {**{alias: {"skip": True} for alias in ("msa_flagging", "bkg_subtract", "master_background_mos", "wavecorr", "flat_field", "pathloss", "barshadow",
                                                "photom")},
              "resample_spec": {"output_shape": [500, 30]}}),
    SlitCase("mos-no-types", MOS, FIRST, {"srctype": {"skip": True}, **SHORT}, goes_on="the reference implementation's wavecorr needs a source type"),
    SlitCase("mos-no-weights", MOS, FIRST, {"extract_2d": {"slit_names": ["2"]}, "resample_spec": {"weight_type": None}}),
    SlitCase("mos-no-types-kept", MOS, FIRST, {"srctype": {"skip": True}, "wavecorr": {"skip": True}, "resample_spec": {"skip": True}}),
    SlitCase("mos-no-references", MOS, FIRST,
             {"wavecorr": {"override_wavecorr": "N/A"}, "flat_field": {"override_sflat": "N/A"}, "pathloss": {"override_pathloss": "N/A"},
              "barshadow": {"override_barshadow": "N/A"}, "msa_flagging": {"override_msaoper": "N/A"},
              "extract_1d": {"override_apcorr": "N/A", "override_extract1d": "N/A"}}),
    SlitCase("mos-no-area", MOS, FIRST, {"extract_2d": {"slit_names": ["2"]}, "photom": {"override_area": "N/A"}, **SHORT}),
    SlitCase("mos-no-photom", MOS, FIRST, {"photom": {"override_photom": "N/A"}, "flat_field": {"override_fflat": "N/A"}, "resample_spec": {"skip": True}}),
    SlitCase("mos-no-dflat", MOS, FIRST, {"flat_field": {"override_dflat": "N/A"}, **SHORT}),
    SlitCase("mos-no-flats", MOS, FIRST, {"flat_field": {"override_dflat": "N/A", "override_fflat": "N/A", "override_sflat": "N/A"}, **SHORT}),
    SlitCase("mos-user-flat", MOS, FIRST, {"flat_field": {"user_supplied_flat": "{mos-saved}/*interpolatedflat.fits"}, **SHORT}),
    SlitCase("mos-user-flat-chosen", MOS, FIRST, {"extract_2d": {"slit_names": ["2", "3"]}, "flat_field": {"user_supplied_flat": "{mos-saved}/*interpolatedflat.fits"},
                                                  **SHORT}, goes_on="the reference implementation takes the first slit's flat for the first slit that is chosen"),
    SlitCase("mos-no-cutouts", MOS, FIRST, {"extract_2d": {"skip": True}}),
    SlitCase("mos-trace-model", MOS, FIRST, {"pixel_replace": {"skip": False, "algorithm": "trace_model"}, **SHORT},
             differs=("algorithm trace_model needs", '_cal.fits: file: {"absent": true}')),
    SlitCase("mos-unresampled", MOS, FIRST,
             {"resample_spec": {"skip": True}, "extract_1d": {"bkg_fit": "poly", "bkg_order": 1, "subtract_background": True, "save_profile": True,
                                                              "save_scene_model": True, "save_residual_image": True}}),
    SlitCase("mos-apertures", MOS, FIRST, {"extract_1d": {"override_extract1d": "{files}/curved.json", "save_profile": True, "smoothing_length": 3}},
             files={"curved.json": CURVED}),
    SlitCase("mos-optimal", MOS, FIRST,
             {"extract_1d": {"extraction_type": "optimal", "save_profile": True, "save_scene_model": True, "save_residual_image": True}}),
    SlitCase("mos-optimal-fixed", MOS, NOD,
             {"extract_1d": {"extraction_type": "optimal", "optimize_psf_location": False, "model_nod_pair": False, "subtract_background": True}}),
    SlitCase("mos-automatic", MOS, NOD, {"extract_1d": {"extraction_type": None, "bkg_fit": "median", "subtract_background": True}}),
]  # fmt: skip

MEMBERS = tuple(f"{base}_nrs1_{suffix}.fits: file" for base in (f"{edits.FIRST[:-5]}", f"{edits.THIRD[:-5]}", "jw01128006001_06101_00002") for suffix in
                ("clean_flicker_noise", "flicker_bkg", "flicker_noise", "mask", "imprint_subtract"))  # fmt: skip
"""What the reference implementation saves of the backgrounds, too."""

FRAMES = [
    SlitCase("mos-flicker", MOS, NOD, saved("clean_flicker_noise", clean_flicker_noise={"skip": False, "save_mask": True, "save_background": True, "save_noise": True}, **SHORT),
             differs=(*NO_WCS, *MEMBERS)),
    SlitCase("mos-flicker-auto", MOS, NOD,
             {"clean_flicker_noise": {"skip": False, "autoparam": True, "fit_histogram": True, "save_mask": True, "save_background": True}, **SHORT}, differs=MEMBERS),
    SlitCase("mos-flicker-channel", MOS, NOD,
             {"clean_flicker_noise": {"skip": False, "fit_by_channel": True, "background_method": None, "apply_flat_field": True, "save_mask": True,
                                      "save_noise": True}, **SHORT}, differs=MEMBERS),
    SlitCase("mos-flicker-mask", MOS, NOD,
             {"clean_flicker_noise": {"skip": False, "user_mask": "{mos-flicker}/*_mask.fits", "single_mask": False, "background_method": "median_image", "save_noise": True}, **SHORT}, differs=MEMBERS),
    SlitCase("fs-flicker", FS, FIRST, saved("clean_flicker_noise", clean_flicker_noise={"skip": False, "mask_science_regions": True, "save_mask": True, "save_noise": True}, **SHORT),
             differs=(*NO_WCS, *MEMBERS)),
    SlitCase("fs-flicker-fft", FS, FIRST,
             {"clean_flicker_noise": {"skip": False, "fit_method": "fft", "n_sigma": 1.5, "background_method": "model", "save_mask": True, "save_background": True,
                                      "save_noise": True}, **SHORT}, differs=MEMBERS),
    SlitCase("mos-imprint", MOS, NOD, saved("imprint_subtract", "bkg_subtract", **SHORT), edits.imprint, differs=(*NO_WCS, *MEMBERS)),
    SlitCase("mos-imprints", MOS, NOD, saved("imprint_subtract", **SHORT), edits.imprints,
             goes_on="the reference implementation takes a letter of the first imprint's name for a file"),
    SlitCase("mos-dedicated", MOS, NOD, saved("bkg_subtract", bkg_subtract={"save_combined_background": True, "sigma": 2.0}, **SHORT), edits.dedicated, differs=NO_WCS),
    SlitCase("mos-flicker-fft", MOS, MASTER,
             saved("clean_flicker_noise", clean_flicker_noise={"skip": False, "fit_method": "fft", "background_method": "model", "background_box_size": [64, 64],
                                                               "mask_science_regions": True, "n_sigma": 3.0, "save_mask": True, "save_background": True,
                                                               "save_noise": True}, master_background_mos={"skip": True}, **SHORT),
             differs=(*NO_WCS, '_flicker_noise.fits: SCI,1: {"max_rel": 0.0001')),
    SlitCase("mos-tilted", MOS, NOD, {**SHORT}, edits.tilted),
    SlitCase("mos-background-list", MOS, NOD, {**SHORT}, edits.one_background,
             twin=SlitCase("", MOS, NOD, {"bkg_subtract": {"bkg_list": ["{inputs}/*00001_nrs1_rate.fits"]}, **SHORT}, edits.no_members)),
]  # fmt: skip

BACKGROUNDS = [
    SlitCase("master", MOS, MASTER, saved(*(a for a in STEPS if a != "bkg_subtract"), "master_background_mos", master_background_mos={"save_background": True},
                                          flat_field={"save_interpolated_flat": True}, **SHORT), differs=NO_WCS),
    SlitCase("master-clip", MOS, MASTER, {"master_background_mos": {"sigma_clip": 1.5, "median_kernel": 5, "save_background": True}, **SHORT}),
    SlitCase("master-no-clip", MOS, MASTER, {"master_background_mos": {"sigma_clip": None, "median_kernel": 4, "save_background": True}, **SHORT}),
    SlitCase("master-forced", MOS, NOD, {"master_background_mos": {"force_subtract": True, "save_background": True}, **SHORT}),
    SlitCase("master-user", MOS, MASTER, {"master_background_mos": {"user_background": "{master}/*masterbg1d.fits", "save_background": True, "median_kernel": 3}, **SHORT},
             differs=("masterbg1d_masterbg1d.fits: file", "nrs1_masterbg1d.fits: not made")),
    SlitCase("master-user-forced", MOS, NOD, {"master_background_mos": {"user_background": "{master}/*masterbg1d.fits", "force_subtract": True}, **SHORT}),
    SlitCase("master-inverse", MOS, MASTER, {"master_background_mos": {"inverse": True, "save_background": True}, **SHORT}),
    SlitCase("master-skip", MOS, MASTER, {"master_background_mos": {"skip": True}, **SHORT}),
    SlitCase("master-steps", MOS, MASTER,
             {"master_background_mos": {"save_background": True}, "barshadow": {"source_type": "EXTENDED"}, "photom": {"apply_time_correction": False},
              "pathloss": {"source_type": "POINT"}, "pixel_replace": {"skip": False, "algorithm": "fit_profile"}, "resample_spec": {"pixel_scale_ratio": 0.7},
              "extract_1d": {"smoothing_length": 3, "apply_apcorr": False}}),
    SlitCase("master-skipped-steps", MOS, MASTER,
             {"master_background_mos": {"save_background": True}, "barshadow": {"skip": True}, "pathloss": {"skip": True}, "flat_field": {"skip": True},
              "wavecorr": {"skip": True}, **SHORT}),
    SlitCase("master-chosen", MOS, MASTER, {"master_background_mos": {"save_background": True}, "extract_2d": {"slit_names": ["1", "4"]}, **SHORT}),
    SlitCase("master-none", MOS, MASTER, {"master_background_mos": {"save_background": True}, **SHORT}, edits.no_background_slit),
    SlitCase("master-only", MOS, MASTER, {"master_background_mos": {"save_background": True}}, edits.backgrounds_only),
    SlitCase("master-fixed", MOS, MASTER, {"master_background_mos": {"save_background": True}, **SHORT}, edits.fixed_slits),
    SlitCase("master-grating", GRATING, "*00002_nrs2_mbkg_spec2_asn.json", {"master_background_mos": {"save_background": True}, "assign_wcs": {"slit_y_high": 0.7}}),
]  # fmt: skip

UNUSUAL = [
    SlitCase("mos-fixed", MOS, NOD, saved("wavecorr", "flat_field", "pathloss", "barshadow", "photom", flat_field={"save_interpolated_flat": True}), edits.fixed_slits),
    SlitCase("mos-only-fixed", MOS, NOD, {"assign_wcs": {"slit_y_low": -0.5}}, edits.only_fixed),
    SlitCase("mos-backgrounds", MOS, NOD, {"resample_spec": {"pixfrac": 0.9}}, edits.backgrounds_only),
    SlitCase("mos-edge", MOS, NOD, {"pixel_replace": {"skip": False, "algorithm": "mingrad"}}, edits.at_the_edge),
    SlitCase("mos-off", MOS, NOD, {**SHORT}, edits.off_the_detector),
    SlitCase("mos-same-source", MOS, NOD, {"extract_2d": {"slit_names": ["2", "3"]}}, edits.same_source),
    SlitCase("mos-fixed-column", MOS, NOD, {"extract_2d": {"slit_names": ["2", "S200A1"]}, **SHORT}, edits.nonzero_column),
    SlitCase("mos-long", MOS, NOD, {"photom": {"apply_time_correction": False}}, edits.extended),
    SlitCase("mos-no-rows", MOS, NOD, {**SHORT}, edits.no_metafile_rows),
    SlitCase("mos-no-dither", MOS, NOD, {**SHORT}, edits.no_dither_point),
    SlitCase("long-slit", LONG, ANY, {"resample_spec": {"pixfrac": 0.9}}),
    SlitCase("long-slit-split", SPLIT, ANY, {"master_background_mos": {"save_background": True}, "resample_spec": {"pixfrac": 0.9}}, keywords=("MSAMETFL",),
             twin=SlitCase("", LONG, ANY, {"master_background_mos": {"save_background": True}, "resample_spec": {"pixfrac": 0.9}}, edits.split_long_slit)),
    SlitCase("mos-grating", GRATING, "*00001_nrs2_spec2_asn.json",
             {"resample_spec": {"pixel_scale_ratio": 0.8, "pixfrac": 0.8}, "extract_1d": {"position_offset": -0.6, "subtract_background": True}}),
    SlitCase("mos-grating-1", GRATING, "*00003_nrs1_spec2_asn.json",
             {"pixel_replace": {"skip": False, "algorithm": "fit_profile"}, "assign_wcs": {"slit_y_low": -0.4}, "extract_1d": {"extraction_type": "optimal"}}),
]  # fmt: skip

FIXED = [
    SlitCase("fs-saved", FS, FIRST, saved(*(a for a in STEPS if a not in ("msa_flagging", "barshadow")), flat_field={"save_interpolated_flat": True},
                                          bkg_subtract={"save_combined_background": True}), differs=NO_WCS),
    SlitCase("fs-edges", FS, FIRST,
             {"assign_wcs": {"slit_y_low": -0.45, "slit_y_high": 0.5}, "extract_2d": {"slit_names": ["S200A1", "S400A1"]}, "photom": {"apply_time_correction": False},
              "resample_spec": {"pixel_scale_ratio": 0.5, "kernel": "point"}, "extract_1d": {"smoothing_length": 5, "subtract_background": True}}),
    SlitCase("fs-photom-extended", FS, FIRST, {"photom": {"source_type": "EXTENDED"}, **SHORT}),
    SlitCase("fs-photom-point", FS, FIRST, {"photom": {"source_type": "POINT"}, **SHORT}),
    SlitCase("fs-point", FS, FIRST, {"srctype": {"source_type": "POINT"}, "pathloss": {"source_type": "EXTENDED"}, "pixel_replace": {"skip": False},
                                     "resample_spec": {"pixel_scale": 0.08, "propagate_dq": True}, "extract_1d": {"position_offset": 1.2, "apply_apcorr": False}}),
    SlitCase("fs-extended", FS, FIRST, {"srctype": {"source_type": "EXTENDED"}, "pathloss": {"source_type": "POINT"},
                                        "resample_spec": {"pixfrac": 0.6, "weight_type": "exptime"}, "extract_1d": {"use_source_posn": True}}),
    SlitCase("fs-full-background", FS, FIRST, {"bkg_subtract": {"save_combined_background": True}, **SHORT}, edits.full_background),
    SlitCase("fs-target-extended", FS, FIRST, {**SHORT}, edits.extended_target),
    SlitCase("fs-other-primary", FS, FIRST, {"extract_1d": {"use_source_posn": False}}, edits.other_primary),
    SlitCase("fs-chosen", FS, FIRST, {"extract_2d": {"slit_names": ["S1600A1"], "source_ids": ["1"]}, "bkg_subtract": {"skip": True}, "wavecorr": {"skip": True}, **SHORT}),
    SlitCase("fs-inverse", FS, FIRST, {"flat_field": {"inverse": True}, "pathloss": {"inverse": True}, **SHORT}),
    SlitCase("fs-photom-inverse", FS, FIRST, {"photom": {"inverse": True}, **SHORT}),
    SlitCase("fs-user-flat", FS, FIRST, {"flat_field": {"user_supplied_flat": "{fs-saved}/*interpolatedflat.fits"}, **SHORT}),
    SlitCase("fs-skips", FS, FIRST,
             {**{alias: {"skip": True} for alias in ("srctype", "wavecorr", "flat_field", "pathloss", "photom")}, "resample_spec": {"output_shape": [600, 40]}}),
    SlitCase("fs-no-references", FS, FIRST,
             {"wavecorr": {"override_wavecorr": "N/A"}, "flat_field": {"override_fflat": "N/A"}, "pathloss": {"override_pathloss": "N/A"},
              "photom": {"override_area": "N/A"}, "extract_1d": {"override_apcorr": "N/A", "override_extract1d": "N/A"}, "resample_spec": {"fillval": "-1.5"}}),
    SlitCase("fs-no-photom", FS, FIRST, {"photom": {"override_photom": "N/A"}, "flat_field": {"override_dflat": "N/A"}, **SHORT}),
    SlitCase("fs-apertures", FS, FIRST, {"extract_1d": {"override_extract1d": "{files}/box.json", "save_profile": True, "save_scene_model": True,
                                                        "save_residual_image": True}}, files={"box.json": BOX}),
    SlitCase("fs-apertures-cal", FS, FIRST, {"resample_spec": {"skip": True}, "extract_1d": {"override_extract1d": "{files}/box.json", "bkg_fit": "median",
                                                                                             "use_source_posn": True}}, files={"box.json": BOX}),
    SlitCase("fs-optimal", FS, FIRST,
             {"extract_1d": {"extraction_type": "optimal", "save_profile": True, "save_scene_model": True, "save_residual_image": True}}),
    SlitCase("fs-optimal-off", FS, FIRST,
             {"extract_1d": {"extraction_type": "optimal", "optimize_psf_location": False, "use_source_posn": False, "model_nod_pair": False, "position_offset": 0.5}}),
]  # fmt: skip

LAMPS = [
    SlitCase("line-saved", LINE, ANY, saved("assign_wcs", "extract_2d", "srctype", "flat_field", flat_field={"save_interpolated_flat": True},
                                            resample_spec={"pixel_scale_ratio": 0.7}, extract_1d={"position_offset": 0.5})),
    SlitCase("line-edges", LINE, ANY,
             {"assign_wcs": {"slit_y_low": -0.4, "slit_y_high": 0.45}, "extract_2d": {"slit_names": ["S200A1", "S1600A1"]}, "flat_field": {"inverse": True},
              "msa_flagging": {"skip": True}, "resample_spec": {"pixfrac": 0.7, "kernel": "point", "propagate_dq": True}, "pixel_replace": {"skip": False}}),
    SlitCase("line-point", LINE, ANY, {"srctype": {"source_type": "POINT"}, "flat_field": {"skip": True}, "resample_spec": {"skip": True}}),
    SlitCase("line-subarray", LINE, ANY, {"msa_flagging": {"skip": True}}, edits.allslits, keywords=("S_MSAFLG",), twin=SlitCase("", LINE, ANY, {}, edits.allslits)),
    SlitCase("line-subarray-flags", LINE, ANY, {}, edits.allslits, goes_on="the reference implementation's msa_flagging does not know of subarrays"),
    SlitCase("wave-scale", WAVE, ANY, {"resample_spec": {"pixel_scale": 0.2, "weight_type": "exptime"}, "flat_field": {"override_sflat": "N/A"}}),
    SlitCase("lines-shape", LINES, ANY, {"resample_spec": {"output_shape": [700, 25], "fillval": "0"}, "extract_1d": {"smoothing_length": 3},
                                         "pixel_replace": {"skip": False, "algorithm": "fit_profile"}}),
    SlitCase("continuum", CONTINUUM, ANY, saved("flat_field", extract_1d={"extraction_type": "optimal"}, pixel_replace={"skip": False})),
    SlitCase("autoflat", AUTOFLAT, ANY, {"assign_wcs": {"slit_y_low": -0.5}, "extract_2d": {"slit_names": ["1", "2"]}, "extract_1d": {"position_offset": 0.5},
                                         "wavecorr": {"skip": True}}),
    SlitCase("autoflat-point", AUTOFLAT, ANY, {"srctype": {"source_type": "POINT"}, "extract_1d": {"subtract_background": True, "bkg_fit": "median"}}),
]  # fmt: skip

CASES = [*CORRECTIONS, *FRAMES, *BACKGROUNDS, *UNUSUAL, *FIXED, *LAMPS]
OTHERS.update({case.name: case for case in CASES})
