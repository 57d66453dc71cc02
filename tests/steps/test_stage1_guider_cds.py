"""guider_cds against the reference implementation (tests/parity/make_ramp_refpix.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps.stage1.guider_cds import GuiderCdsStep

PARITY = Path(__file__).parent.parent / "parity"
sys.path.insert(0, str(PARITY))
import ramp_refpix_scene as scene  # noqa: E402

GOLDEN = np.load(PARITY / "ramp_refpix.npz")


def draft_of(name):
    from stdatamodels.jwst import datamodels

    exp_type, shape, (x, y) = scene.GUIDER[name]
    model = datamodels.GuiderRawModel((1, *shape[1:]))
    model.dq = scene.guider(name)["dq"]
    model.meta.instrument.name = "FGS"
    model.meta.exposure.type, model.meta.exposure.group_time = exp_type, scene.GROUP_TIME
    area = model.meta.subarray
    area.xstart, area.ystart, area.ysize, area.xsize = x, y, *shape[2:]
    return Draft(model, "exposure.fits", shape[0])


@pytest.fixture
def refs(tmp_path):
    def write(name, size=2048):
        from astropy.io import fits

        paths, arrays = {}, scene.guider(name)
        for kind in ("gain", "readnoise"):
            header = fits.Header({"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": size, "SUBSIZE2": size})
            paths[kind] = str(tmp_path / f"{kind}.fits")
            hdus = [fits.PrimaryHDU(header=header), fits.ImageHDU(arrays[kind][:size, :size], name="SCI")]
            fits.HDUList(hdus).writeto(paths[kind], overwrite=True)
        return lambda kind: paths[kind]

    return write


@pytest.mark.parametrize("name", list(scene.GUIDER))
def test_like_the_reference(name, refs):
    step, draft, arrays = GuiderCdsStep(), draft_of(name), scene.guider(name)
    state = step.prepare(draft, refs(name))
    before = arrays["sci"].copy()
    found = step.run(Block({"sci": arrays["sci"]}, 0), state).arrays
    np.testing.assert_array_equal(arrays["sci"], before)
    for key in ("sci", "err"):
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key], GOLDEN[f"{name}.{key}"], rtol=2e-7)
    assert type(draft.model).__name__ == "GuiderCalModel" and draft.model.meta.bunit_data == "DN/s"
    assert draft.nints == len(found["sci"]) and draft.shape == found["sci"].shape[-2:]
    np.testing.assert_array_equal(draft.model.dq, arrays["dq"])


def test_bad_cases(refs):
    step = GuiderCdsStep()
    assert isinstance(step.prepare(draft_of("acq1"), lambda kind: "N/A"), Skip)
    single = draft_of("id_image")
    single.nints = 1
    with pytest.raises(InputError, match="2 integrations"):
        step.prepare(single, refs("id_image"))
    untimed = draft_of("acq1")
    untimed.model.meta.exposure.group_time = None
    with pytest.raises(InputError, match="TGROUP"):
        step.prepare(untimed, refs("acq1"))
    with pytest.raises(ReferenceError_, match="gain"):
        step.prepare(draft_of("fineguide"), refs("fineguide", 50))
