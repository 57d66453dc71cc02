"""photom: count rates to flux or surface brightness, and the pixel areas that go with them.

Document: "Photometric Correction" of the JWST pipeline documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.data.dq import DO_NOT_USE
from jwst_dask.kernels.scale import convert_flux
from jwst_dask.kernels.timecorr import LAWS, throughput
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.flat_field.wavelength import pixel_wavelengths

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

ARCSEC2_TO_SR = (np.pi / (180.0 * 3600.0)) ** 2
PER_SR_TO_PER_ARCSEC2 = 23.50443053909789
"""MJy/sr to uJy/arcsec2."""
METRES = 1e-4
"""Wavelength columns whose largest value is below this (100 micron) are in metres."""


@dataclass(frozen=True)
class Calibration:
    """A row of a photom reference file.

    `conversion` (float32) is in MJy (`flux`) or MJy/sr per count rate; `response` over `wavelength` (micron, increasing)
    multiplies it. `throughput` is relative to the reference day of the file.
    """

    conversion: np.floating[Any]
    flux: bool
    wavelength: np.ndarray
    response: np.ndarray
    throughput: np.floating[Any]


@dataclass(frozen=True)
class Rows:
    """What `photom` wants of a photom file: the rows that match in turn, and pixel areas of its header (sr, arcsec2)."""

    row: Calibration | None
    area_sr: float | None
    area_arcsec2: float | None


def read_rows(path: str, matches: tuple[tuple[tuple[str, str | None], ...], ...], mjd: float | None) -> Rows:
    """Find the row of a photom reference file for an exposure.

    Parameters
    ----------
    path : str
    matches : tuple
        Alternatives, best first; each is ((column, value), ...), values in upper case.
    mjd : float
        Middle of the exposure, for the time dependence.

    Raises
    ------
    ReferenceError_
        When the file is unreadable or not valid, or several rows match.
    InputError
        When the time of the exposure is needed and missing.
    """
    return memo(("photom rows", token(path), matches, mjd), lambda: _read_rows(path, matches, mjd))


def _read_rows(path: str, matches: tuple[tuple[tuple[str, str | None], ...], ...], mjd: float | None) -> Rows:
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.open(path, strict_validation=True) as model:
            model.validate()
            table = np.array(model.phot_table)
            laws: dict[str, Any] = {name: np.array(getattr(model, name)) for name in LAWS if model.hasattr(name)}
            areas = model.meta.photometry.pixelarea_steradians, model.meta.photometry.pixelarea_arcsecsq
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReferenceError_(f"the photom reference {path} cannot be used: {error}; replace it or give override_photom") from error
    row = next((found for match in matches if (found := _row(path, table, match)) is not None), None)
    if row is None:
        return Rows(None, *areas)
    if {"wavelength", "relresponse"} - {name.lower() for name in table.dtype.names or ()}:
        raise ReferenceError_(f"the photom reference {path} is not for spectra: it has no WAVELENGTH and RELRESPONSE columns")
    if laws and mjd is None:
        raise InputError("the middle of the exposure (EXPMID, meta.exposure.mid_time) is missing; photom needs it for the time dependence")
    return Rows(_calibration(table[row], throughput(mjd or 0.0, laws, len(table))[row]), *areas)


def _row(path: str, table: np.ndarray, match: tuple[tuple[str, str | None], ...]) -> int | None:
    hit = np.ones(len(table), bool)
    for column, value in match:
        names = np.char.upper(np.char.strip(table[column].astype(str)))
        hit &= names == ("" if value is None else value)
    rows = np.flatnonzero(hit)
    if len(rows) > 1:
        raise ReferenceError_(f"the photom reference {path} has {len(rows)} rows for {dict(match)}; there must be one")
    return int(rows[0]) if len(rows) else None


def _calibration(row: Any, relative: np.floating[Any]) -> Calibration:
    names = {name.lower() for name in row.dtype.names or ()}
    flux = "photmjsr" not in names
    n = int(row["nelem"]) if "nelem" in names else None
    # float32 as in the file: single precision up to the two-dimensional conversion is what published keywords show
    wavelength, response = (np.array(row[name][:n], dtype=np.float32) for name in ("wavelength", "relresponse"))
    if not np.all(np.diff(wavelength) > 0):
        order = np.argsort(wavelength)
        wavelength, response = wavelength[order], response[order]
    if 0 < wavelength.max() < METRES:
        wavelength *= 1e6
    return Calibration(np.float32(row["photmj" if flux else "photmjsr"]), flux, wavelength, response, relative)


def bright_object(draft: Draft, path: str, area_path: str) -> Calibration | None:
    """NIRSpec bright object: the row of slit S1600A1; pixel area from the slit's row of the AREA reference."""
    model = draft.model
    if area_path == "N/A":
        raise ReferenceError_("photom needs an AREA reference for NIRSpec, and there is none; give override_area")
    areas = memo(("slit areas", token(area_path)), lambda: _slit_areas(area_path))
    area = areas.get(model.name)
    if area is None:
        draft.log.append(f"photom: slit {model.name} is not in {area_path}; its pixel area is recorded as 1")
    model.meta.photometry.pixelarea_arcsecsq = 1.0 if area is None else area
    model.meta.photometry.pixelarea_steradians = 1.0 if area is None else area * ARCSEC2_TO_SR
    optics = model.meta.instrument
    match = (("filter", _upper(optics.filter)), ("grating", _upper(optics.grating)), ("slit", "S1600A1"))
    return read_rows(path, (match,), model.meta.exposure.mid_time).row


