"""The mock NIRSpec bright-object mode: a star in the wide aperture, dispersed onto a sub-array."""

from __future__ import annotations

import numpy as np

from jwst_dask.simulate import nirspec_refs as refs
from jwst_dask.simulate import optics, scene
from jwst_dask.simulate.setup import Setup, common_header

PROGRAM = "09901"
VELOCITY = -8000.0
TARGET = (217.3267, -3.4445)
LEVEL = {"PRISM": (0.015, 2.0), "M": (0.08, 2.0), "H": (0.20, 3.0)}  # Jy at um
SUBARRAY = {"PRISM": ("SUB512", (32, 512), 1024), "other": ("SUB2048", (32, 2048), 0)}  # name, shape, first column
GAIN = {"NRS1": 1.0, "NRS2": 1.14}


def setup(grating: str, detector: str, shape: tuple[int, int] | None, mjd: float) -> Setup:
    """The exposure of one detector.

    Parameters
    ----------
    grating : str
        ``PRISM``, ``G395H``, ...
    detector : str
        ``NRS1`` or ``NRS2``.
    shape : (int, int)
        Rows and columns of the sub-array, by default that of the mode.
    mjd : float
        Middle of the time series, for the throughput.
    """
    name, default, first = SUBARRAY.get(grating, SUBARRAY["other"])
    ny, nx = shape or default
    centre_row, centre_column = _trace(grating, detector)
    if nx != default[1]:
        first = int(np.clip(centre_column - nx // 2, 0, optics.NPIX - nx))
    y0 = int(round(centre_row)) - ny // 2
    y, x = np.mgrid[y0 : y0 + ny, first : first + nx]
    wavelength, height = optics.project(detector, grating, x, y, VELOCITY)
    lo, hi = refs.span(grating)
    star = _light(grating, detector, wavelength, height, slice(y0, y0 + ny), slice(first, first + nx), mjd)
    star = np.where(np.isfinite(wavelength) & (wavelength > lo) & (wavelength < hi), star, 0.0)
    grid = np.linspace(lo, hi, 2000)
    filter_ = optics.filter_of(grating)
    group, ngroups = (0.2255, 5) if grating == "PRISM" else (0.90156, 15)
    head = common_header("NIRSPEC", detector, refs.EXP_TYPE, PROGRAM, TARGET, 110.0, optics.REFERENCE_POINT, "NRS_S1600A1_SLIT", VELOCITY)
    head |= {
        "instrument.filter": filter_, "instrument.grating": grating, "instrument.fixed_slit": refs.APERTURE, "instrument.lamp_state": "NONE",
        "instrument.lamp_mode": "NONE", "instrument.gwa_xtilt": optics.TILT_READING[0] + optics.TILT_OFFSET[0],
        "instrument.gwa_ytilt": optics.TILT_READING[1] + optics.TILT_OFFSET[1],
        "instrument.gwa_tilt": optics.TEMPERATURE, "instrument.focus_position": 1.2, "exposure.readpatt": "NRSRAPID", "exposure.drop_frames1": 0,
        "subarray.name": name, "subarray.xstart": first + 1, "subarray.ystart": y0 + 1, "subarray.xsize": nx, "subarray.ysize": ny,
        "subarray.fastaxis": 2, "subarray.slowaxis": 1, "dither.nod_type": "NONE", "cal_step.superbias": "COMPLETE",
    }  # fmt: skip
    product = f"jw{PROGRAM}-o001_t001_nirspec_{filter_}-{grating}-{refs.APERTURE}-{name}".lower()
    return Setup(
        stem=f"jw{PROGRAM}001001_04101_00001", detector=detector.lower(), product=product if grating == "PRISM" else f"{product}-{detector.lower()}",
        program=PROGRAM, star=star, background=np.zeros_like(star), integration_time=group * ngroups, group_time=group, ngroups=ngroups,
        cadence=group * (ngroups + 1), gain=GAIN[detector], read_noise=9.0, header=head, rule2="Asn_Lv2NRSFSS", wavelength=grid,
        flux=scene.star(grid, *LEVEL["PRISM" if grating == "PRISM" else grating[-1]]),
    )  # fmt: skip


def _trace(grating: str, detector: str) -> tuple[float, float]:
    """Row and column of the full frame where the spectrum has its middle."""
    x = np.arange(0.0, optics.NPIX, 16)
    y = np.arange(940.0, 1108.0)
    wavelength, height = optics.project(detector, grating, *np.meshgrid(x, y))
    lo, hi = refs.span(grating)
    inside = (np.abs(height) < 0.3) & (wavelength > lo) & (wavelength < hi)
    rows, columns = np.nonzero(inside)
    if not len(rows):
        raise ValueError(f"{grating} puts no light on {detector}")
    return float(y[rows].mean()), float(x[columns].mean())


def _light(grating: str, detector: str, wavelength: np.ndarray, height: np.ndarray, rows: slice, columns: slice, mjd: float) -> np.ndarray:
    """DN/s of the star on a window of the full frame."""
    dispersion = np.gradient(wavelength, axis=1)
    nan = ~np.isfinite(wavelength)
    seen = np.nan_to_num(wavelength + refs.shift(optics.SOURCE[0], wavelength * 1e-6) * np.nan_to_num(dispersion), nan=2.0)
    pitch = np.nanmean(np.gradient(height, axis=0))  # slit heights per pixel
    offset = np.nan_to_num((height - optics.SOURCE[1]) / pitch, nan=99.0) * refs.PIXEL_ARCSEC
    profile = scene.strip(offset, refs.PIXEL_ARCSEC, scene.sigma(seen))
    flux = scene.star(seen, *LEVEL["PRISM" if grating == "PRISM" else grating[-1]])
    light = flux * 1e-6 / refs.conversion(grating, seen, mjd) * refs.flat(detector, wavelength, rows, columns) * profile
    return np.where(nan, 0.0, light)
