"""Changes of the oracle's exposures of ramps: parts of frames, headers, flags of users. Each takes a folder with copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits


def _window(folder: Path, subarray: str, y0: int, y1: int, x0: int, x1: int) -> None:
    """Full frames become subarrays."""
    for path in folder.glob("*_uncal.fits"):
        with fits.open(path, memmap=False) as file:
            header = file[0].header
            for name in ("SCI", "ZEROFRAME"):
                if name in file:
                    file[name].data = np.ascontiguousarray(file[name].data[..., y0:y1, x0:x1])
            header.update({"SUBARRAY": subarray, "SUBSTRT1": header["SUBSTRT1"] + x0, "SUBSTRT2": header["SUBSTRT2"] + y0, "SUBSIZE1": x1 - x0, "SUBSIZE2": y1 - y0})
            file.writeto(path, overwrite=True)


def nircam_window(folder: Path) -> None:
    """Snowballs, stars, and the reference pixels on the left."""
    _window(folder, "SUB640", 520, 776, 0, 704)


def miri_window(folder: Path) -> None:
    """Showers and stars."""
    _window(folder, "BRIGHTSKY", 600, 860, 300, 1032)


def flags(folder: Path) -> None:
    """An image of flags for dq_init.user_supplied_dq."""
    for path in folder.glob("*_uncal.fits"):
        shape = fits.getdata(path, "SCI").shape[-2:]
        dq = np.zeros(shape, np.uint32)
        dq[5:9, 40:60], dq[12, 100:200], dq[20:22, 7] = 1, 2048, 1 | 4
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(dq, name="DQ")]).writeto(folder / "user_dq.fits", overwrite=True)


def later(folder: Path) -> None:
    """The same exposure, ten minutes later."""
    for path in folder.glob("*_uncal.fits"):
        with fits.open(path, mode="update") as file:
            file[0].header["EXPSTART"] += 600 / 86400
            for name in ("int_start_MJD_UTC", "int_mid_MJD_UTC", "int_end_MJD_UTC", "int_start_BJD_TDB", "int_mid_BJD_TDB", "int_end_BJD_TDB"):
                file["INT_TIMES"].data[name] += 600 / 86400


def no_times(folder: Path) -> None:
    """No times of integrations."""
    for path in folder.glob("*_uncal.fits"):
        with fits.open(path, memmap=False) as file:
            file["INT_TIMES"].data = file["INT_TIMES"].data[:0]
            file.writeto(path, overwrite=True)


def averages(folder: Path) -> None:
    """Groups of four frames, dropping one, scaled by the wrong divisor: group_scale has something to do."""
    for path in folder.glob("*_uncal.fits"):
        with fits.open(path, mode="update") as file:
            file[0].header.update({"NFRAMES": 5, "FRMDIVSR": 4, "GROUPGAP": 1, "READPATT": "NRS"})


def first(nints: int, ngroups: int) -> Callable[[Path], None]:
    """Only the first integrations, and the first groups of each."""

    def cut(folder: Path) -> None:
        for path in folder.glob("*_uncal.fits"):
            with fits.open(path, memmap=False) as file:
                file["SCI"].data = np.ascontiguousarray(file["SCI"].data[:nints, :ngroups])
                kept = (file["GROUP"].data["integration_number"] <= nints) & (file["GROUP"].data["group_number"] <= ngroups)
                file["GROUP"].data, file["INT_TIMES"].data = file["GROUP"].data[kept], file["INT_TIMES"].data[:nints]
                file[0].header.update({"NINTS": nints, "NGROUPS": ngroups, "INTEND": nints})
                file.writeto(path, overwrite=True)

    cut.__name__ = f"first_{nints}_{ngroups}"
    return cut
