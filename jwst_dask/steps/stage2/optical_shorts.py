"""A check for optical shorts: shutters of the MSA that glow from the heat of a short circuit.

A short too weak for the instrument's electronics to notice warms the area around its shutter, and the dispersed image shows
a spectrum of roughly black-body shape where no shutter is meant to be open (document "NIRSpec MOS caveats"). The check looks
at the frame between the slits, before backgrounds are subtracted, and only reports: no pixel is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.memo import memo
from jwst_dask.data.dq import bits

if TYPE_CHECKING:
    from astropy.table import Table

    from jwst_dask.data.exposure import Block, Draft

BINS = {"PRISM": 16}
BIN = 64
"""Pixels along the dispersion that are taken together; fewer for the short spectra of the prism."""
HEIGHT = 5
"""Rows that a shutter lights."""
TEMPERATURES = np.geomspace(150.0, 1500.0, 20)
"""Kelvin."""
SECOND_RADIATION = 14387.77
"""Micron kelvin."""
THRESHOLD = 7.0
"""Least significance; some hundred thousand positions and temperatures are tried."""
MOST = 20
SHUTTERS = (365, 171)
"""Of a quadrant, along and across the dispersion."""
COARSE = (28, 10)
"""Shutters between those whose traces are computed; the others' are interpolated."""
FINE = 7
"""Shutters, along the dispersion, between those that are tried."""
WAVES = 40
UNUSABLE = np.uint32(bits("DO_NOT_USE+MSA_FAILED_OPEN"))
COLUMNS = (("quadrant", int, ""), ("xcen", int, ""), ("ycen", int, ""), ("y", float, "pixel"), ("x_start", int, "pixel"), ("x_stop", int, "pixel"),
           ("excess", float, ""), ("significance", float, ""), ("temperature", float, "K"), ("temperature_error", float, "K"))  # fmt: skip


@dataclass(frozen=True)
class Traces:
    """Where shutters would be imaged.

    Attributes
    ----------
    shutter : int64[trace, 3]
        Quadrant, number along and across the dispersion.
    bin : int64[trace, sample]
        Consecutive bins of columns that the trace crosses, from 0.
    y : float64[trace, sample]
        Row of the trace at the middle of each bin; NaN where the shutter is not imaged.
    wavelength : float64[trace, sample]
        Microns, or NaN.
    width : int
        Columns of a bin.
    """

    shutter: np.ndarray
    bin: np.ndarray
    y: np.ndarray
    wavelength: np.ndarray
    width: int = BIN


def optical_shorts(draft: Draft, block: Block, threshold: float = THRESHOLD) -> Table:
    """Look for glows in a frame that no background has been subtracted from.

    Parameters
    ----------
    draft : Draft
        After assign_wcs and msa_flagging. Receives the quality figures ``optical_shorts`` (how many) and
        ``optical_short_significance`` (of the strongest, 0 for none).
    block : Block
        The frame.
    threshold : float
        Least significance.

    Returns
    -------
    astropy.table.Table
        As of `find_glows`, the unit of ``excess`` being that of the frame.
    """
    sci, err, dq = (block.arrays[name][0] for name in ("sci", "err", "dq"))
    table = find_glows(sci, err, _usable(draft, sci, err, dq), _all_traces(draft), threshold)
    table["excess"].unit = draft.model.meta.bunit_data or ""
    draft.quality["optical_shorts"] = len(table)
    draft.quality["optical_short_significance"] = float(table["significance"].max()) if len(table) else 0.0
    return table


