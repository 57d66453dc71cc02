"""Small ramps with stripes, sources and flagged samples, and the cases of picture_frame and clean_flicker_noise, for both implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits

TIMES = (10.0, 2.0)
"""Group time and frame time, s."""
CORNER = (21, 101)
"""First row and column of the made-up subarrays."""
JUMP, SAT, DNU = 4, 2, 1
PRIMARY = {"SUBSTRT2": CORNER[0] - 3, "SUBSTRT1": CORNER[1] - 5}


def case(params: dict[str, Any] | None = None, **ramp: Any) -> dict[str, Any]:
    """Parameters of a step, and the ramp it works on."""
    return {"params": params or {}, "ramp": ramp}


MEDIAN_IMAGE = {"background_method": "median_image"}
FFT = {"fit_method": "fft"}
TALL = {"shape": (96, 120)}
"""Has boxes without sources, so that a smooth background is found."""
WIDE = {"shape": (24, 2048), "nints": 1, "ngroups": 3, "subarray": "FULL", "corner": (1, 1)}
FLICKER = {
    "median": case(),
    "rows": case(slowaxis=-2),
    "none": case({"background_method": None}),
    "model": case({"background_method": "model"}, **TALL),
    "box": case({"background_method": "model", "background_box_size": [10, 20]}),
    "crowded": case({"background_method": "model"}),
    "wide": case({"n_sigma": 4.0}),
    "all": case({"n_sigma": 0.0}),
    "histogram": case({"fit_histogram": True}),
    "fft": case(FFT),
    "fft_nrs2": case(FFT | {"background_method": None}, detector="NRS2", seed=3),
    "fft_allslits": case(FFT | {"single_mask": False}, subarray="ALLSLITS", seed=4),
    "flat": case({"apply_flat_field": True}),
    "flat_each": case({"apply_flat_field": True, "single_mask": False, "background_method": "model"}, **TALL),
    "masked": case({"user_mask": 2}),
    "masked_each": case({"user_mask": 3}),
    "each": case({"single_mask": False}),
    "image": case(MEDIAN_IMAGE, nints=5),
    "image_fft": case(MEDIAN_IMAGE | FFT, nints=4, seed=5),
    "image_flat": case(MEDIAN_IMAGE | {"apply_flat_field": True}, nints=4, seed=6),
    "image_masked": case(MEDIAN_IMAGE | {"user_mask": 2}, nints=3, seed=7),
    "image_one": case(MEDIAN_IMAGE, nints=1),
    "flagged": case(flagged=True, seed=8),
    "flagged_each": case({"single_mask": False}, flagged=True, seed=8),
    "one_integration": case({"single_mask": False}, nints=1),
    "one_group": case(ngroups=1),
    "two_groups": case(ngroups=2, nints=2),
    "zero": case(zero=True, flagged=True, seed=9),
    "channels": case({"fit_by_channel": True}, slowaxis=2, **WIDE),
    "channels_subarray": case({"fit_by_channel": True}),
    "miri": case({"mask_science_regions": True}, instrument="MIRI", exp_type="MIR_IMAGE", ngroups=6),
    "miri_each": case({"single_mask": False, "mask_science_regions": True}, instrument="MIRI", exp_type="MIR_IMAGE", ngroups=6, seed=10),
    "miri_mrs": case(instrument="MIRI", exp_type="MIR_MRS"),
    "niriss": case({"autoparam": True}, instrument="NIRISS", exp_type="NIS_IMAGE", **TALL),
    "niriss_sloped": case({"autoparam": True}, instrument="NIRISS", exp_type="NIS_IMAGE", slope=0.05, seed=11, **TALL),
    "niriss_full": case({"autoparam": True}, instrument="NIRISS", exp_type="NIS_IMAGE", offset=0.5, slowaxis=-2, seed=12, **WIDE | {"shape": (2048, 32)}),
    "niriss_fft": case(FFT, instrument="NIRISS", exp_type="NIS_IMAGE"),
    "nircam": case({"autoparam": True, "single_mask": False}, instrument="NIRCAM", exp_type="NRC_IMAGE", slope=0.002, seed=13, **TALL),
    "nircam_full": case({"autoparam": True}, instrument="NIRCAM", exp_type="NRC_IMAGE", offset=0.5, slowaxis=2, seed=14, **WIDE),
    "soss": case({"mask_science_regions": True}, instrument="NIRISS", exp_type="NIS_SOSS", shape=(64, 100), subarray="SUBSTRIP96", corner=(1, 1), nints=2),
    "soss_256": case({"mask_science_regions": True}, instrument="NIRISS", exp_type="NIS_SOSS", shape=(64, 100), subarray="SUBSTRIP256", corner=(1, 1),
                     nints=1, seed=15),
    "auto_spectra": case({"autoparam": True}, seed=16),
}  # fmt: skip
"""Of clean_flicker_noise; a user's mask is given by its number of axes."""
FULL = {"shape": (160, 160), "subarray": "FULL", "corner": (1, 1), "exp_type": "NRS_MSASPEC", "nints": 2}
PLAIN = {"mask_science_regions": False}
FRAME = {
    "default": case(PLAIN, **FULL),
    "all": case(PLAIN | {"n_sigma": 0.0}, **FULL | {"seed": 21}),
    "tight": case(PLAIN | {"n_sigma": 1.0}, **FULL | {"seed": 22, "flagged": True}),
    "two_groups": case(PLAIN, **FULL | {"ngroups": 2, "nints": 1, "seed": 23}),
    "one_group": case(PLAIN, **FULL | {"ngroups": 1}),
    "subarray": case(PLAIN, **FULL | {"subarray": "ALLSLITS"}),
}
"""Of picture_frame."""
EMPTY = {"sci": np.float32, "groupdq": np.uint8}


