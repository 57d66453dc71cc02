"""What the rounds of a step tell those that follow: arrays beside the store that they read, which go when it goes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np

from jwst_dask.core.arrays import load_array


class Notes:
    """Arrays by name in a folder of a store.

    Parameters
    ----------
    folder : str
        Of the store.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder) / "notes"

    def leave(self, name: str, array: np.ndarray) -> None:
        """Keep an array; complete or not at all, and as often as one likes."""
        self.folder.mkdir(exist_ok=True)
        temporary = self.folder / f".{name}.{os.getpid()}-{threading.get_ident()}.npy"
        np.save(temporary, array)
        os.replace(temporary, self.folder / f"{name}.npy")

    def find(self, name: str) -> np.ndarray:
        """An array that a round before has left."""
        return load_array(self.folder / f"{name}.npy")