def find_glows(image: np.ndarray, err: np.ndarray, usable: np.ndarray, traces: Traces, threshold: float = THRESHOLD) -> Table:
    """Spectra of black-body shape along given traces.

    Runs of pixels are reduced to medians, the common background of each column of them is taken off, and what is left is
    compared with the photon rate of black bodies of many temperatures along every trace. A glow must be brighter than
    `threshold` standard deviations, more like a black body than like a constant, and end where its shutter's light does.

    Parameters
    ----------
    image, err : float32[y, x]
        Count rates and their errors.
    usable : bool[y, x]
        True away from all known open shutters.
    traces : Traces
    threshold : float

    Returns
    -------
    astropy.table.Table
        Strongest first: ``quadrant``, ``xcen``, ``ycen`` (the shutter that fits best), ``y`` (row, from 0), ``x_start``,
        ``x_stop`` (columns with a tenth of the peak or more), ``excess`` (peak, in units of the image), ``significance``,
        ``temperature``, ``temperature_error`` (K).
    """
    from astropy.table import Table

    value, weight = _bands(image, err, usable, traces.width)
    rows = np.clip(np.rint(np.nan_to_num(traces.y, nan=-1)).astype(np.int64), -1, value.shape[0] - 1)
    at, shapes = (rows, traces.bin), _shapes(traces.wavelength)
    found: list[tuple[Any, ...]] = []
    for _ in range(2 * MOST if len(traces.shutter) else 0):
        best = _strongest(value, weight, at, shapes)
        if best is None or best[2] < threshold:
            break
        if not _goes_on(best[0], rows, value, weight, traces):
            found.append(_described(best, value, weight, at, shapes, traces))
        for y, k in zip(rows[best[0]], traces.bin[best[0]], strict=True):
            if y >= 0:
                weight[max(0, y - 2 * HEIGHT) : y + 2 * HEIGHT + 1, k] = 0
    table = Table({name: np.array([row[i] for row in found], kind) for i, (name, kind, _) in enumerate(COLUMNS)})
    for name, _, unit in COLUMNS:
        table[name].unit = unit or None
    return table


def black_body(wavelength: np.ndarray, temperature: np.ndarray | float) -> np.ndarray:
    """Photon rate per wavelength of a black body, in arbitrary units.

    Parameters
    ----------
    wavelength : float64[...]
        Microns.
    temperature : float64[...]
        Kelvin.
    """
    with np.errstate(over="ignore"):
        return np.asarray(wavelength**-4 / np.expm1(SECOND_RADIATION / (wavelength * temperature)))


