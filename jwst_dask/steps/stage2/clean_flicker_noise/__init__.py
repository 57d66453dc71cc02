"""clean_flicker_noise: correlated noise of rates."""

from jwst_dask.steps.stage2.clean_flicker_noise.step import CleanFlickerNoiseStep

__all__ = ["CleanFlickerNoiseStep"]
