"""What is compared for ramps: every parameter of the steps of calwebb_detector1 away from its default, all products, and unusual exposures."""

from __future__ import annotations

from typing import Any

import stage1_edits as edits
from peer import Parameters, Series
from stage1_peer import OTHERS, ROWS, SMALL, RampCase


def _series(mode: str, seed: int = 0, **options: Any) -> Series:
    return Series(f"s1_{mode}", seed, tuple(sorted(options.items())))


PRISM = _series("nrs_bots_sub512", 1, nints=6, nseg=1, ngroups=8)
GRATING = _series("nrs_bots_sub2048", 1, nints=5, nseg=1, ngroups=8)
BRIGHT = _series("nrs_bots_sub2048", 2, nints=4, nseg=1, ngroups=7, peak=40000.0)
"""Saturated in the middle of the trace."""
BLINDING = _series("nrs_bots_sub2048", 2, nints=2, nseg=1, ngroups=5, peak=1e6)
"""Saturated from the first group on."""
SOSS = _series("nis_soss", 1, nints=3)
LRS = _series("miri_lrs_slitless", 1, nints=4, ngroups=12)
IMAGE = _series("nrc_image", 1, nints=2, ngroups=6)
MIRI = _series("miri_image", 1)
MIRI_DARK, NIRISS_DARK = _series("dark_miri"), _series("dark_nis")
IRS2 = _series("nrs_mos_irs2", 1, ngroups=4)
MOS = _series("nrs_mos_nrsrapid", 1, ngroups=4)


def _bots(*shape: int, **options: Any) -> Series:
    nints, ngroups = shape
    return _series("nrs_bots_sub512", 3, nints=nints, nseg=1, ngroups=ngroups, **options)


def saved(*aliases: str, **others: dict[str, Any]) -> Parameters:
    """Parameters with ``save_results`` of the steps named."""
    return {**others, **{alias: {**others.get(alias, {}), "save_results": True} for alias in aliases}}


DARKLESS: dict[str, Any] = {"dark_current": {"skip": True}, "reset": {"skip": True}, "emicorr": {"skip": True}}
"""For parts of full frames, of which there are no darks."""
RAMP = {"save_calibrated_ramp": True}
NIR = ("group_scale", "dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current", "jump", "ramp_fit", "gain_scale")
MIR = ("group_scale", "dq_init", "emicorr", "saturation", "reset", "linearity", "dark_current", "jump", "ramp_fit", "gain_scale")
OFF: dict[str, Any] = {"skip": True}
ON: dict[str, Any] = {"skip": False}

PRODUCTS = [
    RampCase("prism", PRISM, parameters=RAMP),
    RampCase("prism-saved", PRISM, saved(*NIR), RAMP),
    RampCase("grating", GRATING, parameters=RAMP),
    RampCase("bright", BRIGHT, parameters=RAMP),
    RampCase("soss", SOSS, parameters=RAMP),
    RampCase("lrs", LRS, parameters=RAMP),
    RampCase("lrs-saved", LRS, saved(*MIR), RAMP),
    RampCase("grating-fitopt", BRIGHT, {"ramp_fit": {"save_opt": True}}),
    RampCase("lrs-fitopt", LRS, {"ramp_fit": {"save_opt": True, "opt_name": "slopes", "int_name": "ints"}}),
    RampCase("grating-likely", GRATING, {"ramp_fit": {"algorithm": "LIKELY", "save_opt": True}}),
    RampCase("bright-likely", BRIGHT, {"ramp_fit": {"algorithm": "LIKELY", "save_opt": True}}, few=20.0),
    RampCase("lrs-likely", LRS, {"ramp_fit": {"algorithm": "LIKELY", "save_opt": True}}),
    RampCase("prism-likely", PRISM, {"ramp_fit": {"algorithm": "LIKELY", "suppress_one_group": False}}),
    RampCase("grating-dark-output", GRATING, {"dark_current": {"dark_output": "dark_as_used.fits"}}),
    RampCase("lrs-dark-output", LRS, {"dark_current": {"dark_output": "dark_as_used.fits"}}),
    RampCase("prism-dark-output", PRISM, {"dark_current": {"dark_output": "dark_as_used.fits"}}),
    RampCase("grating-no-fit", GRATING, {"ramp_fit": OFF}, goes_on="the reference implementation's gain_scale needs count rates"),
    RampCase("grating-no-fit-saved", GRATING, {"ramp_fit": OFF, "gain_scale": OFF}, RAMP),
]  # fmt: skip

