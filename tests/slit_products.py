"""What multi-slit products hold, slit by slit."""

from __future__ import annotations

import hashlib
from pathlib import Path

from astropy.io import fits
from astropy.table import Table


def slits(path: Path) -> dict[str, dict[str, str]]:
    """Slit name -> extension -> digest of its data, and of its header without its number."""
    out: dict[str, dict[str, str]] = {}
    with fits.open(path) as file:
        names = {hdu.ver: hdu.header["SLTNAME"] for hdu in file[1:] if "SLTNAME" in hdu.header}
        for hdu in file[1:]:
            if hdu.name != "ASDF":
                data = b"" if hdu.data is None else hdu.data.tobytes()
                out.setdefault(str(names[hdu.ver]), {})[hdu.name] = hashlib.sha256(data).hexdigest()
    return out


def quality(path: Path) -> Table:
    """The quality table without the times that slits took."""
    table = Table.read(path, format="ascii.ecsv")
    table.remove_columns([name for name in ("seconds",) if name in table.colnames])
    return table
