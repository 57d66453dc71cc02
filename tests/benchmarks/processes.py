"""Whole processes measured from outside: wall time, processor time, and the largest resident memory of each process of a tree."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import psutil


@dataclass
class Measured:
    """One process and its children.

    Attributes
    ----------
    wall, cpu : float
        Seconds; `cpu` is user plus system, children included.
    peak : float
        Largest resident memory of any one of the processes, MB.
    peaks : dict
        The same for each process, by its number.
    """

    wall: float
    cpu: float
    peak: float
    output: str
    peaks: dict[int, float] = field(default_factory=dict)


def measure(command: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None) -> Measured:
    """Run a command to its end.

    The memory of the process itself is what the kernel says at its end; that of its children is sampled.

    Raises
    ------
    RuntimeError
        When it fails; the message has the end of its output.
    """
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # with which modules are compiled anew each time
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**plain, **(env or {})}, cwd=cwd)
        peaks: dict[int, float] = {}
        sampler = threading.Thread(target=_sample, args=(process.pid, peaks), daemon=True)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.join()
        log.seek(0)
        output = log.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}\n{output[-3000:]}")
    peaks[process.pid] = usage.ru_maxrss / 1024
    return Measured(wall, usage.ru_utime + usage.ru_stime, max(peaks.values()), output, peaks)


def _sample(pid: int, peaks: dict[int, float]) -> None:
    try:
        parent = psutil.Process(pid)
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            for child in parent.children(recursive=True):
                try:
                    peaks[child.pid] = max(peaks.get(child.pid, 0.0), child.memory_info().rss / 2**20)
                except psutil.Error:
                    continue
            time.sleep(0.05)
    except psutil.Error:
        return


def together(parts: Iterable[Measured]) -> Measured:
    """Processes that ran one after the other, as one."""
    parts = list(parts)
    return Measured(sum(p.wall for p in parts), sum(p.cpu for p in parts), max(p.peak for p in parts), "", {k: v for p in parts for k, v in p.peaks.items()})


def medians(runs: Sequence[Measured]) -> dict[str, float]:
    """Medians of repeated runs; the memory is the largest of any process of any run."""
    return {"wall_s": round(statistics.median(r.wall for r in runs), 3), "cpu_s": round(statistics.median(r.cpu for r in runs), 3),
            "peak_mb": round(max(r.peak for r in runs), 1), "runs": len(runs)}  # fmt: skip
