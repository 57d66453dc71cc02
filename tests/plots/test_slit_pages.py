"""The page of slits: complete, bounded, self-contained, and pictures that show what is in the products."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jwst_dask.data.quality import failed, write_quality
from jwst_dask.plots import record, thumbs
from jwst_dask.plots.report import make_report
from jwst_dask.plots.series import flag_shares
from jwst_dask.plots.slits import exposures, make_page

NASTY = '<b>&"\''


def products(folder: Path, base: str, names: list[str], shape: tuple[int, int] = (9, 30)) -> None:
    """Rectified images and spectra of slits, wavelengths backwards in the last; a flag in the first calibrated slit."""
    rng = np.random.default_rng(1)
    top = {"EXP_TYPE": "NRS_MSASPEC", "INSTRUME": "NIRSPEC", "TELESCOP": "JWST"}
    s2d, x1d, cal = ([fits.PrimaryHDU()] for _ in range(3))
    for hdus in (s2d, x1d, cal):
        hdus[0].header.update(top)
    for ver, name in enumerate(names, 1):
        image = rng.normal(size=shape).astype(np.float32)
        image[4], image[:, 0] = 50, np.nan
        dq = np.full(shape, ver == 1, np.int32)
        cards = fits.Header({"SLTNAME": name, "SOURCEID": 1000 + ver, "SRCNAME": NASTY, "SRCTYPE": "POINT"})
        for hdus, array, extension in ((s2d, image, "SCI"), (cal, image, "SCI"), (cal, dq, "DQ")):
            hdus.append(fits.ImageHDU(array, cards if extension == "SCI" else None, name=extension, ver=ver))
        rows = np.zeros(shape[1], [("WAVELENGTH", "f8"), ("FLUX", "f8"), ("FLUX_ERROR", "f8"), ("DQ", "i4")])
        rows["WAVELENGTH"] = np.linspace(1, 2, shape[1])[:: -1 if ver == len(names) else 1]
        rows["FLUX"], rows["FLUX_ERROR"] = 10.0 * ver, 2.0
        x1d.append(fits.BinTableHDU(rows, cards, name="EXTRACT1D", ver=ver))
    for suffix, hdus in (("s2d", s2d), ("x1d", x1d), ("cal", cal)):
        fits.HDUList(hdus).writeto(folder / f"{base}_{suffix}.fits")


def decode(uri: str) -> np.ndarray:
    """Colour indices of a picture."""
    data = base64.b64decode(uri.partition(",")[2])
    width, height = struct.unpack(">II", data[16:24])
    at, body = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        assert zlib.crc32(data[at + 4 : at + 8 + size]) == struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0]
        body += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    return np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, width + 1)[:, 1:]


def test_report_has_a_page_of_slits(tmp_path: Path) -> None:
    products(tmp_path, "a_nrs1", ["2", "10", "S200A1"])
    write_quality([{"slit": "2", "status": "COMPLETE", "sn": 7.25, "seconds": 0.125, "source_name": NASTY, "position_flag": 1},
                   failed("7", f"no data {NASTY}", "photom")], tmp_path / "a_nrs1_quality.ecsv")  # fmt: skip
    report = make_report(tmp_path).read_text()
    assert 'href="a_nrs1_slits.html"' in report and "quality table of slits" in report and "3 slits" in report
    html = (tmp_path / "a_nrs1_slits.html").read_text()
    rows = re.findall(r"<tr.*?</tr>", html.partition("<tbody>")[2])
    assert len(rows) == 4 and sum("<img" in row for row in rows) == 3 and sum("<path" in row for row in rows) == 3
    assert 'class="bad"' in rows[3] and "photom" in rows[3] and "7.25" in rows[0] and "position flag" in html
    assert NASTY not in html and "&lt;b&gt;" in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    script = re.search(r"<script>(.*?)</script>", html, re.S)[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in html.partition("<title>")[0]


def test_figures_are_measured_without_a_table(tmp_path: Path) -> None:
    products(tmp_path, "b", ["1", "2"])
    (exposure,) = exposures(record.products(tmp_path))
    summary = make_page(exposure, tmp_path / "p.html")
    assert (summary.slits, summary.failed, summary.sn) == (2, 0, 7.5)
    assert len(re.findall(r">(?:4|4\.0\d*|3\.9\d*)<", (tmp_path / "p.html").read_text())) == 2  # row of the trace


def test_hundreds_of_slits_are_quick_and_small(tmp_path: Path) -> None:
    products(tmp_path, "c", [str(i) for i in range(60)], (24, 430))
    (exposure,) = exposures(record.products(tmp_path))
    began = time.process_time()
    make_page(exposure, tmp_path / "p.html")
    assert (time.process_time() - began) / 60 < 0.05
    assert (tmp_path / "p.html").stat().st_size / 60 < 15_000


def test_flags_of_slits(tmp_path: Path) -> None:
    products(tmp_path, "d", ["1", "2", "3", "4"])
    flags = flag_shares([str(tmp_path / "d_cal.fits")])
    assert flags.shares == {"DO_NOT_USE": 0.25} and flags.integrations == 4 and flags.slits


def test_picture_shows_the_image() -> None:
    image = np.zeros((4, 5), np.float32)
    image[0, 0], image[3, 4] = np.nan, 9
    index = decode(thumbs.picture(image))
    assert index.shape == (4, 5) and index[3, 0] == 0 and index[0, 4] == thumbs.LEVELS and index[1, 1] == 1
    assert np.array_equal(decode(thumbs.picture(image, backwards=True)), index[:, ::-1])
    assert thumbs.picture(np.full((3, 3), np.nan)) == "" and thumbs.picture(np.zeros((0, 3))) == ""


@given(arrays(np.float32, st.tuples(st.integers(1, 60), st.integers(1, 300)), elements=st.sampled_from([0.0, 1.0, -5.0, np.nan, np.inf, 1e30])))
@settings(max_examples=25, deadline=None)
def test_any_image_and_curve(image: np.ndarray) -> None:
    uri = thumbs.picture(image)
    if uri:
        index = decode(uri)
        assert index.shape[0] <= thumbs.HEIGHT and index.shape[1] <= thumbs.WIDTH and index.max() <= thumbs.LEVELS
    path, low, high = thumbs.curve(image[0])
    assert (path == "") == (not np.isfinite(image[0]).any()) and (path == "" or high > low) and "nan" not in path


def test_curve_is_drawn_where_it_is() -> None:
    path, low, high = thumbs.curve(np.array([0.0, 10.0, np.nan, 5.0]), width=4, height=10)
    assert low < 0 and high > 10 and [p[0] for p in re.findall(r"[ML][^ML]+", path)] == ["M", "L", "M"]
    heights = [float(y) for y in re.findall(r" (-?[\d.]+)", path)]
    assert heights == pytest.approx([(high - v) / (high - low) * 10 for v in (0, 10, 5)], abs=0.06)
