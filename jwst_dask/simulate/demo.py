"""The demonstration: a simulated transit, from count rates to a white-light curve, against its truth."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def demo(folder: str, mode: str = "bots_prism", nsegments: int = 3, nints: int = 60, workers: int = 2, seed: int = 0) -> int:
    """Simulate a time series, run `calwebb_spec2` and `calwebb_tso3` on a local cluster, write report and figure.

    Parameters
    ----------
    folder : str
        Where everything goes: ``inputs/``, ``crds/``, ``products/``.
    mode : str
        Mode of `jwst_dask.simulate`.
    nsegments, nints : int
        Segments, and integrations in each.
    workers : int
        Worker processes of the local cluster.

    Returns
    -------
    int
        Exit status: 1 when products are missing or the depth is not recovered within five standard deviations.
    """
    from jwst_dask import simulate
    from jwst_dask.core.execute import connect
    from jwst_dask.core.progress import Progress
    from jwst_dask.core.run import run
    from jwst_dask.plots.report import make_report

    base, clock = Path(folder).absolute(), time.perf_counter()
    products = base / "products"
    print(f"1. simulating {nsegments} x {nints} integrations ({mode}) into {folder}/inputs")
    truth = simulate.make(mode, base / "inputs", nsegments=nsegments, nints=nints, seed=seed)
    os.environ.update(simulate.environment(base / "inputs"))
    print(f"2. calwebb_spec2 and calwebb_tso3 on a local cluster of {workers} workers")
    with connect(local=workers) as client:
        result = run(str(base / "inputs" / "*_rateints.fits"), output_dir=products, client=client, progress=Progress())
    if result.exit_code:
        print("\n".join(result.failures))
        return 1
    print(f"3. {len(result.made)} products in {folder}/products")
    depth, error = _depth(products, truth)
    report = make_report(products)
    pull = abs(depth - truth.depth) / error
    print(f"4. report {os.path.relpath(report)}")
    print(f"   transit depth: injected {truth.depth * 1e6:.0f} ppm, recovered {depth * 1e6:.0f} +- {error * 1e6:.0f} ppm ({pull:.1f} sigma)")
    print(f"   {time.perf_counter() - clock:.0f} s in all")
    return 0 if pull < 5 else 1


def _depth(products: Path, truth: Any) -> tuple[float, float]:
    """Depth of the white-light curve and its error; writes the figure beside the products."""
    from astropy.table import QTable

    from jwst_dask.plots.depth import fit_depth, plot_fit

    curve = QTable.read(next(products.glob("*_whtlt.ecsv")), format="ascii.ecsv")
    depth, error = fit_depth(curve, truth)
    plot_fit(curve, truth, depth, error, products / "white_light.png")
    return depth, error