def ramp(shape: tuple[int, int] = (40, 200), nints: int = 3, ngroups: int = 5, seed: int = 1, flagged: bool = False, zero: bool = False,
         slope: float = 0.0, offset: float = 0.0, exp_type: str = "NRS_FIXEDSLIT", subarray: str = "SUBS200A1", instrument: str = "NIRSPEC",
         detector: str = "NRS1", slowaxis: int = 1, corner: tuple[int, int] = CORNER) -> tuple[dict[str, np.ndarray], dict[str, Any]]:  # fmt: skip
    """Arrays by name, and metadata by datamodel path."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    y, x = np.arange(ny)[:, None], np.arange(nx)
    rate = 2.0 + slope * (x + 0.5 * y) + offset * ((x // 512) % 2 + (y // 512) % 2)
    for centre, flux in ((0.3 * ny, 60.0), (0.7 * ny, 8.0)):
        rate = rate + flux * np.exp(-0.5 * ((y - centre - 2 * x / nx) / 1.3) ** 2)
    rate = rate * (1 + 0.02 * rng.standard_normal((nints, 1, 1, 1)))
    times = TIMES[0] * (1 + np.arange(ngroups))[:, None, None]
    along = nx if abs(slowaxis) == 1 else ny
    walk = np.cumsum(rng.standard_normal((nints, ngroups, along)), axis=-1) * 0.5
    walk = walk[:, :, None, :] if abs(slowaxis) == 1 else walk[..., None]
    sci = (100 * rng.random((ny, nx)) + rate * times + 5 * rng.standard_normal((nints, ngroups, ny, nx)) + walk).astype(np.float32)
    groupdq = np.zeros(sci.shape, np.uint8)
    groupdq[rng.random(sci.shape) < 0.01] = JUMP
    sci[groupdq == JUMP] += 300
    if flagged:
        first = rng.integers(0, 20, (nints, ny, nx))
        groupdq[np.arange(ngroups)[:, None, None] >= first[:, None]] |= SAT
        groupdq[rng.random(sci.shape) < 0.01] |= DNU
        groupdq[0, -1] |= DNU
        sci[rng.random(sci.shape) < 0.002] = np.nan
    if instrument == "MIRI":
        groupdq[:, :2] |= DNU
        groupdq[:, -1] |= DNU
    pixeldq = np.where(rng.random(shape) < 0.02, 1 << rng.integers(0, 18, shape), 0).astype(np.uint32)
    pixeldq[:, :3] |= 1
    arrays = {"sci": sci, "groupdq": groupdq, "pixeldq": pixeldq}
    if zero:
        arrays["zeroframe"] = (sci[:, 0] / 5).astype(np.float32)
    detector = detector if instrument == "NIRSPEC" else {"MIRI": "MIRIMAGE", "NIRISS": "NIS", "NIRCAM": "NRCA1"}[instrument]
    meta = {"instrument.name": instrument, "instrument.detector": detector, "instrument.pupil_position": 245.8, "exposure.type": exp_type,
            "exposure.nints": nints, "exposure.ngroups": ngroups, "exposure.nframes": 1, "exposure.groupgap": 4, "exposure.group_time": TIMES[0],
            "exposure.frame_time": TIMES[1], "exposure.integration_start": 1, "exposure.integration_end": nints, "subarray.name": subarray,
            "subarray.xstart": corner[1], "subarray.ystart": corner[0], "subarray.xsize": nx, "subarray.ysize": ny, "subarray.fastaxis": 1,
            "subarray.slowaxis": slowaxis, "observation.date": "2024-01-01", "observation.time": "00:00:00.0",
            "filename": "made_up_nrs1_ramp.fits"}  # fmt: skip
    return arrays, meta


def write_references(folder: str, shape: tuple[int, int], nints: int, whole: bool) -> dict[str, str]:
    """Reference files by type, larger than the exposure unless it is a `whole` frame; ``mask2`` and ``mask3`` are users' masks."""
    rng = np.random.default_rng(77)
    area = shape if whole else (shape[0] + 9, shape[1] + 11)
    flat = (1 + 0.05 * rng.standard_normal(area)).astype(np.float32)
    flat[10:13, 50:60], flat[20, :30] = 0, np.nan
    flags = np.where(rng.random(area) < 0.1, 1 << rng.integers(0, 20, area), 0).astype(np.int32)
    gain = rng.uniform(0.9, 1.8, area).astype(np.float32)
    images = {"readnoise": {"SCI": rng.uniform(5, 9, area).astype(np.float32)}, "gain": {"SCI": gain},
              "flat": {"SCI": flat, "ERR": np.full(area, 0.01, np.float32), "DQ": flags},
              "pictureframe": {"SCI": _pattern(shape), "DQ": np.zeros(shape, np.int32)},
              "mask2": {"SCI": (rng.random(shape) > 0.3).astype(np.float32)},
              "mask3": {"SCI": (rng.random((nints, *shape)) > 0.3).astype(np.float32)}}  # fmt: skip
    paths = {}
    for name, arrays in images.items():
        primary = fits.PrimaryHDU()
        place = {"SUBSTRT1": 1, "SUBSTRT2": 1} if whole or name == "pictureframe" else PRIMARY
        for key, value in {**place, "SUBSIZE1": area[1], "SUBSIZE2": area[0], "FASTAXIS": 1, "SLOWAXIS": 1, "TELESCOP": "JWST"}.items():
            primary.header[key] = value
        if name.startswith("mask"):
            primary.header["DATAMODL"] = "CubeModel" if name == "mask3" else "ImageModel"
        paths[name] = f"{folder}/{name}.fits"
        fits.HDUList([primary, *(fits.ImageHDU(array, name=key) for key, array in arrays.items())]).writeto(paths[name], overwrite=True)
    return paths | {"pastasoss": write_traces(f"{folder}/pastasoss.asdf")}


