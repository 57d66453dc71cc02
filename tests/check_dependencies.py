"""Fail when a package is imported that pyproject.toml does not declare, or `jwst`/`stcal` are imported at all."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = {"pyyaml": "yaml"}


def declared() -> set[str]:
    """Import names of declared dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    names = {re.split(r"[<>=\[ ;]", line)[0].lower() for line in lines}
    return {NAMES.get(name, name).replace("-", "_") for name in names} | {"jwst_dask"}


def imported(path: Path) -> set[str]:
    """Top-level packages imported anywhere in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def main() -> int:
    """Print offences; exit status."""
    known = declared() | set(sys.stdlib_module_names)
    bad = []
    for path in sorted((ROOT / "jwst_dask").rglob("*.py")):
        names = imported(path)
        bad += [f"{path.relative_to(ROOT)}: {name} is not declared" for name in sorted(names - known)]
        bad += [f"{path.relative_to(ROOT)}: imports {name}" for name in sorted(names & {"jwst", "stcal"})]
    print("\n".join(bad) or "dependencies: all declared")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