FITS = [
    RampCase("fit-suppress", BRIGHT, {"ramp_fit": {"suppress_one_group": False}}),
    RampCase("fit-first", BRIGHT, {"ramp_fit": {"firstgroup": 1, "save_opt": True}}),
    RampCase("fit-last", BRIGHT, {"ramp_fit": {"lastgroup": 4}}),
    RampCase("fit-range", GRATING, {"ramp_fit": {"firstgroup": 2, "lastgroup": 5, "suppress_one_group": False}}),
    RampCase("fit-range-two", GRATING, {"ramp_fit": {"firstgroup": 2, "lastgroup": 3}}),
    RampCase("fit-range-one", GRATING, {"ramp_fit": {"firstgroup": 3, "lastgroup": 3}}),
    RampCase("fit-range-outside", GRATING, {"ramp_fit": {"firstgroup": -1, "lastgroup": 30}}),
    RampCase("fit-range-crossed", GRATING, {"ramp_fit": {"firstgroup": 5, "lastgroup": 2}}),
    RampCase("fit-likely-range", GRATING, {"ramp_fit": {"algorithm": "LIKELY", "firstgroup": 1, "lastgroup": 6}}),
    RampCase("fit-dark-current", BRIGHT, {"dark_current": {"average_dark_current": 2.5}}),
    RampCase("fit-dark-current-likely", GRATING, {"dark_current": {"average_dark_current": 2.5}, "ramp_fit": {"algorithm": "LIKELY"}}),
    RampCase("fit-cores", GRATING, {"ramp_fit": {"maximum_cores": "none"}, "jump": {"maximum_cores": "none"}}),
    RampCase("fit-lrs-suppress", LRS, {"ramp_fit": {"suppress_one_group": False, "firstgroup": 1, "lastgroup": 9}}),
    RampCase("fit-no-gain-factor", GRATING, {"gain_scale": OFF}),
]  # fmt: skip

SATURATION = [
    RampCase("saturation-grow-0", BRIGHT, saved("saturation", saturation={"n_pix_grow_sat": 0})),
    RampCase("saturation-grow-3", BRIGHT, saved("saturation", saturation={"n_pix_grow_sat": 3})),
    RampCase("saturation-readpatt", IMAGE, saved("saturation", saturation={"use_readpatt": False, "n_pix_grow_sat": 2}, dark_current=OFF), edit=edits.nircam_window),
    RampCase("dq-user", GRATING, saved("dq_init", dq_init={"user_supplied_dq": "{inputs}/user_dq.fits"}), edit=edits.flags),
    RampCase("dq-user-absent", GRATING, {"dq_init": {"user_supplied_dq": "nowhere.fits"}}, fails=True),
    RampCase("refpix-columns", GRATING, {"refpix": {"odd_even_columns": False}}),
    RampCase("refpix-sides", GRATING, {"refpix": {"use_side_ref_pixels": False}}),
    RampCase("refpix-side-length", GRATING, {"refpix": {"side_smoothing_length": 5, "side_gain": 0.7}}),
    RampCase("refpix-clip", SOSS, {"refpix": {"siglimit": 1.5, "odd_even_columns": False}}),
    RampCase("refpix-prism", PRISM, {"refpix": {"odd_even_columns": False, "siglimit": 2.0, "side_gain": 0.5}}),
    RampCase("group-scale", GRATING, saved("group_scale", "saturation"), RAMP, edit=edits.averages),
]  # fmt: skip

MIGRATION = [
    RampCase("migration", SOSS, saved("charge_migration", charge_migration={"skip": False, "signal_threshold": 16000.0}), RAMP),
    RampCase("migration-bright", BRIGHT, {"charge_migration": {"skip": False, "signal_threshold": 8000.0}}),
    RampCase("migration-default", SOSS, {"charge_migration": ON, "ipc": ON}),
    RampCase("ipc-saved", GRATING, saved("ipc", ipc=ON)),
    RampCase("persistence", BRIGHT, saved("persistence", persistence={"skip": False, "persistence_time": 30, "save_persistence": "{out}/open.asdf"}), RAMP),
    RampCase("persistence-threshold", BRIGHT, {"persistence": {"skip": False, "persistence_time": 20, "dn_threshold": 20000.0, "persistence_dnu": True,
                                                                "save_persistence": "{out}/open"}}, RAMP),
    RampCase("persistence-long", BRIGHT, {"persistence": {"skip": False, "persistence_time": 3000, "save_persistence": "{out}/open.asdf"}}, RAMP),
    RampCase("persistence-next", BRIGHT, {"persistence": {"skip": False, "persistence_time": 3000, "persistence_array_file": "{persistence-long}/open.asdf",
                                                           "save_persistence": "{out}/next.asdf", "persistence_dnu": True}}, RAMP, edit=edits.later),
    RampCase("persistence-next-other", BRIGHT, {"persistence": {"skip": False, "persistence_time": 2000, "persistence_array_file": "{persistence-long}/open.asdf"}},
             RAMP, edit=edits.later),
    RampCase("persistence-no-time", BRIGHT, {"persistence": ON}, RAMP),
    RampCase("persistence-no-file", BRIGHT, {"persistence": {"skip": False, "persistence_time": 100, "persistence_array_file": "nowhere.asdf"}}, RAMP),
    RampCase("persistence-no-times", BRIGHT, {"persistence": {"skip": False, "persistence_time": 100}}, RAMP, edit=edits.no_times),
]  # fmt: skip

