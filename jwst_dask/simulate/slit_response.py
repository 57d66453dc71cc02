"""How the mock NIRSpec answers to light that comes through a slit: flats, conversion, losses at the slit, shadows of the bars.

Each function fills a reference file (`slit_refs`) and makes the light that the pipeline must undo (`slit_scene`).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from jwst_dask.simulate import nirspec_refs, optics, scene, shutters
from jwst_dask.simulate.shutters import ARCSEC, OPEN, STEP, Opening

PIXEL_ARCSEC = nirspec_refs.PIXEL_ARCSEC
FORE_PLANES = np.array([0.45, 2.0, 3.6, 5.8])  # um, of the F flat of shutters
SCATTERED = 0.02  # of uniform light that reaches the pixels behind a bar
AREA = {name: (slit[2] * ARCSEC) * PIXEL_ARCSEC for name, slit in shutters.FIXED.items()}
SHUTTER_AREA = OPEN[0] * ARCSEC * PIXEL_ARCSEC  # arcsec2 of sky in a pixel behind a shutter


def through(position: np.ndarray | float, width: float, spread: np.ndarray) -> np.ndarray:
    """Share of a point source's light (Gaussian of standard deviation `spread`, arcsec) through an opening of `width` arcsec."""
    return scene.strip(np.asarray(position), width, spread)


def along(height: np.ndarray, step: np.ndarray | float, at: float, opening: Opening, spread: np.ndarray) -> np.ndarray:
    """Share of a point source's light at `at` that gets through the open shutters between `height` -+ `step` / 2.

    Heights are in open heights from the middle shutter.
    """
    from scipy.special import erf

    scale = np.sqrt(2) * spread / opening.size[1]
    total = np.zeros(np.broadcast_shapes(np.shape(height), np.shape(spread)))
    for number in opening.shutters:
        low = np.maximum(height - step / 2, number * STEP - 0.5)
        high = np.maximum(np.minimum(height + step / 2, number * STEP + 0.5), low)
        total += 0.5 * (erf((high - at) / scale) - erf((low - at) / scale))
    return total


def shadow(height: np.ndarray, opening: Opening, wavelength: np.ndarray) -> np.ndarray:
    """Share of uniform light at a height of the slit: 1 in the open area, blurred towards the bars."""
    width = opening.size[1]
    total = sum(scene.strip((height - number * STEP) * width, width, scene.sigma(wavelength)) for number in opening.shutters)
    return np.asarray(SCATTERED + (1 - SCATTERED) * total)


def uniform(wavelength: np.ndarray, msa: bool) -> np.ndarray:
    """Share of uniform light that is not lost by diffraction at a slit; `wavelength` in um."""
    return np.asarray((0.97 if msa else 0.98) - 0.006 * (np.asarray(wavelength) - 1.0))


def area(opening: Opening) -> float:
    """Sky in a pixel, arcsec2."""
    return float(shutter_area(opening.quadrant, opening.row, opening.column)) if opening.quadrant < 5 else AREA[opening.name]


def shutter_area(quadrant: np.ndarray | int, row: np.ndarray | int, column: np.ndarray | int) -> np.ndarray:
    """Sky in a pixel behind shutters, arcsec2: it varies by 1 % over the MSA."""
    return np.asarray(SHUTTER_AREA * (1 + 0.01 * np.sin(np.asarray(row) / 120 + np.asarray(column) / 70 + np.asarray(quadrant)))).astype(np.float32)


def shutter_flat(quadrant: np.ndarray | int, row: np.ndarray | int, column: np.ndarray | int, plane: np.ndarray | int) -> np.ndarray:
    """F flat of shutters at a wavelength of `FORE_PLANES`."""
    phase = np.asarray(row) / 90 - np.asarray(column) / 55 + 1.7 * np.asarray(quadrant)
    return np.asarray(1 + 0.03 * np.sin(phase + 0.4 * np.asarray(plane))).astype(np.float32)


def fixed_flat(name: str) -> float:
    """F flat of a fixed slit, relative to the common one."""
    return 1 + 0.01 * (list(shutters.FIXED).index(name) - 2)


def zero_point(position: np.ndarray | float, wavelength: np.ndarray, width: float) -> np.ndarray:
    """Displacement (pixels along the dispersion) of light from a source off the middle of a slit of `width` arcsec; `wavelength` in m."""
    return np.asarray(0.5 * width / PIXEL_ARCSEC * np.tanh(2.0 * np.asarray(position)) * (1 - 2e4 * np.asarray(wavelength)))


@dataclass(frozen=True)
class Response:
    """The instrument with one grating and detector.

    Attributes
    ----------
    grating, detector : str
    rows : (int, int)
        Rows of the full frame whose pixels differ from each other.
    """

    grating: str
    detector: str
    rows: tuple[int, int]

    @cached_property
    def planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixel flats float32[2048, 2048]: D at both wavelengths, and S; NaN where they are not known."""
        return tuple(pixels(kind, self.detector, which, self.rows)[0] for kind, which in (("d", 0), ("d", 1), ("s", 0)))  # type: ignore[return-value]

    def flat(self, wavelength: np.ndarray, window: tuple[slice, slice], opening: Opening) -> np.ndarray:
        """What the light of a slit is multiplied by on the pixels of a window (1 where a flat says nothing); `wavelength` in um."""
        table = nirspec_refs.TABLE
        low, high = nirspec_refs.D_PLANES
        share = (wavelength - low) / (high - low)
        first, second, spectrograph = (plane[window] for plane in self.planes)
        fore = nirspec_refs.fast("f", table) * _fore(opening)
        total = ((1 - share) * first + share * second) * spectrograph
        for column in (fore, nirspec_refs.fast("s", table), nirspec_refs.fast("d", table)):
            total = total * np.interp(wavelength, table, column)
        return np.where(np.isfinite(total), total, 1.0)

    def rate(self, wavelength: np.ndarray, mjd: float) -> np.ndarray:
        """DN/s for a MJy."""
        return 1 / nirspec_refs.conversion(self.grating, wavelength, mjd)


def _fore(opening: Opening) -> np.ndarray:
    if opening.quadrant == 5:
        return np.full(len(nirspec_refs.TABLE), fixed_flat(opening.name))
    values = shutter_flat(opening.quadrant, opening.row, opening.column, np.arange(len(FORE_PLANES)))
    return np.asarray(np.interp(nirspec_refs.TABLE, FORE_PLANES, values))


@lru_cache(maxsize=8)
def pixels(kind: str, detector: str, which: int, rows: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pixel flat and its flags, not to be changed: float32[2048, 2048], uint32[2048, 2048]; 1 and 0 outside `rows`."""
    r = np.random.default_rng([zlib.crc32(kind.encode()), int(detector[-1]), 12])
    shape = (rows[1] - rows[0], optics.NPIX)
    noise = r.standard_normal(shape, dtype=np.float32) * np.float32(0.010 if kind == "d" else 0.006)
    spoilt = r.random(shape, dtype=np.float32)
    x, y = np.arange(optics.NPIX, dtype=np.float32), np.arange(*rows, dtype=np.float32)[:, None]
    data, flags = np.ones((optics.NPIX, optics.NPIX), np.float32), np.zeros((optics.NPIX, optics.NPIX), np.uint32)
    data[slice(*rows)] = 1 + 0.02 * np.sin(x / 210 + y / 330 + which) + noise * np.float32(1 - 0.4 * which)
    data[slice(*rows)][spoilt < 0.0001] = np.nan
    flags[slice(*rows)][spoilt > 1 - 0.0008] = nirspec_refs.NO_FLAT
    return data, flags
