"""Lazy datasets equal what is in the files; opening reads no pixel and computes nothing."""

from __future__ import annotations

import gzip
import pickle
import time
from pathlib import Path

import dask
import fsspec
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits as astrofits
from hypothesis import given, settings
from hypothesis import strategies as st

import jwst_dask
from jwst_dask.backend import JwstBackendEntrypoint
from jwst_dask.core.errors import InputError
from jwst_dask.data import association, schema
from jwst_dask.data.dq import bits
from jwst_dask.data.meta import Meta
from jwst_dask.io.fits import scan

from .files import rateints, series


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("series")
    series(path)
    return path


def expected(folder: Path, name: str) -> np.ndarray:
    return np.concatenate([astrofits.getdata(p, name) for p in sorted(folder.glob("*seg*rateints.fits"))])


def test_series_is_one_dataset(folder: Path, no_compute: None) -> None:
    dataset = jwst_dask.open(str(folder / "*seg*_rateints.fits"), chunks={"integration": 3})
    assert dict(dataset.sizes) == {"integration": 12, "y": 3, "x": 5}
    np.testing.assert_array_equal(dataset["integration"], np.arange(1, 13))
    np.testing.assert_allclose(dataset["mjd_utc_mid"], 60000 + (np.arange(1, 13) + 0.1) / 86400, rtol=0, atol=1e-9)
    assert dataset["bjd_tdb_end"].attrs["units"] == "d" and dataset["dq"].dtype == np.uint32
    assert dataset["sci"].chunks == ((3, 1, 3, 1, 3, 1), (3,), (5,)) and dataset["sci"].attrs["units"] == "DN/s"
    assert dataset.attrs["EXP_TYPE"] == "NRS_BRIGHTOBJ" and dataset.attrs["TSOVISIT"] == 1
    assert schema.check(dataset) == [] and dataset.encoding["kind"] == "rateints" and len(dataset.encoding["sources"]) == 3
    assert all(isinstance(value, (str, int, float)) for value in dataset.attrs.values())


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_selection_equals_numpy(folder: Path, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 13), label="chunk")
    dataset = jwst_dask.open(sorted(folder.glob("*seg*_rateints.fits")), chunks=size)
    name, hdu = data.draw(st.sampled_from([("sci", "SCI"), ("dq", "DQ"), ("var_rnoise", "VAR_RNOISE")]))

    def index(length: int) -> st.SearchStrategy[slice | int]:
        end = st.none() | st.integers(-length, length + 1)  # dask reverses x[-length - 1 :: -1], which numpy finds empty
        return st.builds(slice, end, end, st.sampled_from([None, 1, 2, 3, -1, -2])) | st.integers(-length, length - 1)

    key = data.draw(st.tuples(index(12), index(3), index(5)), label="key")
    with dask.config.set(scheduler="sync"):
        got = dataset[name][key].values
    np.testing.assert_array_equal(got, expected(folder, hdu)[key])


def test_without_dask_and_fancy_indices(folder: Path) -> None:
    path = folder / "jw01366002001_04101_00001-seg002_nrs1_rateints.fits"
    dataset = xr.open_dataset(path, engine=JwstBackendEntrypoint)
    values = astrofits.getdata(path, "SCI")
    np.testing.assert_array_equal(dataset["sci"][[3, 0], :, [1, 4]].values, values[[3, 0]][:, :, [1, 4]])
    np.testing.assert_array_equal(dataset["sci"].sel(integration=6).values, values[1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset))["err"].values, astrofits.getdata(path, "ERR"))
    assert "sci" not in xr.open_dataset(path, engine=JwstBackendEntrypoint, drop_variables="sci")
    assert JwstBackendEntrypoint().guess_can_open(path) and not JwstBackendEntrypoint().guess_can_open("image.fits")


@pytest.mark.parametrize("form", ["gz", "url", "packed"])
def test_other_forms(folder: Path, tmp_path: Path, form: str) -> None:
    path = folder / "jw01366002001_04101_00001-seg001_nrs1_rateints.fits"
    name = str(tmp_path / "a_rateints.fits")
    if form == "gz":
        name += ".gz"
        Path(name).write_bytes(gzip.compress(path.read_bytes()))
    elif form == "url":
        name = "memory://open/a_rateints.fits"
        fsspec.filesystem("memory").pipe(name, path.read_bytes())
    else:
        with astrofits.open(path) as hdus:
            out = [h if h.data is None or not h.is_image else astrofits.CompImageHDU(h.data, h.header, name=h.name, quantize_level=0,
                                                                                     compression_type="GZIP_2") for h in hdus]  # fmt: skip
            astrofits.HDUList(out).writeto(name)
    dataset = jwst_dask.open(name, chunks=3)
    for variable, hdu in (("sci", "SCI"), ("dq", "DQ")):
        np.testing.assert_array_equal(dataset[variable].values, astrofits.getdata(path, hdu))


