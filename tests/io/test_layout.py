"""Region-written products equal what stdatamodels writes in one go, whatever the order of writing, and validate as the same class."""

from __future__ import annotations

import errno
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits as astrofits
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.core.errors import InputError
from jwst_dask.io import layout
from jwst_dask.io.fits import scan
from jwst_dask.io.layout import allocate, finish, plan_layout, temporary, write_rows
from jwst_dask.io.skeleton import skeleton, wcs_of

CUBES = {"data": "SCI", "err": "ERR", "dq": "DQ", "var_poisson": "VAR_POISSON", "var_rnoise": "VAR_RNOISE"}
ROWS = dict.fromkeys(CUBES.values(), 0)


def simple_wcs(crval: float = 10.0) -> Any:
    import gwcs
    from astropy import units as u
    from astropy.modeling import models
    from gwcs import coordinate_frames as cf

    detector = cf.Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix))
    world = cf.Frame2D(name="world", axes_order=(0, 1), unit=(u.deg, u.deg))
    table = models.Tabular1D(points=np.arange(5.0), lookup_table=np.array([0.0, 1.0, 4.0, 9.0, 16.0]), bounds_error=False)
    shift = models.Shift(crval)
    return gwcs.WCS([(detector, (shift & table) | (shift & shift)), (world, None)])


def cube(nints: int, seed: int = 0, wcs: bool = True) -> Any:
    """A SlitModel of a small time series."""
    from stdatamodels.jwst import datamodels

    rng = np.random.default_rng(seed)
    model = datamodels.SlitModel()
    for name in CUBES:
        values = rng.normal(size=(nints, 3, 4)).astype("f4")
        values[rng.random(values.shape) < 0.1] = np.nan
        setattr(model, name, rng.integers(0, 2**32, values.shape, "u4") if name == "dq" else values)
    model.wavelength = rng.random((3, 4), np.float32)
    times = np.zeros(nints, model.get_dtype("int_times"))
    times["integration_number"] = np.arange(nints) + 1
    times["int_mid_MJD_UTC"] = 60000 + np.arange(nints)
    model.int_times = times
    model.meta.instrument.name, model.meta.exposure.type, model.meta.filename = "NIRSPEC", "NRS_BRIGHTOBJ", "jw1_calints.fits"
    model.meta.wcsinfo.cdelt1 = 3.0555555555555554e-05
    model.xsize = 4
    if wcs:
        model.meta.wcs = simple_wcs()
    return model


def one_row(model: Any) -> Any:
    """The template of a model: the same with one integration of zeros."""
    small = model.copy()
    for name in CUBES:
        setattr(small, name, np.zeros_like(getattr(model, name)[:1]))
    return small


def same(ours: Path, reference: Path) -> None:
    """Same extensions, headers (but for dates) and data, and a hash by which stdatamodels knows its headers again."""
    from stdatamodels import fits_support

    with warnings.catch_warnings(), astrofits.open(ours) as a, astrofits.open(reference) as b:
        warnings.simplefilter("error")
        assert [(h.name, h.ver) for h in a] == [(h.name, h.ver) for h in b]
        for x, y in zip(a[:-1], b[:-1]):
            xs, ys = ([str(c) for c in h.header.cards if str(c).strip() and c.keyword != "DATE"] for h in (x, y))
            assert xs == ys
            if y.data is not None:
                for name in y.data.dtype.names or [None]:
                    np.testing.assert_array_equal(x.data if name is None else x.data[name], y.data if name is None else y.data[name])
        assert fits_support.from_fits_asdf(a)["_fits_hash"] == fits_support.fits_hash(a)


def validated(path: Path) -> Any:
    from stdatamodels.jwst import datamodels

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = datamodels.open(str(path), strict_validation=True)
        model.validate()
    return model


def rows_of(n: int) -> dict[str, int]:
    return dict.fromkeys(ROWS, n)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), nints=st.integers(1, 9))
