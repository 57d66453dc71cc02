"""Rows of a table of source parameters: parsing, checking and writing them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from jwst_dask.core.errors import ParameterError

if TYPE_CHECKING:
    from jwst_dask.data.slits import SlitSpec

KEYS = ("source_id", "slit_name")
SHORT = {"background": ("master_background_mos", "background")}
"""Columns without a dot, and what they mean."""
NOTES = ("comment", "note")
"""Columns for people."""
SLIT_STEPS = ("extract_2d", "srctype", "master_background_mos", "wavecorr", "flat_field", "pathloss", "barshadow", "photom", "adaptive_trace_model",
              "pixel_replace", "resample_spec", "extract_1d")  # fmt: skip
"""Steps that work on one slit at a time, so that their parameters may differ from slit to slit."""
SHARED = ("save_results", "suffix", "output_dir", "output_file")
"""Parameters of products, which all slits share."""
ANY = ("*", "default")

Values = Mapping[str, Mapping[str, Any]]
"""Parameter values by step alias and name."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    kind : str
        ``source_id``, ``slit_name``, or ``""`` for all.
    key : str
        Number, name or pattern.
    values : dict
        Parameter values by step alias and name, of their declared types.
    where : str
        For messages: file and row.
    """

    kind: str
    key: str
    values: Values
    where: str = ""

    @property
    def rank(self) -> int:
        """Rows of a higher rank win: all, patterns, a slit, a source."""
        if not self.kind:
            return 0
        return 1 if self.pattern else 2 + (self.kind == "source_id")

    @property
    def pattern(self) -> bool:
        """Whether it may be for several."""
        return any(sign in self.key for sign in "*?[")

    def matches(self, slit: SlitSpec) -> bool:
        """Whether it is for a slit."""
        name = str(slit.source_id) if self.kind == "source_id" else slit.name
        return not self.kind or (fnmatchcase(name, self.key) if self.pattern else name == self.key)


def parse_rows(content: Any, name: str) -> Iterable[Row]:
    """Rows of a mapping, a list or a Table; `name` is for messages.

    Raises
    ------
    ParameterError
        The message names row and column, and what can be done.
    """
    if hasattr(content, "colnames"):
        content = _of_table(content)
    if isinstance(content, Mapping):
        content = [_keyed(key, values, name) for key, values in content.items()]
    if isinstance(content, str) or not isinstance(content, Iterable):
        raise ParameterError(f"{name}: a table of source parameters is a list of rows or a mapping by source, not {type(content).__name__}")
    for number, item in enumerate(content, 1):
        where = f"{name}, row {number}"
        if not isinstance(item, Mapping):
            raise ParameterError(f"{where}: {item!r} is not a mapping of columns to values")
        yield _row(item, where)


def _keyed(key: Any, values: Any, name: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ParameterError(f"{name}, {key}: {values!r} is not a mapping of parameters to values")
    if twice := set(values) & set(KEYS):
        raise ParameterError(f"{name}, {key}: {', '.join(twice)} is given a second time; remove it, or make the file a list of rows")
    text = str(key).strip()
    kind = "source_id" if text in ANY or text.lstrip("-").replace("*", "").replace("?", "").isdigit() else "slit_name"
    return {kind: text, **values}


def _row(item: Mapping[str, Any], where: str) -> Row:
    given = {kind: str(item[kind]).strip() for kind in KEYS if not _empty(item.get(kind))}
    if len(given) > 1:
        raise ParameterError(f"{where}: it has both source_id {given['source_id']} and slit_name {given['slit_name']}; leave one of them out")
    kind, key = next(iter(given.items()), ("", ""))
    if key in ANY:
        kind, key = "", ""
    if kind == "source_id":
        key = _number(key, where)
    values: dict[str, dict[str, Any]] = {}
    for column, value in _columns(item, where):
        alias, parameter = SHORT.get(column) or _split(column, where)
        values.setdefault(alias, {})[parameter] = _value(alias, parameter, value, f"{where}{f' ({kind} {key})' if kind else ''}, column {column}")
    return Row(kind, key, values, where)


def _number(key: str, where: str) -> str:
    if any(sign in key for sign in "*?["):
        return key
    try:
        if float(key) == int(float(key)):
            return str(int(float(key)))
    except (ValueError, OverflowError):
        pass
    raise ParameterError(f"{where}, column source_id: {key!r} is not a whole number or a pattern such as 10*; a slit's name goes to the column slit_name")


def _columns(item: Mapping[str, Any], where: str) -> Iterable[tuple[str, Any]]:
    for column, value in item.items():
        column = str(column).strip()
        if column in KEYS or column.lower() in NOTES or _empty(value):
            continue
        if isinstance(value, Mapping):
            if "." in column or column not in SLIT_STEPS:
                _split(f"{column}.{next(iter(value), '')}" if "." not in column else column, where)
                raise ParameterError(f"{where}, column {column}: its value is a mapping; give a number, text or a list")
            yield from ((f"{column}.{name}", inner) for name, inner in value.items())
        else:
            yield column, value


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _split(column: str, where: str) -> tuple[str, str]:
    from jwst_dask.pipelines.stage2 import SPEC2

    alias, dot, parameter = column.partition(".")
    if not dot:
        raise ParameterError(f"{where}, column {column}: columns are {', '.join((*KEYS, *SHORT, *NOTES))}, or <step>.<parameter>, "
                             "such as extract_1d.position_offset")  # fmt: skip
    if alias not in SLIT_STEPS:
        if alias in SPEC2.aliases():
            raise ParameterError(f"{where}, column {column}: {alias} is for whole exposures, not for single slits; set it for the run instead")
        near = difflib.get_close_matches(alias, SLIT_STEPS, 1)
        raise ParameterError(f"{where}, column {column}: there is no step {alias}{f', did you mean {near[0]}?' if near else ''}; "
                             f"steps are {', '.join(SLIT_STEPS)}")  # fmt: skip
    if parameter in SHARED:
        raise ParameterError(f"{where}, column {column}: products hold all slits, so that {parameter} is set for the run instead")
    return alias, parameter


def _value(alias: str, parameter: str, value: Any, where: str) -> Any:
    from jwst_dask.steps import step_class

    try:
        made = step_class(alias).make(**{parameter: value})
    except ParameterError as error:
        raise ParameterError(f"{where}: {error}; correct the value or remove it") from error
    except TypeError as error:  # a name that is no identifier
        raise ParameterError(f"{where}: {parameter!r} is not the name of a parameter of {alias}") from error
    return made.overrides[parameter.removeprefix("override_")] if parameter.startswith("override_") else getattr(made, parameter)


def _of_table(table: Any) -> list[dict[str, Any]]:
    """Rows of an astropy Table as plain values; masked cells are left out."""
    import numpy as np

    out = []
    for row in table:
        item = {}
        for name in table.colnames:
            value = row[name]
            if value is np.ma.masked or (isinstance(value, float) and np.isnan(value)):
                continue
            item[name] = value.item() if isinstance(value, np.generic) else value.tolist() if isinstance(value, np.ndarray) else value
        out.append(item)
    return out


def _read_table(kind: str) -> Callable[[str], Any]:
    def read(path: str) -> Any:
        from astropy.table import Table

        return Table.read(path, format=kind)

    return read


def _read_yaml(path: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Safe, and strict about keys that come twice."""

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        for number, (key, (place, _)) in enumerate(zip(keys, node.value)):
            if key in keys[:number]:
                raise ParameterError(f"{path}, line {place.start_mark.line + 1}: {key} comes twice; make one entry of them")
        return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value)}

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    with open(path, encoding="utf-8") as file:
        return yaml.load(file, Loader=Loader)


