"""Detector reference files: which window of them belongs to an exposure, and its planes and flags.

A step's `prepare` finds the window (`locate`) and keeps it as state (`Located.state`); its `run` reads the window, or the
rows of it that a block stands for (`plane`, `flags`). Windows stay in the process's memory while there is room, those of bands of
rows do not.

Document: "Subarrays" and "Reference files" of the JWST pipeline documentation (SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.core.step import State
from jwst_dask.data.dq import PIXEL
from jwst_dask.refs.load import planes, token

Window = tuple[slice, slice]
"""Rows and columns of a reference image, from 0."""
FULL_FRAME = {"MIRI": (1024, 1032)}
NIR_FULL_FRAME = (2048, 2048)
IRS2_ROWS = 3200
"""Rows of a NIRSpec frame in which reference pixels are interleaved; its SUBSIZE2 is 2048."""


@dataclass(frozen=True)
class Contents:
    """What a reference file says of itself: primary header, shapes of images by extension, meaning of its flags."""

    header: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    meaning: tuple[tuple[int, int], ...] | None
    """(value in the file, standard flag), or None where flags are the standard ones."""


def contents(path: str) -> Contents:
    """Headers and flag definitions of a FITS reference file, read once per process.

    Raises
    ------
    ReferenceError_
        When the file is absent or not FITS.
    """
    return memo(("stage 1 reference", token(path)), lambda: _read_contents(path))


def _read_contents(path: str) -> Contents:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as file:
            header = {str(card.keyword): card.value for card in file[0].header.cards if card.keyword not in ("COMMENT", "HISTORY", "")}
            shapes = {hdu.name.upper(): tuple(hdu.shape) for hdu in file[1:] if getattr(hdu, "is_image", False) and hdu.shape}
            rows = file["DQ_DEF"].data if "DQ_DEF" in file else None
            meaning = tuple((int(row["VALUE"]), PIXEL.get(str(row["NAME"]).strip(), 0)) for row in rows) if rows is not None else ()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ReferenceError_(f"{path} is not a usable reference file: {error}") from error
    return Contents(header, shapes, meaning or None)


def is_irs2(model: Any) -> bool:
    """Whether the frame has more than 2048 rows or columns: NIRSpec's interleaved reference pixels (IRS2)."""
    return max(model.data.shape[-2:]) > NIR_FULL_FRAME[0]


def window(model: Any, header: Mapping[str, Any], shape: tuple[int, ...], path: str = "", reftype: str = "reference") -> Window:
    """Rows and columns of a reference image that an exposure's pixels fall on.

    Parameters
    ----------
    model : datamodel
        The exposure: instrument, ``meta.subarray`` and the shape of its ``data`` count.
    header : mapping
        Primary header of the reference file, with SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2; a full frame may do without.
    shape : tuple of int
        Shape of the reference image; the last two axes count.
    path, reftype : str
        For messages.

    Raises
    ------
    InputError
        When the exposure does not say where its subarray lies, or is a multistripe readout.
    ReferenceError_
        When the reference does not say where it lies, or does not cover the exposure.
    """
    area, frame = model.meta.subarray, tuple(int(n) for n in model.data.shape[-2:])
    if getattr(area, "multistripe_reads1", None) is not None:
        raise InputError("the exposure reads several stripes of the detector in one frame; this readout is not available in this version")
    own = (area.ystart, area.xstart, area.ysize, area.xsize)
    if any(value is None for value in own) or own[0] < 1 or own[1] < 1:
        raise InputError(f"the exposure's subarray is not known (SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2 = {own[1]}, {own[0]}, {own[3]}, "
                         f"{own[2]}); set these keywords in its primary header")  # fmt: skip
    theirs = _place(header, shape, str(model.meta.instrument.name), path, reftype)
    corner, other = (int(own[0]), int(own[1])), theirs[:2]
    if corner == other and _sizes(own[2:], frame) == _sizes(theirs[2:], shape[-2:]):
        return slice(0, shape[-2]), slice(0, shape[-1])
    first = (corner[0] - other[0], corner[1] - other[1])
    last = (first[0] + int(own[2]), first[1] + int(own[3]))
    if min(first) < 0 or last[0] > shape[-2] or last[1] > shape[-1]:
        raise ReferenceError_(f"the {reftype} reference {os.path.basename(path)} does not cover the exposure: its {shape[-2]} x {shape[-1]} pixels "
                              f"(y, x) begin at row {other[0]}, column {other[1]}, the exposure's {own[2]} x {own[3]} at row {corner[0]}, "
                              f"column {corner[1]}; give another file with override_{reftype}")  # fmt: skip
    return slice(first[0], last[0]), slice(first[1], last[1])


