"""A cube from a long slit that was stepped across the sky: exposures of parallel slitlets, onto two axes on the sky and one of wavelength.

Every detector pixel is a box: the width of the slit, the height of the pixel along the slit, and its range of wavelengths. Boxes are
shared out among the voxels by common volume, so that surface brightness times solid angle is conserved. The layout of the result is
that of the reference's ``s3d`` products (IFUCubeModel).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.data.dq import DO_NOT_USE, PIXEL
from jwst_dask.steps.stage2.resample_spec.footprint import Footprint, footprint
from jwst_dask.wcs.rectified import from_tangent, to_tangent
from jwst_dask.wcs.slitwcs import GwcsSlit, SlitWcs

DEGREES = 1 / 3600
PARALLEL = 1.0
"""Largest angle between slitlets (degrees)."""


@dataclass(frozen=True)
class Piece:
    """A slitlet of one exposure.

    Attributes
    ----------
    wcs : SlitWcs
    sci, var : float[y, x]
        Surface brightness and its variance; NaN where pixels are bad.
    weight : float[y, x]
        Zero where pixels are not to be used.
    """

    wcs: SlitWcs
    sci: np.ndarray
    var: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class CubeGrid:
    """The voxels of a cube.

    Attributes
    ----------
    shape : (int, int, int)
        Wavelengths, rows (along the slit), columns (across it).
    centre : (float, float)
        Right ascension and declination (degrees) of the tangent point, in the middle of the image.
    angle : float
        Of the slit, from north through east (degrees): the direction of rows.
    spaxel : (float, float)
        Arcseconds across and along the slit.
    wave0, wave_step : float
        Wavelength of the first plane, and from plane to plane (microns).
    """

    shape: tuple[int, int, int]
    centre: tuple[float, float]
    angle: float
    spaxel: tuple[float, float]
    wave0: float
    wave_step: float

    def position(self, ra: Any, dec: Any) -> tuple[np.ndarray, np.ndarray]:
        """Column and row of positions (pixels, from 0)."""
        across, along = turned(*to_tangent(ra, dec, *self.centre), self.angle)
        _, ny, nx = self.shape
        return across / (self.spaxel[0] * DEGREES) + (nx - 1) / 2, along / (self.spaxel[1] * DEGREES) + (ny - 1) / 2


def longslit_cube(
    files: Sequence[str | os.PathLike[str]],
    *,
    slits: Iterable[str] | None = None,
    spaxel: tuple[float, float] | None = None,
    wave_step: float | None = None,
    wave_range: tuple[float, float] | None = None,
    weight_type: str = "exptime",
    output: str | os.PathLike[str] | None = None,
) -> Any:
    """A cube from the exposures of a stepped long slit.

    Parameters
    ----------
    files : sequence of paths
        ``cal`` products (MultiSlitModel), one for each step and detector. Slitlets must be parallel; those of a point source are
        taken to surface brightness by their pixel area (calibrate them as EXTENDED for no correction that assumes a point).
    slits : iterable of str
        Names of the slitlets (default: all).
    spaxel : (float, float)
        Arcseconds across and along the slit (default: width of the slit, height of a detector pixel).
    wave_step : float
        Microns from plane to plane (default: the median step of detector columns).
    wave_range : (float, float)
        First and last wavelength (microns; default: all).
    weight_type : str
        ``exptime``, or ``ivm`` for the inverse read-noise variance.
    output : path
        Where to save the cube.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUCubeModel
        ``data err weightmap``: float32[wavelength, along, across] in MJy/sr, ``dq`` uint32.

    Raises
    ------
    InputError
        For files without slits, without a WCS on the sky, or with slits that are not parallel.
    ParameterError
        For parameters that cannot be used.
    """
    if weight_type not in ("exptime", "ivm"):
        raise ParameterError(f"longslit_cube: weight_type {weight_type!r} is not one of exptime, ivm")
    wanted = None if slits is None else {str(name) for name in slits}
    with ExitStack() as files_open:  # the tables of a WCS are read when they are needed
        models = [open_slits(str(path), files_open) for path in files]
        pieces = [piece for path, model in zip(files, models) for piece in read_pieces(str(path), model, wanted, weight_type)]
        if not pieces:
            raise InputError(
                f"longslit_cube: none of the files has a slit{'' if wanted is None else ' named ' + ', '.join(sorted(wanted))}"
            )
        grid, prints = cube_grid(pieces, spaxel, wave_step, wave_range)
        cube = cube_model(models[0], grid, *fill(pieces, prints, grid))
    if output is not None:
        cube.save(str(output))
    return cube


def open_slits(path: str, stack: ExitStack) -> Any:
    """A product with slits; closed with `stack`.

    Raises
    ------
    InputError
        For a file of another kind.
    """
    from stdatamodels.jwst import datamodels

    if not os.path.exists(path):
        raise InputError(f"longslit_cube: there is no file {path}")
    model = stack.enter_context(datamodels.open(path))
    if not hasattr(model, "slits"):
        raise InputError(f"{path} is a {type(model).__name__}, not the product of an exposure with slits")
    return model


def read_pieces(path: str, model: Any, wanted: set[str] | None, weight_type: str) -> Iterator[Piece]:
    """The slitlets of an exposure.

    Raises
    ------
    InputError
        For slits that are not on the sky, or not calibrated.
    """
    exposure = model.meta.exposure
    seconds = float(exposure.measurement_time or exposure.exposure_time or 1.0)
    for slit in model.slits:
        if wanted is not None and str(slit.name) not in wanted:
            continue
        if slit.meta.wcs is None or "world" not in slit.meta.wcs.available_frames:
            raise InputError(f"{path}: slit {slit.name} has no WCS on the sky")
        sci, err, noise = (np.array(plane, float) for plane in (slit.data, slit.err, slit.var_rnoise))
        if "sr" not in str(slit.meta.bunit_data):
            area = slit.meta.photometry.pixelarea_steradians
            if not area:
                raise InputError(f"{path}: slit {slit.name} has no pixel area, to take its fluxes to surface brightness")
            sci, err, noise = sci / area, err / area, noise / area**2
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.full(sci.shape, seconds) if weight_type == "exptime" else 1 / noise
        bad = (slit.dq & np.uint32(DO_NOT_USE | PIXEL["NON_SCIENCE"])) != 0
        weight[bad | ~np.isfinite(weight) | ~np.isfinite(sci)] = 0
        yield Piece(GwcsSlit(slit.meta.wcs), sci, err**2, weight)


def cube_grid(
    pieces: Sequence[Piece], spaxel: tuple[float, float] | None, wave_step: float | None, wave_range: tuple[float, float] | None
) -> tuple[CubeGrid, list[Footprint]]:
    """The voxels that hold all slitlets, and where the pixels of each lie.

    Raises
    ------
    InputError
        When slitlets are not parallel, or have no pixels.
    ParameterError
        For sizes that are not positive.
    """
    prints = [footprint(piece.wcs) for piece in pieces]
    if not prints or any(slit.empty for slit in prints):
        raise InputError("longslit_cube: a slit has no pixels")
    middles = [float(np.nanmean(slit.ys)) for slit in prints]
    waves = [float(np.nanmean(slit.wave)) for slit in prints]
    centre = tuple(float(v) for v in pieces[0].wcs.slit_to_sky(0.0, middles[0], waves[0]))
    angles = [slit_angle(slit, middle, wave, centre) for slit, middle, wave in zip(prints, middles, waves)]
    spread = max(abs((angle - angles[0] + 90) % 180 - 90) for angle in angles)
    if spread > PARALLEL:
        raise InputError(f"longslit_cube: the slits are not parallel (up to {spread:.1f} degrees between them)")
    if spaxel is None:
        spaxel = width_of(prints[0], middles[0], waves[0], centre) / DEGREES, _height(prints[0], angles[0], centre) / DEGREES
    step = wave_step if wave_step is not None else float(np.median([np.median(np.diff(np.sort(slit.column_waves))) for slit in prints]))
    if min(*spaxel, step) <= 0:
        raise ParameterError("longslit_cube: spaxel and wave_step must be positive")
    planes = [sky_plane(slit, centre, angles[0]) for slit in prints]
    half = 0.5 * width_of(prints[0], middles[0], waves[0], centre)
    low = [min(float(np.nanmin(plane[i])) for plane in planes) - (half, 0.0)[i] for i in (0, 1)]
    high = [max(float(np.nanmax(plane[i])) for plane in planes) + (half, 0.0)[i] for i in (0, 1)]
    first, last = wave_range or (min(float(np.nanmin(s.wave)) for s in prints), max(float(np.nanmax(s.wave)) for s in prints))
    nx = max(1, int(np.ceil((high[0] - low[0]) / (spaxel[0] * DEGREES) - 1e-6)))
    ny = int(np.ceil((high[1] - low[1]) / (spaxel[1] * DEGREES) - 1e-6)) + 1
    nz = int(np.ceil((last - first) / step - 1e-6)) + 1
    middle = turned(0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]), angles[0])
    ra, dec = (float(v) for v in from_tangent(*middle, *centre))
    return CubeGrid((nz, ny, nx), (ra, dec), angles[0], (float(spaxel[0]), float(spaxel[1])), float(first), step), prints


def fill(pieces: Sequence[Piece], prints: Sequence[Footprint], grid: CubeGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean surface brightness, its error and the weight (float32[z, y, x]; NaN where nothing falls)."""
    from jwst_dask.kernels.drizzle_cube import add_boxes

    total, noise, volume = (np.zeros(grid.shape) for _ in range(3))
    for piece, slit in zip(pieces, prints):
        low, high = boxes(slit, grid)
        x0, y0 = int(slit.x[0, 0]), int(slit.y[0, 0])
        here = slice(y0, y0 + slit.x.shape[0]), slice(x0, x0 + slit.x.shape[1])
        values = (np.ascontiguousarray(plane[here], float).ravel() for plane in (piece.sci, piece.var, piece.weight))
        add_boxes(low, high, *values, total, noise, volume)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total / volume).astype(np.float32), (np.sqrt(noise) / volume).astype(np.float32), volume.astype(np.float32)


