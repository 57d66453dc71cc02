"""Where the spectrum of an exposure or slit is: aperture weights, wavelengths, limits."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.core.step import Skip
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.extract_1d import location, options, profile, psf
from jwst_dask.steps.stage2.extract_1d.reference import Aperture, find_aperture, read_reference, resolve
from jwst_dask.steps.stage2.extract_1d.view import View, view_of
from jwst_dask.wcs.spectral import SpectralWcs

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.steps.stage2.extract_1d.step import Extract1dStep
    from jwst_dask.steps.stage2.extract_1d.target import Target

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Geometry:
    """Where the spectrum is; nothing in it depends on data (unless the PSF was moved to fit them).

    Attributes
    ----------
    profiles : float64[profile, y, x]
        Weights of the source (first) and of a negative nod.
    region : float64[0 or 1, y, x]
        Background region.
    keep : int64[wavelength]
        Dispersion elements with a wavelength.
    wavelength : float64[wavelength]
        Micron.
    position : (float, float) or (None, None)
        Sky position of the aperture's centre, degrees.
    limits : (lower, upper, left, right)
        Inclusive, from 0.
    aperture : Aperture
    wcs : SpectralWcs
    source : float64[along] or None
        Position of the source across dispersion, pixels.
    """

    profiles: np.ndarray
    region: np.ndarray
    keep: np.ndarray
    wavelength: np.ndarray
    position: tuple[float | None, float | None]
    limits: tuple[float, float, int, int]
    aperture: Aperture
    wcs: SpectralWcs
    source: np.ndarray | None = None


def shape_of(draft: Draft) -> tuple[int, int]:
    """(y, x) of the image; of a slit's as it is now (resampled or not)."""
    if draft.wcs is None or draft.first is None:
        return draft.shape
    ny, nx = draft.first().arrays["sci"].shape[-2:]
    return ny, nx


def wavelength_plane(model: Any, view: View, shape: tuple[int, int]) -> np.ndarray:
    """Wavelength of every pixel (float[y, x], micron): the model's plane, or from its WCS."""
    plane = getattr(model, "wavelength", None)
    if plane is not None and np.size(plane) and (np.isnan(plane).all() or np.any(plane)):  # (zeros: not set)
        return np.array(plane)
    y, x = np.indices(shape, dtype=np.float64)
    return np.asarray(view.world(x, y)[2])


def aim(step: Extract1dStep, draft: Draft, target: Target) -> Geometry | Skip:
    """Geometry of the extraction; shared by the segments of an exposure unless it depends on their data."""
    model, shape, view = draft.model, shape_of(draft), view_of(draft)
    content = memo(("extract_1d reference", identity(target.files[0])), lambda: read_reference(target.files[0]))
    entry = None
    if content is not None:
        entry, known = find_aperture(content, target.slit, target.order)
        if not known:
            raise ReferenceError_(
                f"extract1d reference {target.files[0]} has no aperture for {target.slit} "
                f"({model.meta.instrument.name} {model.meta.exposure.type}); set override_extract1d, or N/A to extract the whole array"
            )
        if entry is None:
            return Skip(f"the extract1d reference has no spectral order {target.order}")
    use_position = False if step.use_source_posn is None and target.source_type != "POINT" else step.use_source_posn
    aperture = resolve(entry, step, shape, target.dispaxis, model.meta.exposure.type, use_position, target.files[2],
                       target.extraction_type)  # fmt: skip
    wavelengths = wavelength_plane(model, view, shape)
    if aperture.optimal or draft.wcs is not None:
        return point(draft, view, aperture, wavelengths)
    key = ("extract_1d geometry", digest(model, wavelengths), repr(aperture))
    return memo(key, lambda: point(draft, view, aperture, wavelengths))


def identity(path: str) -> tuple[Hashable, ...]:
    """What names the content of a reference file in memory."""
    return ("N/A",) if path == "N/A" else token(path)


def digest(model: Any, wavelengths: np.ndarray) -> str:
    """What names the geometry of an exposure: its WCS, wavelengths and source position."""
    sha = hashlib.sha256(np.ascontiguousarray(wavelengths).tobytes())
    wcs = model.meta.wcs
    sha.update(repr((wavelengths.shape, wcs.available_frames, wcs.bounding_box)).encode())
    for transform in (getattr(stage, "transform", None) for stage in wcs.pipeline):
        if transform is not None:
            sha.update(np.ascontiguousarray(transform.parameters, dtype=float).tobytes())
    names = ("source_xpos", "source_ypos")
    dither = (model.meta.dither.dithered_ra, model.meta.dither.dithered_dec)
    sha.update(repr((*(getattr(model, name, None) for name in names), *dither, model.meta.exposure.type)).encode())
    return sha.hexdigest()


