"""The reference implementation beside ours for one association of slits: exposures, changes made to them, products of both."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import peer
from astropy.io import fits
from peer import Parameters, Series

SIDES = ("profile", "scene_model", "residual")
"""Images of single slits: in files of their own there, in one file for all slits here."""
NAMED = re.compile("_(bkgx1d|masterbg1d|masterbg2d|master_background_mos|mask|flicker_bkg|flicker_noise).fits")
"""Results and side products that there bear the name of the file last read or written, here that of the association's product."""
QUALITY = f"_quality.ecsv{peer.EXTRA}"
"""The table of slits is a product of ours only."""

Edit = Callable[[Path], None]
OTHERS: dict[str, SlitCase] = {}
"""Cases that parameters of other cases may name."""


@dataclass(frozen=True)
class SlitCase:
    """One association through calwebb_spec2 of both.

    Attributes
    ----------
    series : Series
        Exposures of the oracle.
    association : str
        Pattern of the association's file name.
    steps : mapping
        Step parameters by alias. In values, ``{CASE}/PATTERN`` stands for a reference product of another case, ``{files}/NAME`` for a file of
        `files`, ``{inputs}/PATTERN`` for an input.
    edit : callable, optional
        Changes a folder with copies of the inputs.
    files : mapping
        Name -> JSON content of reference files for overrides.
    goes_on : str
        Why ours makes products where the reference implementation fails, if that is so.
    stops : str
        Why ours makes no products where the reference implementation does, if that is so.
    twin : SlitCase, optional
        What ours runs instead: what the reference implementation can do only by a change of its inputs.
    differs : tuple of str
        Parts of the lines that report a deliberate difference (DIFFERENCES.md).
    keywords : tuple of str
        Keywords that differ deliberately.
    """

    name: str
    series: Series
    association: str
    steps: Parameters = field(default_factory=dict)
    edit: Edit | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    goes_on: str = ""
    stops: str = ""
    twin: SlitCase | None = None
    differs: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    def key(self) -> list[Any]:
        """What the inputs depend on."""
        return [self.series.key(), hashlib.sha256(inspect.getsource(self.edit).encode()).hexdigest() if self.edit else ""]

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

    def source(self) -> Path:
        """The association."""
        return next(iter(sorted(self.inputs().glob(self.association))))

    def parameters(self) -> dict[str, dict[str, Any]]:
        """Step parameters with paths in the place of placeholders."""
        return {alias: {name: self._filled(value) for name, value in values.items()} for alias, values in self.steps.items()}

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._filled(v) for v in value]
        if not (isinstance(value, str) and value.startswith("{")):
            return value
        where, _, rest = value[1:].partition("}/")
        folder = {"files": self._files, "inputs": self.inputs}.get(where, lambda: OTHERS[where].reference())()
        return str(next(iter(sorted(folder.glob(rest))), folder / rest))

    def _files(self) -> Path:
        def make(folder: Path) -> None:
            for name, content in self.files.items():
                (folder / name).write_text(json.dumps(content, indent=1))

        return peer.once("files", dict(self.files), make)

    def reference(self) -> Path:
        """Folder of the reference implementation's products."""

        def make(folder: Path) -> None:
            peer._peer("Spec2Pipeline", self.source(), folder, self.series.mode, self.parameters())

        return peer.once("slits", [self.key(), self.association, self.steps, dict(self.files)], make)

    def ours(self, out: Path) -> str:
        """Our products, in `out`; returns what went wrong. The working directory is that of the inputs, as it is for the reference implementation."""
        import jwst_dask
        from jwst_dask.core.errors import JwstDaskError

        before = Path.cwd()
        os.chdir(self.source().parent)
        try:
            made = jwst_dask.run([str(self.source())], "calwebb_spec2", params={"steps": self.parameters()}, output_dir=str(out))
        except JwstDaskError as error:
            return str(error)
        finally:
            os.chdir(before)
        return "; ".join(made.failures)

    def problems(self, out: Path) -> list[str]:
        """Disagreements of our products in `out`, made now, with the reference implementation's."""
        wanted = self.reference()
        os.environ.update(peer.environment(self.series.mode))
        went, theirs = (self.twin or self).ours(out), peer.failure(wanted)
        lines: list[str] = []
        for path in [p for p in out.glob("*_mbkg_*.fits") if NAMED.search(p.name) and not (wanted / p.name).exists()]:
            path.rename(out / path.name.replace("_mbkg_", "_"))
        if bool(went) != bool(theirs) and not (self.goes_on and not went) and not (self.stops and went):
            lines.append(f"ours: {went or 'no error'}; reference: {theirs or 'no error'}")
        lines += [line for line in peer.compared([(out, wanted)], allowed=self.keywords) if not line.endswith(QUALITY) and not _SIDE.search(line)
                  and not (self.goes_on and line.endswith(peer.EXTRA))] + [*_sides(out, wanted), *_claims(out, wanted)]  # fmt: skip
        return [line for line in lines if not any(part in line for part in self.differs)]


_SIDE = re.compile(rf"_({'|'.join(SIDES)})\.fits: (file: {{\"absent|not made)")


def _sides(out: Path, wanted: Path) -> Iterator[str]:
    """Disagreements of the images of single slits."""
    for kind in SIDES:
        theirs = sorted(wanted.glob(f"*_{kind}.fits"))
        ours = {path: _slits(path) for path in out.glob(f"*_{kind}.fits")}
        count = 0
        for path in theirs:
            base, _, slit = path.stem.removesuffix(f"_{kind}").rpartition("_")
            mine = next((found.get(slit) for name, found in ours.items() if name.name == f"{base}_{kind}.fits"), None)
            reference = fits.getdata(path, "SCI")
            count += 1
            if mine is None or mine.shape != reference.shape:
                yield f"{path.name}: {'absent' if mine is None else (mine.shape, reference.shape)}"
            elif not np.allclose(mine, reference, rtol=1e-5, atol=1e-5 * np.nanmedian(np.abs(reference[reference != 0])), equal_nan=True):
                yield f"{path.name}: differ by up to {np.nanmax(np.abs(mine - reference)):.3g} of {np.nanmax(np.abs(reference)):.3g}"
        if count != sum(map(len, ours.values())):
            yield f"{kind}: {sum(map(len, ours.values()))} slits, the reference implementation has {count}"


def _claims(out: Path, wanted: Path) -> Iterator[str]:
    """Steps that a product of ours claims to have been through and the reference implementation's does not."""
    for path in out.glob("*.fits"):
        if (wanted / path.name).exists():
            header, known = fits.getheader(path), fits.getheader(wanted / path.name)
            if claimed := [k for k in header if k.startswith("S_") and k not in known and header[k] != "SKIPPED"]:
                yield f"{path.name}: {', '.join(f'{k} is {header[k]}' for k in claimed)}, not in the reference implementation's"


def _slits(path: Path) -> dict[str, Any]:
    with fits.open(path) as file:
        return {hdu.header["SLTNAME"].lower(): hdu.data.copy() for hdu in file if hdu.name == "SCI"}
