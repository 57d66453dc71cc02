"""Extraction kernels against numpy formulas and analytic truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.kernels import extract as k
from jwst_dask.kernels.extract_profile import COLUMNS, interpolate_clamped, profile_sums, spectral_columns

SHAPE = (2, 9, 11)  # integration, y, x


def stack(seed=0, bad=0.1, shape=SHAPE):
    """sci, err, dq, poisson, rnoise, flat; some pixels NaN in one plane, infinite or flagged."""
    rng = np.random.default_rng(seed)
    planes = [rng.normal(5, 1, shape).astype("f4"), *(rng.uniform(0.1, 1, shape).astype("f4") for _ in range(4))]
    for plane in planes:
        plane[rng.random(shape) < bad / 4] = np.nan
    planes[0][rng.random(shape) < bad / 4] = np.inf
    dq = np.where(rng.random(shape) < bad / 4, 1, 0).astype("u4") | np.uint32(4)
    return [planes[0], planes[1], dq, *planes[2:]]


def masked(planes):
    """Image and variances in float64, NaN where a pixel is unusable."""
    sci, err, dq, *variances = planes
    bad = np.isnan(sci) | np.isnan(err) | ((dq & 1) != 0) | np.isnan(variances).any(axis=0)
    return [np.where(bad, np.nan, plane.astype("f8")) for plane in (sci, *variances)]


def turned(planes):
    return [np.ascontiguousarray(np.swapaxes(plane, 1, 2)) for plane in planes]


def empty(shape):
    return np.empty((0, *shape[1:]), dtype="f4")


def fit(planes, weights, region, order, mode, smoothing=0, images=False, lo=0):
    """`box_background_sums` on arrays with dispersion along x; weights and region as (y, x)."""
    n, ny, nx = planes[0].shape
    sums, out = np.empty((n, k.NSUMS, nx)), np.zeros(planes[0].shape, "f4") if images else empty(planes[0].shape)
    residual = out.copy()
    basis = np.ascontiguousarray((np.linspace(-1, 1, ny)[:, None] ** np.arange(order + 1))[lo:])
    w, r = (np.ascontiguousarray(a.T[:, lo:]) for a in (weights, region))
    k.box_background_sums(*planes, w, r, basis, mode, smoothing, True, lo, sums, out, residual)
    return sums, out, residual


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
def test_box_sums(seed, bad, n, ny, nx):
    planes = stack(seed, bad, (n, ny, nx))
    weights = np.random.default_rng(seed).choice([0, 0.3, 1], size=(ny, nx))
    sums = np.empty((n, k.NSUMS, nx))
    k.box_sums(*planes, weights, True, sums)
    image, *variances = masked(planes)
    good = np.isfinite(image)
    w = np.where(good, weights, 0)
    npixels = w.sum(axis=1)
    np.testing.assert_allclose(sums[:, k.NPIXELS], npixels, rtol=1e-13)
    flux = np.where(npixels > 0, (np.where(good, image, 0) * w).sum(axis=1), np.nan)
    np.testing.assert_allclose(sums[:, k.FLUX], flux, rtol=1e-12)
    for m, variance in enumerate(variances):
        np.testing.assert_allclose(sums[:, k.POISSON + m], (np.where(good, variance, 0) * w**2).sum(axis=1), rtol=1e-12)
    assert not sums[:, k.BKG : k.NPIXELS].any()
    tall = np.empty_like(sums)
    k.box_sums(*turned(planes), np.ascontiguousarray(weights.T), False, tall)
    np.testing.assert_array_equal(tall, sums)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_polynomial_background_is_removed_exactly(order):
    y = np.linspace(-1, 1, SHAPE[1])[:, None]
    level = np.zeros(SHAPE[1:]) + 3.0 + sum((p + 0.5) * y**p for p in range(1, order + 1)) + np.arange(SHAPE[2]) * 0.125
    source = np.zeros(SHAPE[1:])
    source[4] = 2.0
    planes = stack(1, 0.0)
    planes[0] = np.broadcast_to(level + source, SHAPE).astype("f4")
    weights, region = np.zeros(SHAPE[1:]), np.zeros(SHAPE[1:])
    weights[3:6], region[:3], region[6:] = 1, 1, 0.5
    sums, scene, residual = fit(planes, weights, region, order, k.POLYNOMIAL, images=True)
    np.testing.assert_allclose(sums[:, k.FLUX], 2.0, rtol=1e-5)
    np.testing.assert_allclose(sums[:, k.BKG], np.broadcast_to(level[3:6].sum(axis=0), (2, SHAPE[2])), rtol=1e-5)
    np.testing.assert_allclose(scene.sum(axis=1), (level.sum(axis=0) + 2.0)[None].repeat(2, 0), rtol=1e-5)
    np.testing.assert_allclose(scene + residual, planes[0], rtol=1e-6)


def test_polynomial_background_and_its_variance_by_numpy():
    planes = stack(2, 0.15)
    image, *variances = masked(planes)
    y = np.linspace(-1, 1, SHAPE[1])
    weights, region = np.zeros(SHAPE[1:]), np.zeros(SHAPE[1:])
    weights[3:6], weights[6], region[:3], region[6:] = 1, 0.4, 1, 1
    sums, _, _ = fit(planes, weights, region, 1, k.POLYNOMIAL)
    for i in range(2):
        for x in range(SHAPE[2]):
            used = (region[:, x] != 0) & np.isfinite(image[i, :, x]) & np.isfinite(variances[0][i, :, x])
            design = np.stack([np.ones(used.sum()), y[used]], axis=1)
            solve = np.linalg.pinv(design)
            background = np.polynomial.polynomial.polyval(y, solve @ image[i, used, x])
            good = np.isfinite(image[i, :, x])
            w = weights[:, x] * good
            flux = np.sum((image[i, good, x] - background[good]) * w[good]) if w.any() else np.nan
            np.testing.assert_allclose(sums[i, k.FLUX, x], flux, rtol=1e-10)
            share = (weights[:, x] @ np.stack([np.ones(len(y)), y], axis=1)) @ solve
            for m in range(3):
                extra = np.sum(share**2 * variances[m][i, used, x])
                np.testing.assert_allclose(sums[i, k.BKG_POISSON + m, x], extra, rtol=1e-10)
                np.testing.assert_allclose(sums[i, k.POISSON + m, x], extra + np.nansum(variances[m][i, :, x] * w**2), rtol=1e-10)


def test_background_without_enough_pixels_is_zero():
    planes = stack(3, 0.0)
    weights, region = np.ones(SHAPE[1:]), np.zeros(SHAPE[1:])
    region[0, 2:] = 1
    sums, _, _ = fit(planes, weights, region, 1, k.POLYNOMIAL)
    plain = np.empty_like(sums)
    k.box_sums(*planes, weights, True, plain)
    np.testing.assert_allclose(sums, plain, rtol=1e-12)


@pytest.mark.parametrize("lo", [0, 1])
def test_median_background_by_numpy(lo):
    planes = stack(4, 0.15)
    planes[0][0, :, 3] = np.nan
    image, *variances = masked(planes)
    weights, region = np.zeros(SHAPE[1:]), np.zeros(SHAPE[1:])
    weights[3:6], region[1:3], region[6:] = 1, 1, 0.5
    sums, _, _ = fit(planes, weights, region, 0, k.MEDIAN, lo=lo)
    inside = np.where(region != 0, image, np.nan).astype("f4")
    with np.errstate(all="ignore"):
        level = np.array([[np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else np.nan for c in plane.T] for plane in inside], "f4")
        rest = (image.astype("f4") - level[:, None]).astype("f8")
        good = np.isfinite(rest)
        w = np.where(good, weights, 0)
        flux = np.where(w.sum(axis=1) > 0, np.where(good, rest * w, 0).sum(axis=1), np.nan)
        np.testing.assert_allclose(sums[:, k.FLUX], flux, rtol=1e-10)
        used = (region != 0) & np.isfinite(image) & np.isfinite(variances[0])
        for m in range(3):
            mean = np.where(used, variances[m], 0).sum(axis=1) / used.sum(axis=1) ** 2
            expected = np.nan_to_num(1.44 * weights.sum(axis=0) ** 2 * mean)
            np.testing.assert_allclose(sums[:, k.BKG_POISSON + m], expected, rtol=1e-10)
    assert np.isnan(sums[0, k.FLUX, 3]) and sums[0, k.BKG, 3] == 0 and sums[0, k.NPIXELS, 3] == 0


def test_smoothing_is_a_running_mean_without_nans():
    planes = stack(5, 0.0)
    planes[0][0, 7, 4] = np.nan
    weights, region = np.zeros(SHAPE[1:]), np.zeros(SHAPE[1:])
    weights[2], region[7] = 1, 1
    sums, _, _ = fit(planes, weights, region, 0, k.POLYNOMIAL, smoothing=3)
    line = planes[0][0, 7].astype("f8")
    padded = np.concatenate([line[:1], line, line[-1:]])
    mean = np.nanmean([padded[:-2], padded[1:-1], padded[2:]], axis=0)
    mean[4] = 0  # the pixel itself must be usable for the fit
    np.testing.assert_allclose(sums[0, k.BKG], mean, rtol=1e-6)


def gaussians(shape, *centres):
    y = np.arange(shape[1])[:, None]
    out = np.stack([np.exp(-((y - c - 0.02 * np.arange(shape[2])) ** 2) / 3) for c in centres])
    return out / out.sum(axis=1, keepdims=True)


def profiles_fit(planes, profiles, order, region=None, images=False):
    n, ny, nx = planes[0].shape
    sums = np.empty((n, k.NSUMS, nx))
    scene = np.zeros(planes[0].shape, "f4") if images else empty(planes[0].shape)
    region = np.zeros((nx, ny)) if region is None else np.ascontiguousarray(region.T)
    basis = np.linspace(-1, 1, ny)[:, None] ** np.arange(order + 1)
    profile_sums(*planes, np.ascontiguousarray(profiles.transpose(0, 2, 1)), region, basis, True, sums, scene, scene.copy())
    return sums, scene


@pytest.mark.parametrize("order", [-1, 0, 1])
def test_profiles_of_known_amplitude(order):
    profiles = gaussians(SHAPE, 3.0, 6.5)
    y = np.linspace(-1, 1, SHAPE[1])[:, None]
    level = (0.7 + 0.3 * y * (order > 0)) * (order >= 0)
    planes = stack(6, 0.0)
    planes[0] = np.broadcast_to(2.5 * profiles[0] - 1.5 * profiles[1] + level, SHAPE).astype("f4")
    sums, scene = profiles_fit(planes, profiles * [[[1]], [[-1]]], order, images=True)
    np.testing.assert_allclose(sums[:, k.FLUX], 2.5, rtol=1e-5)
    np.testing.assert_allclose(scene, planes[0], rtol=1e-5)
    np.testing.assert_allclose(sums[:, k.BKG], (profiles[0] ** 1 / (profiles[0] ** 2).sum(axis=0) * level).sum(axis=0)[None].repeat(2, 0)
                               if order >= 0 else 0, rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize("order", [-1, 1])
def test_profile_fit_by_numpy(order):
    planes = stack(7, 0.15)
    image, *variances = masked(planes)
    profiles = gaussians(SHAPE, 4.0)
    profiles[0, :2] = 0
    sums, _ = profiles_fit(planes, profiles, order)
    y = np.linspace(-1, 1, SHAPE[1])
    for i in range(2):
        for x in range(SHAPE[2]):
            used = (profiles[0, :, x] != 0) & np.isfinite(image[i, :, x]) & np.isfinite(sum(v[i, :, x] for v in variances))
            design = np.concatenate([y[:, None] ** np.arange(order + 1), profiles[0, :, x][:, None]], axis=1)[used]
            shares = np.linalg.pinv(design)[-1]
            np.testing.assert_allclose(sums[i, k.FLUX, x], shares @ image[i, used, x], rtol=1e-9)
            for m in range(3):
                np.testing.assert_allclose(sums[i, k.POISSON + m, x], shares**2 @ variances[m][i, used, x], rtol=1e-9)
            p = profiles[0, :, x]
            np.testing.assert_allclose(sums[i, k.NPIXELS, x], p[used].sum() / (p**2).sum(), rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_inverse_of_symmetric_matrices(n, seed):
    a = np.random.default_rng(seed).normal(size=(n + 3, n))
    matrix = a.T @ a
    inverse = np.empty((n, n))
    assert k.invert_symmetric(matrix.copy(), np.empty((n, n)), inverse)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("matrix", [np.zeros((2, 2)), np.ones((2, 2)), np.diag([1.0, 1e-11]), np.zeros((1, 1))])
def test_singular_matrices_are_refused(matrix):
    assert not k.invert_symmetric(matrix.copy(), np.empty_like(matrix), np.empty_like(matrix))


@given(st.lists(st.floats(0, 20), min_size=2, max_size=6, unique=True), st.floats(-5, 25))
def test_clamped_interpolation(nodes, at):
    nodes = np.sort(np.array(nodes))
    values = np.cos(nodes)
    expected = np.interp(at, nodes, values)
    assert interpolate_clamped(at, nodes[:, None], values[:, None], 0) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_columns():
    rng = np.random.default_rng(8)
    sums = rng.uniform(1, 2, (3, k.NSUMS, 6))
    sums[1, k.FLUX, 2], sums[1, k.NPIXELS, 2] = np.nan, 0.0
    keep, wavelength = np.array([1, 2, 4]), np.array([1.0, 1.5, 2.0])
    sizes, factors = np.array([[1.0] * 3, [3.0] * 3]), np.array([[1.2] * 3, [1.1] * 3])
    for surface, tables in ((True, True), (False, False)):
        out = np.empty((3, len(COLUMNS), 3))
        nodes = (sizes, factors) if tables else (sizes[:0], factors[:0])
        spectral_columns(sums, keep, wavelength, surface, 10.0, 100.0, 4.0, np.array([2.0, 1.0, 0.5]), *nodes, out)
        s = sums[:, :, keep].transpose(1, 0, 2)
        count = np.where(s[8] > 0, s[8], 1)
        c = np.interp(s[8], [1, 3], [1.2, 1.1]) if tables else np.array([2.0, 1.0, 0.5])
        got = dict(zip(COLUMNS, out.transpose(1, 0, 2), strict=True))
        expected = {"WAVELENGTH": np.broadcast_to(wavelength, (3, 3)), "FLUX": s[0] * 10 * c, "NPIXELS": s[8], "BACKGROUND": s[4] / count / 4,
                    "FLUX_ERROR": np.sqrt(s[1] + s[2] + s[3]) * 10 * c, "SURF_BRIGHT": s[0] / count * c * surface,
                    "SB_ERROR": np.sqrt(s[1] + s[2] + s[3]) / count * c * surface, "DQ": np.isnan(s[0]),
                    "BKGD_ERROR": np.sqrt(s[5] + s[6] + s[7]) / count / 4}  # fmt: skip
        for m, part in enumerate(("POISSON", "RNOISE", "FLAT")):
            expected[f"FLUX_VAR_{part}"] = s[1 + m] * 100 * c**2
            expected[f"SB_VAR_{part}"] = s[1 + m] / count**2 * c**2 * surface
            expected[f"BKGD_VAR_{part}"] = s[5 + m] / count**2 / 16
        if not surface:
            expected["SURF_BRIGHT"] = np.zeros((3, 3))
        assert set(expected) == set(COLUMNS)
        for name, values in expected.items():
            np.testing.assert_allclose(got[name], values, rtol=1e-12, err_msg=name)