def test_any_order_and_split_equals_one_write(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, nints: int) -> None:
    folder = tmp_path_factory.mktemp("any")
    model = cube(nints, seed=nints)
    model.save(str(folder / "jw1_calints.fits"))
    plan = pickle.loads(pickle.dumps(plan_layout(one_row(model), rows_of(nints))))
    path = temporary(folder / "ours.fits", "run1")
    allocate(path, plan, reserve=data.draw(st.booleans()))
    edges = sorted({0, nints, *data.draw(st.lists(st.integers(0, nints), max_size=4), label="edges")})
    pieces = [(a, b, name) for a, b in zip(edges, edges[1:]) for name in CUBES]
    for a, b, name in data.draw(st.permutations(pieces), label="order") + pieces[:2]:  # and some of them twice
        write_rows(path, plan.regions[CUBES[name], 1], a, getattr(model, name)[a:b])
    assert not (folder / "ours.fits").exists()
    finish(path, folder / "ours.fits", fsync=True)
    same(folder / "ours.fits", folder / "jw1_calints.fits")
    assert os.listdir(folder).count("ours.fits") == 1 and not os.path.exists(path)


def test_wcs_and_metadata_survive(tmp_path: Path) -> None:
    model = cube(3)
    _written(tmp_path / "a.fits", model)
    got = validated(tmp_path / "a.fits")
    assert type(got) is type(model) and got.shape == (3, 3, 4) and got.meta.wcsinfo.cdelt1 == 3.0555555555555554e-05
    x, y = np.meshgrid(np.arange(3.0), np.arange(3.0))
    np.testing.assert_array_equal(got.meta.wcs(x, y), model.meta.wcs(x, y))
    np.testing.assert_array_equal(wcs_of(scan(tmp_path / "a.fits"))(x, y), model.meta.wcs(x, y))


def _written(final: Path, model: Any, **options: Any) -> None:
    plan = plan_layout(one_row(model), rows_of(len(model.data)))
    path = temporary(final, "r")
    allocate(path, plan)
    for name, hdu in CUBES.items():
        write_rows(path, plan.regions[hdu, 1], 0, getattr(model, name))
    finish(path, final, **options)


def test_another_wcs_is_not_taken_from_memory(tmp_path: Path) -> None:
    model = cube(2)
    _written(tmp_path / "a.fits", model)
    model.meta.wcs = simple_wcs(20.0)
    _written(tmp_path / "b.fits", model)
    model.meta.wcs.bounding_box = ((0, 2), (0, 3))
    _written(tmp_path / "c.fits", model)
    values = [validated(tmp_path / f"{name}.fits").meta.wcs for name in "abc"]
    assert values[0](1.0, 1.0)[0] == 21.0 and values[1](1.0, 1.0)[0] == 41.0
    assert values[1].bounding_box is None and values[2].bounding_box is not None


def test_checksums_are_right_and_header_hash_holds(tmp_path: Path) -> None:
    model = cube(5)
    _written(tmp_path / "a.fits", model, checksum=True)
    from stdatamodels import fits_support

    with warnings.catch_warnings(), astrofits.open(tmp_path / "a.fits", checksum=True) as hdus:
        warnings.simplefilter("error")
        for hdu in hdus:
            assert hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1
        assert fits_support.from_fits_asdf(hdus)["_fits_hash"] == fits_support.fits_hash(hdus)
        np.testing.assert_array_equal(hdus["DQ"].data, model.dq)
    validated(tmp_path / "a.fits")


@settings(max_examples=50, deadline=None)
@given(total=st.integers(0, 2**32 - 1))
def test_checksum_characters_equal_astropy(total: int) -> None:
    from jwst_dask.io.checksums import encoded

    assert encoded(total) == astrofits.ImageHDU()._char_encode(~np.uint32(total))


def test_late_keywords(tmp_path: Path) -> None:
    model = cube(2)
    _written(tmp_path / "a.fits", model, cards={("PRIMARY", 1): {"EXP_TYPE": "NRS_FIXEDSLIT", "NEWKEY": 3}}, checksum=True)
    header = astrofits.getheader(tmp_path / "a.fits")
    assert header["EXP_TYPE"] == "NRS_FIXEDSLIT" and header["NEWKEY"] == 3
    assert validated(tmp_path / "a.fits").meta.exposure.type == "NRS_FIXEDSLIT"
    with astrofits.open(tmp_path / "a.fits", checksum=True) as hdus:
        assert all(hdu.verify_checksum() == 1 for hdu in hdus)


