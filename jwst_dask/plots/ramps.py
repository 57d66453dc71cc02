"""Slopes and cosmic rays that were put into simulated ramps against what stage 1 made of them: figures, and the report's section on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.plots import page, style
from jwst_dask.plots.page import text
from jwst_dask.plots.recovery import EDGES, SIZES, SURE, Jumps, Pulls, Validation, validate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jwst_dask.simulate.ramp_truth import RampTruth

__all__ = ["Jumps", "Pulls", "Validation", "figures", "section", "truth_of", "validate"]

SIZE = (7.6, 2.9)
REACH = 5.0
FEWEST = 20  # pixels in a bin of brightness
ALTS = {
    "pulls": "Histogram of the difference of recovered and injected slopes over its error, beside the normal distribution of unit width",
    "brightness": "Difference of recovered and injected slope in percent against the injected slope: median and range of the middle two thirds of the pixels",
    "jumps": "Share of the injected cosmic rays that were found, against their size",
}
CAPTIONS = {
    "pulls": "Good pixels of all exposures. The width is half the range of the middle 68 %.",
    "brightness": "Means of exposures, pixels whose injected slope is above its error. The band holds the middle 68 % of the pixels, the dashed lines what "
                  "their errors let expect.",
    "jumps": "Cosmic rays in usable groups of good pixels that did not fill up; size over the noise of the difference of two groups, "
             "numbers of them above.",
}  # fmt: skip


def truth_of(truth: Any) -> RampTruth | None:
    """The truth of ramps in a ``truth.npz`` (path), or beside what `jwst_dask.simulate.make` returned; None if there is none."""
    from jwst_dask.simulate.ramp_truth import RampTruth
    from jwst_dask.simulate.truth import NAME

    if isinstance(truth, RampTruth):
        return truth
    folder = Path(truth).parent if isinstance(truth, (str, os.PathLike)) else getattr(truth, "folder", None)
    if folder is None or not (Path(folder) / NAME).is_file():
        return None
    return RampTruth.load(folder)


def figures(found: Validation) -> dict[str, Figure]:
    """Draw a validation.

    Parameters
    ----------
    found : Validation

    Returns
    -------
    dict of Figure
        ``pulls``; ``brightness`` and ``jumps`` where there is something to show.
    """
    with style.quiet():
        out = {"pulls": _draw_pulls(found)}
        if len(found.slope):
            out["brightness"] = _draw_brightness(found)
        if found.jumps.injected.any():
            out["jumps"] = _draw_jumps(found.jumps)
    return out


def section(folder: str | os.PathLike[str], truth: Any) -> str:
    """The report's section as HTML; empty without the truth of ramps, or products of theirs, in the folder.

    Parameters
    ----------
    folder : path
        Of products.
    truth : path or object
        See `truth_of`.
    """
    known = truth_of(truth)
    if known is None:
        return ""
    found = validate(folder, known)
    if not found.files or not found.pulls.count:
        return ""
    with style.quiet():
        drawn = figures(found)
        images = "".join(page.image(figure, ALTS[name], CAPTIONS[name]) for name, figure in drawn.items())
    return _table(found) + images


def _table(found: Validation) -> str:
    rows: list[list[page.Cell]] = []
    for name, pulls in (("(recovered − injected) / error, integrations", found.pulls), ("the same, means of exposures", found.mean_pulls)):
        if pulls.count:
            rows.append([text(name), (f"median {pulls.median:+.3f}, width {pulls.width:.3f}", "n"), ("0, and 1.0 to 1.2", "n"), (f"{pulls.count}", "n")])
    if len(found.slope):
        rows.append(["Recovered over injected, brightest tenth", (f"{found.level():.5f}", "n"), ("1", "n"), (f"{-(-len(found.slope) // 10)}", "n")])
    injected, hit = found.jumps.sure()
    if injected:
        rows.append([f"Cosmic rays beyond {SURE:.0f} σ found", (f"{100 * hit / injected:.2f} %", "n"), ("above 90 %", "n"), (f"{injected}", "n")])
    if found.jumps.pixels:
        share = 100 * found.jumps.unexplained / found.jumps.pixels
        rows.append(["Flagged as jump, no cosmic ray in or beside the pixel", (f"{share:.3f} %", "n"), ("", "n"), (f"{found.jumps.pixels}", "n")])
    caption = f"Simulated ramps of {found.files} exposure{'s' if found.files != 1 else ''}: what was injected against what came back."
    return page.table(["Figure", ("Value", "n"), ("Expected", "n"), ("Of", "n")], rows, caption)


def _draw_pulls(found: Validation) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    wide = 10  # bins put together
    edges = EDGES[::wide]
    middle = 0.5 * (edges[1:] + edges[:-1])
    shown = np.abs(middle) < REACH
    for pulls, colour, label in ((found.pulls, style.SERIES[0], "integrations"), (found.mean_pulls, style.SERIES[1], "means of exposures")):
        if pulls.count:
            density = pulls.counts.reshape(-1, wide).sum(axis=1) / pulls.count / np.diff(edges)
            axes.step(middle[shown], density[shown], where="mid", color=colour, lw=1.2, label=f"{label}: median {pulls.median:+.3f}, width {pulls.width:.3f}")
    axes.plot(middle[shown], np.exp(-0.5 * middle[shown] ** 2) / np.sqrt(2 * np.pi), color=style.INK, lw=0.9, ls="--", label="normal, width 1")
    axes.set_yscale("log")
    axes.set_ylim(3e-6, 1.0)
    axes.set_xlim(-REACH, REACH)
    axes.set_xlabel("(recovered − injected) / error")
    axes.set_ylabel("density")
    axes.legend(loc="lower center")
    return figure


def _draw_brightness(found: Validation) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    order = np.argsort(found.slope)
    slope, ratio, error = (values[order].astype(float) for values in (found.slope, found.ratio, found.error))
    count = int(np.clip(len(slope) // FEWEST, 1, 24))
    edges = np.geomspace(slope[0], slope[-1] * (1 + 1e-6), count + 1)
    parts = [part for part in np.split(np.arange(len(slope)), np.searchsorted(slope, edges[1:-1])) if len(part) >= min(FEWEST, len(slope))]
    x = np.array([np.median(slope[part]) for part in parts])
    low, middle, high = np.array([np.percentile(100 * (ratio[part] - 1), (15.9, 50, 84.1)) for part in parts]).T
    expected = np.array([100 * np.median(error[part]) for part in parts])
    axes.fill_between(x, low, high, color=style.SERIES[0], alpha=0.25, lw=0)
    axes.plot(x, middle, "o-", ms=3, lw=1.2, color=style.SERIES[0])
    for sign in (-1, 1):
        axes.plot(x, sign * expected, color=style.INK, lw=0.8, ls="--")
    axes.axhline(0, color=style.FAINT, lw=0.8)
    axes.set_xscale("log")
    # percent, by powers of ten on both sides of a tenth
    axes.set_yscale("symlog", linthresh=0.1)
    ticks = [-100, -10, -1, -0.1, 0, 0.1, 1, 10, 100]
    axes.set_yticks(ticks, [f"{tick:+g}" if tick else "0" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(-150, 150)
    axes.set_xlabel("injected slope (DN/s)")
    axes.set_ylabel("recovered − injected (%)")
    return figure


def _draw_jumps(jumps: Jumps) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    edges = np.where(np.isfinite(SIZES), np.maximum(SIZES, 1.0), 200.0)
    there = jumps.injected > 0
    share = np.where(there, jumps.found / np.maximum(jumps.injected, 1), np.nan)
    error = np.sqrt((share * (1 - share)).clip(0) / np.maximum(jumps.injected, 1))
    middle = np.sqrt(edges[1:] * edges[:-1])
    axes.stairs(np.nan_to_num(100 * share), edges, color=style.SERIES[0], fill=True, alpha=0.25)
    axes.errorbar(middle[there], 100 * share[there], 100 * error[there], fmt="o", ms=3, lw=1, color=style.SERIES[0])
    for x, count in zip(middle[there], jumps.injected[there]):
        axes.annotate(f"{count}", (x, 108), ha="center", va="center", fontsize=7.5, color=style.INK)
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    ticks = [1, 2, 3, 4, 5, 6, 8, 10, 15, 25, 50, 100]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 115)
    axes.set_yticks([0, 20, 40, 60, 80, 100])
    axes.set_xlabel("size of the cosmic ray (σ)")
    axes.set_ylabel("found (%)")
    return figure
