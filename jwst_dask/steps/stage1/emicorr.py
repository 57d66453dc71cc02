"""emicorr: interference from electronics in MIRI ramps."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jwst_dask.core.errors import InputError, ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.core.step import BlockStep, Skip, State, param
from jwst_dask.kernels.ramp import emi, emi_folded
from jwst_dask.refs.load import token
from jwst_dask.steps.stage1.stored import Whole

if TYPE_CHECKING:
    from jwst_dask.core.ramps.store import Ramps
    from jwst_dask.data.exposure import Block, Draft
    from jwst_dask.refs.crds import References

READOUTS = ("FAST", "FASTR1", "SLOW", "SLOWR1")
LEAST_GROUPS = 3
CLOCKS = {
    "SLITLESSPRISM": (28, 15904), "MASKLYOT": (90, 32400), "SUB64": (28, 8512), "SUB128": (44, 11904), "MASK1140": (82, 23968),
    "MASK1550": (82, 23968), "MASK1065": (82, 23968), "FULL_FAST": (271, 277504), "FULL_SLOW": (2333, 2388992), "BRIGHTSKY": (162, 86528),
    "SUB256": (96, 29952),
}  # fmt: skip
"""Ticks from row to row and in a frame, by subarray (MIRI readout; used without a reference file)."""


@dataclass(frozen=True)
class Entry:
    """What a reference says of a readout: ticks from row to row and in a frame; (name, Hz, waveform or None) of the frequencies."""

    row: int
    frame: int
    frequencies: tuple[tuple[str, float, np.ndarray | None], ...]


@dataclass(frozen=True, kw_only=True)
class EmiCorrStep(BlockStep):
    """Subtract waveforms of known frequencies from ``sci`` (DN), one after the other. MIRI only.

    ``joint`` fits phase and amplitude of the reference's waveform together with straight ramps; ``sequential`` takes straight ramps off
    first, folds what remains by phase, and lays the reference's waveform over it, or takes it as it is where frequencies are given by the
    user. Reference type: emicorr; skipped without one, for ramps of less than three groups, and for subarrays it does not know.

    Needs whole frames and all integrations of a file in a block. Else `joint` wants to look at all of them several times (`surveys`),
    in any tiles, before it takes any tile; `sequential` goes through a stored ramp (`stream`).

    Raises
    ------
    ReferenceError_
        For a reference that cannot be used.
    InputError
        For an exposure without NSAMPLES or its subarray's place.

    Source: JWST documentation, emicorr.
    """

    alias: ClassVar[str] = "emicorr"
    cal_step: ClassVar[str] = "emicorr"
    references: ClassVar[tuple[str, ...]] = ("emicorr",)
    reads: ClassVar[tuple[str, ...]] = ("sci", "pixeldq")
    writes: ClassVar[tuple[str, ...]] = ("sci",)
    band_halo: ClassVar[int | None] = None
    needs_all_integrations: ClassVar[bool] = True

    skip: bool = param(True, "Skip this step")
    algorithm: str = param("joint", "How waveforms are fitted", choices=("sequential", "joint"))
    nints_to_phase: int | None = param(None, "Integrations that are folded (sequential)", kind="int")
    nbins: int | None = param(None, "Bins of phase (sequential)", kind="int", low=1)
    scale_reference: bool = param(True, "Scale the reference's waveform to the data (sequential)")
    onthefly_corr_freq: tuple[float, ...] | None = param(
        None, "Frequencies to correct without a reference (sequential)", unit="Hz", kind="floats"
    )
    use_n_cycles: int | None = param(3, "Cycles that are folded; None for all integrations (sequential)", kind="int")
    fit_ints_separately: bool = param(False, "Fit each integration for itself (joint)")
    user_supplied_reffile: str | None = param(None, "Reference file; use override_emicorr instead", kind="str")
    save_intermediate_results: bool = param(False, "Save the waveforms of onthefly_corr_freq as a reference file")

    def applies(self, meta: Mapping[str, Any]) -> Skip | None:
        if (off := super().applies(meta)) is not None:
            return off
        if meta.get("instrument.name") != "MIRI":
            return Skip(f"instrument {meta.get('instrument.name')} is not MIRI")
        readout = str(meta.get("exposure.readpatt") or "").upper()
        return None if readout in READOUTS else Skip(f"READPATT {readout} has no correction")

    def prepare(self, draft: Draft, refs: References) -> State | Skip:
        model, subarray = draft.model, str(draft.model.meta.subarray.name)
        readout, ngroups = str(model.meta.exposure.readpatt).upper(), int(model.data.shape[1])
        path = "" if self.onthefly_corr_freq is not None else self.user_supplied_reffile or refs("emicorr")
        if path == "N/A":
            return Skip("no emicorr reference")
        if ngroups < LEAST_GROUPS:
            return Skip(f"{ngroups} groups are too few")
        speed = "SLOW" if "SLOW" in readout else "FAST"
        if path:
            entry = entry_of(path, f"{subarray}_{speed}" if "FULL" in subarray else subarray, speed, str(model.meta.instrument.detector))
        else:
            given = tuple((repr(value), float(value), None) for value in self.onthefly_corr_freq or ())
            clock = CLOCKS.get(f"FULL_{speed}" if subarray == "FULL" else subarray)
            entry = None if clock is None else Entry(*clock, given)
        if entry is None or not entry.frequencies:
            return Skip(f"no frequencies for SUBARRAY {subarray}, READPATT {readout}")
        samples, area = model.meta.exposure.nsamples, model.meta.subarray
        if samples is None or area.xstart is None or area.xsize is None:
            raise InputError(f"{draft.path}: emicorr needs NSAMPLES, SUBSTRT1 and SUBSIZE1 in the primary header")
        state: State = {"row": entry.row, "frame": entry.frame, "sample": int(samples), "reset": entry.frame if readout.endswith("R1") else 0,
                        "rows": int(model.data.shape[2]), "late": int(area.xsize / 4 + area.xstart - 1) == emi_folded.LAST_READ, "n": len(entry.frequencies),
                        "frequencies": np.array([hertz for _, hertz, _ in entry.frequencies]), "subarray": np.array(subarray), "readout": np.array(readout),
                        "detector": np.array(str(model.meta.instrument.detector)), "path": np.array(draft.path), "folder": np.array(draft.folder)}  # fmt: skip
        return state | {f"wave.{i}": wave for i, (_, _, wave) in enumerate(entry.frequencies) if wave is not None}

    def run(self, block: Block, state: Mapping[str, Any]) -> Block:
        n, surveys = int(state["n"]), self.surveys(state)
        if not surveys:
            whole = Whole(block)
            self.stream(whole, whole, state)
            return block
        for k in range(0 if f"fit.{n - 1}.between" in state else surveys):
            part = self.survey(k, dataclasses.replace(block, arrays={**block.arrays, "sci": block.arrays["sci"].copy()}), state)
            state = {**state, **self.conclude(k, lambda part=part: [part], state)}  # type: ignore[misc]
        self._subtract(block, state, n)
        return block

    def surveys(self, state: Mapping[str, Any]) -> int:
        """How often it has to see all integrations before it is run: twice for each frequency."""
        waves = all(f"wave.{i}" in state for i in range(int(state["n"])))
        return 2 * int(state["n"]) if self.algorithm == "joint" and waves else 0

    def survey(self, k: int, block: Block, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What `conclude` is to know of a block of some integrations and rows, which is used up: the scatter of pixels, then sums by phase."""
        i = k // 2
        self._subtract(block, state, i)
        spread, sci = emi.spreads(block.arrays["sci"]), block.arrays["sci"]
        if k % 2 == 0:
            return {"spread": spread}
        waves, level = len(np.asarray(state[f"wave.{i}"])), np.float32(state[f"level.{i}"])
        total, number = emi.phase_sums(sci, block.arrays["pixeldq"], spread, level, waves, _clock(state), _period(state, i), block.y0)
        return {"start": np.array(block.start), "total": total, "number": number}

    def conclude(self, k: int, parts: Callable[[], Iterable[Mapping[str, np.ndarray]]], state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What follows from a survey of all blocks, for the next one and for `run`; `parts` are what `survey` has found, whenever called."""
        i = k // 2
        if k % 2 == 0:
            return {f"level.{i}": emi.quiet(lambda: (part["spread"] for part in parts()))}
        total, number = _added(parts())
        wave = np.asarray(state[f"wave.{i}"])
        found = emi.fit(total, number, wave, int(state["rows"]), _clock(state), _period(state, i), self.fit_ints_separately)
        return {f"fit.{i}.{field.name}": np.asarray(getattr(found, field.name)) for field in dataclasses.fields(found)}

    def _subtract(self, block: Block, state: Mapping[str, Any], n: int) -> None:
        """Subtract the waves of the first `n` frequencies."""
        for i in range(n):
            found = emi.Fit(*(np.asarray(state[f"fit.{i}.{name}"]) for name in ("pieces", "knots", "amplitudes", "offsets")), float(state[f"fit.{i}.between"]))
            found.subtract(block.arrays["sci"], block.start, block.y0, _clock(state), _period(state, i))

    def stream(self, ramps: Ramps, out: Ramps, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """All integrations of a stored ramp, some at a time."""
        limit, made = self.nints_to_phase, {}
        for i in range(int(state["n"])):
            frequency, wave = float(state["frequencies"][i]), state.get(f"wave.{i}")
            # what is found for the first frequency holds for the others, as in the reference implementation
            limit = self._integrations(limit, frequency, int(state["frame"]) * ramps.ngroups, ramps.nints)
            made[repr(frequency)] = (frequency, self._sequential(ramps, out, state, frequency, wave, limit))
            ramps = out
        if self.save_intermediate_results and self.onthefly_corr_freq is not None:
            _save(made, state, self.output_dir or str(state["folder"]))
        return {}

    def _integrations(self, limit: int | None, frequency: float, ticks: int, nints: int) -> int:
        """Integrations that are folded."""
        if limit is None:
            return nints if self.use_n_cycles is None else math.ceil(self.use_n_cycles * ((1.0 / frequency) / emi.TICK) / ticks)
        return min(limit, nints) if self.use_n_cycles == 3 else limit

    def _sequential(self, ramps: Ramps, out: Ramps, state: Mapping[str, Any], frequency: float, wave: Any, limit: int) -> np.ndarray:
        period, late, clock = (1.0 / frequency) / emi.TICK, bool(state["late"]), _clock(state)
        nbins = int(period / 2.0) if self.nbins is None else self.nbins
        nbins = 500 if nbins > emi_folded.MOST_BINS else nbins
        with contextlib.nullcontext() if isinstance(ramps, Whole) else tempfile.TemporaryFile(dir=getattr(ramps, "folder", None)) as file:
            fold, n = emi_folded.Fold(clock, period, nbins, late, file), len(range(ramps.nints)[:limit])
            for block in itertools.takewhile(lambda block: block.start < n, ramps.blocks()):
                for i, ramp in enumerate(block.arrays["sci"][: n - block.start], block.start):
                    fold.add(ramp, i)
            values = fold.means()
        if wave is None:
            table = emi_folded.resized(values, period)
        else:
            table = emi_folded.laid_over(values, np.asarray(wave), period, self.scale_reference)
        for block in ramps.blocks():
            emi_folded.subtract(block.arrays["sci"], clock, period, table, late, block.start)
            _put(block, ramps, out)
        return values


def _put(block: Block, ramps: Ramps, out: Ramps) -> None:
    """Only what was changed, if the rest is there."""
    out.write(dataclasses.replace(block, arrays={"sci": block.arrays["sci"]}) if out is ramps else block)


def _clock(state: Mapping[str, Any]) -> emi.Clock:
    return emi.Clock(int(state["sample"]), int(state["row"]), int(state["reset"]))


def _period(state: Mapping[str, Any], i: int) -> float:
    return (1.0 / float(state["frequencies"][i])) / emi.TICK


def _added(parts: Iterable[Mapping[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of all integrations, of parts that are some integrations or some of their rows each."""
    total: dict[int, np.ndarray] = {}
    number: dict[int, np.ndarray] = {}
    for part in parts:
        for i, (values, count) in enumerate(zip(part["total"], part["number"]), int(part["start"])):
            total[i] = total[i] + values if i in total else values
            number[i] = number[i] + count if i in number else count
    return np.stack([total[i] for i in sorted(total)]), np.stack([number[i] for i in sorted(number)])


def entry_of(path: str, subarray: str, speed: str, detector: str) -> Entry | None:
    """What a reference file says of a readout; None if it does not know the subarray.

    Raises
    ------
    ReferenceError_
        When it cannot be read, or lacks a frequency that it lists.
    """
    return memo(("emicorr", token(path), subarray, speed, detector), lambda: _read(path, subarray, speed, detector))


def _read(path: str, subarray: str, speed: str, detector: str) -> Entry | None:
    from jwst_dask.io.plugins import opened

    try:
        with opened(path, memmap=False, lazy_load=False) as file:
            found = file["subarray_cases"].get(subarray)
            names = (found or {}).get("freqs", {}).get(speed)
            if speed == "SLOW" and names is not None:
                names = names.get(detector)
            if found is None or names is None:
                return None
            entries = [(str(name), file["frequencies"][name]) for name in names]
            waves = tuple((name, float(one["frequency"]), np.array(one["phase_amplitudes"], dtype=float)) for name, one in entries)
            return Entry(int(found["rowclocks"]), int(found["frameclocks"]), waves)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ReferenceError_(f"{path} is not a usable emicorr reference: {error}; give another file with override_emicorr") from error


def _save(made: Mapping[str, tuple[float, np.ndarray]], state: Mapping[str, Any], folder: str | None) -> None:
    """Write waveforms as a reference file, beside the exposure or in the folder of the results."""
    import asdf

    path, readout, now = str(state["path"]), str(state["readout"]), datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")[:19]
    names = list(made)
    cases = {"rowclocks": int(state["row"]), "frameclocks": int(state["frame"]),
             "freqs": {readout: names if "FAST" in readout else {str(state["detector"]): names}}}  # fmt: skip
    tree = {"frequencies": {name: {"frequency": hertz, "phase_amplitudes": values} for name, (hertz, values) in made.items()},
            "subarray_cases": {str(state["subarray"]): cases},
            "meta": {"reftype": "emicorr", "description": "EMI correction file", "pedigree": "GROUND", "author": "jwst_dask", "telescope": "JWST",
                     "instrument": {"name": "MIRI"}, "model_type": "EmiModel", "useafter": now, "date": now}}  # fmt: skip
    root = os.path.splitext(os.path.basename(path))[0].rsplit("_", 1)[0]
    target = os.path.join(folder or os.path.dirname(path), f"{root}_emi_ref_waves.asdf")
    asdf.AsdfFile(tree).write_to(f"{target}.part")
    os.replace(f"{target}.part", target)
