"""The step that subtracts the master background from a slit.

Source document: JWST pipeline documents, "master_background_mos" (description, arguments).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.data.dq import DO_NOT_USE

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.data.slits import SlitSpec
    from jwst_dask.refs.crds import References

MARKS = ("BKG", "BACKGROUND")
"""What the source name of a slit with background shutters only contains, in capitals."""
KINDS = ("fixed", "all")
"""Words in `background_slits` that stand for several slits."""


@dataclass(frozen=True)
class Failed(Skip):
    """The step could not do its work; products record it as FAILED, and the pipeline goes on."""

    status: ClassVar[str] = "FAILED"


@dataclass(frozen=True, kw_only=True)
class MasterBackgroundMosStep(BlockStep):
    """Subtract a background spectrum, brought to the slit's pixels and to counts, from a MOS slit.

    The spectrum comes in ``draft.shared["master_background"]`` (structured array with ``WAVELENGTH`` in microns and
    ``SURF_BRIGHT`` in MJy/sr), or from a file that the user names; the steps that calibrate it are those of ``draft.steps``.
    """

    alias: ClassVar[str] = "master_background_mos"
    cal_step: ClassVar[str] = "master_background"
    reads: ClassVar[tuple[str, ...]] = ("sci", "dq")
    writes: ClassVar[tuple[str, ...]] = ("sci", "dq")

    sigma_clip: float | None = param(3.0, "Clip outliers when spectra of background slits are combined (none: do not)", unit="sigma", kind="float")
    median_kernel: int = param(1, "Width of a running median over the master background", unit="pixel", low=1)
    force_subtract: bool = param(False, "Subtract even if a background was subtracted before")
    save_background: bool = param(False, "Save the master background (_masterbg1d, _masterbg2d) and the spectra it is made of (_bkgx1d)")
    user_background: str | None = param(None, "File with the background spectrum to be subtracted", kind="str")
    inverse: bool = param(False, "Add the background: undo an earlier subtraction")
    background_slits: tuple[str, ...] | None = param(
        None, "Slits to make the background from: names, 'fixed' (open fixed slits), 'all' (default: slits without a source)", kind="strs"
    )
    background: str | None = param(None, "What is subtracted from this slit (default: the exposure's)", choices=("nod", "master", "none"))

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """MOS slits whose background was not subtracted before."""
        if (off := super().applies(meta)) is not None:
            return off
        exp_type = str(meta.get("exposure.type") or "").upper()
        if exp_type != "NRS_MSASPEC":
            return Skip(f"not for EXP_TYPE {exp_type}")
        if self.background in ("nod", "none"):
            return Skip(f"background = {self.background} for this slit")
        if self.force_subtract:
            return None
        earlier = [step for step in ("bkg_subtract", "master_background") if meta.get(f"cal_step.{step}") == "COMPLETE"]
        return Skip(f"a background was subtracted before ({', '.join(earlier)})") if earlier else None

    def sources(self, slits: Iterable[SlitSpec]) -> list[SlitSpec] | Failed:
        """The slits that the background is made from, in order.

        Returns
        -------
        list of SlitSpec or Failed
            An empty list if the user gives the spectrum. `Failed` when no slit shows only background, or all do.

        Raises
        ------
        ParameterError
            When `background_slits` names a slit that is not open on this detector.
        """
        slits = list(slits)
        if self.user_background:
            return []
        chosen = self._chosen(slits)
        if not chosen:
            return Failed("no background slits to make a master background from")
        if not any(not slit.fixed and (self.background_slits or not is_background(slit.slit)) for slit in slits):
            return Failed("no source slits to subtract a master background from")
        return chosen

    def _chosen(self, slits: list[SlitSpec]) -> list[SlitSpec]:
        if not self.background_slits:
            return [slit for slit in slits if not slit.fixed and is_background(slit.slit)]
        wanted = [name.strip() for name in self.background_slits]
        known = {slit.name for slit in slits} | set(KINDS)
        if unknown := [name for name in wanted if name not in known]:
            raise ParameterError(f"{self.alias}.background_slits: {', '.join(unknown)} not among the open slits of this detector, "
                                 f"which are {', '.join(slit.name for slit in slits)}")  # fmt: skip
        return [slit for slit in slits if slit.name in wanted or "all" in wanted or ("fixed" in wanted and slit.fixed)]

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Bring the spectrum to the slit.

        Returns
        -------
        dict
            `background`: float32[y, x] in the slit's counts (DN/s); `background_dq`: uint32[y, x].

        Raises
        ------
        InputError
            Without the slit's data, or when the spectrum cannot be read.
        """
        from jwst_dask.steps.stage2.master_background_mos.calibrate import backward, forward, nested_steps, private
        from jwst_dask.steps.stage2.master_background_mos.spectrum import user_spectrum

        spectrum = user_spectrum(self.user_background) if self.user_background else draft.shared.get("master_background")
        if spectrum is None:
            return Failed("no master background could be made")
        if draft.first is None:
            raise InputError(f"{draft.path}: master_background_mos works on the cut-out of a slit; run extract_2d before")
        mine, block = private(draft, draft.first())
        block, done = forward(mine, block, nested_steps(draft.steps), refs)
        wavelength = slit_wavelengths(draft)
        block.arrays["sci"][0], outside = expand(spectrum, wavelength)
        block.arrays["dq"][0][outside] |= np.uint32(DO_NOT_USE)
        block = backward(block, done)
        if self.save_background:
            mine.model.meta.cal_step.instance.pop(self.cal_step, None)
            draft.extras["masterbg2d"] = model_of(mine.model, block)
        return {"background": block.arrays["sci"][0], "background_dq": block.arrays["dq"][0]}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Subtract (or add) the background; combine the flags."""
        sci, dq = block.arrays["sci"], block.arrays["dq"]
        if self.inverse:
            sci += state["background"]
        else:
            sci -= state["background"]
        dq |= state["background_dq"]
        return block


def is_background(slit: Any) -> bool:
    """Whether a slit has no source, by the name of its source."""
    name = str(getattr(slit, "source_name", None) or "").upper()
    return any(mark in name for mark in MARKS)


def slit_wavelengths(draft: Draft) -> np.ndarray:
    """Wavelengths of a slit's pixels (float[y, x], microns), as extract_2d made them."""
    made = getattr(draft.model, "wavelength", None)
    if made is not None and np.size(made) and not (np.nanmin(made) == 0 and np.nanmax(made) == 0):
        return np.asarray(made)
    if draft.wcs is None:
        raise InputError(f"{draft.path}: the slit has neither wavelengths nor a WCS; run assign_wcs and extract_2d before master_background_mos")
    y, x = np.indices(draft.shape, dtype=float)
    return draft.wcs.to_slit(x, y)[2]


def expand(spectrum: np.ndarray, wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A spectrum on the pixels of a slit.

    Parameters
    ----------
    spectrum : structured array
        ``WAVELENGTH`` (microns, any order) and ``SURF_BRIGHT``.
    wavelength : float[y, x]

    Returns
    -------
    float64[y, x], bool[y, x]
        Surface brightness by linear interpolation, zero where the spectrum does not reach; and where it does not.
    """
    nodes, values = np.asarray(spectrum["WAVELENGTH"], float), np.asarray(spectrum["SURF_BRIGHT"], float)
    if not np.all(np.diff(nodes) > 0):
        order = np.argsort(nodes)
        nodes, values = nodes[order], values[order]
    with np.errstate(invalid="ignore"):
        outside = ~((wavelength >= nodes.min()) & (wavelength <= nodes.max()))
    return np.interp(np.where(outside, -1, wavelength), nodes, values, left=0.0, right=0.0), outside


def model_of(model: Any, block: Block) -> Any:
    """The slit model with the arrays of a block."""
    names = {"sci": "data"}
    for name, array in block.arrays.items():
        model.instance[names.get(name, name)] = array[0]
    return model
