"""Catalogues of the reference implementation for tests/steps/test_white_light.py. Run in an environment with jwst 3.0.0:

    python tests/parity/make_white_light.py tests/parity/white_light.json
"""

import io
import json
import logging
import sys

import numpy as np
from astropy.table import Table, vstack
from jwst.white_light.white_light import white_light
from stdatamodels.jwst import datamodels

META = {"instrument.name": "NIRSPEC", "exposure.type": "NRS_BRIGHTOBJ", "subarray.name": "SUB2048", "instrument.filter": "F290LP",
        "target.catalog_name": "A STAR"}  # fmt: skip
SPECTRA = {  # (order, detector, integrations, wavelengths, first time)
    "one": [(1, "MIRIMAGE", 4, 11, 60000.0), (1, "MIRIMAGE", 3, 11, 60000.4)],
    "detectors": [(1, "NRS1", 4, 11, 60000.0), (1, "NRS2", 4, 15, 60000.0003), (1, "NRS1", 3, 11, 60000.4), (1, "NRS2", 2, 15, 60000.4003)],
    "orders": [(1, "NIS", 5, 20, 60000.0), (2, "NIS", 5, 20, 60000.0)],
    "gaps": [(1, "NIS", 6, 20, 60000.0), (2, "NIS", 6, 20, 60000.0)],
}
CASES = {
    "one": ("one", {}),
    "one_limits": ("one", {"min_wave": 1.3, "max_wave": 1.8}),
    "one_minimum": ("one", {"min_wave": 1.5}),
    "detectors": ("detectors", {}),
    "orders": ("orders", {"waverange_table": True}),
    "orders_maximum": ("orders", {"waverange_table": True, "max_wave": 1.9}),
    "gaps": ("gaps", {}),
}
RANGES = [[1, "F290LP", 1.2, 1.7], [2, "F290LP", 1.1, 1.4], [1, "CLEAR", 0.8, 2.8]]


def rows(name):
    """WAVELENGTH, FLUX, MJD-AVG, TDB-MID of each spectrum of a set; the same numbers wherever it is called."""
    out = []
    for order, _, nints, nwave, start in SPECTRA[name]:
        t = np.arange(nints)
        wave = np.linspace(1.0, 2.0, nwave) + np.zeros((nints, 1))
        flux = 10 * order + np.sin(np.arange(nwave) * 1.7 + t[:, None] * 0.3)
        flux[t % 3 == 1, 4] = np.nan
        wave[:, -1] = np.nan
        mjd, tdb = start + 0.1 * t, start + 0.1 * t + 0.003
        if name == "gaps":
            mjd[1], mjd[4 if order == 1 else 2] = np.nan, mjd[3]
            flux[0] = np.nan
        out.append((wave, flux, mjd, tdb))
    return out


def model_of(name):
    model = datamodels.TSOMultiSpecModel()
    for path, value in META.items():
        model[f"meta.{path}"] = value
    for (order, detector, *_), (wave, flux, mjd, tdb) in zip(SPECTRA[name], rows(name)):
        spec = datamodels.TSOSpecModel()
        dtype = spec.get_dtype("spec_table")
        dtype = [(n, t, flux.shape[1:]) if n in ("WAVELENGTH", "FLUX") else (n, t) for n, t, *_ in dtype.descr]
        table = np.zeros(len(flux), dtype=dtype)
        table["WAVELENGTH"], table["FLUX"], table["MJD-AVG"], table["TDB-MID"] = wave, flux, mjd, tdb
        spec.spec_table = table
        spec.spec_table.columns["FLUX"].unit = "Jy"
        spec.spectral_order, spec.detector = order, detector
        model.spec.append(spec)
    return model


def main(path):
    logging.disable(logging.WARNING)
    out = {}
    ranges = Table(np.array(RANGES), names=["order", "filter", "min_wave", "max_wave"], dtype=[int, str, float, float])
    for case, (name, options) in CASES.items():
        if options.get("waverange_table"):
            options = {**options, "waverange_table": ranges}
        table = vstack([white_light(model_of(name), **options)])
        table.meta["number_of_integrations"] = len(table)
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        out[case] = text.getvalue()
    with open(path, "w") as file:
        json.dump(out, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
