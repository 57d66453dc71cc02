"""What was made from what: one line per finished product, so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jwst_dask.core.errors import InputError

log = logging.getLogger(__name__)

FOLDER = ".jwst_dask"
_COMMON = ("save_results", "suffix", "output_dir", "output_file", "skip")


@dataclass(frozen=True)
class Identity:
    """A file as the ledger knows it: name, bytes and time of change."""

    name: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Identity:
        """Identity of a file on disk; remote files and ``N/A`` by name alone."""
        try:
            stat = os.stat(path)
        except OSError:
            return cls(str(path), -1, -1)
        return cls(os.path.basename(path), stat.st_size, stat.st_mtime_ns)


def product_key(inputs: list[Identity], stages: list[Mapping[str, Any]], extra: Mapping[str, Any]) -> str:
    """Digest of all that decides a product's content: inputs, steps with parameters and references, versions.

    Parameters
    ----------
    inputs : list of Identity
    stages : list of mapping
        From `stage_record`, the steps up to the product.
    extra : mapping
        Version, pipeline, association.
    """
    text = json.dumps([[i.__dict__ for i in inputs], stages, dict(extra)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def stage_record(stage: Any) -> dict[str, Any]:
    """What of a prepared step counts for staleness: parameters that change numbers, and references by identity."""
    values = {name: content(value) for name, value in stage.step.values().items() if name not in _COMMON}
    references = {reftype: (path if path == "N/A" else Identity.of(path).__dict__) for reftype, path in sorted(stage.references.items())}
    return {"step": stage.step.alias, "status": stage.status, "parameters": values, "overrides": dict(stage.step.overrides), "references": references}


def content(value: Any) -> Any:
    """A parameter that names a file counts with the file's identity."""
    return Identity.of(value).__dict__ if isinstance(value, str) and os.path.isfile(value) else value


class Ledger:
    """Append-only record of finished products in ``<output>/.jwst_dask/ledger.jsonl``."""

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.path = Path(output_dir) / FOLDER / "ledger.jsonl"
        self._rows: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            for line in self.path.read_text(errors="replace").splitlines():
                try:
                    row = json.loads(line)
                    self._rows[row["product"]] = row
                except (ValueError, TypeError, KeyError):  # the last line of a run killed while writing it
                    continue

    def is_current(self, product: str | os.PathLike[str], key: str) -> bool:
        """Whether the product on disk is the one that was recorded, and was made from the same things."""
        row = self._rows.get(os.path.basename(product))
        return row is not None and row.get("key") == key and row.get("identity") == Identity.of(product).__dict__

    def record(self, product: str | os.PathLike[str], key: str, **details: Any) -> None:
        """Note a finished product; on disk before this returns.

        Raises
        ------
        InputError
            When the ledger cannot be written.
        """
        self._append({"product": os.path.basename(product), "key": key, "status": "COMPLETE", "identity": Identity.of(product).__dict__, **details})

    def record_failure(self, product: str | os.PathLike[str], key: str, reason: str) -> None:
        """Note a product that was not made, and why (as far as there is room on the disk)."""
        try:
            self._append({"product": os.path.basename(product), "key": key, "status": "FAILED", "identity": None, "reason": reason})
        except InputError as error:
            log.warning("%s", error)

    def _append(self, row: dict[str, Any]) -> None:
        row["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._rows[row["product"]] = row
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a+b") as file:
                cut = file.tell() > 0 and not _ends_line(file)  # a run was killed while writing its last line
                file.write(b"\n" * cut + json.dumps(row, default=str).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{self.path}: the record of finished products cannot be written ({error.strerror}); make room, then --resume") from error

    def rows(self) -> list[dict[str, Any]]:
        """The latest record of every product."""
        return list(self._rows.values())


def _ends_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
