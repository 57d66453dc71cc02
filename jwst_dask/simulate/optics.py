"""A NIRSpec-like optical train of our own: focal lengths, mild distortion, gratings and a calcium fluoride prism.

Only round published numbers go in (pixel 18 um, 0.1 arcsec on the sky, the aperture's place in the telescope's field, wavelength
ranges and dispersions of the user documentation, refraction of CaF2 after Malitson 1963). Light goes slit -> collimator -> disperser ->
camera -> detectors, in metres and direction cosines as the reference files of the instrument have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Slit = tuple[Any, Any, Any, Any]
PIXEL = 18e-6
NPIX = 2048
GAP = 154  # pixels between the detectors
COLLIMATOR, CAMERA = 0.625, 0.285  # focal lengths, m
SLIT = (0.0287, 0.0016, 6.30e-4, 6.24e-4)  # S1600A1 in the plane of the shutters: centre and size, m
SLIT_ARCSEC = 1.6
REFERENCE_POINT = (321.26, -473.85, 138.85)  # V2, V3 (arcsec) and angle (degrees) of the aperture
SOURCE = (0.04, -0.03)  # where the reference point, hence the star, is in the slit; units of its width and height
TILT = {"grating": -8.8, "prism": 24.3}  # rotation of the disperser wheel, degrees
PRISM_ANGLE = -16.5
CAF2 = ((0.5675888, 0.4710914, 3.8484723), (0.050263605**2, 0.1003909**2, 34.649040**2))
ROW = 971.5  # where the trace is on NRS1, pixels from 0
TEMPERATURE = 37.6
TILT_READING = (0.34, 0.03)  # of the wheel's sensors when it was calibrated
TILT_OFFSET = (2e-4, -1e-4)  # of the readings during the exposure from those
TILT_SCALE = 3000.0  # arcsec of light per unit of reading


@dataclass(frozen=True)
class Disperser:
    """Wavelengths in um. `anchor` is the wavelength that the wheel puts at `column` (NRS1 pixels from 0; beyond 2047 in the gap)."""

    dispersion: float
    anchor: float
    column: float = NPIX + GAP / 2


GRATINGS = {
    "G140M": Disperser(6.4e-4, 1.96), "G235M": Disperser(1.07e-3, 3.28), "G395M": Disperser(1.80e-3, 5.50),
    "G140H": Disperser(2.35e-4, 1.33), "G235H": Disperser(3.96e-4, 2.235), "G395H": Disperser(6.65e-4, 3.77),
    "PRISM": Disperser(0.0, 2.0, 1210.0),
}  # fmt: skip
RANGES = {("CLEAR", "PRISM"): (0.60, 5.30), ("F070LP", "G140M"): (0.70, 1.27), ("F070LP", "G140H"): (0.70, 1.27),
          ("F100LP", "G140M"): (0.97, 1.89), ("F100LP", "G140H"): (0.97, 1.89), ("F170LP", "G235M"): (1.66, 3.17),
          ("F170LP", "G235H"): (1.66, 3.17), ("F290LP", "G395M"): (2.87, 5.27), ("F290LP", "G395H"): (2.87, 5.27)}  # fmt: skip


def filter_of(grating: str) -> str:
    """The long-pass filter that goes with a grating (the redder one where there are two)."""
    return [name for name, other in RANGES if other == grating][-1]


def _plate(name: str, focal: float, bend: tuple[float, float, float], outward: bool) -> Any:
    """Distorted plane to plane transform, with its inverse: polynomials of the input, then a magnification."""
    from astropy.modeling import models as m

    scale = focal if outward else 1 / focal
    half = 0.16 if outward else 0.05
    size = 1.0 if outward else CAMERA
    b0, b1, b2 = (value / size for value in bend)
    x = m.Polynomial2D(2, c1_0=1.0, c1_1=b0, c2_0=b1, name=f"{name}_x_forward")
    y = m.Polynomial2D(2, c0_1=1.0, c0_2=b0, c2_0=b2, name=f"{name}_y_forward")
    u, v = (a.ravel() for a in np.meshgrid(np.linspace(-half, half, 41), np.linspace(-half, half, 41)))
    ix, iy = (_fit(5, x(u, v), y(u, v), target, half, f"{name}_{axis}_backward") for axis, target in (("x", u), ("y", v)))
    matrix = np.array([[scale, 0.0], [0.0, scale]])
    shift = m.Shift(0.0, name=f"{name}_xin") & m.Shift(0.0, name=f"{name}_yin")
    last = m.Shift(0.0, name=f"{name}_xout") & m.Shift(0.0, name=f"{name}_yout")
    model = m.Mapping((0, 1, 0, 1), name=f"{name}_inmap") | x & y | m.Identity(2, name=f"{name}_outmap")
    model = model | shift | m.AffineTransformation2D(matrix, name=f"{name}_affine") | last
    model.inverse = last.inverse | m.AffineTransformation2D(np.linalg.inv(matrix), name=f"{name}_affine_back") | shift.inverse \
        | m.Mapping((0, 1, 0, 1)) | ix & iy | m.Identity(2)  # fmt: skip
    return model


def _fit(degree: int, x: np.ndarray, y: np.ndarray, target: np.ndarray, half: float, name: str) -> Any:
    """Least-squares polynomial target(x, y), in unscaled coordinates."""
    from astropy.modeling import models as m

    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    design = np.stack([(x / half) ** i * (y / half) ** j for i, j in powers], axis=1)
    coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
    return m.Polynomial2D(degree, name=name, **{f"c{i}_{j}": float(c / half ** (i + j)) for (i, j), c in zip(powers, coefficients)})


@lru_cache(maxsize=1)
def train() -> dict[str, Any]:
    """The transforms of the camera, collimator, fore optics, telescope and detectors, as in the reference files.

    Returns
    -------
    dict
        ``camera``: focal plane (m) to tangents; ``collimator``: tangents to shutter plane (m); ``fore``: shutter plane to
        telescope focal plane; ``ote``: telescope focal plane to V2, V3 (arcsec); ``nrs1``, ``nrs2``: pixels (from 0, detector's
        own axes) to focal plane; ``q5``: aperture plane to shutter plane.
    """
    from astropy.modeling import models as m

    half = (NPIX + GAP / 2 - 0.5) * PIXEL
    mid = (NPIX - 1) / 2 * PIXEL
    out: dict[str, Any] = {
        "camera": _plate("camera", CAMERA, (0.010, 0.004, 0.012), outward=False),
        "collimator": _plate("collimator", COLLIMATOR, (0.006, -0.003, 0.008), outward=True),
    }
    for name, sign in (("nrs1", 1.0), ("nrs2", -1.0)):
        matrix = np.array([[sign * PIXEL, 0.0], [0.0, sign * PIXEL]])
        shift = m.Shift(-sign * half, name="fpa_x") & m.Shift(-sign * mid, name="fpa_y")
        model = m.AffineTransformation2D(matrix, name="fpa_affine") | shift
        model.inverse = shift.inverse | m.AffineTransformation2D(np.linalg.inv(matrix), name="fpa_affine_back")
        out[name] = model
    out["q5"] = m.AffineTransformation2D(np.eye(2), name="msa_slit_rot") | m.Shift(0.0, name="msa_slit_x") & m.Shift(0.0, name="msa_slit_y")
    out["fore"], out["ote"] = _telescope()
    return out


def _telescope() -> tuple[Any, Any]:
    """Shutter plane to V2, V3: a rotation and two scales that put the reference point where `SOURCE` says."""
    from astropy.modeling import models as m

    v2, v3, angle = REFERENCE_POINT
    per_metre = SLIT_ARCSEC / SLIT[2]
    turn = np.deg2rad(180 - angle)
    magnify = 1.6  # shutter plane to telescope focal plane
    matrix = magnify * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    first = m.AffineTransformation2D(matrix, name="fore_affine")
    fore = m.Mapping((0, 1), n_inputs=3, name="fore_inmap") | first
    fore.inverse = m.Mapping((0, 1), n_inputs=3) | m.AffineTransformation2D(np.linalg.inv(matrix), name="fore_affine_back")
    star = (SLIT[0] + SOURCE[0] * SLIT[2], SLIT[1] + SOURCE[1] * SLIT[3])
    x, y = matrix @ np.array(star)
    scale = per_metre / magnify / 3600
    degrees = np.array([[-scale, 0.0], [0.0, scale]])
    offset = m.Shift(v2 / 3600 + scale * x, name="ote_xout") & m.Shift(v3 / 3600 - scale * y, name="ote_yout")
    arcsec = m.Scale(3600.0) & m.Scale(3600.0)
    ote = m.AffineTransformation2D(degrees, name="ote_affine") | offset | arcsec
    ote.inverse = arcsec.inverse | offset.inverse | m.AffineTransformation2D(np.linalg.inv(degrees), name="ote_affine_back")
    return fore, ote


def rotation(angles: tuple[float, float, float, float]) -> Any:
    """Camera axes to those of the disperser."""
    from stdatamodels.jwst.transforms.models import Rotation3DToGWA

    return Rotation3DToGWA(list(angles), axes_order="xyzy", name="rotation")


def groove_density(grating: str) -> float:
    """Grooves per metre that give the dispersion of `GRATINGS`."""
    return float(PIXEL / CAMERA * np.cos(np.deg2rad(TILT["grating"])) / (GRATINGS[grating].dispersion * 1e-6))


def refraction(wavelength: np.ndarray | float) -> np.ndarray:
    """Index of CaF2 at `wavelength` (um)."""
    square = np.square(np.asarray(wavelength, float))[..., None]
    return np.asarray(np.sqrt(1 + np.sum(np.array(CAF2[0]) * square / (square - np.array(CAF2[1])), axis=-1)))


@lru_cache(maxsize=8)
def wheel(grating: str) -> tuple[float, float, float, float]:
    """Angles (degrees) theta_x, theta_y, theta_z, tilt_y that put the anchor wavelength and the trace where they belong."""
    disperser = GRATINGS[grating]
    tilt = TILT["prism" if grating == "PRISM" else "grating"]
    angles = np.array([0.0, 0.0])
    target = np.array([disperser.column, ROW])

    def place(pair: np.ndarray) -> np.ndarray:
        return np.array(_to_pixel(grating, (pair[0], pair[1], 0.0, tilt), disperser.anchor))

    for _ in range(30):  # Newton steps in the two small rotations
        miss = place(angles) - target
        if np.abs(miss).max() < 1e-7:
            break
        step = 1e-4
        slope = np.stack([(place(angles + step * unit) - target - miss) / step for unit in np.eye(2)], axis=1)
        angles = angles - np.linalg.solve(slope, miss)
    return float(angles[0]), float(angles[1]), 0.0, tilt


def _incidence(angles: tuple[float, float, float, float], y: np.ndarray, slit: Slit = SLIT) -> tuple[np.ndarray, ...]:
    """Direction cosines at the disperser of light from the middle of a slit, at heights `y` (units of the slit)."""
    from stdatamodels.jwst.transforms.models import Unitless2DirCos

    parts = train()
    u, v = parts["q5"](np.full_like(y, slit[0]), slit[1] + slit[3] * y)
    return tuple(np.atleast_1d(a) for a in rotation(angles)(*Unitless2DirCos()(*parts["collimator"].inverse(u, v))))


def _to_pixel(grating: str, angles: tuple[float, float, float, float], wavelength: float) -> tuple[float, float]:
    """NRS1 pixel (from 0) of a wavelength (um) from the middle of the slit."""
    parts = train()
    x, y = parts["nrs1"].inverse(*_to_focal_plane(grating, angles, _incidence(angles, np.zeros(1)), np.array([wavelength])))
    return float(np.squeeze(x)), float(np.squeeze(y))


def _to_focal_plane(grating: str, angles: tuple[float, float, float, float], light: tuple[np.ndarray, ...], wavelength: np.ndarray) -> Any:
    """Focal plane (m) of light that reaches the disperser with some direction cosines; `wavelength` in um."""
    from stdatamodels.jwst.transforms.models import DirCos2Unitless, Snell

    a, b, c = light
    if grating == "PRISM":
        out = Snell(PRISM_ANGLE, *CAF2, [0.0] * 6, TEMPERATURE, 0.0, TEMPERATURE, 0.0)(wavelength * 1e-6, a, b, c)
    else:
        alpha = groove_density(grating) * wavelength * 1e-6 - a
        out = (alpha, -b, np.sqrt(1 - alpha**2 - b**2))
    return train()["camera"].inverse(*DirCos2Unitless()(*rotation(angles).inverse(*out)))


def _turned(grating: str) -> tuple[float, float, float, float]:
    """Angles of the wheel as its sensors say that it stands during the exposure."""
    angles, moved = wheel(grating), [0.5 * TILT_SCALE * offset / 3600 for offset in TILT_OFFSET]
    return (angles[0] + moved[1], angles[1] + moved[0], *angles[2:])


def trace(detector: str, grating: str, slit: Slit, height: float, wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where light from the middle of a slit falls.

    Parameters
    ----------
    detector, grating : str
    slit : (float, float, float, float)
        Centre and size in the plane of the shutters (m); arrays for many.
    height : float
        In units of the slit.
    wavelength : ndarray
        um, with the shape of the slit's centres if these are arrays.

    Returns
    -------
    x, y : ndarray
        Pixels from 0, science orientation; outside 0 to 2047 off the detector.
    """
    angles = _turned(grating)
    centre = np.broadcast_to(np.asarray(slit[0], float), np.shape(wavelength))
    light = _incidence(angles, np.full_like(centre, height), (centre, *slit[1:]))
    x, y = train()[detector.lower()].inverse(*_to_focal_plane(grating, angles, light, np.asarray(wavelength, float)))
    return (NPIX - 1 - x, NPIX - 1 - y) if detector == "NRS2" else (x, y)


