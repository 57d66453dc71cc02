"""A slit of a product as a draft and a block, as it was when the pipeline wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.memo import memo
from jwst_dask.data.exposure import CUBES, Block, Draft
from jwst_dask.data.slits import FIXED_QUADRANT, SlitSpec

if TYPE_CHECKING:
    from jwst_dask.core.step import Step
    from jwst_dask.io.multi_read import Entry, MultiFile

_ARRAYS = {"data": "sci"}
_PLANES = {"sci": "data", **{name: name for name in CUBES[1:]}}
_NUMBERS = ("shutter_id", "dither_position", "xcen", "ycen", "quadrant", "source_id")
_ZERO = np.float32(0)


def spec_of(tree: Mapping[str, Any], shape: tuple[int, ...] = ()) -> SlitSpec:
    """What a product says of a slit, as a plan knows it.

    Parameters
    ----------
    tree : mapping
        Attributes of the slit.
    shape : (y, x)
        Of its cut-out.
    """
    from stdatamodels.jwst.transforms.models import Slit

    values = {name: tree.get(name) for name in Slit._fields}
    values |= {name: int(tree.get(name) or 0) for name in _NUMBERS}
    values |= {"ymin": tree.get("slit_ymin", -0.5), "ymax": tree.get("slit_ymax", 0.5), "slit_id": int(tree.get("slitlet_id") or 0)}
    if "quadrant" not in tree and "shutter_state" not in tree:  # exposures without an MSA metafile say of their slits the name only
        values["quadrant"] = FIXED_QUADRANT
    x0, y0 = int(tree.get("xstart") or 1) - 1, int(tree.get("ystart") or 1) - 1
    ny, nx = (int(n) for n in shape[-2:]) if shape else (int(tree.get("ysize") or 1), int(tree.get("xsize") or 1))
    return SlitSpec(Slit(**values), ((x0 - 0.5, x0 + nx - 0.5), (y0 - 0.5, y0 + ny - 0.5)))


def open_slit(entry: Entry, steps: Mapping[str, Step] | None = None, pixels: bool = True, optics: Mapping[str, str] | None = None) -> tuple[Draft, Block]:
    """A slit of a product.

    Parameters
    ----------
    entry : Entry
        From `jwst_dask.io.multi_read.open_multi`.
    steps : mapping
        Alias -> step, for steps that apply others.
    pixels : bool
        Read them; without, the block's arrays are zeros.
    optics : mapping, optional
        References that the WCS was made with, path by type: it is then evaluated without gwcs, where that is the same.

    Returns
    -------
    draft : Draft
        With a SlitModel: the exposure's metadata and the slit's, its attributes and static planes; ``wcs`` if the product has it.
    block : Block
        float32[1, y, x], ``dq`` uint32.
    """
    from stdatamodels.jwst.datamodels import SlitModel

    from jwst_dask.data.models import filled
    from jwst_dask.wcs.nirspec.again import slit_again
    from jwst_dask.wcs.stored import StoredSlit

    file = entry.owner
    shape = entry.shape()[-2:]
    tree = _merged(_metadata(file), entry.tree)
    arrays: dict[str, np.ndarray] = {}
    for attribute in entry.links:
        name = _ARRAYS.get(attribute, attribute)
        if name not in CUBES:
            tree[attribute] = entry.array(attribute)
            continue
        kind = np.uint32 if name == "dq" else np.float32
        arrays[name] = entry.array(attribute).astype(kind, copy=False)[None] if pixels else np.zeros((1, *shape), kind)
        tree[_PLANES[name]] = np.broadcast_to(kind(0), shape)
    block = Block(arrays, 0)
    model = filled(SlitModel, tree)
    spec, piece = spec_of(entry.tree, shape), entry.wcs
    fast = partial(slit_again, model, spec.slit, optics, piece) if optics and piece is not None else None
    wcs: Any = None if piece is None else StoredSlit(piece, fast)
    draft = Draft(model, file.file.path, 1, slit=spec, wcs=wcs, steps=steps or {})
    draft.first = lambda: block
    return draft, block


def _metadata(file: MultiFile) -> dict[str, Any]:
    """Metadata of the exposure, made once; not to be changed."""
    key = ("multi file", file.file.path, file.file.mtime_ns, file.file.size, "metadata")
    return memo(key, lambda: {name: value for name, value in file.model().instance["meta"].items() if name not in ("wcs", "model_type")})


def _merged(meta: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """A slit's tree: its attributes, and the exposure's metadata with its own on top."""
    from jwst_dask.io.multi_read import Link

    own = item.get("meta") or {}
    both: dict[str, Any] = {}
    for name in dict.fromkeys((*meta, *own)):
        base, value = meta.get(name), own.get(name)
        if isinstance(base, Mapping) and isinstance(value, Mapping):
            both[name] = {**_copied(base), **_copied(value)}
        else:
            both[name] = _copied(base if value is None else value)
    for name in ("cal_step", "ref_file"):  # what the slit carries is of the time when it was cut out
        if name in meta:
            both[name] = _copied(meta[name])
    both.pop("wcs", None)
    both.setdefault("cal_step", {})
    both.setdefault("wcsinfo", {})
    return {"meta": both, **{name: value for name, value in item.items() if name != "meta" and not isinstance(value, Link)}}


def _copied(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    return [_copied(value) for value in node] if isinstance(node, list) else node
