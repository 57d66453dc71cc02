"""clean_flicker_noise on ramps against the reference implementation (tests/parity/make_ramp_flicker.py), in one block and streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ramp_noise_cases import PARITY, Refs, draft_of, outcome, references, scene

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.prepare import flat_meta
from jwst_dask.core.step import Failed
from jwst_dask.steps.stage2.clean_flicker_noise import CleanFlickerNoiseStep

GOLDEN = np.load(PARITY / "ramp_flicker.npz")
PRODUCTS = ("mask", "flicker_bkg", "flicker_noise")


def golden(name: str) -> np.ndarray | None:
    return GOLDEN[name] if name in GOLDEN.files else None


def step_of(params: dict[str, Any], paths: dict[str, str]) -> CleanFlickerNoiseStep:
    values = {name: paths[f"mask{value}"] if name == "user_mask" else value for name, value in params.items()}
    return CleanFlickerNoiseStep.make(skip=False, save_mask=True, save_background=True, save_noise=True, **values)  # type: ignore[return-value]


@pytest.mark.parametrize("name", scene.FLICKER)
def test_like_the_reference_implementation(name: str, tmp_path: Path) -> None:
    case = scene.FLICKER[name]
    arrays, meta = scene.ramp(**case["ramp"])
    paths = references(tmp_path, arrays, meta)
    draft = draft_of(arrays, meta)
    found, status = outcome(step_of(case["params"], paths), arrays, draft, Refs(**paths), tmp_path)
    assert status == str(golden(f"clean_flicker_noise.{name}.status"))
    scale = np.nanmax(np.abs(np.diff(arrays["sci"], axis=1)), initial=1.0)
    for key in ("sci", *PRODUCTS):
        expected = golden(f"clean_flicker_noise.{name}.{key}")
        if expected is None:
            continue
        if key == "mask":
            np.testing.assert_array_equal(np.packbits(found[key]), expected)
            assert draft.extras[key].data.shape[-2:] == found[key].shape[-2:] and draft.extras[key].data.ndim == found[key].ndim
        else:
            tolerance = {"rtol": 1e-6, "atol": 1e-6 * scale if "fft" in name else 1e-7 * scale}
            np.testing.assert_allclose(found[key][scene.crop(found[key].shape)], expected, **tolerance)


def test_parameters_that_autoparam_chooses(tmp_path: Path) -> None:
    """Branches of the choice; that the reference implementation takes the same is seen in its cleaned ramps."""
    from jwst_dask.steps.stage2.clean_flicker_noise import automatic as auto

    chosen = [auto._decide(auto.NIRISS, *figures) for figures in (
        (0.01, 0.1, 0.0, 1.0, 0.0), (0.2, 0.1, 1e-3, 1.0, 0.0), (0.2, 0.1, 5e-5, 1.0, 0.0), (0.2, 0.0, 5e-5, 1.0, 0.0), (0.2, 0.0, 1e-6, 1.0, 0.0),
        (0.01, 0.01, 1e-3, 9.0, 0.5), (0.01, 0.01, 5e-5, 1.0, 0.0), (0.01, 0.01, 5e-5, 9.0, 0.5), (0.01, 0.0, 1e-6, 1.0, 0.5))]  # fmt: skip
    assert chosen == [("median", True), ("model", False), ("median", False), ("model", False), ("median", False), ("model", True), ("model", False),
                      ("median", True), ("median", False)]  # fmt: skip
    flat = np.full((64, 64), 2.0, np.float32)
    image = np.random.default_rng(3).standard_normal((64, 64)).astype(np.float32) + np.linspace(0, 5, 64, dtype=np.float32)
    image[3, 4] = np.nan
    assert auto.choose("NRC_IMAGE", image, flat, 0) == {"apply_flat_field": True, "background_method": "model", "fit_by_channel": False}
    assert auto.choose("NIS_IMAGE", image * 0 + 1, None, 1)["background_method"] == "median"


def test_an_exposure_without_rates_stays_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arrays, meta = scene.ramp()
    arrays["groupdq"][:] = 2
    paths = references(tmp_path, arrays, meta)
    for params in ({}, {"single_mask": False}, {"background_method": "median_image"}):
        caplog.clear()
        found, _ = outcome(CleanFlickerNoiseStep.make(skip=False, **params), arrays, draft_of(arrays, meta), Refs(**paths), tmp_path)
        np.testing.assert_array_equal(found["sci"], arrays["sci"])
        assert "stay as they are" in caplog.text


@pytest.mark.parametrize(
    ("change", "params", "reason"),
    [({"exposure.type": "NIS_SOSS"}, {"background_method": "median_image"}, "SOSS"),
     ({"exposure.type": "NRC_TSIMAGE"}, {"background_method": "median_image"}, "photometry"),
     ({"exposure.type": "NRC_TSGRISM"}, {"background_method": "median_image"}, "grism"),
     ({"exposure.type": "MIR_IMAGE", "visit.tsovisit": True}, {"background_method": "median_image"}, "photometry"),
     ({"exposure.type": "NIS_SOSS"}, {"mask_science_regions": True}, "override_pastasoss"),
     ({"exposure.type": "NRS_MSASPEC"}, {"mask_science_regions": True}, "slits"),
     ({"exposure.type": "NRS_LAMP"}, {"fit_method": "fft"}, "choose median")],
)  # fmt: skip
def test_what_fails(change: dict[str, Any], params: dict[str, Any], reason: str, tmp_path: Path) -> None:
    arrays, meta = scene.ramp(nints=2)
    paths = references(tmp_path, arrays, meta) | {"pastasoss": "N/A"}
    state = CleanFlickerNoiseStep.make(skip=False, **params).prepare(draft_of(arrays, meta | change), Refs(**paths))
    assert isinstance(state, Failed) and reason in state.reason


def test_what_cannot_be_read(tmp_path: Path) -> None:
    arrays, meta = scene.ramp(nints=2)
    paths = references(tmp_path, arrays, meta)
    step = CleanFlickerNoiseStep.make(skip=False, mask_science_regions=True)
    with pytest.raises(InputError, match="NRS_IFU"):
        step.prepare(draft_of(arrays, meta | {"exposure.type": "NRS_IFU"}), Refs(**paths))
    soss = meta | {"exposure.type": "NIS_SOSS"}
    with pytest.raises(InputError, match=r"PWCPOS\) is 240.0"):
        step.prepare(draft_of(arrays, soss | {"instrument.pupil_position": 240.0}), Refs(**paths))
    (tmp_path / "bad.asdf").write_text("no asdf")
    with pytest.raises(ReferenceError_, match="override_pastasoss"):
        step.prepare(draft_of(arrays, soss), Refs(**paths | {"pastasoss": str(tmp_path / "bad.asdf")}))
    with pytest.raises(ReferenceError_, match="no gain reference"):
        CleanFlickerNoiseStep.make(skip=False).prepare(draft_of(arrays, meta), Refs(**paths | {"gain": "N/A"}))
    other = CleanFlickerNoiseStep.make(skip=False, user_mask=paths["mask3"])
    three, _ = scene.ramp(nints=3)
    assert isinstance(other.prepare(draft_of(three, meta), Refs(**paths)), Failed)


def test_references_and_metadata_of_a_draft_rate_leave_no_trace(tmp_path: Path) -> None:
    arrays, meta = scene.ramp(nints=2)
    paths = references(tmp_path, arrays, meta)
    draft = draft_of(arrays, meta)
    before = flat_meta(draft.model)
    state = CleanFlickerNoiseStep.make(skip=False).prepare(draft, Refs(**paths))
    assert isinstance(state, dict) and flat_meta(draft.model) == before and draft.extras == {}
