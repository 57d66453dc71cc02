"""The text of a slit's gwcs object for the ASDF extension of products, filled into a form.

Writing such an object with asdf takes 65 ms, and the objects of the slits of one exposure differ in few places. So the object of
a slit that does not exist, whose numbers occur nowhere else, is written once for each quadrant (with and without wavecorr), and
its text is the form that all slits fill in. What differs from slit to slit:

- the origin of the cut-out, the slit's centre and size (in both directions of the transform), its upper and lower edge, and the bounding box;
- the table of direction cosine against height (1000 samples) and, after wavecorr, that of wavelengths before and after correction.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.io.asdf_text import Fragment

if TYPE_CHECKING:
    from jwst_dask.wcs.nirspec.tracer import OpticsSlit

_NAMES = ("x0", "y0", "x", "y", "width", "height", "ymin", "ymax", "left", "right", "bottom", "top")
_NUMBERS = {name: float(f"1.{number:02d}7654321e+101") for number, name in enumerate(_NAMES, 1)}
_LENGTH = 733
"""Of the form's wavecorr tables."""


@dataclass(frozen=True)
class Form:
    """Text in pieces, the names of what comes between them, and blocks (a name for those that differ from slit to slit)."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    extensions: tuple[str, ...]
    blocks: tuple[bytes | str, ...]


def fragment(view: OpticsSlit) -> Fragment:
    """The gwcs object of a slit (`OpticsSlit.gwcs`) as text and blocks; `jwst_dask.io.asdf_text.load` gives the object."""
    key = (int(view.slit.quadrant), view.corrected)
    if key not in view.optics.forms:
        view.optics.forms[key] = _form(view)
    form = view.optics.forms[key]
    values = {name: _yaml(value) for name, value in {**view.numbers(), **_box(view)}.items()}
    arrays = _arrays(view)
    if view.zero_point is not None:
        values["length"] = str(len(view.zero_point[0]))
    text = [form.pieces[0]]
    for name, piece in zip(form.names, form.pieces[1:]):
        text += (values[name], piece)
    blocks = tuple(_block(arrays[block]) if isinstance(block, str) else block for block in form.blocks)
    return Fragment("".join(text), form.extensions, blocks)


def _box(view: OpticsSlit) -> dict[str, float]:
    (left, right), (bottom, top) = view.box
    return {"left": left, "right": right, "bottom": bottom, "top": top}


def _arrays(view: OpticsSlit) -> dict[str, np.ndarray]:
    cosine, height = view.edge_table()
    arrays: dict[str, np.ndarray] = {"cosine": cosine, "slit height": height}
    if view.zero_point is not None:
        arrays |= {"before": view.zero_point[0].astype(np.float32), "after": view.zero_point[1].astype(np.float64)}
    return arrays


def _form(view: OpticsSlit) -> Form:
    """The form for slits like this one."""
    from jwst_dask.io import asdf_text
    from jwst_dask.wcs.nirspec.single import from_numbers
    from jwst_dask.wcs.nirspec.slits import EDGE_SAMPLES

    samples = np.linspace(3.0, 4.0, EDGE_SAMPLES)
    arrays: dict[str, np.ndarray] = {"cosine": samples, "slit height": samples + 2.0}
    zero_point = None
    if view.corrected:
        waves = np.linspace(7.0, 8.0, _LENGTH)
        zero_point = waves.astype(np.float32), waves + 2.0
        arrays |= {"before": zero_point[0], "after": zero_point[1]}
    edges = (_NUMBERS["left"], _NUMBERS["right"]), (_NUMBERS["bottom"], _NUMBERS["top"])
    specimen = from_numbers(view.optics, view.slit.quadrant, _NUMBERS, (arrays["cosine"], arrays["slit height"]), zero_point, edges)
    written = asdf_text.fragment(specimen)
    payloads = {array.tobytes(): name for name, array in arrays.items()}
    blocks = tuple(payloads.get(_payload(block), block) for block in written.blocks)
    names = {_yaml(value): name for name, value in _NUMBERS.items()} | {str(_LENGTH): "length"}
    numbers = "|".join(re.escape(text) for text in names)
    parts = re.split(rf"((?<=[ \[])(?:{numbers})(?=[\n,\]]))", written.text)
    found = tuple(names[part] for part in parts[1::2])
    missing = {*_NUMBERS, *arrays} | ({"length"} if view.corrected else set())
    if missing := missing - {*found, *(block for block in blocks if isinstance(block, str))}:
        raise InputError(f"the text of a slit's WCS as this version of asdf writes it has no place for {', '.join(sorted(missing))}")
    return Form(tuple(parts[::2]), found, written.extensions, blocks)


def _yaml(value: float) -> str:
    text = repr(float(value))
    # YAML 1.1 takes a number without a point for text.
    return text.replace("e", ".0e", 1) if "." not in text and "e" in text else text


def _payload(block: bytes) -> bytes:
    return block[6 + int.from_bytes(block[4:6], "big") :]


def _block(array: Any) -> bytes:
    """An uncompressed ASDF block: header of 48 bytes with no flags, sizes and checksum, then the data."""
    data = np.ascontiguousarray(array).tobytes()
    size = len(data).to_bytes(8, "big")
    return b"\xd3BLK" + (48).to_bytes(2, "big") + bytes(8) + size * 3 + hashlib.md5(data).digest() + data
