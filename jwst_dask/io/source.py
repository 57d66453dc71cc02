"""Where bytes come from: local files, gzipped files (decompressed once to scratch), URLs."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jwst_dask.core.errors import InputError, NotYet

if TYPE_CHECKING:
    from jwst_dask.io.fits import FitsFile


CHANGING = -1
"""In place of a time of change: the file is filled in by tasks of the same run, so it may change."""
_to_come: dict[str, frozenset[str]] = {}


@contextmanager
def to_come(files: Mapping[str, frozenset[str]]) -> Iterator[None]:
    """While a run is planned: files that it lays out and then fills, and their extensions whose pixels are not there yet."""
    _to_come.update(files)
    try:
        yield
    finally:
        for path in files:
            _to_come.pop(path, None)


def check_there(path: str, extension: str) -> None:
    """Refuse pixels that are only to come.

    Raises
    ------
    NotYet
    """
    if extension in _to_come.get(path, ()):
        raise NotYet(f"{path}: {extension} is not there before the run has made it")


class Reader(Protocol):
    """Reads byte ranges; several threads may use one at a time each."""

    size: int

    def read(self, offset: int, n: int) -> bytes:
        """Up to `n` bytes at `offset`."""

    def into(self, offset: int, out: np.ndarray, what: str) -> None:
        """Fill a contiguous array with the bytes at `offset`; InputError if there are too few."""


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is an fsspec URL (``s3://...``) rather than a local file."""
    return "://" in str(path)


def stat(path: str | os.PathLike[str]) -> tuple[str, int, int]:
    """Absolute name, size in bytes and modification time (ns; a number made of the ETag for URLs).

    Raises
    ------
    InputError
        If there is no such file.
    """
    name = str(path)
    try:
        if is_url(name):
            fs, inner = _filesystem(name)
            info = fs.info(inner)
            stamp = repr([info.get(key) for key in ("ETag", "etag", "LastModified", "mtime", "created")])
            return name, int(info["size"]), int.from_bytes(hashlib.blake2b(stamp.encode(), digest_size=7).digest(), "big")
        name = os.path.abspath(os.path.expanduser(name))
        found = os.stat(name)
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from error
    if os.path.isdir(name):
        raise InputError(f"{name}: a folder, not a file")
    return name, found.st_size, CHANGING if name in _to_come else found.st_mtime_ns


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    fs, inner = fsspec.url_to_fs(url)
    return fs, inner


@contextmanager
def reader(file: FitsFile) -> Iterator[Reader]:
    """A reader of the (decompressed) bytes of a scanned file.

    Raises
    ------
    InputError
        The file is gone, unreadable, or not the one that was scanned.
    """
    path = local(file)
    if is_url(path):
        yield _Remote(path, file.size)
        return
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise InputError(f"{file.path}: cannot be read ({error.strerror})") from error
    try:
        now = os.fstat(fd)
        if path == file.path and file.mtime_ns != CHANGING and (now.st_size, now.st_mtime_ns) != (file.size, file.mtime_ns):
            raise InputError(f"{file.path}: the file was changed since it was opened; open it again")
        yield _Local(fd, file.path, now.st_size)
    finally:
        os.close(fd)


class _Local:
    def __init__(self, fd: int, name: str, size: int) -> None:
        self.fd, self.name, self.size = fd, name, size

    def read(self, offset: int, n: int) -> bytes:
        return os.pread(self.fd, n, offset)

    def into(self, offset: int, out: np.ndarray, what: str) -> None:
        view = out.view(np.uint8).data
        done = 0
        while done < len(view):
            n = os.preadv(self.fd, [view[done:]], offset + done)
            if n == 0:
                raise InputError(f"{self.name}: truncated in extension {what}: {len(view)} bytes expected at {offset}, {done} present")
            done += n


class _Remote:
    def __init__(self, url: str, size: int) -> None:
        self.url, self.size = url, size
        self.fs, self.inner = _filesystem(url)

    def read(self, offset: int, n: int) -> bytes:
        end = min(offset + n, self.size)
        data: bytes = self.fs.cat_file(self.inner, start=offset, end=end) if end > offset else b""
        return data

    def into(self, offset: int, out: np.ndarray, what: str) -> None:
        data = self.read(offset, out.nbytes)
        if len(data) < out.nbytes:
            raise InputError(f"{self.url}: truncated in extension {what}: {out.nbytes} bytes expected at {offset}, {len(data)} present")
        out.view(np.uint8)[...] = np.frombuffer(data, np.uint8)


def local(file: FitsFile) -> str:
    """Path whose bytes can be addressed: the file itself, or for ``.gz`` its copy in scratch, made when there is none yet."""
    return _decompressed(file) if file.path.endswith(".gz") else file.path


def scratch() -> Path:
    """The user's private folder for decompressed copies (``jwst_dask.scratch`` of dask's configuration, else in $TMPDIR)."""
    import dask

    chosen = dask.config.get("jwst_dask.scratch", None)
    folder = Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"jwst_dask-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise InputError(f"{folder}: the scratch folder belongs to another user; set jwst_dask.scratch")
    return folder


def _decompressed(file: FitsFile) -> str:
    """Copy of a gzipped file in scratch, named by its content (a gzip file ends with the checksum of what is in it)."""
    edge = 1 << 16
    with _opened(file) as stream:
        head = stream.read(edge)
        stream.seek(max(file.size - edge, 0))
        tail = stream.read(edge)
    name = hashlib.blake2b(head + tail + str(file.size).encode(), digest_size=16).hexdigest() + ".fits"
    target = scratch() / name
    if not target.exists():
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=name)
        try:
            with os.fdopen(handle, "wb") as out, _opened(file) as stream, gzip.GzipFile(fileobj=stream) as inside:
                shutil.copyfileobj(inside, out, 1 << 20)
            os.replace(temporary, target)
        except (EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{file.path}: the gzip file is truncated or damaged ({error}); copy or download it again") from error
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
    return str(target)


@contextmanager
def _opened(file: FitsFile) -> Iterator[Any]:
    """The compressed bytes of a file as a seekable stream."""
    if is_url(file.path):
        fs, inner = _filesystem(file.path)
        with fs.open(inner, "rb") as stream:
            yield stream
    else:
        if (now := os.stat(file.path)).st_mtime_ns != file.mtime_ns or now.st_size != file.size:
            raise InputError(f"{file.path}: the file was changed since it was opened; open it again")
        with open(file.path, "rb") as stream:
            yield stream