READERS: Mapping[str, Callable[[str], Any]] = {".ecsv": _read_table("ascii.ecsv"), ".csv": _read_table("ascii.csv"), ".yaml": _read_yaml,
                                                ".yml": _read_yaml}  # fmt: skip


def flat_values(values: Values) -> dict[str, Any]:
    """Values by column, as they are written to a file."""
    out = {}
    for alias, parameters in values.items():
        for name, value in parameters.items():
            column = next((short for short, long in SHORT.items() if long == (alias, name)), f"{alias}.{name}")
            out[column] = "none" if value is None else list(value) if isinstance(value, tuple) else value
    return out


Flat = list[tuple[dict[str, str], dict[str, Any]]]


def yaml_text(flat: Flat) -> str:
    """Rows as YAML."""
    import yaml

    rows = [{kind: int(key) if kind == "source_id" and key.lstrip("-").isdigit() else key for kind, key in keys.items()} | values for keys, values in flat]
    return yaml.safe_dump(rows, sort_keys=False)


def ecsv_text(flat: Flat, ecsv: bool) -> str:
    """Rows as ECSV, or as CSV."""
    import io

    from astropy.table import MaskedColumn, Table

    rows = [keys | {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in values.items()} for keys, values in flat]
    names = list(dict.fromkeys((*(key for key in KEYS if any(key in row for row in rows)), *(name for row in rows for name in row))))
    table = Table()
    for name in names:
        cells = [row.get(name) for row in rows]
        kinds = {type(cell) for cell in cells if cell is not None}
        kind = kinds.pop() if len(kinds) == 1 else float if kinds == {int, float} else str
        table[name] = MaskedColumn([kind() if cell is None else kind(cell) for cell in cells], mask=[cell is None for cell in cells], dtype=kind)
    out = io.StringIO()
    table.write(out, format="ascii.ecsv" if ecsv else "ascii.csv")
    return out.getvalue()
