"""Reading by byte range equals astropy, for any shape, type and range; damaged files are explained."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits as astrofits
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.core.errors import InputError
from jwst_dask.io.fits import read, read_block, scan

DTYPES = ["f4", "f8", "u1", "i2", "u2", "i4", "u4", "i8"]


def array(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = rng.normal(size=shape).astype(kind)
        values[rng.random(shape) < 0.1] = np.nan
        return values
    info = np.iinfo(kind)
    values = rng.integers(info.min, info.max, size=shape, dtype=kind, endpoint=True)
    values.flat[:2] = (info.min, info.max)[: values.size]
    return values


def exposure(path: Path, nints: int = 5, ny: int = 7, nx: int = 9) -> dict[str, np.ndarray]:
    arrays = {name: array((nints, ny, nx), "f4", i) for i, name in enumerate(("SCI", "ERR", "VAR_POISSON", "VAR_RNOISE"))}
    arrays["DQ"] = array((nints, ny, nx), "u4", 9)
    hdus = [astrofits.PrimaryHDU()] + [astrofits.ImageHDU(values, name=name) for name, values in arrays.items()]
    hdus.append(astrofits.BinTableHDU(np.zeros(nints, [("a", "i4"), ("b", "f8")]), name="INT_TIMES"))
    astrofits.HDUList(hdus).writeto(path)
    return arrays


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(DTYPES), lead=st.integers(0, 2), ver=st.integers(1, 3))
def test_any_range_equals_astropy(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype: str, lead: int, ver: int) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=2 + lead, max_size=2 + lead), label="shape"))
    values = array(shape, dtype, 0)
    path = tmp_path_factory.mktemp("any") / "a.fits"
    astrofits.HDUList([astrofits.PrimaryHDU(), astrofits.ImageHDU(values, name="SCI", ver=ver)]).writeto(path)
    start, stop = data.draw(st.tuples(st.none() | st.integers(0, 7), st.none() | st.integers(0, 7)), label="range")
    ny, nx = shape[-2:]
    y = sorted(data.draw(st.tuples(st.integers(0, ny), st.integers(0, ny))))
    x = sorted(data.draw(st.tuples(st.integers(0, nx), st.integers(0, nx))))
    window = data.draw(st.sampled_from([None, (*y, *x)]), label="window")
    expected = astrofits.getdata(path, extname="SCI", extver=ver)
    expected = expected[start:stop] if lead else expected
    expected = expected[..., y[0] : y[1], x[0] : x[1]] if window else expected
    got = read(scan(path), "SCI", ver, start, stop, window)
    assert got.dtype == np.dtype(dtype) and got.dtype.isnative and got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)


def test_scaled_integers(tmp_path: Path) -> None:
    hdu = astrofits.ImageHDU(np.arange(24, dtype="i2").reshape(2, 3, 4), name="SCI")
    hdu.scale("int16", bscale=0.5, bzero=10)
    hdu.writeto(tmp_path / "a.fits")
    np.testing.assert_allclose(read(scan(tmp_path / "a.fits"), "SCI"), astrofits.getdata(tmp_path / "a.fits", 1))


FORMS = ["a.fits", "a.fits.gz", "compressed.fits", "compressed.fits.gz", "memory://dir/a.fits", "memory://dir/a.fits.gz"]


@pytest.mark.parametrize("form", FORMS)
def test_block_of_every_form(tmp_path: Path, form: str) -> None:
    import fsspec

    arrays = exposure(tmp_path / "plain.fits")
    raw = (tmp_path / "plain.fits").read_bytes()
    if form.startswith("compressed"):
        hdus = [astrofits.PrimaryHDU()]
        for name, values in arrays.items():
            hdus.append(astrofits.CompImageHDU(values, name=name, compression_type="GZIP_1", quantize_level=0))
        astrofits.HDUList(hdus).writeto(tmp_path / "packed.fits")
        raw = (tmp_path / "packed.fits").read_bytes()
    path = form if "://" in form else str(tmp_path / form)
    with fsspec.open(path, "wb") as out:
        out.write(gzip.compress(raw) if form.endswith(".gz") else raw)
    file = pickle.loads(pickle.dumps(scan(path)))
    block = read_block(file, 1, 4, halo=2, window=(1, 6, 2, 9))
    assert (block.start, block.halo, block.nints, set(block.arrays)) == (1, (1, 1), 3, {"sci", "err", "dq", "var_poisson", "var_rnoise"})
    for name, values in arrays.items():
        np.testing.assert_array_equal(block.arrays[name.lower()], values[:, 1:6, 2:9])
        assert block.arrays[name.lower()].dtype == ("u4" if name == "DQ" else "f4")


def test_image_without_integrations_is_one_block(tmp_path: Path) -> None:
    values = array((4, 5), "f4", 1)
    astrofits.HDUList([astrofits.PrimaryHDU(), astrofits.ImageHDU(values, name="SCI")]).writeto(tmp_path / "a.fits")
    block = read_block(scan(tmp_path / "a.fits"))
    np.testing.assert_array_equal(block.arrays["sci"], values[None])


def test_header_is_that_of_the_file(tmp_path: Path) -> None:
    exposure(tmp_path / "a.fits")
    header = scan(tmp_path / "a.fits").header("DQ")
    assert header.tostring() == astrofits.getheader(tmp_path / "a.fits", "DQ").tostring()


@pytest.mark.parametrize("zipped", [False, True])
def test_truncated_file_names_extension_and_sizes(tmp_path: Path, zipped: bool) -> None:
    exposure(tmp_path / "a.fits")
    raw = (tmp_path / "a.fits").read_bytes()
    err = scan(tmp_path / "a.fits").hdu("ERR")
    path = tmp_path / ("cut.fits.gz" if zipped else "cut.fits")
    cut = raw[: err.data_offset + 100]
    path.write_bytes(gzip.compress(cut) if zipped else cut)
    with pytest.raises(InputError, match=rf"{path.name}: truncated in extension ERR,1: {err.nbytes} bytes of data expected, 100 present"):
        scan(path)
    path.write_bytes((gzip.compress(cut) if zipped else cut)[: -100 if zipped else err.header_offset + 50])
    with pytest.raises(InputError, match="truncated"):
        scan(path)


def test_other_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent.fits: no such file"):
        scan(tmp_path / "absent.fits")
    (tmp_path / "text.fits").write_text("hello" * 1000)
    with pytest.raises(InputError, match=r"text.fits: not a FITS file"):
        scan(tmp_path / "text.fits")
    (tmp_path / "empty.fits").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty.fits: (not a FITS|truncated)"):
        scan(tmp_path / "empty.fits")
    exposure(tmp_path / "a.fits")
    file = scan(tmp_path / "a.fits")
    with pytest.raises(InputError, match=r"a.fits: there is no extension VAR_FLAT; the file has PRIMARY, SCI, ERR"):
        read(file, "VAR_FLAT")
    with pytest.raises(InputError, match=r"outside extension SCI of 7 x 9 pixels"):
        read(file, "SCI", window=(0, 8, 0, 9))
    with (tmp_path / "a.fits").open("r+b") as out:
        out.truncate(20000)
    with pytest.raises(InputError, match=r"a.fits: the file was changed since it was opened"):
        read(file, "SCI")
