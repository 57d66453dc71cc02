"""The mock MIRI low-resolution spectrometer without slit: a star on a bright, smooth background."""

from __future__ import annotations

import numpy as np

from jwst_dask.simulate import miri_refs as refs
from jwst_dask.simulate import scene
from jwst_dask.simulate.setup import Setup, common_header

PROGRAM = "09902"
VELOCITY = 12000.0
TARGET = (151.2034, -17.3127)
LEVEL = (0.08, 7.0)  # Jy at um
GROUP_TIME, NGROUPS = 0.15904, 60


def setup(shape: tuple[int, int] | None, mjd: float) -> Setup:
    """The exposure of the detector.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns; fewer rows are the lower (red) end of the sub-array, columns must be those of the sub-array.
    mjd : float
        Middle of the time series, for the throughput.
    """
    name, x0, y0, nx, ny = refs.SUBARRAY
    if shape is not None:
        if shape[1] != nx or not 32 <= shape[0] <= ny:
            raise ValueError(f"shape={shape}: the {name} sub-array has {nx} columns and up to {ny} rows")
        ny = shape[0]
    y, x = np.mgrid[:ny, :nx].astype(float)
    row = y + y0 - 1 - refs.ZERO[1]
    inside = (row <= refs.TRACE[0]) & (row >= refs.TRACE[1])
    wavelength = np.where(inside, refs.wavelength(row), 7.0) / (1 + VELOCITY / 299792458.0)
    offset = (x - refs.ZERO[0] - refs.bend(row)) * refs.PIXEL_ARCSEC
    profile = scene.strip(offset, refs.PIXEL_ARCSEC, scene.sigma(wavelength))
    pixel, _ = refs.flat()
    star = scene.star(wavelength, *LEVEL) * 1e-6 / refs.conversion(wavelength, mjd) * profile * pixel[:ny] * inside
    background = (9.0 + 5.0 * np.exp(-y / 120.0)) * pixel[:ny]
    time = GROUP_TIME * NGROUPS
    head = common_header("MIRI", "MIRIMAGE", refs.EXP_TYPE, PROGRAM, TARGET, 113.7, refs.REFERENCE_POINT, "MIRIM_SLITLESSPRISM", VELOCITY)
    head |= {
        "instrument.filter": "P750L", "instrument.ccc_state": "OPEN", "instrument.lamp_state": "OFF", "exposure.readpatt": "FASTR1",
        "exposure.nresets_between_ints": 1, "exposure.count": 1, "subarray.name": name, "subarray.xstart": x0, "subarray.ystart": y0,
        "subarray.xsize": nx, "subarray.ysize": ny, "subarray.fastaxis": 1, "subarray.slowaxis": 2, "wcsinfo.wcsaxes": 2,
        "wcsinfo.crpix1": refs.ZERO[0] + 1, "wcsinfo.crpix2": refs.ZERO[1] + 2 - y0, "wcsinfo.cdelt1": refs.PIXEL_ARCSEC / 3600,
        "wcsinfo.cdelt2": refs.PIXEL_ARCSEC / 3600, "wcsinfo.ctype1": "RA---TAN", "wcsinfo.ctype2": "DEC--TAN", "wcsinfo.cunit1": "deg",
        "wcsinfo.cunit2": "deg", "wcsinfo.siaf_xref_sci": refs.ZERO[0] + 1, "wcsinfo.siaf_yref_sci": refs.ZERO[1] + 2 - y0,
    }  # fmt: skip
    for step in ("firstframe", "lastframe", "reset", "rscd"):
        head[f"cal_step.{step}"] = "COMPLETE"
    grid = np.linspace(*refs.SPAN, 2000)
    return Setup(
        stem=f"jw{PROGRAM}001001_04101_00001", detector="mirimage", product=f"jw{PROGRAM}-o001_t001_miri_p750l-slitlessprism", program=PROGRAM,
        star=star, background=background, integration_time=time, group_time=GROUP_TIME, ngroups=NGROUPS, cadence=time + GROUP_TIME, gain=4.1,
        read_noise=30.0, header=head, rule2="Asn_Lv2SpecTSO", wavelength=grid, flux=scene.star(grid, *LEVEL), reference_columns=refs.REFERENCE_COLUMNS,
    )  # fmt: skip
