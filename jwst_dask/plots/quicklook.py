"""Quick looks at datasets and products: small figures from a bounded amount of data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from jwst_dask.plots.series import Series

SAMPLE = 16
"""Integrations that `plot_dataset` computes of a cube."""
_TIMES = (("bjd_tdb_mid", "BJD_TDB"), ("tdb_mid", "BJD_TDB"), ("mjd_utc_mid", "MJD_UTC"), ("mjd_avg", "MJD_UTC"))


def plot_dataset(ds: Any, figure: Figure | None = None, sample: int = SAMPLE) -> list[Axes]:
    """Draw an exposure or spectra; what ``ds.jwst.plot()`` calls.

    Parameters
    ----------
    ds : xarray.Dataset
        ``sci`` (and ``dq``) on ``(integration, y, x)`` or ``(y, x)``: the median of some integrations spread over the series,
        and the share of them in which a pixel is flagged. ``flux`` on ``(integration, wavelength)`` or ``(wavelength,)``: the
        median spectrum, and the flux relative to it over time.
    figure : matplotlib.figure.Figure, optional
        Draw there (default: a new pyplot figure).
    sample : int
        Integrations to compute of a cube, or three hundred times as many spectra.

    Returns
    -------
    list of matplotlib.axes.Axes

    Raises
    ------
    ValueError
        A dataset with neither ``sci`` nor ``flux``.
    """
    if "flux" in ds:
        return _draw_spectra(ds, figure, sample * 300)
    if "sci" not in ds:
        raise ValueError(f"nothing to draw: the dataset has {', '.join(map(str, ds.data_vars)) or 'no variables'}, but neither sci nor flux")
    from jwst_dask.core.execute import compute

    cube = "integration" in ds.sci.dims
    rows = ds.isel(integration=spread(ds.sizes["integration"], sample)) if cube else ds
    names = [name for name in ("sci", "dq") if name in rows]
    values = dict(zip(names, compute(*(rows[name].data for name in names))))
    sci, dq = (np.asarray(values[name]).reshape(-1, *rows.sci.shape[-2:]) if name in values else None for name in ("sci", "dq"))
    assert sci is not None
    panels = 1 if dq is None else 2
    figure = _figure(figure, (7.2, float(np.clip(7.0 * sci.shape[1] / sci.shape[2], 0.8, 3.5)) * panels + 0.4))
    with style.quiet():
        axes = list(np.atleast_1d(figure.subplots(panels, 1, sharex=True)))
        shown = np.where((dq & 1) == 0, sci, np.nan) if dq is not None else sci
        unit = str(ds.attrs.get("BUNIT", ds.sci.attrs.get("units", "")))
        count = f"median of {len(sci)} of {ds.sizes['integration']} integrations" if cube else "image"
        _image(figure, axes[0], _median(shown), f"{_name(ds)} {count}".strip(), unit)
        if dq is not None:
            _image(figure, axes[1], (dq != 0).mean(axis=0), "share of integrations in which the pixel has a flag", "", (0, 1))
        axes[-1].set_xlabel("x (pixel)")
    return axes


def spread(count: int, sample: int) -> list[int]:
    """At most `sample` indices spread evenly over `count`."""
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(sample, count)).round())]


def _median(cube: np.ndarray) -> np.ndarray:
    out = np.full(cube.shape[1:], np.nan, np.float64)
    some = np.isfinite(cube).any(axis=0)
    out[some] = np.nanmedian(cube[:, some], axis=0)
    return out


def _name(ds: Any) -> str:
    words = [str(ds.attrs.get(key, "")) for key in ("INSTRUME", "DETECTOR", "FILTER", "GRATING")]
    return " ".join(word for word in words if word not in ("", "N/A", "CLEAR"))


def _figure(figure: Figure | None, size: tuple[float, float]) -> Figure:
    """The given figure, or a new one of pyplot: made outside `style.quiet`, which would undo what a notebook sets when pyplot is loaded."""
    if figure is not None:
        return figure
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, layout="constrained")


def _image(figure: Figure, axes: Axes, values: np.ndarray, title: str, unit: str, limits: tuple[float, float] | None = None) -> None:
    axes.set_facecolor(style.NO_DATA)
    low, high = limits or style.span(values)
    shown = axes.imshow(values, origin="lower", aspect="auto", interpolation="nearest", vmin=low, vmax=high)
    axes.set_title(title, loc="left")
    axes.set_ylabel("y (pixel)")
    figure.colorbar(shown, ax=axes, pad=0.01, label=unit).outline.set_visible(False)


def _draw_spectra(ds: Any, figure: Figure | None, most: int) -> list[Axes]:
    from jwst_dask.core.execute import compute
    from jwst_dask.plots.series import make_series

    cube = "integration" in ds.flux.dims
    rows = ds.isel(integration=spread(ds.sizes["integration"], most)) if cube else ds
    flux, wavelength = (np.asarray(v, np.float64) for v in compute(rows.flux.data, rows.wavelength.data))
    scale, time = next(((scale, np.asarray(rows[name], np.float64)) for name, scale in _TIMES if cube and name in rows), ("", np.arange(len(np.atleast_2d(flux)))))
    series = make_series("", np.atleast_2d(wavelength)[0], np.atleast_2d(flux), time, str(ds.flux.attrs.get("units", "Jy")), scale)
    axes = draw_series([series], figure)
    axes[0].set_title(_name(ds), loc="left", fontsize=9.5)
    return axes


def plot_series(x1dints: str | os.PathLike[str] | list[Series], figure: Figure | None = None) -> list[Axes]:
    """Draw the spectra of an ``_x1dints`` product: median spectrum, and time against wavelength.

    Parameters
    ----------
    x1dints : path, or list of Series
        Product of stage 2 or 3, of any size.
    figure : matplotlib.figure.Figure, optional
        Draw there (default: a new pyplot figure).
    """
    from jwst_dask.plots.series import read_series

    return draw_series(x1dints if isinstance(x1dints, list) else read_series(x1dints), figure)


def draw_series(series: list[Series], figure: Figure | None = None) -> list[Axes]:
    """Median spectra in one panel, then a time-wavelength image for each series."""
    images = [s for s in series if s.image.shape[0] > 1 and s.image.shape[1]]
    figure = _figure(figure, (7.2, 2.6 + 2.9 * len(images)))
    with style.quiet():
        axes = list(np.atleast_1d(figure.subplots(1 + len(images), 1, height_ratios=[1] + [1.25] * len(images))))
        draw_spectra(axes[0], series)
        for panel, each in zip(axes[1:], images):
            draw_image(figure, panel, each)
            if len(images) == 1:
                panel.sharex(axes[0])
    return axes


def draw_spectra(axes: Axes, series: list[Series]) -> None:
    """Median spectra against wavelength."""
    for i, each in enumerate(series):
        order = np.argsort(each.wavelength)
        axes.plot(each.wavelength[order], each.spectrum[order], lw=1.0, color=style.SERIES[i % len(style.SERIES)], label=each.label)
    lit = [s.spectrum[np.isfinite(s.spectrum)] for s in series if np.isfinite(s.spectrum).any()]
    peak = max((min(float(np.max(f)), 2 * float(np.percentile(f, 98))) for f in lit), default=0.0)  # a hot pixel at the edge shall not set the scale
    if peak > 0:
        axes.set_ylim(-0.03 * peak, 1.08 * peak)
    axes.set_ylabel(f"median flux ({series[0].unit})" if series and series[0].unit else "median flux")
    axes.set_xlabel("wavelength (µm)")
    axes.grid(color=style.GRID, lw=0.6)
    if any(s.label for s in series):
        axes.legend(loc="best")


def draw_image(figure: Figure, axes: Axes, series: Series) -> None:
    """Relative flux: wavelength across, time up."""
    when, _ = style.hours(series.time, series.scale)
    axes.set_facecolor(style.NO_DATA)
    low, high = style.span(series.image, 2, 98)
    # nearest shading takes centres and draws cells between them, whatever their spacing
    shown = axes.pcolormesh(series.columns, when, np.ma.masked_invalid(series.image), vmin=low, vmax=high, shading="nearest", rasterized=True)
    axes.set_xlabel("wavelength (µm)")
    axes.set_ylabel("hours from start" if series.scale else "integration")
    if series.label:
        axes.set_title(series.label, loc="left")
    figure.colorbar(shown, ax=axes, pad=0.01, label="flux / median").outline.set_visible(False)


def plot_whitelight(table: Any, figure: Figure | None = None) -> list[Axes]:
    """Draw a white-light catalogue, each curve divided by its median.

    Parameters
    ----------
    table : astropy.table.Table or path
        ``_whtlt.ecsv``.
    figure : matplotlib.figure.Figure, optional
        Draw there (default: a new pyplot figure).
    """
    if isinstance(table, (str, os.PathLike)):
        from astropy.table import QTable

        table = QTable.read(table, format="ascii.ecsv")
    figure = _figure(figure, (7.2, 3.0))
    with style.quiet():
        axes = figure.subplots()
        draw_whitelight(axes, table)
    return [axes]


def draw_whitelight(axes: Axes, table: Any) -> None:
    """White-light curves into given axes."""
    from jwst_dask.plots.depth import curves

    found, label = curves(table), ""
    for i, curve in enumerate(found):
        hours, label = style.hours(curve.time, curve.scale)
        level = float(np.nanmedian(curve.flux)) or 1.0
        axes.plot(hours, curve.flux / level, ".", ms=style.dot(len(hours)), color=style.SERIES[i % len(style.SERIES)], label=curve.label)
    axes.set_xlabel(label)
    axes.set_ylabel("flux / median")
    axes.grid(color=style.GRID, lw=0.6)
    if len(found) > 1:
        axes.legend(loc="best")