def point(draft: Draft, view: View, aperture: Aperture, wavelengths: np.ndarray) -> Geometry | Skip:
    """Move the aperture to the source, lay out its weights, and see which wavelengths it covers."""
    shape, horizontal = (int(wavelengths.shape[0]), int(wavelengths.shape[1])), aperture.horizontal
    if aperture.use_position:
        found = location.source_location(draft.model, view, shape, aperture.dispaxis)
        if found is not None:
            at, where, aperture.trace = found
            trace, aperture.trace = aperture.trace, None
            nominal = profile.centre(profile.box_profile(shape, aperture, wavelengths)[0], at, horizontal)[0]
            aperture.shift(where - nominal, trace=False)
            aperture.trace = trace
    options.place(draft.model, view, aperture, wavelengths)
    source = aperture.trace
    if aperture.offset:
        aperture.shift(aperture.offset)
    options.set_height(draft.model, aperture, wavelengths)
    if aperture.optimal:
        profiles, limits = psf_profiles(draft, view, aperture, wavelengths)
    else:
        weights, *limits = profile.box_profile(shape, aperture, wavelengths)
        profiles = [weights]
    for weights in profiles:
        weights[~np.isfinite(wavelengths)] = 0.0
    left, right = profile.along_limits(profiles[0], horizontal)
    along = profile.spectrum_wavelengths(wavelengths, profiles[0], horizontal)
    keep = np.flatnonzero(np.isfinite(along))
    if not len(keep) or left is None or right is None:
        return Skip("the aperture has no pixel with a wavelength")
    region = np.zeros((0, *shape))
    if aperture.subtract and aperture.background is not None:
        if aperture.regions is not None and aperture.trace is None:
            aperture.trace = profile.column_centres(profiles[0], horizontal)
        region = profile.box_profile(shape, aperture, wavelengths, background=True)[0][None]
    y, x = profile.centre(profiles[0])
    world = view.world(x, y)
    position = (None, None) if np.any(np.isnan(world)) else (float(world[0]), float(world[1]))
    wcs = SpectralWcs(position[0], position[1], along[keep])
    return Geometry(np.stack(profiles), region, keep, along[keep], position, (limits[0], limits[1], left, right), aperture, wcs,
                    source)  # fmt: skip


def psf_profiles(draft: Draft, view: View, aperture: Aperture, wavelengths: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Profiles of the source (and a negative nod) from the PSF reference, and their limits across dispersion."""
    placement = psf.lay(draft.model, view, aperture, wavelengths)
    shift, nod = 0.0, placement.nod
    first = first_block(draft) if aperture.locate else None
    if first is not None:
        image, noise = first.arrays["sci"][0].copy(), first.arrays["var_rnoise"][0].copy()
        bad = unusable(first)
        image[bad], noise[bad] = np.nan, np.nan
        shift, nod = psf.optimise(placement, image, noise)
        log.info("PSF moved by %.3f pixels to fit the first integration", -shift)
    elif aperture.locate:
        log.warning("the first integration is not at hand: the PSF stays where the WCS puts it")
    y0, y1, x0, x1 = placement.window
    return psf.full_profiles(placement, wavelengths.shape, shift, nod), [y0, y1] if aperture.horizontal else [x0, x1]


def first_block(draft: Draft) -> Block | None:
    """The exposure's first integration as it reaches this step, if the draft can give it."""
    first = getattr(draft, "first", None)
    return first() if first is not None else None


def unusable(block: Block) -> np.ndarray:
    """True where the first integration of a block has a NaN in any plane or DO_NOT_USE (bool[y, x])."""
    bad = np.zeros(block.arrays["sci"].shape[1:], dtype=bool)
    for name, array in block.arrays.items():
        if name == "dq":
            bad |= (array[0] & np.uint32(1)) != 0
        elif name in ("sci", "err", "var_poisson", "var_rnoise", "var_flat"):
            bad |= np.isnan(array[0])
    return bad
