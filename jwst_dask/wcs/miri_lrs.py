"""WCS of MIRI's low-resolution spectrometer without a slit.

Source: JWST documentation, MIRI LRS; the specwcs reference gives the trace's centre and wavelength by detector row.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.wcs.build import Geometry, Recipe, needed
from jwst_dask.wcs.references import WcsReferences, identity, model_of
from jwst_dask.wcs.sky import aberration_correction, barycentric_correction, v23_to_sky

REFERENCE_COLUMNS = 4
"""Columns without light at the left of the slitless subarray."""
SMOOTHNESS = 0.002
"""Residual that the splines through the trace and the wavelengths may have."""


@dataclass(frozen=True)
class Setting:
    """The metadata that the WCS depends on."""

    xstart: int
    ystart: int
    xsize: int
    velosys: float | None
    v2_ref: float
    v3_ref: float
    roll_ref: float
    ra_ref: float
    dec_ref: float
    va_scale: float | None


@dataclass(frozen=True)
class Trace:
    """The specwcs reference: reference pixel (from 0, full frame) and, by row, trace and calibrated region relative to it."""

    x_ref: float
    y_ref: float
    x_center: np.ndarray
    y_center: np.ndarray
    wavelength: np.ndarray
    y_top: float
    y_bottom: float


def slitless(model: Any) -> Recipe:
    """What the WCS of a slitless exposure is made from."""
    subarray, pointing = model.meta.subarray, ("v2_ref", "v3_ref", "roll_ref", "ra_ref", "dec_ref")
    xstart, ystart, xsize = needed(model, "subarray.xstart", "subarray.ystart", "subarray.xsize")
    if (xstart, ystart) == (1, 1):
        raise InputError(f"slitless LRS exposures are taken with SLITLESSPRISM; {model.meta.filename} is {subarray.name}, at pixel (1, 1)")
    values = dict(zip(pointing, needed(model, *(f"wcsinfo.{name}" for name in pointing))))
    scale = model.meta.velocity_aberration.scale_factor
    setting = Setting(xstart, ystart, xsize, model.meta.wcsinfo.velosys, **values, va_scale=scale)
    return Recipe(astuple(setting), lambda refs: Geometry(_assemble(setting, refs)))


def _assemble(setting: Setting, refs: WcsReferences) -> Any:
    import gwcs
    from astropy.modeling.models import Identity

    to_v23 = _subarray_to_full(setting) | refs.read("distortion", model_of)
    trace = _read_trace(refs)
    zero = tuple(_subarray_to_full(setting).inverse(trace.x_ref, trace.y_ref))
    scale = _pixel_scale(to_v23, zero)
    where = (setting.v2_ref, setting.v3_ref)
    steps = [
        _to_slit(setting, trace, zero, scale),
        _slit_to_v23(to_v23, zero, scale),
        aberration_correction(setting.va_scale, *where) & Identity(1),
        v23_to_sky(*where, setting.roll_ref, setting.ra_ref, setting.dec_ref) & Identity(1),
        None,
    ]
    return gwcs.WCS(list(zip(_frames(), steps)))


def _subarray_to_full(setting: Setting) -> Any:
    from astropy.modeling.models import Identity, Shift

    x, y = (Identity(1) if start == 1 else Shift(start - 1) for start in (setting.xstart, setting.ystart))
    return x & y


def _read_trace(refs: WcsReferences) -> Trace:
    path = refs.path("specwcs")
    return memo(("LRS trace", identity(path)), lambda: _load_trace(path, refs))


def _load_trace(path: str, refs: WcsReferences) -> Trace:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as file:
            table = file["WAVETABLE"].data if "WAVETABLE" in file else file[1].data
            header = file[0].header
            x, y, wave, top, bottom = (np.array(table[name], float) for name in ("X_CENTER", "Y_CENTER", "WAVELENGTH", "Y0", "Y2"))
            return Trace(header["IMXSLTL"] - 1, header["IMYSLTL"] - 1, x, y, wave, float(top.max()), float(bottom.min()))
    except (OSError, KeyError, IndexError, TypeError) as error:
        raise refs.unusable("specwcs", error) from error


def _pixel_scale(to_v23: Any, zero: tuple[float, float]) -> float:
    """Arcsec per pixel across the spectrum, at the reference pixel."""
    here, beside = to_v23(*zero), to_v23(zero[0] + 1, zero[1])
    return float(np.sqrt((here[0] - beside[0]) ** 2 + (here[1] - beside[1]) ** 2))


def _smoothed(rows: np.ndarray, values: np.ndarray, name: str) -> Any:
    """A table of a smoothing spline by row (rows decrease in the reference; NaN outside)."""
    from astropy.modeling.models import Tabular1D
    from scipy.interpolate import UnivariateSpline

    smooth = UnivariateSpline(rows[::-1], values[::-1], s=SMOOTHNESS)(rows)
    return Tabular1D(lookup_table=smooth, points=rows, name=name, bounds_error=False, fill_value=np.nan)


def _to_slit(setting: Setting, trace: Trace, zero: tuple[float, float], scale: float) -> Any:
    """Pixels of the subarray to (alpha, beta, wavelength): offset across the trace in arcsec, 0, microns."""
    from astropy.modeling import bind_bounding_box
    from astropy.modeling.models import Const1D, Mapping, Polynomial1D, Shift

    rows = trace.y_center + zero[1]
    bend = _smoothed(rows, (trace.x_center + zero[0]) - zero[0], "xshiftref")
    wave = _smoothed(rows, trace.wavelength, "waveref")
    if setting.velosys is not None:
        wave = wave | barycentric_correction(setting.velosys)

    x_of, y_of = Mapping([0], n_inputs=2), Mapping([1], n_inputs=2)
    # There and back: it changes nothing, and keeps the reference pixel where path-loss corrections look for it.
    anchor = Shift(-zero[0]) & Shift(-zero[1]) | Shift(zero[0]) & Shift(zero[1])
    straight = Mapping((0, 1, 0, 1)) | (x_of - (y_of | bend)) & y_of
    alpha = x_of | Shift(-zero[0]) | Polynomial1D(1, c0=0, c1=scale)
    position = anchor | straight | Mapping((0, 1, 0)) | alpha & Const1D(0)
    model = Mapping((0, 1, 0, 1)) | position & (y_of | wave)

    row = wave.inverse
    column = Polynomial1D(1, c0=0, c1=1 / scale) | Shift(zero[0])
    bent = Mapping((0, 2)) | column & row | (x_of + (y_of | bend))
    model.inverse = Mapping((0, 1, 2, 0, 1, 2)) | bent & (Mapping([2], n_inputs=3) | row)
    columns = (setting.xstart - 1 + REFERENCE_COLUMNS - 0.5, setting.xsize - 1 + 0.5)
    lit = (np.floor(trace.y_bottom + zero[1]) - 0.5, np.ceil(trace.y_top + zero[1]) + 0.5)
    bind_bounding_box(model, (columns, lit), order="F")
    return model


def _slit_to_v23(to_v23: Any, zero: tuple[float, float], scale: float) -> Any:
    """(alpha, beta, wavelength) to (V2, V3, wavelength)."""
    from astropy.modeling.models import Identity, Mapping, Polynomial1D, Shift

    pixels = [Polynomial1D(1, c0=0, c1=1 / scale) | Shift(start) for start in zero]
    model = Mapping((0, 1, 2)) | (pixels[0] & pixels[1] | to_v23) & Identity(1)
    angles = [Shift(-start) | Polynomial1D(1, c0=0, c1=scale) for start in zero]
    model.inverse = Mapping((0, 1, 2)) | (to_v23.inverse | angles[0] & angles[1]) & Identity(1)
    return model


def _frames() -> list[Any]:
    from astropy import units as u
    from astropy.coordinates import ICRS
    from gwcs import coordinate_frames as cf

    def plane(name: str, axes: tuple[str, str]) -> Any:
        return cf.Frame2D(name=name, axes_order=(0, 1), unit=(u.arcsec, u.arcsec), axes_names=axes)

    def spectral(name: str) -> Any:
        return cf.SpectralFrame(name=name, axes_order=(2,), unit=(u.micron,), axes_names=("lambda",))

    spec = spectral("spec")
    sky = cf.CelestialFrame(name="icrs", reference_frame=ICRS(), axes_order=(0, 1), unit=(u.deg, u.deg), axes_names=("RA", "DEC"))
    return [
        cf.Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix)),
        cf.CompositeFrame([plane("alpha_beta_spatial", ("alpha", "beta")), spectral("alpha_beta_spectral")], name="alpha_beta"),
        cf.CompositeFrame([plane("v2v3_spatial", ("v2", "v3")), spec], name="v2v3"),
        cf.CompositeFrame([plane("v2v3vacorr_spatial", ("v2", "v3")), spec], name="v2v3vacorr"),
        cf.CompositeFrame([sky, spec], name="world"),
    ]