JUMPS = [
    RampCase("jump-threshold", GRATING, saved("jump", jump={"rejection_threshold": 3.5})),
    RampCase("jump-neighbours", GRATING, saved("jump", jump={"flag_4_neighbors": False, "rejection_threshold": 4.0})),
    RampCase("jump-neighbours-limits", GRATING, saved("jump", jump={"rejection_threshold": 4.0, "min_jump_to_flag_neighbors": 4.5, "max_jump_to_flag_neighbors": 40.0})),
    RampCase("jump-after", GRATING, saved("jump", jump={"rejection_threshold": 4.0, "after_jump_flag_dn1": 50.0, "after_jump_flag_time1": 2.0,
                                                        "after_jump_flag_dn2": 400.0, "after_jump_flag_time2": 4.0})),
    RampCase("jump-iterative", GRATING, saved("jump", jump={"rejection_threshold": 4.0, "min_diffs_single_pass": 3})),
    RampCase("jump-iterative-10", _series("nrs_bots_sub512", 4, nints=3, nseg=1, ngroups=14), saved("jump", jump={"rejection_threshold": 4.0, "min_diffs_single_pass": 20})),
    RampCase("jump-minimum", GRATING, saved("jump", jump={"rejection_threshold": 4.0, "minimum_groups": 12})),
    RampCase("jump-clip-ints", _bots(12, 5), saved("jump", jump={"minimum_sigclip_groups": 8, "rejection_threshold": 3.0})),
    RampCase("jump-clip-groups", _bots(12, 5), saved("jump", jump={"minimum_sigclip_groups": 8, "rejection_threshold": 3.0, "only_use_ints": False})),
    RampCase("jump-clip-long", _bots(2, 12), saved("jump", jump={"minimum_sigclip_groups": 8, "rejection_threshold": 3.0, "only_use_ints": False})),
    RampCase("jump-three", _bots(4, 3), saved("jump", jump={"three_group_rejection_threshold": 3.0})),
    RampCase("jump-four", PRISM, saved("jump", jump={"four_group_rejection_threshold": 3.0}), edit=edits.first(4, 4)),
    RampCase("jump-lrs", LRS, saved("jump", jump={"rejection_threshold": 3.5, "after_jump_flag_dn1": 10.0, "after_jump_flag_time1": 1.0})),
    RampCase("snowballs", IMAGE, saved("jump", jump={"expand_large_events": True}, dark_current=OFF), edit=edits.nircam_window),
    RampCase("snowballs-no-core", IMAGE, saved("jump", jump={"expand_large_events": True, "sat_required_snowball": False, "min_jump_area": 12.0, "expand_factor": 1.5,
                                                             "max_extended_radius": 12}, dark_current=OFF), edit=edits.nircam_window),
    RampCase("snowballs-core", IMAGE, saved("jump", jump={"expand_large_events": True, "min_sat_area": 3.0, "min_sat_radius_extend": 1.0, "sat_expand": 4, "edge_size": 60,
                                                          "snowball_time_masked_next_int": 20}, dark_current=OFF), edit=edits.nircam_window),
    RampCase("snowballs-no-next", IMAGE, saved("jump", jump={"expand_large_events": True, "mask_snowball_core_next_int": False, "use_ellipses": True,
                                                             "after_jump_flag_dn1": 20.0, "after_jump_flag_time1": 50.0}, dark_current=OFF), edit=edits.nircam_window),
    RampCase("showers", MIRI, saved("jump", jump={"find_showers": True}, **DARKLESS), edit=edits.miri_window),
    RampCase("showers-limits", MIRI, saved("jump", jump={"find_showers": True, "extend_snr_threshold": 1.7, "extend_min_area": 50, "extend_inner_radius": 2.0,
                                                         "extend_outer_radius": 3.6, "extend_ellipse_expand_ratio": 1.4, "time_masked_after_shower": 6.0,
                                                         "max_shower_amplitude": 1.0}, **DARKLESS), edit=edits.miri_window),
    RampCase("showers-radius", MIRI, saved("jump", jump={"find_showers": True, "max_extended_radius": 15, "extend_snr_threshold": 1.0}, **DARKLESS), edit=edits.miri_window),
]  # fmt: skip

