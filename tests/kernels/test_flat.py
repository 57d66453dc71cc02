"""Component flats of NIRSpec spectra, and the time dependence of photometry: analytic truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jwst_dask.kernels.flat import (
    BAD,
    MISSING,
    Flat,
    Pixels,
    Table,
    averages,
    combine,
    fore_optics,
    image_at,
    neutral,
    pixels,
    shutter_factor,
    usable,
    with_table,
)
from jwst_dask.kernels.timecorr import throughput

NAN = np.nan
WAVE = np.linspace(1, 5, 4001, dtype=np.float64)


def table(f: np.ndarray, err: float = 0.0) -> Table:
    return Table(WAVE.astype("f4"), f.astype("f4"), np.full(WAVE.shape, err, "f4"))


@pytest.mark.parametrize("dispaxis", [1, 2])
def test_gaps_in_wavelength_are_filled_across_dispersion(dispaxis: int) -> None:
    wave = np.array([[NAN, 1, 2, NAN, 4, NAN], [NAN, 1.5, 0, NAN, 4, NAN], [NAN, 2, 4, NAN, -1, NAN]], "f4")
    want = np.array([[1, 1, 2, NAN, 4, 4], [1.5, 1.5, 3, NAN, 4, 4], [2, 2, 4, NAN, 4, 4]])
    got = pixels(wave if dispaxis == 1 else wave.T.copy(), dispaxis)
    centre, width, raw = (a if dispaxis == 1 else a.T for a in (got.centre, got.width, got.raw))
    np.testing.assert_array_equal(centre, want)
    np.testing.assert_array_equal(width, np.hstack([np.diff(want, axis=1), np.diff(want, axis=1)[:, -1:]]))
    np.testing.assert_array_equal(raw, np.nan_to_num(wave))


def test_no_dispersion_and_no_wavelength() -> None:
    wave = np.array([[1, NAN, 3]], "f4")
    got = pixels(wave, 3)
    np.testing.assert_array_equal(got.centre, [[1, 0, 3]])
    assert not got.width.any()
    assert np.isnan(pixels(np.full((2, 3), NAN, "f4"), 1).centre).all()
    assert pixels(np.array([[2.0]], "f4"), 1).width == 0


def test_table_is_averaged_over_pixels() -> None:
    """Three Gauss points integrate a parabola exactly; the mean over a pixel of width w is x^2 + w^2 / 12."""
    wave = np.broadcast_to(np.linspace(1.5, 4.5, 16), (3, 16)).copy()
    got = with_table(None, table(WAVE**2, 0.1), pixels(wave, 1))
    np.testing.assert_allclose(got.data, wave**2 + 0.2**2 / 12, rtol=1e-6)
    np.testing.assert_allclose(got.err, 0.1, rtol=1e-6)
    assert not got.dq.any()
    image = Flat(np.full(wave.shape, 2.0), np.full(wave.shape, 0.3), np.full(wave.shape, 4, "u4"))
    product = with_table(image, table(WAVE**2, 0.1), pixels(wave, 1))
    np.testing.assert_allclose(product.data, 2 * got.data)
    np.testing.assert_allclose(product.err, np.hypot(2 * 0.1, 0.3 * got.data), rtol=1e-6)
    assert (product.dq == 4).all()


def test_beyond_the_table_or_without_wavelength() -> None:
    wave = np.array([[0.5, 1.5, 2.5, 3.5, 5.5], [0.5, 1.5, NAN, 3.5, 5.5]], "f4")
    got = with_table(None, table(np.full(WAVE.shape, 3.0), 0.1), pixels(wave, 1))
    np.testing.assert_allclose(got.data, [[1, 3, 3, 3, 1], [1, 3, 1, 3, 1]])
    np.testing.assert_array_equal(got.dq, [[MISSING, 0, 0, 0, MISSING]] * 2)
    np.testing.assert_allclose(got.err, [[0, 0.1, 0.1, 0.1, 0], [0, 0.1, 0, 0.1, 0]], rtol=1e-6)


def test_usable_rows() -> None:
    nan = NAN
    got = usable(Table(np.array([1, nan, 3, 0, 5, 6]), np.array([1, 1, nan, 1, 0, 2]), np.array([nan, 0, 0, 0, 0, 7])))
    assert [column.tolist()[1:] for column in got] == [[6], [2], [7]]


def test_image_is_interpolated_in_wavelength() -> None:
    planes = np.stack([np.full((1, 6), v, "f4") for v in (1, 3, 7)])
    wave = np.array([[1, 1.5, 2, 3, 0.9, 3.1]], "f4")
    got = image_at(wave, Flat(planes, np.full((1, 6), 0.1, "f4"), np.zeros((1, 6), "u4")), np.array([1, 2, 3], "f4"))
    np.testing.assert_allclose(got.data, [[1, 2, 3, 7, 1, 1]])
    np.testing.assert_array_equal(got.dq, [[0, 0, 0, 0, 1, 1]])
    deep = np.zeros((3, 1, 6), "u4")
    deep[1] = 4
    deep[0, 0, 1] = 1
    got = image_at(wave, Flat(planes, planes / 10, deep), np.array([1, 2, 3], "f4"))
    np.testing.assert_array_equal(got.dq, [[0, 5, 4, 4, 5, 5]])
    np.testing.assert_allclose(got.data, [[1, 1, 3, 7, 1, 1]])
    np.testing.assert_allclose(got.err[0, :4], [0.1, 0.2, 0.3, 0.7])
    single = image_at(wave, Flat(planes[2:], planes[:1], deep[1:2]), np.array([2], "f4"))
    np.testing.assert_array_equal(single.data, planes[2])
    assert single.dq.shape == single.err.shape == (1, 6)


def test_inputs_stay_as_they_are() -> None:
    planes, err, dq = np.full((1, 1, 2), 0, "f4"), np.zeros((1, 2), "f4"), np.zeros((1, 2), "u4")
    neutral(image_at(np.ones((1, 2), "f4"), Flat(planes, err, dq), np.array([2], "f4")))
    assert not planes.any()
    assert not dq.any()


def test_neutral_and_fore_optics() -> None:
    got = neutral(Flat(np.array([[NAN, 0, 2, 3, -1]], "f4"), None, np.array([[0, 4, 1, 0, 0]], "u4")))
    np.testing.assert_array_equal(got.data, [[1, 1, 1, 3, -1]])
    np.testing.assert_array_equal(got.dq, [[MISSING, MISSING | 4, 1, 0, 0]])
    fore = fore_optics(table(np.full(WAVE.shape, 2.0)), pixels(np.array([[0.5, 2, 2.1, 2.2]], "f4"), 1))
    np.testing.assert_array_equal(fore.data, [[NAN, 2, 2, 2]])


def test_combination() -> None:
    shape = (1, 4)
    first = Flat(np.array([[2, 2, NAN, 0]], "f4"), np.full(shape, 0.2), np.array([[0, 1, MISSING, 0]], "u4"))
    second = Flat(np.array([[4, 4, 4, 4]], "f4"), np.full(shape, 0.4), np.array([[8, 0, 0, 0]], "u4"))
    got = combine((first, None, second), shape)
    np.testing.assert_array_equal(got.data, [[8, 1, 1, NAN]])
    np.testing.assert_array_equal(got.dq, [[8, BAD, BAD, BAD]])
    np.testing.assert_allclose(got.err[0, :2], 8 * np.hypot(0.1, 0.1), rtol=1e-6)
    assert got.data.dtype == got.err.dtype == np.float32
    none = combine((None, None, None), shape)
    assert (none.dq == BAD).all()
    assert (none.data == 1).all()
    assert not none.err.any()
    only = combine((Flat(np.full(shape, 2, "f4"), None, None),), shape)
    assert not only.dq.any()
    assert not only.err.any()


def test_throughput_with_time() -> None:
    t0 = np.array([60000.0, 60000.0], "f4")
    linear = {"t0": t0, "lossperyear": np.array([0.1, 0.0], "f4")}
    decay = {"t0": t0, "amplitude": np.array([0.5, 1], "f4"), "tau": np.array([365, 1], "f4"), "const": np.array([0.5, 0], "f4")}
    power = {"t0": t0, "year1value": np.array([0.9, 1], "f4"), "tsoft": np.array([1, 1], "f4"), "alpha": np.array([-0.2, 0], "f4")}
    year = 60365.0
    assert throughput(year, {}, 2).tolist() == [1, 1]
    np.testing.assert_allclose(throughput(year, {"timecoeff_linear": linear}, 2), [0.9, 1], rtol=1e-6)
    np.testing.assert_allclose(throughput(60000, {"timecoeff_exponential": decay}, 2), [1, 1], rtol=1e-6)
    np.testing.assert_allclose(
        throughput(year, {"timecoeff_exponential": decay}, 2), [0.5 + 0.5 / np.e, np.exp(-365)], rtol=1e-5, atol=1e-30
    )
    np.testing.assert_allclose(throughput(year, {"timecoeff_powerlaw": power}, 2), [0.9, 1], rtol=1e-6)
    both = throughput(year, {"timecoeff_linear": linear, "timecoeff_powerlaw": power}, 2)
    np.testing.assert_allclose(both, [0.81, 1], rtol=1e-6)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12), st.sampled_from(["f4", "f8"]), st.data())
def test_averages_are_those_of_numpy(n: int, kind: str, data: st.DataObject) -> None:
    """Bit for bit what three calls of numpy.interp give, with steps, gaps and nodes met exactly."""
    grid = np.cumsum(data.draw(arrays("f4", n, elements=st.floats(0.125, 2, width=32))))
    values = st.one_of(st.floats(-2, 2, width=32), st.just(np.float32(np.inf)))
    factor, err = (data.draw(arrays("f4", n, elements=values)) for _ in range(2))
    places = st.one_of(st.just(0.0), st.just(np.nan), st.floats(0, 25, width=32), st.sampled_from([float(g) for g in grid]))
    centre = data.draw(arrays(kind, (3, 5), elements=places))
    width = data.draw(arrays(kind, (3, 5), elements=st.floats(0, 1, width=32)))
    raw = np.where(data.draw(arrays("?", (3, 5))), 0, np.nan_to_num(centre)).astype(kind)
    with np.errstate(all="ignore"):
        got = averages(Table(grid, factor, err), Pixels(raw, centre, width))
        want = np.zeros_like(centre)
        for point, weight in zip((-np.sqrt(0.15), 0.0, np.sqrt(0.15)), np.array([5.0, 8.0, 5.0]) / 18, strict=True):
            at = centre.astype("f8") + width.astype("f8") * point
            want += weight * np.where(np.isnan(at), np.nan, np.interp(at, grid, factor, left=np.nan, right=np.nan))
        error = np.interp(centre, grid, err, left=np.nan, right=np.nan)
    want[raw <= 0] = 1
    missing = np.isnan(want)
    np.testing.assert_array_equal(got[0], np.where(missing, 1, want))
    np.testing.assert_array_equal(got[2], missing)
    used = ~missing & (raw > 0) & ~np.isnan(centre)
    np.testing.assert_array_equal(got[1], np.where(used, error, 0))


def test_fore_optics_of_a_shutter() -> None:
    """The table times the shutter's flat, which is 1 outside its wavelengths; its error counts in quadrature."""
    wave = np.array([[1.5, 2.5, 4.6, np.nan]], "f4")
    where = Pixels(np.nan_to_num(wave), wave, np.zeros_like(wave))
    with_shutter = shutter_factor(table(np.full(WAVE.shape, 3.0), 0.3), np.array([1, 4], "f4"), np.array([0.5, 0.8], "f4"))
    got = fore_optics(with_shutter, where, np.full(wave.shape, 0.1))
    want = 3 * np.array([0.55, 0.65, 1.0])
    np.testing.assert_allclose(got.data[0, :3], want, rtol=1e-6)
    np.testing.assert_allclose(got.err[0, :3], np.hypot(0.3, 0.1 * want), rtol=1e-6)
    with pytest.raises(ValueError, match="rows"):
        averages(Table(*np.zeros((3, 0), "f4")), where)
