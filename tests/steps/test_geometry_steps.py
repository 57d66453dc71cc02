"""Source types, cut-outs of blocks, footprints, and the search for a spectrum's edges."""

from __future__ import annotations

import json
from pathlib import Path

import geometry_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import Skip
from jwst_dask.data.exposure import Block, Draft
from jwst_dask.steps import step_class
from jwst_dask.steps.stage2.srctype import is_time_series
from jwst_dask.wcs import sky
from jwst_dask.wcs.grid import box_of_shape, pixel_centres, pixel_range
from jwst_dask.wcs.nirspec.box import extremes


def test_source_types_are_those_of_the_reference() -> None:
    expected = json.loads((Path(__file__).parents[1] / "parity" / "geometry.json").read_text())["srctype"]
    found = []
    for chosen, model in cases.sources():
        step_class("srctype").make(source_type=chosen).prepare(Draft(model=model, path="", nints=1), lambda reftype: "N/A")
        found.append(cases.decided(model))
    assert found == expected


def test_source_type_parameters() -> None:
    step = step_class("srctype")
    with pytest.raises(ParameterError, match="POINT, EXTENDED"):
        step.make(source_type="ROUND")
    with pytest.raises(InputError, match="EXP_TYPE"):
        step.make().applies({})
    assert step.make(skip=True).applies({"exposure.type": "NRS_IFU"}) == Skip("skip = True")
    model = next(m for _, m in cases.sources() if m.meta.exposure.type == "NIS_SOSS")
    with pytest.raises(ParameterError, match="NIS_SOSS"):
        step.make(source_type="EXTENDED").prepare(Draft(model=model, path="", nints=1), lambda reftype: "N/A")


@pytest.mark.parametrize(
    ("exp_type", "visit", "nints", "series"),
    [("NRS_BRIGHTOBJ", None, 10, True), ("NRS_BRIGHTOBJ", True, 1, False), ("MIR_LRS-SLITLESS", True, None, True),
     ("MIR_LRS-SLITLESS", False, 9, False), (None, None, None, False)],
)  # fmt: skip
def test_time_series(exp_type: str | None, visit: bool | None, nints: int | None, series: bool) -> None:
    assert is_time_series(exp_type, visit, nints) is series


@given(nints=st.integers(1, 4), x=st.tuples(st.integers(0, 9), st.integers(1, 14)), y=st.tuples(st.integers(0, 5), st.integers(1, 9)))
def test_blocks_are_cut(nints: int, x: tuple[int, int], y: tuple[int, int]) -> None:
    """Windows may reach beyond the array; what is not cut out ends."""
    (x0, dx), (y0, dy) = x, y
    rng = np.random.default_rng(1)
    cubes = {name: rng.random((nints, 6, 10)).astype("f4") for name in ("sci", "err", "var_poisson", "var_rnoise", "var_flat")}
    cubes["dq"] = rng.integers(0, 2**32, (nints, 6, 10), dtype="u4")
    state = {name: np.array(value) for name, value in {"x0": x0, "x1": x0 + dx, "y0": y0, "y1": y0 + dy}.items()}
    block = step_class("extract_2d").make().run(Block(arrays=dict(cubes), start=3), state)
    assert set(block.arrays) == set(cubes) - {"var_flat"}
    for name, array in block.arrays.items():
        np.testing.assert_array_equal(array, cubes[name][:, y0 : y0 + dy, x0 : x0 + dx])
        assert array.flags.c_contiguous and array.dtype == cubes[name].dtype


@pytest.mark.parametrize(
    ("alias", "exp_type", "runs"),
    [("extract_2d", "NRS_BRIGHTOBJ", True), ("extract_2d", "MIR_LRS-SLITLESS", False), ("wavecorr", "NRS_BRIGHTOBJ", True),
     ("wavecorr", "NRS_LAMP", False), ("as_slit", "MIR_LRS-SLITLESS", True), ("as_slit", "NRS_BRIGHTOBJ", False)],
)  # fmt: skip
def test_modes(alias: str, exp_type: str, runs: bool) -> None:
    assert (step_class(alias).make().applies({"exposure.type": exp_type}) is None) is runs
    assert isinstance(step_class(alias).make(skip=True).applies({"exposure.type": exp_type}), Skip)


