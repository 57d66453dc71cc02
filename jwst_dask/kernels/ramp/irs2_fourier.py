"""Fourier transforms of a NIRSpec IRS2 readout, arranged for the order in which its pixels lie in memory.

A pixel is read at time ``712 * row + slot``. With ``k = k1 + n * k2`` (n rows) its transform separates into real transforms
along the rows (contiguous, a power of two), a twist, and transforms of length 712 over the slots; these separate once more, as
712 = 8 * 89, into products with matrices of 89 and butterflies of 8. Only slots that are not empty enter, and only those
that are wanted come out. Signals are real, so half of k1 suffices; a filter whose result's real part is taken
may be replaced by its Hermitian part.

Spectra are complex64[8, 89, n // 2 + 1]: (k2 mod 8, k2 mod 89, k1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_dask.kernels._jit import jit

SLOTS = 712
"""Samples in the time of one row of an amplifier: pixels, reference pixels, steps between them, and the pause at the end."""
EIGHT, LONG = 8, 89
ROOT_HALF = np.float32(np.sqrt(0.5))
BAND_WIDTH = 110000 // 22
"""Frequencies over which the low-pass filter falls off."""


def turn(numerator: np.ndarray, denominator: int) -> np.ndarray:
    """``exp(-2 pi i numerator / denominator)`` of whole numbers, complex128."""
    return np.exp(-2j * np.pi * (numerator % denominator) / denominator)


def residues() -> np.ndarray:
    """k2 at (k2 mod 8, k2 mod 89): int64[8, 89]."""
    out = np.empty((EIGHT, LONG), np.int64)
    k = np.arange(SLOTS)
    out[k % EIGHT, k % LONG] = k
    return out


def split(slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) with ``slot = 89 a + 8 b`` modulo 712."""
    a = slots % EIGHT
    return a, ((slots - LONG * a) // EIGHT) % LONG


@dataclass(frozen=True)
class Slots:
    """Some of the 712 slots, and the matrices between them and the 89 partial spectra.

    Attributes
    ----------
    slots : int64[m]
    members : tuple of int64
        For each a, which of the slots belong to it.
    forward, inverse : tuple of complex64
        For each a: [89, members], [members, 89].
    twist : complex64[m, n // 2 + 1]
    """

    slots: np.ndarray
    members: tuple[np.ndarray, ...]
    forward: tuple[np.ndarray, ...]
    inverse: tuple[np.ndarray, ...]
    twist: np.ndarray

    @classmethod
    def of(cls, slots: np.ndarray, n: int) -> Slots:
        """Of a frame of `n` rows."""
        a, b = split(slots)
        members = tuple(np.flatnonzero(a == i) for i in range(EIGHT))
        forward = tuple(turn(np.outer(np.arange(LONG), b[found]), LONG).astype(np.complex64) for found in members)
        inverse = tuple(np.ascontiguousarray(matrix.conj().T) for matrix in forward)
        return cls(slots, members, forward, inverse, turn(np.outer(slots, np.arange(n // 2 + 1)), SLOTS * n).astype(np.complex64))

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """Twisted transforms along the rows of float32[m, n]: complex64[m, n // 2 + 1]."""
        from scipy import fft

        out = fft.rfft(samples, axis=1)
        out *= self.twist
        return out  # type: ignore[no-any-return]

    def samples(self, rows: np.ndarray, n: int) -> np.ndarray:
        """The reverse of `rows`, whose argument is overwritten."""
        from scipy import fft

        rows *= self.twist.conj()
        return fft.irfft(rows, n, axis=1, overwrite_x=True)  # type: ignore[no-any-return]

    def partial(self, rows: np.ndarray, out: np.ndarray, columns: slice = slice(None)) -> None:
        """Sums over b of the slots' rows, for some frequencies k1: complex64[8 (a), 89, columns]."""
        for i in range(EIGHT):
            np.matmul(self.forward[i], rows[self.members[i], columns], out=out[i])

    def gather(self, partial: np.ndarray, rows: np.ndarray, columns: slice = slice(None)) -> None:
        """Rows of the slots from inverse partial sums, at some k1; no factor 1 / 712."""
        for i in range(EIGHT):
            rows[self.members[i], columns] = self.inverse[i] @ partial[i]


@jit
def _four(a, b, c, d, sign):  # type: ignore[no-untyped-def]
    """Transform of four numbers; `sign` is that of the exponent."""
    s, t, u = a + c, a - c, b + d
    v = b - d
    v = np.complex64(complex(-sign * v.imag, sign * v.real))
    return s + u, t + v, s - u, t - v


@jit
def _eight(x0, x1, x2, x3, x4, x5, x6, x7, sign):  # type: ignore[no-untyped-def]
    """Transform of eight numbers."""
    a0, a1, a2, a3 = _four(x0, x2, x4, x6, sign)
    b0, b1, b2, b3 = _four(x1, x3, x5, x7, sign)
    b1 = np.complex64(complex((b1.real - sign * b1.imag) * ROOT_HALF, (b1.imag + sign * b1.real) * ROOT_HALF))
    b2 = np.complex64(complex(-sign * b2.imag, sign * b2.real))
    b3 = np.complex64(complex((-b3.real - sign * b3.imag) * ROOT_HALF, (-b3.imag + sign * b3.real) * ROOT_HALF))
    return a0 + b0, a1 + b1, a2 + b2, a3 + b3, a0 - b0, a1 - b1, a2 - b2, a3 - b3


@jit
def spectrum(partial):  # type: ignore[no-untyped-def]
    """Butterflies over the first axis of partial sums, in place."""
    minus = np.float32(-1)
    for q in range(partial.shape[1]):
        for k in range(partial.shape[2]):
            found = _eight(partial[0, q, k], partial[1, q, k], partial[2, q, k], partial[3, q, k],
                           partial[4, q, k], partial[5, q, k], partial[6, q, k], partial[7, q, k], minus)  # fmt: skip
            for p, value in enumerate(found):
                partial[p, q, k] = value


@jit
def filtered(partial, beta, alpha, other, first):  # type: ignore[no-untyped-def]
    """Spectrum of `partial` times `beta`, plus `alpha` times the spectrum `other`, back to partial sums; in place.

    `partial` has the frequencies k1 from `first` on, the others have all.
    """
    minus, plus = np.float32(-1), np.float32(1)
    for q in range(partial.shape[1]):
        for j in range(partial.shape[2]):
            k = first + j
            x0, x1, x2, x3, x4, x5, x6, x7 = _eight(partial[0, q, j], partial[1, q, j], partial[2, q, j], partial[3, q, j],
                                                    partial[4, q, j], partial[5, q, j], partial[6, q, j], partial[7, q, j],
                                                    minus)  # fmt: skip
            found = _eight(x0 * beta[0, q, k] + alpha[0, q, k] * other[0, q, k], x1 * beta[1, q, k] + alpha[1, q, k] * other[1, q, k],
                           x2 * beta[2, q, k] + alpha[2, q, k] * other[2, q, k], x3 * beta[3, q, k] + alpha[3, q, k] * other[3, q, k],
                           x4 * beta[4, q, k] + alpha[4, q, k] * other[4, q, k], x5 * beta[5, q, k] + alpha[5, q, k] * other[5, q, k],
                           x6 * beta[6, q, k] + alpha[6, q, k] * other[6, q, k], x7 * beta[7, q, k] + alpha[7, q, k] * other[7, q, k],
                           plus)  # fmt: skip
            for p, value in enumerate(found):
                partial[p, q, j] = value


def arrange(coefficients: np.ndarray, n: int, doubled: bool) -> np.ndarray:
    """Coefficients by frequency (complex64[712 n]) as a filter of spectra, with the inverse transform's factor 1 / 712.

    Parameters
    ----------
    coefficients : complex64[712 * n]
    n : int
        Rows.
    doubled : bool
        Whether the signal counts twice, the second time two slots later.
    """
    half = n // 2 + 1
    mirrored = np.concatenate((coefficients[:1], coefficients[:0:-1])).reshape(SLOTS, n)
    plain, places = coefficients.reshape(SLOTS, n), np.argsort(residues().reshape(-1))
    out = np.empty((EIGHT * LONG, half), np.complex64)
    for first in range(0, SLOTS, LONG):  # a part at a time, for want of memory
        part = slice(first, first + LONG)
        found = 0.5 / SLOTS * (plain[part, :half] + mirrored[part, :half].conj().astype(np.complex128))
        if doubled:
            found *= 1 + turn(2 * (np.arange(first, first + LONG)[:, None] * n + np.arange(half)), SLOTS * n)
        out[places[part]] = found
    return out.reshape(EIGHT, LONG, half)


def low_pass(n: int) -> np.ndarray:
    """Filter of the reference output by frequency, float64[712 n]: one, a cosine, zero, and that mirrored about both middles."""
    pass_band = SLOTS // 22 * n // 2 - BAND_WIDTH // 2
    fall = (np.cos(np.arange(BAND_WIDTH) * np.pi / BAND_WIDTH) + 1.0) / 2.0
    half = np.zeros(SLOTS * n // 2)
    rise = np.concatenate((np.ones(pass_band), fall))
    half[: rise.size] = rise
    half[-rise.size :] = rise[::-1]
    return np.concatenate((half, half[:1], half[:0:-1]))
