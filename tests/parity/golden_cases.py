"""Simulated exposures and parameters whose reference products are kept in ``golden/``."""

from __future__ import annotations

from typing import Any

SCENES: dict[str, dict[str, Any]] = {
    "prism": {"mode": "bots_prism", "nsegments": 2, "nints": 4, "seed": 21},
    "prism_rate": {"mode": "bots_prism", "nsegments": 1, "nints": 4, "seed": 22, "rate": True},
    "grating": {"mode": "bots_grating", "nsegments": 1, "nints": 3, "seed": 23, "grating": "G395H", "detectors": ("NRS1", "NRS2")},
    "medium": {"mode": "bots_grating", "nsegments": 1, "nints": 3, "seed": 24, "grating": "G140M", "detectors": ("NRS1",)},
    "lrs": {"mode": "lrs_slitless", "nsegments": 2, "nints": 4, "seed": 25},
    "lrs_rate": {"mode": "lrs_slitless", "nsegments": 1, "nints": 3, "seed": 26, "rate": True},
    "mos": {"mode": "mos_prism", "seed": 31, "shape": (200, 2048), "nsources": 2, "nextended": 1, "nbackground": 2},
    "mos_grating": {"mode": "mos_g395m", "seed": 32, "shape": (120, 2048), "nsources": 1, "nextended": 1, "nbackground": 0, "nods": 2,
                    "detectors": ("NRS2",)},
    "fs": {"mode": "fs", "seed": 33, "grating": "PRISM", "nods": 2},
}  # fmt: skip

CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "prism": ("prism", {}, {}),
    "prism_extended": (
        "prism",
        {"assign_wcs": {"slit_y_low": -0.45}, "srctype": {"source_type": "EXTENDED"}, "extract_1d": {"position_offset": 0.8},
         "pixel_replace": {"skip": False, "algorithm": "fit_profile", "n_adjacent_cols": 4}},
        {"outlier_detection": {"rolling_window_width": 3, "snr": "3.0 2.0"}, "pixel_replace": {"skip": False},
         "white_light": {"min_wavelength": 1.0, "max_wavelength": 4.0}},
    ),
    "prism_rate": ("prism_rate", {"flat_field": {"save_interpolated_flat": True}}, None),
    "grating": ("grating", {}, {}),
    "grating_uncorrected": (
        "grating", {"wavecorr": {"skip": True}, "flat_field": {"skip": True}, "photom": {"source_type": "EXTENDED"},
                    "extract_1d": {"apply_apcorr": False, "use_source_posn": False}}, None,
    ),
    "medium": ("medium", {"photom": {"apply_time_correction": False}}, {"outlier_detection": {"skip": True}}),
    "lrs": ("lrs", {}, {}),
    "lrs_background": (
        "lrs", {"photom": {"apply_time_correction": False}, "extract_1d": {"bkg_fit": "poly", "bkg_order": 1, "smoothing_length": 5}},
        {"outlier_detection": {"rolling_window_width": 1}, "extract_1d": {"use_source_posn": True, "subtract_background": False}},
    ),
    "lrs_rate": ("lrs_rate", {"flat_field": {"inverse": True}, "pixel_replace": {"skip": False}}, None),
}  # fmt: skip
"""Name -> scene, step parameters of spec2, of tso3 (None: not run)."""

SLITS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "mos_nods": ("mos", "level2", 1, {}),
    "mos_master": ("mos", "master", 0, {"extract_1d": {"extraction_type": "box"}}),
    "mos_options": (
        "mos", "level2", 0,
        {"assign_wcs": {"slit_y_low": -0.6}, "wavecorr": {"skip": True}, "barshadow": {"source_type": "EXTENDED"}, "bkg_subtract": {"sigma": 2.0},
         "photom": {"apply_time_correction": False}, "resample_spec": {"weight_type": "exptime", "pixel_scale_ratio": 0.8},
         "pixel_replace": {"skip": False, "algorithm": "fit_profile"}, "extract_1d": {"position_offset": 0.7, "apply_apcorr": False}},
    ),
    "mos_grating": ("mos_grating", "level2", 0, {}),
    "fs": ("fs", "level2", 0, {"flat_field": {"save_interpolated_flat": True}}),
    "fs_optimal": ("fs", "level2", 1, {"extract_1d": {"extraction_type": "optimal"}, "resample_spec": {"skip": True}}),
}  # fmt: skip
"""Exposures with many slits: name -> scene, which of its lists of associations, which of that, step parameters of spec2."""
SLIT_SAMPLES = 60  # values kept of each plane of each slit


def scene(name: str, folder: str) -> Any:
    """Simulate the exposures of a scene."""
    from jwst_dask import simulate

    values = dict(SCENES[name])
    return simulate.make(values.pop("mode"), folder, **values)


def print_of(truth: Any) -> str:
    """Digest of the exposures, so that a change of the simulator is not taken for one of the pipelines."""
    import hashlib
    from pathlib import Path

    import numpy as np
    from astropy.io import fits

    lines = []
    for name in truth.exposures:
        with fits.open(Path(truth.folder) / str(name)) as file:
            lines += [f"{hdu.name} {hdu.shape} {np.nansum(hdu.data, dtype=np.float64):.5e}" for hdu in file if isinstance(hdu, fits.ImageHDU)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