GROUPS = [
    RampCase("miri-all", LRS, saved("firstframe", "lastframe", "rscd", firstframe=ON, lastframe=ON, rscd=ON, ipc=ON), RAMP),
    RampCase("miri-bright-group", LRS, saved("firstframe", firstframe={"skip": False, "bright_use_group1": False}, lastframe=ON)),
    RampCase("emi-sequential", LRS, saved("emicorr", emicorr={"algorithm": "sequential"})),
    RampCase("emi-sequential-bins", LRS, saved("emicorr", emicorr={"algorithm": "sequential", "nbins": 120, "nints_to_phase": 2, "use_n_cycles": None})),
    RampCase("emi-sequential-unscaled", LRS, saved("emicorr", emicorr={"algorithm": "sequential", "scale_reference": False, "use_n_cycles": 6})),
    RampCase("emi-frequencies", LRS, saved("emicorr", emicorr={"onthefly_corr_freq": [390.625, 10.039216], "save_intermediate_results": True}), differs=("meta.author",)),
    RampCase("emi-separate", LRS, saved("emicorr", emicorr={"fit_ints_separately": True})),
    RampCase("miri-dark", MIRI_DARK), RampCase("niriss-dark", NIRISS_DARK),
    RampCase("niriss-dark-saved", NIRISS_DARK, saved("saturation", "refpix", saturation={"n_pix_grow_sat": 2}, refpix={"odd_even_columns": False}, ipc=ON)),
    RampCase("miri-dark-saved", MIRI_DARK, saved("emicorr", "rscd", emicorr={"algorithm": "sequential"}, lastframe=OFF)),
]  # fmt: skip

SKIPS = [
    *(RampCase(f"skip-{alias}", BRIGHT, {alias: OFF}) for alias in ("group_scale", "dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current", "jump")),
    *(RampCase(f"skip-miri-{alias}", LRS, {"lastframe": ON, "rscd": ON, alias: OFF}) for alias in
      ("dq_init", "emicorr", "saturation", "lastframe", "reset", "linearity", "rscd", "dark_current", "jump")),
    RampCase("skip-all", GRATING, dict.fromkeys(NIR, OFF)),
    RampCase("skip-all-but-fit", GRATING, dict.fromkeys(NIR[:-2], OFF)),
    *(RampCase(f"without-{reftype}", GRATING, {alias: {f"override_{reftype}": "N/A"}}) for alias, reftype in
      (("dq_init", "mask"), ("saturation", "saturation"), ("superbias", "superbias"), ("linearity", "linearity"), ("dark_current", "dark"))),
]  # fmt: skip

SIZES = [
    *(RampCase(f"groups-{n}", PRISM, saved("jump", ramp_fit={"save_opt": True, "suppress_one_group": bool(n % 2)}), RAMP, edit=edits.first(3, n)) for n in (1, 2, 3)),
    *(RampCase(f"groups-{n}-likely", PRISM, {"ramp_fit": {"algorithm": "LIKELY"}}, edit=edits.first(3, n)) for n in (1, 2, 3)),
    *(RampCase(f"groups-{n}-bright", BLINDING, edit=edits.first(2, n)) for n in (1, 2, 5)),
    *(RampCase(f"miri-groups-{n}", LRS, {"lastframe": ON, "rscd": ON}, edit=edits.first(2, n)) for n in (1, 2, 3, 4, 5)),
    RampCase("one-integration", PRISM, saved("jump"), RAMP, edit=edits.first(1, 6)),
    RampCase("one-integration-one-group", PRISM, {"ramp_fit": {"suppress_one_group": False}}, edit=edits.first(1, 1)),
    RampCase("soss-one", SOSS, edit=edits.first(1, 3)),
    RampCase("second-segment", _series("nrs_bots_sub2048", 7, nints=6), segment=1),
    RampCase("lrs-other", _series("miri_lrs_slitless", 7, nints=3, ngroups=8), saved("emicorr"), RAMP),
]  # fmt: skip

