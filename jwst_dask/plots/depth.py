"""Depth of a transit whose shape is known, by linear least squares."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PPM = 1e6


@dataclass(frozen=True)
class Fit:
    """A light curve as ``baseline * (1 - depth * shape)``.

    Attributes
    ----------
    depth, error : float
        Fraction of the light that is missing where ``shape`` is 1, and its standard deviation.
    baseline, model : ndarray
        float64[integration], in the unit of the curve; NaN nowhere.
    scatter : float
        Standard deviation of the residuals, relative to the baseline.
    used : int
        Number of finite samples.
    """

    depth: float
    error: float
    baseline: np.ndarray
    model: np.ndarray
    scatter: float
    used: int


def linear_depth(flux: np.ndarray, shape: np.ndarray, error: np.ndarray | None = None, order: int = 1) -> Fit:
    """Fit the depth of a known transit shape together with a polynomial baseline.

    Parameters
    ----------
    flux : ndarray
        float64[integration]; samples that are not finite are left out.
    shape : ndarray
        float64[integration], 0 outside the transit and 1 where it is deepest.
    error : ndarray, optional
        Standard deviations of `flux`. Without them all samples weigh the same.
    order : int
        Degree of the baseline in time.

    Returns
    -------
    Fit
        The error of the depth is scaled to the scatter of the residuals.

    Raises
    ------
    ValueError
        Too few finite samples, or none inside or none outside the transit.

    Notes
    -----
    A depth multiplies the baseline, so the model is not linear as it stands. It is solved as linear for the amplitude of
    the shape, and again with the baseline's slopes dimmed by the depth found; two rounds leave less than 1e-9.
    """
    flux, shape = np.asarray(flux, np.float64), np.asarray(shape, np.float64)
    good = np.isfinite(flux) & np.isfinite(shape)
    weight = np.ones(len(flux)) if error is None else 1 / np.asarray(error, np.float64)
    good &= np.isfinite(weight)
    if good.sum() < order + 3 or np.ptp(shape[good]) == 0:
        raise ValueError(f"{good.sum()} usable integrations, which do not cover both transit and baseline: no depth can be fitted")
    at = float(np.average(np.arange(len(flux)), weights=np.clip(shape, 0, None)))  # time of the transit, where the baseline is level
    time = (np.arange(len(flux)) - at) / len(flux)
    depth, scale = 0.0, np.sqrt(np.average(flux[good] ** 2))
    for _ in range(4):
        slopes = [time**k * (1 - depth * shape) for k in range(1, order + 1)]
        matrix = np.stack([np.ones(len(flux)), *slopes, -shape], axis=1)
        left = (matrix * weight[:, None])[good]
        solution, _, _, _ = np.linalg.lstsq(left, flux[good] / scale * weight[good], rcond=None)
        depth = solution[-1] / solution[0]
    residual = flux[good] / scale * weight[good] - left @ solution
    covariance = np.linalg.inv(left.T @ left) * (residual @ residual) / (good.sum() - left.shape[1])
    gradient = np.zeros(left.shape[1])
    gradient[0], gradient[-1] = -depth / solution[0], 1 / solution[0]
    baseline = sum(solution[k] * time**k for k in range(order + 1)) * scale
    model = matrix @ solution * scale
    spread = float(np.std((flux - model)[good] / baseline[good], ddof=left.shape[1]))
    return Fit(float(depth), float(np.sqrt(gradient @ covariance @ gradient)), baseline, model, spread, int(good.sum()))


@dataclass(frozen=True)
class Curve:
    """A light curve of a white-light catalogue.

    Attributes
    ----------
    label : str
        Detector and spectral order, as far as the catalogue names them.
    time, utc : ndarray
        float64[integration], days: barycentric (BJD_TDB) and MJD_UTC; each stands in for the other where one is absent.
    flux : ndarray
        float64[integration].
    scale : str
        What `time` is: ``BJD_TDB``, ``MJD_UTC``, or empty for integration numbers.
    """

    label: str
    time: np.ndarray
    utc: np.ndarray
    flux: np.ndarray
    scale: str = ""


@dataclass(frozen=True)
class Injected:
    """The transit that a simulation put in.

    Attributes
    ----------
    depth : float
        Area of the planet over that of the star where the simulation tells, else the depth at mid-transit.
    shape : ndarray
        float64[integration], dimming in units of `depth`.
    """

    depth: float
    shape: np.ndarray


def injected(truth: Any, curve: Curve) -> Injected | None:
    """What was injected at the times of a light curve; None where the truth is of another series.

    Parameters
    ----------
    truth : path, mapping or object
        What `jwst_dask.simulate.make` returned, or its ``truth.npz``: ``light_curve`` at ``time`` (MJD_UTC), ``depth``. Without
        those, ``light`` (``[integration]``, or ``[integration, wavelength]`` weighted by ``flux``) in the order of the integrations.
    curve : Curve
    """
    if isinstance(truth, (str, os.PathLike)):
        with np.load(truth, allow_pickle=False) as held:
            return injected({name: held[name] for name in held.files if name in ("light_curve", "time", "depth", "light", "flux")}, curve)
    get = truth.get if hasattr(truth, "get") else lambda name: getattr(truth, name, None)
    light, time, depth = get("light_curve"), get("time"), get("depth")
    if light is not None and time is not None:
        order = np.argsort(time)
        time, light = np.asarray(time, np.float64)[order], np.asarray(light, np.float64)[order]
        slack = np.median(np.diff(time)) if len(time) > 1 else 0.0
        if not len(curve.utc) or curve.utc.min() < time[0] - slack or curve.utc.max() > time[-1] + slack:
            return None
        light = np.interp(curve.utc, time, light)
    else:
        light = _white(get("light"), get("flux"), len(curve.flux))
    if light is None:
        return None
    depth = float(depth) if depth is not None else float(1 - np.nanmin(light))
    return Injected(depth, (1 - light) / depth) if depth > 0 else None


def _white(light: Any, flux: Any, count: int) -> np.ndarray | None:
    if light is None or len(light) != count:
        return None
    light = np.asarray(light, np.float64)
    if light.ndim == 1:
        return light
    fits = flux is not None and np.shape(flux) == light.shape[1:]
    return np.average(light, axis=1, weights=np.clip(np.nan_to_num(flux), 0, None) if fits else None)


def curves(table: Any) -> list[Curve]:
    """Light curves of a white-light catalogue, one for each detector and spectral order.

    Parameters
    ----------
    table : astropy.table.Table
        ``_whtlt.ecsv`` as it was read. Rows that belong to another curve (no time) are left out.
    """
    out = []
    for name in table.colnames:
        if not name.startswith("whitelight_flux"):
            continue
        label = name.removeprefix("whitelight_flux").strip("_")
        tails = [f"_{label}"] * bool(label) + [f"_{part}" for part in label.split("_") if part] + [""]
        flux = _plain(table[name])
        found = {kind: next((_plain(table[kind + tail]) for tail in tails if kind + tail in table.colnames), None) for kind in ("BJD_TDB", "MJD_UTC")}
        usable = {kind: time for kind, time in found.items() if time is not None and np.isfinite(time).any()}
        usable = usable or {"": np.arange(len(flux), dtype=np.float64)}
        scale, time = next(iter(usable.items()))
        rows = np.isfinite(time)
        out.append(Curve(label.replace("_", " "), time[rows], list(usable.values())[-1][rows], flux[rows], scale))
    return out


def _plain(column: Any) -> np.ndarray:
    values = getattr(column, "value", column)
    return np.asarray(np.ma.filled(np.ma.asarray(values, np.float64), np.nan), np.float64)


def fit_depth(table: Any, truth: Any) -> tuple[float, float]:
    """Transit depth of a white-light catalogue against the injected shape.

    Parameters
    ----------
    table : astropy.table.Table
        White-light catalogue.
    truth : object
        See `injected`. Its shape is used, not its depth.

    Returns
    -------
    depth, error : float
        As fractions, in the sense of `Injected.depth`; several detectors are combined, weighted by their errors.

    Raises
    ------
    ValueError
        The truth is of another series, or no depth can be fitted.
    """
    fits = [linear_depth(curve.flux, _injected(truth, curve).shape) for curve in curves(table)]
    weight = np.array([1 / max(fit.error, 1e-12) ** 2 for fit in fits])
    return float(np.average([fit.depth for fit in fits], weights=weight)), float(1 / np.sqrt(weight.sum()))


def _injected(truth: Any, curve: Curve) -> Injected:
    known = injected(truth, curve)
    if known is None:
        raise ValueError(f"the injected transit is not of this series of {len(curve.flux)} integrations")
    return known


def plot_fit(table: Any, truth: Any, depth: float, error: float, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw a white-light curve with the fitted transit and the residuals.

    Parameters
    ----------
    table, truth
        As for `fit_depth`.
    depth, error : float
        Its result, for the title.
    path : str, optional
        Save the figure there (the format follows the suffix).
    """
    from matplotlib.figure import Figure

    from jwst_dask.plots import style

    with style.quiet():
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for i, curve in enumerate(curves(table)):
            known, flux = _injected(truth, curve), curve.flux
            fit = linear_depth(flux, known.shape)
            hours, axis = style.hours(curve.time, curve.scale)
            level = fit.baseline
            above.plot(hours, flux / level, ".", ms=style.dot(len(flux)), color=style.SERIES[i], label=curve.label or "white light")
            above.plot(hours, fit.model / level, lw=1.4, color=style.INK, label="fit" if i == 0 else None)
            below.plot(hours, (flux - fit.model) / level * PPM, ".", ms=style.dot(len(flux)), color=style.SERIES[i])
        below.axhline(0, lw=0.8, color=style.FAINT)
        above.set_title(f"depth {depth * PPM:.0f} ± {error * PPM:.0f} ppm, injected {known.depth * PPM:.0f} ppm", loc="left")
        above.set_ylabel("relative flux")
        above.legend(loc="best")
        below.set_ylabel("residual (ppm)")
        below.set_xlabel(axis)
        figure.align_ylabels()
        if path is not None:
            figure.savefig(Path(path), dpi=160)
    return figure
