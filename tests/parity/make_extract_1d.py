"""Golden values of extract_1d: run the reference implementation on the cases of tests/steps/extract_1d_cases.py.

    python tests/parity/make_extract_1d.py

in the environment of the reference implementation, with CRDS variables of any readable cache (all references are overridden).

Writes extract_1d.npz beside this file: per case the spectral columns stacked, the other columns of a time series stacked, units and
attributes of the spectrum (JSON), and profile, scene model and residual where they are saved.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "steps"))
os.environ.setdefault("STPIPE_DISABLE_CRDS_STEPPARS", "true")
os.environ.setdefault("CRDS_SERVER_URL", "https://crds-serverless-mode.stsci.edu")
ATTRIBUTES = (
    "name", "source_id", "source_type", "source_xpos", "source_ypos", "slit_ra", "slit_dec", "spectral_order", "dispersion_direction",
    "detector", "position_angle", "extraction_xstart", "extraction_xstop", "extraction_ystart", "extraction_ystop", "time_scale",
)  # fmt: skip

EXTRA = ("INT_NUM", "N_ALONGDISP", "SEGMENT")


def main() -> None:
    from astropy.io import fits
    from extract_1d_cases import CASES, exposure, references
    from jwst.extract_1d import Extract1dStep

    logging.disable(logging.ERROR)
    out = {}
    for case, (optics, variant, aperture, parameters) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = references(Path(folder), optics, aperture)
            overrides = {f"override_{name}": path for name, path in paths.items()}
            model = exposure(optics, variant)
            model.meta.filename = "case_cal.fits"
            result = Extract1dStep.call(model, output_dir=folder, **overrides, **parameters)
            spectrum = result.spec[0]
            table = spectrum.spec_table
            out[f"{case}.model"] = np.array(type(result).__name__)
            out[f"{case}.attributes"] = np.array(json.dumps({n: getattr(spectrum, n, None) for n in ATTRIBUTES}, default=float))
            out[f"{case}.units"] = np.array(json.dumps({c.name: c.unit for c in table.columns}))
            names = table.dtype.names
            spectra = [n for n in names if n.isupper() and n not in EXTRA and not n.startswith(("MJD", "TDB"))]
            out[f"{case}.spectra"] = np.stack([np.asarray(table[n], dtype=float) for n in spectra])
            out[f"{case}.rest"] = np.array([np.asarray(table[n], dtype=float) for n in names if n not in spectra])
            out["columns"], out["all_columns"] = np.array(spectra), np.array(names) if len(names) > 18 else out["all_columns"]
            for suffix in ("profile", "scene_model", "residual"):
                for path in Path(folder).glob(f"*_{suffix}.fits"):
                    out[f"{case}.{suffix}"] = fits.getdata(path).astype("f4")
        print(case, out[f"{case}.spectra"].shape)
    np.savez_compressed(HERE / "extract_1d.npz", **out)


if __name__ == "__main__":
    main()
