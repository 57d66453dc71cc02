"""longslit_cube against analytic scenes."""

from __future__ import annotations

import numpy as np
import pytest

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.kernels.drizzle_cube import add_boxes
from jwst_dask.steps.stage2.longslit_cube import Piece, boxes, cube_grid, cube_gwcs, cube_model, fill, longslit_cube
from jwst_dask.wcs.rectified import from_tangent, to_tangent

WIDTH, HEIGHT, ANGLE, CENTRE = 0.2 / 3600, 0.1 / 3600, 25.0, (359.99995, 40.0)
UNIT = np.array([[-np.cos(np.deg2rad(ANGLE)), np.sin(np.deg2rad(ANGLE))], [np.sin(np.deg2rad(ANGLE)), np.cos(np.deg2rad(ANGLE))]])


class Slitlet:
    """Ten rows along a slit, `step` widths across from the first; lines of equal wavelength tilted by `tilt` columns a row."""

    on_sky, corrected = True, False

    def __init__(self, step=0.0, start=0.0, shape=(12, 40), tilt=0.3, angle=0.0):
        self.step, self.start, self.shape, self.tilt, self.angle = step, start, shape, tilt, np.deg2rad(angle)
        self.box = (-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5)

    def to_slit(self, x, y, corrected=True):
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        inside = (y > 0.5) & (y < self.shape[0] - 1.5)
        return np.zeros(x.shape), np.where(inside, y / 5 - 1.1, np.nan), np.where(inside, 1 + 0.01 * (x - self.tilt * (y - 5.5)), np.nan)

    def slit_to_sky(self, xs, ys, wavelength):
        across = (np.asarray(xs, float) + self.step) * WIDTH
        along = np.asarray(ys, float) * 5 * HEIGHT + self.start * HEIGHT
        c, s = np.cos(self.angle), np.sin(self.angle)
        east, north = (UNIT[i, 0] * (c * across - s * along) + UNIT[i, 1] * (s * across + c * along) for i in (0, 1))
        return from_tangent(east, north, *CENTRE)


def scene(ra, dec, wave):
    """Surface brightness: a slope on the sky, a line in wavelength that shifts with position."""
    east, north = to_tangent(ra, dec, *CENTRE)
    x, y = (
        (-np.cos(np.deg2rad(ANGLE)) * east + np.sin(np.deg2rad(ANGLE)) * north) * 3600,
        (np.sin(np.deg2rad(ANGLE)) * east + np.cos(np.deg2rad(ANGLE)) * north) * 3600,
    )
    return 5 + 2 * x - 3 * y + 4 * np.exp(-0.5 * ((wave - 1.2 - 0.02 * x) / 0.03) ** 2)


def piece(slitlet, weight=1.0):
    y, x = np.mgrid[: slitlet.shape[0], : slitlet.shape[1]].astype(float)
    _, ys, wave = slitlet.to_slit(x, y)
    sci = scene(*slitlet.slit_to_sky(np.zeros_like(ys), ys, wave), wave)
    return Piece(slitlet, sci, np.full(sci.shape, 0.04), np.where(np.isfinite(sci), weight, 0.0))


@pytest.fixture(scope="module")
def stepped():
    """Five steps of two slitlets one above the other."""
    pieces = [piece(Slitlet(step, start)) for step in range(5) for start in (0, 10)]
    grid, prints = cube_grid(pieces, None, None, None)
    return pieces, grid, prints, fill(pieces, prints, grid)


def test_grid(stepped):
    _, grid, _, _ = stepped
    assert grid.angle == pytest.approx(ANGLE) and grid.spaxel == pytest.approx((0.2, 0.1)) and grid.wave_step == pytest.approx(0.01)
    assert grid.shape[1:] == (20, 5) and grid.shape[0] in (43, 44)


def test_scene_is_recovered(stepped):
    _, grid, _, (data, err, weight) = stepped
    z, y, x = np.indices(grid.shape).astype(float)
    expected = scene(*cube_gwcs(grid)(x, y, z))
    whole = weight > 0.99 * np.median(weight[weight > 0])
    assert whole.mean() > 0.7
    # A box is 0.01 micron deep and so is a voxel; a line of sigma 0.03 is that much wider and lower.
    np.testing.assert_allclose(data[whole], expected[whole], atol=0.2)
    assert np.abs(data[whole] - expected[whole]).mean() < 0.03
    assert np.isnan(data[weight == 0]).all() and (err[whole] < 0.2001).all()


def test_flux_is_conserved(stepped):
    pieces, grid, prints, (data, _, weight) = stepped
    total = volume = 0.0
    for part, slit in zip(pieces, prints):
        low, high = boxes(slit, grid)
        size = np.prod(high - low, axis=1)
        good = np.isfinite(size)
        total += (size * part.sci.ravel())[good].sum()
        volume += size[good].sum()
    inside = np.nansum(data.astype(float) * weight)
    assert volume == pytest.approx(weight.sum(dtype=float), rel=2e-3)  # half of a pixel at the ends of the wavelengths is outside
    assert inside == pytest.approx(total, rel=2e-3)


