"""gwcs objects of rectified slits, their text for the ASDF extension of products, and the way back.

Writing such an object with asdf takes 60 ms, and the objects of all slits differ in numbers and tables only. So one of each kind is
written, and its text is the form that the others fill in.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.io.asdf_text import Fragment
from jwst_dask.wcs.rectified import Line, Rectified, RectifiedLamp, RectifiedSlit


def sky_gwcs(slit: RectifiedSlit) -> Any:
    """The gwcs object of a slit on the sky: ``detector``, ``slit_frame``, ``world``."""
    from astropy.modeling.models import Const1D, Linear1D, Mapping, Pix2Sky_TAN, RotateNative2Celestial, Tabular1D
    from gwcs import WCS

    from jwst_dask.wcs.nirspec.frames import frame

    along = Tabular1D(points=np.arange(len(slit.ys)), lookup_table=slit.ys, bounds_error=False, fill_value=None)
    dispersion = Tabular1D(points=slit.columns, lookup_table=slit.wavelengths, bounds_error=False, fill_value=np.nan)
    middle = Const1D(0)
    middle.inverse = middle
    split, unsplit = Mapping((0, 1, 0)), Mapping((2, 1), n_inputs=3)
    split.inverse, unsplit.inverse = unsplit, split
    to_slit = split | middle & along & dispersion
    spread = Mapping((1, 1, 0))
    spread.inverse = Mapping((2, 1)) if slit.axis else Mapping((2, 0), n_inputs=3)
    lines = [Linear1D(slope, intercept) for slope, intercept in zip(slit.line.slope, slit.line.intercept)]
    sky = Pix2Sky_TAN() | RotateNative2Celestial(*slit.centre, 180)
    to_world = to_slit.inverse | (spread | (lines[0] & lines[1] | sky) & dispersion)
    wcs = WCS([(frame("detector"), to_slit), (frame("slit_frame"), to_world), (frame("world"), None)])
    wcs.bounding_box, wcs.array_shape = slit.box, slit.shape
    return wcs


def lamp_gwcs(lamp: RectifiedLamp) -> Any:
    """The gwcs object of a slit of a lamp exposure: ``detector``, ``world``."""
    from astropy import units as u
    from astropy.modeling.models import Linear1D, Mapping, Tabular1D
    from gwcs import WCS
    from gwcs import coordinate_frames as cf

    from jwst_dask.wcs.nirspec.frames import frame

    pixels, waves = np.arange(len(lamp.wavelengths)), lamp.wavelengths
    up = bool(np.all(np.diff(waves) > 0))
    back = (waves, pixels) if up else (waves[::-1], pixels[::-1])
    dispersion = Tabular1D(points=pixels, lookup_table=waves, bounds_error=False, fill_value=None, name="pix2wavelength")
    dispersion.inverse = Tabular1D(points=back[0], lookup_table=back[1], bounds_error=False, fill_value=None, name="wavelength2pix")
    spread = Mapping((1, 1, 0))
    spread.inverse = Mapping((2, 1))
    lines = [Linear1D(slope, intercept) for slope, intercept in zip(lamp.line.slope, lamp.line.intercept)]
    plane = cf.Frame2D(name="resampled_msa_frame", axes_order=(0, 1))
    spectral = cf.SpectralFrame(name="spectral", axes_order=(2,), unit=(u.micron,), axes_names=("wavelength",))
    world = cf.CompositeFrame([plane, spectral], name="world")
    wcs = WCS([(frame("detector"), spread | lines[0] & lines[1] & dispersion), (world, None)])
    wcs.array_shape, wcs.bounding_box = lamp.shape, lamp.box
    return wcs


def rectified(wcs: Any) -> Rectified:
    """The `RectifiedSlit` or `RectifiedLamp` of a gwcs object, as found in an ``s2d`` product.

    Raises
    ------
    InputError
        For a gwcs object of another structure.
    """
    found: dict[str, list[Any]] = {"Linear1D": [], "Tabular1D": [], "RotateNative2Celestial": [], "Mapping": []}
    first, last = wcs.available_frames[0], wcs.available_frames[-1]
    on_sky = "slit_frame" in wcs.available_frames
    to_slit = wcs.get_transform(first, "slit_frame" if on_sky else last)
    for model in (to_slit, wcs.get_transform("slit_frame", last)) if on_sky else (to_slit,):
        for leaf in _leaves(model):
            found.setdefault(type(leaf).__name__, []).append(leaf)
    lines, tables, rotations = found["Linear1D"], found["Tabular1D"], found["RotateNative2Celestial"]
    if len(lines) != 2 or len(tables) < (2 if on_sky else 1) or len(rotations) != int(on_sky):
        raise InputError(f"the WCS with frames {', '.join(wcs.available_frames)} is not that of a rectified slit")
    line = Line(
        (float(lines[0].slope.value), float(lines[1].slope.value)), (float(lines[0].intercept.value), float(lines[1].intercept.value))
    )
    shape = wcs.array_shape or tuple(int(high + 0.5) for _, high in wcs.bounding_box.bounding_box(order="C"))
    shape = (int(shape[0]), int(shape[1]))
    if not on_sky:
        return RectifiedLamp(shape, np.array(tables[0].lookup_table, float), line)
    spread = next(m for m in reversed(found["Mapping"]) if m.n_outputs == 3)
    return RectifiedSlit(
        shape, np.array(tables[1].points[0], float), np.array(tables[1].lookup_table, float), line, int(spread.inverse.mapping[-1] == 1),
        (float(rotations[0].lon.value), float(rotations[0].lat.value)), np.array(tables[0].lookup_table, float),
    )  # fmt: skip


def _leaves(model: Any) -> list[Any]:
    return [*_leaves(model.left), *_leaves(model.right)] if hasattr(model, "left") else [model]


# The numbers and sizes of the object that the form is made from: none may occur in it by chance.
_ROWS, _COLUMNS = 37, 71
_NUMBERS = {"slope0": 1.0123e-5, "slope1": 2.0234e-5, "intercept0": 3.0345e-4, "intercept1": 4.0456e-4, "ra": 90.0, "dec": 45.0}


@dataclass(frozen=True)
class _Form:
    """Text with ``@name@`` for numbers and sizes, and what each of its blocks holds."""

    text: str
    extensions: tuple[str, ...]
    blocks: tuple[tuple[str, bool, str], ...]


def fragment(wcs: Rectified) -> Fragment:
    """The text of the gwcs object of a rectified slit, filled in (`load` of `io.asdf_text` gives the object)."""
    tables, values = _tables(wcs), _values(wcs)
    up = tuple(bool(table[-1] >= table[0]) for table in tables.values())
    form: _Form = memo(("rectified form", type(wcs).__name__, wcs.axis, up), lambda: _form(wcs, up))
    text = re.sub(r"@(\w+)@", lambda match: values[match.group(1)], form.text)
    made: dict[tuple[str, bool, str], bytes] = {}
    for role in form.blocks:
        if role not in made:
            name, turned, dtype = role
            table = tables[name].astype(dtype)
            made[role] = _block(table[::-1] if turned else table)
    return Fragment(text, form.extensions, tuple(made[role] for role in form.blocks))


def _form(wcs: Rectified, up: tuple[bool, ...]) -> _Form:
    from jwst_dask.io import asdf_text

    model = _specimen(wcs, up)
    written = asdf_text.fragment(model.gwcs())
    text = written.text
    for name, value in _NUMBERS.items():  # (angles that survive the way to radians and back)
        text = text.replace(f" {_yaml(value)}\n", f" @{name}@\n")
    table = _ROWS if isinstance(model, RectifiedSlit) else _COLUMNS
    text = text.replace(f"shape: [{table}]\n", "shape: [@table@]\n").replace(f"shape: [{_COLUMNS + 2}]\n", "shape: [@knots@]\n")
    for name, size in {"rows": _ROWS, "columns": _COLUMNS, "top": _ROWS - 0.5, "right": _COLUMNS - 0.5}.items():
        text = re.sub(rf"(?<=[\[ ]){re.escape(str(size))}(?=[\],])", f"@{name}@", text)
    tables = _tables(model)
    roles = tuple(_role(block, dtype, tables) for block, dtype in zip(written.blocks, _dtypes(text), strict=True))
    form = _Form(text, written.extensions, roles)
    if missing := set(_values(model)) - set(re.findall(r"@(\w+)@", text)):
        raise InputError(f"the text of a rectified WCS as this version of asdf writes it has no place for {', '.join(sorted(missing))}")
    return form


def _specimen(wcs: Rectified, up: tuple[bool, ...]) -> Rectified:
    """A small object of the kind of `wcs`."""
    line = Line((_NUMBERS["slope0"], _NUMBERS["slope1"]), (_NUMBERS["intercept0"], _NUMBERS["intercept1"]))
    rows = np.linspace(-1.23, 1.1, _ROWS)
    waves = np.linspace(0.6, 5.3, _COLUMNS)
    if isinstance(wcs, RectifiedLamp):
        return RectifiedLamp((_ROWS, _COLUMNS), waves if up[1] else waves[::-1].copy(), line)
    columns = np.concatenate([[-0.5], np.arange(_COLUMNS), [_COLUMNS - 0.5]])
    centre = _NUMBERS["ra"], _NUMBERS["dec"]
    return RectifiedSlit(
        (_ROWS, _COLUMNS), columns, np.linspace(0.59, 5.31, _COLUMNS + 2), line, wcs.axis, centre, rows if up[1] else -rows
    )


def _tables(wcs: Rectified) -> dict[str, np.ndarray]:
    if isinstance(wcs, RectifiedLamp):
        return {"pixels": np.arange(len(wcs.wavelengths)), "waves": wcs.wavelengths}
    return {"pixels": np.arange(len(wcs.ys)), "ys": wcs.ys, "columns": wcs.columns, "waves": wcs.wavelengths}


def _values(wcs: Rectified) -> dict[str, str]:
    rows, columns = wcs.shape
    values = {"rows": str(rows), "columns": str(columns), "top": _yaml(rows - 0.5), "right": _yaml(columns - 0.5)}
    for i in (0, 1):
        values |= {f"slope{i}": _yaml(wcs.line.slope[i]), f"intercept{i}": _yaml(wcs.line.intercept[i])}
    if isinstance(wcs, RectifiedLamp):
        values["table"] = str(len(wcs.wavelengths))
    else:
        values |= {"table": str(len(wcs.ys)), "knots": str(len(wcs.columns)), "ra": _yaml(wcs.centre[0]), "dec": _yaml(wcs.centre[1])}
    return values


def _yaml(value: float) -> str:
    text = repr(float(value))
    return text.replace("e", ".0e", 1) if "." not in text and "e" in text else text


def _dtypes(text: str) -> list[str]:
    """Types of the blocks in the order of their numbers."""
    found = re.findall(r"source: (\d+)\n\s+datatype: (\w+)\n\s+byteorder: (\w+)", text)
    order = {"little": "<", "big": ">"}
    return [order[byte] + np.dtype(kind).str[1:] for _, kind, byte in sorted(found, key=lambda item: int(item[0]))]


def _role(block: bytes, dtype: str, tables: dict[str, np.ndarray]) -> tuple[str, bool, str]:
    size = int.from_bytes(block[4:6], "big") + 6
    content = np.frombuffer(block[size:], dtype)
    for name, table in tables.items():
        for turned in (False, True):
            if np.array_equal(content, (table[::-1] if turned else table).astype(dtype)):
                return name, turned, dtype
    raise InputError("a rectified WCS as this version of asdf writes it holds a table that is not known")


def _block(table: np.ndarray) -> bytes:
    """An ASDF binary block (standard 1.6, "Block header"), not compressed."""
    content = np.ascontiguousarray(table).tobytes()
    size = len(content).to_bytes(8, "big")
    head = bytes(8) + size * 3 + hashlib.md5(content, usedforsecurity=False).digest()
    return b"\xd3BLK" + len(head).to_bytes(2, "big") + head + content
