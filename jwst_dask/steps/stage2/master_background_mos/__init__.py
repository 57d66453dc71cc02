"""master_background_mos: a background spectrum from background slits, subtracted from every slit of a MOS exposure."""

from jwst_dask.steps.stage2.master_background_mos.calibrate import nested_steps
from jwst_dask.steps.stage2.master_background_mos.spectrum import BackgroundSpectrum, background_spectrum, master_spectrum, user_spectrum
from jwst_dask.steps.stage2.master_background_mos.step import Failed, MasterBackgroundMosStep

__all__ = ["BackgroundSpectrum", "Failed", "MasterBackgroundMosStep", "background_spectrum", "master_spectrum", "nested_steps", "user_spectrum"]
