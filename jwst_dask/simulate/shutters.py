"""Shutters and fixed slits of the mock NIRSpec, and the MSA metafile that says which are open.

Four quadrants of 365 x 171 shutters lie around the fixed slits. Sizes are the round published ones: shutters 0.27 x 0.53 arcsec apart with
0.20 x 0.46 arcsec open. Rows are counted along the dispersion, columns across it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.simulate import optics

ROWS, COLUMNS = 365, 171
PITCH, OPEN = (1.05e-4, 2.04e-4), (7.8e-5, 1.78e-4)  # m, along and across the dispersion
STEP = PITCH[1] / OPEN[1]  # from one shutter of a slitlet to the next, in open heights
CENTRES = {1: (-0.0222, 0.0222), 2: (-0.0222, -0.0222), 3: (0.0222, 0.0222), 4: (0.0222, -0.0222)}
QUADRANTS = {"NRS1": (3, 4), "NRS2": (1, 2)}  # whose spectra are mainly on a detector
ARCSEC = optics.SLIT_ARCSEC / optics.SLIT[2]  # per metre in the plane of the shutters
_X, _GAP = optics.SLIT[0], 2.0e-3
FIXED: dict[str, tuple[float, float, float, float]] = {
    "S200A1": (_X, optics.SLIT[1] + _GAP, 0.2 / ARCSEC, 3.2 / ARCSEC),
    "S200A2": (_X, optics.SLIT[1] - _GAP, 0.2 / ARCSEC, 3.2 / ARCSEC),
    "S400A1": (_X, optics.SLIT[1] - 2 * _GAP, 0.4 / ARCSEC, 3.65 / ARCSEC),
    "S1600A1": optics.SLIT,
    "S200B1": (-_X, optics.SLIT[1], 0.2 / ARCSEC, 3.2 / ARCSEC),
}
ROW = [("NO", "i4"), ("XC", "f4"), ("YC", "f4"), ("SIZEX", "f4"), ("SIZEY", "f4")]


@dataclass(frozen=True)
class Opening:
    """A slitlet or a fixed slit.

    Attributes
    ----------
    name : str
        Number of the slitlet, or name of the fixed slit.
    slit : (float, float, float, float)
        Centre and open size (m) of the fixed slit, or of the middle shutter.
    shutters : tuple of int
        Open shutters, counted from the middle one.
    quadrant, row, column : int
        Of the middle shutter; 5, 0, 0 for fixed slits.
    """

    name: str
    slit: tuple[float, float, float, float]
    shutters: tuple[int, ...] = (0,)
    quadrant: int = 5
    row: int = 0
    column: int = 0

    @property
    def size(self) -> tuple[float, float]:
        """Open width and height in arcsec."""
        return self.slit[2] * ARCSEC, self.slit[3] * ARCSEC

    @property
    def reach(self) -> tuple[float, float]:
        """Least and greatest height (open heights from the middle shutter) that light comes from, the bars at the ends included."""
        return min(self.shutters) * STEP - 0.62, max(self.shutters) * STEP + 0.62


def shutter(quadrant: Any, row: Any, column: Any) -> tuple[Any, Any, float, float]:
    """Centre and open size (m) of shutters."""
    places = np.array([(0.0, 0.0), *(CENTRES[q] for q in sorted(CENTRES))])[quadrant]
    x, y = ((np.asarray(k) - (n + 1) / 2) * step for k, n, step in ((row, ROWS, PITCH[0]), (column, COLUMNS, PITCH[1])))
    return places[..., 0] + x, places[..., 1] + y, *OPEN


def geometry() -> dict[str, Any]:
    """The tree of an MSA reference: four quadrants of shutters, counted from the first of each, and the fixed slits as a fifth."""
    from astropy.modeling import models as m

    column, row = (a.ravel() + 1 for a in np.mgrid[:COLUMNS, :ROWS])
    x, y = (row - 1) * PITCH[0], (column - 1) * PITCH[1]
    data = np.zeros(len(x), ROW)
    for name, values in zip(data.dtype.names or (), (np.arange(1, len(x) + 1), x, y, *OPEN)):
        data[name] = values
    tree: dict[str, Any] = {}
    for number in CENTRES:
        first = [float(v) for v in shutter(number, 1, 1)[:2]]
        model = m.AffineTransformation2D(np.eye(2), name="msa_rot") | m.Shift(first[0], name="msa_x") & m.Shift(first[1], name="msa_y")
        tree[f"Q{number}"] = {"data": data.copy(), "model": model}
    slits = np.array([(k + 1, *slit) for k, slit in enumerate(FIXED.values())], dtype=ROW)
    return tree | {"Q5": {"data": slits, "model": optics.train()["q5"]}}


def on_sky(x: Any, y: Any) -> np.ndarray:
    """(V2, V3) in arcsec of places in the plane of the shutters (m)."""
    parts = optics.train()
    return np.array(parts["ote"](*parts["fore"](np.atleast_1d(x), np.atleast_1d(y), np.full(np.size(x), 2e-6))))


def pointings(reference: tuple[float, float], steps: Sequence[float], sky: tuple[float, float], roll: float) -> list[tuple[float, float]]:
    """Where the reference point of an aperture looks when the source of a nod pattern has moved along the slit.

    Parameters
    ----------
    reference : (float, float)
        V2, V3 in arcsec.
    steps : sequence of float
        Metres along the slit.
    sky : (float, float)
        Right ascension and declination (degrees) without a step.
    roll : float
        Degrees.
    """
    from jwst_dask.wcs.sky import v23_to_sky

    to_sky = v23_to_sky(*reference, roll, *sky)
    moved = on_sky(np.zeros(len(steps)), np.array(steps)) - on_sky(0.0, 0.0)
    return [tuple(float(np.squeeze(a)) for a in to_sky(reference[0] - v2, reference[1] - v3)) for v2, v3 in moved.T]  # type: ignore[misc]


@dataclass(frozen=True)
class Target:
    """A source as the metafile describes it."""

    source_id: int
    x: float
    y: float
    ra: float
    dec: float
    stellarity: float


def write_metafile(path: str | os.PathLike[str], program: str, slitlets: Sequence[tuple[Opening, Target | None]], nods: Sequence[int]) -> None:
    """Write an MSA metafile.

    Parameters
    ----------
    path : path
    program : str
    slitlets : sequence of (Opening, Target or None)
        None for slitlets with background only.
    nods : sequence of int
        Shutter with the source at each dither point, counted from the middle one.
    """
    from astropy.io import fits

    path, visit = Path(path), f"{program}001001"
    primary = fits.PrimaryHDU()
    cards = {"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "PROGRAM": program, "VISIT": "001", "OBSERVTN": "001", "VISIT_ID": visit,
             "FILENAME": path.name, "MSACFG10": 1, "MSACFG36": "01"}  # fmt: skip
    primary.header.update(cards)
    image = np.zeros((2 * ROWS, 2 * COLUMNS), np.float32)
    rows = []
    for opening, target in slitlets:
        for point, nod in enumerate(nods, 1):
            for number in opening.shutters:
                lit = target is not None and number == nod
                place = (target.x + 0.5, target.y + 0.5) if target is not None and lit else (np.nan, np.nan)
                rows.append((int(opening.name), 1, opening.quadrant, opening.row, opening.column + number, target.source_id if target else 0,
                             "N" if lit else "Y", "OPEN", *place, point, "Y" if lit else "N", "NONE"))  # fmt: skip
                q = opening.quadrant - 1
                image[(q // 2) * ROWS + opening.row - 1, (q % 2) * COLUMNS + opening.column + number - 1] = 1
    shutters = _table("SHUTTER_INFO", rows, {
        "slitlet_id": "I", "msa_metadata_id": "I", "shutter_quadrant": "I", "shutter_row": "I", "shutter_column": "I", "source_id": "I",
        "background": "1A", "shutter_state": "6A", "estimated_source_in_shutter_x": "E", "estimated_source_in_shutter_y": "E",
        "dither_point_index": "I", "primary_source": "1A", "fixed_slit": "7A"})  # fmt: skip
    known = [(int(program), t.source_id, f"{int(program)}_{t.source_id}", str(t.source_id), f"mock{t.source_id}", t.ra, t.dec, "None", t.stellarity)
             for _, t in slitlets if t is not None]  # fmt: skip
    sources = _table("SOURCE_INFO", known, {"program": "J", "source_id": "J", "source_name": "20A", "alias": "31A", "catalog_id": "20A", "ra": "D",
                                            "dec": "D", "preimage_id": "30A", "stellarity": "D"})  # fmt: skip
    fits.HDUList([primary, fits.ImageHDU(image, name="SHUTTER_IMAGE"), shutters, sources]).writeto(path, overwrite=True)


def _table(name: str, rows: Sequence[tuple[Any, ...]], formats: dict[str, str]) -> Any:
    from astropy.io import fits

    values = list(zip(*rows)) if rows else [()] * len(formats)
    columns = [fits.Column(name=key, format=kind, array=np.array(column)) for (key, kind), column in zip(formats.items(), values)]
    return fits.BinTableHDU.from_columns(columns, name=name)
