"""The report of the runs in a folder: one HTML page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from jwst_dask.plots import page, style
from jwst_dask.plots.page import code, text
from jwst_dask.plots.record import JobRecord, ProductRecord, RunRecord, StepRecord, from_headers, products, runs

PPM = 1e6
_MEANING = {
    "DO_NOT_USE": "left out of everything that follows", "SATURATED": "at full well", "JUMP_DET": "cosmic ray found in the ramp",
    "DROPOUT": "data lost", "OUTLIER": "differs from other integrations", "PERSISTENCE": "afterglow", "CHARGELOSS": "charge migration",
    "NON_SCIENCE": "not on the science part of the detector", "DEAD": "dead pixel", "HOT": "hot pixel", "WARM": "warm pixel",
    "LOW_QE": "low quantum efficiency", "RC": "RC pixel", "TELEGRAPH": "telegraph pixel", "NONLINEAR": "strongly nonlinear",
    "BAD_REF_PIXEL": "reference pixel not usable", "NO_FLAT_FIELD": "flat field not known", "NO_GAIN_VALUE": "gain not known",
    "NO_LIN_CORR": "linearity not known", "NO_SAT_CHECK": "saturation not known", "UNRELIABLE_BIAS": "bias uncertain",
    "UNRELIABLE_DARK": "dark uncertain", "UNRELIABLE_SLOPE": "slope uncertain", "UNRELIABLE_FLAT": "flat field uncertain",
    "OPEN": "open pixel", "ADJ_OPEN": "beside an open pixel", "FLUX_ESTIMATED": "value filled in from its neighbours",
    "MSA_FAILED_OPEN": "light of a shutter that does not close", "OTHER_BAD_PIXEL": "bad in another way", "REFERENCE_PIXEL": "reference pixel",
}  # fmt: skip


def make_report(output_dir: str | os.PathLike[str], path: str | os.PathLike[str] | None = None, truth: Any = None) -> Path:
    """Write the report of the runs in an output folder.

    Parameters
    ----------
    output_dir : str
        Folder of products, with the records of the runs in ``.jwst_dask``.
    path : str, optional
        The page (default: ``report.html`` in the folder).
    truth : path or object, optional
        What a simulation injected (see `jwst_dask.plots.depth.injected`); default: a ``truth.npz`` in the folder, beside
        it, or in ``inputs`` beside it.

    Returns
    -------
    Path
        Of the page. It is self-contained: styles and images are within it. For each exposure with many slits there is a page
        with a picture of every slit beside it (``<exposure>_slits.html``), which it links to.

    Raises
    ------
    InputError
        There is no such folder, or nothing in it to report on.
    """
    from jwst_dask.core.errors import InputError

    folder = Path(output_dir)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder that a run wrote its products to")
    found, made = runs(folder), products(folder)
    if not found and not made:
        raise InputError(f"{folder}: neither products nor records of runs; give the folder that a run wrote its products to")
    truth = truth if truth is not None else _truth(folder)
    target = Path(path) if path else folder / "report.html"
    sections = [(name, title, body) for name, title, body in _sections(found, made, truth, target.parent) if body]
    links = "".join(f'<a href="#{name}">{text(title)}</a>' for name, title, _ in sections)
    title, head = _head(folder, found, made)
    body = head + f"<nav aria-label=Contents>{links}</nav><main>"
    body += "".join(f'<section id="{name}"><h2>{text(caption)}</h2>{content}</section>' for name, caption, content in sections) + "</main>"
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_text(page.page(title, body), encoding="utf-8")
    os.replace(temporary, target)
    return target


def _truth(folder: Path) -> Path | None:
    places = (folder, folder.absolute().parent, folder.absolute().parent / "inputs")
    return next((place / "truth.npz" for place in places if (place / "truth.npz").is_file()), None)


def _sections(found: list[RunRecord], made: list[ProductRecord], truth: Any, folder: Path) -> Iterator[tuple[str, str, str]]:
    with style.quiet():
        yield "light", "White-light curve", "".join(_light(p.path, truth) for p in made if p.suffix == "whtlt")
        yield "ramps", "Slopes and cosmic rays against what was injected", _ramps(made, truth)
        yield "slits", "Slits", _slits(made, folder)
        yield "spectra", "Spectra", "".join(_spectra(p) for p in _final(made))
        yield "flags", "Data quality", _flags(made)
        yield "runs", "What ran", "".join(_run(run) for run in found) or _headers(made)
        yield "products", "Products", _products(made)
        yield "plans", "Plans as they were printed", "".join(_plan(run) for run in found)


def _head(folder: Path, found: list[RunRecord], made: list[ProductRecord]) -> tuple[str, str]:
    header = next((p.header for p in reversed(made) if p.header.get("INSTRUME")), {})
    optics = [header.get(key) for key in ("FILTER", "GRATING", "PUPIL", "SUBARRAY")]
    words = [header.get("INSTRUME"), *optics]
    mode = " ".join(str(word) for word in words if word and word not in ("N/A", "CLEAR"))
    target = str(header.get("TARGNAME") or header.get("TARGPROP") or "")
    title = " — ".join(filter(None, (target, mode))) or f"Run report of {folder.resolve().name}"
    about = [f"EXP_TYPE {header['EXP_TYPE']}" if header.get("EXP_TYPE") else "", f"programme {header['PROGRAM']}" if header.get("PROGRAM") else "",
             f"observed {header['DATE-OBS']}" if header.get("DATE-OBS") else "", f"in {folder.resolve()}"]  # fmt: skip
    segments = [p for p in made if p.suffix in ("calints", "cal")]
    pairs = [("Products", f"{len(made)}, {page.size(sum(p.size for p in made))}")]
    if any(p.integrations for p in segments):
        pairs.append(("Integrations", f"{sum(p.integrations for p in segments)} in {len(segments)} segment{'s' if len(segments) > 1 else ''}"))
    if found:
        data = [run.data for run in found]
        pairs += [("Time of the runs", page.seconds(sum(float(d.get("seconds", 0)) for d in data))),
                  ("Read", page.size(sum(d.get("bytes_read", 0) for d in data))), ("Written", page.size(sum(d.get("bytes_written", 0) for d in data))),
                  ("CRDS context", str(data[-1].get("context") or "none")), ("Version", f"jwst_dask {data[-1].get('version', '')}"),
                  ("Last run", found[-1].when)]  # fmt: skip
    failed = [failure for run in found for failure in run.failures]
    wrong = f'<div class="failed"><h2>Failed</h2>{page.items(text(line) for line in failed)}</div>' if failed else ""
    head = f'<header><h1>{text(title)}</h1><p class="soft">{text(", ".join(filter(None, about)))}</p></header>{page.facts(pairs)}{wrong}'
    return title, head


def _light(path: Path, truth: Any) -> str:
    from astropy.table import QTable
    from matplotlib.figure import Figure

    from jwst_dask.plots import depth
    from jwst_dask.plots.quicklook import draw_whitelight

    table = QTable.read(path, format="ascii.ecsv")
    curves = depth.curves(table)
    if not curves:
        return ""
    known = [depth.injected(truth, curve) if truth is not None else None for curve in curves]
    rows, fitted = [], False
    for curve, inject in zip(curves, known):
        level = float(np.nanmedian(curve.flux))
        row = [text(curve.label or "white light"), (str(len(curve.flux)), "n"), (f"{level:.5g}", "n"), (f"{_scatter(curve.flux) * PPM:.0f}", "n")]
        if inject is not None:
            try:
                fit = depth.linear_depth(curve.flux, inject.shape)
            except ValueError:
                row += [(f"{inject.depth * PPM:.0f}", "n"), ("not covered", "n"), ("", "n")]
            else:
                fitted = True
                row += [(f"{inject.depth * PPM:.0f}", "n"), (f"{fit.depth * PPM:.0f} ± {fit.error * PPM:.0f}", "n"),
                        (f"{(fit.depth - inject.depth) / max(fit.error, 1e-12):+.1f}", "n")]  # fmt: skip
        rows.append(row)
    heads: list[page.Cell] = ["Curve", ("Integrations", "n"), ("Median flux (Jy)", "n"), ("Scatter (ppm)", "n")]
    if any(inject is not None for inject in known):
        heads += [("Injected depth (ppm)", "n"), ("Recovered (ppm)", "n"), ("Difference (σ)", "n")]
        rows = [row + [("", "n")] * (len(heads) - len(row)) for row in rows]
    if fitted and all(inject is not None for inject in known):
        figure = depth.plot_fit(table, truth, *depth.fit_depth(table, truth))
    else:
        figure = Figure(figsize=(7.6, 3.0), layout="constrained")
        draw_whitelight(figure.subplots(), table)
    alt = f"White-light curve of {sum(len(c.flux) for c in curves)} integrations: relative flux against time" + (", with the fitted transit" if fitted else "")
    few = sum(len(c.flux) for c in curves) <= 6000
    return page.image(figure, alt, path.name, few) + page.table(heads, rows, "Scatter: from differences of neighbouring integrations.")


def _scatter(flux: np.ndarray) -> float:
    """Point-to-point scatter, relative, that a transit does not enter."""
    steps = np.diff(flux[np.isfinite(flux)])
    return float(1.4826 * np.median(np.abs(steps)) / np.sqrt(2) / abs(np.nanmedian(flux))) if steps.size and np.nanmedian(flux) else 0.0


def _final(made: list[ProductRecord]) -> list[ProductRecord]:
    """Extracted spectra of the highest level there is."""
    spectra = [p for p in made if p.suffix in ("x1dints", "x1d")]
    return [p for p in spectra if "-seg" not in p.path.name] or spectra[:1]


def _spectra(product: ProductRecord) -> str:
    from matplotlib.figure import Figure

    from jwst_dask.plots.quicklook import draw_series
    from jwst_dask.plots.series import read_series

    series = read_series(product.path)
    if not series:
        return ""
    images = sum(s.image.shape[0] > 1 and s.image.shape[1] > 0 for s in series)
    figure = Figure(figsize=(7.6, 2.4 + 3.0 * images), layout="constrained")
    draw_series(series, figure)
    count, low, high = sum(s.integrations for s in series), min(np.nanmin(s.wavelength) for s in series), max(np.nanmax(s.wavelength) for s in series)
    alt = f"Median spectrum from {low:.2f} to {high:.2f} micrometres, and below it the flux relative to that spectrum, wavelength across and time upwards"
    bins = "" if all(len(s.time) == s.integrations for s in series) else f", in {max(len(s.time) for s in series)} bins of time"
    return page.image(figure, alt, f"{product.path.name}: {count} spectra{bins}; colours show flux relative to the median spectrum.")


def _ramps(made: list[ProductRecord], truth: Any) -> str:
    """Validation of stage 1, where count rates of simulated ramps are among the products."""
    from jwst_dask.plots import ramps

    rates = [p.path.parent for p in made if p.suffix in ("rate", "rateints")]
    return ramps.section(rates[0], truth) if rates and truth is not None else ""


def _slits(made: list[ProductRecord], folder: Path) -> str:
    """Exposures with many slits, with links to their pages."""
    from jwst_dask.plots.slits import exposures, make_page

    rows: list[list[page.Cell]] = []
    for exposure in exposures(made):
        one = make_page(exposure, folder / f"{exposure.name}_slits.html")
        link = f'<a href="{text(quote(one.path.name))}">{text(one.name)}</a>'
        rows.append([link, (str(one.slits), "n"), (str(one.failed), "n"), ("" if np.isnan(one.sn) else f"{one.sn:.3g}", "n")])
    heads: list[page.Cell] = ["Exposure", ("Slits", "n"), ("Failed", "n"), ("Median S/N", "n")]
    return page.table(heads, rows, "Each links to a page with pictures and figures of all its slits.") if rows else ""


def _flags(made: list[ProductRecord]) -> str:
    from jwst_dask.plots.series import flag_shares

    chosen = next(([p for p in made if p.suffix == suffix] for suffix in ("crfints", "calints", "cal") if any(p.suffix == suffix for p in made)), [])
    if not chosen:
        return ""
    flags = flag_shares([str(p.path) for p in chosen])
    rows: list[list[page.Cell]] = [["no flag", (f"{100 * flags.good:.3f} %", "n"), (page.bar(flags.good), "track"), ""]]
    for name, share in sorted(flags.shares.items(), key=lambda item: -item[1]):
        rows.append([code(name), (f"{100 * share:.3f} %", "n"), (page.bar(share), "track"), text(_MEANING.get(name, ""))])
    what = "slits" if flags.slits else "integrations"
    about = f"Share of pixels in {flags.integrations} {what} spread over {len(chosen)} {chosen[0].suffix} product{'s' if len(chosen) > 1 else ''}."
    return page.table(["Flag", ("Pixels", "n"), "", "Meaning"], rows, about)


def _run(run: RunRecord) -> str:
    data = run.data
    names = list(dict.fromkeys(job.pipeline for job in run.jobs))
    line = [f"ended {run.when}", page.seconds(float(data.get("seconds", 0))), f"{data.get('blocks', 0)} blocks on {data.get('resources', 'unknown')}",
            f"read {page.size(data.get('bytes_read', 0))} in {page.seconds(data.get('read_seconds', 0))}",
            f"wrote {page.size(data.get('bytes_written', 0))} in {page.seconds(data.get('write_seconds', 0))}"]  # fmt: skip
    out = f'<h3>{text(", ".join(names) or "run")} <span class="soft">{text(run.name)}</span></h3><p class="soft">{text("; ".join(line))}.</p>'
    return out + "".join(_job(job, data.get("step_seconds", {})) for job in run.jobs)


def _job(job: JobRecord, times: dict[str, float]) -> str:
    rows: list[list[page.Cell]] = []
    skipped: dict[str, list[str]] = {}
    for step in job.steps:
        if step.result == "run":
            spent = times.get(step.alias, 0.0)
            rows.append([code(step.alias, breaks=False), (page.seconds(spent) if spent else "", "n"), *_details(step)])
        else:
            skipped.setdefault(step.result.removeprefix("skip: "), []).append(step.alias)
    own = "".join(f'<p>Pipeline setting {code(f"{name} = {value}")} <span class="soft">from {text(source)}</span></p>' for name, value, source in job.own)
    inputs = page.items(f"{code(name)} <span class=soft>{count} integrations to {text(rest)}</span>" for name, count, rest in job.exposures)
    listed = f"<details><summary>{len(job.exposures)} input{'s' if len(job.exposures) != 1 else ''}</summary>{inputs}</details>" if inputs else ""
    wrong = f'<div class="failed">{page.items(text(line) for line in job.failures)}</div>' if job.failures else ""
    without = "; ".join(f"{', '.join(code(alias, breaks=False) for alias in aliases)}: {text(reason)}" for reason, aliases in skipped.items())
    caption = (f"{job.pipeline} on {len(job.exposures)} exposure{'s' if len(job.exposures) != 1 else ''}. Times are those of all blocks, summed. "
               "Settings in colour are not defaults.")  # fmt: skip
    table = page.table(["Step", ("Time", "n"), "Settings", "References"], rows, caption) if rows else ""
    return wrong + own + table + (f'<p class="skipped">Skipped: {without}.</p>' if without else "") + listed


def _details(step: StepRecord) -> list[page.Cell]:
    lines: list[page.Cell] = []
    for name, value, source in sorted(step.parameters, key=lambda item: item[2] == "default"):
        line = code(f"{name} = {value}")
        lines.append(line if source == "default" else (f'{line} <span class="soft">{text(source)}</span>', "set"))
    return [(page.items(lines), "settings"), (page.items(f"{text(reftype)} {code(name)}" for reftype, name in step.references), "name")]


def _headers(made: list[ProductRecord]) -> str:
    """Steps and references from the header of the last product, where no run was recorded."""
    last = next((p for p in reversed(made) if from_headers(p.header)[0]), None)
    if last is None:
        return ""
    steps, references = from_headers(last.header)
    note = f'<p class="soft">No run is recorded in this folder; this is what the header of {text(last.path.name)} says.</p>'
    return (note + page.table(["Step", "Status"], [[code(k), text(v)] for k, v in steps], dim=[v != "COMPLETE" for _, v in steps])
            + page.table(["Keyword", "Reference"], [[code(k), (code(v), "name")] for k, v in references]))  # fmt: skip


def _products(made: list[ProductRecord]) -> str:
    rows: list[list[page.Cell]] = []
    for p in made:
        kind = str(p.header.get("DATAMODL", "") or {"whtlt": "white-light catalogue", "quality": "quality table of slits"}.get(p.suffix, ""))
        rows.append([(code(p.path.name), "name"), text(kind), (str(p.integrations or ""), "n"), (page.size(p.size), "n")])
    return page.table(["File", "Kind", ("Integrations", "n"), ("Size", "n")], rows)


def _plan(run: RunRecord) -> str:
    plan = str(run.data.get("plan", ""))
    return f"<details><summary>Run {text(run.name)}, {text(run.when)}</summary><pre>{text(plan)}</pre></details>" if plan else ""
