"""What extract_1d does once per exposure: aperture, wavelengths, corrections, the template of the product."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.core.step import Skip, State
from jwst_dask.kernels.extract import MEDIAN, NO_FIT, NPIXELS, POLYNOMIAL
from jwst_dask.refs.load import token
from jwst_dask.steps.stage2.extract_1d import apcorr as correction
from jwst_dask.steps.stage2.extract_1d import location, profile, psf, table
from jwst_dask.steps.stage2.extract_1d.reference import Aperture, find_aperture, read_reference, resolve
from jwst_dask.steps.stage2.extract_1d.sums import Extractor

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References
    from jwst_dask.steps.stage2.extract_1d.step import Extract1dStep

log = logging.getLogger(__name__)

MODELS = ("CubeModel", "ImageModel", "SlitModel")
TSO_TYPES = ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ")


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
    wcs : gwcs.WCS
    """

    profiles: np.ndarray
    region: np.ndarray
    keep: np.ndarray
    wavelength: np.ndarray
    position: tuple[float | None, float | None]
    limits: tuple[float, float, int, int]
    aperture: Aperture
    wcs: Any


@dataclass(frozen=True)
class Target:
    """What is extracted: slit name, spectral order, source type, and the resolved reference files."""

    slit: str
    order: int
    source_type: str | None
    dispaxis: int
    photom: bool
    extraction_type: str | None
    files: tuple[str, str, str]

    @property
    def point(self) -> bool:
        return self.source_type is not None and self.source_type.upper() == "POINT"


def prepare(step: Extract1dStep, draft: Draft, refs: References) -> State | Skip:
    """See `Extract1dStep.prepare`."""
    model = draft.model
    if type(model).__name__ not in MODELS:
        return Skip(f"a {type(model).__name__} is not a slit-like spectral image")
    target = describe(step, model, refs)
    if isinstance(target, Skip):
        return target
    geometry = aim(step, draft, target)
    if isinstance(geometry, Skip):
        return geometry
    tso = is_tso(model)
    numbers, times, known = table.integration_times(model, draft.nints, tso and draft.is_cube)
    attributes = table.spectrum_attributes(
        model, target.slit, target.source_type, target.order, target.dispaxis, geometry.limits, geometry.position
    )
    draft.spectra = table.template(model, geometry.wavelength, attributes, geometry.wcs, cube=draft.is_cube, photom=target.photom,
                                   tso=tso, times=known)  # fmt: skip
    state = assemble(step, draft, target, geometry)
    state |= {"numbers": numbers, "times": times, "segment": int(model.meta.exposure.segment_number or 1)}
    state |= aperture_correction(step, draft, target, geometry, state)
    keep_extras(step, draft, target, geometry)
    return state


def describe(step: Extract1dStep, model: Any, refs: References) -> Target | Skip:
    """Names, source type and references of the exposure."""
    files = (refs("extract1d"), refs("apcorr") if step.apply_apcorr else "N/A", refs("psf"))
    exp_type, slit_model = model.meta.exposure.type, type(model).__name__ != "CubeModel"
    named = type(model).__name__ == "ImageModel" or exp_type in ("NRS_BRIGHTOBJ", "NRS_FIXEDSLIT")
    slit = (getattr(model, "name", None) if slit_model and named else None) or exp_type
    if exp_type == "NRS_FIXEDSLIT" and slit == exp_type:
        slit = model.meta.instrument.fixed_slit
    order = model.meta.wcsinfo.spectral_order
    order = 1 if order is None else int(order)
    if order == 0 and not is_prism(model):
        return Skip("spectral order 0 is a direct image")
    if model.meta.wcsinfo.dispersion_direction is None:
        return Skip("the dispersion direction is not known")
    source_type = model.meta.target.source_type
    if type(model).__name__ == "SlitModel":
        source_type = model.source_type or source_type
    kind = step.extraction_type
    if files[2] == "N/A" and kind != "box":
        log.warning("no psf reference for %s: box extraction", exp_type)
        kind = "box"
    photom = str(model.meta.cal_step.photom or "").upper() == "COMPLETE"
    if not photom:
        log.warning("the exposure is not flux calibrated: the spectra are count rates")
    return Target(slit, order, source_type, int(model.meta.wcsinfo.dispersion_direction), photom, kind, files)


def is_prism(model: Any) -> bool:
    """Whether the exposure's spectral order 0 is a spectrum."""
    instrument = model.meta.instrument
    return (instrument.name == "MIRI" and "P750L" in str(instrument.filter).upper()) or (
        instrument.name == "NIRSPEC" and "PRISM" in str(instrument.grating).upper()
    )


def is_tso(model: Any) -> bool:
    """Whether the exposure counts as a time series (at least two integrations)."""
    series = bool(model.meta.visit.tsovisit) or model.meta.exposure.type in TSO_TYPES
    nints = model.meta.exposure.nints
    return series and not (nints is not None and nints < 2)


def wavelength_plane(model: Any) -> np.ndarray:
    """Wavelength of every pixel (float[y, x], micron): the model's plane, or from its WCS."""
    plane = getattr(model, "wavelength", None)
    if plane is not None and np.size(plane) and not (np.nanmin(plane) == 0.0 and np.nanmax(plane) == 0.0):
        return np.array(plane)
    y, x = np.indices(model.data.shape[-2:], dtype=np.float64)
    return np.asarray(model.meta.wcs(x, y)[2])