def _bands(image: np.ndarray, err: np.ndarray, usable: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Excess over the background common to each column of bins, averaged over `HEIGHT` rows, and its weight (float64[y, bin])."""
    from jwst_dask.kernels.bins import row_medians

    shape = (image.shape[0], image.shape[1] // width)
    value, variance = np.empty(shape), np.empty(shape)
    row_medians(np.ascontiguousarray(image), np.ascontiguousarray(err), np.ascontiguousarray(usable), width, width // 4, value, variance)
    good = np.isfinite(value) & (variance > 0)
    count, total, spread = (_running(np.where(good, what, 0.0)) for what in (np.ones(shape), value, variance))
    good = count > HEIGHT / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        value, weight = total / count, count**2 / spread
    for k in range(shape[1]):
        inside = good[:, k]
        if inside.any():
            value[:, k] -= np.median(value[inside, k])
            pull = 1.4826 * np.median(np.abs(value[inside, k]) * np.sqrt(weight[inside, k]))
            weight[:, k] /= max(1.0, pull) ** 2  # noise beyond what the errors say
    return np.where(good, value, 0.0), np.where(good, weight, 0.0)


def _running(array: np.ndarray) -> np.ndarray:
    """Sum over `HEIGHT` rows around each."""
    padded = np.pad(array, ((HEIGHT // 2 + 1, HEIGHT // 2), (0, 0)))
    sums = np.cumsum(padded, axis=0)
    return np.asarray(sums[HEIGHT:] - sums[:-HEIGHT])


def _shapes(wavelength: np.ndarray) -> np.ndarray:
    """Counts along each trace for each temperature, 1 at the peak, and last for a constant (float64[temperature + 1, trace, bin])."""
    known = np.isfinite(wavelength)
    safe = np.where(known, wavelength, 1.0)
    step = np.abs(np.gradient(safe, axis=1))
    edge = known & ~(np.roll(known, 1, axis=1) & np.roll(known, -1, axis=1))
    inner = np.where(known & ~edge, step, 0.0)
    step = np.where(edge, np.maximum(np.roll(inner, 1, axis=1), np.roll(inner, -1, axis=1)), inner)
    shapes = np.stack([black_body(safe, t) * step for t in TEMPERATURES] + [np.ones_like(safe)]) * known
    peak = shapes.max(axis=2, keepdims=True)
    return np.asarray(shapes / np.where(peak > 0, peak, 1.0), np.float32)


Place = tuple[np.ndarray, np.ndarray]


def _fits(value: np.ndarray, weight: np.ndarray, at: Place, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Significance and amplitude of every shape along every trace (float64[temperature + 1, trace])."""
    rows, columns = at
    w = np.where(rows >= 0, weight[rows, columns], 0.0)
    wv = w * value[rows, columns]
    product, norm = np.einsum("tnk,nk->tn", shapes, wv), np.einsum("tnk,tnk,nk->tn", shapes, shapes, w)
    with np.errstate(divide="ignore", invalid="ignore"):
        significance = np.where(norm > 0, product / np.sqrt(norm), 0.0)
        return significance, np.where(norm > 0, product / norm, 0.0)


def _strongest(value: np.ndarray, weight: np.ndarray, at: Place, shapes: np.ndarray) -> tuple[int, int, float] | None:
    """Trace, temperature and significance of the strongest glow that is more like a black body than a constant."""
    significance, _ = _fits(value, weight, at, shapes)
    hot = np.where(significance[:-1] > significance[-1] + 0.5, significance[:-1], 0.0)
    t, trace = np.unravel_index(int(np.argmax(hot)), hot.shape)
    return None if hot[t, trace] <= 0 else (int(trace), int(t), float(hot[t, trace]))


def _goes_on(trace: int, rows: np.ndarray, value: np.ndarray, weight: np.ndarray, traces: Traces) -> bool:
    """Whether the rows of a trace are about as bright where its shutter has no light: a stripe, not a glow."""
    inside = rows[trace] >= 0
    y, k = rows[trace, inside], traces.bin[trace, inside]
    outside = np.setdiff1d(np.arange(value.shape[1]), np.arange(k[0] - 1, k[-1] + 2))
    at = np.where(outside < k[0], y[0], y[-1])  # the row at the nearer end
    w = weight[at, outside]
    if not w.sum() > 0:
        return False
    mean = float(np.sum(w * value[at, outside]) / w.sum())
    own = float(np.sum(weight[y, k] * value[y, k]) / max(weight[y, k].sum(), 1e-300))
    return mean * np.sqrt(w.sum()) > 4 and mean > 0.3 * own


def _described(best: tuple[int, int, float], value: np.ndarray, weight: np.ndarray, at: Place, shapes: np.ndarray, traces: Traces) -> tuple[Any, ...]:
    """A row of the table. The temperature is an average over all that fit, and over the shutters of the same row of the MSA."""
    trace, t, significance = best
    alike = np.flatnonzero((traces.shutter[:, (0, 2)] == traces.shutter[trace, (0, 2)]).all(axis=1))
    squares, _ = _fits(value, weight, (at[0][alike], at[1][alike]), shapes[:, alike])
    _, amplitude = _fits(value, weight, (at[0][trace : trace + 1], at[1][trace : trace + 1]), shapes[:, trace : trace + 1])
    gain = np.clip(squares[:-1], 0, None) ** 2  # how much better than no glow, in chi square
    likely = np.exp(-0.5 * (gain.max() - gain)).sum(axis=1)
    log_t = np.log(TEMPERATURES)
    mean = float(np.sum(likely * log_t) / likely.sum())
    spread = float(np.sqrt(np.sum(likely * (log_t - mean) ** 2) / likely.sum() + (log_t[1] - log_t[0]) ** 2 / 12))
    lit = np.flatnonzero((shapes[t, trace] > 0.1) & (at[0][trace] >= 0))
    row, first, last = float(traces.y[trace, lit].mean()), int(traces.bin[trace, lit[0]]), int(traces.bin[trace, lit[-1]])
    return (*(int(n) for n in traces.shutter[trace]), row, first * traces.width, (last + 1) * traces.width, float(amplitude[t, 0]),
            significance, float(np.exp(mean)), float(np.exp(mean) * spread))  # fmt: skip


def _usable(draft: Draft, sci: np.ndarray, err: np.ndarray, dq: np.ndarray) -> np.ndarray:
    from jwst_dask.steps.stage2.clean_flicker_noise.scene import FIXED_SLIT_ROWS, slit_areas

    usable = np.isfinite(sci) & np.isfinite(err) & (err > 0) & ((dq & UNUSABLE) == 0)
    for x0, x1, y0, y1 in slit_areas(draft):
        usable[y0:y1, x0:x1] = False
    if usable.shape[0] == 2048:
        usable[slice(*FIXED_SLIT_ROWS)] = False
    return np.asarray(usable)


def _all_traces(draft: Draft) -> Traces:
    """Traces of a shutter in every row of the MSA, and of every seventh along the dispersion."""
    from jwst_dask.steps.stage2.extract_2d.slits import optics_of_frame

    optics = optics_of_frame(draft)
    return memo(("shutter traces", id(optics), draft.shape), lambda: (optics, _computed(optics, draft.shape)))[1]


def _computed(optics: Any, shape: tuple[int, int]) -> Traces:
    x_at, y_at = (np.unique(np.append(np.arange(1, n + 1, step), n)) for n, step in zip(SHUTTERS, COARSE, strict=True))
    waves = np.linspace(optics.waves[0], optics.waves[1], WAVES) * 1e6
    width = BINS.get(str(optics.setting.grating).upper(), BIN)
    parts = [_quadrant(optics, q, x_at, y_at, waves, width, shape) for q in (1, 2, 3, 4)]
    return joined(parts, width)


def joined(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], width: int) -> Traces:
    """Traces from shutters, rows and wavelengths at all bins, cut to the longest stretch of bins that any of them covers."""
    shutter, rows, wavelength = (np.concatenate([part[i] for part in parts]) for i in range(3))
    known = np.isfinite(wavelength)
    first = known.argmax(axis=1)
    length = int((known.shape[1] - known[:, ::-1].argmax(axis=1) - first).max(initial=1))
    bins = np.minimum(first, known.shape[1] - length)[:, None] + np.arange(length)
    return Traces(shutter, bins, np.take_along_axis(rows, bins, axis=1), np.take_along_axis(wavelength, bins, axis=1), width)


