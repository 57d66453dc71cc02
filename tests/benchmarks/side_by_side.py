"""Ours beside the reference implementation: whole processes on the same files, on this machine.

    python tests/benchmarks/side_by_side.py [--n 3] [--small] [--large] [--inputs DIR] [--no-peer] [--json FILE]

Each run is spec2 for all segments and tso3, from fresh interpreters. The reference implementation runs as people run it: a process for each
association. Plain reading of the inputs and writing of as many bytes as the products, warm and without fsync, is timed between the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "parity")]
import peer  # noqa: E402
from processes import Measured, measure, medians, together  # noqa: E402

SIZES = {"small": peer.Series("bots_prism", 0, (("nints", 30), ("nseg", 3))), "large": peer.Series("bots_prism", 0, (("nints", 1000), ("nseg", 4)))}
LARGE_PIECE = 1 << 24


def associations(folder: Path, kind: str) -> list[Path]:
    """Association files of a type."""
    return sorted(p for p in folder.glob("*_asn.json") if json.loads(p.read_text())["asn_type"] == kind)


def ours(inputs: Path, out: Path, env: Mapping[str, str]) -> list[Measured]:
    """One process: our command line on all associations, spec2 and then tso3."""
    given = [*associations(inputs, "spec2"), *associations(inputs, "tso3")]
    return [measure([sys.executable, "-m", "jwst_dask.cli", "run", "auto", *map(str, given), "--output-dir", str(out), "--no-progress"], env)]


def theirs(inputs: Path, out: Path, env: Mapping[str, str]) -> list[Measured]:
    """A process of the reference implementation for each association."""
    command = [peer.python(), str(peer.oracle() / "oracle.py"), "peer"]  # type: ignore[operator]
    parts = [measure([*command, "Spec2Pipeline", str(asn), str(out), "--group", "nirspec"], env) for asn in associations(inputs, "spec2")]
    asn = shutil.copy(associations(inputs, "tso3")[0], out)
    return [*parts, measure([*command, "Tso3Pipeline", str(asn), str(out), "--group", "nirspec"], env)]


def plain(inputs: Path, nbytes: int, out: Path) -> float:
    """Seconds to read the exposures and write `nbytes`, in pieces of 16 MB, without fsync."""
    buffer, piece = bytearray(LARGE_PIECE), memoryview(os.urandom(LARGE_PIECE))
    began = time.perf_counter()
    for path in sorted(inputs.glob("*_rateints.fits")):
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    with open(out / "plain.bin", "wb", buffering=0) as file:
        for start in range(0, nbytes, LARGE_PIECE):
            file.write(piece[: min(LARGE_PIECE, nbytes - start)])
    seconds = time.perf_counter() - began
    (out / "plain.bin").unlink()
    return seconds


def size(folder: Path) -> int:
    """Bytes of the products in a folder."""
    return sum(p.stat().st_size for p in folder.iterdir() if p.suffix in (".fits", ".ecsv"))


def compare(name: str, inputs: Path, n: int, with_peer: bool, scratch: Path) -> dict[str, Any]:
    """Interleaved runs on one set of exposures."""
    env = {**peer.environment("bots_prism"), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    cold_cache = scratch / "numba"
    row: dict[str, Any] = {"input_mb": round(sum(p.stat().st_size for p in inputs.glob("*_rateints.fits")) / 1e6, 1)}
    runs: dict[str, list[list[Measured]]] = {"ours": [], "peer": []}
    disk: list[float] = []
    with tempfile.TemporaryDirectory(dir=scratch) as out:  # with an empty cache of compiled kernels
        cold = together(ours(inputs, Path(out), {**env, "NUMBA_CACHE_DIR": str(cold_cache)}))
        row["output_mb"] = round(size(Path(out)) / 1e6, 1)
    for turn in range(n):
        for who, run in (("ours", ours), ("peer", theirs)):
            if who == "peer" and not with_peer:
                continue
            with tempfile.TemporaryDirectory(dir=scratch) as out:
                runs[who].append(run(inputs, Path(out), {**env, **({"NUMBA_CACHE_DIR": str(cold_cache)} if who == "ours" else {"PYTHONPATH": ""})}))
            with tempfile.TemporaryDirectory(dir=scratch) as out:
                disk.append(plain(inputs, int(row["output_mb"] * 1e6), Path(out)))
        print(f"{name}: turn {turn + 1} of {n}: " + ", ".join(f"{who} {sum(p.wall for p in parts[-1]):.1f} s" for who, parts in runs.items() if parts), flush=True)
    row["ours"] = {**medians([together(parts) for parts in runs["ours"]]), "first_run_wall_s": round(cold.wall, 3)}
    row["compile_s"] = round(cold.wall - row["ours"]["wall_s"], 3)
    row["plain_io_s"] = round(statistics.median(disk), 3)
    command = [sys.executable, "-m", "jwst_dask.cli", "plan", "auto", str(associations(inputs, "spec2")[0])]  # imports, references, WCS, a plan
    row["start_s"] = round(statistics.median(measure(command, env).wall for _ in range(3)), 3)
    row["ours_over_plain_io"] = round(row["ours"]["wall_s"] / row["plain_io_s"], 2)
    row["ours_after_start_over_plain_io"] = round((row["ours"]["wall_s"] - row["start_s"]) / row["plain_io_s"], 2)
    if with_peer:
        row["peer"] = {**medians([together(parts) for parts in runs["peer"]]), "spec2": medians([together(p[:-1]) for p in runs["peer"]]),
                       "tso3": medians([p[-1] for p in runs["peer"]])}  # fmt: skip
        row["times_faster"] = {k: round(row["peer"][k] / row["ours"][k], 2) for k in ("wall_s", "cpu_s")}
        row["memory_ratio"] = round(row["ours"]["peak_mb"] / row["peer"]["peak_mb"], 3)
    return row


GRAPHS = """
import json, sys, time
from pathlib import Path
import shutil
sys.path.insert(0, sys.argv[2])
folder, count = Path(sys.argv[1]), int(sys.argv[3])
began = time.perf_counter()
import jwst_dask
from jwst_dask.core.run import plan
imports = time.perf_counter() - began
def build():
    began = time.perf_counter()
    made = plan(sorted(map(str, folder.glob("*_rateints.fits"))), "calwebb_spec2", output_dir=str(folder / "out"), chunk=4)
    tasks = sum(len(e.chunks.bounds) for job in made.jobs for e in job.exposures)
    return time.perf_counter() - began, tasks
