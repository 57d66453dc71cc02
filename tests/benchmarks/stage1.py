"""Raw ramps to count rates, ours beside the reference implementation: whole processes on the same files, on this machine.

    python tests/benchmarks/stage1.py INPUTS... [--n 1] [--local N] [--memory-limit 1.5GB] [--no-peer] [--steps '{}'] [--json FILE]

INPUTS are folders made with the oracle (``oracle.py make s1_nrs_bots_sub2048 DIR --set nints=400``): raw exposures, and ``MODE.json``, which names
references and step parameters. Ours takes all files of a folder in one process; the reference implementation takes a process for each, as people
run it. Needs ``JWST_DASK_ORACLE``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "parity")]
import peer  # noqa: E402
from processes import Measured, measure, medians, together  # noqa: E402


def parameters(mode: dict[str, Any]) -> list[str]:
    """Command-line arguments for a folder's references and step parameters."""
    from jwst_dask.pipelines import table
    from jwst_dask.steps import step_class

    used = {reftype for alias in table.pipeline(mode["pipeline"]).aliases() for reftype in step_class(alias).references}
    words = [f"--override_{reftype}={mode['references'].get(reftype, 'N/A')}" for reftype in sorted(used)]
    return words + [f"--steps.{alias}.{name}={value}" for alias, values in mode["steps"].items() for name, value in values.items()]


def ours(folder: Path, mode: dict[str, Any], out: str, options: argparse.Namespace, env: dict[str, str]) -> Measured:
    """One process (and its workers): our command line on all files."""
    more = ["--local", str(options.local)] if options.local else []
    more += ["--memory-limit", options.memory_limit] if options.memory_limit else []
    files = [str(folder / name) for name in mode["files"]]
    command = [sys.executable, "-m", "jwst_dask.cli", "run", mode["pipeline"], *files, "--output-dir", out, "--no-progress"]
    return measure([*command, *parameters(mode), *more], env)


def theirs(folder: Path, mode: dict[str, Any], out: str, env: dict[str, str]) -> list[Measured]:
    """A process of the reference implementation for each file."""
    command = [peer.python(), str(peer.oracle() / "oracle.py"), "peer", mode["pipeline"]]  # type: ignore[operator]
    words = ["--group", "stage1", "--steps", json.dumps(mode["steps"]), "--references", json.dumps(mode["references"])]
    return [measure([*command, str(folder / name), out, *words], {**env, "PYTHONPATH": ""}) for name in mode["files"]]


def bandwidth() -> float:
    """GB/s of copying memory with one core (read and written bytes counted), in a process of its own: what this one has held once
    would count as memory of those that it starts."""
    return float(subprocess.run([sys.executable, __file__, "--bandwidth"], check=True, capture_output=True, text=True).stdout)


def copying() -> float:
    """The best of five copies of 200 MB."""
    source, best = np.ones(50_000_000, np.float32), 0.0
    target = np.empty_like(source)
    for _ in range(5):
        began = time.perf_counter()
        target[:] = source
        best = max(best, 2 * source.nbytes / (time.perf_counter() - began) / 1e9)
    return best


def compare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Turns of both on one folder."""
    mode = json.loads((folder / "MODE.json").read_text())
    mode["steps"] = {**mode["steps"], **{alias: {**mode["steps"].get(alias, {}), **values} for alias, values in options.steps.items()}}
    env = {**mode["crds"], "STPIPE_DISABLE_CRDS_STEPPARS": "true", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    sizes = [(folder / name).stat().st_size for name in mode["files"]]
    row: dict[str, Any] = {"mode": mode["mode"], "input_mb": round(sum(sizes) / 1e6, 1), "load": os.getloadavg()[0], "copy_gb_s": round(bandwidth(), 1)}
    runs: dict[str, list[Any]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as out:
        ours(folder, mode, out, options, env)  # kernels are compiled
    for turn in range(options.n):
        with tempfile.TemporaryDirectory() as out:
            runs["ours"].append(ours(folder, mode, out, options, env))
        if not options.no_peer:
            with tempfile.TemporaryDirectory() as out:
                runs["peer"].append(together(theirs(folder, mode, out, env)))
        print(f"{mode['mode']}: turn {turn + 1}: " + ", ".join(f"{who} {parts[-1].wall:.1f} s ({parts[-1].cpu:.1f} s CPU), {parts[-1].peak:.0f} MB"
                                                               for who, parts in runs.items() if parts), flush=True)  # fmt: skip
    row["ours"] = medians(runs["ours"])
    row["gb_s"] = round(sum(sizes) / row["ours"]["wall_s"] / 1e9, 3)
    if runs["peer"]:
        row["peer"] = medians(runs["peer"])
        row["times_faster"] = {k: round(row["peer"][k] / row["ours"][k], 2) for k in ("wall_s", "cpu_s")}
        row["memory_ratio"] = round(row["ours"]["peak_mb"] / row["peer"]["peak_mb"], 3)
    return row


def main() -> None:
    """Measure, print, save."""
    if "--bandwidth" in sys.argv:
        print(copying())
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--local", type=int, default=0)
    parser.add_argument("--memory-limit")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--steps", type=json.loads, default={})
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [compare(folder, options) for folder in options.inputs]
    print(json.dumps(rows, indent=1))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
