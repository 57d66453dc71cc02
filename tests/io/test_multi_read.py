"""Products with many slits opened without opening each; nodes of a YAML document that stand alone."""

from __future__ import annotations

import io
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from astropy.io import fits

from jwst_dask.backend import JwstBackendEntrypoint
from jwst_dask.core.errors import InputError
from jwst_dask.io import asdf_text, multi
from jwst_dask.io.cards import values_of
from jwst_dask.io.fits import scan
from jwst_dask.io.multi_read import Link, cut_list, open_multi
from jwst_dask.io.shared_nodes import Nodes


def shared_wcs() -> list[Any]:
    """Two WCS objects that share frames, transforms and their inverses, as those of the slits of an exposure do."""
    from astropy import units as u
    from astropy.modeling.models import Identity, Mapping, Polynomial2D, Shift, Tabular1D
    from gwcs import WCS
    from gwcs import coordinate_frames as cf

    detector, world = cf.Frame2D(name="detector", axes_order=(0, 1)), cf.Frame2D(name="world", unit=(u.deg, u.deg))
    common = Shift(3.5, name="common") & Shift(0.25)
    turn = Mapping((1, 0))
    turn.inverse = turn  # a node that refers to itself
    common.inverse = Shift(-3.5) & Shift(-0.25)
    bend = Polynomial2D(1, c0_0=1.0, c1_0=2.0, c0_1=0.5)
    out = []
    for number in (1.0, 2.0):
        table = Tabular1D(points=np.arange(5.0), lookup_table=np.linspace(0, number, 5), bounds_error=False, fill_value=None)
        out.append(WCS([(detector, common | turn | Mapping((0, 1, 0, 1)) | bend & (Identity(1) & Shift(number) | Mapping((0,), n_inputs=2) | table)), (world, None)]))
        out[-1].bounding_box = ((-0.5, 8.5), (-0.5, 5.5))
    return out


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of three slits as `stdatamodels` writes it."""
    from stdatamodels.jwst import datamodels

    r, wcs = np.random.default_rng(1), shared_wcs()
    model = datamodels.MultiSlitModel()
    model.meta.instrument.name, model.meta.exposure.type = "NIRSPEC", "NRS_MSASPEC"
    model.meta.cal_step.extract_2d = "COMPLETE"
    for i in range(3):
        slit = datamodels.SlitModel(data=r.normal(size=(6, 9 + i)).astype("f4"), dq=r.integers(0, 5, (6, 9 + i)).astype("u4"))
        slit.wavelength = r.random((6, 9 + i)).astype("f4")
        slit.name, slit.source_id, slit.shutter_state, slit.stellarity, slit.quadrant = str(i + 5), 40 + i, "01x", 0.1 * i, 3
        slit.source_name, slit.xstart, slit.ystart = f"it's: {i} - [odd]", 10, 20
        slit.meta.wcsinfo.s_region = "POLYGON ICRS  1.0 2.0 3.0 4.0"
        slit.meta.wcs = wcs[i % 2]
        model.slits.append(slit)
    path = tmp_path_factory.mktemp("multi") / "jw00001001001_01101_00001_nrs1_cal.fits"
    model.save(path)
    return path


def test_slits_are_those_that_stdatamodels_opens(product: Path) -> None:
    from stdatamodels.jwst import datamodels

    content = open_multi(str(product))
    assert content.described and content.class_name == "MultiSlitModel"
    with datamodels.open(product) as model:
        top = content.model()
        assert top.meta.exposure.type == "NRS_MSASPEC" and top.meta.cal_step.extract_2d == "COMPLETE" and len(top.slits) == 0
        assert [entry.name for entry in content.entries] == [slit.name for slit in model.slits]
        for entry, slit in zip(content.entries, model.slits):
            for name in ("source_id", "shutter_state", "stellarity", "quadrant", "source_name", "xstart"):
                assert entry.tree[name] == getattr(slit, name)
            assert entry.tree["meta"]["wcsinfo"]["s_region"] == slit.meta.wcsinfo.s_region
            assert set(entry.links) == {"data", "dq", "wavelength", *(name for name in ("err", "var_poisson", "var_rnoise") if name in entry.tree)}
            for name in ("data", "dq", "wavelength"):
                np.testing.assert_array_equal(entry.array(name), getattr(slit, name))
            assert entry.wcs is not None
            x, y = np.meshgrid(np.arange(7.0), np.arange(5.0))
            ours, theirs = asdf_text.load(entry.wcs), slit.meta.wcs
            np.testing.assert_array_equal(ours(x, y), theirs(x, y))
            assert ours.available_frames == theirs.available_frames and repr(ours.bounding_box) == repr(theirs.bounding_box)


def test_the_wcs_of_a_slit_of_a_tree(product: Path) -> None:
    from stdatamodels.jwst import datamodels

    opened = xr.open_datatree(product, engine=JwstBackendEntrypoint)
    with datamodels.open(product) as model:
        for slit in model.slits:
            np.testing.assert_array_equal(opened[slit.name].to_dataset().jwst.wcs(2.0, 3.0), slit.meta.wcs(2.0, 3.0))


def test_the_file_has_shared_nodes_and_a_slit_has_none(product: Path) -> None:
    content = open_multi(str(product))
    assert any("*id" in part for part in content.parts[1:])
    for entry in content.entries:
        text = entry.wcs.text if entry.wcs is not None else ""
        known = set(asdf_text._ANCHOR.findall(text))
        assert set(asdf_text._ALIAS.findall(text)) <= known


def test_a_wcs_written_again_is_the_same(product: Path, tmp_path: Path) -> None:
    """What goes into another product can be read by others: names of nodes occur once."""
    from stdatamodels.jwst import datamodels

    content = open_multi(str(product))
    parts = []
    for entry in content.entries:
        arrays = {name: entry.array(name) for name in entry.links}
        parts.append(multi.make_part("MultiSlitModel", multi.item_from("MultiSlitModel", entry.tree, arrays), entry.wcs))
    again = tmp_path / "again_cal.fits"
    multi.assemble(again, content.model(), parts)
    x, y = np.meshgrid(np.arange(7.0), np.arange(5.0))
    with datamodels.open(product) as before, datamodels.open(again) as after:
        after.validate()
        for a, b in zip(before.slits, after.slits):
            np.testing.assert_array_equal(a.meta.wcs(x, y), b.meta.wcs(x, y))
            assert a.source_name == b.source_name


def test_a_product_of_slits_from_several_places(product: Path, tmp_path: Path) -> None:
    """Slits of products of this package, taken in another order and with others beside them, do not share names of nodes."""
    from stdatamodels.jwst import datamodels

    x, y = np.meshgrid(np.arange(7.0), np.arange(5.0))
    path = product
    for order in ((0, 1, 2), (2, 0, 0, 1)):
        content, parts = open_multi(str(path)), []
        for entry in [content.entries[i] for i in order]:
            arrays = {name: entry.array(name) for name in entry.links}
            parts.append(multi.make_part("MultiSlitModel", multi.item_from("MultiSlitModel", entry.tree, arrays), entry.wcs))
        path = tmp_path / f"of{len(order)}_cal.fits"
        multi.assemble(path, content.model(), parts)
    with datamodels.open(product) as before, datamodels.open(path) as after:
        for i, slit in zip((2, 0, 0, 1), after.slits):
            np.testing.assert_array_equal(slit.meta.wcs(x, y), before.slits[i].meta.wcs(x, y))


def test_headers_that_were_edited_count(product: Path, tmp_path: Path) -> None:
    path = tmp_path / "edited_cal.fits"
    path.write_bytes(product.read_bytes())
    with fits.open(path, mode="update") as file:
        file["SCI", 2].header["SRCTYPE"] = "EXTENDED"
        file["SCI", 2].header["STLARITY"] = 0.75
        file[0].header["EXP_TYPE"] = "NRS_FIXEDSLIT"
    content = open_multi(str(path))
    assert not content.described and content.model().meta.exposure.type == "NRS_FIXEDSLIT"
    assert [entry.tree.get("source_type") for entry in content.entries] == [None, "EXTENDED", None]
    assert content.entries[1].tree["stellarity"] == 0.75 and isinstance(content.entries[1].tree["data"], Link)


def test_a_file_without_an_asdf_extension(product: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain_cal.fits"
    with fits.open(product) as file:
        fits.HDUList([hdu for hdu in file if hdu.name != "ASDF"]).writeto(path)
    content = open_multi(str(path))
    assert [entry.name for entry in content.entries] == ["5", "6", "7"] and content.entries[0].wcs is None
    assert content.entries[2].tree["source_id"] == 42 and content.model().meta.exposure.type == "NRS_MSASPEC"


def test_what_cannot_be_opened_says_why(product: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no slit 99; the file has 5, 6, 7"):
        open_multi(str(product)).find("99")
    with pytest.raises(InputError, match="has no list of slits"):
        cut_list("meta: {}\n", "slits", "x.fits")
    other = tmp_path / "image.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2), "f4"), name="SCI")]).writeto(other)
    with pytest.raises(InputError, match="has no list of slits"):
        open_multi(str(other))


TEXT = """\
- a: &id001 !thing
    deep: &id002 [1, 2]
    value: &id003 7
    self: *id001
  list: &id004
  - x
  - y