def _pattern(shape: tuple[int, int]) -> np.ndarray:
    """An image that is brighter at its edges."""
    y, x = (np.arange(n) - n / 2 for n in shape)
    pattern = 0.02 + 0.1 * ((y[:, None] / shape[0]) ** 2 + (x / shape[1]) ** 2)
    pattern[::17, ::13] = np.nan
    return pattern.astype(np.float32)


def write_traces(path: str) -> str:
    """Traces of two orders across frames of 64 x 100 pixels."""
    from stdatamodels.jwst import datamodels

    x = np.arange(2.0, 97.0)
    model = datamodels.PastasossModel()
    orders = []
    for order, (level, bend) in enumerate(((20.0, 0.002), (50.0, -0.001)), start=1):
        trace = np.column_stack((x, level + 10 + bend * (x - 40) ** 2))[:: (-1) ** order]
        waves = {"spectral_order": order, "coefficients": [2.8 / order, -1.9 / order, 0.01, 0.02, 0.001, 0.002], "polynomial_degree": 2,
                 "scale_extents": [[0.0, -0.25], [100.0, 0.25]]}  # fmt: skip
        orders.append(({"spectral_order": order, "trace": trace, "pivot_x": 40.0, "pivot_y": level + 10, "padding": 0}, waves))
    model.traces, model.wavecal_models = [trace for trace, _ in orders], [waves for _, waves in orders]
    for name, value in {"pwcpos_cmd": 245.76, "pwcpos_bounds": [245.51, 246.01], "subarray_ymin": 0, "soss_xdim": 100, "soss_ydim": 64,
                        "wavemap_wlmin": 0.5, "wavemap_wlmax": 2.9, "wavemap_nwl": 501}.items():  # fmt: skip
        setattr(model.meta, name, value)
    model.save(path)
    return path


def crop(shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Of a result of this shape, what is kept as a golden value: the last group, to which all before contribute."""
    ny, nx = shape[-2:]
    groups = (slice(None), slice(-1, None)) if len(shape) == 4 else (...,)
    return (*groups, slice(1, None, max(5, ny // 9)), slice(2, None, max(7, nx // 14)))
