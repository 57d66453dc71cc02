"""The demonstration: a simulated transit from count rates to a white-light curve, or a field of slits to spectra, against its truth."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

MODES = {"mos": "mos_prism", "fs": "fs"}
MEDIAN_OFF = 0.02
"""Largest error of the median flux: box, aperture correction and resampling of a simulated source are good to 0.5 %."""
PULL_OFF, PULL_WIDTH = 0.15, (0.9, 1.3)
"""Largest median of the pulls of slopes, and range of their width."""
_FIRST = {False: "", True: "calwebb_detector1, "}
ONE_OFF = 0.06
"""Largest error of the flux of one source in one exposure: the faintest have a signal-to-noise ratio of a few hundred in all."""


def demo(folder: str, mode: str = "bots_prism", nsegments: int = 3, nints: int = 60, workers: int = 2, seed: int = 0,
         nsources: int = 8, shape: tuple[int, int] | None = None, uncal: bool = False) -> int:  # fmt: skip
    """Simulate exposures, run the pipelines on a local cluster, write the report, compare with what was put in.

    A time series goes through `calwebb_spec2` and `calwebb_tso3`, and the depth of the transit is compared (and plotted); slits go through
    `calwebb_spec2`, and the fluxes of point sources are. With `uncal` all begin as ramps and with `calwebb_detector1`, and slopes and cosmic rays
    are compared too.

    Parameters
    ----------
    folder : str
        Where everything goes: ``inputs/``, ``crds/``, ``products/``.
    mode : str
        Mode of `jwst_dask.simulate`; ``mos`` and ``fs`` for short.
    nsegments, nints : int
        Series: segments, and integrations in each.
    workers : int
        Worker processes of the local cluster.
    seed : int
    nsources : int
        MOS: point sources.
    shape : (int, int)
        Of the exposures, by default that of the mode.
    uncal : bool
        Begin with ramps.

    Returns
    -------
    int
        Exit status: 1 when products are missing, the depth is not recovered within five standard deviations, fluxes are off by more
        than `MEDIAN_OFF` (their median) or `ONE_OFF` (any), or the pulls of slopes have a median beyond `PULL_OFF` or a width out of `PULL_WIDTH`.
    """
    from jwst_dask import simulate

    base, clock = Path(folder).absolute(), time.perf_counter()
    mode = MODES.get(mode, mode)
    if mode in simulate.SLIT_MODES:
        return _slits(base, folder, mode, workers, clock, {"seed": seed, "nsources": nsources, "shape": shape, "uncal": uncal})
    print(f"1. simulating {nsegments} x {nints} integrations ({mode}) into {folder}/inputs")
    truth = simulate.make(mode, base / "inputs", nsegments=nsegments, nints=nints, seed=seed, shape=shape, uncal=uncal)
    if not _run(base, folder, _FIRST[uncal] + "calwebb_spec2 and calwebb_tso3", truth_files(base, truth), workers, (1, 2, 3) if uncal else None):
        return 1
    from jwst_dask.plots.report import make_report

    products = base / "products"
    depth, error = _depth(products, truth)
    report = make_report(products)
    pull = abs(depth - truth.depth) / error
    print(f"4. report {os.path.relpath(report)}")
    print(f"   transit depth: injected {truth.depth * 1e6:.0f} ppm, recovered {depth * 1e6:.0f} +- {error * 1e6:.0f} ppm ({pull:.1f} sigma)")
    good = not uncal or compare_ramps(base)
    print(f"   {time.perf_counter() - clock:.0f} s in all")
    return 0 if pull < 5 and good else 1


def truth_files(base: Path, truth: Any) -> list[str]:
    """Paths of the simulated exposures."""
    return [str(base / "inputs" / str(name)) for name in truth.exposures]


def compare_ramps(base: Path) -> bool:
    """Print how well slopes and cosmic rays that were put into ramps came back; whether well enough.

    Parameters
    ----------
    base : Path
        Folder of the demonstration, with ``inputs`` and ``products``.
    """
    from jwst_dask.plots.ramps import validate
    from jwst_dask.simulate import RampTruth

    truth = RampTruth.load(base / "inputs")
    found = validate(base / "products", truth) if truth is not None else None
    if found is None or not found.pulls.count:
        print("   no slopes to compare with what was put in")
        return False
    print(f"   slopes: (recovered - injected) / error of {found.pulls.count} pixels: median {found.pulls.median:+.3f}, width {found.pulls.width:.3f}; "
          f"{found.line()}")  # fmt: skip
    return abs(found.pulls.median) < PULL_OFF and PULL_WIDTH[0] < found.pulls.width < PULL_WIDTH[1]


def _run(base: Path, folder: str, what: str, inputs: Any, workers: int, stages: tuple[int, ...] | None = None) -> bool:
    """Make the products of the simulated exposures on a local cluster; whether all went well."""
    from jwst_dask import simulate
    from jwst_dask.core.execute import connect
    from jwst_dask.core.progress import Progress
    from jwst_dask.core.run import run

    os.environ.update(simulate.environment(base / "inputs"))
    print(f"2. {what} on a local cluster of {workers} workers")
    with connect(local=workers) as client:
        more: dict[str, Any] = {"stages": stages, "save_intermediate": True} if stages else {}
        result = run(inputs, output_dir=base / "products", client=client, progress=Progress(), **more)
    if result.exit_code:
        print("\n".join(result.failures))
        return False
    print(f"3. {len(result.made)} products in {folder}/products")
    return True


def _slits(base: Path, folder: str, mode: str, workers: int, clock: float, options: dict[str, Any]) -> int:
    """The demonstration of a mode with slits."""
    from jwst_dask import simulate
    from jwst_dask.plots.report import make_report

    print(f"1. simulating a nod pattern ({mode}) into {folder}/inputs")
    truth = simulate.make(mode, base / "inputs", **options)
    print(f"   {len(truth.exposures)} exposures, {int((~truth.extended).sum())} point sources, {int(truth.extended.sum())} extended")
    inputs = [*(truth.paths(truth.exposures) if options["uncal"] else []), *truth.paths(truth.level2)]
    if not _run(base, folder, _FIRST[options["uncal"]] + "calwebb_spec2", inputs, workers, (1, 2) if options["uncal"] else None):
        return 1
    print(f"4. report {os.path.relpath(make_report(base / 'products'))}")
    status = compare(truth, base / "products")
    if options["uncal"] and not compare_ramps(base):
        status = 1
    print(f"   {time.perf_counter() - clock:.0f} s in all")
    return status


def compare(truth: Any, products: Path) -> int:
    """Print how well the fluxes of point sources came back; 1 if spectra are missing or fluxes are off, else 0."""
    ratios = np.array([ratio for _, _, ratio in truth.ratios(products.glob("*_x1d.fits"))])
    nods = len({str(name).rsplit("_", 2)[0] for name in truth.exposures})
    wanted = int((~truth.extended).sum()) * nods
    if len(ratios) < wanted or not np.isfinite(ratios).all():
        print(f"   {np.isfinite(ratios).sum()} spectra of point sources, {wanted} expected")
        return 1
    median, scatter = float(np.median(ratios)), float(np.ptp(np.percentile(ratios, (16, 84))) / 2)
    print(f"   recovered over injected flux of {len(ratios)} spectra of point sources: median {median:.4f}, scatter {scatter:.4f}, "
          f"from {ratios.min():.4f} to {ratios.max():.4f}")  # fmt: skip
    return 0 if abs(median - 1) < MEDIAN_OFF and np.abs(ratios - 1).max() < ONE_OFF else 1


def _depth(products: Path, truth: Any) -> tuple[float, float]:
    """Depth of the white-light curve and its error; writes the figure beside the products."""
    from astropy.table import QTable

    from jwst_dask.plots.depth import fit_depth, plot_fit

    curve = QTable.read(next(products.glob("*_whtlt.ecsv")), format="ascii.ecsv")
    depth, error = fit_depth(curve, truth)
    plot_fit(curve, truth, depth, error, products / "white_light.png")
    return depth, error