def boxes(slit: Footprint, grid: CubeGrid) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edges of the pixels of a slitlet, in voxels along z, y, x (float64[pixel, 3])."""
    edges = []
    for xs in (-0.5, 0.5):
        plane = slit.plane(lambda ys, wave, xs=xs: np.array(grid.position(*slit.wcs.slit_to_sky(np.full_like(ys, xs), ys, wave))))
        edges.append(plane.values)
    column, row = 0.5 * (edges[0] + edges[1])
    width = np.abs(edges[1][0] - edges[0][0])
    height, depth = np.abs(_gradient(row, 0)), np.abs(_gradient(slit.wave, 1)) / grid.wave_step
    centre = np.stack([(slit.wave - grid.wave0) / grid.wave_step, row, column], axis=-1).reshape(-1, 3)
    half = 0.5 * np.stack([depth, height, width], axis=-1).reshape(-1, 3)
    return centre - half, centre + half


def sky_plane(slit: Footprint, centre: tuple[float, ...], angle: float) -> np.ndarray:
    """Degrees across and along the slit of all pixels (float64[2, y, x]), from `centre`."""

    def project(ys: np.ndarray, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return turned(*to_tangent(*slit.wcs.slit_to_sky(np.zeros_like(ys), ys, wave), *centre), angle)

    return slit.plane(project).values


def turned(east: Any, north: Any, angle: float) -> tuple[Any, Any]:
    """East and north to across and along a slit at this angle (degrees, from north through east); the way back is the same."""
    s, c = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
    return -c * east + s * north, s * east + c * north


def slit_angle(slit: Footprint, ys: float, wave: float, centre: tuple[float, ...]) -> float:
    """Position angle of a slit on the sky (degrees)."""
    ra, dec = slit.wcs.slit_to_sky(np.zeros(2), np.array([ys - 0.25, ys + 0.25]), np.full(2, wave))
    east, north = to_tangent(ra, dec, *centre)
    return float(np.rad2deg(np.arctan2(east[1] - east[0], north[1] - north[0])))


def width_of(slit: Footprint, ys: float, wave: float, centre: tuple[float, ...]) -> float:
    """Width of a slit (degrees)."""
    ra, dec = slit.wcs.slit_to_sky(np.array([-0.5, 0.5]), np.full(2, ys), np.full(2, wave))
    east, north = to_tangent(ra, dec, *centre)
    return float(np.hypot(east[1] - east[0], north[1] - north[0]))


def _height(slit: Footprint, angle: float, centre: tuple[float, ...]) -> float:
    return float(np.nanmedian(np.abs(np.diff(sky_plane(slit, centre, angle)[1], axis=0))))


def _gradient(values: np.ndarray, axis: int) -> np.ndarray:
    """Change from pixel to pixel along an axis; at the edges, that of the next pixel."""
    steps = np.diff(values, axis=axis)
    pad = [(0, 0), (0, 0)]
    pad[axis] = (1, 1)
    steps = np.pad(steps, pad, constant_values=np.nan)
    before, after = (np.take(steps, range(i, steps.shape[axis] - 1 + i), axis=axis) for i in (0, 1))
    return np.where(np.isnan(before), after, np.where(np.isnan(after), before, 0.5 * (before + after)))


def cube_model(exposure: Any, grid: CubeGrid, data: np.ndarray, err: np.ndarray, weight: np.ndarray) -> Any:
    """The IFUCubeModel of a cube."""
    from stdatamodels.jwst import datamodels

    cube = datamodels.IFUCubeModel()
    cube.update(exposure)
    cube.data, cube.err, cube.weightmap = data, err, weight
    cube.dq = np.where(weight > 0, 0, PIXEL["DO_NOT_USE"] | PIXEL["NON_SCIENCE"]).astype(np.uint32)
    cube.meta.bunit_data = cube.meta.bunit_err = "MJy/sr"
    nz, ny, nx = grid.shape
    matrix = pixel_matrix(grid) / (np.array(grid.spaxel)[:, None] * DEGREES)
    info = {
        "wcsaxes": 3, "crpix1": (nx + 1) / 2, "crpix2": (ny + 1) / 2, "crpix3": 1.0, "crval1": grid.centre[0], "crval2": grid.centre[1],
        "crval3": grid.wave0, "cdelt1": grid.spaxel[0] * DEGREES, "cdelt2": grid.spaxel[1] * DEGREES, "cdelt3": grid.wave_step,
        "ctype1": "RA---TAN", "ctype2": "DEC--TAN", "ctype3": "WAVE", "cunit1": "deg", "cunit2": "deg", "cunit3": "um",
        "pc1_1": matrix[0, 0], "pc1_2": matrix[0, 1], "pc1_3": 0.0, "pc2_1": matrix[1, 0], "pc2_2": matrix[1, 1], "pc2_3": 0.0,
        "pc3_1": 0.0, "pc3_2": 0.0, "pc3_3": 1.0,
    }  # fmt: skip
    for name, value in info.items():
        setattr(cube.meta.wcsinfo, name, float(value) if isinstance(value, np.floating) else value)
    area = grid.spaxel[0] * grid.spaxel[1]
    cube.meta.photometry.pixelarea_arcsecsq = area
    cube.meta.photometry.pixelarea_steradians = area / float(np.rad2deg(3600.0) ** 2)
    cube.meta.instance["wcs"] = cube_gwcs(grid)
    return cube


def pixel_matrix(grid: CubeGrid) -> np.ndarray:
    """``CDi_j`` of the axes on the sky: columns and rows to degrees east and north (float64[2, 2])."""
    return np.array([turned(*unit, grid.angle) for unit in ((1.0, 0.0), (0.0, 1.0))]) * np.array(grid.spaxel) * DEGREES


def cube_gwcs(grid: CubeGrid) -> Any:
    """The gwcs object of a cube: x, y, z to right ascension, declination (degrees) and wavelength (microns)."""
    from astropy import units as u
    from astropy.coordinates import ICRS
    from astropy.modeling.models import AffineTransformation2D, Linear1D, Pix2Sky_TAN, RotateNative2Celestial, Shift
    from gwcs import WCS
    from gwcs import coordinate_frames as cf

    nz, ny, nx = grid.shape
    matrix = pixel_matrix(grid)
    scale = AffineTransformation2D(matrix)
    scale.inverse = AffineTransformation2D(np.linalg.inv(matrix))
    sky = Shift(-(nx - 1) / 2) & Shift(-(ny - 1) / 2) | scale | Pix2Sky_TAN() | RotateNative2Celestial(*grid.centre, 180)
    detector = cf.CoordinateFrame(3, ("SPATIAL",) * 3, (0, 1, 2), unit=(u.pix,) * 3, name="detector", axes_names=("x", "y", "z"))
    plane = cf.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=ICRS())
    spectral = cf.SpectralFrame(name="wave", axes_order=(2,), unit=(u.micron,), axes_names=("wavelength",))
    world = cf.CompositeFrame([plane, spectral], name="world")
    wcs = WCS([(detector, sky & Linear1D(grid.wave_step, grid.wave0)), (world, None)])
    wcs.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5), (-0.5, nz - 0.5))
    return wcs