SIDES = {"skip": False, "save_mask": True, "save_background": True, "save_noise": True}
NOISE = [
    RampCase("flicker", GRATING, saved("clean_flicker_noise", clean_flicker_noise=SIDES), RAMP),
    RampCase("flicker-fft", GRATING, {"clean_flicker_noise": {**SIDES, "fit_method": "fft", "n_sigma": 3.0}}, few=500.0),
    RampCase("flicker-model", GRATING, {"clean_flicker_noise": {**SIDES, "background_method": "model", "background_box_size": [16, 64], "fit_histogram": True}}),
    RampCase("flicker-image", SOSS, {"clean_flicker_noise": {**SIDES, "background_method": "median_image", "single_mask": False}}),
    RampCase("flicker-none", GRATING, {"clean_flicker_noise": {"skip": False, "background_method": None, "save_mask": True, "save_noise": True, "single_mask": False}}),
    RampCase("flicker-mask", GRATING, {"clean_flicker_noise": {**SIDES, "user_mask": "{flicker}/*_mask.fits"}}),
    RampCase("flicker-auto", GRATING, {"clean_flicker_noise": {**SIDES, "autoparam": True}}),
    RampCase("flicker-soss", SOSS, {"clean_flicker_noise": {**SIDES, "autoparam": True}}),
    RampCase("flicker-lrs", LRS, {"clean_flicker_noise": SIDES}),
    RampCase("flicker-channel", MOS, {"clean_flicker_noise": {"skip": False, "fit_by_channel": True, "save_noise": True}}, cuts=(SMALL,)),
    RampCase("picture", MOS, saved("picture_frame", picture_frame={"skip": False, "mask_science_regions": False, "save_mask": True, "save_correction": True, "n_sigma": 3.0}),
             cuts=(SMALL,)),
]  # fmt: skip

GUIDING = [RampCase(f"guide-{kind}", _series(f"fgs_{kind}", 1), saved("dq_init", "guider_cds")) for kind in ("acq1", "acq2", "track", "fineguide")]
GUIDING += [RampCase("guide-track-no-flat", _series("fgs_track", 1), {"flat_field": OFF}), RampCase("guide-track-no-dq", _series("fgs_track", 1), {"dq_init": OFF}),
            RampCase("guide-no-gain", _series("fgs_acq1", 1), {"guider_cds": {"override_gain": "N/A"}}, fails=True)]  # fmt: skip

FULL = [
    RampCase("nircam-full", IMAGE, saved("refpix", jump={"expand_large_events": True}), RAMP, cuts=(SMALL,)),
    RampCase("nircam-sirs", IMAGE, saved("refpix", refpix={"refpix_algorithm": "sirs", "sigreject": 3.0, "gaussmooth": 2.0, "halfwidth": 20}), cuts=(SMALL,)),
    RampCase("nircam-persistence", IMAGE, {"persistence": {"skip": False, "persistence_time": 1000, "dn_threshold": 30000.0, "save_persistence": "{out}/open.asdf"},
                                           "ipc": ON, "ramp_fit": {"suppress_one_group": True}}, RAMP, cuts=(SMALL,)),
    RampCase("miri-full", MIRI, saved("refpix"), RAMP, cuts=(SMALL,)),
    RampCase("miri-full-rows", MIRI, saved("refpix", refpix={"odd_even_rows": False}, lastframe=OFF), cuts=(SMALL,)),
    RampCase("mos-full", MOS, saved("refpix", refpix={"use_side_ref_pixels": False, "odd_even_columns": False}), cuts=(SMALL,)),
    RampCase("mos-full-side", MOS, saved("refpix", refpix={"side_smoothing_length": 21, "side_gain": 0.8}), cuts=(SMALL,)),
    RampCase("irs2", IRS2, saved("refpix"), RAMP, cuts=(SMALL,), few=20.0),
    RampCase("irs2-preserved", IRS2, {"refpix": {"preserve_irs2_refpix": True, "save_results": True},
                                      **dict.fromkeys(("linearity", "dark_current", "jump", "ramp_fit", "gain_scale"), OFF)}, cuts=(SMALL,), few=20.0),
    RampCase("irs2-preserved-all", IRS2, {"refpix": {"preserve_irs2_refpix": True}}, cuts=(SMALL,), fails=True),
    RampCase("irs2-means", IRS2, saved("refpix", refpix={"irs2_mean_subtraction": True, "ovr_corr_mitigation_ftr": 2.0}), cuts=(SMALL,), few=20.0),
]  # fmt: skip

CASES = [*PRODUCTS, *FITS, *SATURATION, *MIGRATION, *JUMPS, *GROUPS, *SKIPS, *SIZES, *NOISE, *GUIDING, *FULL]
OTHERS.update({case.name: case for case in CASES})
__all__ = ["CASES", "ROWS", "SMALL"]
