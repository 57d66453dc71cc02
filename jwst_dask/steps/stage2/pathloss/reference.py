"""PATHLOSS reference files of NIRSpec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.refs.load import token

MICRONS = 1.0e6
"""Of a metre."""


@dataclass(frozen=True)
class Axis:
    """A linear axis: value at 1-based pixel `crpix` is `crval`, then `cdelt` a pixel."""

    crpix: float
    crval: float
    cdelt: float

    def index(self, value: Any) -> Any:
        """0-based index of a value."""
        return self.crpix + (value - self.crval) / self.cdelt - 1

    def values(self, n: int) -> np.ndarray:
        """The first `n` values: float64[n]."""
        return self.crval + (np.arange(n) + 1.0 - self.crpix) * self.cdelt

    def microns(self, n: int) -> np.ndarray:
        """The first `n` values, which are metres, in micron: float32[n], rounded once in each unit."""
        return self.values(n).astype(np.float32) * np.float32(MICRONS)


@dataclass(frozen=True)
class Aperture:
    """Path losses of a slit.

    `point`: share of a point source's light that gets through, float32[wave, y, x]; `axes`: those of x, y and wavelength (m).
    `uniform`: the same for light that fills the slit, float32[wave], over `uniform_axis`. `shutters`: of MOS slitlets.
    """

    name: str
    shutters: int | None
    point: np.ndarray
    axes: tuple[Axis, Axis, Axis]
    uniform: np.ndarray
    uniform_axis: Axis


def apertures(path: str) -> tuple[Aperture, ...]:
    """The apertures of a file; shared, do not change them.

    Raises
    ------
    ReferenceError_
        When the file is unreadable, or not a table of path losses of slits.
    """
    return memo(("pathloss", token(path)), lambda: _read(path))


def _read(path: str) -> tuple[Aperture, ...]:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as file:
            versions = sorted({int(hdu.ver) for hdu in file if hdu.name == "PS"})
            if not versions:
                raise KeyError("PS")
            return tuple(_aperture(file["PS", version], file["UNI", version]) for version in versions)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ReferenceError_(
            f"the pathloss reference {path} (NIRSpec slits) cannot be used: {error}; replace it or give override_pathloss"
        ) from error


def _aperture(point: Any, uniform: Any) -> Aperture:
    cube, vector = np.array(point.data, dtype=np.float32), np.array(uniform.data, dtype=np.float32)
    if cube.ndim != 3 or vector.ndim != 1:
        raise ValueError(f"extensions PS and UNI have {cube.ndim} and {vector.ndim} axes, not 3 and 1")
    shutters = point.header.get("SHUTTERS")
    return Aperture(str(point.header.get("APERTURE", "")).strip(), None if shutters is None else int(shutters), cube,
                    (_axis(point.header, 1), _axis(point.header, 2), _axis(point.header, 3)), vector, _axis(uniform.header, 1))  # fmt: skip


def _axis(header: Any, number: int) -> Axis:
    return Axis(*(float(header[f"{key}{number}"]) for key in ("CRPIX", "CRVAL", "CDELT")))
