"""Read what figures show out of products of any size, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

TIMES, WAVES = 600, 1200
"""Most rows and columns of a time-wavelength image: as many as a page can show."""
_SLAB = 16 << 20


@dataclass(frozen=True)
class Series:
    """Spectra of one detector and spectral order over time.

    Attributes
    ----------
    label : str
        Detector and order, empty if there is only one.
    wavelength : ndarray
        float64[wavelength], micron.
    spectrum : ndarray
        float64[wavelength], median over the (binned) series, in `unit`.
    time : ndarray
        float64[bin], days; numbers of bins where the product has no times.
    image : ndarray
        float32[bin, column], flux relative to the median spectrum; columns are bins of equal numbers of pixels.
    columns : ndarray
        float64[column], wavelength of each column.
    integrations : int
    unit : str
    scale : str
        What `time` is: ``BJD_TDB``, ``MJD_UTC`` or empty.
    """

    label: str
    wavelength: np.ndarray
    spectrum: np.ndarray
    time: np.ndarray
    image: np.ndarray
    columns: np.ndarray
    integrations: int
    unit: str
    scale: str = ""


def read_series(path: str | os.PathLike[str], times: int = TIMES, waves: int = WAVES) -> list[Series]:
    """Spectra of an ``_x1dints`` product, one `Series` for each detector, order and wavelength grid.

    Parameters
    ----------
    path : str
        Product; read a few MB at a time, so its size does not matter.
    times, waves : int
        Most bins in time and in wavelength.
    """
    groups: dict[tuple[str, int, int], list[Any]] = {}
    for hdu in _tables(path):
        key = (str(hdu.header.get("DETECTOR", "")), int(hdu.header.get("SPORDER", 0) or 0), hdu.columns.dtype["FLUX"].shape[0])
        groups.setdefault(key, []).append(hdu)
    out = []
    for key, tables in groups.items():
        label = " ".join(filter(None, (key[0] if len({k[0] for k in groups}) > 1 else "", f"order {key[1]}" if len({k[1] for k in groups}) > 1 else "")))
        if sum(_count(hdu) for hdu in tables):
            out.append(_series(label, tables, str(path), times, waves))
    return out


def _count(hdu: Any) -> int:
    """Rows of a table by its header."""
    return int(hdu.header["NAXIS2"])


def _tables(path: str | os.PathLike[str]) -> list[Any]:
    from astropy.io import fits

    with fits.open(path, lazy_load_hdus=False) as hdus:
        return [hdu for hdu in hdus if hdu.name == "EXTRACT1D" and "FLUX" in hdu.columns.names and hdu.columns.dtype["FLUX"].shape]


def _rows(hdu: Any, path: str) -> Iterator[np.ndarray]:
    """Rows of a table as they are stored, a slab at a time."""
    dtype = hdu.columns.dtype.newbyteorder(">")
    count, step = _count(hdu), max(1, _SLAB // dtype.itemsize)
    with open(path, "rb") as file:
        file.seek(hdu.fileinfo()["datLoc"])
        for first in range(0, count, step):
            yield np.fromfile(file, dtype, min(step, count - first))


def _series(label: str, tables: list[Any], path: str, times: int, waves: int) -> Series:
    total = sum(_count(hdu) for hdu in tables)
    bins = min(times, total)
    nwave = tables[0].columns.dtype["FLUX"].shape[0]
    sums, counts = np.zeros((bins, nwave)), np.zeros((bins, nwave), np.int32)
    clock, ticks = np.zeros(bins), np.zeros(bins)
    wavelength, row, scale = np.full(nwave, np.nan), 0, ""
    for hdu in tables:
        for rows in _rows(hdu, path):
            place = (np.arange(row, row + len(rows)) * bins) // total
            row += len(rows)
            flux = rows["FLUX"].astype(np.float64)
            good = np.isfinite(flux)
            edges = np.flatnonzero(np.diff(place, prepend=place[0] - 1))
            sums[place[edges]] += np.add.reduceat(np.where(good, flux, 0), edges, axis=0)
            counts[place[edges]] += np.add.reduceat(good.astype(np.int32), edges, axis=0)
            scale, time = _time(rows)
            np.add.at(clock, place[np.isfinite(time)], time[np.isfinite(time)])
            np.add.at(ticks, place[np.isfinite(time)], 1)
            wavelength = np.where(np.isfinite(wavelength), wavelength, rows["WAVELENGTH"][0])
    with np.errstate(invalid="ignore", divide="ignore"):
        binned, time = sums / counts, clock / ticks
    spectrum = _median(binned)
    unit = str(tables[0].columns["FLUX"].unit or "")
    columns, image = _columns(wavelength, binned, spectrum, waves)
    if not np.isfinite(time).all():
        time, scale = np.arange(bins, dtype=np.float64), ""
    return Series(label, wavelength, spectrum, time, image, columns, total, unit, scale)


def make_series(label: str, wavelength: np.ndarray, flux: np.ndarray, time: np.ndarray, unit: str = "Jy", scale: str = "") -> Series:
    """A `Series` from spectra in memory: ``flux`` float64[integration, wavelength]."""
    spectrum = _median(flux)
    columns, image = _columns(wavelength, flux, spectrum, WAVES)
    return Series(label, wavelength, spectrum, time, image, columns, len(flux), unit, scale)


def _time(rows: np.ndarray) -> tuple[str, np.ndarray]:
    for scale, name in (("BJD_TDB", "TDB-MID"), ("MJD_UTC", "MJD-AVG")):
        if name in (rows.dtype.names or ()):
            time = rows[name].astype(np.float64)
            if (time > 0).any():
                return scale, time
    return "", np.full(len(rows), np.nan)


def _median(values: np.ndarray) -> np.ndarray:
    """Median over time without a warning where there is nothing."""
    out = np.full(values.shape[1], np.nan)
    some = np.isfinite(values).any(axis=0)
    out[some] = np.nanmedian(values[:, some], axis=0)
    return out


def _columns(wavelength: np.ndarray, binned: np.ndarray, spectrum: np.ndarray, waves: int) -> tuple[np.ndarray, np.ndarray]:
    """Relative flux in at most `waves` columns, by increasing wavelength: ratio of summed fluxes, so that faint pixels weigh little."""
    order = np.flatnonzero(np.isfinite(wavelength) & np.isfinite(spectrum) & (spectrum > 0))
    order = order[np.argsort(wavelength[order], kind="stable")]
    if not order.size:
        return np.empty(0), np.empty((len(binned), 0), np.float32)
    edges = np.unique(np.linspace(0, order.size, min(waves, order.size) + 1).astype(int))[:-1]
    flux = binned[:, order]
    good = np.isfinite(flux)
    above = np.add.reduceat(np.where(good, flux, 0), edges, axis=1)
    below = np.add.reduceat(np.where(good, spectrum[order], 0), edges, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        image = np.where(below > 0, above / below, np.nan).astype(np.float32)
    centres = np.add.reduceat(wavelength[order], edges) / np.diff(np.append(edges, order.size))
    return centres, image


@dataclass(frozen=True)
class Flags:
    """Share of pixels with each DQ flag.

    Attributes
    ----------
    shares : dict
        Flag name -> fraction of the pixels looked at, those that occur only.
    good : float
        Fraction without any flag.
    integrations : int
        Number looked at.
    files : tuple of str
        Names of the products.
    slits : bool
        Whether these are slits rather than integrations.
    """

    shares: dict[str, float]
    good: float
    integrations: int
    files: tuple[str, ...]
    slits: bool = False


def flag_shares(paths: list[str], sample: int = 48) -> Flags:
    """Count DQ flags in integrations spread evenly over some products.

    Parameters
    ----------
    paths : list of str
        ``_crfints``, ``_calints`` or ``_cal`` products.
    sample : int
        Integrations or slits to look at in all; one at a time is in memory.
    """
    from jwst_dask.data.dq import PIXEL
    from jwst_dask.io.fits import read, scan

    counts, clean, pixels, looked, slits = np.zeros(32, np.int64), 0, 0, 0, False
    files = [scan(path) for path in paths]
    each = max(1, sample // max(1, len(files)))
    for file in files:
        cube = len(file.hdu("DQ").shape) > 2
        planes = range(file.nints) if cube else [hdu.ver for hdu in file.hdus if hdu.name == "DQ"]
        slits |= not cube and len(planes) > 1
        for i in np.unique(np.linspace(0, len(planes) - 1, min(each, len(planes))).astype(int)):
            dq = read(file, "DQ", start=int(i), stop=int(i) + 1) if cube else read(file, "DQ", planes[i])
            values, times = np.unique(dq, return_counts=True)
            counts += ((values[:, None] >> np.arange(32, dtype=np.uint32)) & 1).T.astype(np.int64) @ times
            clean += int(times[values == 0].sum())
            pixels, looked = pixels + dq.size, looked + 1
    shares = {name: float(counts[bit.bit_length() - 1] / pixels) for name, bit in PIXEL.items() if counts[bit.bit_length() - 1]} if pixels else {}
    return Flags(shares, clean / pixels if pixels else 1.0, looked, tuple(os.path.basename(path) for path in paths), slits)
