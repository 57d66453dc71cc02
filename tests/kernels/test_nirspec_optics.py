"""The machine that evaluates chains of transforms, against plain numpy and astropy."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.modeling import models as m
from gwcs.spectroscopy import SellmeierGlass
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels import nirspec_optics as k
from jwst_dask.wcs.nirspec.program import Writer

SILICA = [0.6961663, 0.4079426, 0.8974794], [0.0684043**2, 0.1162414**2, 9.896161**2]


@pytest.mark.parametrize("points", [0, 1, k.BLOCK - 1, k.BLOCK, k.BLOCK + 1, 3 * k.BLOCK + 7])
def test_polynomials_of_any_number_of_points(points: int) -> None:
    rng = np.random.default_rng(points)
    coefficients = rng.normal(size=(6, 6)) * (np.add.outer(range(6), range(6)) <= 5)
    model = m.Polynomial2D(5, **{f"c{i}_{j}": coefficients[i, j] for i in range(6) for j in range(6) if i + j <= 5})
    x, y = rng.uniform(-1, 1, (2, points))
    w = Writer(2)
    (found,) = w.finish(w.model(model, [0, 1]))(x, y)
    np.testing.assert_allclose(found, np.polynomial.polynomial.polyval2d(x, y, coefficients), rtol=1e-12, atol=1e-12)


def test_compound_models() -> None:
    """All ways to combine models, with more registers in use than stay alive."""
    swap = m.Mapping((1, 0, 1))
    model = (
        swap
        | m.Shift(2.0) & m.Scale(3.0) & m.Identity(1)
        | m.Mapping((0, 1, 2, 0))
        | m.Rotation2D(30.0) & m.AffineTransformation2D([[1, 2], [3, 4]], [5, 6])
        | m.Mapping((0, 1), n_inputs=4) + m.Mapping((2, 3), n_inputs=4) * m.Mapping((3, 0), n_inputs=4)
    )
    x, y = np.random.default_rng(1).normal(size=(2, 4, 5))
    w = Writer(2)
    found = w.finish(w.model(model, [0, 1]))(x, y)
    np.testing.assert_allclose(found, model(x, y), rtol=1e-13, atol=1e-13)
    assert found[0].shape == (4, 5)


def test_inputs_broadcast_and_unused_operations_vanish() -> None:
    w = Writer(3)
    w.scale(2, 5.0)
    program = w.finish([w.emit(k.SUBTRACT, (0, 1))])
    assert len(program.code) == 1
    np.testing.assert_array_equal(program([[1.0], [2.0]], [1.0, 2.0, 3.0], 0)[0], [[0, -1, -2], [1, 0, -1]])


def test_named_constants_and_tables() -> None:
    w = Writer(1)
    program = w.finish([w.table(w.shift(0, "by"), (np.arange(2.0), np.arange(2.0)), False, "table")])
    bound = program.bind(
        {"by": 10.0, "unknown": 1.0},
        {"table": (np.array([12.0, 11.0, 10.0]), np.array([0.0, 1.0, 4.0])), "other": (np.ones(2), np.ones(2))},
    )
    np.testing.assert_allclose(bound([-0.1, 0.0, 0.5, 2.0, 2.1])[0], [np.nan, 4, 2.5, 0, np.nan])
    np.testing.assert_allclose(program([0.25])[0], [0.25])  # the template is not changed


def test_spheres() -> None:
    from gwcs.geometry import CartesianToSpherical, SphericalToCartesian

    model = (
        SphericalToCartesian(wrap_lon_at=180) | m.RotationSequence3D([10, -20, 30, 40, 50], "zyxyz") | CartesianToSpherical(wrap_lon_at=360)
    )
    lon, lat = np.meshgrid(np.linspace(-179, 180, 12), np.linspace(-90, 90, 7))
    w = Writer(2)
    np.testing.assert_allclose(w.finish(w.model(model, [0, 1]))(lon, lat), model(lon, lat), rtol=1e-12, atol=1e-10)


values = st.one_of(st.floats(-3, 12), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 9.0]))


@settings(max_examples=60, deadline=None)
@given(st.lists(values, max_size=40), st.lists(st.floats(0.01, 2), min_size=1, max_size=30), st.booleans())
def test_interpolation(x: list[float], steps: list[float], extrapolate: bool) -> None:
    points = np.concatenate([[0.0], np.cumsum(steps)])
    table, at, out = np.sin(points), np.array(x, float), np.empty(len(x))
    k.interpolate(at, points, table, extrapolate, out)
    if not extrapolate:
        np.testing.assert_allclose(out, np.interp(at, points, table, left=np.nan, right=np.nan), rtol=1e-9, atol=1e-9)
        return
    inside = (at >= 0) & (at <= points[-1])
    np.testing.assert_allclose(out[inside], np.interp(at[inside], points, table), rtol=1e-9, atol=1e-9)
    low, high = at < 0, (at > points[-1]) & np.isfinite(at)
    low &= np.isfinite(at)
    np.testing.assert_allclose(out[low], table[0] + (table[1] - table[0]) / (points[1] - points[0]) * at[low], rtol=1e-8, atol=1e-8)
    end = (table[-1] - table[-2]) / (points[-1] - points[-2])
    np.testing.assert_allclose(out[high], table[-1] + end * (at[high] - points[-1]), rtol=1e-8, atol=1e-6)
    assert np.isnan(out[np.isnan(at)]).all()


@pytest.mark.parametrize("kelvin", [36.0, 70.0, 290.0])
def test_refraction(kelvin: float) -> None:
    """Silica (Malitson 1965) as it is, and warmed, as NIRSpec's prism model has it."""
    from stdatamodels.jwst.transforms.models import Snell

    thermal, pressure = [-2.66e-05, 1e-8, 1e-10, 1e-6, 1e-9, 0.2], 0.3
    snell = Snell(-16.5, *SILICA, thermal, 35.0, pressure, kelvin, pressure)
    wave = np.linspace(0.6e-6, 5e-6, 9)
    theirs = snell.compute_refraction_index(wave, kelvin, 35.0, pressure, pressure, *SILICA, thermal)
    if kelvin == 36.0:
        np.testing.assert_allclose(theirs, SellmeierGlass.evaluate(wave * 1e6, [SILICA[0]], [SILICA[1]]))
    alpha, beta = np.full(9, 0.05), np.linspace(-0.05, 0.05, 9)
    gamma = np.sqrt(1 - alpha**2 - beta**2)
    w = Writer(4)
    found = w.finish(w.model(snell, [0, 1, 2, 3]))(wave, alpha, beta, gamma)
    np.testing.assert_allclose(found, snell(wave, alpha, beta, gamma), rtol=1e-12)
    warm = [kelvin - 273.15, kelvin - 35.0, 35.0 - 273.15, pressure, pressure]
    glass = np.array([float(kelvin >= 55), *SILICA[0], *SILICA[1], *thermal, *warm])
    np.testing.assert_allclose([k.refraction_index(v, glass) for v in wave], theirs, rtol=1e-14)


def test_conditions_keep_nans() -> None:
    w = Writer(1)
    (found,) = w.finish([w.emit(k.BELOW, (w.emit(k.ABOVE, (0,), (1.0,)),), (-1.0,))])([np.nan, -1.0, 1.0, 1.1, -1.1])
    np.testing.assert_array_equal(found, [np.nan, -1, 1, np.nan, np.nan])
