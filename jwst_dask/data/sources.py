"""Parameters by source: a small table that says which sources of an exposure are to be treated in another way.

A row is for a source (`source_id`), a slit (`slit_name`), several of them by a pattern (``10*``), or all (neither, ``*`` or ``default``).
Its other columns are named ``<step>.<parameter>``; an empty cell changes nothing. As ECSV::

    source_id  extract_1d.extract_width  srctype.source_type  background
    1007       5                         POINT                master
    "10*"      ""                        EXTENDED             ""

and as YAML, a list of rows or a mapping by source number, slit name or pattern::

    default: {resample_spec.weight_type: exptime}
    1007: {extract_1d: {extract_width: 5}, background: master}
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwst_dask.core.errors import InputError, ParameterError
from jwst_dask.data.source_rows import READERS, SHORT, Row, ecsv_text, flat_values, parse_rows, yaml_text

if TYPE_CHECKING:
    from jwst_dask.core.pipeline import Pipeline
    from jwst_dask.core.step import Step
    from jwst_dask.data.slits import SlitSpec


@dataclass(frozen=True)
class SourceTable:
    """Step parameters by source.

    Attributes
    ----------
    rows : tuple of Row
        In the order of the file; of rows alike in rank, the last one wins.
    name : str
        Of the file, for messages.
    """

    rows: tuple[Row, ...] = ()
    name: str = "sources"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> SourceTable:
        """Read a table from a file (.ecsv, .csv, .yaml, .yml).

        Raises
        ------
        InputError
            The file cannot be read.
        ParameterError
            A row or column cannot be used; the message names file, row and column, and what can be done.
        """
        path = os.fspath(path)
        reader = READERS.get(Path(path).suffix.lower())
        if reader is None:
            raise InputError(f"{path}: a table of source parameters must be one of {', '.join(READERS)}")
        if not os.path.isfile(path):
            raise InputError(f"{path}: no such file; give a table of source parameters ({', '.join(READERS)})")
        try:
            content = reader(path)
        except ParameterError:
            raise
        except Exception as error:  # parsers raise errors of many kinds
            raise InputError(f"{path} cannot be read as {Path(path).suffix.lower()}: {type(error).__name__}: {error}") from error
        return cls.of(content, name=path)

    @classmethod
    def of(cls, content: Any, name: str = "sources") -> SourceTable:
        """A table from a mapping by source, a list of rows, or an astropy Table.

        Parameters
        ----------
        content : mapping, iterable of mappings, or astropy.table.Table
            A mapping's keys are numbers of sources, names of slits, patterns, or ``"default"``. Text of digits is the
            number of a source; rows with a `slit_name` are for slits that have numbers for names.

        Raises
        ------
        ParameterError
        """
        if content is None:
            content = {}
        rows = list(parse_rows(content, name))
        seen: dict[tuple[str, str], str] = {}
        for row in rows:
            if (row.kind, row.key) in seen:
                raise ParameterError(f"{row.where}: {seen[row.kind, row.key]} is for the same {row.kind or 'default'} {row.key}; make one row of them")
            seen[row.kind, row.key] = row.where
        return cls(tuple(rows), name)

    def __len__(self) -> int:
        return len(self.rows)

    def for_slit(self, slit: SlitSpec) -> dict[str, Any]:
        """Parameter values for a slit, by step alias and name; of a column, the most specific row counts.

        Where the table says what background to subtract (``nod``, ``master``, ``none``), it is there as ``background`` too.
        """
        out: dict[str, Any] = {}
        for row in sorted((row for row in self.rows if row.matches(slit)), key=lambda row: row.rank):
            for alias, values in row.values.items():
                out.setdefault(alias, {}).update(values)
        for column, (alias, name) in SHORT.items():
            if (value := out.get(alias, {}).get(name)) is not None:
                out[column] = value
        return out

    def steps_for(self, slit: SlitSpec, steps: Mapping[str, Step]) -> dict[str, Step]:
        """Steps with the parameters of a slit; the same objects where nothing differs."""
        out = dict(steps)
        for alias, values in self.for_slit(slit).items():
            if alias in out:
                plain = {name: value for name, value in values.items() if not name.startswith("override_")}
                given = {name.removeprefix("override_"): str(value) for name, value in values.items() if name.startswith("override_")}
                out[alias] = dataclasses.replace(out[alias], **plain, overrides={**out[alias].overrides, **given})
        return out

    def check(self, slits: Iterable[SlitSpec], pipeline: Pipeline | None = None) -> None:
        """Compare with the slits there are (of all detectors and exposures that the table is for) and the steps of a pipeline.

        Raises
        ------
        ParameterError
            For a source or slit that does not exist, or a step that the pipeline does not have.
        """
        slits = list(slits)
        known = {"source_id": {str(slit.source_id) for slit in slits}, "slit_name": {slit.name for slit in slits}}
        aliases = set(pipeline.aliases()) if pipeline is not None else None
        for row in self.rows:
            if row.kind and not any(row.matches(slit) for slit in slits):
                there = sorted(known[row.kind], key=_numeric)
                near = difflib.get_close_matches(row.key, there, 3) or there[:8]
                raise ParameterError(f"{row.where}: no slit of these exposures has {row.kind} {row.key}; there are {len(there)}, "
                                     f"such as {', '.join(near) or 'none'}: correct the row or remove it")  # fmt: skip
            for alias in row.values:
                if aliases is not None and pipeline is not None and alias not in aliases:
                    raise ParameterError(f"{row.where}, column {alias}.{next(iter(row.values[alias]))}: {pipeline.alias} has no step {alias}; "
                                         "remove the column")  # fmt: skip

    @property
    def digest(self) -> str:
        """Of the content; the same for tables that say the same in the same order."""
        plain = [[row.kind, row.key, {alias: dict(sorted(values.items())) for alias, values in sorted(row.values.items())}] for row in self.rows]
        return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:24]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table; the format goes by the suffix.

        Raises
        ------
        InputError
            For a suffix that is not known, or a folder that cannot be written to.
        """
        path = Path(path)
        if path.suffix.lower() not in READERS:
            raise InputError(f"{path}: a table of source parameters must be one of {', '.join(READERS)}")
        flat = [({row.kind: row.key} if row.kind else {"source_id": "default"}, flat_values(row.values)) for row in self.rows]
        text = yaml_text(flat) if path.suffix.lower() in (".yaml", ".yml") else ecsv_text(flat, path.suffix.lower() == ".ecsv")
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from error


def _numeric(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdigit() else (1 << 62, text)
