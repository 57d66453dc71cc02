"""What a plan and a graph cost before anything is computed: seconds for a segment, milliseconds for a task, bytes for a task.

    python tests/benchmarks/graph_building.py [SEGMENTS]
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")


def main(nsegments: int) -> None:
    """Print the figures for a simulated series of small segments, one integration in a block."""
    import jwst_dask
    from jwst_dask import simulate
    from jwst_dask.core.prepare import StateStore

    os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        simulate.make("bots_prism", base / "in", nsegments=nsegments, nints=20, shape=(16, 512), noise=0)
        os.environ.update(simulate.environment(base / "in"))
        files = sorted(map(str, (base / "in").glob("*_rateints.fits")))
        jwst_dask.plan(files[:1], "calwebb_spec2", output_dir=base)  # imports and compilation
        clock = time.perf_counter()
        plan = jwst_dask.plan(files, "calwebb_spec2", output_dir=base / "out", chunk=1)
        planned = time.perf_counter() - clock
        for job in plan.jobs:
            for product in job.products():
                product.temporary = product.final
        store, clock = StateStore(base / "states"), time.perf_counter()
        tasks = [task for job in plan.jobs for e in job.exposures for task in e.tasks(store, None, 0)]
        built = time.perf_counter() - clock
        print(f"run:  {nsegments} segments planned in {planned:.1f} s ({planned / nsegments:.2f} s each); {len(tasks)} tasks in {built:.2f} s "
              f"({built / len(tasks) * 1000:.3f} ms each), {max(len(pickle.dumps(task)) for task in tasks)} bytes each at most")  # fmt: skip
        dataset = jwst_dask.open(files, chunks={"integration": 1})
        clock = time.perf_counter()
        graphs = jwst_dask.Spec2Pipeline.call(dataset)
        built = time.perf_counter() - clock
        count = len({key for graph in graphs.values() for key in graph.__dask_graph__()})
        print(f"lazy: {nsegments} segments in {built:.1f} s ({built / nsegments:.2f} s each); {count} tasks, {built / count * 1000:.3f} ms each")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
