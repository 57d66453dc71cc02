"""The WCS of an exposure from its metadata and reference files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.wcs.references import WcsReferences


@dataclass(frozen=True)
class Geometry:
    """A WCS object and the values of ``meta.wcsinfo`` that come with it."""

    wcs: Any
    wcsinfo: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Everything a WCS depends on (hashable), and how it is made from it."""

    settings: tuple[Any, ...]
    make: Callable[[WcsReferences], Geometry]


def build_wcs(model: Any, refs: Mapping[str, str], params: Mapping[str, Any]) -> Any:
    """The WCS of an exposure; what it says for the header is set in ``model.meta.wcsinfo``.

    Exposures with equal metadata and references (the segments of a time series) share one WCS object: do not change it.

    Parameters
    ----------
    model : JwstDataModel
        The exposure; only its metadata are used.
    refs : mapping
        Path by reference type, ``"N/A"`` or ``""`` for none.
    params : mapping
        Parameters of assign_wcs (``slit_y_low``, ``slit_y_high``).

    Returns
    -------
    gwcs.WCS
        Frames and units as in the JWST documentation of the WCS of each mode.

    Raises
    ------
    InputError
        For an exposure type without a spectroscopic WCS, or metadata that it lacks.
    ReferenceError_
        For a reference that is missing or unusable.
    NoDataOnDetectorError
        When no slit falls on the detector.
    """
    exp_type = (model.meta.exposure.type or "").upper()
    recipe = _recipe(exp_type, model, params)
    found = WcsReferences(dict(refs), str(model.meta.instrument.name), exp_type)
    geometry: Geometry = memo(("wcs", exp_type, recipe.settings, found.key), lambda: recipe.make(found))
    for name, value in geometry.wcsinfo.items():
        setattr(model.meta.wcsinfo, name, value)
    return geometry.wcs


def attach_wcs(model: Any, wcs: Any) -> None:
    """Set ``model.meta.wcs``; not by assignment, which writes the whole object as ASDF to check it (65 ms)."""
    model.meta.instance["wcs"] = wcs


def _recipe(exp_type: str, model: Any, params: Mapping[str, Any]) -> Recipe:
    if exp_type == "NRS_BRIGHTOBJ":
        from jwst_dask.wcs.nirspec.recipe import bright_object

        return bright_object(model, params)
    if exp_type == "MIR_LRS-SLITLESS":
        from jwst_dask.wcs.miri_lrs import slitless

        return slitless(model)
    raise InputError(f"assign_wcs has no spectroscopic WCS for EXP_TYPE {exp_type or 'None'}")


def needed(model: Any, *paths: str) -> list[Any]:
    """Metadata values that a WCS cannot do without, by path below ``meta``.

    Raises
    ------
    InputError
        Naming those that are missing.
    """
    values = [model[f"meta.{path}"] for path in paths]
    missing = [path for path, value in zip(paths, values) if value is None]
    if missing:
        raise InputError(f"the WCS needs {', '.join('meta.' + path for path in missing)} of {model.meta.filename}, which is not set")
    return values
