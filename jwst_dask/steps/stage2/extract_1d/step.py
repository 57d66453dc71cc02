"""extract_1d: from calibrated spectral images to spectra, for slit-like cubes and images.

Source document: JWST pipeline documents, "extract_1d" (description, arguments, EXTRACT1D, APCORR and PSF reference files).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.step import BlockStep, Skip, State, param

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

SLAB = 64
"""Integrations whose columns are in memory beside the table."""

EXP_TYPES = (
    "NRS_BRIGHTOBJ", "MIR_LRS-SLITLESS", "MIR_LRS-FIXEDSLIT", "NRS_FIXEDSLIT", "NRS_MSASPEC", "NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Extract1dStep(BlockStep):
    """Extract a spectrum from every integration (reference step: Extract1dStep)."""

    alias: ClassVar[str] = "extract_1d"
    cal_step: ClassVar[str] = "extract_1d"
    references: ClassVar[tuple[str, ...]] = ("extract1d", "apcorr", "pastasoss", "specprofile", "speckernel", "psf")
    writes: ClassVar[tuple[str, ...]] = ("EXTRACT1D",)
    side_products: ClassVar[tuple[str, ...]] = ("scene_model", "residual")

    subtract_background: bool | None = param(None, "Subtract the background (default: if the reference has regions)", kind="bool")
    apply_apcorr: bool = param(True, "Apply aperture corrections")
    extraction_type: str | None = param("box", "Kind of extraction (none: optimal where the source position is used)",
                                        choices=("box", "optimal"))  # fmt: skip
    use_source_posn: bool | None = param(None, "Centre the aperture on the source position (default: by exposure type)", kind="bool")
    position_offset: float = param(0.0, "Shift of the aperture across dispersion", unit="pixel")
    model_nod_pair: bool = param(True, "Optimal: model the negative trace of a two-point nod")
    optimize_psf_location: bool = param(True, "Optimal: move the PSF to where it fits the first integration best")
    smoothing_length: int | None = param(None, "Running mean of the background along dispersion", unit="pixel", kind="int")
    bkg_fit: str | None = param(None, "Background fit", choices=("poly", "mean", "median"))
    bkg_order: int | None = param(None, "Order of the background polynomial", low=0, kind="int")
    log_increment: int = param(50, "Integrations between two progress messages of the log (progress is shown by the run)")
    save_profile: bool = param(False, "Save the spatial profile (_profile)")
    save_scene_model: bool = param(False, "Save the model of the flux (_scene_model)")
    save_residual_image: bool = param(False, "Save data minus model (_residual)")

    extract_width: float | None = param(None, "Height of the aperture across dispersion, in place of the reference's", unit="pixel", low=0.1, kind="float")
    extract_center: float | None = param(None, "Where the aperture is across dispersion (from 0, in the middle of the spectrum), in place of the "
                                         "source's position", unit="pixel", kind="float")  # fmt: skip
    height_scale: float | None = param(None, "Aperture as high as so many FWHM of the psf reference, which grows with wavelength", low=0.1, kind="float")
    height_coeff: tuple[float, ...] | None = param(None, "Aperture height in pixels as a polynomial of the wavelength in micron, constant term first",
                                                   kind="floats")  # fmt: skip
    bkg_regions: tuple[float, ...] | None = param(None, "Background regions in place of the reference's: pairs of lower and upper edge relative to the "
                                                  "middle of the aperture", unit="pixel", kind="floats")  # fmt: skip
    apcorr_any_size: bool = param(False, "Aperture correction beyond the sizes of the apcorr reference, by encircled energy; without such a reference "
                                  "from the psf reference")  # fmt: skip

    center_xy: tuple[float, ...] | None = param(None, "IFU: x and y of the extraction centre", unit="pixel", kind="floats")
    ifu_autocen: bool = param(False, "IFU: find the centre of a point source")
    bkg_sigma_clip: float = param(3.0, "IFU: background clipping threshold", unit="sigma")
    ifu_rfcorr: bool = param(True, "IFU: 1-D residual fringe correction (MIRI MRS)")
    ifu_set_srctype: str | None = param(None, "IFU: source type to assume", choices=("POINT", "EXTENDED"))
    ifu_rscale: float | None = param(None, "IFU: extraction radius in PSF FWHM", low=0.5, high=3.0, kind="float")
    ifu_covar_scale: float = param(1.0, "IFU: error scale for the covariance of a cube")
    soss_atoca: bool = param(True, "SOSS: separate overlapping orders with ATOCA")
    soss_threshold: float = param(1e-2, "SOSS: smallest throughput times response that is modelled")
    soss_n_os: int = param(2, "SOSS: least oversampling of the wavelength grid")
    soss_wave_grid_in: str | None = param(None, "SOSS: file with the wavelength grid to use", kind="str")
    soss_wave_grid_out: str | None = param(None, "SOSS: file to write the wavelength grid to", kind="str")
    soss_estimate: str | None = param(None, "SOSS: file with an estimate of the spectrum", kind="str")
    soss_rtol: float = param(1.0e-4, "SOSS: tolerance of a pixel model")
    soss_max_grid_size: int = param(20000, "SOSS: most points of the wavelength grid")
    soss_tikfac: float | None = param(None, "SOSS: regularisation factor", kind="float")
    soss_width: float = param(40.0, "SOSS: aperture width", unit="pixel")
    soss_bad_pix: str = param("masking", "SOSS: what to do with bad pixels", choices=("model", "masking"))
    soss_modelname: str | None = param(None, "SOSS: file to write traces and weights to", kind="str")
    soss_order_3: bool = param(True, "SOSS: extract order 3")

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """Slit-like exposures with one spectral image per integration."""
        exp_type = meta.get("exposure.type")
        if (skip := super().applies(meta)) is not None:
            return skip
        return None if exp_type in EXP_TYPES else Skip(f"EXP_TYPE {exp_type} has no slit-like spectral image")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Aperture, wavelengths and corrections of the exposure; the spectral product's template.

        The first integration is looked at (``draft.first()``, where the draft offers it) for the location of an optimised
        PSF and for the number of pixels on which the NIRSpec aperture correction is tabulated; without it the nominal
        location and aperture are taken.

        Raises
        ------
        ReferenceError_
            For an unusable EXTRACT1D, APCORR or PSF reference, or one without the exposure's aperture.
        """
        from jwst_dask.steps.stage2.extract_1d.prepare import prepare

        return prepare(self, draft, refs)

    def look(self, first: Block, state: State) -> State:
        """The aperture correction, where it rests on the first integration and that comes with the tasks."""
        from jwst_dask.steps.stage2.extract_1d.prepare import by_first

        return by_first(first, state)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Add ``tables["EXTRACT1D"]``; and ``arrays["scene_model"]``, ``arrays["residual"]`` (float32[integration, y, x]) if wanted."""
        block.tables["EXTRACT1D"] = spectra(block, state)
        return block


def spectra(block: Block, state: Mapping[str, Any]) -> np.ndarray:
    """The spectra of a block (structured ndarray: a row per integration, or per wavelength for a single image); images as `run` says."""
    from jwst_dask.kernels.extract_profile import COLUMNS, spectral_columns
    from jwst_dask.steps.stage2.extract_1d.sums import Extractor
    from jwst_dask.steps.stage2.extract_1d.table import TIMES, fill_rows, row_dtype

    wavelength, keep, factor, sizes, factors = (np.array(state[name]) for name in ("wavelength", "keep", "factor", "sizes", "factors"))
    cube, n = bool(state["cube"]), len(block.arrays["sci"])
    extractor = Extractor(state)
    table = np.empty(n if cube else len(wavelength), dtype=row_dtype(len(wavelength), cube))
    values = np.empty((min(n, SLAB), len(COLUMNS), len(wavelength)))
    extractor.make_images(block)
    for lo in range(0, n, SLAB):
        hi = min(lo + SLAB, n)
        sums = extractor.sums(block, lo, hi)
        spectral_columns(
            sums, keep, wavelength, bool(state["surface"]), float(state["flux_scale"]), float(state["variance_scale"]),
            float(state["area"]), factor, sizes, factors, values[: hi - lo],
        )  # fmt: skip
        fill_rows(values[: hi - lo], table[lo:hi] if cube else table, cube)
    if cube:
        rows = slice(block.start - block.halo[0], block.start - block.halo[0] + n)
        table["INT_NUM"], table["SEGMENT"], table["N_ALONGDISP"] = state["numbers"][rows], int(state["segment"]), len(wavelength)
        for c, name in enumerate(TIMES):
            table[name] = state["times"][rows, c]
    return table
