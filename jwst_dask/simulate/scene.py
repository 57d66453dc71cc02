"""What is in the sky: a star with a smooth spectrum, a planet that passes in front of it, and the telescope's blur."""

from __future__ import annotations

import numpy as np

LIMB = (0.20, 0.15)  # quadratic limb darkening
IMPACT = 0.25  # of the planet's path, stellar radii


def star(wavelength: np.ndarray, level: float, pivot: float, teff: float = 5200.0) -> np.ndarray:
    """Flux density in Jy: a black body scaled to `level` at `pivot`, with broad undulations that are easy to compare.

    Parameters
    ----------
    wavelength : ndarray
        um.
    level : float
        Jy at `pivot` um.
    """
    wavelength = np.asarray(wavelength, float)

    def planck(w: np.ndarray | float) -> np.ndarray:
        return np.asarray(np.power(w, -3.0) / np.expm1(14387.77 / (np.asarray(w) * teff)))

    return np.asarray(level * planck(wavelength) / planck(pivot) * (1 + 0.02 * np.sin(2.4 * wavelength) + 0.01 * np.cos(5.1 * wavelength)))


def transit(time: np.ndarray, mid: float, duration: float, depth: float) -> np.ndarray:
    """Relative flux during a transit of a dark disc over a limb-darkened star.

    Parameters
    ----------
    time : ndarray
        Days.
    mid, duration : float
        Middle, and first to last contact, in days.
    depth : float
        Ratio of the areas of planet and star.

    Returns
    -------
    ndarray
        float64, 1 outside the transit. The star's surface brightness is integrated over the planet's disc on a polar grid.
    """
    radius = float(np.sqrt(depth))
    half_chord = np.sqrt((1 + radius) ** 2 - IMPACT**2)
    along = (np.asarray(time, float) - mid) / (duration / 2) * half_chord
    rings = radius * np.sqrt((np.arange(48) + 0.5) / 48)  # equal areas
    angle = 2 * np.pi * (np.arange(96) + 0.5) / 96
    dx, dy = np.outer(rings, np.cos(angle)).ravel(), np.outer(rings, np.sin(angle)).ravel()
    out = np.ones(along.shape)
    total = np.pi * (1 - LIMB[0] / 3 - LIMB[1] / 6)
    inside = np.flatnonzero(np.abs(along) < half_chord)
    for part in np.array_split(inside, max(1, len(inside) // 200)):
        square = (along[part, None] + dx) ** 2 + (IMPACT + dy) ** 2
        fall = 1 - np.sqrt(np.clip(1 - square, 0, None))
        bright = np.where(square < 1, 1 - LIMB[0] * fall - LIMB[1] * fall**2, 0.0)
        out[part] = 1 - bright.mean(axis=1) * np.pi * depth / total
    return out


def sigma(wavelength: np.ndarray, floor: float = 0.06) -> np.ndarray:
    """Standard deviation (arcsec) of the point-spread function of a 6.5 m telescope along one axis, at `wavelength` (um)."""
    return np.asarray(np.hypot(floor, 0.0326 * np.asarray(wavelength, float)) / 2.3548)


def strip(offset: np.ndarray, width: float | np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Fraction of a Gaussian of standard deviation `spread` in a strip of `width` whose middle is `offset` from its peak."""
    from scipy.special import erf

    scale = np.sqrt(2) * spread
    return np.asarray(0.5 * (erf((offset + width / 2) / scale) - erf((offset - width / 2) / scale)))
