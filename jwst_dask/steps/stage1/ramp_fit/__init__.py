"""ramp_fit: count rates from ramps."""

from jwst_dask.steps.stage1.ramp_fit.planes import RATE, Pending, finished, rate_arrays
from jwst_dask.steps.stage1.ramp_fit.step import RampFitStep

__all__ = ["RATE", "Pending", "RampFitStep", "finished", "rate_arrays"]
