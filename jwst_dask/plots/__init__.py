"""Quick looks, transit depth, and the report of a run as one HTML page."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "fit_depth": "depth",
    "make_report": "report",
    "plot_dataset": "quicklook",
    "plot_fit": "depth",
    "plot_series": "quicklook",
    "plot_whitelight": "quicklook",
    "read_series": "series",
}

__all__ = ["fit_depth", "make_report", "plot_dataset", "plot_fit", "plot_series", "plot_whitelight", "read_series"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:  # matplotlib is loaded when something is drawn
        return getattr(import_module(f"jwst_dask.plots.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'jwst_dask.plots' has no attribute {name!r}")
