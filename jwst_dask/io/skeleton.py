"""An exposure file as a datamodel of one integration: all metadata and tables, no pixels."""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.data.exposure import CUBES
from jwst_dask.data.models import filled
from jwst_dask.io import asdf_text, source
from jwst_dask.io.cards import BLOCK, asdf_header, header_hash, set_card
from jwst_dask.io.edits import table_cards
from jwst_dask.io.fits import HDU, FitsFile, scan
from jwst_dask.io.likeness import Likeness
from jwst_dask.io.plugins import core_only, core_text

PIXELS = frozenset(name.upper() for name in CUBES)
"""Extensions that hold pixels of the exposure, whatever their dimensions."""
ATTRIBUTES = {"SCI": "data", "ERR": "err", "DQ": "dq", "VAR_POISSON": "var_poisson", "VAR_RNOISE": "var_rnoise", "VAR_FLAT": "var_flat"}
RAMP = {"SCI": "data", "ERR": "err", "DQ": "dq", "PIXELDQ": "pixeldq", "GROUPDQ": "groupdq", "ZEROFRAME": "zeroframe", "REFOUT": "refout"}
"""The same of exposures of ramps, which have images of four, three and two dimensions."""


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
    file = file or scan(path)
    small = _small(file)
    made: list[Any] = []

    def first() -> Likeness:
        made.append(_read(file, small))
        return Likeness(small.text, file.hdus, small.contents, made[0].instance)

    model = None
    if (key := _key(file, small)) is not None:
        like: Likeness = memo(key, first)
        tree = None if made else like.tree_of(small.text, small.headers, small.contents)
        model = made[0] if made else None if tree is None else filled(key[1], tree)
    model = model or _read(file, small)
    for hdu in small.images:  # as large as they are, without taking room
        shape = (1, *hdu.shape[1:]) if len(hdu.shape) > 2 else hdu.shape
        model.instance[{**ATTRIBUTES, **RAMP}[hdu.name]] = np.broadcast_to(np.zeros((), hdu.native), shape)
    asdf_text.put_back(model.instance, small.wcs)
    model.meta.filename = os.path.basename(file.path)
    return model


@dataclass(frozen=True)
class _Small:
    """A file with one integration of zeros.

    Attributes
    ----------
    headers, contents : list of bytes
        Of all extensions.
    text : str
        Of the ASDF extension, without WCS objects.
    wcs : list of Fragment
        These.
    described : bool
        Whether its tree describes its headers.
    """

    headers: list[bytes]
    contents: list[bytes]
    text: str
    wcs: list[asdf_text.Fragment]
    described: bool
    images: tuple[HDU, ...] = ()
    """Those of two dimensions, and all of ramps, that stand there as one pixel."""

    @property
    def name(self) -> str:
        """Class of the datamodel."""
        from astropy.io.fits import Header

        return str(Header.fromstring(self.headers[0].decode("ascii", "replace")).get("DATAMODL", ""))

    def joined(self) -> bytearray:
        """The file."""
        out = bytearray()
        for header, content in zip(self.headers, self.contents):
            out += header
            out += content
            out += bytes(math.ceil(len(content) / BLOCK) * BLOCK - len(content))
        return out


def _key(file: FitsFile, small: _Small) -> tuple[Any, ...] | None:
    """What files have in common that may have trees like one another; None for a file whose headers say more than its tree."""
    from stdatamodels.jwst import datamodels

    if not small.described or any(b"HISTORY " in header for header in small.headers) or not hasattr(datamodels, small.name):
        return None
    shapes = tuple((h.name, h.ver, h.kind, h.dtype, h.bzero, h.bscale, h.shape[1:] if h.name in PIXELS else h.shape) for h in file.hdus if h.name != "ASDF")
    columns = tuple(table_cards(header) for hdu, header in zip(file.hdus, small.headers) if hdu.kind == "table" and hdu.name != "ASDF")
    return ("tree of file", getattr(datamodels, small.name), shapes, columns)


def _read(file: FitsFile, small: _Small) -> Any:
    """The model of a file, read by `stdatamodels`; WCS objects are not in it yet."""
    from astropy.io import fits
    from stdatamodels.jwst import datamodels

    name = small.name
    with core_only(core_text(small.text)), fits.open(io.BytesIO(small.joined()), memmap=False) as hdus:
        try:
            if not hasattr(datamodels, name):
                return datamodels.open(hdus)
            model = getattr(datamodels, name)(hdus, validate_on_assignment=not small.described)
            model._validate_on_assignment = False  # what steps compute needs no check
            model.instance.pop("validate_on_assignment", None)  # SlitModel also takes it for an attribute
            return model
        except (ValueError, TypeError, OSError) as error:
            raise InputError(f"{file.path}: not usable as a JWST {name or 'data'} product ({error})") from error


def wcs_of(file: FitsFile, index: int = 0) -> Any:
    """The WCS of a file (of its slit or spectrum number `index`, from 0), or None. Reads the ASDF extension only."""
    if "ASDF" not in file:
        return None
    with source.reader(file) as reader:
        hdu = file.hdu("ASDF")
        _, found = asdf_text.set_aside(reader.read(hdu.data_offset, hdu.nbytes))
    return asdf_text.load(found[index]) if index < len(found) else None


def _small(file: FitsFile) -> _Small:
    headers, contents, text = [], [], ""
    raw: list[bytes] = []
    wcs: list[asdf_text.Fragment] = []
    if "SCI" in file and len(file.hdu("SCI").shape) == 4:
        images = tuple(h for h in file.hdus if h.name in RAMP)
    else:
        images = tuple(h for h in file.hdus if h.name in ATTRIBUTES and len(h.shape) == 2 and ("SCI", 2) not in file)
    with source.reader(file) as reader:
        for hdu in file.hdus:
            header = reader.read(hdu.header_offset, hdu.data_offset - hdu.header_offset)
            content = b""
            if hdu.compressed:
                header = _image_header(file, hdu)
            if hdu in images:
                header, content = _one_pixel(header, hdu)
            elif hdu.name in PIXELS or _is_cube(hdu, file) or hdu.name == "EXTRACT1D":
                header, content = _one_row(header, hdu)
            elif hdu.name == "ASDF":
                content, wcs = asdf_text.set_aside(reader.read(hdu.data_offset, hdu.nbytes))
                content = _with_shapes(content, images)
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
    if "ASDF" in file:
        text = asdf_text.split(contents[[hdu.name for hdu in file.hdus].index("ASDF")])[0]
        text = asdf_text.resize(text, {(hdu.name, hdu.ver): 1 for hdu in file.hdus if hdu.name in PIXELS and len(hdu.shape) == 3})
    return _Small(headers, contents, text, wcs, described, images)


def _with_shapes(content: bytes, images: tuple[HDU, ...]) -> bytes:
    text, blocks = asdf_text.split(content)
    return asdf_text.join(asdf_text.resize(text, {(hdu.name, hdu.ver): (1,) * len(hdu.shape) for hdu in images}), blocks) if images else content


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


def _one_pixel(header: bytes, hdu: HDU) -> tuple[bytes, bytes]:
    """An image of one pixel in place of a large one."""
    for axis in range(len(hdu.shape)):
        header = set_card(header, f"NAXIS{axis + 1}", "1")
    return header, np.full((), -int(hdu.bzero) if hdu.native.kind == "u" and hdu.bzero else 0, hdu.dtype).tobytes()


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
