"""What a mode hands to the flat_field step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jwst_dask.kernels.flat import Flat


@dataclass(frozen=True)
class Result:
    """A flat on the science pixels (float32, float32, uint32 [y, x]), and how its datamodel is made when it is to be saved.

    `squares_first`: see `jwst_dask.kernels.scale.divide_by_flat`.
    """

    flat: Flat
    product: Callable[[], Any]
    squares_first: bool = False