SINGLE = ("INT_NUM", "N_ALONGDISP", "SEGMENT", "MJD-BEG", "MJD-AVG", "MJD-END", "TDB-BEG", "TDB-MID", "TDB-END")


def spectra(nints: int, tables: int = 1) -> tuple[Any, list[np.ndarray]]:
    """A TSOMultiSpecModel with random rows, and the rows."""
    from stdatamodels.jwst import datamodels

    rng = np.random.default_rng(3)
    model, rows = datamodels.TSOMultiSpecModel(), []
    for number in range(tables):
        spec = datamodels.TSOSpecModel()
        declared = spec.get_dtype("spec_table")
        dtype = np.dtype([(name, declared[name].base, () if name in SINGLE else (7,)) for name in declared.names])
        table = np.zeros(nints, dtype)
        for name in dtype.names:
            kind = dtype[name].base.kind
            shape = table[name].shape
            table[name] = rng.integers(0, 2**32 if kind == "u" else 2**31, shape) if kind in "iu" else rng.normal(size=shape)
        spec.spec_table = table
        rows.append(table.copy())
        spec.name = f"S{number}"
        spec.meta.wcs = simple_wcs(float(number))
        model.spec.append(spec)
    model.meta.filename = "jw1_x1dints.fits"
    return model, rows


@pytest.mark.parametrize("tables", [1, 2])
def test_tables_with_unsigned_columns(tmp_path: Path, tables: int) -> None:
    model, full = spectra(6, tables)
    model.save(str(tmp_path / "jw1_x1dints.fits"))
    small = model.copy()
    for spec in small.spec:
        spec.spec_table = np.array(spec.spec_table)[:1]
    plan = plan_layout(small, {("EXTRACT1D", i + 1): 6 for i in range(tables)})
    path = temporary(tmp_path / "ours.fits", "r")
    allocate(path, plan)
    for i, rows in enumerate(full):
        for a in (4, 0, 2):
            write_rows(path, plan.regions["EXTRACT1D", i + 1], a, rows[a : a + 2])
    finish(path, tmp_path / "ours.fits")
    same(tmp_path / "ours.fits", tmp_path / "jw1_x1dints.fits")
    got = validated(tmp_path / "ours.fits")
    assert [s.meta.wcs(0.0, 0.0)[0] for s in got.spec] == [0.0, 2.0][:tables]


def test_two_dimensional_product(tmp_path: Path) -> None:
    from stdatamodels.jwst import datamodels

    model = datamodels.SlitModel(data=np.arange(12, dtype="f4").reshape(3, 4))
    model.dq = np.full((3, 4), 2**31 + 1, "u4")
    model.meta.filename = "jw1_cal.fits"
    model.save(str(tmp_path / "jw1_cal.fits"))
    small = model.copy()
    small.data, small.dq = np.zeros((3, 4), "f4"), np.zeros((3, 4), "u4")
    plan = plan_layout(small, {"SCI": 1, "DQ": 1})
    path = temporary(tmp_path / "ours.fits", "r")
    allocate(path, plan)
    write_rows(path, plan.regions["SCI", 1], 0, model.data[None])
    write_rows(path, plan.regions["DQ", 1], 0, model.dq)
    finish(path, tmp_path / "ours.fits")
    same(tmp_path / "ours.fits", tmp_path / "jw1_cal.fits")
    validated(tmp_path / "ours.fits")