def test_sources_of_every_kind(folder: Path) -> None:
    files = sorted(folder.glob("*seg*_rateints.fits"))
    asn = association.from_list(files, product_name="jw1_a")
    association.write(asn, folder / "a_asn.json")
    for what in (files, [str(f) for f in reversed(files)], folder / "a_asn.json", asn, str(folder / "*seg*_rateints.fits")):
        assert jwst_dask.open(what).sizes["integration"] == 12
    for what in (folder / "absent.fits", str(folder / "none*.fits"), []):
        with pytest.raises(InputError):
            jwst_dask.open(what)


def test_names_of_tasks_are_deterministic(folder: Path) -> None:
    one, two, three = (jwst_dask.open(str(folder / "*seg*_rateints.fits"), chunks=n) for n in (3, 3, 4))
    assert dask.base.tokenize(one) == dask.base.tokenize(two) != dask.base.tokenize(three)
    assert set(one.__dask_graph__()) == set(two.__dask_graph__())
    assert len(set(one.__dask_graph__())) <= 2 * 6 * 5  # a read, and at most a rename, for each chunk of five variables


def test_segments_that_do_not_follow(folder: Path, tmp_path: Path) -> None:
    files = sorted(folder.glob("*seg*_rateints.fits"))
    other = tmp_path / "jw01366002001_04101_00001-seg004_nrs2_rateints.fits"
    rateints(other, 13, segment=4, detector="NRS2")
    with pytest.raises(InputError, match="2 exposures or detectors"):
        jwst_dask.open([*files, other])
    early = tmp_path / "jw01366002001_04101_00001-seg004_nrs1_rateints.fits"
    rateints(early, 13, segment=4)
    with astrofits.open(early, mode="update") as hdus:
        hdus["INT_TIMES"].data["int_mid_MJD_UTC"] -= 1
    with pytest.raises(InputError, match="mjd_utc_mid: does not increase"):
        jwst_dask.open([*files, early])


def test_many_segments_open_fast(tmp_path: Path, no_compute: None) -> None:
    first = series(tmp_path, 1)[0].read_bytes()
    for i in range(1, 100):
        path = tmp_path / f"jw01366002001_04101_00001-seg{i + 1:03d}_nrs1_rateints.fits"
        path.write_bytes(first)
        with open(path, "r+b") as out:
            head = out.read(2880 * 6)
            for key, value in (("EXSEGNUM", i + 1), ("INTSTART", 4 * i + 1), ("INTEND", 4 * i + 4)):
                at = head.index(f"{key:<8}= ".encode())
                out.seek(at + 10)
                out.write(f"{value:>20}".encode())
            hdu = scan(path).hdu("INT_TIMES")
            table = np.fromfile(path, ">i4,>f8,>f8,>f8,>f8,>f8,>f8", 4, offset=hdu.data_offset)
            table["f0"] += 4 * i
            for name in table.dtype.names[1:]:
                table[name] += 4 * i / 86400
            out.seek(hdu.data_offset)
            out.write(table.tobytes())
    start = time.perf_counter()
    dataset = jwst_dask.open(str(tmp_path / "*.fits"))
    assert time.perf_counter() - start < 6  # measured: 1.2 s
    assert dataset.sizes["integration"] == 400


def test_two_dimensional_and_multislit(tmp_path: Path) -> None:
    from stdatamodels.jwst import datamodels

    model = datamodels.ImageModel(data=np.ones((3, 4), "f4"))
    model.save(str(tmp_path / "a_rate.fits"))
    assert jwst_dask.open(tmp_path / "a_rate.fits")["sci"].dims == ("y", "x")
    slits = datamodels.MultiSlitModel()
    for i, name in enumerate(("S1", "S2")):
        slit = datamodels.SlitModel(data=np.full((2 + i, 3), i, "f4"))
        slit.name = name
        slits.slits.append(slit)
    slits.save(str(tmp_path / "b_cal.fits"))
    with pytest.raises(InputError, match="2 slits; open one with group='S1'"):
        jwst_dask.open(tmp_path / "b_cal.fits")
    tree = xr.open_datatree(tmp_path / "b_cal.fits", engine=JwstBackendEntrypoint)
    assert list(tree.children) == ["S1", "S2"] and not tree.data_vars and tree["S2/sci"].shape == (3, 3)
    np.testing.assert_array_equal(jwst_dask.open(tmp_path / "b_cal.fits", group="S2")["sci"], np.ones((3, 3)))
    with pytest.raises(InputError, match="there is no slit S9"):
        jwst_dask.open(tmp_path / "b_cal.fits", group="S9")


