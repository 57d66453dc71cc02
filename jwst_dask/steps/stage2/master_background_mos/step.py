"""The step that subtracts the master background from a slit.

Source document: JWST pipeline documents, "master_background_mos" (description, arguments).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import BlockStep, Skip, State, Step, param
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
    ``SURF_BRIGHT`` in MJy/sr, or a mapping with such a ``table``), or from a file that the user names; the steps that calibrate
    it are those of ``draft.steps``, their references those of ``draft.shared["references"]`` (``references(step)``) if it is there.
    """

    alias: ClassVar[str] = "master_background_mos"
    cal_step: ClassVar[str] = "master_background"
    references: ClassVar[tuple[str, ...]] = ("flat", "fflat", "sflat", "dflat", "pathloss", "barshadow", "photom", "area")
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

    @classmethod
    def make(cls, **values: Any) -> Step:
        """As for every step, but ``background="none"`` is a choice, not the absence of one."""
        given = values.get("background")
        if not isinstance(given, str) or given.strip().lower() != "none":
            return super().make(**values)
        made = super().make(**{**values, "background": None})
        return dataclasses.replace(made, background="none")  # type: ignore[call-arg]

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

    def check_slits(self, slits: Iterable[SlitSpec]) -> Failed | None:
        """Whether there are slits to make a background from, and slits to subtract it from; None if so, or if the user gives it.

        Raises
        ------
        ParameterError
            When `background_slits` names a slit that is not open on this detector.
        """
        slits = list(slits)
        known = {slit.name for slit in slits} | set(KINDS)
        if unknown := [name for name in self.background_slits or () if name not in known]:
            raise ParameterError(f"{self.alias}.background_slits: {', '.join(unknown)} not among the open slits of this detector, "
                                 f"which are {', '.join(slit.name for slit in slits)}; {' and '.join(KINDS)} stand for several")  # fmt: skip
        if self.user_background:
            return None
        if not any(is_background_slit(slit, self) for slit in slits):
            return Failed("no background slits to make a master background from")
        if not any(not slit.fixed and (self.background_slits or not is_background(slit.slit)) for slit in slits):
            return Failed("no source slits to subtract a master background from")
        return None

    def asked_side_products(self) -> tuple[str, ...]:
        """Suffixes of the side products that slits leave in ``draft.extras``."""
        return ("masterbg2d",) if self.save_background and not self.skip else ()

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
        from jwst_dask.steps.stage2.master_background_mos.calibrate import backward, calibration_steps, forward, private
        from jwst_dask.steps.stage2.master_background_mos.spectrum import user_spectrum

        shared = draft.shared.get("master_background")
        spectrum = user_spectrum(self.user_background) if self.user_background else shared["table"] if isinstance(shared, Mapping) else shared
        if spectrum is None:
            return Failed("no master background could be made")
        if draft.first is None:
            raise InputError(f"{draft.path}: master_background_mos works on the cut-out of a slit; run extract_2d before")
        mine, block = private(draft, draft.first())
        block, done = forward(mine, block, calibration_steps(draft.steps), draft.shared.get("references") or refs)
        wavelength = slit_wavelengths(draft)
        block.arrays["sci"][0], outside = expand(spectrum, wavelength)
        block.arrays["dq"][0][outside] |= np.uint32(DO_NOT_USE)
        block = backward(block, done)
        if self.save_background:
            draft.extras["masterbg2d"] = _side_product(mine.model, block)
        draft.quality["master_background"] = float(np.nanmedian(block.arrays["sci"])) if np.isfinite(block.arrays["sci"]).any() else float("nan")
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


def is_background_slit(slit: SlitSpec, step: MasterBackgroundMosStep) -> bool:
    """Whether the master background is made from a slit."""
    if step.user_background or step.skip:
        return False
    if step.background_slits:
        return slit.name in step.background_slits or "all" in step.background_slits or ("fixed" in step.background_slits and slit.fixed)
    return not slit.fixed and is_background(slit.slit)


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


def _side_product(model: Any, block: Block) -> dict[str, Any]:
    """What the slit has to the product _masterbg2d."""
    names = {"sci": "data"}
    static = {name: value for name, value in model.instance.items() if isinstance(value, np.ndarray) and value.shape == block.arrays["sci"].shape[1:]}
    attributes = {name: value for name, value in model.instance.items() if isinstance(value, (str, int, float, bool, np.generic))}
    arrays = {**static, **{names.get(name, name): array[0] for name, array in block.arrays.items()}}
    return {"arrays": arrays, "attributes": {**attributes, "meta": model.instance["meta"]}, "class": "MultiSlitModel", "wcs": True}
