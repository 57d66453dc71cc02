"""What a step is: typed parameters, declarations, a preparation once per exposure, and a pure function of blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from jwst_dask.core.errors import ParameterError

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

State = dict[str, Any]
"""What the blocks of one exposure need of a prepared step: arrays and plain scalars by name (saved with `numpy.savez`)."""
LOOK = "look"
"""In a state: that `Step.look` has to complete it, when the first integration is there."""


@dataclass(frozen=True)
class Skip:
    """A step does not apply; products record it as SKIPPED with this reason in the log, plan and report."""

    reason: str
    status: ClassVar[str] = "SKIPPED"


@dataclass(frozen=True)
class Failed(Skip):
    """A step could not do its work; products record it as FAILED, and the pipeline goes on."""

    status: ClassVar[str] = "FAILED"


def param(default: Any, help: str, *, unit: str = "", low: float | None = None, high: float | None = None,
          choices: Iterable[Any] = (), kind: str = "") -> Any:  # fmt: skip
    """Declare a step parameter as a dataclass field.

    Parameters
    ----------
    default : object
        Value when nobody says otherwise; a tuple is a list of numbers or names on the command line.
    help : str
        One line for ``--help``, the plan and the report.
    unit : str
        Physical unit, if any.
    low, high : float
        Inclusive bounds.
    choices : iterable
        Allowed values.
    kind : str
        How text becomes a value where the default does not tell (it is None):
        ``"int"``, ``"float"``, ``"bool"``, ``"str"``, ``"ints"``, ``"floats"``, ``"strs"``.
    """
    info = {"help": help, "unit": unit, "low": low, "high": high, "choices": tuple(choices), "kind": kind or _kind(default)}
    return field(default=default, metadata=info)


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return {int: "ints", float: "floats"}.get(type(value[0]), "strs") if value else "strs"
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "str")


def coerce(step: str, name: str, value: Any, info: Mapping[str, Any]) -> Any:
    """`value` (text from a command line or file, or a Python value) as the declared parameter type.

    Raises
    ------
    ParameterError
        When it cannot be converted, is outside the bounds or not among the choices; the message names step and parameter.
    """
    kind = info.get("kind", "str")
    if isinstance(value, str) and value.strip().lower() in ("none", ""):
        value = None
    if value is None:
        return None
    try:
        converted = _convert(value, kind)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{step}.{name}: {value!r} is not {_WORDS.get(kind, kind)}") from error
    if info.get("choices") and converted not in info["choices"]:
        raise ParameterError(f"{step}.{name}: {value!r} is not one of {', '.join(map(str, info['choices']))}")
    low, high = info.get("low"), info.get("high")
    for number in converted if isinstance(converted, tuple) else (converted,):
        if isinstance(number, (int, float)) and ((low is not None and number < low) or (high is not None and number > high)):
            raise ParameterError(f"{step}.{name}: {number} is outside {low} to {high}")
    return converted


_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "ints": "a list of whole numbers",
          "floats": "a list of numbers", "strs": "a list", "str": "text"}  # fmt: skip


def _convert(value: Any, kind: str) -> Any:
    if kind == "bool":
        if isinstance(value, str):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.strip().lower()] \
                if value.strip().lower() in ("true", "1", "yes", "false", "0", "no") else _refuse()  # fmt: skip
        if value in (0, 1):
            return bool(value)
        return _refuse()
    if kind == "int":
        number = float(value)
        return int(number) if number == int(number) and not isinstance(value, bool) else _refuse()
    if kind == "float":
        return _refuse() if isinstance(value, bool) else float(value)
    if kind in ("ints", "floats", "strs"):
        items = value.replace(",", " ").split() if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
        return tuple(_convert(item, {"ints": "int", "floats": "float", "strs": "str"}[kind]) for item in items)
    return str(value)


def _refuse() -> Any:
    raise ValueError("not convertible")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One calibration step: frozen parameters, and what it does to an exposure.

    A subclass declares `alias` (the reference implementation's step name), `cal_step` (its attribute of
    ``meta.cal_step``), `references` (the types it looks up), and implements `prepare`, and `run` if it touches pixels.
    """

    alias: ClassVar[str]
    cal_step: ClassVar[str]
    references: ClassVar[tuple[str, ...]] = ()
    pixels: ClassVar[bool] = True
    """Whether `run` changes blocks; a step that only edits metadata says False and is left out of the tasks."""
    halo: ClassVar[int] = 0
    """Integrations that `run` must see on each side of its block."""
    reads: ClassVar[tuple[str, ...]] = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")
    writes: ClassVar[tuple[str, ...]] = ()
    """Arrays that `run` changes or makes, and tables that it adds."""
    returns_table: ClassVar[bool] = False
    """Whether the result is a table apart from the exposure, which then is not marked COMPLETE."""
    product_suffixes: ClassVar[tuple[str, str] | None] = None
    """Suffixes of its saved result, of an image and of a series (default: the alias)."""
    side_products: ClassVar[tuple[str, ...]] = ()
    """Entries of ``draft.extras`` whose SCI array the blocks fill from ``block.arrays`` under the same name."""

    skip: bool = param(False, "Skip this step")
    save_results: bool = param(False, "Save the result of this step")
    suffix: str | None = param(None, "Suffix of the saved result (default: the step's alias)", kind="str")
    output_dir: str | None = param(None, "Folder of the saved result (default: that of the run)", kind="str")
    output_file: str | None = param(None, "Name of the saved result (default: from the input)", kind="str")
    overrides: Mapping[str, str] = field(default_factory=dict)
    """``override_<reftype>`` by reference type: a path, or ``"N/A"`` to do without."""

    @classmethod
    def parameters(cls) -> dict[str, dataclasses.Field[Any]]:
        """The step's parameters by name, without `overrides`."""
        return {f.name: f for f in dataclasses.fields(cls) if f.name != "overrides"}

    @classmethod
    def make(cls, **values: Any) -> Step:
        """A step from parameter values as a user gives them (text is converted; ``override_<reftype>`` accepted).

        Raises
        ------
        ParameterError
            For an unknown name or an unusable value.
        """
        known, clean, overrides = cls.parameters(), {}, dict(values.pop("overrides", None) or {})
        for name, value in values.items():
            if name.startswith("override_"):
                reftype = name.removeprefix("override_")
                if reftype not in cls.references:
                    raise ParameterError(f"{cls.alias} uses no {reftype} reference; it uses {', '.join(cls.references) or 'none'}")
                if value is not None:
                    overrides[reftype] = str(value)
            elif name in known:
                clean[name] = coerce(cls.alias, name, value, known[name].metadata)
            else:
                raise ParameterError(f"{cls.alias} has no parameter {name!r}; it has {', '.join(sorted(known))}")
        return cls(**clean, overrides=overrides)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickled as its class and what differs from the defaults: tasks carry steps by the thousand."""
        return _rebuild, (type(self), {f.name: value for f in dataclasses.fields(self) if (value := getattr(self, f.name)) != _default(f)})

    def values(self) -> dict[str, Any]:
        """Parameter values by name."""
        return {name: getattr(self, name) for name in self.parameters()}

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        """Why the step does not run on an exposure with this metadata (flat, by datamodel path), or None if it does."""
        return Skip("skip = True") if self.skip else None

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        """Do what is needed once per exposure: edit the draft's metadata, return what the blocks need.

        Reads references, never pixels (but for `Draft.first`). Called after `applies` said yes. A step may have nothing to prepare.
        """
        return {}

    def look(self, first: Block, state: State) -> State:
        """What a state that was prepared before there were pixels (`Draft.later`) lacks, from the first integration as it reaches the step."""
        return {}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        """Apply the step to the arrays of one block (pure: the input arrays belong to this task and may be reused)."""
        return block


def _rebuild(cls: type[Step], values: dict[str, Any]) -> Step:
    return cls(**values)


def _default(declared: dataclasses.Field[Any]) -> Any:
    return declared.default_factory() if declared.default_factory is not dataclasses.MISSING else declared.default


@dataclass(frozen=True, kw_only=True)
class BlockStep(Step):
    """Works on one block of integrations at a time."""


@dataclass(frozen=True, kw_only=True)
class MetaStep(Step):
    """Edits metadata and geometry only."""

    pixels: ClassVar[bool] = False
