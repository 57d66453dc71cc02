"""Raw ramps to a white-light curve: ours in one command beside the three pipelines of the reference implementation, on the same files and machine.

    python tests/benchmarks/stages.py [--nsegments 3] [--nints 30] [--inputs DIR] [--products DIR] [--no-peer] [--json FILE]

Simulates a NIRSpec PRISM transit as raw ramps, with its references. The reference implementation runs as people run it: a process for each segment in
stages 1 and 2, one for stage 3, with the steps skipped that the documents leave out for time series. Needs ``JWST_DASK_ORACLE``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "parity")]
import peer  # noqa: E402
from processes import Measured, measure, medians, together  # noqa: E402

PEER = """
import json, sys
import jwst.pipeline
pipeline, source, out, steps = sys.argv[1:]
getattr(jwst.pipeline, pipeline).call(source, output_dir=out, save_results=True, steps=json.loads(steps))
"""


MAKE = """
import sys
from jwst_dask import simulate
simulate.make("bots_prism", sys.argv[1], nsegments=int(sys.argv[2]), nints=int(sys.argv[3]), seed=3, uncal=True)
"""


def ours(inputs: Path, out: Path, env: Mapping[str, str]) -> Measured:
    """One process: all stages of all segments."""
    given = [*sorted(inputs.glob("*_uncal.fits")), *sorted(inputs.glob("*_asn.json"))]
    return measure([sys.executable, "-m", "jwst_dask.cli", "run", "--stages", "1,2,3", *map(str, given), "--output-dir", str(out), "--no-progress"], env)


def theirs(inputs: Path, out: Path, env: Mapping[str, str]) -> list[Measured]:
    """A process for each segment and stage, and one for stage 3."""
    from jwst_dask.pipelines.stage1 import TSO1

    def run(pipeline: str, path: Path, steps: str = "{}") -> Measured:
        return measure([str(peer.python()), "-W", "ignore", "-c", PEER, pipeline, str(path), str(out), steps], {**env, "PYTHONPATH": ""}, cwd=str(out))

    for path in inputs.glob("*_asn.json"):
        shutil.copy(path, out)
    steps = json.dumps({alias: dict(values) for alias, values in TSO1.settings.items()})
    first = [run("Detector1Pipeline", path, steps) for path in sorted(inputs.glob("*_uncal.fits"))]
    second = [run("Spec2Pipeline", path) for path in sorted(out.glob("*spec2_asn.json"))]
    return [*first, *second, *(run("Tso3Pipeline", path) for path in sorted(out.glob("*tso3_asn.json")))]


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nsegments", type=int, default=3)
    parser.add_argument("--nints", type=int, default=30)
    parser.add_argument("--inputs", type=Path, help="folder with the exposures, made if it is not there")
    parser.add_argument("--products", type=Path, help="keep both products here, to be compared")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from jwst_dask.simulate.shelf import environment

    with tempfile.TemporaryDirectory() as scratch:
        inputs, products = options.inputs or Path(scratch) / "in", options.products or Path(scratch) / "out"
        if not inputs.exists():  # elsewhere: what this process has held would count as memory of those that it starts
            subprocess.run([sys.executable, "-c", MAKE, str(inputs), str(options.nsegments), str(options.nints)], check=True)
        env = {**environment(inputs), "STPIPE_DISABLE_CRDS_STEPPARS": "true", "OMP_NUM_THREADS": "1",
               "PYTHONPATH": str(Path(__file__).resolve().parents[2])}  # fmt: skip
        sizes = [path.stat().st_size for path in inputs.glob("*_uncal.fits")]
        row: dict[str, Any] = {"segments": len(sizes), "input_mb": round(sum(sizes) / 1e6, 1), "load": os.getloadavg()[0]}
        with tempfile.TemporaryDirectory() as out:
            ours(inputs, Path(out), env)  # kernels are compiled
        for who in ("ours", "peer"):
            (products / who).mkdir(parents=True)
        row["ours"] = medians([ours(inputs, products / "ours", env)])
        if not options.no_peer:
            row["peer"] = medians([together(theirs(inputs, products / "peer", env))])
            row["times_faster"] = {key: round(row["peer"][key] / row["ours"][key], 2) for key in ("wall_s", "cpu_s")}
            row["memory_ratio"] = round(row["ours"]["peak_mb"] / row["peer"]["peak_mb"], 3)
    print(json.dumps(row, indent=1))
    if options.json:
        options.json.write_text(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
