"""A pipeline as data: for each family of exposures an ordered list of step aliases and products."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.core.step import Step, coerce


@dataclass(frozen=True)
class Product:
    """A file written from what the chain has at this place.

    Attributes
    ----------
    suffix, suffix_ints : str
        Product suffix for 2-D images, and for cubes of integrations.
    spectra : bool
        Written from the spectral tables rather than from the image arrays.
    level3 : bool
        One file for all exposures of an association, named after its product.
    folder, base : str
        Where it goes and what it is named after, if not the run's folder and the exposure.
    needs : str
        Step that must have completed for the product to be written.
    extra : str
        A side product of a step: the entry of ``draft.extras`` that it is written from.
    """

    suffix: str
    suffix_ints: str
    spectra: bool = False
    level3: bool = False
    folder: str = ""
    base: str = ""
    needs: str = ""
    extension: str = ".fits"
    extra: str = ""

    def named(self, cube: bool) -> str:
        """The suffix for an exposure."""
        return self.suffix_ints if cube else self.suffix


@dataclass(frozen=True)
class Pipeline:
    """A named chain of steps per exposure type.

    Attributes
    ----------
    orders : mapping
        EXP_TYPE -> step aliases and products in order.
    working : tuple of str
        Exposure types that this version carries out; empty: all of `orders`.
    unrecorded : mapping
        EXP_TYPE -> steps that leave no status keyword because they are not called.
    settings : mapping
        Step alias -> parameter values that the pipeline sets (below any user value, above step defaults).
    pars : str
        Reference type of the pipeline's parameter file in CRDS.
    """

    alias: str
    class_name: str
    pars: str
    orders: Mapping[str, tuple[str | Product, ...]]
    unrecorded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    level: int = 2
    working: tuple[str, ...] = ()

    def configured(self, alias: str, settings: Mapping[str, Mapping[str, Any]]) -> Pipeline:
        """The same pipeline under another name with step settings of its own."""
        return dataclasses.replace(self, alias=alias, settings=settings)

    def order(self, exp_type: str, name: str = "input") -> tuple[str | Product, ...]:
        """Steps and products for an exposure type.

        Raises
        ------
        InputError
            When the pipeline does not process this type.
        """
        built = self.working or tuple(self.orders)
        if exp_type not in built:
            raise InputError(f"{name}: {self.alias} does not process EXP_TYPE {exp_type} in this version; it processes {', '.join(built)}")
        return self.orders[exp_type]

    def aliases(self) -> list[str]:
        """All step aliases of all orders, first come first."""
        return list(dict.fromkeys(item for order in self.orders.values() for item in order if isinstance(item, str)))

    def defaults(self) -> dict[str, Any]:
        """Values of the pipeline's own parameters."""
        return {name: f.default for name, f in self.parameters.items()}

    def coerce(self, name: str, value: Any) -> Any:
        """A value for one of the pipeline's own parameters.

        Raises
        ------
        ParameterError
            For an unknown name or an unusable value.
        """
        if name not in self.parameters:
            raise ParameterError(f"{self.alias} has no parameter {name!r}; it has {', '.join(self.parameters) or 'none of its own'}")
        return coerce(self.alias, name, value, self.parameters[name].metadata)


@dataclass(frozen=True)
class Setting:
    """A parameter value and where it comes from."""

    value: Any
    source: str


def settle(pipeline: Pipeline, layers: list[tuple[str, Mapping[str, Any]]]) -> tuple[dict[str, Step], dict[str, dict[str, Setting]], dict[str, Setting]]:
    """Steps with their final parameters.

    Parameters
    ----------
    pipeline : Pipeline
    layers : list of (source, values)
        Lowest precedence first. ``values`` holds pipeline parameters by name, ``override_<reftype>`` for all steps, and step
        parameters under ``steps``: ``{"fail_on_exception": False, "steps": {"extract_1d": {"smoothing_length": 5}}}``.

    Returns
    -------
    steps, provenance, own
        Steps by alias; for each alias the settings with their source; the pipeline's own settings.
    """
    from jwst_dask.steps import step_class

    own = {name: Setting(value, "default") for name, value in pipeline.defaults().items()}
    table: dict[str, dict[str, Setting]] = {}
    classes = {alias: step_class(alias) for alias in pipeline.aliases()}
    for alias, cls in classes.items():
        table[alias] = {name: Setting(f.default if f.default is not dataclasses.MISSING else None, "default") for name, f in cls.parameters().items()}
    settings = {"steps": {alias: dict(values) for alias, values in pipeline.settings.items() if alias in classes}}
    for source, values in [(f"pipeline {pipeline.alias}", settings), *layers]:
        for name, value in values.items():
            if name.startswith("override_"):  # before those on single steps, which are more specific
                _override_all(classes, table, name, value, source)
            elif name != "steps":
                own[name] = Setting(pipeline.coerce(name, value), source)
        for alias, given in values.get("steps", {}).items():
            if alias not in classes:
                raise ParameterError(f"{source}: {pipeline.alias} has no step {alias!r}; it has {', '.join(classes)}")
            clean = classes[alias].make(**given)
            for name in given:
                value = clean.overrides.get(name.removeprefix("override_")) if name.startswith("override_") else getattr(clean, name)
                table[alias][name] = Setting(value, source)
    steps = {alias: cls.make(**{k: s.value for k, s in table[alias].items() if s.source != "default"}) for alias, cls in classes.items()}
    return steps, table, own


def _override_all(classes: Mapping[str, type[Step]], table: dict[str, dict[str, Setting]], name: str, value: Any, source: str) -> None:
    """``override_<reftype>`` on a pipeline: for every step that uses the type."""
    users = [alias for alias, cls in classes.items() if name.removeprefix("override_") in cls.references]
    if not users:
        raise ParameterError(f"{source}: no step of this pipeline uses a {name.removeprefix('override_')} reference")
    for alias in users:
        table[alias][name] = Setting(str(value), source)
