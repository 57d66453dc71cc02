"""msa_flagging: flag the pixels on which shutters that fail to close throw their spectra."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.data.dq import PIXEL
from jwst_dask.data.msa_edits import ROWS
from jwst_dask.wcs.nirspec.box import edge_extent, narrowed
from jwst_dask.wcs.references import identity
from jwst_dask.wcs.slitwcs import to_world

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References
    from jwst_dask.wcs.grid import Box
    from jwst_dask.wcs.nirspec.tracer import Optics, OpticsSlit

FLAGGED = ("NRS_MSASPEC", "NRS_IFU", "NRS_LAMP", "NRS_AUTOFLAT", "NRS_AUTOWAVE")
STATES = ("Internal state", "TA state", "state")
"""Entries of the reference of which one must be ``open``."""
EDGES = (-0.5, 0.5)
"""Of a shutter's open area."""


@dataclass(frozen=True, kw_only=True)
class MSAFlagOpenStep(BlockStep):
    """Set MSA_FAILED_OPEN in ``dq`` wherever a failed-open shutter of the MSA is imaged at some wavelength.

    A pixel is flagged if its centre is in the bounding box of the shutter's spectrum and its WCS gives a right ascension (lamps: an
    x in the MSA plane). Skipped for other exposure types and without a reference. Reference type: msaoper (JSON).

    Raises
    ------
    InputError
        When assign_wcs has not been run.
    ReferenceError_
        For a reference that cannot be used.

    Source: JWST documentation, msa_flagging.
    """

    alias: ClassVar[str] = "msa_flagging"
    cal_step: ClassVar[str] = "msa_flagging"
    references: ClassVar[tuple[str, ...]] = ("msaoper",)
    reads: ClassVar[tuple[str, ...]] = ("dq",)
    writes: ClassVar[tuple[str, ...]] = ("dq",)

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (why := super().applies(meta)) is not None:
            return why
        exp_type = str(meta.get("exposure.type") or "").upper()
        return None if exp_type in FLAGGED else Skip(f"EXP_TYPE {exp_type} has no MSA shutters to flag")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        from jwst_dask.steps.stage2.extract_2d.slits import optics_of_frame

        path = refs("msaoper")
        if not path or path == "N/A":
            return Skip("no msaoper reference")
        optics, shape = optics_of_frame(draft), draft.shape
        key = ("failed open", id(optics), identity(path), shape)
        # The optics are in the entry, so that their id stays theirs.
        return {"pixels": memo(key, lambda: (optics, flagged_pixels(optics, failed_open(path), shape)))[1]}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        dq = block.arrays["dq"]
        dq.reshape(len(dq), -1)[:, np.asarray(state["pixels"])] |= np.uint32(PIXEL["MSA_FAILED_OPEN"])
        return block


def failed_open(path: str) -> list[Any]:
    """The failed-open shutters of a reference, as slits.

    Raises
    ------
    ReferenceError_
        When it is missing or lacks an entry.
    """
    from stdatamodels.jwst.transforms.models import Slit

    try:
        with open(path) as file:
            shutters = [s for s in json.load(file)["msaoper"] if "open" in [s[name] for name in STATES]]
        return [
            Slit(number, s["x"] + (s["y"] - 1) * ROWS, 0, s["x"], s["y"], *EDGES, s["Q"], 0, "x", slit_id=number)
            for number, s in enumerate(shutters, start=1)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReferenceError_(
            f"the msaoper reference {path} cannot be used ({type(error).__name__}: {error}); replace it, or give override_msaoper"
        ) from error


def flagged_pixels(optics: Optics, slits: list[Any], shape: tuple[int, int]) -> np.ndarray:
    """Flat indices (int32) of the pixels of an exposure that slits light.

    Parameters
    ----------
    optics : Optics
    slits : list of stdatamodels.jwst.transforms.models.Slit
    shape : (int, int)
        Of the exposure (y, x).
    """
    mask = np.zeros(shape, bool)
    for slit in slits:
        view = optics.slit(slit)
        box = _box(optics, view)
        (x0, x1), (y0, y1) = ((max(0, int(np.ceil(low))), min(size - 1, int(np.floor(high)))) for (low, high), size in zip(box, shape[::-1]))
        if x1 < x0 or y1 < y0:
            continue
        y, x = np.mgrid[y0 : y1 + 1, x0 : x1 + 1].astype(float)
        mask[y0 : y1 + 1, x0 : x1 + 1] |= ~np.isnan(to_world(view, x, y)[0])
    return np.flatnonzero(mask).astype(np.int32)


def _box(optics: Optics, view: OpticsSlit) -> Box:
    """Bounding box of the spectrum of a slit, which may miss the detector."""
    extent = edge_extent(view.slit, view.bound("trace"), optics.waves)
    return narrowed(*extent, view.wavelengths)
