"""Windows of reference files by byte range, against astropy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.refs import load, windows

SHAPES = ((37,), (12, 17), (3, 12, 17), (2, 3, 12, 17))
DTYPES = ("u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


def numbers(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = rng.normal(size=shape).astype(kind)
        values.flat[::5] = np.nan
        return values
    info = np.iinfo(kind)
    values = rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True)
    values.flat[:2] = info.min, info.max
    return values


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for dtype in DTYPES:
        for shape in SHAPES:
            hdus.append(fits.ImageHDU(numbers(dtype, shape), name=f"{dtype}_{len(shape)}"))
    again = fits.ImageHDU(numbers("f4", (4, 5)), name="f4_2")
    again.ver = 2
    hdus.append(again)
    name = str(tmp_path_factory.mktemp("windows") / "reference.fits")
    hdus.writeto(name)
    return name


def astropy_planes(path: str, extname: str, window: load.Window | None, extver: int = 1, section: bool = False) -> np.ndarray:
    with fits.open(path, memmap=False) as file:
        hdu = file[extname, extver]
        data = (hdu.section if section else hdu.data)[(Ellipsis, *window)] if window else hdu.data
        return np.array(data, dtype=data.dtype.newbyteorder("="), order="C")


def parts(n: int) -> st.SearchStrategy[slice]:
    return st.builds(
        lambda a, b, step: slice(min(a, b), max(a, b) + 1, step), st.integers(0, n - 1), st.integers(0, n), st.sampled_from((None, 1, 2, 5))
    )


@settings(deadline=None)
@given(st.data())
def test_any_window(path: str, data: st.DataObject) -> None:
    shape, dtype = data.draw(st.sampled_from(SHAPES)), data.draw(st.sampled_from(DTYPES))
    given_axes = data.draw(st.integers(0, len(shape)))
    window = tuple(data.draw(parts(n)) for n in shape[len(shape) - given_axes :]) or None
    name = f"{dtype}_{len(shape)}"
    got = windows.read_window(path, load.token(path), name, window)
    expected = astropy_planes(path, name, window)
    assert got is not None and got.dtype == expected.dtype and got.flags.c_contiguous and got.flags.writeable
    assert got.shape == expected.shape and got.tobytes() == expected.tobytes()


def test_versions_and_open_slices(path: str) -> None:
    assert load.planes(path, "f4_2", None, 2).shape == (4, 5)
    np.testing.assert_array_equal(
        load.planes(path, "f4_2", (slice(-2, None), slice(None))), astropy_planes(path, "f4_2", (slice(-2, None), slice(None)))
    )


@pytest.mark.parametrize("rows", [slice(0, 40), slice(3, 40, 3)])
def test_more_than_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: slice) -> None:
    monkeypatch.setattr(windows, "SLICE", 300)
    path, cube = str(tmp_path / "cube.fits"), np.arange(2 * 40 * 30, dtype="f4").reshape(2, 40, 30)
    for dtype in ("f4", "u4", "u2", "f8"):
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(cube.astype(dtype), name="SCI")]).writeto(path, overwrite=True)
        for columns in (slice(0, 30), slice(4, 25), slice(4, 25, 4)):
            got = windows.read_window(path, load.token(path), "SCI", (rows, columns))
            np.testing.assert_array_equal(got, cube[:, rows, columns].astype(dtype))


def test_what_bytes_do_not_tell(tmp_path: Path) -> None:
    path, cube = str(tmp_path / "odd.fits"), np.arange(600, dtype="i2").reshape(20, 30)
    scaled = fits.ImageHDU(cube.astype("f4") * 0.5 + 3, name="SCALED")
    scaled.scale("int16", bscale=0.5, bzero=3)
    blank = fits.ImageHDU(cube.copy(), name="BLANKED")
    blank.header["BLANK"] = 7
    signed = fits.ImageHDU((cube % 100).astype("i1"), name="SIGNED")
    fits.HDUList([fits.PrimaryHDU(), scaled, blank, signed, fits.CompImageHDU(cube, name="COMPRESSED")]).writeto(path)
    window = (slice(2, 9), slice(0, 30, 2))
    for name in ("SCALED", "BLANKED", "SIGNED", "COMPRESSED"):
        assert windows.read_window(path, load.token(path), name, window) is None
        for part in (None, window):
            got, expected = load.planes(path, name, part), astropy_planes(path, name, part, section=True)
            assert got.dtype == expected.dtype and got.tobytes() == expected.tobytes()
    assert np.isnan(load.planes(path, "BLANKED")).sum() == 1
    assert windows.read_window(path, load.token(path), "SCI", None) is None


def test_gzipped(tmp_path: Path) -> None:
    path, image = str(tmp_path / "image.fits.gz"), np.arange(600, dtype="f4").reshape(20, 30)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI")]).writeto(path)
    np.testing.assert_array_equal(load.planes(path, "SCI", (slice(0, 3), slice(0, 4))), image[:3, :4])


def test_not_kept(path: str) -> None:
    window = (slice(1, 3), slice(2, 4))
    load.CACHE.clear()
    once = load.planes(path, "f4_3", window, keep=False)
    assert load.planes(path, "f4_3", window, keep=False) is not once and load.CACHE.nbytes == 0
    kept = load.planes(path, "f4_3", window)
    assert load.planes(path, "f4_3", window, keep=False) is kept


def test_bands_of_rows_are_not_kept(path: str) -> None:
    from jwst_dask.data.exposure import Block
    from jwst_dask.steps.stage1.reference import flags, is_part, plane

    state = {"dark.path": np.array(path), "dark.window": np.array([2, 10, 1, 17])}
    load.CACHE.clear()
    band = Block({"sci": np.zeros((1, 1, 3, 16), np.float32)}, 0, y0=4)
    whole = Block({"sci": np.zeros((1, 1, 8, 16), np.float32)}, 0)
    assert is_part(state, "dark", band) and not is_part(state, "dark", whole) and not is_part(state, "dark")
    part = plane(state, "dark", "F4_3", band), flags(state, "dark", band, "U4_2")
    assert load.CACHE.nbytes == 0
    full = plane(state, "dark", "F4_3", whole), flags(state, "dark", whole, "U4_2")
    assert load.CACHE.nbytes > 0
    for one, other in zip(part, full):
        np.testing.assert_array_equal(one, other[..., 4:7, :])
