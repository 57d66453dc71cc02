"""extract_2d: which slits are cut out, and the cut-out of a time series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, NoDataOnDetectorError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.steps.stage2.extract_2d.slits import CUT

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.data.slits import SlitSpec
    from jwst_dask.refs.crds import References
    from jwst_dask.wcs.nirspec.cutout import Cutout

NIRSPEC = ("NRS_FIXEDSLIT", "NRS_MSASPEC", "NRS_BRIGHTOBJ", "NRS_LAMP", "NRS_AUTOFLAT", "NRS_AUTOWAVE")
GRISM = ("NIS_WFSS", "NRC_WFSS", "NRC_TSGRISM", "MIR_WFSS")
ONE_SLIT = ("NRS_BRIGHTOBJ",)
"""Exposure types whose one slit makes a SlitModel."""


@dataclass(frozen=True, kw_only=True)
class Extract2dStep(BlockStep):
    """Cut NIRSpec spectra out of the exposure.

    Makes a SlitModel with the slit's attributes, its WCS in pixels of the cut-out, ``wavelength`` (float32[y, x],
    microns, NaN outside the slit), the position of the source in the slit, and S_REGION of the slit. Of a bright-object time
    series the one slit's is the result of the step; exposures with many slits have one for each (`slit_draft`, `cut`).

    Raises
    ------
    InputError
        Without a WCS, or for an exposure type whose cut-outs are not made.
    NoDataOnDetectorError
        When none of the wanted slits is open.

    Source: JWST documentation, extract_2d.
    """

    alias: ClassVar[str] = "extract_2d"
    cal_step: ClassVar[str] = "extract_2d"
    references: ClassVar[tuple[str, ...]] = ("wavelengthrange",)
    reads: ClassVar[tuple[str, ...]] = CUT
    writes: ClassVar[tuple[str, ...]] = CUT

    slit_names: tuple[str, ...] | None = param(None, "Slits to extract (default: all)", kind="strs")
    source_ids: tuple[str, ...] | None = param(None, "Sources to extract (default: all)", kind="strs")
    source_ra: tuple[float, ...] | None = param(None, "Right ascensions of sources to extract (WFSS)", kind="floats", unit="deg")
    source_dec: tuple[float, ...] | None = param(None, "Declinations of sources to extract (WFSS)", kind="floats", unit="deg")
    source_max_sep: float = param(2.0, "Largest distance of a source from source_ra and source_dec (WFSS)", unit="arcsec")
    extract_orders: tuple[int, ...] | None = param(None, "Spectral orders to extract (grisms)", kind="ints")
    grism_objects: tuple[str, ...] | None = param(None, "Grism objects to extract (WFSS)", kind="strs")
    tsgrism_extract_height: int | None = param(None, "Height of the cut-out (NRC_TSGRISM)", kind="int", unit="pixel")
    wfss_extract_half_height: int = param(5, "Half the height of the cut-out (WFSS)", unit="pixel")
    wfss_mmag_extract: float | None = param(None, "Faintest source to extract (WFSS)", kind="float", unit="ABmag")
    wfss_nbright: int = param(1000, "Number of brightest sources to extract (WFSS)")
    edge_margin: float = param(
        0.0, "Height added to the cut-out and its WCS above and below each slit (about 0.5 keeps the outer nods of short slitlets whole)",
        unit="slit height", low=0.0, high=10.0,
    )  # fmt: skip

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (why := super().applies(meta)) is not None:
            return why
        exp_type = str(meta.get("exposure.type") or "").upper()
        if exp_type not in (*NIRSPEC, *GRISM):
            return Skip(f"EXP_TYPE {exp_type} has no cut-outs")
        if exp_type in NIRSPEC and str(meta.get("instrument.grating") or "").upper() == "MIRROR":
            return Skip(f"{exp_type} with GRATING=MIRROR is not dispersed")
        return None

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        from jwst_dask.wcs.nirspec.cutout import cutout
        from jwst_dask.wcs.nirspec.single import slits_of

        model, exp_type = draft.model, draft.model.meta.exposure.type.upper()
        if exp_type not in ONE_SLIT:
            raise InputError(f"{draft.path}: extract_2d makes no single cut-out of an {exp_type} exposure; its slits are cut out one by one")
        wcs = getattr(model.meta, "wcs", None)
        if model.meta.cal_step.assign_wcs == "SKIPPED":
            return Skip("assign_wcs was skipped")
        if wcs is None:
            raise InputError(f"{draft.path} has no WCS; run assign_wcs before extract_2d")
        slit = self._wanted(slits_of(wcs), draft)[0]
        cut = cutout(model, slit)
        draft.model = _slit_model(model, cut)
        (x0, x1), (y0, y1) = cut.window
        return {"x0": x0, "x1": x1, "y0": y0, "y1": y1}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        rows, columns = slice(int(state["y0"]), int(state["y1"])), slice(int(state["x0"]), int(state["x1"]))
        for name in list(block.arrays):
            if name in CUT:
                block.arrays[name] = np.ascontiguousarray(block.arrays[name][:, rows, columns])
            else:
                del block.arrays[name]
        return block

    def select(self, draft: Draft) -> list[SlitSpec]:
        """The slits of an exposure that the parameters name (all without them), in the exposure's order, those by name before those by source.

        Names and sources that no open slit has are noted in the draft's log.

        Raises
        ------
        InputError
            When assign_wcs has not been run.
        NoDataOnDetectorError
            When none of them is on this detector.
        """
        if draft.slits is None:
            raise InputError(f"{draft.path} has no list of slits; run assign_wcs before extract_2d")
        by_slit = {id(spec.slit): spec for spec in draft.slits}
        return [by_slit[id(slit)] for slit in self._wanted([spec.slit for spec in draft.slits], draft)]

    def _wanted(self, slits: list[Any], draft: Draft) -> list[Any]:
        """The slits that the parameters name (all without them), those by name before those by source."""
        if self.slit_names is None and self.source_ids is None:
            return slits
        chosen: list[Any] = []
        for wanted, field, what in ((self.slit_names, "name", "slit"), (self.source_ids, "source_id", "source")):
            have = {str(getattr(slit, field)) for slit in slits}
            for absent in sorted(set(map(str, wanted or ())) - have):
                draft.log.append(f"extract_2d: {what} {absent} is not among the open slits")
            names = set(map(str, wanted or ()))
            chosen += [slit for slit in slits if str(getattr(slit, field)) in names and slit not in chosen]
        if not chosen:
            raise NoDataOnDetectorError(
                f"{draft.path}: none of slit_names={self.slit_names}, source_ids={self.source_ids} is open; "
                f"open are {', '.join(f'{s.name} (source {s.source_id})' for s in slits)}"
            )
        return chosen


def _slit_model(model: Any, cut: Cutout) -> Any:
    """The SlitModel of a cut-out, with the exposure's metadata and the slit's."""
    from stdatamodels.jwst.datamodels import SlitModel

    from jwst_dask.data.models import blank, copy_metadata
    from jwst_dask.steps.stage2.srctype import model_is_time_series
    from jwst_dask.wcs.build import attach_wcs

    (x0, x1), (y0, y1) = cut.window
    out = blank(SlitModel, validate=True)
    copy_metadata(out, model)
    out._validate_on_assignment = False
    # Into the tree: these arrays have the types of the schema already.
    for name in ("data", "err", "dq", "var_rnoise", "var_poisson"):
        if (plane := getattr(model, name)) is not None:
            out.instance[name] = plane[..., y0:y1, x0:x1].copy()
    out.instance["wavelength"] = cut.wavelength.copy()
    table = getattr(model, "int_times", None)
    if table is not None and model.data.ndim == 3 and model_is_time_series(model):
        out.instance["int_times"] = table.copy()
    attach_wcs(out, cut.wcs)
    out.meta.wcsinfo.dispersion_direction = model.meta.wcsinfo.dispersion_direction
    for name, value in cut.attributes.items():
        setattr(out, name, value)
    for name, value in cut.wcsinfo.items():
        setattr(out.meta.wcsinfo, name, value)
    return out
