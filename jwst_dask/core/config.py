"""Settings: defaults registered with `dask.config` under ``jwst_dask``, environment ``DASK_JWST_DASK__...`` as usual."""

from __future__ import annotations

import os
from typing import Any

import dask
import yaml

_PATH = os.path.join(os.path.dirname(os.path.dirname(__file__)), "jwst_dask.yaml")


def _registered() -> dict[str, Any]:
    with open(_PATH) as file:
        defaults: dict[str, Any] = yaml.safe_load(file)
    dask.config.update_defaults(defaults)
    return defaults


_DEFAULTS = _registered()


def setting(name: str, override: Any = None) -> Any:
    """A setting by dotted name below ``jwst_dask``; numbers with units (``"64MB"``) as bytes."""
    value = override
    if value is None:  # a `dask.config.set` that is left takes defaults along that were registered within
        value = dask.config.get(f"jwst_dask.{name}", default=dask.config.get(f"jwst_dask.{name}", config=_DEFAULTS))
    if isinstance(value, str) and name.endswith(("bytes", "memory")):
        return dask.utils.parse_bytes(value)
    return value