def test_no_spectra_without_a_grating() -> None:
    why = step_class("extract_2d").make().applies({"exposure.type": "NRS_LAMP", "instrument.grating": "MIRROR"})
    assert why is not None and "MIRROR" in why.reason


@given(
    centre=st.floats(-0.2, 1.2), curvature=st.floats(-50, 50).filter(lambda c: abs(c) > 0.01), slope=st.floats(-100, 100),
    count=st.integers(1, 3000), stride=st.integers(2, 300),
)  # fmt: skip
def test_extremes_are_those_of_all_samples(centre: float, curvature: float, slope: float, count: int, stride: int) -> None:
    def curves(index: np.ndarray) -> np.ndarray:
        t = index / 3000
        return np.array([curvature * (t - centre) ** 2 + slope, slope * t, np.full(len(index), curvature)])

    low, high = extremes(curves, count, stride)
    everything = curves(np.arange(count))
    np.testing.assert_array_equal([low, high], [everything.min(axis=1), everything.max(axis=1)])


def test_extremes_of_light_that_misses() -> None:
    low, high = extremes(lambda index: np.array([np.where(index < 40, np.nan, index), index.astype(float)]), 1000)
    assert np.isnan([low[0], high[0]]).all() and (low[1], high[1]) == (0, 999)


def test_pixels() -> None:
    x, y = pixel_centres(((-0.5, 3.2), (1.6, 4.5)))
    np.testing.assert_array_equal(x[0], [0, 1, 2, 3])
    np.testing.assert_array_equal(y[:, 0], [2, 3, 4])
    assert box_of_shape((7, 5, 3)) == ((-0.5, 2.5), (-0.5, 4.5))
    assert pixel_range(-0.5, 2047.5) == (0, 2048) and pixel_range(0.49, 0.5) == (0, 1)


def test_sky() -> None:
    corners = np.array([[1, 2], [3, 4], [5, 6], [7, 8.0]])
    numbers = " ".join(f"{n}.000000000" for n in range(1, 9))
    assert sky.s_region(corners) == f"POLYGON ICRS  {numbers}"
    assert sky.s_region(np.where(corners == 5, np.nan, corners)) is None
    # The reference point is at the reference position, and the position angle of V3 is there the roll.
    to_sky = sky.v23_to_sky(100.0, -200.0, 30.0, 50.0, -40.0)
    np.testing.assert_allclose(to_sky(100.0, -200.0), (50, -40), atol=1e-12)
    ra, dec = to_sky(100.0, -199.0)
    angle = np.degrees(np.arctan2((ra - 50) * np.cos(np.radians(-40)), dec + 40))
    assert angle == pytest.approx(30, abs=0.01)
    assert np.hypot((ra - 50) * np.cos(np.radians(-40)), dec + 40) * 3600 == pytest.approx(1, rel=1e-4)


def test_velocities() -> None:
    correction = sky.barycentric_correction(29979.2458)
    assert correction(1.0) == pytest.approx(1 / 1.0001, rel=1e-15)
    assert correction.inverse(correction(2.5)) == pytest.approx(2.5, rel=1e-15)
    stretched = sky.aberration_correction(1.0001, 100.0, -200.0)
    np.testing.assert_allclose(stretched(100.0, -200.0), (100, -200), rtol=1e-14)
    np.testing.assert_allclose(stretched(110.0, -200.0), (110.001, -200), rtol=1e-12)
    for scale in (None, 1):
        assert sky.aberration_correction(scale, 1.0, 2.0)(3.0, 4.0) == (3, 4)


@pytest.mark.parametrize(
    ("exposure", "axis"),
    [(("NRS_BRIGHTOBJ", "CLEAR", None), 1), (("MIR_LRS-SLITLESS", "P750L", None), 2), (("NIS_WFSS", "GR150R", "F115W"), 2),
     (("NIS_WFSS", "GR150C", None), 1), (("NRC_TSGRISM", "F444W", "GRISMR"), 1), (("NRC_WFSS", "F444W", "GRISMC"), 2),
     (("NRC_TSGRISM", "F444W", "GRISMC"), None), (("MIR_IMAGE", "F770W", None), None), (("nis_soss", "CLEAR", "GR700XD"), 1)],
)  # fmt: skip
def test_dispersion_axis(exposure: tuple[str, str | None, str | None], axis: int | None) -> None:
    assert sky.dispersion_axis(*exposure) == axis
