"""clean_flicker_noise on ramps against the reference implementation (tests/parity/make_ramp_flicker.py), in one block and streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ramp_noise_cases import PARITY, Refs, draft_of, outcome, references, scene

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
