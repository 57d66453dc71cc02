"""Exposures of ramps as drafts: all metadata and tables, arrays that take no room."""

from __future__ import annotations

from typing import Any

import numpy as np

from jwst_dask.data.exposure import Draft
from jwst_dask.io.fits import FitsFile, read, scan

TABLES = {"GROUP": "group", "INT_TIMES": "int_times", "MOVING_TARGET_POSITION": "moving_target", "MSA_TARG_ACQ": "msa_targ_acq_table"}
GUIDE = ("FGS_ID-IMAGE", "FGS_ID-STACK", "FGS_ACQ1", "FGS_ACQ2", "FGS_TRACK", "FGS_FINEGUIDE")
"""Exposure types of guiding."""
DARK = "AVDRKCUR"
"""Extension for the average dark current (electrons/s) of ramps that dark_current has been through."""


def ramp_draft(path: str, file: FitsFile | None = None) -> Draft:
    """The draft of an exposure of ramps, nothing done to it yet.

    Parameters
    ----------
    path : str
        Level 1b file, or a ramp that some steps of stage 1 have been through.
    file : FitsFile
        Its scan.

    Returns
    -------
    Draft
        `model` is a RampModel (GuiderRawModel for guiding) of one integration.
    """
    from stdatamodels.jwst import datamodels

    from jwst_dask.data.models import filled
    from jwst_dask.io.skeleton import skeleton

    file = file or scan(path)
    source = skeleton(path, file)
    nints, ngroups, ny, nx = file.hdu("SCI").shape
    guide = str(source.meta.exposure.type or "").upper() in GUIDE
    tree: dict[str, Any] = {key: value for key, value in source.instance.items() if key in ("meta", "history", "asdf_library")}
    tree |= {name: source.instance[name] for hdu, name in TABLES.items() if hdu in file and name in source.instance}
    tree |= {key: value for key, value in source.instance.items() if key.endswith(("_table", "table")) and key not in tree and value is not None and len(value)}
    tree["data"] = zeros(np.float32, 1, ngroups, ny, nx)
    if guide:
        tree["err"], tree["dq"] = tree["data"], zeros(np.uint32, ny, nx)
    else:
        tree["pixeldq"], tree["groupdq"] = zeros(np.uint32, ny, nx), zeros(np.uint8, 1, ngroups, ny, nx)
        if "ZEROFRAME" in file:
            tree["zeroframe"] = zeros(np.float32, 1, ny, nx)
        if "REFOUT" in file:
            tree["refout"] = zeros(np.float32, 1, *file.hdu("REFOUT").shape[1:])
        if DARK in file:
            tree["average_dark_current"] = read(file, DARK).astype(np.float32, copy=False)
    model = filled(datamodels.GuiderRawModel if guide else datamodels.RampModel, tree)
    model.meta.filename = source.meta.filename
    return Draft(model, path, nints)


def zeros(dtype: Any, *shape: int) -> np.ndarray:
    """An array of zeros that takes no room."""
    return np.broadcast_to(np.zeros((), dtype), shape)