def test_position_of_a_source(stepped):
    """One bright pixel of one step is in the column of that step, and in its row."""
    pieces, grid, prints, _ = stepped
    empty = [Piece(p.wcs, np.where(np.isfinite(p.sci), 0.0, np.nan), p.var, p.weight) for p in pieces]
    empty[6].sci[4, 20] = 1.0
    data, _, _ = fill(empty, prints, grid)
    z, y, x = np.unravel_index(np.nanargmax(data), data.shape)
    _, ys, wave = pieces[6].wcs.to_slit(20, 4)
    ra, dec = pieces[6].wcs.slit_to_sky(0.0, ys, wave)
    column, row = grid.position(ra, dec)
    assert (x, y) == (round(float(column)), round(float(row)))
    assert abs(grid.wave0 + z * grid.wave_step - wave) < grid.wave_step
    assert np.allclose(cube_gwcs(grid).invert(ra, dec, float(wave), with_bounding_box=False)[:2], (column, row), atol=1e-6)


def test_layout_is_that_of_a_cube(stepped):
    from astropy.wcs import WCS
    from stdatamodels.jwst import datamodels

    _, grid, _, planes = stepped
    cube = cube_model(datamodels.MultiSlitModel(), grid, *planes)
    assert cube.data.shape == grid.shape == cube.dq.shape == cube.weightmap.shape and cube.meta.bunit_data == "MJy/sr"
    assert cube.meta.photometry.pixelarea_arcsecsq == pytest.approx(0.02)
    info = cube.meta.wcsinfo
    header = {f"{key.upper()}{i}": info.instance[f"{key}{i}"] for key in ("crpix", "crval", "cdelt", "ctype", "cunit") for i in (1, 2, 3)}
    header |= {f"PC{i}_{j}": info.instance[f"pc{i}_{j}"] for i in (1, 2, 3) for j in (1, 2, 3)}
    x, y, z = np.array([0.0, 3]), np.array([0.0, 17]), np.array([0.0, 30])
    fits = WCS({"NAXIS": 3, **header}).pixel_to_world_values(x, y, z)
    own = cube.meta.wcs(x, y, z)
    np.testing.assert_allclose(fits[:2], own[:2], atol=1e-10)
    np.testing.assert_allclose(np.array(fits[2]) * 1e6, own[2], rtol=1e-10)


def test_weights_count():
    one, other = piece(Slitlet(), 3.0), piece(Slitlet(), 1.0)
    one.sci[:], other.sci[:] = np.where(np.isfinite(one.sci), 1.0, np.nan), np.where(np.isfinite(other.sci), 5.0, np.nan)
    grid, prints = cube_grid([one, other], (0.2, 0.1), 0.02, (1.0, 1.3))
    data, err, _ = fill([one, other], prints, grid)
    assert grid.shape[0] == 16 and np.nanmax(np.abs(data - 2)) < 1e-6 and np.nanmin(err) > 0


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="parallel"):
        cube_grid([piece(Slitlet()), piece(Slitlet(1, angle=5))], None, None, None)
    with pytest.raises(ParameterError, match="positive"):
        cube_grid([piece(Slitlet())], (0.1, -1), None, None)
    with pytest.raises(ParameterError, match="weight_type"):
        longslit_cube([], weight_type="flat")
    with pytest.raises(InputError, match="no file"):
        longslit_cube([tmp_path / "no.fits"])
    with pytest.raises(InputError, match="none of the files"):
        longslit_cube([])


def test_shares_of_boxes():
    rng = np.random.default_rng(2)
    low = rng.uniform(0, 6, (40, 3))
    high = low + rng.uniform(0.1, 2.5, (40, 3))
    value, weight = rng.normal(0, 1, 40), rng.uniform(0.5, 2, 40)
    low[3, 1] = value[5] = np.nan
    weight[7] = 0
    total, noise, volume = (np.zeros((10, 10, 10)) for _ in range(3))
    add_boxes(low, high, value, value**2, weight, total, noise, volume)
    used = np.isfinite(value) & np.isfinite(low).all(axis=1) & (weight > 0)
    size = (np.prod(high - low, axis=1) * weight)[used]
    assert volume.sum() == pytest.approx(size.sum()) and total.sum() == pytest.approx((size * value[used]).sum())
    edges = np.arange(10) - 0.5
    overlap = [np.clip(np.minimum(high[:, i, None], edges + 1) - np.maximum(low[:, i, None], edges), 0, None)[used] for i in range(3)]
    shares = np.einsum("bz,by,bx,b->bzyx", *overlap, weight[used])
    np.testing.assert_allclose(noise, (shares**2 * value[used][:, None, None, None] ** 2).sum(axis=0), atol=1e-12)
