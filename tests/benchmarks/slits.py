"""A MOS exposure of many slits, ours beside the reference implementation: whole processes on the same association.

    python tests/benchmarks/slits.py ASSOCIATION [--n 1] [--local N] [--no-peer] [--json FILE]

Make the exposure with the oracle, which takes its time:
``oracle.py make mos_prism DIR --set nsource=180 --set nlong=15 --set nbkg=25 --set 'dets=["NRS1"]'``. Needs ``JWST_DASK_ORACLE``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "parity")]
import peer  # noqa: E402
from processes import Measured, measure, medians  # noqa: E402


def ours(asn: Path, out: str, local: int, env: dict[str, str]) -> Measured:
    """One process (and `local` workers): our command line."""
    more = ["--local", str(local)] if local else []
    return measure([sys.executable, "-m", "jwst_dask.cli", "run", "calwebb_spec2", str(asn), "--output-dir", out, "--no-progress", *more], env)


def theirs(asn: Path, out: str, env: dict[str, str]) -> Measured:
    """One process of the reference implementation."""
    command = [peer.python(), str(peer.oracle() / "oracle.py"), "peer"]  # type: ignore[operator]
    return measure([*command, "Spec2Pipeline", str(asn), out, "--group", "nirspec"], {**env, "PYTHONPATH": ""})


def slits_in(folder: str) -> int:
    """Slits in the products of a folder."""
    from astropy.io import fits

    with fits.open(next(Path(folder).glob("*_x1d.fits"))) as file:
        return sum(hdu.name == "EXTRACT1D" for hdu in file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("association", type=Path)
    parser.add_argument("--n", type=int, default=1, help="turns")
    parser.add_argument("--local", type=int, default=0, help="worker processes (default: threads of one process)")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("slits.json"))
    args = parser.parse_args()
    env = {**peer.environment("bots_prism"), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    runs: dict[str, list[Measured]] = {"ours": [], "peer": []}
    row: dict[str, Any] = {"load_before": os.getloadavg()}
    with tempfile.TemporaryDirectory() as out:
        row["first_run_wall_s"] = round(ours(args.association, out, args.local, env).wall, 2)
        row["slits"] = slits_in(out)
    for _ in range(args.n):
        with tempfile.TemporaryDirectory() as out:
            runs["ours"].append(ours(args.association, out, args.local, env))
        if not args.no_peer:
            with tempfile.TemporaryDirectory() as out:
                runs["peer"].append(theirs(args.association, out, env))
    row |= {who: medians(parts) for who, parts in runs.items() if parts} | {"load_after": os.getloadavg()}
    if runs["peer"]:
        row["times_faster"] = {k: round(row["peer"][k] / row["ours"][k], 1) for k in ("wall_s", "cpu_s")}
        row["memory_ratio"] = round(row["ours"]["peak_mb"] / row["peer"]["peak_mb"], 3)
    args.json.write_text(json.dumps(row, indent=1))
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
