"""What extract_1d does once per exposure or slit: the template of the product, the state of the blocks, corrections."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.memo import memo
from jwst_dask.core.step import LOOK, Skip, State
from jwst_dask.kernels.extract import MEDIAN, NO_FIT, NPIXELS, POLYNOMIAL
from jwst_dask.steps.stage2.extract_1d import apcorr as correction
from jwst_dask.steps.stage2.extract_1d import encircled, slit, table
from jwst_dask.steps.stage2.extract_1d.geometry import Geometry, aim, first_block, identity
from jwst_dask.steps.stage2.extract_1d.psf import read_psf
from jwst_dask.steps.stage2.extract_1d.sums import Extractor
from jwst_dask.steps.stage2.extract_1d.target import Target, describe, is_tso
from jwst_dask.steps.stage2.extract_1d.view import view_of

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References
    from jwst_dask.steps.stage2.extract_1d.step import Extract1dStep

log = logging.getLogger(__name__)

MODELS = ("CubeModel", "ImageModel", "SlitModel")


def prepare(step: Extract1dStep, draft: Draft, refs: References) -> State | Skip:
    """See `Extract1dStep.prepare`."""
    model = draft.model
    if type(model).__name__ not in MODELS:
        return Skip(f"a {type(model).__name__} is not a slit-like spectral image")
    if draft.wcs is not None and not np.size(model.data):
        return Skip("the slit has no data")
    target = describe(step, draft, refs)
    if isinstance(target, Skip):
        return target
    geometry = aim(step, draft, target)
    if isinstance(geometry, Skip):
        return geometry
    attributes = table.spectrum_attributes(
        model, target.slit, target.source_type, target.order, target.dispaxis, geometry.limits, geometry.position
    )
    if draft.wcs is not None:
        return _slit(step, draft, target, geometry, attributes)
    tso = is_tso(model)
    numbers, times, known = table.integration_times(model, draft.nints, tso and draft.is_cube)
    draft.spectra = table.template(model, geometry.wavelength, attributes, geometry.wcs, cube=draft.is_cube, photom=target.photom,
                                   tso=tso, times=known)  # fmt: skip
    state = assemble(step, draft, target, geometry)
    state |= {"numbers": numbers, "times": times, "segment": int(model.meta.exposure.segment_number or 1)}
    state |= aperture_correction(step, draft, target, geometry, state)
    keep_extras(step, draft, target, geometry)
    return state


def _slit(step: Extract1dStep, draft: Draft, target: Target, geometry: Geometry, attributes: dict[str, Any]) -> State:
    """The same for one slit among many, whose pixels are at hand: figures of quality and side products too."""
    from jwst_dask.steps.stage2.extract_1d.step import spectra

    draft.spectra = slit.slit_spectra(draft, geometry, attributes, target.photom)
    state = assemble(step, draft, target, geometry) | {"cube": False, "save_scene": False, "save_residual": False}
    state |= aperture_correction(step, draft, target, geometry, state)
    block = first_block(draft)
    if block is not None:
        draft.quality.update(slit.figures(spectra(block, state)))
        images = {"save_scene": step.save_scene_model, "save_residual": step.save_residual_image}
        if any(images.values()):
            slit.keep_images(draft, target, state | images, block)
    if step.save_profile:
        slit.keep_image(draft, target, "profile", geometry.profiles.sum(axis=0))
    return state


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
    if not target.point or not step.apply_apcorr or target.extraction_type == "optimal":
        if path != "N/A" and target.extraction_type == "optimal":
            log.warning("optimal extraction: no aperture correction")
        return {}
    if path == "N/A":
        if step.apcorr_any_size and geometry.aperture.psf != "N/A" and not geometry.aperture.optimal:
            return {"factor": encircled.psf_factors(read_psf(geometry.aperture.psf, getattr(draft.model, "name", None)), geometry)}
        return {}
    key = ("extract_1d apcorr", identity(path), target.slit, geometry.wavelength.tobytes(), geometry.position,
           draft.model.meta.instrument.filter, draft.model.meta.instrument.grating, draft.model.meta.subarray.name)  # fmt: skip
    make = partial(correction.correction_tables, draft.model, view_of(draft), path, target.slit, geometry.wavelength, geometry.position)
    tables = make() if draft.wcs is not None else memo(key, make)
    sizes, factors = tables["sizes"], tables["factors"]
    if not tables["fixed"]:
        sizes, factors = encircled.dense(sizes, factors) if step.apcorr_any_size else (sizes, factors)
        return {"sizes": sizes, "factors": factors}
    fixed = {"fixed_sizes": sizes, "fixed_factors": factors, "any_size": step.apcorr_any_size}
    if draft.later:
        return fixed | {LOOK: True}
    first = first_block(draft)
    if first is None:  # the aperture as it is meant to be
        return {"factor": _factor(fixed, geometry.profiles[0].sum(axis=0 if geometry.aperture.horizontal else 1)[geometry.keep])}
    return by_first(first, state | fixed)


def by_first(first: Block, state: State) -> State:
    """The aperture correction by the number of pixels that count at each wavelength of the first integration."""
    extractor = Extractor({**state, "save_scene": False, "save_residual": False})
    extractor.make_images(first)
    npixels: np.ndarray = extractor.sums(first, 0, 1)[0, NPIXELS]
    return {"factor": _factor(state, npixels[np.asarray(state["keep"])])}


def _factor(state: State, npixels: np.ndarray) -> np.ndarray:
    sizes, factors = np.asarray(state["fixed_sizes"]), np.asarray(state["fixed_factors"])
    return encircled.factors_for(sizes, factors, npixels[None])[0] if state["any_size"] else correction.factors_at(sizes, factors, npixels)


def keep_extras(step: Extract1dStep, draft: Draft, target: Target, geometry: Geometry) -> None:
    """Templates of the optional products: profile (complete), scene model and residual (arrays come from the blocks)."""
    if step.save_profile:
        draft.extras["profile"] = table.image_template(draft.model, target.slit, geometry.profiles.sum(axis=0))
    shape = (1, *draft.shape) if draft.is_cube and draft.nints > 1 else draft.shape
    for name, wanted in (("scene_model", step.save_scene_model), ("residual", step.save_residual_image)):
        if wanted:
            draft.extras[name] = table.image_template(draft.model, target.slit, np.zeros(shape, dtype=np.float32))
