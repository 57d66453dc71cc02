"""Values of the reference implementation for tests/steps/test_master_background.py. Run in an environment with jwst 3.0.0:

    python tests/parity/make_master_background.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jwst.master_background import nirspec_utils
from stdatamodels.jwst import datamodels

VARIANTS = {"default": (3.0, 1), "unclipped": (None, 4), "tight": (1.0, 5)}
"""Clipping threshold and width of the median."""
COLUMNS = ("WAVELENGTH", "FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR", "DQ")


def spectra(rng: np.random.Generator) -> datamodels.MultiSpecModel:
    """Spectra of three background slits on shifted grids, with bad elements and one without any flux."""
    product = datamodels.MultiSpecModel()
    for i in range(4):
        n = 90 + 5 * i
        one = datamodels.SpecModel(spec_table=np.zeros(n, datamodels.SpecModel().get_dtype("spec_table")))
        table = one.spec_table
        table["WAVELENGTH"] = np.linspace(0.6, 5.3, n) + 0.003 * i
        table["SURF_BRIGHT"] = 0.2 + 0.05 * table["WAVELENGTH"] + 0.01 * rng.normal(size=n)
        table["SB_ERROR"] = 0.01 * rng.uniform(0.5, 2, n)
        table["FLUX"], table["FLUX_ERROR"] = 2e-6 * table["SURF_BRIGHT"], 2e-6 * table["SB_ERROR"]
        for name in ("FLUX", "SURF_BRIGHT"):
            table[name][7 * i + 3] *= 40
            table[name][: 3 + i] = np.nan
        table["DQ"][20:22] = 1
        if i == 3:
            table["FLUX"] = table["SURF_BRIGHT"] = np.nan
        one.name, one.spectral_order, one.source_type, one.dispersion_direction = str(i), 0, "EXTENDED", 1
        product.spec.append(one)
    product.meta.exposure.exposure_time, product.meta.target.ra, product.meta.target.dec = 1200.0, 1.0, 2.0
    return product


def slits(rng: np.random.Generator) -> datamodels.MultiSlitModel:
    """A slit with wavelengths within, beyond and without."""
    product = datamodels.MultiSlitModel()
    y, x = np.indices((8, 60), dtype=float)
    one = datamodels.SlitModel(data=rng.normal(size=x.shape).astype(np.float32))
    one.dq, one.wavelength = rng.choice([0, 0, 0, 4, 1], x.shape).astype(np.uint32), (0.4 + 0.09 * x + 0.01 * y).astype(np.float32)
    one.wavelength[0] = one.wavelength[:, -1] = np.nan
    one.name = "1"
    product.slits.append(one)
    product.meta.exposure.type = "NRS_MSASPEC"
    return product


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(11)
    given, out = spectra(rng), {}
    for i, one in enumerate(given.spec):
        for name in COLUMNS:
            out[f"in/{i}/{name}"] = np.array(one.spec_table[name])
    for variant, (clip, kernel) in VARIANTS.items():
        master = nirspec_utils.create_background_from_multispec(given, sigma_clip=clip, median_kernel=kernel)
        table = master.spec[0].spec_table
        for name in table.dtype.names:
            out[f"{variant}/{name}"] = np.array(table[name])
    scene = slits(rng)
    master = nirspec_utils.create_background_from_multispec(given)
    picture = nirspec_utils.map_to_science_slits(scene, master)
    for name in ("data", "dq", "wavelength"):
        out[f"slit/{name}"] = np.array(getattr(scene.slits[0], name))
    out["expanded/data"], out["expanded/dq"] = np.array(picture.slits[0].data), np.array(picture.slits[0].dq)
    for label, inverse in (("subtracted", False), ("added", True)):
        done = nirspec_utils.apply_master_background(scene.copy(), picture, inverse=inverse)
        out[f"{label}/data"], out[f"{label}/dq"] = np.array(done.slits[0].data), np.array(done.slits[0].dq)
    np.savez_compressed(Path(__file__).with_name("master_background.npz"), **out)


if __name__ == "__main__":
    main()
