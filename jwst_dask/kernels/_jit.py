"""The one set of numba options that every kernel is compiled with."""

from typing import Any

from numba import njit

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}

jit = njit(**OPTIONS)