def _slit_areas(path: str) -> dict[str, float]:
    """Pixel area (arcsec2) by slit; of several rows for a slit, the first."""
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.open(path) as model:
            table = model.area_table
            return {str(name).strip(): float(area) for name, area in zip(table["slit_id"][::-1], table["pixarea"][::-1], strict=True)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReferenceError_(f"the area reference {path} cannot be used: {error}; replace it or give override_area") from error


def miri_lrs(draft: Draft, path: str, area_path: str) -> Calibration | None:
    """MIRI imager with its prism: the row of filter and subarray, or of filter and GENERIC; areas from AREA or the photom file."""
    model = draft.model
    kind, filter_name = _upper(model.meta.subarray.name), _upper(model.meta.instrument.filter)
    matches = tuple((("subarray", name), ("filter", filter_name)) for name in (kind, "GENERIC"))
    found = read_rows(path, matches, model.meta.exposure.mid_time)
    areas: tuple[float | None, float | None] = found.area_sr, found.area_arcsec2
    if area_path != "N/A":
        plane, areas = memo(("pixel areas", token(area_path)), lambda: _area_plane(area_path))
        corner = model.meta.subarray
        y, x = corner.ystart - 1, corner.xstart - 1
        model.area = plane[y : y + corner.ysize, x : x + corner.xsize]
    sr, arcsec2 = (None if value is None else float(value) for value in areas)
    model.meta.photometry.pixelarea_arcsecsq, model.meta.photometry.pixelarea_steradians = arcsec2, sr
    return found.row


def _area_plane(path: str) -> tuple[np.ndarray, tuple[float | None, float | None]]:
    """Relative pixel areas (float32[y, x]) and their mean in sr and arcsec2."""
    from stdatamodels.jwst import datamodels

    try:
        with datamodels.open(path) as model:
            mean = model.meta.photometry
            return np.array(model.data, dtype=np.float32), (mean.pixelarea_steradians, mean.pixelarea_arcsecsq)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReferenceError_(f"the area reference {path} cannot be used: {error}; replace it or give override_area") from error


def _upper(name: str | None) -> str | None:
    return None if name is None else name.upper()


MODES: dict[str, Callable[[Draft, str, str], Calibration | None]] = {
    "NRS_BRIGHTOBJ": bright_object,
    "MIR_LRS-SLITLESS": miri_lrs,
}
"""How the calibration of an EXP_TYPE is found; None: the file has no row for the exposure, which stays in count rates."""


@dataclass(frozen=True, kw_only=True)
class PhotomStep(BlockStep):
    """Convert count rates to MJy (point sources, NIRSpec) or MJy/sr, by a factor that depends on wavelength.

    References: PHOTOM, AREA.
    """

    alias: ClassVar[str] = "photom"
    cal_step: ClassVar[str] = "photom"
    references: ClassVar[tuple[str, ...]] = ("photom", "area")
    reads: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")

    inverse: bool = param(False, "Divide by the conversion: undo an earlier calibration")
    source_type: str | None = param(None, "Treat the source as of this type (POINT, EXTENDED) whatever SRCTYPE says", kind="str")
    apply_time_correction: bool = param(True, "Correct for the loss of throughput with time, where the reference file has it")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Find the conversion of each pixel; record pixel areas, conversion keywords and units.

        Returns
        -------
        dict
            `factor`: float64[y, x], and `factor_dq`: uint32[y, x], DO_NOT_USE where the reference has no wavelength; empty
            when the reference has no row for the exposure.

        Raises
        ------
        InputError
            For an exposure type that is not covered, or an exposure without ERR, DQ or wavelengths.
        ReferenceError_
            When a reference is missing or unusable.
        """
        model = draft.model
        exp_type = str(model.meta.exposure.type or "").upper()
        if exp_type not in MODES:
            raise InputError(f"photom does not cover EXP_TYPE {exp_type} yet; it covers {', '.join(MODES)}")
        absent = [name for name in ("err", "dq") if getattr(model, name, None) is None]
        if absent:
            raise InputError(f"photom needs {', '.join(absent).upper()}, which the exposure lacks")
        paths = {reftype: refs(reftype) for reftype in self.references}
        if paths["photom"] == "N/A":
            return Skip("no PHOTOM reference for this mode")
        found = MODES[exp_type](draft, paths["photom"], paths["area"])
        if found is None:
            draft.log.append(f"photom: {paths['photom']} has no row for this exposure, which stays in count rates")
            return {}
        conversion, unit = self._conversion(draft, found)
        model.meta.photometry.conversion_megajanskys = conversion
        model.meta.photometry.conversion_microjanskys = conversion * PER_SR_TO_PER_ARCSEC2
        model.meta.bunit_data = model.meta.bunit_err = "DN/s" if self.inverse else unit
        wavelength = pixel_wavelengths(model)
        wavelength[np.isnan(wavelength)] = -1
        response = np.interp(wavelength, found.wavelength, found.response, left=np.nan, right=np.nan)
        unknown = np.isnan(response)
        return {"factor": np.where(unknown, 0.0, conversion * response), "factor_dq": np.where(unknown, DO_NOT_USE, np.uint32(0))}

    def _conversion(self, draft: Draft, found: Calibration) -> tuple[np.floating[Any], str]:
        """The scalar conversion, and the unit that it leads to."""
        model, conversion = draft.model, found.conversion
        # a type that is given counts as it is spelt, one from the exposure in any case
        source = self.source_type or _upper(model.meta.target.source_type)
        point = found.flux and source == "POINT"
        if found.flux and not point:
            if model.meta.photometry.pixelarea_steradians is None:
                draft.log.append("photom: the pixel area is not known, so that fluxes are not converted to surface brightness")
            else:
                conversion = conversion / model.meta.photometry.pixelarea_steradians
        if self.apply_time_correction and found.throughput != 1:
            conversion = conversion / found.throughput
        return conversion, "MJy" if point else "MJy/sr"

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Convert the block in place; variances that it lacks stay absent."""
        if "factor" not in state:
            return block
        arrays = block.arrays
        convert_flux(arrays["sci"], arrays["err"], arrays["dq"], arrays.get("var_poisson"), arrays.get("var_rnoise"),
                     arrays.get("var_flat"), state["factor"], state["factor_dq"], self.inverse)  # fmt: skip
        return block
