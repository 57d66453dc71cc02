"""The WCS of a 1-D spectrum: element number to a fixed sky position and the wavelength."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo

if TYPE_CHECKING:
    from jwst_dask.io.asdf_text import Fragment

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SpectralWcs:
    """The WCS of a spectrum, without gwcs until it is asked for.

    Attributes
    ----------
    ra, dec : float or None
        Sky position, degrees.
    wavelength : float64[wavelength]
        Micron.
    """

    ra: float | None
    dec: float | None
    wavelength: np.ndarray

    def gwcs(self) -> Any:
        """The gwcs object: ``pixel_frame`` to ``world`` (ra, dec, wavelength); invertible where the wavelengths are monotonic."""
        return self._gwcs

    @cached_property
    def _gwcs(self) -> Any:
        return spectral_gwcs(self.ra, self.dec, self.wavelength)

    @property
    def direction(self) -> int:
        """1 where wavelengths rise, -1 where they fall, 0 for neither."""
        steps = np.diff(self.wavelength)
        return 1 if np.all(steps > 0) else -1 if np.all(steps < 0) else 0

    def fragment(self) -> Fragment:
        """The gwcs object as text for a product, without making it: it takes 50 ms to write, and differs in numbers only."""
        from jwst_dask.io.asdf_text import Fragment, fragment

        if self.ra is None or self.dec is None or len(self.wavelength) < 2:
            return fragment(self.gwcs())
        way = self.direction
        text, extensions, roles = memo(("spectral WCS", way), lambda: _form(way))
        values = {"ra": _number(self.ra), "dec": _number(self.dec), "n": str(len(self.wavelength))}
        tables = _tables(self.wavelength)
        filled = re.sub(r"@(ra|dec|n)@", lambda match: values[match.group(1)], text)
        return Fragment(filled, extensions, tuple(_block(tables[role]) for role in roles))


def spectral_gwcs(ra: float | None, dec: float | None, wavelength: np.ndarray) -> Any:
    """gwcs from element number to (ra, dec, wavelength); invertible where the wavelengths are monotonic."""
    from astropy import coordinates, units
    from astropy.modeling.models import Const1D, Mapping, Tabular1D
    from gwcs import WCS
    from gwcs import coordinate_frames as frames

    element = np.arange(len(wavelength), dtype=float)
    lookup = Tabular1D(points=element, lookup_table=wavelength, bounds_error=False, fill_value=None)
    forward = Mapping((0, 0, 0)) | Const1D(ra) & Const1D(dec) & lookup
    forward.name = "pixel_to_world"
    steps = np.diff(wavelength)
    if np.all(steps > 0) or np.all(steps < 0):
        way = slice(None) if np.all(steps > 0) else slice(None, None, -1)
        forward.inverse = Mapping((2,)) | Tabular1D(points=wavelength[way], lookup_table=element[way], bounds_error=False)
    else:
        log.warning("wavelengths are not monotonic: the WCS of the spectrum has no inverse")
    pixel = frames.CoordinateFrame(naxes=1, axes_type=("SPATIAL",), axes_order=(0,), unit=(units.pix,), name="pixel_frame")
    sky = frames.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=coordinates.ICRS())
    spectral = frames.SpectralFrame(name="spectral", axes_order=(2,), unit=(units.micron,), axes_names=("wavelength",))
    return WCS([(pixel, forward), (frames.CompositeFrame([sky, spectral], name="world"), None)])


def _tables(wavelength: np.ndarray) -> dict[str, np.ndarray]:
    """What the blocks of the object may hold."""
    element = np.arange(len(wavelength), dtype=float)
    return {"wavelength": wavelength, "wavelength turned": wavelength[::-1], "element": element, "element turned": element[::-1]}


def _form(way: int) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Text of such an object with places for numbers, ASDF extensions, and what each of its blocks holds."""
    from jwst_dask.io.asdf_text import fragment

    n, ra, dec = 23, 90.03125, 45.015625  # numbers that occur nowhere else in it
    wavelength = np.linspace(1.1, 2.3, n)[:: way or 1]
    if way == 0:
        wavelength[3] = wavelength[1]
    written = fragment(spectral_gwcs(ra, dec, np.ascontiguousarray(wavelength)))
    text, numbers = written.text, 0
    for name, old in (("ra", f"value: {ra}"), ("dec", f"value: {dec}"), ("n", f"shape: [{n}]")):
        numbers += old in text
        text = text.replace(old, old.replace(str({"ra": ra, "dec": dec, "n": n}[name]), f"@{name}@"))
    known = {np.ascontiguousarray(table, "<f8").tobytes(): role for role, table in _tables(wavelength).items()}
    contents = [block[6 + int.from_bytes(block[4:6], "big") :] for block in written.blocks]
    if numbers < 3 or not all(content in known for content in contents) or text.count("datatype: float64") != len(contents):
        raise InputError("the WCS of a spectrum as this version of asdf writes it has an unknown form")
    return text, written.extensions, tuple(known[content] for content in contents)


def _number(value: float) -> str:
    text = repr(float(value))
    return text.replace("e", ".0e", 1) if "." not in text and "e" in text else text


def _block(table: np.ndarray) -> bytes:
    """An ASDF binary block (standard 1.6, "Block header"), not compressed."""
    content = np.ascontiguousarray(table, "<f8").tobytes()
    head = bytes(8) + len(content).to_bytes(8, "big") * 3 + hashlib.md5(content, usedforsecurity=False).digest()
    return b"\xd3BLK" + len(head).to_bytes(2, "big") + head + content
