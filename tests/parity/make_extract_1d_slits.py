"""Golden values of extract_1d for exposures with many slits, and of combine_1d.

    python tests/parity/make_extract_1d_slits.py

in the environment of the reference implementation: it runs on the cases of tests/steps/extract_1d_slit_cases.py (all references are
overridden) and tests/kernels/combine_cases.py, and writes extract_1d_slits.npz and combine_1d.npz beside this file.
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
sys.path[:0] = [str(HERE.parent / "steps"), str(HERE.parent / "kernels")]
os.environ.setdefault("STPIPE_DISABLE_CRDS_STEPPARS", "true")
os.environ.setdefault("CRDS_SERVER_URL", "https://crds-serverless-mode.stsci.edu")
IMAGES = ("profile", "scene_model", "residual")


def keywords() -> dict[str, str]:
    """Attributes of a spectrum that are keywords of EXTRACT1D."""
    from stdatamodels.jwst.datamodels import SpecModel
    from stdatamodels.schema import walk_schema

    found = {}

    def note(node, path, *_):  # type: ignore[no-untyped-def]
        if node.get("fits_hdu") == "EXTRACT1D" and "fits_keyword" in node:
            found[".".join(path)] = node["fits_keyword"]

    walk_schema(SpecModel().schema, note)
    return found


def extracted() -> None:
    """extract_1d_slits.npz."""
    from astropy.io import fits
    from extract_1d_slit_cases import CASES, exposure, references
    from jwst.extract_1d import Extract1dStep

    out = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            overrides = {f"override_{name}": path for name, path in references(Path(folder), case).items()}
            model = exposure(case)
            model.meta.filename = "case_cal.fits"
            result = Extract1dStep.call(model, output_dir=folder, **overrides, **CASES[case][3])
            for number, spec in enumerate(result.spec):
                table = spec.spec_table
                out[f"{case}.{number}.spectrum"] = np.stack([np.asarray(table[n], dtype=float) for n in table.dtype.names])
                out["columns"] = np.array(table.dtype.names)
                values = {name: getattr(spec, name) for name in keywords() if "." not in name}
                out[f"{case}.{number}.attributes"] = np.array(json.dumps({k: v for k, v in values.items() if v is not None}, default=float))
                out[f"{case}.{number}.units"] = np.array(json.dumps({c.name: c.unit for c in table.columns}))
                for name in IMAGES:
                    path = Path(folder) / f"case_{spec.name.lower()}_{name}.fits"
                    if path.exists():
                        out[f"{case}.{number}.{name}"] = fits.getdata(path).astype("f4")
        print(case, len(result.spec))
    np.savez_compressed(HERE / "extract_1d_slits.npz", **out)


def combined() -> None:
    """combine_1d.npz."""
    from combine_cases import CASES, tables
    from jwst.combine_1d.combine1d import combine_1d_spectra
    from jwst.datamodels import ModelContainer
    from stdatamodels.jwst import datamodels

    out = {}
    for case, (_, _, _, clip) in CASES.items():
        model = ModelContainer()
        for table, time in tables(case):
            one = datamodels.MultiSpecModel()
            one.meta.exposure.exposure_time, one.meta.target.ra, one.meta.target.dec = time, 10.0, 20.0
            spec = datamodels.SpecModel()
            full = np.zeros(len(table), dtype=spec.get_dtype("spec_table"))
            for name in table.dtype.names:
                full[name] = table[name]
            spec.spec_table, spec.spectral_order = full, 1
            one.spec.append(spec)
            model.append(one)
        out[case] = np.array(combine_1d_spectra(model, "exposure_time", sigma_clip=clip).spec[0].spec_table)
        print(case, out[case].shape)
    np.savez_compressed(HERE / "combine_1d.npz", **out)


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    extracted()
    combined()