seconds, tasks = build()
began = time.perf_counter()
opened = jwst_dask.open(str(folder / "*_rateints.fits"))
lazy = time.perf_counter() - began
print(json.dumps({"segments": count, "plan_s": seconds, "tasks": tasks, "plan_ms_per_task": 1e3 * seconds / tasks, "import_s": imports, "open_lazy_s": lazy}))
"""


def graphs(inputs: Path, scratch: Path, count: int = 100) -> dict[str, Any]:
    """Building, without computing, the graph of many segments: sparse copies of one exposure under other names, with headers of their own."""
    from astropy.io import fits

    folder = scratch / "many"
    folder.mkdir()
    source = sorted(inputs.glob("*_rateints.fits"))[0]
    with fits.open(source) as file:
        n = file[1].data.shape[0]
    for k in range(count):
        target = folder / source.name.replace("seg001", f"seg{k + 1:03d}")
        shutil.copy(source, target)
        with fits.open(target, mode="update", memmap=True) as file:
            file[0].header.update(EXSEGNUM=k + 1, EXSEGTOT=count, INTSTART=k * n + 1, INTEND=(k + 1) * n, NINTS=count * n, FILENAME=target.name)
            if "INT_TIMES" in file:
                times = file["INT_TIMES"].data
                span = times["int_end_MJD_UTC"][-1] - times["int_start_MJD_UTC"][0]
                times["integration_number"] += k * n
                for column in times.names[1:]:
                    times[column] += k * span
    env = {**peer.environment("bots_prism"), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = measure([sys.executable, "-c", GRAPHS, str(folder), str(Path(__file__).resolve().parents[2]), str(count)], env)
    shutil.rmtree(folder)
    return {key: round(value, 4) for key, value in json.loads(done.output.strip().splitlines()[-1]).items()}


def imports() -> dict[str, float]:
    """Seconds of a fresh interpreter that imports; medians of five."""
    env = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    commands = {"python": "pass", "jwst_dask": "import jwst_dask", "jwst_dask.cli": "import jwst_dask.cli", "jwst_dask.core.run": "import jwst_dask.core.run"}
    return {name: round(statistics.median(measure([sys.executable, "-c", code], env).wall for _ in range(5)), 3) for name, code in commands.items()}


def show(name: str, row: Mapping[str, Any]) -> None:
    """Print one comparison as a table."""
    print(f"\n{name}: {row['input_mb']} MB in, {row['output_mb']} MB out; plain reading and writing {row['plain_io_s']} s")
    print(f"{'':22s}{'wall s':>10s}{'CPU s':>10s}{'peak MB':>10s}")
    for who in [who for who in ("ours", "peer") if who in row]:
        for part in ("", "spec2", "tso3") if who == "peer" else ("",):
            values = row[who][part] if part else row[who]
            print(f"{who + ' ' + part:22s}{values['wall_s']:10.2f}{values['cpu_s']:10.2f}{values['peak_mb']:10.0f}")
    print(f"compile time {row['compile_s']} s (apart); ours is {row['ours_over_plain_io']} x plain I/O, {row['ours_after_start_over_plain_io']} x after start-up")
    if "peer" in row:
        print(f"{row['times_faster']['wall_s']} x faster in wall time, {row['times_faster']['cpu_s']} x in CPU; memory {row['memory_ratio']} of the reference's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=3, help="runs of each")
    parser.add_argument("--small", action="store_true", help="3 segments of 30 integrations")
    parser.add_argument("--large", action="store_true", help="4 segments of 1000 integrations")
    parser.add_argument("--inputs", type=Path, help="exposures of the large size, made before")
    parser.add_argument("--no-peer", action="store_true", help="only ours")
    parser.add_argument("--no-graphs", action="store_true", help="leave out imports and graph building")
    parser.add_argument("--scratch", type=Path, help="folder for products (default: the system's)")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"))
    args = parser.parse_args()
    if peer.oracle() is None:
        sys.exit("no oracle: set JWST_DASK_ORACLE to its folder")
    result: dict[str, Any] = {"cpus": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        for name in [s for s in SIZES if getattr(args, s)] or list(SIZES):
            inputs = args.inputs if args.inputs and name == "large" else SIZES[name].inputs()
            result[name] = compare(name, inputs, args.n, not args.no_peer, Path(scratch))
            show(name, result[name])
        if not args.no_graphs:
            result["imports_s"] = imports()
            result["graphs"] = graphs(SIZES["small"].inputs(), Path(scratch))
            print("\nimports:", result["imports_s"], "\ngraph building:", result["graphs"])
    args.json.write_text(json.dumps(result, indent=1))
    print(f"\nwritten to {args.json}")


if __name__ == "__main__":
    main()
