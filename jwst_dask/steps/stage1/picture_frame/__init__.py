"""picture_frame: the thermal picture frame of NIRSpec's detectors."""

from jwst_dask.steps.stage1.picture_frame.step import PictureFrameStep

__all__ = ["PictureFrameStep"]
