"""Runs pipelines of the reference implementation one after the other, in its environment: a JSON line for each on standard input, an answer on standard output."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import traceback
import warnings
from pathlib import Path


def run(oracle, job: dict) -> None:
    """One pipeline on one exposure; its references by overrides, every other type is N/A."""
    import jwst.pipeline

    name, source = job["pipeline"], Path(job["source"])
    steps = oracle.with_references(name, job["steps"], job["references"])
    suffix = {"GuiderPipeline": {"suffix": "cal"}, "DarkPipeline": {"suffix": "dark"}}.get(name, {})
    os.chdir(source.parent)
    getattr(jwst.pipeline, name).call(str(source), output_dir=job["out"], save_results=True, steps=steps, **suffix, **job["parameters"])


def main() -> None:
    spec = importlib.util.spec_from_file_location("oracle_tool", sys.argv[1])
    assert spec is not None and spec.loader is not None
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    os.environ.update(oracle.environment("stage1"))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        job, failure = json.loads(line), ""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                run(oracle, job)
        except (Exception, SystemExit):
            failure = traceback.format_exc()
        print(json.dumps({"failure": failure}), file=answers, flush=True)


if __name__ == "__main__":
    main()
