"""Tiles of ramps out of exposure files: integrations, groups and rows of uncalibrated or partly calibrated 4-D exposures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.io import source
from jwst_dask.io.fits import HDU, SLICE, FitsFile, read

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block


def is_ramp(file: FitsFile) -> bool:
    """Whether a file has integrations of groups."""
    return "SCI" in file and len(file.hdu("SCI").shape) == 4


def read_ramp(file: FitsFile, start: int, stop: int, y0: int = 0, y1: int | None = None, *, groups: tuple[int, int] | None = None) -> Block:
    """Integrations `start` to `stop`, rows `y0` to `y1` of an exposure of ramps.

    Parameters
    ----------
    file : FitsFile
        SCI [integration, group, y, x]; GROUPDQ, PIXELDQ (DQ of guider exposures) and ZEROFRAME if it has them.
    start, stop, y0, y1 : int
    groups : (int, int), optional
        First group, and end; all by default.

    Returns
    -------
    Block
        ``sci`` float32 and ``groupdq`` uint8[integration, group, y, x], ``pixeldq`` uint32[y, x] (guider exposures: ``dq``), and
        ``zeroframe`` float32[integration, y, x].

    Raises
    ------
    InputError
        When the file was changed or cut since it was scanned.
    """
    from jwst_dask.data.exposure import Block

    hdu = file.hdu("SCI")
    ny, nx = hdu.shape[-2:]
    y1, (g0, g1) = ny if y1 is None else y1, groups or (0, hdu.shape[1])
    arrays = {"sci": samples(file, hdu, (start, stop), (g0, g1), (y0, y1))}
    window = (y0, y1, 0, nx)
    if "GROUPDQ" in file:
        arrays["groupdq"] = samples(file, file.hdu("GROUPDQ"), (start, stop), (g0, g1), (y0, y1))
    elif "DQ" not in file:
        arrays["groupdq"] = np.zeros(arrays["sci"].shape, np.uint8)
    for name in ("PIXELDQ", "DQ"):
        if name in file:
            arrays[name.lower()] = read(file, name, window=window).astype(np.uint32, copy=False)
    if "PIXELDQ" not in file and "DQ" not in file:
        arrays["pixeldq"] = np.zeros((y1 - y0, nx), np.uint32)
    if "ZEROFRAME" in file and g0 == 0:
        arrays["zeroframe"] = read(file, "ZEROFRAME", start=start, stop=stop, window=window).astype(np.float32, copy=False)
    return Block(arrays, start, y0=y0, group0=g0)


def samples(file: FitsFile, hdu: HDU, integrations: tuple[int, int], groups: tuple[int, int], rows: tuple[int, int]) -> np.ndarray:
    """Part of a 4-D image: float32 (uint8 for bytes) [integration, group, y, x]."""
    ngroups, ny, nx = hdu.shape[1:]
    (i0, i1), (g0, g1), (y0, y1) = integrations, groups, rows
    if hdu.compressed:
        whole = read(file, hdu.name, hdu.ver, start=i0, stop=i1, window=(y0, y1, 0, nx))
        return np.ascontiguousarray(whole[:, g0:g1]).astype(np.uint8 if hdu.native == np.uint8 else np.float32, copy=False)
    out = np.empty((i1 - i0, g1 - g0, y1 - y0, nx), np.uint8 if hdu.native == np.uint8 else np.float32)
    size = np.dtype(hdu.dtype).itemsize
    joined = (y0, y1) == (0, ny)  # consecutive groups lie one after the other
    with source.reader(file) as reader:
        for i in range(i0, i1):
            for g in range(g0, g1, g1 - g0 if joined else 1):
                part = out[i - i0, g - g0 : (g1 - g0 if joined else g - g0 + 1)].reshape(-1)
                _fill(reader, hdu, hdu.data_offset + ((i * ngroups + g) * ny + y0) * nx * size, part)
    return out


def _fill(reader: source.Reader, hdu: HDU, offset: int, out: np.ndarray) -> None:
    """Read and convert, a piece at a time that stays in a core's cache."""
    from jwst_dask.kernels import bytes as kernels

    stored = np.dtype(hdu.dtype)
    if stored.itemsize == 1:
        reader.into(offset, out, hdu.name)
        return
    step = SLICE // stored.itemsize
    if stored.kind == "f" and stored.itemsize == 4:
        for k in range(0, out.size, step):
            words = out[k : k + step].view(np.uint32)
            reader.into(offset + k * 4, words, hdu.name)
            kernels.swap32(words, words, np.uint32(0))
        return
    buffer = np.empty(min(step, out.size), f"u{stored.itemsize}" if stored.itemsize == 2 else stored)
    for k in range(0, out.size, step):
        part = buffer[: min(step, out.size - k)]
        reader.into(offset + k * stored.itemsize, part, hdu.name)
        if stored.kind == "i" and stored.itemsize == 2 and hdu.bscale == 1:
            kernels.swap16_float(part, out[k : k + step], np.float32(hdu.bzero))
        else:
            out[k : k + step] = part * hdu.bscale + hdu.bzero


def check_ramp(file: FitsFile) -> list[str]:
    """What keeps an exposure of ramps from being processed: shapes that do not agree, keywords that are not there or wrong."""
    hdu, problems = file.hdu("SCI"), []
    nints, ngroups, ny, nx = hdu.shape
    if math.prod(hdu.shape) == 0:
        return [f"SCI has no data: {hdu.shape}"]
    wanted = {"GROUPDQ": hdu.shape, "PIXELDQ": (ny, nx), "DQ": (ny, nx), "ZEROFRAME": (nints, ny, nx)}
    for name, shape in wanted.items():
        if name in file and file.hdu(name).shape != shape:
            problems.append(f"{name} has shape {file.hdu(name).shape}, with SCI of {hdu.shape} it must be {shape}")
    header = file.keywords("PRIMARY")
    for keyword in ("INSTRUME", "EXP_TYPE"):
        if not str(header.get(keyword, "")).strip():
            problems.append(f"keyword {keyword} is missing")
    if header.get("ZEROFRAM") is True and "ZEROFRAME" not in file:
        problems.append("ZEROFRAM says that there are zero frames, but there is no extension ZEROFRAME; add it, or set ZEROFRAM to F")
    for keyword, least in (("NFRAMES", 1), ("GROUPGAP", 0)):
        if isinstance(value := header.get(keyword), (int, float)) and value < least:
            problems.append(f"{keyword} is {value}, it must be {least} at least; correct the primary header")
    stated = header.get("NGROUPS")
    if isinstance(stated, int) and stated != ngroups:
        problems.append(f"NGROUPS is {stated}, SCI has {ngroups} groups; the file is incomplete or its header wrong")
    return problems


def check_input(file: FitsFile) -> None:
    """Refuse an exposure of ramps that cannot be processed.

    Raises
    ------
    InputError
        Naming the file and all that is wrong.
    """
    if problems := check_ramp(file):
        raise InputError(f"{file.path}: " + "; ".join(problems))
