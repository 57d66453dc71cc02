"""outlier_detection on time series against values of the reference implementation (tests/parity/make_outliers.py)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jwst_dask.core.errors import ParameterError
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block
from jwst_dask.steps.stage3.outlier_detection import OutlierDetectionStep, bad_bits

GOLDEN = np.load(Path(__file__).parent.parent / "parity" / "outliers.npz")
NAMES = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")
CASES = {
    "default": {},
    "w7": {"rolling_window_width": 7},
    "w2": {"rolling_window_width": 2},
    "w8_snr3": {"rolling_window_width": 8, "snr": "3.0 1.0"},
    "w39": {"rolling_window_width": 39},
    "whole": {"rolling_window_width": 100},
    "whole_w1_snr3": {"rolling_window_width": 1, "snr": "3 2"},
    "equal": {"rolling_window_width": 40},
    "good_bits": {"rolling_window_width": 7, "good_bits": "~(DO_NOT_USE+HOT)"},
    "good_names": {"rolling_window_width": 7, "good_bits": "HOT,WARM"},
    "good_zero": {"rolling_window_width": 7, "good_bits": "0"},
    "good_none": {"rolling_window_width": 7, "good_bits": None},
    "good_number": {"rolling_window_width": 7, "good_bits": "2048"},
    "maskpt0": {"rolling_window_width": 7, "maskpt": 0.0},
    "maskpt1": {"rolling_window_width": 7, "maskpt": 1.0},
    "maskpt2": {"rolling_window_width": 7, "maskpt": 2.0},
}


def run(step: OutlierDetectionStep, edges: list[int]) -> dict[str, np.ndarray]:
    """The scene in blocks cut at `edges`, each with the halo that the step asks for."""
    nints = len(GOLDEN["sci"])
    draft = SimpleNamespace(nints=nints, is_cube=True, model=None, extras={}, shape=GOLDEN["sci"].shape[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwst_dask.steps.stage3.outlier_detection._median_model", lambda draft: None)
        state = step.prepare(draft, None)
    halo, made = step.halo_for(nints), []
    for start, stop in zip(edges, edges[1:]):
        first, last = max(0, start - halo), min(nints, stop + halo)
        arrays = {name: GOLDEN[name][first:last].copy() for name in NAMES}
        made.append(step.run(Block(arrays=arrays, start=start, halo=(start - first, last - stop)), state))
        assert made[-1].halo == (0, 0) and made[-1].nints == stop - start
    return {name: np.concatenate([block.arrays[name] for block in made]) for name in made[0].arrays}


@pytest.mark.parametrize("edges", [[0, 40], [0, 1, 5, 18, 39, 40]], ids=["whole", "cut"])
@pytest.mark.parametrize("case", CASES)
def test_flags_and_medians_of_the_reference(case, edges):
    out = run(OutlierDetectionStep.make(save_intermediate_results=True, **CASES[case]), edges)
    np.testing.assert_array_equal(out["dq"], GOLDEN[f"{case}.dq"])
    np.testing.assert_array_equal(out["median"], GOLDEN[f"{case}.median"])
    bad = (out["dq"] & 1) > 0
    for name in NAMES:
        if name != "dq":
            np.testing.assert_array_equal(out[name], np.where(bad, np.float32(np.nan), GOLDEN[name]))


def test_a_variance_may_be_absent():
    step = OutlierDetectionStep.make()
    state = {"nints": 40, "snr": 5.0, "bad": 1}
    arrays = {name: GOLDEN[name].copy() for name in NAMES[:3]}
    out = step.run(Block(arrays=arrays, start=0), state)
    full = GOLDEN["default.dq"].copy()
    full[12, 2, 3] = out.arrays["dq"][12, 2, 3]  # bad by its variance only
    np.testing.assert_array_equal(out.arrays["dq"], full)


def test_bad_bits():
    assert bad_bits("~DO_NOT_USE") == 1
    assert bad_bits("~HOT|WARM") == 2048 + 4096
    assert bad_bits("3") == 0xFFFFFFFC
    assert bad_bits(None) == bad_bits("") == 0
    with pytest.raises(ParameterError, match="good_bits.*NONSENSE"):
        bad_bits("NONSENSE")


@pytest.mark.parametrize("name", ["snr", "scale"])
def test_pairs_are_two_numbers(name):
    with pytest.raises(ParameterError, match=name):
        run(OutlierDetectionStep.make(**{name: "5"}), [0, 40])


def test_applies_to_time_series_only():
    step = OutlierDetectionStep.make()
    assert step.applies({"exposure.type": "NRS_BRIGHTOBJ", "exposure.nints": 10}) is None
    assert step.applies({"exposure.type": "MIR_LRS-SLITLESS", "visit.tsovisit": True, "exposure.nints": 10}) is None
    assert isinstance(step.applies({"exposure.type": "MIR_LRS-SLITLESS", "visit.tsovisit": False, "exposure.nints": 10}), Skip)
    assert isinstance(step.applies({"exposure.type": "NRS_BRIGHTOBJ", "exposure.nints": 1}), Skip)
    assert isinstance(OutlierDetectionStep.make(skip=True).applies({"exposure.type": "NRS_BRIGHTOBJ"}), Skip)


def test_how_far_it_looks():
    step = OutlierDetectionStep.make()
    assert (step.halo_for(1000), step.halo_for(25), step.halo_for(26)) == (24, 25, 24)
    assert OutlierDetectionStep.make(rolling_window_width=1).halo_for(300) == 300