def project(detector: str, grating: str, x: np.ndarray, y: np.ndarray, velocity: float = 0.0, slit: Slit = SLIT,
            reach: tuple[float, float] = (-0.55, 0.55)) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Where the light of pixels comes from.

    Parameters
    ----------
    detector, grating : str
    x, y : ndarray
        Pixels of the full frame from 0, science orientation.
    velocity : float
        Towards the barycentre, m/s.
    slit : (float, float, float, float)
        Centre and size in the plane of the shutters, m.
    reach : (float, float)
        Least and greatest height.

    Returns
    -------
    wavelength, height : ndarray
        Wavelength (um) of light from the middle of the slit's width, and height in units of the slit; NaN outside it.
    """
    from stdatamodels.jwst.transforms.models import Unitless2DirCos

    parts, angles = train(), _turned(grating)
    if detector == "NRS2":
        x, y = NPIX - 1 - x, NPIX - 1 - y
    alpha, beta, _ = rotation(angles)(*Unitless2DirCos()(*parts["camera"](*parts[detector.lower()](x.astype(float), y.astype(float)))))
    grid = np.linspace(*reach, 2001)
    beta_in = _incidence(angles, grid, slit)[1]
    order = np.argsort(beta_in)
    height = np.interp(-beta, beta_in[order], grid[order], left=np.nan, right=np.nan)
    alpha_in, beta_at, _ = (a.reshape(height.shape) for a in _incidence(angles, np.nan_to_num(height).ravel(), slit))
    if grating == "PRISM":
        s, c = np.sin(np.deg2rad(PRISM_ANGLE)), np.cos(np.deg2rad(PRISM_ANGLE))
        index = np.sqrt(((alpha + alpha_in * (1 - 2 * s**2)) / (2 * s * c)) ** 2 + alpha_in**2 + beta_at**2)
        table = np.linspace(0.3, 8.0, 8000)
        wavelength = np.interp(index, refraction(table)[::-1], table[::-1], left=np.nan, right=np.nan)
    else:
        wavelength = (alpha + alpha_in) / groove_density(grating) * 1e6
    wavelength = np.where(np.isfinite(height), wavelength / (1 + velocity / 299792458.0), np.nan)
    return wavelength, height
