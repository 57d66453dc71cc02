"""The reference implementation beside ours: exposures and products of the oracle, made once, and comparisons with them.

The oracle's folder is ``$JWST_DASK_ORACLE``, or ``../shared/oracle`` beside the checkout. What it makes is kept in
``$JWST_DASK_PARITY_CACHE`` (default: ``~/.cache/jwst-dask-parity``), by mode, seed, options and parameters.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Parameters = Mapping[str, Mapping[str, Any]]
HERE = Path(__file__).resolve().parent

ALLOWED = {
    "FILENAME": "products of one run have the same names; compared as names of files",
    "DATE": "when the file was written",
    "CAL_VER": "name and version of the software",
    "CAL_VCS": "name and version of the software",
    "CRDS_VER": "version of the CRDS client: two environments",
}
"""Keywords that may differ, and why (beyond the structural keywords that compare.py leaves out)."""


NO_GRID = ("assign_wcs", "masterbg1d")
"""Products whose WCS compare.py cannot evaluate: its bounding box depends on the slit, or there is no image."""

EXTRA = ": not made by the reference implementation"


def oracle() -> Path | None:
    """The oracle's folder, if it is there."""
    named = os.environ.get("JWST_DASK_ORACLE")
    folder = Path(named) if named else HERE.parents[2] / "shared" / "oracle"
    return folder.resolve() if (folder / "oracle.py").exists() else None


