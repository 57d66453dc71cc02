"""outlier_detection: pixels of a time series that differ too much from the same pixel in neighbouring integrations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import ParameterError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.data.dq import PIXEL

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

log = logging.getLogger(__name__)

SERIES = ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ")
"""Exposure types that are time series even when the visit is not marked as one."""


def is_series(meta: Mapping[str, Any]) -> bool:
    """Whether metadata (flat, without ``meta.``) are those of a time series of at least two integrations."""
    series = bool(meta.get("visit.tsovisit")) or str(meta.get("exposure.type", "")).upper() in SERIES
    nints = meta.get("exposure.nints")
    return series and (nints is None or int(nints) >= 2)


def bad_bits(good_bits: str | None) -> int:
    """DQ bits that make a pixel bad, from the flags that may be set on a good one.

    Parameters
    ----------
    good_bits : str
        Names or values of flags separated by ``+``, ``,`` or ``|``; ``~`` in front means all but these; None or empty: every
        pixel is good whatever its flags.

    Raises
    ------
    ParameterError
        When it cannot be understood.
    """
    from astropy.nddata.bitmask import interpret_bit_flags

    try:
        good = interpret_bit_flags(good_bits, flag_name_map=PIXEL)
    except (KeyError, AttributeError, ValueError, TypeError) as error:
        raise ParameterError(f"outlier_detection.good_bits: {good_bits!r} is not a list of DQ flags: {error}") from error
    return 0 if good is None else ~good & 0xFFFFFFFF


def _pair(name: str, text: str) -> tuple[float, float]:
    try:
        first, second = (float(word) for word in text.split())
    except ValueError as error:
        raise ParameterError(f"outlier_detection.{name}: {text!r} is not two numbers") from error
    return first, second


@dataclass(frozen=True, kw_only=True)
class OutlierDetectionStep(BlockStep):
    """Compare each integration with a median in time (time-series mode of the documents' "outlier detection").

    Outliers get the flags OUTLIER and DO_NOT_USE, and NaN in all arrays. The parameters of the imaging, spectral and IFU modes
    exist for parameter files; they have no effect on time series.
    """

    alias: ClassVar[str] = "outlier_detection"
    cal_step: ClassVar[str] = "outlier_detection"
    side_products: ClassVar[tuple[str, ...]] = ("median",)
    writes: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")

    weight_type: str = param("ivm", "Weights of resampled images", choices=("ivm", "exptime"))
    pixfrac: float = param(1.0, "Fraction by which pixels shrink before resampling", low=0.0, high=1.0)
    kernel: str = param("square", "Flux distribution kernel of resampling", choices=("square", "point", "turbo"))
    fillval: str = param("NAN", "Value of resampled pixels without data")
    maskpt: float = param(0.7, "Fraction of the mean weight below which a pixel stays out of the median")
    snr: str = param("5.0 4.0", "Thresholds in units of the error; time series use the first")
    scale: str = param("1.2 0.7", "Factors of the image's derivative in the thresholds of resampled modes")
    backg: float = param(0.0, "Background level to subtract in resampled modes")
    kernel_size: str = param("7 7", "Size of the normalising kernel for IFU data", unit="pixel")
    threshold_percent: float = param(99.8, "Percentile of normalised differences for IFU data")
    rolling_window_width: int = param(25, "Integrations in the median window; at most 1, or no fewer than there are: one median of all")
    ifu_second_check: bool = param(False, "Check a second time for outliers in IFU data")
    save_intermediate_results: bool = param(False, "Save the medians (suffix median)")
    resample_data: bool = param(True, "Resample before the median in imaging and spectral modes")
    good_bits: str | None = param("~DO_NOT_USE", "DQ flags that a good pixel may have", kind="str")
    search_output_file: bool = param(False, "Look for an output name in the parent step")
    in_memory: bool = param(True, "Keep resampled images in memory")
    pixmap_stepsize: float = param(1.0, "Step of the pixel map in resampled modes", unit="pixel")
    pixmap_order: int = param(1, "Spline order of the pixel map", choices=(1, 3))

    def width(self, nints: int) -> int:
        """Integrations in a sliding window for a segment of `nints`; 0 for one median of the whole segment."""
        return self.rolling_window_width if 1 < self.rolling_window_width < nints else 0

    def halo_for(self, nints: int) -> int:
        """Integrations that a block must see on each side, in a segment of `nints` (all of them for a median of the whole)."""
        width = self.width(nints)
        return width - 1 if width > 2 else nints

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """Skipped for anything but a time series."""
        off = super().applies(meta)
        if off is None and not is_series(meta):
            return Skip(f"EXP_TYPE {meta.get('exposure.type')} is not a time series of two or more integrations")
        return off

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Check the parameters; lay out the product of medians if it is wanted.

        Raises
        ------
        ParameterError
            For `snr`, `scale` or `good_bits` that cannot be understood.
        """
        if not draft.is_cube:
            return Skip("a single image has no other integrations to compare with")
        snr, _ = _pair("snr", self.snr)
        _pair("scale", self.scale)
        if self.save_intermediate_results:
            draft.extras["median"] = _median_model(draft)
        # weights are 1 or 0, so the mean of those above 0 is 1 and maskpt itself is the limit
        return {"nints": draft.nints, "snr": snr, "bad": bad_bits(self.good_bits) if self.maskpt > 0 else 0}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Flag the outliers of a block and drop its halo.

        With `save_intermediate_results` the medians are ``block.arrays["median"]`` (float32[integration, y, x]).
        """
        from jwst_dask.kernels.outliers import flag_outliers
        from jwst_dask.kernels.rolling import window_starts

        arrays, n, nints = block.arrays, block.nints, int(state["nints"])
        low = block.halo[0]
        width = self.width(nints)
        starts = window_starts(block.start, block.start + n, nints, width) - (block.start - low) if width else np.zeros(n, np.int64)
        own = {name: array[low : low + n] for name, array in arrays.items()}
        variances = [own.get(name, own["err"]) for name in ("var_poisson", "var_rnoise", "var_flat")]
        nothing_good = bool(width) and self.maskpt > 1
        snr = np.float32(np.nan if nothing_good else state["snr"])  # no comparison with NaN holds
        keep = np.empty(own["sci"].shape if self.save_intermediate_results else (0, 0, 0), np.float32)
        found = flag_outliers(arrays["sci"], arrays["dq"], own["err"], *variances, low, starts, width, np.uint32(state["bad"]), snr, keep)
        log.debug("integrations %d-%d: %d outliers", block.start + 1, block.start + n, found)
        if self.save_intermediate_results:
            own["median"] = np.full_like(keep, np.nan) if nothing_good else keep
        block.arrays, block.halo = own, (0, 0)
        return block


def _median_model(draft: Draft) -> Any:
    """Template of the product of medians: a cube with the exposure's metadata."""
    from stdatamodels.jwst import datamodels

    model = datamodels.CubeModel(data=np.zeros((1, *draft.shape), np.float32))
    model.update(draft.model)
    return model
