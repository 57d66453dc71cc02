"""Made-up exposures with many NIRSpec slits: metadata, MSA metafiles, failed-open shutters, optics.

Used by the tests of assign_wcs, msa_flagging and extract_2d, and by tests/parity/make_slits.py, which runs the reference
implementation on the same. Needs numpy, astropy, asdf and stdatamodels only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import asdf
import geometry_cases as geometry
import numpy as np
from astropy.io import fits
from astropy.modeling.models import Shift

MOS: dict[str, Any] = geometry.BOTS | {
    "exposure.type": "NRS_MSASPEC", "image": True, "subarray.name": "FULL", "subarray.xstart": 1, "subarray.ystart": 1,
    "subarray.xsize": 2048, "subarray.ysize": 2048, "instrument.msa_metadata_file": "jw00007001001_01_msa.fits", "instrument.msa_metadata_id": 3,
    "dither.position_number": 1, "observation.program_number": "00777", "exposure.nints": 1, "visit.tsovisit": False,
    "instrument.fixed_slit": "NONE", "bunit_data": "DN/s", "bunit_err": "DN/s",
}  # fmt: skip
LAMP = MOS | {"exposure.type": "NRS_LAMP", "instrument.filter": "OPAQUE", "instrument.lamp_mode": "MSASPEC", "instrument.lamp_state": "LINE2",
              "wcsinfo.velosys": None}  # fmt: skip
FS = MOS | {"exposure.type": "NRS_FIXEDSLIT", "instrument.fixed_slit": "S200A1", "subarray.name": "FULL", "dither.x_offset": 0.2,
            "dither.y_offset": -0.4}  # fmt: skip
ALLSLITS = FS | {"subarray.name": "ALLSLITS", "subarray.ystart": 897, "subarray.ysize": 256}
GRATING = {"instrument.filter": "F290LP", "instrument.grating": "G395H"}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mos": (MOS, {}),
    "mos_nod": (MOS | {"dither.position_number": 2}, {}),
    "mos_edges": (MOS, {"slit_y_low": -0.7, "slit_y_high": 0.45}),
    "mos_still": (MOS | {"wcsinfo.velosys": None}, {}),
    "mos_nrs2": (MOS | GRATING | {"instrument.detector": "NRS2"}, {}),
    "mos_names": (MOS, {"slit_names": ["7", "12", "4"], "source_ids": ["12", "1004", "1001"]}),
    "autoflat": (LAMP | {"exposure.type": "NRS_AUTOFLAT"}, {}),
    "lamp_mos": (LAMP, {}),
    "lamp_fs": (FS | {"exposure.type": "NRS_AUTOWAVE", "instrument.filter": "OPAQUE", "instrument.lamp_mode": "FIXEDSLIT", "wcsinfo.velosys": None}, {}),
    "fs": (FS, {}),
    "fs_allslits": (ALLSLITS, {"slit_y_high": 0.5}),
    "fs_grating": (FS | GRATING | {"instrument.fixed_slit": "S1600A1"}, {}),
    "fs_none": (FS | {"instrument.fixed_slit": None, "dither.x_offset": None}, {}),
    "fs_narrow": (ALLSLITS | {"subarray.name": "SUBS200A2", "subarray.ystart": 1005, "subarray.ysize": 16, "instrument.fixed_slit": "S200A2"}, {}),
}  # fmt: skip
"""Metadata and parameters by name."""
ATTRIBUTES = ("name", "xstart", "xsize", "ystart", "ysize", "source_id", "slit_ymin", "slit_ymax", "shutter_id", "source_name", "source_alias",
              "stellarity", "source_xpos", "source_ypos", "slitlet_id", "quadrant", "xcen", "ycen", "dither_position", "source_ra", "source_dec",
              "slit_xscale", "slit_yscale", "shutter_state", "source_type")  # fmt: skip
INFO = ("s_region", "specsys", "dispersion_direction", "waverange_start", "waverange_end", "spectral_order", "spectral_region", "velosys", "v3yangle")

# slitlet: quadrant, row, columns, source, primary column at dither points 1 and 2 (0: background), position, fixed slit
SLITLETS: dict[int, tuple[int, int, tuple[int, ...], int, tuple[int, int], tuple[float, float], str]] = {
    12: (3, 200, (60, 61, 62), 1001, (61, 62), (0.31, 0.84), "NONE"),
    4: (1, 190, (40, 41, 42), 0, (0, 0), (np.nan, np.nan), "NONE"),
    5: (1, 180, (90,), -3, (90, 90), (np.nan, np.nan), "NONE"),
    6: (4, 210, (100, 101, 103, 104), 1004, (103, 100), (0.5, 0.1), "NONE"),
    7: (2, 170, (20, 21), 0, (0, 0), (np.nan, np.nan), "NONE"),
    0: (5, 0, (0,), 1002, (1, 1), (0.6, 0.45), "S200A2"),
    8: (2, 165, (120, 121, 122, 123, 124), 1003, (120, 124), (0.05, 0.95), "NONE"),
    14: (4, 365, (170, 171), 0, (0, 0), (np.nan, np.nan), "NONE"),
    9: (4, 1, (3,), 1004, (3, 3), (0.5, 0.5), "NONE"),
}  # fmt: skip
SOURCES = ((1001, "777_1001", "a1", 0.9), (1002, "777_1002", "b", 0.2), (1003, "777_1003", "third one", -1.0), (1004, "777_1004", "d", 0.75),
           (-3, "777_VRT", "virtual", 0.0), (1001, "again", "a2", 0.1))  # fmt: skip
FAILED = ((1, 100, 30, "state"), (2, 160, 90, "TA state"), (3, 250, 120, "Internal state"), (4, 300, 80, "state"), (2, 170, 5, ""), (1, 365, 171, "state"))


def shutters(metadata_id: int = 3) -> list[tuple[Any, ...]]:
    """Rows of SHUTTER_INFO at two dither points."""
    rows = []
    for point in (1, 2):
        for slitlet, (quadrant, row, columns, source, primary, (x, y), fixed) in SLITLETS.items():
            for column in columns:
                main = primary[point - 1] == column or (fixed != "NONE" and primary[point - 1] == 1)
                rows.append((slitlet, metadata_id, quadrant, row, column, source, "N" if main else "Y", "OPEN", x if main else np.nan,
                             y if main else np.nan, point, "Y" if main else "N", fixed))  # fmt: skip
    return rows


def metafile(path: Path, rows: list[tuple[Any, ...]] | None = None, sources: Any = SOURCES, old: bool = False) -> Path:
    """Write a metafile; `old` ones have no column for fixed slits."""
    names = ("slitlet_id", "msa_metadata_id", "shutter_quadrant", "shutter_row", "shutter_column", "source_id", "background", "shutter_state",
             "estimated_source_in_shutter_x", "estimated_source_in_shutter_y", "dither_point_index", "primary_source", "fixed_slit")  # fmt: skip
    formats = ("I", "I", "I", "I", "I", "I", "1A", "6A", "E", "E", "I", "1A", "7A")
    rows = [*shutters(), *shutters(5)] if rows is None else rows
    columns = [fits.Column(name.upper(), code, array=np.array([r[i] for r in rows])) for i, (name, code) in enumerate(zip(names, formats))]
    described = {"program": "J", "source_id": "J", "source_name": "20A", "alias": "31A", "ra": "D", "dec": "D", "stellarity": "D"}
    values = [(777, number, name, alias, 10.5 + i, -3.25 * i, star) for i, (number, name, alias, star) in enumerate(sources)]
    table = [fits.Column(name, code, unit="deg" if code == "D" and name != "stellarity" else None, array=np.array([v[i] for v in values]))
             for i, (name, code) in enumerate(described.items())]  # fmt: skip
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "PROGRAM": "00777", "FILENAME": path.name, "MSACFG10": (1, "of the plan")})
    image = fits.ImageHDU(np.arange(12.0).reshape(3, 4), name="SHUTTER_IMAGE")
    hdus = [primary, image, fits.BinTableHDU.from_columns(columns[:-1] if old else columns, name="SHUTTER_INFO"),
            fits.BinTableHDU.from_columns(table, name="SOURCE_INFO")]  # fmt: skip
    hdus[2].header["COMMENT"] = "one row for each open shutter"
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write(folder: Path) -> dict[str, str]:
    """Write the reference files and the metafile; paths by type."""
    paths = geometry.write(folder)
    quadrant = _quadrant()
    with asdf.open(paths["msa"]) as file:
        fixed = {"model": file.tree["Q5"]["model"], "data": np.array(file.tree["Q5"]["data"])}
    fixed["data"].dtype.names = quadrant.dtype.names
    offsets = {1: (0.0, -0.011), 2: (0.0004, 0.009), 3: (0.0022, -0.009), 4: (-0.0013, 0.011)}
    tree: dict[str, Any] = {f"Q{q}": {"model": Shift(x) & Shift(y), "data": quadrant} for q, (x, y) in offsets.items()}
    tree["Q5"] = fixed
    asdf.AsdfFile({"meta": {"instrument": {"name": "NIRSPEC"}, "reftype": "msa", "telescope": "JWST"}, **tree}).write_to(paths["msa"])
    paths["msaoper"] = str(folder / "msaoper.json")
    Path(paths["msaoper"]).write_text(json.dumps({"msaoper": [
        {"Q": q, "x": x, "y": y, "state": "normal", "TA state": "closed", "Internal state": "normal", "Vignetted": "no", **({where: "open"} if where else {})}
        for q, x, y, where in FAILED
    ]}))  # fmt: skip
    metafile(folder / MOS["instrument.msa_metadata_file"])
    return paths


def _quadrant() -> np.ndarray:
    """Shutters of a quadrant, counted along the dispersion first."""
    number = np.arange(365 * 171)
    data = np.zeros(number.size, [("NO", "i4"), ("XC", "f4"), ("YC", "f4"), ("SIZEX", "f4"), ("SIZEY", "f4")])
    data["NO"], data["XC"], data["YC"] = number + 1, 0.026 + (number % 365) * 1.05e-5, (number // 365 + 1) * 1e-4
    data["SIZEX"], data["SIZEY"] = 7.8e-6, 8.7e-5
    data["XC"][number % 365 == 364] = 0.2  # row 365 is imaged beside the detector
    return data


def exposure(values: dict[str, Any]) -> Any:
    """An ImageModel of zeros."""
    return geometry.exposure(values)
