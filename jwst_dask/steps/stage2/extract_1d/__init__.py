"""Extraction of spectra from slit-like exposures."""

from jwst_dask.steps.stage2.extract_1d.step import Extract1dStep

__all__ = ["Extract1dStep"]
