"""persistence: groups in which a pixel may give back charge of an earlier saturation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.step import BlockStep, Failed, Skip, State, param
from jwst_dask.data.dq import bits
from jwst_dask.kernels.ramp.persistence import flag
from jwst_dask.steps.stage1.reference import band

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

UNIX_EPOCH = 40587.0
"""MJD."""
DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class PersistenceStep(BlockStep):
    """Flag ``groupdq`` PERSISTENCE in the time after a pixel's saturation.

    A window of `persistence_time` opens with the first saturated group of an integration, or above `dn_threshold`. Windows go on in later
    integrations, and in later exposures through a state file. Without `persistence_time` the step fails. No reference files. Works on
    any band of rows, on all integrations in order. The block's array ``persistence_window`` (float64[y, x], s of Unix time) has the ends
    of windows after the last group; `save_windows` writes them to the state file `save_persistence`.

    Raises
    ------
    InputError
        For a state file that cannot be read or is of another frame, and without the times of the exposure.

    Source: JWST documentation, persistence.
    """

    alias: ClassVar[str] = "persistence"
    cal_step: ClassVar[str] = "persistence"
    reads: ClassVar[tuple[str, ...]] = ("sci", "groupdq")
    writes: ClassVar[tuple[str, ...]] = ("groupdq", "persistence_window")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = True

    skip: bool = param(True, "Skip this step")
    save_persistence: str | None = param(None, "ASDF file for the ends of windows", kind="str")
    persistence_time: int | None = param(None, "Length of a window", unit="s", kind="int")
    dn_threshold: float | None = param(None, "Signal that opens a window", unit="DN", kind="float")
    persistence_array_file: str | None = param(None, "ASDF file of windows that earlier exposures opened", kind="str")
    persistence_dnu: bool = param(False, "Flag DO_NOT_USE too")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        if self.persistence_time is None or self.persistence_time <= 0:
            return Failed("persistence_time is not set")
        state: State = {"times": _group_ends(draft)}
        if self.persistence_array_file is not None:
            detector = str(draft.model.meta.instrument.detector)
            windows = load_windows(self.persistence_array_file, detector, self.persistence_time, draft.shape)
            if windows is not None:
                state["windows"] = windows
        return state

    def close(self, draft: Draft, parts: Sequence[Mapping[str, Any]]) -> None:
        """When all blocks are done: write the state file."""
        closing(self, draft, parts)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        sci = block.arrays["sci"]
        windows = np.zeros(sci.shape[-2:]) if "windows" not in state else band(np.asarray(state["windows"]), block).copy()
        value = bits("PERSISTENCE+DO_NOT_USE" if self.persistence_dnu else "PERSISTENCE")
        limit = np.inf if self.dn_threshold is None else self.dn_threshold
        times = np.asarray(state["times"])[block.start : block.start + len(sci)]
        flag(sci, block.arrays["groupdq"], windows, times, float(self.persistence_time or 0), limit, value)
        block.arrays["persistence_window"] = windows
        return block


def closing(step: PersistenceStep, draft: Draft, parts: Sequence[Mapping[str, Any]]) -> None:
    """Write the windows that an exposure leaves open, put together from those of its bands of rows."""
    windows = np.zeros(draft.shape)
    for part in parts:
        if (own := part.get("persistence_window")) is not None:
            windows[int(part["y0"]) : int(part["y0"]) + len(own)] = own
    if step.save_persistence is not None:
        save_windows(step.save_persistence, str(draft.model.meta.instrument.detector), str(draft.model.meta.filename), windows, step.persistence_time or 0)


def _group_ends(draft: Draft) -> np.ndarray:
    """End of each group (float64[integration, group], s of Unix time)."""
    exposure, table = draft.model.meta.exposure, draft.model.int_times
    ngroups, known = int(draft.model.data.shape[1]), 0 if table is None else len(table)
    needed = (exposure.group_time,) if known >= draft.nints else (exposure.group_time, exposure.start_time, exposure.integration_time)
    if any(value is None for value in needed):
        raise InputError(
            f"{draft.path}: persistence needs TGROUP, and where INT_TIMES is short EXPSTART and EFFINTTM, in the primary header"
        )
    out = np.empty((draft.nints, ngroups))
    for i in range(draft.nints):
        if i < known:
            now = (float(table[i]["int_start_MJD_UTC"]) - UNIX_EPOCH) * DAY
        else:
            now = (exposure.start_time - UNIX_EPOCH) * DAY + i * exposure.integration_time
        for group in range(ngroups):
            now = now + exposure.group_time
            out[i, group] = now
    return out


def load_windows(path: str, detector: str, duration: float, shape: tuple[int, int]) -> np.ndarray | None:
    """Ends of windows (float64[y, x], s of Unix time) of a state file; None without the file, the detector or that length of windows.

    Raises
    ------
    InputError
        When the file cannot be read, or its windows lie outside the frame.
    """
    import asdf

    if not Path(path).exists():
        return None
    try:
        with asdf.open(path, memmap=False) as file:
            if detector not in file or file[detector]["pers_time"] != duration:
                return None
            entry = file[detector]
            rows, columns, ends = (np.asarray(entry[name]) for name in ("rows", "cols", "vals"))
            windows = np.zeros(shape)
            windows[rows, columns] = ends
            return windows
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"persistence_array_file={path} is not a state file for a frame of {shape[0]} x {shape[1]} pixels (y, x): {error}"
        ) from error


def save_windows(path: str, detector: str, filename: str, windows: np.ndarray, duration: float) -> str:
    """Write the windows that are open (float64[y, x]) to a state file, beside those of other detectors; gives its path (ends in .asdf)."""
    import asdf

    target = Path(path).with_suffix(".asdf")
    tree: dict[str, Any] = {}
    if target.exists():
        with asdf.open(target, memmap=False, lazy_load=False) as file:
            tree = {name: value for name, value in file.tree.items() if name not in ("asdf_library", "history")}
    rows, columns = np.nonzero(windows)
    tree[detector] = {"filename": filename, "rows": rows, "cols": columns, "vals": windows[rows, columns], "pers_time": duration}
    asdf.AsdfFile(tree).write_to(target)
    return str(target)
