"""Small exposures with stripes, sources and bad pixels for the steps of the frame; numpy and astropy only, so that both implementations make them."""

from __future__ import annotations

import numpy as np

IMAGE, CUBE, FRAME = (40, 360), (4, 24, 200), (32, 512)
FLICKER = {
    "median": {},
    "none": {"background_method": None},
    "model": {"background_method": "model"},
    "box": {"background_method": "model", "background_box_size": [16, 25]},
    "wide": {"n_sigma": 4.0},
    "all": {"n_sigma": 0.0},
    "histogram": {"fit_histogram": True},
    "fft": {"fit_method": "fft"},
    "fft_none": {"fit_method": "fft", "background_method": None, "n_sigma": 3.0},
    "flat": {"apply_flat_field": True},
    "masked": {"user_mask": "mask.fits", "fit_method": "fft"},
}
"""Parameters of clean_flicker_noise by case, of an image."""
SERIES = {"single": {}, "each": {"single_mask": False}, "fft": {"fit_method": "fft"}}
BACKGROUND = {"default": {}, "tight": {"sigma": 1.0}, "once": {"sigma": 0.9, "maxiters": 1}}
"""Parameters of bkg_subtract by case; two backgrounds for an image, or of a series."""
CROP = (slice(None, None, 2), slice(None, None, 3))
"""Of each result, what is kept as a golden value."""


def image(seed: int, shape: tuple[int, ...] = IMAGE) -> dict[str, np.ndarray]:
    """SCI, ERR, DQ of a rate image: noise, stripes along y, two traces, NaN and flagged pixels."""
    rng = np.random.default_rng(seed)
    ny, nx = shape[-2:]
    x, y = np.arange(nx), np.arange(ny)[:, None]
    walk = np.cumsum(rng.standard_normal(nx)) * 0.02
    sci = 0.5 + 0.3 * rng.standard_normal((ny, nx)) + walk + 0.002 * x
    for centre, flux in ((0.3 * ny, 30.0), (0.7 * ny, 4.0)):
        sci = sci + flux * np.exp(-0.5 * ((y - centre - 2 * x / nx) / 1.3) ** 2)
    sci[rng.random((ny, nx)) < 0.003] += 40
    dq = np.where(rng.random((ny, nx)) < 0.02, 1 << rng.integers(0, 31, (ny, nx)), 0).astype(np.uint32)
    sci[rng.random((ny, nx)) < 0.01] = np.nan
    sci[:, :4] = 0
    return {"SCI": sci.astype(np.float32), "ERR": (0.3 + 0.05 * rng.random((ny, nx))).astype(np.float32), "DQ": dq}


def series(seed: int) -> dict[str, np.ndarray]:
    """The same with integrations."""
    planes = [image(seed + i, CUBE) for i in range(CUBE[0])]
    return {name: np.stack([plane[name] for plane in planes]) for name in planes[0]}


def flat() -> np.ndarray:
    """A flat with unusable values (float32[y, x])."""
    rng = np.random.default_rng(5)
    values = (1 + 0.05 * rng.standard_normal(IMAGE)).astype(np.float32)
    values[10:13, 50:60], values[20, :30] = 0, np.nan
    return values


def mask() -> np.ndarray:
    """A user's mask (float32[y, x]; 1 for background)."""
    out = (np.random.default_rng(6).random(IMAGE) > 0.3).astype(np.float32)
    out[8:16], out[24:32] = 0, 0
    return out


def keywords(shape: tuple[int, ...], name: str, exp_type: str = "NRS_FIXEDSLIT") -> dict[str, object]:
    """Primary header."""
    return {"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": exp_type, "FILTER": "CLEAR", "GRATING": "PRISM",
            "SUBARRAY": "SUBS200A1", "SUBSTRT1": 1, "SUBSTRT2": 101, "SUBSIZE1": shape[-1], "SUBSIZE2": shape[-2], "FASTAXIS": 2, "SLOWAXIS": 1,
            "GWA_XTIL": 0.34, "GWA_YTIL": 0.03, "DATAMODL": "CubeModel" if len(shape) == 3 else "ImageModel", "FILENAME": name,
            "DATE-OBS": "2023-01-01", "TIME-OBS": "00:00:00.0", "INTSTART": 1, "INTEND": shape[0] if len(shape) == 3 else 1,
            "NINTS": shape[0] if len(shape) == 3 else 1, "NGROUPS": 5}  # fmt: skip


def write(path: str, arrays: dict[str, np.ndarray], exp_type: str = "NRS_FIXEDSLIT", **more: object) -> str:
    """Write an exposure as FITS; returns the path."""
    from pathlib import Path

    from astropy.io import fits

    hdus = fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(array, name=name) for name, array in arrays.items())])
    for key, value in (keywords(arrays["SCI"].shape, Path(path).name, exp_type) | more).items():
        hdus[0].header[key] = value
    hdus.writeto(path, overwrite=True)
    return path