def test_accessor(folder: Path, no_compute: None) -> None:
    dataset = jwst_dask.open(str(folder / "*seg*_rateints.fits"))
    assert dataset.jwst.meta["exposure.type"] == dataset.jwst.meta.exposure.type == "NRS_BRIGHTOBJ"
    assert dataset.jwst.meta.visit.tsovisit is True and dataset.jwst.meta.nothing is None and dataset.jwst.meta.wcsinfo is None
    mask = dataset.jwst.dq.mask("DO_NOT_USE")
    assert mask.dims == ("integration", "y", "x") and mask.dtype == bool and mask.chunks is not None
    assert dataset.jwst.header["DATAMODL"] == "CubeModel" and dataset.jwst.wcs is None and dataset.jwst.check() == []
    with pytest.raises(KeyError, match="not a DQ flag"):
        dataset.jwst.dq.mask("NOTHING")
    with pytest.raises(AttributeError):
        dataset.jwst.meta.exposure = 1


def test_mask_values(folder: Path) -> None:
    dataset = jwst_dask.open(str(folder / "*seg*_rateints.fits"))
    np.testing.assert_array_equal(dataset.jwst.dq.mask("SATURATED+HOT").values, (expected(folder, "DQ") & bits("SATURATED+HOT")) != 0)


def test_attrs_survive_zarr(folder: Path, tmp_path: Path) -> None:
    dataset = jwst_dask.open(str(folder / "*seg*_rateints.fits"), chunks=4)
    dataset.to_zarr(tmp_path / "a.zarr")
    again = xr.open_zarr(tmp_path / "a.zarr")
    assert again.attrs == dataset.attrs and again.jwst.meta == dataset.jwst.meta
    np.testing.assert_array_equal(again["dq"].values, expected(folder, "DQ"))


def test_meta_of_model_and_of_attrs_agree(folder: Path) -> None:
    from jwst_dask.io.skeleton import skeleton

    path = folder / "jw01366002001_04101_00001-seg001_nrs1_rateints.fits"
    meta, dataset = Meta.from_model(skeleton(path)), jwst_dask.open(path)
    attrs = meta.attrs()
    assert {key: dataset.attrs[key] for key in attrs} == attrs
    both = [name for name in meta if name in dataset.jwst.meta]
    assert len(both) > 10 and [meta[name] for name in both] == [dataset.jwst.meta[name] for name in both]
    assert pickle.loads(pickle.dumps(meta)) == meta and hash(meta) == hash(Meta(dict(meta)))


def test_back_to_fits(folder: Path, tmp_path: Path) -> None:
    from stdatamodels.jwst import datamodels

    dataset = jwst_dask.open(str(folder / "*seg*_rateints.fits"), chunks=3)
    dataset = dataset.assign(sci=dataset["sci"] * 2)
    written = dataset.jwst.to_fits(tmp_path, checksum=True)
    assert [Path(p).name for p in written] == [p.name for p in sorted(folder.glob("*seg*_rateints.fits"))]
    np.testing.assert_array_equal(jwst_dask.open(written)["sci"].values, expected(folder, "SCI") * 2)
    np.testing.assert_array_equal(jwst_dask.open(written)["dq"].values, expected(folder, "DQ"))
    part = jwst_dask.open(written[1]).isel(integration=slice(1, 3))
    part.jwst.to_fits(tmp_path / "part_rateints.fits")
    with datamodels.open(str(tmp_path / "part_rateints.fits")) as model:
        assert model.shape == (2, 3, 5) and list(model.int_times["integration_number"]) == [6, 7]
        assert (model.meta.exposure.integration_start, model.meta.exposure.integration_end) == (6, 7)
    with pytest.raises(InputError, match="give a folder"):
        dataset.jwst.to_fits(tmp_path / "one.fits")
    with pytest.raises(InputError, match="pixels"):
        part.isel(x=slice(0, 2)).jwst.to_fits(tmp_path / "one.fits")
    assert not list(tmp_path.glob(".*"))


def test_issues_of_files_and_datasets(folder: Path, tmp_path: Path) -> None:
    path = folder / "jw01366002001_04101_00001-seg001_nrs1_rateints.fits"
    assert schema.check_file(scan(path)) == []
    with astrofits.open(path) as hdus:
        del hdus["DQ"]
        hdus["ERR"].data = hdus["ERR"].data[:2]
        del hdus[0].header["EXP_TYPE"]
        hdus.writeto(tmp_path / "a_rateints.fits")
    text = "; ".join(map(str, schema.check_file(scan(tmp_path / "a_rateints.fits"))))
    assert "extension DQ is missing" in text and "ERR has shape (2, 3, 5)" in text and "EXP_TYPE is missing" in text
    astrofits.PrimaryHDU().writeto(tmp_path / "b.fits")
    assert "neither an exposure" in str(schema.check_file(scan(tmp_path / "b.fits"))[0])
    dataset = jwst_dask.open(path)
    bad = dataset.drop_vars("dq").assign(err=dataset["err"].astype("f8"), var_rnoise=dataset["var_rnoise"].mean("x"))
    assert {(i.where, i.problem.split(",")[0].split(";")[0]) for i in schema.check(bad, "rateints")} == {
        ("dq", "missing"), ("err", "is float64"), ("var_rnoise", "has dimensions ['integration'")}  # fmt: skip
