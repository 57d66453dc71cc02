"""Commands beside running: references, associations, comparison, report, demo."""

from __future__ import annotations

import argparse
import os
from typing import Any


def add(commands: Any, make: Any) -> None:
    """Add the commands to the parser."""
    refs = make(commands, "refs", _refs, "list or fetch the reference files that a pipeline would use")
    refs.add_argument("what", choices=("list", "prefetch"))
    refs.add_argument("inputs", nargs="+", metavar="INPUT")
    refs.add_argument("--pipeline", default="auto")
    asn = make(commands, "asn", _asn, "write an association of exposures")
    asn.add_argument("inputs", nargs="+", metavar="EXPOSURE")
    asn.add_argument("-o", "--output-file", required=True)
    asn.add_argument("--product-name", help="level-3 product name (makes a level-3 association)")
    asn.add_argument("-r", "--rule", help="association rule (default: by the exposures' level)")
    asn.add_argument("--asn-id", default=None)
    compare = make(commands, "compare", _compare, "compare products or folders of products, part by part")
    compare.add_argument("ours")
    compare.add_argument("reference")
    compare.add_argument("--rtol", type=float, default=1e-5)
    compare.add_argument("--wcs", action="store_true")
    compare.add_argument("--no-headers", action="store_true", help="header differences do not count")
    compare.add_argument("--json", metavar="FILE", help="write all figures")
    compare.add_argument("--all", action="store_true", help="show what agrees too")
    report = make(commands, "report", _report, "write the report of the runs in a folder as one HTML page")
    report.add_argument("folder")
    report.add_argument("-o", "--output-file")
    shorts = make(commands, "shorts", _shorts, "look for shutters that glow (optical shorts) in NIRSpec MOS count-rate images")
    shorts.add_argument("inputs", nargs="+", metavar="INPUT", help="_rate files or stage 2 associations")
    shorts.add_argument("--threshold", type=float, default=None, help="least significance (default: 7)")
    shorts.add_argument("-o", "--output-file", help="write the table as ECSV")
    demo = make(commands, "demo", _demo, "simulate a time series or slits, run the pipelines on a local cluster, compare with the truth")
    demo.add_argument("--output-dir", default="demo")
    demo.add_argument("--mode", default="bots_prism", help="bots_prism, bots_grating, lrs_slitless; mos, fs, mos_g395m (default: bots_prism)")
    demo.add_argument("--sources", type=int, default=8, help="point sources of a MOS field")
    demo.add_argument("--segments", type=int, default=3)
    demo.add_argument("--integrations", type=int, default=60, help="in each segment")
    demo.add_argument("--workers", type=int, default=2)
    demo.add_argument("--uncal", action="store_true", help="begin with raw ramps (calwebb_detector1), and compare slopes and cosmic rays too")


def _refs(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from jwst_dask.core.inputs import expand
    from jwst_dask.core.run import Options, choose
    from jwst_dask.io.skeleton import skeleton
    from jwst_dask.pipelines import table
    from jwst_dask.refs import crds
    from jwst_dask.steps import step_class

    paths = expand(args.inputs)
    pipeline = choose(paths, Options()) if args.pipeline == "auto" else table.pipeline(args.pipeline)
    reftypes = list(dict.fromkeys(t for alias in pipeline.aliases() for t in step_class(alias).references))
    shown = Table("exposure", "type", "reference", "MB", "state")
    for path in exposures(paths):
        parameters = skeleton(path).get_crds_parameters()
        if args.what == "prefetch":
            crds.prefetch([parameters], reftypes)
        for row in crds.list_references(parameters, reftypes):
            shown.add_row(os.path.basename(path), row.reftype, row.name, f"{row.size / 1e6:.1f}", row.state)
    Console().print(shown)
    return 0


def exposures(paths: list[str]) -> list[str]:
    """Exposure files among paths and associations."""
    from jwst_dask.data import association

    out: list[str] = []
    for path in paths:
        if path.endswith(".json"):
            out += [str(member.path) for product in association.load(path).products for member in product.members]
        else:
            out.append(path)
    return list(dict.fromkeys(out))


def _asn(args: argparse.Namespace) -> int:
    from jwst_dask.core.inputs import expand
    from jwst_dask.data import association

    made = association.from_list(expand(args.inputs), product_name=args.product_name, rule=args.rule, asn_id=args.asn_id)
    association.write(made, args.output_file)
    print(f"made {args.output_file}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from jwst_dask.io import compare

    return int(compare.main(args))


def _report(args: argparse.Namespace) -> int:
    from jwst_dask.plots.report import make_report

    print(f"report {make_report(args.folder, args.output_file)}")
    return 0


def _shorts(args: argparse.Namespace) -> int:
    from astropy.table import vstack

    import jwst_dask
    from jwst_dask.core.inputs import expand

    tables = []
    for path in expand(args.inputs):
        found = jwst_dask.SlitSession(path).optical_shorts(args.threshold)
        found["exposure"] = [os.path.basename(path)] * len(found)
        print(f"{os.path.basename(path)}: {len(found)} glow{'s' if len(found) != 1 else ''}")
        if len(found):
            print("\n".join(found.pformat()))
        tables.append(found)
    if args.output_file:
        vstack(tables, metadata_conflicts="silent").write(args.output_file, format="ascii.ecsv", overwrite=True)
        print(f"made {args.output_file}")
    return 0


def _demo(args: argparse.Namespace) -> int:
    from jwst_dask.simulate.demo import demo

    return int(demo(args.output_dir, mode=args.mode, nsegments=args.segments, nints=args.integrations, workers=args.workers, nsources=args.sources, uncal=args.uncal))