def test_processes_write_one_file(tmp_path: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    model = cube(40, wcs=False)
    plan = plan_layout(one_row(model), rows_of(40))
    path = temporary(tmp_path / "a.fits", "r")
    allocate(path, plan)
    jobs = [(path, plan.regions[hdu, 1], a, getattr(model, name)[a : a + 5]) for a in range(0, 40, 5) for name, hdu in CUBES.items()]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(write_rows, *zip(*jobs)))
    finish(path, tmp_path / "a.fits")
    got = validated(tmp_path / "a.fits")
    for name in CUBES:
        np.testing.assert_array_equal(getattr(got, name), getattr(model, name))


def test_wrong_rows_and_lost_file_are_explained(tmp_path: Path) -> None:
    model = cube(3, wcs=False)
    plan = plan_layout(one_row(model), rows_of(3))
    path, region = temporary(tmp_path / "a.fits", "r"), plan.regions["SCI", 1]
    with pytest.raises(InputError, match="unfinished product is gone"):
        write_rows(path, region, 0, model.data)
    assert not os.listdir(tmp_path)
    allocate(path, plan)
    for first, array in ((2, model.data), (-1, model.data[:1]), (0, model.data[:, :2])):
        with pytest.raises(InputError, match=r"do not fit extension SCI of 3 rows of shape \(3, 4\)"):
            write_rows(path, region, first, array)
    with pytest.raises(InputError, match="cannot be created"):
        allocate(tmp_path / "absent" / "x", plan)


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_layout(one_row(cube(3, wcs=False)), rows_of(3))
    path = temporary(tmp_path / "a.fits", "r")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"a\.fits.*: no space left on the disk \(\d+ bytes wanted\)"):
        allocate(path, plan, reserve=True)
    assert not os.listdir(tmp_path)
    allocate(path, plan)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(InputError, match="no space left on the disk"):
        write_rows(path, plan.regions["SCI", 1], 0, np.zeros((3, 3, 4), "f4"))
    assert os.listdir(tmp_path) == [os.path.basename(path)]


@pytest.mark.parametrize("form", [".fits", ".fits.gz"])
def test_skeleton_has_everything_but_pixels(tmp_path: Path, form: str) -> None:
    model = cube(4)
    model.meta.filename = f"jw1_calints{form}"
    model.save(str(tmp_path / "jw1_calints.fits"))
    path = tmp_path / f"jw1_calints{form}"
    if form.endswith("gz"):
        import gzip

        path.write_bytes(gzip.compress((tmp_path / "jw1_calints.fits").read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small = skeleton(path)
    assert type(small) is type(model) and small.shape == (1, 3, 4) and not small.data.any() and not small.dq.any()
    np.testing.assert_array_equal(small.wavelength, model.wavelength)
    np.testing.assert_array_equal(np.asarray(small.int_times["int_mid_MJD_UTC"]), np.asarray(model.int_times["int_mid_MJD_UTC"]))
    ours, reference = (m.to_flat_dict(include_arrays=False) for m in (small, validated(tmp_path / "jw1_calints.fits")))
    assert {k: v for k, v in ours.items() if k.startswith("meta.") and k not in ("meta.wcs", "meta.filename")} == {
        k: v for k, v in reference.items() if k.startswith("meta.") and k not in ("meta.wcs", "meta.filename")
    }
    np.testing.assert_array_equal(small.meta.wcs(1.0, 2.0), model.meta.wcs(1.0, 2.0))
    assert skeleton(path).meta.wcs is small.meta.wcs  # shared by equal exposures


def test_skeleton_trusts_headers_that_were_edited(tmp_path: Path) -> None:
    cube(2).save(str(tmp_path / "a_calints.fits"))
    astrofits.setval(tmp_path / "a_calints.fits", "EXP_TYPE", value="NRS_FIXEDSLIT")
    assert skeleton(tmp_path / "a_calints.fits").meta.exposure.type == "NRS_FIXEDSLIT"


def test_layout_of_skeleton_is_stable(tmp_path: Path) -> None:
    cube(4).save(str(tmp_path / "jw1_calints.fits"))
    first, second = (plan_layout(skeleton(tmp_path / "jw1_calints.fits"), rows_of(4)) for _ in range(2))
    assert first.size == second.size and first.regions == second.regions
    assert layout.SPARE * 80 < 2880
