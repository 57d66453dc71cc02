"""Slits of an exposure in a session: a lazy tree of calibrated cut-outs, and single slits from cut-out to spectrum."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError, NoDataOnDetectorError
from jwst_dask.core.slits.plan import SlitExposurePlan, SlitPlan

ARRAYS = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat", "wavelength")
"""Variables of a lazy slit."""


class SlitSession:
    """The slits of one exposure, to be looked at and calibrated one by one.

    What all slits share (the metafile, references, the background-subtracted frame) is done once and kept in a scratch folder until
    the object goes; each slit then takes a fraction of a second, so that its parameters can be tuned.

    Parameters
    ----------
    source : str
        A rate image, or a stage 2 association with its background or imprint members.
    params : mapping
        As for `jwst_dask.run`: ``{"steps": {"extract_1d": {"extraction_type": "optimal"}}}``.
    sources : SourceTable, mapping or path
        Parameters per source.
    slit_names, source_ids : sequence
        Only these slits.
    scratch : str
        Where to put the scratch folder.

    Raises
    ------
    InputError
        When the source is not an exposure with slits.
    """

    def __init__(self, source: Any, *, params: Mapping[str, Any] | None = None, sources: Any = None, slit_names: Sequence[str] | None = None,
                 source_ids: Sequence[Any] | None = None, scratch: str | None = None) -> None:  # fmt: skip
        from jwst_dask.core.run import plan

        steps = {alias: dict(values) for alias, values in dict(params or {}).get("steps", {}).items()}
        chosen = {"slit_names": slit_names, "source_ids": source_ids}
        steps.setdefault("extract_2d", {}).update({name: [str(v) for v in values] for name, values in chosen.items() if values is not None})
        self._folder = tempfile.TemporaryDirectory(prefix="jwst-dask-", dir=scratch)
        made = plan(source, "calwebb_spec2", params={**dict(params or {}), "steps": steps}, output_dir=self._folder.name, sources=sources)
        exposures = [e for job in made.jobs for e in job.exposures]
        if len(exposures) != 1 or not isinstance(exposures[0], SlitExposurePlan):
            raise InputError(f"{source}: {len(exposures)} exposures, or one without slits; give one NIRSpec MOS, fixed-slit or lamp exposure")
        self.plan: SlitExposurePlan = exposures[0]
        self._tasks: dict[str, Any] = {}
        self._ready: set[str] = set()

    @property
    def slits(self) -> dict[str, SlitPlan]:
        """The slits by name."""
        return {slit.name: slit for slit in self.plan.slits}

    def find(self, slit: Any) -> SlitPlan:
        """A slit by name, or by the number of its source.

        Raises
        ------
        InputError
            When there is none.
        """
        named = self.slits.get(str(slit))
        for other in self.plan.slits if named is None else ():
            if str(other.spec.source_id) == str(slit):
                return other
        if named is None:
            known = ", ".join(f"{s.name} (source {s.spec.source_id})" for s in self.plan.slits[:12])
            raise InputError(f"{os.path.basename(self.plan.file.path)}: no slit or source {slit}; there are {known}")
        return named

    def _prepared(self, slit: SlitPlan) -> Any:
        """The slit's task, everything that it needs being done."""
        from jwst_dask.core.prepare import StateStore

        if not self._tasks:
            self._tasks = {task.name: task for task in self.plan.tasks(StateStore(Path(self._folder.name) / "states"), None, 0)}
        task = self._tasks[f"{self.plan.name} slit {slit.name}"]
        for name in task.needs:
            self._do(name)
        return task

    def _do(self, name: str) -> None:
        from jwst_dask.core.blocks import process

        if name in self._ready:
            return
        for before in self._tasks[name].needs:
            self._do(before)
        task = self._tasks[name]
        process(task)
        self._ready.add(name)

    def extract(self, slit: Any, **steps: Mapping[str, Any]) -> Any:
        """One slit through all steps, now.

        Parameters
        ----------
        slit : str or int
            Slit name or source number.
        **steps
            Step parameters to change, by step alias: ``extract_1d={"position_offset": 1.5}``.

        Returns
        -------
        xarray.DataTree
            Children ``cal``, ``s2d`` and ``x1d`` (as far as the slit comes to them); ``attrs`` of the root have the figures of the
            quality table and what each step did.

        Raises
        ------
        InputError
            For a slit that does not exist.
        ParameterError
            For a step or parameter that does not exist.
        """
        from jwst_dask.core.slits.tasks import run_task

        found = self.find(slit)
        task = self._prepared(found)
        chain = dict(task.steps)
        for alias, values in steps.items():
            if alias not in chain:
                raise InputError(f"there is no step {alias} in the chain of a slit; there are {', '.join(chain)}")
            chain[alias] = type(chain[alias]).make(**{**chain[alias].values(), **values}, overrides=dict(chain[alias].overrides))
        return _tree(run_task(dataclasses.replace(task, steps=tuple(chain.items()))))

    def optical_shorts(self, threshold: float | None = None) -> Any:
        """Glows in the frame, before backgrounds are subtracted, that belong to no open shutter.

        Parameters
        ----------
        threshold : float
            Least significance.

        Returns
        -------
        astropy.table.Table
            See `jwst_dask.steps.stage2.optical_shorts.find_glows`; empty if there are none.
        """
        from jwst_dask.io.fits import read_block
        from jwst_dask.steps.stage2 import optical_shorts as shorts

        block = read_block(self.plan.file, 0, 1, 0)
        for stage in self.plan.links():
            if stage.step.alias == "bkg_subtract":
                break
            block = stage.step.run(block, {name: np.asarray(value) for name, value in stage.state.items()})
        return shorts.optical_shorts(self.plan.draft, block, shorts.THRESHOLD if threshold is None else threshold)

    def tree(self) -> Any:
        """All slits as a lazy tree: a child for each, calibrated cut-outs as dask arrays, one task a slit.

        Returns
        -------
        xarray.DataTree
            Variables float32[y, x] (``dq`` uint32) of `ARRAYS`; attributes of a child name the slit, its source and its place on the detector.
        """
        import xarray as xr

        from jwst_dask.core import graph

        root = xr.Dataset(attrs={"exposure": self.plan.name, "EXP_TYPE": str(self.plan.draft.model.meta.exposure.type)})
        nodes: dict[str, Any] = {"/": root}
        shared = graph.once(_Shared(self), "frame")
        for slit in self.plan.slits:
            (x0, x1), (y0, y1) = window(slit.spec.box, self.plan.draft.shape)
            arrays = graph.arrays_of(_Cal(self, slit.name), shared, ARRAYS, (y1 - y0, x1 - x0), f"slit-{slit.name}")
            attrs = {"slit": slit.name, "source_id": slit.spec.source_id, "x_start": x0, "y_start": y0, "quadrant": int(slit.spec.slit.quadrant)}
            nodes[f"/{slit.name}"] = xr.Dataset({name: (("y", "x"), array) for name, array in arrays.items()}, attrs=attrs)
        return xr.DataTree.from_dict(nodes)

    def __repr__(self) -> str:
        return f"<SlitSession {self.plan.name}: {len(self.plan.slits)} slits>"


