"""The reference implementation beside ours for exposures of ramps: products of both, and of ours with ramps cut in other ways."""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dask
import numpy as np
import peer
from astropy.io import fits
from peer import Parameters, Series

Edit = Callable[[Path], None]
OTHERS: dict[str, RampCase] = {}
"""Cases that parameters of other cases may name."""
ROWS, SMALL = {"chunk": 3}, {"bytes": "1MB"}
"""Ways to cut an exposure: few integrations or rows at a time; little memory."""
OWN = ("DATE", "CHECKSUM", "DATASUM")


@cache
def _server() -> subprocess.Popen[str]:
    """The process that runs pipelines of the reference implementation."""
    with open(peer.kept() / "stage1.log", "a") as log:
        process = subprocess.Popen([peer.python(), "-W", "ignore", str(peer.HERE / "stage1_server.py"), str(peer._tool().__file__)], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                   env={**os.environ, "PYTHONPATH": "", "STPIPE_DISABLE_CRDS_STEPPARS": "true"})  # fmt: skip
    atexit.register(process.kill)
    return process


@cache
def _compare() -> Any:
    """The oracle's comparison."""
    spec = importlib.util.spec_from_file_location("oracle_compare", peer._tool().HERE / "compare.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class RampCase:
    """One exposure through a pipeline of stage 1 of both.

    Attributes
    ----------
    series : Series
        Exposures of the oracle; its mode says which pipeline, parameters and references.
    steps : mapping
        Step parameters by alias, beside those of the mode. In values, ``{CASE}/PATTERN`` stands for a reference product of another case,
        ``{out}/NAME`` for a file among the products, ``{inputs}/PATTERN`` for an input.
    parameters : mapping
        Of the pipeline.
    edit : callable, optional
        Changes a folder with copies of the inputs.
    segment : int
        Which of the exposures.
    cuts : tuple of mapping
        How exposures are cut besides; the products must be the same, bit for bit.
    goes_on : str
        Why ours makes products where the reference implementation fails, if that is so.
    stops : str
        Why ours makes no products where the reference implementation does, if that is so.
    fails : bool
        Whether neither makes products.
    differs : tuple of str
        Parts of the lines that report a deliberate difference (DIFFERENCES.md).
    keywords : tuple of str
        Keywords that differ deliberately.
    few : float
        How many values of a million may differ by more than rounding, where rounding makes choices.
    """

    name: str
    series: Series
    steps: Parameters = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    edit: Edit | None = None
    segment: int = 0
    cuts: tuple[Mapping[str, Any], ...] = (ROWS, SMALL)
    goes_on: str = ""
    stops: str = ""
    fails: bool = False
    differs: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    few: float = 0.0

    def key(self) -> list[Any]:
        """What the inputs depend on."""
        return [self.series.key(), hashlib.sha256(Path(inspect.getfile(self.edit)).read_bytes() + self.edit.__name__.encode()).hexdigest() if self.edit else ""]

    def inputs(self) -> Path:
        """Folder with the exposures, changed if there is something to change."""
        if self.edit is None:
            return self.series.inputs()
        return peer.once("edited", self.key(), self._edited)

    def _edited(self, folder: Path) -> None:
        for path in self.series.inputs().iterdir():
            shutil.copy(path, folder)
        assert self.edit is not None
        self.edit(folder)

    def mode(self) -> dict[str, Any]:
        """Pipeline, files, parameters and references."""
        return json.loads((self.series.inputs() / "MODE.json").read_text())

    def source(self) -> Path:
        """The exposure."""
        return self.inputs() / self.mode()["files"][self.segment]

    def merged(self, out: Path) -> dict[str, dict[str, Any]]:
        """Step parameters, of the mode and of the case."""
        steps = {alias: dict(values) for alias, values in self.mode()["steps"].items()}
        for alias, values in self.steps.items():
            steps.setdefault(alias, {}).update({name: self._filled(value, out) for name, value in values.items()})
        return steps

    def _filled(self, value: Any, out: Path) -> Any:
        if not (isinstance(value, str) and value.startswith("{")):
            return value
        where, _, rest = value[1:].partition("}/")
        if where == "out":
            return str(out / rest)
        folder = self.inputs() if where == "inputs" else OTHERS[where].reference()
        return str(next(iter(sorted(folder.glob(rest))), folder / rest))

    def reference(self) -> Path:
        """Folder of the reference implementation's products."""

        def make(folder: Path) -> None:
            mode, server = self.mode(), _server()
            job = {"pipeline": mode["pipeline"], "source": str(self.source().resolve()), "out": str(folder), "steps": self.merged(folder),
                   "references": mode["references"], "parameters": dict(self.parameters)}  # fmt: skip
            assert server.stdin is not None and server.stdout is not None
            print(json.dumps(job), file=server.stdin, flush=True)
            answer = server.stdout.readline()
            if not answer:
                _server.cache_clear()
                raise RuntimeError(f"{self.name}: the reference implementation's process has ended ({server.wait()})")
            if failure := json.loads(answer)["failure"]:
                (folder / "FAILED.txt").write_text(failure[-4000:])

        return peer.once("stage1", [self.key(), self.segment, self.steps, dict(self.parameters)], make)

    def ours(self, out: Path, cut: Mapping[str, Any] | None = None) -> str:
        """Our products, in `out`; returns what went wrong. The working directory is that of the inputs, as it is for the reference implementation."""
        import jwst_dask
        import jwst_dask.core.config  # its defaults must be there before they are overridden
        from jwst_dask.core.errors import JwstDaskError
        from jwst_dask.pipelines import table
        from jwst_dask.steps import step_class

        mode, steps, cut = self.mode(), self.merged(out), dict(cut or {})
        pipeline = table.pipeline(mode["pipeline"])
        for alias in pipeline.aliases():
            for reftype in step_class(alias).references:
                steps.setdefault(alias, {}).setdefault(f"override_{reftype}", mode["references"].get(reftype, "N/A"))
        before = Path.cwd()
        os.chdir(self.source().parent)
        try:
            with dask.config.set({"jwst_dask.chunks.bytes": cut.get("bytes", "48MB")}):
                made = jwst_dask.run([str(self.source())], pipeline.alias, params={"steps": steps, **self.parameters}, output_dir=str(out), chunk=cut.get("chunk"))
        except JwstDaskError as error:
            return str(error)
        finally:
            os.chdir(before)
        return "; ".join(made.failures)

    def problems(self, out: Path) -> list[str]:
        """Disagreements of our products, made now in folders of `out`, with the reference implementation's and with each other."""
        wanted, first = self.reference(), out / "default"
        os.environ.update(peer.environment(self.series.mode))
        went, theirs = self.ours(first), peer.failure(wanted)
        lines: list[str] = []
        if went and theirs and not self.fails:
            lines.append(f"both fail: {went}; {theirs}")
        if bool(went) != bool(theirs) and not (self.goes_on and not went) and not (self.stops and went):
            lines.append(f"ours: {went or 'no error'}; reference: {theirs or 'no error'}")
        lines += [line for line in compared(first, wanted, self.keywords, self.few) if not (self.goes_on and line.endswith(peer.EXTRA))
                  and not (self.stops and '"absent"' in line)]  # fmt: skip
        lines = [line for line in lines if not any(part in line for part in self.differs)]
        for k, cut in enumerate(self.cuts):
            again = self.ours(out / str(k), cut)
            if again != went:
                lines.append(f"{cut}: {again or 'no error'}; default: {went or 'no error'}")
            lines += [f"{cut}: {line}" for line in changed(out / str(k), first)]
            shutil.rmtree(out / str(k), ignore_errors=True)
        return lines


def products(folder: Path) -> dict[str, Path]:
    """Products in a folder by name."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix in (".fits", ".asdf") and not path.is_symlink()} if folder.exists() else {}


def compared(ours: Path, wanted: Path, allowed: tuple[str, ...] = (), few: float = 0.0) -> Iterator[str]:
    """Disagreements of products with those of the reference implementation."""
    have, want = products(ours), products(wanted)
    yield from (f"{name}{peer.EXTRA}" for name in have if name not in want)
    for name, path in want.items():
        if name not in have:
            yield f'{name}: file: {{"absent": true}}'
        elif path.suffix == ".asdf":
            yield from (f"{name}: {line}" for line in _trees(have[name], path))
        else:
            for part, good, figures in _compare().compare_fits(have[name], path, 1e-5):
                rare = "of" in figures and not figures.get("nan_pattern") and figures.get("beyond", figures.get("different", 0)) <= few * 1e-6 * figures["of"]
                if not good and not rare and peer._matters(part, figures, allowed):
                    yield f"{name}: {part}: {json.dumps(figures)[:600]}"


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Values of a tree, by path; without how and when the file was written."""
    for name, value in node.items():
        if name in ("asdf_library", "history", "date", "useafter"):
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", np.asarray(value)


def _trees(ours: Path, wanted: Path) -> Iterator[str]:
    """Entries of ASDF files that differ."""
    import asdf

    with asdf.open(ours, memmap=False) as a, asdf.open(wanted, memmap=False) as b:
        mine, theirs = dict(_leaves(a.tree)), dict(_leaves(b.tree))
        for name in sorted(mine.keys() ^ theirs.keys()):
            yield f"{name} in one only"
        for name in sorted(mine.keys() & theirs.keys()):
            if mine[name].shape != theirs[name].shape:
                yield f"{name} has another shape"
            elif mine[name].dtype.kind == "f":
                if not np.allclose(mine[name], theirs[name], rtol=1e-5, atol=1e-5 * float(np.nanmedian(np.abs(theirs[name]))), equal_nan=True):
                    yield f"{name} differs"
            elif not np.array_equal(mine[name], theirs[name]):
                yield f"{name} differs: {mine[name]} for {theirs[name]}"


def changed(ours: Path, wanted: Path) -> Iterator[str]:
    """What is not the same, bit for bit, in two folders of our products."""
    have, want = products(ours), products(wanted)
    if list(have) != list(want):
        yield f"products {list(have)} for {list(want)}"
    for name in have.keys() & want.keys():
        if name.endswith(".asdf"):
            yield from (f"{name}: {line}" for line in _trees(have[name], want[name]))
            continue
        with fits.open(have[name], memmap=False) as a, fits.open(want[name], memmap=False) as b:
            for x, y in zip(a, b, strict=True):
                if x.name == "ASDF":
                    continue
                if keys := [k for k in sorted(set(x.header) | set(y.header)) if k and k not in OWN and str(x.header.get(k)) != str(y.header.get(k))]:
                    yield f"{name}: {x.name} header: {[(k, x.header.get(k), y.header.get(k)) for k in keys[:6]]}"
                if x.data is not None and y.data is not None and x.data.tobytes() != y.data.tobytes():
                    same = np.array_equal(x.data.shape, y.data.shape) and x.data.dtype.names is None
                    count = int(np.sum((x.data != y.data) & ~((x.data != x.data) & (y.data != y.data)))) if same else -1
                    yield f"{name}: {x.name}: {count} of {x.data.size} values"
