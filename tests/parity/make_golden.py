"""Products of the reference implementation for simulated exposures, for test_golden.py and test_slits_golden.py. Run in an environment with jwst 3.0.0:

PYTHONPATH=. python tests/parity/make_golden.py [NAME ...]
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import golden_cases
import numpy as np
from digest import digest, pack

OUT = Path(__file__).resolve().parent / "golden"


def make(name: str, folder: Path) -> None:
    """Simulate, run the reference implementation, keep what its products hold."""
    from jwst_dask import simulate

    slits = name in golden_cases.SLITS
    if slits:
        scene, chosen, number, second = golden_cases.SLITS[name]
        third = None
    else:
        scene, second, third = golden_cases.CASES[name]
    truth = golden_cases.scene(scene, str(folder))
    os.environ.update(simulate.environment(folder), STPIPE_DISABLE_CRDS_STEPPARS="true")
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from jwst.pipeline import Spec2Pipeline, Tso3Pipeline

    out = folder / "products"
    out.mkdir()
    os.chdir(folder)  # where the metafile is
    for asn in [getattr(truth, chosen)[number]] if slits else truth.level2:
        Spec2Pipeline.call(str(folder / str(asn)), output_dir=str(out), save_results=True, steps=second)
    for asn in truth.level3 if third is not None else ():
        shutil.copy(folder / str(asn), out)
        Tso3Pipeline.call(str(out / str(asn)), output_dir=str(out), save_results=True, steps=third)
    values = {"|exposures": np.array(golden_cases.print_of(truth))}
    for path in sorted(p for p in out.iterdir() if p.suffix in (".fits", ".ecsv")):
        kept = digest(path, golden_cases.SLIT_SAMPLES) if slits else digest(path)
        values |= {f"{path.name}|{key}": value for key, value in kept.items()}
    OUT.mkdir(exist_ok=True)
    if slits:
        pack(OUT / f"{name}.npz", values)
    else:
        np.savez_compressed(OUT / f"{name}.npz", **{f"a{i}": value for i, value in enumerate(values.values())}, names=np.array(json.dumps(list(values))))
    print(name, len(values), (OUT / f"{name}.npz").stat().st_size)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as folder:
            make(sys.argv[2], Path(folder))
        return
    for name in sys.argv[1:] or (*golden_cases.CASES, *golden_cases.SLITS):  # a process each: the CRDS client keeps what it has read
        subprocess.run([sys.executable, str(Path(__file__).resolve()), "--one", name], check=True)


if __name__ == "__main__":
    main()
