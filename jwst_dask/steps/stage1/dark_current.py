"""dark_current: signal without light."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.ramp.dark import averaged, extend, missing_groups, subtract
from jwst_dask.refs.load import CACHE, token
from jwst_dask.steps.stage1.reference import Located, flags, is_part, plane, same_frame, sequence, window_of

if TYPE_CHECKING:
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References


log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DarkCurrentStep(BlockStep):
    """Subtract the dark ramp (DN) from ``sci``; its flags go to ``pixeldq``. ``average_dark_current`` of the draft's model (electrons/s,
    float32[y, x]) is what ramp_fit takes as the dark's share of Poisson noise.

    A dark of single frames is averaged over the frames of the exposure's groups, one that is too short goes on with its last
    difference. MIRI darks have a ramp for each of the first integrations of an exposure, the last of which serves all others. Reference
    type: dark; skipped without one, and where the dark averages more frames, or leaves out more, than the exposure. Works on any band
    of rows and any integrations.

    Raises
    ------
    ReferenceError_
        For a dark of another subarray, without NFRAMES or GROUPGAP, or too short to be extended.
    InputError
        For an exposure without NFRAMES or GROUPGAP.

    Notes
    -----
    A plane AVDRKCUR of the reference is only taken where the exposure has such a plane already, as in the reference
    implementation.

    Source: JWST documentation, dark_current.
    """

    alias: ClassVar[str] = "dark_current"
    cal_step: ClassVar[str] = "dark_sub"
    references: ClassVar[tuple[str, ...]] = ("dark",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "pixeldq")
    writes: ClassVar[tuple[str, ...]] = ("sci", "pixeldq")
    band_halo: ClassVar[int | None] = 0
    needs_all_integrations: ClassVar[bool] = False

    dark_output: str | None = param(None, "Name of a file among the products for the dark as it is subtracted", kind="str")
    average_dark_current: float | None = param(None, "Average dark current", unit="electron/s", kind="float")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        path = refs("dark")
        if path == "N/A":
            return Skip("no dark reference")
        found, model = same_frame(draft.model, path, "dark"), draft.model
        self._set_average(model, found)
        shape, (nframes, groupgap) = found.shapes["SCI"], sequence(model)
        if len(shape) not in (3, 4):
            raise ReferenceError_(f"the dark reference {path} has shape {shape}, not (group, y, x) or (integration, group, y, x); "
                                  "give another file with override_dark")  # fmt: skip
        dark = (shape[-3], *(_count(found, name) for name in ("NFRAMES", "GROUPGAP")))
        ngroups, start = int(model.data.shape[1]), model.meta.exposure.integration_start
        state: State = {"ngroups": ngroups, "nframes": nframes, "groupgap": groupgap, "dark": np.array(dark), "stack": shape[0] if len(shape) == 4 else 0,
                        "missing": missing_groups(ngroups, nframes, groupgap, dark), "nints": draft.nints,
                        "int_start": 1 if start is None else int(start)}  # fmt: skip
        state |= found.state()
        if state["missing"] and dark[0] < 2:
            raise ReferenceError_(f"the dark reference {path} has {dark[0]} group, too few to extend it to the exposure's {ngroups}; "
                                  "give another file with override_dark")  # fmt: skip
        self._tell(draft, found)
        if dark[1] > nframes or dark[2] > groupgap:
            why = f"the dark has NFRAMES {dark[1]}, GROUPGAP {dark[2]}, more than the exposure's {nframes}, {groupgap}"
            log.warning("%s: dark_current is skipped: %s; give another file with override_dark", os.path.basename(draft.path), why)
            return Skip(why)
        if self.dark_output is not None and draft.first is not None:
            _save(os.path.join(draft.folder, os.path.splitext(os.path.basename(self.dark_output))[0] + ".fits"), model, state)
        return state

    def _tell(self, draft: Draft, found: Located) -> None:
        """Warn of a MIRI dark of another readout: it is subtracted as in the reference implementation, but is no dark of these groups."""
        meta = draft.model.meta
        own, its = str(getattr(meta.exposure, "readpatt", None) or "").upper(), str(found.header.get("READPATT") or "").strip().upper()
        if str(meta.instrument.name).upper() == "MIRI" and its not in ("", "ANY", "N/A", own):
            log.warning("%s: the dark %s was read in pattern %s, the exposure in %s; give another file with override_dark",
                        os.path.basename(draft.path), os.path.basename(found.path), its, own)  # fmt: skip

    def _set_average(self, model: Any, found: Located) -> None:
        """The plane of average dark current; none where that of the reference is not zero and the exposure has none."""
        frame = tuple(model.data.shape[-2:])
        value = self.average_dark_current
        if value is None and "AVDRKCUR" in found.shapes:
            level = plane(found.state(), "dark", "AVDRKCUR")
            if np.sum(level) != 0:
                if np.shape(model.average_dark_current) == level.shape:
                    model.average_dark_current = level.copy()
                return
        if value is None:
            value = found.header.get("AVDRKCUR") or 0.0
        model.average_dark_current = np.full(frame, value, np.float32)

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        sci = block.arrays["sci"]
        stack, start = int(state["stack"]), int(state["int_start"])
        chosen = [(i if i < stack and start == 1 else stack - 1) if stack else 0 for i in range(block.start, block.start + len(sci))]
        first = 0
        for k in range(1, len(sci) + 1):
            if k == len(sci) or chosen[k] != chosen[first]:
                dark = matched(state, chosen[first], block)
                if dark is not None:
                    subtract(sci[first:k], dark)
                first = k
        dq = flags(state, "dark", block)
        block.arrays["pixeldq"] |= dq if dq.ndim == 2 else np.bitwise_or.reduce(dq[:, 0] if dq.ndim == 4 else dq)
        return block


def matched(state: Mapping[str, Any], integration: int, block: Any = None) -> np.ndarray | None:
    """The dark of an integration as it is subtracted (float[group, y, x], DN; shared: do not change it), or None for nothing."""
    ngroups, nframes, gap = (int(state[name]) for name in ("ngroups", "nframes", "groupgap"))
    dark, stack, missing = tuple(int(n) for n in state["dark"]), int(state["stack"]), int(state["missing"])
    same = (nframes, gap) == dark[1:]
    # averages are made for as many integrations as the file has, and what is beyond stays zero
    if not same and stack and integration >= min(stack, int(state["nints"])):
        return None
    # what lies beyond the exposure's last frame is read only to extend the dark
    needed = dark[0] if missing else min(dark[0], ngroups if same else ngroups * (nframes + gap))
    lead = (slice(integration, integration + 1), slice(0, needed)) if stack else (slice(0, needed),)

    def make() -> np.ndarray:
        ramp = plane(state, "dark", "SCI", block, lead, keep=False)
        ramp = extend(ramp[0] if stack else ramp, missing)
        ramp = np.where(bad, ramp.dtype.type(0), ramp) if (bad := np.isnan(ramp)).any() else ramp
        return ramp[:ngroups] if same else averaged(ramp, ngroups, nframes, gap)

    rows, columns = window_of(state, "dark", block)
    place = (rows.start, rows.stop, columns.start, columns.stop)
    key = ("dark", token(str(state["dark.path"])), place, integration, ngroups, nframes, gap)
    found: np.ndarray = CACHE.get(key, make, keep=not is_part(state, "dark", block))
    return found


def _count(found: Located, name: str) -> int:
    value = found.header.get(name)
    if value is None:
        raise ReferenceError_(f"the dark reference {found.path} has no {name}; set this keyword or give another file with override_dark")
    return int(value)


def _save(path: str, model: Any, state: State) -> None:
    """The dark as subtracted, as a reference file of its own."""
    from stdatamodels.jwst import datamodels

    kind = datamodels.DarkMIRIModel if str(model.meta.instrument.name).upper() == "MIRI" else datamodels.DarkModel
    stack, (depth, *own) = int(state["stack"]), (int(n) for n in state["dark"])
    if own == [int(state["nframes"]), int(state["groupgap"])]:  # subtracted as it is: all of it
        state = state | {"ngroups": depth + int(state["missing"])}
    ramps = [matched(state, k) for k in range(stack or 1)]
    nothing = np.zeros((int(state["ngroups"]), *model.data.shape[-2:]), np.float32)
    data = np.stack([nothing if ramp is None else ramp for ramp in ramps]).astype(np.float32)
    with kind(str(state["dark.path"])) as reference, kind(data=data if stack else data[0], dq=flags(state, "dark")) as out:
        out.update(reference)
        out.meta.exposure.ngroups = data.shape[1]
        out.meta.exposure.nframes, out.meta.exposure.groupgap = int(state["nframes"]), int(state["groupgap"])
        out.save(path)
