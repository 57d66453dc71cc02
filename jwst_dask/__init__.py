"""jwst_dask: the JWST calibration pipelines on Dask."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "open": "jwst_dask.data.open:open",
    "open_slits": "jwst_dask.core.slits.interactive:open_slits",
    "SlitSession": "jwst_dask.core.slits.interactive:SlitSession",
    "MSAMetafile": "jwst_dask.data.msa:MSAMetafile",
    "SourceTable": "jwst_dask.data.sources:SourceTable",
    "longslit_cube": "jwst_dask.steps.stage2.longslit_cube:longslit_cube",
    "plan": "jwst_dask.core.run:plan",
    "run": "jwst_dask.core.run:run",
    "pipeline": "jwst_dask.pipelines.table:pipeline",
    "Detector1Pipeline": "jwst_dask.core.calls:Detector1Pipeline",
    "DarkPipeline": "jwst_dask.core.calls:DarkPipeline",
    "GuiderPipeline": "jwst_dask.core.calls:GuiderPipeline",
    "Spec2Pipeline": "jwst_dask.core.calls:Spec2Pipeline",
    "Tso3Pipeline": "jwst_dask.core.calls:Tso3Pipeline",
}
_MODULES = ("steps", "pipelines", "simulate", "plots", "refs", "accessor")

__all__ = ["DarkPipeline", "Detector1Pipeline", "GuiderPipeline", "MSAMetafile", "SlitSession", "SourceTable", "Spec2Pipeline", "Tso3Pipeline", "longslit_cube", "open", "open_slits", "pipeline", "plan", "run", "steps"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name].split(":")
        return getattr(import_module(module), attribute)
    if name in _MODULES:
        return import_module(f"jwst_dask.{name}")
    raise AttributeError(f"module 'jwst_dask' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*_PUBLIC, *_MODULES, "__version__"))
