"""Values of the reference implementation for simulated exposures (run in its environment, PYTHONPATH = this checkout):

    python tests/parity/make_simulated.py

writes ``simulated.json``: wavelengths that its WCS gives to some pixels, its white-light curves and spectra of noise-free series.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np

from jwst_dask import simulate

CASES = {
    "bots_prism": {"mode": "bots_prism"},
    "G395H": {"mode": "bots_grating", "grating": "G395H", "detectors": ("NRS1", "NRS2")},
    "G140M": {"mode": "bots_grating", "grating": "G140M", "detectors": ("NRS1",)},
    "lrs_slitless": {"mode": "lrs_slitless"},
}
COMMON = {"nsegments": 1, "nints": 6, "seed": 5, "noise": 0.0, "depth": 0.015}


def exposure(folder: Path, association: str) -> dict:
    from astropy.io import fits
    from jwst.pipeline import Spec2Pipeline

    Spec2Pipeline.call(association, output_dir=str(folder), save_results=True)
    product = association.replace("_spec2_asn.json", "")
    from stdatamodels.jwst import datamodels

    with datamodels.open(f"{product}_calints.fits") as model:
        x0, y0 = getattr(model, "xstart", None) or 1, getattr(model, "ystart", None) or 1
        ny, nx = model.data.shape[1:]
        rows, columns = (np.unique(np.linspace(0.1 * n, 0.9 * n, 6).astype(int)) for n in (ny, nx))
        y, x = (a.ravel() for a in np.meshgrid(rows, columns))
        wavelength = model.meta.wcs(x, y)[2]
        source = [model.source_xpos, model.source_ypos]
    with fits.open(f"{product}_x1dints.fits") as file:
        table = file["EXTRACT1D"].data
        pick = np.unique(np.linspace(20, table["FLUX"].shape[1] - 20, 25).astype(int))
        spectrum = {"wavelength": table["WAVELENGTH"][0][pick].tolist(), "flux": np.median(table["FLUX"][[0, -1]], axis=0)[pick].tolist()}
    good = np.isfinite(wavelength)
    return {"product": product, "x": (x[good] + x0 - 1).tolist(), "y": (y[good] + y0 - 1).tolist(), "wavelength": wavelength[good].tolist(),
            "source": source, "spectrum": spectrum}  # fmt: skip


def main() -> None:
    from astropy.table import Table
    from crds.core import utils
    from jwst.pipeline import Tso3Pipeline

    out: dict = {}
    home = os.getcwd()
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            truth = simulate.make(folder=folder, **case, **COMMON)
            os.environ.update(simulate.environment(folder), STPIPE_DISABLE_CRDS_STEPPARS="true")
            utils.clear_function_caches()  # the rules of the last case
            os.chdir(folder)
            out[name] = {"exposures": [exposure(folder, str(a)) for a in truth.level2], "curves": {}}
            for association in truth.level3:
                Tso3Pipeline.call(str(association), output_dir=str(folder), save_results=True)
                table = Table.read(str(association).replace("_tso3_asn.json", "_whtlt.ecsv"))
                out[name]["curves"][str(association)] = {key: np.asarray(table[key]).tolist() for key in table.colnames}
            os.chdir(home)
    Path(__file__).with_name("simulated.json").write_text(json.dumps({"common": COMMON, "cases": CASES, "values": out}, indent=0))


if __name__ == "__main__":
    main()