@cache
def _tool() -> Any:
    folder = oracle()
    if folder is None:
        raise FileNotFoundError("no oracle: set JWST_DASK_ORACLE to its folder")
    spec = importlib.util.spec_from_file_location("oracle_tool", folder / "oracle.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(mode: str) -> dict[str, str]:
    """CRDS variables of the references of a mode; no parameter references."""
    return {**_tool().environment(_tool().MODES[mode][0]), "STPIPE_DISABLE_CRDS_STEPPARS": "true"}


def python() -> str:
    """The interpreter of the reference implementation's environment, which is made on demand."""
    path = str(_tool().python())
    if not Path(path).exists():
        subprocess.run([sys.executable, str(oracle() / "oracle.py"), "setup"], check=True)  # type: ignore[operator]
    return path


def call(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the oracle's command line; the caller looks at the exit status."""
    return subprocess.run([python(), str(_tool().__file__), *words], capture_output=True, text=True, errors="replace")


def kept() -> Path:
    """The cache folder."""
    folder = Path(os.environ.get("JWST_DASK_PARITY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jwst-dask-parity")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def _edition() -> str:
    """What the cached products depend on besides their own settings: the oracle's programs and the peer's version."""
    digest = hashlib.sha256(json.dumps(_tool().PEER).encode())
    for path in sorted(p for name in (".", "exposures", "synth_refs") for p in (_tool().HERE / name).glob("*.py")):
        if path.name != "compare.py":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def once(kind: str, key: Any, make: Callable[[Path], None]) -> Path:
    """The folder for `key`, made in a temporary place and renamed when it is complete; concurrent callers wait."""
    digest = hashlib.sha256(json.dumps([_edition(), kind, key], sort_keys=True).encode()).hexdigest()[:20]
    folder = kept() / f"{kind}-{digest}"
    with open(kept() / f".{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            work = Path(tempfile.mkdtemp(dir=kept(), prefix=f".{kind}-"))
            try:
                make(work)
                (work / "KEY.json").write_text(json.dumps(key, indent=1, sort_keys=True))
                os.rename(work, folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return folder


@dataclass(frozen=True)
class Series:
    """Exposures that the oracle makes.

    Attributes
    ----------
    mode : str
        Mode of the oracle.
    options : tuple of (str, object)
        Keyword arguments of its maker.
    rate : bool
        Average each segment into a 2-D ``_rate`` exposure.
    """

    mode: str
    seed: int = 0
    options: tuple[tuple[str, Any], ...] = ()
    rate: bool = False

    def key(self) -> list[Any]:
        """What the exposures depend on."""
        return [self.mode, self.seed, [list(o) for o in self.options], self.rate]

    def inputs(self) -> Path:
        """Folder with the exposures and associations."""
        return once("inputs", self.key(), self._make)

    def _make(self, folder: Path) -> None:
        words = [w for name, value in self.options for w in ("--set", f"{name}={json.dumps(value)}")]
        done = call("make", self.mode, str(folder), "--seed", str(self.seed), *words)
        if done.returncode:
            raise RuntimeError(f"oracle make {self.mode}: {done.stderr[-2000:]}")
        if self.rate:
            averages(folder)

    def associations(self, kind: str) -> list[Path]:
        """Associations of a type (``spec2``, ``tso3``)."""
        return sorted(p for p in self.inputs().glob("*_asn.json") if json.loads(p.read_text())["asn_type"] == kind)


def averages(folder: Path) -> None:
    """Turn the segments of a folder into 2-D count-rate images, and name those in the spec2 associations."""
    import numpy as np
    from stdatamodels.jwst import datamodels

    for path in sorted(folder.glob("*_rateints.fits")):
        name = path.name.replace("_rateints", "_rate")
        with datamodels.open(str(path)) as cube, datamodels.ImageModel() as image:
            image.update(cube)
            good = np.where(cube.dq & 1, np.nan, cube.data)
            number = np.maximum(np.isfinite(good).sum(axis=0), 1)
            image.data = np.nan_to_num(np.nansum(good, axis=0) / number).astype("f4")
            for part in ("var_poisson", "var_rnoise"):
                setattr(image, part, (np.nan_to_num(getattr(cube, part)).mean(axis=0) / number).astype("f4"))
            image.err = np.sqrt(image.var_poisson + image.var_rnoise)
            image.dq = np.bitwise_and.reduce(cube.dq, axis=0)
            image.meta.filename = name
            image.save(str(folder / name))
        path.unlink()
    for path in folder.glob("*_asn.json"):
        content = json.loads(path.read_text())
        if content["asn_type"] == "spec2":
            path.write_text(path.read_text().replace("_rateints.fits", "_rate.fits"))
        else:
            path.unlink()


@dataclass(frozen=True)
class Case:
    """A comparison: exposures, and parameters of both pipelines.

    Attributes
    ----------
    series : tuple of Series
        Of several, the calibrated segments go into one tso3 association.
    spec2, tso3 : mapping
        Step parameters by alias; ``tso3=None`` leaves that pipeline out. In values, ``{CASE}`` stands for the folder of the reference
        products of another case's spec2, ``{files}`` for that of this case's `files`.
    files : mapping
        Name -> JSON content of reference files for overrides.
    goes_on : str
        Why ours makes products where the reference implementation fails, if that is so.
    differs : tuple of str
        Parts of the lines that report a deliberate difference (DIFFERENCES.md).
    """

    name: str
    series: tuple[Series, ...]
    spec2: Parameters = field(default_factory=dict)
    tso3: Parameters | None = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    goes_on: str = ""
    differs: tuple[str, ...] = ()

    @property
    def mode(self) -> str:
        """Mode of the oracle that gives the references."""
        return self.series[0].mode


OTHERS: dict[str, Case] = {}
"""Cases that parameters of other cases may name."""


def filled(case: Case, parameters: Parameters) -> dict[str, dict[str, Any]]:
    """Parameters with their placeholders replaced by paths."""
    out: dict[str, dict[str, Any]] = {}
    for alias, values in parameters.items():
        out[alias] = {}
        for name, value in values.items():
            if isinstance(value, str) and value.startswith("{"):
                where, _, rest = value[1:].partition("}")
                folder = _files(case) if where == "files" else second(OTHERS[where])
                found = sorted(folder.glob(rest.lstrip("/")))
                value = str(found[0]) if found else str(folder / rest.lstrip("/"))
            out[alias][name] = value
    return out


def _files(case: Case) -> Path:
    def make(folder: Path) -> None:
        for name, content in case.files.items():
            (folder / name).write_text(json.dumps(content, indent=1))

    return once("files", dict(case.files), make)


def second(case: Case) -> Path:
    """Folder of the reference implementation's spec2 products for a case."""

    def make(folder: Path) -> None:
        for series in case.series:
            for asn in series.associations("spec2"):
                _peer("Spec2Pipeline", asn, folder, series.mode, filled(case, case.spec2))

    return once("spec2", [[s.key() for s in case.series], case.spec2, dict(case.files)], make)


def third(case: Case) -> Path:
    """Folder of the reference implementation's tso3 products (its calibrated segments are there as links)."""

    def make(folder: Path) -> None:
        for path in second(case).glob("*_calints.fits"):
            (folder / path.name).symlink_to(path)
        _peer("Tso3Pipeline", join(case, folder), folder, case.mode, filled(case, case.tso3 or {}))

    return once("tso3", [[s.key() for s in case.series], case.spec2, case.tso3, dict(case.files)], make)


def join(case: Case, folder: Path) -> Path:
    """The tso3 association of a case, of all its series, written into `folder`."""
    paths = [series.associations("tso3")[0] for series in case.series]
    content = json.loads(paths[0].read_text())
    members = [m for p in paths for m in json.loads(p.read_text())["products"][0]["members"]]
    content["products"][0]["members"] = members
    if len(paths) > 1:
        content["products"][0]["name"] = content["products"][0]["name"].removesuffix("-nrs1") + "-both"
    out = folder / paths[0].name
    out.write_text(json.dumps(content, indent=1))
    return out


def _peer(pipeline: str, source: Path, folder: Path, mode: str, steps: Parameters) -> None:
    """Run the reference implementation; a failure is kept too: it is a result."""
    group = _tool().MODES[mode][0]
    done = call("peer", pipeline, str(source), str(folder), "--group", group, "--steps", json.dumps(steps), "--time", str(folder / "times.jsonl"))
    if done.returncode < 0:
        raise RuntimeError(f"{pipeline} {source.name}: the process was killed ({-done.returncode})")
    if done.returncode:
        (folder / "FAILED.txt").write_text(done.stderr[-4000:])


def failure(folder: Path) -> str:
    """The last line that a failed run of the reference implementation left, or ''."""
    path = folder / "FAILED.txt"
    return path.read_text().strip().splitlines()[-1] if path.exists() else ""


def compared(pairs: Sequence[tuple[Path, Path]], rtol: float = 1e-5, allowed: Sequence[str] = ()) -> list[str]:
    """Disagreements of the products in pairs of folders (ours, reference), one line each; products that only one has are among them.

    Keywords of `ALLOWED` and `allowed` may differ. Links are left out: they are inputs.
    """
    rows: dict[str, Any] = {}
    names: list[set[str]] = [set(), set()]
    with tempfile.TemporaryDirectory() as scratch:
        for flag in ("--wcs", "--headers"):
            sides = [Path(scratch) / flag / "ours", Path(scratch) / flag / "reference"]
            for k, folders in enumerate(pairs):
                for side, folder, known in zip(sides, folders, names, strict=True):
                    (side / str(k)).mkdir(parents=True)
                    for path in sorted(folder.iterdir()) if folder.exists() else ():
                        if path.suffix in (".fits", ".ecsv") and not path.is_symlink() and (flag == "--wcs") != path.stem.endswith(NO_GRID):
                            (side / str(k) / path.name).symlink_to(path)
                            known.add(path.name)
            if not any(sides[1].glob("*/*")):
                continue
            table = Path(scratch) / f"{flag}.json"
            done = subprocess.run([python(), "-W", "ignore", str(_tool().HERE / "compare.py"), *map(str, sides), "--rtol", str(rtol), "--headers", flag,
                                   "--json", str(table)], capture_output=True, text=True, errors="replace", env={**os.environ, "PYTHONPATH": ""})  # fmt: skip
            if not table.exists():
                return [f"compare.py: {done.stderr[-1000:]}"]
            rows |= json.loads(table.read_text())
    lines = [f"{name}{EXTRA}" for name in sorted(names[0] - names[1])]
    for product, parts in rows.items():
        lines += [f"{product}: {part}: {json.dumps(figures)[:600]}" for part, good, figures in parts if not good and _matters(part, figures, allowed)]
    return lines


def _matters(part: str, figures: Mapping[str, Any], allowed: Sequence[str]) -> bool:
    """Whether a part that differs does so in more than keywords that may."""
    if not part.endswith((" header", "meta")):
        return True
    return bool(set(figures.get("different", {})) - set(ALLOWED) - set(allowed))
