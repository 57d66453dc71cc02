"""An exposure file as a datamodel of one integration: all metadata and tables, no pixels."""

from __future__ import annotations

import io
import math
import os
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.data.exposure import CUBES
from jwst_dask.io import asdf_text, source
from jwst_dask.io.cards import BLOCK, asdf_header, header_hash, set_card
from jwst_dask.io.fits import HDU, FitsFile, scan

PIXELS = frozenset(name.upper() for name in CUBES)
"""Extensions that hold pixels of the exposure, whatever their dimensions."""


def skeleton(path: str | os.PathLike[str], file: FitsFile | None = None) -> Any:
    """Open `path` as the datamodel class it declares, with image arrays of zeros of one integration.

    Parameters
    ----------
    path : str
        Exposure or spectrum, in any form that `jwst_dask.io.fits.scan` reads.
    file : FitsFile, optional
        Its scan, when there is one already.

    Returns
    -------
    stdatamodels.jwst.datamodels.JwstDataModel
        Metadata, INT_TIMES and other tables, static planes (WAVELENGTH) and WCS are complete; pixel arrays are zeros, shaped
        ``(1, y, x)`` where the file has integrations and ``(y, x)`` where not; tables of spectra have one row of zeros.
        A WCS object is shared by the exposures that have the same one: copy it before changing it.

    Raises
    ------
    InputError
        The file cannot be read, or its ASDF extension is damaged.
    """
    from astropy.io import fits
    from stdatamodels.jwst import datamodels

    file = file or scan(path)
    content, wcs, described = _small(file)
    with fits.open(io.BytesIO(content), memmap=False) as hdus:
        name = hdus[0].header.get("DATAMODL", "")
        try:
            if hasattr(datamodels, name):
                model = getattr(datamodels, name)(hdus, validate_on_assignment=not described)
                model._validate_on_assignment = False  # what steps compute needs no check
                model.instance.pop("validate_on_assignment", None)  # SlitModel also takes it for an attribute
            else:
                model = datamodels.open(hdus)
            asdf_text.put_back(model.instance, wcs)
        except (ValueError, TypeError, OSError) as error:
            raise InputError(f"{file.path}: not usable as a JWST {name or 'data'} product ({error})") from error
    model.meta.filename = os.path.basename(file.path)
    return model


def wcs_of(file: FitsFile, index: int = 0) -> Any:
    """The WCS of a file (of its slit or spectrum number `index`, from 0), or None. Reads the ASDF extension only."""
    if "ASDF" not in file:
        return None
    with source.reader(file) as reader:
        hdu = file.hdu("ASDF")
        _, found = asdf_text.set_aside(reader.read(hdu.data_offset, hdu.nbytes))
    return asdf_text.load(found[index]) if index < len(found) else None


def _small(file: FitsFile) -> tuple[bytearray, list[asdf_text.Fragment], bool]:
    """The file with one integration of zeros, as bytes; the WCS objects taken out of it; whether its tree describes its headers."""
    headers, contents = [], []
    raw: list[bytes] = []
    wcs: list[asdf_text.Fragment] = []
    with source.reader(file) as reader:
        for hdu in file.hdus:
            header = reader.read(hdu.header_offset, hdu.data_offset - hdu.header_offset)
            content = b""
            if hdu.compressed:
                header = _image_header(file, hdu)
            if hdu.name in PIXELS or _is_cube(hdu, file) or hdu.name == "EXTRACT1D":
                header, content = _one_row(header, hdu)
            elif hdu.name == "ASDF":
                content, wcs = asdf_text.set_aside(reader.read(hdu.data_offset, hdu.nbytes))
                header = asdf_header(header, len(content))
            elif hdu.compressed:
                from jwst_dask.io.fits import read

                content = read(file, hdu.name, hdu.ver).astype(hdu.native.newbyteorder(">")).tobytes()
            else:
                content = reader.read(hdu.data_offset, hdu.nbytes)
            raw.append(reader.read(hdu.header_offset, hdu.data_offset - hdu.header_offset))
            headers.append(header)
            contents.append(content)
    described = _keep_hash(file, raw, headers, contents)
    out = bytearray()
    for header, content in zip(headers, contents):
        out += header
        out += content
        out += bytes(math.ceil(len(content) / BLOCK) * BLOCK - len(content))
    return out, wcs, described


def _is_cube(hdu: HDU, file: FitsFile) -> bool:
    """Whether an image has a plane for each integration of SCI."""
    return hdu.kind == "image" and len(hdu.shape) == 3 and "SCI" in file and hdu.shape[0] == file.nints


def _one_row(header: bytes, hdu: HDU) -> tuple[bytes, bytes]:
    if hdu.kind == "table":
        return set_card(header, "NAXIS2", "1"), bytes(np.dtype(hdu.dtype).itemsize)
    shape = (1, *hdu.shape[1:]) if len(hdu.shape) == 3 else hdu.shape
    if len(hdu.shape) == 3:
        header = set_card(header, "NAXIS3", "1")
    zeros = np.zeros(shape, hdu.dtype)
    if hdu.native.kind == "u" and hdu.bzero:
        zeros[...] = -int(hdu.bzero)
    return header, zeros.tobytes()


def _image_header(file: FitsFile, hdu: HDU) -> bytes:
    """Header of the image that a tile-compressed extension holds."""
    from astropy.io import fits

    name = source.local(file)
    with fits.open(name, use_fsspec=source.is_url(name) or None) as hdus:
        header = hdus[file.hdus.index(hdu)].header.copy()
    if hdu.bzero:
        header["BZERO"], header["BSCALE"] = int(hdu.bzero) if hdu.bzero == int(hdu.bzero) else hdu.bzero, hdu.bscale
    text: bytes = header.tostring(endcard=True, padding=True).encode("ascii")
    return text


def _keep_hash(file: FitsFile, raw: list[bytes], headers: list[bytes], contents: list[bytes]) -> bool:
    """Let the ASDF extension still count as describing the headers, if it does in the file.

    `stdatamodels` then takes values from it (exact) rather than from header cards (rounded to fit), as it would for the file.
    """
    last = [i for i, hdu in enumerate(file.hdus) if hdu.name == "ASDF"]
    if not last or any(hdu.compressed for hdu in file.hdus):
        return False
    rest = [i for i in range(len(raw)) if i != last[0]]
    stored = asdf_text.stored_hash(contents[last[0]])
    if not stored or stored != header_hash([raw[i] for i in rest]):
        return False
    contents[last[0]], _ = asdf_text.replace_hash(contents[last[0]], header_hash([headers[i] for i in rest]))
    return True
