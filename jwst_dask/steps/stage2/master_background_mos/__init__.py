"""master_background_mos: a background spectrum from background slits, subtracted from every slit of a MOS exposure."""

from jwst_dask.steps.stage2.master_background_mos.failed_open import with_failed_open
from jwst_dask.steps.stage2.master_background_mos.products import side_models
from jwst_dask.steps.stage2.master_background_mos.spectrum import background_spectrum, master_spectrum, user_spectrum
from jwst_dask.steps.stage2.master_background_mos.step import Failed, MasterBackgroundMosStep, is_background_slit

__all__ = ["Failed", "MasterBackgroundMosStep", "background_spectrum", "is_background_slit", "master_spectrum", "side_models", "user_spectrum",
           "with_failed_open"]  # fmt: skip
