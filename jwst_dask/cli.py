"""The command line: ``jwst-dask run | plan | strun | demo | refs | asn | compare | report``.

Exit status: 0 when all products were made, 1 when something failed, 64 when no source falls on the detector.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from jwst_dask.core.errors import JwstDaskError, NoDataOnDetectorError, ParameterError

NO_DATA = 64
log = logging.getLogger("jwst_dask")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    atexit.register(gc.freeze)  # else Python looks for cycles among a million objects before the process, and they, go away: half a second
    often = gc.get_threshold()
    gc.set_threshold(max(20_000, often[0]), *often[1:])  # imports and schemas make many objects, and few cycles
    try:
        return _main(argv)
    finally:
        gc.set_threshold(*often)


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    args, rest = parser.parse_known_args(arguments)
    _logging(args.verbose)
    try:
        if args.command in ("run", "plan"):
            _inputs(parser, args)
        if args.command in ("run", "plan", "strun"):
            return int(args.action(args, parameters(rest)))
        if rest:
            parser.error(f"unknown arguments: {' '.join(rest)}")
        return int(args.action(args))
    except NoDataOnDetectorError as error:
        return _complain(error, args.verbose, NO_DATA)
    except (JwstDaskError, OSError) as error:
        return _complain(error, args.verbose, 1)
    except KeyboardInterrupt:
        print("stopped; run the same command with --resume to go on", file=sys.stderr)
        return 130


def _inputs(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """With --stages, or with files only, the first word is an input."""
    if args.pipeline != "auto" and (getattr(args, "stages", None) or args.pipeline.endswith((".fits", ".fits.gz", ".json"))):
        from jwst_dask.pipelines.table import ALIASES, BUILT

        if args.pipeline not in ALIASES and args.pipeline not in BUILT:
            args.inputs, args.pipeline = [args.pipeline, *args.inputs], "auto"
    if not args.inputs:
        parser.error("give exposures or associations")


def _complain(error: BaseException, verbose: bool, status: int) -> int:
    log.debug("traceback", exc_info=error)
    print(f"jwst-dask: {error}", file=sys.stderr)
    return status


def parameters(words: Sequence[str]) -> dict[str, Any]:
    """``--steps.extract_1d.smoothing_length=3 --override_flat=f.fits`` as nested values.

    Raises
    ------
    ParameterError
        For a word that is not of the form ``--name=value`` or ``--name value``.
    """
    out: dict[str, Any] = {"steps": {}}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--"):
            raise ParameterError(f"{word!r} is neither an input nor an option; parameters are written --steps.STEP.NAME=VALUE")
        name, equals, value = word[2:].partition("=")
        if not equals:
            value = queue.pop(0) if queue and not queue[0].startswith("--") else "true"
        if name.startswith("steps."):
            parts = name.split(".")
            if len(parts) != 3:
                raise ParameterError(f"--{name}: step parameters are written --steps.STEP.NAME=VALUE")
            out["steps"].setdefault(parts[1], {})[parts[2]] = value
        else:
            out[name] = value
    return out


def _parser() -> argparse.ArgumentParser:
    import jwst_dask

    parser = argparse.ArgumentParser(prog="jwst-dask", description="The JWST calibration pipelines on Dask.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"jwst_dask {jwst_dask.__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log every step")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = _command(commands, "run", _run, "run a pipeline and write its products",
                   "Parameters: --steps.STEP.NAME=VALUE, --NAME=VALUE of the pipeline, --override_REFTYPE=FILE|N/A, on a step too.")  # fmt: skip
    _pipeline_options(run)
    run.add_argument("--resume", action="store_true", help="keep products that are current; make only what is missing or stale")
    run.add_argument("--report", nargs="?", const="", default=None, metavar="FILE", help="write a report of the run as one HTML page")
    run.add_argument("--no-progress", action="store_true", help="no progress display")
    plan = _command(commands, "plan", _plan, "show what a run would do, without reading a pixel")
    _pipeline_options(plan)
    plan.add_argument("--resume", action="store_true", help="show what is current already")
    strun = _command(commands, "strun", _strun, "take the arguments of strun: PIPELINE|STEP|FILE INPUT [--PARAMETER=VALUE]")
    strun.add_argument("what", help="pipeline or step name, or a parameter file (.asdf)")
    strun.add_argument("inputs", nargs="+", metavar="INPUT")
    strun.add_argument("--save-parameters", metavar="FILE", help="write the parameters in effect as ASDF, do not run")
    for flag in ("--debug", "--logcfg", "--log-level", "--log-file", "--log-stream"):
        strun.add_argument(flag, nargs="?", const=True, help=argparse.SUPPRESS)
    strun.add_argument("--verbose", action="store_true", help=argparse.SUPPRESS)
    strun.add_argument("--disable-crds-steppars", action="store_true", help="do not look up parameter files in CRDS")
    strun.add_argument("--output_dir", default=".", help="folder for the products")
    from jwst_dask import commands as more

    more.add(commands, _command)
    return parser


def _command(commands: Any, name: str, action: Any, help: str, epilog: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", epilog=epilog, allow_abbrev=False)
    parser.set_defaults(action=action)
    return parser


def _pipeline_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", help="calwebb_detector1, calwebb_tso1, calwebb_dark, calwebb_guider, calwebb_spec2, calwebb_tso-spec2, calwebb_tso3, a class or .cfg name, or auto (by exposure type)")
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="exposures, patterns in quotes, associations")
    parser.add_argument("--output-dir", default=".", metavar="DIR", help="folder for the products (default: here)")
    parser.add_argument("--stages", metavar="N,N", help="pipelines of consecutive stages (1,2,3) as one graph; the name of a pipeline is left out")
    parser.add_argument("--save-intermediate", action="store_true", help="with --stages: keep products that a later stage takes")
    parser.add_argument("--pars", metavar="FILE", help="parameter file, ASDF or YAML")
    parser.add_argument("--sources", metavar="FILE", help="table of step parameters by source, ECSV or YAML")
    parser.add_argument("--on-error", choices=("raise", "skip"), default=None, help="skip: go on with the other exposures when one fails")
    parser.add_argument("--chunk", type=int, metavar="N", help="integrations in a block (default: by memory)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a running scheduler (tcp://..., tls://...), or threads, or sync")
    parser.add_argument("--scheduler-file", metavar="FILE", help="file with the address of a running scheduler")
    parser.add_argument("--local", type=int, metavar="N", help="start a local cluster of N worker processes")
    parser.add_argument("--threads", type=int, metavar="T", help="threads in this process, or of each local worker")
    parser.add_argument("--memory-limit", metavar="SIZE", help="memory of each local worker, for example 1.5GB")
    parser.add_argument("--tls", nargs=3, metavar=("CA", "CERT", "KEY"), help="certificates for a tls:// scheduler")
    parser.add_argument("--allow-outside", action="store_true", help="association members may lie outside the association's folder")
    parser.add_argument("--checksum", action="store_true", default=None, help="write CHECKSUM and DATASUM")


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {"output_dir": args.output_dir, "resume": args.resume, "chunk": args.chunk, "threads": args.threads, "allow_outside": args.allow_outside,
            "checksum": args.checksum, "scheduler": args.scheduler if args.scheduler in ("threads", "sync") else None,
            "sources": args.sources, **({"stages": args.stages, "save_intermediate": args.save_intermediate} if args.stages else {}),
            **({"on_error": args.on_error} if args.on_error else {})}  # fmt: skip


def _connection(args: argparse.Namespace) -> Any:
    from jwst_dask.core.execute import connect

    security = None
    if args.tls:
        from distributed import Security

        authority, certificate, key = args.tls
        security = Security(tls_ca_file=authority, tls_client_cert=certificate, tls_client_key=key, require_encryption=True)
    return connect(args.scheduler, args.scheduler_file, args.local, args.threads, args.memory_limit, security)


def _run(args: argparse.Namespace, params: dict[str, Any]) -> int:
    from jwst_dask.core.run import run

    progress = None if args.no_progress else _progress()
    with _connection(args) as client:
        result = run(args.inputs, args.pipeline, params=params, pars_file=args.pars, client=client, progress=progress, **_options(args))
    for name in result.made:
        print(f"made {os.path.join(args.output_dir, name)}")
    for text in result.failures:
        print(f"FAILED {text}", file=sys.stderr)
    if args.report is not None:
        from jwst_dask.plots.report import make_report

        print(f"report {make_report(args.output_dir, args.report or None)}")
    return int(result.exit_code)


def _plan(args: argparse.Namespace, params: dict[str, Any]) -> int:
    from jwst_dask.core.run import plan

    with _connection(args) as client:
        print(plan(args.inputs, args.pipeline, params=params, pars_file=args.pars, client=client, **_options(args)).explain(args.verbose))
    return 0


def _strun(args: argparse.Namespace, params: dict[str, Any]) -> int:
    from jwst_dask.core.standalone import strun

    return int(strun(args, params))


def _progress() -> Any:
    from jwst_dask.core.progress import progress

    return progress()


def _logging(verbose: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("jwst_dask")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False


if __name__ == "__main__":
    sys.exit(main())
