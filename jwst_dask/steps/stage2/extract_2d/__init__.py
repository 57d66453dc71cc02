"""extract_2d: cut each slit's spectrum out of the detector image."""

from jwst_dask.steps.stage2.extract_2d.slits import cut, slit_draft
from jwst_dask.steps.stage2.extract_2d.step import Extract2dStep

__all__ = ["Extract2dStep", "cut", "slit_draft"]
