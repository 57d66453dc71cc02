"""The command line in a process of its own, killed at a moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

MOMENTS = {
    "renamed": "jwst_dask.core.ledger:Ledger.record",
    "task": "jwst_dask.core.blocks:process",
    "receipt": "jwst_dask.core.finish:_Work.done",
    "laid out": "jwst_dask.io.layout:allocate",
    "allocated": "os:posix_fallocate",
    "tile": "os:pwrite",
    "part": "os:replace",
}
"""What is called then: a product has its final name, but no line in the ledger; a task begins; one is done; a product is laid out; room is taken for a
store; some of a product is written; a slit's result, or a state, gets its name."""

CLIENT = """
import functools, importlib, os, signal, sys, warnings
warnings.simplefilter("ignore")
module, _, name = sys.argv[1].partition(":")
*path, last = name.split(".")
owner, left = functools.reduce(getattr, path, importlib.import_module(module)), int(sys.argv[2])
real = getattr(owner, last)
def die(*args, **keywords):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **keywords)
setattr(owner, last, die)
from jwst_dask.cli import main
sys.exit(main(sys.argv[3:]))
"""


def killed(moment: str, count: int, words: Sequence[str]) -> bool:
    """Whether a command was killed when that was about to happen for the `count`-th time."""
    command = [sys.executable, "-c", CLIENT, MOMENTS[moment], str(count), *words]
    return subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
