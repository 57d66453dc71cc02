"""Jumps: parts of the search against plain numpy, and properties of its flags."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jwst_dask.kernels.ramp import lanes, regions, showers, snowballs
from jwst_dask.kernels.ramp.jump import CLIP_INTEGRATIONS, ITERATIVE, SINGLE, Options, dead_groups, find_jumps, method

JUMP, SATURATED, DO_NOT_USE = 4, 2, 1


def ramps(seed: int, shape: tuple[int, int, int, int] = (2, 12, 6, 9), nans: float = 0.02) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    step = rng.normal(20, 3, shape) + (rng.random(shape) < 0.04) * rng.exponential(400, shape)
    sci = np.cumsum(step, axis=1).astype(np.float32)
    sci[rng.random(shape) < nans] = np.nan
    flags = np.zeros(shape, np.uint8)
    flags[rng.random(shape) < 0.03] |= DO_NOT_USE
    flags[np.maximum.accumulate(rng.random(shape) < 0.01, axis=1)] |= SATURATED
    gain, noise = rng.uniform(1, 2, shape[2:]).astype(np.float32), rng.uniform(2, 6, shape[2:]).astype(np.float32)
    return sci, flags, gain, noise


def plain(sci: np.ndarray, flags: np.ndarray, gain: np.ndarray, noise: np.ndarray, limit: float) -> np.ndarray:
    """All jumps at once, in numpy."""
    signal = np.where(flags & 3, np.float32(np.nan), sci * gain)
    diffs = np.diff(signal, axis=1).astype(np.float64)
    with np.errstate(all="ignore"):
        median = np.array([[np.nanmedian(diffs[:, :, y, x]) if np.isfinite(diffs[:, :, y, x]).any() else np.nan
                            for x in range(sci.shape[3])] for y in range(sci.shape[2])])  # fmt: skip
        sigma = np.sqrt(np.abs(median) + (noise * gain) ** 2)
        out = flags.copy()
        out[:, 1:][np.abs(diffs - median) / sigma > limit] |= JUMP
    return out


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 9, 31, 64, 100])
def test_sort(n: int) -> None:
    work = np.random.default_rng(n).normal(size=(n, 16)).astype(np.float32)
    work[n // 2 :, 3] = np.inf
    expected = np.sort(work, axis=0)
    lanes.sort(work)
    assert np.array_equal(work, expected)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), nans=st.sampled_from([0.0, 0.1, 0.6, 1.0]), nx=st.sampled_from([1, 3, 65]))
def test_single_pass(seed: int, nans: float, nx: int) -> None:
    sci, flags, gain, noise = ramps(seed, (2, 12, 2, nx), nans)
    expected, before = plain(sci, flags, gain, noise, 4.0), sci.copy()
    count = find_jumps(sci, flags, gain, noise, Options(neighbours=False))
    assert np.array_equal(flags, expected)
    assert count is not None
    assert np.array_equal(count, np.count_nonzero(expected & JUMP, axis=(1, 2, 3)))
    assert np.array_equal(sci, before, equal_nan=True)


def test_methods() -> None:
    dead = np.zeros((2, 12), np.bool_)
    assert method(dead, Options()) == SINGLE
    dead[1, :2] = True
    assert method(dead, Options()) == ITERATIVE
    dead[1, 2:10] = True
    assert method(dead, Options()) is None
    assert method(dead, Options(clip_groups=2)) == CLIP_INTEGRATIONS


def test_one_jump_and_its_neighbours() -> None:
    sci = np.broadcast_to(np.arange(6, dtype=np.float32)[None, :, None, None] * 10, (1, 6, 5, 5)).copy()
    sci[0, 3:, 2, 0] += 300
    flags = np.zeros(sci.shape, np.uint8)
    flags[0, 3, 1, 0] = SATURATED
    plane = np.ones((5, 5), np.float32)
    find_jumps(sci, flags, plane, plane * 4, Options())
    found = {tuple(place) for place in np.argwhere(flags & JUMP)[:, 1:]}
    assert found == {(3, 2, 0), (3, 3, 0), (3, 2, 1)}


def test_after_jumps() -> None:
    sci = np.broadcast_to(np.arange(9, dtype=np.float32)[None, :, None, None] * 10, (1, 9, 1, 2)).copy()
    sci[0, 3:, 0, 0] += 300
    sci[0, 3:, 0, 1] += 3000
    flags, plane = np.zeros(sci.shape, np.uint8), np.ones((1, 2), np.float32)
    find_jumps(sci, flags, plane, plane, Options(neighbours=False, after_size=(200.0, 2000.0), after_groups=(1, 3)))
    assert np.flatnonzero(flags[0, :, 0, 0]).tolist() == [3, 4]
    assert np.flatnonzero(flags[0, :, 0, 1]).tolist() == [3, 4, 5, 6]


def test_nothing_usable() -> None:
    sci, flags, gain, noise = ramps(1)
    flags |= SATURATED
    flags[0] |= DO_NOT_USE | JUMP
    assert find_jumps(sci, flags, gain, noise, Options()) is None
    assert not (flags & JUMP).any()
    assert dead_groups(flags).tolist() == [[True] * 12, [False] * 12]
    sci, flags, gain, noise = ramps(1)
    find_jumps(sci, flags, gain, np.full_like(noise, np.nan), Options())
    assert not (flags & JUMP).any()


@pytest.mark.parametrize("options", [Options(), Options(single_pass=50), Options(clip_groups=2, rejection=1.2)])
def test_bands_and_columns(options: Options) -> None:
    """A pixel's flags depend on its neighbours only."""
    sci, flags, gain, noise = ramps(5, (3, 12, 9, 70))
    whole = flags.copy()
    find_jumps(sci, whole, gain, noise, options)
    rows, columns = slice(3, 8), slice(10, 60)
    part = np.ascontiguousarray(flags[:, :, rows, columns])
    find_jumps(
        np.ascontiguousarray(sci[:, :, rows, columns]), part, gain[rows, columns].copy(), noise[rows, columns].copy(), options, whole=False
    )
    assert np.array_equal(part[:, :, 1:-1, 1:-1], whole[:, :, 4:7, 11:59])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.7))