def _quadrant(optics: Any, quadrant: int, x_at: np.ndarray, y_at: np.ndarray, waves: np.ndarray, width: int,
              shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Shutters of one quadrant that fall on the detector; row and wavelength of their traces at the middle of every bin."""
    from scipy.interpolate import RegularGridInterpolator
    from stdatamodels.jwst.transforms.models import Slit

    grid, still = np.empty((len(x_at), len(y_at), 2, len(waves))), np.zeros(len(waves))
    centres = (np.arange(shape[1] // width) + 0.5) * width - 0.5
    for i, x in enumerate(x_at):
        for j, y in enumerate(y_at):
            slit = Slit("glow", int(x + (y - 1) * SHUTTERS[0]), 0, int(x), int(y), -0.5, 0.5, quadrant, 0, "x", slit_id=1)
            grid[i, j] = optics.slit(slit).from_slit(still, still, waves)
    x, y = np.meshgrid(np.arange(1, SHUTTERS[0] + 1, FINE), np.arange(1, SHUTTERS[1] + 1), indexing="ij")
    place = np.column_stack([x.ravel(), y.ravel()])
    pixels = RegularGridInterpolator((x_at, y_at), grid.reshape(len(x_at), len(y_at), -1))(place).reshape(len(place), 2, -1)
    rows, wavelength = np.full((len(place), len(centres)), np.nan), np.full((len(place), len(centres)), np.nan)
    for n, (px, py) in enumerate(pixels):
        known = np.isfinite(px) & np.isfinite(py)
        if known.sum() > 1 and px[known].max() >= 0 and px[known].min() < centres[-1]:
            order = np.argsort(px[known])
            rows[n] = np.interp(centres, px[known][order], py[known][order], np.nan, np.nan)
            wavelength[n] = np.interp(centres, px[known][order], waves[known][order], np.nan, np.nan)
    outside = ~((rows >= 0) & (rows <= shape[0] - 1))
    rows[outside], wavelength[outside] = np.nan, np.nan
    kept = np.isfinite(wavelength).sum(axis=1) > 2
    return np.column_stack([np.full(len(place), quadrant), place])[kept], rows[kept], wavelength[kept]
