"""What the records of a folder tell about its runs and products."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = ".jwst_dask"
_JOB = re.compile(r"^(\S+): (.+) \((\d+) exposures?\)$")
_STEP = re.compile(r"^  (\w+)\s+(run|skip: .*)$")
_VALUE = re.compile(r"^    (\w+) = (.*) \(([^()]*)\)$")
_OWN = re.compile(r"^  pipeline\.(\w+) = (.*) \(([^()]*)\)$")
_REFERENCE = re.compile(r"^    (\w+): (.+)$")
_EXPOSURE = re.compile(r"^  (\S+): (\d+) (?:integrations to|x) (.+)$")


@dataclass
class StepRecord:
    """One step of a job: ``run`` or why not, parameters as (name, value, source), references as (type, file)."""

    alias: str
    result: str
    parameters: list[tuple[str, str, str]] = field(default_factory=list)
    references: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class JobRecord:
    """A pipeline over some exposures, all of which went through the same steps with the same settings."""

    pipeline: str
    names: list[str]
    exposures: list[tuple[str, int, str]] = field(default_factory=list)
    own: list[tuple[str, str, str]] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass
class RunRecord:
    """One run as it was recorded in ``.jwst_dask/runs``.

    Attributes
    ----------
    ended : float
        Seconds since 1970.
    jobs : list of JobRecord
        Read from the recorded text of the plan.
    data : dict
        The record itself.
    """

    name: str
    ended: float
    jobs: list[JobRecord]
    data: dict[str, Any]

    @property
    def failures(self) -> list[str]:
        """What went wrong."""
        return [str(text) for text in self.data.get("failures", [])]

    @property
    def when(self) -> str:
        """End of the run, UTC."""
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.ended))


def runs(folder: str | os.PathLike[str]) -> list[RunRecord]:
    """The runs recorded in an output folder, oldest first; a record that cannot be read is left out."""
    out = []
    for path in (Path(folder) / FOLDER / "runs").glob("*.json"):
        try:
            data = json.loads(path.read_text())
        except ValueError:  # a run that was killed while it wrote its record
            continue
        out.append(RunRecord(path.stem, path.stat().st_mtime, read_plan(str(data.get("plan", ""))), data))
    return sorted(out, key=lambda run: (run.ended, run.name))


def read_plan(text: str) -> list[JobRecord]:
    """Jobs from the text of a plan (`jwst_dask.core.plan.describe`); those alike are put together."""
    jobs: list[JobRecord] = []
    for line in text.splitlines():
        if found := _JOB.match(line):
            jobs.append(JobRecord(found[1], [found[2]]))
        elif jobs:
            _take(jobs[-1], line)
    merged: list[JobRecord] = []
    for job in jobs:
        same = next((m for m in merged if (m.pipeline, m.own, m.steps) == (job.pipeline, job.own, job.steps)), None)
        if same is None:
            merged.append(job)
        else:
            same.names += job.names
            same.exposures += job.exposures
            same.failures += job.failures
    return merged


def _take(job: JobRecord, line: str) -> None:
    if line.startswith("  FAILED "):
        job.failures.append(line[9:])
    elif found := _OWN.match(line):
        job.own.append((found[1], found[2], found[3]))
    elif found := _EXPOSURE.match(line):
        job.exposures.append((found[1], int(found[2]), found[3]))
    elif found := _STEP.match(line):
        job.steps.append(StepRecord(found[1], found[2]))
    elif job.steps and (found := _VALUE.match(line)):
        job.steps[-1].parameters.append((found[1], found[2], found[3]))
    elif job.steps and (found := _REFERENCE.match(line)):
        job.steps[-1].references.append((found[1], found[2]))


@dataclass(frozen=True)
class ProductRecord:
    """A product on disk: path, suffix, bytes, integrations (0 where that means nothing), primary header as plain values."""

    path: Path
    suffix: str
    size: int
    integrations: int
    header: dict[str, Any]


def products(folder: str | os.PathLike[str]) -> list[ProductRecord]:
    """Products in a folder by their headers, level 3 last; no pixel is read."""
    out = []
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith(".") or path.suffix not in (".fits", ".ecsv") or not path.is_file():
            continue
        header = _header(path) if path.suffix == ".fits" else {}
        nints = int(header.get("INTEND", 0) or 0) - int(header.get("INTSTART", 1) or 1) + 1 if "INTEND" in header else 0
        out.append(ProductRecord(path, path.stem.rpartition("_")[2], path.stat().st_size, nints, header))
    return sorted(out, key=lambda p: ("-seg" not in p.path.name and p.path.suffix == ".fits", p.path.suffix, p.path.name))


def _header(path: Path) -> dict[str, Any]:
    """Primary header; empty for a file that is no FITS file."""
    from astropy.io import fits

    from jwst_dask.core.errors import InputError
    from jwst_dask.io.fits import scan

    try:
        header = scan(path).header(0)
    except InputError:
        return {}
    out: dict[str, Any] = {}
    for card in header.cards:
        if card.keyword not in ("", "COMMENT", "HISTORY", "END") and not isinstance(card.value, fits.card.Undefined):
            out[card.keyword] = card.value
    return out


def from_headers(header: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Steps (keyword, status) and references (keyword, file) that a product's header records."""
    steps = [(key, str(value)) for key, value in header.items() if key.startswith("S_") and value in ("COMPLETE", "SKIPPED", "FAILED")]
    references = [(key, str(value).removeprefix("crds://")) for key, value in header.items() if key.startswith("R_") and value != "N/A"]
    return steps, references
