"""Exposures of any size on disk: headers by the datamodel, pixels by blocks into the places that they have in the file."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.simulate.setup import Setup
from jwst_dask.simulate.shelf import freeze

DO_NOT_USE, JUMP_DET, HOT, REFERENCE_PIXEL = 1, 4, 2**11, 2**31
CUBES = ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE")
BLOCK_BYTES = 8 * 2**20
RECORD = 2880
LIGHT_TIME = 0.0031  # days that the barycentre is ahead of the telescope


@dataclass(frozen=True)
class Series:
    """A whole time series of one detector.

    Attributes
    ----------
    mjd : float
        Start.
    light_curve : ndarray
        float64[integration], all segments.
    nsegments, nints : int
        Segments, and integrations in each.
    seed : int
    noise : float
        Factor on the noise that is added (the variances stay those of the detector).
    tiles : int
        Integrations of independent noise; a longer series repeats them, moved and turned over.
    """

    mjd: float
    light_curve: np.ndarray
    nsegments: int
    nints: int
    seed: int
    noise: float = 1.0
    tiles: int = 48
    exposure: int = 1


def times(setup: Setup, series: Series) -> np.ndarray:
    """float64[integration, 3]: start, middle and end (MJD UTC) of every integration."""
    start = series.mjd + np.arange(series.nsegments * series.nints) * setup.cadence / 86400
    return np.stack([start, start + setup.integration_time / 172800, start + setup.integration_time / 86400], axis=1)


def segment(folder: str | os.PathLike[str], setup: Setup, series: Series, number: int) -> str:
    """Write one segment (from 1); returns its file name."""
    from stdatamodels.jwst import datamodels as dm

    name = f"{setup.stem}-seg{number:03d}_{setup.detector}_rateints.fits"
    path = Path(folder) / name
    first = (number - 1) * series.nints
    head = header(setup, series) | {"exposure.segment_number": number, "exposure.integration_start": first + 1,
                                     "exposure.integration_end": first + series.nints, "filename": name}  # fmt: skip
    model = dm.CubeModel((1, *setup.shape))
    model.var_poisson, model.var_rnoise = np.zeros((1, *setup.shape), "f4"), np.zeros((1, *setup.shape), "f4")
    places = lay_out(path, model, head, times(setup, series)[first : first + series.nints], first)
    with open(path, "r+b", buffering=0) as file:
        for start, arrays in _blocks(setup, series, first, first + series.nints):
            for extension, values in arrays.items():
                file.seek(places[extension] + (start - first) * values[0].nbytes)
                file.write(values.tobytes())
    return name


def rate(folder: str | os.PathLike[str], setup: Setup, series: Series) -> str:
    """Write the mean of the series as one 2-D count-rate image; returns its file name."""
    from stdatamodels.jwst import datamodels as dm

    name = f"{setup.stem}_{setup.detector}_rate.fits"
    total = series.nsegments * series.nints
    sums: dict[str, np.ndarray] = {}
    flags = np.zeros(setup.shape, np.uint32)
    for _, arrays in _blocks(setup, series, 0, total):
        for key in ("SCI", "VAR_POISSON", "VAR_RNOISE"):
            sums[key] = sums.get(key, 0.0) + arrays[key].sum(axis=0, dtype=float)
        flags |= (np.bitwise_and.reduce(arrays["DQ"].astype("i4"), axis=0)).view(np.uint32) ^ np.uint32(2**31)
    model = dm.ImageModel(data=(sums["SCI"] / total).astype("f4"), dq=flags)
    model.var_poisson, model.var_rnoise = ((sums[key] / total**2).astype("f4") for key in ("VAR_POISSON", "VAR_RNOISE"))
    model.err = np.sqrt(model.var_poisson + model.var_rnoise)
    head = header(setup, series) | {"filename": name}
    _fill(model, head)
    _save(model, Path(folder) / name)
    freeze(Path(folder) / name, head["observation.date_beg"])
    _rehash(Path(folder) / name)
    return name


def image(folder: str | os.PathLike[str], setup: Setup, mjd: float, number: int, seed: int, noise: float = 1.0) -> str:
    """Write an exposure of one integration as a 2-D count-rate image; returns its file name.

    Parameters
    ----------
    folder : path
    setup : Setup
    mjd : float
        Start.
    number : int
        Of the exposure: others have other noise and the same bad pixels.
    seed : int
    noise : float
        Factor on the noise that is added.
    """
    from stdatamodels.jwst import datamodels as dm

    second, time = int("nrs2" in setup.detector), setup.integration_time
    fixed, r = np.random.default_rng([seed, 8, second]), np.random.default_rng([seed, 9, second, number])
    level = fixed.random(setup.shape, dtype=np.float32)
    bad, hot = level < 0.0025, level < 0.0008
    read = np.full(setup.shape, (setup.read_noise / (setup.gain * time)) ** 2, np.float32)
    light = (setup.star + setup.background).astype(np.float32)
    poisson = light.clip(0) / np.float32(setup.gain * time) + np.float32(1e-12)
    error = np.sqrt(poisson + read)
    data = light + np.float32(noise) * error * r.standard_normal(setup.shape, dtype=np.float32)
    for plane in (data, error, poisson, read):
        plane[bad] = np.nan
    model = dm.ImageModel(data=data, err=error, dq=(DO_NOT_USE * bad + HOT * hot).astype(np.uint32), var_poisson=poisson, var_rnoise=read)
    name = f"{setup.stem}_{setup.detector}_rate.fits"
    head = header(setup, Series(mjd, np.ones(1), 1, 1, seed)) | {"filename": name}
    _fill(model, head)
    _save(model, Path(folder) / name)
    freeze(Path(folder) / name, head["observation.date_beg"])
    _rehash(Path(folder) / name)
    return name


def spec2(folder: str | os.PathLike[str], rule: str, program: str, product: str, science: str, background: list[str]) -> str:
    """Write a spec2 association of an exposure with its backgrounds; returns its name."""
    name = f"{product}_spec2_asn.json"
    _association(Path(folder) / name, "spec2", rule, program, product, [science], background)
    return name


def level2(folder: str | os.PathLike[str], setup: Setup, names: list[str]) -> list[str]:
    """Write a spec2 association for each exposure; returns their names."""
    made = []
    for name in names:
        product = name.rsplit("_", 1)[0]
        made.append(f"{product}_spec2_asn.json")
        _association(Path(folder) / made[-1], "spec2", setup.rule2, setup.program, product, [name.replace("_uncal", "_rateints")])
    return made


def level3(folder: str | os.PathLike[str], setup: Setup, product: str, names: list[str]) -> str:
    """Write a tso3 association of what spec2 will make of some segments; returns its name."""
    members = [name.replace("_rateints", "_calints").replace("_uncal", "_calints") for name in names]
    _association(Path(folder) / f"{product}_tso3_asn.json", "tso3", "Asn_Lv3TSO", setup.program, product, members)
    return f"{product}_tso3_asn.json"


def _association(path: Path, kind: str, rule: str, program: str, product: str, members: list[str], background: list[str] | None = None) -> None:
    entries = [{"expname": name, "exptype": "science", "exposerr": "null"} for name in members]
    entries += [{"expname": name, "exptype": "background", "exposerr": "null"} for name in background or ()]
    path.write_text(json.dumps({
        "asn_type": kind, "asn_rule": rule, "version_id": None, "code_version": "mock", "degraded_status": "No known degraded exposures in association.",
        "program": program, "constraints": "none", "asn_id": "o001", "asn_pool": "none", "target": "1",
        "products": [{"name": product, "members": entries}]}, indent=1))  # fmt: skip


def header(setup: Setup, series: Series) -> dict[str, Any]:
    """Metadata of the exposure with the times of its series."""
    from astropy.time import Time

    total = series.nsegments * series.nints
    exposed, lasting = setup.integration_time * total, setup.cadence * total
    begin, end = (Time(mjd, format="mjd", scale="utc").isot for mjd in (series.mjd, series.mjd + lasting / 86400))
    return setup.header | {
        "observation.date": begin[:10], "observation.time": begin[11:23], "observation.date_beg": begin, "observation.date_end": end,
        "exposure.start_time": series.mjd, "exposure.mid_time": series.mjd + lasting / 172800, "exposure.end_time": series.mjd + lasting / 86400,
        "exposure.start_time_mjd": series.mjd, "exposure.nints": total, "exposure.ngroups": setup.ngroups, "exposure.group_time": setup.group_time,
        "exposure.frame_time": setup.group_time, "exposure.integration_time": setup.integration_time, "exposure.exposure_time": exposed,
        "exposure.effective_exposure_time": exposed, "exposure.measurement_time": exposed, "exposure.duration": lasting,
        "exposure.elapsed_exposure_time": lasting, "exposure.segment_total": series.nsegments,
    }  # fmt: skip


def _fill(model: Any, head: dict[str, Any]) -> None:
    for path, value in head.items():
        *branch, leaf = path.split(".")
        node = model.meta
        for name in branch:
            node = getattr(node, name)
        setattr(node, leaf, value)


def _save(model: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(str(path))
    model.close()


def lay_out(path: Path, model: Any, head: dict[str, Any], when: np.ndarray, first: int, cubes: tuple[str, ...] = CUBES) -> dict[str, int]:
    """A file with headers for all integrations and room for them; returns where each cube's data begin.

    Parameters
    ----------
    path : Path
    model : datamodel
        Of one integration; closed when it is saved.
    head : dict
        Metadata.
    when : ndarray
        float64[integration, 3], see `times`.
    first : int
        Number in the series of the file's first integration, from 0.
    cubes : tuple of str
        Extensions that have the integrations as first axis.
    """
    from astropy.io import fits

    nints, shape = len(when), model.shape
    rest = ", ".join(map(str, shape[1:]))
    table = np.zeros(nints, model.get_dtype("int_times"))
    table["integration_number"] = first + 1 + np.arange(nints)
    for k, part in enumerate(("start", "mid", "end")):
        table[f"int_{part}_MJD_UTC"] = when[:, k]
        table[f"int_{part}_BJD_TDB"] = when[:, k] + LIGHT_TIME
    model.int_times = table
    _fill(model, head)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # under its own name, which saving puts into the header
        sample = Path(folder) / path.name
        _save(model, sample)
        freeze(sample, head["observation.date_beg"])
        raw = sample.read_bytes()
        with fits.open(sample) as file:
            parts = [(hdu.name, hdu.fileinfo()) for hdu in file]
    places: dict[str, int] = {}
    with open(path, "wb") as out:
        for name, info in parts:
            header, data = raw[info["hdrLoc"] : info["datLoc"]], raw[info["datLoc"] : info["datLoc"] + info["datSpan"]]
            if name in cubes:
                out.write(_edited(header, **{f"NAXIS{len(shape)}": nints}))
                places[name] = out.tell()
                out.truncate(out.seek(places[name] + _padded(nints * _plane(header))))
                continue
            if name == "ASDF":
                data = data.rstrip(b"\0").replace(f"shape: [1, {rest}]".encode(), f"shape: [{nints}, {rest}]".encode())
                header = _edited(header, NAXIS1=len(data), TFORM1=f"{len(data)}B")
                data = data.ljust(_padded(len(data)), b"\0")
            out.write(header + data)
    _rehash(path)
    return places


def _rehash(path: Path) -> None:
    """Put the digest of the final headers into the ASDF extension, so that opening the file trusts its tree."""
    from astropy.io import fits
    from stdatamodels.fits_support import fits_hash

    with fits.open(path) as file:
        digest, at, span = fits_hash(file).encode(), file["ASDF"].fileinfo()["datLoc"], file["ASDF"].fileinfo()["datSpan"]
    with open(path, "r+b") as out:
        out.seek(at)
        text = out.read(span)
        place = text.find(b"_fits_hash: ")
        if place >= 0:
            out.seek(at + place + len(b"_fits_hash: "))
            out.write(digest)


def _plane(header: bytes) -> int:
    """Bytes of one integration, from the header of an extension with one."""
    from astropy.io import fits

    parsed = fits.Header.fromstring(header.decode("ascii"))
    return int(abs(parsed["BITPIX"]) // 8 * np.prod([parsed[f"NAXIS{k + 1}"] for k in range(parsed["NAXIS"])]))


def _padded(size: int) -> int:
    return -(-size // RECORD) * RECORD


def _edited(header: bytes, **cards: Any) -> bytes:
    from astropy.io import fits

    parsed = fits.Header.fromstring(header.decode("ascii"))
    for keyword, value in cards.items():
        parsed[keyword] = value
    return bytes(parsed.tostring().encode("ascii"))


def _blocks(setup: Setup, series: Series, start: int, stop: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """First integration and file-order arrays of blocks that do not depend on how the series is cut."""
    noise = _Noise(setup, series)
    step = max(1, BLOCK_BYTES // (4 * setup.star.size))
    for first in range(start, stop, step):
        yield first, noise.block(first, min(first + step, stop))


class _Noise:
    """Detector noise of a series: tiles of standard normal numbers, bad pixels that stay, cosmic rays that do not."""

    def __init__(self, setup: Setup, series: Series) -> None:
        self.setup, self.series = setup, series
        fixed = np.random.default_rng([series.seed, 7, int("nrs2" in setup.detector)])
        self.tile = fixed.standard_normal((min(series.tiles, len(series.light_curve)), *setup.shape), dtype=np.float32)
        time = setup.integration_time
        self.read = ((setup.read_noise / (setup.gain * time)) ** 2 * (1 + 0.04 * fixed.standard_normal(setup.shape)).clip(0.5, 2)).astype("f4")
        self.bad, hot = fixed.random(setup.shape) < 0.002, fixed.random(setup.shape) < 0.001
        self.flags = (DO_NOT_USE * self.bad + (DO_NOT_USE | HOT) * (hot & ~self.bad)).astype(np.uint32)
        self.bad |= hot
        self.bad[:, : setup.reference_columns] = True
        self.flags[:, : setup.reference_columns] = DO_NOT_USE | REFERENCE_PIXEL

    def block(self, first: int, stop: int) -> dict[str, np.ndarray]:
        """Arrays of integrations `first` to `stop` as they are in the file (big-endian, DQ less 2**31)."""
        setup, time = self.setup, self.setup.integration_time
        out = {name: np.empty((stop - first, *setup.shape), ">i4" if name == "DQ" else ">f4") for name in CUBES}
        for k in range(first, stop):
            r = np.random.default_rng([self.series.seed, 1 + int("nrs2" in setup.detector), k])
            light = (setup.star * self.series.light_curve[k] + setup.background).astype("f4")
            poisson = light.clip(0) / np.float32(setup.gain * time) + np.float32(1e-12)
            error = np.sqrt(poisson + self.read)
            tile = np.roll(self.tile[k % len(self.tile)], r.integers(0, setup.shape[1]) if k >= len(self.tile) else 0, axis=1)
            data = light + tile * error * np.float32(self.series.noise * (1 if (k // len(self.tile)) % 2 == 0 else -1))
            flags = self.flags.copy()
            rows, columns = (r.integers(0, n, max(1, light.size // 2000)) for n in setup.shape)
            flags[rows, columns] |= np.uint32(JUMP_DET)
            rows, columns = (r.integers(0, n, max(1, light.size // 20000)) for n in setup.shape)
            data[rows, columns] += np.float32(self.series.noise) * r.exponential(600.0, len(rows)).astype("f4") / np.float32(time)
            i = k - first
            for name, values in (("SCI", data), ("ERR", error), ("VAR_POISSON", poisson), ("VAR_RNOISE", self.read)):
                out[name][i] = values
                out[name][i][self.bad] = np.nan
            out["DQ"][i] = (flags ^ np.uint32(2**31)).view("i4")
        return out
