"""resample_spec: rectify the spectra of slits onto a grid of slit position and wavelength."""

from __future__ import annotations

from jwst_dask.steps.stage2.resample_spec.step import ResampleSpecStep

__all__ = ["ResampleSpecStep"]
