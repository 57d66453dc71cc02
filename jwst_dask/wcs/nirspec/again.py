"""The fast WCS of a slit of a product, where it can be shown to be the one that the product holds.

A gwcs object takes 0.2 s to read and as long again to evaluate over a cut-out. The same transforms are made from metadata and the
references that the product names; they are used if they give the product's own wavelengths at every pixel, its footprint on the sky
and its pointing. Otherwise (another version of the references, a WCS that someone changed) the object that the product holds is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import JwstDaskError
from jwst_dask.wcs.nirspec.cutout import region_of
from jwst_dask.wcs.nirspec.tracer import Optics, OpticsSlit, optics_of

if TYPE_CHECKING:
    from jwst_dask.io.asdf_text import Fragment

SAME_WAVELENGTH = 2.5e-7
"""Relative; rounding to single precision, twice."""
SAME_PLACE = 1e-8
"""Degrees."""
_NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
_ANGLES = re.compile(r"!transform/rotate_sequence_3d-\S+\n\s+angles: \[([^\]]*)\]")
_ARRAY = r"!core/ndarray-\S+\n\s+source: (\d+)\n\s+datatype: (\w+)\n\s+byteorder: (\w+)\n"
_TABLE = re.compile(rf"lookup_table: {_ARRAY}(?:(?!.*!transform/).*\n)*?\s+name: wave2wavecorr\n(?:(?!.*!transform/).*\n)*?\s+points:\n\s*- {_ARRAY}")


def slit_again(model: Any, slit: Any, references: Mapping[str, str], piece: Fragment) -> OpticsSlit | None:
    """The WCS of a slit of a product, None if it cannot be shown to be that of the product.

    Parameters
    ----------
    model : SlitModel
        The slit's attributes, ``wavelength`` and metadata.
    slit : stdatamodels.jwst.transforms.models.Slit
    references : mapping
        Path by reference type, as of `optics_of`.
    piece : Fragment
        Its gwcs object as text.
    """
    item = model.instance
    wavelength = item.get("wavelength")
    if wavelength is None or "name: gwa2slit\n" not in piece.text or item.get("xstart") is None:
        return None
    try:
        optics = optics_of(model, references)
        corner, size = (int(item["xstart"]) - 1, int(item["ystart"]) - 1), (int(item["xsize"]), int(item["ysize"]))
        window = (corner[0], corner[0] + size[0]), (corner[1], corner[1] + size[1])
        view = optics.slit(slit, window, np.shape(wavelength))  # type: ignore[arg-type]
        if "wavecorr_frame" in piece.text:
            if (table := zero_point(piece)) is None:
                return None
            view = OpticsSlit(optics, slit, view.origin, view.box, table)
        return view if _agrees(view, np.asarray(wavelength), item["meta"].get("wcsinfo", {}), piece) else None
    except (JwstDaskError, KeyError, IndexError, TypeError, ValueError):  # a product of other software, or of other references
        return None


def zero_point(piece: Fragment) -> tuple[np.ndarray, np.ndarray] | None:
    """Wavelengths (metres) before and after wavecorr, from the text of a WCS."""
    match = _TABLE.search(piece.text)
    if match is None:
        return None
    values, points = (_block(piece, *match.group(i, i + 1, i + 2)) for i in (1, 4))
    return (points.astype(np.float32), values.astype(np.float64)) if points.shape == values.shape else None


def _block(piece: Fragment, number: str, kind: str, order: str) -> np.ndarray:
    block = piece.blocks[int(number)]
    start = 6 + int.from_bytes(block[4:6], "big")
    return np.frombuffer(block[start:], np.dtype(kind).newbyteorder("<" if order == "little" else ">"))


def _agrees(view: OpticsSlit, wavelength: np.ndarray, wcsinfo: Mapping[str, Any], piece: Fragment) -> bool:
    y, x = np.indices(wavelength.shape, dtype=float)
    with np.errstate(invalid="ignore"):
        found = view.wavelengths(x, y).astype(np.float32)
        known = ~np.isnan(wavelength)
        if not np.array_equal(known, ~np.isnan(found)) or not known.any():
            return False
        if not np.all(np.abs(found[known] - wavelength[known]) <= SAME_WAVELENGTH * np.abs(wavelength[known])):
            return False
    return not view.on_sky or (_same_pointing(view.optics, piece) and _same_region(view, wcsinfo))


def _same_pointing(optics: Optics, piece: Fragment) -> bool:
    stored = _ANGLES.findall(piece.text)
    own = next(leaf for leaf in _leaves(optics.to_telescope[3]) if type(leaf).__name__ == "RotationSequence3D")
    return any(np.allclose([float(n) for n in text.split(",")], np.ravel(own.angles.value), rtol=1e-13, atol=1e-13) for text in stored)


def _leaves(model: Any) -> list[Any]:
    return [*_leaves(model.left), *_leaves(model.right)] if hasattr(model, "left") else [model]


def _same_region(view: OpticsSlit, wcsinfo: Mapping[str, Any]) -> bool:
    stored = [float(n) for n in _NUMBER.findall(str(wcsinfo.get("s_region", "")))]
    own = [float(n) for n in _NUMBER.findall(str(region_of(view).get("s_region", "")))]
    return len(own) == 8 == len(stored) and bool(np.allclose(stored, own, rtol=0, atol=SAME_PLACE))
