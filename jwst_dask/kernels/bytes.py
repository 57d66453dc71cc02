"""Byte order of FITS data: 32-bit words swapped in one pass, with the sign offset of unsigned integers."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit

SIGN = np.uint32(0x80000000)
"""What turns FITS's signed integers with BZERO = 2**31 into unsigned ones, and back (exclusive or, native order)."""


@jit
def swap32(source: np.ndarray, out: np.ndarray, flip: np.uint32) -> None:
    """Write ``byteswap(source) ^ flip`` to `out` (both uint32[n], the same array allowed)."""
    for i in range(source.size):
        v = source[i]
        out[i] = ((v >> np.uint32(24)) | ((v >> np.uint32(8)) & np.uint32(0xFF00)) | ((v & np.uint32(0xFF00)) << np.uint32(8))
                  | (v << np.uint32(24))) ^ flip  # fmt: skip


@jit
def swap32_crop(source: np.ndarray, x0: int, out: np.ndarray, flip: np.uint32) -> None:
    """Like `swap32` for columns ``x0 : x0 + out.shape[1]`` of a plane (uint32[y, x] to uint32[y, x'])."""
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            v = source[j, x0 + i]
            out[j, i] = ((v >> np.uint32(24)) | ((v >> np.uint32(8)) & np.uint32(0xFF00)) | ((v & np.uint32(0xFF00)) << np.uint32(8))
                         | (v << np.uint32(24))) ^ flip  # fmt: skip


@jit
def flip_swap32(source: np.ndarray, out: np.ndarray, flip: np.uint32) -> None:
    """Write ``byteswap(source ^ flip)`` to `out` (both uint32[n]): the inverse of `swap32`."""
    for i in range(source.size):
        v = source[i] ^ flip
        out[i] = ((v >> np.uint32(24)) | ((v >> np.uint32(8)) & np.uint32(0xFF00)) | ((v & np.uint32(0xFF00)) << np.uint32(8))
                  | (v << np.uint32(24)))  # fmt: skip


@jit
def swap16_float(source: np.ndarray, out: np.ndarray, offset: np.float32) -> None:
    """Write big-endian signed 16-bit numbers (uint16[n] as read) plus `offset` to float32[n]."""
    for i in range(source.size):
        v = source[i]
        out[i] = np.float32(np.int16((v >> np.uint16(8)) | (v << np.uint16(8)))) + offset


@jit
def pack(words: np.ndarray, size: int, first: int, count: int) -> None:
    """Of every `size` words (any integers) keep `count` from `first` on, one after the other from the beginning."""
    for i in range(words.size // size):
        for j in range(count):
            words[i * count + j] = words[i * size + first + j]
