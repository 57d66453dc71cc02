"""gain_scale: count rates of exposures with another gain of the detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.step import BlockStep, Skip, State
from jwst_dask.steps.stage1.reference import contents

RATE = "rate_"
"""Before the names of the planes of the 2-D result."""

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


@dataclass(frozen=True, kw_only=True)
class GainScaleStep(BlockStep):
    """Multiply count rates (``sci``, ``err``) by GAINFACT, their variances by its square.

    The factor is the exposure's, or that of the reference (type gain). Skipped where neither has one. Works on any band of rows
    and any integrations.

    Source: JWST documentation, gain_scale.
    """

    alias: ClassVar[str] = "gain_scale"
    cal_step: ClassVar[str] = "gain_scale"
    references: ClassVar[tuple[str, ...]] = ("gain",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "err", "var_poisson", "var_rnoise")
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "var_poisson", "var_rnoise")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        factor = draft.model.meta.exposure.gain_factor
        if factor is None:
            path = refs("gain")
            factor = None if path == "N/A" else contents(path).header.get("GAINFACT")
        if factor is None:
            return Skip("no GAINFACT in the exposure or the gain reference")
        draft.model.meta.exposure.gain_factor = float(factor)
        return {"factor": float(factor)}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        factor = float(state["factor"])
        for name, power in (("sci", 1), ("err", 1), ("var_poisson", 2), ("var_rnoise", 2)):
            for of in ("", RATE):  # of integrations, and of the exposure
                if (array := block.arrays.get(of + name)) is not None:
                    np.multiply(array, np.float32(factor**power), out=array)
        return block
