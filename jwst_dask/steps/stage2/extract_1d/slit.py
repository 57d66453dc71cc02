"""The spectrum of one slit among many: a light stand-in for its datamodel, figures of quality, side products.

A MultiSpecModel and its SpecModel take 10 ms to make; products of many slits need neither, but for the attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.memo import memo
from jwst_dask.steps.stage2.extract_1d.sums import Extractor
from jwst_dask.steps.stage2.extract_1d.table import rows_of

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.steps.stage2.extract_1d.geometry import Geometry
    from jwst_dask.steps.stage2.extract_1d.target import Target


@dataclass
class SlitSpectrum:
    """One spectrum.

    Attributes
    ----------
    instance : dict
        Attributes by name, as in the schema of SpecModel; under ``meta``, ``wcs`` is a `SpectralWcs`.
    spec_table : FITS_rec
        One row of zeros with the units of the columns. The rows are in ``block.tables["EXTRACT1D"]``.
    """

    instance: dict[str, Any]
    spec_table: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.instance.get(name)


@dataclass
class SlitSpectra:
    """What ``draft.spectra`` is for the draft of a slit.

    Attributes
    ----------
    instance : dict
        ``meta``: metadata for the primary header of the product.
    spec : list of SlitSpectrum
        One.
    """

    instance: dict[str, Any]
    spec: list[SlitSpectrum] = field(default_factory=list)


def slit_spectra(draft: Draft, geometry: Geometry, attributes: Mapping[str, Any], photom: bool) -> SlitSpectra:
    """The spectrum of a slit before its rows are known."""
    from stdatamodels.jwst import datamodels

    meta: dict[str, Any] = {}
    for path in memo(("primary keywords of spectra",), _primary):
        value: Any = draft.model.instance["meta"]
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None and not isinstance(value, (Mapping, list)):
            node = meta
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = value
    table = memo(("table of a slit's spectrum", photom), lambda: rows_of(datamodels.SpecModel, 1, False, photom))
    tree = {name: value for name, value in attributes.items() if value is not None}
    return SlitSpectra({"meta": meta}, [SlitSpectrum({**tree, "meta": {"wcs": geometry.wcs}}, table)])


def _primary() -> list[tuple[str, ...]]:
    """Paths (below ``meta``) of the keywords that spectra have in their primary header."""
    from stdatamodels.jwst import datamodels
    from stdatamodels.schema import walk_schema

    found: list[tuple[str, ...]] = []

    def note(node: Mapping[str, Any], path: list[str], *_: Any) -> None:
        if "fits_keyword" in node and node.get("fits_hdu", "PRIMARY") == "PRIMARY" and path[0] == "meta" and path[1] not in ("date", "model_type"):
            found.append(tuple(path[1:]))

    walk_schema(datamodels.MultiSpecModel().schema, note)
    return found


def figures(table: np.ndarray) -> dict[str, float]:
    """Figures of a spectrum for the quality table.

    Parameters
    ----------
    table : structured ndarray[wavelength]
        Columns of an EXTRACT1D extension.

    Returns
    -------
    dict
        ``snr_median``: of the elements with a finite flux and error; ``extracted_fraction``: of elements with a flux;
        ``wavelength_min``, ``wavelength_max`` (micron) of these; ``background_median`` (unit of the data), ``npixels_median``.
    """
    flux, error, good = table["FLUX"], table["FLUX_ERROR"], np.isfinite(table["FLUX"])
    measured = good & np.isfinite(error) & (error > 0)
    used = table[good]
    return {
        "snr_median": _median(flux[measured] / error[measured]), "extracted_fraction": float(good.mean()) if len(good) else 0.0,
        "wavelength_min": float(used["WAVELENGTH"].min()) if len(used) else np.nan,
        "wavelength_max": float(used["WAVELENGTH"].max()) if len(used) else np.nan,
        "background_median": _median(used["BACKGROUND"]), "npixels_median": _median(used["NPIXELS"]),
    }  # fmt: skip


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def keep_images(draft: Draft, target: Target, state: Mapping[str, Any], block: Block) -> None:
    """Leave the scene model and the residual of a slit in ``draft.extras``, where they are wanted."""
    extractor = Extractor(state)
    private = type(block)(dict(block.arrays), block.start)
    extractor.make_images(private)
    extractor.sums(private, 0, 1)
    for name, image in extractor.images.items():
        if len(image):
            keep_image(draft, target, name, image[0])


def keep_image(draft: Draft, target: Target, name: str, image: np.ndarray) -> None:
    """Leave one image (float32[y, x]) of a slit in ``draft.extras``."""
    draft.extras[name] = {"arrays": {"data": image.astype(np.float32)}, "attributes": {"name": target.slit}, "only": True}
