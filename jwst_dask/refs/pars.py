"""Parameter files: ``pars-*`` references from CRDS, and files that users write (ASDF as `stpipe` has it, or YAML).

Layout of a step's file: ``class``, ``name``, ``parameters``; a pipeline's file has a list ``steps`` of such entries besides. YAML
files may also be plain: parameters by name, and ``steps: {alias: {parameter: value}}``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from jwst_dask.core.errors import ParameterError, ReferenceError_

CLASSES = {
    "assign_wcs": "AssignWcsStep", "badpix_selfcal": "BadpixSelfcalStep", "msa_flagging": "MSAFlagOpenStep", "bkg_subtract": "BackgroundStep",
    "clean_flicker_noise": "CleanFlickerNoiseStep", "imprint_subtract": "ImprintStep", "extract_2d": "Extract2dStep", "srctype": "SourceTypeStep",
    "master_background_mos": "MasterBackgroundMosStep", "targ_centroid": "TargCentroidStep", "wavecorr": "WavecorrStep",
    "straylight": "StraylightStep", "flat_field": "FlatFieldStep", "fringe": "FringeStep", "pathloss": "PathLossStep",
    "barshadow": "BarShadowStep", "wfss_contam": "WfssContamStep", "photom": "PhotomStep", "residual_fringe": "ResidualFringeStep",
    "adaptive_trace_model": "AdaptiveTraceModelStep", "pixel_replace": "PixelReplaceStep", "resample_spec": "ResampleSpecStep",
    "cube_build": "CubeBuildStep", "extract_1d": "Extract1dStep", "outlier_detection": "OutlierDetectionStep",
    "tso_photometry": "TSOPhotometryStep", "white_light": "WhiteLightStep",
}  # fmt: skip
"""Step alias -> class name, from which the reference type of a step's parameters is made."""

FRAMEWORK = ("pre_hooks", "post_hooks", "output_ext", "output_use_model", "output_use_index", "search_output_file", "input_dir", "config_file", "logcfg")
"""What `stpipe` saves of its own into parameter files, and nothing here depends on."""

DISABLE = "STPIPE_DISABLE_CRDS_STEPPARS"


def reftype(alias: str) -> str | None:
    """The reference type of a step's parameters (``pars-extract1dstep``), None for a step that has none."""
    return f"pars-{CLASSES[alias].lower()}" if alias in CLASSES else None


def disabled() -> bool:
    """Whether the user has turned off parameters from CRDS."""
    return os.environ.get(DISABLE, "").strip().lower() in ("true", "t", "yes", "y", "1")


def from_crds(pipeline: str, aliases: Iterable[str], parameters: Mapping[str, Any], context: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Parameters that CRDS has for an exposure.

    Parameters
    ----------
    pipeline : str
        Reference type of the pipeline's own file (``pars-spec2pipeline``), or ``""``.
    aliases : iterable of str
        Steps.
    parameters : mapping
        CRDS parameters of the exposure.
    context : str

    Returns
    -------
    list of (source, values)
        Lowest precedence first: the steps' files, then the pipeline's; ``values`` as `read_pars` gives them, a step's under ``steps``.
        Empty when the rules have none, or ``STPIPE_DISABLE_CRDS_STEPPARS`` is true.
    """
    from jwst_dask.refs.crds import list_references, resolve

    if disabled():
        return []
    wanted = {kind: alias for alias in aliases if (kind := reftype(alias))}
    kinds = [*wanted, *([pipeline] if pipeline else [])]
    rows = [row for row in list_references(parameters, kinds, context=context) if row.state in ("cached", "to download")]
    found = resolve(parameters, [row.reftype for row in rows], context) if rows else {}
    out = []
    for kind in kinds:
        if kind in found and found[kind] != "N/A":
            values = read_pars(found[kind])
            out.append((f"CRDS {os.path.basename(found[kind])}", values if kind == pipeline else {"steps": {wanted[kind]: _own(values)}}))
    return out


def read_pars(path: str) -> dict[str, Any]:
    """Parameters of a file.

    Returns
    -------
    dict
        Parameters by name, and those of steps under ``steps`` by alias (always there). Overrides that are None, and
        settings of the `stpipe` framework itself, are left out.

    Raises
    ------
    ParameterError
        When the file is not a parameter file.
    ReferenceError_
        When it cannot be read.
    """
    tree = _tree(path)
    folder = os.path.dirname(os.path.abspath(path))
    try:
        if isinstance(tree.get("parameters"), Mapping):
            return _standard(tree, folder)
        return _plain(tree, folder)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ParameterError(f"{path} does not have the layout of a parameter file: {error}") from error


def class_of(path: str) -> str:
    """The pipeline or step that a file is for: the last part of its ``class``, for example ``Spec2Pipeline``.

    Raises
    ------
    ParameterError
        When the file does not say.
    """
    tree = _tree(path)
    inner = tree.get("parameters")
    name = tree.get("class") or (inner.get("class") if isinstance(inner, Mapping) else None)
    if not isinstance(name, str) or not name:
        raise ParameterError(f"{path} does not say which pipeline or step it is for (no 'class')")
    return name.rsplit(".", 1)[-1]


def _tree(path: str) -> dict[str, Any]:
    """The content of a file, made of plain values only."""
    try:
        with open(path, "rb") as file:
            is_asdf = file.read(5) == b"#ASDF"
    except OSError as error:
        raise ReferenceError_(f"the parameter file {path} cannot be read: {error.strerror}") from error
    try:
        if is_asdf:
            from jwst_dask.io.plugins import opened

            with opened(path, lazy_load=False, memmap=False) as file:
                tree = _values(file.tree)
        else:
            import yaml

            with open(path, encoding="utf-8") as file:
                tree = yaml.safe_load(file)
    except Exception as error:  # yaml and asdf raise many kinds
        raise ParameterError(f"{path} is neither ASDF nor YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ParameterError(f"{path} does not have the layout of a parameter file: it holds no names and values")
    return tree


def _values(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _values(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_values(value) for value in node]
    return node if node is None or isinstance(node, (str, int, float, bool)) else str(node)


def _standard(tree: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Lists of steps with a name each; before version 1 of the layout, everything in ``parameters``, steps by name."""
    parameters = dict(tree["parameters"])
    steps: dict[str, dict[str, Any]] = {}
    for alias, values in (parameters.pop("steps", None) or {}).items():
        steps[alias] = _step(dict(values), folder)
    for entry in tree.get("steps") or []:
        steps[str(entry["name"])] = _step(dict(entry["parameters"]), folder)
    return {**_clean(parameters), "steps": steps}


def _plain(tree: Mapping[str, Any], folder: str) -> dict[str, Any]:
    top = {name: value for name, value in tree.items() if name != "steps"}
    steps = {alias: _step(dict(values or {}), folder) for alias, values in (tree.get("steps") or {}).items()}
    return {**_clean(top), "steps": steps}


def _step(values: dict[str, Any], folder: str) -> dict[str, Any]:
    """A step's parameters, on top of those of the file that it may name."""
    other = values.pop("config_file", None)
    base = _own(read_pars(os.path.join(folder, other))) if other else {}
    return {**base, **_clean(values)}


def _own(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "steps"}


def _clean(values: Mapping[str, Any]) -> dict[str, Any]:
    ignored = (*FRAMEWORK, "class", "name", "meta", "asdf_library", "history")
    return {name: value for name, value in values.items() if name not in ignored and not (name.startswith("override_") and value is None)}
