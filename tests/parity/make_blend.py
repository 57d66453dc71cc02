"""Blended metadata of the reference implementation for tests/data/test_blend.py. Run in an environment with jwst 3.0.0:

    python tests/parity/make_blend.py tests/parity/blend.json
"""

import json
import sys

import numpy as np
from jwst.model_blender.blender import ModelBlender
from stdatamodels.jwst import datamodels

COMMON = {
    "meta.telescope": "JWST", "meta.instrument.name": "NIRSPEC", "meta.instrument.filter": "CLEAR", "meta.instrument.grating": "PRISM",
    "meta.exposure.type": "NRS_BRIGHTOBJ", "meta.exposure.nints": 90, "meta.target.ra": 217.3267, "meta.subarray.name": "SUB512",
    "meta.visit.tsovisit": True, "meta.observation.bkgdtarg": False, "meta.cal_step.extract_1d": "COMPLETE",
    "meta.exposure.exposure_time": 10.1,
}  # fmt: skip
VARYING = {
    "meta.filename": ["a_calints.fits", "bb_calints.fits", "c_calints.fits"],
    "meta.instrument.detector": ["NRS1", "NRS2", "NRS1"],
    "meta.exposure.integration_start": [1, 31, 61],
    "meta.exposure.integration_end": [30, 60, 90],
    "meta.exposure.segment_number": [1, 2, 3],
    "meta.exposure.effective_exposure_time": [0.1, 0.2, 0.3],
    "meta.exposure.measurement_time": [126.1, 125.9, 126.3],
    "meta.exposure.duration": [132.3, None, 132.7],
    "meta.exposure.mid_time": [60100.1, 60100.25, 60100.45],
    "meta.exposure.start_time": [60100.2, 60100.1, 60100.3],
    "meta.exposure.end_time": [60100.3, 60100.5, 60100.4],
    "meta.observation.date": ["2023-06-06", "2023-06-05", "2023-06-07"],
    "meta.observation.time": ["06:00:00.000", "23:00:00.000", "05:00:00.000"],
    "meta.observation.date_beg": ["2023-06-06T06:00:00.000", "2023-06-05T23:00:00.000", "2023-06-07T05:00:00.000"],
    "meta.observation.date_end": ["2023-06-06T07:00:00.000", "2023-06-05T23:30:00.000", "2023-06-07T06:00:00.000"],
    "meta.observation.exposure_number": ["1", "2", "3"],
    "meta.instrument.gwa_tilt": [37.6, 37.7, 37.9],
    "meta.instrument.pwcpos": [None, 1.0, 2.0],
    "meta.instrument.lamp_state": [None, "NONE", None],
    "meta.instrument.focus_position": [1, 2, 3],
    "meta.visit.engineering_quality": ["OK", "SUSPECT", "OK"],
    "meta.cal_step.outlier_detection": ["COMPLETE", "SKIPPED", None],
    "meta.asn.pool_name": ["none", "none", "none"],
    "meta.target.source_type": ["POINT", "POINT", "EXTENDED"],
}


def main(path):
    inputs = []
    for i in range(3):
        inputs.append({**COMMON, **{name: values[i] for name, values in VARYING.items() if values[i] is not None}})
    blender, product = ModelBlender(), datamodels.TSOMultiSpecModel()
    for header in inputs:
        model = datamodels.TSOMultiSpecModel()
        for name, value in header.items():
            model[name] = value
        model.meta.date = "2026-01-01T00:00:00.000"
        blender.accumulate(model)
    blender.finalize_model(product)
    product.meta.date = "2026-01-01T00:00:00.000"
    flat = {k: v for k, v in product.to_flat_dict(include_arrays=False).items() if k.startswith("meta.") and not hasattr(v, "output")}
    table = product.hdrtab
    columns = {c.name: [c.format, np.asarray(table[c.name]).tolist()] for c in table.columns}
    plain = {k: (v.item() if isinstance(v, np.generic) else v) for k, v in flat.items()}
    with open(path, "w") as file:
        json.dump({"inputs": inputs, "blended": plain, "table": columns}, file, indent=1, default=str)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