class _Shared:
    def __init__(self, session: SlitSession) -> None:
        self.session = session

    def __call__(self) -> str:
        self.session._prepared(self.session.plan.slits[0])
        return "ready"


class _Cal:
    def __init__(self, session: SlitSession, name: str) -> None:
        self.session, self.name = session, name

    def __call__(self, ready: str) -> dict[str, np.ndarray]:
        from jwst_dask.core.slits.tasks import run_task

        task = self.session._prepared(self.session.slits[self.name])
        order = tuple(item for item in task.order if isinstance(item, str))
        last = order.index("photom") + 1
        outcome = run_task(dataclasses.replace(task, order=order[:last]))
        block, draft = outcome.finished()
        out = {name: array[0] for name, array in block.arrays.items()}
        out["wavelength"] = np.asarray(draft.model.instance["wavelength"], np.float32)
        shape = out["sci"].shape
        return {name: out.get(name, np.full(shape, np.nan, np.float32)) for name in ARRAYS}


def window(box: Any, shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels of a cut-out: ((x0, x1), (y0, y1)), ends excluded, inside the image."""
    from jwst_dask.wcs.grid import pixel_range

    (x0, x1), (y0, y1) = pixel_range(*box[0]), pixel_range(*box[1])
    if min(x1, shape[1]) <= x0 or min(y1, shape[0]) <= y0:
        raise NoDataOnDetectorError("a slit is outside the subarray")
    return (x0, min(x1, shape[1])), (y0, min(y1, shape[0]))


def _tree(outcome: Any) -> Any:
    """A slit's outcome as a tree."""
    import xarray as xr

    nodes: dict[str, Any] = {}
    for name, (arrays, attrs) in outcome.snapshots.items():
        if name == "x1d":
            table = arrays["x1d"]
            columns = {c.lower(): ("wavelength", np.asarray(table[c])) for c in table.dtype.names if c != "WAVELENGTH"}
            nodes[f"/{name}"] = xr.Dataset(columns, coords={"wavelength": ("wavelength", np.asarray(table["WAVELENGTH"]), {"units": "um"})}, attrs=attrs)
        else:
            nodes[f"/{name}"] = xr.Dataset({key: (("y", "x"), value) for key, value in arrays.items() if value.ndim == 2}, attrs=attrs)
    quality = {name: value for name, value in outcome.quality.items() if isinstance(value, (str, int, float, bool))}
    steps = {f"step.{alias}": f"{status}{': ' + why if why else ''}" for alias, (status, why) in outcome.statuses.items()}
    nodes["/"] = xr.Dataset(attrs={**quality, **steps})
    return xr.DataTree.from_dict(nodes)


def open_slits(source: Any, **options: Any) -> Any:
    """The slits of a NIRSpec exposure as a lazy `xarray.DataTree` (see `SlitSession.tree`, and `SlitSession` for the options)."""
    return SlitSession(source, **options).tree()
