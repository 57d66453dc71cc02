"""Memory of workers while a long series goes through spec2 and tso3: it must not grow with the number of segments.

    python tests/benchmarks/memory.py [--segments 5,10,20] [--megabytes 300] [--workers 2] [--limit 1.5GB] [--scratch DIR] [--json FILE]

Simulates the longest series, then processes its first segments on a fresh local cluster for each number. Needs, for 20 segments of 300 MB,
6 GB for the exposures and 16 GB for the products of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

INTEGRATION = 32 * 512 * 4 * 5  # bytes of the five planes of an integration of PRISM SUB512
OUTPUT = 2.7  # bytes of all products for a byte of exposures, at most


def peak(pid: int) -> float:
    """Largest resident memory that a process ever had, MB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


class Watch(threading.Thread):
    """Samples what the workers of a cluster keep on disk because memory ran short."""

    def __init__(self, client: Any) -> None:
        super().__init__(daemon=True)
        self.client, self.spilled, self.ended = client, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
            self.spilled = max(self.spilled, sum(int((w["metrics"].get("spilled_bytes") or {}).get("disk", 0)) for w in workers))


def process(folder: Path, truth: Any, count: int, workers: int, limit: str, scratch: Path) -> dict[str, Any]:
    """spec2 and tso3 of the first `count` segments on a fresh cluster."""
    from distributed import Client, LocalCluster

    import jwst_dask

    with (
        tempfile.TemporaryDirectory(dir=scratch) as out,
        LocalCluster(n_workers=workers, threads_per_worker=1, memory_limit=limit, processes=True, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = client.run(os.getpid)
        watch = Watch(client)
        watch.start()
        began = time.perf_counter()
        jwst_dask.run([str(folder / str(a)) for a in truth.level2[:count]], "calwebb_spec2", client=client, output_dir=out)
        second = time.perf_counter() - began
        content = json.loads((folder / str(truth.level3[0])).read_text())
        content["products"][0]["members"] = content["products"][0]["members"][:count]
        asn = Path(out) / str(truth.level3[0])
        asn.write_text(json.dumps(content))
        jwst_dask.run([str(asn)], "calwebb_tso3", client=client, output_dir=out)
        seconds = time.perf_counter() - began
        watch.ended.set()
        watch.join()
        alive = client.run(os.getpid)
        made = sum(p.stat().st_size for p in Path(out).iterdir() if p.is_file()) / 1e6
        return {"segments": count, "spec2_s": round(second, 1), "tso3_s": round(seconds - second, 1), "peak_mb": [round(peak(pid)) for pid in alive.values()],
                "client_peak_mb": round(peak(os.getpid())), "spilled_mb": round(watch.spilled / 1e6, 1), "output_mb": round(made),
                "workers_lost": len(set(pids.values()) - set(alive.values()))}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", default="5,10,20", help="numbers of segments, one run each")
    parser.add_argument("--megabytes", type=float, default=300.0, help="size of a segment")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", default="1.5GB", help="memory of a worker")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path, default=Path("memory.json"))
    args = parser.parse_args()
    from jwst_dask import simulate

    counts = sorted(int(word) for word in args.segments.split(","))
    nints = max(2, round(args.megabytes * 1e6 / INTEGRATION))
    needed, free = counts[-1] * args.megabytes / 1e3 * (1 + OUTPUT), shutil.disk_usage(args.scratch).free / 1e9
    if free < 1.1 * needed:
        sys.exit(f"{needed:.0f} GB are needed in {args.scratch}, {free:.0f} GB are free; choose another folder with --scratch")
    rows = []
    with tempfile.TemporaryDirectory(dir=args.scratch) as place:
        folder = Path(place)
        truth = simulate.make("bots_prism", folder, nsegments=counts[-1], nints=nints, seed=1)
        os.environ.update(simulate.environment(folder), STPIPE_DISABLE_CRDS_STEPPARS="true")
        for count in counts:
            rows.append(process(folder, truth, count, args.workers, args.limit, args.scratch))
            print(rows[-1], flush=True)
    first, last = max(rows[0]["peak_mb"]), max(rows[-1]["peak_mb"])
    result = {"segment_mb": nints * INTEGRATION / 1e6, "limit": args.limit, "runs": rows, "growth": round(last / first, 3)}
    print(f"peak of a worker: {first} MB with {counts[0]} segments, {last} MB with {counts[-1]} ({result['growth']} x)")
    args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