- b: *id001
  c:
  - *id002
  - *id001
  d: [*id003, 3]
  e: *id004
- f:
  - *id004
  - g: *id002
"""


def test_nodes_that_stand_alone_are_what_they_were() -> None:
    class Loader(yaml.SafeLoader):
        pass

    def thing(loader: Any, suffix: str, node: Any) -> Any:
        made: dict[str, Any] = {}
        yield made
        made.update(loader.construct_mapping(node))

    Loader.add_multi_constructor("!", thing)
    whole = yaml.load(TEXT, Loader)
    parts = ["- " + part for part in TEXT[2:].split("\n- ")]
    parts = [part if part.endswith("\n") else part + "\n" for part in parts]
    nodes = Nodes(parts)
    for part, expected in zip(parts, whole):
        alone = nodes.alone(part)
        found = yaml.load(alone, Loader)[0]
        if "b" in expected:
            assert found["b"]["self"] is found["b"] and found["b"]["deep"] == [1, 2] == found["c"][0] and found["c"][1] is found["b"]
            assert found["d"] == [7, 3] and found["e"] == ["x", "y"]
        elif "f" in expected:
            assert found == {"f": [["x", "y"], {"g": [1, 2]}]}
        else:
            assert alone == part
    with pytest.raises(InputError, match="id999"):
        nodes.alone("- z: *id999\n")


CARDS = {
    "TEXT": "it's here", "EMPTY": "", "LONG": "x" * 150 + " / y " + "z" * 60, "YES": True, "NO": False, "COUNT": -12, "FLOAT": 1.5e-12, "BIG": 123456789012345,
    "SLASH": "a / b", "SPACES": "  two",
}  # fmt: skip


def test_keywords_are_those_that_astropy_reads() -> None:
    header = fits.Header()
    for key, value in CARDS.items():
        header[key] = (value, "what / it is")
    header["NOTHING"] = None
    header["COMMENT"] = "TEXT    = 'not this'"
    header["DEXP"] = 1.0
    raw = header.tostring().encode()
    found = values_of(raw.replace(b"DEXP    =                  1.0", b"DEXP    =              2.5D+03"))
    assert found == {**CARDS, "DEXP": 2500.0}
    assert all(type(found[key]) is type(value) for key, value in CARDS.items())


def test_six_hundred_slits_open_in_no_time(product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = open_multi(str(product))
    entry, parts = content.entries[0], []
    arrays = {name: entry.array(name) for name in entry.links}
    plane = np.zeros((6, 9), np.float32)
    arrays |= dict.fromkeys(("var_poisson", "var_rnoise", "var_flat", "err", "barshadow", "pathloss_point", "pathloss_uniform"), plane)
    for number in range(600):
        tree = {**entry.tree, "name": str(number), "source_id": number}
        parts.append(multi.make_part("MultiSlitModel", multi.item_from("MultiSlitModel", tree, arrays), entry.wcs))
    path = tmp_path / "jw00001001001_01101_00001_nrs1_cal.fits"
    multi.assemble(path, content.model(), parts)
    monkeypatch.setattr(asdf_text, "load", lambda piece: pytest.fail("a gwcs object was made"))
    assert len(scan(path).hdus) > 5000
    clock = time.process_time()
    tree = xr.open_datatree(path, engine=JwstBackendEntrypoint)
    opened = time.process_time() - clock
    assert len(tree.children) == 600 and tree["599"].attrs["SOURCEID"] == 599
    clock = time.process_time()
    again = open_multi(str(path))
    assert again.find("599").tree["source_id"] == 599 and again.entries[300].wcs is not None
    assert opened < 3.0 and time.process_time() - clock < 6.0
    array = tree["5"]["sci"].variable._data
    assert len(pickle.dumps(array)) < 4000  # a task that reads one slit does not carry where all others lie


def test_the_text_of_a_slit_is_yaml_of_its_own(product: Path) -> None:
    entry = open_multi(str(product)).entries[2]
    assert entry.wcs is not None
    document = asdf_text._document(entry.wcs)
    import asdf

    with asdf.open(io.BytesIO(document)) as file:
        assert type(file["wcs"]).__name__ == "WCS"
