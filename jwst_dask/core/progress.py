"""Progress of long work: a bar in terminals and notebooks, with rate and time to go."""

from __future__ import annotations

import sys
from typing import Any

from jwst_dask.core.blocks import Receipt


class Progress:
    """A `rich` progress bar fed with receipts."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(),
                        TimeRemainingColumn(), console=Console(stderr=True))  # fmt: skip
        self._task: Any = None
        self._bytes = 0

    def start(self, total: int, label: str) -> None:
        """A new pipeline of `total` blocks."""
        self._bar.start()
        self._bytes = 0
        self._task = self._bar.add_task(label, total=total, rate="")

    def advance(self, receipt: Receipt) -> None:
        """A block is done."""
        self._bytes += receipt.bytes_read + receipt.bytes_written
        seconds = self._bar.tasks[-1].elapsed or 1e-9
        self._bar.update(self._task, advance=1, rate=f"{self._bytes / seconds / 1e6:.0f} MB/s")

    def stop(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


def progress() -> Progress | None:
    """A progress display where somebody can see it: a terminal or a notebook."""
    notebook = "ipykernel" in sys.modules
    return Progress() if sys.stderr.isatty() or notebook else None
