"""The quality table: figures from known pictures and spectra, and the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdatamodels.jwst.datamodels import SlitModel

from jwst_dask.core.errors import InputError
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.data.quality import COLUMNS, failed, quality_table, read_quality, slit_quality, trace, write_quality

DTYPE = [("WAVELENGTH", "f8"), ("FLUX", "f8"), ("FLUX_ERROR", "f8"), ("BACKGROUND", "f8")]


def slit(sci: np.ndarray, dq: np.ndarray | None = None, wavelength: np.ndarray | None = None, **quality: float) -> tuple[Draft, Block]:
    model = SlitModel()
    model.name, model.source_id, model.source_name, model.source_type, model.shutter_state = "12", 1007, "2750_1007", "POINT", "11x11"
    model.source_xpos, model.source_ypos, model.meta.bunit_data = 0.25, -0.5, "MJy"
    if wavelength is not None:
        model.wavelength = wavelength
    block = Block({"sci": sci[None].astype(np.float32), "dq": (np.zeros(sci.shape, np.uint32) if dq is None else dq)[None]}, 0)
    return Draft(model, "x.fits", 1, quality=dict(quality)), block


def test_figures_of_a_known_slit() -> None:
    y, x = np.indices((21, 40), dtype=float)
    sci = 2.0 + 100 * np.exp(-0.5 * ((y - 8.3) / 1.2) ** 2)
    dq = np.zeros(sci.shape, np.uint32)
    dq[:, :10] = 1
    dq[0, :] |= 4
    sci[:, 30:] = np.nan
    wavelength = np.where(x < 20, 1 + x / 40, np.nan)
    spectrum = np.zeros(50, DTYPE)
    spectrum["WAVELENGTH"] = np.linspace(5, 1, 50)
    spectrum["FLUX"], spectrum["FLUX_ERROR"] = np.repeat([50.0, 40, 30, 20, 10], 10), 2.0
    spectrum["FLUX"][0], spectrum["BACKGROUND"] = np.nan, 7.5
    row = slit_quality(*slit(sci, dq, wavelength), spectrum)
    assert row["coverage"] == 0.5 and row["flagged"] == 0.5  # of the pixels with a wavelength
    assert row["wave_min"] == 1.0 and row["wave_max"] == pytest.approx(spectrum["WAVELENGTH"][1])
    assert [row[f"sn_{i}"] for i in range(1, 6)] == [5, 10, 15, 20, 25] and row["sn"] == 15
    assert row["background"] == 7.5 and row["unit"] == "MJy" and row["shutters"] == "11x11"
    assert row["trace"] == pytest.approx(8.3, abs=0.02) and row["trace_fwhm"] == pytest.approx(2.3548 * 1.2, rel=0.05)
    assert all(isinstance(value, (str, int, float)) and not isinstance(value, np.generic) for value in row.values())


def test_figures_of_steps_win_and_level_without_background() -> None:
    row = slit_quality(*slit(np.full((5, 6), 3.0), coverage=0.25, shift=np.float32(1.5)), None)
    assert row["coverage"] == 0.25 and row["shift"] == 1.5 and row["background"] == 3.0 and "sn" not in row and "trace" not in row


@given(shape=st.tuples(st.integers(0, 4), st.integers(0, 5)), value=st.sampled_from([np.nan, 0.0, -1.0]), n=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_any_slit_has_a_row(shape, value, n) -> None:
    spectrum = np.zeros(n, DTYPE)
    spectrum["FLUX"] = value
    row = slit_quality(*slit(np.full(shape, value)), spectrum)
    assert 0 <= row["coverage"] <= 1 and len(quality_table([row])) == 1


def test_trace_of_noise_free_rows() -> None:
    image = np.full((9, 4), np.nan)
    image[2:7] = np.array([0, 1, 4, 1, 0.0])[:, None]
    assert trace(image)["trace"] == pytest.approx(4.0)
    assert trace(image[:2]) == {}


def test_table_sorted_typed_and_read_again(tmp_path: Path) -> None:
    rows = [{"slit": "S200A1", "status": "COMPLETE", "sn": 3.5, "seconds": 0.25}, failed("10", "all\nNaN", "photom", source_id=7),
            {"slit": "9", "status": "COMPLETE", "sn": float("nan"), "zeta": 2, "alpha": True}]  # fmt: skip
    rows[0] |= {"snr_median": 3.5, "npixels_median": 6.0}
    path = write_quality(rows, tmp_path / "a_quality.ecsv")
    table = read_quality(path)
    assert list(table["slit"]) == ["9", "10", "S200A1"] and list(table["status"]) == ["COMPLETE", "FAILED", "COMPLETE"]
    assert table["message"][1] == "all NaN" and table["failed_step"][1] == "photom" and table["source_id"][1] == 7
    assert bool(table["sn"].mask[0]) and table["sn"][2] == 3.5 and table["zeta"][0] == 2
    assert table["npixels_median"][2] == 6 and "snr_median" not in table.colnames
    assert table.colnames[-2:] == ["alpha", "zeta"] and "trace" not in table.colnames
    assert table["seconds"].unit == "s" and table["sn"].description == COLUMNS["sn"].help
    assert not list(tmp_path.glob(".*.tmp"))


def test_no_slits_and_unreadable(tmp_path: Path) -> None:
    assert len(read_quality(write_quality([], tmp_path / "e.ecsv"))) == 0
    (tmp_path / "x.ecsv").write_text("nothing")
    with pytest.raises(InputError, match="quality table"):
        read_quality(tmp_path / "x.ecsv")
    with pytest.raises(InputError, match="cannot be written"):
        write_quality([], tmp_path / "no" / "such.ecsv")
