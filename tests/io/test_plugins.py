"""Files of plain values are written and read as they are with all plug-ins of asdf, without loading these."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jwst_dask.io import plugins
from jwst_dask.io.plugins import core_only, core_text, core_tree, opened

SCRIPT = """
import hashlib, sys, warnings
warnings.simplefilter("ignore")
import asdf, numpy as np
if sys.argv[1] == "all":
    asdf.get_config().extensions, asdf.get_config().resource_manager
from stdatamodels.jwst import datamodels
datamodels.JwstDataModel.on_save = lambda self, path: None
from jwst_dask.data.meta import keywords
from jwst_dask.data.models import blank
from jwst_dask.io.layout import allocate, plan_layout
from jwst_dask.io.skeleton import skeleton
model = blank(datamodels.RampModel)
model.data, model.groupdq, model.pixeldq = np.zeros((1, 2, 3, 4), "f4"), np.zeros((1, 2, 3, 4), "u1"), np.zeros((3, 4), "u4")
times = np.zeros(3, model.get_dtype("int_times"))
times["int_mid_MJD_UTC"] = 1.5
model.int_times = times
model.meta.instrument.name, model.meta.exposure.type, model.meta.date = "NIRISS", "NIS_SOSS", "2026-01-01T00:00:00.000"
model.meta.filename = "a.fits"
allocate(sys.argv[2], plan_layout(model, {}))
again = skeleton(sys.argv[2])
again.meta.date = "2026-01-01T00:00:00.000"
allocate(sys.argv[2] + "2", plan_layout(again, {}))
print(hashlib.sha256(open(sys.argv[2], "rb").read() + open(sys.argv[2] + "2", "rb").read()).hexdigest(), len(keywords("CubeModel")))
print("gwcs" in sys.modules, "asdf_astropy.extensions" in sys.modules)
"""


def test_the_same_bytes_without_plugins(tmp_path: Path) -> None:
    out = {}
    for which in ("all", "core"):
        folder = tmp_path / which
        folder.mkdir()
        run = subprocess.run([sys.executable, "-c", SCRIPT, which, str(folder / "a.fits")], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        out[which] = run.stdout.splitlines()
    assert out["all"][0] == out["core"][0]
    assert (out["all"][1], out["core"][1]) == ("True True", "False False")


def time() -> Any:
    from astropy.time import Time

    return Time("2026-01-01")


def tagged() -> Any:
    from asdf.tagged import TaggedDict

    return TaggedDict({"a": 1}, "tag:stsci.edu:asdf/transform/shift-1.2.0")


@pytest.mark.parametrize(
    ("value", "plain"),
    [(1.5, True), (np.float32(2), True), (np.zeros(3), True), ([{"a": None}], True), (np.ma.zeros(3), False), (1j, False), (object(), False),
     (time, False), (tagged, False)],
)  # fmt: skip
def test_plain_trees(value: Any, plain: bool) -> None:
    assert core_tree({"meta": {"x": value() if callable(value) else value}}) is plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [("a: !core/ndarray-1.1.0\n  source: 0\n", True), ("--- !core/asdf-1.1.0\na: {b: 'really! yes'}\n", True), ("a: b!c\n", True),
     ("a: !<tag:stsci.edu:gwcs/wcs-1.2.0>\n  name: ''\n", False), ("a: !transform/shift-1.2.0 {offset: 1.0}\n", False),
     ("a: !time/time-1.2.0 2026-01-01\n", False), ("  - !core/extension_metadata-1.0.0\n    extension_uri: asdf://astropy.org/x-1.0.0\n", False),
     ("    extension_uri: asdf://asdf-format.org/core/extensions/core-1.6.0\n", True)],
)  # fmt: skip
def test_plain_texts(text: str, plain: bool) -> None:
    assert core_text(text) is plain


def test_a_file_is_opened_with_what_it_needs(tmp_path: Path) -> None:
    import asdf
    from astropy.time import Time

    for name, value in (("plain", np.arange(4.0)), ("time", Time("2026-01-01"))):
        asdf.AsdfFile({"value": value}).write_to(tmp_path / name)
    with opened(str(tmp_path / "plain"), memmap=False, lazy_load=False) as file:
        assert file["value"].tolist() == [0, 1, 2, 3]
    with opened(str(tmp_path / "time"), memmap=False, lazy_load=False) as file:
        assert isinstance(file["value"], Time)
    (tmp_path / "bad").write_bytes(b"nothing")
    with pytest.raises(ValueError), opened(str(tmp_path / "bad")):
        pass


@pytest.fixture
def unloaded() -> Iterator[Any]:
    """The configuration of asdf as it is before any plug-in is loaded."""
    import asdf

    plugins._resources.cache_clear()
    with asdf.config_context() as config:
        config._extensions = None
        yield config
    plugins._resources.cache_clear()


def test_core_types_only_within(unloaded: Any) -> None:
    import asdf

    with core_only():
        assert {one.package_name for one in asdf.get_config().extensions} == {"asdf"}
        assert "http://stsci.edu/schemas/jwst_datamodel/core.schema" in asdf.get_config().resource_manager
    assert asdf.get_config() is unloaded and unloaded._extensions is None
    with core_only(False):
        assert asdf.get_config() is unloaded


def test_an_asdf_that_keeps_plugins_elsewhere_is_left_alone(unloaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import asdf

    def elsewhere(*_: str) -> list[Any]:
        raise LookupError("nothing there")

    monkeypatch.setattr(plugins, "_loaded", elsewhere)
    with core_only():
        assert asdf.get_config() is unloaded
