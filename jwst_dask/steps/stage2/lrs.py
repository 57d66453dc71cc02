"""as_slit: MIRI LRS images and cubes become slit models, like other spectra of one source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jwst_dask.core.step import MetaStep, Skip, State

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Draft
    from jwst_dask.refs.crds import References

LRS = ("MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS")


@dataclass(frozen=True, kw_only=True)
class AsSlitStep(MetaStep):
    """Turn an LRS ImageModel or CubeModel into a SlitModel with the same contents, whose cut-out is the subarray.

    Products do not record it: it has no status keyword.

    Source: JWST documentation, calwebb_spec2 (products of MIRI LRS are SlitModels).
    """

    alias: ClassVar[str] = "as_slit"
    cal_step: ClassVar[str] = ""

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (why := super().applies(meta)) is not None:
            return why
        exp_type = meta.get("exposure.type")
        return None if exp_type in LRS else Skip(f"EXP_TYPE {exp_type} is not MIRI LRS")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        from stdatamodels.jwst.datamodels import SlitModel

        from jwst_dask.wcs.build import attach_wcs

        subarray = draft.model.meta.subarray
        wcs = draft.model.meta.instance.pop("wcs", None)  # put back below: the conversion would write it as ASDF to check it
        slit = SlitModel(draft.model)
        if wcs is not None:
            attach_wcs(slit, wcs)
        for name in ("xstart", "ystart", "xsize", "ysize"):
            setattr(slit, name, getattr(subarray, name))
        draft.model = slit
        return {}
