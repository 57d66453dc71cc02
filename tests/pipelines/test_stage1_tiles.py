"""Tiles of ramps, read from exposures and written to products."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from ramp_blocks import FOLDER, cut, ramp, same, tile_of

from jwst_dask.core.errors import InputError
from jwst_dask.io.fits import scan
from jwst_dask.io.layout import Region, write_tile
from jwst_dask.io.ramps import read_ramp


@FOLDER
@given(data=st.data(), dtype=st.sampled_from([">f4", ">i4", ">u1", ">i2"]), groups=st.booleans())
def test_tiles_make_an_image(tmp_path: Path, data: st.DataObject, dtype: str, groups: bool) -> None:
    unsigned, n, ng, ny, nx = dtype == ">i4", 3, 2, 6, 4
    shape = (ng, ny, nx) if groups else (ny, nx)
    native = np.uint32 if unsigned else np.dtype(dtype).newbyteorder("=")
    whole = np.random.default_rng(1).integers(0, 200, (n, *shape)).astype(native)
    path, size = tmp_path / "x.part", np.dtype(dtype).itemsize
    path.write_bytes(bytes(100 + whole.size * size + 10))
    region = Region(100, int(np.prod(shape)) * size, n, dtype, unsigned, shape, name="SCI")
    for i0, i1 in data.draw(cut(n)):
        for y0, y1 in data.draw(cut(ny)):
            for g0, g1 in data.draw(cut(ng)) if groups else [(0, 1)]:
                part = whole[i0:i1, g0:g1, y0:y1] if groups else whole[i0:i1, y0:y1]
                write_tile(path, region, i0, y0, part, g0)
    raw = path.read_bytes()
    assert raw[:100] == bytes(100) and raw[-10:] == bytes(10)
    stored = np.frombuffer(raw[100:-10], dtype).reshape(whole.shape)
    np.testing.assert_array_equal((stored.astype(np.int64) + 2**31 if unsigned else stored).astype(native), whole)


def test_a_tile_of_one_image_and_tiles_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    path.write_bytes(bytes(4 * 30))
    image = Region(0, 120, 1, ">f4", False, (6, 5), name="RATE")
    for y0 in (4, 0, 2):
        write_tile(path, image, 7, y0, np.full((2, 5), y0, np.float32))
    np.testing.assert_array_equal(np.frombuffer(path.read_bytes(), ">f4").reshape(6, 5)[:, 0], [0, 0, 2, 2, 4, 4])
    cube = Region(0, 40, 3, ">f4", False, (2, 5), name="SCI")
    for first, y0, shape in ((3, 0, (1, 2, 5)), (0, 1, (1, 2, 5)), (0, 0, (1, 2, 4)), (2, 0, (2, 2, 5))):
        with pytest.raises(InputError, match="SCI"):
            write_tile(path, cube, first, y0, np.zeros(shape, np.float32))
    path.unlink()
    with pytest.raises(InputError, match="gone"):
        write_tile(path, cube, 0, 0, np.zeros((1, 2, 5), np.float32))
    assert not path.exists()


# exposures


def exposure(path: Path, dtype: str, calibrated: bool, zeroframe: bool) -> dict[str, np.ndarray]:
    """A file of ramps by other means; what is in it as blocks have it."""
    whole = ramp(zeroframe=zeroframe, seed=3)
    whole["sci"] = np.random.default_rng(2).integers(0, 65536, whole["sci"].shape).astype(dtype)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(whole["sci"], name="SCI")]
    if calibrated:
        hdus += [fits.ImageHDU(whole["pixeldq"], name="PIXELDQ"), fits.ImageHDU(whole["groupdq"], name="GROUPDQ")]
    else:
        whole["pixeldq"][:], whole["groupdq"][:] = 0, 0
    if zeroframe:
        kept = whole["zeroframe"].astype(dtype) if dtype == "f4" else np.abs(whole["zeroframe"] * 100).astype(dtype)
        hdus.append(fits.ImageHDU(kept, name="ZEROFRAME"))
        whole["zeroframe"] = kept.astype(np.float32)
    fits.HDUList(hdus).writeto(path.with_suffix(""), overwrite=True) if path.suffix == ".gz" else fits.HDUList(hdus).writeto(
        path, overwrite=True
    )
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    return whole | {"sci": whole["sci"].astype(np.float32)}


@pytest.mark.parametrize("name", ["x_uncal.fits", "x_uncal.fits.gz"])
@pytest.mark.parametrize("zeroframe", [False, True])
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("dtype", ["u2", "i2", "f4", "f8", "i4"])
def test_tiles_of_an_exposure(tmp_path: Path, dtype: str, calibrated: bool, zeroframe: bool, name: str) -> None:
    whole = exposure(tmp_path / name, dtype, calibrated, zeroframe)
    file = scan(tmp_path / name)
    same(read_ramp(file, 0, 4).arrays, whole)
    for i0, i1, y0, y1, groups in (
        (1, 3, 0, 7, None),
        (0, 4, 2, 6, None),
        (2, 3, 6, 7, None),
        (1, 2, 0, 7, (0, 2)),
        (3, 4, 1, 5, (1, 3)),
        (0, 1, 0, 1, (2, 3)),
    ):
        block = read_ramp(file, i0, i1, y0, y1, groups=groups)
        assert (block.start, block.y0, block.group0) == (i0, y0, (groups or (0,))[0])
        same(block.arrays, tile_of(whole, i0, i1, y0, y1, *(groups or (0, None))))


def test_an_exposure_that_shrinks(tmp_path: Path) -> None:
    import os

    exposure(tmp_path / "x_uncal.fits", "u2", False, False)
    file = scan(tmp_path / "x_uncal.fits")
    os.truncate(tmp_path / "x_uncal.fits", 9000)
    with pytest.raises(InputError, match="x_uncal"):
        read_ramp(file, 0, 4)
