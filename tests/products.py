"""What products hold, for comparing runs: the bytes of every part that does not carry a date."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from astropy.io import fits

DATED = ("DATE", "FILENAME")


def contents(folder: Path) -> dict[str, str]:
    """``file[EXTENSION,version]`` -> digest of its data, for every product in a folder."""
    out: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".ecsv":
            out[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".fits":
            raw = path.read_bytes()
            with fits.open(path) as file:
                for hdu in file:
                    if hdu.name == "ASDF":
                        continue
                    key = f"{path.name}[{hdu.name},{hdu.ver}]"
                    if hdu.name == "HDRTAB":
                        out[key] = _undated(hdu.data)
                        continue
                    info = hdu.fileinfo()
                    out[key] = hashlib.sha256(raw[info["datLoc"] : info["datLoc"] + info["datSpan"]]).hexdigest()
    return out


def _undated(table: fits.FITS_rec) -> str:
    digest = hashlib.sha256()
    for name in table.dtype.names:
        if name not in DATED:
            digest.update(np.ascontiguousarray(table[name]).tobytes())
    return digest.hexdigest()


def data(folder: Path) -> dict[str, str]:
    """`contents` without primary headers' empty data; for readable differences."""
    return {key: value for key, value in contents(folder).items() if "[PRIMARY" not in key}


def leftovers(folder: Path) -> list[str]:
    """Files under temporary names."""
    return sorted(path.name for path in folder.rglob("*.part"))


def inputs(folder: Path) -> list[str]:
    """Count-rate segments in a folder."""
    return [str(path) for path in sorted(folder.glob("*_rateints.fits"))]
