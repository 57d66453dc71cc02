"""barshadow: light that the bars between the shutters of a NIRSpec slitlet keep from a uniform source.

Document: "Bar Shadow Correction" of the JWST pipeline documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.barshadow import ROWS, sample, stack
from jwst_dask.refs.load import CACHE, token
from jwst_dask.wcs.grid import METRES_TO_MICRONS, pixel_centres

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References
    from jwst_dask.wcs.slitwcs import SlitWcs

USUAL_PITCH = 1.15
"""Distance of two shutters over the height of one, for slits that do not say it."""
SOURCE = "x"
"""State of the shutter that has the source."""


@dataclass(frozen=True)
class Measured:
    """Contents of a barshadow reference: transmission about an open shutter between closed ones and between open ones
    (float32[1001, wavelength]), its first wavelength and step (metres), its step along the slit (shutters)."""

    single: np.ndarray
    triple: np.ndarray
    start: float
    step: float
    pitch: float

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return int(self.single.nbytes + self.triple.nbytes)


@dataclass(frozen=True, kw_only=True)
class BarShadowStep(BlockStep):
    """Divide the slitlets of uniform sources by the shadow of the bars (float32[y, x], kept as ``barshadow``).

    Point sources are left as they are, with a ``barshadow`` of ones and ``barshadow_corrected`` false. Uncorrected wavelengths count.
    Reference type: barshadow.

    Raises
    ------
    ReferenceError_
        For a reference that cannot be used.
    InputError
        For an exposure that is not cut into slits.
    """

    alias: ClassVar[str] = "barshadow"
    cal_step: ClassVar[str] = "barshadow"
    references: ClassVar[tuple[str, ...]] = ("barshadow",)
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "var_poisson", "var_rnoise", "var_flat")

    inverse: bool = param(False, "Multiply by the shadow: undo an earlier correction")
    source_type: str | None = param(None, "Treat the source as of this type (POINT, EXTENDED) whatever SRCTYPE says", kind="str")

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (why := super().applies(meta)) is not None:
            return why
        exp_type = meta.get("exposure.type")
        return None if exp_type == "NRS_MSASPEC" else Skip(f"EXP_TYPE {exp_type} has no bars in its slits")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Compute the shadow of the slitlet.

        Returns
        -------
        dict
            `shadow`: float32[y, x]; nothing for a point source.
        """
        path = refs("barshadow")
        if not path or path == "N/A":
            return Skip("no barshadow reference")
        model, wcs = draft.model, draft.wcs
        if wcs is None:
            raise InputError(f"{draft.path}: barshadow works on slitlets, not on a {type(model).__name__}; run extract_2d first")
        kind = self.source_type or model.source_type
        states = model.shutter_state or ""
        if (kind or "").upper() == "POINT" or not states:
            model.instance["barshadow_corrected"] = False
            model.instance["barshadow"] = np.ones(draft.shape, np.float32)
            return {}
        shadow = shadow_of(wcs, path, states, model.slit_yscale)
        model.instance["barshadow_corrected"] = True
        model.instance["barshadow"] = shadow
        return {"shadow": shadow}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Divide (multiply, for `inverse`) in place: variances by the square. DQ stays, also where the shadow is NaN."""
        if "shadow" not in state:
            return block
        shadow, apply = np.asarray(state["shadow"], np.float32), np.multiply if self.inverse else np.divide
        square = shadow * shadow
        with np.errstate(all="ignore"):
            for name in self.writes:
                if (cube := block.arrays.get(name)) is not None:
                    apply(cube, square if name.startswith("var") else shadow, out=cube)
        return block


def shadow_of(wcs: SlitWcs, path: str, states: str, pitch: float | None) -> np.ndarray:
    """Transmission of a slitlet for uniform light (float32[y, x]; NaN outside the slit).

    Parameters
    ----------
    wcs : SlitWcs
    path : str
        barshadow reference.
    states : str
        Its shutters from the lowest: ``0`` closed, ``1`` open, ``x`` with the source.
    pitch : float
        Distance of shutters over their open height.
    """
    measured: Measured = CACHE.get(("barshadow", *token(path)), lambda: _read(path))
    table = CACHE.get(("bar shadow", *token(path), states), lambda: stack(measured.single, measured.triple, states))
    _, ys, wave = wcs.to_slit(*pixel_centres(wcs.box), corrected=False)
    shutter = 1.0 / measured.pitch  # rows
    origin = table.shape[0] - shutter * (len(states) - states.find(SOURCE))
    rows = origin + ys / (USUAL_PITCH if pitch is None else float(pitch)) * shutter
    return np.asarray(sample(table, rows, (wave / METRES_TO_MICRONS - measured.start) / measured.step))


def _read(path: str) -> Measured:
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.BarshadowModel(path) as model:
            single, triple = (np.array(plane, np.float32) for plane in (model.data1x1, model.data1x3))
            measured = Measured(single, triple, float(model.crval1), float(model.cdelt1), float(model.cdelt2))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReferenceError_(f"the barshadow reference {path} cannot be used: {error}; replace it or give override_barshadow") from error
    if single.shape != triple.shape or single.ndim != 2 or len(single) != ROWS:
        raise ReferenceError_(f"the barshadow reference {path} is not a pair of planes of {ROWS} rows: they have {single.shape} and "
                              f"{triple.shape} pixels; replace it or give override_barshadow")  # fmt: skip
    return measured
