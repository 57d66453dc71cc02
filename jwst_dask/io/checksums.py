"""CHECKSUM and DATASUM (FITS standard 4.0, section 4.4.2.7 and appendix J), and late keywords, in files that are already laid out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.io import asdf_text
from jwst_dask.io.cards import BLOCK, cards_of, fitted, header_hash, set_card
from jwst_dask.io.fits import HDU, SLICE, scan


def ones_sum(data: bytes | np.ndarray, total: int = 0) -> int:
    """Sum of big-endian 32-bit words with end-around carry, added to `total`; the length is a multiple of four."""
    total += int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encoded(total: int) -> str:
    """The 16 characters that, standing in the CHECKSUM card, make the sum of the HDU minus zero, if it was `total` without them."""
    columns = []
    for byte in (~total & 0xFFFFFFFF).to_bytes(4, "big"):
        letters = [byte // 4 + 48 + (byte % 4 if i == 0 else 0) for i in range(4)]
        while any(not (48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122) for c in letters):
            for i in (0, 2):
                if any(not (48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122) for c in letters[i : i + 2]):
                    letters[i] += 1
                    letters[i + 1] -= 1
        columns.append(letters)
    text = "".join(chr(columns[j][i]) for i in range(4) for j in range(4))
    return text[-1] + text[:-1]


def set_cards(path: str, cards: Mapping[tuple[str, int], Mapping[str, Any]]) -> None:
    """Replace keywords, or put them into spare cards, of headers in place.

    Raises
    ------
    InputError
        No such extension, or no room left in its header.
    """
    from astropy.io.fits import Header

    file = scan(path)
    with open(path, "r+b", buffering=0) as out:
        for (name, ver), values in cards.items():
            hdu = file.hdu(name, ver)
            raw = os.pread(out.fileno(), hdu.data_offset - hdu.header_offset, hdu.header_offset)
            header = Header.fromstring(b"".join(cards_of(raw)).decode("ascii"))
            for keyword, value in values.items():
                header[keyword] = value
            text = header.tostring(endcard=True, padding=True).encode("ascii")
            try:
                os.pwrite(out.fileno(), fitted(cards_of(text), len(raw)), hdu.header_offset)
            except ValueError as error:
                raise InputError(f"{path}: no room for {', '.join(values)} in the header of {name}") from error


def add(path: str, rehash: bool = True) -> None:
    """Add checksums to every extension of a file, reading it once in bounded memory.

    Parameters
    ----------
    rehash : bool
        Also renew the hash of the headers that the ASDF extension holds (they get two more cards).
    """
    file = scan(path)
    set_cards(path, {(hdu.name, hdu.ver): {"CHECKSUM": "0" * 16, "DATASUM": "0"} for hdu in file.hdus})
    last = file.hdus[-1]
    with open(path, "r+b", buffering=0) as out:
        headers = [_summed(out.fileno(), hdu) for hdu in file.hdus[:-1]]
        if rehash and last.name == "ASDF":
            content, _ = asdf_text.replace_hash(os.pread(out.fileno(), last.nbytes, last.data_offset), header_hash(headers))
            os.pwrite(out.fileno(), content, last.data_offset)
        _summed(out.fileno(), last)


def _summed(fd: int, hdu: HDU) -> bytes:
    """Fill in the two cards of one HDU; returns its header."""
    total, size = 0, math.ceil(hdu.nbytes / BLOCK) * BLOCK
    for at in range(0, size, SLICE // BLOCK * BLOCK):
        total = ones_sum(os.pread(fd, min(SLICE // BLOCK * BLOCK, size - at), hdu.data_offset + at), total)
    header = os.pread(fd, hdu.data_offset - hdu.header_offset, hdu.header_offset)
    header = set_card(header, "DATASUM", f"'{str(total):<8}'")
    header = set_card(header, "CHECKSUM", f"'{'0' * 16}'")
    header = set_card(header, "CHECKSUM", f"'{encoded(ones_sum(header, total))}'")
    os.pwrite(fd, header, hdu.header_offset)
    return header
