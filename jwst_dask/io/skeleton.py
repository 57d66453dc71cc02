"""An exposure file as a datamodel of one integration: all metadata and tables, no pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits


def skeleton(path: str) -> Any:
    """Open `path` as the datamodel class it declares, with image arrays of zeros of one integration.

    Tables (INT_TIMES) and the ASDF extension are complete; only headers and tables are read.
    """
    from stdatamodels.jwst import datamodels

    out = fits.HDUList()
    with fits.open(path, memmap=True) as file:
        for hdu in file:
            if isinstance(hdu, (fits.ImageHDU, fits.CompImageHDU)) and hdu.shape:
                shape = (1, *hdu.shape[1:]) if len(hdu.shape) == 3 else hdu.shape
                dtype = np.uint32 if hdu.header.get("BZERO") == 2**31 else np.dtype(fits.hdu.image.BITPIX2DTYPE[hdu.header["BITPIX"]])
                out.append(fits.ImageHDU(np.zeros(shape, dtype), header=hdu.header, name=hdu.name, ver=hdu.ver))
            else:
                out.append(hdu.copy())
    name = out[0].header.get("DATAMODL", "")
    return getattr(datamodels, name)(out) if hasattr(datamodels, name) else datamodels.open(out)