def _sizes(stated: tuple[Any, ...], actual: tuple[int, ...]) -> tuple[int, int]:
    """Size of an image (y, x): the array's, but IRS2 frames count as the 2048 rows of their detector."""
    interleaved = stated[0] == NIR_FULL_FRAME[0] and actual[0] == IRS2_ROWS
    return (NIR_FULL_FRAME[0] if interleaved else int(actual[0])), int(actual[1])


def _place(header: Mapping[str, Any], shape: tuple[int, ...], instrument: str, path: str, reftype: str) -> tuple[int, int, int, int]:
    """First row and column (from 1) of a reference, and its stated size (y, x)."""
    found = tuple(header.get(name) for name in ("SUBSTRT2", "SUBSTRT1", "SUBSIZE2", "SUBSIZE1"))
    if any(value is None for value in found):
        if tuple(shape[-2:]) != FULL_FRAME.get(instrument.upper(), NIR_FULL_FRAME):
            raise ReferenceError_(f"the {reftype} reference {path} has no SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2 and is not a full frame; "
                                  f"set these keywords or give another file with override_{reftype}")  # fmt: skip
        found = (1, 1, *shape[-2:])
    if found[0] < 1 or found[1] < 1:
        raise ReferenceError_(f"the {reftype} reference {path} begins at row {found[0]}, column {found[1]}; rows and columns count from 1")
    return int(found[0]), int(found[1]), int(found[2]), int(found[3])


def cut(array: np.ndarray, place: Window) -> np.ndarray:
    """The window of an image or stack of images (a view)."""
    return array[(Ellipsis, *place)]


@dataclass(frozen=True)
class Located:
    """A reference file and the window of it that belongs to an exposure."""

    path: str
    reftype: str
    window: Window
    header: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    def state(self) -> State:
        """Plain values for the tasks: ``<reftype>.path`` and ``<reftype>.window`` (int64[4]: rows, columns)."""
        rows, columns = self.window
        place = np.array([rows.start, rows.stop, columns.start, columns.stop])
        return {f"{self.reftype}.path": np.array(self.path), f"{self.reftype}.window": place}


def locate(model: Any, path: str, reftype: str, extname: str = "SCI") -> Located:
    """Find the window of a reference file for an exposure.

    Parameters
    ----------
    model : datamodel
        The exposure.
    path, reftype : str
    extname : str
        Extension that has the reference's main array.

    Raises
    ------
    InputError, ReferenceError_
        As `window`; also without that extension.
    """
    found = contents(path)
    if extname not in found.shapes:
        raise ReferenceError_(f"the {reftype} reference {path} has no image extension {extname}")
    place = window(model, found.header, found.shapes[extname], path, reftype)
    return Located(path, reftype, place, found.header, found.shapes)


def has(state: Mapping[str, Any], reftype: str) -> bool:
    """Whether a prepared step has this reference."""
    return f"{reftype}.path" in state


def window_of(state: Mapping[str, Any], reftype: str, block: Any = None) -> Window:
    """The window of a reference in a prepared state, or the rows of it that a block stands for.

    A block of a band of rows says in ``y0`` at which row of the exposure it begins.
    """
    y0, y1, x0, x1 = (int(value) for value in state[f"{reftype}.window"])
    if block is None:
        return slice(y0, y1), slice(x0, x1)
    start = y0 + int(getattr(block, "y0", 0) or 0)
    return slice(start, min(start + block.arrays["sci"].shape[-2], y1)), slice(x0, x1)


def is_part(state: Mapping[str, Any], reftype: str, block: Any = None) -> bool:
    """Whether a block is a band of rows of the exposure; each is read once, so that what belongs to it is not kept in memory."""
    rows = window_of(state, reftype, block)[0]
    return (rows.start, rows.stop) != tuple(int(value) for value in state[f"{reftype}.window"][:2])


