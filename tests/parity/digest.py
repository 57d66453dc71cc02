"""The values of a product that golden files keep: samples of planes, flags whole, spectra, keywords, coordinates."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

SAMPLES = 700  # values kept of an image array
STRUCTURE = ("SIMPLE", "BITPIX", "EXTEND", "PCOUNT", "GCOUNT", "TFIELDS", "XTENSION", "BSCALE", "BZERO", "CHECKSUM", "DATASUM", "LONGSTRN", "THEAP",
             "COMMENT", "HISTORY", "", "TTYPE", "TFORM", "TDIM", "TNULL", "TZERO", "TSCAL", "NAXIS")  # fmt: skip
RECORDS = ("DATE", "DATAMODL", "CAL_VER", "CAL_VCS", "CRDS_VER", "CRDS_CTX", "PRD_VER", "SDP_VER", "SDP_VCS", "OSS_VER", "ORIGIN", "ASNTABLE", "ASNPOOL")
"""Keywords that say when, where and by what a file was made."""


def digest(path: Path, samples: int | None = None) -> dict[str, np.ndarray]:
    """Arrays by ``part|what``; texts are arrays of one JSON string. `samples`: values kept of each image, and of each column of a table."""
    if path.suffix == ".ecsv":
        return _catalogue(path)
    out: dict[str, np.ndarray] = {}
    with fits.open(path) as file:
        names = [f"{hdu.name},{hdu.ver}" for hdu in file]
        out["|extensions"] = np.array(json.dumps(names))
        for name, hdu in zip(names, file, strict=True):
            if hdu.name == "ASDF":
                continue
            out[f"{name}|header"] = np.array(json.dumps(_keywords(hdu.header)))
            if isinstance(hdu, fits.BinTableHDU):
                for column in hdu.columns:
                    if hdu.name != "HDRTAB":
                        values = np.asarray(hdu.data[column.name])
                        thin = samples is not None and values.dtype.kind == "f"
                        out |= _image(f"{name}[{column.name}]", values, samples) if thin else _column(f"{name}[{column.name}]", values)
            elif hdu.data is not None:
                out |= _image(name, hdu.data, samples)
    if "x1d" not in path.name:
        out |= _coordinates(path)
    return out


def _keywords(header: fits.Header) -> dict[str, Any]:
    keep = {k: header[k] for k in header if k not in RECORDS and k.rstrip("0123456789") not in STRUCTURE}
    return {k: Path(v).name if k.startswith("R_") else v.strip() if isinstance(v, str) else v for k, v in keep.items()}


def _image(name: str, data: np.ndarray, samples: int | None) -> dict[str, np.ndarray]:
    if data.dtype.kind in "iu":
        return {f"{name}|exact": data.astype(np.uint32)}
    flat, good = data.astype(np.float32).ravel(), np.isfinite(data)
    step = max(1, flat.size // (samples or SAMPLES)) | 1
    totals = [np.nansum(plane, dtype=np.float64) for plane in np.where(good, data, 0).reshape(-1, *data.shape[-2:])]
    return {f"{name}|sample": flat[step // 2 :: step], f"{name}|totals": np.array(totals), f"{name}|shape": np.array(data.shape),
            f"{name}|finite": np.array([good.sum(), zlib.crc32(np.packbits(good).tobytes())])}  # fmt: skip


def _column(name: str, data: np.ndarray) -> dict[str, np.ndarray]:
    if data.dtype.kind in "iuSUb":
        return {f"{name}|exact": data.astype(np.uint32) if data.dtype.kind in "iu" else data.astype(str)}
    if data.ndim == 1:
        return {f"{name}|numbers": data.astype(np.float64)}
    good = np.isfinite(data)
    return {f"{name}|sample": data[[0, -1]].astype(np.float32), f"{name}|totals": np.nansum(np.where(good, data, 0), axis=1, dtype=np.float64),
            f"{name}|shape": np.array(data.shape), f"{name}|finite": np.array([good.sum(), zlib.crc32(np.packbits(good).tobytes())])}  # fmt: skip


def _coordinates(path: Path) -> dict[str, np.ndarray]:
    from stdatamodels.jwst import datamodels

    with datamodels.open(str(path)) as model:
        if hasattr(model, "slits"):
            return {key: value for slit in model.slits for key, value in _slit_places(slit).items()}
        wcs = getattr(model.meta, "wcs", None)
        if wcs is None:
            return {}
        box, (ny, nx) = wcs.bounding_box, model.data.shape[-2:]
        sides = box.bounding_box(order="F") if box is not None else ((0, nx - 1), (0, ny - 1))
        x, y = np.meshgrid(*(np.linspace(low + 0.5, high - 0.5, 6) for low, high in sides[:2]))
        world = [np.broadcast_to(np.asarray(v, dtype=float), x.shape) for v in wcs(x, y, with_bounding_box=False)]
        return {"WCS|numbers": np.array(world), "WCS|frames": np.array(json.dumps(list(wcs.available_frames)))}


def _slit_places(slit: Any) -> dict[str, np.ndarray]:
    wcs = getattr(slit.meta, "wcs", None)
    if wcs is None:
        return {}
    ny, nx = slit.data.shape[-2:]
    x, y = np.meshgrid(np.linspace(2, nx - 3, 4), np.linspace(0.2 * ny, 0.8 * ny, 3))
    world = [np.broadcast_to(np.asarray(v, dtype=float), x.shape) for v in wcs(x, y, with_bounding_box=False)]
    return {f"WCS {slit.name}|places": np.array(world)}


def _catalogue(path: Path) -> dict[str, np.ndarray]:
    from astropy.table import Table

    table = Table.read(path, format="ascii.ecsv")
    out = {"|columns": np.array(json.dumps([[c, str(table[c].unit)] for c in table.colnames]))}
    meta = {k: v for k, v in table.meta.items() if k != "__serialized_columns__"}
    out["|header"] = np.array(json.dumps(meta, default=str))
    for name in table.colnames:
        column = table[name]
        values = np.asarray(column.filled(np.nan) if hasattr(column, "filled") and column.dtype.kind == "f" else column)
        out |= _column(name, values)
    return out


def pack(path: Path, values: dict[str, np.ndarray]) -> None:
    """Write many small arrays into one file: one long array for each type, and an index (names, shapes, places, and all text)."""
    parts: dict[str, list[np.ndarray]] = {}
    index: dict[str, Any] = {}
    for key, value in values.items():
        if value.dtype.kind == "U":
            index[key] = value.tolist()
            continue
        own = parts.setdefault(value.dtype.str[1:], [])
        index[key] = {"type": value.dtype.str[1:], "shape": value.shape, "from": sum(a.size for a in own)}
        own.append(value.ravel())
    np.savez_compressed(path, index=np.array(json.dumps(index)), **{kind: np.concatenate(own) for kind, own in parts.items()})


def unpack(path: Path) -> dict[str, np.ndarray]:
    """What `pack` wrote."""
    out = {}
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for key, entry in json.loads(str(arrays.pop("index"))).items():
        if isinstance(entry, dict):
            size = int(np.prod(entry["shape"]))
            out[key] = arrays[entry["type"]][entry["from"] : entry["from"] + size].reshape(entry["shape"])
        else:
            out[key] = np.array(entry)
    return out


def differences(ours: dict[str, np.ndarray], reference: dict[str, np.ndarray], rtol: float = 1e-5) -> list[str]:
    """What does not agree, one line each."""
    lines = [f"{key}: only in ours" for key in sorted(set(ours) - set(reference))]
    for key, theirs in reference.items():
        if key not in ours:
            lines.append(f"{key}: absent")
            continue
        problem = _differ(key.split("|")[-1], ours[key], theirs, rtol)
        if problem:
            lines.append(f"{key}: {problem}")
    return lines


def _differ(what: str, ours: np.ndarray, theirs: np.ndarray, rtol: float) -> str:
    if what == "header":
        a, b = json.loads(str(ours)), json.loads(str(theirs))
        wrong = {k: [a.get(k, "absent"), b.get(k, "absent")] for k in sorted(set(a) | set(b)) if not _same(a.get(k, "absent"), b.get(k, "absent"))}
        return json.dumps(wrong) if wrong else ""
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, reference {theirs.shape}"
    if ours.dtype.kind in "iuUSb":
        wrong = int(np.sum(ours != theirs))
        return f"{wrong} of {ours.size} differ: {ours.ravel()[:3]}, reference {theirs.ravel()[:3]}" if wrong else ""
    if np.any(np.isfinite(ours) != np.isfinite(theirs)):
        return f"{np.sum(np.isfinite(ours) != np.isfinite(theirs))} finite in one only"
    good = np.isfinite(theirs)
    if not good.any():
        return ""
    a, b = ours[good].astype(float), theirs[good].astype(float)
    limit = {"numbers": 1e-12, "places": 1e-9}.get(what, rtol)
    live = np.abs(b[b != 0])
    scale = np.abs(b) + (float(np.median(live)) if live.size and what != "numbers" else 0.0)
    worst = float(np.max(np.abs(a - b) / np.where(scale == 0, 1.0, scale)))
    return f"{worst:.3g} > {limit:g}" if worst > limit else ""


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, (int, float)):
        return bool(abs(a - b) <= 1e-9 * max(abs(a), abs(b)))
    return bool(a == b)
