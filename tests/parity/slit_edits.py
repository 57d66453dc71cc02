"""Changes of the oracle's slit exposures: other members, other metafiles, other headers. Each takes a folder with copies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from jwst_dask.data.msa import MSAMetafile

FIRST = "jw02750010001_03101_00001_nrs1"
SECOND, THIRD = FIRST.replace("00001_nrs", "00002_nrs"), FIRST.replace("00001_nrs", "00003_nrs")


def _members(folder: Path, association: str, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    path = folder / association
    content = json.loads(path.read_text())
    content["products"][0]["members"] = change(content["products"][0]["members"])
    path.write_text(json.dumps(content, indent=1))


def _scaled(source: Path, target: Path, factor: float, **keywords: Any) -> None:
    shutil.copy(source, target)
    with fits.open(target, mode="update") as file:
        file["SCI"].data = file["SCI"].data * np.float32(factor)
        file[0].header.update({"FILENAME": target.name, **keywords})


def imprint(folder: Path) -> None:
    """The third exposure, fainter, is the imprint of the second and of its background, the first."""
    _scaled(folder / f"{THIRD}_rate.fits", folder / "imprint_rate.fits", 0.25)
    _members(folder, f"{SECOND}_spec2_asn.json", lambda members: [*members[:2], {"expname": "imprint_rate.fits", "exptype": "imprint"}])


def imprints(folder: Path) -> None:
    """Two imprints, of which the first is taken for a MOS exposure."""
    imprint(folder)
    _scaled(folder / f"{THIRD}_rate.fits", folder / "other_rate.fits", 0.5)
    _members(folder, f"{SECOND}_spec2_asn.json", lambda members: [*members, {"expname": "other_rate.fits", "exptype": "imprint"}])


def dedicated(folder: Path) -> None:
    """One background exposure of another observation."""
    _scaled(folder / f"{THIRD}_rate.fits", folder / "jw02750011001_03101_00001_nrs1_rate.fits", 0.8, OBSERVTN="011")
    _members(folder, f"{SECOND}_spec2_asn.json", lambda members: [members[0], {"expname": "jw02750011001_03101_00001_nrs1_rate.fits", "exptype": "background"}])


def tilted(folder: Path) -> None:
    """A background taken at another tilt of the grating wheel."""
    with fits.open(folder / f"{FIRST}_rate.fits", mode="update") as file:
        file[0].header["GWA_XTIL"] += 1e-4


def fixed_slits(folder: Path) -> None:
    """Two fixed slits in the MOS exposure, first in the table: one with a source of its own, one with a source that is not in SOURCE_INFO."""
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    rows, sources = [], msa.sources[:1].copy()
    sources["source_id"], sources["source_name"], sources["stellarity"] = 77, "2750_77", 0.9
    for point in (1, 2, 3):
        for name, number, x, y in (("S200A1", 77, 0.45, 0.5 + 0.1 * point), ("S400A1", -5, 0.5, 0.5)):
            row = msa.shutters[:1].copy()
            row["slitlet_id"], row["shutter_quadrant"], row["shutter_row"], row["shutter_column"] = 0, 0, 0, 0
            row["source_id"], row["background"], row["primary_source"], row["dither_point_index"], row["fixed_slit"] = number, "N", "Y", point, name
            row["estimated_source_in_shutter_x"], row["estimated_source_in_shutter_y"] = x, y
            rows.append(row)
    _tables(path, np.concatenate([*rows, msa.shutters]), np.concatenate([msa.sources, sources]))


def only_fixed(folder: Path) -> None:
    """A MOS exposure with nothing but fixed slits."""
    fixed_slits(folder)
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    _tables(path, msa.shutters[msa.shutters["fixed_slit"] != "NONE"], msa.sources)


def backgrounds_only(folder: Path) -> None:
    """No source in any slitlet."""
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    msa.as_background({s.name for s in msa.slitlets()}).write(path, overwrite=True)


def no_background_slit(folder: Path) -> None:
    """No slitlet without a source."""
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    empty = {s.slitlet_id for s in msa.slitlets() if not msa.shutters["source_id"][s.rows].any()}
    msa.drop(slitlets=empty).write(path, overwrite=True)


def at_the_edge(folder: Path) -> None:
    """One slitlet whose spectrum leaves the detector at the red end, one that has hardly any of it on the detector."""
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    shutters = msa.shutters.copy()
    for slitlet, (quadrant, row) in {2: (1, 20), 3: (2, 60)}.items():
        mine = shutters["slitlet_id"] == slitlet
        shutters["shutter_quadrant"][mine], shutters["shutter_row"][mine] = quadrant, row
    _tables(path, shutters, msa.sources)


def off_the_detector(folder: Path) -> None:
    """Slitlets whose spectra all fall on the other detector."""
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    shutters = msa.shutters.copy()
    shutters["shutter_quadrant"], shutters["shutter_row"] = 1, 300
    _tables(path, shutters, msa.sources)


def extended(folder: Path) -> None:
    """Slitlets longer by two shutters, one by source type unknown, virtual sources, one long slit of closed and open shutters."""
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    msa = msa.extend([1, 2])
    shutters, sources = msa.shutters.copy(), msa.sources.copy()
    number = int(shutters["source_id"][shutters["slitlet_id"] == 3].max())
    shutters["source_id"][shutters["slitlet_id"] == 3] = -number
    sources["stellarity"][0] = -1.0
    _tables(path, shutters, sources)


def stars(folder: Path) -> None:
    """Sources that are all points."""
    _stellarity(folder, 1.0)


def galaxies(folder: Path) -> None:
    """Sources that are all extended."""
    _stellarity(folder, 0.0)


def _stellarity(folder: Path, value: float) -> None:
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    sources = msa.sources.copy()
    sources["stellarity"] = value
    _tables(path, msa.shutters, sources)


def split_long_slit(folder: Path) -> None:
    """A long slit as a slitlet for each of its shutters, the target in the five in the middle."""
    path = next(iter(folder.glob("*01_msa.fits")))
    msa = MSAMetafile.read(path)
    slitlet = msa.slitlets()[0]
    middle = sorted(slitlet.columns)[len(slitlet.columns) // 2]
    msa.split(slitlet.slitlet_id, range(middle - 2, middle + 3)).write(path, overwrite=True)


def no_metafile_rows(folder: Path) -> None:
    """An MSA configuration that the metafile does not have."""
    with fits.open(folder / f"{SECOND}_rate.fits", mode="update") as file:
        file[0].header["MSAMETID"] = 9


def no_dither_point(folder: Path) -> None:
    """A dither point that the metafile does not have."""
    with fits.open(folder / f"{SECOND}_rate.fits", mode="update") as file:
        file[0].header["PATT_NUM"] = 7


def extended_target(folder: Path) -> None:
    """A fixed-slit target that the proposal calls extended."""
    for path in folder.glob("*_rate.fits"):
        with fits.open(path, mode="update") as file:
            file[0].header["SRCTYAPT"] = "EXTENDED"


def other_primary(folder: Path) -> None:
    """Another fixed slit is the one with the target; no offset of the pointing."""
    for path in folder.glob("*_rate.fits"):
        with fits.open(path, mode="update") as file:
            file[0].header["FXD_SLIT"], file[0].header["APERNAME"] = "S400A1", "NRS_S400A1_SLIT"


def _tables(path: Path, shutters: np.ndarray, sources: np.ndarray) -> None:
    with fits.open(path) as file:
        for name, rows in (("SHUTTER_INFO", shutters), ("SOURCE_INFO", sources)):
            header = fits.Header([("EXTNAME", name)])
            file[file.index_of(name)] = fits.BinTableHDU(_bytes(rows), header=header, name=name)
        file.writeto(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def _bytes(rows: np.ndarray) -> np.ndarray:
    kinds = [(n, f"S{rows.dtype[n].itemsize // 4}" if rows.dtype[n].kind == "U" else rows.dtype[n]) for n in rows.dtype.names or ()]
    return rows.astype(kinds)


def one_background(folder: Path) -> None:
    """The first exposure is the background of the second."""
    _members(folder, f"{SECOND}_spec2_asn.json", lambda members: members[:2])


def no_members(folder: Path) -> None:
    """The science exposure alone."""
    _members(folder, f"{SECOND}_spec2_asn.json", lambda members: members[:1])


def full_background(folder: Path) -> None:
    """The background of a fixed-slit exposure was read out in full frame."""
    path = next(iter(folder.glob("*00002_nrs1_rate.fits")))
    with fits.open(path, mode="update") as file:
        header = file[0].header
        x, y = header["SUBSTRT1"] - 1, header["SUBSTRT2"] - 1
        for hdu in file[1:]:
            if isinstance(hdu, fits.ImageHDU):
                frame = np.zeros((2048, 2048), hdu.data.dtype)
                frame[y : y + hdu.data.shape[0], x : x + hdu.data.shape[1]] = hdu.data
                hdu.data = frame
        header.update({"SUBARRAY": "FULL", "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 2048, "SUBSIZE2": 2048})


def allslits(folder: Path) -> None:
    """A lamp exposure of which only the rows of the fixed slits were read out."""
    path = next(iter(folder.glob("*_rate.fits")))
    with fits.open(path, mode="update") as file:
        for hdu in file[1:]:
            if isinstance(hdu, fits.ImageHDU):
                hdu.data = hdu.data[896:1152].copy()
        file[0].header.update({"SUBARRAY": "ALLSLITS", "SUBSTRT1": 1, "SUBSTRT2": 897, "SUBSIZE1": 2048, "SUBSIZE2": 256})


def same_source(folder: Path) -> None:
    """One source in two slitlets."""
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    shutters = msa.shutters.copy()
    number = int(shutters["source_id"][shutters["slitlet_id"] == 2].max())
    shutters["source_id"][shutters["slitlet_id"] == 3] = number
    _tables(path, shutters, msa.sources)


def nonzero_column(folder: Path) -> None:
    """A fixed slit in the MOS exposure whose row has a shutter column."""
    fixed_slits(folder)
    path = next(iter(folder.glob("*_msa.fits")))
    msa = MSAMetafile.read(path)
    shutters = msa.shutters.copy()
    shutters["shutter_column"][shutters["fixed_slit"] == "S200A1"] = 3
    _tables(path, shutters, msa.sources)