def test_regions(seed: int, share: float) -> None:
    mask = (np.random.default_rng(seed).random((13, 17)) < share).astype(np.uint8)
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    found = regions.find_regions(mask.copy(), 0)
    assert len(found) == n
    for k in range(n):
        own = labels == labels[tuple(found.pixels[found.ends[k]])]
        y, x = np.nonzero(own)
        assert sorted(zip(y, x)) == sorted(map(tuple, found.pixels[found.ends[k] : found.ends[k + 1]]))
        assert found.filled(k) == np.count_nonzero(ndimage.binary_fill_holes(own, np.ones((3, 3))))
        large, small = np.sqrt(np.clip(np.linalg.eigvalsh(np.cov(np.stack([x, y]), bias=True)), 0, None))[::-1]
        ellipse = found.ellipse(k)
        assert np.allclose(ellipse[:4], (x.mean(), y.mean(), 4 * small - 1, 4 * large - 1), atol=1e-6)
        assert found.may_be_wider(k, ellipse.minor - 1e-9)
        assert found.reach(k) > ellipse.major / 2


def test_least_area_counts_holes() -> None:
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 1
    mask[3:6, 3:6] = 0
    assert len(regions.find_regions(mask.copy(), 25)) == 1
    assert len(regions.find_regions(mask.copy(), 26)) == 0
    assert len(regions.find_regions(np.zeros((9, 9), np.uint8), 1)) == 0


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0])
def test_footprint(angle: float) -> None:
    rows, columns, inside = regions.footprint(10.2, 3.9, 12.0, 5.0, angle, (20, 22))
    y, x = np.mgrid[rows, columns]
    turn = np.radians(angle)
    along, aside = (x - 10) * np.cos(turn) - (y - 4) * np.sin(turn), (x - 10) * np.sin(turn) + (y - 4) * np.cos(turn)
    size = (along / 6) ** 2 + (aside / 2) ** 2
    off = np.abs(size - 1) > 1e-9
    assert np.array_equal(inside[off], size[off] < 1)
    assert not regions.footprint(5, 5, 0.4, 8, angle, (20, 22))[2].any()


def test_snowball_with_core() -> None:
    flags = np.zeros((2, 4, 80, 80), np.uint8)
    y, x = np.mgrid[:80, :80]
    apart = np.hypot(x - 40, y - 38)
    flags[0, 1, apart < 6] = JUMP
    flags[0, 1:, apart < 4] = SATURATED
    lonely = flags.copy()
    lonely[lonely == SATURATED] = 0
    assert snowballs.find_snowballs(lonely, snowballs.Options()).tolist() == [0, 0]
    assert snowballs.find_snowballs(flags, snowballs.Options(core_groups=3)).tolist() == [1, 0]
    assert (flags[0, 1, (apart > 6) & (apart < 8)] == JUMP).all()
    assert (flags[0, 1:, apart < 5] == SATURATED).all()
    assert (flags[1, 1:3, apart < 2.5] == JUMP).all()
    assert not flags[1, 3].any()


def test_shower_is_found_and_bounded() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:60, :60]
    sci = np.cumsum(rng.normal(0, 1, (1, 14, 60, 60)), axis=1).astype(np.float32)
    sci[0, 6:] += (8 * np.exp(-0.5 * ((x - 30) ** 2 + (y - 25) ** 2) / 49)).astype(np.float32)
    plane, pixels = np.ones((60, 60), np.float32), np.zeros((60, 60), np.uint32)
    ring = np.ones((3, 3)) / 9
    flags, before = np.zeros(sci.shape, np.uint8), sci.copy()
    options = showers.Options(snr=2.5, groups=1)
    assert showers.find_showers(sci, flags, pixels, plane, plane, ring, options).tolist() == [1]
    assert flags[0, 6:8, 25, 30].tolist() == [JUMP, JUMP]
    assert not flags[0, :6].any()
    assert not flags[0, 8:].any()
    assert np.array_equal(sci, before)
    flags[:] = 0
    showers.find_showers(sci, flags, pixels, plane, plane, ring, showers.Options(snr=2.5, groups=1, max_change=0.0))
    assert not flags.any()
    assert showers.find_showers(sci[:, :6].copy(), flags[:, :6].copy(), pixels, plane, plane, ring, options).tolist() == [0]