def aim(step: Extract1dStep, draft: Draft, target: Target) -> Geometry | Skip:
    """Geometry of the extraction; shared by the segments of an exposure unless it depends on their data."""
    model, shape = draft.model, draft.shape
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
    wavelengths = wavelength_plane(model)
    if aperture.optimal:
        return point(draft, aperture, wavelengths)
    key = ("extract_1d geometry", digest(model, wavelengths), repr(aperture))
    return memo(key, lambda: point(draft, aperture, wavelengths))


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


def point(draft: Draft, aperture: Aperture, wavelengths: np.ndarray) -> Geometry | Skip:
    """Move the aperture to the source, lay out its weights, and see which wavelengths it covers."""
    model, shape, horizontal = draft.model, draft.shape, aperture.horizontal
    if aperture.use_position:
        found = location.source_location(model, shape, location.bounding_box(model.meta.wcs, shape), aperture.dispaxis)
        if found is not None:
            at, where, aperture.trace = found
            trace, aperture.trace = aperture.trace, None
            nominal = profile.centre(profile.box_profile(shape, aperture, wavelengths)[0], at, horizontal)[0]
            aperture.shift(where - nominal, trace=False)
            aperture.trace = trace
    if aperture.offset:
        aperture.shift(aperture.offset)
    if aperture.optimal:
        profiles, limits = psf_profiles(draft, aperture, wavelengths)
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
        region = profile.box_profile(shape, aperture, wavelengths, background=True)[0][None]
    y, x = profile.centre(profiles[0])
    world = model.meta.wcs(x, y)
    position = (None, None) if np.any(np.isnan(world)) else (float(world[0]), float(world[1]))
    wcs = table.spectral_wcs(position[0], position[1], along[keep])
    return Geometry(np.stack(profiles), region, keep, along[keep], position, (limits[0], limits[1], left, right), aperture, wcs)


def psf_profiles(draft: Draft, aperture: Aperture, wavelengths: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Profiles of the source (and a negative nod) from the PSF reference, and their limits across dispersion."""
    placement = psf.lay(draft.model, aperture, wavelengths)
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
    return psf.full_profiles(placement, draft.shape, shift, nod), [y0, y1] if aperture.horizontal else [x0, x1]


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


def assemble(step: Extract1dStep, draft: Draft, target: Target, geometry: Geometry) -> State:
    """The state of the blocks, without times and aperture correction."""
    aperture = geometry.aperture
    megajansky = target.photom and target.source_type == "POINT" and str(draft.model.meta.instrument.name).upper() == "NIRSPEC"
    area = 1.0
    if target.photom:
        area = draft.model.meta.photometry.pixelarea_steradians
        if area is None:
            log.warning("the pixel area is not known: the flux is not calibrated")
            area = 1.0
    scale = area if target.photom and not megajansky else 1.0
    jansky = 1.0e6 if target.photom else 1.0
    fit = NO_FIT
    if aperture.optimal:
        order = aperture.order if aperture.subtract else -1
    else:
        order = aperture.order
        if len(geometry.region):
            fit = MEDIAN if aperture.fit == "median" else POLYNOMIAL
    n = len(geometry.wavelength)
    return {
        "cube": draft.is_cube, "horizontal": aperture.horizontal, "optimal": aperture.optimal, "fit": fit, "order": order,
        "smoothing": aperture.smoothing, "profiles": geometry.profiles, "region": geometry.region, "keep": geometry.keep,
        "wavelength": geometry.wavelength, "surface": not (aperture.optimal or megajansky), "flux_scale": scale * jansky,
        "variance_scale": scale**2 * jansky**2, "area": area if megajansky else 1.0, "save_scene": step.save_scene_model,
        "save_residual": step.save_residual_image, "factor": np.ones(n), "sizes": np.zeros((0, n)), "factors": np.zeros((0, n)),
    }  # fmt: skip


def aperture_correction(step: Extract1dStep, draft: Draft, target: Target, geometry: Geometry, state: State) -> State:
    """Aperture correction of point sources: tables, or one factor per wavelength where the first integration decides."""
    path = target.files[1]
    if path == "N/A" or not target.point or target.extraction_type == "optimal":
        if path != "N/A" and target.extraction_type == "optimal":
            log.warning("optimal extraction: no aperture correction")
        return {}
    key = ("extract_1d apcorr", identity(path), target.slit, geometry.wavelength.tobytes(), geometry.position,
           draft.model.meta.instrument.filter, draft.model.meta.instrument.grating, draft.model.meta.subarray.name)  # fmt: skip
    tables = memo(key, lambda: correction.correction_tables(draft.model, path, target.slit, geometry.wavelength, geometry.position))
    if not tables["fixed"]:
        return {"sizes": tables["sizes"], "factors": tables["factors"]}
    first = first_block(draft)
    if first is None:
        npixels = geometry.profiles[0].sum(axis=0 if geometry.aperture.horizontal else 1)
    else:
        extractor = Extractor(state | {"save_scene": False, "save_residual": False})
        extractor.make_images(first)
        npixels = extractor.sums(first, 0, 1)[0, NPIXELS]
    return {"factor": correction.factors_at(tables["sizes"], tables["factors"], npixels[geometry.keep])}


def keep_extras(step: Extract1dStep, draft: Draft, target: Target, geometry: Geometry) -> None:
    """Templates of the optional products: profile (complete), scene model and residual (arrays come from the blocks)."""
    if step.save_profile:
        draft.extras["profile"] = table.image_template(draft.model, target.slit, geometry.profiles.sum(axis=0))
    shape = (1, *draft.shape) if draft.is_cube and draft.nints > 1 else draft.shape
    for name, wanted in (("scene_model", step.save_scene_model), ("residual", step.save_residual_image)):
        if wanted:
            draft.extras[name] = table.image_template(draft.model, target.slit, np.zeros(shape, dtype=np.float32))
