"""What no step of stage 1 touches, but products of ramps have: the reference output of MIRI, copied from the exposure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from jwst_dask.core.blocks import Receipt

COPIED = "REFOUT"
"""Extension [integration, group, y, x]."""


@dataclass(frozen=True)
class CopyTask:
    """Copy the extension into products, an integration at a time.

    Attributes
    ----------
    name, exposure, source
        Name of the task, index of the exposure, and its file for messages.
    origin : FitsFile
    places : tuple of (path, Region)
        Unfinished products, and where it lies in them.
    """

    name: str
    exposure: int
    source: str
    origin: Any
    places: tuple[tuple[str, Any], ...]
    needs: tuple[str, ...] = ()
    slit: str = ""

    def process(self) -> Receipt:
        """Do it. Repeatable."""
        from jwst_dask.io.layout import write_tile
        from jwst_dask.io.ramps import samples

        hdu, read, written, total = self.origin.hdu(COPIED), 0.0, 0.0, 0
        nints, ngroups, ny, _ = hdu.shape
        for i in range(nints):
            clock = time.perf_counter()
            array = samples(self.origin, hdu, (i, i + 1), (0, ngroups), (0, ny))
            read, clock = read + time.perf_counter() - clock, time.perf_counter()
            for path, region in self.places:
                write_tile(path, region, i, 0, array)
                total += array.nbytes
            written += time.perf_counter() - clock
        return Receipt(self.name, self.exposure, 0, 0, read_seconds=read, write_seconds=written, bytes_read=hdu.nbytes, bytes_written=total)