def plane(state: Mapping[str, Any], reftype: str, extname: str = "SCI", block: Any = None, lead: tuple[slice, ...] = (),
          keep: bool = True) -> np.ndarray:  # fmt: skip
    """An image (or stack) of a reference for an exposure, or for the rows of a block.

    Parameters
    ----------
    state : mapping
        Has what `Located.state` gave.
    reftype, extname : str
    block : Block
    lead : tuple of slice
        Part of the axes before (y, x); whole by default.
    keep : bool
        Keep what was read in memory (unless the block is a band of rows).

    Returns
    -------
    float32[..., y, x]
        Shared by all tasks of the process: do not change it.

    Raises
    ------
    ReferenceError_
        When it cannot be read or does not fit the block.
    """
    path = str(state[f"{reftype}.path"])
    found = planes(path, extname, (*lead, *window_of(state, reftype, block)), keep=keep and not is_part(state, reftype, block))
    _fits(found, path, reftype, block)
    return found.astype(np.float32, copy=False)


def flags(state: Mapping[str, Any], reftype: str, block: Any = None, extname: str = "DQ") -> np.ndarray:
    """Standard flags of a reference for an exposure, or for the rows of a block; zeros if it has none.

    Returns
    -------
    uint32[..., y, x]
        Do not change it.

    Raises
    ------
    ReferenceError_
        When they cannot be read or do not fit the block.
    """
    path, place = str(state[f"{reftype}.path"]), window_of(state, reftype, block)
    found = contents(path)
    if extname not in found.shapes:
        return np.zeros((place[0].stop - place[0].start, place[1].stop - place[1].start), np.uint32)
    stored = planes(path, extname, place, keep=not is_part(state, reftype, block))
    _fits(stored, path, reftype, block)
    values = stored.astype(np.int64, copy=False).astype(np.uint32) if stored.dtype.kind == "f" else stored.astype(np.uint32, copy=False)
    if found.meaning is None:
        return values
    out = np.zeros_like(values)
    present = int(np.bitwise_or.reduce(values, axis=None)) if values.size else 0
    for value, flag in found.meaning:
        if value & present:
            out |= np.where((values & np.uint32(value)) != 0, np.uint32(flag), np.uint32(0))
    return out


def _fits(found: np.ndarray, path: str, reftype: str, block: Any) -> None:
    if block is not None and found.shape[-2:] != block.arrays["sci"].shape[-2:]:
        raise ReferenceError_(f"the {reftype} reference {os.path.basename(path)} has {found.shape[-2]} x {found.shape[-1]} pixels (y, x) where the "
                              f"exposure has {block.arrays['sci'].shape[-2]} x {block.arrays['sci'].shape[-1]}; "
                              f"give another file with override_{reftype}")  # fmt: skip


def band(array: np.ndarray, block: Any) -> np.ndarray:
    """The rows of an exposure's image (or stack) that a block stands for (a view)."""
    start = int(getattr(block, "y0", 0) or 0)
    return array[..., start : start + block.arrays["sci"].shape[-2], :]


def same_frame(model: Any, path: str, reftype: str) -> Located:
    """A reference that must have the exposure's own frame, because it depends on how that is read out.

    Raises
    ------
    ReferenceError_
        When it has another size.
    """
    found = contents(path)
    shape, frame = found.shapes.get("SCI", ()), tuple(int(n) for n in model.data.shape[-2:])
    if tuple(shape[-2:]) != frame:
        raise ReferenceError_(f"the {reftype} reference {path} has images of {' x '.join(map(str, shape[-2:])) or 'no'} pixels (y, x), the exposure's are "
                              f"{frame[0]} x {frame[1]}; give one of this subarray with override_{reftype}")  # fmt: skip
    return Located(path, reftype, (slice(0, frame[0]), slice(0, frame[1])), found.header, found.shapes)


def sequence(model: Any) -> tuple[int, int]:
    """Frames averaged in a group, and frames left out between groups (NFRAMES, GROUPGAP).

    Raises
    ------
    InputError
        When the exposure does not say.
    """
    nframes, groupgap = model.meta.exposure.nframes, model.meta.exposure.groupgap
    if nframes is None or groupgap is None:
        raise InputError(f"the exposure has no NFRAMES or GROUPGAP ({nframes}, {groupgap}); set these keywords in its primary header")
    return int(nframes), int(groupgap)
