"""Where a ramp lies between two passes: plain arrays on disk, read and written by frames or by bands of rows.

Bytes are read and written, not mapped, but for rows of narrow frames: a mapped file counts as memory of the worker that touches it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jwst_dask.core.arrays import load_arrays
from jwst_dask.core.errors import InputError, JwstDaskError
from jwst_dask.data.exposure import Block

SAMPLES: dict[str, np.dtype[Any]] = {"sci": np.dtype(np.float32), "groupdq": np.dtype(np.uint8)}
"""Arrays [integration, group, y, x]."""
FRAMES = {"zeroframe": np.dtype(np.float32)}
"""Arrays [integration, y, x]."""
PLANES = {"pixeldq": np.dtype(np.uint32)}
"""Arrays [y, x]."""


SMALL, WINDOW = 32_768, 4_000_000
"""Bytes of rows of one frame below which they are copied from a mapped file, and how much of it is mapped at a time."""

RESERVED = 64_000_000
"""Bytes of an array up to which room is taken before it is filled: that of many long exposures is given back by the first for the last."""


class Ramps(Protocol):
    """All that a step may do with a stored ramp which it goes through by itself (its ``stream``)."""

    nints: int
    ngroups: int
    shape: tuple[int, int]

    def blocks(self) -> Iterator[Block]:
        """Consecutive integrations, as many as memory allows."""

    def read(self, start: int, stop: int, y0: int = 0, y1: int | None = None, groups: tuple[int, int] | None = None,
             names: tuple[str, ...] | None = None) -> Block:  # fmt: skip
        """A tile of integrations, rows and groups, of all arrays or those named."""

    def write(self, block: Block) -> None:
        """Put the arrays of a block of integrations in their place."""

    def bands(self, halo: int = 0) -> Iterator[Block]:
        """Rows of all integrations, as many as memory allows, with `halo` rows more on each side."""

    def band(self, y0: int, y1: int, halo: int = 0) -> Block:
        """Rows `y0` to `y1` of all integrations."""

    def write_band(self, block: Block) -> None:
        """Put the rows of a band in their place, without its halo."""


@dataclass(frozen=True)
class RampStore:
    """Arrays of one exposure in a folder.

    Attributes
    ----------
    folder : str
    nints, ngroups : int
    shape : (int, int)
        (y, x).
    zeroframe : bool
        Whether there are zero frames.
    limit : int
        Bytes that a block may have.
    shared : tuple of str
        Arrays that are those of the store before, because no step between changes them: links to its files, never written here.
    by_rows : bool
        Whether samples are in the order [y, integration, group, x], for bands of narrow frames: rows of all frames are one piece then.
    """

    folder: str
    nints: int
    ngroups: int
    shape: tuple[int, int]
    zeroframe: bool = False
    limit: int = 64_000_000
    shared: tuple[str, ...] = ()
    by_rows: bool = False

    def names(self) -> list[str]:
        """Arrays that it has."""
        return [*SAMPLES, *PLANES, *(FRAMES if self.zeroframe else ())]

    def create(self, before: RampStore | None = None) -> RampStore:
        """Make empty files, and links to those of the store before; the store as it is, which shares nothing where files cannot have links.

        Raises
        ------
        InputError
            When there is no room for them.
        """
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        try:
            for name in self.shared if before is not None else ():
                os.link(before.path(name), self.path(name))  # type: ignore[union-attr]
        except OSError:
            for name in self.shared:
                Path(self.path(name)).unlink(missing_ok=True)
            return replace(self, shared=()).create()
        for name in self.names():
            if name not in self.shared:
                with _explained(self.path(name)), open(self.path(name), "wb") as file:
                    reserve = os.posix_fallocate if self._nbytes(name) <= RESERVED else _sized
                    reserve(file.fileno(), 0, self._nbytes(name))
        return self

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str) -> str:
        """File of an array."""
        return os.path.join(self.folder, f"{name}.raw")

    def _nbytes(self, name: str) -> int:
        ny, nx = self.shape
        return ny * nx * (self.nints * self.ngroups * SAMPLES[name].itemsize if name in SAMPLES else self.nints * 4 if name in FRAMES else 4)

    def read(self, start: int, stop: int, y0: int = 0, y1: int | None = None, groups: tuple[int, int] | None = None,
             names: tuple[str, ...] | None = None) -> Block:  # fmt: skip
        """A tile of integrations and rows (and groups), of all arrays or those named.

        Raises
        ------
        JwstDaskError
            When it is not there (its task failed, or the file system is not shared).
        """
        ny, nx = self.shape
        y1 = ny if y1 is None else y1
        g0, g1 = groups or (0, self.ngroups)
        arrays: dict[str, np.ndarray] = {}
        names = names or tuple(self.names())
        for name, dtype in SAMPLES.items():
            if name not in names:
                continue
            out = arrays[name] = np.empty((stop - start, g1 - g0, y1 - y0, nx), dtype)
            if self.by_rows:
                row = np.empty((stop - start, g1 - g0, nx), dtype)
                for y in range(y0, y1):
                    self._read(name, self._in_row(row, start, y, g0))
                    out[:, :, y - y0] = row
            elif (g1 - g0, y1 - y0) == (self.ngroups, ny):  # all in one piece
                self._read(name, ((out, start * self.ngroups * ny * nx * dtype.itemsize),))
            elif (y1 - y0) * nx * dtype.itemsize < SMALL:
                for i, mapped in self._mapped(name, start, stop, "r"):
                    out[i - start : i - start + len(mapped)] = mapped[:, g0:g1, y0:y1]
            else:
                self._read(name, ((out[i - start, g - g0], ((i * self.ngroups + g) * ny + y0) * nx * dtype.itemsize)
                                  for i in range(start, stop) for g in range(g0, g1)))  # fmt: skip
        if "pixeldq" in names:
            arrays["pixeldq"] = np.empty((y1 - y0, nx), np.uint32)
            self._read("pixeldq", ((arrays["pixeldq"], y0 * nx * 4),))
        if "zeroframe" in names and g0 == 0:
            arrays["zeroframe"] = np.empty((stop - start, y1 - y0, nx), np.float32)
            self._read("zeroframe", ((arrays["zeroframe"][i - start], (i * ny + y0) * nx * 4) for i in range(start, stop)))
        return Block(arrays, start, y0=y0, group0=g0)

    def _in_row(self, row: np.ndarray, start: int, y: int, g0: int) -> list[tuple[np.ndarray, int]]:
        """Pieces of the file, by rows, that a row of some integrations and groups is ([integration, group, x]), and where they are."""
        first = (y * self.nints + start) * self.ngroups
        if row.shape[1] == self.ngroups:
            return [(row, first * row[0, 0].nbytes)]
        return [(one, (first + i * self.ngroups + g0) * row[0, 0].nbytes) for i, one in enumerate(row)]

    def _mapped(self, name: str, start: int, stop: int, mode: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Integrations of an array, mapped, some megabytes at a time: for pieces too small to be worth a call of the system each."""
        dtype, (ny, nx) = SAMPLES[name], self.shape
        one = self.ngroups * ny * nx * dtype.itemsize
        step = max(1, WINDOW // one)
        try:
            for i in range(start, stop, step):
                yield i, np.memmap(self.path(name), dtype, mode, i * one, (min(step, stop - i), self.ngroups, ny, nx))
        except (OSError, ValueError) as error:
            raise JwstDaskError(f"{self.folder}: the ramp is not there or cut short; workers must share the output folder's file system") from error

    def _read(self, name: str, places: Any) -> None:
        try:
            fd = os.open(self.path(name), os.O_RDONLY)
        except OSError as error:
            raise JwstDaskError(f"{self.folder}: the ramp is not there; workers must share the output folder's file system") from error
        try:
            for out, offset in places:
                view, done = out.reshape(-1).view(np.uint8).data, 0
                while done < len(view):
                    n = os.preadv(fd, [view[done:]], offset + done)
                    if n == 0:
                        raise JwstDaskError(f"{self.path(name)}: cut short")
                    done += n
        finally:
            os.close(fd)

    def put(self, block: Block, rows: slice | None = None, names: tuple[str, ...] | None = None) -> int:
        """Write a block, or `rows` of its arrays; returns the bytes written. May be repeated."""
        ny, nx = self.shape
        height = next(iter(block.arrays.values())).shape[-2]
        rows = rows or slice(0, height)
        y0, total = block.y0 + rows.start, 0
        for name in names or self.names():
            if (array := block.arrays.get(name)) is None or name in self.shared:
                continue
            size = np.dtype(array.dtype).itemsize
            if name in SAMPLES and self.by_rows:
                with _explained(self.path(name)), _opened(self.path(name)) as fd:
                    for y in range(rows.start, rows.stop):
                        for part, offset in self._in_row(np.ascontiguousarray(array[:, :, y]), block.start, block.y0 + y, block.group0):
                            _write(fd, part.reshape(-1).view(np.uint8).data, offset)
                total += array[:, :, rows].nbytes
                continue
            if name in SAMPLES and (rows.stop - rows.start) * nx * size < SMALL and rows.stop - rows.start < ny:
                g0, n, last = block.group0, array.shape[1], y0 + rows.stop - rows.start
                with _explained(self.path(name)):
                    for i, mapped in self._mapped(name, block.start, block.start + len(array), "r+"):
                        mapped[:, g0 : g0 + n, y0:last] = array[i - block.start : i - block.start + len(mapped), :, rows]
                total += array[:, :, rows].nbytes
                continue
            if name in SAMPLES:
                g0, n = block.group0, array.shape[1]
                planes = ((array[i, g], ((block.start + i) * self.ngroups + g0 + g) * ny) for i in range(len(array)) for g in range(n))
            elif name in FRAMES:
                planes = ((array[i], (block.start + i) * ny) for i in range(len(array)))
            else:
                planes = ((array, 0),)  # type: ignore[assignment]
            with _explained(self.path(name)), _opened(self.path(name)) as fd:
                for plane, first in planes:
                    part = np.ascontiguousarray(plane[rows])
                    _write(fd, part.reshape(-1).view(np.uint8).data, (first + y0) * nx * size)
                    total += part.nbytes
        return total

    def blocks(self) -> Iterator[Block]:
        """Consecutive integrations, as many as memory allows (one at least)."""
        step = max(1, self.limit // (5 * self.ngroups * self.shape[0] * self.shape[1]))
        for start in range(0, self.nints, step):
            yield self.read(start, min(start + step, self.nints))

    def write(self, block: Block) -> None:
        """Put the arrays of a block of integrations in their place."""
        self.put(block)

    def bands(self, halo: int = 0) -> Iterator[Block]:
        """Rows of all integrations, as many as memory allows, with `halo` rows more on each side."""
        step = max(1, self.limit // (5 * self.ngroups * self.nints * self.shape[1]) - 2 * halo)
        for y0 in range(0, self.shape[0], step):
            yield self.band(y0, min(y0 + step, self.shape[0]), halo)

    def band(self, y0: int, y1: int, halo: int = 0) -> Block:
        """Rows `y0` to `y1` of all integrations, with up to `halo` rows more on each side."""
        first, last = max(0, y0 - halo), min(self.shape[0], y1 + halo)
        block = self.read(0, self.nints, first, last)
        block.row_halo = (y0 - first, last - y1)
        return block

    def write_band(self, block: Block) -> None:
        """Put the rows of a band in their place, without its halo."""
        above, below = block.row_halo
        self.put(block, slice(above, block.arrays["sci"].shape[-2] - below))


def _sized(fd: int, offset: int, nbytes: int) -> None:
    os.ftruncate(fd, offset + nbytes)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_WRONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def _write(fd: int, view: memoryview, offset: int) -> None:
    while len(view):
        n = os.pwrite(fd, view, offset)
        view, offset = view[n:], offset + n


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); free some space, or choose another --output-dir") from error


def save_facts(folder: str, name: str, facts: dict[str, np.ndarray]) -> None:
    """Leave small arrays for the tasks of a later pass; complete or not at all."""
    path = Path(folder) / f"facts-{name}.npz"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part.npz")
    np.savez(temporary, **facts)  # type: ignore[arg-type]
    os.replace(temporary, path)


def load_facts(folder: str, prefix: str) -> list[dict[str, np.ndarray]]:
    """Small arrays that the tasks of a pass left, in order of their names."""
    return [load_arrays(path) for path in sorted(Path(folder).glob(f"facts-{prefix}*.npz"))]


